"""Whether a served model is still the model: rows, neighbors and retrieval held against it."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.chance import fixed_by, galleries_of
from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.evaluation.metrics import both_directions, per_query
from helpers.first.models.encoders import Encoder

SHORT = {"text_to_image": "t2i", "image_to_text": "i2t"}
METRIC = "hit@10"
PARTS = (METRIC, "chance", "lost", "low", "high")  # of a direction


def agreement(
    reference: Encoder,
    other: Encoder,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    k: int = 10,
) -> pd.DataFrame:
    """How near the rows of two encoders lie, and whether they find the same.

    Parameters
    ----------
    reference, other : Encoder
    pictures : (n,) pictures
    captions : (m,) str
    k : int
        Captions look for their k best pictures, pictures for their k best captions; each encoder
        searches among its own rows.

    Returns
    -------
    pandas.DataFrame
        A row a tower: min_cosine and mean_cosine of a row with its counterpart, max_difference of
        an entry, top10_agreement (``top{k}_agreement``): the mean share of the k best of a query
        of this tower that both find.
    """
    rows = {
        "vision": (reference.images(list(pictures)), other.images(list(pictures))),
        "text": (reference.texts(list(captions)), other.texts(list(captions))),
    }
    found = []
    for tower, gallery in (("vision", "text"), ("text", "vision")):
        mine, theirs = rows[tower]
        cosine = (mine * theirs).sum(axis=1)
        shared = shared_best(mine @ rows[gallery][0].T, theirs @ rows[gallery][1].T, k=k)
        found.append(
            (tower, cosine.min(), cosine.mean(), np.abs(mine - theirs).max(), shared.mean())
        )
    names = ["tower", "min_cosine", "mean_cosine", "max_difference", f"top{k}_agreement"]
    return pd.DataFrame(found, columns=names)


def shared_best(a: np.ndarray, b: np.ndarray, *, k: int) -> np.ndarray:
    """The share of the k best that both scores give a query, (q,) float.

    >>> shared_best(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]]), k=2).tolist()
    [0.5]
    """
    k = min(k, a.shape[1])
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :k] for scores in (a, b)]
    return np.array([len(np.intersect1d(x, y)) / k for x, y in zip(*best, strict=True)])


def serving_table(
    encoders: Mapping[str, Encoder],
    data: RetrievalSet,
    load_image: Callable[[str], Image.Image],
    *,
    sizes_mb: Mapping[str, float] | None = None,
    batch_size: int = 32,
    repeats: int = 3,
    seed: int = 42,
    clock: Callable[[], float] = time.perf_counter,
) -> pd.DataFrame:
    """Latency, throughput, size and retrieval of several ways to serve one model.

    Parameters
    ----------
    encoders : mapping of str to Encoder
        The first is what the others are compared with.
    data : RetrievalSet
    load_image : callable
        Key to picture.
    sizes_mb : mapping, optional
        Of the files behind an encoder; of a torch model its weights are counted.
    batch_size, repeats, seed : int
    clock : callable
        Seconds, as a float.

    Returns
    -------
    pandas.DataFrame
        A row an encoder: image_ms and text_ms (one at a time, median), images_per_s and texts_per_s
        (batches, pixels and tokens being ready), size_mb in MiB, and for t2i and i2t: the number of
        queries n and of gallery rows, hit@10 with its chance level, how much of it is lost against
        the first (a fraction), and its 95 % interval (low, high). What the first loses against
        itself is 0, without an interval; where the gallery has no more than ten rows, hit@10 and
        all that follows from it are NaN.
    """
    pictures = [load_image(key) for key in data.image_keys]
    captions = list(data.captions)
    groups = {"text_to_image": data.caption_ids, "image_to_text": data.image_ids}
    galleries = galleries_of(groups)
    hits, table = {}, []
    for name, encoder in encoders.items():
        rows = encoder.images(pictures), encoder.texts(captions)
        ranked = both_directions(rows[0], data.image_ids, rows[1], data.caption_ids)
        hits[name] = {way: per_query(ranked[way], METRIC) for way in groups}
        size = (sizes_mb or {}).get(name) or _weights_mb(encoder)
        line = {
            "served by": name,
            **_speed(encoder, pictures, captions, batch_size, repeats, clock),
        }
        line["size_mb"] = size
        for way, group in groups.items():
            short, gallery = SHORT[way], galleries[way]
            line |= {f"{short} n": len(group), f"{short} gallery": gallery.size}
            line |= dict.fromkeys((f"{short} {part}" for part in PARTS), np.nan)
            if fixed_by(METRIC, gallery.size):
                continue
            line[f"{short} {METRIC}"] = float(hits[name][way].mean())
            line[f"{short} chance"] = gallery.chance(METRIC)
            line[f"{short} lost"] = 0.0
            if table:  # the first has nothing to lose against but itself
                first = next(iter(hits.values()))[way]
                lost = paired_comparison(first, hits[name][way], group, seed=seed)
                line[f"{short} lost"] = lost.difference
                line |= {f"{short} low": lost.low, f"{short} high": lost.high}
        table.append(line)
    return pd.DataFrame(table)


def _speed(
    encoder: Encoder,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    batch_size: int,
    repeats: int,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Of the towers alone; what makes pixels and tokens is the same for all."""
    import torch

    ready = encoder.pixels(pictures[:batch_size]).to(encoder.device, encoder.model.dtype)
    tokens = {n: t.to(encoder.device) for n, t in encoder.tokens(captions[:batch_size]).items()}
    one = {name: t[:1] for name, t in tokens.items()}
    work = {
        "image_ms": partial(encoder.model.get_image_features, pixel_values=ready[:1]),
        "text_ms": partial(encoder.model.get_text_features, **one),
        "images_per_s": partial(encoder.model.get_image_features, pixel_values=ready),
        "texts_per_s": partial(encoder.model.get_text_features, **tokens),
    }
    with torch.inference_mode():
        spent = {name: _median_seconds(run, repeats, clock) for name, run in work.items()}
    n = {"images_per_s": len(ready), "texts_per_s": len(tokens["input_ids"])}
    return {name: n[name] / s if name in n else 1e3 * s for name, s in spent.items()}


def _median_seconds(run: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    run()
    spent = []
    for _ in range(repeats):
        began = clock()
        run()
        spent.append(clock() - began)
    return float(np.median(spent))


def _weights_mb(encoder: Encoder) -> float:
    model = encoder.model
    if not hasattr(model, "parameters"):
        raise ValueError(f"{encoder.name} is no torch model: give its size in sizes_mb")
    return sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
