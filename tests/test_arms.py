"""Arms of a study: what their names mean, and values averaged over seeds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.models.adapters import adapt
from helpers.models.placement import Placement
from helpers.prepare.augmentation_settings import ConfigError, load_config
from helpers.studies.arms import (
    augmentation_arms,
    by_arm,
    first_step,
    interval,
    query_values,
    seed_mean,
)
from helpers.training.arms import Arm
from helpers.training.settings import Training
from tests.small_training import small_encoder, small_pairs


def test_names_of_arms():
    config = load_config()
    arms = augmentation_arms("none, images,texts,both,noise+blur,none", Arm(negatives="hard"))
    assert list(arms) == ["none", "images", "texts", "both", "noise+blur"]
    assert arms["none"].augment == ()
    assert set(arms["both"].augment) == set(arms["images"].augment) | set(arms["texts"].augment)
    assert set(arms["images"].augment) == {n for n, r in config.images.items() if r.enabled}
    assert arms["noise+blur"].augment == ("noise", "blur")
    assert all(arm.negatives == "hard" for arm in arms.values())


@pytest.mark.parametrize("name", ["imges", "noise+blurr", ""])
def test_unknown_arms_are_refused(name):
    with pytest.raises(ConfigError):
        augmentation_arms(name, Arm())


def test_values_of_queries():
    ranks = np.array([1, 1.5, 5, 20])
    assert query_values(ranks, "hit@1").tolist() == [1, 0, 0, 0]
    assert query_values(ranks, "hit@5").tolist() == [1, 1, 1, 0]
    assert query_values(ranks, "mrr").tolist() == [1, 1 / 1.5, 0.2, 0.05]
    for metric in ("recall@5", "hit", "hit@", "map"):
        with pytest.raises(ValueError, match="metric"):
            query_values(ranks, metric)


def run(*ranks: float) -> SimpleNamespace:
    return SimpleNamespace(ranks=lambda direction: np.array(ranks))


def test_seeds_are_averaged_query_by_query():
    done = {"a": [run(1, 9), run(3, 1)], "b": [run(1, 1), run(1, 1)]}
    assert seed_mean(done["a"], "text_to_image", "hit@1").tolist() == [0.5, 0.5]
    assert by_arm(done, "text_to_image", "hit@1")["b"].tolist() == [1, 1]


def test_an_interval_stays_inside_the_metric():
    found = interval(np.array([1.0, 1.0, 1.0]), "hit@10", ["a", "b", "c"])
    assert found.value == found.high == 1
    assert 0 < found.low < 1


def test_the_first_step_changes_nothing_and_caching_equals_the_whole_batch():
    """The claim that the lesson prints, on a model of a few thousand weights."""
    pairs, gradients = small_pairs("clip"), {}
    for name, size, steps, how in (
        ("whole", 8, 1, "plain"),
        ("cached", 2, 4, "cached"),
        ("plain", 2, 4, "plain"),
    ):
        adapted = adapt(small_encoder("clip"), Placement(rank=2, dropout=0.0))
        before = [p.detach().clone() for p in adapted.encoder.model.parameters()]
        settings = Training(batch_size=size, accumulation=steps, accumulate=how, draw="image")
        loss, gradients[name] = first_step(adapted.encoder, pairs, settings)
        after = adapted.encoder.model.parameters()
        assert all((a == b).all() for a, b in zip(before, after, strict=True))
        assert np.isfinite(loss)
    assert torch.allclose(gradients["whole"], gradients["cached"], atol=1e-5)
    assert not torch.allclose(gradients["whole"], gradients["plain"], atol=1e-4)
