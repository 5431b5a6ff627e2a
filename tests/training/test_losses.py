"""Losses against loops that spell their formulas out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.training.losses import (
    clamp_logit_scale,
    info_nce,
    margin_contrastive,
    pairwise_sigmoid,
    triplet,
)


def unit_rows(n: int, d: int, seed: int) -> torch.Tensor:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def naive_info_nce(images, texts, scale, same=None, extra=(), extra_same=None) -> float:
    n, total = len(images), 0.0
    same = np.eye(n, dtype=bool) if same is None else same
    extra_same = np.zeros((n, len(extra)), bool) if extra_same is None else extra_same
    for i in range(n):
        own = math.exp(scale * float(np.dot(images[i], texts[i])))
        by_text, by_image = own, own
        for j in range(n):
            if j != i and not same[i, j]:
                by_text += math.exp(scale * float(np.dot(images[i], texts[j])))
            if j != i and not same[j, i]:
                by_image += math.exp(scale * float(np.dot(images[j], texts[i])))
        for j in range(len(extra)):
            if not extra_same[i, j]:
                by_text += math.exp(scale * float(np.dot(images[i], extra[j])))
        total += -math.log(own / by_text) - math.log(own / by_image)
    return total / (2 * n)


def naive_sigmoid(images, texts, scale, bias, same=None, extra=(), extra_same=None) -> float:
    n, total = len(images), 0.0
    same = np.eye(n, dtype=bool) if same is None else same
    extra_same = np.zeros((n, len(extra)), bool) if extra_same is None else extra_same
    for i in range(n):
        for j in range(n):
            logit = scale * float(np.dot(images[i], texts[j])) + bias
            if i == j:
                total += math.log1p(math.exp(-logit))
            elif not same[i, j]:
                total += math.log1p(math.exp(logit))
        for j in range(len(extra)):
            if not extra_same[i, j]:
                logit = scale * float(np.dot(images[i], extra[j])) + bias
                total += math.log1p(math.exp(logit))
    return total / n


@st.composite
def batches(draw):
    """Images, texts, items, explicit negatives, and which of those are positives after all."""
    n, e, seed = draw(st.integers(1, 7)), draw(st.integers(0, 4)), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    recipes = rng.integers(0, draw(st.integers(1, 5)), n)
    right = rng.random((n, e)) < 0.3
    return (
        unit_rows(n, 5, seed),
        unit_rows(n, 5, seed + 1),
        recipes,
        unit_rows(e, 5, seed + 2),
        right,
    )


@given(batches(), st.floats(0, 20), st.floats(-8, 2))
def test_losses_equal_their_loops(batch, scale, bias):
    images, texts, recipes, extra, right = batch
    same = recipes[:, None] == recipes[None]
    options = {
        "positives": torch.from_numpy(same),
        "negatives": extra,
        "negative_positives": torch.from_numpy(right),
    }
    rows = [t.double().numpy() for t in (images, texts)]
    arguments = (same, extra.double().numpy(), right)
    assert float(info_nce(images, texts, scale, **options)) == pytest.approx(
        naive_info_nce(*rows, scale, *arguments), rel=1e-4, abs=1e-5
    )
    assert float(pairwise_sigmoid(images, texts, scale, bias, **options)) == pytest.approx(
        naive_sigmoid(*rows, scale, bias, *arguments), rel=1e-4, abs=1e-5
    )


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (2, 1), (7, 2), (16, 3)])
def test_without_options_every_other_row_is_a_negative(n, seed):
    images, texts = unit_rows(n, 5, seed), unit_rows(n, 5, seed + 100)
    pair = images.double().numpy(), texts.double().numpy()
    assert float(info_nce(images, texts, 7.0)) == pytest.approx(
        naive_info_nce(*pair, 7.0), rel=1e-5
    )
    expected = naive_sigmoid(*pair, 9.0, -3.0)
    assert float(pairwise_sigmoid(images, texts, 9.0, -3.0)) == pytest.approx(expected, rel=1e-5)


def test_two_equal_pairs_have_loss_log_two_and_log_four_with_two_negatives():
    same = unit_rows(1, 4, 0).repeat(2, 1)
    assert float(info_nce(same, same, 20.0)) == pytest.approx(math.log(2), rel=1e-6)
    more = float(info_nce(same, same, 20.0, negatives=same))
    assert more == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-6)


def test_a_false_negative_neither_pulls_nor_pushes():
    images, texts = unit_rows(3, 4, 0).requires_grad_(), unit_rows(3, 4, 1).requires_grad_()
    same = torch.eye(3, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    for loss in (
        info_nce(images, texts, 5.0, positives=same),
        pairwise_sigmoid(images, texts, 5.0, -2.0, positives=same),
    ):
        (gradient,) = torch.autograd.grad(loss, images, retain_graph=True)
        by_hand = torch.autograd.grad(loss, texts, retain_graph=True)[0]
        assert torch.isfinite(gradient).all()
        assert torch.isfinite(by_hand).all()
    cells = torch.eye(3) * 2.0
    moved = cells.clone()
    moved[0, 1] = moved[1, 0] = 50.0  # whatever stands in the masked cells
    identity = torch.eye(3)
    assert info_nce(cells, identity, 1.0, positives=same) == info_nce(
        moved, identity, 1.0, positives=same
    )
    assert info_nce(cells, identity, 1.0) != info_nce(moved, identity, 1.0)


def test_a_batch_of_one_recipe_teaches_infonce_nothing():
    images, texts = unit_rows(4, 6, 0).requires_grad_(), unit_rows(4, 6, 1)
    loss = info_nce(images, texts, 10.0, positives=torch.ones(4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (images.grad == 0).all()


def test_explicit_negatives_push_away_and_ask_nothing_themselves():
    images, texts = torch.eye(3)[:2], torch.eye(3)[:2]
    extra = torch.eye(3)[:1].clone().requires_grad_()
    info_nce(images, texts, 5.0, negatives=extra).backward()
    assert extra.grad[0, 0] > 0  # descent moves it away from the image that it looks like
    one, both = (info_nce(images, texts, 5.0, negatives=e) for e in (extra, extra.repeat(2, 1)))
    assert both > one > info_nce(images, texts, 5.0)


@pytest.mark.parametrize("wrong", [torch.ones(2, 3, dtype=torch.bool), torch.ones(3, 3)])
def test_a_mask_of_another_shape_or_type_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\(3, 3\) torch\.bool"):
        info_nce(torch.eye(3), torch.eye(3), 1.0, positives=wrong)


def test_right_pairs_cost_less_than_wrong_ones():
    rows = torch.eye(4)
    wrong = rows.roll(1, 0)
    assert info_nce(rows, rows, 10.0) < info_nce(rows, wrong, 10.0)
    assert pairwise_sigmoid(rows, rows, 10.0, -5.0) < pairwise_sigmoid(rows, wrong, 10.0, -5.0)


def test_scale_is_held_at_one_hundred():
    scale = torch.nn.Parameter(torch.tensor(9.0))
    clamp_logit_scale(scale)
    assert scale.exp().item() == pytest.approx(100.0, rel=1e-5)
    low = torch.nn.Parameter(torch.tensor(1.0))
    clamp_logit_scale(low)
    assert low.item() == 1.0


def test_three_pairs_by_hand():
    """Similarities 1 on the diagonal, 0.5 beside it, 0 in the corner; scale 2."""
    images = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5], [0.0, 1.0]])
    e = math.e
    cells = (images @ images.T).double()
    wanted = -sum(
        math.log(e**2 / sum(e ** (2 * float(cells[i, j])) for j in range(3))) for i in range(3)
    ) / 3  # fmt: skip
    assert float(info_nce(images, images, 2.0)) == pytest.approx(wanted, rel=1e-6)
    same = torch.ones(3, 3, dtype=torch.bool)
    same[0, 2] = same[2, 0] = False  # one negative each for the outer pairs, none for the middle
    wanted = 2 * math.log(1 + e ** (2 * (float(cells[0, 2]) - 1))) / 3
    assert float(info_nce(images, images, 2.0, positives=same)) == pytest.approx(wanted, rel=1e-6)


def test_margins_by_hand():
    positive, negative = torch.tensor([0.9, 0.4]), torch.tensor([[0.8, 0.1], [0.3, 0.5]])
    loss = margin_contrastive(positive, negative, margin=0.2)
    assert float(loss) == pytest.approx((0.1 + 0.6) / 2 + (0.6 + 0 + 0.1 + 0.3) / 4)
    loss = triplet(positive, negative, margin=0.2)
    assert float(loss) == pytest.approx((0.1 + 0 + 0.1 + 0.3) / 4)
    counted = torch.tensor([[True, False], [False, False]])
    assert float(triplet(positive, negative, counted=counted)) == pytest.approx(0.1)
    none = triplet(positive.requires_grad_(), negative, counted=torch.zeros(2, 2, dtype=torch.bool))
    none.backward()
    assert none == 0
    assert (positive.grad == 0).all()


@pytest.mark.parametrize(
    ("positive", "negative", "options", "message"),
    [
        (torch.ones(2), torch.ones(3, 1), {}, r"\(n,\) similarities of positives"),
        (torch.ones(2), torch.ones(2, 0), {}, "at least one"),
        (torch.ones(2), torch.ones(2, 1), {"margin": 3.0}, "margin is 3.0: give"),
        (torch.ones(2), torch.ones(2, 1), {"counted": torch.ones(2, 1)}, "torch.bool"),
    ],
)
def test_margin_losses_refuse_what_has_no_meaning(positive, negative, options, message):
    for loss in (margin_contrastive, triplet):
        with pytest.raises(ValueError, match=message):
            loss(positive, negative, **options)
