"""Watermarked, repaired and clean images side by side in the zone, so that they can be compared.

``fine-tuning-zone/subsets/<name>/images/`` repeats the image keys of the pairs, ``masks/`` holds
each mask as PNG. Where watermarks are drawn, the pairs' own images are the clean ones. Otherwise
the images are taken as they come: *watermarked* holds them, *repaired* what detector and inpainter
make of them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.images import encode_jpeg, load_image
from helpers.data.pairs import Pairs
from helpers.data.sets import drawn_set
from helpers.evaluation.stats import Sample, estimate
from helpers.report.galleries import image_grid
from helpers.report.plots import lines_with_intervals
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.topics.watermarks.detect import FITTED, Detector, FittedDetector, mask_scores
from helpers.topics.watermarks.inpaint import Inpainter, open_inpainter, psnr
from helpers.topics.watermarks.marks import Watermark, draw, marked, sample, stored

SUBSETS = "fine-tuning-zone/subsets"
WATERMARKED, REPAIRED, TRUE_MASKS, CLEAN = (
    "watermarked", "repaired", "repaired, true masks", "clean",
)  # fmt: skip
DRAWINGS, MOST_TO_FIT = "world:kitchen", 100
SHARES = ("precision", "recall", "iou")
MOST_DB = 100.0  # stands for the infinite PSNR of equal images
DRAWN, NONE, FOUND, AUTO = "drawn", "none", "found", "auto"
UNTOUCHED = (
    "Your images stay as they are. `-p marks=drawn` draws watermarks on copies; `-p marks=found` "
    "looks for those that they have."
)
Made = tuple[Image.Image, np.ndarray | None]  # an image and its mask
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
    """Open a detector (``fitted``, or a Florence-2 by directory or hub id) and an inpainter.

    With ``marks`` ``drawn`` the detector is fitted on training images of the pairs, one of each
    item, and scored on ``n`` test images. Otherwise drawings stand in: nothing is drawn on a user's
    images that was not asked for, and no detector learns that their watermarks are background.
    """
    if marks == DRAWN:
        fit, scored = (
            {key: pairs.image(key) for key in part.drop_duplicates("recipe_id")["image_key"][:most]}
            for part, most in ((pairs.train, MOST_TO_FIT), (pairs.test, n))
        )
        source = pairs.manifest.fingerprint
    else:
        drawn, source = drawn_set(DRAWINGS, first=8000, n=MOST_TO_FIT + n, seed=seed), DRAWINGS
        firsts = pd.Series(drawn.image_items).drop_duplicates()
        images = [(item, drawn.images[at]) for at, item in firsts.items()]
        fit, scored = dict(images[:MOST_TO_FIT]), dict(images[MOST_TO_FIT:])
    if detector == FITTED:
        found: Detector = FittedDetector(lambda: list(fit.values()), source, seed=seed)
    else:
        from helpers.topics.watermarks.florence import load_florence

        found = load_florence(detector, device=device)
    return Tools(found, open_inpainter(inpainter, device=device), fit, scored)


def ensure_subsets(
    pairs: Pairs, tools: Tools, *, marks: str, opacity: Sequence[float] = (0.5, 0.9),
    keys: Collection[str] | None = None, seed: int = 42,
) -> dict[str, Pairs]:  # fmt: skip
    """The subsets of the pairs' images by name, each built where it is not there yet.

    With ``marks`` ``drawn`` a watermark is drawn on each image first, of an opacity between both;
    then ``repaired, true masks`` tells what inpainting costs from what detection does, and
    ``clean`` are the pairs' own images. ``found``: the images are taken as they come. ``none``:
    there are no subsets. All subsets have the images of ``keys``, by default all.

    Each is an artefact of its own: another detector leaves the watermarked images as they are. The
    weights of detector and inpainter are part of what a subset is built from. Raises ``ValueError``
    if a key is not among the pairs, ``ArtefactError`` if files from elsewhere lie in the zone, or
    files of it were changed.
    """
    if marks == NONE:
        return {}
    pairs = pairs if keys is None else _with_images(pairs, frozenset(keys))

    def watermark(key: str) -> Made:
        image = pairs.image(key)
        return marked(image, seed=[seed, key], opacity=opacity) if marks == DRAWN else (image, None)

    drawn = {"opacity": list(opacity), "seed": seed} if marks == DRAWN else {"opacity": None}
    watermarked = _subset(pairs, pairs, WATERMARKED, drawn, watermark)

    def repaired(key: str, mask: np.ndarray) -> Made:
        return tools.inpainter.fill(watermarked.image(key), mask), mask

    def by_detector(key: str) -> Made:
        return repaired(key, tools.detector.find([watermarked.image(key)])[0])

    def by_truth(key: str) -> Made:
        return repaired(key, watermarked.mask(key))

    made_by = {"inpainter": [tools.inpainter.name, tools.inpainter.fingerprint]}
    detected = made_by | {"detector": [tools.detector.name, tools.detector.fingerprint]}
    subsets = {WATERMARKED: watermarked}
    subsets[REPAIRED] = _subset(pairs, watermarked, REPAIRED, detected, by_detector)
    if marks == DRAWN:
        subsets[TRUE_MASKS] = _subset(pairs, watermarked, TRUE_MASKS, made_by, by_truth)
        subsets[CLEAN] = pairs
    return subsets


def _subset(
    pairs: Pairs, made_from: Pairs, name: str, parameters: Mapping, make: Callable[[str], Made]
) -> SubsetPairs:
    """The images that ``make`` gives of each key, with their masks, where there are any."""
    slug = name.replace(", ", "-").replace(" ", "-")
    folder = f"{SUBSETS}/{slug}"

    def build(writer: Writer) -> None:
        keys = dict.fromkeys(pairs.all["image_key"])
        for key in tqdm(keys, desc=f"{name} images", unit="image", delay=5, leave=False):
            image, mask = make(key)
            if mask is not None:
                png = BytesIO()
                Image.fromarray(mask).save(png, "PNG")
                writer.write_bytes(_mask_key(folder, key), png.getvalue())
            writer.write_bytes(f"{folder}/images/{key}", encode_jpeg(image))

    manifest = ensure(
        pairs.zone, f"{slug}-images", kind="images", parameters=parameters, build=build,
        inputs={"images": made_from.manifest.fingerprint}, prefixes=(folder,),
        code=code_of(__name__, *CODE),
    )  # fmt: skip
    start, files = f"{folder}/images/", manifest.files.items()
    hashes = {k.removeprefix(start): file.sha256 for k, file in files if k.startswith(start)}
    own = pairs.all.assign(source=pairs.all["source"] + f", {name}")
    changed = {"all": own, "manifest": manifest, "image_hashes": hashes}
    return SubsetPairs(**(vars(pairs) | changed), folder=folder)


def _with_images(pairs: Pairs, keys: frozenset[str]) -> Pairs:
    """The pairs of some images; their manifest says which, so that artefacts tell them apart."""
    own = pairs.all[pairs.all["image_key"].isin(keys)].reset_index(drop=True)
    if unknown := sorted(keys - set(own["image_key"])):
        raise ValueError(f"{len(unknown)} images are not among the pairs, such as {unknown[0]!r}")
    inputs = {**pairs.manifest.inputs, "images": hash_of(sorted(keys))}
    return replace(pairs, all=own, manifest=replace(pairs.manifest, inputs=inputs))


def image_keys_of_test(pairs: Pairs, n_recipes: int) -> list[str]:
    """The images of the first recipes of the test; 0: all images of the source."""
    if not n_recipes:
        return list(dict.fromkeys(pairs.all["image_key"]))
    first = pairs.test["recipe_id"].unique()[:n_recipes]
    return pairs.test.loc[pairs.test["recipe_id"].isin(first), "image_key"].unique().tolist()


def side_by_side(made: Mapping[str, Pairs], keys: Sequence[str]) -> Figure:
    """At most four of some images, evenly chosen, in each subset: a line for each."""
    shown = keys[:: max(1, len(keys) // 4)][:4]
    images = [part.image(key) for part in made.values() for key in shown]
    labels = [name for name in made for _ in shown]
    return image_grid(images, labels, columns=len(shown), heading="The same images in each form")


def scores_by_opacity(tools: Tools, *, opacities: Sequence[float], seed: int = 42) -> pd.DataFrame:
    """Detection and repair of one watermark of each image, at several opacities, and of none.

    A row for each image of ``tools.to_score`` and opacity (0: none): ``key``, ``opacity``,
    ``found`` (whether any pixel was), ``area`` of the watermark as a share of the image, the values
    of ``mask_scores``, and the PSNR in dB inside the true mask of the image ``watermarked``,
    ``repaired`` and ``repaired, true masks``, with the ``gain`` of the second over the first.
    """
    rows = []
    for key, image in tools.to_score.items():
        (mask,) = tools.detector.find([stored(image)])
        rows.append({"key": key, "opacity": 0.0, "found": mask.any()})
        for opacity in opacities:
            watermark = sample([seed, key], opacity=opacity)
            forms, mask, truth = repairs(image, watermark, tools.detector, tools.inpainter)
            clean = forms.pop(CLEAN)
            db = {form: min(psnr(one, clean, truth), MOST_DB) for form, one in forms.items()}
            known = {"key": key, "opacity": opacity, "found": mask.any(), "area": truth.mean()}
            gain = db[REPAIRED] - db[WATERMARKED]
            rows.append(known | mask_scores(mask, truth) | db | {"gain": gain})
    return pd.DataFrame(rows)


def repairs(
    image: Image.Image, watermark: Watermark, detector: Detector, inpainter: Inpainter
) -> tuple[dict[str, Image.Image], np.ndarray, np.ndarray]:
    """An image in all forms; the mask that was found on it with a watermark, and the true one."""
    drawn, truth = draw(image, watermark)
    drawn = stored(drawn)
    (mask,) = detector.find([drawn])
    forms = {CLEAN: stored(image), WATERMARKED: drawn, REPAIRED: inpainter.fill(drawn, mask),
             TRUE_MASKS: inpainter.fill(drawn, truth)}  # fmt: skip
    return forms, mask, truth


def by_opacity(scores: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The mean of some columns at each opacity with its interval over images: tidy.

    Columns ``what, opacity, estimate``. Values that do not exist (the precision of an empty mask)
    are left out.
    """
    rows = []
    for what in columns:
        bounds = (0.0, 1.0) if what in SHARES else (-np.inf, np.inf)
        for opacity, part in scores.dropna(subset=what).groupby("opacity"):
            if len(part) > 1:  # else there is no interval
                values = Sample(part[[what]].to_numpy(float).T, part["key"].to_numpy(str))
                rows.append((what, opacity, estimate(values, bounds=bounds)))
    return pd.DataFrame(rows, columns=["what", "opacity", "estimate"])


def opacity_figure(
    scores: pd.DataFrame, columns: Sequence[str], *, heading: str, ylabel: str,
    percent: bool = True, references: Mapping[str, float] | None = None,
) -> Figure:  # fmt: skip
    """Some columns of ``scores_by_opacity`` over the opacity, with their intervals."""
    curves = by_opacity(scores, columns).replace({"what": {"iou": "IoU"}})
    return lines_with_intervals(
        curves, x="opacity", series="what", heading=heading, ylabel=ylabel, percent=percent,
        xlabel="opacity of the watermark", references=references,
    )  # fmt: skip


def _mask_key(folder: str, key: str) -> str:
    return f"{folder}/masks/{key.rpartition('.')[0]}.png"
