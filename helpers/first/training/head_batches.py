"""Batches of features for heads, and what each loss asks of a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from helpers.first.models.adapters import Heads
from helpers.first.training.features import Features
from helpers.first.training.losses import info_nce
from helpers.first.training.margin_losses import margin_contrastive, triplet

MARGIN_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "margin": margin_contrastive,
    "triplet": triplet,
}


@dataclass(frozen=True)
class Batch:
    """b matching pairs, and wrong captions beside them where some were mined.

    Attributes
    ----------
    images, texts : (b, d) float32
    same : (b, b) bool
        Pairs of one recipe, or of near-duplicates; the diagonal among them.
    recipes : (b,) str
    mined : (b, k, d) float32, optional
    mined_ok : (b, k) bool, optional
        Where there is a mined caption, and it is of another group.
    mined_same : (b, b * k) bool, optional
        Where a mined caption of one row is right, or missing, for the picture of another.
    """

    images: torch.Tensor
    texts: torch.Tensor
    same: torch.Tensor
    recipes: np.ndarray
    mined: torch.Tensor | None = None
    mined_ok: torch.Tensor | None = None
    mined_same: torch.Tensor | None = None


@dataclass(frozen=True)
class Batches:
    """Features ready to be drawn from: tensors and groups.

    The captions of picture ``i`` are the ``n_captions[i]`` rows of ``caption_rows`` that start at
    ``first_caption[i]``.
    """

    images: torch.Tensor
    texts: torch.Tensor
    recipes: np.ndarray
    image_groups: np.ndarray
    text_groups: np.ndarray
    caption_rows: np.ndarray
    first_caption: np.ndarray
    n_captions: np.ndarray
    mined: np.ndarray | None

    @classmethod
    def of(
        cls,
        features: Features,
        *,
        groups: Mapping[str, str] | None = None,
        mined: np.ndarray | None = None,
        device: str = "cpu",
    ) -> "Batches":
        """Prepare features.

        Raises
        ------
        ValueError
            If there is one recipe only, a picture has no caption, or ``mined`` does not fit.
        """
        data, known = features.data, dict(groups or {})
        if len(features.recipes) < 2:
            raise ValueError("one recipe: its pairs have no negatives; give at least two recipes")
        rows = np.argsort(data.caption_ids, kind="stable")
        first = np.searchsorted(data.caption_ids[rows], data.image_ids, "left")
        n_captions = np.searchsorted(data.caption_ids[rows], data.image_ids, "right") - first
        if (n_captions == 0).any():
            lost = data.image_ids[np.argmin(n_captions)]
            raise ValueError(f"no caption for the pictures of recipe {str(lost)!r}")
        names = [known.get(i, i) for i in (*data.image_ids.tolist(), *data.caption_ids.tolist())]
        codes = np.unique(names, return_inverse=True)[1]
        n = len(data.image_ids)
        if mined is not None:
            _check_mined(mined, n, len(data.caption_ids))
        pair = (torch.from_numpy(np.array(r)).to(device) for r in (features.images, features.texts))
        return cls(
            *pair, data.image_ids, codes[:n], codes[n:], rows, first, n_captions, mined
        )  # fmt: skip

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        """``size`` pictures (fewer where there are fewer), each with one of its captions."""
        chosen = rng.permutation(len(self.recipes))[:size]
        which = (rng.random(len(chosen)) * self.n_captions[chosen]).astype(np.int64)
        captions = self.caption_rows[self.first_caption[chosen] + which]
        groups = self.image_groups[chosen]
        same = torch.from_numpy(groups[:, None] == groups[None]).to(self.images.device)
        pairs = self.images[chosen], self.texts[captions], same, self.recipes[chosen]
        if self.mined is None:
            return Batch(*pairs)
        rows = self.mined[chosen]  # (b, k)
        wrong_groups = np.where(rows < 0, -1, self.text_groups[rows])
        ok = (rows >= 0) & (wrong_groups != groups[:, None])
        flat = wrong_groups.reshape(-1)  # (b * k,)
        right = (flat[None] == groups[:, None]) | (flat[None] < 0)
        device = self.images.device
        return Batch(
            *pairs, self.texts[rows],
            torch.from_numpy(ok).to(device), torch.from_numpy(right).to(device),
        )  # fmt: skip


def head_loss(
    heads: Heads,
    batch: Batch,
    *,
    loss: str,
    negatives: str,
    margin: float,
    rng: np.random.Generator,
) -> torch.Tensor:
    """The loss of a batch under heads, with a graph.

    InfoNCE sees the batch, and mined captions as further columns. The margin losses are the mean of
    two directions: pictures against wrong captions, captions against wrong pictures. Mined captions
    stand against pictures only; the other direction then draws a random picture.
    """
    images, texts = heads.image(batch.images), heads.text(batch.texts)
    mined = None if batch.mined is None else heads.text(batch.mined)  # (b, k, d)
    if loss == "info_nce":
        extra = None if mined is None else mined.flatten(0, 1)  # (b * k, d)
        return info_nce(
            images, texts, heads.scale, positives=batch.same, extra_texts=extra,
            extra_positives=batch.mined_same,
        )  # fmt: skip
    cosines = images @ texts.T  # (b, b)
    function, positive = MARGIN_LOSSES[loss], cosines.diagonal()
    wrong = ~batch.same
    total = torch.zeros((), device=cosines.device)
    for square, of_images in ((cosines, True), (cosines.T, False)):
        if of_images and negatives == "mined":
            far, asked = torch.einsum("bd,bkd->bk", images, mined), batch.mined_ok
        elif negatives == "batch":
            far, asked = square, wrong
        else:
            pick = random_other(wrong.cpu().numpy(), rng)
            rows = torch.from_numpy(pick).to(cosines.device)[:, None]
            far, asked = square.gather(1, rows), wrong.gather(1, rows)
        total = total + function(positive, far, margin=margin, asked=asked) / 2
    return total


def random_other(wrong: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row of a (n, n) bool matrix one of its true columns, uniform; 0 where none is.

    >>> random_other(np.array([[False, True], [True, False]]), np.random.default_rng(0)).tolist()
    [1, 0]
    """
    return np.argmax(rng.random(wrong.shape) * wrong, axis=1)


def _check_mined(mined: np.ndarray, n: int, m: int) -> None:
    if mined.ndim != 2 or len(mined) != n or mined.dtype.kind not in "iu" or not mined.shape[1]:
        raise ValueError(
            f"mined captions of shape {mined.shape} {mined.dtype}: give (n, k) whole numbers, "
            f"a row for each of the {n} pictures"
        )
    if mined.min() < -1 or mined.max() >= m:
        raise ValueError(f"mined captions: rows lie in -1 (none) to {m - 1}, the last caption")
