"""The study on features: needs of queries, learning rates chosen, benchmarks' floor and ceiling."""

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.first.models.composed import BASELINES, TRAINED
from helpers.first.studies import composed as study
from helpers.first.studies.composed_benchmarks import (
    cirr_scores,
    count_table,
    floor_and_ceiling,
    guesses,
    read_benchmarks,
    submissions,
    write_submissions,
)
from helpers.store.zones import open_zone
from helpers.topics.cir.triplets import Triplet
from helpers.world import open_world
from helpers.world.changes import composed_world
from tests.first.real_data import CIRR, REAL, real_cirr, real_fashioniq
from tests.first.small_composed import found_run, small_composed


@pytest.fixture
def shared(tmp_path):
    return study.ComposedStudy(
        open_zone(str(tmp_path)), small_composed(30, seed=1), small_composed(16, seed=2),
        {"test": small_composed(12, seed=3)}, seeds=(1, 2), rates=(1e-9, 1e-2), steps=12,
        batch_size=8,
    )  # fmt: skip


def test_validation_chooses_the_rate_for_each_seed(shared):
    runs = study.run_model(shared, "TIRG")
    assert [run.arm.training.seed for run in runs] == [1, 2]
    for run, seed in zip(runs, (1, 2), strict=True):
        alone = replace(shared, seeds=(seed,))
        tried = [study.run_model(replace(alone, rates=(r,)), "TIRG")[0] for r in shared.rates]
        assert run.validation == max(one.validation for one in tried)


def test_what_is_not_trained_runs_once(shared):
    assert len(study.run_model(shared, "sum")) == 1
    with pytest.raises(ValueError, match="'SPRC' is no model on features"):
        study.run_model(shared, "SPRC")


def test_hits_are_averaged_over_seeds_query_by_query():
    runs = [found_run([1, 11, 10]), found_run([20, 11, 3])]
    assert study.hits(runs).tolist() == [0.5, 0.0, 1.0]
    assert study.hits(runs, 1).tolist() == [0.5, 0.0, 0.0]


def test_every_model_is_described():
    assert set(study.MODELS) == {*BASELINES, *TRAINED, "SPRC"}
    assert study.models_named(" sum , sum, TIRG") == ("sum", "TIRG")
    with pytest.raises(ValueError, match="unknown model 'tirg'"):
        study.models_named("tirg")


def test_needs_part_the_queries_and_means_are_theirs():
    image, text = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 0])
    kinds = study.needs(image, text)
    assert kinds.tolist() == ["either", "image", "text", "neither", "image"]
    table = study.by_need({"m": np.array([1, 0, 1, 1, 1.0])}, kinds, order=("image", "neither"))
    assert table.to_dict("records") == [
        {"queries": "image", "n": 2, "m": 0.5},
        {"queries": "neither", "n": 1, "m": 1.0},
    ]
    assert study.by_need({"m": image}, kinds)["n"].sum() == 5


def test_kinds_of_change():
    def one(changed):
        return Triplet("p", "r", ("t",), "text", changed=changed)

    kinds = study.kinds_of_change([one(("plate",)), one(("dish", "main"))])
    assert kinds.tolist() == ["plate", "two changes"]


# --- benchmarks -----------------------------------------------------------------------------------


def drawn():
    world = open_world("kitchen", n_recipes=40)
    return composed_world(world, counts={"test": 40}).sets["test"]


def test_an_oracle_is_always_right_and_guessing_hardly_ever():
    triplets = drawn()
    for oracle in (False, True):
        scores = guesses(triplets, oracle=oracle)
        assert scores.shape == (40, 120)
        right = [set(rows) for rows in triplets.positives()]
        first = np.array([int(row.argmax()) in r for row, r in zip(scores, right, strict=True)])
        assert first.all() if oracle else first.mean() < 0.3


@real_fashioniq
@real_cirr
def test_the_real_annotations_have_the_published_counts():
    sets = read_benchmarks(REAL)
    table = count_table(sets).set_index("benchmark")
    queries = {"dress": 2017, "shirt": 2038, "toptee": 1961}
    gallery = {"dress": (3817, 2628), "shirt": (6346, 3089), "toptee": (5373, 2902)}
    for name, n in queries.items():
        for kind, size in zip(("original", "VAL"), gallery[name], strict=True):
            row = table.loc[f"FashionIQ {name}, {kind}"]
            assert (row["queries"], row["gallery"], row["reference"]) == (n, size, "stays")
    row = table.loc["CIRR"]
    assert (row["queries"], row["gallery"]) == (4181, 2297)
    assert row["reference"] == "leaves the ranking"


@real_cirr
def test_guessing_on_cirr_scores_what_chance_says_and_an_oracle_everything():
    sets = {"CIRR": read_benchmarks(REAL)["CIRR"]}
    table = floor_and_ceiling(sets).set_index("metric")
    assert (table["oracle"] == 1).all()
    for k in (1, 2, 3):
        assert table.loc[f"CIRR, R_subset@{k}", "random"] == pytest.approx(k / 5, abs=0.025)
    assert table.loc["CIRR, R@50", "random"] == pytest.approx(50 / 2296, abs=0.008)
    average = table.loc[["CIRR, R@5", "CIRR, R_subset@1"], "random"].mean()
    assert table.loc["CIRR, average", "random"] == pytest.approx(average)


@real_cirr
def test_a_submission_has_the_form_of_the_example(tmp_path):
    for path in write_submissions(tmp_path, REAL):
        mine = json.loads(path.read_text())
        example = json.loads((CIRR / path.name).read_text())
        assert set(mine) == set(example)
        assert {k: mine[k] for k in ("version", "metric")} == {
            k: example[k] for k in ("version", "metric")
        }
        lengths = {len(names) for names in mine.values() if isinstance(names, list)}
        assert lengths == {len(names) for names in example.values() if isinstance(names, list)}


@real_cirr
def test_a_submission_of_an_oracle_names_every_target_first():
    triplets = read_benchmarks(REAL)["CIRR"]
    some = replace(triplets, triplets=triplets.triplets[:200])
    scores = guesses(some, oracle=True)
    files = submissions(scores, some)
    for one in some.triplets:
        assert files["recall"][one.pair_id][0] == one.targets[0]
        assert files["recall_subset"][one.pair_id][0] == one.targets[0]
        assert one.reference not in files["recall"][one.pair_id]
    assert cirr_scores(scores, some)["average"] == 1


def test_a_folder_without_benchmarks_says_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds neither fashioniq/ nor cirr/"):
        read_benchmarks(tmp_path)
    assert write_submissions(tmp_path, tmp_path) == []
