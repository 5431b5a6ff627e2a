"""What a search keeps on disk: embeddings of a zone's pictures, their captions, a text tower.

It is an artefact of the zone, ``fine-tuning-zone/search/<id>``, one for each model and adapter, and
made once. Opening it needs neither torch nor transformers.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.first.retrieval.index import build_index
from helpers.first.retrieval.kinds import IndexKind
from helpers.first.retrieval.retriever import Retriever
from helpers.first.retrieval.space import IndexRefused, Space, space_of
from helpers.first.retrieval.text_tower import export_text_tower, open_text_tower
from helpers.first.retrieval.vector_index import VectorIndex
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure, of_kind, read_manifest
from helpers.store.zones import Zone

if TYPE_CHECKING:
    from PIL import Image

    from helpers.first.models.encoders import Encoder

KIND, PREFIX = "search", "search-"
FOLDER = "fine-tuning-zone/search"
INDEX, ITEMS = "index.faiss", "items.json"
CODE = tuple(
    f"helpers.first.retrieval.{name}" for name in ("search_pack", "text_tower", "onnx_export")
)
PAIRS = "pairs"  # the artefact that names the pictures
PICTURES = "fine-tuning-zone/images"


class PackError(ValueError):
    """A zone that cannot be searched yet; names the zone and the remedy."""


@dataclass(frozen=True, eq=False)
class SearchPack:
    """A zone, ready to be searched by text.

    Attributes
    ----------
    zone : Zone
    model, adapter : str
        As they were asked for when it was built.
    retriever : Retriever
        With the text tower for an encoder; the metadata of a picture are ``caption``,
        ``recipe_id`` and ``split``.
    source : str
        What results call the data.
    """

    zone: Zone
    model: str
    adapter: str
    retriever: Retriever
    source: str

    def picture_place(self, key: str) -> Any:
        """Where the picture of a hit lies, a path or an address in an object store."""
        return self.zone.path(f"{PICTURES}/{key}")

    def picture_bytes(self, key: str) -> bytes:
        """The file of a hit."""
        return self.zone.read_bytes(f"{PICTURES}/{key}")

    def with_encoder(self, encoder: "Encoder") -> Retriever:
        """A retriever that answers pictures too. Raises ``IndexRefused`` for another model."""
        return Retriever(encoder, self.retriever.index, self.retriever.metadata)


def pack_name(model: str, adapter: str = "") -> str:
    """The artefact's name."""
    return f"{PREFIX}{hash_of([model, adapter])}"


def ensure_pack(
    zone: Zone,
    encoder: "Encoder",
    *,
    model: str,
    adapter: str = "",
    known: Mapping[str, np.ndarray] | None = None,
    progress: bool = True,
) -> Manifest:
    """The pack of a zone and a model, built where it is not there or the pictures are others.

    Parameters
    ----------
    zone : Zone
        Holds pairs (:func:`helpers.data.pairs.ensure_pairs`).
    encoder : Encoder
        Loaded from ``model`` and ``adapter``, in fp32.
    model, adapter : str
        What the pack is called.
    known : mapping of str to (d,) float32, optional
        Rows of pictures that this encoder has embedded already, by key, such as those of a corpus.
    progress : bool

    Raises
    ------
    PackError
        If the zone holds no pairs.
    TowerError
        If the exported text tower does not do what the encoder does.
    """
    return ensure(
        zone,
        pack_name(model, adapter),
        kind=KIND,
        parameters={"model": model, "adapter": adapter},
        inputs={"pairs": _pairs_of(zone).fingerprint, "model": encoder.fingerprint},
        build=partial(
            _build, encoder=encoder, about=[model, adapter], known=known or {}, progress=progress
        ),
        prefixes=(_place(model, adapter),),
        code=code_of(*CODE),
    )


def packs_of(zone: Zone) -> list[tuple[str, str]]:
    """Model and adapter of every pack in a zone, in the order of their names."""
    found = [made.parameters for made in of_kind(zone, KIND, prefix=PREFIX)]
    return sorted((str(one["model"]), str(one["adapter"])) for one in found)


def open_pack(zone: Zone, *, model: str, adapter: str = "", threads: int = 0) -> SearchPack:
    """Open a pack for searching by text.

    Raises
    ------
    PackError
        If there is none, or it was made from other pictures than the zone holds now.
    ArtefactError
        If its manifest is damaged.
    IndexRefused
        If a file is not what was written.

    Examples
    --------
    >>> pack = open_pack(open_zone(""), model="tiny-siglip")  # doctest: +SKIP
    """
    try:
        manifest = read_manifest(zone, pack_name(model, adapter))
    except FileNotFoundError as error:
        raise PackError(_none_yet(zone, model, adapter)) from error
    if manifest.inputs["pairs"] != _pairs_of(zone).fingerprint:
        raise PackError(
            f"the embeddings of {model} in {zone} are of other images than those that lie "
            "there now: add --build to make them again"
        )
    place = _place(model, adapter)
    read = partial(_checked_file, zone, manifest, place)
    items = json.loads(read(ITEMS))
    there = [key.removeprefix(f"{place}/") for key in manifest.files]
    tower = open_text_tower(
        {name: read(name) for name in there if name not in (INDEX, ITEMS)}, threads=threads
    )
    index = _index(read(INDEX), items["ids"], tower.space)
    fields = ("caption", "recipe_id", "split")
    metadata = {
        key: dict(zip(fields, row, strict=True))
        for key, row in zip(items["ids"], items["rows"], strict=True)
    }
    retriever = Retriever(tower, index, metadata)
    return SearchPack(zone, model, adapter, retriever, items["source"])


def _place(model: str, adapter: str) -> str:
    return f"{FOLDER}/{hash_of([model, adapter])}"


def _pairs_of(zone: Zone) -> Manifest:
    try:
        return read_manifest(zone, PAIRS)
    except FileNotFoundError as error:
        raise PackError(
            f"{zone} holds no pairs of images and captions: run lesson 01 into it"
        ) from error


def _none_yet(zone: Zone, model: str, adapter: str) -> str:
    there = "; ".join(m + f" with {a}" * bool(a) for m, a in packs_of(zone))
    asked = model + f" with {adapter}" * bool(adapter)
    return (
        f"no embeddings of {asked} in {zone} yet (there are: {there or 'none'}): "
        "add --build to make them, once"
    )


def _checked_file(zone: Zone, manifest: Manifest, place: str, name: str) -> bytes:
    """The bytes of a file of the artefact; its hash comes before its content."""
    key = f"{place}/{name}"
    if key not in manifest.files or not zone.exists(key):
        raise IndexRefused(f"{key} is missing in {zone}: add --build to make it again")
    content = zone.read_bytes(key)
    if hashlib.sha256(content).hexdigest() != manifest.files[key].sha256:
        raise IndexRefused(f"{key} in {zone} is damaged: delete it and add --build")
    return content


def _index(content: bytes, ids: list[str], space: Space) -> VectorIndex:
    import faiss

    held = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
    if (held.ntotal, held.d) != (len(ids), space.dimension):
        raise IndexRefused(f"{held.ntotal} rows of {held.d} dimensions for {len(ids)} images")
    return VectorIndex.restored(IndexKind(), space, held, ids, None, trained_on=len(ids))


def _build(
    writer: Writer,
    *,
    encoder: "Encoder",
    about: list[str],
    known: Mapping[str, np.ndarray],
    progress: bool,
) -> None:
    import faiss

    from helpers.data.pairs import TEST, TRAIN, read_pairs

    frames = [read_pairs(writer.zone.read_text(key)) for key in (TRAIN, TEST)]
    rows = [row for frame in frames for row in frame.drop_duplicates("image_key").itertuples()]
    keys = [row.image_key for row in rows]
    space = space_of(encoder)
    missing = [key for key in keys if key not in known]
    loaders: list[Callable[[], Image.Image]] = [partial(_picture, writer.zone, k) for k in missing]
    new = encoder.images(loaders, progress=progress) if missing else []
    rows_of = {**known, **dict(zip(missing, new, strict=True))}
    found = np.stack([rows_of[key] for key in keys])
    index = build_index(found, keys, space=space)
    captions = [row.caption for row in rows]
    items = {
        "source": rows[0].source,
        "ids": keys,
        "rows": [[row.caption, row.recipe_id, row.split] for row in rows],
    }
    place = _place(*about)
    writer.write_bytes(f"{place}/{INDEX}", faiss.serialize_index(index.faiss).tobytes())
    writer.write_text(f"{place}/{ITEMS}", json.dumps(items, ensure_ascii=False))
    for name, content in export_text_tower(encoder, captions[:256]).items():
        writer.write_bytes(f"{place}/{name}", content)


def _picture(zone: Zone, key: str) -> "Image.Image":
    from helpers.data.images import load_image

    return load_image(zone.read_bytes(f"{PICTURES}/{key}"))
