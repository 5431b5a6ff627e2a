"""The figures of a search: what they draw is what the trials, shares and scores say."""

from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.evaluation.intervals import Interval
from helpers.first.models.placement import Placement
from helpers.first.report.results import Record, read_results, write_results
from helpers.first.report.search import (
    importance_plot,
    search_against_rows,
    search_history,
    winner_name,
)
from helpers.first.report.search_records import search_of, search_records, shown
from helpers.first.studies.search import Search
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training

TRIALS = pd.DataFrame(
    [
        (0, "complete", 0.60, 2, 30.0), (1, "pruned", 0.55, 1, 15.0),
        (2, "complete", 0.58, 2, 30.0), (3, "pruned", np.nan, 0, 0.0),
        (4, "complete", 0.70, 2, 45.0),
    ],
    columns=["number", "state", "score", "epochs", "seconds"],
)  # fmt: skip
ARM = Arm(Placement(rank=4, alpha=8, vision_layers=2, text_layers=0, modules="q_proj,v_proj"),
          Training(learning_rate=0.0061))  # fmt: skip
SHARES = {"text_layers": (0.5, 0.7, 0.6), "rank": (0.5, 0.3, 0.4)}
SEARCH = Search("id", TRIALS, ARM, SHARES, 0.5, None)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(fig) -> None:
    fig.canvas.draw()


def lines_of(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): np.column_stack(line.get_data()) for line in ax.lines}


def test_the_history_shows_every_trial_where_it_ended():
    fig = search_history(SEARCH)
    drawn(fig)
    lines = lines_of(fig.axes[0])
    assert lines["complete: 3"].tolist() == [[0, 0.6], [2, 0.58], [4, 0.7]]
    assert lines["pruned, best score until then: 1"].tolist() == [[1, 0.55]]
    assert lines["not trained: 1"][:, 0].tolist() == [3]
    assert lines["best so far"].tolist() == [[0, 0.6], [2, 0.6], [4, 0.7], [5, 0.7]]
    assert set(lines["base, untrained"][:, 1]) == {0.5}
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert "ringed: the best trial, r4 v2, rate 0.0061; 2.0 minutes in all" in texts


def test_a_search_without_pruned_trials_does_not_speak_of_untrained_ones():
    whole = replace(SEARCH, trials=TRIALS[TRIALS["state"] == "complete"])
    labels = lines_of(search_history(whole).axes[0])
    assert not any("not trained" in label for label in labels)


def test_the_name_of_the_winner():
    assert winner_name(SEARCH) == "r4 v2, rate 0.0061"


def test_importance_shows_every_repetition_and_the_median():
    fig = importance_plot(SHARES)
    drawn(fig)
    ax = fig.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["text layers", "rank"]
    dots, line, middle = ax.lines[:3]
    assert list(dots.get_xdata()) == [0.5, 0.7, 0.6]
    assert line.get_xdata() == pytest.approx([0.505, 0.695])
    assert middle.get_xdata() == pytest.approx([0.6])
    assert any(text.get_text() == "60%  [50%, 70%]" for text in ax.texts)
    assert any("median of 3 forests" in text.get_text() for text in ax.texts)


def test_importance_after_too_few_trials_is_refused():
    with pytest.raises(ValueError, match="from eight complete trials on"):
        importance_plot({})


def test_a_search_survives_its_records(tmp_path):
    records = search_records(SEARCH, n=30, lesson="05", run="study", data="kitchen")
    other = Record("05", "study", "r8 v2", "kitchen", "test", "", "score", 0.5)
    found = search_of(read_results(write_results(tmp_path, [other, *records])))
    wanted = shown(SEARCH)
    assert found.trials.equals(wanted.trials)
    assert (found.winner, found.untrained, found.seconds) == (winner_name(SEARCH), 0.5, 120.0)
    assert found.importance == dict(wanted.importance)
    for draw, part in ((search_history, (SEARCH, found)),
                       (importance_plot, (SHARES, found.importance))):  # fmt: skip
        first, second = (draw(one) for one in part)
        assert [t.get_text() for t in first.axes[0].texts] == [
            t.get_text() for t in second.axes[0].texts
        ]
    assert search_of([other]) is None
    twice = [*records, *(replace(one, run="tiny") for one in records)]
    with pytest.raises(ValueError, match="records of 2 searches"):
        search_of(twice)


def interval(value: float) -> Interval:
    return Interval(value, value - 0.05, value + 0.05, 100, 20, 0.95)


def test_the_winner_among_the_rows():
    validation = {"r8 v2": 0.6, "the search": 0.72, "r16 v2": 0.65}
    test = {name: interval(value - 0.1) for name, value in validation.items()}
    rng = np.random.default_rng(0)
    a, b = rng.random(60) < 0.7, rng.random(60) < 0.5
    compared = paired_comparison(a.astype(float), b.astype(float), [i // 3 for i in range(60)])
    fig = search_against_rows(validation, test, winner="the search", comparison=compared)
    drawn(fig)
    left, right = fig.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == ["the search", "r16 v2", "r8 v2"]
    assert [float(line.get_xdata()[0]) for line in left.lines] == [0.72, 0.65, 0.6]
    assert [line.get_marker() for line in left.lines] == ["s", "o", "o"]
    assert right.texts[0].get_text() == "62.0  [57.0, 67.0]"
    note = fig.get_supxlabel()
    assert f"{100 * compared.difference:+.1f} [" in note
    assert compared.verdict in note
    assert (
        "on the test:" not in search_against_rows(validation, test, winner="r8 v2").get_supxlabel()
    )


@pytest.mark.parametrize(("validation", "winner"), [({"a": 0.5, "b": 0.6}, "a"), ({"a": 0.5}, "b")])
def test_scores_that_do_not_belong_together_are_refused(validation, winner):
    with pytest.raises(ValueError, match="give both scores of each row"):
        search_against_rows(validation, {"a": interval(0.5)}, winner=winner)
