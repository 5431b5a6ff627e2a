"""Several processes that train one model: who one is among them, and what they tell each other.

Each process encodes its own part of the batch; embeddings are gathered, so that the loss sees the
whole batch's negatives; gradients are added up. Communication is ``accelerate``'s (gloo on CPUs,
NCCL on GPUs); started by ``torchrun``. ``accelerate launch --cpu`` starts one process in silence,
whatever number it is told.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Ranks:
    """One process among ``count``; the default is the only one.

    Attributes
    ----------
    rank, count : int
    device : str
        Where this process computes, such as ``cuda:1``; empty: the caller's choice.
    """

    rank: int = 0
    count: int = 1
    device: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of a batch: contiguous, and within one row as large as the others'.

        Raises
        ------
        ValueError
            If there are fewer rows than processes.

        >>> Ranks(1, 2).share(np.arange(5)).tolist()
        [3, 4]
        """
        if len(rows) < self.count:
            raise ValueError(
                f"a batch of {len(rows)} pairs for {self.count} processes: give each at least one"
            )
        return np.array_split(rows, self.count)[self.rank]

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows of all processes, in their order, without a graph; a process may have more.

        (n, ...) here, to (all n, ...) on the device that the tensor is on.
        """
        if self.count == 1:
            return tensor
        from accelerate.utils import gather, pad_across_processes

        here = tensor.detach().to(self.device)
        sizes = gather(torch.tensor([len(here)], device=self.device)).tolist()
        padded = gather(pad_across_processes(here, dim=0).contiguous())  # (count x longest, ...)
        parts = padded.split(max(sizes))
        whole = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return whole.to(tensor.device)

    def before(self, n: int) -> int:
        """How many rows the processes before this one hold, this one holding ``n``."""
        sizes = self.gathered(torch.tensor([n])).tolist()
        return sum(sizes[: self.rank])

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        return reduce(tensor.to(self.device), reduction="sum").to(tensor.device)

    def told(self, value: Any) -> Any:
        """What the first process says, as JSON-like values; the others' is ignored."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value], from_process=0)[0]

    def sum_gradients(self, model: torch.nn.Module) -> None:
        """Add up the gradients of all trainable parameters over the processes, in one message."""
        if self.count == 1:
            return
        trainable = [p for p in model.parameters() if p.requires_grad]
        for parameter in trainable:  # a process whose part left it out adds nothing
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = self.summed(torch.cat([p.grad.flatten() for p in trainable]))
        for parameter, part in zip(
            trainable, flat.split([p.numel() for p in trainable]), strict=True
        ):
            parameter.grad.copy_(part.view_as(parameter))


def join_ranks(*, device: str = "auto") -> Ranks:
    """Meet the processes that ``torchrun`` started; one alone where it did not.

    Parameters
    ----------
    device : str
        ``cpu``, or ``auto`` for a GPU each where there are GPUs.

    Raises
    ------
    RuntimeError
        If fewer processes answer than were started.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started == 1:
        return Ranks()
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    if state.num_processes != started:
        raise RuntimeError(
            f"torchrun started {started} processes and {state.num_processes} met: "
            "start with torchrun, not with accelerate launch"
        )
    return Ranks(state.process_index, state.num_processes, str(state.device))
