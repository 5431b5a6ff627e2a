"""The state of a run that is under way, as one file: written whole or not at all, never pickled.

A safetensors file holds the tensors, and in its header one JSON text for all the rest. One file
means that weights, optimizer and logs are always of the same step.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from helpers.store.zones import write_file_atomically


class StateError(RuntimeError):
    """A saved state that cannot be gone on from."""


@dataclass(frozen=True)
class Saved:
    """Tensors by name, and the JSON values beside them."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


def write_state(path: Path, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    """Write a state in the place of an older one; a kill at any moment leaves the one or the other.

    Numbers survive to the last bit; NaN and infinity are refused with ``ValueError``.
    """
    content = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    header = {"state": json.dumps(values, allow_nan=False)}
    write_file_atomically(path, save(content, metadata=header))


def read_state(path: Path, *, identity: str) -> Saved | None:
    """Read a state; ``None`` where there is none.

    Parameters
    ----------
    path : Path
    identity : str
        Hash of what the run is (settings, data, weights at the start). A state of another run is
        refused.

    Raises
    ------
    StateError
        If the file is no state, or is that of another run.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})["state"])
            names = list(file.keys())
            # Copies: a mapped file could not be replaced on Windows.
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, KeyError, ValueError) as error:
        raise StateError(
            f"{path} is no state of a training run ({error!r}): delete it to start from the "
            "beginning"
        ) from error
    if values.get("identity") != identity:
        raise StateError(
            f"{path} is the state of another run (other settings, data or model): delete it to "
            "start from the beginning, or give this run a file of its own"
        )
    return Saved(tensors, values)


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str]
) -> dict[str, torch.Tensor]:
    """Step counts and moments as ``optimizer|<key>|<parameter>``."""
    return {
        f"optimizer|{key}|{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    trainable: Mapping[str, nn.Parameter],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Put back what :func:`optimizer_tensors` gave, named ``<key>|<parameter>`` here."""
    for full, value in tensors.items():
        key, name = full.split("|", 1)
        parameter = trainable[name]
        # A fused AdamW keeps its step counts beside the weights.
        optimizer.state[parameter][key] = value.to(parameter.device)
