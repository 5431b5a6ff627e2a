"""A BLIP-2 and an InstructBLIP of a few thousand weights, and triplets of noise."""

from functools import cache

import numpy as np
import torch
from PIL import Image
from transformers import InstructBlipConfig

from helpers.cache import key_of
from helpers.models.encoder import weights_fingerprint
from helpers.pretraining.blip2 import QFormerShape, build_tiny_blip2
from helpers.pretraining.shapes import TinyShape, train_tokenizer
from helpers.topics.cir.blip2 import Blip2, States
from helpers.topics.cir.generator import CHANGE, Generator, HybridInstructBlip
from helpers.topics.cir.triplets import Source, Triplet, TripletSet
from tests.small_models import WORDS, small_encoder

SHAPE = QFormerShape(
    queries=3, width=16, heads=2, mlp_width=16, layers=2, text_length=12, vocabulary=300
)
THINGS = ("mug", "soup", "tofu", "basil", "plate", "books", "wood", "two")
CHANGES = [f"{color} {thing}" for color in ("red", "blue", "black", "no") for thing in THINGS]
TEXTS = (
    "on a red plate", "on a blue plate", "with tofu instead of beef", "replace beef with tofu",
    "without basil", "add basil", "a pie instead", "as a soup", CHANGE, "describe the first image",
)  # fmt: skip


class Held:
    """Arrays of images in memory, as :class:`helpers.cache.Items` gives them."""

    def __init__(self, rows: torch.Tensor):
        self.rows = rows

    def batch(self, numbers) -> torch.Tensor:
        return self.rows[list(numbers)]


@cache
def small_blip2() -> Blip2:
    """Fresh, frozen weights; shared between tests, which train copies."""
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    model, processor = build_tiny_blip2(
        [*WORDS, *CHANGES], small_encoder("siglip"), pixels, seed=0, shape=SHAPE
    )
    model = model.eval().requires_grad_(False)
    return Blip2("small", model, processor, fingerprint=weights_fingerprint(model))


@cache
def small_generator(*, stem: bool = False) -> Generator:
    """A fresh, frozen generator that reads 16 px images; never train it in place."""
    tokenizer = train_tokenizer(TEXTS, TinyShape(vocabulary=320, text_length=64), start_token=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    common = {
        "hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2,
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": 64,
    }  # fmt: skip
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 16, "patch_size": 8}  # fmt: skip
    config = InstructBlipConfig(
        vision_config=vision | ({"stem_channels": [4, 6]} if stem else {}),
        qformer_config=common | {
            "num_hidden_layers": 2, "cross_attention_frequency": 1, "encoder_hidden_size": 24,
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        },
        text_config=common | {
            "model_type": "llama", "num_hidden_layers": 2, "tie_word_embeddings": True,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        num_query_tokens=4, image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = HybridInstructBlip(config)
    with torch.no_grad():
        model.query_tokens.normal_(std=0.1)
    model = model.eval().requires_grad_(False)
    statistics = (0.5,) * 3, (0.5,) * 3
    return Generator("small", model, tokenizer, tokenizer, *statistics,
                     fingerprint=weights_fingerprint(model))  # fmt: skip


def noise(name: str, *, px: int = 0) -> Image.Image:
    """The image of a name: noise of a color of its own."""
    rng = np.random.default_rng(list(name.encode()))
    pixels = rng.integers(0, 90, (16, 16, 3)) + rng.integers(0, 165, (1, 1, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def small_triplets(n: int = 32, *, prefix: str = "") -> TripletSet:
    """``n`` triplets with targets of their own; the two of a pair share the reference."""
    triplets = tuple(
        Triplet(
            f"{prefix}{i}", f"{prefix}r{i // 2}", (f"{prefix}t{i}",), CHANGES[i % len(CHANGES)],
            reverse=f"with {CHANGES[(i + 1) % len(CHANGES)]}", group=f"{prefix}{i // 2}",
        )
        for i in range(n)
    )  # fmt: skip
    gallery = tuple(f"{prefix}t{i}" for i in range(n)) + tuple(
        f"{prefix}r{i}" for i in range((n + 1) // 2)
    )
    return TripletSet("noise", "train", triplets, gallery, exclude_reference=True, n_read=n)


def distinct_states(*sets: TripletSet, seed: int = 0) -> States:
    """Of every image of some sets, as an encoder would give them that tells all apart."""
    names = tuple(dict.fromkeys(name for one in sets for name in one.gallery))
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(names), 5, 24, generator=draw).half()
    return States({name: i for i, name in enumerate(names)}, Held(rows))


def small_source(*sets: TripletSet) -> Source:
    """Noise as a source, hashed by name."""

    return Source("noise", {"train": sets}, noise, lambda name: key_of(name.encode()))
