"""What lesson 09 measures: average precision, Tip-Adapter, calibration, errors and look-alikes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.optimize import brentq
from scipy.special import expit, logit
from torch.nn import functional as F

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import DIRECTIONS, gallery_of, rank_both_directions
from helpers.evaluation.stats import Estimate
from helpers.models.encoder import Encoder
from helpers.report.style import DIRECTION_NAMES
from helpers.report.tables import points
from helpers.study import Study
from helpers.topics.cars.reading import FACTS, Car

LEAST_POSITIVES = 10  # of a bin: with fewer its share of positives says little
# System D, SigLIP on Stanford Cars, percent: zero-shot and after LoRA on both encoders.
REPORTED = {"hit@1": (94.39, 98.52), "hit@5": (99.51, 100.0), "mAP": (88.67, 92.79),
            "mrr": (96.73, 99.17)}  # fmt: skip
TIP_ALPHAS, TIP_BETAS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0), (5.5, 20.0, 60.0)


def average_precision(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Average precision of each query, (q, g) scores and bool to (q,); ties count against it.

    The mean, over all positives, of the share of positives down to their place.

    >>> average_precision(np.array([[0.9, 0.8, 0.7]]), np.array([[True, False, True]])).round(3)
    array([0.833])
    """
    order = np.lexsort((positive, -scores), axis=1)  # of equal scores the negatives come first
    hits = np.take_along_axis(positive, order, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / hits.sum(axis=1)


def ranks_of(images: np.ndarray, texts: np.ndarray, data: RetrievalSet) -> pd.DataFrame:
    """Ranks in both directions, with the average precision of each query as ``ap``."""
    ranks = rank_both_directions(images, texts, data).assign(ap=np.nan)
    sides = {"text_to_image": (texts, images, data.image_items),
             "image_to_text": (images, texts, data.caption_items)}  # fmt: skip
    for (direction, gallery), part in ranks.groupby(["direction", "gallery"], sort=False):
        queries, rows, items = sides[direction]
        held = np.flatnonzero(gallery_of(items, data.galleries) == gallery)
        positive = part["group"].to_numpy()[:, None] == items[held]
        scores = queries[part["query"]].astype(float) @ rows[held].T.astype(float)
        ranks.loc[part.index, "ap"] = average_precision(scores, positive)
    return ranks


def as_map(study: Study) -> Study:
    """The study whose ``mrr`` is the mean average precision: ranks are replaced by 1 / ap."""
    return replace(study, ranks=study.ranks.assign(rank=1 / study.ranks["ap"]))


def chance_of_map(study: Study, *, test: str, direction: str) -> float:
    """Mean average precision of a random ranking of the same galleries."""
    levels = []
    for part in study.queries(test, direction):
        n, r = part.gallery_size.astype(float), part.positives.astype(float)
        harmonic = np.array([np.sum(1 / np.arange(1, size + 1)) for size in part.gallery_size])
        levels.append((harmonic / n + (r - 1) * (n - harmonic) / (n * (n - 1))).mean())
    return float(np.mean(levels))


def metric_table(study: Study, *, test: str, arms: Sequence[str] = ()) -> pd.DataFrame:
    """``metric``, ``direction``, ``arm`` (default: all), ``estimate`` and ``chance`` of each."""
    rows = []
    metrics = ("hit@1", "hit@5", "mAP", "mrr")
    for metric, direction, arm in product(metrics, DIRECTIONS, arms or study.arms):
        own, name = (as_map(study), "mrr") if metric == "mAP" else (study, metric)
        one = own.estimate(arm, metric=name, test=test, direction=direction)
        chance = (chance_of_map(study, test=test, direction=direction) if metric == "mAP"
                  else study.chance(metric, test=test, direction=direction))  # fmt: skip
        rows.append((metric, direction, arm, one, chance))
    return pd.DataFrame(rows, columns=["metric", "direction", "arm", "estimate", "chance"])


def reported_table(study: Study, *, test: str, arms: Sequence[str] = ()) -> pd.DataFrame:
    """:func:`metric_table` for reading: percent with intervals, chance, what system D reports."""
    table, rows = metric_table(study, test=test, arms=arms), []
    for (metric, direction), part in table.groupby(["metric", "direction"], sort=False):
        row = {"metric": metric, "direction": DIRECTION_NAMES[direction]}
        for one in part.itertuples():
            e = one.estimate
            row[one.arm] = (
                e.missing or f"{100 * e.value:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]"
            )
        row["chance"] = f"{100 * part['chance'].iloc[0]:.1f}"
        row["D, before and after"] = "{:.1f}, {:.1f}".format(*REPORTED[metric])
        rows.append(row)
    return pd.DataFrame(rows)


def sentence(study: Study, a: str, b: str = "", *, test: str) -> str:
    """hit@1 and mAP of an arm in both directions, or what they are above another arm's."""
    said, weights = [], {a: 1.0, b: -1.0} if b else a
    for direction, name in DIRECTION_NAMES.items():
        for metric, own, known in (("hit@1", study, "hit@1"), ("mAP", as_map(study), "mrr")):
            one = own.estimate(weights, metric=known, test=test, direction=direction)
            text = points(one) if b else one.missing or f"{100 * one.value:.1f} %"
            said.append(f"{name}, {metric} {text}")
    return f"{a}{f' minus {b}' * bool(b)}: {'; '.join(said)}."


def answered(prediction: object, right: object) -> str:
    """What became of a prediction, as a sentence that follows others; empty where there is none."""
    if prediction is ...:
        return ""
    return f" You predicted {prediction!r}" + (
        ": right." if prediction == right else f"; it is {right!r}."
    )


def map_gains(study: Study, a: str, b: str, *, test: str) -> dict[str, Estimate]:
    """The mean average precision of an arm minus another's, by direction."""
    return {d: as_map(study).difference(a, b, metric="mrr", test=test, direction=d)
            for d in DIRECTIONS}  # fmt: skip


def augmented(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift by up to 4 pixels, mirror, and brightness: (b, 3, px, px) in [0, 1], same shape."""
    px = pixels.shape[-1]
    padded = F.pad(pixels, (4, 4, 4, 4), mode="replicate")
    top, left = torch.randint(0, 9, (2,), generator=generator).tolist()
    x = padded[..., top : top + px, left : left + px]
    x = x.flip(-1) if torch.rand((), generator=generator) < 0.5 else x
    return x * torch.empty(len(x), 1, 1, 1).uniform_(0.8, 1.2, generator=generator)


def tip_adapter(
    images: np.ndarray, keys: np.ndarray, values: np.ndarray, *, alpha: float, beta: float
) -> np.ndarray:
    """Image embeddings moved towards what is written about the training images that they resemble.

    Tip-Adapter (Zhang et al. 2022, equation 4) without training. Its values are one-hot classes,
    which meet the texts of these classes; here the value of a training image is the mean text of
    its class, so that any query can be compared with the result. Images (n, d) that are searched,
    training images as keys (k, d), their values (k, d), to (n, d); float32, unit rows.
    """
    affinity = np.exp(-beta * (1 - images @ keys.T))  # (n, k)
    moved = images + alpha * affinity @ values
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def class_texts(texts: np.ndarray, items: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The mean text embedding of the class of each of ``wanted``: (k, d) float32."""
    means = pd.DataFrame(texts).groupby(np.asarray(items)).mean()
    return means.loc[list(wanted)].to_numpy(np.float32)


def chosen_tip(
    images: np.ndarray, texts: np.ndarray, data: RetrievalSet, keys: np.ndarray, values: np.ndarray
) -> dict[str, float]:
    """The alpha and beta with the highest mean average precision on a validation set."""
    scores = {}
    for alpha, beta in product(TIP_ALPHAS, TIP_BETAS):
        ranks = ranks_of(tip_adapter(images, keys, values, alpha=alpha, beta=beta), texts, data)
        scores[alpha, beta] = ranks.groupby("direction")["ap"].mean().mean()
    alpha, beta = max(scores, key=scores.get)
    return {"alpha": alpha, "beta": beta}


def logits_of(
    model: Encoder, images: np.ndarray, texts: np.ndarray, data: RetrievalSet
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the queries (rows) and images of the first gallery, and which are positives.

    Two galleries may hold a class each that a query fits: across them it has no label.
    """
    rows, columns = (np.flatnonzero(gallery_of(items, data.galleries) == 0)
                     for items in (data.caption_items, data.image_items))  # fmt: skip
    cosines = texts[rows].astype(float) @ images[columns].T
    positive = data.caption_items[rows][:, None] == data.image_items[columns]
    return model.logit_scale * cosines + model.logit_bias, positive


def reliability(logits: np.ndarray, positive: np.ndarray, *, n_bins: int = 10) -> pd.DataFrame:
    """Bins of pairs by probability: ``predicted`` mean, ``observed`` share of positives, ``n``.

    Bins hold equal parts of the *positives*, and the first also all that lies below each of them:
    bins of equal size would put nearly every positive into the last one where they are rare.
    """
    logits, positive = np.asarray(logits, float).ravel(), np.asarray(positive, bool).ravel()
    if not 0 < positive.sum() < positive.size:
        raise ValueError(f"{positive.sum()} positives among {positive.size} pairs: need both kinds")
    of_positives, n = logits[positive], min(n_bins, positive.sum() // LEAST_POSITIVES)
    edges = np.quantile(of_positives, np.linspace(0, 1, max(n, 1) + 1)[1:-1], method="higher")
    bins = np.searchsorted(np.unique(edges[edges > of_positives.min()]), logits, side="right")
    frame = pd.DataFrame({"predicted": expit(logits), "observed": positive, "n": 1})
    found = frame.groupby(bins).agg({"predicted": "mean", "observed": "mean", "n": "sum"})
    return found.reset_index(drop=True)


def expected_error(bins: pd.DataFrame) -> float:
    """Expected calibration error (Guo et al. 2017): mean over pairs of the gap of their bin."""
    return float(np.average((bins["predicted"] - bins["observed"]).abs(), weights=bins["n"]))


def log_loss(logits: np.ndarray, positive: np.ndarray) -> float:
    """Mean negative log-likelihood of a pair, in nats."""
    return float(np.logaddexp(0, np.where(positive, -logits, logits)).mean())


def constant_log_loss(share: float) -> float:
    """The log loss of the best constant answer: the entropy of the share of positives."""
    return float(-share * np.log(share) - (1 - share) * np.log1p(-share))


def fitting_shift(logits: np.ndarray, positive: np.ndarray) -> float:
    """What added to all logits makes the mean probability the share of positives.

    Nothing but the bias changes, so no ranking does. Fit it on validation pairs.

    >>> round(fitting_shift(np.array([[3.0, 3.0]]), np.array([[True, False]])), 6)
    -3.0
    """
    share = float(np.mean(positive))
    reach = float(np.abs(logits).max()) + abs(logit(share)) + 1
    return float(brentq(lambda shift: expit(logits + shift).mean() - share, -reach, reach))


def calibration_of(logits: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    """Calibration error and log loss, the latter beside that of the best constant answer."""
    share = float(np.mean(positive))
    return {
        "ece": expected_error(reliability(logits, positive)),
        "log_loss": log_loss(logits, positive),
        "constant_log_loss": constant_log_loss(share),
        "predicted": float(expit(logits).mean()),
        "observed": share,
    }


def lookalikes(
    images: np.ndarray, texts: np.ndarray, data: RetrievalSet, cars: Sequence[Car]
) -> pd.DataFrame:
    """The queries whose first image is of another class, the narrowest miss first.

    Columns ``query``, ``wrong`` and ``right`` (numbers of it, of the first image and of the best
    one of its class), ``gap`` (of their cosines) and ``shared`` (the facts of both classes).
    """
    known, rows = {car.id: car for car in cars}, []
    place = gallery_of(data.image_items, data.galleries)
    for query, (item, text) in enumerate(zip(data.caption_items, texts, strict=True)):
        held = np.flatnonzero(place == (data.galleries or {}).get(item, 0))
        scores = images[held] @ text
        own = data.image_items[held] == item
        wrong, right = (held[np.where(one, scores, -np.inf).argmax()] for one in (~own, own))
        gap = float((images[wrong] - images[right]) @ text)
        if gap > 0:
            a, b = known[data.image_items[wrong]], known[item]
            shared = [k for k in FACTS[:4] if getattr(a, k) == getattr(b, k)]
            rows.append((query, wrong, right, gap, ", ".join(shared) or "nothing"))
    columns = ["query", "wrong", "right", "gap", "shared"]
    return pd.DataFrame(rows, columns=columns).sort_values("gap", ignore_index=True)


def lookalike_images(
    found: pd.DataFrame, data: RetrievalSet, cars: Sequence[Car], n: int = 3
) -> tuple[list[Image.Image], list[str]]:
    """Images and labels for a grid: of ``n`` classes the best image, then the wrong first one."""
    known = {car.id: " ".join(car.metadata[k] for k in FACTS[:4] if k in car.metadata)
             for car in cars}  # fmt: skip
    images, labels = [], []
    first = found.assign(item=data.caption_items[found["query"]]).drop_duplicates("item").head(n)
    for one in first.itertuples():
        for name, row in (("asked for", one.right), ("came first", one.wrong)):
            images.append(data.images[int(row)])
            labels.append(f"{name}: {known[data.image_items[row]]} ({data.captions[one.query]!r})")
    return images, labels


def lookalikes_sentence(found: pd.DataFrame, n: int) -> str:
    """How many of ``n`` queries have a wrong image first, and which facts both cars share."""
    alike = found["shared"].str.split(", ").explode().value_counts()
    shared = ", ".join(f"{fact} {count}" for fact, count in alike.items())
    facts = f" Facts that both cars share, and how often: {shared}." if shared else ""
    return f"{len(found)} of {n} queries have a wrong image first.{facts}"
