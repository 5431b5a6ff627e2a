"""Losses with a margin against loops, and what they ask and do not ask."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.training.margin_losses import margin_contrastive, triplet


def naive(positive, negative, asked, cost, *, alone):
    """Sum and count by hand; ``alone`` is what a true pair costs by itself."""
    total, count = 0.0, 0
    for i, true in enumerate(positive):
        for j, wrong in enumerate(negative[i]):
            if asked[i][j]:
                total += max(0.0, cost(true, wrong))
                count += 1
    own = sum(alone(true) for true in positive) / len(positive)
    return own + (total / count if count else 0.0)


@st.composite
def cases(draw):
    n, k = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    positive, negative = (2 * torch.rand(s, generator=generator) - 1 for s in ((n,), (n, k)))
    return positive, negative, torch.rand(n, k, generator=generator) < 0.7


@given(cases(), st.floats(0, 1))
def test_both_equal_their_loops(case, margin):
    positive, negative, asked = case
    plain = positive.tolist(), negative.tolist(), asked.tolist()
    expected = naive(*plain, lambda t, w: w - margin, alone=lambda t: 1 - t)
    found = margin_contrastive(positive, negative, margin=margin, asked=asked)
    assert float(found) == pytest.approx(expected, abs=1e-5)
    expected = naive(*plain, lambda t, w: margin - t + w, alone=lambda t: 0.0)
    assert float(triplet(positive, negative, margin=margin, asked=asked)) == pytest.approx(
        expected, abs=1e-5
    )


def test_by_hand():
    positive, negative = torch.tensor([0.9, 0.5]), torch.tensor([[0.4], [0.45]])
    assert float(margin_contrastive(positive, negative, margin=0.2)) == pytest.approx(
        (0.1 + 0.5) / 2 + (0.2 + 0.25) / 2
    )
    assert float(triplet(positive, negative, margin=0.2)) == pytest.approx((0 + 0.15) / 2)


def test_what_lies_beyond_the_margin_gets_no_gradient():
    near = torch.tensor([[0.1, 0.5]], requires_grad=True)
    margin_contrastive(torch.tensor([0.9]), near, margin=0.2).backward()
    assert near.grad.tolist() == [[0.0, 0.5]]
    far = torch.tensor([[0.1, 0.8]], requires_grad=True)
    triplet(torch.tensor([0.9]), far, margin=0.2).backward()
    assert far.grad.tolist() == [[0.0, 0.5]]


def test_nothing_asked_costs_nothing_and_teaches_nothing():
    negative = torch.rand(3, 2, requires_grad=True)
    loss = triplet(torch.rand(3), negative, asked=torch.zeros(3, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (negative.grad == 0).all()


@pytest.mark.parametrize("loss", [margin_contrastive, triplet])
def test_bad_input_is_refused(loss):
    good = torch.rand(3), torch.rand(3, 2)
    with pytest.raises(ValueError, match=r"\(n,\) true and \(n, k\) wrong"):
        loss(good[0], torch.rand(2, 2))
    with pytest.raises(ValueError, match="no wrong pair"):
        loss(good[0], torch.rand(3, 0))
    with pytest.raises(ValueError, match=r"\(3, 2\) torch\.bool"):
        loss(*good, asked=torch.ones(3, 2))
    with pytest.raises(ValueError, match="units of the cosine"):
        loss(*good, margin=2.5)
