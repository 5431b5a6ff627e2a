"""Gradient caching: micro-batches that give the gradients of the whole batch, dropout included."""

import math

import numpy as np
import pytest
import torch

from helpers.first.training.grad_cache import accumulate_cached, accumulate_plain
from helpers.first.training.losses import info_nce
from helpers.first.training.settings import Training
from helpers.first.training.step import contrastive_loss, encoding
from helpers.first.training.towers import towers_of
from tests.first.small_training import small_adapted, small_pairs

LOSSES = [("clip", "info_nce"), ("siglip", "info_nce"), ("siglip", "sigmoid")]


def micro_batches(adapted, pairs, rows, size, *, negatives):
    """Gathered parts of a batch; every third row brings an explicit negative."""
    towers = towers_of(adapted.encoder, pairs)
    parts = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        extra = torch.from_numpy(pairs.negative_text_rows[part[part % 3 == 0] // 2])
        parts.append(
            (
                torch.from_numpy(part),
                towers.gather_images(torch.from_numpy(pairs.image_rows[part]), torch.Generator()),
                towers.gather_texts(torch.from_numpy(pairs.text_rows[part])),
                *((extra, towers.gather_texts(extra)) if negatives else ()),
            )
        )
    return parts


def prepared(family, loss, *, dropout, negatives=False):
    adapted = small_adapted(family, dropout=dropout, heads=True)
    with torch.no_grad():  # a fresh adapter changes nothing, and half its gradients are zero
        for name, p in adapted.encoder.model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    if loss == "sigmoid":
        adapted.encoder.model.logit_bias.requires_grad_(True)
    adapted.encoder.model.train()
    pairs = small_pairs(family)
    settings = Training(loss=loss, negatives=negatives)
    encode = encoding(adapted.encoder, settings, towers_of(adapted.encoder, pairs))
    return adapted, pairs, encode, contrastive_loss(adapted.encoder.model, pairs, settings)


def gradients(adapted) -> dict[str, torch.Tensor]:
    named = adapted.encoder.model.named_parameters()
    found = {n: p.grad.clone() for n, p in named if p.requires_grad}
    adapted.encoder.model.zero_grad()
    return found


def largest_difference(a, b) -> float:
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max()) for n in a)


@pytest.mark.parametrize(("family", "loss"), LOSSES)
@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize("size", [16, 2, 5])
def test_micro_batches_have_the_gradients_of_a_batch_of_32(family, loss, size, negatives):
    adapted, pairs, encode, loss_of = prepared(family, loss, dropout=0.0, negatives=negatives)
    rows = np.random.default_rng(0).permutation(len(pairs))[:32]
    options = {"negatives": negatives}
    whole = accumulate_plain(encode, micro_batches(adapted, pairs, rows, 32, **options), loss_of)
    expected = gradients(adapted)
    cut = accumulate_cached(encode, micro_batches(adapted, pairs, rows, size, **options), loss_of)
    found = gradients(adapted)
    assert float(cut) == pytest.approx(float(whole), abs=1e-5)
    assert largest_difference(found, expected) < 1e-5
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    plain = accumulate_plain(encode, micro_batches(adapted, pairs, rows, size, **options), loss_of)
    assert abs(float(plain) - float(whole)) > 1e-3
    assert largest_difference(gradients(adapted), expected) > 1e-4


@pytest.mark.parametrize(("family", "loss"), LOSSES)
def test_dropout_falls_alike_in_both_passes(family, loss):
    adapted, pairs, encode, loss_of = prepared(family, loss, dropout=0.5)
    parts = micro_batches(adapted, pairs, np.arange(32), 16, negatives=False)
    torch.manual_seed(3)
    encoded = [encode(part) for part in parts]  # the same masks, in one graph
    loss_of(*map(torch.cat, zip(*encoded, strict=True))).backward()
    expected, after = gradients(adapted), torch.rand(1)
    torch.manual_seed(3)
    accumulate_cached(encode, parts, loss_of)
    found = gradients(adapted)
    assert torch.rand(1) == after
    assert largest_difference(found, expected) < 1e-5
    torch.manual_seed(4)
    accumulate_cached(encode, parts, loss_of)
    assert largest_difference(gradients(adapted), expected) > 1e-4


def test_a_frozen_tower_is_left_alone():
    adapted, pairs, encode, loss_of = prepared("siglip", "info_nce", dropout=0.0)
    for name, p in adapted.encoder.model.named_parameters():
        if name.startswith("text_model"):
            p.requires_grad_(False)
    parts = [micro_batches(adapted, pairs, np.arange(8), n, negatives=False) for n in (8, 4)]
    accumulate_plain(encode, parts[0], loss_of)
    expected = gradients(adapted)
    accumulate_cached(encode, parts[1], loss_of)
    assert largest_difference(gradients(adapted), expected) < 1e-5


def test_by_hand():
    w = torch.tensor(3.0, requires_grad=True)
    parts = torch.tensor([1.0, 2.0, 4.0]).split(1)
    value = accumulate_cached(lambda x: (w * x,), parts, lambda y: y.prod())  # 8 w^3
    assert value.item() == 216
    assert w.grad.item() == 24 * 9
    w.grad = None
    assert accumulate_plain(lambda x: (w * x,), parts, lambda y: y.prod()).item() == 7
    assert w.grad.item() == pytest.approx(7 / 3)


def test_gradients_are_added_to_those_there_are():
    w = torch.tensor(1.0, requires_grad=True)
    for accumulate in (accumulate_cached, accumulate_plain):
        w.grad = torch.tensor(10.0)
        accumulate(lambda x: (w * x,), torch.ones(2).split(1), lambda y: y.mean())
        assert w.grad.item() == 11


def test_accumulation_does_not_add_negatives():
    """Batches of two embeddings that tell nothing cost log 2, however many are accumulated."""
    w = torch.ones(1, requires_grad=True)

    def encode(x):
        same = (w * x).expand(len(x), 1)
        return same, same

    parts = torch.ones(32, 1).split(2)
    plain = accumulate_plain(encode, parts, lambda a, b: info_nce(a, b, 10.0))
    cached = accumulate_cached(encode, parts, lambda a, b: info_nce(a, b, 10.0))
    assert plain.item() == pytest.approx(math.log(2))
    assert cached.item() == pytest.approx(math.log(32))
