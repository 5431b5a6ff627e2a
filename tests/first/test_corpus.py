"""Shards of an embedded corpus: equal to the encoder, resumed, vouched for, refused."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.data.images import encode_jpeg
from helpers.first.retrieval import corpus as module
from helpers.first.retrieval.corpus import CorpusRefused, embed_corpus, read_corpus
from helpers.first.retrieval.index import build_index
from helpers.first.retrieval.space import space_of
from helpers.repro import sha256_file
from tests.first.small_training import small_encoder, small_picture

KEYS = [f"{r}/{i}.jpg" for r in range(11) for i in range(2)]
ENCODER = small_encoder("clip")
embed = partial(embed_corpus, ENCODER, batch_size=4, shard_rows=8, progress=False)


class Killed(BaseException):
    """Ends a run as a signal does: nobody catches it."""


def stopping_at(key):
    """A loader that dies at a picture."""

    def load(one):
        if one == key:
            raise Killed
        return small_picture(one)

    return load


@pytest.mark.parametrize("workers", [1, 3])
def test_the_rows_are_the_encoders(tmp_path, workers):
    corpus = embed(KEYS, small_picture, tmp_path, workers=workers)
    expected = ENCODER.images([small_picture(key) for key in KEYS])
    assert corpus.ids.tolist() == KEYS
    assert corpus.n_new == len(KEYS)
    assert corpus.failed.empty
    np.testing.assert_allclose(corpus.rows, expected, atol=1e-5)
    assert sorted(p.name for p in tmp_path.glob("part-*.parquet")) == [
        f"part-0000{i}.parquet" for i in range(3)
    ]


def test_the_rows_fill_an_index(tmp_path):
    corpus = embed(KEYS, small_picture, tmp_path)
    index = build_index(corpus.rows, corpus.ids.tolist(), space=corpus.space)
    assert index.space == space_of(ENCODER)
    assert len(index) == len(KEYS)


def test_bytes_of_files_are_decoded_in_the_workers(tmp_path):
    files = {key: encode_jpeg(small_picture(key)) for key in KEYS[:5]}
    corpus = embed(KEYS[:5], files.__getitem__, tmp_path)
    assert corpus.rows.shape == (5, ENCODER.dimension)


def test_a_second_run_reads_no_picture(tmp_path):
    first = embed(KEYS, small_picture, tmp_path)
    again = embed(KEYS, stopping_at(KEYS[0]), tmp_path)
    assert (again.n_new, again.redone) == (0, ())
    assert np.isnan(again.images_per_s)
    assert np.array_equal(again.rows, first.rows)


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path):
    whole = embed(KEYS, small_picture, tmp_path / "whole")
    with pytest.raises(Killed):
        embed(KEYS, stopping_at(KEYS[17]), tmp_path / "cut")
    loaded = []

    def load(key):
        loaded.append(key)
        return small_picture(key)

    corpus = embed(KEYS, load, tmp_path / "cut")
    assert sorted(loaded) == sorted(KEYS[16:])  # two shards of eight were done
    assert corpus.n_new == 6
    assert np.array_equal(corpus.rows, whole.rows)


def test_a_killed_process_leaves_whole_shards(tmp_path):
    """``kill -9`` after the second shard's bytes, before its checksum."""
    code = (
        "import os, signal, sys\n"
        "from tests.first import test_corpus as t\n"
        "from helpers.first.retrieval import corpus_shards as s\n"
        "write = s.write_file_atomically\n"
        "def dying(path, data):\n"
        "    if path.name == 'part-00001.json': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(path, data)\n"
        "s.write_file_atomically = dying\n"
        "t.embed(t.KEYS, t.small_picture, sys.argv[1])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -9
    assert (tmp_path / "part-00001.parquet").is_file()
    corpus = embed(KEYS, small_picture, tmp_path)
    assert corpus.n_new == len(KEYS) - 8


def test_broken_pictures_are_named_and_cost_their_row_alone(tmp_path):
    broken = {KEYS[3]: b"", KEYS[9]: encode_jpeg(small_picture(KEYS[9]))[:-40]}

    def load(key):
        if key == KEYS[12]:
            raise FileNotFoundError(f"{key} is gone")
        return broken.get(key) or (small_picture(key) if key not in broken else broken[key])

    corpus = embed(KEYS, load, tmp_path)
    assert corpus.failed.id.tolist() == [KEYS[3], KEYS[9], KEYS[12]]
    reasons = corpus.failed.reason.tolist()
    assert "zero bytes" in reasons[0]
    assert "truncated" in reasons[1]
    assert reasons[2] == "FileNotFoundError: 6/0.jpg is gone"
    others = [key for key in KEYS if key not in corpus.failed.id.tolist()]
    assert corpus.ids.tolist() == others
    expected = ENCODER.images([small_picture(key) for key in others])
    np.testing.assert_allclose(corpus.rows, expected, atol=1e-5)
    pd.testing.assert_frame_equal(read_corpus(tmp_path).failed, corpus.failed)


def test_a_mistake_in_the_loader_is_no_broken_picture(tmp_path):
    with pytest.raises(TypeError):
        embed(KEYS, lambda key: len(7), tmp_path)


def test_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(
        CorpusRefused, match=r"not one of 22 pictures .*'0/0.jpg'.*zero bytes.*delete"
    ):
        embed(KEYS, lambda key: b"", tmp_path)


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_a_damaged_shard_is_refused_by_readers_and_redone_by_a_run(tmp_path, position):
    whole = embed(KEYS, small_picture, tmp_path)
    file = tmp_path / "part-00001.parquet"
    data = bytearray(file.read_bytes())
    data[int(position * len(data))] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorpusRefused, match=r"part-00001\.parquet is damaged"):
        read_corpus(tmp_path)
    again = embed(KEYS, small_picture, tmp_path)
    assert (again.n_new, again.redone) == (8, ("part-00001",))
    assert np.array_equal(again.rows, whole.rows)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": 1}'])
def test_a_damaged_checksum_counts_as_none(tmp_path, text):
    embed(KEYS, small_picture, tmp_path)
    (tmp_path / "part-00002.json").write_text(text)
    assert embed(KEYS, small_picture, tmp_path).redone == ("part-00002",)


def test_a_missing_shard_is_refused_by_readers(tmp_path):
    embed(KEYS, small_picture, tmp_path)
    (tmp_path / "part-00000.parquet").unlink()
    with pytest.raises(CorpusRefused, match=r"part-00000\.parquet is missing"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ids": KEYS[::-1]}, "ids"),
        ({"ids": KEYS[:-1]}, "n "),
        ({"inputs": "other"}, "inputs"),
        ({"shard_rows": 4}, "shard_rows"),
        ({"encoder": replace(ENCODER, precision="bf16")}, "precision"),
        ({"encoder": replace(ENCODER, fingerprint="other")}, "space"),
    ],
)
def test_another_corpus_is_refused(tmp_path, change, named):
    embed(KEYS, small_picture, tmp_path)
    encoder, ids = change.pop("encoder", ENCODER), change.pop("ids", KEYS)
    options = {"shard_rows": 8, "progress": False, **change}
    with pytest.raises(CorpusRefused, match=f"holds another corpus: .*{named}"):
        embed_corpus(encoder, ids, small_picture, tmp_path, **options)


def test_foreign_files_and_plans_are_refused(tmp_path):
    (tmp_path / "part-00000.parquet").write_bytes(b"x")
    with pytest.raises(CorpusRefused, match=r"without corpus\.json"):
        embed(KEYS, small_picture, tmp_path)
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(CorpusRefused, match="is no plan"):
        read_corpus(tmp_path)
    with pytest.raises(CorpusRefused, match=r"corpus\.json is missing"):
        read_corpus(tmp_path / "elsewhere")


def test_a_reader_of_another_space_is_refused(tmp_path):
    embed(KEYS, small_picture, tmp_path)
    assert len(read_corpus(tmp_path, space=space_of(ENCODER)).ids) == len(KEYS)
    other = replace(space_of(ENCODER), fingerprint="other")
    with pytest.raises(CorpusRefused, match="embed it again, into another folder"):
        read_corpus(tmp_path, space=other)


@pytest.mark.parametrize(
    ("ids", "named"),
    [([], "no ids"), (["a", "b", "a"], "'a' is there twice"), ([7], "id 7 is no string")],
)
def test_wrong_ids_are_refused(tmp_path, ids, named):
    with pytest.raises(CorpusRefused, match=named):
        embed(ids, small_picture, tmp_path)


@pytest.mark.parametrize("name", ["batch_size", "workers", "shard_rows"])
def test_wrong_counts_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        embed_corpus(ENCODER, KEYS, small_picture, tmp_path, **{name: 0})


def test_the_checksum_is_the_files(tmp_path):
    embed(KEYS, small_picture, tmp_path)
    said = json.loads((tmp_path / "part-00002.json").read_text())
    assert said["sha256"] == sha256_file(tmp_path / "part-00002.parquet")
    assert (said["rows"], said["failed"]) == (6, 0)


def test_pictures_are_made_ready_ahead_and_not_without_end(tmp_path, monkeypatch):
    """While the model is at a batch, the workers have begun the next two, and no more."""
    begun, seen = [], []

    def load(key):
        begun.append(key)
        return small_picture(key)

    def slow(encoder, ready, done):
        while len(begun) < min(len(KEYS), 4 * (len(seen) + 3)):
            pass  # until the workers have caught up with what they may do
        seen.append(len(begun))
        return original(encoder, ready, done)

    original = module._embedded
    monkeypatch.setattr(module, "_embedded", slow)
    embed_corpus(
        ENCODER, KEYS, load, tmp_path, batch_size=4, shard_rows=100, workers=2, progress=False
    )
    assert seen == [12, 16, 20, 22, 22, 22]
