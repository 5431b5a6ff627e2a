"""Models of a few thousand weights, and pairs to train them on, for tests that train."""

import math
from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from PIL import Image
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

from helpers.data.sets import LazyImages, RetrievalSet
from helpers.models.encoder import Encoder, weights_fingerprint
from helpers.models.lora import adapt
from helpers.models.placement import Placement
from helpers.training.batches import TrainingPairs, prepare_pairs

WORDS = ["a red mug on wood", "chicken soup with basil", "two blue books", "tofu on a black plate"]
PX, WIDTH, LENGTH = 16, 24, 12
LAYERS = {"vision": 3, "text": 2}
SHARED: dict[tuple[str, int], Encoder] = {}  # family and seed -> the model that tests share
SPECIAL = ["<unk>", "<pad>", "<bos>", "<eos>"]


def small_encoder(family: str, *, seed: int = 0) -> Encoder:
    """A frozen model; shared between tests, which adapt copies of it."""
    if (family, seed) not in SHARED:
        SHARED[family, seed] = _fresh_encoder(family, seed)
    return SHARED[family, seed]


def _fresh_encoder(family: str, seed: int) -> Encoder:
    torch.manual_seed(seed)
    tokenizer = _tokenizer(WORDS, start=family != "siglip")
    common = {
        "hidden_size": WIDTH, "intermediate_size": 32, "num_attention_heads": 2,
        "projection_dim": WIDTH,
    }  # fmt: skip
    vision = common | {
        "num_hidden_layers": LAYERS["vision"], "image_size": PX, "patch_size": 8,
    }  # fmt: skip
    text = common | {
        "num_hidden_layers": LAYERS["text"], "vocab_size": len(tokenizer),
        "max_position_embeddings": LENGTH, "projection_size": WIDTH,
        "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    size = {"height": PX, "width": PX}
    if family == "clip":
        config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=WIDTH)
        images = CLIPImageProcessorPil(size={"shortest_edge": PX}, crop_size=size)
        model, processor = CLIPModel(config), CLIPProcessor(images, tokenizer)
    else:
        model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text))
        with torch.no_grad():  # a SigLIP built from a configuration starts with zeros here
            model.logit_scale.fill_(math.log(10.0))
            model.logit_bias.fill_(-10.0)
        processor = SiglipProcessor(SiglipImageProcessorPil(size=size), tokenizer)
    model = model.eval().requires_grad_(False)
    fingerprint = weights_fingerprint(model)
    return Encoder(f"small-{family}", family, model, processor, fingerprint=fingerprint)


def small_image(key: str) -> Image.Image:
    """Noise that the images of an item share, brighter in the second."""
    item, image = key.removesuffix(".jpg").split("/")
    noise = np.random.default_rng(int(item)).integers(0, 200, (20, 24, 3))
    return Image.fromarray((noise + 30 * int(image)).astype(np.uint8))


def small_data(*, n_items: int = 12, n_images: int = 2) -> RetrievalSet:
    """Items with two images and two captions each, their number first."""
    keys = [f"{i}/{j}.jpg" for i in range(n_items) for j in range(n_images)]
    captions = [(i, f"{i} {word}") for i in range(n_items) for word in WORDS[:2]]
    return RetrievalSet(
        images=LazyImages(keys, small_image),
        image_items=np.array([f"r{key.split('/')[0]}" for key in keys]),
        captions=[text for _, text in captions],
        caption_items=np.array([f"r{i}" for i, _ in captions]),
    )


@cache
def small_pairs(family: str, *, negatives: bool = True) -> TrainingPairs:
    """``small_data`` ready for ``small_encoder``, with a wrong caption for every image."""
    data = small_data()
    items = [int(item[1:]) for item in data.image_items]
    wrong = [(i, f"{(item + 1) % 12} {WORDS[2]}") for i, item in enumerate(items)]
    encoder = small_encoder(family)
    return prepare_pairs(encoder, data, negatives=wrong if negatives else ())


def small_adapted(family: str, *, scalars: Iterable[str] = ("logit_scale",), **choices) -> Encoder:
    """``small_encoder`` with a fresh adapter."""
    placement = Placement(**{"rank": 2, "dropout": 0.2, **choices})
    return adapt(small_encoder(family), placement, scalars=tuple(scalars))


def noisy(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """An augmentation that draws from the generator and from torch's global state."""
    shift = torch.rand(len(pixels), 1, 1, 1, generator=generator) * 0.1
    return pixels + shift + 0.05 * torch.rand(1)


def trainable(encoder: Encoder) -> dict[str, torch.Tensor]:
    """The trainable weights by name."""
    named = encoder.model.named_parameters()
    return {name: p.detach().clone() for name, p in named if p.requires_grad}


def perturb(encoder: Encoder, *, spread: float = 0.1) -> Encoder:
    """Noise on all trainable weights: a fresh adapter changes nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in encoder.model.parameters():
            if p.requires_grad:
                p.add_(spread * torch.randn(p.shape, generator=generator))
    return encoder


def _tokenizer(captions: Iterable[str], *, start: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; with ``start`` it puts <bos> before the text, as CLIP does."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<bos>", "<eos>")]
    single = "<bos> $A <eos>" if start else "$A <eos>"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LENGTH,
        unk_token="<unk>", pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
        model_input_names=["input_ids", "attention_mask"] if start else ["input_ids"],
    )  # fmt: skip
