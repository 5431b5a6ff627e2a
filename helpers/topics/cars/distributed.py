"""Several processes that train one model: each encodes its part of a batch, the loss sees it all.

Embeddings are gathered, so that every process has the negatives of the whole batch; gradients are
added up. Communication is that of ``accelerate`` (gloo on CPUs, NCCL on GPUs), started by
``torchrun``; ``accelerate launch --cpu`` starts one process in silence, whatever number it is told.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from helpers.models.encoder import Encoder
from helpers.training.batches import (
    Towers,
    TrainingPairs,
    encode_batch,
    epoch_batches,
    gather,
)
from helpers.training.gradcache import accumulate_cached
from helpers.training.loop import Settings
from helpers.training.runs import contrastive_loss


@dataclass(frozen=True)
class Ranks:
    """One process among ``count``, which computes on ``device``; the default is the only one."""

    rank: int = 0
    count: int = 1
    device: str = ""

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of a batch: contiguous, within one row as large as the others'.

        >>> Ranks(1, 2).share(np.arange(5)).tolist()
        [3, 4]
        """
        if len(rows) < self.count:
            raise ValueError(
                f"a batch of {len(rows)} pairs for {self.count} processes: give each at least one"
            )
        return np.array_split(rows, self.count)[self.rank]

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows of all processes in their order, without a graph; some may have one row more."""
        if self.count == 1:
            return tensor
        from accelerate.utils import gather, pad_across_processes

        here = tensor.detach().to(self.device)
        sizes = gather(torch.tensor([len(here)], device=self.device)).tolist()
        parts = gather(pad_across_processes(here, dim=0).contiguous()).split(max(sizes))
        whole = [part[:size] for part, size in zip(parts, sizes, strict=True)]
        return torch.cat(whole).to(tensor.device)

    def columns(self, columns: list[torch.Tensor]) -> tuple[list[torch.Tensor], int, list[int]]:
        """What gradient caching asks: the columns of all, this rank, where its own rows start."""
        sizes = self.gathered(torch.tensor([len(columns[0])])).tolist()
        start = sum(sizes[: self.rank])
        return [self.gathered(one) for one in columns], self.rank, [start] * len(columns)

    def sum_gradients(self, model: torch.nn.Module) -> None:
        """Add up the gradients of all trainable parameters over the processes, in one message."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        trainable = [p for p in model.parameters() if p.requires_grad]
        for parameter in trainable:  # a process whose part left it out adds nothing
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = reduce(torch.cat([p.grad.flatten() for p in trainable]), reduction="sum")
        sizes = [p.numel() for p in trainable]
        for parameter, part in zip(trainable, flat.split(sizes), strict=True):
            parameter.grad.copy_(part.view_as(parameter))

    def told(self, value: Any) -> Any:
        """What the first process says; the others' value is ignored. All wait here."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value], from_process=0)[0]


def join(device: str = "auto") -> Ranks:
    """Meet the processes that ``torchrun`` started; one alone where it did not.

    ``device`` is ``cpu``, or ``auto`` for a GPU each where there are GPUs. Raises ``RuntimeError``
    if fewer processes meet than were started.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started == 1:
        return Ranks()
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    if state.num_processes != started:
        raise RuntimeError(
            f"torchrun started {started} processes and {state.num_processes} met: start with "
            "torchrun, not with accelerate launch"
        )
    return Ranks(state.process_index, state.num_processes, str(state.device))


def shared_step(
    encoder: Encoder, pairs: TrainingPairs, towers: Towers, settings: Settings, ranks: Ranks, *,
    held: int,
) -> Callable[[int, np.random.Generator], tuple[torch.Tensor, list[str]]]:  # fmt: skip
    """The step of a run for ``fit``: one loss over a batch that several processes hold together.

    Each process encodes ``held`` pairs at once. With one process this is a plain step with gradient
    caching.
    """
    loss = contrastive_loss(encoder.model, pairs, settings)

    @lru_cache(maxsize=2)
    def batches_of(epoch: int) -> list[np.ndarray]:
        about = {"batch_size": settings.batch_size, "draw": settings.draw, "seed": settings.seed}
        return list(epoch_batches(pairs, epoch=epoch, **about))

    def encode(batch: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
        rows, images, texts = encode_batch(
            towers, batch, device=encoder.device, precision=settings.precision
        )
        return rows, images.float(), texts.float()

    def step(number: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        epoch, position = divmod(number, len(batches_of(0)))
        rows = ranks.share(batches_of(epoch)[position])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)) + ranks.rank)
        parts = [gather(pairs, towers, rows[i : i + held], generator)
                 for i in range(0, len(rows), held)]  # fmt: skip
        value = accumulate_cached(encode, parts, loss, gather=ranks.columns)
        ranks.sum_gradients(encoder.model)
        return value, pairs.items[rows].tolist()

    return step
