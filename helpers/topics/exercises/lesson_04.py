"""Checks of lesson 04: the loss, what LoRA adds, how many negatives an image sees."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from helpers.topics.exercises.engine import (
    Verdict,
    ask,
    compare,
    correct,
    exercise,
    hint,
    not_attempted,
    number,
)


def _unit(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _pairs(n: int, d: int, scale: float, seed: int) -> dict[str, Any]:
    return {"images": _unit(n, d, seed), "texts": _unit(n, d, seed + 100), "scale": scale}


# The last: two images that agree on one text, so that both directions differ; nothing is learned.
_LOSS_CASES = [
    _pairs(3, 4, 5.0, 1),
    _pairs(2, 3, 2.0, 2),
    _pairs(5, 2, 20.0, 3),
    _pairs(4, 6, 1.0, 4),
    {"images": np.ones((4, 1)), "texts": np.ones((4, 1)), "scale": 10.0},
]
# Logits of 100, 0 and -100, exact in float32, where exp(100) is beyond all numbers.
_AXES = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
_STEEP = [
    {"images": _AXES, "texts": _AXES, "scale": 100.0},
    {"images": _AXES, "texts": -_AXES, "scale": 100.0},
]


def _log_softmax(logits: np.ndarray, axis: int | None) -> np.ndarray:
    top = logits.max(axis=axis, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=axis, keepdims=True))


def _logits(images, texts, scale) -> np.ndarray:
    return scale * images.astype(float) @ texts.astype(float).T  # (n, n)


def _directions(**case) -> tuple[np.ndarray, np.ndarray]:
    """The (n,) losses of the images, and those of the texts."""
    logits = _logits(**case)
    return -np.diag(_log_softmax(logits, 1)), -np.diag(_log_softmax(logits, 0))


def _loss(**case) -> float:
    return float(np.mean(_directions(**case)))


def _without_log(**case) -> float:
    return float(-np.mean([np.exp(-losses) for losses in _directions(**case)]))


def _all_cells(**case) -> float:
    logits = _logits(**case)
    return float(-np.mean([_log_softmax(logits, axis) for axis in (0, 1)]))


def _others_alone(**case) -> float:
    """The own pair left out of its denominator."""
    logits = _logits(**case)
    others = np.where(np.eye(len(logits), dtype=bool), -np.inf, logits)
    own = np.diag(logits)
    return float(np.mean([np.log(np.exp(others).sum(axis=axis)) - own for axis in (0, 1)]))


_DIRECTION = (
    "this is one direction alone, from {}: the other takes the softmax over the other axis of the "
    "same logits, and the loss is the mean of both."
)
_LOSS_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda **c: float(_directions(**c)[0].mean()), _DIRECTION.format("image to text")),
    (lambda **c: float(_directions(**c)[1].mean()), _DIRECTION.format("text to image")),
    (lambda **c: _loss(**c | {"scale": 1 / c["scale"]}),
     "you divide by the scale: it is the inverse of the temperature, so cosines are multiplied by "
     "it."),
    (lambda **c: _loss(**c | {"scale": np.exp(c["scale"])}),
     "you take `exp` of the scale: the model keeps its logarithm, but here you get the scale "
     "itself."),
    (lambda **c: _loss(**c | {"scale": 1.0}),
     "the scale makes no difference: multiply the cosines by it, before the softmax."),
    (lambda **c: _loss(**c) * len(c["images"]),
     "you sum over the pairs: take the mean, so that the loss does not grow with the batch."),
    (lambda **c: _loss(**c) * 2,
     "you add the two directions: take their mean."),
    (lambda **c: _loss(**c) * 2 * len(c["images"]),
     "you add pairs and directions: take the mean of both."),
    (lambda **c: -_loss(**c),
     "the sign: the logarithm of a probability is negative, and the loss is minus it."),
    (_without_log,
     "the logarithm is missing: this is minus the mean probability of the right pair; the loss is "
     "minus the mean of its logarithm."),
    (lambda **c: -_without_log(**c),
     "the logarithm is missing: this is the mean probability of the right pair; the loss is minus "
     "the mean of its logarithm."),
    (_all_cells,
     "you average over all cells: only the diagonal holds the pairs that belong together; the "
     "others count in the denominator."),
    (lambda **c: float(-np.mean(np.diag(_log_softmax(_logits(**c), None)))),
     "one softmax over the whole matrix: each image chooses among the texts (`axis=1`), each text "
     "among the images (`axis=0`)."),
    (_others_alone,
     "the denominator leaves out the pair itself: the softmax runs over all texts, the right one "
     "among them."),
]  # fmt: skip


@exercise(example=_LOSS_CASES[0])
def info_nce(answer: Callable) -> Verdict:
    """``f(images, texts, scale) -> float``: symmetric InfoNCE of (n, d) unit rows."""
    with np.errstate(all="ignore"):
        if wrong := compare(answer, _LOSS_CASES, _loss, _LOSS_MISTAKES):
            return wrong
        steep = [number(ask(answer, **case), case) for case in _STEEP]
    if not np.isfinite(steep).all():
        return hint(
            f"right for small logits, but float32 rows and a scale of 100 give {steep[0]} and "
            f"{steep[1]}: `exp(100)` is beyond float32, and the logarithm of 0 is infinite. "
            "Subtract each row's largest logit before `exp`, and stay with logarithms: "
            "`log_softmax = x - log(sum(exp(x)))`."
        )
    for case, got in zip(_STEEP, steep, strict=True):
        if abs(got - _loss(**case)) > 1e-3:
            return hint(
                f"right for small logits, but with a scale of 100 you give {got:.4g} where "
                f"{_loss(**case):.4g} is due: a small number added inside the logarithm, or a "
                "probability that was clipped, caps the loss. Subtract each row's largest logit "
                "instead."
            )
    return correct(
        "each image chooses among the texts of the batch, each text among its images; a model that "
        "tells nothing pays log n."
    )


_LORA_CASES = [
    {"layers": 12, "width": 768, "rank": 8, "n_modules": 4},
    {"layers": 12, "width": 512, "rank": 8, "n_modules": 4},
    {"layers": 2, "width": 64, "rank": 4, "n_modules": 3},
    {"layers": 5, "width": 32, "rank": 16, "n_modules": 2},
    {"layers": 1, "width": 10, "rank": 3, "n_modules": 1},
]


def _added(layers: int, width: int, rank: int, n_modules: int) -> int:
    return layers * n_modules * (width * rank + rank * width)


_LORA_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda **c: _added(**c) / 2,
     "half of what is due: LoRA adds two matrices to a projection, A (rank x width) and B (width x "
     "rank), and both are trained."),
    (lambda **c: c["layers"] * c["n_modules"] * c["width"] ** 2,
     "these are the frozen weights themselves, width x width: LoRA trains only A and B beside "
     "them."),
    (lambda **c: c["layers"] * c["n_modules"] * c["width"] ** 2 + _added(**c),
     "the frozen weights are counted too: LoRA trains only A and B beside them."),
    (lambda **c: _added(**c | {"n_modules": 1}),
     "this is one projection of each layer: multiply by the number of adapted modules."),
    (lambda **c: _added(**c | {"layers": 1}),
     "this is one layer: multiply by the number of layers."),
    (lambda **c: _added(**c | {"layers": 1, "n_modules": 1}),
     "this is one projection: multiply by the adapted modules, and by the layers."),
    (lambda **c: _added(**c | {"rank": 1}),
     "the rank is missing: A has `rank` rows, B has `rank` columns."),
    (lambda **c: 2 * _added(**c),
     "twice what is due: the function counts one tower, each projection with one A and one B."),
    (lambda **c: c["layers"] * c["n_modules"] * (c["width"] + c["rank"]) * 2,
     "a matrix of width x rank has their product as number of weights, not their sum."),
    (lambda **c: c["layers"] * c["n_modules"] * (2 * c["width"] * c["rank"] + c["rank"] ** 2),
     "there is no rank x rank matrix between A and B."),
    (lambda **c: _added(**c) + 1,
     "one too many: the logit scale is trained as well, but it is no weight of LoRA."),
]  # fmt: skip


@exercise(example=_LORA_CASES[0])
def lora_parameters(answer: Callable) -> Verdict:
    """``f(layers, width, rank, n_modules) -> int``: what LoRA trains on square projections."""
    if wrong := compare(answer, _LORA_CASES, _added, _LORA_MISTAKES):
        return wrong
    vision, text = (_added(**case) for case in _LORA_CASES[:2])
    return correct(
        f"two thin matrices a projection. CLIP ViT-B/32 with rank 8 on four projections: "
        f"{vision:,} for images and {text:,} for texts, {vision + text:,} together."
    )


_COUNTS = {
    31: "31 would be one batch of 32. The loss is computed on 2 pairs at a time: accumulation adds "
        "gradients, not negatives.",
    30: "30 are the pairs of the other micro-batches, which the loss never sees: accumulation adds "
        "gradients, not negatives.",
    32: "32 pairs make one step, but the loss never sees them together, and an image's own caption "
        "is no negative.",
    16: "16 is how often gradients are added: each time the loss is computed anew on 2 pairs, and "
        "has forgotten the others.",
    15: "15 counts the other micro-batches: their pairs are in other losses, and no image meets "
        "them.",
    2: "2 texts are in the loss with each image, but one of them is its own.",
    0: "0 would leave the softmax a single choice, and the loss would be 0: there is a second pair "
       "in the batch.",
}  # fmt: skip


@exercise()
def same_as_one_batch(answer: Any) -> Verdict:
    """A whole number: negatives that an image sees, with batches of 2 accumulated 16 times."""
    try:
        if isinstance(answer, bool):
            raise TypeError("a truth value")
        count = float(answer)
    except (TypeError, ValueError):
        return hint(f"answer with a whole number; you gave {answer!r}.")
    if count == 1:
        return correct(
            "one, the caption of the other pair, however often gradients are added: log 2 for a "
            "model that knows nothing, far less for a pretrained one, which makes such losses "
            "look good. Gradient caching is what makes it 31."
        )
    return hint(
        _COUNTS.get(
            int(count) if count.is_integer() else -1,
            f"{count:g} is not it. Write down the logits of one micro-batch: 2 images, 2 texts. "
            "Which cells of an image's row are negatives?",
        )
    )


def _sigmoid(images, texts, items, scale, bias=-10.0, *, mask=True, sign=1, per="n") -> float:
    """SigLIP's loss from a matrix of logits, and what the usual slips make of it."""
    logits = sign * (scale * images.numpy() @ texts.numpy().T + bias)
    own = np.eye(len(logits), dtype=bool)
    costs = np.logaddexp(0, -np.where(own, logits, -logits))
    if mask:
        costs = np.where((items[:, None] == items) & ~own, 0, costs)
    return float(costs.sum() / {"n": len(costs), "cells": costs.size, "1": 1}[per])


def _batch(n: int, d: int, scale: float, seed: int) -> dict[str, Any]:
    images, texts = (torch.from_numpy(_unit(n, d, seed + i).astype("float32")) for i in (0, 100))
    return {"images": images, "texts": texts, "items": np.array(list("abca")[:n]), "scale": scale}


_SIGMOID_CASES = [_batch(4, 6, 20.0, 1), _batch(3, 4, 5.0, 2), _batch(4, 3, 12.0, 3)]
_SIGMOID_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda **c: _sigmoid(**c, mask=False),
     "other captions of the same item count as negatives in your sum: leave those cells out."),
    (lambda **c: _sigmoid(**c, per="cells"),
     "you divide by the number of cells: the loss is the sum divided by n, the number of pairs."),
    (lambda **c: _sigmoid(**c, per="1"), "divide the sum by n, the number of pairs."),
    (lambda **c: _sigmoid(**c, sign=-1),
     "the signs: a pair has z = 1, every other cell z = -1, and the loss is minus the logarithm."),
    (lambda **c: _sigmoid(**c, bias=0.0), "the bias is missing: add it to every logit."),
    (lambda **c: _sigmoid(**c | {"scale": 1.0}), "the scale is missing: it multiplies cosines."),
]  # fmt: skip


@exercise(example=_SIGMOID_CASES[1])
def sigmoid_loss(answer: Callable) -> Verdict:
    """``f(images, texts, items, scale, bias=-10.0)``: SigLIP's loss without false negatives."""
    tolerant = lambda **c: round(float(ask(answer, **c)), 4)  # noqa: E731 - float32 sums
    rounded = [(lambda f=f, **c: round(f(**c), 4), text) for f, text in _SIGMOID_MISTAKES]
    wrong = compare(
        lambda *a: tolerant(**dict(zip(_SIGMOID_CASES[0], a, strict=True))), _SIGMOID_CASES,
        lambda **c: round(_sigmoid(**c), 4), rounded,
    )  # fmt: skip
    return wrong or correct("it has the signature of `info_nce`, so the loop can train with it.")


@exercise()
def collapsed_loss(answer: Any) -> Verdict:
    """``(loss, batch_size)``: the loss of a model that can only guess."""
    value, size = answer
    if value is None or value is Ellipsis:
        return not_attempted()
    try:
        value = float(value)
    except (TypeError, ValueError):
        return hint(f"a number is due; you gave {value!r}.")
    if abs(value - np.log(size)) < 0.01:
        return correct("a model that can only guess has the loss log n.")
    if abs(value - np.log2(size)) < 0.01:
        return hint("cross-entropy takes the natural logarithm, not that of base 2.")
    return hint("what is the loss of guessing among the captions of a batch?")
