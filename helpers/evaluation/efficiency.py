"""What a model costs: items a second, peak memory, measured side by side."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import psutil
import torch

_MB = 2**20


class PeakMemory:
    """Measure the peak memory of a ``with`` block; read the fields after it.

    ``peak_mb`` is the highest resident memory of the process in MiB, sampled every 10 ms in a
    thread, and at both ends: a shorter peak can be missed. ``cuda_peak_mb`` is that of torch's
    tensors on the current CUDA device, 0 without CUDA.
    """

    def __init__(self) -> None:
        self.peak_mb = self.cuda_peak_mb = 0.0
        self._process = psutil.Process()

    def __enter__(self) -> "PeakMemory":
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._stop = threading.Event()
        self.peak_mb = self._resident_mb()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        self._thread.join()
        self.peak_mb = max(self.peak_mb, self._resident_mb())
        if torch.cuda.is_available():
            self.cuda_peak_mb = torch.cuda.max_memory_allocated() / _MB

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            self.peak_mb = max(self.peak_mb, self._resident_mb())

    def _resident_mb(self) -> float:
        return self._process.memory_info().rss / _MB


def seconds_in_turns(
    variants: Mapping[str, Callable[[], Any]], *, rounds: int = 5
) -> dict[str, np.ndarray]:
    """The seconds of each function, (rounds,), called in turns so that none has the better minute.

    A first round warms up and does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, function in variants.items():
                began = time.perf_counter()
                function()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if turn:
                    seconds[name].append(time.perf_counter() - began)
    return {name: np.array(found) for name, found in seconds.items()}


def encoding_costs(encoder: Any, data: Any, *, n: int = 128) -> list[dict[str, Any]]:
    """Images and texts embedded per second, preparation included, and the memory that it takes.

    Records for ``results.json``: the median of three rounds, with the slowest and the fastest.
    """
    images = [data.images[i] for i in range(min(n, len(data.images)))]
    captions = list(data.captions[:n])
    works = {"images": lambda: encoder.images(images), "texts": lambda: encoder.texts(captions)}
    with PeakMemory() as memory:
        seconds = seconds_in_turns(works, rounds=3)
    records = []
    for what, size in (("images", len(images)), ("texts", len(captions))):
        low, value, high = (size / np.quantile(seconds[what], q) for q in (1, 0.5, 0))
        rate = {"value": value, "low": low, "high": high, "n": size, "unit": f"{what}/s"}
        records.append({"metric": f"{what} embedded"} | rate)
    peak = memory.cuda_peak_mb or memory.peak_mb
    return [*records, {"metric": "peak memory of embedding", "value": peak, "n": 1, "unit": "MiB"}]
