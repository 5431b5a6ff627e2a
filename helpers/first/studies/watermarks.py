"""How well are watermarks found and filled, and does cleaning pictures move retrieval?

Detectors are scored on the labelled set's held-out half, by opacity. Retrieval compares the same
recipes with their pictures watermarked, cleaned and clean: zero-shot each test picture is replaced,
after training all models answer for the same clean pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.data.marked_sets import OPACITIES, Labelled, kitchen_backgrounds, labelled_source
from helpers.first.evaluation.intervals import bootstrap_interval
from helpers.first.evaluation.masks import mask_scores, psnr, ssim
from helpers.first.models.encoders import Encoder
from helpers.first.models.evaluate import DIRECTIONS, evaluate
from helpers.first.prepare.inpainting import Inpainter, grown
from helpers.first.prepare.watermarks import WatermarkDetector
from helpers.first.studies.arms import by_arm, query_values, run_arms
from helpers.first.training.arms import Arm

UNMARKED = 0.0  # the opacity of a picture without a mark
MASK_METRICS = ("precision", "recall", "iou")
REPAIR_METRICS = ("psnr_db", "ssim")
LEFT = "left as it is"

Values = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Moved:
    """Values by query: direction to subset to (q,), and the recipe of each query."""

    values: Values
    groups: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class TrainingSubset(Pairs):
    """Pairs that are trained on with the pictures of one subset and tested with clean ones."""

    trained_on: Pairs = field(default=None, repr=False)
    tested_on: Pairs = field(default=None, repr=False)

    def image(self, key: str) -> Image.Image:
        """The picture of a key: of the clean ones where it belongs to a test recipe."""
        return (self.tested_on if key in self._test_keys else self.trained_on).image(key)

    @cached_property
    def _test_keys(self) -> frozenset[str]:
        return frozenset(self.all.loc[self.all["split"] == "test", "image_key"])


def marked_backgrounds(
    pairs: Pairs | None, n: int, *, px: int = 64
) -> list[tuple[str, Image.Image]]:
    """The first picture of each of the first ``n`` test recipes, with the recipe's id.

    Without pairs, pictures of the drawn kitchen that no detector is fitted on, ``px`` wide.
    """
    if pairs is None:
        return kitchen_backgrounds("held-out", n, px=px)
    rows = pairs.test.drop_duplicates("recipe_id").head(n)
    return [
        (recipe, pairs.image(key))
        for recipe, key in zip(rows["recipe_id"], rows["image_key"], strict=True)
    ]


def detector_scores(
    detectors: Mapping[str, WatermarkDetector], rows: Sequence[Labelled]
) -> pd.DataFrame:
    """Each detector's mask of each picture against the true one.

    Returns
    -------
    DataFrame
        ``detector, key, opacity, kind`` (0 and "" without a mark), the values of ``MaskScores``,
        and ``any``, 1.0 where something was found.
    """
    found = []
    for name, detector in detectors.items():
        masks = detector.find([row.image for row in rows])
        found += [_scored(name, row.key, row, mask) for row, mask in zip(rows, masks, strict=True)]
    return pd.DataFrame(found)


def source_scores(
    detector: WatermarkDetector,
    half: str,
    backgrounds: Sequence[tuple[str, Image.Image]],
    *,
    opacities: Sequence[float] = OPACITIES,
    n_sources: int = 8,
    marked: float = 0.75,
) -> pd.DataFrame:
    """As ``detector_scores``, for sources that sign most of their pictures with one mark.

    ``key`` names the source: its pictures share a mark, and so succeed or fail together.
    """
    found = []
    for source in range(n_sources):
        for opacity in opacities:
            rows = labelled_source(half, backgrounds, opacity=opacity, marked=marked, seed=source)
            masks = detector.find([row.image for row in rows])
            found += [
                _scored(detector.name, f"source {source}", row, mask)
                for row, mask in zip(rows, masks, strict=True)
            ]
    return pd.DataFrame(found)


def repair_scores(
    inpainters: Mapping[str, Inpainter],
    rows: Sequence[Labelled],
    *,
    masks: Sequence[np.ndarray] | None = None,
    grow: int = 0,
) -> pd.DataFrame:
    """How close pictures come to the clean ones inside the true mask, filled and left alone.

    Parameters
    ----------
    rows : sequence of Labelled
        Those without a mark are passed over.
    masks : sequence of (h, w) bool, optional
        What to fill; by default the true masks.
    grow : int
        By how many pixels a mask is widened first.

    Returns
    -------
    DataFrame
        ``inpainter`` (``LEFT``: the marked picture), ``key, opacity, kind, psnr_db, ssim``.
    """
    found = []
    for number, row in enumerate(rows):
        if row.mark is None:
            continue
        mask = grown(row.mask if masks is None else masks[number], grow)
        pictures = {LEFT: row.image} | {n: i.fill(row.image, mask) for n, i in inpainters.items()}
        for name, picture in pictures.items():
            values = (np.asarray(picture), np.asarray(row.clean), row.mask)
            found.append(
                _about(row, row.key)
                | {"inpainter": name, "psnr_db": psnr(*values), "ssim": ssim(*values)}
            )
    return pd.DataFrame(found)


def with_intervals(
    scores: pd.DataFrame, metrics: Sequence[str], *, by: Sequence[str], n_resamples: int = 2000
) -> pd.DataFrame:
    """The mean of each metric with its interval over pictures (or sources), by group.

    Values that do not exist (NaN: the precision of an empty mask) are left out; ``n`` counts those
    that do. A PSNR that is infinite counts as 100 dB.

    Returns
    -------
    DataFrame
        ``by``, then ``metric, value, low, high, n``; a group without any value is left out.
    """
    rows = []
    for key, part in scores.groupby(list(by), sort=False):
        for metric in metrics:
            known = part[part[metric].notna()]
            if known.empty:
                continue
            values = np.minimum(known[metric].to_numpy(float), 100.0)
            i = bootstrap_interval(values, known["key"].to_numpy(str), n_resamples=n_resamples)
            row = dict(zip(by, key, strict=True)) | {"metric": metric, "value": i.value}
            rows.append(row | {"low": i.low, "high": i.high, "n": i.n})
    return pd.DataFrame(rows, columns=[*by, "metric", "value", "low", "high", "n"])


def zero_shot(subsets: Mapping[str, Pairs], encoder: Encoder, *, metric: str = "hit@10") -> Moved:
    """An unadapted model on the same test captions, with each subset's test pictures.

    Examples
    --------
    >>> zero_shot(cleaned.subsets, encoder).values["text_to_image"]  # doctest: +SKIP
    """
    values: Values = {way: {} for way in DIRECTIONS}
    for name, subset in subsets.items():
        data = retrieval_set(subset.test)
        evaluation = evaluate(encoder, data, subset.image, n_resamples=1)
        for way in DIRECTIONS:
            values[way][name] = query_values(evaluation.rankings[way].first, metric)
    return Moved(values, _groups(data))


def trained(
    subsets: Mapping[str, Pairs],
    clean: Pairs,
    encoder: Encoder,
    arm: Arm,
    *,
    seeds: Sequence[int],
    metric: str = "hit@10",
) -> Moved:
    """Models trained with each subset's pictures, all tested with the clean ones.

    Parameters
    ----------
    clean : Pairs
        Whose test pictures are searched.
    seeds : sequence of int
        Each query's value is the mean over them.
    """
    runs = {}
    for name, subset in subsets.items():
        mixed = training_subset(subset, clean)
        runs[name] = run_arms(mixed, encoder, {name: arm}, seeds=seeds)[name]
    values = {way: by_arm(runs, way, metric) for way in DIRECTIONS}
    return Moved(values, _groups(retrieval_set(clean.test)))


def training_subset(subset: Pairs, clean: Pairs) -> TrainingSubset:
    """The pairs of ``subset`` whose test pictures are those of ``clean``; runs tell them apart."""
    kept = {f.name: getattr(subset, f.name) for f in fields(Pairs)}
    tested = {"tested on": clean.manifest.fingerprint}
    kept["manifest"] = replace(subset.manifest, inputs={**subset.manifest.inputs, **tested})
    test = {key: clean.image_hashes[key] for key in clean.test["image_key"]}
    kept["image_hashes"] = {**subset.image_hashes, **test}
    return TrainingSubset(**kept, trained_on=subset, tested_on=clean)


def _scored(detector: str, key: str, row: Labelled, mask: np.ndarray) -> dict[str, object]:
    scores = asdict(mask_scores(mask, row.mask))
    return _about(row, key) | {"detector": detector} | scores | {"any": float(mask.any())}


def _about(row: Labelled, key: str) -> dict[str, object]:
    known = row.mark is not None
    return {
        "key": key,
        "opacity": row.mark.opacity if known else UNMARKED,
        "kind": row.mark.kind if known else "",
    }


def _groups(data) -> dict[str, np.ndarray]:
    return dict(zip(DIRECTIONS, (data.caption_ids, data.image_ids), strict=True))
