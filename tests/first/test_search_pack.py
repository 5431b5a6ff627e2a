"""What a search keeps: the text tower does what its encoder does, and nothing stale is opened."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.data.pairs import ensure_pairs, retrieval_set
from helpers.first.retrieval import search_pack, text_tower
from helpers.first.retrieval.retriever import Query, Retriever
from helpers.first.retrieval.search_pack import PackError, ensure_pack, open_pack, packs_of
from helpers.first.retrieval.space import IndexRefused, space_of
from helpers.first.retrieval.text_tower import TowerError, export_text_tower, open_text_tower
from helpers.store.zones import open_zone
from tests.first.small_training import WORDS, small_adapted, small_encoder

CAPTIONS = [*WORDS, "", "Une soupe à l'oignon, très chaude", "soup " * 40]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip", "clip"])
def test_the_tower_is_its_encoder(family):
    encoder = small_adapted(family, dropout=0.0, text_layers=-1).encoder
    for parameter in encoder.model.parameters():
        if parameter.requires_grad:  # an update that is not zero
            parameter.data += 0.05
    tower = open_text_tower(export_text_tower(encoder, CAPTIONS))
    assert tower.space == space_of(encoder)
    for some in (CAPTIONS[:1], CAPTIONS[:2], CAPTIONS):
        assert np.allclose(tower.texts(some), encoder.texts(some), atol=1e-5)
    assert not np.allclose(tower.texts(WORDS), small_encoder(family).texts(WORDS), atol=1e-3)
    with pytest.raises(TowerError, match="for texts alone"):
        tower.images([])


def test_another_precision_and_a_tower_that_differs_are_refused(monkeypatch):
    encoder = small_encoder("siglip")
    with pytest.raises(TowerError, match="in bf16: export it in fp32"):
        export_text_tower(replace(encoder, precision="bf16"), WORDS)

    class Near:
        def __init__(self, off=0.0, shift=0):
            self.off, self.shift = off, shift

        def tokens(self, captions):
            return encoder.tokens(captions)["input_ids"].numpy() + self.shift

        def texts(self, captions):
            return encoder.texts(captions) + self.off

    text_tower._hold_against(encoder, Near(), WORDS)
    with pytest.raises(TowerError, match="other tokens"):
        text_tower._hold_against(encoder, Near(shift=1), WORDS)
    with pytest.raises(TowerError, match=r"differs by 1\.\de-03"):
        text_tower._hold_against(encoder, Near(off=1e-3), WORDS)


class Tower:
    """The encoder itself in the place of an exported tower."""

    def __init__(self, encoder):
        self.space, self.dimension = space_of(encoder), encoder.dimension
        self.texts = encoder.texts


@pytest.fixture
def zone(tmp_path, monkeypatch):
    files = {name: name.encode() for name in ("text_tower.onnx", "tokenizer.json")}
    made = {**files, "text_tower.json": b"{}"}
    monkeypatch.setattr(search_pack, "export_text_tower", lambda encoder, captions: made)
    tower = Tower(small_encoder("siglip"))
    monkeypatch.setattr(search_pack, "open_text_tower", lambda files, threads: tower)
    zone = open_zone(str(tmp_path / "zone"))
    ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=32, progress=False)
    return zone


def test_a_pack_finds_what_the_encoder_finds(zone):
    encoder = small_encoder("siglip")
    with pytest.raises(PackError, match=r"no embeddings of m .*there are: none.*--build"):
        open_pack(zone, model="m")
    ensure_pack(zone, encoder, model="m", progress=False)
    pack = open_pack(zone, model="m")
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=32, progress=False)
    keys = retrieval_set(pairs.all).image_keys
    assert sorted(pack.retriever.index.ids.tolist()) == sorted(keys)
    (answer,) = pack.retriever.search([Query("two blue books", k=3)])
    rows = encoder.images([pairs.image(key) for key in keys])
    order = np.argsort(-(rows @ encoder.texts(["two blue books"])[0]))
    assert [hit.id for hit in answer.hits] == [keys[i] for i in order[:3]]
    known = pairs.all[pairs.all.image_key == answer.hits[0].id].iloc[0]
    assert answer.hits[0].metadata["recipe_id"] == known.recipe_id
    assert answer.hits[0].metadata["split"] == known.split
    assert pack.picture_bytes(keys[0]) == zone.read_bytes(f"fine-tuning-zone/images/{keys[0]}")
    assert isinstance(pack.with_encoder(encoder), Retriever)
    some = dict(zip(keys[:3], rows[[3, 1, 2]], strict=True))
    ensure_pack(zone, encoder, model="w", known=some, progress=False)
    other = open_pack(zone, model="w").retriever.index
    slot = other.ids.tolist().index
    assert np.allclose(other.faiss.reconstruct(slot(keys[0])), rows[3])
    assert np.allclose(
        other.faiss.reconstruct(other.ids.tolist().index(keys[5])), rows[5], atol=1e-6
    )
    with pytest.raises(IndexRefused, match="search with the model"):
        pack.with_encoder(small_encoder("siglip", seed=1))
    assert packs_of(zone) == [("m", ""), ("w", "")]
    with pytest.raises(PackError, match=r"no embeddings of n with a .*there are: m"):
        open_pack(zone, model="n", adapter="a")


def test_a_pack_of_other_pictures_or_with_damage_is_refused(zone):
    ensure_pack(zone, small_encoder("siglip"), model="m", progress=False)
    key = next(k for k in zone.list("fine-tuning-zone/search") if k.endswith("index.faiss"))
    content = bytearray(zone.read_bytes(key))
    content[99] ^= 1
    zone.write_bytes(key, bytes(content))
    with pytest.raises(IndexRefused, match=r"index.faiss in .* is damaged"):
        open_pack(zone, model="m")
    ensure_pairs(zone, source="world:kitchen", max_recipes=9, image_px=32, progress=False)
    with pytest.raises(PackError, match="of other images"):
        open_pack(zone, model="m")
    ensure_pack(zone, small_encoder("siglip"), model="m", progress=False)
    assert len(open_pack(zone, model="m").retriever.index) > 8


def test_an_empty_zone_has_nothing_to_search(tmp_path):
    zone = open_zone(str(tmp_path / "none"))
    with pytest.raises(PackError, match="holds no pairs"):
        ensure_pack(zone, small_encoder("siglip"), model="m")
