"""Q-Formers: with and without an image, both hops, their losses, and that they can be learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from helpers.models.checkpoints import ModelError
from helpers.topics.cir import qformer
from helpers.topics.cir.blip2 import blip2_states, image_optional, load_blip2, zero_shot_rows
from helpers.topics.cir.qformer import Sprc, TwoHop
from helpers.topics.cir.triplets import Triplet
from tests.topics.cir.small import distinct_states, small_blip2, small_source, small_triplets

CONFIG = Blip2QFormerConfig(
    hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
    encoder_hidden_size=10, use_qformer_text_input=True, vocab_size=20,
)  # fmt: skip
SET = small_triplets(8)
SHORT = {"steps": 4, "batch_size": 4, "evaluations": 1}


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return Blip2QFormerModel(CONFIG).eval()


def run(model, queries: int, words: int, image=None):
    draw = torch.Generator().manual_seed(1)
    embeds = torch.randn(2, queries + words, 12, generator=draw)
    mask = torch.ones(2, queries + words, dtype=torch.long)
    with torch.no_grad():
        return model(query_embeds=embeds, query_length=queries, attention_mask=mask,
                     encoder_hidden_states=image).last_hidden_state  # fmt: skip


def test_where_the_original_runs_the_copy_gives_the_same(original):
    ours = image_optional(original)
    image = torch.randn(2, 7, 10, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(run(ours, 3, 2, image), run(original, 3, 2, image))
    torch.testing.assert_close(run(ours, 0, 4), run(original, 0, 4))
    with pytest.raises(ValueError, match="encoder_hidden_states"):
        run(original, 3, 2)
    assert list(ours.state_dict()) == list(original.state_dict())
    with torch.no_grad():
        ours.layernorm.weight.add_(1)  # a copy: the original stays
    assert not torch.equal(ours.layernorm.weight, original.layernorm.weight)


@pytest.mark.parametrize("words", [0, 3])
def test_the_second_hop_is_the_original_without_its_cross_attention(original, words):
    without = Blip2QFormerModel(CONFIG).eval()
    without.load_state_dict(original.state_dict())
    for layer in without.encoder.layer:
        layer.has_cross_attention = False
    torch.testing.assert_close(run(image_optional(original), 3, words), run(without, 3, words))


@pytest.fixture(scope="module")
def states():
    return distinct_states(SET)


@pytest.fixture(scope="module")
def batch(states):
    rng = np.random.default_rng(0)
    return qformer.triplet_batch(small_blip2(), SET.triplets, states, 8, rng, reverse=True)


def model_of(kind):
    """With weights that are all different, prompt tokens and temperature too."""
    made = kind(small_blip2()).eval()
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=draw))
        made.logit_scale.fill_(2.0)
    return made


def test_similarity_is_the_best_over_the_tokens_of_a_target():
    draw = torch.Generator().manual_seed(0)
    queries, targets = torch.randn(3, 4, generator=draw), torch.randn(5, 6, 4, generator=draw)
    naive = [[max(float(q @ token) for token in target) for target in targets] for q in queries]
    np.testing.assert_allclose(qformer.similarity(queries, targets).numpy(), naive, rtol=1e-5)


def test_both_models_have_the_same_parameters_and_no_image_encoder():
    one, two = (dict(kind(small_blip2()).named_parameters()) for kind in (Sprc, TwoHop))
    assert {n: p.shape for n, p in one.items()} == {n: p.shape for n, p in two.items()}
    assert not any(name.startswith("vision_model") for name in two)


@pytest.mark.parametrize("kind", [Sprc, TwoHop])
def test_training_and_search_score_alike(kind, states, batch):
    """The loss of a batch, from the scores that search gives."""
    model = model_of(kind)
    (scores,) = qformer.scores_of(model, small_blip2(), [SET], states, batch_size=3)
    order = np.random.default_rng(0).permutation(8)
    logits = np.exp(2.0) * scores[np.ix_(order, sorted(order))].astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = 0.9 * (order[:, None] == np.arange(8)) + 0.1 / 8  # label smoothing
    _, parts, _ = qformer.losses(model, batch)
    assert parts["q2t"].item() == pytest.approx(-(wanted * logs).sum(axis=1).mean(), rel=1e-4)


def test_the_second_hop_reads_the_text_with_p_and_no_image(batch):
    one, two = model_of(Sprc), model_of(TwoHop)
    joined = two.joint(batch.tokens, batch.references)
    again = two.without_image(joined[:, :3], batch.tokens)
    by_hand = two.text_projection(again[:, :4].mean(dim=1))
    by_hand = by_hand / by_hand.norm(dim=1, keepdim=True)
    torch.testing.assert_close(two.queries(batch.tokens, batch.references), by_hand)
    single = one.queries(batch.tokens, batch.references)
    assert (single - by_hand).abs().max() > 1e-3
    torch.testing.assert_close(single, one.row(joined))


def test_the_parts_add_up_by_their_weights(batch):
    model = model_of(TwoHop)
    loss, parts, p = qformer.losses(model, batch, t2t=0.3, p2p=0.5)
    total = parts["q2t"] + 0.3 * parts["t2t"] + 0.5 * parts["p2p"]
    assert loss.item() == pytest.approx(total.item())
    back = model.joint(batch.reverse, batch.targets[batch.own])[:, :3].mean(dim=1)
    by_hand = (p.mean(dim=1) - back).square().mean()
    assert parts["p2p"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    alone, parts, _ = qformer.losses(model, batch, t2t=0.0, p2p=0.0)
    assert set(parts) == {"q2t"}
    assert alone.item() == pytest.approx(parts["q2t"].item())


def test_detached_the_reverse_side_gets_no_gradient(batch):
    """With the forward side held fixed nothing is left to learn from p2p."""

    def difference(detach):
        model = model_of(TwoHop)
        _, parts, _ = qformer.losses(model, batch, detach=detach)
        forward = model.joint(batch.tokens, batch.references)[:, :3].mean(dim=1)
        with torch.no_grad():
            back = model.joint(batch.reverse, batch.targets[batch.own])[:, :3].mean(dim=1)
        by_hand = torch.nn.functional.mse_loss(forward, back)
        one, two = (torch.autograd.grad(loss, model.query_tokens)[0]
                    for loss in (parts["p2p"], by_hand))  # fmt: skip
        return (one - two).abs().max().item() / two.abs().max().item()

    assert difference(True) < 1e-4
    assert difference(False) > 0.1


def test_the_text_alone_does_not_read_the_reference(batch):
    model = model_of(TwoHop)
    _, before, _ = qformer.losses(model, batch)
    _, after, _ = qformer.losses(model, replace(batch, references=batch.references.flip(0)))
    assert after["t2t"].item() == pytest.approx(before["t2t"].item())
    assert after["q2t"].item() != pytest.approx(before["q2t"].item(), rel=1e-4)


def test_several_true_targets_are_all_positives(states):
    same = [Triplet(str(i), "r0", ("t0", "t1"), f"red {i}", reverse="blue") for i in range(6)]
    rng = np.random.default_rng(1)
    batch = qformer.triplet_batch(small_blip2(), same, states, 6, rng, reverse=True)
    assert batch.targets.shape[0] == 2
    assert batch.positives.all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Sprc, TwoHop])
def test_it_can_learn_32_triplets_by_heart(kind):
    """References come in pairs: neither the image nor the text alone gives the target."""
    learned = small_triplets(32)
    states, model = distinct_states(learned), kind(small_blip2())
    qformer.train(model, small_blip2(), learned.triplets, states, [learned], steps=350,
                  batch_size=32, learning_rate=5e-3, evaluations=1)  # fmt: skip
    (scores,) = qformer.scores_of(model, small_blip2(), [learned], states)
    assert (scores[:, :32].argmax(axis=1) == np.arange(32)).mean() >= 0.9


def test_training_selects_on_validation_and_records_its_parts(states):
    held = small_triplets(4, prefix="v")
    known = distinct_states(SET, held)
    model = TwoHop(small_blip2())
    trained = qformer.train(model, small_blip2(), SET.triplets, known, [held], **SHORT)
    scores = trained.fitted.evaluations.set_index("step")["score"]
    assert scores.index.tolist() == [0, 4]
    assert scores[trained.fitted.best_step] == scores.max()
    assert set(trained.steps) == {"step", "q2t", "t2t", "p2p", "spread"}
    assert trained.steps["step"].tolist() == [1, 2, 3, 4]
    assert all(p.requires_grad for p in model.parameters())
    start = {name: one.clone() for name, one in model.state_dict().items()}
    one = Sprc(small_blip2())
    one.load_state_dict(start)
    alone = qformer.train(one, small_blip2(), SET.triplets, known, [held], t2t=0.0, keep="last",
                          **SHORT)  # fmt: skip
    assert set(alone.steps) == {"step", "q2t", "spread"}
    assert not torch.equal(one.query_tokens, start["query_tokens"])


@pytest.mark.parametrize(
    ("triplets", "message"),
    [
        (SET.triplets[:1], "no negatives"),
        ((*SET.triplets, Triplet("x", "r0", (), "red")), "triplet x has no target"),
        ((*SET.triplets, Triplet("x", "r0", ("t0",), "red")), "x has no reverse text"),
    ],
)
def test_triplets_that_cannot_be_trained_on(states, triplets, message):
    with pytest.raises(ValueError, match=message):
        qformer.train(TwoHop(small_blip2()), small_blip2(), triplets, states, [SET], **SHORT)
    with pytest.raises(KeyError, match="'nowhere' is not among"):
        states.of(["nowhere"])


def test_the_spread_sees_a_collapse():
    draw = torch.Generator().manual_seed(0)
    p = torch.randn(20, 3, 8, generator=draw)
    alike = p.mean(dim=0) + 1e-3 * torch.randn(20, 3, 8, generator=draw) + 1
    assert qformer.spread(p) > 0.8
    assert qformer.spread(alike) < qformer.COLLAPSED
    line = torch.arange(9.0)[:, None] * torch.ones(1, 4)
    assert qformer.effective_rank(line) == pytest.approx(1, abs=1e-4)
    assert qformer.effective_rank(torch.eye(5)) == pytest.approx(4, abs=1e-3)


def test_states_are_kept_on_disk_in_half_precision(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.paths.cache", lambda: tmp_path)
    source, blip2 = small_source(SET), small_blip2()
    kept = blip2_states(blip2, source)
    assert kept.items.files[0].dtype == torch.float16
    monkeypatch.setattr("helpers.topics.cir.blip2.Blip2.states", None)
    again = blip2_states(blip2, source)
    assert torch.equal(again.of(["t0", "r1"]), kept.of(["t0", "r1"]))


def test_tiny_blip2_opens_and_reads_images_and_texts():
    blip2 = load_blip2("tiny-blip2", device="cpu")
    assert blip2.n_queries == 8
    assert blip2.tokens(["tofu " * 99])["input_ids"].shape == (1, blip2.text_length)
    drawn = distinct_states(SET)  # 24 wide: of another encoder
    with pytest.raises(RuntimeError):
        zero_shot_rows(blip2, drawn, ["t0"], ["tofu"])
    rows = zero_shot_rows(small_blip2(), drawn, ["t0", "t1", "r0"], ["red mug", "two"])
    assert [one.shape for one in rows] == [(3, 16), (2, 16)]
    assert all(np.allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5) for one in rows)
    with pytest.raises(ModelError, match="is a 'siglip' model, no BLIP-2"):
        load_blip2("tiny-siglip")
    with pytest.raises(ModelError, match="unknown precision 'fp8'"):
        load_blip2("tiny-blip2", precision="fp8")
