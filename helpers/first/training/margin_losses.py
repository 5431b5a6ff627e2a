"""Losses with a margin: a pair is asked to be near, a wrong pair to be far enough and no farther.

Both are pure functions of cosine similarities, so that they do not care where the wrong pairs come
from: one at random, the whole batch, or mined. InfoNCE, the softmax alternative, is in ``losses``.
"""

import torch
from torch.nn import functional as F


def margin_contrastive(
    positive: torch.Tensor,
    negative: torch.Tensor,
    *,
    margin: float = 0.2,
    asked: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pull true pairs to cosine 1, push wrong ones below the margin.

    Hadsell, Chopra and LeCun 2006 (equation 4), with cosines in the place of distances and hinges
    that are not squared: ``mean(1 - positive) + mean(max(0, negative - margin))``.

    Parameters
    ----------
    positive : (n,) float32
        Cosines of the true pairs.
    negative : (n, k) float32
        Cosines of k wrong pairs beside each.
    margin : float
        A cosine in [-1, 1]: wrong pairs below it cost nothing.
    asked : (n, k) bool, optional
        Which of the wrong pairs count; the rest are unknown or true after all.

    Returns
    -------
    () float32

    Examples
    --------
    >>> loss = margin_contrastive(torch.tensor([0.8]), torch.tensor([[0.5, 0.1]]))
    >>> round(float(loss), 4)
    0.35
    """
    _check(positive, negative, margin, asked, most=1.0)
    return (1 - positive).mean() + _mean_asked(F.relu(negative - margin), asked)


def triplet(
    positive: torch.Tensor,
    negative: torch.Tensor,
    *,
    margin: float = 0.2,
    asked: torch.Tensor | None = None,
) -> torch.Tensor:
    """Ask a true pair to score above each wrong one by the margin.

    Schroff, Kalenichenko and Philbin 2015 (equation 3), with cosines:
    ``mean(max(0, margin - positive + negative))``.

    Parameters
    ----------
    positive, negative, asked
        As for :func:`margin_contrastive`.
    margin : float
        A difference of cosines in [0, 2].

    Returns
    -------
    () float32

    Examples
    --------
    >>> loss = triplet(torch.tensor([0.8]), torch.tensor([[0.7, 0.1]]))
    >>> round(float(loss), 4)
    0.05
    """
    _check(positive, negative, margin, asked, most=2.0, least=0.0)
    return _mean_asked(F.relu(margin - positive[:, None] + negative), asked)


def _mean_asked(costs: torch.Tensor, asked: torch.Tensor | None) -> torch.Tensor:
    """The mean over what is asked; 0, with a gradient of 0, where nothing is."""
    if asked is None:
        return costs.mean()
    return costs.masked_fill(~asked, 0.0).sum() / asked.sum().clamp(min=1)


def _check(
    positive: torch.Tensor,
    negative: torch.Tensor,
    margin: float,
    asked: torch.Tensor | None,
    *,
    most: float,
    least: float = -1.0,
) -> None:
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative):
        raise ValueError(
            f"positive is {tuple(positive.shape)} and negative {tuple(negative.shape)}: "
            "give (n,) true and (n, k) wrong similarities"
        )
    if not negative.numel():
        raise ValueError("no wrong pair: a margin has nothing to hold apart; give k of at least 1")
    if asked is not None and (asked.shape != negative.shape or asked.dtype != torch.bool):
        raise ValueError(
            f"asked is {tuple(asked.shape)} {asked.dtype}; "
            f"the wrong pairs need {tuple(negative.shape)} torch.bool"
        )
    if not least <= margin <= most:
        raise ValueError(f"margin is {margin}: give {least:g} to {most:g}, in units of the cosine")
