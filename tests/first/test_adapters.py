"""Heads: shapes, both forms of the residual, alpha 0 and fresh heads as the frozen model."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.adapters import (
    Head,
    HeadError,
    HeadShape,
    apply_heads,
    make_heads,
    with_alpha,
)


def unit(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive(head: Head, x: np.ndarray) -> np.ndarray:
    """The formulas row by row, with the head's own matrices."""
    shape, layers = head.shape, [m for m in head.mlp if hasattr(m, "weight")]
    alpha = float(head.alpha.detach())
    found = []
    for row in x.astype(np.float64):
        h = row
        for i, layer in enumerate(layers):
            h = layer.weight.detach().double().numpy() @ h + layer.bias.detach().double().numpy()
            h = np.maximum(h, 0) if i < len(layers) - 1 else h
        if shape.kind == "residual":
            kept = 1 - alpha if shape.form == "convex" else 1
            h = kept * row + alpha * h
        found.append(h / np.sqrt((h**2).sum()))
    return np.array(found)


@pytest.mark.parametrize("kind", ["residual", "tower"])
@pytest.mark.parametrize("form", ["add", "convex"])
@pytest.mark.parametrize(("layers", "learned"), [(1, False), (2, True)])
def test_a_head_is_its_formula(kind, form, layers, learned):
    shape = HeadShape(
        kind, layers=layers, width=5, form=form, alpha=0.3, learn_alpha=learned, zero_init=False
    )
    heads, x = make_heads(shape, 8, seed=3), unit(6, 8, 0)
    images, texts = apply_heads(heads, x, x)
    np.testing.assert_allclose(images, naive(heads.image, x), atol=1e-6)
    np.testing.assert_allclose(texts, naive(heads.text, x), atol=1e-6)
    assert np.abs(images - texts).max() > 1e-3  # the two sides share no weights


@pytest.mark.parametrize("form", ["add", "convex"])
def test_alpha_0_is_the_frozen_model_to_the_last_bit(form):
    x, y = unit(7, 16, 1), unit(5, 16, 2)
    heads = make_heads(HeadShape(form=form, alpha=0, zero_init=False), 16)
    images, texts = apply_heads(heads, x, y)
    assert (images == x).all()
    assert (texts == y).all()


@pytest.mark.parametrize(("form", "alpha"), [("add", 0.2), ("add", 3.0), ("convex", 0.9)])
def test_fresh_residual_heads_rank_as_the_frozen_model_and_fresh_towers_do_not(form, alpha):
    x, y = unit(40, 16, 3), unit(40, 16, 4)
    ids = [str(i) for i in range(40)]
    frozen = both_directions(x, ids, y, ids)
    for shape, same in ((HeadShape(form=form, alpha=alpha), True), (HeadShape("tower"), False)):
        images, texts = apply_heads(make_heads(shape, 16), x, y)
        found = both_directions(images, ids, texts, ids)
        equal = [(found[way].first == frozen[way].first).all() for way in frozen]
        assert all(equal) == same


@given(st.floats(0, 0.99), st.integers(0, 99))
def test_convex_is_add_with_alpha_over_one_minus_alpha(alpha, seed):
    x = unit(4, 6, seed)
    convex = make_heads(HeadShape(form="convex", alpha=alpha, zero_init=False), 6, seed=seed)
    added = HeadShape(form="add", alpha=alpha / (1 - alpha), zero_init=False)
    expected = apply_heads(make_heads(added, 6, seed=seed), x, x)[0]
    np.testing.assert_allclose(apply_heads(convex, x, x)[0], expected, atol=2e-5)


@given(st.integers(0, 50), st.sampled_from(["residual", "tower"]), st.integers(1, 3))
def test_rows_come_out_with_length_1(seed, kind, layers):
    rows = apply_heads(
        make_heads(HeadShape(kind, layers=layers, zero_init=False), 6), *[unit(5, 6, seed)] * 2
    )
    np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1, atol=1e-5)


def test_widths_and_parameters():
    assert HeadShape().hidden(96) == 24
    assert HeadShape("tower").hidden(96) == 192
    assert HeadShape(width=7).hidden(96) == 7
    heads = make_heads(HeadShape(width=24), 96)
    side = 96 * 24 + 24 + 24 * 96 + 96
    assert sum(p.numel() for p in heads.parameters() if p.requires_grad) == 2 * side + 1
    learned = make_heads(HeadShape(width=24, learn_alpha=True), 96)
    assert sum(p.numel() for p in learned.parameters() if p.requires_grad) == 2 * side + 3


def test_equal_seeds_give_equal_heads_and_the_global_state_stays():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    a, b, c = (make_heads(HeadShape("tower"), 8, seed=s) for s in (1, 1, 2))
    assert torch.rand(1) == expected
    same = [torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(a.image.mlp[0].weight, c.image.mlp[0].weight)


def test_turning_the_dial_keeps_the_weights():
    learned = HeadShape(form="convex", alpha=0.3, learn_alpha=True, zero_init=False)
    for shape in (HeadShape(zero_init=False), learned):
        heads, x = make_heads(shape, 8, seed=5), unit(4, 8, 6)
        at = 0.2 if shape.form == "add" else 0.3
        np.testing.assert_allclose(
            apply_heads(heads, x, x, alpha=at)[0], apply_heads(heads, x, x)[0], atol=1e-6
        )
        assert (apply_heads(heads, x, x, alpha=0)[0] == x).all()
    whole = apply_heads(make_heads(learned, 8, seed=5), x, x, alpha=1)[0]
    alone = make_heads(learned, 8, seed=5).image.mlp(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(whole, torch.nn.functional.normalize(alone, dim=-1), atol=1e-6)
    with pytest.raises(HeadError, match="a tower has none"):
        with_alpha(make_heads(HeadShape("tower"), 8), 0.1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "both"}, "use residual or tower"),
        ({"form": "sum"}, "use add or convex"),
        ({"layers": 0}, "at least 1 layer"),
        ({"width": -1}, "width of 1 or more"),
        ({"alpha": -0.1}, "0 or more"),
        ({"alpha": float("nan")}, "finite"),
        ({"alpha": 1.1, "form": "convex"}, "from 0 to 1"),
        ({"alpha": 1, "form": "convex"}, "set zero_init to false"),
        ({"alpha": 0, "form": "convex", "learn_alpha": True}, "inside 0 to 1"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(values, said):
    with pytest.raises(HeadError, match=said):
        HeadShape(**values)


def test_rows_of_another_model_are_refused():
    with pytest.raises(HeadError, match=r"\(3, 5\) for heads of dimension 8"):
        apply_heads(make_heads(HeadShape(), 8), unit(3, 5, 0), unit(3, 8, 0))
