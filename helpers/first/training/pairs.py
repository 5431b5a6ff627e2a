"""Pairs ready to train on: pictures and captions prepared once, batches drawn by seed."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm.auto import tqdm

from helpers.first.models.encoders import Encoder
from helpers.repro import hash_of

DRAWS = ("pair", "image", "recipe")


@dataclass(frozen=True)
class TrainingPairs:
    """p matching pairs over n pictures and m captions, and captions that are wrong on purpose.

    Attributes
    ----------
    recipe_ids : (p,) str
    image_rows, text_rows : (p,) int64
        Which picture and which caption each pair joins.
    image_keys : (n,) str
    captions : (m,) str
    pixels : (n, 3, image_px, image_px) uint8
        Resized and cropped as the model wants them, not yet scaled.
    tokens : dict of (m, length) int64
    negative_image_rows, negative_text_rows : (q,) int64
        Explicit negatives: pairs with label 0.
    """

    recipe_ids: np.ndarray
    image_rows: np.ndarray
    text_rows: np.ndarray
    image_keys: np.ndarray
    captions: np.ndarray
    pixels: torch.Tensor
    tokens: dict[str, torch.Tensor]
    negative_image_rows: np.ndarray
    negative_text_rows: np.ndarray

    def __len__(self) -> int:
        return len(self.recipe_ids)

    @cached_property
    def recipe_rows(self) -> np.ndarray:
        """(p,) int64: the recipes, numbered."""
        return np.unique(self.recipe_ids, return_inverse=True)[1]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of pairs, captions and pixels."""
        columns = (
            self.recipe_ids, self.image_keys[self.image_rows], self.captions[self.text_rows],
            self.image_keys[self.negative_image_rows], self.captions[self.negative_text_rows],
        )  # fmt: skip
        tensors = {"pixels": self.pixels, **self.tokens}
        return hash_of([[c.tolist() for c in columns], {k: _sum(v) for k, v in tensors.items()}])

    def positives(self, rows: np.ndarray) -> np.ndarray:
        """(b, b) bool: pairs of a batch that share recipe, picture or caption, so are no strangers.

        >>> pairs.positives(np.array([0, 1]))  # doctest: +SKIP
        """
        columns = (self.recipe_rows[rows], self.image_rows[rows], self.text_rows[rows])
        return np.logical_or.reduce([c[:, None] == c[None] for c in columns])

    def extra_positives(self, rows: np.ndarray, text_rows: np.ndarray) -> np.ndarray:
        """(b, e) bool: captions that are right for the recipe of a pair after all."""
        m = len(self.captions)
        known = self.recipe_rows * m + self.text_rows
        return np.isin(self.recipe_rows[rows][:, None] * m + text_rows[None], known)

    def draw_negatives(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One explicit negative for the picture of each pair that has any: (e,) int64, e <= b."""
        order = np.argsort(self.negative_image_rows, kind="stable")
        sorted_rows = self.negative_image_rows[order]
        first = np.searchsorted(sorted_rows, self.image_rows[rows], "left")
        count = np.searchsorted(sorted_rows, self.image_rows[rows], "right") - first
        pick = first + (rng.random(len(rows)) * count).astype(np.int64)
        return self.negative_text_rows[order[pick[count > 0]]]


def prepare_pairs(
    frame: pd.DataFrame,
    encoder: Encoder,
    load_image: Callable[[str], Image.Image],
    *,
    progress: bool = True,
) -> TrainingPairs:
    """Decode, resize and tokenize what a frame of pairs names, each picture and caption once.

    Parameters
    ----------
    frame : DataFrame
        ``recipe_id, image_key, caption`` and, where there are negatives, ``label`` ("1" or "0"):
        a row with label 0 says that this caption is wrong for this picture.
    encoder : Encoder
        Whose processor and tokenizer are to be used.
    load_image : callable
        Key to picture, such as ``pairs.image``.
    progress : bool

    Raises
    ------
    ValueError
        If there are fewer than two positive pairs, or a label is neither 1 nor 0.

    Examples
    --------
    >>> ready = prepare_pairs(pairs.train, encoder, pairs.image)  # doctest: +SKIP
    """
    labels = frame["label"].astype(str) if "label" in frame else pd.Series("1", frame.index)
    if not labels.isin(["0", "1"]).all():
        strange = labels[~labels.isin(["0", "1"])].iloc[0]
        raise ValueError(f"label {strange!r} among the pairs: a label is 1 (right) or 0 (wrong)")
    right = (labels == "1").to_numpy()
    if right.sum() < 2:
        raise ValueError(f"{right.sum()} positive pairs: contrastive training needs at least two")
    image_rows, keys = pd.factorize(frame["image_key"])
    text_rows, captions = pd.factorize(frame["caption"])
    bar = tqdm(keys, desc="reading pictures", unit="image", disable=not progress)
    pixels = torch.cat([resized(encoder, load_image(key)) for key in bar])
    return TrainingPairs(
        frame["recipe_id"].to_numpy(dtype=str)[right], image_rows[right], text_rows[right],
        keys.to_numpy(dtype=str), captions.to_numpy(dtype=str),
        pixels, encoder.tokens(captions.tolist()),
        image_rows[~right], text_rows[~right],
    )  # fmt: skip


def epoch_batches(
    pairs: TrainingPairs, *, batch_size: int, draw: str, seed: int, epoch: int
) -> Iterator[np.ndarray]:
    """The batches of an epoch as rows of ``pairs``: a pure function of seed and epoch.

    Parameters
    ----------
    batch_size : int
        Of an optimizer step. A rest that fills no batch waits for the next epoch's shuffle; fewer
        pairs than a batch make one smaller batch.
    draw : str
        ``pair``: every pair once an epoch; ``image``: every picture once, with one of its captions;
        ``recipe``: every recipe once, with one of its pairs.

    Yields
    ------
    (b,) int64
    """
    rng = np.random.default_rng([seed, epoch])
    rows = rng.permutation(len(pairs))
    if draw != "pair":
        groups = pairs.image_rows if draw == "image" else pairs.recipe_rows
        rows = rows[np.sort(np.unique(groups[rows], return_index=True)[1])]
    size = min(batch_size, len(rows))
    for start in range(0, len(rows) - size + 1, size):
        yield rows[start : start + size]


def resized(encoder: Encoder, picture: Image.Image) -> torch.Tensor:
    """A picture as the model wants it, not yet scaled: (1, 3, image_px, image_px) uint8."""
    done = encoder.processor.image_processor(
        images=[picture], do_rescale=False, do_normalize=False, return_tensors="pt"
    )["pixel_values"]
    return done.to(torch.uint8)  # (1, 3, px, px)


def _sum(tensor: torch.Tensor) -> str:
    raw = tensor.contiguous().flatten().view(torch.uint8).numpy()
    return hashlib.sha256(memoryview(raw)).hexdigest()
