"""Pairs to train on: images and captions prepared once, batches drawn by seed.

Gathering draws at random (augmentation) and is done once a step; encoding is done twice by gradient
caching. So the two are apart, and whoever has something better than pixels to start from, such as
the cached output of a frozen prefix, hands over other :class:`Towers`.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from helpers.data.sets import RetrievalSet
from helpers.models.encoder import Encoder
from helpers.repro import hash_of

Transform = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class TrainingPairs:
    """p positive pairs over n images and m captions, and captions that are wrong on purpose.

    Attributes
    ----------
    items : (p,) str
        The item of each pair.
    image_ids, text_ids : (p,) int64
        Which image and which caption each pair joins.
    image_keys : (n,) str
    captions : (m,) str
    pixels : (n, 3, image_px, image_px) uint8
        Resized and cropped as the model wants them, not yet scaled.
    tokens : dict of (m, length) int64
    negative_image_ids, negative_text_ids : (q,) int64
        Explicit negatives: pairs with label 0.
    """

    items: np.ndarray
    image_ids: np.ndarray
    text_ids: np.ndarray
    image_keys: np.ndarray
    captions: np.ndarray
    pixels: torch.Tensor
    tokens: dict[str, torch.Tensor]
    negative_image_ids: np.ndarray
    negative_text_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def item_ids(self) -> np.ndarray:
        """(p,) int64: the items, numbered."""
        return np.unique(self.items, return_inverse=True)[1]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of pairs, captions and pixels."""
        columns = (
            self.items, self.image_keys[self.image_ids], self.captions[self.text_ids],
            self.image_keys[self.negative_image_ids], self.captions[self.negative_text_ids],
        )  # fmt: skip
        tensors = {"pixels": self.pixels, **self.tokens}
        sums = {k: hashlib.sha256(v.contiguous().numpy()).hexdigest() for k, v in tensors.items()}
        return hash_of([[c.tolist() for c in columns], sums])

    def positives(self, rows: np.ndarray) -> np.ndarray:
        """(b, b) bool: pairs of a batch that share item, image or caption, so are no negatives."""
        columns = (self.item_ids[rows], self.image_ids[rows], self.text_ids[rows])
        return np.logical_or.reduce([c[:, None] == c[None] for c in columns])

    def negative_positives(self, rows: np.ndarray, text_ids: np.ndarray) -> np.ndarray:
        """(b, e) bool: captions that are correct for the item of a pair after all."""
        m = len(self.captions)
        known = self.item_ids * m + self.text_ids
        return np.isin(self.item_ids[rows][:, None] * m + text_ids[None], known)

    def draw_negatives(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One explicit negative for the image of each pair that has any: (e,) int64, e <= b."""
        order = np.argsort(self.negative_image_ids, kind="stable")
        sorted_ids = self.negative_image_ids[order]
        first = np.searchsorted(sorted_ids, self.image_ids[rows], "left")
        count = np.searchsorted(sorted_ids, self.image_ids[rows], "right") - first
        pick = first + (rng.random(len(rows)) * count).astype(np.int64)
        return self.negative_text_ids[order[pick[count > 0]]]


def prepare_pairs(
    encoder: Encoder,
    data: RetrievalSet,
    *,
    negatives: Sequence[tuple[int, str]] = (),
    progress: bool = True,
) -> TrainingPairs:
    """Decode, resize and tokenize a retrieval set once; each image is paired with each caption.

    Parameters
    ----------
    encoder : Encoder
        Whose processor is used.
    data : RetrievalSet
        An image is paired with every caption of its item.
    negatives : sequence of (int, str)
        Explicit negatives: the number of an image in ``data``, and a caption that is wrong for it.

    Raises
    ------
    ValueError
        If there are fewer than two pairs.
    """
    items, captions = np.asarray(data.image_items, str), np.asarray(data.captions, str)
    of_item = pd.Series(np.arange(len(captions))).groupby(np.asarray(data.caption_items, str))
    texts_of = {item: ids.to_numpy() for item, ids in of_item}
    pairs = [(i, j) for i, item in enumerate(items) for j in texts_of.get(item, ())]
    if len(pairs) < 2:
        raise ValueError(f"{len(pairs)} positive pairs: contrastive training needs at least two")
    image_ids, text_ids = np.array(pairs, dtype=np.int64).T
    text_ids_all, unique = pd.factorize(np.array([*captions, *(text for _, text in negatives)]))
    text_ids = text_ids_all[text_ids]  # equal captions of two items are one text
    bar = tqdm(data.images, desc="reading images", unit="image", leave=False, disable=not progress)
    keys = [str(key) for key in getattr(data.images, "keys", range(len(items)))]
    return TrainingPairs(
        items[image_ids], image_ids, text_ids, np.array(keys), unique.astype(str),
        torch.cat([resized(encoder, image) for image in bar]), encoder.prepare_texts(list(unique)),
        np.array([image for image, _ in negatives], dtype=np.int64),
        text_ids_all[len(captions) :].astype(np.int64),
    )  # fmt: skip


def epoch_batches(
    pairs: TrainingPairs, *, batch_size: int, draw: str, seed: int, epoch: int
) -> Iterator[np.ndarray]:
    """The batches of an epoch as (b,) int64 numbers of pairs: a pure function of seed and epoch.

    A rest that fills no batch waits for the next epoch's shuffle; fewer pairs than a batch make one
    smaller batch. ``draw`` is ``pair``: every pair once an epoch; ``image``: every image once, with
    one of its captions; ``item``: every item once, with one of its pairs.
    """
    rng = np.random.default_rng([seed, epoch])
    rows = rng.permutation(len(pairs))
    if draw != "pair":
        groups = pairs.image_ids if draw == "image" else pairs.item_ids
        rows = rows[np.sort(np.unique(groups[rows], return_index=True)[1])]
    size = min(batch_size, len(rows))
    for start in range(0, len(rows) - size + 1, size):
        yield rows[start : start + size]


@dataclass(frozen=True)
class Towers:
    """From numbers of images and captions to embeddings, in two stages.

    Attributes
    ----------
    gather_images : callable
        (b,) int64 numbers of images and a generator, to whatever ``encode_images`` takes.
    encode_images : callable
        To (b, d) float32 unit rows with a graph.
    gather_texts, encode_texts : callable
        Likewise for captions, without a generator.
    """

    gather_images: Callable[[torch.Tensor, torch.Generator], Any]
    encode_images: Callable[[Any], torch.Tensor]
    gather_texts: Callable[[torch.Tensor], Any]
    encode_texts: Callable[[Any], torch.Tensor]


def plain_towers(
    encoder: Encoder, pairs: TrainingPairs, *, transform: Transform | None = None
) -> Towers:
    """The whole towers of a model, over pixels and tokens.

    ``transform`` is an augmentation: (b, 3, px, px) float32 in [0, 1] on the CPU and a seeded
    generator, to the same shape. It may draw from the generator or from torch's global state, which
    is seeded for every step.
    """

    def gather_images(ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        pixels = pairs.pixels[ids].float() / 255  # (b, 3, px, px)
        if transform is not None:
            pixels = transform(pixels, generator).clamp(0, 1)
        return normalized(pixels, encoder).to(encoder.device)

    def gather_texts(ids: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: tokens[ids].to(encoder.device) for name, tokens in pairs.tokens.items()}

    return Towers(gather_images, encoder.image_features, gather_texts, encoder.text_features)


def gather(
    pairs: TrainingPairs,
    towers: Towers,
    rows: np.ndarray,
    generator: torch.Generator,
    rng: np.random.Generator | None = None,
) -> tuple[Any, ...]:
    """A micro-batch: numbers of pairs, what the towers read; with ``rng`` also negatives."""
    images = towers.gather_images(torch.from_numpy(pairs.image_ids[rows]), generator)
    texts = towers.gather_texts(torch.from_numpy(pairs.text_ids[rows]))
    batch = (torch.from_numpy(rows), images, texts)
    if rng is None:
        return batch
    extra = torch.from_numpy(pairs.draw_negatives(rows, rng))
    return (*batch, extra, towers.gather_texts(extra))


def encode_batch(
    towers: Towers, batch: tuple[Any, ...], *, device: str = "cpu", precision: str = "fp32"
) -> tuple[torch.Tensor, ...]:
    """A micro-batch to numbers of pairs, image rows, text rows; numbers and rows of negatives."""
    rows, images, texts, *extra = batch
    half = precision == "bf16"
    with torch.autocast(device.split(":")[0], torch.bfloat16) if half else nullcontext():
        found = [towers.encode_images(images), towers.encode_texts(texts)]
        if extra:  # a micro-batch may happen to have none
            found.append(towers.encode_texts(extra[1]) if len(extra[0]) else found[1][:0])
    return (rows, *found) if not extra else (rows, *found[:2], extra[0], found[2])


def normalized(pixels: torch.Tensor, encoder: Encoder) -> torch.Tensor:
    """Pixels in [0, 1] as the vision tower reads them, by the processor's mean and deviation."""
    processor = encoder.processor.image_processor
    if processor.do_rescale and abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise ValueError(
            f"the image processor of {encoder.name} rescales by {processor.rescale_factor}; only "
            "1/255 is known here: prepare pixel values yourself and train on towers of your own"
        )
    if not processor.do_normalize:
        return pixels
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std)
    )
    return (pixels - mean) / deviation


def resized(encoder: Encoder, image: Any) -> torch.Tensor:
    """An image as the model wants it, not yet scaled: (1, 3, image_px, image_px) uint8."""
    done = encoder.processor.image_processor(
        images=[image], do_rescale=False, do_normalize=False, return_tensors="pt"
    )["pixel_values"]
    return done.to(torch.uint8)
