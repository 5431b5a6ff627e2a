"""Generator runs: trained once, found again, gone on with after a kill, never mixed up."""

from dataclasses import replace

import pytest
import torch

from helpers import paths
from helpers.first.models.generator import TRAINED, Generator
from helpers.first.training import generator_runs
from helpers.first.training.generator import GeneratorTraining
from helpers.first.training.generator_runs import ensure_generator, see_triplets
from helpers.store.artefacts import ArtefactError
from helpers.store.zones import open_zone
from helpers.topics.cir.triplets import Triplet
from tests.first.small_generator import TEXTS, pictures, small_generator, weights

FAST = GeneratorTraining(steps=3, batch_size=2, warmup=1, learning_rate=5e-3)
IMAGES = pictures(8)
TRIPLETS = tuple(
    Triplet(f"t{i}", str(2 * i), (str(2 * i + 1),), TEXTS[2 * i], reverse=TEXTS[2 * i + 1])
    for i in range(3)
)


def load(name):
    return IMAGES[int(name)]


@pytest.fixture
def zone(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    return open_zone(str(tmp_path / "zone"))


def ensure(zone, **changes):
    options = {"data": "d", "settings": FAST, "progress": False} | changes
    annotated = options.pop("annotated", TRIPLETS)
    base = options.pop("base", small_generator())
    return ensure_generator(zone, base, annotated, options.pop("load", load), **options)


def refuse(name):
    raise AssertionError("a stored run was trained again")


def test_a_triplet_teaches_both_ways():
    one_way = replace(TRIPLETS[0], reverse="")
    written = see_triplets(small_generator(), (one_way, TRIPLETS[1]), load)
    assert written.pairs.tolist() == [[0, 1], [2, 3], [3, 2]]
    assert written.texts == (one_way.caption, TRIPLETS[1].caption, TRIPLETS[1].reverse)
    assert written.seen.shape[0] == 4


def test_a_run_is_trained_once_and_read_ever_after(zone):
    before = weights(small_generator())
    first = ensure(zone, validation=TRIPLETS[2:])
    again = ensure(zone, validation=TRIPLETS[2:], load=refuse)
    assert again.id == first.id
    assert again.log == first.log
    assert first.n_pairs == 6
    assert first.says.startswith("6 pairs, ")
    assert "tokens" not in first.says
    assert set(first.validation) == {"before", "after"}
    assert first.generator.fingerprint == again.generator.fingerprint
    now = weights(again.generator)
    changed = {name for name, p in before.items() if not torch.equal(p, now[name])}
    assert changed
    assert all(name.startswith(TRAINED) for name in changed)
    assert all(torch.equal(p, before[name]) for name, p in weights(small_generator()).items())


def test_texts_whose_ends_are_not_learned_are_told(zone):
    long = replace(TRIPLETS[0], caption=" ".join([TRIPLETS[0].caption] * 20))
    run = ensure(zone, annotated=(long, *TRIPLETS[1:]))
    assert run.too_long == 1
    assert "1 of their texts have more than 40 tokens" in run.says


def test_other_settings_data_or_annotations_are_other_runs(zone):
    runs = [
        ensure(zone),
        ensure(zone, settings=replace(FAST, seed=1)),
        ensure(zone, data="other"),
        ensure(zone, annotated=TRIPLETS[:2]),
        ensure(zone, annotated=(replace(TRIPLETS[0], caption="as a soup"), *TRIPLETS[1:])),
        ensure(zone, base=small_generator().with_instruction("on a red plate")),
    ]
    assert len({run.id for run in runs}) == len(runs)
    assert ensure(zone, load=refuse).generator.fingerprint == runs[0].generator.fingerprint


def test_an_interrupted_run_goes_on_from_its_state(zone, monkeypatch):
    real = generator_runs.train_generator

    def stopped(generator, data, settings, **options):
        real(generator, data, settings, **options, state_every=2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(generator_runs, "train_generator", stopped)
        with pytest.raises(KeyboardInterrupt):
            ensure(zone)
    assert len(list((paths.cache() / "training").glob("*.safetensors"))) == 1
    steps, loss = [], Generator.loss
    monkeypatch.setattr(Generator, "loss", lambda *given: steps.append(1) or loss(*given))
    run = ensure(zone)
    assert [record["step"] for record in run.log] == [0, 1, 2]
    assert len(steps) == 1  # two of three were saved
    assert not list((paths.cache() / "training").glob("*.safetensors"))


def test_a_damaged_run_is_refused(zone):
    run = ensure(zone)
    key = next(key for key in run.manifest.files if key.endswith("safetensors"))
    zone.write_bytes(key, b"x")
    with pytest.raises(ArtefactError, match=r"trained\.safetensors"):
        ensure(zone)


def test_what_cannot_teach_is_refused(zone):
    with pytest.raises(ValueError, match="no annotated triplet"):
        ensure(zone, annotated=())
    with pytest.raises(ValueError, match="t0 has no known target"):
        ensure(zone, annotated=(replace(TRIPLETS[0], targets=()),))
