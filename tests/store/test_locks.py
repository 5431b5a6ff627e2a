import io
import multiprocessing
import os

import pytest

from helpers.store.artefacts import Busy, held


def _hold(path, pipe):
    with held(path, what="the child's work"):
        pipe.send("held")
        pipe.poll(120)  # until a word comes, or the other end is closed


@pytest.fixture
def child(tmp_path):
    """Another process that holds ``a.lock`` until it hears a word or is killed."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_hold, args=(tmp_path / "a.lock", there))
    process.start()
    assert here.poll(120)
    yield process, here
    process.kill()
    process.join(120)


def test_a_held_lock_says_who_holds_it(tmp_path, child):
    process, _ = child
    who = rf"mine: .*process {process.pid} .* since .*the child's work"
    with pytest.raises(Busy, match=who), held(tmp_path / "a.lock", what="mine", wait=False):
        pytest.fail("two hold one lock")


def test_a_killed_holder_frees_the_lock(tmp_path, child):
    process, _ = child
    process.kill()
    process.join(120)
    with held(tmp_path / "a.lock", what="mine", wait=False):
        assert f"process {os.getpid()}" in (tmp_path / "a.lock.holder").read_text()


def test_whoever_has_not_yet_written_its_note_is_another_process(tmp_path, child):
    (tmp_path / "a.lock.holder").unlink()
    with pytest.raises(Busy, match="held by another process; wait"):
        held(tmp_path / "a.lock", what="mine", wait=False).__enter__()


class Heard(io.StringIO):
    """A place to print to that tells the holder to go on as soon as something is said."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def flush(self):
        self.pipe.send("go on")


def test_waiting_is_announced_and_ends_with_the_holder(tmp_path, child, monkeypatch):
    heard = Heard(child[1])
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr", heard)
        with held(tmp_path / "a.lock", what="mine"):
            pass
    assert heard.getvalue().startswith("waiting. mine: the lock")


def test_the_lock_is_free_after_an_error_and_the_note_is_gone(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path / "new" / "a.lock", what="x"):
        1 / 0  # noqa: B018
    with held(tmp_path / "new" / "a.lock", what="y", wait=False):
        pass
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.lock"]
