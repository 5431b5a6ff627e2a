"""CLIP and SigLIP behind one face: pictures and captions in, unit rows out.

:func:`helpers.first.models.loading.load_encoder` makes one from a tiny checkpoint, a directory or a hub
id; nothing that uses an encoder knows which.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel, ProcessorMixin

from helpers.first.evaluation.embeddings import check_embeddings
from helpers.first.models.opening import lowers

Picture = Image.Image | Callable[[], Image.Image]


@dataclass(frozen=True)
class Encoder:
    """A vision-language model with its processor, ready to encode.

    Attributes
    ----------
    name : str
        ``tiny-siglip``, a hub id, or the last part of a directory's path.
    family : str
        ``clip`` or ``siglip``.
    model : transformers.PreTrainedModel
        In evaluation mode, on ``device``.
    processor : transformers.ProcessorMixin
    device, precision : str
    fingerprint : str
        A hash of the weights as they were loaded, before any change of precision.
    revision : str
        The commit of a hub model; empty: nothing says which it is.
    """

    name: str
    family: str
    model: PreTrainedModel
    processor: ProcessorMixin
    device: str
    precision: str
    fingerprint: str
    revision: str = ""

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        if self.family == "clip":
            return self.model.config.projection_dim
        return self.model.config.vision_config.hidden_size

    @property
    def text_length(self) -> int:
        """How many tokens the text tower reads; longer captions are cut."""
        return self.model.config.text_config.max_position_embeddings

    @property
    def text_rules(self) -> str:
        """How texts are read, for records: ``in lower case, padded to 64 tokens``."""
        case = "in lower case" if lowers(self.processor.tokenizer) else "with their capitals"
        padding = "padded" if self.family == "siglip" else "cut"
        return f"{case}, {padding} to {self.text_length} tokens"

    @property
    def image_px(self) -> int:
        """Side of the pictures that the vision tower reads."""
        return self.model.config.vision_config.image_size

    @property
    def logit_scale(self) -> float:
        """The learned inverse temperature (not its logarithm)."""
        return float(self.model.logit_scale.detach().float().exp())

    @property
    def logit_bias(self) -> float:
        """SigLIP's learned bias; 0 for CLIP, which has none."""
        bias = getattr(self.model, "logit_bias", None)
        return 0.0 if bias is None else float(bias.detach().float())

    def pixels(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """What the vision tower reads: (n, 3, image_px, image_px) float32 on the CPU."""
        done = self.processor.image_processor(images=list(pictures), return_tensors="pt")
        return done["pixel_values"]

    def tokens(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """What the text tower reads: ``input_ids`` (n, length) int64, CLIP also a mask.

        SigLIP pools the last token and attends to the padding, as in its training: it is padded to
        its full length and gets no mask. CLIP pools the end token and is padded to the longest.
        """
        siglip = self.family == "siglip"
        return dict(
            self.processor.tokenizer(
                list(captions),
                padding="max_length" if siglip else "longest",
                truncation=True,
                max_length=self.text_length,
                return_attention_mask=not siglip,
                return_tensors="pt",
            )
        )

    def count_cut(self, captions: Sequence[str]) -> int:
        """How many captions are longer than the text tower reads."""
        tokenizer = self.processor.tokenizer
        lengths = (
            len(ids)
            for ids in tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        )
        return sum(length > self.text_length for length in lengths)

    def images(
        self, pictures: Iterable[Picture], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """Embeddings of pictures.

        Parameters
        ----------
        pictures : iterable of PIL.Image.Image or of functions that load one
            Functions are called batch by batch, so that a corpus need not fit in memory.
        batch_size : int
        progress : bool

        Returns
        -------
        (n, dimension) float32, unit rows

        Raises
        ------
        InvalidEmbeddings
            If a row is not finite, is zero, or all rows are the same.
        """

        def run(batch: Sequence[Picture]) -> torch.Tensor:
            opened = [p if isinstance(p, Image.Image) else p() for p in batch]
            pixels = self.pixels(opened).to(self.device, self.model.dtype)
            return self.model.get_image_features(pixel_values=pixels).pooler_output

        return self._encode(pictures, run, batch_size, progress, "image")

    def texts(
        self, captions: Sequence[str], *, batch_size: int = 256, progress: bool = False
    ) -> np.ndarray:
        """Embeddings of captions, (n, dimension) float32, unit rows; see :meth:`images`."""

        def run(batch: Sequence[str]) -> torch.Tensor:
            tokens = {name: t.to(self.device) for name, t in self.tokens(batch).items()}
            return self.model.get_text_features(**tokens).pooler_output

        return self._encode(captions, run, batch_size, progress, "caption")

    def _encode(
        self,
        items: Iterable[Any],
        run: Callable[[Sequence[Any]], torch.Tensor],
        batch_size: int,
        progress: bool,
        unit: str,
    ) -> np.ndarray:
        total = len(items) if isinstance(items, Sequence) else None
        rows = []
        bar = tqdm(total=total, desc=f"encoding with {self.name}", unit=unit, disable=not progress)
        with torch.inference_mode(), bar:
            for batch in _batches(items, batch_size):
                rows.append(F.normalize(run(batch).float(), dim=-1).cpu().numpy())
                bar.update(len(batch))
        if not rows:
            raise ValueError(f"nothing to encode: no {unit} was given to {self.name}")
        done = np.concatenate(rows)  # (n, dimension)
        check_embeddings(done, name=f"{unit} embeddings of {self.name}")
        return done


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch
