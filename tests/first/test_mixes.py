"""Mixes: which recipes are shown how, nested by share, never in two looks, of one length."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.studies.mixes import REAL, SYNTHETIC, Mix, mixed_rows

TRAIN = pd.DataFrame(
    [
        (f"r{r:02d}", f"r{r:02d}/{i}.jpg", f"caption {c} of {r}")
        for r in range(20)
        for i in range(1 + r % 3)
        for c in range(2)
    ],
    columns=["recipe_id", "image_key", "caption"],
)
SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])


def looks_of(rows: pd.DataFrame) -> dict[str, set[str]]:
    look = rows["image_key"].str.partition("#")[0]
    return {name: set(rows["recipe_id"][look == name]) for name in (REAL, SYNTHETIC)}


def test_labels_say_what_is_shown():
    assert Mix().label == "100 % real"
    assert Mix(0, 1).label == "100 % synthetic"
    assert Mix(0.25, 0.75).label == "25 % real + 75 % synthetic"
    assert Mix(0.25, 0.75, style_gap=0.5).label.endswith(", gap 0.5")
    assert Mix(watermark=True).label == "100 % real, watermarked"


def test_a_gap_without_synthetic_pictures_makes_no_other_mix():
    assert Mix(0.5, style_gap=0.2) == Mix(0.5)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"real": 0.6, "synthetic": 0.6}, "at most 1"),
        ({"real": 0.0}, "above 0"),
        ({"real": 1.2, "synthetic": -0.2}, "0 or more"),
        ({"style_gap": 1.5}, "share of the way"),
    ],
)
def test_shares_that_are_none_are_refused(shares, said):
    with pytest.raises(ValueError, match=said):
        Mix(**shares)


@settings(max_examples=60, deadline=None)
@given(SHARES, SHARES, st.integers(0, 5))
def test_every_mix_has_as_many_pictures_and_no_recipe_in_two_looks(real, synthetic, seed):
    if not 0 < real + synthetic <= 1:
        return
    rows = mixed_rows(TRAIN, Mix(real, synthetic), seed=seed)
    assert rows["image_key"].nunique() == TRAIN["image_key"].nunique()
    found = looks_of(rows)
    assert not found[REAL] & found[SYNTHETIC]
    assert len(found[REAL]) == round(real * 20)
    assert len(found[REAL] | found[SYNTHETIC]) == round((real + synthetic) * 20)


def test_pictures_keep_their_captions_and_differ_by_at_most_one_copy():
    rows = mixed_rows(TRAIN, Mix(0.25), seed=3)
    keys = rows["image_key"].str.partition("/")[2]
    wanted = TRAIN.groupby("image_key")["caption"].apply(set)
    for key, captions in rows.groupby(keys)["caption"]:
        assert set(captions) == wanted[key]
    copies = rows.drop_duplicates("image_key")["image_key"].str.partition("/")[2].value_counts()
    assert copies.max() - copies.min() <= 1


def test_a_larger_share_of_one_seed_only_adds_recipes():
    few, more = (looks_of(mixed_rows(TRAIN, Mix(share), seed=1))[REAL] for share in (0.25, 0.5))
    assert few < more
    both = looks_of(mixed_rows(TRAIN, Mix(0.25, 0.75), seed=1))
    assert both[REAL] == few
    assert few != looks_of(mixed_rows(TRAIN, Mix(0.25), seed=2))[REAL]


def test_the_order_of_the_rows_does_not_choose_the_recipes():
    mixed = TRAIN.iloc[np.random.default_rng(0).permutation(len(TRAIN))]
    one, other = (looks_of(mixed_rows(frame, Mix(0.3, 0.3), seed=7)) for frame in (TRAIN, mixed))
    assert one == other


def test_a_share_without_a_recipe_is_refused():
    with pytest.raises(ValueError, match="of 20 recipes none is synthetic"):
        mixed_rows(TRAIN, Mix(0.5, 0.01), seed=1)
