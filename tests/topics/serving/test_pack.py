"""What a search keeps: the text tower does what its encoder does, and nothing stale is opened."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.models.lora import save_adapter
from helpers.store.zones import open_zone
from helpers.topics.serving import pack, text_tower
from helpers.topics.serving.index import IndexRefused, space_of
from helpers.topics.serving.pack import PackError, ensure_pack, open_pack, packs_of
from helpers.topics.serving.retriever import Query
from helpers.topics.serving.text_tower import TowerError, export_text_tower, open_text_tower
from tests.small_models import WORDS, perturb, small_adapted, small_encoder
from tests.topics.serving.small import kitchen, without_export

CAPTIONS = [*WORDS, "", "Une soupe à l'oignon, très chaude", "soup " * 40]
RUN = "fine-tuning-zone/experiments/lora/run_2026{}T101500/adapters"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip", "clip"])
def test_the_tower_is_its_encoder(family):
    adapted = perturb(small_adapted(family, dropout=0.0, text_layers=-1))
    encoder = replace(adapted, fingerprint="adapted", model=adapted.model.eval())
    tower = open_text_tower(export_text_tower(encoder, CAPTIONS))
    assert tower.space == space_of(encoder)
    for some in (CAPTIONS[:1], CAPTIONS[:2], CAPTIONS):
        assert np.allclose(tower.texts(some), encoder.texts(some), atol=1e-5)
    assert not np.allclose(tower.texts(WORDS), small_encoder(family).texts(WORDS), atol=1e-3)
    with pytest.raises(TowerError, match="for texts alone"):
        tower.images([])


def test_another_precision_and_a_tower_that_differs_are_refused():
    encoder = small_encoder("siglip")
    with pytest.raises(TowerError, match="in bf16: export it in fp32"):
        export_text_tower(replace(encoder, precision="bf16"), WORDS)

    class Near:
        def __init__(self, off=0.0, shift=0):
            self.off, self.shift = off, shift

        def tokens(self, captions):
            return encoder.prepare_texts(captions)["input_ids"].numpy() + self.shift

        def texts(self, captions):
            return encoder.texts(captions) + self.off

    text_tower.compare(encoder, Near(), WORDS)
    with pytest.raises(TowerError, match="other tokens"):
        text_tower.compare(encoder, Near(shift=1), WORDS)
    with pytest.raises(TowerError, match=r"differs by 1\.\de-03"):
        text_tower.compare(encoder, Near(off=1e-3), WORDS)


@pytest.fixture
def filled(zone, monkeypatch):
    without_export(monkeypatch)
    kitchen(zone)
    return zone


def built(zone, **options):
    encoder = small_encoder("siglip")
    return ensure_pack(zone, encoder, **{"model": "m", "progress": False, **options})


def test_a_pack_finds_what_the_encoder_finds(filled):
    encoder = small_encoder("siglip")
    with pytest.raises(PackError, match=r"no embeddings of m .*there are: none.*--build"):
        open_pack(filled, model="m")
    built(filled)
    found, pairs = open_pack(filled, model="m"), kitchen(filled)
    keys = found.retriever.index.ids.tolist()
    assert sorted(keys) == sorted(pairs.all.image_key.unique())
    (answer,) = found.retriever.search([Query("two blue books", k=3)])
    rows = encoder.images([pairs.image(key) for key in keys])
    order = np.argsort(-(rows @ encoder.texts(["two blue books"])[0]))
    assert [hit.id for hit in answer.hits] == [keys[i] for i in order[:3]]
    known = pairs.all[pairs.all.image_key == answer.hits[0].id].iloc[0]
    assert answer.hits[0].metadata["recipe_id"] == known.recipe_id
    assert answer.hits[0].metadata["split"] == known.split
    assert found.image_bytes(keys[0]) == filled.read_bytes(f"fine-tuning-zone/images/{keys[0]}")
    assert (found.made_by, answer.provenance["adapter"]) == ("m without adapter", "")
    built(filled, model="w")
    assert packs_of(filled) == [("m", ""), ("w", "")]
    with pytest.raises(PackError, match=r"no embeddings of n with a .*there are: m"):
        open_pack(filled, model="n", adapter="a")


def test_a_pack_of_other_images_or_with_damage_is_refused(filled):
    built(filled)
    key = next(k for k in filled.list("fine-tuning-zone/search") if k.endswith("index.faiss"))
    content = bytearray(filled.read_bytes(key))
    content[99] ^= 1
    filled.write_bytes(key, bytes(content))
    with pytest.raises(IndexRefused, match=r"index.faiss in .* is damaged"):
        open_pack(filled, model="m")
    kitchen(filled, 9)
    with pytest.raises(PackError, match="of other images"):
        open_pack(filled, model="m")
    built(filled)
    assert len(open_pack(filled, model="m").retriever.index) > 8


def test_a_pack_of_an_earlier_version_is_made_again(filled, monkeypatch):
    built(filled)
    (place,) = [key for key in filled.list("manifests") if "search-" in key and "lock" not in key]
    said = filled.read_text(place).replace('  "factor": 1.0,\n', "")
    filled.write_bytes(place, said.encode())
    with pytest.raises(PackError, match="an earlier version: add --build"):
        open_pack(filled, model="m")
    built(filled)
    assert open_pack(filled, model="m").factor == 1


def test_an_empty_zone_has_nothing_to_search(tmp_path):
    with pytest.raises(PackError, match="holds no pairs"):
        built(open_zone(str(tmp_path / "none")))


def saved(zone, folder, day, *, factor=1.0):
    """An adapter as lesson 04 writes it, of a day of 2026; what it does to texts."""
    adapted = perturb(small_adapted("siglip", dropout=0.0, text_layers=-1))
    save_adapter(adapted, folder, factor=factor)
    for file in folder.iterdir():
        zone.write_bytes(f"{RUN.format(day)}/{file.name}", file.read_bytes())


def test_the_newest_adapter_of_a_run_is_opened_with_its_factor(zone, tmp_path, monkeypatch):
    base = small_encoder("siglip")
    monkeypatch.setattr("helpers.models.encoder.load_encoder", lambda model, device: base)
    assert pack.newest_adapter(zone, "small-siglip") == ""
    zone.write_bytes("fine-tuning-zone/experiments/lora/run_e7a25e/adapters/base.json", b"{")
    for day, factor in (("0102", 1.0), ("0211", 0.5), ("0131", 0.25)):
        saved(zone, tmp_path / day, day, factor=factor)
    newest = pack.newest_adapter(zone, "models/small-siglip")
    assert newest == RUN.format("0211")
    assert pack.newest_adapter(zone, "tiny-clip") == ""
    half, factor = pack.open_encoder(zone, "small-siglip", newest)
    by_folder, _ = pack.open_encoder(zone, "small-siglip", str(tmp_path / "0211"))
    whole, _ = pack.open_encoder(zone, "small-siglip", RUN.format("0102"))
    assert factor == 0.5
    assert half.fingerprint == by_folder.fingerprint != whole.fingerprint
    assert not np.allclose(half.texts(WORDS), whole.texts(WORDS), atol=1e-3)
    assert pack.open_encoder(zone, "small-siglip") == (base, 1.0)
    assert pack.made_by("m", newest, 0.5) == "m with adapter lora/run_20260211T101500 (factor 0.5)"
