"""Composition with a Q-Former: pooling, both hops, their losses, and that they can be learned."""

import numpy as np
import pytest
import torch

from helpers.first.evaluation.collapse import has_collapsed, spread_of
from helpers.first.models.sprc import Sprc, pool, similarity
from helpers.first.models.two_hop import LossWeights, TwoHop, composition_losses
from helpers.first.training import qformer_queries
from helpers.first.training.composed_qformer import QformerArm, QformerTraining, train_qformer
from helpers.first.training.qformer_batches import draw_batch
from helpers.first.training.qformer_queries import encode_queries, encode_targets, spread_of_joint
from helpers.topics.cir.triplets import Triplet
from tests.first.small_blip2 import distinct_states, small_blip2, small_states, small_triplets

SET = small_triplets(8)
KINDS = [(kind, pooling) for kind in (Sprc, TwoHop) for pooling in ("mean", "first text")]


@pytest.fixture(scope="module")
def states():
    return small_states(SET)


@pytest.fixture(scope="module")
def batch(states):
    rng = np.random.default_rng(0)
    return draw_batch(small_blip2(), SET.triplets, states, 8, rng, reverse=True)


def composer(kind, pooling="mean"):
    """With weights that are all different, prompt tokens and temperature too."""
    made = kind(small_blip2().model, pooling=pooling).eval()
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=draw))
        made.log_scale.fill_(2.0)
    return made


def test_pooling_by_hand():
    tokens = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [5.0, 9.0], [100.0, 100.0]]])  # 2 queries
    assert pool(tokens, 2, "mean").tolist() == [[3.0, 3.0]]
    assert pool(tokens, 2, "first text").tolist() == [[5.0, 9.0]]
    with pytest.raises(ValueError, match="'last'"):
        Sprc(small_blip2().model, pooling="last")


def test_similarity_is_the_best_over_the_tokens_of_a_target():
    draw = torch.Generator().manual_seed(0)
    queries, targets = torch.randn(3, 4, generator=draw), torch.randn(5, 6, 4, generator=draw)
    naive = [[max(float(q @ token) for token in target) for target in targets] for q in queries]
    np.testing.assert_allclose(similarity(queries, targets).numpy(), naive, rtol=1e-5)


def test_both_models_have_the_same_parameters():
    one, two = (dict(kind(small_blip2().model).named_parameters()) for kind in (Sprc, TwoHop))
    assert {n: p.shape for n, p in one.items()} == {n: p.shape for n, p in two.items()}
    assert all(p.requires_grad for p in two.values())
    assert not any(name.startswith("vision_model") for name in two)


@pytest.mark.parametrize(("kind", "pooling"), KINDS)
def test_training_and_search_score_alike(kind, pooling, states, batch):
    """The loss of a batch, from the scores that search gives: one pooling in both."""
    model = composer(kind, pooling)
    rng = np.random.default_rng(0)
    order = [SET.triplets[i] for i in rng.permutation(8)]  # as draw_batch takes them
    queries = encode_queries(model, small_blip2(), order, states, batch_size=3)
    targets = encode_targets(
        model, small_blip2(), [one.targets[0] for one in order], states, batch_size=5
    )
    scores = np.exp(2.0) * qformer_queries.similarity(queries, targets).astype(np.float64)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    wanted = 0.9 * np.eye(8) + 0.1 / 8  # label smoothing
    _, parts, _ = composition_losses(model, batch, LossWeights())
    assert parts["q2t"].item() == pytest.approx(-(wanted * logs).sum(axis=1).mean(), rel=1e-4)


def test_the_second_hop_reads_the_text_with_p_and_no_picture(states, batch):
    one, two = composer(Sprc), composer(TwoHop)
    joined = two.joint(batch.tokens, batch.references)
    again = two.without_picture(joined[:, :3], batch.tokens)
    by_hand = two.text_projection(again[:, :4].mean(dim=1))
    by_hand = by_hand / by_hand.norm(dim=1, keepdim=True)
    torch.testing.assert_close(two.queries(batch.tokens, batch.references), by_hand)
    single = one.queries(batch.tokens, batch.references)
    assert (single - by_hand).abs().max() > 1e-3
    torch.testing.assert_close(single, one.row(joined))


def test_the_parts_add_up_by_their_weights(batch):
    model = composer(TwoHop)
    loss, parts, p = composition_losses(model, batch, LossWeights(t2t=0.3, p2p=0.5))
    assert set(parts) == {"q2t", "t2t", "p2p"}
    total = parts["q2t"] + 0.3 * parts["t2t"] + 0.5 * parts["p2p"]
    assert loss.item() == pytest.approx(total.item())
    assert p.shape == (8, 3, 16)
    assert not p.requires_grad
    alone, parts, _ = composition_losses(model, batch, LossWeights(t2t=0.0, p2p=0.0))
    assert set(parts) == {"q2t"}
    assert alone.item() == pytest.approx(parts["q2t"].item())


def test_p2p_is_the_squared_distance_to_the_reverse_side(states, batch):
    model = composer(TwoHop)
    _, parts, p = composition_losses(model, batch, LossWeights())
    back = model.joint(batch.reverse, batch.targets[batch.own])[:, :3].mean(dim=1)
    by_hand = (p.mean(dim=1) - back).square().mean()
    assert float(parts["p2p"].detach()) == pytest.approx(float(by_hand.detach()), rel=1e-5)


def test_detached_the_reverse_side_gets_no_gradient(batch):
    """With the forward side held fixed nothing is left to learn from p2p."""

    def gradient(detach):
        model = composer(TwoHop)
        _, parts, _ = composition_losses(model, batch, LossWeights(detach=detach))
        forward = model.joint(batch.tokens, batch.references)[:, :3].mean(dim=1)
        with torch.no_grad():
            back = model.joint(batch.reverse, batch.targets[batch.own])[:, :3].mean(dim=1)
        by_hand = torch.nn.functional.mse_loss(forward, back)
        grads = [
            torch.autograd.grad(loss, model.query_tokens)[0] for loss in (parts["p2p"], by_hand)
        ]
        return (grads[0] - grads[1]).abs().max().item() / grads[1].abs().max().item()

    assert gradient(True) < 1e-4
    assert gradient(False) > 0.1


def test_the_text_alone_does_not_see_the_reference(batch):
    model = composer(TwoHop)
    _, before, _ = composition_losses(model, batch, LossWeights())
    swapped = type(batch)(**{**vars(batch), "references": batch.references.flip(0)})
    _, after, _ = composition_losses(model, swapped, LossWeights())
    assert float(after["t2t"].detach()) == pytest.approx(float(before["t2t"].detach()))
    assert float(after["q2t"].detach()) != pytest.approx(float(before["q2t"].detach()), rel=1e-4)
    loss = before["t2t"]
    loss.backward()
    assert model.prompt_tokens.grad.abs().max() > 0
    assert model.log_scale.grad.abs() > 0


def test_p2p_without_reverse_texts_is_refused(states):
    rng = np.random.default_rng(0)
    bare = draw_batch(small_blip2(), SET.triplets, states, 4, rng, reverse=False)
    with pytest.raises(ValueError, match="no reverse texts"):
        composition_losses(composer(TwoHop), bare, LossWeights())


def test_several_true_targets_are_all_positives(states):
    same = tuple(
        Triplet(str(i), "r0", ("t0", "t1"), f"red {i}", reverse="blue") for i in range(6)
    )  # fmt: skip
    batch = draw_batch(small_blip2(), same, states, 6, np.random.default_rng(1), reverse=True)
    assert batch.targets.shape[0] == 2
    assert batch.positives.all()
    assert set(batch.own.tolist()) == {0, 1}


@pytest.mark.parametrize("hops", [1, 2])
def test_it_can_learn_32_triplets_by_heart(hops):
    """References come in pairs: neither the picture nor the text alone says the target."""
    learned = small_triplets(32)
    states = distinct_states(learned)
    settings = QformerTraining(
        steps=350, batch_size=32, learning_rate=5e-3, weight_decay=0.0, label_smoothing=0.0
    )
    arm = QformerArm(hops=hops, training=settings)
    trained = train_qformer(small_blip2(), arm, learned.triplets, states)
    queries = encode_queries(trained.composer, small_blip2(), learned.triplets, states)
    names = [one.targets[0] for one in learned.triplets]
    targets = encode_targets(trained.composer, small_blip2(), names, states)
    found = qformer_queries.similarity(queries, targets).argmax(axis=1)
    assert (found == np.arange(32)).mean() >= 0.9
    assert trained.steps[-1]["q2t"] < 0.3 * trained.steps[0]["q2t"]


def test_the_detector_sees_what_p2p_alone_does(states):
    """Nothing but the pull together, and both sides free: all p become one."""
    model = composer(TwoHop).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    before = spread_of_joint(model, small_blip2(), SET.triplets, states)
    for step in range(60):
        rng = np.random.default_rng(step)
        batch = draw_batch(small_blip2(), SET.triplets, states, 8, rng, reverse=True)
        _, parts, p = composition_losses(model, batch, LossWeights(detach=False))
        optimizer.zero_grad()
        parts["p2p"].backward()
        optimizer.step()
    after = spread_of_joint(model, small_blip2(), SET.triplets, states)
    assert has_collapsed(after, before)
    assert not has_collapsed(before)
    assert spread_of(p.numpy()).variance < before.variance
