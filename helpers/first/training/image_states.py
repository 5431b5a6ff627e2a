"""What a frozen vision tower says of pictures, computed once and kept memory-mapped.

A Q-Former looks at all tokens of a picture, so a row here is a matrix. A folder of
``data/cache/states`` holds one model's view of some pictures, as ``states.npy`` and, written last,
``states.json`` with its hash; its name is the fingerprint of model and pictures.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from helpers import paths
from helpers.first.models.blip2 import Blip2
from helpers.repro import hash_of, sha256_file
from helpers.store.artefacts import held
from helpers.store.zones import write_file_atomically

STATES, RECORD = "states.npy", "states.json"


@dataclass(frozen=True)
class ImageStates:
    """Pictures as the Q-Former sees them, by their ids.

    Attributes
    ----------
    names : tuple of str
    parts : tuple of (n, t, width) float16
        Memory-mapped and read only; together they hold a matrix for each name, in order.
    fingerprint : str
        Of model and pictures.
    model : str
        The model's fingerprint.
    """

    names: tuple[str, ...]
    parts: tuple[np.ndarray, ...]
    fingerprint: str
    model: str

    @cached_property
    def _place(self) -> dict[str, tuple[int, int]]:
        rows = ((part, row) for part, held in enumerate(self.parts) for row in range(len(held)))
        return dict(zip(self.names, rows, strict=True))

    def of(self, names: Sequence[str]) -> torch.Tensor:
        """(m, t, width) float32 of some pictures.

        Raises
        ------
        KeyError
            If a picture is not among them; the message names it.
        """
        if strangers := [name for name in names if name not in self._place]:
            raise KeyError(
                f"picture {strangers[0]!r} is not among the {len(self.names)} whose states are "
                "known: give ensure_states the pictures of every set"
            )
        rows = [self.parts[part][row] for part, row in map(self._place.get, names)]
        return torch.from_numpy(np.stack(rows).astype(np.float32))

    @classmethod
    def joined(cls, *several: "ImageStates") -> "ImageStates":
        """Several as one, such as two domains'.

        Raises
        ------
        ValueError
            If they are of different models, or share a name.
        """
        names = tuple(name for one in several for name in one.names)
        if len({one.model for one in several}) != 1:
            raise ValueError("image states of different models cannot be joined")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"picture {twice!r} is in two of the image states that are joined")
        parts = tuple(part for one in several for part in one.parts)
        fingerprint = hash_of([one.fingerprint for one in several], digits=16)
        return cls(names, parts, fingerprint, several[0].model)


def ensure_states(
    blip2: Blip2,
    names: Sequence[str],
    load_image: Callable[[str], Image.Image],
    image_hash: Callable[[str], str],
    *,
    folder: Path | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> ImageStates:
    """The states of pictures, computed where they are not kept yet.

    Parameters
    ----------
    blip2 : Blip2
    names : sequence of str
        Ids of pictures; repeated ones count once.
    load_image, image_hash : callable
        An id to its picture, and to a hash of the picture's content.
    folder : Path, optional
        Default: ``data/cache/states``. A damaged entry is computed again.
    batch_size : int

    Raises
    ------
    ValueError
        If no picture is named, or the tower gives a number that is not finite.

    Examples
    --------
    >>> states = ensure_states(blip2, names, source.load_image, source.image_hash)  # doctest: +SKIP
    """
    names = tuple(dict.fromkeys(names))
    if not names:
        raise ValueError(f"no picture was named for {blip2.name}; give at least one")
    model = hash_of([blip2.fingerprint, blip2.precision, _preprocessing(blip2)], digits=16)
    fingerprint = hash_of([model, [[name, image_hash(name)] for name in names]], digits=16)
    place = (paths.cache() / "states" if folder is None else Path(folder)) / fingerprint
    with held(place.with_suffix(".lock"), what=f"image states {fingerprint} of {blip2.name}"):
        if not _whole(place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            loaders = [partial(load_image, name) for name in names]
            _compute(blip2, loaders, place / STATES, batch_size, progress)
            record = {"sha256": sha256_file(place / STATES), "names": len(names)}
            write_file_atomically(place / RECORD, json.dumps(record).encode())
    rows = np.load(place / STATES, mmap_mode="r")
    return ImageStates(names, (rows,), fingerprint, model)


def _compute(
    blip2: Blip2,
    loaders: Sequence[Callable[[], Image.Image]],
    file: Path,
    batch_size: int,
    progress: bool,
) -> None:
    """Batch by batch into the file: states of many pictures need not fit in memory."""
    rows = None
    starts = range(0, len(loaders), batch_size)
    for start in tqdm(starts, desc=f"reading with {blip2.name}", disable=not progress):
        found = blip2.states(loaders[start : start + batch_size])
        if not np.isfinite(found).all() or np.abs(found).max() > np.finfo(np.float16).max:
            raise ValueError(
                f"{blip2.name} gives states that are not finite for pictures {start} to "
                f"{start + len(found) - 1}; look at its weights"
            )
        if rows is None:
            shape = (len(loaders), *found.shape[1:])
            rows = np.lib.format.open_memmap(file, "w+", np.float16, shape)
        rows[start : start + len(found)] = found
    rows.flush()


def _preprocessing(blip2: Blip2) -> dict:
    kept = blip2.processor.image_processor.to_dict()
    return {name: value for name, value in kept.items() if not name.startswith("_")}


def _whole(place: Path) -> bool:
    """Whether the states are there and are what was written."""
    if not ((place / STATES).is_file() and (place / RECORD).is_file()):
        return False
    try:
        recorded = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return recorded.get("sha256") == sha256_file(place / STATES)
