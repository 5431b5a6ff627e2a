"""Throughput on a clock of our own, memory of a known block, parameters of known layers."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from helpers.first.evaluation.efficiency import PeakMemory, count_parameters, measure_throughput


class Clock:
    """Time that passes only when a batch is worked on."""

    def __init__(self, seconds_per_item):
        self.now, self.pace, self.batches = 0.0, iter(seconds_per_item), []

    def work(self, batch):
        self.batches.append(list(batch))
        self.now += next(self.pace) * len(batch)

    def __call__(self):
        return self.now


def test_median_speed_and_spread_by_hand():
    # one batch of warm-up, then three passes of two batches at 2, 1 and 4 seconds an item
    clock = Clock([100, 2, 2, 1, 1, 4, 4])
    found = measure_throughput(
        clock.work, [10, 11, 12], batch_size=2, unit="image", repeats=3, clock=clock
    )
    assert clock.batches == [[10, 11], *[[10, 11], [12]] * 3]
    assert (found.seconds, found.items_per_s) == (6, 0.5)
    assert found.spread == pytest.approx((12 - 3) / 6)
    assert (found.n, found.repeats, found.unit) == (3, 3, "image")


def test_warm_up_may_be_left_out_or_go_round():
    for warmup, calls in ((0, 2), (5, 7)):
        clock = Clock([1] * 10)
        measure_throughput(
            clock.work, [1, 2], batch_size=1, unit="text", warmup=warmup, repeats=1, clock=clock
        )
        assert len(clock.batches) == calls


@pytest.mark.parametrize(
    ("items", "settings", "message"),
    [
        ([], {}, r"no items \(image\)"),
        ([1], {"batch_size": 0}, "batch_size=0"),
        ([1], {"repeats": 0}, "repeats=0"),
        ([1], {"warmup": -1}, "warmup=-1"),
        ([1], {"clock": lambda: 0.0}, "no measurable time"),
    ],
)
def test_what_cannot_be_timed_is_refused(items, settings, message):
    settings = {"batch_size": 1, "unit": "image", **settings}
    with pytest.raises(ValueError, match=message):
        measure_throughput(lambda batch: None, items, **settings)


def test_errors_of_the_function_come_through():
    def fail(batch):
        raise RuntimeError("broken model")

    with pytest.raises(RuntimeError, match="broken model"):
        measure_throughput(fail, [1], batch_size=1, unit="image")


def test_a_block_that_is_kept_shows_in_the_peak():
    with PeakMemory() as memory:
        block = np.ones(100 * 2**17)  # 100 MiB
    assert block.nbytes == 100 * 2**20
    assert 90 <= memory.added_mb <= 400
    assert memory.peak_mb >= memory.added_mb
    assert memory.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_block_that_is_freed_is_seen_by_the_sampler():
    with PeakMemory(interval_ms=1) as memory:
        block = np.ones(100 * 2**17)
        end = time.monotonic() + 60
        while memory.peak_mb < memory._start_mb + 90:  # keep it until a sample was taken
            assert time.monotonic() < end, "no sample in a minute"
            time.sleep(0.001)
        del block
    assert memory.added_mb >= 90


def test_an_error_inside_comes_through_and_ends_the_thread():
    memory = PeakMemory()
    with pytest.raises(KeyError), memory:
        raise KeyError("inside")
    assert not memory._thread.is_alive()
    assert memory.peak_mb > 0


def test_no_interval_is_refused():
    with pytest.raises(ValueError, match="interval_ms=0"):
        PeakMemory(interval_ms=0)


def test_parameters_by_hand():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 5, bias=False))
    model[0].bias.requires_grad_(False)
    assert count_parameters(model) == (6 + 10, 8 + 10)


def test_shared_parameters_count_once():
    model = torch.nn.ModuleList([torch.nn.Linear(4, 4, bias=False) for _ in range(2)])
    model[1].weight = model[0].weight
    assert count_parameters(model) == (16, 16)


def test_the_package_measures_without_loading_torch():
    code = (
        "import sys\n"
        "import helpers.first.evaluation.comparison, helpers.first.evaluation.metrics\n"
        "from helpers.first.evaluation.efficiency import PeakMemory\n"
        "with PeakMemory() as memory: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
