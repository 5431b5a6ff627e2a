"""Models of composed retrieval: shapes, oracles, gradients, and that each can learn by heart."""

import pytest
import torch
from torch.nn import functional

from helpers.first.models.composed import (
    BASELINES,
    TRAINED,
    ComposedError,
    build_composed,
    composed_loss,
    starting_log_scale,
)

DIM = 24


def unit(n, seed):
    return functional.normalize(
        torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


@pytest.fixture
def inputs():
    return unit(5, 1), unit(5, 2), unit(9, 3)


@pytest.mark.parametrize("name", [*BASELINES, *TRAINED])
def test_scores_have_a_row_a_query_and_a_column_an_item(name, inputs):
    model = build_composed(name, DIM).eval()
    scores = model(*inputs)
    assert scores.shape == (5, 9)
    bound = 2 if name == "ARTEMIS" else 1
    assert scores.abs().max() <= bound + 1e-5
    reference, text, gallery = inputs
    alone = torch.cat([model(reference[i : i + 1], text[i : i + 1], gallery) for i in range(5)])
    assert torch.allclose(scores, alone, atol=1e-5)


def test_image_only_and_text_only_are_plain_cosines(inputs):
    reference, text, gallery = inputs
    assert torch.allclose(
        build_composed("image only", DIM)(*inputs), reference @ gallery.T, atol=1e-6
    )
    assert torch.allclose(build_composed("text only", DIM)(*inputs), text @ gallery.T, atol=1e-6)
    both = functional.normalize(reference + text, dim=-1) @ gallery.T
    assert torch.allclose(build_composed("sum", DIM)(*inputs), both, atol=1e-6)


def test_artemis_equals_its_definition(inputs):
    """Query by query and item by item, as the paper writes it."""
    reference, text, gallery = inputs
    model = build_composed("ARTEMIS", DIM)
    for i, (r, m) in enumerate(zip(reference, text, strict=True)):
        for j, t in enumerate(gallery):
            a_em, a_is = model.explicit(m), model.implicit(m)
            em = functional.cosine_similarity(model.transform(m), a_em * t, dim=0)
            im = functional.cosine_similarity(a_is * r, a_is * t, dim=0)
            assert model(*inputs)[i, j].item() == pytest.approx((em + im).item(), abs=1e-5)


def test_the_combiner_mixes_between_its_sides(inputs):
    """With no residual, the query lies on the arc from text to image."""
    reference, text, gallery = inputs
    model = build_composed("combiner", DIM).eval()
    torch.nn.init.zeros_(model.output.weight)
    torch.nn.init.zeros_(model.output.bias)
    torch.nn.init.zeros_(model.mixing[3].weight)
    for bias, side in ((30.0, text), (-30.0, reference)):
        torch.nn.init.constant_(model.mixing[3].bias, bias)
        assert torch.allclose(model(*inputs), side @ gallery.T, atol=1e-5)


def test_tirg_with_an_open_gate_and_no_residual_is_the_reference(inputs):
    reference, _, gallery = inputs
    model = build_composed("TIRG", DIM).eval()
    torch.nn.init.zeros_(model.gate[2].weight)
    torch.nn.init.constant_(model.gate[2].bias, 30.0)
    torch.nn.init.zeros_(model.residual[4].weight)
    torch.nn.init.zeros_(model.residual[4].bias)
    assert torch.allclose(model(*inputs), reference @ gallery.T, atol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_each_can_learn_32_triplets_by_heart(name):
    reference, text, gallery = unit(32, 4), unit(32, 5), unit(32, 6)
    model, log_scale = build_composed(name, DIM), starting_log_scale(20.0)
    parameters = [*model.parameters(), log_scale]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.0)
    positives = torch.eye(32, dtype=torch.bool)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = composed_loss(model(reference, text, gallery), positives, log_scale).item()
        for _ in range(300):
            optimizer.zero_grad()
            loss = composed_loss(model(reference, text, gallery), positives, log_scale)
            loss.backward()
            assert all(p.grad is not None for p in parameters)
            optimizer.step()
    found = model.eval()(reference, text, gallery).argmax(dim=1)
    assert (found == torch.arange(32)).float().mean() > 0.95
    assert loss.item() < 0.2 * before


def test_the_loss_is_cross_entropy_with_one_positive_each():
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor(0.5)
    found = composed_loss(scores, torch.eye(4, dtype=torch.bool), scale)
    assert found == pytest.approx(
        functional.cross_entropy(scale.exp() * scores, torch.arange(4)).item(), rel=1e-6
    )
    smooth = composed_loss(scores, torch.eye(4, dtype=torch.bool), scale, label_smoothing=0.1)
    wanted = functional.cross_entropy(scale.exp() * scores, torch.arange(4), label_smoothing=0.1)
    assert smooth == pytest.approx(wanted.item(), rel=1e-6)


def test_a_query_shares_its_weight_among_its_positives():
    """Two equal positives of three equal columns: each to be found with probability 1 / 2."""
    positives = torch.tensor([[True, True, False]])
    found = composed_loss(torch.zeros(1, 3), positives, torch.tensor(0.0))
    assert found == pytest.approx(torch.log(torch.tensor(3.0)).item(), rel=1e-6)
    with pytest.raises(ComposedError, match="query 1 of the batch has no target"):
        composed_loss(
            torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]), torch.tensor(0.0)
        )


def test_first_weights_follow_the_seed_and_leave_the_global_state():
    state = torch.random.get_rng_state()
    one, same, other = (build_composed("combiner", DIM, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one.output.weight, same.output.weight)
    assert not torch.equal(one.output.weight, other.output.weight)


def test_an_unknown_model_is_named():
    with pytest.raises(ComposedError, match=r"'tirg': use one of image only, .*TIRG"):
        build_composed("tirg", DIM)
