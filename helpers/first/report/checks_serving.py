"""Checks of lesson 10: recall of the nearest, the size of an index, alarms that mean nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Verdict, ask, correct, exercise, hint


def _case(q: int, k: int, n: int, seed: int) -> dict[str, Any]:
    """Found and true rows, both best first; a row or two of each query are not found."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.permutation(n)[:k] for _ in range(q)])
    found = np.stack([rng.permutation(row) for row in truth])
    found[:, -1] = n  # a row that is true for none
    found[::2, -2] = -1  # nothing found
    return {"found": found, "truth": truth}


_RECALL_CASES = [
    {"found": np.array([[3, 1, 4], [0, 7, 8]]), "truth": np.array([[1, 2, 3], [4, 5, 6]])},
    {"found": np.array([[2, 0, 1]]), "truth": np.array([[0, 1, 2]])},
    {"found": np.array([[5, -1, -1], [1, 2, 4]]), "truth": np.array([[5, 6, 7], [4, 2, 1]])},
    _case(4, 5, 20, 1),
    _case(3, 4, 9, 2),
]


def _shared(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return np.array([len(set(f) & set(t)) for f, t in pairs], dtype=float)


def _recall(found, truth) -> float:
    return float((_shared(found, truth) / truth.shape[1]).mean())


_RECALL_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda found, truth: float((_shared(found, truth) > 0).mean()),
     "a query that shares one row with the truth counts as whole: this is a hit rate. Count the "
     "share of the true rows."),
    (lambda found, truth: float((found == truth).mean()),
     "places are compared: the second of one list with the second of the other. A row that was "
     "found counts wherever it stands; compare sets."),
    (lambda found, truth: float((found[:, 0] == truth[:, 0]).mean()),
     "only the first of each is compared: recall of the k nearest looks at all k."),
    (lambda found, truth: float(_shared(found, truth).mean()),
     "this is the number of true rows that were found: divide by how many there are."),
    (lambda found, truth: float(_shared(found, truth).sum()),
     "this is a sum over all queries: take the share of each query, then the mean."),
    (lambda found, truth: 1 - _recall(found, truth), "this is the share that was missed."),
    (lambda found, truth: float(np.mean([
        len(set(f) & set(t)) / len(set(f) | set(t))
        for f, t in zip(found.tolist(), truth.tolist(), strict=True)])),
     "you divide by the union of both lists (Jaccard): recall divides by the truth alone."),
    (lambda found, truth: float(np.isin(found, truth).mean()),
     "a row that is true for *another* query counts too: compare query by query."),
    (lambda found, truth: float(np.mean([
        len(set(f) & set(t)) / max(1, len(set(f) - {-1}))
        for f, t in zip(found.tolist(), truth.tolist(), strict=True)])),
     "you divide by how many were found: an index that finds one row, and that one right, would "
     "score 1. Divide by the k that are true."),
]  # fmt: skip


@exercise("10.recall_of_nearest", example=_RECALL_CASES[0])
def recall_of_nearest(answer: Callable) -> Verdict:
    """``f(found, truth) -> share``: row numbers (q, k) of an index and of the exact search."""
    got = [_number(ask(answer, **case)) for case in _RECALL_CASES]
    want = [_recall(**case) for case in _RECALL_CASES]
    wrong = [i for i, (g, w) in enumerate(zip(got, want, strict=True)) if not _near(g, w)]
    if not wrong:
        return correct(
            "the measure of an index, and not of a model: it says how much of the exact answer is "
            "kept, right or wrong."
        )
    fits = [
        sum(_near(g, mistake(**c)) for g, c in zip(got, _RECALL_CASES, strict=True))
        if _near(got[wrong[0]], mistake(**_RECALL_CASES[wrong[0]])) else 0
        for mistake, _ in _RECALL_MISTAKES
    ]  # fmt: skip
    if max(fits):
        return hint(_RECALL_MISTAKES[int(np.argmax(fits))][1])
    first = wrong[0]
    said = "no single number" if np.isnan(got[first]) else f"{got[first]:.3f}"
    return hint(f"case {first + 1}: {want[first]:.3f} is due and you gave {said}.")


_SIZES = {
    30.72e9: "these are bytes: divide by 2**30, the bytes of a GiB.",
    7.153: "a number takes four bytes in float32: multiply by 4.",
    228.9: "these are bits: a number in float32 has 32 bits, that is 4 bytes.",
    57.22: "eight bytes a number is float64: embeddings are float32.",
    14.3: "two bytes a number is bf16 or fp16: a flat index of FAISS keeps float32.",
    29297: "this is MiB: divide by 2**10 once more.",
    0.0286: "a thousand times too small: ten million rows.",
    286.1: "this is for a hundred million rows.",
    2.861: "this is for one million rows.",
}


@exercise("10.index_size")
def index_size(answer: Any) -> Verdict:
    """GiB of a flat index of ten million rows of 768 dimensions."""
    value = _number(answer)
    if np.isnan(value):
        return hint(f"answer with a number of GiB; you gave {answer!r}.")
    if abs(value - 28.61) < 0.2 or abs(value - 30.72) < 0.05:
        unit = " (30.7 GB; in GiB it is 28.6)" if value > 30 else ""
        return correct(
            f"10**7 * 768 * 4 bytes{unit}: one machine holds it, and a query reads all of it. "
            "That, and not the size alone, is why graphs and codes exist."
        )
    for known, text in _SIZES.items():
        if abs(value - known) < 0.01 * known:
            return hint(text)
    return hint(f"{value:g} is not it: rows times dimensions times bytes of a number, over 2**30.")


_ALARMS = {
    0.05: "0.05 is the chance on one day: over twenty days there are twenty chances.",
    1.0: "20 * 0.05 counts days with two alarms twice; a chance stays below 1. Ask for the chance "
         "of *no* alarm in twenty days.",
    0.358: "0.95**20 is the chance of no alarm at all: the question is the opposite.",
    0.0: "0.05**20 is the chance of an alarm on *every* day.",
}  # fmt: skip


@exercise("10.false_alarms")
def false_alarms(answer: Any) -> Verdict:
    """The chance of at least one false alarm in twenty days, tested daily at level 0.05."""
    value = _number(answer)
    if np.isnan(value):
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


def _number(result: Any) -> float:
    """The answer as a number; NaN where it is none."""
    try:
        if isinstance(result, bool):
            return float("nan")
        return float(result)
    except (TypeError, ValueError):
        return float("nan")


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6
