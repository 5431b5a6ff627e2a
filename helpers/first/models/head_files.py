"""Heads on disk and on a model: two files, and an encoder's face for whoever searches.

``heads.safetensors`` holds the weights, ``heads.json`` their shape, the model they belong to and
the hash of the weights. Opening them on another model is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from transformers import ProcessorMixin

from helpers.first.models.adapter_base import Base, base_of, check_base
from helpers.first.models.adapters import HeadError, Heads, HeadShape, apply_heads
from helpers.first.models.encoders import Encoder, Picture
from helpers.first.models.loading import weights_fingerprint
from helpers.repro import hash_of, library_versions, sha256_file
from helpers.store.zones import write_file_atomically

WEIGHTS, RECORD = "heads.safetensors", "heads.json"


@dataclass(frozen=True)
class Headed:
    """An encoder with heads on it: the same calls, adapted rows.

    Attributes
    ----------
    encoder : Encoder
    heads : Heads
    """

    encoder: Encoder
    heads: Heads

    @property
    def name(self) -> str:
        """The model's name, with what was put on it."""
        return f"{self.encoder.name} + {self.heads.shape.kind} heads"

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.heads.dimension

    @property
    def processor(self) -> ProcessorMixin:
        """The model's: heads change nothing in what is read."""
        return self.encoder.processor

    @property
    def fingerprint(self) -> str:
        """A hash of the model's weights and the heads'."""
        return hash_of([self.encoder.fingerprint, weights_fingerprint(self.heads)], digits=16)

    def images(self, pictures: Iterable[Picture], **options) -> np.ndarray:
        """(n, d) float32 unit rows; options as for ``Encoder.images``."""
        rows = self.encoder.images(pictures, **options)
        return apply_heads(self.heads, rows, rows[:0])[0]

    def texts(self, captions: Sequence[str], **options) -> np.ndarray:
        """(n, d) float32 unit rows; options as for ``Encoder.texts``."""
        rows = self.encoder.texts(captions, **options)
        return apply_heads(self.heads, rows[:0], rows)[1]


def head_files(heads: Heads, encoder: Encoder) -> dict[str, bytes]:
    """The two files by name, for a folder or a zone."""
    weights = save({k: v.detach().cpu().contiguous() for k, v in heads.state_dict().items()})
    record = {
        "schema": 1,
        "shape": asdict(heads.shape),
        "dimension": heads.dimension,
        "base": asdict(base_of(encoder)),
        "files": {WEIGHTS: hashlib.sha256(weights).hexdigest()},
        "versions": library_versions(),
    }
    return {WEIGHTS: weights, RECORD: (json.dumps(record, indent=1) + "\n").encode()}


def save_heads(heads: Heads, encoder: Encoder, folder: Path) -> None:
    """Write heads to a folder; the record comes last, so that a folder cut short is refused."""
    for name, content in head_files(heads, encoder).items():
        write_file_atomically(Path(folder) / name, content)


def load_heads(encoder: Encoder, folder: Path) -> Heads:
    """Open saved heads for the model that they were trained on.

    Raises
    ------
    HeadError
        If a file is missing, is not what was written, or does not fit its record.
    AdapterError
        If ``encoder`` is not the model that is recorded.

    Examples
    --------
    >>> heads = load_heads(load_encoder("tiny-siglip"), Path("heads"))  # doctest: +SKIP
    """
    folder = Path(folder)
    for name in (RECORD, WEIGHTS):
        if not (folder / name).is_file():
            raise HeadError(f"{folder} has no {name}: save or copy the heads again, whole")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        base = Base(**{f.name: record["base"][f.name] for f in fields(Base)})
        shape, digest = HeadShape(**record["shape"]), record["files"][WEIGHTS]
        dimension = int(record["dimension"])
    except (ValueError, KeyError, TypeError) as error:
        raise HeadError(f"{folder / RECORD} cannot be read ({error!r}): save it again") from error
    check_base(base, encoder, folder)
    if sha256_file(folder / WEIGHTS) != digest:
        raise HeadError(f"{folder / WEIGHTS} differs from what was saved: copy or save it again")
    heads = Heads(shape, dimension)
    try:
        heads.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        raise HeadError(f"{folder / WEIGHTS} does not fit its record: {error}") from error
    return heads.eval()
