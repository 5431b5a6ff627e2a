"""A small pack of drawn images, with the encoder itself in the place of an exported text tower."""

from helpers.data.pairs import ensure_pairs
from helpers.store.zones import Zone
from helpers.topics.serving import pack
from helpers.topics.serving.index import space_of
from tests.small_models import small_encoder

FILES = {name: name.encode() for name in ("text_tower.onnx", "tokenizer.json", "text_tower.json")}


class Tower:
    """The texts of an encoder."""

    def __init__(self, encoder):
        self.space, self.dimension = space_of(encoder), encoder.dimension
        self.texts = encoder.texts


def without_export(monkeypatch, encoder=None):
    """Packs are built and opened without an export, which takes seconds."""
    tower = Tower(encoder or small_encoder("siglip"))
    monkeypatch.setattr(pack, "export_text_tower", lambda encoder, captions: FILES)
    monkeypatch.setattr(pack, "open_text_tower", lambda files, threads: tower)


def kitchen(zone: Zone, n: int = 8):
    """Pairs of a few drawn recipes."""
    return ensure_pairs(zone, source="world:kitchen", max_recipes=n, image_px=32, progress=False)
