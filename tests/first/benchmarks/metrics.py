"""Retrieval metrics side by side: this course's ranks, an argsort loop, and torchmetrics.

``python -m tests.first.benchmarks.metrics [--quick] [--dimension 96]``

Square problems: n queries, n gallery rows, one to three positives each. Three ways from embeddings
to hit@1, hit@10 and MRR:

- *ours*: ``rank_positives``, which ranks ties realistically on scores that do not depend on the
  machine, and all its metrics, average precision too;
- *loop*: a product, then an argsort of every query's scores;
- *torchmetrics*: ``RetrievalMRR`` and ``RetrievalHitRate`` twice, fed with all pairs as they ask
  for it; at most ``MOST`` pairs, since they keep an index of eight bytes for each.

All three give the same numbers, which is asserted. One thread; seconds are those of the processor,
the fastest of three. Ratios are of the others over ours. ``growth`` is how many times longer ours
takes for ten times the queries *and* rows (a hundred times the pairs). Last comes one JSON line.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from helpers.first.evaluation.metrics import hit_at_k, mrr, retrieval_metrics
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives

SIZES = {False: (1000, 3000, 10_000), True: (1000, 3000)}
WIDE = {False: (10_000, 30_000, 100_000, 300_000), True: (10_000, 30_000)}
MOST = 9_000_000  # pairs for torchmetrics


def problem(q: int, g: int, dimension: int) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Queries near their positives, gallery rows, and the positives of each query."""
    rng = np.random.default_rng(0)
    gallery = np.random.default_rng(1).standard_normal((g, dimension)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    positives = [
        sorted(rng.choice(g, size=int(rng.integers(1, 4)), replace=False).tolist())
        for _ in range(q)
    ]
    near = np.stack([gallery[rows].sum(axis=0) for rows in positives])
    noisy = near + 1.5 * rng.standard_normal(near.shape, dtype=np.float32) / dimension**0.5
    return (
        (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32),
        gallery,
        positives,
    )


def ours(queries: np.ndarray, gallery: np.ndarray, positives: list[list[int]]) -> list[float]:
    """hit@1, hit@10, MRR; the other metrics are computed on the way."""
    relation = positives_from_lists(positives, n_gallery=len(gallery))
    ranking = rank_positives(queries, gallery, relation)
    retrieval_metrics(ranking)
    return [hit_at_k(ranking, 1), hit_at_k(ranking, 10), mrr(ranking)]


def loop(queries: np.ndarray, gallery: np.ndarray, positives: list[list[int]]) -> list[float]:
    """The same by an argsort a query."""
    first = []
    for query, own in zip(queries, positives, strict=True):
        order = np.argsort(-(gallery @ query))
        first.append(1 + int(np.flatnonzero(np.isin(order, own))[0]))
    ranks = np.array(first)
    return [float(np.mean(ranks <= 1)), float(np.mean(ranks <= 10)), float(np.mean(1 / ranks))]


def library(queries: np.ndarray, gallery: np.ndarray, positives: list[list[int]]) -> list[float]:
    """The same by torchmetrics, one object a metric."""
    import torch
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR

    scores = torch.from_numpy(queries @ gallery.T)
    target = torch.zeros(scores.shape, dtype=torch.bool)
    for row, own in enumerate(positives):
        target[row, own] = True
    indexes = torch.arange(len(queries))[:, None].expand_as(scores)
    parts = {"preds": scores.flatten(), "target": target.flatten(), "indexes": indexes.flatten()}
    metrics = (RetrievalHitRate(top_k=1), RetrievalHitRate(top_k=10), RetrievalMRR())
    return [float(metric(**parts)) for metric in metrics]


def fastest(work: Callable[[], object], repeats: int = 3) -> float:
    """Processor seconds of the fastest of some repeats."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    """Print the table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3,000 queries at most")
    parser.add_argument("--dimension", type=int, default=96)
    asked = parser.parse_args()
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)
    sizes, ratios, seconds = SIZES[asked.quick], {}, {}
    for n in sizes:
        data = problem(n, n, asked.dimension)
        want = ours(*data)
        assert np.allclose(loop(*data), want, atol=1e-9), "the loop ranks otherwise"
        seconds[n] = fastest(lambda d=data: ours(*d))
        ratios["loop"] = fastest(lambda d=data: loop(*d), 1 if n > 3000 else 3) / seconds[n]
        said = f"{n:>6,} x {n:>6,}: ours {seconds[n]:.3f} s, loop {ratios['loop']:.1f}x"
        if n * n <= MOST:
            assert np.allclose(library(*data), want, atol=1e-5), "torchmetrics ranks otherwise"
            ratios["torchmetrics"] = fastest(lambda d=data: library(*d), 1) / seconds[n]
            said += f", torchmetrics {ratios['torchmetrics']:.1f}x"
        print(said, flush=True)
    wide = {}
    for g in WIDE[asked.quick]:  # a fixed number of queries, a growing gallery
        data = problem(300, g, asked.dimension)
        wide[g] = fastest(lambda d=data: ours(*d), 1)
        times = fastest(lambda d=data: loop(*d), 1) / wide[g]
        ratios["loop_wide"] = times
        print(f"   300 x {g:>7,}: ours {wide[g]:.3f} s, loop {times:.1f}x", flush=True)
    for name, found in (("growth", seconds), ("growth_wide", wide)):
        slope = np.polyfit(np.log10(list(found)), np.log10(list(found.values())), 1)[0]
        ratios[name] = 10**slope
    print(json.dumps({name: round(float(value), 2) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
