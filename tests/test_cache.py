"""The cache of items: computed once, whole or not there, damage found, strangers refused."""

import numpy as np
import pytest
import torch

from helpers import cache as module
from helpers.cache import Cache, CacheError, key_of

KEYS = [key_of(bytes([i])) for i in range(10)]


def array(i):
    return torch.full((1 + i % 3, 4), float(i))


def spy(seen):
    def compute(numbers):
        seen.extend(numbers)
        return [array(i) for i in numbers]

    return compute


def test_items_are_computed_once_and_padded_in_batches(tmp_path):
    cache, seen = Cache("f", "states at 3", tmp_path), []
    items = cache.fetch([*KEYS[:6], KEYS[0]], spy(seen), batch_size=4)
    assert seen == list(range(6))
    assert len(items) == 7
    batch = items.batch(torch.tensor([4, 0, 6]))  # lengths 2, 1, 1
    assert batch.shape == (3, 2, 4)
    assert batch[:, :, 0].tolist() == [[4, 4], [0, 0], [0, 0]]
    more = cache.fetch(KEYS[4:8], spy(seen))
    assert seen == [*range(6), 2, 3]  # numbers among the keys that are asked for
    assert more.batch([0, 1])[:, 0, 0].tolist() == [4, 5]


def test_vectors_are_items_of_one_row(tmp_path):
    items = Cache("f", "embeddings", tmp_path).fetch(KEYS[:2], lambda n: torch.eye(2)[n])
    assert items.batch([1, 0])[:, 0].tolist() == [[0, 1], [1, 0]]


def test_a_build_that_was_killed_continues_behind_the_last_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILE_BYTES", 1)
    cache, seen = Cache("f", "k", tmp_path), []

    def dies(numbers):
        if len(seen) >= 4:
            raise KeyboardInterrupt
        return spy(seen)(numbers)

    with pytest.raises(KeyboardInterrupt):
        cache.fetch(KEYS, dies, batch_size=2)
    cache.fetch(KEYS, spy(seen), batch_size=2)
    assert seen == list(range(10))


def test_damaged_files_are_computed_again(tmp_path, capsys):
    cache, seen = Cache("f", "k", tmp_path), []
    cache.fetch(KEYS[:3], spy(seen))
    (file,) = cache.place.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    items = cache.fetch(KEYS[:3], spy(seen))
    assert seen == [0, 1, 2, 0, 1, 2]
    assert items.batch([2])[0, 0, 0] == 2
    assert "is damaged and was deleted" in capsys.readouterr().err


def test_files_of_another_model_are_refused(tmp_path):
    one, other = Cache("f", "k", tmp_path), Cache("g", "k", tmp_path)
    one.fetch(KEYS[:1], spy([]))
    other.place.mkdir()
    (file,) = one.place.glob("*.safetensors")
    file.rename(other.place / file.name)
    with pytest.raises(CacheError, match="holds no k of this model"):
        other.fetch(KEYS[:1], spy([]))


def test_keys_tell_content_and_shape_apart():
    a = np.zeros((2, 3), np.uint8)
    assert len({key_of(a), key_of(a.T), key_of(a + 1), key_of(a.astype(np.int8))}) == 4
    assert key_of(a) == key_of(torch.zeros(2, 3, dtype=torch.uint8))
