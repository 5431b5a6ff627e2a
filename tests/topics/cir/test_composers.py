"""Composers: shapes, oracles, gradients, and that each can learn what is planted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from helpers.topics.cir import composers
from helpers.topics.cir.metrics import hit10
from tests.topics.cir.made_up import DIM, features

QUICK = {"steps": 60, "batch_size": 16, "learning_rate": 5e-3, "evaluations": 3}


def unit(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(n, DIM, generator=generator), dim=-1)


@pytest.fixture
def inputs():
    return unit(5, 1), unit(5, 2), unit(9, 3)


@pytest.mark.parametrize("name", [*composers.BASELINES, *composers.TRAINED])
def test_a_query_is_scored_by_itself(name, inputs):
    model = composers.build(name, DIM).eval()
    scores, (reference, text, gallery) = model(*inputs), inputs
    assert scores.shape == (5, 9)
    alone = [model(reference[i : i + 1], text[i : i + 1], gallery) for i in range(5)]
    assert torch.allclose(scores, torch.cat(alone), atol=1e-5)


def test_baselines_are_plain_cosines(inputs):
    reference, text, gallery = inputs
    found = {name: composers.build(name, DIM)(*inputs) for name in composers.BASELINES}
    assert torch.allclose(found["image only"], reference @ gallery.T, atol=1e-6)
    assert torch.allclose(found["text only"], text @ gallery.T, atol=1e-6)
    both = functional.normalize(reference + text, dim=-1) @ gallery.T
    assert torch.allclose(found["sum"], both, atol=1e-6)


def test_the_product_wants_both_sides():
    """What one side likes best and the other least is worth nothing."""
    gallery = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0.6, 0.6, 0.52], [0, 0, -1.0]])
    found = composers.build("product", 3)(torch.eye(3)[:1], torch.eye(3)[1:2], gallery)
    assert found.tolist()[0] == pytest.approx([0, 0, 0.36, 0], abs=1e-6)


def test_artemis_equals_its_definition(inputs):
    """Query by query and image by image, as the paper writes it."""
    reference, text, gallery = inputs
    model = composers.build("ARTEMIS", DIM)
    for i, (r, m) in enumerate(zip(reference, text, strict=True)):
        for j, t in enumerate(gallery):
            a_em, a_is = model.explicit(m), model.implicit(m)
            em = functional.cosine_similarity(model.transform(m), a_em * t, dim=0)
            im = functional.cosine_similarity(a_is * r, a_is * t, dim=0)
            assert model(*inputs)[i, j].item() == pytest.approx((em + im).item(), abs=1e-5)


def test_the_combiner_mixes_between_its_sides(inputs):
    """With no residual, the query lies on the arc from text to image."""
    reference, text, gallery = inputs
    model = composers.build("combiner", DIM).eval()
    for layer in (model.output, model.mixing[3]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    for bias, side in ((30.0, text), (-30.0, reference)):
        torch.nn.init.constant_(model.mixing[3].bias, bias)
        assert torch.allclose(model(*inputs), side @ gallery.T, atol=1e-5)


def test_tirg_with_an_open_gate_and_no_residual_is_the_reference(inputs):
    reference, _, gallery = inputs
    model = composers.build("TIRG", DIM).eval()
    torch.nn.init.zeros_(model.gate[2].weight)
    torch.nn.init.constant_(model.gate[2].bias, 30.0)
    torch.nn.init.zeros_(model.residual[4].weight)
    torch.nn.init.zeros_(model.residual[4].bias)
    assert torch.allclose(model(*inputs), reference @ gallery.T, atol=1e-5)


def test_the_loss_is_cross_entropy_with_one_positive_each():
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    scale, own = torch.tensor(0.5), torch.eye(4, dtype=torch.bool)
    for smoothing in (0.0, 0.1):
        found = composers.query_to_target(scores, own, scale, smoothing=smoothing)
        wanted = functional.cross_entropy(
            scale.exp() * scores, torch.arange(4), label_smoothing=smoothing
        )
        assert found == pytest.approx(wanted.item(), rel=1e-6)


def test_a_query_shares_its_weight_among_its_positives():
    """Two equal positives of three equal columns: each to be found with probability 1 / 2."""
    positives = torch.tensor([[True, True, False]])
    found = composers.query_to_target(torch.zeros(1, 3), positives, torch.tensor(0.0), smoothing=0)
    assert found == pytest.approx(np.log(3), rel=1e-6)
    lost = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match="query 1 of the batch has no target"):
        composers.query_to_target(torch.zeros(2, 2), lost, torch.tensor(0.0))


@given(size=st.integers(2, 50), seed=st.integers(0, 100))
@settings(max_examples=30)
def test_a_batch_holds_distinct_columns_and_every_query_has_its_target(size, seed):
    targets = [[i, 100 + i % 3] for i in range(20)]
    queries, columns, positives = composers.draw_batch(targets, size, np.random.default_rng(seed))
    assert len(queries) == min(size, 20) == len(set(queries.tolist()))
    assert len(set(columns.tolist())) == len(columns)
    for i, query in enumerate(queries):
        right = {columns[j] for j in np.flatnonzero(positives[i])}
        assert right == set(targets[query]) & set(columns.tolist())
        assert right


def test_the_reference_leaves_its_own_ranking():
    data = features(5)
    scores = np.zeros((5, 15), dtype=np.float32)
    scores[np.arange(5), np.arange(5)] = 2  # the references
    scores[np.arange(5), np.arange(5, 10)] = 1  # the targets
    assert composers.rank_frame([scores], data.sets)["rank"].tolist() == [1.0] * 5


@pytest.mark.parametrize("name", composers.TRAINED)
def test_every_model_learns_what_is_planted(name):
    data, held = features(60, seed=1), features(30, seed=2, prefix="v")
    model = composers.build(name, DIM)
    fitted = composers.train(model, data, held, **QUICK)
    scores = fitted.evaluations.set_index("step")["score"]
    assert scores.index[0] == 0
    assert hit10(composers.ranks_of(model, held)) == pytest.approx(scores.max())
    assert scores[fitted.best_step] == scores.max() > scores[0]


def test_batch_statistics_are_those_of_the_selected_step():
    """A rate that only harms: the start is best, with the statistics that it had."""
    data, held = features(60, seed=1), features(30, seed=2, prefix="v")
    model = composers.build("TIRG", DIM)
    composers.train(model, data, held, **QUICK)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    fitted = composers.train(model, data, held, **{**QUICK, "learning_rate": 10.0})
    assert fitted.best_step == 0
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_first_weights_follow_the_seed_and_leave_the_global_state():
    state = torch.random.get_rng_state()
    one, same, other = (composers.build("combiner", DIM, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one.output.weight, same.output.weight)
    assert not torch.equal(one.output.weight, other.output.weight)
    with pytest.raises(ValueError, match=r"'tirg': use one of image only, .*TIRG"):
        composers.build("tirg", DIM)


def test_a_smaller_part_lies_in_the_larger():
    data = features(30)
    parts = [{t.pair_id for t in data.part(n, seed=3).triplets} for n in (5, 12, 30)]
    assert [len(part) for part in parts] == [5, 12, 30]
    assert parts[0] < parts[1] < parts[2]
    few = data.part(5, seed=3)
    for i, triplet in enumerate(few.triplets):
        whole = data.triplets.index(triplet)
        assert np.array_equal(few.texts[i], data.texts[whole])
        assert few.references[i] == data.references[whole]
    assert data.part(0, seed=3) is data


def test_scores_are_those_of_the_model_gallery_by_gallery():
    one, two = features(7), features(4, seed=5, prefix="b")
    images = one.images.join(two.images)
    both = composers.Features(
        (*one.sets, *two.sets), images, np.concatenate([one.texts, two.texts])
    )
    model = composers.build("combiner", DIM)
    found = composers.scores_of(model, both)
    for part, table in zip((one, two), found, strict=True):
        assert np.allclose(composers.scores_of(model, part)[0], table, atol=1e-6)
    assert composers.join_sets(both.sets).gallery == (*one.sets[0].gallery, *two.sets[0].gallery)
