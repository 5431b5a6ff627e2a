"""Losses against loops that spell their formulas out."""

import math

import numpy as np
import pytest
import torch

from helpers.training.losses import clamp_logit_scale, info_nce, pairwise_sigmoid


def unit_rows(n: int, d: int, seed: int) -> torch.Tensor:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def naive_info_nce(images, texts, scale) -> float:
    n, total = len(images), 0.0
    for i in range(n):
        by_text = [math.exp(scale * float(np.dot(images[i], texts[j]))) for j in range(n)]
        by_image = [math.exp(scale * float(np.dot(images[j], texts[i]))) for j in range(n)]
        total += -math.log(by_text[i] / sum(by_text)) - math.log(by_image[i] / sum(by_image))
    return total / (2 * n)


def naive_sigmoid(images, texts, scale, bias) -> float:
    n, total = len(images), 0.0
    for i in range(n):
        for j in range(n):
            logit = scale * float(np.dot(images[i], texts[j])) + bias
            total += math.log1p(math.exp(-logit if i == j else logit))
    return total / n


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (2, 1), (7, 2), (16, 3)])
def test_losses_equal_their_loops(n, seed):
    images, texts = unit_rows(n, 5, seed), unit_rows(n, 5, seed + 100)
    pair = images.double().numpy(), texts.double().numpy()
    assert float(info_nce(images, texts, 7.0)) == pytest.approx(
        naive_info_nce(*pair, 7.0), rel=1e-5
    )
    expected = naive_sigmoid(*pair, 9.0, -3.0)
    assert float(pairwise_sigmoid(images, texts, 9.0, -3.0)) == pytest.approx(expected, rel=1e-5)


def test_two_pairs_that_look_alike_cost_log_two():
    same = unit_rows(1, 4, 0).repeat(2, 1)
    assert float(info_nce(same, same, 20.0)) == pytest.approx(math.log(2), rel=1e-6)


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
