"""Which rows a placement study has: by their names, and from a YAML file with rows and grids."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import yaml

from helpers import paths
from helpers.first.models.placement import Placement, PlacementError
from helpers.first.studies.placement import ORIGINAL, parse_row, placed, row_name

LARGEST = 200
SECTIONS = ("base", "rows", "grid")
TYPES: dict[str, tuple[type, ...]] = {
    "rank": (int,),
    "alpha": (int, float),
    "dropout": (int, float),
    "vision_layers": (int, str),
    "text_layers": (int, str),
    "heads": (bool,),
    "modules": (str,),
    "method": (str,),
}


class GridError(ValueError):
    """Something in a grid file is wrong; the message names file, place, value and remedy."""


def study_rows(names: str, grid: str = "") -> dict[str, Placement]:
    """Rows by their names, and those of a grid file.

    Parameters
    ----------
    names : str
        Comma-separated: ``original`` for the eight of the table, or names such as ``r4 v3 heads``.
    grid : str
        See :func:`load_grid`; empty: none.

    Raises
    ------
    PlacementError
        For a name that is none.

    >>> list(study_rows("r8 v2, r16 v2 heads qv"))
    ['r8 v2', 'r16 v2 heads']
    """
    rows: dict[str, Placement] = {}
    for name in (part.strip() for part in names.split(",") if part.strip()):
        if name == "original":
            rows |= {one: row.placement for one, row in ORIGINAL.items()}
        else:
            placement = parse_row(name)
            rows[row_name(placement)] = placement
    return rows | (load_grid(grid) if grid else {})


def load_grid(path: str) -> dict[str, Placement]:
    """The rows of a grid file, by their names, in its order.

    The file has three sections, of which ``base`` and one of the others may be left out: ``base``
    holds values that all rows share, ``rows`` is a list of rows, ``grid`` gives values to combine.

    Parameters
    ----------
    path : str
        See ``paths.find`` for a relative one.

    Raises
    ------
    GridError
        If the file cannot be read, a section or name is unknown or given twice, a value has the
        wrong type, there is no row, or there are more than 200.

    Examples
    --------
    >>> list(load_grid("notebooks/profiles/placement_grid.yaml"))[:2]
    ['r8 v1', 'r8 v2']
    """
    place = paths.find(path)
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GridError(f"cannot read the grid {place}: {error}") from error
    return parse_grid(text, where=place.name)


def parse_grid(text: str, *, where: str = "grid") -> dict[str, Placement]:
    """The rows that a YAML text describes; see :func:`load_grid`.

    >>> list(parse_grid("grid: {rank: [4, 8], vision_layers: [2], heads: [true]}"))
    ['r4 v2 heads', 'r8 v2 heads']
    """
    try:
        _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader), where)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GridError(f"{where} is not YAML: {error}") from error
    sections = _mapping(tree, SECTIONS, where)
    base = _values(sections.get("base") or {}, f"{where}, base")
    rows: dict[str, Placement] = {}
    for values, place in _described(sections, where):
        try:
            placement = placed(**base | values)
        except PlacementError as error:
            raise GridError(f"{place}: {error}") from error
        rows[row_name(placement)] = placement
    if not 0 < len(rows) <= LARGEST:
        raise GridError(f"{where} describes {len(rows)} rows: give 1 to {LARGEST}")
    return rows


def _described(sections: Mapping[str, Any], where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The values of each row, and where they stand."""
    listed = sections.get("rows") or []
    if not isinstance(listed, list):
        raise GridError(f"{where}, rows: a list of rows is expected, not {listed!r}")
    for number, row in enumerate(listed, start=1):
        place = f"{where}, row {number}"
        yield _values(row, place), place
    grid = _mapping(sections.get("grid") or {}, TYPES, f"{where}, grid")
    for name, choices in grid.items():
        if not isinstance(choices, list) or not choices:
            raise GridError(f"{where}, grid: {name} is {choices!r}: give a list of values")
    if grid:
        for values in product(*grid.values()):
            place = f"{where}, grid"
            yield _values(dict(zip(grid, values, strict=True)), place), place


def _mapping(value: Any, known: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise GridError(f"{place}: names and values are expected, not {value!r}")
    if unknown := [name for name in value if name not in known]:
        raise GridError(f"{place}: {unknown[0]!r} is not known; use {', '.join(known)}")
    return value


def _values(row: Any, place: str) -> dict[str, Any]:
    """The values of one row, their types checked: YAML's ``no`` is no text, its ``1e2`` is."""
    for name, value in _mapping(row, TYPES, place).items():
        # A truth value is an int to Python.
        if not isinstance(value, TYPES[name]) or isinstance(value, bool) != (name == "heads"):
            kinds = " or ".join(kind.__name__ for kind in TYPES[name])
            raise GridError(f"{place}: {name} is {value!r}; {kinds} is expected")
    return row


def _refuse_repeats(node: yaml.Node | None, where: str) -> None:
    """YAML itself takes the last of two values of one name, and says nothing."""
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value]
        for number, name in enumerate(names):
            if name in names[:number]:
                line = node.value[number][0].start_mark.line + 1
                raise GridError(f"{where}, line {line}: {name!r} is given twice")
    children = getattr(node, "value", None)
    for child in children if isinstance(children, list) else ():
        for one in child if isinstance(child, tuple) else (child,):
            _refuse_repeats(one, where)
