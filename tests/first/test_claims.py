"""Claims: which verdict follows from which comparison, and how it is shown."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.claims import Claim, judge_claims
from helpers.first.evaluation.comparison import Comparison, paired_comparison
from helpers.first.report.claims import claim_records, claims_table

HEADS = Claim("heads", "Tuned heads help.", "the table of the original")
WORSE = replace(HEADS, name="text", expects="lower")
SAME = Claim("marks", "The watermark hardly matters.", "the original", "same", margin=0.02)


def seen(low, difference, high, p_value=0.001):
    return Comparison(difference, low, high, p_value, 90, 30, 0.04, "better")


@pytest.mark.parametrize(
    ("claim", "comparison", "verdict"),
    [
        (HEADS, seen(0.01, 0.03, 0.05), "supported"),
        (HEADS, seen(-0.05, -0.03, -0.01), "contradicted"),
        (HEADS, seen(-0.01, 0.03, 0.05, 0.2), "not distinguishable"),
        (WORSE, seen(0.01, 0.03, 0.05), "contradicted"),
        (WORSE, seen(-0.05, -0.03, -0.01), "supported"),
        (SAME, seen(-0.01, 0.005, 0.02, 0.5), "supported"),
        (SAME, seen(0.001, 0.01, 0.019, 0.01), "supported"),  # real, and too small to matter
        (SAME, seen(-0.01, 0.01, 0.03, 0.5), "not distinguishable"),
        (SAME, seen(0.01, 0.03, 0.05, 0.01), "not distinguishable"),
        (SAME, seen(0.021, 0.03, 0.05, 0.01), "contradicted"),
        (SAME, seen(-0.05, -0.03, -0.021, 0.01), "contradicted"),
    ],
)
def test_the_verdict_follows_from_the_comparison(claim, comparison, verdict):
    (judged,) = judge_claims([(claim, comparison)])
    assert judged.verdict == verdict


def test_claims_that_are_judged_together_share_the_level():
    alone = judge_claims([(HEADS, seen(0.001, 0.03, 0.06, 0.04))])
    together = judge_claims([(HEADS, seen(0.001, 0.03, 0.06, 0.04))] * 3)
    assert alone[0].verdict == "supported"
    assert [(j.verdict, round(j.p_value, 6)) for j in together] == [
        ("not distinguishable", 0.12)
    ] * 3
    assert judge_claims([]) == []


def test_claims_of_no_difference_take_no_part_in_the_correction():
    """Their verdict rests on interval and margin, so a test of theirs must not cost the others."""
    directed = (HEADS, seen(0.001, 0.03, 0.06, 0.02))
    no_difference = (SAME, seen(-0.01, 0.0, 0.01, 0.04))
    judged = judge_claims([no_difference, directed, no_difference, directed])
    assert [one.p_value for one in judged] == [None, 0.04, None, 0.04]
    assert [one.verdict for one in judged] == ["supported"] * 4
    assert judge_claims([no_difference])[0].p_value is None


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=8, max_size=40))
def test_swapping_the_sides_swaps_the_verdict(differences):
    a, b = np.array(differences), np.zeros(len(differences))
    groups = np.arange(len(a))
    options = {"n_resamples": 200, "n_flips": 200}
    forth = judge_claims([(HEADS, paired_comparison(a, b, groups, **options))])[0].verdict
    back = judge_claims([(HEADS, paired_comparison(b, a, groups, **options))])[0].verdict
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    assert back == opposite.get(forth, forth)


@pytest.mark.parametrize(
    ("expects", "margin", "message"),
    [("better", 0.0, "'better'"), ("same", 0.0, "needs a margin"), ("higher", 0.1, "has none")],
)
def test_a_claim_says_what_it_expects(expects, margin, message):
    with pytest.raises(ValueError, match=message):
        Claim("x", "y", "z", expects, margin=margin)


def test_the_table_shows_points_and_what_was_reported():
    judged = judge_claims([(HEADS, seen(0.01, 0.03, 0.05)), (SAME, seen(-0.01, 0.0, 0.01, 1.0))])
    table = claims_table(judged, reported={"heads": "+0.9"})
    assert table["measured"].tolist() == ["+3.0 [+1.0, +5.0]", "+0.0 [-1.0, +1.0]"]
    assert table["reported"].tolist() == ["+0.9", "–"]
    assert table["verdict"].tolist() == ["supported", "supported"]
    assert table["p"].tolist() == ["0.001", "–"]
    assert table["claim"].tolist() == [
        "Tuned heads help.", "The watermark hardly matters. (within ±2.0)"
    ]  # fmt: skip
    assert table["could have shown"].tolist() == ["4.0", "4.0"]
    assert "reported" not in claims_table(judged)
    assert claims_table(judged, unit="value", digits=2)["measured"][0] == "+0.03 [+0.01, +0.05]"
    with pytest.raises(ValueError, match="haeds"):
        claims_table(judged, reported={"haeds": "+0.9"})
    with pytest.raises(ValueError, match="percent"):
        claims_table(judged, unit="percent")


def test_records_hold_the_raw_p_value():
    judged = judge_claims([(HEADS, seen(0.01, 0.03, 0.05, 0.03))] * 2)
    records = claim_records(judged, metric="score", lesson="05", run="study", data="kitchen")
    assert [r.value for r in records[:2]] == [0.03, 0.03]
    assert (records[0].low, records[0].high, records[0].n) == (0.01, 0.05, 90)
    assert records[0].model == "claim: heads"
    assert judged[0].p_value == pytest.approx(0.06)
