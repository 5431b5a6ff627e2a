"""Composed runs in a zone: trained once, found again, apart by what decides them."""

import numpy as np
import pytest

from helpers.first.training import composed_runs
from helpers.first.training.composed import ComposedTraining
from helpers.first.training.composed_runs import ComposedArm, ensure_composed_run, found_by
from helpers.store.zones import open_zone
from tests.first.small_composed import small_composed

FEW = ComposedTraining(steps=6, batch_size=8, looks=1)


@pytest.fixture
def parts():
    return small_composed(24, seed=1), small_composed(12, seed=2, prefix="v")


@pytest.fixture
def tests():
    return {"test": small_composed(10, seed=3, prefix="t")}


def test_a_run_is_trained_once_and_read_ever_after(parts, tests, tmp_path, monkeypatch):
    zone = open_zone(str(tmp_path))
    arm = ComposedArm("TIRG", FEW)
    first = ensure_composed_run(zone, arm, *parts, tests)
    monkeypatch.setattr(composed_runs, "train_composed", None)
    again = ensure_composed_run(zone, arm, *parts, tests)
    assert first.record == again.record
    assert again.ranks().shape == (10,)
    assert again.top().shape == again.top_scores().shape == (10, 5)
    with pytest.raises(TypeError):  # another amount is another run, and that has to be trained
        ensure_composed_run(zone, ComposedArm("TIRG", FEW, n_triplets=9), *parts, tests)


def test_pretraining_is_shared_by_amounts(parts, tests, tmp_path, monkeypatch):
    zone, synthetic = open_zone(str(tmp_path)), small_composed(20, seed=5, prefix="s")
    trained = []

    def counted(name, train, *rest, **options):
        trained.append((len(train.triplets.triplets), options.get("start") is not None))
        return train_composed(name, train, *rest, **options)

    train_composed = composed_runs.train_composed
    monkeypatch.setattr(composed_runs, "train_composed", counted)
    for n in (4, 0):
        arm = ComposedArm("TIRG", FEW, n, pretraining=FEW)
        ensure_composed_run(zone, arm, *parts, tests, synthetic=synthetic)
    assert trained == [(20, False), (4, True), (24, True)]


def test_pretraining_and_its_triplets_come_together(parts, tests, tmp_path):
    with pytest.raises(ValueError, match="give both or neither"):
        ensure_composed_run(
            open_zone(str(tmp_path)), ComposedArm("TIRG", FEW, pretraining=FEW), *parts, tests
        )


def test_what_needs_no_training_is_measured_alone(parts, tests, tmp_path):
    run = ensure_composed_run(open_zone(str(tmp_path)), ComposedArm("image only"), *parts, tests)
    features = tests["test"]
    cosines = features.images[features.references] @ features.gallery.T
    for query, rank in enumerate(run.ranks()):
        own = cosines[query, features.targets[query][0]]
        above = (np.delete(cosines[query], features.references[query]) > own + 1e-6).sum()
        assert rank == 1 + above
    assert run.record["looks"] == []
    assert 0 <= run.validation <= 1


def test_the_first_five_are_sorted_and_without_the_reference():
    features = small_composed(6)
    scores = np.random.default_rng(0).random((6, 18))
    scores[np.arange(6), features.references] = 9
    found = found_by(scores, features)
    for query in range(6):
        top = found["top"][query]
        assert features.references[query] not in top
        left = np.delete(np.arange(18), features.references[query])
        assert top == left[np.argsort(-scores[query, left])][:5].tolist()
        assert found["top_scores"][query] == scores[query, top].round(4).tolist()
