import multiprocessing
import os
import threading

import pytest

from helpers.store.locks import Busy, held, holder


def _hold(path, pipe):
    with held(path, what="the child's work"):
        pipe.send("held")
        pipe.poll(30)  # until a word comes, or the other end is closed


@pytest.fixture
def child(tmp_path):
    """Another process that holds ``a.lock`` until it hears a word or is killed."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_hold, args=(tmp_path / "a.lock", there))
    process.start()
    assert here.poll(30)
    yield process, here
    process.kill()
    process.join(30)


def test_a_held_lock_says_who_holds_it(tmp_path, child):
    process, _ = child
    who = rf"mine: .*process {process.pid} .* since .*the child's work"
    with pytest.raises(Busy, match=who), held(tmp_path / "a.lock", what="mine", wait=False):
        pytest.fail("two hold one lock")


def test_a_killed_holder_frees_the_lock(tmp_path, child):
    process, _ = child
    process.kill()
    process.join(30)
    with held(tmp_path / "a.lock", what="mine", wait=False):
        assert f"process {os.getpid()}" in holder(tmp_path / "a.lock")


def test_waiting_is_announced_and_ends_with_the_holder(tmp_path, child, capsys):
    _, pipe = child
    threading.Timer(0.2, pipe.send, ["go on"]).start()
    with held(tmp_path / "a.lock", what="mine"):
        pass
    assert "waiting. mine: the lock" in capsys.readouterr().err


def test_the_lock_is_free_after_an_error_and_the_note_is_gone(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path / "new" / "a.lock", what="x"):
        1 / 0  # noqa: B018
    with held(tmp_path / "new" / "a.lock", what="y", wait=False):
        pass
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.lock"]
    assert "another process" in holder(tmp_path / "new" / "a.lock")
