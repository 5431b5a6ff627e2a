"""What a generator of any size takes: memory and time, estimated from its configuration.

Parameters are counted exactly, on the class itself without its weights. Times are what the
arithmetic and the memory traffic need at sustained rates that stand in ``RATES``; they are
estimates to plan with, not measurements.
"""

from dataclasses import dataclass

import torch
from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration, LlamaConfig

from helpers.first.models.generator import Generator, parts_of

GB = 1e9


@dataclass(frozen=True)
class Rate:
    """What a device sustains: arithmetic in FLOP/s, memory traffic in bytes/s."""

    flops: float
    bytes: float


RATES = {  # sustained, about 40 % of a data sheet's peak in bf16; a core without matrix units
    "gpu": Rate(1.2e14, 8e11),
    "cpu": Rate(5e10, 1e10),
}


@dataclass(frozen=True)
class Cost:
    """An estimate for a generator.

    Attributes
    ----------
    parameters, trained : int
        All of them, and those of Q-Former, query tokens and projection.
    weights_gb : float
        In bf16, 10^9 bytes.
    training_gb : float
        Weights; trained parts in fp32 with gradients and both moments of Adam; activations.
    seconds_per_text : float
        Both images encoded, one text written, in batches.
    seconds_per_step : float
        Of training, images encoded once and before.
    hours : float
        For ``n_pairs`` texts in both directions.
    says : str
        The same in a sentence, with what it rests on.
    """

    parameters: int
    trained: int
    weights_gb: float
    training_gb: float
    seconds_per_text: float
    seconds_per_step: float
    hours: float
    says: str


def generator_cost(
    model: Generator | str = "Salesforce/instructblip-vicuna-7b",
    *,
    n_pairs: int = 10_000,
    device: str = "gpu",
    batch_size: int = 32,
    text_tokens: int = 16,
    prompt_tokens: int = 8,
) -> Cost:
    """Memory and time of training and of writing.

    Parameters
    ----------
    model : Generator or str
        An opened generator, or the name of InstructBLIP with Vicuna-7B, whose sizes are known
        here, so that nothing is fetched.
    n_pairs : int
        Pairs of pictures that get a forward and a reverse text.
    device : str
        ``gpu`` or ``cpu``: a row of ``RATES``.
    batch_size, text_tokens, prompt_tokens : int

    Raises
    ------
    ValueError
        If the model's sizes or the device are unknown.

    Examples
    --------
    >>> round(generator_cost().parameters / 1e9, 1)
    7.9
    """
    if device not in RATES:
        raise ValueError(f"unknown device {device!r}: use one of {', '.join(RATES)}")
    network = model.model if isinstance(model, Generator) else _without_weights(model)
    name = model.name if isinstance(model, Generator) else model
    sizes = parts_of(network).set_index("part")["parameters"]
    config, rate = network.config, RATES[device]
    parameters = int(sizes.sum())
    trained = int(sizes["Q-Former"] + sizes["query tokens"] + sizes["projection"])
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2 + 1
    length = config.num_query_tokens + prompt_tokens + text_tokens
    bridge = (config.num_query_tokens + prompt_tokens) * sizes["Q-Former"]
    encode = 2 * (2 * sizes["image encoder"] * patches) + 2 * bridge
    read = 2 * sizes["language model"] * (config.num_query_tokens + prompt_tokens)
    traffic = 2 * sizes["language model"] * text_tokens / batch_size  # bytes, bf16, a text
    written = max(2 * sizes["language model"] * text_tokens / rate.flops, traffic / rate.bytes)
    per_text = (encode + read) / rate.flops + written
    # Forward, and backward to the language model's input; its weights get no gradient.
    per_step = batch_size * (4 * sizes["language model"] * length + 6 * bridge) / rate.flops
    text = config.text_config
    kept = batch_size * length * text.num_hidden_layers * 34 * text.hidden_size / 2
    weights_gb = 2 * parameters / GB
    training_gb = weights_gb + (16 * trained + kept) / GB
    hours = 2 * n_pairs * per_text / 3600
    says = (
        f"{name}: {parameters / 1e9:.3g} billion parameters, {trained / 1e6:.3g} million trained; "
        f"{weights_gb:.3g} GB of weights in bf16, about {training_gb:.3g} GB to train with batches "
        f"of {batch_size}; about {per_text:.2g} s a text and {hours:.2g} h for {n_pairs} pairs "
        f"both ways, at {rate.flops / 1e12:g} TFLOP/s and {rate.bytes / GB:g} GB/s sustained "
        "(an estimate)"
    )
    return Cost(
        parameters, trained, weights_gb, training_gb, float(per_text), float(per_step),
        float(hours), says,
    )  # fmt: skip


def _without_weights(name: str) -> InstructBlipForConditionalGeneration:
    if name.rsplit("/", 1)[-1] != "instructblip-vicuna-7b":
        raise ValueError(
            f"the sizes of {name!r} are not known here: open it with load_generator and give that"
        )
    text = LlamaConfig(vocab_size=32_001)  # Vicuna-7B is a Llama-7B with one more token
    # The published checkpoint's Q-Former reads BERT's words and one more.
    config = InstructBlipConfig(text_config=text.to_dict(), qformer_config={"vocab_size": 30_523})
    with torch.device("meta"):
        return InstructBlipForConditionalGeneration(config)
