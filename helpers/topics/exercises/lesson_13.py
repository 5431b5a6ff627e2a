"""Checks of lesson 13: distances to the k-th neighbor, alarms that mean nothing, a change."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from helpers.topics.exercises.engine import Verdict, ask, correct, exercise, hint


def _case(n: int, m: int, d: int, k: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows, others = (x / np.linalg.norm(x, axis=1, keepdims=True)
                    for x in (rng.normal(size=(n, d)), rng.normal(size=(m, d))))  # fmt: skip
    return {"rows": rows, "others": others, "k": k}


_DISTANCE_CASES = [_case(2, 5, 3, 2, 1), _case(4, 9, 5, 3, 2), _case(3, 6, 4, 1, 3)]


def _sorted(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.sort(1 - rows @ others.T, axis=1)


def _kth(rows, others, k) -> np.ndarray:
    return _sorted(rows, others)[:, k - 1]


_DISTANCE_MISTAKES: list[tuple[Callable[..., np.ndarray], str]] = [
    (lambda rows, others, k: 1 - _kth(rows, others, k),
     "these are cosines: the cosine distance is 1 minus the cosine."),
    (lambda rows, others, k: _sorted(rows, others)[:, min(k, len(others) - 1)],
     "one neighbor too far: the k-th smallest stands at place k - 1."),
    (lambda rows, others, k: _sorted(rows, others)[:, -k],
     "the k-th *largest* distance: sort so that the nearest come first."),
    (lambda rows, others, k: _sorted(rows, others)[:, 0],
     "the nearest alone: one near-duplicate would hide that a place is empty. Take the k-th."),
    (lambda rows, others, k: _sorted(rows, others)[:, :k].mean(axis=1),
     "this is the mean of the k nearest: the k-th alone is asked for."),
    (lambda rows, others, k: np.sqrt(2 * _kth(rows, others, k)),
     "this is the Euclidean distance: take 1 minus the cosine."),
]  # fmt: skip


@exercise(example=_DISTANCE_CASES[0])
def kth_distance(answer: Callable) -> Verdict:
    """``f(rows, others, k) -> (n,)``: the cosine distance of each row to its k-th nearest."""
    for number, case in enumerate(_DISTANCE_CASES, start=1):
        want = _kth(**case)
        try:
            got = np.asarray(ask(answer, **case), float)
        except (TypeError, ValueError):
            return hint("an array of numbers is due, one for each row.")
        if got.shape != want.shape:
            return hint(f"the result has shape {got.shape}, and {want.shape} is due: one a row.")
        if np.allclose(got, want):
            continue
        for mistake, text in _DISTANCE_MISTAKES:
            if np.allclose(got, mistake(**case)):
                return hint(text)
        return hint(f"case {number}: {want.round(3)} is due, and you gave {got.round(3)}.")
    return correct(
        "a large distance means that a place was empty. A single neighbor would be fooled by one "
        "near-duplicate; a larger k needs a larger group before it says anything."
    )


_ALARMS = {
    0.05: "0.05 is the chance on one day: over twenty days there are twenty chances.",
    1.0: "20 * 0.05 counts days with two alarms twice; a chance stays below 1. Ask for the chance "
         "of *no* alarm in twenty days.",
    0.358: "0.95**20 is the chance of no alarm at all: the question is the opposite.",
    0.0: "0.05**20 is the chance of an alarm on *every* day.",
}  # fmt: skip


@exercise()
def false_alarms(answer: Any) -> Verdict:
    """The chance of at least one false alarm in twenty days, tested daily at level 0.05."""
    try:
        if isinstance(answer, bool):
            raise TypeError("a truth value")
        value = float(answer)
    except (TypeError, ValueError):
        return hint(f"answer with a number from 0 to 1; you gave {answer!r}.")
    right = 1 - 0.95**20
    if abs(value - right) < 0.006:
        return correct(
            "1 - 0.95**20, if days are independent. A monitor that looks every day needs a limit "
            "for the whole time that it watches: that is what the thresholds here are chosen for."
        )
    if abs(value - 100 * right) < 0.6:
        return hint("right, in percent: give it as a fraction.")
    for known, text in _ALARMS.items():
        if abs(value - known) < 0.005:
            return hint(text)
    return hint(f"{value:g} is not it: first the chance that all twenty days are quiet.")


def _image(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))


@exercise(example={"image": _image(0)})
def change(answer: Callable) -> Verdict:
    """``f(image) -> image``: any change, the same for every image, the size kept."""
    for seed in (1, 2):
        image = _image(seed)
        found = ask(answer, image=image)
        if not isinstance(found, Image.Image):
            return hint(f"a PIL image is due; you returned {type(found).__name__}.")
        if found.size != image.size:
            return hint(f"the size has to stay {image.size}; yours is {found.size}.")
        if np.array_equal(np.asarray(found.convert("RGB")), np.asarray(image)):
            return hint("the image is as it was: change it, so that there is something to find.")
    return correct("now the cell deals a stream with it, and you see which signal finds it when.")
