"""What the tiny BLIP-2 scores, and the model card that says so."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.first.evaluation.intervals import Interval, retrieval_intervals
from helpers.first.evaluation.positives import positives_from_ids
from helpers.first.evaluation.ranks import rank_positives_from_scores
from helpers.first.models.blip2 import Blip2
from helpers.first.training.pretrain import VALIDATION_RECIPES, VALIDATION_SEED
from helpers.world import open_world

_TEXT = """---
license: mit
library_name: transformers
tags: [tiny, course, blip-2]
---

# tiny-blip2

A BLIP-2 for retrieval, small enough for a lesson on a laptop: the vision tower of tiny-siglip (64 px
pictures, 65 tokens), and a Q-Former of 4 layers of width 96 with 8 query tokens. It is trained on
drawings, knows a few dozen words and is of no use outside the course; opened by
`Blip2ForImageTextRetrieval` and `AutoProcessor` like any checkpoint.

## How it was made

`course pretrain tiny-blip2`, from nothing but seeds and tiny-siglip's vision tower, which stays
frozen:

| | |
|---|---|
| data | {n_images} drawn scenes, two captions each; {web_share:.0%} dishes with weak captions, {photo_share:.0%} in photo style |
| never seen | sushi, pie, skewers; olives, cheese; turmeric sauce; the rarer synonyms are rare; no modifying text |
| losses | contrast of pictures and texts (the largest similarity over the query tokens, label smoothing {label_smoothing}) and matching with hard negatives (Li et al. 2023, section 3.2); no captioning |
| optimizer | AdamW, {steps} steps of {batch_size}, learning rate {learning_rate} with {warmup} steps of warm-up, cosine |
| losses at the end | contrast {contrast:.2f} (a guess: {contrast_guess:.2f}), matching {matching:.3f} (a guess: {matching_guess:.3f}) |
| seed | {seed} |
| time | {minutes:.1f} minutes of a core of the machine that made it |

## What it scores, zero-shot

{recipes} validation recipes a domain, seed {validation_seed}; similarity is the maximum over the
query tokens; 95 % intervals from a bootstrap over recipes.

| domain | direction | metric | value | 95 % interval |
|---|---|---|---|---|
{rows}

## Limits

Nothing here says anything about photographs. The scores describe a drawn world. A matching loss
near a guess says that pictures and texts apart are known, and read together hardly yet: that is
left to whoever trains on triplets.
"""


def token_similarities(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(m, n) float32: each text with each picture, the maximum over the picture's tokens.

    Parameters
    ----------
    images : (n, k, d) float32, unit tokens
    texts : (m, d) float32, unit rows

    Examples
    --------
    >>> token_similarities(np.eye(2, dtype=np.float32)[None], np.eye(2, dtype=np.float32)).tolist()
    [[1.0], [1.0]]
    """
    best = np.full((len(texts), len(images)), -np.inf, np.float32)
    for token in range(images.shape[1]):  # (m, n) at a time, never (m, n, k)
        np.maximum(best, texts @ images[:, token].T, out=best)
    return best


def score_domain(blip2: Blip2, domain: str) -> dict[str, dict[str, Interval]]:
    """Zero-shot retrieval on a domain's validation recipes, both directions, with intervals."""
    world = open_world(domain, n_recipes=VALIDATION_RECIPES, seed=VALIDATION_SEED)
    recipes = list(world.recipes())
    keys = [(r.recipe_id, key) for r in recipes for key in r.images]
    captions = [(r.recipe_id, caption.text) for r in recipes for caption in r.captions]
    image_ids, text_ids = [i for i, _ in keys], [i for i, _ in captions]
    images = blip2.images([world.load_image(key) for _, key in keys])
    scores = token_similarities(images, blip2.texts([text for _, text in captions]))
    ways = {
        "text_to_image": (scores, text_ids, image_ids),
        "image_to_text": (scores.T, image_ids, text_ids),
    }
    return {
        way: retrieval_intervals(
            rank_positives_from_scores(s, positives_from_ids(asked, held)), asked
        )
        for way, (s, asked, held) in ways.items()
    }


def score_kitchens(blip2: Blip2) -> dict[str, dict[str, dict[str, Interval]]]:
    """:func:`score_domain` of the kitchen and of general scenes."""
    return {domain: score_domain(blip2, domain) for domain in ("kitchen", "general")}


def write_blip2_card(
    folder: Path,
    *,
    settings: Mapping[str, Any],
    losses: Mapping[str, float],
    minutes: float,
    scores: Mapping[str, Mapping[str, Mapping[str, Interval]]],
) -> None:
    """Write ``README.md`` into the checkpoint's folder.

    Parameters
    ----------
    settings : mapping
        The fields of ``Blip2Pretraining``.
    losses : mapping of float
        ``contrast`` and ``matching`` of the last step.
    minutes : float
        Of a core.
    scores : mapping
        domain -> direction -> metric -> interval.
    """
    rows = [
        f"| {domain} | {way.replace('_', ' ')} | {name} "
        f"| {i.value:.3f} | {i.low:.3f} to {i.high:.3f} |"
        for domain, ways in scores.items()
        for way, metrics in ways.items()
        for name, i in metrics.items()
        if name in ("hit@1", "hit@5", "hit@10", "mrr")
    ]
    filled = {
        **settings, "minutes": minutes, "rows": "\n".join(rows),
        "recipes": VALIDATION_RECIPES, "validation_seed": VALIDATION_SEED,
        "contrast": losses["contrast"], "contrast_guess": math.log(settings["batch_size"]),
        "matching": losses["matching"], "matching_guess": math.log(3) - 2 / 3 * math.log(2),
    }  # fmt: skip
    (folder / "README.md").write_text(_TEXT.format(**filled), encoding="utf-8")
