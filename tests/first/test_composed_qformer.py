"""Training and searching with a composed Q-Former: repeatable, chosen on validation, bad inputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.training import composed_qformer
from helpers.first.training.composed_features import rank_composed
from helpers.first.training.composed_qformer import (
    QformerArm,
    QformerTraining,
    build_composer,
    encode_queries,
    encode_targets,
    qformer_scores,
    take_triplets,
    train_qformer,
)
from helpers.first.training.composed_qformer_runs import ensure_qformer_run
from helpers.store.zones import open_zone
from helpers.topics.cir.triplets import Triplet
from tests.first.small_blip2 import small_blip2, small_states, small_triplets

TRAIN, VALIDATION = small_triplets(8), small_triplets(6, prefix="v")
SHORT = QformerTraining(steps=4, batch_size=6, learning_rate=1e-2, looks=2)
ARM = QformerArm(training=SHORT)


@pytest.fixture(scope="module")
def states():
    return small_states(TRAIN, VALIDATION)


def train(states, arm=ARM, triplets=TRAIN.triplets, **options):
    return train_qformer(small_blip2(), arm, triplets, states, **options)


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_equal_settings_give_equal_weights_and_a_seed_changes_them(states):
    first, again = train(states), train(states)
    assert same(first.weights(), again.weights())
    assert first.steps == again.steps
    other = train(states, QformerArm(training=replace(SHORT, seed=7)))
    assert not same(first.weights(), other.weights())


def test_the_global_random_state_is_no_part_of_it(states):
    first = train(states)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert same(first.weights(), train(states).weights())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_says_what_it_did(states):
    steps = train(states).steps
    assert [step["step"] for step in steps] == [0, 1, 2, 3]
    total = steps[0]["q2t"] + steps[0]["t2t"] + 0.5 * steps[0]["p2p"]
    assert steps[0]["loss"] == pytest.approx(total, rel=1e-5)
    assert 0 < steps[0]["spread"] <= 1


def test_every_part_of_the_q_former_is_trained(states):
    before = build_composer(small_blip2(), ARM).state_dict()
    after = train(states).weights()
    still = [name for name in after if torch.equal(after[name], before[name])]
    assert still == []
    alone = train(states, QformerArm(t2t_weight=0.0, training=SHORT)).weights()
    assert torch.equal(alone["prompt_tokens"], before["prompt_tokens"])


def test_the_best_look_is_kept_and_the_start_is_one(states):
    trained = train(states, validation=VALIDATION)
    assert [look["step"] for look in trained.looks] == [0, 4]
    best = max(trained.looks, key=lambda look: (look["score"], look["step"]))
    assert trained.best_step == best["step"]
    scores = qformer_scores(trained.composer, small_blip2(), VALIDATION, states)
    hits = (rank_composed(scores, VALIDATION).first <= 10).mean()
    assert hits == pytest.approx(best["score"])


@pytest.mark.parametrize(("scores", "kept"), [((0.5, 0.4), 0), ((0.5, 0.5), 4), ((0.5, 0.6), 4)])
def test_a_training_that_harms_is_refused_and_the_later_of_equals_is_kept(
    states, monkeypatch, scores, kept
):
    told = iter(scores)
    monkeypatch.setattr(
        composed_qformer, "_look", lambda *given: {"step": given[-1], "score": next(told)}
    )
    trained = train(states, validation=VALIDATION)
    assert trained.best_step == kept
    untouched = build_composer(small_blip2(), ARM).state_dict()
    assert same(trained.weights(), untouched) is (kept == 0)


def test_training_goes_on_from_a_start(states):
    first = train(states)
    rate_zero = QformerArm(training=replace(SHORT, learning_rate=0.0))
    assert same(train(states, rate_zero, start=first.weights()).weights(), first.weights())
    assert not same(train(states, start=first.weights()).weights(), first.weights())


def test_scores_do_not_depend_on_batches(states):
    composer = build_composer(small_blip2(), ARM)
    blip2, asked = small_blip2(), TRAIN.triplets
    one = encode_queries(composer, blip2, asked, states, batch_size=1)
    np.testing.assert_allclose(one, encode_queries(composer, blip2, asked, states), atol=1e-5)
    targets = encode_targets(composer, blip2, TRAIN.gallery, states, batch_size=3)
    assert targets.shape == (len(TRAIN.gallery), 3, 16)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    naive = np.einsum("qd,gnd->qgn", one, targets).max(axis=2)
    found = qformer_scores(composer, blip2, TRAIN, states)
    np.testing.assert_allclose(found, naive, atol=1e-5)


@given(a=st.integers(1, 8), b=st.integers(1, 8), seed=st.integers(0, 9))
def test_the_smaller_part_is_in_the_larger(a, b, seed):
    small, large = sorted((a, b))
    parts = [take_triplets(TRAIN.triplets, n, seed=seed) for n in (small, large)]
    assert [len(part) for part in parts] == [small, large]
    assert set(parts[0]) <= set(parts[1])


@pytest.mark.parametrize(
    ("arm", "triplets", "message"),
    [
        (ARM, TRAIN.triplets[:1], "no negatives"),
        (ARM, (*TRAIN.triplets, Triplet("x", "r0", (), "red")), "triplet x has no target"),
        (ARM, (*TRAIN.triplets, Triplet("x", "r0", ("t0",), "red")), "x has no reverse text"),
        (QformerArm(n_triplets=9), TRAIN.triplets, "9 triplets are asked for and there are 8"),
    ],
)
def test_triplets_that_cannot_be_trained_on(states, arm, triplets, message):
    with pytest.raises(ValueError, match=message):
        train(states, arm, triplets)


def test_one_hop_needs_no_reverse_text(states):
    bare = [replace(one, reverse="") for one in TRAIN.triplets]
    assert len(train(states, QformerArm(hops=1, training=SHORT), bare).steps) == 4
    with pytest.raises(KeyError, match="'nowhere'"):
        train(states, triplets=[*TRAIN.triplets, replace(TRAIN.triplets[0], reference="nowhere")],
              arm=QformerArm(training=replace(SHORT, batch_size=9)))  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (QformerArm, {"hops": 3}, "hops is 3"),
        (QformerArm, {"pooling": "max"}, "'max'"),
        (QformerArm, {"p2p_weight": -1.0}, "p2p_weight is -1.0"),
        (QformerArm, {"t2t_weight": float("nan")}, "t2t_weight is nan"),
        (QformerArm, {"n_triplets": -1}, "n_triplets is -1"),
        (QformerTraining, {"steps": 0}, "steps is 0"),
        (QformerTraining, {"batch_size": 1}, "batch_size is 1"),
        (QformerTraining, {"learning_rate": float("inf")}, "learning_rate is inf"),
    ],
)
def test_settings_out_of_range(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


def ensure(zone, states, arm=ARM, **options):
    return ensure_qformer_run(
        zone, small_blip2(), arm, train=TRAIN.triplets, validation=VALIDATION,
        tests={"test": VALIDATION}, states=states, **options,
    )  # fmt: skip


def test_a_run_is_found_again(tmp_path, states, monkeypatch):
    zone = open_zone(str(tmp_path))
    first = ensure(zone, states, keep_weights=True)
    monkeypatch.setattr("helpers.first.training.composed_qformer_runs.train_qformer", None)
    again = ensure(zone, states, keep_weights=True)
    assert again.record == first.record
    composer = again.composer(small_blip2())
    ranks = rank_composed(qformer_scores(composer, small_blip2(), VALIDATION, states), VALIDATION)
    np.testing.assert_allclose(again.ranks(), ranks.first)
    assert again.validation == pytest.approx((ranks.first <= 10).mean())
    assert again.record["n_triplets"] == 8
    assert again.record["collapse"]["collapsed"] is False
    assert again.spread("first").variance > 0
    with pytest.raises(KeyError, match="no test 'other'"):
        again.ranks("other")


def test_stages_stand_on_each_other(tmp_path, states):
    zone = open_zone(str(tmp_path))
    first = ensure(zone, states, keep_weights=True)
    frozen = QformerArm(training=replace(SHORT, learning_rate=0.0))
    second = ensure(zone, states, frozen, start=first, keep_weights=True)
    assert same(second.weights(), first.weights())
    assert second.fingerprint != ensure(zone, states, frozen, keep_weights=True).fingerprint
    with pytest.raises(ValueError, match="kept no weights"):
        ensure(zone, states, frozen, start=ensure(zone, states))
