"""Rows of the placement study: what each adapts, and how; their names, and files with grids.

A row's name says all of it: ``r16 v2 t2 heads`` is rank 16 on the queries and values of the last
two vision and the last two text layers, with trained projection heads. What is usual is left out:
alpha of twice the rank, ``qv``, dropout 0.05, plain LoRA; of a method without rank, all layers.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from helpers import paths
from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import (
    METHODS,
    MODULES,
    Placement,
    PlacementError,
    adapted_layers,
    trainable_counts,
)

LETTERS = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "o", "fc1": "f1", "fc2": "f2"}
USUAL_MODULES, USUAL_DROPOUT = "q_proj,v_proj", 0.05
# Methods beyond those of a placement: see helpers.topics.placement.training.
LOW_RANK = ("pissa", "loha", "lokr", "oft", "hra", "vera")  # they have a rank
WITHOUT_RANK = ("ia3", "biases", "norms")
ON_EMBEDDINGS = ("rla", "prolip")
VARIANTS = (*LOW_RANK, *WITHOUT_RANK, *ON_EMBEDDINGS)
ALL_METHODS = (*METHODS, *VARIANTS)
LARGEST = 200  # rows of a file
HOW_TO_NAME = "write a row as 'r16 a32 v2 t2 heads qkvo': rank, alpha, layers, heads, modules"
# The eight rows and scores of system A (SigLIP, MetaFood's Dishcovery), in the order of its table.
REPORTED = {
    "r8 v2 heads": 0.44042,
    "r8 v2": 0.43121,
    "r16 v4 heads": 0.43632,
    "r16 v4 heads qkvo": 0.42521,
    "r16 v2 heads": 0.44183,
    "r16 v2 t2 heads": 0.44124,
    "r32 a32 v2 heads": 0.44496,
    "r16 v6 heads": 0.43237,
}


@dataclass(frozen=True)
class Row:
    """What a row adapts, and how where that is no method of a :class:`Placement`.

    ``variant`` is one of ``VARIANTS``: the placement then says where, with LoRA's rank, alpha and
    modules for those that have a rank.
    """

    placement: Placement
    variant: str = ""

    @property
    def method(self) -> str:
        """``lora``, ``full``, ``loha``, ..."""
        return self.variant or self.placement.method

    @property
    def name(self) -> str:
        """What the row is called; rows of one name train the same weights in the same way.

        >>> row_of(rank=16, vision_layers=2, text_layers=2, heads=True).name
        'r16 v2 t2 heads'
        """
        one, usual = self.placement, row_of(rank=max(self.placement.rank, 1), vision_layers=1)
        has_rank = self.method not in ("full", *WITHOUT_RANK, *ON_EMBEDDINGS)
        everywhere = (one.vision_layers, one.text_layers) == (-1, -1) and not one.heads
        layers = not (everywhere and not has_rank)
        letters = "".join(LETTERS[name] for name in MODULES if name in one.module_names)
        own = letters if has_rank and one.modules else ""
        dropout = one.dropout if own else USUAL_DROPOUT
        parts = (
            (has_rank, f"r{one.rank}"),
            (bool(own) and one.alpha != usual.placement.alpha, f"a{_short(one.alpha)}"),
            (layers and one.vision_layers != 0, f"v{_depth(one.vision_layers)}"),
            (layers and one.text_layers != 0, f"t{_depth(one.text_layers)}"),
            (one.heads and self.method not in ON_EMBEDDINGS, "heads"),
            (own not in ("", "qv"), own),
            (dropout != USUAL_DROPOUT, f"d{_short(dropout)}"),
            (self.method != "lora", self.method),
        )
        return " ".join(part for is_said, part in parts if is_said)


def row_of(
    *, rank: int = 8, alpha: float | None = None, vision_layers: int = 0,
    text_layers: int = 0, heads: bool = False, modules: str = USUAL_MODULES,
    dropout: float = USUAL_DROPOUT, method: str = "lora",
) -> Row:  # fmt: skip
    """A row from its choices; ``alpha`` is twice the rank where it is not given.

    A method without rank takes all layers where neither layers nor heads are given; ``rla`` and
    ``prolip`` train heads alone.

    Raises ``PlacementError`` for an impossible one, or an unknown method.
    """
    variant = method if method in VARIANTS else ""
    if method in ON_EMBEDDINGS:
        return Row(Placement(method="full", vision_layers=0, text_layers=0, heads=True), variant)
    kind = method
    if variant:
        kind = "full" if variant in ("biases", "norms") else "lora"
    if method in ("full", *WITHOUT_RANK) and (vision_layers, text_layers, heads) == (0, 0, False):
        vision_layers = text_layers = -1
    if method == "ia3":  # scales keys, values and the hidden units of the MLP, as in its paper
        rank, alpha, modules, dropout = 1, 1.0, "k_proj,v_proj,fc2", 0.0
    placement = Placement(
        rank=rank, alpha=2 * rank if alpha is None else alpha, dropout=dropout, heads=heads,
        vision_layers=vision_layers, text_layers=text_layers, modules=modules, method=kind,
    )  # fmt: skip
    return Row(placement, variant)


def _layers(text: str) -> int:
    return -1 if text == "all" else int(text)


def _modules(letters: str) -> str:
    return ",".join(name for name, short in LETTERS.items() if short in letters)


_NUMBER = r"(\d[\d.e+-]*)"
_PARTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "rank": (r"r(\d+)", int),
    "alpha": ("a" + _NUMBER, float),
    "vision_layers": (r"v(\d+|all)", _layers),
    "text_layers": (r"t(\d+|all)", _layers),
    "heads": ("(heads)", bool),
    "modules": ("((?:q|k|v|o|f1|f2)+)", _modules),
    "dropout": ("d" + _NUMBER, float),
    "method": (f"({'|'.join(ALL_METHODS)})", str),
}


def parse(name: str) -> Row:
    """The row that a name says; the reverse of :attr:`Row.name`.

    Raises
    ------
    PlacementError
        If a part of the name is unknown or given twice, or the row is impossible.

    >>> parse("r16 v2 t2 heads").placement.text_layers
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
    if "rank" not in said and said.get("method", "lora") in (*METHODS[:-1], *LOW_RANK):
        raise PlacementError(f"row {name!r} has no rank; {HOW_TO_NAME}")
    try:
        return row_of(**said)
    except PlacementError as error:
        raise PlacementError(f"row {name!r}: {error}") from error


class _File(BaseModel):
    """A file of rows: names, and lists of parts of names of which every combination is a row."""

    model_config = ConfigDict(extra="forbid")
    rows: list[str] = []
    grid: list[list[str]] = []


def parse_grid(text: str, *, where: str = "grid") -> list[Row]:
    """The rows of a YAML text: ``rows`` lists names, ``grid`` the parts of names to combine.

    Raises ``PlacementError``, which names the place, for what is unknown or cannot be meant.

    >>> [one.name for one in parse_grid("grid: [[r4, r8], [v2], ['', heads]]")]
    ['r4 v2', 'r4 v2 heads', 'r8 v2', 'r8 v2 heads']
    """
    try:
        file = _File(**(yaml.safe_load(text) or {}))
        combined = map(" ".join, product(*file.grid)) if file.grid else ()
        rows = {row.name: row for row in map(parse, (*file.rows, *combined))}
    except ValidationError as error:
        raise PlacementError(f"{where}: {_first(error)}; use rows and grid") from error
    except (yaml.YAMLError, TypeError) as error:
        raise PlacementError(f"{where} is no YAML of rows and grid: {error}") from error
    except PlacementError as error:
        raise PlacementError(f"{where}, {error}") from error
    if not 0 < len(rows) <= LARGEST:
        raise PlacementError(f"{where} describes {len(rows)} rows: give 1 to {LARGEST}")
    return list(rows.values())


def rows_of(text: str) -> list[Row]:
    """Rows by their names, comma-separated; ``original`` for the eight; or a YAML file of rows.

    >>> [one.name for one in rows_of("r8 v2, r16 v2 heads qv")]
    ['r8 v2', 'r16 v2 heads']
    """
    found: dict[str, Row] = {}
    for name in (part.strip() for part in text.split(",") if part.strip()):
        if name.endswith((".yaml", ".yml")):
            try:
                content = paths.find(name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise PlacementError(f"cannot read the rows of {name}: {error}") from error
            rows = parse_grid(content, where=name)
        else:
            rows = [parse(one) for one in (REPORTED if name == "original" else (name,))]
        found |= {row.name: row for row in rows}
    return list(found.values())


def check_rows(rows: Iterable[Row], encoder: Encoder) -> None:
    """Refuse rows that the model has no place for, by name, before any of them is trained."""
    for row in rows:
        try:
            adapted_layers(row.placement, encoder.model)
        except PlacementError as error:
            raise PlacementError(
                f"row {row.name!r} does not fit {encoder.name}: {error}"
            ) from error


def fitting(rows: Iterable[Row], encoder: Encoder) -> list[Row]:
    """The rows that the model has places for."""
    found = []
    for row in rows:
        with suppress(PlacementError):
            adapted_layers(row.placement, encoder.model)
            found.append(row)
    return found


def trainable_parameters(encoder: Encoder, placement: Placement) -> int:
    """How many numbers a placement trains, the logit scale included."""
    return trainable_counts(adapt(encoder, placement).model).trainable


def _first(error: ValidationError) -> str:
    """pydantic's first complaint as a sentence: where, which value, what is wanted."""
    one = error.errors()[0]
    name = ".".join(map(str, one["loc"]))
    if one["type"] == "extra_forbidden":
        return f"{name!r} is not known"
    return f"{name} is {one['input']!r}: {one['msg'][0].lower() + one['msg'][1:]}"


def _depth(layers: int | str) -> str:
    return "all" if layers == -1 else str(layers)


def _short(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
