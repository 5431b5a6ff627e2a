"""What a frozen model makes of items, computed once and memory-mapped from then on.

A cache is a folder for one model and one kind of array (embeddings, states at a layer). Its files
hold some items each, with their keys: hashes of what the items are, so that runs, lessons and seeds
share them. A file is written whole or not at all, is checked when it is opened and never changed; a
build that was killed continues behind the last one. All of it may be deleted at any time.
"""

import hashlib
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm.auto import tqdm

from helpers import paths
from helpers.store.zones import write_file_atomically

FILE_BYTES = 64 * 2**20  # what a kill can cost at most
Compute = Callable[[list[int]], Iterable[torch.Tensor]]


class CacheError(ValueError):
    """A cache that holds something else than it should."""


@dataclass(frozen=True)
class Items:
    """Cached arrays of n items.

    ``files`` are (rows, d) tensors, memory-mapped; ``places``, (n, 3) int64, say of each item in
    which file it lies, at which row it begins there, and how many rows it has.
    """

    files: tuple[torch.Tensor, ...]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, numbers: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """(b, t, d) arrays of some items, zeros behind the shorter ones."""
        places = self.places[np.asarray(numbers)]
        first = self.files[0]
        found = first.new_zeros(len(places), int(places[:, 2].max()), first.shape[1])
        for item, (file, start, n) in zip(found, places.tolist(), strict=True):
            item[:n] = self.files[file][start : start + n]
        return found


@dataclass(frozen=True)
class Cache:
    """A folder of arrays by item.

    ``fingerprint`` is that of everything that decides the arrays: weights, preprocessing, device,
    library versions. ``kind`` says what they are, such as ``vision states at layer 10``. ``folder``
    is the parent of all caches, by default ``data/cache/items``.
    """

    fingerprint: str
    kind: str
    folder: Path | None = None

    @property
    def place(self) -> Path:
        """Where the files of this cache lie."""
        parent = paths.cache() / "items" if self.folder is None else Path(self.folder)
        return parent / f"{self.kind.replace(' ', '-')}-{self.fingerprint}"

    def fetch(self, keys: Sequence[str], compute: Compute, *, batch_size: int = 32) -> Items:
        """The arrays of some items; what is missing is computed and written.

        ``keys`` are a SHA-256 in hex for each item; items with one key are one item. ``compute``
        gives the (t, d) or (d,) array of each, from their numbers. Raises ``CacheError`` if a file
        there is of another cache.
        """
        files, found = self._read()
        if any(key not in found for key in keys):
            self.place.mkdir(parents=True, exist_ok=True)
            with FileLock(self.place / "lock"):
                files, found = self._read()
                number_of = {key: i for i, key in reversed(list(enumerate(keys)))}
                todo = sorted(i for key, i in number_of.items() if key not in found)
                self._build(todo, keys, compute, batch_size)
                files, found = self._read()
        places = np.array([found[key] for key in keys], dtype=np.int64).reshape(-1, 3)
        return Items(tuple(files), places)

    def _read(self) -> tuple[list[torch.Tensor], dict[str, tuple[int, int, int]]]:
        """The files that are whole, and where each key lies; damaged files are deleted."""
        files: list[torch.Tensor] = []
        found: dict[str, tuple[int, int, int]] = {}
        for path in sorted(self.place.glob("?" * 32 + ".safetensors")):
            stamp = path.stat()
            header = _header(path, stamp.st_size, stamp.st_mtime_ns)
            if header is None:
                print(
                    f"{path} is damaged and was deleted; its items are computed again",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
                path.unlink(missing_ok=True)
                continue
            if (header["fingerprint"], header["kind"]) != (self.fingerprint, self.kind):
                raise CacheError(
                    f"{path} holds no {self.kind} of this model: it was put there by something "
                    f"else; delete {self.place}"
                )
            keys, lengths = json.loads(header["keys"]), json.loads(header["lengths"])
            starts = np.cumsum([0, *lengths[:-1]]).tolist()
            for key, start, n in zip(keys, starts, lengths, strict=True):
                found[key] = (len(files), start, n)
            files.append(_rows(path))
        return files, found

    def _build(
        self, todo: list[int], keys: Sequence[str], compute: Compute, batch_size: int
    ) -> None:
        waiting: dict[str, torch.Tensor] = {}
        with tqdm(total=len(todo), desc=f"computing {self.kind}", delay=5, leave=False) as bar:
            for start in range(0, len(todo), batch_size):
                numbers = todo[start : start + batch_size]
                arrays = [one.detach().cpu() for one in compute(numbers)]
                arrays = [one[None] if one.ndim == 1 else one for one in arrays]
                waiting |= dict(zip((keys[i] for i in numbers), arrays, strict=True))
                size = sum(one.nbytes for one in waiting.values())
                if size > FILE_BYTES or start + batch_size >= len(todo):
                    self._write(waiting)
                    waiting = {}
                bar.update(len(numbers))

    def _write(self, items: Mapping[str, torch.Tensor]) -> None:
        rows = torch.cat(list(items.values())).contiguous()
        about = {
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "keys": json.dumps(list(items)),
            "lengths": json.dumps([len(one) for one in items.values()]),
        }
        about["sha256"] = _sum(rows, about)
        path = self.place / f"{uuid.uuid4().hex}.safetensors"
        write_file_atomically(path, save({"rows": rows}, metadata=about))


def key_of(*parts: torch.Tensor | np.ndarray | bytes) -> str:
    """The key of an item: a SHA-256 of its content, shapes included."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.contiguous().numpy()
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()


def _rows(path: Path) -> torch.Tensor:
    with safe_open(path, framework="pt") as file:  # tensors of a closed file stay mapped
        return file.get_tensor("rows")


@lru_cache(maxsize=4096)
def _header(path: Path, size: int, changed: int) -> dict[str, str] | None:
    """The header of a file whose content is what was written, else None; read once a process."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
        whole = _sum(_rows(path), header) == header["sha256"]
    except (SafetensorError, KeyError, OSError):
        return None
    return header if whole else None


def _sum(rows: torch.Tensor, about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps([about[k] for k in ("keys", "lengths")]).encode())
    digest.update(memoryview(rows.contiguous().flatten().view(torch.uint8).numpy()))
    return digest.hexdigest()
