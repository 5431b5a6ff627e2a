"""Embeddings of a frozen model, computed once and kept memory-mapped: what heads train on.

A folder of ``data/cache/features`` holds one part of the data under one model: rows of pictures and
of captions as ``.npy``, and ``features.json`` with their hashes, written last. The folder's name is
the fingerprint of model, pictures and captions, so that nothing stale is ever found there.
"""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import paths
from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.embeddings import check_embeddings
from helpers.first.models.adapter_base import base_of
from helpers.first.models.encoders import Encoder
from helpers.repro import hash_of, sha256_file
from helpers.store.artefacts import held
from helpers.store.zones import write_file_atomically

ROWS = ("images", "texts")
RECORD = "features.json"


@dataclass(frozen=True)
class Features:
    """A retrieval set as a model sees it.

    Attributes
    ----------
    data : RetrievalSet
        n images and m captions with their recipe ids.
    images : (n, d) float32, unit rows
        Memory-mapped and read only, like ``texts``.
    texts : (m, d) float32, unit rows
    fingerprint : str
        Of model, pictures and captions.
    """

    data: RetrievalSet
    images: np.ndarray
    texts: np.ndarray
    fingerprint: str

    @property
    def dimension(self) -> int:
        """Length of a row."""
        return self.images.shape[1]

    @cached_property
    def recipes(self) -> np.ndarray:
        """The recipe ids, each once, in the order of the images: (r,) str."""
        return np.array(list(dict.fromkeys(self.data.image_ids.tolist())))

    def ids(self, direction: str) -> np.ndarray:
        """The recipe of each query of a direction."""
        return self.data.caption_ids if direction == "text_to_image" else self.data.image_ids


def ensure_features(
    encoder: Encoder,
    data: RetrievalSet,
    load_image: Callable[[str], Image.Image],
    *,
    image_hashes: Mapping[str, str],
    folder: Path | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> Features:
    """The embeddings of a retrieval set, computed where they are not kept yet.

    Parameters
    ----------
    encoder : Encoder
        Frozen; its weights, preprocessing, tokenizer and precision are part of the fingerprint.
    data : RetrievalSet
    load_image : callable
        Key to picture, such as ``pairs.image``.
    image_hashes : mapping of image key to str
        Hashes of the pictures' content, such as ``pairs.image_hashes``.
    folder : Path, optional
        Default: ``data/cache/features``. A damaged entry is computed again.
    batch_size : int
        Images a batch.

    Raises
    ------
    KeyError
        If a picture has no hash.
    InvalidEmbeddings
        If the model gives rows that cannot be ranked.

    Examples
    --------
    >>> features = ensure_features(encoder, retrieval_set(pairs.train), pairs.image,
    ...                            image_hashes=pairs.image_hashes)  # doctest: +SKIP
    """
    fingerprint = _fingerprint(encoder, data, image_hashes)
    place = (paths.cache() / "features" if folder is None else Path(folder)) / fingerprint
    with held(place.with_suffix(".lock"), what=f"features {fingerprint} of {encoder.name}"):
        if not _whole(place):
            shutil.rmtree(place, ignore_errors=True)
            loaders = [partial(load_image, key) for key in data.image_keys]
            rows = {
                "images": encoder.images(loaders, batch_size=batch_size, progress=progress),
                "texts": encoder.texts(list(data.captions), progress=progress),
            }
            _write(place, rows)
    found = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in ROWS}
    for name, rows in found.items():
        check_embeddings(rows, name=f"cached {name} of {encoder.name} in {place}")
    return Features(data, **found, fingerprint=fingerprint)


def take_recipes(features: Features, n: int, *, seed: int) -> Features:
    """The part of ``n`` recipes that a seed draws; of one seed, the smaller part is in the larger.

    Parameters
    ----------
    n : int
        How many recipes; 0: all, as they are.
    seed : int

    Raises
    ------
    ValueError
        If there are fewer recipes.

    Examples
    --------
    >>> few = take_recipes(features, 50, seed=42)  # doctest: +SKIP
    """
    if n == 0:
        return features
    known = np.sort(features.recipes)
    if not 0 < n <= len(known):
        raise ValueError(f"{n} recipes are asked for and there are {len(known)}: give 0 for all")
    chosen = set(np.random.default_rng([seed, 8]).permutation(known)[:n].tolist())
    data = features.data
    of_image = np.flatnonzero([i in chosen for i in data.image_ids])
    of_text = np.flatnonzero([i in chosen for i in data.caption_ids])
    part = RetrievalSet(
        tuple(data.image_keys[i] for i in of_image), data.image_ids[of_image],
        tuple(data.captions[i] for i in of_text), data.caption_ids[of_text],
    )  # fmt: skip
    name = hash_of([features.fingerprint, sorted(chosen)])
    return Features(part, features.images[of_image], features.texts[of_text], name)


def _fingerprint(encoder: Encoder, data: RetrievalSet, image_hashes: Mapping[str, str]) -> str:
    base = base_of(encoder)
    model = [base.fingerprint, base.preprocessing, base.tokenizer, encoder.precision]
    pictures = [[key, image_hashes[key]] for key in data.image_keys]
    ids = [data.image_ids.tolist(), data.caption_ids.tolist()]
    return hash_of([model, pictures, list(data.captions), ids], digits=16)


def _write(place: Path, rows: Mapping[str, np.ndarray]) -> None:
    hashes = {}
    for name, values in rows.items():
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(values, dtype=np.float32), allow_pickle=False)
        write_file_atomically(place / f"{name}.npy", stream.getvalue())
        hashes[name] = sha256_file(place / f"{name}.npy")
    write_file_atomically(place / RECORD, json.dumps(hashes).encode())


def _whole(place: Path) -> bool:
    """Whether all files are there and are what was written."""
    files = [place / f"{name}.npy" for name in ROWS]
    if not all(path.is_file() for path in (*files, place / RECORD)):
        return False
    try:
        recorded = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return recorded == {path.stem: sha256_file(path) for path in files}
