"""From an encoder to rankings, examples, records and a baseline, with a stand-in model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers.data.pairs import RetrievalSet, ensure_pairs, retrieval_set
from helpers.first.models import experiments
from helpers.first.models.evaluate import DIRECTIONS, evaluate, examples, top_results
from helpers.first.models.experiments import ensure_baseline
from helpers.store.zones import open_zone

IDS = ("a", "b", "c", "d")


class OneHot:
    """An encoder without a model: a picture's or caption's first letter is its direction."""

    name, fingerprint, precision = "one-hot", "0" * 16, "fp32"

    def __init__(self, wrong: tuple[int, ...] = ()):
        self.wrong = wrong

    def images(self, pictures, **_):
        opened = [p() for p in pictures]
        return np.eye(len(IDS), dtype=np.float32)[[p.getpixel((0, 0))[0] for p in opened]]

    def texts(self, captions, **_):
        rows = [IDS.index(c[0]) for c in captions]
        rows = [(r + 1) % len(IDS) if i in self.wrong else r for i, r in enumerate(rows)]
        return np.eye(len(IDS), dtype=np.float32)[rows]


@pytest.fixture
def data() -> RetrievalSet:
    images, captions = [i for i in IDS for _ in range(2)], [i for i in IDS for _ in range(3)]
    return RetrievalSet(
        tuple(f"{i}/{n}.jpg" for n, i in enumerate(images)), np.array(images),
        tuple(f"{i} caption {n}" for n, i in enumerate(captions)), np.array(captions),
    )  # fmt: skip


def load(key: str) -> Image.Image:
    return Image.new("RGB", (4, 4), (IDS.index(key[0]), 0, 0))


def test_a_perfect_encoder_is_perfect_both_ways(data):
    done = evaluate(OneHot(), data, load, n_resamples=50)
    assert {way: done.intervals[way]["hit@1"].value for way in DIRECTIONS} == dict.fromkeys(
        DIRECTIONS, 1
    )
    assert done.intervals["text_to_image"]["hit@1"].n == 12
    assert done.intervals["image_to_text"]["hit@1"].n_groups == 4


def test_wrong_captions_are_wrong_and_shown_as_such(data):
    done = evaluate(OneHot(wrong=(0,)), data, load, n_resamples=50)
    assert done.intervals["text_to_image"]["hit@1"].value == pytest.approx(11 / 12)
    [missed], [found] = (top_results(done, "text_to_image", [q], k=2) for q in (0, 1))
    assert missed.correct.tolist() == [False, False]
    assert missed.rank == 1 + 2 + 4 / 2  # two strangers above, four tie with the positives
    assert found.correct.tolist() == [True, True]
    assert found.scores.tolist() == [1, 1]


def test_examples_are_plain_json_and_repeat(data):
    done = evaluate(OneHot(wrong=(0,)), data, load, n_resamples=50)
    shown = examples(done, n=3, k=2)
    assert json.loads(json.dumps(shown)) == shown == examples(done, n=3, k=2)
    assert {way: len(rows) for way, rows in shown.items()} == dict.fromkeys(DIRECTIONS, 3)
    for row in shown["image_to_text"]:
        assert all(r["correct"] == (r["recipe_id"] == row["recipe_id"]) for r in row["results"])


def test_the_baseline_lies_in_the_zone_and_is_rebuilt_for_another_model(tmp_path, monkeypatch):
    zone = open_zone(str(tmp_path / "z"))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=8, progress=False)
    data = retrieval_set(pairs.test)
    letters = dict(zip(dict.fromkeys(data.image_ids), range(4), strict=False))
    encoder = SimpleNamespace(
        name="one-hot", fingerprint="0" * 16, precision="fp32", revision="", text_rules="",
        images=lambda p, **_: np.eye(4, dtype=np.float32)[[letters[i] for i in data.image_ids]],
        texts=lambda t, **_: np.eye(4, dtype=np.float32)[[letters[i] for i in data.caption_ids]],
    )  # fmt: skip
    done = evaluate(encoder, data, pairs.image, n_resamples=50)
    manifest = ensure_baseline(done, encoder, pairs, n_resamples=50, seed=1)
    folder = "fine-tuning-zone/experiments/baseline"
    results = json.loads(zone.read_text(f"{folder}/results_baseline.json"))
    assert results["metrics"]["text_to_image"]["hit@1"]["value"] == 1
    assert results["images"] == len(data.image_keys)
    assert set(manifest.files) == {
        f"{folder}/{name}.json" for name in ("results_baseline", "examples_top5")
    }
    with monkeypatch.context() as patched:  # up to date: nothing is written again
        patched.setattr(experiments, "examples", None)
        again = ensure_baseline(done, encoder, pairs, n_resamples=50, seed=1)
    assert again == manifest
    encoder.fingerprint = "1" * 16
    other = ensure_baseline(done, encoder, pairs, n_resamples=50, seed=1)
    assert other.fingerprint != manifest.fingerprint
