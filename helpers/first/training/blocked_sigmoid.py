"""The pairwise sigmoid loss in blocks: every process meets the texts of one process at a time.

InfoNCE needs a whole row of logits for its denominator. The sigmoid loss is a sum over cells, so
that it can be taken block by block and each block forgotten: memory is local pairs x block, however
many processes there are (Zhai et al. 2023, section 3.3, "chunked" implementation). The value and
all gradients are those of :func:`helpers.first.training.losses.pairwise_sigmoid` on the whole batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from helpers.first.training.grad_cache import Batch, Encode, random_states, set_random_states
from helpers.first.training.ranks import Ranks

# Rows of this process and of a block, to (n, b) bool: which of them belong together.
Positives = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Blocked:
    """A loss and what it asks of the embeddings of this process.

    Attributes
    ----------
    value : () float32
        Of the whole batch, over all processes.
    images, texts : (n, d) float32
        Gradients of this process's rows, contributions of all processes included.
    scale, bias : () float32
        Gradients that this process's images give: to be added up over processes.
    cells : int
        Of the largest block of logits that was held at once.
    """

    value: torch.Tensor
    images: torch.Tensor
    texts: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor
    cells: int


def blocked_sigmoid(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    *,
    rows: torch.Tensor | None = None,
    positives: Positives | None = None,
    block: int = 0,
    ranks: Ranks | None = None,
) -> Blocked:
    """The pairwise sigmoid loss of the batch that all processes hold together.

    Parameters
    ----------
    images, texts : (n, d) float32, unit rows
        Those of this process; row i of one matches row i of the other.
    scale, bias : () float32
        The inverse temperature (not its logarithm), and the bias.
    rows : (n,) int64, optional
        Numbers by which ``positives`` knows the pairs; default: their places here.
    positives : callable, optional
        Cells off the diagonal that belong together; they are asked nothing.
    block : int
        Texts at a time; 0: all of one process.
    ranks : Ranks, optional

    Examples
    --------
    >>> eye = torch.eye(2)
    >>> round(float(blocked_sigmoid(eye, eye, torch.tensor(0.0), torch.tensor(0.0)).value), 4)
    1.3863
    """
    ranks = ranks or Ranks()
    images, texts = (t.detach().requires_grad_() for t in (images, texts))
    scale, bias = (torch.as_tensor(t).detach().clone().requires_grad_() for t in (scale, bias))
    rows = torch.arange(len(images)) if rows is None else rows
    sizes = ranks.gathered(torch.tensor([len(images)])).tolist()
    value, text_gradient, cells = torch.zeros((), device=images.device), None, 0
    for owner, other, names in _turns(texts, rows, sizes, ranks):
        asked = other.detach().requires_grad_()
        for part in torch.arange(sizes[owner]).split(block or sizes[owner]):
            logits = scale * images @ asked[part].T + bias  # (n, block)
            own = torch.zeros(logits.shape, dtype=torch.bool)
            if owner == ranks.rank:
                own[part, torch.arange(len(part))] = True
            known = own if positives is None else positives(rows, names[part])
            skipped = (known & ~own).to(logits.device)
            sign = (2 * own.float() - 1).to(logits.device)
            cost = (-F.logsigmoid(sign * logits)).masked_fill(skipped, 0).sum() / sum(sizes)
            cost.backward()
            value, cells = value + cost.detach(), max(cells, logits.numel())
        received = ranks.summed(asked.grad)
        text_gradient = received if owner == ranks.rank else text_gradient
    return Blocked(ranks.summed(value), images.grad, text_gradient, scale.grad, bias.grad, cells)


def accumulate_blocked(
    encode: Encode,
    micro_batches: Sequence[Batch],
    model: torch.nn.Module,
    *,
    positives: Positives | None = None,
    block: int = 0,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """Gradient caching with the blocked loss: as ``accumulate_cached``, never a whole matrix.

    Parameters
    ----------
    encode, micro_batches, ranks
        As for :func:`helpers.first.training.grad_cache.accumulate_cached`; ``encode`` gives row numbers,
        images and texts. ``Ranks.sum_gradients`` is to follow where there are several processes.
    model : torch.nn.Module
        With ``logit_scale`` (a logarithm) and ``logit_bias``, which get their gradients where they
        are trained.
    positives, block
        As for :func:`blocked_sigmoid`.

    Returns
    -------
    () float32, detached
    """
    states, parts = [], []
    for batch in micro_batches:
        states.append(random_states())
        with torch.no_grad():
            parts.append(encode(batch))
    rows, images, texts = (torch.cat(column) for column in zip(*parts, strict=True))
    scale = model.logit_scale.exp().squeeze()
    bias = model.logit_bias.squeeze()
    found = blocked_sigmoid(
        images, texts, scale, bias, rows=rows, positives=positives, block=block, ranks=ranks
    )
    for value, gradient in ((scale, found.scale), (bias, found.bias)):
        if value.requires_grad:
            value.backward(gradient)
    start = 0
    for batch, state in zip(micro_batches, states, strict=True):
        set_random_states(state)
        _, *again = encode(batch)
        part = slice(start, start + len(again[0]))
        wanted = [
            (tensor, gradient[part])
            for tensor, gradient in zip(again, (found.images, found.texts), strict=True)
            if tensor.requires_grad  # a frozen tower has no graph
        ]
        if wanted:
            torch.autograd.backward(*map(list, zip(*wanted, strict=True)))
        start = part.stop
    return found.value


def _turns(
    texts: torch.Tensor, rows: torch.Tensor, sizes: Sequence[int], ranks: Ranks
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Process after process: its number, its texts and their row numbers, told to all."""
    if ranks.count == 1:
        yield 0, texts, rows
        return
    from torch import distributed

    for owner, size in enumerate(sizes):
        mine = owner == ranks.rank
        told = texts.detach().clone() if mine else texts.new_empty(size, texts.shape[1])
        names = (rows if mine else rows.new_empty(size)).to(texts.device)
        distributed.broadcast(told, src=owner)
        distributed.broadcast(names, src=owner)
        yield owner, told, names.cpu()
