"""Kept image states: computed once, found again, refused or made anew where something differs."""

import numpy as np
import pytest
import torch

from helpers.first.training.image_states import STATES, ImageStates, ensure_states
from tests.first.small_blip2 import noise, small_blip2

NAMES = ["a", "b", "c"]


def counted(calls):
    def load(name):
        calls.append(name)
        return noise(name)

    return load


def ensure(tmp_path, names=NAMES, *, load=noise, hashed=str, seed=0):
    return ensure_states(
        small_blip2(seed=seed), names, load, hashed, folder=tmp_path, batch_size=2, progress=False
    )


def test_they_are_the_towers(tmp_path):
    states = ensure(tmp_path)
    wanted = small_blip2().states([noise(name) for name in ("c", "a", "c")])
    found = states.of(["c", "a", "c"])
    assert found.dtype == torch.float32
    assert found.shape == (3, 5, 24)  # 4 patches and the class token
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-3)  # kept as float16
    assert states.parts[0].dtype == np.float16


def test_they_are_computed_once(tmp_path):
    calls = []
    first = ensure(tmp_path, ["a", "b", "a"], load=counted(calls))
    again = ensure(tmp_path, ["a", "b"], load=counted(calls))
    assert calls == ["a", "b"]
    assert again.fingerprint == first.fingerprint
    assert again.names == ("a", "b")


@pytest.mark.parametrize(
    "change", [{"names": ["a", "b"]}, {"hashed": lambda name: name + "2"}, {"seed": 1}]
)
def test_another_picture_or_model_is_another_entry(tmp_path, change):
    first, calls = ensure(tmp_path), []
    assert ensure(tmp_path, load=counted(calls), **change).fingerprint != first.fingerprint
    assert calls


def test_a_damaged_entry_is_computed_again(tmp_path):
    first = ensure(tmp_path)
    wanted = first.of(NAMES)
    file = tmp_path / first.fingerprint / STATES
    content = bytearray(file.read_bytes())
    content[-1] ^= 0xFF
    file.write_bytes(content)
    torch.testing.assert_close(ensure(tmp_path).of(NAMES), wanted)
    (tmp_path / first.fingerprint / "states.json").write_text("{")
    torch.testing.assert_close(ensure(tmp_path).of(NAMES), wanted)


def test_an_unknown_picture_is_named(tmp_path):
    with pytest.raises(KeyError, match="'d' is not among the 3"):
        ensure(tmp_path).of(["a", "d"])


def test_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no picture was named"):
        ensure(tmp_path, [])


def test_two_sets_are_joined(tmp_path):
    first, second = ensure(tmp_path, ["a", "b"]), ensure(tmp_path, ["c"])
    both = ImageStates.joined(first, second)
    torch.testing.assert_close(both.of(["c", "a"])[0], second.of(["c"])[0])
    torch.testing.assert_close(both.of(["c", "a"])[1], first.of(["a"])[0])
    assert both.fingerprint not in (first.fingerprint, second.fingerprint)
    with pytest.raises(ValueError, match="'a' is in two"):
        ImageStates.joined(first, ensure(tmp_path, ["a"]))
    with pytest.raises(ValueError, match="different models"):
        ImageStates.joined(first, ensure(tmp_path, ["d"], seed=1))
