"""Where an adapter goes: one frozen record of a placement's choices, and the modules that it names.

Modules are named by their full path. A list of bare names would also catch the attention inside the
pooling head of SigLIP's vision tower, which never gets a gradient, and a list of layer numbers
would hit both towers.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel

METHODS = ("lora", "dora", "rslora", "qlora", "prompt", "full")
MODULES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), "self_attn"),
    **dict.fromkeys(("fc1", "fc2"), "mlp"),
}
# What other pipelines write in the place of a method, and what is to be done here.
INSTEAD = {
    "baseline": "it trains nothing, and lesson 03 measures the baseline: course run --only 03",
}


class PlacementError(ValueError):
    """A placement that is unknown, impossible, or does not fit the model."""


@dataclass(frozen=True)
class Placement:
    """Which weights an adapter adds, and which it trains.

    Attributes
    ----------
    rank : int
        Of the update; for ``prompt`` the number of learned tokens in each tower that has any.
    alpha : float
        The update is scaled by alpha / rank (rslora: alpha / sqrt(rank)).
    dropout : float
        On the input of the adapter, in training only.
    vision_layers, text_layers : int or "all"
        The last k layers of a tower; 0: none; -1 or "all": all.
    heads : bool
        Train the projection heads too: CLIP ``visual_projection`` and ``text_projection``, SigLIP
        the ``head`` of both towers. SigLIP's are large: compare trainable counts before scores.
    modules : str
        Comma-separated: ``q_proj``, ``k_proj``, ``v_proj``, ``out_proj``, ``fc1``, ``fc2``.
    method : str
        ``lora``, ``dora``, ``rslora``; ``qlora``: LoRA on frozen weights in 8 bits; ``prompt``:
        learned tokens (see :mod:`helpers.models.methods`); ``full``: the weights of the layers
        themselves, and where a tower has all its layers in it, of the whole tower and its head;
        with ``heads`` and no layers, of the heads alone.

    Notes
    -----
    What a method has no use for (``alpha``, ``dropout``, ``modules``, with ``full`` the rank too)
    becomes 0 or empty, whatever is given, so that equal adapters are equal placements.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05
    vision_layers: int | str = -1
    text_layers: int | str = -1
    heads: bool = False
    modules: str = "q_proj,k_proj,v_proj,out_proj"
    method: str = "lora"

    def __post_init__(self) -> None:
        if self.method in INSTEAD:
            raise PlacementError(f"method {self.method!r}: {INSTEAD[self.method]}")
        if self.method not in METHODS:
            raise PlacementError(
                f"method {self.method!r} is not available: use one of {', '.join(METHODS)}"
                + _closest(self.method, METHODS)
            )
        put = partial(object.__setattr__, self)  # a frozen record
        put("alpha", float(self.alpha))  # 16 and 16.0 are one placement
        if self.method in ("prompt", "full"):
            put("alpha", 0.0)
            put("dropout", 0.0)
            put("modules", "")
        if self.method == "full":
            put("rank", 0)
        for name in ("vision_layers", "text_layers"):
            value = getattr(self, name)
            if value == "all":
                put(name, -1)
            elif not isinstance(value, int) or isinstance(value, bool) or value < -1:
                raise PlacementError(
                    f"{name} is {value!r}: give the number of last layers, 0 for none, -1 for all"
                )
        heads_alone = self.method == "full" and self.heads
        if (self.vision_layers, self.text_layers) == (0, 0) and not heads_alone:
            raise PlacementError(
                "vision_layers and text_layers are both 0: an adapter needs a layer of a tower"
            )
        low = self.rank < 1 and self.method != "full"
        if low or (self.alpha <= 0 and self.modules) or not 0 <= self.dropout < 1:
            raise PlacementError(
                f"rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}: "
                "rank is at least 1, alpha above 0, dropout in [0, 1)"
            )
        if self.method not in ("prompt", "full"):
            for name in self.module_names:
                if name not in MODULES:
                    raise PlacementError(
                        f"modules {self.modules!r}: there is no {name!r}; use "
                        f"{', '.join(MODULES)}" + _closest(name, tuple(MODULES))
                    )

    @property
    def module_names(self) -> tuple[str, ...]:
        """``modules``, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.modules.split(",")))


class Counts(NamedTuple):
    """Numbers of parameters; a retrained head counts once, as in the deployed model."""

    trainable: int
    total: int


def adapted_layers(placement: Placement, model: PreTrainedModel) -> dict[str, range]:
    """The numbers of the adapted layers by tower (``vision``, ``text``); may be empty.

    Raises ``PlacementError`` if the model has fewer layers than are asked for.
    """
    found = {}
    for tower in ("vision", "text"):
        depth = getattr(model.config, f"{tower}_config").num_hidden_layers
        last = getattr(placement, f"{tower}_layers")
        if last > depth:
            raise PlacementError(
                f"{tower}_layers is {last}, but the {tower} tower of this "
                f"{model.config.model_type} model has {depth} layers: give at most {depth}, "
                "or -1 for all"
            )
        found[tower] = range(0 if last == -1 else depth - last, depth)
    return found


def target_pattern(placement: Placement, model: PreTrainedModel) -> str:
    """A regular expression for the full path of each adapted module, and of nothing else."""
    towers = [
        rf"{tower}_model\.encoder\.layers\.({'|'.join(map(str, numbers))})"
        for tower, numbers in adapted_layers(placement, model).items()
        if numbers
    ]
    names = [rf"{MODULES[name]}\.{name}" for name in placement.module_names]
    return rf"({'|'.join(towers)})\.({'|'.join(names)})"


def trainable_counts(model: nn.Module) -> Counts:
    """How many parameters are trained, and of how many.

    The original of a retrained head, which peft holds beside the copy, does not count.
    """
    counted = [p for n, p in model.named_parameters() if ".original_module." not in f".{n}"]
    trainable = sum(p.numel() for p in counted if p.requires_grad)
    return Counts(trainable, sum(p.numel() for p in counted))


def _closest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
