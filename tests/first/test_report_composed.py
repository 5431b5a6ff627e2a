"""Records, claims, tables and figures of composed retrieval."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.first.evaluation.chance import Gallery
from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.report import composed as show
from helpers.first.report import composed_claims, composed_galleries, composed_records
from helpers.first.report.composed_texts import (
    audit_table,
    change_in_words,
    rating_items,
    spread_curves,
    text_gallery,
)
from helpers.first.report.results import Record, write_results
from helpers.first.studies.text_audit import Correlation
from tests.first.small_composed import found_run, small_composed

ABOUT = {"lesson": "07", "run": "r", "seed": 1}
GRAY = Image.new("RGB", (8, 8), "gray")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def features():
    return small_composed(40, seed=4)


def runs_with(share: float, n: int = 40):
    """A model that finds the first part of the queries."""
    return [found_run(np.where(np.arange(n) < share * n, 1, 50))]


# --- models ---------------------------------------------------------------------------------------


def test_parts_are_known_and_held_out_combinations(features):
    parts = show.parts_of(features)
    assert list(parts) == ["", show.KNOWN, show.HELD_OUT]
    assert (parts[show.KNOWN] ^ parts[show.HELD_OUT]).all()
    assert parts[show.HELD_OUT].sum() == 10


def test_records_of_models_are_means_over_the_part(features, tmp_path):
    records = show.model_records({"m": runs_with(0.5)}, features, data="d", **ABOUT)
    whole = {r.metric: r.value for r in records if r.data == "d"}
    assert whole == {"hit@1": 0.5, "hit@5": 0.5, "hit@10": 0.5}
    part = next(r for r in records if r.data == f"d, {show.HELD_OUT}" and r.metric == "hit@10")
    held = [t.held_out for t in features.triplets.triplets]
    assert part.value == np.mean((np.arange(40) < 20)[held])
    assert part.n == 10
    write_results(tmp_path, records)
    figure = show.hits_plot(records, heading="h")
    assert len(figure.axes) == 3
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["m"]


def test_hits_plot_wants_fractions():
    with pytest.raises(ValueError, match="hit@K"):
        show.hits_plot([], heading="h")


def test_a_gallery_marks_what_is_a_target():
    row = composed_galleries.ComposedRow(
        GRAY, "in blue", GRAY, [GRAY, GRAY], [False, True], [0.9, 0.8], 2.0, "sum"
    )
    figure = composed_galleries.composed_gallery([row])
    texts = [t.get_text() for ax in figure.axes for t in ax.texts]
    assert "0.90" in texts
    assert "✓ 0.80" in texts
    assert "first target at rank 2" in texts
    with pytest.raises(ValueError, match="one score and one mark"):
        composed_galleries.ComposedRow(GRAY, "t", GRAY, [GRAY], [True], [1, 2], 1.0)
    with pytest.raises(ValueError, match="no row"):
        composed_galleries.composed_gallery([])


def test_a_grid_has_three_pictures_a_triplet(features):
    some = features.triplets.triplets[:2]
    figure = composed_galleries.triplet_grid(some, lambda _: GRAY, ["o0", "o1"], heading="h")
    assert len(figure.axes) == 6
    with pytest.raises(ValueError, match="one for each"):
        composed_galleries.triplet_grid(some, lambda _: GRAY, ["o0"], heading="h")


# --- pretraining ----------------------------------------------------------------------------------


@pytest.fixture
def grid():
    ways = {"none": runs_with(0.3), "pretrained": runs_with(0.8)}
    same = {"none": runs_with(0.5), "pretrained": runs_with(0.5)}
    return {("TIRG", "10 %"): ways, ("TIRG", "100 %"): same}


def test_the_grid_becomes_values_differences_and_lines(grid, features, tmp_path):
    records = composed_records.grid_records(
        grid, features.groups, gallery=features.choices, data="d", **ABOUT
    )
    write_results(tmp_path, records)
    table = composed_records.difference_table(records).set_index("data")
    assert table.loc["10 % annotated", "verdict"] == "better"
    assert table.loc["10 % annotated", "points"].startswith("+50.0 [")
    assert table.loc["100 % annotated", "verdict"] == "not distinguishable"
    lines = composed_records.grid_lines(records, {"10 %": 6, "100 %": 60})
    assert [(x, r.value) for x, r in lines["TIRG"]["pretrained"]] == [(6.0, 0.8), (60.0, 0.5)]
    other = replace(records[0], data="d, TIRG on 15 annotated")  # a number, not a share
    assert composed_records.shares_in([*records, other]) == {"10 %": 10, "100 %": 100}
    figure = show.amount_plot(lines, heading="h", x="triplets")
    assert len(figure.axes) == 1
    assert len(figure.axes[0].get_xticks()) == 2
    with pytest.raises(ValueError, match="no point"):
        show.amount_plot({}, heading="h", x="x")


def test_a_difference_without_its_p_value_is_refused(grid, features):
    records = composed_records.grid_records(
        grid, features.groups, gallery=features.choices, data="d", **ABOUT
    )
    with pytest.raises(ValueError, match="no p-value"):
        composed_records.difference_table([r for r in records if r.unit != "p"])


def test_a_table_of_several_metrics_says_which_is_which():
    alike = ("generator", "captions")
    records = [
        *difference(alike[0], f"rouge_l minus {alike[1]}", 0.1, 0.001),
        *difference(alike[0], f"meteor minus {alike[1]}", -0.1, 0.001),
    ]
    table = composed_records.difference_table(records)
    assert table["metric"].tolist() == ["rouge l", "meteor"]
    assert table["verdict"].tolist() == ["better", "worse"]
    assert "metric" not in composed_records.difference_table(records[:2])


def test_ways_are_compared_with_one_of_them(features):
    ways = {"a": runs_with(0.9), "b": runs_with(0.4)}
    records = composed_records.way_records(
        ways, "b", features.groups, gallery=features.choices, data="d, x", **ABOUT
    )
    assert [r.metric for r in records] == [
        "hit@10",
        "hit@10",
        "hit@10 minus b",
        "p of hit@10 minus b",
    ]
    assert records[2].value == pytest.approx(0.5)
    alone = composed_records.way_records(
        {"b": ways["b"]}, "b", features.groups, gallery=features.choices, data="d", **ABOUT
    )
    assert len(alone) == 1


def test_audits_become_records_and_paired_differences(tmp_path):
    rng = np.random.default_rng(0)
    good, bad = rng.uniform(0.5, 0.9, 40), rng.uniform(0.1, 0.4, 40)
    audits = {
        "generator": pd.DataFrame({"rouge_1": good, "rouge_l": good, "meteor": good}),
        "captions": pd.DataFrame({"rouge_1": bad, "rouge_l": bad, "meteor": np.full(40, np.nan)}),
    }
    summary = pd.DataFrame(
        [("rouge_1", 0.7, 0.6, 0.8, 40, 0.248)],
        columns=["measure", "value", "low", "high", "n", "reported"],
    )
    records = composed_records.audit_records(
        audits, {"generator": summary}, data="d", than="captions", **ABOUT
    )
    write_results(tmp_path, records)
    assert [r.metric for r in records] == [
        "rouge_1", "rouge_1 minus texts: captions", "p of rouge_1 minus texts: captions",
        "rouge_l minus texts: captions", "p of rouge_l minus texts: captions",
    ]  # fmt: skip
    assert records[1].value == pytest.approx(np.mean(good - bad))
    table = audit_table({"generator": summary})
    assert table.loc[0, "reported"] == "0.248"


def test_plain_numbers_and_correlations_keep_their_unit(tmp_path):
    nothing = Correlation(float("nan"), float("nan"), float("nan"), 40)
    values = {"a": 3, "b": True, "c": Correlation(0.2, 0.1, 0.3, 40), "d": nothing}
    records = composed_records.number_records(values, data="d", metric="m", unit="u", **ABOUT)
    write_results(tmp_path, records)
    table = composed_records.plain_table(records)
    assert table["value"].tolist() == ["3", "1", "0.2 [0.10, 0.30]"]
    assert records[2].n == 40


# --- claims ---------------------------------------------------------------------------------------


def difference(model, metric, value, p, data="d"):
    about = {"model": model, "data": data, "split": "test", "direction": "", "n": 9, **ABOUT}
    return [
        Record(metric=metric, value=value, low=value - 0.01, high=value + 0.01, **about),
        Record(metric=f"p of {metric}", value=p, unit="p", **about),
    ]


def test_claims_are_judged_by_the_comparisons_that_speak_of_them():
    records = [
        *difference("TIRG, pretrained", "hit@10 minus none", 0.1, 0.001, "d, 100 % annotated"),
        *difference("TIRG, pretrained", "hit@10 minus none", -0.9, 0.001, "d, 10 % annotated"),
        *difference("two-hop", "hit@10 minus SPRC", -0.1, 0.001),
        *difference("weight 0.5", "hit@10 minus weight 0", 0.01, 0.6),
    ]
    judged = composed_claims.judge_records(records)
    assert {one.claim.name: one.verdict for one in judged} == {
        "pretraining TIRG": "supported",
        "two hops": "contradicted",
        "weight 0.5": "not distinguishable",
    }
    table = composed_claims.table_of(judged)
    assert table["reported"].tolist() == ["+13.65", "in the papers' ablation", "0.5 was found best"]
    assert "METEOR" in composed_claims.not_judged(judged)
    assert composed_claims.judge_records([]) == []


def test_two_records_for_one_claim_are_refused():
    twice = [r for d in "ab" for r in difference("two-hop", "hit@10 minus SPRC", 0.1, 0.1, d)]
    with pytest.raises(ValueError, match="2 records speak of it"):
        composed_claims.judge_records(twice)
    with pytest.raises(ValueError, match="no p-value"):
        composed_claims.judge_records(difference("two-hop", "hit@10 minus SPRC", 0.1, 0.1)[:1])


def test_every_claim_has_its_reported_number_and_a_name_of_its_own():
    names = [one.claim.name for one in composed_claims.CLAIMS]
    assert len(set(names)) == len(names)
    assert all(one.reported for one in composed_claims.CLAIMS)


def test_a_comparison_in_records_is_the_comparison():
    a, b = np.repeat([1.0, 0.0], 20), np.tile([1.0, 0.0], 20)
    seen = paired_comparison(a, b, np.arange(40))
    ways = {"x": [found_run(np.where(a, 1, 99))], "y": [found_run(np.where(b, 1, 99))]}
    records = composed_records.way_records(
        ways,
        "y",
        np.arange(40).astype(str),
        gallery=Gallery(40, np.ones(40, int)),
        data="d",
        **ABOUT,
    )
    assert records[2].value == pytest.approx(seen.difference)


# --- texts and curves -----------------------------------------------------------------------------


class Shown:
    def __init__(self, plate):
        self.attributes = {"dish": "soup", "plate": plate}


SHOWN = {"a": Shown("red"), "b": Shown("blue")}


def audited(complete, hallucinated):
    n = len(complete)
    table = pd.DataFrame(
        {"pair_id": [f"p{i}" for i in range(n)], "reference": "a", "target": "b", "text": "in blue"}
    )
    audit = pd.DataFrame(
        {
            "text": "in blue", "complete": complete, "hallucinated": hallucinated,
            "wrong_side": False, "missed": 0.0,
        }
    )  # fmt: skip
    return audit, table


@pytest.mark.parametrize("complete", [[True, False], [False, False]])
def test_texts_stand_beside_the_true_change(complete):
    audit, table = audited(complete, [False, True])
    figure = text_gallery(audit, table, lambda _: GRAY, SHOWN)
    said = [t.get_text().replace("\n", " ") for ax in figure.axes for t in ax.texts]
    assert said.count("true: plate: red to blue") == 2
    with pytest.raises(ValueError, match="no text to show"):
        text_gallery(audit.iloc[:0], table.iloc[:0], lambda _: GRAY, SHOWN)


def test_the_true_change_in_words():
    assert change_in_words({"sauce": "none"}, {"sauce": "tomato"}) == "sauce: nothing to tomato"
    assert change_in_words({"sauce": "none"}, {"sauce": "none"}) == "nothing changes"


def test_a_rating_sheet_gets_a_random_sample():
    _, table = audited([True] * 9, [False] * 9)
    items = rating_items(table, lambda _: GRAY, size=4, seed=1)
    assert len({item.id for item in items}) == 4
    assert [i.id for i in items] == [
        i.id for i in rating_items(table, lambda _: GRAY, size=4, seed=1)
    ]


def test_spread_curves_draw_the_limit():
    lines = {"fixed": [(1, 0.4), (2, 0.5)], "loose": [(1, 0.4), (2, 0.0)]}
    figure = spread_curves(lines, limit=0.01, heading="h", metric=lines)
    assert len(figure.axes) == 2
    assert len(figure.axes[0].lines) == 3
    with pytest.raises(ValueError, match="no line"):
        spread_curves({}, limit=0.01, heading="h")
