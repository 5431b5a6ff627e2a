"""Contrastive losses over unit embeddings of matching images and texts.

Each is a pure function of two (n, d) batches whose rows correspond, and of the model's scale (and
bias); lessons write the same formulas out in full and compare.

Two refinements are shared by both. *False negatives*: a batch may hold two pairs of one recipe, and
the image of the one is no stranger to the caption of the other. Such cells are masked: they are
neither positive nor negative, and each row's own pair stays its only target. *Explicit negatives*:
captions written to be wrong have no image in the batch; they are appended as further columns for
the images, and never ask a question of their own.
"""

import math

import torch
from torch.nn import functional as F

MAX_LOGIT_SCALE = math.log(100.0)


def clamp_logit_scale(log_scale: torch.nn.Parameter) -> None:
    """Keep the learned scale at most 100, in place (Radford et al. 2021, section 2.5)."""
    with torch.no_grad():
        log_scale.clamp_(max=MAX_LOGIT_SCALE)


def info_nce(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor | float,
    *,
    positives: torch.Tensor | None = None,
    extra_texts: torch.Tensor | None = None,
    extra_positives: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018; Radford et al. 2021, figure 3).

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
        Row i of one matches row i of the other; every other row is a negative.
    scale : scalar
        The inverse temperature, not its logarithm.
    positives : (n, n) bool, optional
        True where image i and text j belong together. Off the diagonal such a cell is left out of
        the denominators of both directions; the diagonal is the target either way.
    extra_texts : (e, d) float32, unit rows, optional
        Explicit negatives: e more columns for every image, none for the texts.
    extra_positives : (n, e) bool, optional
        True where extra text j would be right for image i after all; left out likewise.

    Returns
    -------
    () float32
        Mean of the two directions; log n for embeddings that tell nothing (image to text:
        log (n + e)).

    Examples
    --------
    >>> round(float(info_nce(torch.ones(2, 1), torch.ones(2, 1), 5.0)), 4)
    0.6931
    """
    logits = scale * images @ texts.T  # (n, n)
    others = _false_negatives(len(logits), positives, logits.device)
    logits = logits.masked_fill(others, -math.inf)
    by_image = logits
    if extra_texts is not None:
        extra = scale * images @ extra_texts.T  # (n, e)
        if extra_positives is not None:
            extra = extra.masked_fill(extra_positives, -math.inf)
        by_image = torch.cat([logits, extra], dim=1)  # (n, n + e)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(by_image, target) + F.cross_entropy(logits.T, target)) / 2


def pairwise_sigmoid(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor | float,
    bias: torch.Tensor | float,
    *,
    positives: torch.Tensor | None = None,
    extra_texts: torch.Tensor | None = None,
    extra_positives: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023, algorithm 1): every pair is a yes-or-no question.

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
    scale, bias : scalars
        The inverse temperature, and the logit of the prior that two strangers match.
    positives, extra_texts, extra_positives
        As for :func:`info_nce`: cells that are asked nothing, and n x e more questions whose answer
        is no.

    Returns
    -------
    () float32
        Sum over the pairs that are asked, divided by n.

    Examples
    --------
    >>> round(float(pairwise_sigmoid(torch.eye(2), torch.eye(2), 0.0, 0.0)), 4)
    1.3863
    """
    logits = scale * images @ texts.T + bias  # (n, n)
    n = len(logits)
    sign = 2 * torch.eye(n, device=logits.device) - 1
    costs = -F.logsigmoid(sign * logits)
    total = costs.masked_fill(_false_negatives(n, positives, logits.device), 0).sum()
    if extra_texts is not None:
        extra = -F.logsigmoid(-(scale * images @ extra_texts.T + bias))  # (n, e)
        if extra_positives is not None:
            extra = extra.masked_fill(extra_positives, 0)
        total = total + extra.sum()
    return total / n


def _false_negatives(n: int, positives: torch.Tensor | None, device: torch.device) -> torch.Tensor:
    """(n, n) bool: cells off the diagonal that belong together."""
    if positives is None:
        return torch.zeros(n, n, dtype=torch.bool, device=device)
    if positives.shape != (n, n) or positives.dtype != torch.bool:
        raise ValueError(
            f"positives is {tuple(positives.shape)} {positives.dtype}; "
            f"a batch of {n} pairs needs ({n}, {n}) torch.bool"
        )
    return positives.to(device) & ~torch.eye(n, dtype=torch.bool, device=device)
