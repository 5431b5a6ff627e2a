"""The modification-text generator: an InstructBLIP that reads two images and writes what changed.

The Q-Former's queries attend to the tokens of both images, with a marker; what they bring is
projected in front of the language model's prompt, as ever in InstructBLIP (Dai et al.,
"InstructBLIP: towards general-purpose vision-language models with instruction tuning", 2023). Image
encoder and language model stay frozen: Q-Former, query tokens and projection alone are trained.
"""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoTokenizer,
    InstructBlipForConditionalGeneration,
    PreTrainedTokenizerBase,
)

from helpers.models.checkpoints import (
    PREPROCESSORS,
    Checkpoint,
    ModelError,
    check_files,
    check_filled,
    check_tokens,
    find_checkpoint,
    find_vocabulary,
    opened,
)
from helpers.models.encoder import DTYPES, weights_fingerprint
from helpers.repro import hash_of, pick_device
from helpers.topics.cir.blip2 import States, cached_states, find_config
from helpers.topics.cir.triplets import Source, Triplet
from helpers.training.loop import Fitted, Settings, fit

NAME = "tiny-instructblip"
HUB = "Salesforce/instructblip-vicuna-7b"
START = "start.safetensors"  # the trained parts before lesson 07, beside the tiny checkpoint
QFORMER = "qformer_tokenizer"  # where InstructBLIP's checkpoints keep the Q-Former's tokenizer
CHANGE = "what has changed?"
DESCRIBE = "describe the first image"
TRAINED = ("qformer.", "query_tokens", "language_projection.")
PARTS = {
    "image encoder": "vision_model.", "Q-Former": "qformer.", "query tokens": "query_tokens",
    "projection": "language_projection.", "language model": "language_model.",
}  # fmt: skip
MARKER_SEED = 20
TEXT_TOKENS = 40  # of a text at most, its end among them, in training and in writing
UNFINISHED = "…"  # what stands behind a text that had not ended by then


class Stem(nn.Module):
    """Convolutions in the place of the patch embedding: (n, 3, px, px) to (n, width, px/p, px/p).

    The first one takes steps of a quarter of a patch; three stages of residual 3 x 3 convolutions
    follow, the first two halving each side at their end. Batch norms, with which it is trained,
    are folded into its weights. ``channels`` are those of the first two stages.
    """

    def __init__(self, patch: int, width: int, channels: Sequence[int]):
        super().__init__()
        a, b = channels
        self.layers = nn.ModuleList([
            nn.Conv2d(3, a, patch // 4, patch // 4), *residuals(a, 2),
            nn.Conv2d(a, b, 2, 2), *residuals(b, 2),
            nn.Conv2d(b, width, 2, 2), *residuals(width, 1),
        ])  # fmt: skip

    @property
    def weight(self) -> nn.Parameter:
        """What a patch embedding is asked for: the type of its weights."""
        return self.layers[0].weight

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            after = functional.relu(layer(x))
            x = x + after if layer.stride == (1, 1) else after
        return x


def residuals(channels: int, n: int) -> list[nn.Conv2d]:
    """``n`` convolutions whose output is added to their input."""
    return [nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(n)]


class HybridInstructBlip(InstructBlipForConditionalGeneration):
    """InstructBLIP whose image encoder may begin with convolutions.

    A configuration that names ``stem_channels`` in its ``vision_config`` gets a :class:`Stem` in
    the place of the patch embedding; any other is InstructBLIP as it is.
    """

    def __init__(self, config):
        super().__init__(config)
        vision = config.vision_config
        if channels := getattr(vision, "stem_channels", None):
            stem = Stem(vision.patch_size, vision.hidden_size, channels)
            self.vision_model.embeddings.patch_embedding = stem


@dataclass(frozen=True)
class Generator:
    """An InstructBLIP with its two tokenizers, in evaluation mode, ready to write."""

    name: str
    model: InstructBlipForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase  # of the language model
    qformer_tokenizer: PreTrainedTokenizerBase  # of the Q-Former, which reads the instruction too
    mean: tuple[float, ...]  # of the image encoder's preprocessing, a channel each
    std: tuple[float, ...]
    device: str = "cpu"
    fingerprint: str = ""  # a hash of all weights as they were loaded
    instruction: str = CHANGE  # the same for all pairs

    @property
    def image_px(self) -> int:
        """Side of the images that the image encoder reads."""
        return self.model.config.vision_config.image_size

    def with_instruction(self, instruction: str) -> "Generator":
        """The same model with another instruction."""
        return replace(self, instruction=instruction)

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """What the image encoder reads: (n, 3, px, px) float32."""
        size = (self.image_px, self.image_px)
        scaled = [one.convert("RGB").resize(size, Image.Resampling.BICUBIC) for one in images]
        values = torch.from_numpy(np.stack([np.asarray(one) for one in scaled])) / 255
        mean, std = (torch.tensor(v, dtype=torch.float32) for v in (self.mean, self.std))
        return ((values - mean) / std).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def states(self, images: Sequence[Image.Image]) -> Tensor:
        """The frozen image encoder's tokens, (n, tokens, width) float32, the class token first."""
        vision = self.model.vision_model
        pixels = self.pixels(images).to(self.device, vision.post_layernorm.weight.dtype)
        return vision(pixel_values=pixels).last_hidden_state.float()

    def cached_states(self, source: Source, names: Sequence[str]) -> States:
        """The states of images of a source, computed once and kept on disk in half precision."""
        seen = weights_fingerprint(self.model.vision_model)
        fingerprint = hash_of([seen, self.mean, self.std], digits=16)
        kind, px = "InstructBLIP states", self.image_px
        return cached_states(self.states, source, names, fingerprint=fingerprint, kind=kind, px=px)

    def prefix(self, reference: Tensor, target: Tensor) -> Tensor:
        """What stands before the text: (b, queries + prompt, width of the language model)."""
        kind = self.model.query_tokens.dtype
        tokens = paired(*(one.to(self.device, kind) for one in (reference, target)))
        soft = soft_tokens(self.model, tokens, self.qformer_ids())
        words = self.model.get_input_embeddings()(self.prompt_ids()).expand(len(soft), -1, -1)
        return torch.cat([soft.to(words.dtype), words], dim=1)

    def loss(self, reference: Tensor, target: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of the texts' tokens after the prefix, a mean over tokens."""
        return language_loss(self.model, self.prefix(reference, target), *self.text_ids(texts))

    @torch.inference_mode()
    def write(
        self, states: States, pairs: Sequence[tuple[str, str]], *, batch_size: int = 128,
        max_tokens: int = TEXT_TOKENS,
    ) -> list[str]:  # fmt: skip
        """What leads from each reference to its target, in words; greedy, so always the same.

        A text that has not ended after ``max_tokens`` gets ``UNFINISHED`` behind it. Pairs the
        other way round give the reverse text.
        """
        texts: list[str] = []
        for start in range(0, len(pairs), batch_size):
            references, targets = zip(*pairs[start : start + batch_size], strict=True)
            prefix = self.prefix(states.of(references), states.of(targets))
            written = self.model.language_model.generate(
                inputs_embeds=prefix,
                attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=self.device),
                max_new_tokens=max_tokens, do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id, eos_token_id=self.tokenizer.eos_token_id,
            )  # fmt: skip
            ended = (written == self.tokenizer.eos_token_id).any(dim=1).tolist()
            words = self.tokenizer.batch_decode(written, skip_special_tokens=True)
            texts += [w if end else w + UNFINISHED for w, end in zip(words, ended, strict=True)]
        return [" ".join(text.split()) for text in texts]

    @torch.inference_mode()
    def rows(self, states: States, names: Sequence[str], *, batch_size: int = 256) -> np.ndarray:
        """Images as (n, d) float32 unit rows: what the queries bring of each, centered.

        An image is paired with itself, and the first half of the queries counts. Neighbors in this
        space differ in what the generator can write about.
        """
        found = []
        for start in range(0, len(names), batch_size):
            seen = states.of(names[start : start + batch_size]).to(self.device)
            soft = soft_tokens(self.model, paired(seen, seen), self.qformer_ids())
            found.append(soft[:, : soft.shape[1] // 2].flatten(1).float().cpu())
        rows = torch.cat(found)
        return functional.normalize(rows - rows.mean(dim=0), dim=-1).numpy()

    def qformer_ids(self) -> Tensor:
        """(1, length) int64, the instruction as the Q-Former reads it."""
        ids = self.qformer_tokenizer(self.instruction, return_tensors="pt")["input_ids"]
        return ids.to(self.device)

    def prompt_ids(self) -> Tensor:
        """(1, length) int64: the start token and the instruction, for the language model."""
        ids = self.tokenizer(self.instruction, add_special_tokens=False)["input_ids"]
        return torch.tensor([[self.tokenizer.bos_token_id, *ids]], device=self.device)

    def text_ids(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts that end with the end token, padded on the right: ids and mask, (b, length)."""
        end = self.tokenizer.eos_token_id
        read = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        rows = [[*ids[: TEXT_TOKENS - 1], end] for ids in read]
        ids = torch.full((len(rows), max(map(len, rows))), int(self.tokenizer.pad_token_id or 0))
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        return ids.to(self.device), mask.to(self.device)


def paired(reference: Tensor, target: Tensor) -> Tensor:
    """Both images' tokens in one row with a marker: (b, n, d) twice to (b, 2 n + 1, d).

    The marker stands between the images, and is added to every token after it: cross-attention
    knows no order, so that a separator alone would leave unsaid which image is which. It is a fixed
    random direction of the tokens' own length, not trained.
    """
    if reference.shape != target.shape:
        raise ValueError(
            f"references are {tuple(reference.shape)} and targets {tuple(target.shape)}: encode "
            "both with the same generator, a target a reference"
        )
    drawn = torch.randn(reference.shape[-1], generator=torch.Generator().manual_seed(MARKER_SEED))
    scale = reference.float().square().mean(dim=(1, 2), keepdim=True).sqrt()  # (b, 1, 1)
    marker = (scale * drawn.to(reference.device)).to(reference.dtype)  # (b, 1, d)
    return torch.cat([reference, marker, target + marker], dim=1)


def soft_tokens(model: nn.Module, tokens: Tensor, qformer_ids: Tensor) -> Tensor:
    """What the queries bring to the language model: (b, m, d) tokens to (b, queries, width)."""
    queries = model.query_tokens.expand(len(tokens), -1, -1)
    out = model.qformer(
        input_ids=qformer_ids.expand(len(tokens), -1), query_embeds=queries,
        encoder_hidden_states=tokens,
    ).last_hidden_state  # fmt: skip
    return model.language_projection(out[:, : queries.shape[1]])


def language_loss(model: nn.Module, prefix: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of ``ids`` (b, length) after ``prefix`` (b, p, width), without padding."""
    words = model.get_input_embeddings()(ids[:, :-1])
    hidden = model.language_model.model(
        inputs_embeds=torch.cat([prefix, words], dim=1)
    ).last_hidden_state  # the padding stands at the end, where no token attends to it
    logits = model.language_model.lm_head(hidden[:, prefix.shape[1] - 1 :])  # (b, length, words)
    wanted = ids.masked_fill(mask == 0, -100)
    return functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten())


def only_trained(model: nn.Module) -> list[str]:
    """Let exactly Q-Former, query tokens and projection ask for gradients; returns their names."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED))
    return [name for name, p in model.named_parameters() if p.requires_grad]


def parts_of(model: nn.Module) -> pd.DataFrame:
    """What the model consists of: columns ``part``, ``parameters``, ``trained``."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    return pd.DataFrame([
        (part, sum(n for name, n in sizes.items() if name.startswith(start)), start in TRAINED)
        for part, start in PARTS.items()
    ], columns=["part", "parameters", "trained"])  # fmt: skip


def copy_of(generator: Generator) -> Generator:
    """A generator whose trained parts are copies; the frozen ones are shared."""
    shared = [p for n, p in generator.model.named_parameters() if not n.startswith(TRAINED)]
    return replace(generator, model=deepcopy(generator.model, memo={id(p): p for p in shared}))


def load_start(generator: Generator, model: str) -> Generator:
    """The generator as it is before any annotated triplet, from START beside its checkpoint.

    Without such a file, as beside a checkpoint of the hub, it is the generator itself, copied.
    """
    made, place = copy_of(generator), find_checkpoint(model, tiny=(NAME,)).folder / START
    if place.is_file():
        lost, odd = made.model.load_state_dict(load_file(place), strict=False)
        if odd or set(only_trained(made.model)) & set(lost):
            raise ModelError(f"{place} does not hold the trained parts of {generator.name}")
        made.model.requires_grad_(False)
    return made


def train(
    generator: Generator, triplets: Sequence[Triplet], states: States, *, steps: int,
    learning_rate: float = 1e-3, batch_size: int = 64, seed: int = 42, state: Path | None = None,
    progress: bool = False,
) -> Fitted:  # fmt: skip
    """Train Q-Former, query tokens and projection in place, on texts of both directions."""
    both = [(t.reference, t.targets[0], t.caption) for t in triplets]
    both += [(t.targets[0], t.reference, t.reverse) for t in triplets if t.reverse.strip()]
    frozen = [generator.model.vision_model, generator.model.language_model]
    before = [weights_fingerprint(one) for one in frozen]

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = [both[i] for i in rng.integers(0, len(both), batch_size)]
        references, targets, texts = zip(*chosen, strict=True)
        return generator.loss(states.of(references), states.of(targets), texts)

    settings = Settings(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, warmup=min(20, steps),
        schedule="cosine_over_all", weight_decay=0.05, betas=(0.9, 0.98), seed=seed, clamp=False,
    )  # fmt: skip
    only_trained(generator.model)
    fitted = fit(generator.model, loss, settings=settings, state=state, progress=progress)
    generator.model.requires_grad_(False)
    if [weights_fingerprint(one) for one in frozen] != before:
        raise RuntimeError(
            f"frozen weights of {generator.name} changed in training: image encoder and language "
            "model are to stay as they were loaded"
        )
    return fitted


def load_generator(
    model: str = NAME, *, device: str = "auto", precision: str = "fp32"
) -> Generator:
    """Open an InstructBLIP with a decoder-only language model: NAME, a folder, or a hub id.

    ``precision``, ``fp32`` or ``bf16``, is that of image encoder and language model; what is
    trained stays in fp32, since most steps of a small rate are lost in the eight digits of bf16.
    """
    checkpoint, _ = find_config(model, precision, kind="InstructBLIP", tiny=NAME, hub=HUB)
    weights = check_files(checkpoint, folders=("", QFORMER))
    network, loaded = opened(
        HybridInstructBlip, checkpoint, what=weights, dtype=DTYPES[precision],
        output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    check_filled(loaded, checkpoint)
    for folder in ("", QFORMER):
        find_vocabulary(checkpoint, folder)
    tokenizer = opened(AutoTokenizer, checkpoint, what="the tokenizer")
    reader = opened(AutoTokenizer, checkpoint, what=f"the tokenizer {QFORMER}", subfolder=QFORMER)
    if not network.config.use_decoder_only_language_model:
        kind = network.config.text_config.model_type
        raise ModelError(
            f"the language model of {model!r} is of kind {kind!r}, an encoder-decoder: use a "
            f"checkpoint with a decoder alone, such as {HUB}"
        )
    check_tokens(tokenizer, network.config.text_config.vocab_size, checkpoint)
    check_tokens(reader, network.config.qformer_config.vocab_size, checkpoint, QFORMER)
    fingerprint, target = weights_fingerprint(network), pick_device(device)
    network = network.eval().requires_grad_(False).to(target)
    for part, parameter in network.named_parameters():
        if part.startswith(TRAINED):
            parameter.data = parameter.data.float()
    mean, std = _statistics(checkpoint)
    return Generator(checkpoint.name, network, tokenizer, reader, mean, std, target, fingerprint)


def _statistics(checkpoint: Checkpoint) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the pixels."""
    for name in PREPROCESSORS:
        file = checkpoint.folder / name
        if not file.is_file():
            continue
        read = json.loads(file.read_text(encoding="utf-8"))
        read = read.get("image_processor", read)
        if "image_mean" in read and "image_std" in read:
            return tuple(read["image_mean"]), tuple(read["image_std"])
    raise ModelError(f"{checkpoint} has no {PREPROCESSORS[-1]} with image_mean and image_std")
