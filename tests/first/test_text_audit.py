"""The audit against claims worked out by hand, and against the world's own true texts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.first.studies.text_audit import (
    audit_summary,
    audit_texts,
    judge_text,
    retrieval_correlation,
)
from helpers.world import open_world
from helpers.world.changes import composed_world

BEFORE = {"dish": "soup", "main": "beef", "garnish": "basil", "sauce": "none", "plate": "red",
          "shape": "round", "table": "wood"}  # fmt: skip
AFTER = {**BEFORE, "main": "tofu", "garnish": "none"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("with tofu and without basil", {"complete": True, "missed": 0.0, "wanted_true": 1.0}),
        ("with tofu instead of beef", {"complete": False, "missed": 0.5, "hallucinated": False}),
        ("with tofu and olives", {"hallucinated": True, "invented": "garnish: olives",
                                  "wanted_true": 0.5, "complete": False}),
        ("no olives", {"hallucinated": True, "missed": 1.0}),
        ("with beef instead of tofu", {"wrong_side": True, "hallucinated": False,
                                       "wanted_true": 0.0}),
        ("on a red plate", {"wanted_true": 0.0, "wrong_side": False, "hallucinated": False,
                            "says_nothing": False}),
        ("make it nicer", {"says_nothing": True, "missed": 1.0, "hallucinated": False}),
    ],
)  # fmt: skip
def test_by_hand(text, expected):
    judged = judge_text(text, BEFORE, AFTER)
    assert {name: judged[name] for name in expected} == expected


def test_of_a_text_that_asks_for_nothing_no_share_is_made_up():
    assert np.isnan(judge_text("without basil", BEFORE, AFTER)["wanted_true"])
    assert judge_text("", BEFORE, BEFORE)["missed"] == 0.0
    assert not judge_text("", BEFORE, BEFORE)["complete"]


@pytest.fixture(scope="module")
def composed():
    return composed_world(open_world("kitchen", n_recipes=60), counts={"train": 60})


@pytest.fixture(scope="module")
def table(composed):
    triplets = composed.sets["train"].triplets
    rows = [(t.pair_id, t.reference, f"{t.pair_id}-target", t.caption, t.reverse) for t in triplets]
    return pd.DataFrame(rows, columns=["pair_id", "reference", "target", "text", "reverse"])


@pytest.mark.parametrize("column", ["text", "reverse"])
def test_true_texts_pass_and_those_of_other_pairs_do_not(composed, table, column):
    told = {row.pair_id: (getattr(row, column),) for row in table.itertuples()}
    audit = audit_texts(table, composed.shown, references=told, text=column)
    assert audit["complete"].all()
    assert not audit[["hallucinated", "wrong_side", "says_nothing"]].to_numpy().any()
    assert (audit["rouge_l"] == 1).all()
    shuffled = table.assign(**{column: np.roll(table[column], 1)})
    wrong = audit_texts(shuffled, composed.shown, references=told, text=column)
    assert wrong["hallucinated"].mean() > 0.5
    assert wrong["rouge_l"].mean() < 0.5


def test_the_summary_holds_its_values_between_its_limits(composed, table):
    audit = audit_texts(table, composed.shown)
    summary = audit_summary(audit).set_index("measure")
    assert "rouge_l" not in summary.index  # no human text was given
    assert (summary["low"] <= summary["value"]).all()
    assert (summary["value"] <= summary["high"]).all()
    assert summary.loc["hallucinated", "value"] == 0
    assert 0.04 < summary.loc["hallucinated", "high"] < 0.08  # Wilson: 0 of 60
    assert summary.loc["hallucinated", "reported"] == 0.04
    with pytest.raises(ValueError, match="all pairs dropped"):
        audit_summary(audit.iloc[:0])


def test_of_photographs_the_overlap_alone_is_measured(composed, table):
    told = {row.pair_id: (row.text,) for row in table.itertuples()}
    audit = audit_texts(table, None, references=told)
    assert list(audit) == ["pair_id", "text", "rouge_1", "rouge_l", "meteor"]
    known = audit_texts(table, composed.shown, references=told)
    pd.testing.assert_frame_equal(audit, known[list(audit)])
    summary = audit_summary(audit)
    assert summary["measure"].tolist() == ["rouge_1", "rouge_l", "meteor"]
    assert summary["n"].tolist() == [len(table)] * 3


def test_a_picture_that_nobody_knows_is_an_error(table):
    with pytest.raises(KeyError):
        audit_texts(table, {"other": SimpleNamespace(attributes=BEFORE)})


def test_correlation_as_scipy_has_it_and_in_the_right_direction():
    from scipy import stats

    rng = np.random.default_rng(0)
    quality = rng.integers(0, 5, 60)
    ranks = 20 - 3 * quality + rng.normal(0, 4, 60)
    found = retrieval_correlation(quality, ranks)
    assert found.rho == pytest.approx(stats.spearmanr(quality, -ranks).statistic)
    assert 0 < found.low < found.rho < found.high < 1
    assert found.n == 60
    unrelated = retrieval_correlation(quality, rng.normal(size=60))
    assert unrelated.low < 0 < unrelated.high


def test_correlation_leaves_out_what_is_missing_and_refuses_too_little():
    found = retrieval_correlation([1, 2, 3, np.nan], [3, 2, 1, 1])
    assert (found.n, found.rho) == (3, 1.0)
    assert np.isnan(retrieval_correlation([1, 1, 1], [3, 2, 1]).rho)
    with pytest.raises(ValueError, match="at least three"):
        retrieval_correlation([1, np.nan], [1, 2])
    with pytest.raises(ValueError, match="2 values of quality and 3 ranks"):
        retrieval_correlation([1, 2], [1, 2, 3])
