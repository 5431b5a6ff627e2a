"""Several processes: the gradients and weights of one process on the same global batch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.first.training.loop import train
from helpers.first.training.ranks import Ranks, join_ranks
from helpers.first.training.settings import Training
from tests.first.ranks_worker import work
from tests.first.small_training import small_adapted, small_pairs

pytestmark = pytest.mark.slow


def spawn(processes: int, *arguments: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}",
        "--standalone", "-m", "tests.first.ranks_worker", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize(("family", "loss"), [("siglip", "sigmoid"), ("clip", "info_nce")])
def test_two_processes_are_one_on_the_same_global_batch(family, loss, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work(family, loss, Ranks(), tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    done = spawn(2, family, loss, str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-2000:]
    one = load_file(tmp_path / "one.0")
    first, second = (load_file(tmp_path / f"two.{rank}") for rank in (0, 1))
    assert one.keys() == first.keys() == second.keys()
    gradients = [name for name in one if name.startswith("gradient|")]
    assert any(name.endswith("logit_scale") for name in gradients)
    largest = max(one[name].abs().max() for name in gradients)
    for name in gradients:
        assert (one[name] - first[name]).abs().max() <= 1e-6 * max(1.0, largest), name
    for name in one:
        assert torch.equal(first[name], second[name]), f"{name}: the processes have gone apart"
    # Not the weights: AdamW makes full steps of what is rounding noise, as on the keys' biases.
    assert torch.allclose(one["losses"], first["losses"], rtol=1e-4)
    assert len(one["losses"]) > 3
    assert (tmp_path / "two.state").is_file()


def test_a_batch_is_shared_out_whole():
    rows = np.arange(11)
    parts = [Ranks(rank, 4).share(rows) for rank in range(4)]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert sorted(map(len, parts)) == [2, 3, 3, 3]
    with pytest.raises(ValueError, match="batch of 3 pairs for 4 processes"):
        Ranks(0, 4).share(np.arange(3))


def test_one_process_talks_to_nobody():
    alone, tensor = Ranks(), torch.tensor([1.0, 2.0])
    assert alone.gathered(tensor) is tensor
    assert alone.summed(tensor) is tensor
    assert (alone.told("x"), alone.before(7), alone.is_first) == ("x", 0, True)


def test_without_torchrun_there_is_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_ranks() == Ranks()


def test_plain_accumulation_is_refused_for_several():
    adapted = small_adapted("clip")
    with pytest.raises(ValueError, match="set accumulate to 'cached'"):
        train(
            adapted.encoder, small_pairs("clip"), Training(accumulate="plain", batch_size=4),
            ranks=Ranks(0, 2), progress=False,
        )  # fmt: skip
