"""Rows of the placement study: names and back, the original's eight, sizes, and what fits."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.models.method_names import METHODS
from helpers.first.models.placement import MODULES, Placement, PlacementError
from helpers.first.studies import placement as rows
from helpers.first.studies.placement import (
    ORIGINAL,
    check_rows,
    equal_size,
    parse_row,
    placed,
    row_name,
)
from tests.first.small_training import small_encoder

# The table as it was published, column by column.
TABLE = [
    (8, 16, 2, 0, True, "q_proj,v_proj", 0.44042),
    (8, 16, 2, 0, False, "q_proj,v_proj", 0.43121),
    (16, 32, 4, 0, True, "q_proj,v_proj", 0.43632),
    (16, 32, 4, 0, True, "q_proj,k_proj,v_proj,out_proj", 0.42521),
    (16, 32, 2, 0, True, "q_proj,v_proj", 0.44183),
    (16, 32, 2, 2, True, "q_proj,v_proj", 0.44124),
    (32, 32, 2, 0, True, "q_proj,v_proj", 0.44496),
    (16, 32, 6, 0, True, "q_proj,v_proj", 0.43237),
]
PLACEMENTS = st.builds(
    placed,
    rank=st.integers(1, 64),
    alpha=st.one_of(st.integers(1, 64), st.floats(1e-3, 100)),
    dropout=st.sampled_from([0.0, 0.05, 0.1, 1e-05]),
    vision_layers=st.integers(-1, 6),
    text_layers=st.sampled_from([-1, 1, 2]),
    heads=st.booleans(),
    modules=st.lists(st.sampled_from(list(MODULES)), min_size=1).map(",".join),
    method=st.sampled_from(METHODS),
)


def test_the_eight_rows_are_those_of_the_table_in_its_order():
    for (rank, alpha, vision, text, heads, modules, score), row in zip(
        TABLE, ORIGINAL.values(), strict=True
    ):
        wanted = Placement(rank, alpha, 0.05, vision, text, heads, modules, "lora")
        assert set(row.placement.module_names) == set(wanted.module_names)
        assert replace(row.placement, modules=modules) == wanted
        assert row.score == score


@given(PLACEMENTS)
@settings(deadline=None)
def test_a_name_says_all_of_a_placement(placement):
    again = parse_row(row_name(placement))
    assert row_name(again) == row_name(placement)
    assert set(again.module_names) == set(placement.module_names)
    assert replace(again, modules=placement.modules) == placement


def test_a_name_has_a_part_for_every_choice_of_a_placement():
    assert {field.name for field in fields(Placement)} == set(rows._PARTS)
    assert set(rows.LETTERS) == set(MODULES)


def test_the_order_of_modules_and_their_repeats_do_not_matter():
    one, other = (
        placed(vision_layers=2, modules=m) for m in ("v_proj,q_proj,v_proj", "q_proj, v_proj")
    )
    assert row_name(one) == row_name(other) == "r8 v2"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("r8 v2 head", "'head' is not known"),
        ("r8 v2 v4", "'v4' is given twice"),
        ("v2 heads", "has no rank"),
        ("", "has no rank"),
        ("r8", "both 0"),
        ("r8 v2 a0", "alpha above 0"),
        ("r8 v2 d2", r"dropout in \[0, 1\)"),
        ("R8 v2", "'R8' is not known"),
    ],
)
def test_what_is_no_row_is_refused_with_its_part(name, said):
    with pytest.raises(PlacementError, match=said):
        parse_row(name)


def test_a_row_that_asks_for_more_layers_than_there_are_is_refused_by_name():
    base = small_encoder("siglip")  # 3 vision and 2 text layers
    check_rows({"fits": placed(rank=2, vision_layers=3, text_layers=2)}, base)
    with pytest.raises(PlacementError, match=r"'r2 v4'.*small-siglip.*vision.*has 3 layers"):
        check_rows({"r2 v3": parse_row("r2 v3"), "r2 v4": parse_row("r2 v4")}, base)
    with pytest.raises(PlacementError, match=r"text_layers is 3"):
        check_rows({"r2 t3": parse_row("r2 t3")}, base)
    with pytest.raises(PlacementError, match=r"'r2 v4 prompt'"):
        check_rows({"r2 v4 prompt": parse_row("r2 v4 prompt")}, base)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_what_a_row_trains_is_counted_by_hand(family):
    base = small_encoder(family)  # width 24
    assert rows.trainable_parameters(base, parse_row("r2 v2")) == 2 * 2 * 2 * (24 + 24) + 1
    four = rows.trainable_parameters(base, parse_row("r2 v1 t1 qkvo"))
    assert four == 2 * 4 * 2 * (24 + 24) + 1


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_row_of_equal_size_is_the_nearest_on_the_same_layers_without_heads(family):
    base = small_encoder(family)
    whole = parse_row("r2 v2 heads")
    control = equal_size(base, whole)
    assert not control.heads
    assert (control.vision_layers, control.text_layers) == (2, 0)
    assert control.alpha / control.rank == whole.alpha / whole.rank
    wanted = rows.trainable_parameters(base, whole)
    gaps = {
        rank: abs(rows.trainable_parameters(base, replace(control, rank=rank)) - wanted)
        for rank in range(max(1, control.rank - 2), control.rank + 3)
    }
    assert min(gaps, key=gaps.get) == control.rank
    assert control.rank <= 12  # half the width


def test_heads_that_no_sensible_rank_weighs_as_much_as_are_refused():
    base = small_encoder("siglip")
    with pytest.raises(
        PlacementError, match=r"no LoRA of rank 12 or less.*'r12 v1 heads qkvof1f2'"
    ):
        equal_size(base, parse_row("r12 v1 heads qkvof1f2"))
