"""Stored runs of the second stage: beside the heads that they start from, made once."""

import numpy as np
import pytest

from helpers.data.pairs import ensure_pairs
from helpers.first.models.adapters import HeadShape
from helpers.first.studies import stage_b
from helpers.first.studies.adapters import Study
from helpers.first.training.head_runs import HeadArm, features_of, first_hits, train_arm
from helpers.first.training.heads import HeadTraining
from helpers.first.training.settings import Training
from tests.first.small_training import small_encoder

ARM = HeadArm(HeadShape(width=6), HeadTraining(steps=12, looks=2, batch_size=8), n_recipes=10)
SECOND = Training(epochs=1, batch_size=8, learning_rate=1e-3)


@pytest.fixture
def world(home, local_zone):
    pairs = ensure_pairs(
        local_zone, source="world:kitchen?px=16", image_px=16, max_recipes=24, progress=False
    )
    encoder = small_encoder("clip")
    return pairs, encoder, features_of(pairs, encoder, progress=False)


def test_a_run_holds_both_stages_on_the_same_queries_and_is_made_once(world, monkeypatch):
    pairs, encoder, parts = world
    run = stage_b.ensure_stage_b(pairs, encoder, parts, ARM, SECOND, progress=False)
    heads = train_arm(parts, ARM).best
    for way, ranks in first_hits(heads, parts.test).items():
        np.testing.assert_array_equal(run.ranks(way, "last"), ranks)
        assert len(run.ranks(way, "best")) == len(ranks)
    assert run.record["best"]["step"] == run.record["looks"][-1]["step"] > 0
    monkeypatch.setattr(stage_b, "second_stage", lambda *a, **o: pytest.fail("trained again"))
    again = stage_b.ensure_stage_b(pairs, encoder, parts, ARM, SECOND, progress=False)
    assert again.record == run.record


def test_it_trains_on_the_recipes_of_the_heads(world, monkeypatch):
    pairs, encoder, parts = world
    seen = []
    real = stage_b.prepare_pairs

    def watched(frame, *rest, **options):
        seen.append(set(frame["recipe_id"]))
        return real(frame, *rest, **options)

    monkeypatch.setattr(stage_b, "prepare_pairs", watched)
    study = Study(pairs.zone, parts, seeds=(1, 2), rates=(1e-3,), steps=12, groups={})
    found = stage_b.run_stage_b(study, pairs, encoder, ARM, SECOND, [10])
    assert [run.arm.training.seed for run in found[10]] == [1, 2]
    assert [len(recipes) for recipes in seen] == [10, 10]
    assert seen[0] != seen[1]
    assert all(recipes <= set(parts.train.recipes) for recipes in seen)
