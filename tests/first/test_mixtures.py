"""Scores under resampling, the exchange rate and the style gap, on worlds whose truth is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.studies import mixtures, scores, style_gap
from helpers.first.studies.mixes import Mix
from helpers.first.studies.scores import Scores

ALONE = (Mix(1.0), Mix(0.5), Mix(0.25))
MIXED = (Mix(0.25, 0.75), Mix(0.5, 0.5), Mix(0.25, 0.25))


def made(values, *, n_seeds=3, n_recipes=200, noise=0.0, seed=0) -> Scores:
    """Arms with given mean hits a query, three queries a recipe and direction."""
    rng = np.random.default_rng(seed)
    shape = (len(values), n_seeds, 2, n_recipes)
    means = np.array(list(values.values()), float)[:, None, None, None]
    hits = 3 * means + noise * rng.normal(size=shape)
    return Scores(tuple(values), hits, np.full((2, n_recipes), 3.0))


def by_worth(worth: float, *, slope: float = 0.05) -> dict[Mix, float]:
    return {
        mix: 0.5 + slope * np.log2(mix.real + worth * mix.synthetic) for mix in (*ALONE, *MIXED)
    }


# --- scores --------------------------------------------------------------------------------------


def fake_pairs():
    rows = [("a", "a/0", "x"), ("a", "a/1", "x"), ("b", "b/0", "y"), ("b", "b/0", "z")]
    return SimpleNamespace(test=pd.DataFrame(rows, columns=["recipe_id", "image_key", "caption"]))


def run_with(texts, images):
    ranks = {"text_to_image": np.array(texts), "image_to_text": np.array(images)}
    return SimpleNamespace(ranks={"real": ranks})


def test_scores_by_hand():
    # captions x (a), y, z (b); pictures a/0, a/1, b/0
    runs = {Mix(): [run_with([1, 11, 2], [1, 20, 20]), run_with([1, 1, 1], [1, 1, 1])]}
    table = scores.score_table(runs, fake_pairs())
    assert table.sums[0, 0].tolist() == [[1, 1], [1, 0]]
    assert table.sizes.tolist() == [[1, 2], [2, 1]]
    assert scores.arm_scores(table, "text_to_image")[0] == pytest.approx((2 / 3 + 1) / 2)
    assert scores.arm_scores(table, "image_to_text")[0] == pytest.approx((1 / 3 + 1) / 2)
    assert scores.arm_scores(table)[0] == pytest.approx((2 / 3 + 1 / 3 + 2) / 4)


def test_the_score_of_a_recipe_is_the_mean_of_its_queries_by_direction():
    ranks = [run.ranks["real"] for run in (run_with([1, 11, 2], [1, 20, 20]),)]
    found = scores.recipe_values(ranks, fake_pairs())
    assert found.tolist() == [(1 + 0.5) / 2, (0.5 + 0) / 2]
    assert scores.ids_of_test(fake_pairs()).tolist() == ["a", "b"]


def test_arms_with_other_numbers_of_seeds_are_refused():
    one = run_with([1, 1, 1], [1, 1, 1])
    with pytest.raises(ValueError, match="different numbers of seeds"):
        scores.score_table({Mix(): [one], Mix(0.5): [one, one]}, fake_pairs())
    with pytest.raises(ValueError, match="or none"):
        scores.score_table({}, fake_pairs())


def test_resampling_agrees_with_a_naive_loop():
    table = made(by_worth(0.5), n_recipes=7, noise=0.4, n_seeds=2)
    drawn = scores.resampled_scores(table, direction="image_to_text", n_resamples=20, seed=5)
    rng = np.random.default_rng(5)
    recipes = rng.multinomial(7, np.full(7, 1 / 7), 20)
    seeds = rng.multinomial(2, np.full(2, 1 / 2), 20)
    for r in range(20):
        rows = np.repeat(np.arange(7), recipes[r])
        picked = np.repeat(np.arange(2), seeds[r])
        for a in range(len(table.mixes)):
            hits = table.sums[a][picked][:, 1][:, rows].sum(axis=1) / table.sizes[1][rows].sum()
            assert drawn[r, a] == pytest.approx(hits.mean())


def test_what_arms_share_cancels_in_differences():
    table = made(by_worth(0.5), noise=0.0)
    hard = np.random.default_rng(1).normal(size=(1, 3, 2, 200))  # of all arms alike
    table = replace(table, sums=table.sums + hard)
    apart = scores.score_frame(table, minus=Mix(0.25), n_resamples=200)
    assert (apart["high"] - apart["low"]).max() < 1e-9
    assert (scores.score_frame(table, n_resamples=200).eval("high - low") > 0.01).all()


# --- exchange ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(-25, 150).map(lambda hundredths: hundredths / 100))
def test_a_worth_that_was_put_in_is_found(worth):
    found = mixtures.exchange_rate(made(by_worth(worth)), n_resamples=20)
    assert found.worth == pytest.approx(worth, abs=1e-6)
    assert found.slope == pytest.approx(0.05)
    assert found.worth_low == pytest.approx(found.worth_high)
    assert found.rate == (pytest.approx(1 / worth) if worth > 1e-9 else np.inf)


def test_the_fit_agrees_with_a_naive_one():
    rng = np.random.default_rng(3)
    real, synthetic = rng.uniform(0.2, 1, 6), rng.uniform(0, 0.5, 6)
    tried = np.linspace(-0.2, 2, 23)
    rows = 0.4 + 0.1 * np.log2(real + 0.7 * synthetic) + 0.02 * rng.normal(size=(30, 6))
    worth, slope = mixtures.fit_worth(real, synthetic, rows, tried)
    for row, got, steep in zip(rows, worth, slope, strict=True):
        best = []
        for w in tried:
            x = np.log2(real + w * synthetic)
            b, a = np.polyfit(x, row, 1)
            flat = ((row - row.mean()) ** 2).sum()
            best.append((((row - a - b * x) ** 2).sum() if b > 0 else flat, w, max(b, 0)))
        _, want, want_slope = min(best)
        assert got == pytest.approx(want)
        assert steep == pytest.approx(want_slope)


def test_noise_widens_the_interval_which_holds_the_truth():
    found = mixtures.exchange_rate(made(by_worth(0.4), noise=0.5, n_recipes=300))
    assert found.worth_low < 0.4 < found.worth_high
    assert found.rate_low == pytest.approx(1 / found.worth_high)
    assert found.identified


def test_without_gain_from_real_pictures_no_rate_is_given():
    found = mixtures.exchange_rate(made(dict.fromkeys((*ALONE, *MIXED), 0.5), noise=0.5))
    assert not found.identified
    assert "no exchange rate can be given" in found.reading


@pytest.mark.parametrize(
    ("worth", "said"),
    [
        ((0.5, 0.25, 1.0), "2.0 synthetic pictures for a real one, between 1.0 and 4.0"),
        ((0.1, -0.1, 0.2), "at least 5.0 synthetic"),
        ((-0.1, -0.2, 0.0), "no number of them"),
    ],
)
def test_the_reading_says_what_the_interval_allows(worth, said):
    value, low, high = worth
    rate = 1 / value if value > 0 else np.inf
    rates = mixtures.rate_interval(low, high)
    found = mixtures.Exchange(value, low, high, rate, *rates, 0.1, 0.05, 0.2, (-0.3, 3.0))
    assert said in found.reading


def test_the_worth_of_another_gap_rests_on_its_own_arms():
    values = by_worth(0.1) | {
        Mix(0.25, 0.75, style_gap=0.5): 0.5 + 0.05 * np.log2(0.25 + 0.8 * 0.75),
        Mix(watermark=True): 0.0,
    }
    table = made(values)
    assert mixtures.exchange_rate(table, n_resamples=5).worth == pytest.approx(0.1)
    half = mixtures.exchange_rate(table, style_gap=0.5, n_resamples=5)
    assert half.worth == pytest.approx(0.8)


def test_too_few_arms_are_refused():
    with pytest.raises(ValueError, match="two numbers of real pictures alone"):
        mixtures.exchange_rate(made({Mix(): 0.5, Mix(0.5, 0.5): 0.4}))
    with pytest.raises(ValueError, match=r"gap 0\.3 besides"):
        mixtures.exchange_rate(made(by_worth(0.5)), style_gap=0.3)
    with pytest.raises(ValueError, match="no effective picture left"):
        mixtures.fit_worth(np.array([0.2]), np.array([1.0]), np.ones((1, 1)), np.array([-0.2]))


# --- the worth in each arm -----------------------------------------------------------------------

CURVE = np.array([0.25, 0.5, 1.0]), np.array([0.40, 0.50, 0.60])


@pytest.mark.parametrize(
    ("real", "synthetic", "score", "worth"),
    [
        (0.25, 0.75, 0.50, 1 / 3),  # as good as a half: (0.5 - 0.25) / 0.75
        (0.25, 0.25, 0.45, 0.41421356),  # half way from 1/4 to 1/2, over the logarithm
        (0.5, 0.5, 0.55, 0.41421356),
        (0.5, 0.5, 0.50, 0.0),
        (0.75, 0.25, 0.50, -1.0),  # they harm: worse than its real ones alone
        (0.0, 1.0, 0.40, 0.25),  # at the lower end of the curve
        (0.5, 0.5, 0.60, 1.0),  # at the upper one
        (0.0, 1.0, 0.39, -np.inf),
        (0.5, 0.5, 0.61, np.inf),
    ],
)
def test_the_worth_on_the_curve_by_hand(real, synthetic, score, worth):
    found = mixtures.worth_on_curve(real, synthetic, score, *CURVE)
    assert found == pytest.approx(worth)


def test_on_a_curve_that_falls_again_the_fewest_pictures_count():
    at, curve = np.array([0.25, 0.5, 1.0]), np.array([0.4, 0.6, 0.5])
    assert mixtures.worth_on_curve(0.25, 0.25, 0.5, at, curve) == pytest.approx(0.41421356)


def test_arms_that_differ_in_worth_are_told_apart_where_one_worth_is_fitted():
    truth = {Mix(0.25, 0.75): 0.2, Mix(0.5, 0.5): 0.06}
    values = {mix: 0.5 + 0.05 * np.log2(mix.real) for mix in ALONE}
    values |= {m: 0.5 + 0.05 * np.log2(m.real + w * m.synthetic) for m, w in truth.items()}
    values |= {Mix(0, 1): 0.1, Mix(0.25, 0.75, 0.5): 0.6, Mix(watermark=True): 0.9}
    table = made(values, n_seeds=2)
    found = mixtures.worth_by_arm(table, n_resamples=20).set_index("label")
    assert list(found.index) == [mix.label for mix in truth] + ["100 % synthetic"]
    assert found["worth"].tolist() == pytest.approx([0.2, 0.06, -np.inf])
    assert found["low"].tolist() == pytest.approx([0.2, 0.06, -np.inf])
    assert found["most"].tolist() == pytest.approx([1, 1, 1])
    assert found["least"].tolist() == pytest.approx([0, -0.5, 0.25])
    pooled = mixtures.exchange_rate(table, n_resamples=20).worth
    assert 0.06 < pooled < 0.2


def test_the_worth_in_an_arm_has_an_interval_that_may_leave_the_curve():
    table = made(by_worth(0.5), noise=0.5)
    found = mixtures.worth_by_arm(table, n_resamples=200)
    assert (found["low"] <= found["worth"]).all()
    assert (found["worth"] <= found["high"]).all()
    wild = mixtures.worth_by_arm(made(by_worth(0.98), noise=3.0, n_recipes=30), n_resamples=200)
    assert np.isinf(wild[["low", "high"]]).any(axis=None)


def test_a_curve_of_one_point_is_refused():
    with pytest.raises(ValueError, match="a curve needs two"):
        mixtures.worth_by_arm(made({Mix(): 0.5, Mix(0.5, 0.5): 0.4}))


# --- style gap -----------------------------------------------------------------------------------


def swept(gains: dict[float, float]) -> Scores:
    arms = style_gap.sweep_mixes(0.25, gains)
    return made({Mix(0.25): 0.4} | {mix: 0.4 + gains[gap] for gap, mix in arms.items()})


def test_a_gap_of_zero_is_real_pictures_of_the_same_recipes():
    mixes = style_gap.sweep_mixes(0.25, (1, 0.5))
    assert mixes == {0.0: Mix(), 0.5: Mix(0.25, 0.75, 0.5), 1.0: Mix(0.25, 0.75)}


def test_help_ends_where_the_line_crosses_nothing():
    found = style_gap.stops_helping(swept({0: 0.1, 0.5: 0.05, 1: -0.05}), 0.25, (0.5, 1))
    assert [found.gap, found.low, found.high] == pytest.approx([0.75] * 3)
    assert (found.always, found.never) == (0, 0)
    assert "0.75" in found.reading


def test_help_that_never_ends_and_help_that_never_begins():
    always = style_gap.stops_helping(swept({0: 0.1, 0.5: 0.05, 1: 0.01}), 0.25, (0.5, 1))
    assert always.gap == np.inf
    assert always.always == 1
    assert "still help at the largest gap that was tried, 1" in always.reading
    open_end = style_gap.Crossing(0.9, 0.6, np.inf, 0.3, 0.0, 1.0)
    assert "gap of 0.90, between 0.60 and somewhere beyond 1" in open_end.reading
    never = style_gap.stops_helping(swept({0: -0.1, 0.5: -0.2, 1: -0.3}), 0.25, (0.5, 1))
    assert (never.gap, never.never) == (0, 1)


@pytest.mark.parametrize(
    ("gains", "zero"),
    [
        ([2.0, 1.0, -1.0], 0.75),
        ([1.0, -1.0, 3.0], np.inf),  # a larger gap cannot help more: -1 and 3 average to 1
        ([1.0, 0.0, -1.0], 0.5),
        ([0.0, -1.0, -2.0], 0.0),
    ],
)
def test_zero_by_hand(gains, zero):
    assert style_gap.zero_of(np.array([0, 0.5, 1.0]), np.array(gains)) == pytest.approx(zero)


def test_the_curve_has_the_gains():
    gains = {0.0: 0.1, 0.5: 0.05, 1.0: -0.05}
    curve = style_gap.gap_curve(swept(gains), 0.25, (0.5, 1), n_resamples=50)
    assert sorted(curve["direction"].unique()) == ["", "image_to_text", "text_to_image"]
    mean = curve[curve["direction"] == ""]
    assert dict(zip(mean["gap"], mean["value"].round(9), strict=True)) == gains
    assert (curve["low"] <= curve["value"]).all()
