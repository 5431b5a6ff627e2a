"""Arms over batch sizes, what a step asks, stored runs, and claims on planted values."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.first.models.loading import load_encoder
from helpers.first.studies import instances as study
from helpers.first.training.instance_data import ensure_asked
from helpers.first.training.instance_runs import InstanceArm, measure, ready_bench
from helpers.store.zones import open_zone

RATES = {"sigmoid": 0.01, "info_nce": 0.02}
WAY = "text_to_image"


def test_equal_samples_and_equal_steps_are_two_things():
    base = InstanceArm(samples=64, batch=8)
    samples = study.batch_arms(base, [8, 32], rates=RATES)
    assert {arm.samples for arm in samples.values()} == {64}
    assert [arm.steps for arm in samples.values()] == [8, 8, 2, 2]
    steps = study.batch_arms(base, [8, 32], rates=RATES, steps=3)
    assert {arm.steps for arm in steps.values()} == {3}
    assert [arm.samples for arm in steps.values()] == [24, 24, 96, 96]
    assert samples["InfoNCE, 8"].learning_rate == 0.02
    assert {arm.training.batch_size * arm.training.accumulation for arm in samples.values()} == {
        8,
        32,
    }
    with pytest.raises(ValueError, match="batches of 48"):
        study.batch_arms(base, [48], rates=RATES)


@pytest.mark.parametrize(("batch", "parts"), [(32, 1), (32, 4), (64, 16)])
def test_the_questions_of_a_step_are_counted(batch, parts):
    base = InstanceArm(batch=batch, samples=batch, held=batch)
    arm = list(study.accumulation_arms(base, parts=parts).values())[1]
    yes = no = 0
    for _ in range(parts):  # cell by cell
        for i in range(batch // parts):
            for j in range(batch // parts):
                yes, no = yes + (i == j), no + (i != j)
    assert study.questions(arm) == {
        "matches": yes, "strangers": no, "strangers a match": no / yes,
    }  # fmt: skip
    cached = replace(arm, accumulate="cached")
    assert study.questions(cached)["strangers"] == batch * (batch - 1)


def test_parts_that_do_not_come_out_even_are_refused():
    with pytest.raises(ValueError, match="batch of 64 cannot be cut into 7"):
        study.accumulation_arms(InstanceArm(), parts=7)


def test_towers_differ_in_layers_alone():
    arms = study.tower_arms(InstanceArm())
    layers = {n: (a.placement.vision_layers, a.placement.text_layers) for n, a in arms.items()}
    assert layers == {"vision only": (-1, 0), "text only": (0, -1), "dual": (-1, -1)}
    assert {a.placement.modules for a in arms.values()} == {"q_proj,v_proj"}


class Planted:
    """A run whose values are given."""

    def __init__(self, values):
        self.planted = np.asarray(values, float)

    def values(self, direction, metric):
        return self.planted


def planted(sigmoid_small, nce_small, sigmoid_large, nce_large, n=200, seed=0):
    rng = np.random.default_rng(seed)
    shares = {
        "sigmoid, 8": sigmoid_small, "InfoNCE, 8": nce_small,
        "sigmoid, 512": sigmoid_large, "InfoNCE, 512": nce_large,
    }  # fmt: skip
    luck = rng.random(n)  # the same queries are hard for all
    return {name: [Planted(luck < share)] for name, share in shares.items()}


@pytest.mark.parametrize(
    ("shares", "verdicts"),
    [
        ((0.8, 0.5, 0.8, 0.8), ["supported", "supported", "supported"]),
        ((0.8, 0.8, 0.8, 0.8), ["supported", "not distinguishable", "not distinguishable"]),
        ((0.4, 0.8, 0.8, 0.8), ["contradicted", "contradicted", "contradicted"]),
        ((0.5, 0.5, 0.8, 0.8), ["contradicted", "not distinguishable", "not distinguishable"]),
    ],
)
def test_planted_worlds_get_their_verdicts(shares, verdicts):
    judged = study.batch_claims(planted(*shares), np.arange(200), [8, 512])
    assert [one.verdict for one in judged] == verdicts


def test_one_size_says_nothing():
    with pytest.raises(ValueError, match="give two"):
        study.batch_claims(planted(1, 1, 1, 1), np.arange(200), [8])


@pytest.fixture(scope="module")
def bench():
    zone = open_zone("memory://study-instances")
    asked = ensure_asked(
        zone, source="world:garage", n_queries=6, image_px=64, max_recipes=6, progress=False
    )
    return ready_bench(asked.instances.pairs, load_encoder("tiny-siglip", device="cpu"))


def test_a_run_is_stored_found_again_and_measured_from_its_files(bench, monkeypatch):
    base = load_encoder("tiny-siglip", device="cpu")
    arm = InstanceArm(batch=8, samples=16, held=8)
    first = study.ensure_arm(bench, base, arm)
    monkeypatch.setattr(study, "train_arm", lambda *a, **k: pytest.fail("trained again"))
    again = study.run_all(bench, base, {"it": arm}, seeds=[arm.seed], progress=False)["it"][0]
    assert again.record == first.record
    stored = again.encoder(base)
    assert (stored.logit_scale, stored.logit_bias) == (
        first.record["logit_scale"], first.record["logit_bias"],
    )  # fmt: skip
    values = measure(stored, bench).values[WAY]["map"]
    assert np.array_equal(values, first.values(WAY, "map"))
    assert len(first.record["losses"]) == arm.steps


def test_each_loss_takes_its_best_rate_on_validation(monkeypatch):
    scores = {("sigmoid", 0.1): 0.2, ("sigmoid", 0.2): 0.3, ("info_nce", 0.1): 0.5,
              ("info_nce", 0.2): 0.5}  # fmt: skip

    class Run:
        def __init__(self, arm):
            self.record = {"validation": scores[arm.loss, arm.learning_rate]}

    monkeypatch.setattr(study, "ensure_arm", lambda bench, encoder, arm: Run(arm))
    rates, table = study.chosen_rates(None, None, InstanceArm(), [0.2, 0.1])
    assert rates == {"sigmoid": 0.2, "info_nce": 0.1}
    assert len(table) == 4
    alone, empty = study.chosen_rates(None, None, InstanceArm(), [0.3])
    assert alone == {"sigmoid": 0.3, "info_nce": 0.3}
    assert empty.empty
