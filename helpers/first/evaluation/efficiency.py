"""What a model costs: items a second, peak memory, and the number of its parameters.

torch is asked only where it is loaded already: without it nothing ran on a GPU.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

_MB = 2**20


@dataclass(frozen=True)
class Throughput:
    """How fast a function worked through ``n`` items.

    ``items_per_s`` and ``seconds`` are medians over the repeats, ``spread`` is the range of their
    seconds as a share of the median, ``unit`` what an item is.
    """

    items_per_s: float
    seconds: float
    n: int
    repeats: int
    spread: float
    unit: str


def measure_throughput(
    function: Callable[[Sequence], Any],
    items: Sequence,
    *,
    batch_size: int,
    unit: str,
    warmup: int = 1,
    repeats: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """Time ``function`` over all ``items`` in batches, several times.

    Parameters
    ----------
    function : callable
        Takes one batch, a slice of ``items``; what it returns is dropped.
    items : sequence
    batch_size : int
    unit : str
        What an item is: ``"image"``, ``"text"``.
    warmup : int
        Batches that run before the clock starts.
    repeats : int
        Passes over all items.
    clock : callable
        Seconds, as a float.

    Returns
    -------
    Throughput

    Raises
    ------
    ValueError
        If there are no items, or a count is out of range.

    Examples
    --------
    >>> measure_throughput(sum, [1, 2, 3], batch_size=2, unit="number").n
    3
    """
    if len(items) == 0:
        raise ValueError(f"no items ({unit}) to time; give at least one")
    if batch_size < 1 or repeats < 1 or warmup < 0:
        raise ValueError(
            f"batch_size={batch_size}, repeats={repeats}, warmup={warmup}: the first two must be "
            "at least 1, the last at least 0"
        )
    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    for turn in range(warmup):
        function(batches[turn % len(batches)])
    seconds = [_timed(function, batches, clock) for _ in range(repeats)]
    median = float(np.median(seconds))
    if median <= 0:
        raise ValueError(f"{len(items)} items took no measurable time; give more of them")
    return Throughput(
        items_per_s=len(items) / median,
        seconds=median,
        n=len(items),
        repeats=repeats,
        spread=(max(seconds) - min(seconds)) / median,
        unit=unit,
    )


def _timed(function: Callable, batches: list[Sequence], clock: Callable[[], float]) -> float:
    _wait_for_gpu()
    start = clock()
    for batch in batches:
        function(batch)
    _wait_for_gpu()
    return clock() - start


class PeakMemory:
    """Measure the peak memory of a ``with`` block; read the fields after it.

    The resident memory of the process is sampled every ``interval_ms`` in a thread, and at both
    ends; a peak shorter than that can be missed. What was resident before counts in ``peak_mb``,
    not in ``added_mb``. Where torch has CUDA, its own peak is read too.

    Attributes
    ----------
    peak_mb : float
        Highest resident memory of the process, MiB.
    added_mb : float
        ``peak_mb`` less what was resident at the start, at least 0.
    cuda_peak_mb : float
        Highest memory of torch's tensors on the current CUDA device, MiB; 0 without CUDA.
    device : str
        ``"cuda"`` or ``"cpu"``.

    Examples
    --------
    >>> with PeakMemory() as memory:
    ...     rows = [0] * 1000
    >>> memory.peak_mb > 0
    True
    """

    def __init__(self, *, interval_ms: float = 10) -> None:
        if interval_ms <= 0:
            raise ValueError(f"interval_ms={interval_ms} must be above 0")
        self.peak_mb = self.added_mb = self.cuda_peak_mb = 0.0
        self.device = "cpu"
        self._interval_s = interval_ms / 1000
        self._process = psutil.Process()

    def __enter__(self) -> "PeakMemory":
        cuda = _cuda()
        self.device = "cpu" if cuda is None else "cuda"
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        self._stop = threading.Event()
        self._start_mb = self.peak_mb = self._resident_mb()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        self._thread.join()
        self.peak_mb = max(self.peak_mb, self._resident_mb())
        self.added_mb = self.peak_mb - self._start_mb
        cuda = _cuda()  # torch may have been loaded inside the block
        if cuda is not None:
            self.device = "cuda"
            self.cuda_peak_mb = cuda.max_memory_allocated() / _MB

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.peak_mb = max(self.peak_mb, self._resident_mb())

    def _resident_mb(self) -> float:
        return self._process.memory_info().rss / _MB


def count_parameters(model) -> tuple[int, int]:
    """Count a torch module's parameters, a shared one once.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    (int, int)
        Trainable parameters, all parameters.

    Examples
    --------
    >>> import torch
    >>> count_parameters(torch.nn.Linear(3, 2))
    (8, 8)
    """
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)


def _cuda():
    """``torch.cuda`` if torch is loaded and has a device, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _wait_for_gpu() -> None:
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()
