"""The study run: its records, what is read again, what is trained anew, rates by validation."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.pairs import ensure_pairs
from helpers.first.models.evaluate import DIRECTIONS
from helpers.first.models.placement import PlacementError
from helpers.first.studies import placement_runs
from helpers.first.studies.placement_grid import study_rows
from helpers.first.studies.placement_runs import (
    FOLDER,
    best_rates,
    rate_scores,
    read_records,
    run_rows,
    score_groups,
    score_values,
)
from helpers.first.training import runs
from helpers.first.training.settings import Training
from helpers.store.artefacts import ArtefactError
from helpers.store.zones import open_zone
from tests.first.small_training import small_encoder

ROWS = study_rows("r2 v1, r2 v2 heads")
SETTINGS = Training(epochs=1, batch_size=16, draw="recipe", learning_rate=1e-2, keep="last")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("study") / "z"))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(runs.paths, "cache", lambda: tmp_path / "cache")


def study(pairs, rows=ROWS, **options):
    options = {"training": SETTINGS, "seeds": [42], **options}
    return run_rows(pairs, small_encoder("siglip"), rows, progress=False, **options)


def test_each_row_and_seed_leaves_one_small_record(pairs):
    done = study(pairs, seeds=[42, 43])
    assert {name: [one.seed for one in found] for name, found in done.items()} == {
        name: [42, 43] for name in ROWS
    }
    for name, found in done.items():
        for one in found:
            key = f"{FOLDER}/{one.run_id}.json"
            assert len(pairs.zone.read_bytes(key)) < 20_000
            kept = json.loads(pairs.zone.read_text(key))
            assert kept["row"] == one.row == name
            assert kept["placement"]["rank"] == 2
            assert kept["costs"]["trainable_parameters"] > 0
            assert pairs.zone.exists(f"{runs.run_folder(one.run_id)}/adapters/adapter_config.json")
    heads, alone = (
        done[name][0].costs["trainable_parameters"] for name in ("r2 v2 heads", "r2 v1")
    )
    assert heads > alone


def test_the_score_is_the_mean_of_both_directions(pairs):
    (record,) = study(pairs)["r2 v1"]
    both = [record.values("hit@10", way).mean() for way in DIRECTIONS]
    assert record.score_values().mean() == pytest.approx(np.mean(both))
    assert len(record.score_values()) == len(score_groups(pairs))
    stored = json.loads(pairs.zone.read_text(f"{runs.run_folder(record.run_id)}/results_lora.json"))
    for way, value in zip(DIRECTIONS, both, strict=True):
        assert stored["metrics"][way]["hit@10"]["value"] == pytest.approx(value)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_unequal_numbers_of_queries_weigh_equally(texts, images, seed):
    rng = np.random.default_rng(seed)
    values = {"text_to_image": rng.random(texts), "image_to_text": rng.random(images)}
    mean = np.mean([found.mean() for found in values.values()])
    assert score_values(values).mean() == pytest.approx(mean)


def test_what_is_there_is_read_and_only_the_rest_is_trained(pairs, monkeypatch):
    first = study(pairs)
    monkeypatch.setattr(runs.ArmRun, "files", lambda *_, **__: pytest.fail("trained again"))
    assert study(pairs) == first
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        study(pairs, seeds=[42, 44])


def test_a_study_that_was_interrupted_goes_on_where_it_stopped(pairs, monkeypatch):
    settings = Training(**{**vars(SETTINGS), "learning_rate": 0.02})
    plain, calls = placement_runs.ensure_run, []

    def killed(*args, **options):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(args[2])
        return plain(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(placement_runs, "ensure_run", killed)
        with pytest.raises(KeyboardInterrupt):
            study(pairs, training=settings)
    rate = [r for found in read_records(pairs.zone).values() for r in found
            if r.training["learning_rate"] == 0.02]  # fmt: skip
    assert [one.row for one in rate] == ["r2 v1"]
    done = study(pairs, training=settings)
    assert [found[0].row for found in done.values()] == list(ROWS)
    assert done["r2 v1"][0].costs == rate[0].costs  # the seconds of the first time


def test_all_records_of_a_zone_are_found_without_training(pairs):
    study(pairs)
    found = read_records(pairs.zone)
    assert set(ROWS) <= set(found)
    assert all(one.row == name for name, records in found.items() for one in records)


def test_a_record_that_was_changed_by_hand_is_refused(pairs):
    (record,) = study(pairs, {"r2 v1": ROWS["r2 v1"]}, seeds=[7])["r2 v1"]
    key = f"{FOLDER}/{record.run_id}.json"
    content = pairs.zone.read_bytes(key)
    pairs.zone.write_bytes(key, content + b" ")
    with pytest.raises(ArtefactError, match="corrupt"):
        study(pairs, {"r2 v1": ROWS["r2 v1"]}, seeds=[7])
    pairs.zone.write_bytes(key, content)


def test_a_row_that_does_not_fit_stops_the_study_before_the_first_is_trained(pairs, monkeypatch):
    monkeypatch.setattr(placement_runs, "ensure_run", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(PlacementError, match="'r2 v9'"):
        study(pairs, study_rows("r2 v1, r2 v9"))


def test_rates_are_tried_with_the_first_seed_and_their_runs_found_again(pairs):
    rows = {"r2 v1": ROWS["r2 v1"]}
    base = small_encoder("siglip")
    found = rate_scores(pairs, base, rows, training=SETTINGS, rates=[1e-2, 1e-4])
    assert set(found["r2 v1"]) == {1e-2, 1e-4}
    rates = best_rates(found)
    (record,) = study(pairs, rows, rates=rates)["r2 v1"]
    assert record.training["learning_rate"] == rates["r2 v1"]
    assert record.validation == found["r2 v1"][rates["r2 v1"]]


def test_the_best_rate_and_of_equal_ones_the_smallest():
    scores = {"a": {0.01: 0.5, 0.001: 0.6}, "b": {0.01: 0.7, 0.1: 0.7, 0.001: 0.1}}
    assert best_rates(scores) == {"a": 0.001, "b": 0.01}
