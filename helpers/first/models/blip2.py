"""BLIP-2 behind one face: pictures as tokens, texts as rows, and the Q-Former that joins both.

The retrieval class of ``transformers`` is opened from the tiny checkpoint, a directory or the hub
(``Salesforce/blip2-itm-vit-g``); its Q-Former is exchanged for one that needs no picture, with the
same weights. Vision tower and Q-Former are used apart: the tower is frozen, so that what it says of
a picture can be computed once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import AutoConfig, Blip2ForImageTextRetrieval, Blip2Processor

from helpers.first.evaluation.embeddings import check_embeddings
from helpers.first.models.encoders import Picture
from helpers.first.models.loading import DTYPES, weights_fingerprint
from helpers.first.models.opening import check_filled, check_pixels, check_tokens, open_parts
from helpers.first.models.qformer import image_optional
from helpers.first.models.tiny_blip2 import NAME
from helpers.models.checkpoints import ModelError, check_files, find_checkpoint, opened
from helpers.repro import pick_device

LONGEST_TEXT = 64  # tokens; what is longer is cut


@dataclass(frozen=True)
class Blip2:
    """A BLIP-2 with its processor.

    Attributes
    ----------
    name : str
    model : transformers.Blip2ForImageTextRetrieval
        In evaluation mode on ``device``, nothing trainable, its Q-Former image-optional.
    processor : transformers.Blip2Processor
    device, precision : str
        The precision is the vision tower's; the Q-Former stays float32, as ``transformers`` has it.
    fingerprint : str
        A hash of the weights as they were loaded.
    """

    name: str
    model: Blip2ForImageTextRetrieval
    processor: Blip2Processor
    device: str
    precision: str
    fingerprint: str

    @property
    def n_queries(self) -> int:
        """Tokens that a picture is made into."""
        return self.model.config.num_query_tokens

    @property
    def dimension(self) -> int:
        """Length of a row in the space that pictures and texts share."""
        return self.model.config.image_text_hidden_size

    @property
    def width(self) -> int:
        """Of the Q-Former's tokens."""
        return self.model.config.qformer_config.hidden_size

    @property
    def text_length(self) -> int:
        """How many tokens of a text are read."""
        positions = self.model.config.qformer_config.max_position_embeddings
        return min(positions, LONGEST_TEXT)

    def states(
        self, pictures: Iterable[Picture], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """What the vision tower says of pictures: (n, tokens, vision width) float32.

        Raises
        ------
        ValueError
            If there is no picture.
        """

        def run(batch: list[Picture]) -> torch.Tensor:
            opened = [picture() if callable(picture) else picture for picture in batch]
            done = self.processor.image_processor(images=opened, return_tensors="pt")
            vision = self.model.vision_model
            return vision(done["pixel_values"].to(self.device, vision.dtype)).last_hidden_state

        return self._batched(pictures, run, batch_size, progress, "image")

    def tokens(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask``, (n, longest) int64, on the model's device."""
        read = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.text_length,
            return_tensors="pt", return_token_type_ids=False,
        )  # fmt: skip
        return {name: read[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def count_cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than the Q-Former reads."""
        read = self.processor.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > self.text_length for ids in read)

    def images(
        self, pictures: Iterable[Picture], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """Pictures as (n, n_queries, dimension) float32, unit tokens."""
        states = self.states(pictures, batch_size=batch_size, progress=progress)

        def run(batch: list[np.ndarray]) -> torch.Tensor:
            seen = torch.from_numpy(np.stack(batch)).to(self.device)
            return image_tokens(self.model, seen)

        return self._batched(list(states), run, batch_size, False, "image")

    def image_rows(self, pictures: Iterable[Picture], **options) -> np.ndarray:
        """Pictures as (n, dimension) float32 unit rows: the mean of their tokens, normalized."""
        rows = self.images(pictures, **options).mean(axis=1)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return check_embeddings(rows, name=f"image embeddings of {self.name}")

    def texts(
        self, texts: Sequence[str], *, batch_size: int = 256, progress: bool = False
    ) -> np.ndarray:
        """Texts as (n, dimension) float32 unit rows."""
        rows = self._batched(
            texts, lambda batch: text_rows(self.model, **self.tokens(batch)),
            batch_size, progress, "text",
        )  # fmt: skip
        return check_embeddings(rows, name=f"text embeddings of {self.name}")

    def _batched(
        self, items: Iterable, run: Callable, batch_size: int, progress: bool, unit: str
    ) -> np.ndarray:
        stream, done = iter(items), []
        total = len(items) if isinstance(items, Sequence) else None
        bar = tqdm(total=total, desc=f"reading with {self.name}", unit=unit, disable=not progress)
        with torch.inference_mode(), bar:
            while batch := list(islice(stream, batch_size)):
                done.append(run(batch).float().cpu().numpy())
                bar.update(len(batch))
        if not done:
            raise ValueError(f"no {unit} was given to {self.name}; give at least one")
        return np.concatenate(done)


def image_tokens(model: Blip2ForImageTextRetrieval, states: torch.Tensor) -> torch.Tensor:
    """Pictures as unit tokens of the shared space.

    Parameters
    ----------
    states : (b, t, vision width) float
        Of the vision tower.

    Returns
    -------
    (b, n_queries, dimension) float32
    """
    queries = model.query_tokens.expand(len(states), -1, -1)
    seen = model.qformer(query_embeds=queries, encoder_hidden_states=states).last_hidden_state
    return functional.normalize(model.vision_projection(seen), dim=-1)


def text_rows(
    model: Blip2ForImageTextRetrieval, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """Texts as unit rows of the shared space: (b, dimension) float32, from their first token."""
    embedded = model.embeddings(input_ids=input_ids)
    read = model.qformer(query_embeds=embedded, query_length=0, attention_mask=attention_mask)
    return functional.normalize(model.text_projection(read.last_hidden_state[:, 0]), dim=-1)


def joint_states(
    model: Blip2ForImageTextRetrieval,
    queries: torch.Tensor,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    states: torch.Tensor | None,
) -> torch.Tensor:
    """Query tokens and a text read together, with a picture or without one.

    Parameters
    ----------
    queries : (1 or b, n, width) float32
        The model's query tokens, or what stands in their place.
    input_ids, attention_mask : (b, l) int64
    states : (b, t, vision width) float, or None
        Of the vision tower; None: cross-attention is skipped.

    Returns
    -------
    (b, n + l, width) float32
        The queries first, then the text.
    """
    queries = queries.expand(len(input_ids), -1, -1)
    n = queries.shape[1]
    mask = torch.cat([attention_mask.new_ones(len(input_ids), n), attention_mask], dim=1)
    return model.qformer(
        query_embeds=model.embeddings(input_ids=input_ids, query_embeds=queries),
        query_length=n, attention_mask=mask, encoder_hidden_states=states,
    ).last_hidden_state  # fmt: skip


def load_blip2(model: str, *, device: str = "auto", precision: str = "fp32") -> Blip2:
    """Open a BLIP-2 for retrieval.

    Parameters
    ----------
    model : str
        ``tiny-blip2``; a directory with configuration, weights, tokenizer and preprocessor; or a
        hub id such as ``Salesforce/blip2-itm-vit-g``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : str
        Of the vision tower: ``fp32`` or ``bf16``.

    Raises
    ------
    ModelError
        If the model is not found, is incomplete, or is no BLIP-2 that reads texts.

    Examples
    --------
    >>> load_blip2("tiny-blip2", device="cpu").texts(["tomato soup", "a red mug"]).shape
    (2, 96)
    """
    if precision not in DTYPES:
        raise ModelError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    checkpoint = find_checkpoint(model, tiny=(NAME,))
    config = opened(AutoConfig, checkpoint, what="config.json")
    if config.model_type != "blip-2":
        raise ModelError(
            f"model {model!r} is a {config.model_type!r} model, no BLIP-2: give {NAME}, a "
            "directory, or a hub id such as Salesforce/blip2-itm-vit-g"
        )
    if not config.qformer_config.use_qformer_text_input:
        raise ModelError(
            f"the Q-Former of {model!r} reads no text: it is a BLIP-2 for captioning; give one for "
            "retrieval, such as Salesforce/blip2-itm-vit-g"
        )
    weights = check_files(checkpoint)
    network, loaded = opened(
        Blip2ForImageTextRetrieval, checkpoint, what=weights, dtype=torch.float32,
        output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    check_filled(loaded, checkpoint)
    processor = open_parts(checkpoint, Blip2Processor)
    check_tokens(processor.tokenizer, config.qformer_config.vocab_size, checkpoint)
    check_pixels(processor.image_processor, config.vision_config.image_size, checkpoint)
    fingerprint, target = weights_fingerprint(network), pick_device(device)
    network.qformer = image_optional(network.qformer)
    network = network.eval().requires_grad_(False).to(target)
    network.vision_model.to(DTYPES[precision])
    return Blip2(checkpoint.name, network, processor, target, precision, fingerprint)
