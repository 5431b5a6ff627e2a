"""The trusted zone: every record of a source checked, every image in one normal form.

What is written is ``trusted-zone/documents/recipes.jsonl`` (images named relative to
``trusted-zone/images/``), the images, ``trusted-zone/rejects.csv`` and the counts. Nothing leaves
without a line in the rejects, and the counts must reconcile.
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from io import StringIO

import pandas as pd
from tqdm.auto import tqdm

from helpers.data.folders import nothing_kept
from helpers.data.images import ImageError, encode_jpeg, normalise
from helpers.data.opencv_images import READER
from helpers.data.records import Recipe, Reject, captions_of, recipe_from_json, recipe_to_json
from helpers.data.sources import Source
from helpers.data.texts import bounded
from helpers.repro import canonical_json
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone

NAME = "trusted-zone"
RECIPES = f"{NAME}/documents/recipes.jsonl"
IMAGES = f"{NAME}/images"
REJECTS = f"{NAME}/rejects.csv"
COUNTS = f"{NAME}/documents/counts.json"
REJECT_COLUMNS = ("file", "line", "item", "reason", "kind")
COUNTED = (
    "records_read", "records_kept", "records_rejected", "images_named", "images_kept",
    "images_rejected", "captions_rejected", "fields_rejected",
)  # fmt: skip
SECOND = "images_by_opencv"  # those that Pillow could not open
READERS = (
    "class_folders", "csv_pairs", "decoding", "folders", "guard", "imagefolder", "json_records",
    "markdown", "opencv_images", "records", "sources", "texts", "wording",
)  # fmt: skip
CODE = tuple(f"helpers.data.{name}" for name in ("images", *READERS))
QUIET = 300  # images; fewer are done before a bar helps
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)$")  # no folder may be called so on Windows


@dataclass(frozen=True)
class Intake:
    """What came in and where it went.

    ``counts`` has ``records_read = records_kept + records_rejected``, ``images_named = images_kept
    + images_rejected`` (of the records that were not rejected before their images were opened),
    ``captions_rejected`` and ``fields_rejected``; and ``files_rejected`` where files lie in the
    source's folder that no record names, ``images_by_opencv`` where Pillow could not open some
    images and OpenCV could. ``rejects`` has the columns file, line, item, reason and
    kind (record, image, caption, field, file).
    """

    counts: Mapping[str, int]
    rejects: pd.DataFrame
    manifest: Manifest


@dataclass
class _Tally:
    """Counts and rejects of a build in progress."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    rejects: list[Reject] = field(default_factory=list)

    def add(self, name: str, n: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + n

    def reject(self, reject: Reject) -> None:
        self.rejects.append(reject)
        self.add(f"{reject.kind}s_rejected")


def build_trusted_zone(
    zone: Zone, source: Source, *, image_px: int = 512, fit: str = "crop", progress: bool = True
) -> Intake:
    """Bring a source into the trusted zone, or find that it is there already.

    Parameters
    ----------
    zone : Zone
    source : Source
    image_px, fit : int, str
        Side of the square images in pixels, and how they become square (see ``images.normalise``).
    progress : bool
        Show a bar where there are more than some hundred images.

    Returns
    -------
    Intake

    Raises
    ------
    ValueError
        If no record can be kept; the message gives the most frequent reasons.
    ArtefactError
        If files from elsewhere lie in the zone.

    >>> from helpers.data.sources import open_source
    >>> from helpers.store.zones import open_zone
    >>> zone, source = open_zone("memory://doc"), open_source("world:kitchen", max_recipes=2)
    >>> build_trusted_zone(zone, source, image_px=32).counts["records_kept"]
    2
    """
    manifest = ensure(
        zone,
        NAME,
        kind="trusted zone",
        parameters={"source": source.name, "image_px": image_px, "fit": fit},
        inputs={"source": source.fingerprint},
        build=lambda writer: _build(writer, source, image_px, fit, progress),
        prefixes=(f"{NAME}/documents", IMAGES, REJECTS),
        code=code_of(__name__, *CODE),
    )
    rejects = pd.read_csv(
        StringIO(zone.read_text(REJECTS)), dtype=dict.fromkeys(REJECT_COLUMNS, "str"),
        keep_default_na=False, lineterminator="\n",
    )  # fmt: skip
    return Intake(json.loads(zone.read_text(COUNTS)), rejects.astype({"line": "int64"}), manifest)


def read_trusted_recipes(zone: Zone) -> tuple[Recipe, ...]:
    """The recipes of a trusted zone; their image keys are relative to ``trusted-zone/images/``."""
    lines = zone.read_text(RECIPES).split("\n")
    return tuple(recipe_from_json(json.loads(line)) for line in lines if line)


def folder_name(recipe_id: str) -> str:
    """A folder name for an id: itself where any file system takes it, else with a hash.

    Two ids never share a folder, also where capitals are not told apart.

    >>> folder_name("007"), folder_name("Crème brûlée/2")
    ('007', 'cr-me-br-l-e-2-89c52309886e')
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", recipe_id) and not _RESERVED.match(recipe_id):
        return recipe_id
    slug = re.sub(r"[^a-z0-9]+", "-", recipe_id.lower()).strip("-")[:40]
    digest = hashlib.sha256(recipe_id.encode()).hexdigest()[:12]
    return "-".join(filter(None, (slug, digest)))


def _build(writer: Writer, source: Source, image_px: int, fit: str, progress: bool) -> None:
    tally, kept = _Tally(), []
    candidates = list(_candidates(source, tally))

    def image_of(key: str) -> bytes | ImageError:
        try:
            image = source.load_image(key)
            if image.info.get("reader") == READER:
                tally.add(SECOND)
            return encode_jpeg(normalise(image, image_px=image_px, fit=fit))
        except ImageError as error:
            return error

    n_images = sum(len(recipe.images) for recipe in candidates)
    bar = tqdm(
        total=n_images, desc="images into the trusted zone", unit="image",
        disable=not progress or n_images <= QUIET,
    )  # fmt: skip
    with bar:
        for recipe in candidates:
            files = _keep_images(recipe, map(image_of, recipe.images), tally)
            bar.update(len(recipe.images))
            for key, data in files.items():
                writer.write_bytes(f"{IMAGES}/{key}", data)
            if files:
                kept.append(replace(recipe, images=tuple(files)))
    _reconcile(tally, kept, source)
    writer.write_text(RECIPES, "".join(canonical_json(recipe_to_json(r)) + "\n" for r in kept))
    writer.write_text(REJECTS, _rejects_csv(tally.rejects))
    writer.write_text(COUNTS, canonical_json(tally.counts))


def _candidates(source: Source, tally: _Tally) -> Iterator[Recipe]:
    """The recipes whose images are worth opening; everything else is tallied."""
    first_line: dict[str, int] = {}
    for item in source.recipes():
        if isinstance(item, Reject):
            tally.reject(item)
            tally.add("records_read", item.kind == "record")
            tally.add("images_named", item.kind == "image")
            continue
        tally.add("records_read")
        recipe = replace(item, file=item.file or source.name)
        reason = ""
        if recipe.recipe_id in first_line:
            reason = f"the recipe_id was taken before, on line {first_line[recipe.recipe_id]}"
        elif not recipe.images:
            reason = "names no image"
        elif not captions_of(recipe):
            reason = "has no caption, and no title, description or ingredients to make one of"
        first_line.setdefault(recipe.recipe_id, recipe.line)
        if reason:
            tally.reject(Reject(recipe.file, recipe.line, recipe.recipe_id, reason))
        else:
            tally.add("images_named", len(recipe.images))
            yield recipe


def _keep_images(
    recipe: Recipe, results: Iterator[bytes | ImageError], tally: _Tally
) -> dict[str, bytes]:
    """File name to JPEG of a recipe's good images; a recipe that keeps none is rejected."""
    files: dict[str, bytes] = {}
    first: dict[bytes, str] = {}  # content: the key that had it first
    for n, (key, result) in enumerate(zip(recipe.images, results, strict=True)):
        reason = str(result) if isinstance(result, ImageError) else ""
        if not reason and result in first:
            reason = f"the same picture as {first[result]} of this recipe"
        if reason:
            tally.reject(Reject(recipe.file, recipe.line, key, reason, "image"))
            continue
        first[result] = key
        files[f"{folder_name(recipe.recipe_id)}/{n}.jpg"] = result
        tally.add("images_kept")
    if files:
        tally.add("records_kept")
    else:
        reason = f"none of its {len(recipe.images)} images can be used"
        tally.reject(Reject(recipe.file, recipe.line, recipe.recipe_id, reason))
    return files


def _reconcile(tally: _Tally, kept: list[Recipe], source: Source) -> None:
    counts = tally.counts
    wanted = {
        "records_read": len(kept) + sum(r.kind == "record" for r in tally.rejects),
        "images_named": sum(len(r.images) for r in kept)
        + sum(r.kind == "image" for r in tally.rejects),
        "records_kept": len(kept),
        "images_kept": sum(len(r.images) for r in kept),
    }
    for name, value in wanted.items():
        if counts[name] != value:
            raise AssertionError(f"{source.name}: {name} is {counts[name]}, accounted for: {value}")
    if not kept:
        raise ValueError(nothing_kept(source.name, tally.rejects))


def _rejects_csv(rejects: list[Reject]) -> str:
    stream = StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(REJECT_COLUMNS)
    for reject in rejects:
        writer.writerow([bounded(str(value)) for value in astuple(reject)])
    return stream.getvalue()
