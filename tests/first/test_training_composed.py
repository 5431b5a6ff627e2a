"""Training on features: batches, scores, what is learned, and that settings decide everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.models.composed import TRAINED, build_composed
from helpers.first.training.composed import ComposedTraining, train_composed, validation_score
from helpers.first.training.composed_features import (
    composed_scores,
    draw_batch,
    rank_composed,
    take_triplets,
)
from tests.first.small_composed import small_composed

QUICK = ComposedTraining(steps=60, batch_size=16, learning_rate=5e-3, looks=3, label_smoothing=0.0)


@given(size=st.integers(2, 50), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_batch_holds_distinct_columns_and_every_query_has_its_target(size, seed):
    features = small_composed(20)
    queries, columns, positives = draw_batch(features, size, np.random.default_rng(seed))
    assert len(queries) == min(size, 20) == len(set(queries.tolist()))
    assert len(set(columns.tolist())) == len(columns)
    assert positives.shape == (len(queries), len(columns))
    for i, query in enumerate(queries):
        right = {columns[j] for j in np.flatnonzero(positives[i])}
        assert right == set(features.targets[query]) & set(columns.tolist())
        assert right


def test_scores_are_those_of_the_model_query_by_query():
    features = small_composed(9)
    model = build_composed("TIRG", features.images.shape[1])
    scores = composed_scores(model, features)
    model.eval()
    with torch.no_grad():
        for i in range(9):
            reference = torch.from_numpy(features.images[features.references[i]][None])
            text = torch.from_numpy(features.texts[i][None])
            alone = model(reference, text, torch.from_numpy(features.gallery))[0]
            assert np.allclose(alone.numpy(), scores[i], atol=1e-5)


def test_the_reference_leaves_its_own_ranking():
    features = small_composed(5)
    scores = np.zeros((5, 15), dtype=np.float32)
    scores[np.arange(5), np.arange(5)] = 2  # the references
    scores[np.arange(5), np.arange(5, 10)] = 1  # the targets
    assert rank_composed(scores, features.triplets).first.tolist() == [1.0] * 5


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_learns_what_is_planted(name):
    train, validation = small_composed(60, seed=1), small_composed(30, seed=2, prefix="v")
    trained = train_composed(name, train, validation, QUICK)
    assert trained.losses[-1] < trained.losses[0]
    best = max(look["score"] for look in trained.looks)
    assert validation_score(trained.model, validation) == pytest.approx(best)
    assert next(x["score"] for x in trained.looks if x["step"] == trained.best_step) == best
    assert best > trained.looks[0]["score"]


def test_equal_settings_give_equal_weights_and_another_seed_others():
    train, validation = small_composed(30, seed=1), small_composed(20, seed=2, prefix="v")
    few = ComposedTraining(steps=5, batch_size=8, looks=1)
    one, two = (train_composed("combiner", train, validation, few).losses for _ in range(2))
    assert np.allclose(one, two, rtol=1e-5)
    other = ComposedTraining(steps=5, batch_size=8, looks=1, seed=7)
    assert not np.allclose(one, train_composed("combiner", train, validation, other).losses)


def test_a_start_is_where_training_goes_on():
    train, validation = small_composed(30, seed=1), small_composed(20, seed=2, prefix="v")
    first = train_composed("TIRG", train, validation, QUICK)
    still = ComposedTraining(steps=1, batch_size=8, learning_rate=0.0, looks=1)
    start = first.model.state_dict()
    again = train_composed("TIRG", train, validation, still, start=start)
    assert again.looks[0]["score"] == pytest.approx(validation_score(first.model, validation))


def test_a_smaller_part_lies_in_the_larger():
    features = small_composed(30)
    parts = [
        {t.pair_id for t in take_triplets(features, n, seed=3).triplets.triplets}
        for n in (5, 12, 30)
    ]
    assert [len(part) for part in parts] == [5, 12, 30]
    assert parts[0] < parts[1] < parts[2]
    few = take_triplets(features, 5, seed=3)
    for i, triplet in enumerate(few.triplets.triplets):
        whole = features.triplets.triplets.index(triplet)
        assert np.array_equal(few.texts[i], features.texts[whole])
        assert np.array_equal(
            few.images[few.references[i]], features.images[features.references[whole]]
        )


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ValueError, match="steps is 0"):
        ComposedTraining(steps=0)
    with pytest.raises(ValueError, match="learning_rate is nan"):
        ComposedTraining(learning_rate=float("nan"))
    features = small_composed(6)
    with pytest.raises(ValueError, match="7 triplets are asked for and there are 6"):
        take_triplets(features, 7, seed=1)
    fast = ComposedTraining(steps=30, batch_size=4, learning_rate=1e30)
    with pytest.raises(ValueError, match="lower the learning rate"):
        train_composed("TIRG", features, features, fast)
