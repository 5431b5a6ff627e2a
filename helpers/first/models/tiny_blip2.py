"""Tiny BLIP-2: the retrieval class that loads the real checkpoints, on a tower that is there.

The vision tower has the weights of ``tiny-siglip``; the Q-Former is fresh, and
:mod:`helpers.first.training.pretrain_blip2` trains it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from transformers import (
    Blip2Config,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    BlipImageProcessorPil,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from helpers.first.models.encoders import Encoder
from helpers.first.models.qformer import image_optional
from helpers.first.models.tiny_instructblip import map_vision
from helpers.pretraining.shapes import TinyShape, train_tokenizer

NAME = "tiny-blip2"
QUERY_STD = 0.02  # of fresh query tokens: zeros would make all of them the same token for ever


@dataclass(frozen=True)
class QFormerShape:
    """The size of a tiny Q-Former; the real one has 32 queries of width 768 in 12 layers."""

    queries: int = 8
    width: int = 96
    heads: int = 3
    mlp_width: int = 192
    layers: int = 4
    cross_every: int = 2
    text_length: int = 40
    vocabulary: int = 768
    dropout: float = 0.0


def build_tiny_blip2(
    captions: Iterable[str],
    tower: Encoder,
    pixels: torch.Tensor,
    *,
    seed: int,
    shape: QFormerShape | None = None,
) -> tuple[Blip2ForImageTextRetrieval, Blip2Processor]:
    """A BLIP-2 with a fresh Q-Former on a SigLIP's vision tower, and its processor.

    Parameters
    ----------
    captions : iterable of str
        Of the pretraining; the tokenizer is trained on them.
    tower : Encoder
        Of the family ``siglip``.
    pixels : (n, 3, px, px) float32
        Some pictures as the tower reads them: their mean patch becomes the class token, which
        BLIP-2 has and SigLIP has not (:func:`helpers.first.models.tiny_instructblip.map_vision`).
    seed : int
        Of the fresh weights.
    shape : QFormerShape

    Raises
    ------
    ValueError
        If the tower is no SigLIP.
    """
    if tower.family != "siglip":
        raise ValueError(
            f"{tower.name} is a {tower.family} model: its class token has no place in a copy of a "
            "SigLIP tower; give a SigLIP, such as tiny-siglip"
        )
    shape = shape or QFormerShape()
    words = TinyShape(text_length=shape.text_length, vocabulary=shape.vocabulary)
    tokenizer = train_tokenizer(captions, words, start_token=True)
    old = tower.processor.image_processor
    images = BlipImageProcessorPil(
        size=dict(old.size), resample=old.resample, image_mean=old.image_mean,
        image_std=old.image_std, do_convert_rgb=True,
    )  # fmt: skip
    processor = Blip2Processor(images, tokenizer)  # adds BLIP-2's mark of a picture to the words
    torch.manual_seed(seed)
    model = Blip2ForImageTextRetrieval(_config(tower, shape, tokenizer))
    map_vision(tower.model, model, pixels)
    with torch.no_grad():
        model.query_tokens.normal_(0.0, QUERY_STD)
    model.qformer = image_optional(model.qformer)
    return model, processor


def _config(tower: Encoder, shape: QFormerShape, tokenizer: PreTrainedTokenizerFast) -> Blip2Config:
    seen = tower.model.config.vision_config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    vision = {name: getattr(seen, name) for name in (*names, "image_size", "patch_size")}
    return Blip2Config(
        vision_config=vision | {
            "hidden_act": seen.hidden_act, "layer_norm_eps": seen.layer_norm_eps,
        },
        qformer_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.width,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "intermediate_size": shape.mlp_width,
            "hidden_dropout_prob": shape.dropout,
            "attention_probs_dropout_prob": shape.dropout,
            "max_position_embeddings": shape.text_length,
            "pad_token_id": tokenizer.pad_token_id,
            "cross_attention_frequency": shape.cross_every,
            "encoder_hidden_size": seen.hidden_size,
            "use_qformer_text_input": True,
        },
        # Retrieval has no language model; the class wants a configuration of one all the same.
        text_config=OPTConfig(
            hidden_size=shape.width, num_hidden_layers=1, ffn_dim=shape.mlp_width,
            num_attention_heads=shape.heads, vocab_size=len(tokenizer),
            max_position_embeddings=shape.text_length, word_embed_proj_dim=shape.width,
        ).to_dict(),
        num_query_tokens=shape.queries,
        image_text_hidden_size=shape.width,
        image_token_index=None,
    )  # fmt: skip
