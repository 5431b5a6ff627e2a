"""Watermarked, repaired and clean images side by side in the zone, so that they can be compared.

``fine-tuning-zone/subsets/<name>/images/`` repeats the image keys of the pairs, ``masks/`` holds
each mask as PNG. Where watermarks are drawn, the pairs' own images are the clean ones. Otherwise
the images are taken as they come: *watermarked* holds them, *repaired* what detector and inpainter
make of them.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.images import encode_jpeg, load_image
from helpers.data.pairs import Pairs
from helpers.data.sets import LazyImages, drawn_set
from helpers.data.trusted import QUIET
from helpers.evaluation.stats import Sample, estimate
from helpers.report.plots import lines_with_intervals
from helpers.repro import canonical_json, hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.topics.watermarks.detect import Detector, mask_scores, open_detector
from helpers.topics.watermarks.inpaint import Inpainter, open_inpainter, psnr
from helpers.topics.watermarks.marks import draw, marked, sample, stored

SUBSETS = "fine-tuning-zone/subsets"
WATERMARKED, REPAIRED, TRUE_MASKS, CLEAN = (
    "watermarked", "repaired", "repaired, true masks", "clean",
)  # fmt: skip
DRAWINGS, MOST_TO_FIT = "world:kitchen", 100
SHARES = ("precision", "recall", "iou", "found")
DRAWN, NONE, FOUND, AUTO = "drawn", "none", "found", "auto"
CODE = ("helpers.data.images", "helpers.topics.watermarks.inpaint",
        "helpers.topics.watermarks.marks", "helpers.topics.watermarks.detect")  # fmt: skip


@dataclass(frozen=True)
class SubsetPairs(Pairs):
    """Pairs whose images come from a subset; ids, captions and splits are the same."""

    folder: str = ""

    def image(self, key: str) -> Image.Image:
        """The image of a key in this subset. Raises ``FileNotFoundError`` and ``ImageError``."""
        return load_image(self.zone.read_bytes(f"{self.folder}/images/{key}"))

    def mask(self, key: str) -> np.ndarray:
        """Of a watermarked image the drawn mask, of a repaired one what was filled: (h, w) bool."""
        data = self.zone.read_bytes(_mask_key(self.folder, key))
        return np.asarray(Image.open(BytesIO(data)).convert("L")) > 0


@dataclass(frozen=True)
class Tools:
    """What finds watermarks and what removes them, with images to show and score both on.

    ``to_fit`` are images to learn from, ``to_score`` others; keys to images without watermarks.
    """

    detector: Detector
    inpainter: Inpainter
    to_fit: Mapping[str, Image.Image]
    to_score: Mapping[str, Image.Image]


def wanted_marks(marks: str, source: str) -> str:
    """What ``auto`` stands for: watermarks are drawn on a drawn source, never on a user's own."""
    return marks if marks != AUTO else DRAWN if source.startswith("world:") else NONE


def open_tools(
    pairs: Pairs, *, marks: str, detector: str = "fitted", inpainter: str = "navier-stokes",
    n: int = 16, device: str = "cpu", seed: int = 42,
) -> Tools:  # fmt: skip
    """Open a detector and an inpainter by name; see ``open_detector`` and ``open_inpainter``.

    The detector is fitted on training images of the pairs, one of each item, and scored on ``n``
    test images. With ``marks`` ``none`` drawings stand in: nothing is drawn on a user's images that
    was not asked for.
    """
    if marks == NONE:
        drawn = drawn_set(DRAWINGS, first=8000, n=MOST_TO_FIT + n, seed=seed)
        firsts = pd.Series(drawn.image_items).drop_duplicates()
        images = {item: drawn.images[at] for at, item in firsts.items()}
        items = list(images)
        fit = {item: images[item] for item in items[:MOST_TO_FIT]}
        scored, source = {item: images[item] for item in items[MOST_TO_FIT:]}, DRAWINGS
    else:
        fit, scored = (
            {key: pairs.image(key) for key in part.drop_duplicates("recipe_id")["image_key"][:most]}
            for part, most in ((pairs.train, MOST_TO_FIT), (pairs.test, n))
        )
        source = pairs.manifest.fingerprint
    found = open_detector(
        detector, backgrounds=lambda: list(fit.values()), source=source, device=device, seed=seed
    )
    return Tools(found, open_inpainter(inpainter, device=device), fit, scored)


def ensure_subsets(
    pairs: Pairs,
    *,
    detector: Detector,
    inpainter: Inpainter,
    opacity: tuple[float, float] | None = None,
    keys: Collection[str] | None = None,
    seed: int = 42,
    progress: bool = True,
) -> dict[str, Pairs]:
    """The subsets of the pairs' images by name, each built where it is not there yet.

    Each is an artefact of its own: another detector leaves the watermarked images as they are. The
    weights of detector and inpainter are part of what a subset is built from.

    Parameters
    ----------
    opacity : (float, float), optional
        Draw a watermark of such opacity on each image first: then ``repaired, true masks`` tells
        what inpainting costs from what detection does, and ``clean`` are the pairs' own images.
        None: the images are taken as they come.
    keys : collection of str, optional
        The images to take, by their keys; by default all. All subsets have these alone.

    Raises
    ------
    ValueError
        If a key is not among the pairs.
    ArtefactError
        If files from elsewhere lie in the zone, or files of it were changed.
    """
    pairs = pairs if keys is None else _with_images(pairs, frozenset(keys))
    keys = list(dict.fromkeys(pairs.all["image_key"]))

    def draw_all(writer: Writer, folder: str) -> None:
        for key in keys:
            image = pairs.image(key)
            if opacity:
                image, mask = marked(image, seed=[seed, key], opacity=tuple(opacity))
                writer.write_bytes(_mask_key(folder, key), _png(mask))
            writer.write_bytes(f"{folder}/images/{key}", encode_jpeg(image))

    drawn = {"opacity": list(opacity), "seed": seed} if opacity else {"opacity": None}
    subsets = {WATERMARKED: _subset(pairs, pairs, WATERMARKED, drawn, draw_all)}
    watermarked = subsets[WATERMARKED]

    def repair(masks: Callable[[], Sequence[np.ndarray]]) -> Callable[[Writer, str], None]:
        def fill_all(writer: Writer, folder: str) -> None:
            quiet = not progress or len(keys) <= QUIET
            bar = tqdm(keys, desc="repaired images", unit="image", disable=quiet)
            for key, mask in zip(bar, masks(), strict=True):
                image = inpainter.fill(watermarked.image(key), mask)
                writer.write_bytes(_mask_key(folder, key), _png(mask))
                writer.write_bytes(f"{folder}/images/{key}", encode_jpeg(image))

        return fill_all

    found = repair(lambda: detector.find(LazyImages(keys, watermarked.image)))
    made_by = {"inpainter": [inpainter.name, inpainter.fingerprint]}
    detected = made_by | {"detector": [detector.name, detector.fingerprint]}
    subsets[REPAIRED] = _subset(pairs, watermarked, REPAIRED, detected, found)
    if opacity:
        exact = repair(lambda: [watermarked.mask(key) for key in keys])
        subsets[TRUE_MASKS] = _subset(pairs, watermarked, TRUE_MASKS, made_by, exact)
        subsets[CLEAN] = pairs
    return subsets


def _subset(
    pairs: Pairs, made_from: Pairs, name: str, parameters: Mapping,
    build: Callable[[Writer, str], None],
) -> SubsetPairs:  # fmt: skip
    slug = name.replace(", ", "-").replace(" ", "-")
    folder = f"{SUBSETS}/{slug}"
    manifest = ensure(
        pairs.zone, f"{slug}-images", kind="images",
        parameters=json.loads(canonical_json(dict(parameters))),
        inputs={"images": made_from.manifest.fingerprint},
        build=lambda writer: build(writer, folder), prefixes=(folder,),
        code=code_of(__name__, *CODE),
    )  # fmt: skip
    return _from_folder(pairs, manifest, name, folder)


def _from_folder(pairs: Pairs, manifest: Manifest, name: str, folder: str) -> SubsetPairs:
    start = f"{folder}/images/"
    files = manifest.files.items()
    hashes = {k.removeprefix(start): file.sha256 for k, file in files if k.startswith(start)}
    own = pairs.all.assign(source=pairs.all["source"] + f", {name}")
    kept = {f.name: getattr(pairs, f.name) for f in fields(Pairs)}
    changed = {"all": own, "manifest": manifest, "image_hashes": hashes}
    return SubsetPairs(**(kept | changed), folder=folder)


def _with_images(pairs: Pairs, keys: frozenset[str]) -> Pairs:
    """The pairs of some images; their manifest says which, so that artefacts tell them apart."""
    own = pairs.all[pairs.all["image_key"].isin(keys)].reset_index(drop=True)
    if unknown := sorted(keys - set(own["image_key"])):
        raise ValueError(f"{len(unknown)} images are not among the pairs, such as {unknown[0]!r}")
    inputs = {**pairs.manifest.inputs, "images": hash_of(sorted(keys))}
    return replace(pairs, all=own, manifest=replace(pairs.manifest, inputs=inputs))


def scores_by_opacity(tools: Tools, *, opacities: Sequence[float], seed: int = 42) -> pd.DataFrame:
    """Detection and repair of one watermark of each image, at several opacities, and of none.

    A row for each image of ``tools.to_score`` and opacity (0: none): ``key, opacity, found`` (1
    where any pixel was), the values of ``mask_scores``, and the PSNR in dB inside the true mask of
    the image ``left`` as it is, ``repaired`` and ``repaired, true masks``.
    """
    rows = []
    for key, image in tools.to_score.items():
        watermark, clean = sample([seed, key], opacity=1.0), stored(image)
        for opacity in (0.0, *opacities):
            drawn, truth = image, np.zeros((image.height, image.width), bool)
            if opacity:
                drawn, truth = draw(image, replace(watermark, opacity=opacity))
            drawn = stored(drawn)
            (mask,) = tools.detector.find([drawn])
            row = {"key": key, "opacity": opacity, "found": float(mask.any())}
            if opacity:
                row |= mask_scores(mask, truth)
                repairs = {"left": drawn, REPAIRED: tools.inpainter.fill(drawn, mask)}
                repairs[TRUE_MASKS] = tools.inpainter.fill(drawn, truth)
                row |= {how: psnr(done, clean, truth) for how, done in repairs.items()}
            rows.append(row)
    return pd.DataFrame(rows)


def by_opacity(scores: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The mean of some columns at each opacity with its interval over images: tidy.

    Columns ``what, opacity, estimate``. Values that do not exist (the precision of an empty mask)
    are left out; an infinite PSNR counts as 100 dB.
    """
    rows = []
    for what in columns:
        known = scores.dropna(subset=what) if what in scores else scores.iloc[:0]
        for opacity, part in known.groupby("opacity"):
            if len(part) < 2:  # no interval
                continue
            values = np.minimum(part[what].to_numpy(float), 100.0)
            sample_of = Sample(values[None], part["key"].to_numpy(str))
            bounds = (0.0, 1.0) if what in SHARES else (-np.inf, np.inf)
            rows.append((what, opacity, estimate(sample_of, bounds=bounds)))
    return pd.DataFrame(rows, columns=["what", "opacity", "estimate"])


def opacity_figure(
    scores: pd.DataFrame, names: Mapping[str, str], *, heading: str, ylabel: str,
    percent: bool = True,
) -> Figure:  # fmt: skip
    """Some columns of ``scores_by_opacity`` over the opacity, by the names that a legend has."""
    curves = by_opacity(scores, list(names))
    curves = curves.assign(what=[names[what] for what in curves["what"]])
    return lines_with_intervals(
        curves, x="opacity", series="what", heading=heading, ylabel=ylabel, percent=percent,
        xlabel="opacity of the watermark",
    )  # fmt: skip


def _mask_key(folder: str, key: str) -> str:
    return f"{folder}/masks/{key.rpartition('.')[0]}.png"


def _png(mask: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return stream.getvalue()
