"""Training heads: what a batch holds, what each loss asks of it, what is kept, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.first.models.adapters import HeadShape, apply_heads, make_heads
from helpers.first.training.head_batches import Batches, head_loss, random_other
from helpers.first.training.heads import NEGATIVES, HeadTraining, train_heads, validation_score
from helpers.first.training.losses import info_nce
from tests.first.small_features import small_features

TRAIN, VALID = small_features(30, seed=1, name="a"), small_features(60, seed=2, name="b")
SHORT = HeadTraining(steps=40, batch_size=16, looks=3, learning_rate=3e-3)


def cosines(heads, batch):
    return (heads.image(batch.images) @ heads.text(batch.texts).T).detach().numpy()


def test_a_batch_pairs_each_picture_with_a_caption_of_its_recipe():
    batches = Batches.of(TRAIN)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        batch = batches.draw(16, rng)
        for image, text, recipe in zip(batch.images, batch.texts, batch.recipes, strict=True):
            i = np.flatnonzero((TRAIN.images == image.numpy()).all(axis=1))[0]
            t = np.flatnonzero((TRAIN.texts == text.numpy()).all(axis=1))[0]
            assert TRAIN.data.image_ids[i] == TRAIN.data.caption_ids[t] == recipe
            seen.add(t)
        same = batch.recipes[:, None] == batch.recipes[None]
        assert (batch.same.numpy() == same).all()
    assert len(seen) == len(TRAIN.texts)
    assert len(batches.draw(500, rng).images) == len(TRAIN.images)


def test_near_duplicates_are_no_strangers():
    groups = {f"a{i}": f"a{i // 2}" for i in range(30)}
    batch = Batches.of(TRAIN, groups=groups).draw(60, np.random.default_rng(0))
    numbers = np.array([int(r[1:]) // 2 for r in batch.recipes])
    assert (batch.same.numpy() == (numbers[:, None] == numbers[None])).all()


def mined_table(k: int = 3) -> np.ndarray:
    """Rows at random, some missing, some of the picture's own recipe."""
    rng = np.random.default_rng(5)
    table = rng.integers(-1, len(TRAIN.texts), (len(TRAIN.images), k))
    table[::4, 0] = np.arange(0, len(TRAIN.images), 4)  # captions of the same recipe
    return table


def test_mined_captions_that_are_right_or_missing_are_asked_of_nobody():
    table = mined_table()
    batch = Batches.of(TRAIN, mined=table).draw(60, np.random.default_rng(1))
    found = 0
    for b, recipe in enumerate(batch.recipes):
        for k in range(3):
            row = next(
                (t for t in range(len(TRAIN.texts))
                 if (TRAIN.texts[t] == batch.mined[b, k].numpy()).all()), None
            )  # fmt: skip
            if batch.mined_ok[b, k]:
                assert TRAIN.data.caption_ids[row] != recipe
                found += 1
            for other in range(60):
                told = bool(batch.mined_same[other, 3 * b + k])
                if batch.mined_ok[b, k]:
                    assert told == (TRAIN.data.caption_ids[row] == batch.recipes[other])
    missing = (table < 0).sum()
    own = np.where(table < 0, "", TRAIN.data.caption_ids[table]) == TRAIN.data.image_ids[:, None]
    assert found == table.size - missing - own.sum()


@pytest.mark.parametrize("loss", ["margin", "triplet"])
def test_margin_losses_over_the_batch_equal_a_loop(loss):
    heads = make_heads(HeadShape("tower"), 12)
    batch = Batches.of(TRAIN).draw(10, np.random.default_rng(2))
    s, wrong, margin = cosines(heads, batch), ~batch.same.numpy(), 0.2
    total = 0.0
    for square in (s, s.T):
        costs = [
            max(0.0, square[i, j] - margin) if loss == "margin"
            else max(0.0, margin - s[i, i] + square[i, j])
            for i in range(10) for j in range(10) if wrong[i, j]
        ]  # fmt: skip
        total += (np.mean(costs) + ((1 - np.diag(s)).mean() if loss == "margin" else 0)) / 2
    found = head_loss(
        heads, batch, loss=loss, negatives="batch", margin=margin, rng=np.random.default_rng(0)
    )
    assert found.item() == pytest.approx(total, abs=1e-5)


def test_infonce_sees_the_batch_and_mined_captions_as_further_columns():
    heads = make_heads(HeadShape("tower"), 12)
    batch = Batches.of(TRAIN, mined=mined_table()).draw(10, np.random.default_rng(2))
    found = head_loss(
        heads, batch, loss="info_nce", negatives="mined", margin=0.2, rng=np.random.default_rng(0)
    )
    images, texts = heads.image(batch.images), heads.text(batch.texts)
    extra = heads.text(batch.mined.flatten(0, 1))
    expected = info_nce(
        images, texts, heads.scale, positives=batch.same, extra_texts=extra,
        extra_positives=batch.mined_same,
    )  # fmt: skip
    plain = info_nce(images, texts, heads.scale, positives=batch.same)
    assert float(found) == pytest.approx(float(expected))
    assert float(found) > float(plain)


def test_a_random_stranger_is_a_stranger_and_every_one_comes_up():
    wrong = ~np.kron(np.eye(3, dtype=bool), np.ones((2, 2), dtype=bool))
    rng = np.random.default_rng(0)
    picks = np.stack([random_other(wrong, rng) for _ in range(300)])
    assert wrong[np.arange(6), picks].all()
    assert all(set(picks[:, i]) == set(np.flatnonzero(wrong[i])) for i in range(6))


@pytest.mark.parametrize(
    ("loss", "negatives"),
    [
        *[(loss, source) for loss in ("margin", "triplet") for source in NEGATIVES],
        ("info_nce", "batch"),
        ("info_nce", "mined"),
    ],
)
def test_every_loss_learns_from_every_source_of_negatives(loss, negatives):
    settings = replace(SHORT, loss=loss, negatives=negatives, steps=80)
    table = mined_table() if negatives == "mined" else None
    done = train_heads(HeadShape("tower"), TRAIN, VALID, settings, mined=table)
    first, last = (np.mean([s["loss"] for s in part]) for part in (done.steps[:8], done.steps[-8:]))
    assert last < first
    assert len(done.steps) == 80


def test_training_improves_on_the_frozen_model_and_keeps_the_best_look():
    done = train_heads(HeadShape(), TRAIN, VALID, replace(SHORT, steps=150, looks=6))
    scores = {look["step"]: look["score"] for look in done.looks}
    assert scores[0] == validation_score(make_heads(HeadShape(alpha=0), 12), VALID)
    assert scores[done.best_step] == max(s for step, s in scores.items() if step) > scores[0]
    assert validation_score(done.best, VALID) == scores[done.best_step]
    assert validation_score(done.last, VALID) == scores[150]


def test_equal_settings_give_equal_weights_and_another_seed_others():
    def weights(settings):
        heads = train_heads(HeadShape(), TRAIN, VALID, settings).last
        return torch.cat([p.detach().flatten() for p in heads.parameters()])

    assert torch.equal(weights(SHORT), weights(SHORT))
    assert not torch.equal(weights(SHORT), weights(replace(SHORT, seed=1)))


def test_a_learned_alpha_moves_and_a_fixed_one_does_not():
    settings = replace(SHORT, learning_rate=1e-2)
    for learned in (True, False):
        done = train_heads(HeadShape(learn_alpha=learned), TRAIN, VALID, settings)
        moved = abs(done.steps[-1]["image_alpha"] - 0.2)
        assert moved > 1e-3 if learned else moved < 1e-6
    fixed = train_heads(HeadShape(alpha=0), TRAIN, VALID, SHORT)
    assert {look["score"] for look in fixed.looks} == {fixed.looks[0]["score"]}


def test_only_infonce_trains_the_temperature():
    for loss, moves in (("info_nce", True), ("triplet", False)):
        done = train_heads(HeadShape(), TRAIN, VALID, replace(SHORT, loss=loss))
        assert (abs(done.steps[-1]["scale"] - 1 / 0.07) > 1e-4) == moves


def test_looks_are_dense_at_the_beginning_and_end_with_the_last_step():
    assert HeadTraining(steps=80, looks=4).look_steps == (10, 20, 40, 80)
    assert HeadTraining(steps=80, looks=1).look_steps == (80,)
    assert HeadTraining(steps=3, looks=5).look_steps == (3,)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"loss": "hinge"}, "use info_nce, margin, triplet"),
        ({"negatives": "hard"}, "use random, batch, mined"),
        ({"negatives": "random"}, "no softmax"),
        ({"steps": 0}, "at least 1"),
        ({"batch_size": 1}, "at least 2"),
        ({"learning_rate": float("nan")}, "finite number"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        HeadTraining(**values)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="embed both with one model"):
        train_heads(HeadShape(), TRAIN, small_features(10, d=8), SHORT)
    with pytest.raises(ValueError, match="give both or neither"):
        train_heads(HeadShape(), TRAIN, VALID, replace(SHORT, negatives="mined"))
    with pytest.raises(ValueError, match="give both or neither"):
        train_heads(HeadShape(), TRAIN, VALID, SHORT, mined=mined_table())
    with pytest.raises(ValueError, match="at least two recipes"):
        train_heads(HeadShape(), small_features(1), VALID, SHORT)
    for table in (mined_table()[:3], mined_table().astype(float), mined_table() + 1000):
        with pytest.raises(ValueError, match="mined captions"):
            Batches.of(TRAIN, mined=table)
    lost = replace(TRAIN.data, caption_ids=np.where(TRAIN.data.caption_ids == "a3", "a4",
                                                    TRAIN.data.caption_ids))  # fmt: skip
    with pytest.raises(ValueError, match="no caption for the pictures of recipe 'a3'"):
        Batches.of(replace(TRAIN, data=lost))


def test_a_rate_that_explodes_is_an_error_with_the_batch():
    with pytest.raises(ValueError, match=r"lower learning_rate .* look at these recipes"):
        train_heads(HeadShape("tower"), TRAIN, VALID, replace(SHORT, learning_rate=1e38))


def test_heads_leave_their_features_alone():
    before = TRAIN.images.copy()
    done = train_heads(HeadShape(), TRAIN, VALID, SHORT)
    apply_heads(done.best, TRAIN.images, TRAIN.texts)
    assert (TRAIN.images == before).all()
