"""Tiny InstructBLIP: a small configuration of the class that loads ``instructblip-vicuna-7b``.

Its vision encoder has the weights of ``tiny-siglip``, its language model is a Llama as Vicuna is
one. Weights of the rest come from :mod:`helpers.first.training.pretrain_instructblip`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    BlipImageProcessorPil,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    PreTrainedTokenizerFast,
    SiglipModel,
)

from helpers.pretraining.shapes import TinyShape, train_tokenizer

NAME = "tiny-instructblip"
IMAGE = "<image>"
QFORMER = "qformer_tokenizer"  # where InstructBLIP's checkpoints keep the Q-Former's tokenizer


@dataclass(frozen=True)
class BlipShape:
    """The size of what is added to a vision tower.

    Attributes
    ----------
    width, heads, mlp_width : int
        Of the Q-Former and of the language model alike.
    qformer_layers, text_layers : int
        Every layer of the Q-Former looks at the image.
    queries : int
        Query tokens; InstructBLIP has 32.
    text_length, vocabulary : int
        In tokens.
    """

    width: int = 96
    heads: int = 4
    mlp_width: int = 192
    qformer_layers: int = 3
    text_layers: int = 4
    queries: int = 16
    text_length: int = 96
    vocabulary: int = 704


def build_instructblip(
    tower: SiglipModel,
    texts: Iterable[str],
    pixels: Tensor,
    *,
    seed: int,
    shape: BlipShape | None = None,
) -> tuple[InstructBlipForConditionalGeneration, PreTrainedTokenizerFast]:
    """A tiny InstructBLIP around the vision tower of a SigLIP, and its tokenizer.

    The vision encoder gets the tower's weights (:func:`map_vision`, which ``pixels`` are for); all
    else is drawn from the seed. Q-Former and language model read with one tokenizer, trained on
    ``texts``.
    """
    shape = shape or BlipShape()
    vision = tower.config.vision_config
    tokenizer = train_tokenizer(
        texts,
        TinyShape(vocabulary=shape.vocabulary, text_length=shape.text_length),
        start_token=True,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    common = {
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_attention_heads": shape.heads,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = InstructBlipConfig(
        vision_config={
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_hidden_layers": vision.num_hidden_layers,
            "num_attention_heads": vision.num_attention_heads,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_act": vision.hidden_act,
            "layer_norm_eps": vision.layer_norm_eps,
            "initializer_range": 0.02,
        },
        qformer_config=common
        | {
            "num_hidden_layers": shape.qformer_layers,
            "cross_attention_frequency": 1,
            "max_position_embeddings": shape.text_length,
            "encoder_hidden_size": vision.hidden_size,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        text_config=common
        | {
            "model_type": "llama",
            "num_hidden_layers": shape.text_layers,
            "max_position_embeddings": shape.text_length,
            "tie_word_embeddings": True,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        num_query_tokens=shape.queries,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = InstructBlipForConditionalGeneration(config)
    with torch.no_grad():  # all queries begin as zeros in transformers, and equal ones stay equal
        model.query_tokens.normal_(std=0.02 * shape.width**0.5)
    map_vision(tower, model, pixels)
    return model, tokenizer


@torch.no_grad()
def map_vision(
    tower: SiglipModel, model: InstructBlipForConditionalGeneration, pixels: Tensor
) -> None:
    """Copy a SigLIP vision tower into an InstructBLIP vision encoder of its shape.

    Every weight has a place. What SigLIP lacks is the class token: it is set to the mean patch of
    ``pixels`` (n, 3, px, px), so that it takes a patch's share of the attention and brings nothing
    new; a test says how little that moves the other tokens. SigLIP's pooling head has no place
    here.
    """
    source, target = tower.vision_model, model.vision_model
    patches, inside = source.embeddings, target.embeddings
    inside.patch_embedding.load_state_dict(patches.patch_embedding.state_dict())
    positions = patches.position_embedding.weight  # (patches, width)
    inside.position_embedding.copy_(
        torch.cat([positions.mean(dim=0, keepdim=True), positions]).unsqueeze(0)
    )
    inside.class_embedding.copy_(patches.patch_embedding(pixels).mean(dim=(0, 2, 3)).view(1, 1, -1))
    for old, new in zip(source.encoder.layers, target.encoder.layers, strict=True):
        attention = old.self_attn
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        new.self_attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        new.self_attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        new.self_attn.projection.load_state_dict(attention.out_proj.state_dict())
        for name in ("layer_norm1", "layer_norm2", "mlp"):
            getattr(new, name).load_state_dict(getattr(old, name).state_dict())
    target.post_layernorm.load_state_dict(source.post_layernorm.state_dict())


def save_instructblip(
    model: InstructBlipForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    """Write a checkpoint as InstructBLIP's own are laid out: two tokenizers, one preprocessor.

    ``mean`` and ``std`` are those that the vision tower was trained with.
    """
    side = model.config.vision_config.image_size
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tokenizer.save_pretrained(folder / QFORMER)
    BlipImageProcessorPil(
        size={"height": side, "width": side}, image_mean=list(mean), image_std=list(std)
    ).save_pretrained(folder)
