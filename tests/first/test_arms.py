"""Arms of a study: what their names mean, and values averaged over seeds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.first.models.lora import adapt
from helpers.first.models.placement import Placement
from helpers.first.prepare.augmentation_settings import ConfigError, load_config
from helpers.first.studies.arms import (
    augmentation_arms,
    by_arm,
    first_step,
    in_turns,
    interval,
    query_values,
    seed_mean,
    training_arms,
)
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training
from tests.first.small_training import small_encoder, small_pairs


def test_names_of_arms():
    config = load_config()
    arms = augmentation_arms("none, images,texts,both,noise+blur,none", Arm(negatives="hard"))
    assert list(arms) == ["none", "images", "texts", "both", "noise+blur"]
    assert arms["none"].augment == ()
    assert set(arms["both"].augment) == set(arms["images"].augment) | set(arms["texts"].augment)
    assert set(arms["images"].augment) == {n for n, r in config.images.items() if r.enabled}
    assert arms["noise+blur"].augment == ("noise", "blur")
    assert all(arm.negatives == "hard" for arm in arms.values())


@pytest.mark.parametrize("name", ["imges", "noise+bluX", ""])
def test_unknown_arms_are_refused(name):
    with pytest.raises(ConfigError):
        augmentation_arms(name, Arm())


def test_groups_may_be_joined_and_what_is_switched_off_is_refused():
    config = load_config()
    joined = augmentation_arms("images+synonyms", Arm())["images+synonyms"].augment
    assert set(joined) == {*augmentation_arms("images", Arm())["images"].augment, "synonyms"}
    off = replace(
        config, images={**config.images, "blur": replace(config.images["blur"], enabled=False)}
    )
    with pytest.raises(ConfigError, match="switched off"):
        augmentation_arms("blur", Arm(), off)


def test_names_of_ways_to_train():
    base = Arm(training=Training(batch_size=64, seed=3))
    arms = training_arms("M1, random negatives,plain 2 x 16,cached 4 x 8", base)
    assert arms["M1"] is base
    assert arms["random negatives"].negatives == "random"
    plain, cached = arms["plain 2 x 16"].training, arms["cached 4 x 8"].training
    assert (plain.accumulate, plain.batch_size, plain.accumulation) == ("plain", 2, 16)
    assert (cached.accumulate, cached.batch_size, cached.accumulation) == ("cached", 4, 8)
    assert plain.seed == cached.seed == 3
    for name in ("M2", "random", "plain 2x16", ""):
        with pytest.raises(ValueError, match="unknown arm"):
            training_arms(name, base)


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


def test_work_is_timed_in_turns_and_the_first_round_left_out():
    calls = []

    class Net(torch.nn.Linear):
        def __init__(self, name):
            super().__init__(1, 1)
            self.name = name

    nets = {name: Net(name) for name in ("a", "b")}
    works = {
        "x": lambda net: calls.append((net.name, "x")),
        "y": lambda net: calls.append((net.name, "y")),
    }
    found = in_turns(nets, works, n=10, rounds=3)
    assert calls == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")] * 4
    for name in nets:
        for what in works:
            slowest, middle, fastest = found[name][what]
            assert 0 < slowest <= middle <= fastest
