"""Where an adapter goes: one frozen record of a placement study's choices, and peft's settings.

Modules are named by their full path. A list of bare names would also catch the attention inside
the pooling head of SigLIP's vision tower, which never gets a gradient, and a list of layer numbers
would hit both towers.
"""

import difflib
from dataclasses import dataclass

from peft import LoraConfig
from torch import nn
from transformers import PreTrainedModel

from helpers.first.models.method_names import INSTEAD, METHODS

MODULES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), "self_attn"),
    **dict.fromkeys(("fc1", "fc2"), "mlp"),
}
HEADS = {
    "clip": ("visual_projection", "text_projection"),
    "siglip": ("vision_model.head", "text_model.head"),
}


class PlacementError(ValueError):
    """A placement that is unknown, impossible, or does not fit the model."""


@dataclass(frozen=True)
class Placement:
    """Which weights an adapter adds, and which it retrains.

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
        Retrain the projections after the towers: CLIP ``visual_projection`` and
        ``text_projection``, SigLIP the ``head`` of both towers. SigLIP's are large: compare
        trainable counts before comparing scores.
    modules : str
        Comma-separated: ``q_proj``, ``k_proj``, ``v_proj``, ``out_proj``, ``fc1``, ``fc2``.
    method : str
        ``lora`` (Hu et al. 2022), ``dora`` (Liu et al. 2024), ``rslora`` (Kalajdzievski 2023),
        ``qlora``: LoRA on frozen weights in eight bits (see :mod:`helpers.first.models.quantized`), or
        ``prompt``: learned tokens in front of the last k layers of a tower (see
        :mod:`helpers.first.models.prompts`).

    Notes
    -----
    A prompt scales nothing, drops nothing and adapts no module: with ``prompt``, ``alpha`` and
    ``dropout`` become 0 and ``modules`` empty, whatever is given, so that equal adapters are equal
    placements.

    Raises
    ------
    PlacementError
        If a value is out of range or unknown.
    """

    rank: int = 8
    alpha: float = 16
    dropout: float = 0.05
    vision_layers: int | str = -1
    text_layers: int | str = -1
    heads: bool = False
    modules: str = "q_proj,k_proj,v_proj,out_proj"
    method: str = "lora"

    def __post_init__(self) -> None:
        self._check_method()
        object.__setattr__(self, "alpha", float(self.alpha))  # 16 and 16.0 are one placement
        for name in ("vision_layers", "text_layers"):
            value = getattr(self, name)
            if value == "all":
                object.__setattr__(self, name, -1)
            elif not isinstance(value, int) or isinstance(value, bool) or value < -1:
                raise PlacementError(
                    f"{name} is {value!r}: give the number of last layers, 0 for none, -1 for all"
                )
        if (self.vision_layers, self.text_layers) == (0, 0):
            raise PlacementError(
                "vision_layers and text_layers are both 0: an adapter needs a layer of a tower"
            )
        prompt = self.method == "prompt"
        if self.rank < 1 or (self.alpha <= 0 and not prompt) or not 0 <= self.dropout < 1:
            raise PlacementError(
                f"rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}: "
                "rank is at least 1, alpha above 0, dropout in [0, 1)"
            )
        for name in self.module_names:
            if name not in MODULES:
                raise PlacementError(
                    f"modules {self.modules!r}: there is no {name!r}; use "
                    f"{', '.join(MODULES)}" + _meant(name, MODULES)
                )

    def _check_method(self) -> None:
        if self.method in INSTEAD:
            raise PlacementError(f"method {self.method!r}: {INSTEAD[self.method]}")
        if self.method not in METHODS:
            raise PlacementError(
                f"method {self.method!r} is not available: use one of {', '.join(METHODS)}"
                + _meant(self.method, METHODS)
            )
        if self.method == "prompt":
            for name, nothing in (("alpha", 0.0), ("dropout", 0.0), ("modules", "")):
                object.__setattr__(self, name, nothing)

    @property
    def module_names(self) -> tuple[str, ...]:
        """The names in ``modules``, without repeats, in their order; none for ``prompt``."""
        if self.method == "prompt":
            return ()
        return tuple(dict.fromkeys(name.strip() for name in self.modules.split(",")))


@dataclass(frozen=True)
class Counts:
    """Numbers of parameters; ``total`` counts retrained heads once, as the deployed model does."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Trainable of total, in [0, 1]."""
        return self.trainable / self.total


def lora_config(placement: Placement, model: PreTrainedModel) -> LoraConfig:
    """What ``peft.get_peft_model`` is to be told.

    Raises
    ------
    PlacementError
        If the model has fewer layers than are asked for, is neither CLIP nor SigLIP, or if the
        method is ``prompt``, which peft cannot put into a dual encoder.

    Examples
    --------
    >>> config = lora_config(Placement(vision_layers=2, text_layers=0), model)  # doctest: +SKIP
    """
    family = family_of(model)
    if placement.method == "prompt":
        raise PlacementError(
            "method 'prompt' has no settings for peft: helpers.first.models.lora.adapt puts the tokens in"
        )
    return LoraConfig(
        r=placement.rank,
        lora_alpha=placement.alpha,
        lora_dropout=placement.dropout,
        target_modules=target_pattern(placement, model),
        modules_to_save=list(HEADS[family]) if placement.heads else None,
        use_dora=placement.method == "dora",
        use_rslora=placement.method == "rslora",
    )


def family_of(model: PreTrainedModel) -> str:
    """``clip`` or ``siglip``. Raises ``PlacementError`` for any other model."""
    family = model.config.model_type
    if family not in HEADS:
        raise PlacementError(f"no placement is known for a {family!r} model: use clip or siglip")
    return family


def adapted_layers(placement: Placement, model: PreTrainedModel) -> dict[str, range]:
    """The numbers of the layers that are adapted, by tower (``vision``, ``text``); may be empty.

    Raises
    ------
    PlacementError
        If the model has fewer layers than are asked for.
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
    """A regular expression that matches the full path of each adapted module, and nothing else."""
    towers = [
        rf"{tower}_model\.encoder\.layers\.({'|'.join(map(str, numbers))})"
        for tower, numbers in adapted_layers(placement, model).items()
        if numbers
    ]
    names = [rf"{MODULES[name]}\.{name}" for name in placement.module_names]
    return rf"({'|'.join(towers)})\.({'|'.join(names)})"


def count_parameters(model: nn.Module) -> Counts:
    """How many parameters train, and of how many.

    The original of a retrained head, which peft keeps beside the copy, is not counted.
    """
    kept = [(n, p) for n, p in model.named_parameters() if ".original_module." not in f".{n}"]
    return Counts(
        sum(p.numel() for _, p in kept if p.requires_grad), sum(p.numel() for _, p in kept)
    )


def _meant(name: str, known: tuple[str, ...] | dict[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
