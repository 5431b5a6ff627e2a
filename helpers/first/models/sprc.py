"""Composed retrieval with a Q-Former: the single-hop composition of SPRC.

Bai et al., "Sentence-level prompts for composed image retrieval" (2024). Query tokens, the text and
the reference image are read together; what comes out is the query. A target is a handful of unit
tokens, and its similarity the largest over them. SPRC's published code sends the joined tokens
through the Q-Former a second time, without the picture; here that second hop is a model of its own
(:mod:`helpers.first.models.two_hop`), so that the two can be compared with nothing else between them.
"""

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Blip2ForImageTextRetrieval

from helpers.first.models.blip2 import image_tokens, joint_states

TEMPERATURE = 0.07  # where it begins, in BLIP-2 as in what builds on it
POOLINGS = ("mean", "first text")
Tokens = Mapping[str, Tensor]


def pool(tokens: Tensor, n_queries: int, pooling: str) -> Tensor:
    """One vector for query tokens and a text that were read together.

    The one definition for training and for search, and for queries with a picture and without.

    Parameters
    ----------
    tokens : (b, n_queries + l, width) float
        The query tokens first.
    pooling : str
        ``mean``: over the query tokens and the first token of the text; ``first text``: that token
        alone, as SPRC has it.

    Returns
    -------
    (b, width)

    Examples
    --------
    >>> pool(torch.tensor([[[1.0], [2.0], [6.0], [99.0]]]), 2, "mean").tolist()
    [[3.0]]
    """
    if pooling == "mean":
        return tokens[:, : n_queries + 1].mean(dim=1)
    return tokens[:, n_queries]


def similarity(queries: Tensor, targets: Tensor) -> Tensor:
    """Of each query with each target: the largest over the target's tokens.

    Parameters
    ----------
    queries : (q, d) float, unit rows
    targets : (g, n, d) float, unit tokens

    Returns
    -------
    (q, g)

    Examples
    --------
    >>> similarity(torch.tensor([[1.0, 0.0]]), torch.eye(2)[None]).tolist()
    [[1.0]]
    """
    scores = queries @ targets[:, 0].T
    for token in range(1, targets.shape[1]):  # (q, g) at a time, never (q, g, n)
        scores = torch.maximum(scores, queries @ targets[:, token].T)
    return scores


class Sprc(nn.Module):
    """The Q-Former of a BLIP-2 as a model of composed retrieval; one hop.

    Copies of the Q-Former, its embeddings, query tokens and projections, all trainable; prompt
    tokens that begin as the query tokens, and a temperature. The vision tower stays outside: what
    it says of a picture is given.

    Parameters
    ----------
    blip2 : transformers.Blip2ForImageTextRetrieval
        With an image-optional Q-Former, as :func:`helpers.first.models.blip2.load_blip2` gives it.
    pooling : str
        See :func:`pool`.

    Raises
    ------
    ValueError
        If the pooling is unknown.
    """

    hops = 1

    def __init__(self, blip2: Blip2ForImageTextRetrieval, *, pooling: str = "mean"):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {pooling!r}: use {' or '.join(POOLINGS)}")
        self.pooling = pooling
        for name in ("qformer", "embeddings", "vision_projection", "text_projection"):
            setattr(self, name, copy.deepcopy(getattr(blip2, name)).requires_grad_(True))
        first = blip2.query_tokens.detach().float()
        self.query_tokens = nn.Parameter(first.clone())  # (1, n, width)
        self.prompt_tokens = nn.Parameter(first.clone())
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    @property
    def n_queries(self) -> int:
        """Query tokens, and tokens of a target."""
        return self.query_tokens.shape[1]

    def joint(self, tokens: Tokens, states: Tensor) -> Tensor:
        """Query tokens and text read with a picture: (b, n_queries + l, width).

        Parameters
        ----------
        tokens : dict of (b, l) int64
            ``input_ids`` and ``attention_mask``.
        states : (b, t, vision width) float32
            Of the vision tower.
        """
        return joint_states(self, self.query_tokens, **tokens, states=states)

    def without_picture(self, queries: Tensor, tokens: Tokens) -> Tensor:
        """A text read with tokens in the place of the queries, and no picture, as ``joint``."""
        return joint_states(self, queries, **tokens, states=None)

    def row(self, tokens: Tensor) -> Tensor:
        """Joined tokens as a unit row of the shared space: (b, d)."""
        pooled = pool(tokens, self.n_queries, self.pooling)
        return functional.normalize(self.text_projection(pooled), dim=-1)

    def compose(self, joined: Tensor, tokens: Tokens) -> Tensor:
        """The query of tokens that ``joint`` gave: (b, d) unit rows."""
        return self.row(joined)

    def queries(self, tokens: Tokens, states: Tensor) -> Tensor:
        """Modifications of reference pictures as queries: (b, d) unit rows."""
        return self.compose(self.joint(tokens, states), tokens)

    def prompted(self, tokens: Tokens) -> Tensor:
        """Modifications alone, read with the learned prompt tokens: (b, d) unit rows."""
        return self.row(self.without_picture(self.prompt_tokens, tokens))

    def targets(self, states: Tensor) -> Tensor:
        """Pictures as they are looked for: (b, n_queries, d) unit tokens."""
        return image_tokens(self, states)
