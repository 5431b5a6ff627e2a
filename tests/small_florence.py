"""A Florence-2 of a few thousand fresh weights, with a processor that reads its place tokens."""

from functools import cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BartConfig,
    CLIPImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
PLACES = [f"<loc_{i}>" for i in range(1000)]
MORE = ["<image>", "<poly>", "</poly>", "<sep>", "<ocr>", "</ocr>", "<od>", "</od>"]
IMAGE_PX, IMAGE_TOKENS = 32, 2  # one place of the last stage, and the mean over places
PARSED = {
    name: {} for name in
    ("ocr", "bboxes", "polygons", "description_with_bboxes_or_polygons", "description_with_bboxes")
}  # fmt: skip


@cache
def small_processor() -> Florence2Processor:
    """Byte-level words, the thousand place tokens, and images of 32 pixels."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["What is the text in the image, with regions?"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    fast.add_tokens([*PLACES, *MORE[1:]], special_tokens=False)
    size = {"height": IMAGE_PX, "width": IMAGE_PX}
    images = CLIPImageProcessorPil(size=size, crop_size=size, image_seq_length=IMAGE_TOKENS)
    return Florence2Processor(images, fast, post_processor_config=PARSED)


@cache
def small_florence() -> Florence2ForConditionalGeneration:
    """The native class with a DaViT of four short stages and a BART of one layer each way."""
    tokenizer = small_processor().tokenizer
    torch.manual_seed(0)
    vision = Florence2VisionConfig(
        depths=(1, 1, 1, 1), embed_dim=(8, 8, 8, 8), num_heads=(1, 1, 1, 1), window_size=4,
        num_groups=(1, 1, 1, 1), projection_dim=16, drop_path_rate=0.0,
    )  # fmt: skip
    text = BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_position_embeddings=128, bos_token_id=0, pad_token_id=1,
        eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    config = Florence2Config(
        vision_config=vision, text_config=text, image_token_id=tokenizer.image_token_id,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    return Florence2ForConditionalGeneration(config).eval()
