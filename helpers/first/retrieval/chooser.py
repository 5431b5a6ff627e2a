"""Which index? Recall, work, latency and size measured on the vectors that are to be searched.

Recall here is the share of the true ten nearest that an index finds. Random directions are no
stand-in: in many dimensions they are all nearly as far from each other, and an index that fails on
them may be perfect on embeddings, which lie in groups.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers.first.evaluation.intervals import bootstrap_interval
from helpers.first.retrieval.kinds import IndexKind, KindRefused
from helpers.first.retrieval.space import Space, checked_queries
from helpers.first.retrieval.vector_index import VectorIndex

DEFAULT = (
    IndexKind("flat"),
    *(IndexKind("hnsw", links=16, effort=effort) for effort in (10, 20, 40, 80, 160)),
    *(IndexKind("ivfpq", probes=probes, rescored=0) for probes in (8, 32)),
    *(IndexKind("ivfpq", probes=probes, rescored=8) for probes in (1, 2, 4, 8, 16, 32)),
)


@dataclass(frozen=True)
class Measured:
    """What a kind of index does on some vectors.

    Attributes
    ----------
    kind : IndexKind
    recall, low, high : float
        Share of the true k nearest, with a 95 % interval over queries.
    latency_ms : float
        Median over the queries, one at a time.
    size_mb : float
        MiB in memory.
    build_s : float
    n : int
        Rows.
    looked_at : float
        Rows and codes that a query is compared with, on average: the work of a search, which is
        the same on every machine.
    """

    kind: IndexKind
    recall: float
    low: float
    high: float
    latency_ms: float
    size_mb: float
    build_s: float
    n: int
    looked_at: float


def measure_kinds(
    rows,
    queries,
    *,
    kinds: Sequence[IndexKind] = DEFAULT,
    k: int = 10,
    clock: Callable[[], float] = time.perf_counter,
    seed: int = 42,
) -> list[Measured]:
    """Build and search every kind; kinds that differ in search settings alone are built once.

    Parameters
    ----------
    rows : (n, d) float, unit rows
    queries : (q, d) float, unit rows
        As they will be asked: captions where people type, pictures where they upload.
    kinds : sequence of IndexKind
    k : int
    clock : callable
        Seconds, as a float.

    Raises
    ------
    KindRefused
        If no kind is given, or one cannot be built of these rows.
    InvalidEmbeddings
        If a row is refused.

    Examples
    --------
    >>> found = measure_kinds(np.eye(40), np.eye(40)[:3], kinds=[IndexKind("flat")], k=1)
    >>> found[0].recall
    1.0
    """
    if not kinds:
        raise KindRefused("no kind of index is given to measure")
    rows = np.asarray(rows, dtype=np.float32)
    space = Space("measured", "", "", rows.shape[1])
    queries = checked_queries(queries, k, space)
    truth = _built(IndexKind("flat"), rows, space)[0].search(queries, k)[1]
    built: dict[IndexKind, tuple[VectorIndex, float]] = {}
    found = []
    for kind in kinds:
        made = replace(kind, effort=1, probes=1, rescored=0)
        if made not in built:
            built[made] = _built(made, rows, space)
        index, seconds = built[made]
        index.kind = kind
        hits, times = _asked(index, queries, truth, clock)
        low, high = _limits(kind, hits, seed)
        latency = 1000 * float(np.median(times))
        recall = float(hits.mean())
        seen = _looked_at(index, queries, k)
        about = index.size_mb, seconds, len(rows), seen
        found.append(Measured(kind, recall, low, high, latency, *about))
    return found


def _limits(kind: IndexKind, hits: np.ndarray, seed: int) -> tuple[float, float]:
    """A 95 % interval of the mean over queries; a flat index is exact, whatever is asked."""
    if kind.name == "flat":
        return 1.0, 1.0
    share = bootstrap_interval(hits, np.arange(len(hits)), seed=seed, bounds=(0, 1))
    return float(share.low), float(share.high)


def _built(kind: IndexKind, rows: np.ndarray, space: Space) -> tuple[VectorIndex, float]:
    import faiss

    index, threads = VectorIndex(kind, space), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # several would link a graph in the order in which they arrive
    began = time.perf_counter()
    try:
        index.add([str(i) for i in range(len(rows))], rows)
    finally:
        faiss.omp_set_num_threads(threads)
    return index, time.perf_counter() - began


def _looked_at(index: VectorIndex, queries: np.ndarray, k: int) -> float:
    """Rows and codes that a query is compared with, as FAISS counts them."""
    import faiss

    if index.kind.name == "flat":
        return float(len(index))
    graph = index.kind.name == "hnsw"
    counter = faiss.cvar.hnsw_stats if graph else faiss.cvar.indexIVF_stats
    counter.reset()
    index.search(queries, k)
    beside = 0 if graph else index.faiss.nlist + k * index.kind.rescored  # cells, and exact rows
    return counter.ndis / len(queries) + beside


def _asked(
    index: VectorIndex, queries: np.ndarray, truth: np.ndarray, clock: Callable[[], float]
) -> tuple[np.ndarray, list[float]]:
    """The share of the truth that each query finds, and its seconds."""
    index.search(queries[:1], truth.shape[1])  # warms up
    hits, times = [], []
    for query, wanted in zip(queries, truth, strict=True):
        began = clock()
        _, slots = index.search(query[None], len(wanted))
        times.append(clock() - began)
        hits.append(len(np.intersect1d(slots[0], wanted)) / len(wanted))
    return np.array(hits), times


def frontier(measured: Sequence[Measured]) -> list[Measured]:
    """Those that no other beats in recall and work at once, the least work first.

    Examples
    --------
    >>> frontier([])
    []
    """
    best: list[Measured] = []
    for one in sorted(measured, key=lambda m: (m.looked_at, -m.recall)):
        if not best or one.recall > best[-1].recall:
            best.append(one)
    return best


def choose(
    measured: Sequence[Measured], *, recall: float = 0.99, size_mb: float = float("inf")
) -> Measured:
    """The least work whose recall is surely enough (its lower limit), within a size.

    Parameters
    ----------
    measured : sequence of Measured
    recall : float
        That the lower limit of the interval has to reach.
    size_mb : float
        The most memory.

    Raises
    ------
    KindRefused
        If none qualifies; the message names the nearest.
    """
    small = [one for one in measured if one.size_mb <= size_mb]
    good = [one for one in small if one.low >= recall]
    if good:
        return min(good, key=lambda one: one.looked_at)
    if not small:
        least = min(measured, key=lambda one: one.size_mb)
        raise KindRefused(
            f"no index fits {size_mb:g} MiB: the smallest, {least.kind.label}, has "
            f"{least.size_mb:.1f}"
        )
    near = max(small, key=lambda one: one.low)
    raise KindRefused(
        f"no index within {size_mb:g} MiB surely finds {recall:.1%} of the nearest: the best, "
        f"{near.kind.label}, finds {near.recall:.1%} [{near.low:.1%}, {near.high:.1%}]"
    )


def isotropic(n: int, dimension: int, *, seed: int) -> np.ndarray:
    """Random directions, (n, dimension) float32 unit rows: what benchmarks often use."""
    rows = np.random.default_rng(seed).standard_normal((n, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def measured_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """A row for each kind; ``on the frontier`` marks those that none beats."""
    best = set(map(id, frontier(measured)))
    return pd.DataFrame(
        {
            "index": one.kind.label,
            "recall": one.recall,
            "low": one.low,
            "high": one.high,
            "rows looked at": one.looked_at,
            "latency, ms": one.latency_ms,
            "size, MiB": one.size_mb,
            "build, s": one.build_s,
            "on the frontier": id(one) in best,
        }
        for one in measured
    )
