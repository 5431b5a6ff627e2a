"""Opens a generator: the tiny checkpoint by its name, a directory, or a checkpoint of the hub."""

import json
from copy import deepcopy
from dataclasses import replace

import torch
from transformers import AutoTokenizer, InstructBlipForConditionalGeneration

from helpers.first.models.generator import TRAINED, Generator, GeneratorError, only_trained
from helpers.first.models.loading import DTYPES, weights_fingerprint
from helpers.first.models.opening import check_filled, check_tokens, find_vocabulary
from helpers.first.models.tiny_instructblip import NAME, QFORMER
from helpers.models.checkpoints import Checkpoint, check_files, find_checkpoint, opened
from helpers.repro import pick_device

VICUNA = "Salesforce/instructblip-vicuna-7b"
PREPROCESSING = ("preprocessor_config.json", "processor_config.json")


def load_generator(
    model: str = NAME, *, device: str = "auto", precision: str = "fp32"
) -> Generator:
    """Open an InstructBLIP with a decoder-only language model, such as Vicuna's.

    Parameters
    ----------
    model : str
        ``tiny-instructblip``; a directory laid out as InstructBLIP's own; or a hub id such as
        ``Salesforce/instructblip-vicuna-7b``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : str
        ``fp32`` or ``bf16``, of the image encoder and the language model. What is trained stays in
        fp32: most steps of a small rate are lost in the eight digits of bf16.

    Raises
    ------
    ModelError
        If nothing lies there, or it is not whole.
    GeneratorError
        If the language model is an encoder-decoder (Flan-T5).

    Examples
    --------
    >>> load_generator("tiny-instructblip", device="cpu").name
    'tiny-instructblip'
    """
    if precision not in DTYPES:
        raise GeneratorError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    checkpoint = find_checkpoint(model, tiny=(NAME,))
    weights = check_files(checkpoint, folders=("", QFORMER))
    network, loaded = opened(
        InstructBlipForConditionalGeneration, checkpoint, what=weights,
        dtype=DTYPES[precision], output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    check_filled(loaded, checkpoint)
    for folder in ("", QFORMER):
        find_vocabulary(checkpoint, folder)
    tokenizer = opened(AutoTokenizer, checkpoint, what="the tokenizer")
    reader = opened(AutoTokenizer, checkpoint, what=f"the tokenizer {QFORMER}", subfolder=QFORMER)
    if not network.config.use_decoder_only_language_model:
        kind = network.config.text_config.model_type
        raise GeneratorError(
            f"the language model of {model!r} is of kind {kind!r}, an encoder-decoder: use a "
            f"checkpoint with a decoder alone, such as {VICUNA}"
        )
    check_tokens(tokenizer, network.config.text_config.vocab_size, checkpoint)
    rows = network.config.qformer_config.vocab_size
    check_tokens(reader, rows, checkpoint, folder=QFORMER)
    fingerprint = weights_fingerprint(network)
    mean, std = _statistics(checkpoint)
    target = pick_device(device)
    network = network.eval().requires_grad_(False).to(target)
    for part, parameter in network.named_parameters():
        if part.startswith(TRAINED):
            parameter.data = parameter.data.float()
    return Generator(checkpoint.name, network, tokenizer, reader, mean, std, target, fingerprint)


def _statistics(checkpoint: Checkpoint) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the pixels; the processor's class would be one more thing to load."""
    for name in PREPROCESSING:
        file = checkpoint.folder / name
        if not file.is_file():
            continue
        read = json.loads(file.read_text(encoding="utf-8"))
        read = read.get("image_processor", read)
        if "image_mean" in read and "image_std" in read:
            return tuple(read["image_mean"]), tuple(read["image_std"])
    raise GeneratorError(
        f"{checkpoint.folder} has no {PREPROCESSING[0]} with image_mean and image_std"
    )


def load_trained(generator: Generator, weights: dict[str, torch.Tensor]) -> Generator:
    """A generator with other weights in its trained parts; the frozen ones are shared, not copied.

    Raises
    ------
    GeneratorError
        If the names are not exactly those of the trained parts.
    """
    own_before = only_trained(generator.model)
    generator.model.requires_grad_(False)
    frozen = [p for name, p in generator.model.named_parameters() if name not in own_before]
    network = deepcopy(generator.model, memo={id(p): p for p in frozen})
    own = only_trained(network)
    if odd := sorted(set(own) ^ set(weights)):
        raise GeneratorError(
            f"the weights and {generator.name} differ in {len(odd)} names, {odd[0]!r} first: "
            "they belong to another model, or to parts that are frozen"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])
    network.requires_grad_(False)
    return replace(generator, model=network, fingerprint=weights_fingerprint(network))
