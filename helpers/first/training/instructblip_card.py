"""The model card of ``tiny-instructblip``, filled in from the run that made it."""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.first.models.tiny_instructblip import NAME, BlipShape

_CARD = """---
license: mit
library_name: transformers
pipeline_tag: image-to-text
tags: [tiny, course, instructblip]
---

# {name}

An InstructBLIP small enough for a lesson on a laptop: 64 px pictures, {queries} queries, a Q-Former
and a Llama of width {width}. It is trained on drawings, knows a few dozen words and is of no use
outside the course; opened by `InstructBlipForConditionalGeneration` like any checkpoint.

## How it was made

`course pretrain {name}`, from nothing but seeds:

| | |
|---|---|
| image encoder | the weights of `tiny-siglip`, in InstructBLIP's own class; its class token is new: the mean patch |
| language model | {readings} texts, each with the notes of two scenes in words and no picture; {language_steps} steps of {batch_size} |
| Q-Former, queries, projection | {n_images} drawn pictures, shown two at a time: squared error to the vectors that their notes have in words, and {naming} of the cross-entropy of the right phrase; {qformer_steps} steps of {batch_size} pairs |
| never shown | pictures of sushi, pie, skewers, olives, cheese, turmeric sauce; a change between two pictures |
| known as words | all values of the world, and the ways to ask for a change |
| optimizer | AdamW, learning rate {learning_rate}, {warmup} steps of warm-up, cosine |
| last loss | language model {language_loss:.3f} a token, its notes made unsure; Q-Former {qformer_loss:.3f}, both parts together, the error in units of the notes' variance |
| seed | {seed} |
| time | {minutes:.1f} minutes of one core of the machine that made it |

## Limits

Nothing here says anything about photographs, nor about what a language model of seven billion
parameters would write.
"""


def card_of(
    settings: Mapping[str, Any], log: Mapping[str, Sequence[Mapping[str, float]]], minutes: float
) -> str:
    """The text of ``README.md``.

    Parameters
    ----------
    settings : mapping
        The fields of ``BlipPretraining``.
    log : mapping
        ``language`` and ``qformer``: the losses of both steps.
    minutes : float
    """
    shape = BlipShape()
    ends = {f"{part}_loss": steps[-1]["loss"] for part, steps in log.items()}
    named = {"name": NAME, "queries": shape.queries, "width": shape.width, "minutes": minutes}
    return _CARD.format(**settings, **named, **ends)
