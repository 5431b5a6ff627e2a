"""``fit``: resumed to the last bit, stopped before damage, the best or the last weights."""

import os
import random
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from helpers import paths
from helpers.models.placement import Placement
from helpers.training.loop import (
    Settings,
    StateError,
    TrainingDiverged,
    evaluation_steps,
    fit,
    learning_rate,
)
from helpers.training.runs import train_lora
from tests.small_models import WORDS, noisy, small_encoder, small_pairs, trainable

# Everything that draws at random or remembers: dropout, augmentation, negatives, best evaluation.
BUSY = Settings(
    epochs=3, batch_size=2, accumulation=4, learning_rate=3e-3, draw="image", state_every=2
)
TOTAL = 9  # 24 images, 8 a step, 3 epochs
KILLS = sorted(random.Random(7).sample(range(TOTAL), 4))
METHODS = {
    "lora": {"rank": 2, "dropout": 0.2},
    "full": {"method": "full", "vision_layers": 1, "text_layers": 1},
}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def train_busy(method="lora", *, settings=BUSY, state=None, kill=None):
    """A run in which all of ``BUSY`` happens; killed in step ``kill``."""
    calls = []

    def transform(pixels, generator):
        calls.append(1)
        if kill is not None and len(calls) > 4 * kill:
            raise Killed
        return noisy(pixels, generator)

    return train_lora(
        small_encoder("siglip"), small_pairs("siglip"), placement=Placement(**METHODS[method]),
        settings=settings, transform=transform, state=state,
        validation=lambda encoder: float(np.sin(7e3 * encoder.texts(WORDS).sum())),
    )  # fmt: skip


@cache
def uninterrupted(method):
    return train_busy(method)


def check_same(found, wanted):
    a, b = trainable(found.encoder), trainable(wanted.encoder)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert found.losses.equals(wanted.losses)
    columns = ["step", "score", "loss"]
    assert found.evaluations[columns].equals(wanted.evaluations[columns])
    assert found.info["best_step"] == wanted.info["best_step"]


def test_the_run_that_is_killed_has_something_to_lose():
    run = uninterrupted("lora")
    assert len(run.losses) == TOTAL
    assert run.info["best_step"] < TOTAL  # the best weights are not the last: they survive too
    assert run.evaluations["step"].tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", KILLS)
def test_killed_and_resumed(method, step, tmp_path):
    state = tmp_path / "state"
    with pytest.raises(Killed):
        train_busy(method, state=state, kill=step)
    torch.manual_seed(step)  # a new process starts from another random state
    check_same(train_busy(method, state=state), uninterrupted(method))
    before = state.read_bytes()
    check_same(train_busy(method, state=state, kill=0), uninterrupted(method))  # no step is taken
    assert state.read_bytes() == before


def test_a_kill_while_the_state_is_written_leaves_the_older_one(tmp_path, monkeypatch):
    state = tmp_path / "state"
    replace, calls = os.replace, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 3:
            raise Killed
        return replace(*args)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(Killed):
        train_busy(state=state)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    check_same(train_busy(state=state), uninterrupted("lora"))


def test_a_state_of_another_run_or_no_state_is_refused(tmp_path):
    state = tmp_path / "state"
    with pytest.raises(Killed):
        train_busy(state=state, kill=4)
    with pytest.raises(StateError, match=r"another run .* delete it"):
        train_busy(state=state, settings=Settings(**{**vars(BUSY), "learning_rate": 1e-3}))
    with pytest.raises(StateError, match="another run"):
        train_busy("full", state=state)
    whole = state.read_bytes()
    for content in (b"", b"no state at all", whole[:-100]):
        state.write_bytes(content)
        with pytest.raises(StateError, match="is no state of a training run"):
            train_busy(state=state)


class Line(nn.Module):
    """y = a x, and a logit scale."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(1, 1))
        self.logit_scale = nn.Parameter(torch.tensor(4.6))

    def loss(self, step, rng):
        x = torch.from_numpy(rng.normal(size=(8, 1))).float()
        return ((x @ self.a - 3 * x) ** 2).mean() - 0.1 * self.logit_scale, [f"item {step}"]


def test_a_non_finite_loss_stops_before_the_weights_change_and_names_the_items():
    line = Line()

    def loss(step, rng):
        value, items = line.loss(step, rng)
        return (value * float("nan") if step == 3 else value), items

    settings = Settings(steps=10, evaluations="epochs")
    with pytest.raises(TrainingDiverged, match=r"step 4: loss nan.*batch: item 3") as caught:
        fit(line, loss, settings=settings)
    assert (caught.value.step, caught.value.items) == (4, ["item 3"])
    three = Line()
    with pytest.raises(Killed):
        fit(three, lambda s, rng: three.loss(s, rng) if s < 3 else kill(), settings=settings)
    assert torch.equal(line.a, three.a)
    assert torch.isfinite(line.a).all()


def kill():
    raise Killed


def test_non_finite_gradients_stop_as_well():
    line = Line()
    line.a.register_hook(lambda g: g * float("inf"))
    with pytest.raises(TrainingDiverged, match="gradient norm"):
        fit(line, line.loss, settings=Settings(steps=2))
    assert (line.a == 0).all()


@pytest.mark.parametrize("clamp", [True, False])
def test_the_logit_scale_is_clamped_where_asked(clamp):
    line = Line()
    settings = Settings(steps=20, learning_rate=0.1, clamp=clamp)
    losses = fit(line, line.loss, settings=settings).losses
    assert (losses["logit_scale"].max() <= 100.001) == clamp


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("start_counts", [True, False])
def test_best_or_last_and_whether_the_start_counts(keep, start_counts):
    line, scores = Line(), {0: 9.0, 2: 1.0, 4: 5.0, 6: 5.0, 8: 2.0}
    seen = {}

    def evaluate(step):
        seen[step] = line.a.detach().clone()
        assert not line.training
        assert not torch.is_grad_enabled()
        return scores[step]

    settings = Settings(steps=8, evaluations=(0, 2, 4, 6, 8), keep=keep, start_counts=start_counts)
    fitted = fit(line, line.loss, settings=settings, evaluate=evaluate)
    best = 0 if start_counts else 6  # of two equal scores the later counts
    wanted = best if keep == "best" else 8
    assert fitted.best_step == wanted
    assert torch.equal(line.a, seen[wanted])
    assert fitted.evaluations["score"].tolist() == list(scores.values())
    if keep == "best":
        assert torch.equal(fitted.last["a"], seen[8])


def test_patience_counts_evaluations_below_the_best():
    scores = {0: 0, 1: 3, 2: 2, 3: 2, 4: 9}
    settings = Settings(steps=4, evaluations=(0, 1, 2, 3, 4), patience=2)
    line = Line()
    fitted = fit(line, line.loss, settings=settings, evaluate=scores.get)
    assert (fitted.stopped_early, fitted.best_step, len(fitted.losses)) == (True, 1, 3)


def test_a_step_that_has_accumulated_its_gradients():
    one, other = Line(), Line()

    def accumulated(step, rng):
        loss, items = other.loss(step, rng)
        loss.backward()
        return loss.detach(), items

    settings = Settings(steps=5)
    losses = fit(one, one.loss, settings=settings).losses
    assert losses.equals(fit(other, accumulated, settings=settings).losses)
    assert torch.equal(one.a, other.a)


def test_against_a_plain_loop():
    """AdamW, clipping, warm-up and cosine as anyone would write them."""
    line, plain = Line(), Line()
    settings = Settings(steps=12, learning_rate=0.2, warmup=3, clip=0.5, clamp=False)
    fit(line, line.loss, settings=settings)
    groups = [{"params": [plain.a], "weight_decay": 0.01}, {"params": [plain.logit_scale]}]
    optimizer = torch.optim.AdamW(groups, lr=0.2, weight_decay=0.0)
    for step in range(12):
        for group in optimizer.param_groups:
            share = (step - 3) / 9
            group["lr"] = 0.2 * ((step + 1) / 3 if step < 3 else (1 + np.cos(np.pi * share)) / 2)
        rng = np.random.default_rng([42, 1, step])
        rng.integers(2**62)
        optimizer.zero_grad()
        plain.loss(step, rng)[0].backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
    assert torch.allclose(line.a, plain.a, atol=1e-6)
    assert torch.allclose(line.logit_scale, plain.logit_scale, atol=1e-6)


def test_when_a_run_is_evaluated():
    assert evaluation_steps(Settings(), 6, 2) == (0, 2, 4, 6)
    assert evaluation_steps(Settings(), 5, 2) == (0, 2, 4, 5)
    assert evaluation_steps(Settings(evaluations=3), 40, 0) == (10, 20, 40)
    assert evaluation_steps(Settings(evaluations=3), 5, 0) == (5,)
    assert evaluation_steps(Settings(evaluations=(4, 0)), 5, 0) == (0, 4)


@pytest.mark.parametrize("asked", ["epoch", (2, 6), (-1, 5)])
def test_evaluations_that_would_be_lost_are_refused(asked):
    with pytest.raises(ValueError, match=r"evaluations .*use 'epochs', .* steps from 0 to 5"):
        evaluation_steps(Settings(evaluations=asked), 5, 0)


def test_both_schedules():
    cosine = Settings(learning_rate=2.0, warmup=0.5, final_share=0.1)
    assert learning_rate(0, 4, cosine) == 1.0
    assert learning_rate(3, 4, cosine) == pytest.approx(2 * (0.1 + 0.9 * 0.5))
    over_all = Settings(learning_rate=2.0, warmup=2, final_share=0.2, schedule="cosine_over_all")
    assert learning_rate(0, 4, over_all) == 1.0
    assert learning_rate(1, 4, over_all) == pytest.approx(2 * (1 + np.cos(np.pi / 4)) / 2)
    assert learning_rate(3, 4, over_all) == pytest.approx(2 * 0.2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "triplet"}, "training loss is 'triplet': use one of info_nce, sigmoid"),
        ({"epochs": 0}, "training epochs is 0: give at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: give a finite number"),
        ({"keep": "first"}, "use one of best, last"),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Settings(**values)


def test_what_cannot_be_trained_is_refused():
    line = Line()
    with pytest.raises(ValueError, match="'logit_scale' got no gradient"):
        fit(line, lambda step, rng: line.a.sum(), settings=Settings(steps=1))
    with pytest.raises(ValueError, match="0 steps"):
        fit(line, line.loss, settings=Settings())
    with pytest.raises(ValueError, match="nothing to train"):
        fit(line.requires_grad_(False), line.loss, settings=Settings(steps=1))
    with pytest.raises(ValueError, match="not finite"):
        fit(Line(), line.loss, settings=Settings(steps=1), evaluate=lambda step: float("nan"))


@pytest.mark.slow
def test_a_process_that_is_killed_outright(tmp_path):
    def child(kill_at):
        command = [sys.executable, "-m", "tests.training.test_loop", *map(str, (tmp_path, kill_at))]
        return subprocess.run(command, cwd=paths.root(), check=False).returncode

    assert child(5) == -signal.SIGKILL
    assert (tmp_path / "state").exists()
    assert child(-1) == 0
    wanted, found = trainable(uninterrupted("lora").encoder), load_file(tmp_path / "weights")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


if __name__ == "__main__":
    folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    try:
        run = train_busy(state=folder / "state", kill=kill_at if kill_at >= 0 else None)
    except Killed:
        os.kill(os.getpid(), signal.SIGKILL)
    save_file(trainable(run.encoder), folder / "weights")
