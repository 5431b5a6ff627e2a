"""Kept states: computed once, found again, whole or not there, whoever builds, whatever breaks."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from helpers.first.models.prefix import PrefixError
from helpers.first.training import prefix_store
from helpers.first.training.prefix_store import Store, ensure_states


def key_of(name):
    return hashlib.sha256(str(name).encode()).hexdigest()


def state_of(name, *, dtype=torch.float32):
    """(length, 3): one to four rows that follow from the name."""
    return torch.arange(3.0 * (1 + name % 4)).view(-1, 3).add(100 * name).to(dtype)


class Counting:
    """Computes the states of some names, and remembers for which it was asked."""

    def __init__(self, names, *, stores=1, fail_at=None, dtype=torch.float32):
        self.names, self.stores, self.fail_at, self.dtype = names, stores, fail_at, dtype
        self.asked = []

    def __call__(self, numbers):
        found = [self.names[i] for i in numbers]
        if self.fail_at is not None and len(self.asked) >= self.fail_at:
            raise InterruptedError
        self.asked += found
        return [
            [state_of(name + 1000 * s, dtype=self.dtype) for name in found]
            for s in range(self.stores)
        ]


def ensured(folder, names, compute=None, *, batch_size=2, identity="a", what="numbers"):
    store = Store(Path(folder) / "s", {"is": identity})
    compute = compute or Counting(names)
    keys = [key_of(name) for name in names]
    (states,) = ensure_states(
        [store], keys, compute, batch_size=batch_size, what=what, progress=False
    )
    return states, compute


def assert_holds(states, names):
    found = states.batch(torch.arange(len(names)))
    assert len(states) == len(names)
    for row, name in zip(found, names, strict=True):
        wanted = state_of(name)
        assert torch.equal(row[: len(wanted)], wanted)
        assert not row[len(wanted) :].any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), max_size=12), max_size=4), st.integers(1, 5))
def test_every_item_is_computed_once_and_found_again(tmp_path_factory, calls, batch_size):
    folder, seen = tmp_path_factory.mktemp("store"), set()
    for names in calls:
        states, compute = ensured(folder, names, batch_size=batch_size)
        assert sorted(compute.asked) == sorted(set(names) - seen)
        seen |= set(names)
        if names:
            assert_holds(states, names)
            last = torch.tensor([len(names) - 1])
            assert torch.equal(states.batch(last)[0], state_of(names[-1]))


def test_states_keep_their_type_and_say_what_they_take(tmp_path):
    names = [0, 1, 2]
    states, _ = ensured(tmp_path, names, Counting(names, dtype=torch.bfloat16))
    assert states.batch(torch.tensor([1])).dtype == torch.bfloat16
    assert states.bytes == (1 + 2 + 3) * 3 * 2


def test_several_stores_are_filled_in_one_pass(tmp_path):
    names = [1, 2, 3]
    stores = [Store(tmp_path / name, {"is": name}) for name in "ba"]
    keys = [key_of(name) for name in names]
    ensured(tmp_path, names[:1])  # another store beside them is not touched
    compute = Counting(names, stores=2)
    first, second = ensure_states(stores, keys, compute, progress=False)
    assert compute.asked == names
    assert torch.equal(first.batch(torch.tensor([2]))[0], state_of(3))
    assert torch.equal(second.batch(torch.tensor([2]))[0], state_of(1003))


def test_a_build_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(prefix_store, "FILE_BYTES", 0)  # a file a batch
    names = list(range(10))
    with pytest.raises(InterruptedError):
        ensured(tmp_path, names, Counting(names, fail_at=6))
    states, compute = ensured(tmp_path, names)
    assert compute.asked == [6, 7, 8, 9]
    assert_holds(states, names)


KILLED = """
import os, signal, sys
from tests.first.test_prefix_store import Counting, ensured
from helpers.first.training import prefix_store
prefix_store.FILE_BYTES = 0
names = list(range(10))
class Killed(Counting):
    def __call__(self, numbers):
        if len(self.asked) >= 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(numbers)
ensured(sys.argv[1], names, Killed(names))
"""


def test_a_process_that_is_killed_leaves_what_it_had_and_no_lock(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    piece = tmp_path / "s" / f".{os.getpid()}.part"  # a write that was cut short
    piece.write_bytes(b"half")
    states, compute = ensured(tmp_path, list(range(10)))
    assert compute.asked == [6, 7, 8, 9]
    assert_holds(states, list(range(10)))
    assert not piece.exists()


def test_builders_at_one_time_share_the_work(tmp_path):
    names, started = list(range(12)), threading.Barrier(3)
    done = []

    def build():
        started.wait()
        done.append(ensured(tmp_path, names))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 3
    assert sorted(name for _, compute in done for name in compute.asked) == names
    for states, _ in done:
        assert_holds(states, names)


def files_of(folder):
    return sorted((Path(folder) / "s").glob("*.safetensors"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-4],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"something else altogether",
        lambda content: b"",
    ],
)
def test_a_damaged_file_is_said_and_made_again(tmp_path, capfd, damage):
    names = [1, 2, 3]
    ensured(tmp_path, names)
    (path,) = files_of(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    states, compute = ensured(tmp_path, names)
    assert compute.asked == names
    assert f"{path} is damaged and was deleted" in capfd.readouterr().err
    assert_holds(states, names)
    assert path not in files_of(tmp_path)


def test_a_file_of_another_store_is_refused(tmp_path):
    ensured(tmp_path, [1])
    with pytest.raises(PrefixError, match="holds no states of this model"):
        ensured(tmp_path, [1], identity="b")
    folder = tmp_path / "t" / "s"
    folder.mkdir(parents=True)
    tensors = {name: torch.zeros(1) for name in ("rows", "lengths", "keys")}
    save_file(tensors, folder / f"{'0' * 32}.safetensors")
    with pytest.raises(PrefixError, match="something else; delete"):
        ensured(tmp_path / "t", [1])


def test_other_files_are_left_alone(tmp_path):
    other = tmp_path / "s" / "mine.safetensors"
    other.parent.mkdir()
    other.write_bytes(b"mine")
    states, _ = ensured(tmp_path, [1])
    assert_holds(states, [1])
    assert other.read_bytes() == b"mine"


def test_a_disk_that_is_too_full_is_named_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(prefix_store.shutil, "disk_usage", lambda folder: usage(1, 1, 300))
    with pytest.raises(PrefixError, match="prefix='off'"):
        ensured(tmp_path, list(range(10)))
    assert not files_of(tmp_path)
    states, _ = ensured(tmp_path, [0, 1])  # two small items fit
    assert_holds(states, [0, 1])
