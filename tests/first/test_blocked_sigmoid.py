"""The sigmoid loss in blocks: value and gradients of the whole, whatever the blocks and parts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers.first.training.blocked_sigmoid import accumulate_blocked, blocked_sigmoid
from helpers.first.training.losses import pairwise_sigmoid


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, d, generator=generator), dim=-1)


def whole(images, texts, scale, bias, positives=None):
    """The value and the four gradients of the loss over the whole matrix, by autograd."""
    leaves = [
        t.clone().requires_grad_() for t in (images, texts, torch.tensor(scale), torch.tensor(bias))
    ]
    value = pairwise_sigmoid(*leaves, positives=positives)
    value.backward()
    return value.detach(), *(leaf.grad for leaf in leaves)


def assert_same(found, expected):
    got = (found.value, found.images, found.texts, found.scale, found.bias)
    for name, a, b in zip(
        ("value", "images", "texts", "scale", "bias"), got, expected, strict=True
    ):
        assert (a - b).abs().max() <= 1e-6 * max(1.0, float(b.abs().max())), name


def test_by_hand():
    """Two pairs, one dimension: logits s + b on the diagonal, b - s off it."""
    images, texts = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [-1.0]])
    found = blocked_sigmoid(images, texts, torch.tensor(2.0), torch.tensor(-1.0), block=1)
    on, off = np.log1p(np.exp(-1.0)), np.log1p(np.exp(-3.0))  # logits 1 and -3
    assert float(found.value) == pytest.approx(on + off, abs=1e-6)
    assert float(found.bias) == pytest.approx(-1 / (1 + np.e) + 1 / (1 + np.e**3), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(1, 10), st.integers(0, 99), st.booleans())
def test_any_block_is_the_whole_matrix(n, block, seed, masked):
    images, texts = unit(n, 5, seed), unit(n, 5, seed + 100)
    groups = torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(seed))
    same = groups[:, None] == groups[None]
    found = blocked_sigmoid(
        images, texts, torch.tensor(7.0), torch.tensor(-3.0), block=block,
        positives=(lambda a, b: groups[a][:, None] == groups[b][None]) if masked else None,
    )  # fmt: skip
    assert_same(found, whole(images, texts, 7.0, -3.0, same if masked else None))


def test_a_block_bounds_the_memory():
    images = unit(12, 4, 0)
    for block, cells in ((0, 144), (12, 144), (5, 60), (1, 12)):
        found = blocked_sigmoid(images, images, torch.tensor(1.0), torch.tensor(0.0), block=block)
        assert found.cells == cells


class Toy(torch.nn.Module):
    """Two towers of one matrix each, and the two scalars."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.image, self.text = (
            torch.nn.Parameter(torch.randn(6, 4, generator=generator)) for _ in range(2)
        )
        self.logit_scale = torch.nn.Parameter(torch.tensor([1.5]))
        self.logit_bias = torch.nn.Parameter(torch.tensor([-2.0]))

    def encode(self, batch):
        rows, images, texts = batch
        return rows, *(
            F.normalize(x @ w, dim=-1) for x, w in ((images, self.image), (texts, self.text))
        )


def parts(n, size):
    generator = torch.Generator().manual_seed(8)
    images, texts = (torch.randn(n, 6, generator=generator) for _ in range(2))
    return list(zip(*(t.split(size) for t in (torch.arange(n), images, texts)), strict=True))


def direct_gradients(n, size):
    model = Toy()
    batches = parts(n, size)
    _, images, texts = model.encode([torch.cat(column) for column in zip(*batches, strict=True)])
    value = pairwise_sigmoid(images, texts, model.logit_scale.exp(), model.logit_bias)
    value.backward()
    return float(value), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("block", [0, 3])
def test_accumulated_micro_batches_have_the_gradients_of_the_batch(block):
    value, expected = direct_gradients(10, 4)
    model = Toy()
    got = accumulate_blocked(model.encode, parts(10, 4), model, block=block)
    assert float(got) == pytest.approx(value, abs=1e-6)
    for name, p in model.named_parameters():
        assert (p.grad - expected[name]).abs().max() <= 1e-6 * max(1, expected[name].abs().max())


def test_frozen_scalars_and_a_frozen_tower_get_nothing():
    model = Toy()
    for frozen in (model.logit_scale, model.logit_bias, model.text):
        frozen.requires_grad_(False)
    accumulate_blocked(model.encode, parts(6, 2), model)
    given_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    assert given_gradient == {"image"}
