"""The committed studies: design before results, numbers that anybody can compute again, sizes."""

import datetime
import subprocess

import pytest

from helpers.repro import sha256_file
from helpers.study import Design, Study, judge
from helpers.topics.adaptation import study as adaptation
from helpers.topics.cir import study as composed
from helpers.topics.distributions import study as distributions
from helpers.topics.placement import leaderboard
from helpers.topics.placement import study as placement
from tests.house import ROOT
from tests.recompute import STUDIES, contrast, main, recompute

FOLDERS = sorted(path.parent for path in STUDIES.glob("*/ranks.parquet"))
JUDGED = [folder for folder in FOLDERS if Design.load(folder).hypotheses]
BOARDS = [folder for folder in FOLDERS if folder.name == "05_leaderboard"]
# Studies that are committed: absent, they would pass every test.
MEASURED = {"03_baseline_eval", "04_lora_finetune", "04_frontier", "08_residual_adapters"}
LIMIT_MB = 16


def judged_of(folder):
    study = Study.load(folder)
    lessons = (adaptation, placement, distributions, composed)
    others = {k: v for one in lessons for k, v in one.other_estimates(study).items()}
    return judge(study, Design.load(folder), others)


def test_what_was_measured_is_there():
    assert {folder.name for folder in FOLDERS} >= MEASURED


@pytest.mark.parametrize("folder", JUDGED, ids=lambda folder: folder.name)
def test_every_number_can_be_computed_from_the_files_alone(folder):
    judged = judged_of(folder).set_index("name")
    again = recompute(folder).set_index("name")
    assert list(again.index) == list(judged.index)
    for name, row in judged.iterrows():
        for number in ("value", "low", "high", "p"):
            scale = 1 if number == "p" else 100
            found = scale * getattr(row["estimate"], number)
            assert again.loc[name, number] == pytest.approx(found, abs=1e-6), (name, number)
        assert again.loc[name, "detectable"] == pytest.approx(100 * row["detectable"], abs=1e-6)
        assert again.loc[name, "p_holm"] == pytest.approx(row["p_holm"], abs=1e-9)
        assert again.loc[name, "verdict"] == row["verdict"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_design_holds_what_judging_needs(folder):
    design, study = Design.load(folder), Study.load(folder)
    assert design.lesson == folder.name[:2]
    assert set(design.arms) <= set(study.arms)
    for h in design.hypotheses:
        assert h.margin > 0
        if h.planned is not None:
            reach = h.margin if h.kind == "same" else max(h.margin, abs(h.reported or 0))
            assert h.planned <= reach or f"cannot decide {h.name}" in design.notes, h.name
    for arm in design.arms:
        wanted = [seed for seed in design.seeds_of(arm) if seed > 0]
        more = list(range(1, design.settings.get("more seeds", 0) + 1))
        assert study.seeds(arm) in (wanted, more), arm  # a leaderboard's best have more


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_design_was_committed_before_its_ranks(folder):
    def first_commit(name: str) -> datetime.datetime | None:
        done = subprocess.run(
            ["git", "log", "--diff-filter=A", "--format=%cI", "--", str(folder / name)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        dates = done.stdout.split()
        return datetime.datetime.fromisoformat(dates[-1]) if dates else None

    before, after = first_commit("design.yaml"), first_commit("ranks.parquet")
    if before is None or after is None:
        pytest.skip("no history here: a copy without git, or a study that is not committed yet")
    assert before < after


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_run_answers_the_design_as_it_stands(folder):
    runs, design = Study.load(folder).runs, Design.load(folder)
    assert set(runs["design"]) == {sha256_file(folder / "design.yaml")}
    assert runs["finished"].min() >= design.date


@pytest.mark.parametrize("folder", BOARDS, ids=lambda folder: folder.name)
def test_pairs_of_a_leaderboard_can_be_computed_from_the_files_alone(folder):
    study, design = Study.load(folder), Design.load(folder)
    best = leaderboard.best_by_validation(study, next(iter(design.base)), 8)
    assert {arm for arm in design.arms if len(study.seeds(arm)) == 10} == set(best)
    for base in design.base:
        found = leaderboard.pairs(study, design, base)
        for pair in found.iloc[:: max(1, len(found) // 5)].itertuples():
            weights = {pair.a: 1.0, pair.b: -1.0}
            h = {"test": "kitchen", "metric": "hit@10"}
            again = contrast(study.ranks, weights, h)
            for name in ("value", "low", "high", "p"):
                assert again[name] == pytest.approx(getattr(pair, name), abs=1e-9), name


def test_a_lesson_without_a_study_is_named(capsys):
    main(["01"])
    assert capsys.readouterr().out == "lesson 01 has no study\n"


def test_the_studies_stay_small():
    total = sum(path.stat().st_size for path in STUDIES.rglob("*.parquet"))
    assert total <= LIMIT_MB * 1e6


def test_test_recipes_belong_to_one_lesson():
    """Ranges of test recipes of two studies never overlap, nor with training and validation.

    The garage has 960 classes in all: lesson 09 splits each class by image, and holds its classes
    out from pretraining.
    """
    taken: dict[tuple[str, int], str] = {}
    for folder in FOLDERS:
        design = Design.load(folder)
        tests = set(Study.load(folder).tests)
        for name, about in design.data.items():
            if about["source"].startswith("world:garage") or (name not in tests and name != "test"):
                continue
            for index in range(about["first"], about["first"] + about["n"]):
                assert index >= 100_000 * int(design.lesson)
                owner = taken.setdefault((about["source"], index), design.lesson)
                assert owner == design.lesson
