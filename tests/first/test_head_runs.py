"""Head runs: small records that are found again, and made anew when what decides them changes."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.adapters import HeadShape, apply_heads
from helpers.first.training import head_runs
from helpers.first.training.head_runs import HeadArm, Parts, ensure_head_run, train_arm
from helpers.first.training.heads import HeadTraining
from tests.first.small_features import small_features, small_parts

PARTS = small_parts()
ARM = HeadArm(HeadShape(), HeadTraining(steps=25, looks=3, batch_size=16), n_recipes=10)


@pytest.fixture
def trainings(monkeypatch):
    """The arms that were trained, in order."""
    done = []

    def counted(parts, arm, **options):
        done.append(arm)
        return train_arm(parts, arm, **options)

    monkeypatch.setattr(head_runs, "train_arm", counted)
    return done


def test_a_run_holds_the_ranks_of_both_ends_of_its_training(local_zone):
    run = ensure_head_run(local_zone, PARTS, ARM)
    trained = train_arm(PARTS, ARM)
    data = PARTS.test.data
    for kept, heads in (("best", trained.best), ("last", trained.last)):
        images, texts = apply_heads(heads, PARTS.test.images, PARTS.test.texts)
        found = both_directions(images, data.image_ids, texts, data.caption_ids)
        for way, ranking in found.items():
            np.testing.assert_array_equal(run.ranks(way, kept), ranking.first)
    scores = {look["step"]: look["score"] for look in trained.looks}
    assert run.validation("best") == scores[trained.best_step]
    assert run.validation("last") == scores[25]
    assert run.record["final"]["step"] == 25


def test_a_run_is_made_once(local_zone, trainings):
    first, second = (ensure_head_run(local_zone, PARTS, ARM) for _ in range(2))
    assert trainings == [ARM]
    assert first.record == second.record
    files = local_zone.list("fine-tuning-zone/experiments/heads")
    assert files == [f"fine-tuning-zone/experiments/heads/{first.record['id']}.json"]


def other_features(part: str) -> Parts:
    changed = replace(getattr(PARTS, part), fingerprint="another")
    return replace(PARTS, **{part: changed})


@pytest.mark.parametrize(
    "change",
    [
        {"arm": replace(ARM, n_recipes=11)},
        {"arm": replace(ARM, shape=HeadShape(alpha=0.3))},
        {"arm": replace(ARM, training=replace(ARM.training, seed=1))},
        {"groups": {"a1": "a2"}},
        {"parts": other_features("train")},
        {"parts": other_features("test")},
    ],
)
def test_whatever_decides_a_run_makes_another_one(local_zone, trainings, change):
    options = {"parts": PARTS, "arm": ARM}
    ensure_head_run(local_zone, **options)
    ensure_head_run(local_zone, **(options | change))
    assert len(trainings) == 2


def test_the_number_of_recipes_is_the_number_that_is_trained_on(monkeypatch):
    seen = []
    real = head_runs.train_heads

    def watched(shape, train, *rest, **options):
        seen.append(len(train.recipes))
        return real(shape, train, *rest, **options)

    monkeypatch.setattr(head_runs, "train_heads", watched)
    train_arm(PARTS, ARM)
    train_arm(PARTS, replace(ARM, n_recipes=0))
    assert seen == [10, 30]


def test_mined_captions_come_from_the_recipes_that_are_trained_on(local_zone):
    asked = []

    def mine(features):
        asked.append(len(features.recipes))
        return np.zeros((len(features.images), 1), dtype=np.int64)

    arm = replace(ARM, training=replace(ARM.training, negatives="mined"))
    ensure_head_run(local_zone, PARTS, arm, mine=mine, mining={"k": 1})
    ensure_head_run(local_zone, PARTS, arm, mine=mine, mining={"k": 1})
    assert asked == [10]
    ensure_head_run(local_zone, PARTS, arm, mine=mine, mining={"k": 2})
    assert asked == [10, 10]
    for missing in ({}, {"mine": mine}, {"mining": {"k": 1}}):
        with pytest.raises(ValueError, match="give mine"):
            ensure_head_run(local_zone, PARTS, arm, **missing)


def test_features_of_another_dimension_never_reach_a_record(local_zone):
    odd = replace(PARTS, validation=small_features(5, d=7))
    with pytest.raises(ValueError, match="embed both with one model"):
        ensure_head_run(local_zone, odd, ARM)
    assert local_zone.list("fine-tuning-zone/experiments/heads") == []


def test_the_modules_that_make_a_run_stale_are_all_that_train_and_rank():
    behind = set(head_runs.CODE)
    for module in ("heads", "head_batches", "features", "losses", "margin_losses", "settings"):
        assert f"helpers.first.training.{module}" in behind
    assert {"helpers.first.models.adapters", "helpers.first.evaluation.ranks"} <= behind
