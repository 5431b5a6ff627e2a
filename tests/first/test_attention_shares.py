"""Shares of attention on regions: exact areas, intervals over recipes, pairs with and without."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.data.masks import marked_pictures
from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.evaluation.intervals import bootstrap_interval
from helpers.first.models.attention import attention_maps
from helpers.first.models.loading import load_encoder
from helpers.first.studies.attention import (
    attention_shares,
    checkpoint_shares,
    covered,
    share_changes,
    share_intervals,
)
from helpers.world import open_world

GROUPS = [f"r{i // 2}" for i in range(40)]


def even(n, side):
    return np.full((n, side, side), 1 / side**2)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(0, 99))
def test_an_even_map_has_the_area_as_share_at_any_resolution(h, w, px, seed):
    masks = np.random.default_rng(seed).random((2, px, px)) < 0.4
    found = attention_shares(np.full((2, h, w), 1 / (h * w)), masks)
    assert found == pytest.approx(masks.mean(axis=(1, 2)))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_covered_counts_pixels_where_patches_are_whole_pixels(grid, size, seed):
    mask = np.random.default_rng(seed).random((1, grid * size, grid * size)) < 0.5
    slow = [
        [mask[0, i * size : (i + 1) * size, j * size : (j + 1) * size].mean() for j in range(grid)]
        for i in range(grid)
    ]
    assert covered(mask, (grid, grid))[0] == pytest.approx(np.array(slow))


def test_a_patch_between_pixels_is_shared_by_area():
    mask = np.array([[[1, 0, 0], [0, 0, 0], [0, 0, 0]]], bool)
    assert covered(mask, (2, 2))[0] == pytest.approx(np.array([[4 / 9, 0], [0, 0]]))


def test_all_attention_on_one_patch():
    maps, mask = np.zeros((1, 2, 2)), np.zeros((1, 4, 4), bool)
    maps[0, 0, 1] = 1
    mask[0, 0, 2:] = True  # the upper half of that patch
    assert attention_shares(maps, mask).tolist() == [0.5]
    assert attention_shares(maps, ~mask).tolist() == [0.5]


@given(st.integers(0, 99))
def test_shares_of_a_region_and_of_the_rest_add_up(seed):
    rng = np.random.default_rng(seed)
    maps = rng.random((3, 4, 4))
    maps /= maps.sum(axis=(1, 2), keepdims=True)
    masks = rng.random((3, 10, 10)) < 0.3
    assert attention_shares(maps, masks) + attention_shares(maps, ~masks) == pytest.approx(1)


def test_maps_and_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one mask a map"):
        attention_shares(even(2, 4), np.ones((3, 8, 8), bool))
    with pytest.raises(ValueError, match="map 1 sums to 2"):
        attention_shares(even(2, 4) * np.array([1, 2])[:, None, None], np.ones((2, 8, 8), bool))


def planted(checkpoint_shift, version_shift, *, n=40):
    """Maps that put ``shift`` more attention on the upper left patch, with noise a picture."""
    noise = np.random.default_rng(0).normal(0, 0.01, n)

    def maps_of(encoder, pictures, *, kind):
        shift = checkpoint_shift[encoder] + version_shift[pictures] + noise
        maps = even(n, 2)
        maps[:, 0, 0] += shift
        maps[:, 1, 1] -= shift
        return maps

    masks = {"corner": np.zeros((n, 4, 4), bool), "whole": np.ones((n, 4, 4), bool)}
    masks["corner"][:, :2, :2] = True
    return checkpoint_shares(
        {name: name for name in checkpoint_shift},
        {name: name for name in version_shift},
        masks,
        kind="rollout",
        maps_of=maps_of,
    )


def test_shares_come_tidy_with_their_areas():
    found = planted({"epoch 0": 0.0, "epoch 1": 0.1}, {"marked": 0.0, "clean": -0.05})
    assert len(found) == 2 * 2 * 2 * 40
    corner = found[(found["region"] == "corner") & (found["checkpoint"] == "epoch 1")]
    means = corner.groupby("pictures")["share"].mean()
    assert means["marked"] - means["clean"] == pytest.approx(0.05)
    assert set(corner["area"]) == {0.25}
    assert (found.loc[found["region"] == "whole", "share"] - 1).abs().max() < 1e-9


def test_intervals_are_the_houses_over_recipes_and_p_values_holms():
    shares = planted({"epoch 0": 0.0, "epoch 1": 0.1}, {"marked": 0.0})
    shares = shares[shares["region"] == "corner"]
    found = share_intervals(shares, GROUPS).set_index("checkpoint")
    first = shares.loc[shares["checkpoint"] == "epoch 1", "share"]
    want = bootstrap_interval(first, GROUPS, bounds=(0.0, 1.0))
    assert found.loc["epoch 1", ["share", "low", "high"]].tolist() == [
        want.value, want.low, want.high,
    ]  # fmt: skip
    assert found["verdict"].to_dict() == {
        "epoch 0": "not distinguishable",
        "epoch 1": "more than its area",
    }
    assert found.loc["epoch 1", "excess"] == pytest.approx(first.mean() - 0.25)
    assert found.loc["epoch 1", "excess_low"] > 0.09
    raw = [
        paired_comparison(shares.loc[shares["checkpoint"] == c, "share"], [0.25] * 40, GROUPS)
        for c in ("epoch 0", "epoch 1")
    ]
    assert found["p_value"].tolist() == pytest.approx(holm([c.p_value for c in raw]).tolist())


def test_less_than_its_area_is_said_too():
    shares = planted({"epoch 0": -0.1}, {"marked": 0.0})
    found = share_intervals(shares[shares["region"] == "corner"], GROUPS)
    assert found["verdict"].tolist() == ["less than its area"]


def test_changes_are_paired_against_a_version_or_a_checkpoint():
    shares = planted({"epoch 0": 0.0, "epoch 1": 0.1}, {"marked": 0.02, "clean": 0.0})
    shares = shares[shares["region"] == "corner"]
    marks = share_changes(shares, GROUPS, over="pictures", against="clean")
    assert marks["pictures"].tolist() == ["marked", "marked"]
    assert marks["checkpoint"].tolist() == ["epoch 0", "epoch 1"]
    assert marks["difference"].tolist() == pytest.approx([0.02, 0.02])
    assert set(marks["verdict"]) == {"higher"}  # equal noise in both: no spread is left
    epochs = share_changes(shares, GROUPS, over="checkpoint", against="epoch 1")
    assert epochs["difference"].tolist() == pytest.approx([-0.1, -0.1])
    assert set(epochs["verdict"]) == {"lower"}


def test_pairs_are_matched_by_picture_not_by_row():
    shares = planted({"epoch 0": 0.0}, {"marked": 0.02, "clean": 0.0})
    shares = shares[shares["region"] == "corner"].reset_index(drop=True)
    shares["share"] += np.random.default_rng(1).normal(0, 0.01, len(shares))
    mixed = shares.sample(frac=1, random_state=1)
    want, found = (
        share_changes(s, GROUPS, over="pictures", against="clean") for s in (shares, mixed)
    )
    for name in ("difference", "low", "high"):
        assert found[name].tolist() == pytest.approx(want[name].tolist(), abs=1e-3)
    assert found["high"][0] - found["low"][0] < 0.02


@pytest.mark.parametrize(("over", "against"), [("kind", "rollout"), ("pictures", "grey")])
def test_an_unknown_comparison_is_refused(over, against):
    with pytest.raises(ValueError, match="compare over 'checkpoint' or 'pictures'"):
        share_changes(planted({"e": 0.0}, {"a": 0.0, "b": 0.0}), GROUPS, over=over, against=against)


def test_one_version_has_nothing_to_be_compared_with():
    with pytest.raises(ValueError, match="at least two values"):
        share_changes(planted({"e": 0.0}, {"a": 0.0}), GROUPS, over="pictures", against="a")


def test_on_the_drawn_world_with_a_real_model():
    world = open_world("kitchen", n_recipes=12)
    marked = marked_pictures(world, [f"kitchen-{i:05d}/0.jpg" for i in range(12)])
    encoder = load_encoder("tiny-clip", device="cpu")
    versions = {"watermarked": marked.marked, "clean": marked.clean}
    found = checkpoint_shares({0: encoder}, versions, marked.masks, kind="last")
    assert isinstance(found, pd.DataFrame)
    want = attention_shares(attention_maps(encoder, marked.clean, kind="last"), marked.dish)
    mine = found[(found["pictures"] == "clean") & (found["region"] == "dish")]
    assert mine["share"].tolist() == pytest.approx(want.tolist())
    dish = share_intervals(found, marked.recipe_ids).set_index(["region", "pictures"])
    assert dish.loc[("dish", "clean"), "excess_low"] > 0
