"""Gradient caching: micro-batches that give the gradients of the whole batch, dropout included."""

import numpy as np
import pytest
import torch

from helpers.training.batches import encode_batch, gather, plain_towers
from helpers.training.gradcache import accumulate_cached, accumulate_plain
from helpers.training.loop import Settings
from helpers.training.losses import info_nce
from helpers.training.runs import SCALARS, contrastive_loss
from tests.small_models import perturb, small_adapted, small_pairs

LOSSES = [("clip", "info_nce"), ("siglip", "sigmoid")]


def prepared(family, loss, *, dropout):
    encoder = small_adapted(family, dropout=dropout, heads=True, scalars=SCALARS[loss])
    perturb(encoder).model.train()
    pairs = small_pairs(family)
    towers = plain_towers(encoder, pairs)

    def parts(rows, size, *, negatives):
        rng = np.random.default_rng(0) if negatives else None
        return [
            gather(pairs, towers, rows[i : i + size], torch.Generator(), rng)
            for i in range(0, len(rows), size)
        ]

    loss_of = contrastive_loss(encoder.model, pairs, Settings(loss=loss))
    return encoder, lambda batch: encode_batch(towers, batch), loss_of, parts


def gradients(encoder):
    named = encoder.model.named_parameters()
    found = {n: p.grad.clone() for n, p in named if p.requires_grad}
    encoder.model.zero_grad()
    return found


def difference(a, b):
    return max(float((a[n] - b[n]).abs().max()) for n in a)


@pytest.mark.parametrize(("family", "loss"), LOSSES)
@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize("size", [16, 5])
def test_micro_batches_have_the_gradients_of_the_whole_batch(family, loss, size, negatives):
    encoder, encode, loss_of, parts = prepared(family, loss, dropout=0.0)
    rows = np.random.default_rng(0).permutation(48)[:32]
    whole = accumulate_plain(encode, parts(rows, 32, negatives=negatives), loss_of)
    wanted = gradients(encoder)
    cached = accumulate_cached(encode, parts(rows, size, negatives=negatives), loss_of)
    assert float(cached) == pytest.approx(float(whole), abs=1e-5)
    assert difference(gradients(encoder), wanted) < 1e-5
    plain = accumulate_plain(encode, parts(rows, size, negatives=negatives), loss_of)
    assert abs(float(plain) - float(whole)) > 1e-3
    assert difference(gradients(encoder), wanted) > 1e-4


@pytest.mark.parametrize(("family", "loss"), LOSSES)
def test_dropout_is_the_same_in_both_passes(family, loss):
    encoder, encode, loss_of, parts = prepared(family, loss, dropout=0.5)
    parts = parts(np.arange(32), 16, negatives=False)
    torch.manual_seed(3)
    encoded = [encode(part) for part in parts]  # the same masks, in one graph
    loss_of(*map(torch.cat, zip(*encoded, strict=True))).backward()
    wanted, after = gradients(encoder), torch.rand(1)
    torch.manual_seed(3)
    accumulate_cached(encode, parts, loss_of)
    found = gradients(encoder)
    assert torch.rand(1) == after
    assert difference(found, wanted) < 1e-5


def test_by_hand_and_added_to_what_is_there():
    w = torch.tensor(3.0, requires_grad=True)
    parts = torch.tensor([1.0, 2.0, 4.0]).split(1)
    value = accumulate_cached(lambda x: (w * x,), parts, lambda y: y.prod())  # 8 w^3
    assert (value.item(), w.grad.item()) == (216, 24 * 9)
    assert accumulate_plain(lambda x: (w * x,), parts, lambda y: y.prod()).item() == 7
    assert w.grad.item() == pytest.approx(24 * 9 + 7 / 3)


def test_two_processes_that_gather_have_the_gradients_of_one():
    """Each holds half of the rows; the sums of their gradients are those of the whole batch."""
    x, y = torch.randn(8, 4), torch.randn(8, 4)

    def run(rows, gather=None):
        w, scale = torch.eye(4).requires_grad_(), torch.tensor(2.0, requires_grad=True)
        batches = list(zip(x[rows].split(2), y[rows].split(2), strict=True))
        accumulate_cached(
            lambda batch: (batch[0] @ w, batch[1] @ w), batches,
            lambda a, b: info_nce(a, b, scale), gather=gather,
        )  # fmt: skip
        return w.grad, 0 if scale.grad is None else scale.grad

    wanted = run(slice(0, 8))
    whole = [x.clone(), y.clone()]
    found = [
        run(slice(4 * r, 4 * r + 4), lambda _, r=r: ([t.clone() for t in whole], r, [4 * r] * 2))
        for r in (0, 1)
    ]  # fmt: skip
    for i in range(2):
        assert torch.allclose(found[0][i] + found[1][i], wanted[i], atol=1e-5)


def test_accumulation_adds_no_negatives():
    """Two equal embeddings have loss log 2, however many batches of two are accumulated."""
    ones = torch.ones(2, 1, requires_grad=True)
    loss = accumulate_plain(lambda b: (b, b), [ones] * 8, lambda a, b: info_nce(a, b, 1.0))
    assert float(loss) == pytest.approx(np.log(2))
