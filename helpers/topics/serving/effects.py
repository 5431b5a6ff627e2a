"""What lesson 10 finds, as tables and sentences made from numbers."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.data.pairs import Pairs
from helpers.data.sets import RetrievalSet
from helpers.evaluation.efficiency import seconds_in_turns
from helpers.evaluation.metrics import not_applicable
from helpers.evaluation.ranking import rank_both_directions
from helpers.experiment import hit10
from helpers.models.encoder import Encoder
from helpers.report import galleries, plots, tables
from helpers.store.credentials import MILVUS_TOKEN, read_key, refuse_keys
from helpers.study import Design, Study
from helpers.topics.serving import onnx
from helpers.topics.serving.codes import Codes, Sides, first, unit
from helpers.topics.serving.matryoshka import Embedded, Maps, ranks_of
from helpers.topics.serving.plots import work_curves
from helpers.topics.serving.retriever import Query, Retriever
from helpers.topics.serving.study import TEST

NEVER, EXACT = "not reached", "exact"


def hits(retriever: Retriever, pairs: Pairs, query: str, *, k: int = 6) -> tuple[Figure, str, Any]:
    """What a search by text finds: a figure, a sentence, and milliseconds of each search."""
    search = partial(retriever.search, [Query(query, k=k)])
    ms = 1000 * seconds_in_turns({"search": search}, rounds=20)["search"]
    found = search()[0].hits
    texts = [f"{hit.score:.2f}: {hit.metadata.get('caption', '')}" for hit in found]
    figure = galleries.image_grid([pairs.image(hit.id) for hit in found], texts, columns=k,
                                  heading=f"“{query}”")  # fmt: skip
    said = f"{len(retriever.index):,} images; a search takes {np.median(ms):.1f} ms (median of "
    return figure, f"{said}{len(ms)}).", ms


def enlarged(
    rows: np.ndarray, n: int, rng: np.random.Generator, *, noise: float = 0.3
) -> np.ndarray:
    """``n`` unit rows, (n, d) float32: rows drawn at random, each with noise of that length."""
    copies = rows[rng.integers(len(rows), size=n)]
    copies = copies + noise * rng.standard_normal(copies.shape, np.float32) / rows.shape[1] ** 0.5
    return unit(copies).astype(np.float32)


def recall_of(truth: np.ndarray, found: Sequence[np.ndarray]) -> float:
    """The mean share of the true rows (q, k) of each query that was found."""
    return float(np.mean([np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]))


def probes_table(
    search: Callable[[np.ndarray, int], tuple[np.ndarray, int]], queries: np.ndarray,
    rows: np.ndarray, n_cells: int,
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """Work and recall of an inverted file by the cells that it searches.

    ``search`` takes a query and a number of cells, and gives the ten best rows and how many rows it
    compared. The centers count as compared too.
    """
    truth = np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :10]
    lines = []
    for probes in sorted({min(p, n_cells) for p in (1, 2, 5, 15, n_cells)}):
        found, compared = zip(*(search(query, probes) for query in queries), strict=True)
        work = float(np.mean(compared)) + n_cells
        lines.append((probes, f"{work:,.0f}", f"{work / len(rows):.0%}",
                      f"{recall_of(truth, found):.1%}"))  # fmt: skip
    columns = ["cells", "rows and centers compared", "share of a scan", "recall of the ten nearest"]
    middle = lines[len(lines) // 2]
    said = f"With {middle[0]} of {n_cells} cells, {middle[2]} of the work of a scan finds "
    return pd.DataFrame(lines, columns=columns), f"{said}{middle[3]} of the ten nearest."


def measure(
    asked: Mapping[str, Sequence[np.ndarray]], kinds: Mapping[str, tuple[str, Sequence[int]]]
) -> pd.DataFrame:
    """Recall of the ten nearest, rows compared and time of an exact scan and of FAISS indexes.

    ``asked`` are a gallery (n, d) and queries (q, d) by the kind of queries, ``kinds`` the setting
    of a search (``nprobe`` or ``efSearch``) and its values by what ``faiss.index_factory`` calls
    the index. The columns are ``index, queries, setting, share`` (rows compared, of the gallery;
    the centers of cells count), ``recall, ms`` (a query, all together) and ``build_s``.
    """
    import faiss

    built: dict[tuple[str, int], tuple[Any, float]] = {}
    lines = []
    for queries, (gallery, vectors) in asked.items():
        began = time.perf_counter()
        truth = faiss.knn(vectors, gallery, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
        ms = 1000 * (time.perf_counter() - began) / len(vectors)
        lines.append((EXACT, queries, "all rows", 1.0, 1.0, ms, 0.0))
        for name, (setting, values) in kinds.items():
            if (name, id(gallery)) not in built:
                built[name, id(gallery)] = _built(name, gallery)
            index, build_s = built[name, id(gallery)]
            graph = hasattr(index, "hnsw")
            kind = faiss.SearchParametersHNSW if graph else faiss.SearchParametersIVF
            stats = faiss.cvar.hnsw_stats if graph else faiss.cvar.indexIVF_stats
            for value in values:
                stats.reset()
                began = time.perf_counter()
                found = index.search(vectors, 10, params=kind(**{setting: value}))[1]
                ms = 1000 * (time.perf_counter() - began) / len(vectors)
                work = stats.ndis / len(vectors) + (0 if graph else index.nlist)
                label = name.partition(",")[0]
                lines.append((label, queries, f"{setting} {value}", work / len(gallery),
                              recall_of(truth, found), ms, build_s))  # fmt: skip
    columns = ["index", "queries", "setting", "share", "recall", "ms", "build_s"]
    return pd.DataFrame(lines, columns=columns)


def _built(name: str, gallery: np.ndarray) -> tuple[Any, float]:
    import faiss

    began = time.perf_counter()
    index = faiss.index_factory(gallery.shape[1], name, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        index.cp.spherical, index.cp.max_points_per_centroid, index.cp.niter = True, 64, 6
        index.cp.min_points_per_centroid = 1
        index.train(gallery)
    index.add(gallery)
    return index, time.perf_counter() - began


def work(
    measured: pd.DataFrame, *, recall: float, heading: str
) -> tuple[Figure, pd.DataFrame, str, str]:
    """For each index and kind of query the setting with least work that reaches a recall.

    Returns a figure of what :func:`measure` gave, the settings for reading, a sentence, and the
    kind of query that needs least work, over all indexes.
    """
    rows, said, least = [], [], {}
    for (name, queries), part in measured.groupby(["index", "queries"], sort=False):
        enough = part[part["recall"] >= recall].sort_values("share")
        if enough.empty:
            best = part.sort_values("recall").iloc[-1]
            text, cells = NEVER, (NEVER, f"{best['share']:.2%} for {best['recall']:.1%}", NEVER)
        else:
            best = enough.iloc[0]
            text = f"{best['share']:.2%}"
            cells = (best["setting"], text, f"{best['ms']:.3f}")
        if name != EXACT:
            said.append(f"{name}, {queries}: {text}")
            if text != NEVER:
                least[queries] = min(least.get(queries, 1.0), best["share"])
        rows.append((name, queries, *cells, f"{part['build_s'].iloc[0]:.1f}"))
    columns = ["index", "queries", "setting", "rows compared, share", "ms a query", "build, s"]
    return (
        work_curves(measured[measured["index"] != EXACT], recall=recall, heading=heading),
        pd.DataFrame(rows, columns=columns),
        f"Rows compared for a recall of {recall:.0%}: {'; '.join(said)}.",
        min(least, key=least.get, default=NEVER),
    )


def codes_table(
    study: Study, stored: Mapping[str, float], *, test: str, base: str = "float32"
) -> pd.DataFrame:
    """hit@10 of each code minus that of a base, as ``points_with_intervals`` takes it.

    ``stored`` are the bytes of a row by arm.
    """
    full = stored[base]
    rows = [
        (f"{arm}, {size:g} bytes (1/{full / size:.0f})", "both",
         study.difference(arm, base, test=test))
        for arm, size in stored.items()
        if arm != base and arm in study.arms
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "direction", "estimate"])


def codes_sentence(
    table: pd.DataFrame, study: Study, *, test: str, base: str = "float32"
) -> tuple[str, str]:
    """A :func:`codes_table` in words, with the level of the base; the code that loses most."""
    known = {r.arm.partition(" (")[0]: r.estimate for r in table.itertuples()}
    level = study.estimate(base, test=test)
    if level.missing:
        return f"hit@10 is {level.missing}.", ""
    chance = tables.number(study.chance("hit@10", test=test), "hit@10")
    said = "; ".join(f"{arm} {tables.difference_text(one)}" for arm, one in known.items())
    worst = min(known, key=lambda arm: known[arm].value)
    return (
        f"hit@10 with {base} is {tables.value_text(level)}, by chance {chance}. Points minus "
        f"{base}: {said}."
    ), worst.rpartition(", ")[0]


def candidates_table(
    search: Callable[[int], Sequence[np.ndarray]], gallery: np.ndarray, queries: np.ndarray,
    counts: Sequence[int],
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """Memory and recall of a search in two stages, by the candidates of the first one.

    ``search`` takes a number of candidates and gives the ten best rows of each query.
    """
    import faiss

    truth = faiss.knn(queries, gallery, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
    full, bits = gallery.nbytes / 2**20, len(gallery) * -(-gallery.shape[1] // 8) / 2**20
    shares = {n: recall_of(truth, search(n)) for n in counts}
    lines = [("float32, exact", f"{full:.1f}", "100 %")]
    lines += [(f"binary, {n:,} candidates", f"{bits:.1f}", f"{100 * r:.1f} %")
              for n, r in shares.items()]  # fmt: skip
    said = ", ".join(f"{n:,}: {100 * r:.0f} %" for n, r in shares.items())
    return (
        pd.DataFrame(lines, columns=["in memory", "MiB", "recall of the ten nearest"]),
        f"{len(gallery):,} rows take {full:.1f} MiB as float32 and {bits:.1f} as bits. Recall of "
        f"the ten nearest by the number of candidates: {said}.",
    )


def reranking(
    study: Study, works: Mapping[str, Callable[[], Any]], *, top: int
) -> tuple[pd.DataFrame, str, str]:  # fmt: skip
    """hit@10 of the arms of a reranking, what each gains over the first stage, and its time.

    ``works`` are what the ``first`` stage does for a query, and what the ``second`` model adds.
    Last is the best of the first stage, the second model and the reranking by both.
    """
    (test,) = study.tests
    seconds = seconds_in_turns(works, rounds=20)
    once, more = (1000 * float(np.median(seconds[name])) for name in ("first", "second"))
    takes = {
        "first stage": once,
        "reranked by second": once + more,
        "reranked by both": once + more,
    }
    found = {arm: study.estimate(arm, test=test) for arm in study.arms}
    gains = {arm: study.difference(arm, "first stage", test=test) for arm in study.arms[1:]}
    added = {arm: tables.difference_text(gain) for arm, gain in gains.items()}
    times = {arm: f"{ms:.1f}" for arm, ms in takes.items()}
    lines = [(arm, tables.value_text(one), added.get(arm, ""), times.get(arm, "not measured"))
             for arm, one in found.items()]  # fmt: skip
    gain = gains["reranked by both"]
    verdict = "no difference is shown" if gain.low <= 0 <= gain.high else "a gain"
    verdict = "a loss" if gain.high < 0 else gain.missing or verdict
    alone = study.difference("reranked by both", "second alone", test=test)
    said = (
        f"Reranking the best {top} by both models changes hit@10 by {tables.points(gain)} "
        f"({verdict}), for {more:.1f} ms a query beside {once:.1f} ms of the first stage; minus "
        f"the second model alone it is {tables.points(alone)}."
    )
    columns = ["score", "hit@10 [95 %]", "minus first stage [95 %], points", "ms a query, text"]
    asked = ("first stage", "second alone", "reranked by both")
    return pd.DataFrame(lines, columns=columns), said, max(asked, key=lambda arm: found[arm].value)


def mixed_figure(study: Study) -> tuple[Figure, str, str]:
    """hit@10 of an image in a mixed gallery by arm, in words too, from text to image.

    Last is "yes" if binary codes of one mean find more than those centered by modality, or "no".
    """
    (test,) = study.tests
    table = study.table(study.arms, test=test, directions=["text_to_image"])
    found = dict(zip(table["arm"], table["estimate"], strict=True))
    said = "; ".join(f"{name} {tables.value_text(one)}" for name, one in found.items())
    one, own = (found[f"binary, {name}"].value for name in ("one mean", "centered by modality"))
    level = {"text_to_image": study.chance("hit@10", test=test, direction="text_to_image")}
    heading = "Images found in a mixed gallery"
    figure = plots.points_with_intervals(table, heading=heading, chance=level)
    return figure, f"hit@10 of an image: {said}.", "yes" if one > own else "no"


def onnx_table(
    graphs: Mapping[str, bytes], live: Study, encoder: Encoder, data: RetrievalSet,
    images: np.ndarray,
) -> tuple[pd.DataFrame, str, int]:  # fmt: skip
    """Size, agreement with torch, speed and hit@10 of the graphs of an image encoder.

    ``live`` has an arm ``ONNX`` and the name of each graph, and ``float32``, which torch embedded;
    ``images`` are the embeddings of that arm. Last is how many times smaller the last graph is.
    """
    (test,) = live.tests
    shown = [data.images[i] for i in range(min(32, len(data.images)))]
    batch = encoder.prepare_images(shown).numpy()
    sessions = {name: onnx.session(graph, threads=1) for name, graph in graphs.items()}
    fed = {"pixel_values": batch}
    works = {name: partial(one.run, None, fed) for name, one in sessions.items()}
    seconds, lines = seconds_in_turns(works, rounds=5), []
    for name, running in sessions.items():
        rows = running.run(None, fed)[0]
        cosine = (rows * images[: len(rows)]).sum(axis=1).min()
        low, rate, high = len(batch) / np.quantile(seconds[name], [1, 0.5, 0])
        lost = live.difference(f"ONNX {name}", "float32", test=test)
        change = tables.points(lost) if lost.missing or lost.error else "no query differs"
        speed = f"{rate:,.0f} [{low:,.0f}, {high:,.0f}]"
        size = f"{len(graphs[name]) / 2**20:.2f}"
        lines.append((name, size, f"{cosine:.5f}", speed, change))
    columns = ["weights", "MiB", f"lowest cosine with torch, {len(batch)} images",
               "images/s [slowest, fastest]", "hit@10 minus torch [95 %]"]  # fmt: skip
    first, *_, last = graphs
    times = len(graphs[first]) / len(graphs[last])
    said = (
        f"The {last} file is {times:.1f} times smaller than {first}; its lowest cosine with torch "
        f"is {lines[-1][2]}, and its hit@10 minus that of torch is {lines[-1][4]}."
    )
    return pd.DataFrame(lines, columns=columns), said, round(times)


def search_meanwhile(
    search: Callable[[np.ndarray], Any], settled: np.ndarray, change: Callable[[], None]
) -> tuple[int, int]:
    """Search rows that do not change in a thread of their own, while others are changed.

    ``search`` takes a row (1, d) of ``settled`` (n, d) and gives the best cosine that it finds.
    Returns the number of searches, and how many of them did not find their row.
    """
    done, lost = Event(), []

    def keep_searching() -> None:
        for turn in count():
            row = settled[[turn % len(settled)]]
            lost.append(search(row) < 1 - 1e-4)
            if done.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(keep_searching)
        try:
            change()
        finally:
            done.set()
        searching.result()
    return len(lost), sum(map(bool, lost))


def token(database: str) -> dict[str, str]:
    """The option of a Milvus client with ``MILVUS_TOKEN``, where an address is given."""
    refuse_keys(database, what="the database", variable=f"{MILVUS_TOKEN}=user:password")
    return {"token": read_key(MILVUS_TOKEN)} if "://" in database else {}


def nested_lengths(shown: int, dimension: int) -> list[int]:
    """The lengths that a Matryoshka training takes: around the one shown, and all numbers.

    >>> nested_lengths(32, 96)
    [8, 16, 32, 64, 96]
    """
    around = {shown // 4, shown // 2, shown, 2 * shown}
    return sorted({n for n in around if 2 <= n < dimension} | {dimension})


def verdicts(judged: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The hypotheses of the study for reading, and what it found in words."""
    return tables.verdict_table(judged), ". ".join(tables.verdict_sentences(judged)) + "."


def study_figure(study: Study, design: Design) -> tuple[Figure, str]:
    """hit@10 of each code of the study minus float32, with its memory, and that in words."""
    table = codes_table(study, design.settings["bytes"], test=TEST)
    figure = plots.points_with_intervals(table, heading="hit@10 minus float32", differences=True)
    return figure, codes_sentence(table, study, test=TEST)[0]


def study_sentence(design: Design) -> str:
    """What the study of the lesson measures and asks, from its design."""
    return (
        f"The study (designed {design.date}) ranks {design.data[TEST]['n']:,} new recipes by "
        f"{len(design.arms)} kinds of embeddings and codes, trains {max(design.seeds.values())} "
        f"times where it trains, and judges {len(design.hypotheses)} hypotheses."
    )


def sizes_table(dimension: int, rows: Sequence[int]) -> pd.DataFrame:
    """GiB in memory by formula, a row for each number of embeddings.

    HNSW keeps twice 32 neighbors of 4 bytes beside the rows; RaBitQ two more numbers a row.
    """
    each = {
        "exact, float32": 4 * dimension, "HNSW, 32 links": 4 * dimension + 8 * 32,
        "int8": dimension, "RaBitQ": dimension / 8 + 8, "binary": dimension / 8,
    }  # fmt: skip
    lines = [{"rows": f"{n:,}"} | {k: f"{n * b / 2**30:,.1f}" for k, b in each.items()}
             for n in rows]  # fmt: skip
    return pd.DataFrame(lines)


def by_length(
    trained: Mapping[str, Maps], validation: Embedded, known: Sides, lengths: Sequence[int], *,
    shown: int,
) -> tuple[pd.DataFrame, str, str]:  # fmt: skip
    """hit@10 over the numbers kept: of trained maps, of PCA, and of the embeddings as they are.

    ``known`` are embeddings of training images and captions, from which PCA learns. Gives the
    columns ``series, kept, value``; a sentence; the training that is higher with all numbers.
    """
    hits, sides = {}, (validation.images, validation.texts)
    for n in lengths:
        for name, maps in trained.items():
            hits[name, n] = hit10(ranks_of(maps, validation, n))
        untrained = {"PCA, centered": Codes.fit(*known, dimensions=n).pca, "untrained": first(n)}
        for name, score in untrained.items():
            hits[name, n] = hit10(rank_both_directions(*sides, validation.data, score))
    rows = [(name, n, value) for (name, n), value in hits.items()]
    said = "; ".join(f"{name} {tables.number(v, 'hit@10')}" for name, n, v in rows if n == shown)
    most, few = max(lengths), not_applicable("hit@10", len(validation.images))
    return (
        pd.DataFrame(rows, columns=["series", "kept", "value"]),
        f"hit@10 on validation with {shown} of {most} numbers: {few or said}.",
        max(trained, key=lambda name: hits[name, most]),
    )
