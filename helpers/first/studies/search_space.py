"""What a search may choose: ranges and choices of a placement, and a learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from helpers.first.models.encoders import Encoder
from helpers.first.models.method_names import METHODS
from helpers.first.models.placement import Placement, PlacementError
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training

if TYPE_CHECKING:
    import optuna

LAYERS = ("vision_layers", "text_layers")
ON_A_LOG_SCALE = ("rank", "alpha_over_rank", "learning_rate")


@dataclass(frozen=True)
class SearchSpace:
    """The ranges (lowest, highest) and choices of a search.

    Attributes
    ----------
    learning_rate : (float, float)
        On a logarithmic scale; :func:`rates_around` makes it of rates that suit the model.
    rank : (int, int)
        On a logarithmic scale.
    alpha_over_rank : (float, float)
        What the update is scaled by, on a logarithmic scale; alpha follows.
    vision_layers, text_layers : (int, int)
        The last k layers; -1: as many as the tower has. Of both, 0 is no placement: such a trial
        ends before it is trained.
    heads, modules, method : tuple
        Choices.
    dropout : float
        Of all trials.

    Raises
    ------
    ValueError
        If a range is upside down or below its least value, or a choice is empty or unknown.
    """

    learning_rate: tuple[float, float]
    rank: tuple[int, int] = (2, 32)
    alpha_over_rank: tuple[float, float] = (0.5, 4.0)
    vision_layers: tuple[int, int] = (0, -1)
    text_layers: tuple[int, int] = (0, -1)
    heads: tuple[bool, ...] = (False, True)
    modules: tuple[str, ...] = (
        "q_proj,v_proj",
        "q_proj,k_proj,v_proj,out_proj",
        "q_proj,k_proj,v_proj,out_proj,fc1,fc2",
    )
    method: tuple[str, ...] = ("lora",)
    dropout: float = 0.05

    def __post_init__(self) -> None:
        for name in ("rank", "alpha_over_rank", "learning_rate"):
            low, high = getattr(self, name)
            if not (1 if name == "rank" else 1e-9) <= low <= high:
                raise ValueError(f"search space: {name} is {low} to {high}: give low, high above 0")
        for name in LAYERS:
            low, high = getattr(self, name)
            if low < 0 or (high != -1 and high < low):
                raise ValueError(
                    f"search space: {name} is {low} to {high}: give 0 or more, and -1 for all"
                )
        if self.vision_layers[1] == self.text_layers[1] == 0:
            raise ValueError("search space: both towers have 0 layers: an adapter needs one")
        for name in ("heads", "modules", "method"):
            if not getattr(self, name):
                raise ValueError(f"search space: {name} is empty: give at least one choice")
        if unknown := [one for one in self.method if one not in METHODS]:
            raise ValueError(
                f"search space: method {unknown[0]!r}: use some of {', '.join(METHODS)}"
            )
        for modules in self.modules:
            Placement(modules=modules)  # refuses what is unknown


def rates_around(rates: Sequence[float]) -> tuple[float, float]:
    """From a third of the least rate to three times the greatest.

    >>> rates_around([0.001, 0.003])
    (0.00033333, 0.009)
    """
    return float(f"{min(rates) / 3:.5g}"), float(f"{3 * max(rates):.5g}")


def within(space: SearchSpace, encoder: Encoder) -> SearchSpace:
    """The space with each -1 replaced by the depth of the tower.

    Raises
    ------
    PlacementError
        If the model has fewer layers than the space asks for.
    """
    for name in LAYERS:
        tower = name.removesuffix("_layers")
        depth = getattr(encoder.model.config, f"{tower}_config").num_hidden_layers
        low, high = getattr(space, name)
        high = depth if high == -1 else high
        if max(low, high) > depth:
            raise PlacementError(
                f"search space: {name} goes up to {max(low, high)}, but the {tower} tower of "
                f"{encoder.name} has {depth} layers: give at most {depth}, or -1 for all"
            )
        space = replace(space, **{name: (low, high)})
    return space


def suggested(trial: "optuna.Trial", space: SearchSpace) -> dict[str, Any]:
    """Values that the sampler draws for a trial, by their names in the space."""
    values: dict[str, Any] = {}
    for field in fields(space):
        name, choices = field.name, getattr(space, field.name)
        log = name in ON_A_LOG_SCALE
        if name == "dropout":
            continue
        if name in ("rank", *LAYERS):
            values[name] = trial.suggest_int(name, *choices, log=log)
        elif log:
            values[name] = trial.suggest_float(name, *choices, log=True)
        else:
            values[name] = trial.suggest_categorical(name, choices)
    return values


def arm_of(values: dict[str, Any], space: SearchSpace, training: Training) -> Arm:
    """The arm that a trial's values say.

    Raises
    ------
    PlacementError
        If no layer of either tower would be adapted.

    Examples
    --------
    >>> values = {"rank": 4, "alpha_over_rank": 2.0, "vision_layers": 2, "text_layers": 0,
    ...           "heads": True, "modules": "q_proj", "method": "lora", "learning_rate": 1e-3}
    >>> arm_of(values, SearchSpace((1e-4, 1e-2)), Training()).placement.alpha
    8.0
    """
    values = dict(values)
    rate = values.pop("learning_rate")
    alpha = round(values["rank"] * values.pop("alpha_over_rank"), 3)
    placement = Placement(alpha=alpha, dropout=space.dropout, **values)
    return Arm(placement=placement, training=replace(training, learning_rate=rate))
