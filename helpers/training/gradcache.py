"""Gradient caching: a contrastive loss over a batch that memory cannot hold at once.

Accumulating the losses of micro-batches is no large batch: a pair never meets the pairs of another
micro-batch, so that 16 batches of 2 still have one negative each. Gao et al. 2021 ("Scaling deep
contrastive learning batch size under memory limited setup") split the chain rule at the embeddings
instead. A first pass without a graph gives all embeddings; the loss over all of them gives the
gradient of each; a second pass, micro-batch by micro-batch, carries those into the weights.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

Encode = Callable[[Any], tuple[torch.Tensor, ...]]
Columns = list[torch.Tensor]


def accumulate_cached(
    encode: Encode,
    micro_batches: Sequence[Any],
    loss: Callable[..., torch.Tensor],
    *,
    gather: Callable[[Columns], tuple[Columns, int, list[int]]] | None = None,
) -> torch.Tensor:
    """Add to ``.grad`` the gradients of one loss over all micro-batches together.

    Parameters
    ----------
    encode : callable
        A micro-batch to a tuple of tensors, one row an item: ``(images, texts)``, say, and integer
        tensors such as row numbers, which are passed on. Called twice for each; torch's random
        state is put back in between, so that dropout is the same.
    micro_batches : sequence
    loss : callable
        The tuple, concatenated over the micro-batches, to a scalar that depends on every
        embedding. What else it depends on (scale, bias) gets its gradient directly.
    gather : callable, optional
        Where several processes hold a part of the batch each: the columns of this process to those
        of all, its rank, and where its own rows start. Every process has the whole loss; what scale
        and bias get is that of rank 0 alone, so that a sum over processes is right for all.

    Returns
    -------
    () float32, detached

    >>> w = torch.tensor(2.0, requires_grad=True)
    >>> rows = torch.tensor([1.0, 2.0]).split(1)
    >>> accumulate_cached(lambda x: (w * x,), rows, lambda y: y.sum() ** 2).item(), w.grad.item()
    (36.0, 36.0)
    """
    states, parts = [], []
    for batch in micro_batches:
        states.append(random_states())
        with torch.no_grad():
            parts.append(encode(batch))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    lengths = [len(column) for column in columns]
    columns, rank, starts = gather(columns) if gather else (columns, 0, [0] * len(columns))
    leaves = [c.requires_grad_() if c.is_floating_point() else c for c in columns]
    value = loss(*leaves)
    value.backward(inputs=None if rank == 0 else [c for c in leaves if c.requires_grad])
    own = [
        leaf.grad[start : start + n] if leaf.requires_grad else None
        for leaf, start, n in zip(leaves, starts, lengths, strict=True)
    ]
    done = [0] * len(columns)
    for batch, state in zip(micro_batches, states, strict=True):
        set_random_states(state)
        found = encode(batch)
        pairs = []
        for i, part in enumerate(found):
            # A frozen tower has no graph, and row numbers have none: nothing is carried into them.
            if part.requires_grad:
                pairs.append((part, own[i][done[i] : done[i] + len(part)]))
            done[i] += len(part)
        if pairs:
            torch.autograd.backward(*map(list, zip(*pairs, strict=True)))
    return value.detach()


def accumulate_plain(
    encode: Encode, micro_batches: Sequence[Any], loss: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """Add to ``.grad`` the mean of the gradients of each micro-batch's own loss; returns the mean.

    ``loss`` is called for each micro-batch alone. This and :func:`accumulate_cached` agree only
    where a loss is a mean over items, which no contrastive loss is.
    """
    total = 0.0
    for batch in micro_batches:
        value = loss(*encode(batch)) / len(micro_batches)
        value.backward()
        total = total + value.detach()
    return total


RandomStates = tuple[torch.Tensor, list[torch.Tensor], torch.Tensor | None]


def random_states() -> RandomStates:
    """Of the CPU, of the GPUs that are in use, and of Apple's where there is one."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    return torch.get_rng_state(), cuda, mps


def set_random_states(states: RandomStates) -> None:
    """Put back what ``random_states`` gave; GPUs that were not in use then are left alone."""
    cpu, cuda, mps = states
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
    if mps is not None:
        torch.mps.set_rng_state(mps)
