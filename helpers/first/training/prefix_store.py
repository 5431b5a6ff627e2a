"""Kept states on disk: what a frozen prefix makes of each item, computed once, memory-mapped after.

A store is a folder for one prefix: model, preprocessing, cut and precision decide its identity. Its
files hold some items each: their rows under one another, the number of rows of each, and the keys,
hashes of what the items are. A file is written whole or not at all and never changed, so that a
build that was killed goes on behind the last one. Builders take turns; readers need no lock. All of
it may be deleted at any time.
"""

import hashlib
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm.auto import tqdm

from helpers.first.models.prefix import PrefixError
from helpers.repro import canonical_json
from helpers.store.artefacts import held
from helpers.store.zones import PART, write_file_atomically

Compute = Callable[[list[int]], list[list[torch.Tensor]]]
ENDING = ".safetensors"
FILE_BYTES, FILE_SECONDS = 64 * 2**20, 20.0  # what a kill can cost at most
FREE_SHARE = 0.5  # of the free disk, that a build may take


@dataclass(frozen=True)
class Store:
    """A folder and the identity of what lies in it (JSON values)."""

    folder: Path
    identity: Mapping[str, object]


@dataclass(frozen=True)
class States:
    """The states of n items.

    Attributes
    ----------
    files : tuple of (rows, d) tensors
        Memory-mapped.
    places : (n, 3) int64
        Of each item: its file, its first row there, and how many rows it has.
    """

    files: tuple[torch.Tensor, ...]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @property
    def bytes(self) -> int:
        """What the items take on disk."""
        if not len(self):
            return 0
        one = self.files[0]
        return int(self.places[:, 2].sum()) * one.shape[1] * one.element_size()

    def batch(self, numbers: torch.Tensor) -> torch.Tensor:
        """(b, t, d) states of some items, zeros after the shorter ones."""
        places = self.places[numbers.numpy()]
        first = self.files[0]
        longest = int(places[:, 2].max(initial=0))
        found = first.new_zeros(len(places), longest, first.shape[1])
        for row, (file, start, n) in zip(found, places.tolist(), strict=True):
            row[:n] = self.files[file][start : start + n]
        return found


def ensure_states(
    stores: Sequence[Store],
    keys: Sequence[str],
    compute: Compute,
    *,
    batch_size: int = 32,
    what: str = "prefixes",
    progress: bool = True,
) -> list[States]:
    """The states of some items in each of some stores; what is missing is computed and written.

    Parameters
    ----------
    stores : sequence of Store
        Filled in one pass.
    keys : sequence of str
        A SHA-256 in hex for each item; items with one key are one item.
    compute : callable
        Numbers of items to, for each store, the (t, d) states of each.
    batch_size : int
    what : str
        For the progress bar.
    progress : bool

    Raises
    ------
    PrefixError
        If a file is of another store, or the disk is too full.
    """
    indexes = [_Index(store) for store in stores]
    if any(index.missing(keys) for index in indexes):
        with ExitStack() as locks:
            for store in sorted(stores, key=lambda store: store.folder):
                locks.enter_context(held(store.folder / "lock", what=f"computing {what}"))
            for index in indexes:
                index.tidy()
            _build(indexes, keys, compute, batch_size, what, progress)
    return [index.states(keys) for index in indexes]


class _Index:
    """Which item lies where in a store; what was read stays mapped."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.files: list[torch.Tensor] = []
        self.places: dict[str, tuple[int, int, int]] = {}
        self.read: set[Path] = set()
        self._refresh()

    def missing(self, keys: Sequence[str]) -> set[str]:
        return {key for key in keys if key not in self.places}

    def states(self, keys: Sequence[str]) -> States:
        places = np.array([self.places[key] for key in keys], dtype=np.int64).reshape(-1, 3)
        return States(tuple(self.files), places)

    def tidy(self) -> None:
        """Under the lock: drop what a kill or the disk has damaged, and see what others added."""
        for path in self.store.folder.glob(f".*{PART}"):
            path.unlink()
        for path in self._refresh():
            print(
                f"{path} is damaged and was deleted; its states are computed again",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            path.unlink()

    def add(self, keys: list[str], items: list[torch.Tensor]) -> None:
        """Write a file of items and index it."""
        tensors = {
            "rows": torch.cat(items),
            "lengths": torch.tensor([len(item) for item in items]),
            "keys": torch.tensor([list(bytes.fromhex(key)) for key in keys], dtype=torch.uint8),
        }
        about = {"identity": canonical_json(self.store.identity), "sha256": _sum(tensors)}
        path = self.store.folder / f"{uuid.uuid4().hex}{ENDING}"
        write_file_atomically(path, save(tensors, metadata=about))
        self._note(path, tensors | {"rows": _open(path)["rows"]})

    def _refresh(self) -> list[Path]:
        """Read the files that are new; those that are damaged."""
        damaged = []
        for path in sorted(self.store.folder.glob("?" * 32 + ENDING)):
            if path in self.read:
                continue
            try:
                about, tensors = _header(path), _open(path)
            except (SafetensorError, KeyError, OSError):
                damaged.append(path)
                continue
            if about.get("identity") != canonical_json(self.store.identity):
                raise PrefixError(
                    f"{path} holds no states of this model, preprocessing and cut: it was put "
                    f"there by something else; delete {self.store.folder}"
                )
            stamp = path.stat()
            if _is_whole(path, stamp.st_size, stamp.st_mtime_ns):
                self._note(path, tensors)
            else:
                damaged.append(path)
        return damaged

    def _note(self, path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        lengths = tensors["lengths"].tolist()
        starts = np.cumsum([0, *lengths[:-1]]).tolist()
        for key, start, n in zip(tensors["keys"].numpy(), starts, lengths, strict=True):
            self.places[key.tobytes().hex()] = (len(self.files), start, n)
        self.files.append(tensors["rows"])
        self.read.add(path)


def _build(
    indexes: list[_Index],
    keys: Sequence[str],
    compute: Compute,
    batch_size: int,
    what: str,
    progress: bool,
) -> None:
    number_of = {key: i for i, key in reversed(list(enumerate(keys)))}
    missing = [index.missing(keys) for index in indexes]
    todo = sorted(number_of[key] for key in set().union(*missing))
    waiting: list[dict[str, torch.Tensor]] = [{} for _ in indexes]
    bar = tqdm(total=len(todo), desc=f"computing {what}", unit="item", disable=not progress)
    written = time.monotonic()
    with bar:
        for start in range(0, len(todo), batch_size):
            numbers = todo[start : start + batch_size]
            for items, wanted, computed in zip(waiting, missing, compute(numbers), strict=True):
                found = zip((keys[i] for i in numbers), computed, strict=True)
                items.update({key: item.cpu() for key, item in found if key in wanted})
            if not start:
                _check_space(indexes[0].store.folder, waiting, len(todo) / len(numbers))
            held_bytes = sum(item.nbytes for items in waiting for item in items.values())
            last = start + batch_size >= len(todo)
            if last or held_bytes > FILE_BYTES or time.monotonic() - written > FILE_SECONDS:
                for index, items in zip(indexes, waiting, strict=True):
                    if items:
                        index.add(list(items), list(items.values()))
                    items.clear()
                written = time.monotonic()
            bar.update(len(numbers))


def _check_space(folder: Path, waiting: list[dict[str, torch.Tensor]], batches: float) -> None:
    needed = batches * sum(item.nbytes for items in waiting for item in items.values())
    free = shutil.disk_usage(folder).free
    if needed > FREE_SHARE * free:
        raise PrefixError(
            f"the kept states would take {needed / 1e9:.1f} GB in {folder}, where "
            f"{free / 1e9:.1f} GB are free and {FREE_SHARE:.0%} of that may be used: make room, "
            "keep them in bf16, or train with prefix='off'"
        )


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _open(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as file:  # tensors of a closed file stay mapped
        return {name: file.get_tensor(name) for name in ("rows", "lengths", "keys")}


@lru_cache(maxsize=4096)
def _is_whole(path: Path, size: int, changed: int) -> bool:
    """Whether the content is what was written; asked once in a process for a file as it is."""
    return _sum(_open(path)) == _header(path).get("sha256")


def _sum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in ("rows", "lengths", "keys"):
        digest.update(memoryview(tensors[name].contiguous().flatten().view(torch.uint8).numpy()))
    return digest.hexdigest()
