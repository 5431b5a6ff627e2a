"""Tiny CLIP and SigLIP: small configurations of the very classes that load the real checkpoints.

What is built here is opened by ``AutoModel`` and ``AutoProcessor`` like any checkpoint of the hub;
only its numbers are small. Weights come from ``course pretrain``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
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
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

from helpers.models.checkpoints import TINY_MODELS

UNKNOWN, PAD, START, END = "<unk>", "<pad>", "<bos>", "<eos>"
SIGMOID_START = (math.log(10.0), -10.0)  # log scale and bias, Zhai et al. 2023, section 3.2


@dataclass(frozen=True)
class TinyShape:
    """The size of a tiny model; lengths in tokens, pixels or channels."""

    image_px: int = 64
    patch_px: int = 8
    width: int = 96
    heads: int = 3
    mlp_width: int = 192
    vision_layers: int = 6
    text_layers: int = 4
    text_length: int = 40
    vocabulary: int = 768


def train_tokenizer(
    captions: Iterable[str], shape: TinyShape, *, start_token: bool
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (Sennrich et al. 2016): no text is out of its vocabulary.

    Parameters
    ----------
    captions : iterable of str
    shape : TinyShape
    start_token : bool
        Put ``<bos>`` before the text, as CLIP does; ``<eos>`` always follows it.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary,
        special_tokens=[UNKNOWN, PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    single = f"{START} $A {END}" if start_token else f"$A {END}"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=shape.text_length,
        unk_token=UNKNOWN,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        # SigLIP attends to its padding, in training as in use: there is no mask.
        model_input_names=["input_ids", "attention_mask"] if start_token else ["input_ids"],
    )


def _towers(shape: TinyShape, tokenizer: PreTrainedTokenizerFast) -> tuple[dict, dict]:
    common = {
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_attention_heads": shape.heads,
        "projection_dim": shape.width,
    }
    vision = common | {
        "num_hidden_layers": shape.vision_layers,
        "image_size": shape.image_px,
        "patch_size": shape.patch_px,
    }
    text = common | {
        "num_hidden_layers": shape.text_layers,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": shape.text_length,
        "projection_size": shape.width,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return vision, text


def build_tiny(
    name: str, captions: Iterable[str], *, seed: int, shape: TinyShape | None = None
) -> tuple[PreTrainedModel, CLIPProcessor | SiglipProcessor]:
    """A tiny model with fresh weights, and its processor with a tokenizer trained on ``captions``.

    Raises
    ------
    ValueError
        If ``name`` is not one of ``TINY_MODELS``.
    """
    if name not in TINY_MODELS:
        raise ValueError(f"unknown tiny model {name!r}: there are {', '.join(TINY_MODELS)}")
    shape = shape or TinyShape()
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(captions, shape, start_token=name == "tiny-clip")
    vision, text = _towers(shape, tokenizer)
    size = {"height": shape.image_px, "width": shape.image_px}
    if name == "tiny-clip":
        config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=shape.width)
        images = CLIPImageProcessorPil(size={"shortest_edge": shape.image_px}, crop_size=size)
        return CLIPModel(config), CLIPProcessor(images, tokenizer)
    model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text))
    with torch.no_grad():  # a SigLIP built from a configuration starts with zeros here
        model.logit_scale.fill_(SIGMOID_START[0])
        model.logit_bias.fill_(SIGMOID_START[1])
    return model, SiglipProcessor(SiglipImageProcessorPil(size=size), tokenizer)
