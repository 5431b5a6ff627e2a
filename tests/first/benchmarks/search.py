"""Search side by side in one process: what the course's indexes cost over plain FAISS, and growth.

``python -m tests.first.benchmarks.search [--quick] [--threads 1] [--dimension 128]``

Rows lie in groups, as embeddings do (a mixture with as many centers as a hundredth of the rows);
random directions of the same size are searched beside them, because indexes look far worse there.
1,000 queries ask for the ten nearest, in one batch and one at a time. On one thread seconds are
those of the processor, so that other work on the machine disturbs less. Ratios above 1 are in the
course's favor: plain FAISS flat, numpy and torch over this index. ``growth`` is how many times
longer a flat search takes for ten times the rows. Last comes one JSON line.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from helpers.first.retrieval.chooser import isotropic
from helpers.first.retrieval.kinds import IndexKind
from helpers.first.retrieval.space import Space
from helpers.first.retrieval.vector_index import VectorIndex

K, QUERIES = 10, 1000
SIZES = {False: (10_000, 30_000, 100_000, 300_000), True: (10_000, 30_000)}
MIDDLE = {False: 100_000, True: 10_000}  # rows at which approximate indexes are compared
KINDS = {
    "hnsw": IndexKind("hnsw", links=16, effort=64),
    "ivfpq": IndexKind("ivfpq", probes=32, rescored=8),
}


def grouped(n: int, dimension: int, *, seed: int, spread: float = 0.6) -> np.ndarray:
    """Unit rows around n / 100 centers."""
    rng = np.random.default_rng(seed)
    centers = isotropic(max(10, n // 100), dimension, seed=7)
    rows = centers[rng.integers(len(centers), size=n)]
    rows = rows + spread * rng.standard_normal((n, dimension), dtype=np.float32) / dimension**0.5
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def fastest(work: Callable[[], object], clock: Callable[[], float], repeats: int = 3) -> float:
    """Seconds of the fastest of some repeats."""
    found = []
    for _ in range(repeats):
        began = clock()
        work()
        found.append(clock() - began)
    return min(found)


def index_of(kind: IndexKind, rows: np.ndarray) -> VectorIndex:
    """An index of rows that are named by their numbers."""
    index = VectorIndex(kind, Space("bench", "", "", rows.shape[1]))
    index.add([str(i) for i in range(len(rows))], rows)
    return index


def by_numpy(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The ten best by a product and a partial sort, 100 queries at a time."""
    found = []
    for start in range(0, len(queries), 100):
        scores = queries[start : start + 100] @ rows.T
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
        found.append(np.take_along_axis(best, order, 1))
    return np.concatenate(found)


def by_torch(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The same with torch."""
    import torch

    held = torch.from_numpy(rows).T
    found = [
        (torch.from_numpy(queries[start : start + 100]) @ held).topk(K).indices
        for start in range(0, len(queries), 100)
    ]
    return torch.cat(found).numpy()


def flat_ratios(
    rows: np.ndarray, queries: np.ndarray, clock: Callable[[], float]
) -> dict[str, float]:
    """Plain FAISS, torch and numpy over this index's flat search; and its seconds."""
    import faiss

    plain, ours = faiss.IndexFlatIP(rows.shape[1]), index_of(IndexKind("flat"), rows)
    plain.add(rows)
    ways = {
        "ours": lambda: ours.search(queries, K),
        "faiss": lambda: plain.search(queries, K),
        "torch": lambda: by_torch(rows, queries),
        "numpy": lambda: by_numpy(rows, queries),
    }
    seconds = {name: fastest(work, clock) for name, work in ways.items()}
    agreed = np.mean(by_torch(rows, queries) == ours.search(queries, K)[1])
    said = "  ".join(f"{name} {s:.3f} s" for name, s in seconds.items())
    print(f"flat, {len(rows):>7,} rows: {said}; same ids as torch {agreed:.2%}", flush=True)
    where = ours.to_gpu()
    if where.startswith("gpu"):  # wall seconds: the processor only waits
        where += f" {fastest(ways['ours'], time.perf_counter):.3f} s"
    print(f"    a copy on the GPU: {where}", flush=True)
    return {**{k: v / seconds["ours"] for k, v in seconds.items()}, "seconds": seconds["ours"]}


def kind_ratios(
    rows: np.ndarray, queries: np.ndarray, clock: Callable[[], float], title: str
) -> dict[str, float]:
    """Of every kind: plain FAISS flat over it in one batch and one at a time, and its recall."""
    import faiss

    plain = faiss.IndexFlatIP(rows.shape[1])
    plain.add(rows)
    truth = plain.search(queries, K)[1]
    few = queries[:200]
    batch = fastest(lambda: plain.search(queries, K), clock)
    single = fastest(lambda: [plain.search(q[None], K) for q in few], clock, 1)
    found = {}
    for name, kind in KINDS.items():
        began = clock()
        index = index_of(kind, rows)
        built = clock() - began
        slots = index.search(queries, K)[1]
        shared = [len(np.intersect1d(a, b)) / K for a, b in zip(slots, truth, strict=True)]
        found[f"{name}_recall"] = float(np.mean(shared))
        found[f"{name}_batch"] = batch / fastest(lambda i=index: i.search(queries, K), clock)
        alone = fastest(lambda i=index: [i.search(q[None], K) for q in few], clock, 1)
        found[f"{name}_single"] = single / alone
        print(
            f"{title}, {len(rows):,} rows, {kind.label}: recall {found[f'{name}_recall']:.3f}, "
            f"{found[f'{name}_batch']:.1f}x in a batch, {found[f'{name}_single']:.1f}x alone "
            f"({1000 * alone / len(few):.2f} ms), {index.size_mb:.0f} MiB, built in {built:.1f} s",
            flush=True,
        )
    return found


def main() -> None:
    """Print the tables and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 30,000 rows")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dimension", type=int, default=128)
    asked = parser.parse_args()
    import faiss
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(asked.threads)
    faiss.omp_set_num_threads(asked.threads)
    torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    sizes, middle = SIZES[asked.quick], MIDDLE[asked.quick]
    queries = grouped(QUERIES, asked.dimension, seed=1)
    seconds, ratios = {}, {}
    for n in sizes:
        rows = grouped(n, asked.dimension, seed=2)
        found = flat_ratios(rows, queries, clock)
        seconds[n] = found["seconds"]
        ratios = {f"flat_{name}": found[name] for name in ("faiss", "torch", "numpy")}
        if n == middle:
            own = kind_ratios(rows, queries, clock, "grouped")
    random = isotropic(middle, asked.dimension, seed=3)
    other = kind_ratios(random, isotropic(QUERIES, asked.dimension, seed=4), clock, "random")
    slope = np.polyfit(np.log10(list(seconds)), np.log10(list(seconds.values())), 1)[0]
    ratios |= {f"grouped_{k}": v for k, v in own.items()}
    ratios |= {f"random_{k}": v for k, v in other.items() if k.endswith("recall")}
    ratios["growth"] = 10**slope
    print(json.dumps({name: round(float(value), 3) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
