"""Killed at any step and resumed, a run ends with the very bits of the uninterrupted one."""

import random
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch
from safetensors.torch import load_file

from helpers import paths
from helpers.first.training import progress
from helpers.first.training.checkpoint import StateError, read_state, write_state
from tests.first.small_training import BUSY, small_adapted, train_busy, trainable

TOTAL = 24  # steps of BUSY: 24 pictures, 4 a step, 4 epochs
KILLS = sorted(random.Random(7).sample(range(1, TOTAL + 1), 20))


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def killed_at(step):
    def on_step(record):
        if record["step"] == step:
            raise Killed

    return on_step


@cache
def uninterrupted(family="siglip", settings=BUSY):
    adapted = small_adapted(family)
    trained = train_busy(adapted, settings)
    return trained, trainable(adapted)


def without_times(records):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in records]


def check_same(trained, adapted, expected):
    wanted, weights = expected
    found = trainable(adapted)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[n], weights[n]) for n in weights)
    assert list(trained.steps) == list(wanted.steps)
    assert without_times(trained.epochs) == without_times(wanted.epochs)
    assert (trained.kept_epoch, trained.stopped_early) == (wanted.kept_epoch, wanted.stopped_early)


def test_the_run_that_is_killed_has_something_to_lose():
    trained, _ = uninterrupted()
    assert len(trained.steps) == TOTAL
    assert trained.kept_epoch < 4  # the best epoch is not the last: its weights must survive too
    assert len(KILLS) == 20


@pytest.mark.parametrize("step", KILLS)
def test_killed_and_resumed(step, tmp_path):
    state = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        train_busy(small_adapted("siglip"), state=state, on_step=killed_at(step))
    torch.manual_seed(step)  # a new process starts from another random state
    adapted, seen = small_adapted("siglip"), []
    trained = train_busy(adapted, state=state, on_step=seen.append)
    check_same(trained, adapted, uninterrupted())
    assert len(seen) == TOTAL - step // 3 * 3  # it goes on from the last saved step


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("patience", [0, 1])
def test_killed_again_and_again(family, patience, tmp_path):
    settings, state = replace(BUSY, patience=patience), tmp_path / "state.safetensors"
    expected = uninterrupted(family, settings)
    for step in (2, 5, 7, 12, 13):
        if step <= len(expected[0].steps):
            with pytest.raises(Killed):
                train_busy(small_adapted(family), settings, state=state, on_step=killed_at(step))
    adapted = small_adapted(family)
    check_same(train_busy(adapted, settings, state=state), adapted, expected)


def test_killed_while_a_state_is_written(tmp_path, monkeypatch):
    state, written = tmp_path / "state.safetensors", []

    def interrupted_write(path, tensors, values):
        written.append(values["step"])
        if len(written) == 4:
            (path.parent / ".half.part").write_bytes(b"half")
            raise Killed
        write_state(path, tensors, values)

    with monkeypatch.context() as patch:
        patch.setattr(progress, "write_state", interrupted_write)
        with pytest.raises(Killed):
            train_busy(small_adapted("siglip"), state=state)
    adapted = small_adapted("siglip")
    check_same(train_busy(adapted, state=state), adapted, uninterrupted())


def test_a_finished_run_is_put_back_without_a_step(tmp_path):
    state = tmp_path / "state.safetensors"
    train_busy(small_adapted("siglip"), state=state)
    adapted, seen = small_adapted("siglip"), []
    check_same(train_busy(adapted, state=state, on_step=seen.append), adapted, uninterrupted())
    assert not seen


def test_a_state_of_another_run_is_refused(tmp_path):
    state = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        train_busy(small_adapted("siglip"), state=state, on_step=killed_at(5))
    for other, settings in (
        (small_adapted("siglip"), replace(BUSY, learning_rate=1e-3)),
        (small_adapted("siglip", rank=4), BUSY),
        (small_adapted("clip"), BUSY),
    ):
        with pytest.raises(StateError, match="another run"):
            train_busy(other, settings, state=state)


@pytest.mark.parametrize("content", [b"", b"no state at all", None])
def test_a_file_that_is_no_state_is_refused(content, tmp_path):
    state = tmp_path / "state.safetensors"
    if content is None:
        with pytest.raises(Killed):
            train_busy(small_adapted("siglip"), state=state, on_step=killed_at(5))
        content = state.read_bytes()[:-100]
    state.write_bytes(content)
    with pytest.raises(StateError, match="delete it"):
        train_busy(small_adapted("siglip"), state=state)


def test_states_keep_every_bit_and_refuse_what_json_cannot_say(tmp_path):
    file = tmp_path / "x"
    tensors = {"a": torch.tensor([0.1, -0.0, 1e-45]), "b|c.d": torch.tensor(3.0).bfloat16()}
    values = {"identity": "i", "loss": 0.1 + 0.2, "text": "ä\n", "none": None}
    write_state(file, tensors, values)
    found = read_state(file, identity="i")
    assert found.values == values
    assert all(
        torch.equal(found.tensors[n].view(torch.uint8), t.reshape(-1).view(torch.uint8))
        if t.ndim
        else found.tensors[n] == t
        for n, t in tensors.items()
    )
    assert read_state(tmp_path / "none", identity="i") is None
    with pytest.raises(ValueError, match="JSON"):
        write_state(file, {}, {"loss": float("nan")})
    assert read_state(file, identity="i").values == values


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 11, 22])
def test_a_process_that_is_killed_outright(step, tmp_path):
    def child(kill_at: int) -> int:
        command = [
            sys.executable, "-m", "tests.first.small_training", tmp_path / "state", tmp_path / "out",
            str(torch.get_num_threads()), str(kill_at),
        ]  # fmt: skip
        return subprocess.run(command, cwd=paths.root(), check=False).returncode

    assert child(step) == -signal.SIGKILL
    assert (tmp_path / "state").exists() == (step >= 3)
    assert child(0) == 0
    expected = uninterrupted()[1]
    found = load_file(tmp_path / "out")
    assert all(torch.equal(found[n], expected[n]) for n in expected)
