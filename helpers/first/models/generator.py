"""The modification-text generator: an InstructBLIP that sees two images and writes what changed.

The Q-Former's queries look at the tokens of both images, with a marker; what they bring back is
projected in front of the language model's prompt, as ever in InstructBLIP (Dai et al.,
"InstructBLIP: towards general-purpose vision-language models with instruction tuning", 2023). Image
encoder and language model stay frozen; Q-Former, query tokens and projection alone are trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm
from transformers import InstructBlipForConditionalGeneration, PreTrainedTokenizerBase

from helpers.world.reading import CHANGE

Picture = Image.Image | Callable[[], Image.Image]
TRAINED = ("qformer.", "query_tokens", "language_projection.")
PARTS = {
    "image encoder": "vision_model.", "Q-Former": "qformer.", "query tokens": "query_tokens",
    "projection": "language_projection.", "language model": "language_model.",
}  # fmt: skip
MARKER_SEED = 20
TEXT_TOKENS = 40  # of a text at most, its end among them, in training and in writing
UNFINISHED = "…"  # what stands behind a text that had not ended by then


class GeneratorError(ValueError):
    """A generator that cannot be used: a wrong checkpoint, or weights of another."""


@dataclass(frozen=True)
class Generator:
    """An InstructBLIP with its two tokenizers, ready to write.

    Attributes
    ----------
    name : str
    model : InstructBlipForConditionalGeneration
        In evaluation mode, on ``device``; no parameter asks for a gradient.
    tokenizer, qformer_tokenizer : PreTrainedTokenizerBase
        Of the language model, and of the Q-Former, which reads the instruction too.
    mean, std : tuple of float
        Of the image encoder's preprocessing, a channel each.
    device : str
    fingerprint : str
        A hash of all weights as they were loaded.
    instruction : str
        What the model is told; the same for all pairs.
    """

    name: str
    model: InstructBlipForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    qformer_tokenizer: PreTrainedTokenizerBase
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    fingerprint: str
    instruction: str = CHANGE

    def with_instruction(self, instruction: str) -> "Generator":
        """The same model, told something else."""
        return replace(self, instruction=instruction)

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """What the image encoder reads: (n, 3, px, px) float32; no processor class is needed."""
        side = self.model.config.vision_config.image_size
        scaled = [p.convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for p in pictures]
        values = torch.from_numpy(np.stack([np.asarray(p) for p in scaled])) / 255
        mean, std = (torch.tensor(v, dtype=torch.float32) for v in (self.mean, self.std))
        return ((values - mean) / std).permute(0, 3, 1, 2)  # (n, 3, px, px)

    @torch.inference_mode()
    def see(
        self, pictures: Sequence[Picture], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """The frozen encoder's tokens of pictures, to be computed once.

        Returns
        -------
        (n, tokens, width) float32
            Class token first; (n, 65, 96) for ``tiny-instructblip``.
        """
        found = []
        for start in tqdm(
            range(0, len(pictures), batch_size), desc=f"seeing with {self.name}", unit="batch",
            disable=not progress,
        ):  # fmt: skip
            batch = pictures[start : start + batch_size]
            opened = [p if isinstance(p, Image.Image) else p() for p in batch]
            eyes = self.model.vision_model
            pixels = self.pixels(opened).to(self.device, eyes.post_layernorm.weight.dtype)
            tokens = eyes(pixel_values=pixels).last_hidden_state
            found.append(tokens.float().cpu().numpy())
        if not found:
            raise GeneratorError(f"no picture was given to {self.name}")
        return np.concatenate(found)

    @torch.inference_mode()
    def write(
        self,
        reference: np.ndarray,
        target: np.ndarray,
        *,
        batch_size: int = 64,
        max_tokens: int = TEXT_TOKENS,
        progress: bool = False,
    ) -> list[str]:
        """What leads from each reference to its target, in words; greedy, so always the same.

        Parameters
        ----------
        reference, target : (q, tokens, width) float
            From :meth:`see`. Swapped, they give the reverse text.
        max_tokens : int
            A text that has not ended by then gets ``UNFINISHED`` behind it.

        Examples
        --------
        >>> generator = load_generator("tiny-instructblip")  # doctest: +SKIP
        >>> generator.write(seen[:1], seen[1:2])  # doctest: +SKIP
        ['on a red plate']
        """
        texts: list[str] = []
        for start in tqdm(
            range(0, len(reference), batch_size), desc=f"writing with {self.name}", unit="batch",
            disable=not progress,
        ):  # fmt: skip
            rows = slice(start, start + batch_size)
            pair = [torch.from_numpy(np.ascontiguousarray(x[rows])) for x in (reference, target)]
            kind = self.model.query_tokens.dtype
            prefix = self.prefix(*(x.to(self.device, kind) for x in pair))
            written = self.model.language_model.generate(
                inputs_embeds=prefix,
                attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=self.device),
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            )
            ended = (written == self.tokenizer.eos_token_id).any(dim=1).tolist()
            words = self.tokenizer.batch_decode(written, skip_special_tokens=True)
            texts += [w if end else w + UNFINISHED for w, end in zip(words, ended, strict=True)]
        return [" ".join(text.split()) for text in texts]

    def prefix(self, reference: Tensor, target: Tensor) -> Tensor:
        """What stands before the text: (b, queries + prompt, width of the language model)."""
        soft = soft_tokens(self.model, paired(reference, target), self.qformer_ids())
        words = self.model.get_input_embeddings()(self.prompt_ids()).expand(len(soft), -1, -1)
        return torch.cat([soft.to(words.dtype), words], dim=1)

    def qformer_ids(self) -> Tensor:
        """(1, length) int64, the instruction as the Q-Former reads it."""
        ids = self.qformer_tokenizer(self.instruction, return_tensors="pt")["input_ids"]
        return ids.to(self.device)

    def prompt_ids(self) -> Tensor:
        """(1, length) int64: the start token and the instruction, for the language model."""
        ids = self.tokenizer(self.instruction, add_special_tokens=False)["input_ids"]
        return torch.tensor([[self.tokenizer.bos_token_id, *ids]], device=self.device)

    def text_ids(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts that end with the end token, padded on the right: ids and mask, (b, length).

        No longer than ``TEXT_TOKENS``; :meth:`too_long` counts the texts whose ends are lost.
        """
        end = self.tokenizer.eos_token_id
        rows = [[*ids[: TEXT_TOKENS - 1], end] for ids in self._word_ids(texts)]
        ids = torch.full((len(rows), max(map(len, rows))), int(self.tokenizer.pad_token_id or 0))
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        return ids.to(self.device), mask.to(self.device)

    def too_long(self, texts: Sequence[str]) -> int:
        """How many texts have more than ``TEXT_TOKENS`` tokens with their end."""
        return sum(len(ids) >= TEXT_TOKENS for ids in self._word_ids(texts))

    def _word_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

    def loss(self, reference: Tensor, target: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of the texts' tokens after the prefix, a mean over tokens."""
        ids, mask = self.text_ids(texts)
        return language_loss(self.model, self.prefix(reference, target), ids, mask)


def paired(reference: Tensor, target: Tensor) -> Tensor:
    """Both images' tokens in one row with a marker: (b, n, d) twice to (b, 2 n + 1, d).

    The marker stands between the images, and is added to every token after it: cross-attention
    knows no order, so that a separator alone would leave unsaid which image is which. It is a fixed
    random direction of the tokens' own length, not trained.
    """
    if reference.shape != target.shape:
        raise GeneratorError(
            f"references are {tuple(reference.shape)} and targets {tuple(target.shape)}: see both "
            "with the same generator, a target a reference"
        )
    drawn = torch.randn(reference.shape[-1], generator=torch.Generator().manual_seed(MARKER_SEED))
    scale = reference.float().square().mean(dim=(1, 2), keepdim=True).sqrt()  # (b, 1, 1)
    marker = (scale * drawn.to(reference.device)).to(reference.dtype)  # (b, 1, d)
    return torch.cat([reference, marker, target + marker], dim=1)


def soft_tokens(
    model: InstructBlipForConditionalGeneration, tokens: Tensor, qformer_ids: Tensor
) -> Tensor:
    """What the queries bring to the language model: (b, m, d) tokens to (b, queries, width)."""
    queries = model.query_tokens.expand(len(tokens), -1, -1)
    out = model.qformer(
        input_ids=qformer_ids.expand(len(tokens), -1),
        query_embeds=queries,
        encoder_hidden_states=tokens,
    ).last_hidden_state
    return model.language_projection(out[:, : queries.shape[1]])


def language_loss(
    model: InstructBlipForConditionalGeneration, prefix: Tensor, ids: Tensor, mask: Tensor
) -> Tensor:
    """Mean cross-entropy of ``ids`` (b, length) after ``prefix`` (b, p, width), without padding."""
    words = model.get_input_embeddings()(ids[:, :-1])
    hidden = model.language_model.model(
        inputs_embeds=torch.cat([prefix, words], dim=1)
    ).last_hidden_state  # the padding stands at the end, where no token looks back at it
    logits = model.language_model.lm_head(hidden[:, prefix.shape[1] - 1 :])  # (b, length, words)
    wanted = ids.masked_fill(mask == 0, -100)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten())


def only_trained(model: InstructBlipForConditionalGeneration) -> dict[str, torch.nn.Parameter]:
    """Let exactly Q-Former, query tokens and projection ask for gradients; these, by name.

    Raises
    ------
    GeneratorError
        If the model lacks one of the three.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED))
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for part in TRAINED:
        if not any(name.startswith(part) for name in found):
            raise GeneratorError(f"{type(model).__name__} has no {part.rstrip('.')} to train")
    return found


def parts_of(model: InstructBlipForConditionalGeneration) -> pd.DataFrame:
    """What the model consists of: columns ``part``, ``parameters``, ``trained``."""
    rows = []
    for part, start in PARTS.items():
        sizes = [p.numel() for name, p in model.named_parameters() if name.startswith(start)]
        rows.append({"part": part, "parameters": sum(sizes), "trained": start in TRAINED})
    total = sum(p.numel() for p in model.parameters())
    if (counted := sum(row["parameters"] for row in rows)) != total:
        raise GeneratorError(f"{total - counted} of {total} parameters belong to no known part")
    return pd.DataFrame(rows)
