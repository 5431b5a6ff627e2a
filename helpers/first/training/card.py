"""Model cards of the tiny checkpoints, filled in from the run that made them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.first.evaluation.intervals import Interval

_LOSSES = {
    "sigmoid": "pairwise sigmoid loss (Zhai et al. 2023), scale started at log 10, bias at -10",
    "info_nce": "symmetric InfoNCE (Radford et al. 2021), learned temperature",
}
_TEXT = """---
license: mit
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [tiny, course, {family}]
---

# {model}

A {family_name} small enough for a lesson on a laptop: 64 px pictures, patches of 8 px, 6 vision
and 4 text layers of width 96. It is trained on drawings, knows a few dozen words and is of no use
outside the course; opened by `AutoModel` and `AutoProcessor` like any checkpoint.

## How it was made

`course pretrain {model}`, from nothing but seeds:

| | |
|---|---|
| data | {n_images} drawn scenes, two captions each; {web_share:.0%} dishes with weak captions, {photo_share:.0%} in photo style |
| never seen | sushi, pie, skewers; olives, cheese; turmeric sauce; the rarer synonyms are rare |
| loss | {loss} |
| optimizer | AdamW, {steps} steps of {batch_size}, learning rate {learning_rate} with {warmup} steps of warm-up, cosine |
| seed | {seed} |
| time | {minutes:.1f} minutes on one core of the machine that made it |

The number of steps was chosen on zero-shot difficulty alone: text-to-image hit@10 between 45 and
65 % on the validation recipes of `kitchen`.

## What it scores, zero-shot

{recipes} validation recipes a domain, seed {validation_seed}; 95 % intervals from a bootstrap over
recipes.

| domain | direction | metric | value | 95 % interval |
|---|---|---|---|---|
{rows}

## Limits

Nothing here says anything about photographs. The scores describe a drawn world.
"""


def write_card(
    folder: Path,
    *,
    settings: Mapping[str, Any],
    minutes: float,
    scores: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    recipes: int,
    validation_seed: int,
) -> None:
    """Write ``README.md`` into a checkpoint's folder.

    Parameters
    ----------
    folder : Path
    settings : mapping
        The fields of ``Pretraining``.
    minutes : float
    scores : mapping
        domain -> direction -> metric -> interval.
    recipes, validation_seed : int
        What the scores rest on.
    """
    rows = [
        f"| {domain} | {way.replace('_', ' ')} | {name} "
        f"| {i.value:.3f} | {i.low:.3f} to {i.high:.3f} |"
        for domain, ways in scores.items()
        for way, metrics in ways.items()
        for name, i in metrics.items()
        if name in ("hit@1", "hit@5", "hit@10", "mrr")
    ]
    family = settings["model"].removeprefix("tiny-")
    filled = {
        **settings,
        "family": family,
        "family_name": {"clip": "CLIP", "siglip": "SigLIP"}[family],
        "loss": _LOSSES[settings["loss"]],
        "minutes": minutes,
        "rows": "\n".join(rows),
        "recipes": recipes,
        "validation_seed": validation_seed,
    }
    (folder / "README.md").write_text(_TEXT.format(**filled), encoding="utf-8")
