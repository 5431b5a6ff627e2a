"""The rows of the placement study: their names, the original's eight, and how large a row is.

A row is a placement with a name that says all of it: ``r16 v2 t2 heads`` is rank 16 on the queries
and values of the last 2 vision and 2 text layers, with retrained heads. What is usual is left out:
alpha of twice the rank, ``qv``, the usual dropout, plain LoRA.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import adapt
from helpers.first.models.placement import (
    METHODS,
    MODULES,
    Placement,
    PlacementError,
    adapted_layers,
    count_parameters,
)

USUAL_MODULES, USUAL_DROPOUT = "q_proj,v_proj", 0.05
LETTERS = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "o", "fc1": "f1", "fc2": "f2"}
HOW_TO_NAME = "write a row as 'r16 a32 v2 t2 heads qkvo': rank, alpha, layers, heads, modules"
SCALARS = ("logit_scale",)  # trained in every row


def _layers(text: str) -> int:
    return -1 if text == "all" else int(text)


def _modules(letters: str) -> str:
    return ",".join(name for name, short in LETTERS.items() if short in letters)


# A part of a name, and what its value is read with.
_NUMBER = r"(\d[\d.e+-]*)"
_PARTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "rank": (r"r(\d+)", int),
    "alpha": ("a" + _NUMBER, float),
    "vision_layers": (r"v(\d+|all)", _layers),
    "text_layers": (r"t(\d+|all)", _layers),
    "heads": ("(heads)", bool),
    "modules": ("((?:q|k|v|o|f1|f2)+)", _modules),
    "dropout": ("d" + _NUMBER, float),
    "method": (f"({'|'.join(METHODS)})", str),
}


@dataclass(frozen=True)
class Row:
    """A row of the original table: the placement, and the score that was reported for it."""

    placement: Placement
    score: float


def placed(**choices: Any) -> Placement:
    """A placement with the study's usual values: ``qv``, dropout 0.05, alpha of twice the rank.

    >>> placed(rank=16, vision_layers=2).alpha
    32.0
    """
    rank = choices.get("rank", 8)
    usual = {"rank": rank, "alpha": 2 * rank, "modules": USUAL_MODULES, "dropout": USUAL_DROPOUT,
             "vision_layers": 0, "text_layers": 0}  # fmt: skip
    return Placement(**usual | choices)


def row_name(placement: Placement) -> str:
    """What a row is called; rows of one name adapt the same weights in the same way.

    >>> row_name(placed(rank=16, vision_layers=2, text_layers=2, heads=True))
    'r16 v2 t2 heads'
    """
    usual = placed(rank=placement.rank, vision_layers=1, method=placement.method)
    letters = modules_in_letters(placement)
    parts = (
        (True, f"r{placement.rank}"),
        (placement.alpha != usual.alpha, f"a{_short(placement.alpha)}"),
        (placement.vision_layers != 0, f"v{_depth(placement.vision_layers)}"),
        (placement.text_layers != 0, f"t{_depth(placement.text_layers)}"),
        (placement.heads, "heads"),
        (letters != modules_in_letters(usual), letters),
        (placement.dropout != usual.dropout, f"d{_short(placement.dropout)}"),
        (placement.method != "lora", placement.method),
    )
    return " ".join(part for is_said, part in parts if is_said)


def modules_in_letters(placement: Placement) -> str:
    """The adapted modules in the order of a layer, such as ``qv`` or ``qkvof1f2``."""
    return "".join(LETTERS[name] for name in MODULES if name in placement.module_names)


def parse_row(name: str) -> Placement:
    """The placement that a row's name says; the reverse of :func:`row_name`.

    Raises
    ------
    PlacementError
        If a part of the name is unknown or given twice, or the placement is impossible.

    >>> parse_row("r16 v2 t2 heads").text_layers
    2
    """
    said: dict[str, Any] = {}
    for part in name.split():
        found = {
            key: value(match[1])
            for key, (pattern, value) in _PARTS.items()
            if (match := re.fullmatch(pattern, part))
        }
        if len(found) != 1 or found.keys() & said.keys():
            what = "is given twice" if found else "is not known"
            raise PlacementError(f"row {name!r}: {part!r} {what}; {HOW_TO_NAME}")
        said |= found
    if "rank" not in said:
        raise PlacementError(f"row {name!r} has no rank; {HOW_TO_NAME}")
    return placed(**said)


def _original() -> dict[str, Row]:
    """The eight rows, in the order of their table."""
    scores = {
        "r8 v2 heads": 0.44042,
        "r8 v2": 0.43121,
        "r16 v4 heads": 0.43632,
        "r16 v4 heads qkvo": 0.42521,
        "r16 v2 heads": 0.44183,
        "r16 v2 t2 heads": 0.44124,
        "r32 a32 v2 heads": 0.44496,
        "r16 v6 heads": 0.43237,
    }
    return {name: Row(parse_row(name), score) for name, score in scores.items()}


ORIGINAL = _original()


def check_rows(rows: Mapping[str, Placement], encoder: Encoder) -> None:
    """Refuse rows that the model has no place for, before any of them is trained.

    Raises
    ------
    PlacementError
        With the name of the row, such as one that asks for more layers than there are.
    """
    for name, placement in rows.items():
        try:
            adapted_layers(placement, encoder.model)
        except PlacementError as error:
            raise PlacementError(f"row {name!r} does not fit {encoder.name}: {error}") from error


def trainable_parameters(encoder: Encoder, placement: Placement) -> int:
    """How many numbers a row trains, the logit scale included."""
    return count_parameters(
        adapt(encoder, placement, train_scalars=SCALARS).encoder.model
    ).trainable


def equal_size(encoder: Encoder, placement: Placement) -> Placement:
    """LoRA alone on the same layers that trains as much as a row with retrained heads.

    It tells capacity from place. Its rank is at most half the width of the tower: queries and
    values if that is enough, else all of the attention, else all of the layers.

    Raises
    ------
    PlacementError
        If no rank up to half the width trains as much.
    """
    wanted = trainable_parameters(encoder, placement)
    widths = (encoder.model.config.vision_config, encoder.model.config.text_config)
    most = min(config.hidden_size for config in widths) // 2
    alone = replace(placement, heads=False)
    for letters in ("qv", "qkvo", "qkvof1f2"):
        one, two = (
            trainable_parameters(encoder, replace(alone, modules=_modules(letters), rank=rank))
            for rank in (1, 2)
        )
        rank = max(1, round((wanted - one) / (two - one)) + 1)
        if rank <= most:
            alpha = rank * placement.alpha / placement.rank
            return replace(alone, modules=_modules(letters), rank=rank, alpha=alpha)
    raise PlacementError(
        f"no LoRA of rank {most} or less on these layers trains {wanted:,} numbers, as "
        f"{row_name(placement)!r} does: take more layers"
    )


def _depth(layers: int) -> str:
    return "all" if layers == -1 else str(layers)


def _short(value: float) -> str:
    """A number as it is read back: 16 for 16.0.

    >>> _short(32.0), _short(0.1)
    ('32', '0.1')
    """
    return repr(value).removesuffix(".0")
