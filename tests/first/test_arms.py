"""Arms of a study: values averaged over seeds, work timed in turns."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.first.studies.arms import (
    by_arm,
    in_turns,
    interval,
    query_values,
    seed_mean,
)


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
