"""Which rows a study has: names, the example file, and files that are refused."""

import pytest
import yaml

from helpers import paths
from helpers.first.models.placement import PlacementError
from helpers.first.studies.placement import ORIGINAL, row_name
from helpers.first.studies.placement_grid import GridError, load_grid, parse_grid, study_rows

EXAMPLE = "notebooks/profiles/placement_grid.yaml"


def test_rows_by_name_keep_their_order_and_are_there_once():
    assert list(study_rows("original")) == list(ORIGINAL)
    rows = study_rows(" r4 v3 heads,original, r8 v2,,r16 v2 heads qv ")
    assert list(rows) == ["r4 v3 heads", *ORIGINAL]
    assert rows["r4 v3 heads"].rank == 4
    assert study_rows("") == {}
    with pytest.raises(PlacementError, match="'originals' is not known"):
        study_rows("originals")


def test_the_example_describes_its_rows():
    rows = load_grid(EXAMPLE)
    assert set(rows) == {
        "r8 v1", "r8 v2", "r8 v4", "r8 v6", "r8 v2 t2", "r8 t4", "r8 vall tall qkvo",
    }  # fmt: skip
    assert rows["r8 vall tall qkvo"].vision_layers == -1
    assert next(iter(study_rows("r8 v2", EXAMPLE))) == "r8 v2"
    assert len(study_rows("r8 v2", EXAMPLE)) == 7


def test_every_combination_of_a_grid_is_a_row_and_rows_beat_the_base():
    rows = parse_grid(
        "base: {heads: true, vision_layers: 2}\n"
        "rows:\n- {rank: 4, heads: false}\n"
        "grid: {rank: [4, 8], modules: ['q_proj', 'q_proj,v_proj'], dropout: [0]}\n"
    )
    assert list(rows) == [
        "r4 v2", "r4 v2 heads q d0", "r4 v2 heads d0", "r8 v2 heads q d0", "r8 v2 heads d0",
    ]  # fmt: skip
    assert all(row_name(placement) == name for name, placement in rows.items())
    assert [placement.alpha for placement in rows.values()] == [8, 8, 8, 16, 16]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows: [{rnk: 8}]", r"row 1: 'rnk' is not known; use rank"),
        ("row: []", "'row' is not known; use base, rows, grid"),
        ("rows: [{rank: '8', vision_layers: 2}]", "rank is '8'; int is expected"),
        ("rows: [{rank: true, vision_layers: 2}]", "rank is True"),
        ("rows: [{heads: 1, vision_layers: 2}]", "heads is 1; bool"),
        ("rows: [{modules: no, vision_layers: 2}]", "modules is False; str"),
        ("grid: {rank: 8}", "rank is 8: give a list"),
        ("grid: {rank: []}", "give a list"),
        ("rows: {rank: 8}", "a list of rows"),
        ("rows: [8]", "row 1: names and values are expected, not 8"),
        ("rows: [{rank: 8}]", "row 1: vision_layers and text_layers are both 0"),
        ("rows: [{rank: 8, vision_layers: some}]", "vision_layers is 'some'"),
        ("rows: [{rank: 8, vision_layers: 2, rank: 16}]", "line 1: 'rank' is given twice"),
        ("base: {rank: 4}\nbase: {rank: 8}", "line 2: 'base' is given twice"),
        ("", "names and values are expected, not None"),
        ("base: {rank: 8}", "describes 0 rows"),
        (f"grid: {{rank: {list(range(1, 102))}, vision_layers: [1, 2]}}", "describes 202 rows"),
        ("rows: [", "is not YAML"),
        ("rows: [!!python/object:os.system {}]", "is not YAML"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_place(text, said):
    with pytest.raises(GridError, match=said):
        parse_grid(text, where="mine.yaml")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(GridError, match=r"cannot read the grid .*nothing\.yaml"):
        load_grid("notebooks/profiles/nothing.yaml")


def test_the_command_in_the_example_names_the_example():
    text = (paths.root() / EXAMPLE).read_text(encoding="utf-8")
    assert f"-p grid={EXAMPLE}" in text
    assert set(yaml.safe_load(text)) == {"base", "rows", "grid"}
