"""Contrastive losses over unit embeddings of images and texts that belong together row by row.

Each is a pure function of embeddings and of the model's scale (and bias); lessons write the same
formulas out and compare. Two refinements are shared. *False negatives*: a batch may hold two pairs
of one item, and the image of one is then no negative of the caption of the other. Such cells are
left out; each row's own pair stays its only target. *Explicit negatives*: captions that are wrong
on purpose have no image in the batch; they are further columns for the images.
"""

import math

import torch
from torch.nn import functional as F

MAX_LOGIT_SCALE = math.log(100.0)


def clamp_logit_scale(log_scale: torch.nn.Parameter) -> None:
    """Limit the learned scale to 100, in place (Radford et al. 2021, section 2.5)."""
    with torch.no_grad():
        log_scale.clamp_(max=MAX_LOGIT_SCALE)


def info_nce(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor | float,
    *,
    positives: torch.Tensor | None = None,
    negatives: torch.Tensor | None = None,
    negative_positives: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018; Radford et al. 2021, figure 3).

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
        Row i of one belongs to row i of the other; every other row is a negative.
    scale : scalar
        The inverse temperature, not its logarithm.
    positives : (n, n) bool, optional
        True where image i and text j belong together. Off the diagonal such a cell is left out of
        the denominators of both directions; the diagonal is the target either way.
    negatives : (e, d) float32, unit rows, optional
        Explicit negative texts: e more columns for every image, none for the texts.
    negative_positives : (n, e) bool, optional
        True where negative j is correct for image i after all; left out likewise.

    Returns
    -------
    () float32
        Mean of the two directions; log n for a model that guesses (image to text: log (n + e)).

    Examples
    --------
    >>> round(float(info_nce(torch.ones(2, 1), torch.ones(2, 1), 5.0)), 4)
    0.6931
    """
    logits = scale * images @ texts.T  # (n, n)
    logits = logits.masked_fill(_false_negatives(len(logits), positives, logits.device), -math.inf)
    by_image = logits
    if negatives is not None:
        extra = scale * images @ negatives.T  # (n, e)
        if negative_positives is not None:
            extra = extra.masked_fill(negative_positives, -math.inf)
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
    negatives: torch.Tensor | None = None,
    negative_positives: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sigmoid loss (Zhai et al. 2023, algorithm 1): one binary classification per pair.

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
    scale, bias : scalars
        The inverse temperature, and the logit of the base rate of positives.
    positives, negatives, negative_positives
        As for :func:`info_nce`: cells that are left out, and n x e more pairs with label 0.

    Returns
    -------
    () float32
        Sum over all pairs that count, divided by n.

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
    if negatives is not None:
        extra = -F.logsigmoid(-(scale * images @ negatives.T + bias))  # (n, e)
        if negative_positives is not None:
            extra = extra.masked_fill(negative_positives, 0)
        total = total + extra.sum()
    return total / n


def margin_contrastive(
    positive: torch.Tensor,
    negative: torch.Tensor,
    *,
    margin: float = 0.2,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Contrastive loss with a margin: ``mean(1 - positive) + mean(max(0, negative - margin))``.

    Hadsell, Chopra and LeCun 2006 (equation 4), with cosines in the place of distances and hinges
    that are not squared.

    Parameters
    ----------
    positive : (n,) float32
        Cosine similarities of positives.
    negative : (n, k) float32
        Cosine similarities of k negatives beside each.
    margin : float
        A cosine in [-1, 1]: negatives below it have no loss.
    counted : (n, k) bool, optional
        Which of the negatives count.

    Examples
    --------
    >>> loss = margin_contrastive(torch.tensor([0.8]), torch.tensor([[0.5, 0.1]]))
    >>> round(float(loss), 4)
    0.35
    """
    _check(positive, negative, margin, counted, least=-1.0, most=1.0)
    return (1 - positive).mean() + _mean(F.relu(negative - margin), counted)


def triplet(
    positive: torch.Tensor,
    negative: torch.Tensor,
    *,
    margin: float = 0.2,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Triplet loss with cosines: ``mean(max(0, margin - positive + negative))``.

    Schroff, Kalenichenko and Philbin 2015 (equation 3). Parameters as for
    :func:`margin_contrastive`; the margin is a difference of cosines in [0, 2].

    Examples
    --------
    >>> loss = triplet(torch.tensor([0.8]), torch.tensor([[0.7, 0.1]]))
    >>> round(float(loss), 4)
    0.05
    """
    _check(positive, negative, margin, counted, least=0.0, most=2.0)
    return _mean(F.relu(margin - positive[:, None] + negative), counted)


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


def _mean(costs: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """The mean over what counts; 0, with a gradient of 0, where nothing does."""
    if counted is None:
        return costs.mean()
    return costs.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)


def _check(
    positive: torch.Tensor,
    negative: torch.Tensor,
    margin: float,
    counted: torch.Tensor | None,
    *,
    least: float,
    most: float,
) -> None:
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative):
        raise ValueError(
            f"positive is {tuple(positive.shape)} and negative {tuple(negative.shape)}: "
            "give (n,) similarities of positives and (n, k) of negatives"
        )
    if not negative.numel():
        raise ValueError("no negative: a margin needs at least one; give k of at least 1")
    if counted is not None and (counted.shape != negative.shape or counted.dtype != torch.bool):
        raise ValueError(
            f"counted is {tuple(counted.shape)} {counted.dtype}; "
            f"the negatives need {tuple(negative.shape)} torch.bool"
        )
    if not least <= margin <= most:
        raise ValueError(f"margin is {margin}: give {least:g} to {most:g}, in units of the cosine")
