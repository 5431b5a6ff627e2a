"""Watermarked, cleaned and clean pictures side by side in the zone, so that they can be compared.

``fine-tuning-zone/subsets/<name>/images/`` repeats the keys of the pairs; masks lie next to them as
PNG. With drawn marks the clean picture is known: it is the one that the pairs have. Without, the
pictures are taken as they come: the *watermarked* subset holds them, the *cleaned* one what the
detector and the inpainter make of them.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.images import encode_jpeg, load_image
from helpers.data.pairs import Pairs, read_pairs, write_pairs
from helpers.data.trusted import QUIET
from helpers.first.data.marked_sets import DrawnMarks
from helpers.first.data.marks import draw_mark
from helpers.first.prepare.inpainting import Inpainter, OpenCVInpainter, grown
from helpers.first.prepare.watermarks import WatermarkDetector
from helpers.repro import canonical_json, hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure

SUBSETS = "fine-tuning-zone/subsets"
WATERMARKED, CLEANED, CLEAN = "watermarked", "cleaned", "clean"
CLEANING_COLUMNS = ("image_key", "marked", "mark_share", "found_share")
CODE = (
    "helpers.data.images",
    *(f"helpers.first.data.{name}" for name in ("mark_shapes", "marks", "marked_sets")),
    *(f"helpers.first.prepare.{name}" for name in ("inpainting", "watermarks")),
)


@dataclass(frozen=True)
class SubsetPairs(Pairs):
    """Pairs whose pictures come from a subset; ids, captions and splits are the same."""

    folder: str = ""

    def image(self, key: str) -> Image.Image:
        """The picture of a key in this subset. Raises ``FileNotFoundError`` and ``ImageError``."""
        return load_image(self.zone.read_bytes(f"{self.folder}/images/{key}"))


@dataclass(frozen=True)
class CleanedImages:
    """The subsets of a zone.

    Attributes
    ----------
    table : DataFrame
        A row a picture: ``image_key``; ``marked``, ``"1"`` where a mark was drawn, ``""`` where
        that is not known; ``mark_share`` and ``found_share``, of the picture.
    subsets : mapping
        ``watermarked``, ``cleaned`` and, where marks were drawn, ``clean`` to pairs.
    detector, inpainter : str
    """

    table: pd.DataFrame
    subsets: Mapping[str, Pairs]
    detector: str
    inpainter: str

    def found(self, key: str) -> np.ndarray:
        """The mask that the detector found: (h, w) bool."""
        return _read_mask(self.subsets[CLEANED], key)

    def truth(self, key: str) -> np.ndarray:
        """The true mask, (h, w) bool. Raises ``FileNotFoundError`` where no marks were drawn."""
        return _read_mask(self.subsets[WATERMARKED], key)


class _Pictures(Sequence):
    """Pictures by their keys, read when they are looked at: a set need not fit into memory."""

    def __init__(self, pairs: Pairs, keys: Sequence[str]):
        self._pairs, self._keys = pairs, keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, at):
        if isinstance(at, slice):
            return _Pictures(self._pairs, self._keys[at])
        return self._pairs.image(self._keys[at])


def ensure_cleaned_images(
    pairs: Pairs,
    *,
    detector: WatermarkDetector | None,
    inpainter: Inpainter | None = None,
    drawn: DrawnMarks | None = None,
    grow: int = 0,
    subset: str = CLEANED,
    keys: Collection[str] | None = None,
    seed: int = 42,
    progress: bool = True,
) -> CleanedImages:
    """Watermarked and cleaned subsets of the pairs' pictures, built where they are not there yet.

    Each is an artefact of its own: another detector leaves the watermarked pictures as they are.

    Parameters
    ----------
    detector : WatermarkDetector or None
        Sees all pictures in one call: a mark that repeats can be told. None: the true masks of
        drawn marks, to tell what inpainting costs from what detection does.
    inpainter : Inpainter, optional
        By default OpenCV's.
    drawn : DrawnMarks, optional
        Marks to draw first. None: the pictures are taken as they come.
    grow : int
        By how many pixels the mask is widened before it is filled: for masks that stop short.
    subset : str
        What the cleaned subset is called; give another name to keep two side by side.
    keys : collection of str, optional
        Which pictures to take, by their image keys; by default all. All subsets have these alone.

    Raises
    ------
    ValueError
        If there is neither a detector nor drawn marks, or a key is unknown.
    ArtefactError
        If files from elsewhere lie in the zone, or files of it were changed.

    Examples
    --------
    >>> ensure_cleaned_images(pairs, detector=RepeatedMarkDetector())  # doctest: +SKIP
    """
    if detector is None and drawn is None:
        raise ValueError("no detector and no drawn marks: there are no masks to clean by; give one")
    inpainter = OpenCVInpainter() if inpainter is None else inpainter
    if keys is not None:
        pairs = _with_pictures(pairs, frozenset(keys))
    keys = list(dict.fromkeys(pairs.all["image_key"]))
    marked = _subset(
        pairs, pairs, WATERMARKED,
        parameters={"drawn": None if drawn is None else vars(drawn), "seed": seed},
        build=lambda writer, folder: _write_marked(writer, folder, pairs, keys, drawn, seed),
    )  # fmt: skip

    def masks() -> Sequence[np.ndarray]:
        if detector is None:
            return [_read_mask(marked, key) for key in keys]
        return detector.find(_Pictures(marked, keys))

    name = "true masks" if detector is None else detector.name
    cleaned = _subset(
        pairs, marked, subset,
        parameters={
            "detector": name if detector is None else detector.fingerprint, "detector_name": name,
            "inpainter": inpainter.fingerprint, "inpainter_name": inpainter.name, "grow": grow,
        },
        build=lambda writer, folder: _write_cleaned(
            writer, folder, marked, keys, masks(), inpainter, grow, progress
        ),
    )  # fmt: skip
    tables = [read_pairs(s.zone.read_text(f"{s.folder}/table.csv")) for s in (marked, cleaned)]
    table = tables[0].merge(tables[1], on="image_key")[list(CLEANING_COLUMNS)]
    shares = {name: pd.to_numeric(table[name]) for name in CLEANING_COLUMNS[2:]}
    subsets = {WATERMARKED: marked, CLEANED: cleaned}
    if drawn is not None:
        subsets[CLEAN] = pairs
    return CleanedImages(table.assign(**shares), subsets, name, inpainter.name)


def _subset(
    pairs: Pairs, made_from: Pairs, name: str, *, parameters: dict,
    build: Callable[[Writer, str], None],
) -> SubsetPairs:  # fmt: skip
    folder = f"{SUBSETS}/{name}"
    manifest = ensure(
        pairs.zone,
        f"{name}-images",
        kind="images",
        parameters=json.loads(canonical_json(parameters)),
        inputs={"images": made_from.manifest.fingerprint},
        build=lambda writer: build(writer, folder),
        prefixes=(folder,),
        code=code_of(__name__, *CODE),
    )
    return _with_images(pairs, manifest, name, folder)


def _with_images(pairs: Pairs, manifest: Manifest, name: str, folder: str) -> SubsetPairs:
    """The pairs whose pictures are in the subset, with the hashes of these pictures."""
    start = f"{folder}/images/"
    hashes = {
        key.removeprefix(start): record.sha256
        for key, record in manifest.files.items()
        if key.startswith(start)
    }
    own = pairs.all[pairs.all["image_key"].isin(hashes.keys())].reset_index(drop=True)
    own = own.assign(source=own["source"] + f", {name}")
    kept = {f.name: getattr(pairs, f.name) for f in fields(Pairs)}
    changed = {"all": own, "manifest": manifest, "image_hashes": hashes}
    return SubsetPairs(**(kept | changed), folder=folder)


def _with_pictures(pairs: Pairs, keys: frozenset[str]) -> Pairs:
    """The pairs of some pictures; their manifest says which, so that runs tell them apart."""
    own = pairs.all[pairs.all["image_key"].isin(keys)].reset_index(drop=True)
    if unknown := sorted(keys - set(own["image_key"])):
        raise ValueError(f"{len(unknown)} pictures are not among the pairs, such as {unknown[0]!r}")
    inputs = {**pairs.manifest.inputs, "pictures": hash_of(sorted(keys))}
    return replace(pairs, all=own, manifest=replace(pairs.manifest, inputs=inputs))


def _write_marked(
    writer: Writer, folder: str, pairs: Pairs, keys: Sequence[str],
    drawn: DrawnMarks | None, seed: int,
) -> None:  # fmt: skip
    rows = []
    for key in keys:
        picture = pairs.image(key)
        mark = drawn.mark_of(key, seed=seed) if drawn else None
        mask = np.zeros((picture.height, picture.width), bool)
        if mark:
            marked = draw_mark(picture, mark)
            picture, mask = marked.image, marked.mask
        rows.append(
            (key, str(int(mark is not None)), f"{mask.mean():.6f}") if drawn else (key, "", "")
        )
        if drawn:
            writer.write_bytes(_mask_key(folder, key), _png(mask))
        writer.write_bytes(f"{folder}/images/{key}", encode_jpeg(picture))
    table = pd.DataFrame(rows, columns=list(CLEANING_COLUMNS[:3]), dtype="str")
    writer.write_text(f"{folder}/table.csv", write_pairs(table))


def _write_cleaned(
    writer: Writer, folder: str, marked: Pairs, keys: Sequence[str],
    masks: Sequence[np.ndarray], inpainter: Inpainter, grow: int, progress: bool,
) -> None:  # fmt: skip
    rows = []
    bar = tqdm(
        keys, desc="cleaned images", unit="image", disable=not progress or len(keys) <= QUIET
    )
    for key, found in zip(bar, masks, strict=True):
        mask = grown(found, grow)
        rows.append((key, f"{mask.mean():.6f}"))
        writer.write_bytes(_mask_key(folder, key), _png(mask))
        writer.write_bytes(
            f"{folder}/images/{key}", encode_jpeg(inpainter.fill(marked.image(key), mask))
        )
    table = pd.DataFrame(rows, columns=["image_key", "found_share"], dtype="str")
    writer.write_text(f"{folder}/table.csv", write_pairs(table))


def _mask_key(folder: str, key: str) -> str:
    return f"{folder}/masks/{key.rpartition('.')[0]}.png"


def _read_mask(pairs: Pairs, key: str) -> np.ndarray:
    data = pairs.zone.read_bytes(_mask_key(pairs.folder, key))
    return np.asarray(Image.open(BytesIO(data)).convert("L")) > 0


def _png(mask: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return stream.getvalue()
