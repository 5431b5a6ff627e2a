"""The trusted zone: every record of a source checked, every image in one normal form.

What is written is ``trusted-zone/documents/recipes.jsonl`` (images named relative to
``trusted-zone/images/``), the images, ``trusted-zone/rejects.csv`` and the counts. Nothing leaves
without a line in the rejects, and the counts must reconcile.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from io import StringIO

import pandas as pd
from tqdm.auto import tqdm

from helpers.data.images import ImageError, encode_jpeg, normalise
from helpers.data.records import (
    Recipe,
    Reject,
    bounded,
    captions_of,
    recipe_from_json,
    recipe_to_json,
)
from helpers.data.sources import Source, nothing_kept
from helpers.repro import canonical_json
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone

NAME = "trusted-zone"
RECIPES = f"{NAME}/documents/recipes.jsonl"
IMAGES = f"{NAME}/images"
REJECTS = f"{NAME}/rejects.csv"
COUNTS = f"{NAME}/documents/counts.json"
REJECT_COLUMNS = ("file", "line", "item", "reason", "kind")
MODULES = ("images", "markdown", "readers", "records", "sources", "trusted")
CODE = tuple(f"helpers.data.{name}" for name in MODULES)
QUIET = 300  # images; fewer are done before a bar helps
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)$")  # no folder may be called so on Windows


@dataclass(frozen=True)
class Intake:
    """What came in and where it went.

    ``counts`` has ``records_read = records_kept + records_rejected``, ``images_named = images_kept
    + images_rejected`` (of the records that were not rejected before their images were opened),
    ``captions_rejected`` and ``fields_rejected``, and ``files_rejected`` where files lie in the
    source's folder that no record names. ``rejects`` has the columns ``REJECT_COLUMNS``.
    """

    counts: Mapping[str, int]
    rejects: pd.DataFrame
    manifest: Manifest


def build_trusted_zone(
    zone: Zone, source: Source, *, image_px: int = 512, fit: str = "crop", progress: bool = True
) -> Intake:
    """Bring a source into the trusted zone, or find that it is there already.

    ``image_px`` and ``fit``: see ``images.normalise``. Raises ``ValueError`` with the most frequent
    reasons if no record can be kept, ``ArtefactError`` if files from elsewhere lie in the zone.
    """
    manifest = ensure(
        zone,
        NAME,
        kind="trusted zone",
        parameters={"source": source.name, "image_px": image_px, "fit": fit},
        inputs={"source": source.fingerprint},
        build=lambda writer: _build(writer, source, image_px, fit, progress),
        prefixes=(f"{NAME}/documents", IMAGES, REJECTS),
        code=code_of(*CODE),
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
    rejects: list[Reject] = []
    came_in = Counter(records_read=0, images_named=0)
    candidates = list(_candidates(source, rejects, came_in))
    n_images = sum(len(recipe.images) for recipe in candidates)
    quiet = not progress or n_images <= QUIET
    bar = tqdm(total=n_images, desc="images into the trusted zone", unit="image", disable=quiet)

    def jpeg_of(key: str) -> bytes:
        return encode_jpeg(normalise(source.load_image(key), image_px=image_px, fit=fit))

    kept = []
    with bar:
        for recipe in candidates:
            files = _keep_images(recipe, jpeg_of, rejects)
            bar.update(len(recipe.images))
            for key, data in files.items():
                writer.write_bytes(f"{IMAGES}/{key}", data)
            if files:
                kept.append(replace(recipe, images=tuple(files)))
    counts = _reconciled(came_in, kept, rejects, source.name)
    if not kept:
        raise ValueError(nothing_kept(source.name, rejects))
    writer.write_text(RECIPES, "".join(canonical_json(recipe_to_json(r)) + "\n" for r in kept))
    rows = [[bounded(str(value)) for value in astuple(reject)] for reject in rejects]
    table = pd.DataFrame(rows, columns=list(REJECT_COLUMNS), dtype="str")
    writer.write_text(REJECTS, table.to_csv(index=False, lineterminator="\n"))
    writer.write_text(COUNTS, canonical_json(counts))


def _candidates(source: Source, rejects: list[Reject], came_in: Counter) -> Iterator[Recipe]:
    """The recipes whose images are worth opening; everything else goes to the rejects."""
    first_line: dict[str, int] = {}
    for item in source.recipes():
        if isinstance(item, Reject):
            rejects.append(item)
            came_in["records_read"] += item.kind == "record"
            came_in["images_named"] += item.kind == "image"
            continue
        came_in["records_read"] += 1
        recipe = replace(item, file=item.file or source.name)
        if recipe.recipe_id in first_line:
            reason = f"the recipe_id was taken before, on line {first_line[recipe.recipe_id]}"
        elif not recipe.images:
            reason = "names no image"
        elif not captions_of(recipe):
            reason = "has no caption, and no title, description or ingredients to make one of"
        else:
            reason = ""
            came_in["images_named"] += len(recipe.images)
            yield recipe
        first_line.setdefault(recipe.recipe_id, recipe.line)
        if reason:
            rejects.append(Reject(recipe.file, recipe.line, recipe.recipe_id, reason))


def _keep_images(
    recipe: Recipe, jpeg_of: Callable[[str], bytes], rejects: list[Reject]
) -> dict[str, bytes]:
    """File name to JPEG of a recipe's good images; a recipe that keeps none is rejected."""
    files: dict[str, bytes] = {}
    first: dict[bytes, str] = {}  # content: the key that had it first
    for n, key in enumerate(recipe.images):
        try:
            data = jpeg_of(key)
            reason = f"the same picture as {first[data]} of this recipe" if data in first else ""
        except ImageError as error:
            reason = str(error)
        if reason:
            rejects.append(Reject(recipe.file, recipe.line, key, reason, "image"))
        else:
            first[data] = key
            files[f"{folder_name(recipe.recipe_id)}/{n}.jpg"] = data
    if not files:
        reason = f"none of its {len(recipe.images)} images can be used"
        rejects.append(Reject(recipe.file, recipe.line, recipe.recipe_id, reason))
    return files


def _reconciled(
    came_in: Counter, kept: list[Recipe], rejects: list[Reject], name: str
) -> dict[str, int]:
    """The counts, once what came in is what was kept and what was rejected."""
    n_images = sum(len(recipe.images) for recipe in kept)
    counts = {**came_in, "records_kept": len(kept), "images_kept": n_images}
    rejected = Counter(reject.kind for reject in rejects)
    for kind in dict.fromkeys(("record", "image", "caption", "field", *rejected)):
        counts[f"{kind}s_rejected"] = rejected[kind]
    for things, total in (("records", "records_read"), ("images", "images_named")):
        if came_in[total] != (found := counts[f"{things}_kept"] + counts[f"{things}_rejected"]):
            raise AssertionError(f"{name}: {total} is {came_in[total]}, accounted for: {found}")
    return counts
