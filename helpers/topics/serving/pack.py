"""A search pack: the embeddings of a zone's images, their captions, and a text tower.

It is an artefact of the zone, ``fine-tuning-zone/search/<id>``, one for each model and adapter:
``index.faiss``, ``items.json``, and the files of the text tower. ``_build`` alone writes it.
Opening it needs neither torch nor transformers.
"""

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from helpers import paths
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure, of_kind, read_manifest
from helpers.store.zones import Zone
from helpers.topics.serving.index import FlatIndex, IndexRefused, space_of
from helpers.topics.serving.retriever import Retriever
from helpers.topics.serving.text_tower import export_text_tower, open_text_tower

if TYPE_CHECKING:
    from helpers.models.encoder import Encoder

KIND, PREFIX = "search", "search-"
FOLDER = "fine-tuning-zone/search"
INDEX, ITEMS = "index.faiss", "items.json"
FIELDS = ("caption", "recipe_id", "split")
CODE = tuple(f"helpers.topics.serving.{name}" for name in ("pack", "text_tower", "onnx", "index"))
PAIRS = "pairs"  # the artefact that names the images
IMAGES = "fine-tuning-zone/images"
RUNS = "fine-tuning-zone/experiments/lora"
ADAPTER = re.compile(rf"({RUNS}/run_\d{{8}}T\d{{6}}/adapters)/base\.json")


class PackError(ValueError):
    """A zone that cannot be searched yet; names the zone and the remedy."""


@dataclass(frozen=True, eq=False)
class SearchPack:
    """A zone, ready to be searched.

    ``model`` and ``adapter`` are as they were asked for when it was built, ``factor`` is how much
    of the adapter's update is in the embeddings, ``source`` what results call the data. The
    retriever answers texts; the metadata of an image are ``caption``, ``recipe_id`` and ``split``.
    """

    zone: Zone
    model: str
    adapter: str
    factor: float
    retriever: Retriever
    source: str

    @property
    def made_by(self) -> str:
        """Model, adapter and factor in words."""
        return made_by(self.model, self.adapter, self.factor)

    def image_place(self, key: str) -> Any:
        """Where the image of a hit lies, a path or an address in an object store."""
        return self.zone.path(f"{IMAGES}/{key}")

    def image_bytes(self, key: str) -> bytes:
        """The file of a hit."""
        return self.zone.read_bytes(f"{IMAGES}/{key}")

    def with_images(self) -> Retriever:
        """A retriever that answers images too; opens the whole model, which takes seconds.

        Raises ``IndexRefused`` if the model or the adapter has changed since.
        """
        encoder, _ = open_encoder(self.zone, self.model, self.adapter)
        return self.retriever.with_images(encoder)


def made_by(model: str, adapter: str, factor: float = 1.0) -> str:
    """Model and adapter in words, with the factor of its update.

    >>> made_by("tiny-siglip", "fine-tuning-zone/experiments/lora/run_7/adapters", 0.5)
    'tiny-siglip with adapter lora/run_7 (factor 0.5)'
    """
    if not adapter:
        return f"{model} without adapter"
    short = adapter.removeprefix("fine-tuning-zone/experiments/").removesuffix("/adapters")
    return f"{model} with adapter {short} (factor {factor:g})"


def newest_adapter(zone: Zone, model: str) -> str:
    """The key of the last adapter that a run has trained for a model; empty where there is none."""
    found = [match[1] for key in zone.list(RUNS) if (match := ADAPTER.fullmatch(key))]
    for folder in sorted(found, reverse=True):  # a run's name is its time
        name = json.loads(zone.read_text(f"{folder}/base.json"))["base"]["name"]
        if name in (model, PurePath(model).name):
            return folder
    return ""


def open_encoder(
    zone: Zone, model: str, adapter: str = "", *, device: str = "auto"
) -> tuple["Encoder", float]:
    """A model with an adapter, and the factor that was saved with it (1 where none was).

    ``adapter`` is the key of a run's adapter in the zone, or a folder; empty: the base alone.
    Raises ``ModelError`` if the model, or the adapter on it, cannot be opened.
    """
    from helpers.models.encoder import load_encoder

    encoder = load_encoder(model, device=device)
    if not adapter:
        return encoder, 1.0
    from helpers.models.adapter_files import read_record
    from helpers.models.lora import load_adapter

    with tempfile.TemporaryDirectory() as copied:
        folder = paths.find(adapter)
        if adapter.startswith(f"{RUNS}/"):  # of the zone, which may be an object store
            folder = Path(copied)
            for key in zone.list(adapter):
                (folder / key.rpartition("/")[2]).write_bytes(zone.read_bytes(key))
        return load_adapter(encoder, folder), float(read_record(folder).get("factor", 1.0))


def ensure_pack(
    zone: Zone,
    encoder: "Encoder",
    *,
    model: str,
    adapter: str = "",
    factor: float = 1.0,
    progress: bool = True,
) -> Manifest:
    """The pack of a zone and a model, built where it is not there or the images are others.

    ``encoder`` is that of :func:`open_encoder`, in fp32. Raises ``PackError`` if the zone holds no
    pairs (:func:`helpers.data.pairs.ensure_pairs`), ``TowerError`` if the exported text tower does
    not do what the encoder does.
    """
    return ensure(
        zone,
        _name(model, adapter),
        kind=KIND,
        parameters={"model": model, "adapter": adapter, "factor": factor},
        inputs={"pairs": _pairs_of(zone).fingerprint, "model": encoder.fingerprint},
        build=partial(
            _build, encoder=encoder, place=_place(model, adapter), progress=progress
        ),
        prefixes=(_place(model, adapter),),
        code=code_of(*CODE),
    )  # fmt: skip


def packs_of(zone: Zone) -> list[tuple[str, str]]:
    """Model and adapter of every pack in a zone, in the order of their names."""
    found = [made.parameters for made in of_kind(zone, KIND, prefix=PREFIX)]
    return sorted((str(one["model"]), str(one["adapter"])) for one in found)


def open_pack(zone: Zone, *, model: str, adapter: str = "", threads: int = 0) -> SearchPack:
    """Open a pack for searching by text.

    Raises
    ------
    PackError
        If there is none, or it was made from other images than the zone holds now.
    ArtefactError
        If its manifest is damaged.
    IndexRefused
        If a file is not what was written.
    """
    try:
        manifest = read_manifest(zone, _name(model, adapter))
    except FileNotFoundError as error:
        raise PackError(_none_yet(zone, model, adapter)) from error
    if manifest.inputs["pairs"] != _pairs_of(zone).fingerprint:
        raise PackError(
            f"the embeddings of {model} in {zone} are of other images than those that lie "
            "there now: add --build to make them again"
        )
    if "factor" not in manifest.parameters:
        raise PackError(
            f"the embeddings of {model} in {zone} were made by an earlier version: add --build to "
            "make them again"
        )
    place = _place(model, adapter)
    read = partial(_checked_file, zone, manifest, place)
    items = json.loads(read(ITEMS))
    files = [key.removeprefix(f"{place}/") for key in manifest.files]
    tower = open_text_tower(
        {name: read(name) for name in files if name not in (INDEX, ITEMS)}, threads=threads
    )
    index = FlatIndex.from_bytes(read(INDEX), items["ids"], tower.space)
    metadata = {
        key: dict(zip(FIELDS, row, strict=True))
        for key, row in zip(items["ids"], items["rows"], strict=True)
    }
    factor = float(manifest.parameters["factor"])
    retriever = Retriever(tower, index, metadata, about={"adapter": adapter, "factor": factor})
    return SearchPack(zone, model, adapter, factor, retriever, items["source"])


def _build(writer: Writer, *, encoder: "Encoder", place: str, progress: bool) -> None:
    from helpers.data.images import load_image
    from helpers.data.pairs import TEST, TRAIN, read_pairs

    frames = [read_pairs(writer.zone.read_text(key)) for key in (TRAIN, TEST)]
    rows = [row for frame in frames for row in frame.drop_duplicates("image_key").itertuples()]
    keys = [row.image_key for row in rows]
    images = (load_image(writer.zone.read_bytes(f"{IMAGES}/{key}")) for key in keys)
    embedded = encoder.images(images, progress=progress)
    index = FlatIndex.of(embedded, keys, space_of(encoder))
    items = {
        "source": rows[0].source,
        "ids": keys,
        "rows": [[getattr(row, name) for name in FIELDS] for row in rows],
    }
    writer.write_bytes(f"{place}/{INDEX}", index.to_bytes())
    writer.write_text(f"{place}/{ITEMS}", json.dumps(items, ensure_ascii=False))
    for name, content in export_text_tower(encoder, [row.caption for row in rows[:256]]).items():
        writer.write_bytes(f"{place}/{name}", content)


def _name(model: str, adapter: str) -> str:
    return f"{PREFIX}{hash_of([model, adapter])}"


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
