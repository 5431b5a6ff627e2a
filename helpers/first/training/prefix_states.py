"""What frozen layers make of pictures and captions, through the store: computed once, then found.

The key of a picture is a hash of its pixels as the processor left them, that of a caption one of
its tokens; all else that decides the numbers is in the identity of the store.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from helpers import paths
from helpers.first.models.prefix import (
    Inputs,
    PrefixError,
    SplitTower,
    Texts,
    fingerprint_below,
    trimmed,
)
from helpers.first.training.prefix_store import States, Store, ensure_states
from helpers.first.training.towers import normalized
from helpers.repro import hash_of

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
BATCH = 32


@dataclass(frozen=True)
class How:
    """How prefixes are computed and kept. ``training``: with the model in its training mode."""

    precision: str
    folder: Path | None
    training: bool
    progress: bool

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise PrefixError(
                f"prefix precision {self.precision!r}: use one of {', '.join(PRECISIONS)}"
            )


def image_states(
    tower: SplitTower, pixels: torch.Tensor, cuts: Sequence[int], how: How
) -> list[States]:
    """Hidden states of pictures, (n, 3, h, w) uint8, at each cut; kept by the pixels' hash."""

    def inputs(numbers: list[int]) -> torch.Tensor:
        return normalized(pixels[numbers].float() / 255, tower.encoder).to(tower.encoder.device)

    keys = [_sum(str(tuple(one.shape)).encode(), one) for one in pixels]
    return _ensured(tower, cuts, keys, inputs, how)


def text_states(
    tower: SplitTower, tokens: dict[str, torch.Tensor], cuts: Sequence[int], how: How
) -> list[States]:
    """Hidden states of texts, (m, length) tokens, at each cut; kept by the tokens up to the end."""

    def inputs(numbers: list[int]) -> Texts:
        some = {name: ids[numbers] for name, ids in tokens.items()}
        return trimmed(some, tower.encoder).to(tower.encoder.device)

    ends = trimmed(tokens, tower.encoder).ends.tolist()
    keys = [
        _sum(b"", *(ids[i, : end + 1] for _, ids in sorted(tokens.items())))
        for i, end in enumerate(ends)
    ]
    return _ensured(tower, cuts, keys, inputs, how)


def _ensured(
    tower: SplitTower,
    cuts: Sequence[int],
    keys: Sequence[str],
    inputs_of: Callable[[list[int]], Inputs],
    how: How,
) -> list[States]:
    dtype, device = PRECISIONS[how.precision], tower.encoder.device.split(":")[0]
    half = how.precision == "bf16"

    def compute(numbers: list[int]) -> list[list[torch.Tensor]]:
        inputs = inputs_of(numbers)
        with torch.no_grad(), torch.autocast(device, dtype) if half else nullcontext():
            found = tower.prefix(inputs, cuts)
        return [_items(states.to(dtype), inputs) for states in found]

    stores = [_store(tower, cut, how) for cut in cuts]
    what = {"vision": "prefixes of pictures", "text": "prefixes of captions"}[tower.name]
    with _in_mode(tower.encoder.model, training=how.training):
        return ensure_states(
            stores, keys, compute, batch_size=BATCH, what=what, progress=how.progress
        )


def _items(states: torch.Tensor, inputs: Inputs) -> list[torch.Tensor]:
    """The states of a batch one by one, (t, d) each, without the padding of shorter captions."""
    if states.ndim == 2:
        return list(states[:, None])
    if isinstance(inputs, Texts):
        return [one[: end + 1] for one, end in zip(states, inputs.ends.tolist(), strict=True)]
    return list(states)


def gathered(tower: SplitTower, states: States, cut: int, rows: torch.Tensor) -> torch.Tensor:
    """(b, t, d) or, where one token was pooled, (b, d) float32 on the model's device."""
    found = states.batch(rows).to(tower.encoder.device).float()
    looks_at_all = tower.name == "vision" and tower.encoder.family == "siglip"
    pooled = cut > tower.depth or (cut == tower.depth and not looks_at_all)
    return found[:, 0] if pooled else found


def _store(tower: SplitTower, cut: int, how: How) -> Store:
    encoder, below = tower.encoder, tower.below(cut)
    kinds = {type(part).__name__ for module in below.values() for part in module.modules()}
    identity = {
        "family": encoder.family,
        "tower": tower.name,
        "cut": cut,
        "precision": how.precision,
        "weights": fingerprint_below(below),
        "attention": encoder.model.config._attn_implementation,
        "device": encoder.device.split(":")[0],
        "versions": {name: version(name) for name in ("torch", "transformers")},
        # bitsandbytes multiplies otherwise in training than in evaluation
        "training": how.training and "Linear8bitLt" in kinds,
    }
    if tower.name == "vision":
        settings = encoder.processor.image_processor
        identity["normalization"] = [
            settings.do_normalize, list(settings.image_mean), list(settings.image_std)
        ]  # fmt: skip
    parent = paths.cache() / "prefix" if how.folder is None else how.folder
    name = f"{encoder.family}-{tower.name}-{cut}-{how.precision}-{hash_of(identity)}"
    return Store(parent / name, identity)


def _sum(start: bytes, *tensors: torch.Tensor) -> str:
    digest = hashlib.sha256(start)
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
