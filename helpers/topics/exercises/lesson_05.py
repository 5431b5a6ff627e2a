"""Checks of lesson 05: equal size, Holm's correction, and an adapter that is moved."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from helpers.topics.exercises.engine import (
    Settled,
    Verdict,
    ask,
    compare,
    correct,
    exercise,
    hint,
)

# The heads of the tiny SigLIP and of ViT-B/32 among them; a target below one rank; a half.
_RANK_CASES = [
    {"target": 84_000, "layers": 4, "n_modules": 4, "width": 96},
    {"target": 655_360, "layers": 2, "n_modules": 2, "width": 768},
    {"target": 1_000, "layers": 2, "n_modules": 2, "width": 100},
    {"target": 100, "layers": 6, "n_modules": 4, "width": 96},
    {"target": 12_000, "layers": 1, "n_modules": 2, "width": 50},
]


def _share(layers: int, n_modules: int, width: int, **_) -> int:
    """What one rank trains."""
    return layers * n_modules * 2 * width


def _rank(**case) -> int:
    return max(1, round(case["target"] / _share(**case)))


_RANK_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda **c: max(1, round(c["target"] / (_share(**c) / 2))),
     "a rank counts twice in a projection: a row of A and a column of B, each of the width's "
     "length."),
    (lambda **c: max(1, round(c["target"] / _share(**c | {"layers": 1}))),
     "divide by the number of layers too: each of them gets its own A and B."),
    (lambda **c: max(1, round(c["target"] / _share(**c | {"n_modules": 1}))),
     "divide by the number of adapted modules too: each of them gets its own A and B."),
    (lambda **c: max(1, round(c["target"] / _share(**c | {"width": 1}))),
     "divide by the width too: a rank is a whole row of A and a whole column of B."),
    (lambda **c: max(1, round(c["target"] / (c["layers"] * c["n_modules"] * c["width"] ** 2))),
     "width x width is the frozen weight: LoRA trains 2 x width numbers for each rank."),
    (lambda **c: round(c["target"] / _share(**c)),
     "right, except where the target is less than one rank trains: a rank of 0 is no LoRA, so the "
     "least is 1."),
    (lambda **c: max(1, c["target"] // _share(**c)),
     "you round down: the rank above may be nearer to the target."),
    (lambda **c: max(1, math.ceil(c["target"] / _share(**c))),
     "you round up: the rank below may be nearer to the target."),
    (lambda **c: max(1, c["target"] / _share(**c)),
     "a rank is a whole number: round to the nearest."),
    (lambda **c: _rank(**c) * _share(**c),
     "this is how much that row trains: the rank itself is asked for."),
]  # fmt: skip


@exercise(example=_RANK_CASES[0])
def matched_rank(answer: Callable) -> Verdict:
    """``f(target, layers, n_modules, width) -> int``: the rank that trains about ``target``."""
    if wrong := compare(answer, _RANK_CASES, _rank, _RANK_MISTAKES):
        return wrong
    case = _RANK_CASES[1]
    return correct(
        f"CLIP ViT-B/32's two projections, {case['target']:,} numbers, weigh as much as rank "
        f"{_rank(**case)} on the queries and values of two vision layers: a row with heads is "
        "a larger row, whatever else it is."
    )


# Out of order, with a tie that must not fall behind the one before, and with one above 1.
_P_CASES = [
    [0.01, 0.04, 0.03],
    [0.2, 0.001, 0.03, 0.03, 0.9],
    [0.5, 0.6, 0.7],
    [0.02, 0.024, 0.0249, 0.001],
    [0.04],
]


def _holm(
    p: Sequence[float], *, factor=lambda m, i: m - i, running=True, cap=True, restore=True
) -> list[float]:
    """Holm's correction, or with one of its steps changed or left out."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    steps = np.array([factor(len(p), i) * p[j] for i, j in enumerate(order)])
    if running:
        steps = np.maximum.accumulate(steps)
    if cap:
        steps = np.minimum(steps, 1)
    if not restore:
        return steps.tolist()
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted.tolist()


def _hochberg_fdr(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's, which controls another error."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    steps = [len(p) / (i + 1) * p[j] for i, j in enumerate(order)]
    steps = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted.tolist()


_HOLM_MISTAKES: list[tuple[Callable[[Sequence[float]], list[float]], str]] = [
    (list, "these are the p-values as they came: multiply the smallest by m, the next by m - 1."),
    (lambda p: _holm(p, factor=lambda m, i: m),
     "this is Bonferroni, all times m: Holm multiplies the smallest by m, the next by m - 1, and "
     "so on, and keeps the level with more power."),
    (lambda p: _holm(p, factor=lambda m, i: m, cap=False),
     "this is Bonferroni, all times m: Holm multiplies the smallest by m, the next by m - 1, and "
     "so on. And nothing is above 1."),
    (lambda p: _holm(p, running=False),
     "a larger p-value came out smaller than one before it: keep a running maximum along the "
     "sorted values, so that nothing is rejected after the first that is not."),
    (lambda p: _holm(p, running=False, cap=False),
     "two steps are missing: a running maximum along the sorted values, and the limit of 1."),
    (lambda p: _holm(p, cap=False), "a p-value above 1: limit each to 1."),
    (lambda p: _holm(p, restore=False),
     "right, but sorted: put each value back where its p-value stood."),
    (lambda p: _holm(p, factor=lambda m, i: i + 1),
     "the factors run the wrong way: the smallest p-value is multiplied by m, the largest by 1."),
    (lambda p: _holm(p, factor=lambda m, i: m - i - 1),
     "the factors are one too small: the smallest of m is multiplied by m, the largest by 1."),
    (_hochberg_fdr,
     "this is Benjamini and Hochberg's, which limits the share of false findings: Holm limits the "
     "chance of a single one."),
]  # fmt: skip


@exercise(example={"p_values": _P_CASES[0]})
def holm(answer: Callable) -> Verdict:
    """``f(p_values) -> list``: adjusted by Holm, in the order given."""
    got = [_numbers(ask(answer, p_values=case), case) for case in _P_CASES]
    wrong = [i for i, p in enumerate(_P_CASES) if not np.allclose(got[i], _holm(p), atol=1e-9)]
    if not wrong:
        return correct(
            "eight equal rows make 28 pairs, and the more of them are tested, the surer is one of "
            "them to fall below 0.05 by chance. After Holm the chance of even one is at most 0.05."
        )
    alike = [
        [np.allclose(g, mistake(p), atol=1e-9) for g, p in zip(got, _P_CASES, strict=True)]
        for mistake, _ in _HOLM_MISTAKES
    ]
    likely = [i for i, same in enumerate(alike) if same[wrong[0]]]
    if likely:
        return hint(_HOLM_MISTAKES[max(likely, key=lambda i: sum(alike[i]))][1])
    case = _P_CASES[wrong[0]]
    due = [round(value, 4) for value in _holm(case)]
    return hint(f"{due} is due and you gave {_rounded(got[wrong[0]])} for {case}.")


def _numbers(result: Any, case: Sequence[float]) -> np.ndarray:
    """The learner's list as (m,) floats, or a hint that a list of numbers was due."""
    try:
        found = np.asarray(list(result), dtype=float)
    except (TypeError, ValueError):
        raise Settled(hint(f"a list of numbers is due, and you returned {result!r}.")) from None
    if found.shape != (len(case),):
        raise Settled(
            hint(f"{len(case)} p-values give {len(case)} adjusted ones; you returned {found.size}.")
        )
    return found


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


# LoRA on the queries and values of two layers with rank 8 trains so many ranks of A and B.
_MOVED = 8 * 2 * 2
_PART = re.compile(r"r(?P<rank>\d+)|t(?P<layers>\d+)|(?P<modules>[qkvo]+)")


@exercise()
def moved(answer: Any) -> Verdict:
    """A row of text layers alone that trains as many numbers as "r8 v2"."""
    if not isinstance(answer, str):
        return hint(f"a row's name is due, such as `r4 t1`; you gave {answer!r}.")
    said = {"layers": 0, "rank": 0, "modules": "qv"}
    for part in answer.split():
        if part[0] == "v" and part[1:].isdecimal():
            return hint("this row still adapts vision layers: move all of it to the text encoder.")
        if part == "heads":
            return hint("heads are trained besides: they are larger than all of `r8 v2`.")
        if not (found := _PART.fullmatch(part)):
            return hint(f"`{part}` is no rank (`r8`), text layers (`t2`) or letters of attention.")
        said |= {k: int(v) if v.isdecimal() else v for k, v in found.groupdict().items() if v}
    if not said["rank"] or not said["layers"]:
        return hint("a rank and text layers are due, such as `r4 t1`.")
    if said["layers"] > 4:
        return hint("the text encoder of the tiny models has four layers.")
    trained = said["rank"] * said["layers"] * len(set(said["modules"]))
    if trained != _MOVED:
        return hint(
            f"`{answer}` trains {trained / _MOVED:.3g} times as many numbers as `r8 v2`: rank "
            "times layers times projections has to stay, since both encoders are equally wide."
        )
    return correct(
        "as many trainable parameters in another place. If the scores differ, it is the place, and "
        "not the size, that makes the difference on these images and captions."
    )
