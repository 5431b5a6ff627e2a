"""The distribution study's numbers as records: whole on the way out and on the way back."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.claims import Claim, judge_claims
from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.report import style_records as records
from helpers.first.report.claims import claim_records
from helpers.first.report.results import write_results
from helpers.first.report.style_study import (
    NO_TEXT_LORA,
    committed_figures,
    committed_readings,
    committed_worths,
    equal_count,
    not_committed,
    regime_records,
)
from helpers.first.studies.mixes import Mix
from helpers.first.studies.mixtures import WORTH_COLUMNS, Exchange
from helpers.first.studies.style_claims import ATTENTION, CLAIMS
from helpers.first.studies.style_gap import Crossing
from helpers.first.studies.trajectories import gap_frame
from tests.first.test_mixtures import swept
from tests.first.test_trajectories import walked

ABOUT = {"lesson": "06", "run": "t", "data": "world:kitchen", "seed": 42}
INF = float("inf")
SHARES = st.integers(0, 20).map(lambda part: part / 20)


@given(SHARES, SHARES, st.sampled_from([0.25, 0.5, 1.0]), st.booleans())
def test_a_label_says_all_of_a_mix(real, synthetic, gap, marked):
    if not 0 < real + synthetic <= 1:
        return
    mix = Mix(real, synthetic, style_gap=gap, watermark=marked)
    found = records.mix_of(mix.label)
    assert found.label == mix.label
    assert [found.real, found.synthetic] == pytest.approx([real, synthetic])


@pytest.mark.parametrize("label", ["", "M0", "gap 0.5", "real", "25 % real + synthetic"])
def test_other_names_are_no_mix(label):
    with pytest.raises(ValueError, match="names no mix"):
        records.mix_of(label)


def score_frame() -> pd.DataFrame:
    mixes = (Mix(), Mix(0.25, 0.75, 0.5), Mix(watermark=True))
    rows = [
        {"label": mix.label, **vars(mix), "direction": way, "value": 0.5 + i / 10, "low": 0.4,
         "high": 0.9}
        for i, mix in enumerate(mixes)
        for way in ("", "text_to_image")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_scores_come_back_and_other_metrics_stay_out(tmp_path):
    made = records.score_records(score_frame(), "hit@10", **ABOUT, n=30)
    other = records.score_records(score_frame(), "hit@10, no LoRA in the text layers", **ABOUT)
    write_results(tmp_path, [*made, *other])
    pd.testing.assert_frame_equal(
        records.score_frame_of([*made, *other], "hit@10"), score_frame(), check_like=True
    )
    assert records.score_frame_of([], "hit@10").empty


def test_the_curve_comes_back():
    curve = pd.DataFrame(
        [(0.0, "", 0.1, 0.0, 0.2), (0.5, "", -0.1, -0.2, 0.1)],
        columns=["gap", "direction", "value", "low", "high"],
    )
    made = records.curve_records(curve, "hit@10", **ABOUT)
    pd.testing.assert_frame_equal(records.curve_of(made, "hit@10"), curve)


@pytest.mark.parametrize("worth", [(0.5, 0.2, 0.8), (0.1, -0.2, 0.3), (-0.2, -0.3, -0.1)])
def test_the_exchange_comes_back_with_its_rate(worth):
    value, low, high = worth
    rates = [1 / w if w > 0 else INF for w in (value, high, low)]
    found = Exchange(value, low, high, *rates, 0.05, 0.02, 0.07, (-0.3, 3.0))
    made = records.exchange_records(found, "text_to_image", **ABOUT)
    again = records.exchange_of(made, "text_to_image")
    assert again.reading == found.reading
    assert (again.worth, again.rate_high) == (found.worth, found.rate_high)
    assert records.exchange_of(made, "") is None


@pytest.mark.parametrize("ends", [(0.6, 0.4, 0.8), (INF, 0.7, INF), (0.8, 0.5, INF)])
def test_the_crossing_comes_back_with_what_lies_beyond(ends):
    found = Crossing(*ends, 0.3, 0.0, 1.0)
    curve = pd.DataFrame(
        [(1.0, "", 0.1, 0.0, 0.2)], columns=["gap", "direction", "value", "low", "high"]
    )
    made = records.crossing_records(found, **ABOUT) + records.curve_records(
        curve, "hit@10", **ABOUT
    )
    assert records.crossing_of(made) == found
    assert records.crossing_of(made, "text_to_image") is None


def test_the_gap_by_epoch_comes_back_as_means_over_runs():
    frame = gap_frame({"100 % real": [walked(1.0, 0.5), walked(1.0, 0.7)]})
    again = records.gap_frame_of(records.gap_records(frame, **ABOUT))
    assert again["epoch"].tolist() == [0, 1]
    for column in records.GAPS:
        assert again[column].tolist() == pytest.approx(
            frame.groupby("epoch")[column].mean().tolist()
        )


def test_claims_are_judged_again_from_their_records():
    rng = np.random.default_rng(0)
    recipes = [f"r{i}" for i in range(60)]
    claims = [*(claim for claim, _, _ in CLAIMS), ATTENTION]
    compared = [
        (claim, paired_comparison(rng.normal(shift, 0.1, 60), np.zeros(60), recipes))
        for claim, shift in zip(claims, (0.1, 0.1, -0.1, 0.0, 0.2, 0.0), strict=True)
    ]
    judged = judge_claims(compared)
    made = claim_records(judged, metric="score", **ABOUT)
    assert [one.verdict for one in records.judged_of(made)] == [one.verdict for one in judged]
    assert len({one.verdict for one in judged}) > 1


def test_records_of_claims_that_are_not_made_any_more_are_left_out_and_the_new_ones_named():
    seen = paired_comparison(np.full(9, 0.1), np.zeros(9), [str(i) for i in range(9)])
    old = claim_records(
        judge_claims([(Claim("attention", "As it was before.", "a study"), seen)]),
        metric="score", **ABOUT,
    )  # fmt: skip
    assert records.judged_of(old) == []
    names = records.claims_without(old)
    assert names == [claim.name for claim in records.EVERY_CLAIM]
    said = not_committed(old)
    assert f"no committed record yet of the claim {ATTENTION.name!r}" in said
    assert "no committed record yet of the worth in each arm" in said
    assert f"no committed record yet of the control: {NO_TEXT_LORA}" in said


def test_worths_come_back_with_what_lies_outside(tmp_path):
    arms = (Mix(0.25, 0.75), Mix(0.5, 0.5), Mix(0, 1))
    ends = [(0.2, -INF, 0.4), (INF, 0.5, INF), (-INF, -INF, 0.3)]
    rows = [
        (m.label, m.real, m.synthetic, *e, (0.25 - m.real) / m.synthetic,
         (1 - m.real) / m.synthetic)
        for m, e in zip(arms, ends, strict=True)
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=WORTH_COLUMNS)
    scores = [
        replace(record, model=label)
        for record in records.score_records(score_frame()[:1], "hit@10", **ABOUT)
        for label in ("100 % real", "50 % real", "25 % real")
    ]
    made = [*scores, *records.worth_records(found, **ABOUT)]
    write_results(tmp_path, made)
    pd.testing.assert_frame_equal(records.worths_of(made), found)
    assert committed_worths(made)["worth of a synthetic picture"].tolist() == [
        "0.20 [below, 0.40]", "outside the curve, above [0.50, above]",
        "outside the curve, below [below, 0.30]",
    ]  # fmt: skip
    assert records.worths_of(scores).empty


def test_pixels_layers_and_shares_are_records_that_can_be_written(tmp_path):
    compared = pd.DataFrame(
        [{"statistic": "brightness", "difference": -3.0, "low": -4.0, "high": -2.0,
          "effect_size": -0.2, "n_a": 5, "n_b": 6}]
    )  # fmt: skip
    layers = pd.DataFrame(
        [{"layer": "layer 1", "auc": 0.9, "auc_low": 0.8, "auc_high": 0.95, "n_a": 5, "n_b": 6,
          "centroid_ratio": 0.3}]
    )  # fmt: skip
    spread = pd.DataFrame(
        [{"pictures": "trained on clean", "kind": "rollout", "region": "dish", "checkpoint": e,
          "share": 0.5, "low": 0.4, "high": 0.6, "n": 7} for e in (0, 1)]
    )  # fmt: skip
    made = records.side_records(compared, layers, **ABOUT) + records.share_records(spread, **ABOUT)
    write_results(tmp_path, made)
    metrics = [record.metric for record in made]
    assert "brightness, real less synthetic" in metrics
    assert "attention (rollout) on the dish, epoch 1" in metrics
    assert made[0].unit == "gray levels, 0 to 255"


def test_a_regime_keeps_apart_from_another(tmp_path):
    tables = {
        "": swept({0: 0.1, 0.5: 0.05, 1: -0.05}),
        NO_TEXT_LORA: swept({0: 0.1, 0.5: 0.06, 1: 0.01}),
    }
    made = [
        record
        for name, table in tables.items()
        for record in regime_records(table, 0.25, (0.5, 1), regime=name, **ABOUT)
    ]
    write_results(tmp_path, made)
    assert records.crossing_of(made).gap == pytest.approx(0.75)
    assert records.crossing_of(made, regime=NO_TEXT_LORA).gap == INF
    assert len(committed_readings(made)) == 4
    assert not_committed(made)[len(records.EVERY_CLAIM) :] == []  # both regimes are there
    assert len(records.worths_of(made, regime=NO_TEXT_LORA)) == len(records.worths_of(made)) == 1
    drawn = committed_figures(made, n_pictures=1000)
    assert set(drawn) == {
        f"{a}_{b}" for a in ("study", "no_text_lora") for b in ("shares", "exchange", "gap")
    }
    plt.close("all")
    assert committed_figures([], n_pictures=1000) == {}


def test_equal_count_leaves_out_other_counts_gaps_and_watermarks():
    frame = score_frame()
    assert set(equal_count(frame)["label"]) == {"100 % real"}
