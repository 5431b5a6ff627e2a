"""Contrastive losses over unit embeddings of matching images and texts.

Each is a pure function of two (n, d) batches whose rows correspond, and of the model's scale (and
bias); lessons write the same formulas out in full and compare.
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
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018; Radford et al. 2021, figure 3).

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
        Row i of one matches row i of the other; every other row is a negative.
    scale : scalar
        The inverse temperature, not its logarithm.

    Returns
    -------
    () float32
        Mean of the two directions; log n for embeddings that tell nothing.
    """
    logits = scale * images @ texts.T  # (n, n)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def pairwise_sigmoid(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor | float,
    bias: torch.Tensor | float,
) -> torch.Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023, algorithm 1): every pair is a yes-or-no question.

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
    scale, bias : scalars
        The inverse temperature, and the logit of the prior that two strangers match.

    Returns
    -------
    () float32
        Sum over the n x n pairs, divided by n.
    """
    logits = scale * images @ texts.T + bias  # (n, n)
    sign = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -F.logsigmoid(sign * logits).sum() / len(logits)
