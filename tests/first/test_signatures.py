"""Each way to fail is found where it was planted, by its own name, and not in a healthy run."""

import numpy as np
import pytest

from helpers.first.studies.signatures import failure_signatures, harmful_pretraining
from helpers.world import open_world
from helpers.world.changes import composed_world

RNG = np.random.default_rng(0)
HEALTHY = {
    "embeddings": RNG.normal(size=(200, 16)),
    "hallucinated": RNG.random(200) < 0.04,
    "pretrained": (RNG.random(200) < 0.6).astype(float),
}


@pytest.fixture(scope="module")
def healthy():
    """What a good generator writes, a model that tells queries apart, a pretraining that helps."""
    composed = composed_world(open_world("kitchen", n_recipes=200), counts={"train": 200})
    texts = [triplet.caption for triplet in composed.sets["train"].triplets]
    scratch = HEALTHY["pretrained"] * (np.random.default_rng(1).random(200) < 0.8)
    return {**HEALTHY, "texts": texts, "scratch": scratch}


def found(**given):
    return {sign.name: sign.found for sign in failure_signatures(**given)}


def test_a_healthy_run_shows_nothing(healthy):
    assert found(**healthy) == {
        "collapse of texts": False,
        "collapse of embeddings": False,
        "hallucination": False,
        "harmful pretraining": False,
    }


def planted(name, healthy):
    rows = healthy["embeddings"]
    return {
        "collapse of texts": {"texts": healthy["texts"][:100] + ["on a red plate"] * 100},
        "collapse of embeddings": {"embeddings": 0.05 * rows + 5},
        "hallucination": {"hallucinated": np.arange(200) % 5 == 0},
        "harmful pretraining": {
            "pretrained": healthy["scratch"],
            "scratch": healthy["pretrained"],
        },
    }[name]


@pytest.mark.parametrize(
    "name",
    ["collapse of texts", "collapse of embeddings", "hallucination", "harmful pretraining"],
)
def test_each_failure_is_found_and_named_alone(name, healthy):
    signs = failure_signatures(**{**healthy, **planted(name, healthy)})
    assert [sign.name for sign in signs if sign.found] == [name]
    (sign,) = [sign for sign in signs if sign.found]
    assert sign.says
    assert np.isfinite([sign.value, sign.limit]).all()


def test_few_different_texts_are_a_collapse_too():
    three = ["on a red plate", "with tofu", "no basil", "on marble"]
    assert found(texts=three * 50) == {"collapse of texts": True}
    assert found(texts=[f"text {i}" for i in range(200)]) == {"collapse of texts": False}


def test_a_spread_that_was_lost_in_training_is_a_collapse():
    rows = HEALTHY["embeddings"]
    shrunk = 0.05 * rows + 0.45
    assert not found(embeddings=shrunk)["collapse of embeddings"]
    assert found(embeddings=shrunk, embeddings_before=rows)["collapse of embeddings"]


@pytest.mark.parametrize(("kept", "collapsed"), [(0.25, True), (0.4, False)])
def test_the_limit_that_is_named_is_the_one_that_decides(kept, collapsed):
    """A narrow start: a tenth of it is less than the limit for queries without a start."""
    rows = HEALTHY["embeddings"]
    narrow = 0.2 * rows + 1  # about 4 % of the squared length differs
    (sign,) = failure_signatures(embeddings=kept * (narrow - 1) + 1, embeddings_before=narrow)
    assert sign.limit < 0.01
    assert sign.found is (sign.value < sign.limit) is collapsed


def test_chance_alone_is_no_finding():
    """6 of 40 is above the limit, and so is much else that 40 texts of a good generator show."""
    assert not found(hallucinated=np.arange(40) < 6)["hallucination"]
    better = np.tile([1.0, 0.0, 1.0, 0.0], 10)
    worse = better.copy()
    worse[:3] = 0
    assert not found(pretrained=worse, scratch=better)["harmful pretraining"]


def test_who_looks_often_needs_stronger_evidence():
    """A look that is worse alone is chance among twenty; a clear harm stays one."""
    better = np.tile([1.0, 0.0], 30)
    groups = [str(i) for i in range(60)]
    worse = better.copy()
    worse[:12:2] = 0  # six of six that differ: p about 0.03
    alone = harmful_pretraining({"one": (worse, better)}, groups)["one"]
    assert alone.found
    many = {f"look {i}": (better, better) for i in range(19)}
    found = harmful_pretraining({"one": (worse, better), **many}, groups)
    assert not any(sign.found for sign in found.values())
    assert "after Holm over 20" in found["one"].says
    clear = np.zeros(60)
    found = harmful_pretraining({"one": (clear, better), **many}, groups)
    assert [name for name, sign in found.items() if sign.found] == ["one"]


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="nothing to look at"):
        failure_signatures()
    with pytest.raises(ValueError, match="at least 20"):
        failure_signatures(texts=["a"] * 19)
    with pytest.raises(ValueError, match="with pretraining and without"):
        failure_signatures(pretrained=[1.0] * 30)
