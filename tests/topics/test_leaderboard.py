"""The leaderboard's arithmetic beside the study's own, its table in a page, and the search."""

import json
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import optuna
import pandas as pd
import pytest

from helpers.evaluation.stats import holm
from helpers.models.encoder import load_encoder
from helpers.study import Design, Study
from helpers.topics.placement import leaderboard, search, widget
from helpers.topics.placement.rows import parse

DESIGN = Design(
    lesson="05", version=1, date="2026-01-01", question="?", base={"small": "", "other": ""},
    data={}, seeds={"default": 5, "zero-shot": 0}, hypotheses=[],
    settings={"margins": {"usual": 1.5, "more": 1}, "more seeds": 10},
    arms={
        "zero-shot": {"base": "small"},
        **{name: {"base": "small", "row": name} for name in ("r8 v2", "r4 v2", "biases")},
        "full, other": {"base": "other", "row": "full"},
    },
)  # fmt: skip


def made_up(levels, *, n_items=60, n_seeds=5, tests=("kitchen",), seed=0) -> Study:
    """Ranks by chance around a level for each arm; items have one to three queries."""
    rng = np.random.default_rng(seed)
    frames, runs = [], []
    for test in tests:
        for direction in ("text_to_image", "image_to_text"):
            counts = rng.integers(1, 4, n_items)
            groups = np.repeat([f"r{i}" for i in range(n_items)], counts)
            hard = rng.normal(size=len(groups))
            for arm, level in levels.items():
                own = rng.normal(size=len(groups))
                for one in range(1, n_seeds + 1) if arm != "zero-shot" else [-1]:
                    score = level + hard + 0.3 * own + 0.3 * rng.normal(size=len(groups))
                    frames.append(pd.DataFrame({
                        "arm": arm, "seed": one, "test": test, "direction": direction,
                        "query": range(len(groups)), "group": groups, "gallery": "0",
                        "gallery_size": 300, "positives": 1,
                        "rank": np.where(score > 0, 3.0, 40.0).astype("float32"),
                    }))  # fmt: skip
    for arm in levels:
        for one in range(1, n_seeds + 1) if arm != "zero-shot" else [-1]:
            runs.append(
                {
                    "arm": arm,
                    "seed": one,
                    "base": "small",
                    "validation": levels[arm],
                    "trainable_parameters": 100,
                    "seconds": 9.0,
                    "rate": 0.01,
                    "steps": 4,
                }
            )
    return Study(pd.concat(frames, ignore_index=True), pd.DataFrame(runs))


LEVELS = {"zero-shot": -1.0, "r8 v2": 0.3, "r4 v2": 0.25, "biases": -0.6}


def test_pairs_are_one_family_and_each_has_one_verdict():
    study = made_up(LEVELS, n_items=400)
    found = leaderboard.pairs(study, DESIGN, "small")
    assert len(found) == 3  # of three settings; zero-shot and the other base are none
    assert (found["value"] >= 0).all()
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].tolist()))
    for pair in found.itertuples():
        direct = study.difference(pair.a, pair.b, test="kitchen")
        assert (pair.value, pair.low, pair.high) == pytest.approx(
            (direct.value, direct.low, direct.high)
        )
        within = pair.low >= -0.015 and pair.high <= 0.015
        right = "better" if pair.p_holm <= 0.05 else "equivalent" if within else "undecided"
        assert pair.verdict == right
    verdicts = found.set_index(["a", "b"])["verdict"]
    assert verdicts["r8 v2", "biases"] == "better"
    assert leaderboard.decided_share(found) == pytest.approx((verdicts != "undecided").mean())


def test_the_margin_is_narrow_where_both_have_ten_seeds():
    found = leaderboard.pairs(made_up(LEVELS, n_seeds=10), DESIGN, "small")
    assert set(found["margin"]) == {1}
    assert set(leaderboard.pairs(made_up(LEVELS), DESIGN, "small")["margin"]) == {1.5}


def test_equal_settings_are_equivalent_in_a_large_test():
    study = made_up({"zero-shot": -1, "r8 v2": 0.3, "r4 v2": 0.3, "biases": 0.3}, n_items=400)
    same = study.ranks[study.ranks["arm"] == "r8 v2"]
    copies = [study.ranks[study.ranks["arm"] == "zero-shot"]]
    copies += [same.assign(arm=arm) for arm in ("r8 v2", "r4 v2", "biases")]
    found = leaderboard.pairs(Study(pd.concat(copies), study.runs), DESIGN, "small")
    assert set(found["verdict"]) == {"equivalent"}
    assert leaderboard.decided_share(found) == 1


def test_a_setting_against_itself_is_called_different_as_often_as_it_should():
    study = made_up({"a": 0.3}, n_seeds=10, n_items=150)
    p = leaderboard.p_against_itself(study, "a", n_splits=100)
    assert len(p) == 100
    assert p.min() > 0
    assert (p <= 0.05).mean() < 0.15  # 5 % is meant
    assert (p <= 0.5).mean() > 0.25  # the p of a test that calls nothing would all be large
    again = leaderboard.p_against_itself(study, "a", n_splits=5)
    assert again.tolist() == p[:5].tolist()
    with pytest.raises(ValueError, match="'a' has 2 seeds"):
        leaderboard.p_against_itself(made_up({"a": 0.3}, n_seeds=2), "a")


def test_a_difference_between_the_halves_of_the_seeds_is_called():
    study = made_up({"a": 0.3}, n_seeds=4, n_items=150)
    lucky = study.ranks["seed"] <= 2  # two seeds find everything, two nothing
    apart = Study(study.ranks.assign(rank=np.where(lucky, 1.0, 50.0)), study.runs)
    p = leaderboard.p_against_itself(apart, "a", n_splits=60)
    split_evenly = np.isclose(p, 1)
    assert 0.4 < split_evenly.mean() < 0.9  # two of three splits put one lucky seed on each side
    assert p[~split_evenly].max() < 1e-6


def test_the_interval_of_a_share():
    low, high = leaderboard.share_interval(0, 200)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 200))


def test_the_best_by_validation_are_of_one_base():
    study = made_up(LEVELS)
    assert leaderboard.best_by_validation(study, "small", 2) == ["r8 v2", "r4 v2"]
    assert leaderboard.best_by_validation(study, "other", 2) == []


def test_the_board_counts_decided_pairs_and_names_a_command():
    study = made_up(LEVELS, tests=("kitchen", "general"), n_items=400)
    found = leaderboard.pairs(study, DESIGN, "small")
    board = leaderboard.board(study, DESIGN, "small", found).set_index("setting")
    assert board.index[-1] == "biases"
    assert board.loc["biases", "worse than"] == 2
    assert board["better than"].sum() == board["worse than"].sum()
    command = board.loc["r4 v2", "command"]
    assert command == ("course run --only 05 -p model=small -p steps=4 -p learning_rate=0.01 "
                       "-p 'rows=r4 v2'")  # fmt: skip


FRAME = pd.DataFrame({
    "setting": ["r8 v2", "<b>full</b>", "ia3"], "hit@10, %": [61.5, 70.25, 9.0],
    "gain, points [95 %]": ["+1.5 [0.1, 2.9]", "+10.2 [8.0, 12.4]", "-0.3 [-1.0, 0.4]"],
    "parameters": [6145, 920929, 3841],
})  # fmt: skip


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.kinds, self.values = [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "th":
            self.kinds.append(attrs["data-kind"])
        if tag == "td":
            self.values.append(attrs["data-value"])


def test_a_table_holds_its_sort_keys_and_no_markup_of_a_cell():
    text = widget.table_html(FRAME, label="board")
    assert "<b>full</b>" not in text
    assert "&lt;b&gt;full&lt;/b&gt;" in text
    cells = Cells()
    cells.feed(text)
    assert cells.kinds == ["text", "number", "number", "number"]
    assert cells.values[:4] == ["r8 v2", "61.5", "1.5", "6145.0"]
    assert ">920,929<" in text
    page = widget.page_html(FRAME, title="A <table>")
    assert "<title>A &lt;table&gt;</title>" in page
    assert "http" not in page.split("<table>")[1]  # nothing is fetched


DOM = r"""
const fs = require("fs");
const {script, rows, kinds} = JSON.parse(fs.readFileSync(0));
const on = element => { element.handlers = {};
  element.addEventListener = (kind, f) => { element.handlers[kind] = f; }; return element; };
const tr = rows.map(cells => ({hidden: false, textContent: cells.join(" "),
  cells: cells.map(value => ({dataset: {value}}))}));
const body = {rows: tr, order: tr, append(...all) { this.order = all; }};
const heads = kinds.map(kind => { const attributes = {}; const button = on({});
  return {dataset: {kind}, querySelector: () => button, button,
    getAttribute: name => attributes[name] ?? null,
    setAttribute: (name, value) => { attributes[name] = value; },
    removeAttribute: name => { delete attributes[name]; }}; });
const filter = on({value: ""}), count = {textContent: ""};
const box = {dataset: {}, querySelectorAll: () => heads,
  querySelector: what => ({tbody: body, output: count, input: filter})[what]};
const document = {querySelectorAll: () => [box]};
eval(script);
const first = () => body.order.map(row => row.cells[0].dataset.value), seen = [first()];
heads[1].button.handlers.click(); seen.push(first());
heads[1].button.handlers.click(); seen.push(first());
heads[0].button.handlers.click(); seen.push(first());
filter.value = "  V2 r8"; filter.handlers.input();
console.log(JSON.stringify({seen, hidden: tr.map(row => row.hidden), count: count.textContent}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the page's script")
def test_a_click_sorts_and_words_filter():
    rows = [["r8 v2", "61.5"], ["full", "170.2"], ["ia3", "9.0"]]
    given = json.dumps({"script": widget.SCRIPT, "rows": rows, "kinds": ["text", "number"]})
    done = subprocess.run(["node", "-e", DOM], input=given, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["seen"] == [
        ["r8 v2", "full", "ia3"], ["full", "r8 v2", "ia3"], ["ia3", "r8 v2", "full"],
        ["full", "ia3", "r8 v2"],
    ]  # fmt: skip
    assert found["hidden"] == [False, True, True]
    assert found["count"] == "1 of 3 rows"


def test_a_range_of_rates_is_two_numbers():
    assert search.rate_range("0.001,0.02") == (0.001, 0.02)
    for wrong in ("0.001", "0.02,0.001", "a,b", "0,1", ""):
        with pytest.raises(ValueError, match="search_rates is"):
            search.rate_range(wrong)


def objective_over(seen, stop_at=None):
    base = load_encoder("tiny-siglip", device="cpu")

    def objective(trial):
        row, rate = search.suggest(trial, base, (0.001, 0.01))
        if trial.number == stop_at:
            raise KeyboardInterrupt
        seen.append(row.name)
        assert 0.001 <= rate <= 0.01
        assert 0 <= row.placement.vision_layers <= 6
        return row.placement.text_layers + rate

    return objective


def test_a_search_that_was_stopped_goes_on_as_if_nothing_had_been(tmp_path):
    whole, first, rest = [], [], []
    how = {"n_trials": 9, "seed": 3}
    study = search.run(objective_over(whole), journal=tmp_path / "a.jsonl", **how)
    with pytest.raises(KeyboardInterrupt):
        search.run(objective_over(first, stop_at=6), journal=tmp_path / "b.jsonl", **how)
    again = search.run(objective_over(rest), journal=tmp_path / "b.jsonl", **how)
    assert first + rest == whole
    assert len(rest) < len(whole)
    trials, same = search.trials_of(study), search.trials_of(again)
    pd.testing.assert_frame_equal(trials, same)
    row, rate = search.winner(trials)
    best = trials.loc[trials["score"].idxmax()]
    assert (row, rate) == (best["row"], best["learning_rate"])
    assert parse(row).name == row
    more = search.run(objective_over([]), journal=tmp_path / "b.jsonl", n_trials=9, seed=3)
    assert len(search.finished(more)) == 9  # none was run again


def test_a_search_without_a_trained_trial_has_no_winner(tmp_path):
    def nothing(trial):
        raise optuna.TrialPruned

    study = search.run(nothing, n_trials=2, seed=0, journal=tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="none of 2 trials"):
        search.winner(search.trials_of(study))
