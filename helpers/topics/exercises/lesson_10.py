"""Checks of lesson 10: recall of the nearest, Hamming distances, the memory of a gallery."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.topics.exercises.engine import (
    Verdict,
    ask,
    compare,
    correct,
    exercise,
    hint,
)


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


@exercise(example=_RECALL_CASES[0])
def recall_of_nearest(answer: Callable) -> Verdict:
    """``f(found, truth) -> share``: row numbers (q, k) of an index and of the exact search."""
    wrong = compare(answer, _RECALL_CASES, _recall, _RECALL_MISTAKES)
    return wrong or correct(
        "the measure of an index, and not of a model: it says how much of the exact answer is "
        "kept, right or wrong."
    )


def _codes(q: int, n: int, length: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 256, (m, length)).astype(np.uint8) for m in (q, n))
    return {"queries": a, "gallery": b}


_HAMMING_CASES = [
    {"queries": np.array([[0b10100000], [0b00000001]], np.uint8),
     "gallery": np.array([[0b10000000], [0b01011111], [0b00000001]], np.uint8)},
    _codes(3, 5, 2, 1),
    _codes(4, 4, 12, 2),
]  # fmt: skip


def _hamming(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    apart = queries[:, None] ^ gallery
    return np.unpackbits(apart, axis=2).sum(axis=2).astype(int)


_HAMMING_MISTAKES: list[tuple[Callable[..., np.ndarray], str]] = [
    (lambda queries, gallery: (queries[:, None] != gallery).sum(axis=2),
     "bytes that differ are counted: a byte holds eight numbers. Count the bits that differ."),
    (lambda queries, gallery: 8 * gallery.shape[1] - _hamming(queries, gallery),
     "these are the bits that agree: a distance counts those that differ."),
    (lambda queries, gallery: np.abs(
        queries[:, None].astype(int) - gallery).sum(axis=2),
     "bytes are subtracted as numbers: the bits 10000000 and 01111111 differ in all eight places, "
     "and the numbers by 1. Use XOR (`^`)."),
    (lambda queries, gallery: np.unpackbits(
        queries[:, None] & gallery, axis=2).sum(axis=2).astype(int),
     "AND counts the bits that are 1 in both: XOR (`^`) gives those that differ."),
    (lambda queries, gallery: _hamming(gallery, queries),
     "a row for each gallery entry: a row for each query is due."),
    (lambda queries, gallery: _hamming(queries, gallery) / (8 * gallery.shape[1]),
     "this is the share of the bits that differ: return their number."),
]  # fmt: skip


@exercise(example=_HAMMING_CASES[0])
def hamming(answer: Callable) -> Verdict:
    """``f(queries, gallery) -> (q, n)``: bits that differ, of packed codes (q, b) and (n, b)."""
    got = []
    for case in _HAMMING_CASES:
        try:
            got.append(np.asarray(ask(answer, **case), float))
        except (TypeError, ValueError):
            return hint("a table of numbers is due: a row for each query, a column for each entry.")
    want = [_hamming(**case) for case in _HAMMING_CASES]
    alike = [_same(g, w) for g, w in zip(got, want, strict=True)]
    if all(alike):
        return correct(
            "XOR and a count of bits: no multiplication at all. With b bits, the dot product of "
            "signs is b minus twice this distance, so that both rank alike."
        )
    first = alike.index(False)
    for mistake, text in _HAMMING_MISTAKES:
        if _same(got[first], np.asarray(mistake(**_HAMMING_CASES[first]), float)):
            return hint(text)
    if got[first].shape != want[first].shape:
        return hint(f"the result has shape {got[first].shape}, and {want[first].shape} is due.")
    return hint(
        f"row 1 of case {first + 1}: {want[first][0].tolist()} is due, and you gave "
        f"{got[first][0].tolist()}. XOR the bytes, then count the bits of each."
    )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b))


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
    0.894: "this is for binary codes, at one bit a number: a flat index has 32.",
}


@exercise()
def index_size(answer: Any) -> Verdict:
    """GiB of a flat index of ten million rows of 768 dimensions."""
    try:
        if isinstance(answer, bool):
            raise TypeError("a truth value")
        value = float(answer)
    except (TypeError, ValueError):
        return hint(f"answer with a number of GiB; you gave {answer!r}.")
    if abs(value - 28.61) < 0.2 or abs(value - 30.72) < 0.05:
        unit = " (30.7 GB; in GiB it is 28.6)" if value > 30 else ""
        return correct(
            f"10**7 * 768 * 4 bytes{unit}: one machine holds it, and a query reads all of it. "
            "That, and not the size alone, is why indexes and codes exist."
        )
    for known, text in _SIZES.items():
        if abs(value - known) < 0.01 * known:
            return hint(text)
    return hint(f"{value:g} is not it: rows times dimensions times bytes of a number, over 2**30.")
