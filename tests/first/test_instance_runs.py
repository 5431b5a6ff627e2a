"""Runs of instance retrieval: what is drawn and held, and the whole run of two processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.first.models.loading import load_encoder
from helpers.first.training.__main__ import RunError, first_then_others, main
from helpers.first.training.instance_data import ensure_asked
from helpers.first.training.instance_runs import (
    DUAL,
    InstanceArm,
    drawn_pairs,
    measure,
    ready_bench,
    stored_again,
    train_arm,
)
from helpers.first.training.ranks import Ranks
from helpers.store.zones import open_zone
from tests.first.small_training import small_pairs

COMMAND = [
    "--source", "world:garage", "--max-recipes", "6", "--image-px", "64", "--queries", "6",
    "--batch", "16", "--held", "8", "--epochs", "1", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def asked():
    zone = open_zone("memory://instance-runs")
    return ensure_asked(
        zone, source="world:garage", n_queries=6, image_px=64, max_recipes=6, progress=False
    )


@pytest.fixture(scope="module")
def base():
    return load_encoder("tiny-siglip", device="cpu")


@pytest.fixture(scope="module")
def bench(asked, base):
    return ready_bench(asked.instances.pairs, base)


def test_pairs_are_drawn_picture_by_picture():
    ready = small_pairs("siglip")
    n = len(ready.image_keys)
    drawn = drawn_pairs(ready, 2 * n + 3, seed=1)
    assert len(drawn) == 2 * n + 3
    for turn in range(2):
        assert sorted(drawn.image_rows[turn * n : (turn + 1) * n]) == list(range(n))
    known = {*zip(ready.recipe_ids, ready.image_rows, ready.text_rows, strict=True)}
    assert {*zip(drawn.recipe_ids, drawn.image_rows, drawn.text_rows, strict=True)} <= known
    assert drawn_pairs(ready, 5, seed=1).image_rows.tolist() == drawn.image_rows[:5].tolist()


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"batch": 64, "samples": 100}, "no whole number of batches of 64"),
        ({"batch": 1, "samples": 4}, "batches of 1"),
        ({"batch": 48, "samples": 96, "held": 32}, "parts of 32"),
    ],
)
def test_budgets_that_do_not_come_out_even_are_refused(choices, said):
    with pytest.raises(ValueError, match=said):
        InstanceArm(**choices)


def test_what_is_held_changes_no_weight(bench, base):
    """Gradient caching: a batch of 16 in parts of 4 is the batch of 16."""
    arm = InstanceArm(batch=16, samples=32, held=16, learning_rate=0.01)
    whole, cut = (train_arm(bench, base, replace(arm, held=h)) for h in (16, 4))
    assert [s["loss"] for s in whole[1].steps] == pytest.approx(
        [s["loss"] for s in cut[1].steps], rel=1e-3
    )
    plain = train_arm(bench, base, replace(arm, held=4, accumulate="plain"))
    assert plain[1].steps[0]["loss"] < whole[1].steps[0]["loss"]  # fewer questions


def test_scale_and_bias_start_from_the_checkpoint_and_are_stored_bit_by_bit(bench, base, tmp_path):
    before = (base.model.logit_scale.clone(), base.model.logit_bias.clone())
    adapted, _ = train_arm(bench, base, InstanceArm(batch=16, samples=32, held=16))
    model = adapted.encoder.model
    assert not torch.equal(model.logit_scale, before[0])
    assert not torch.equal(model.logit_bias, before[1])
    assert torch.equal(base.model.logit_scale, before[0])
    again = stored_again(adapted, base, tmp_path)
    for name in ("logit_scale", "logit_bias"):
        assert torch.equal(getattr(again.encoder.model, name), getattr(model, name))
        assert torch.equal(load_file(tmp_path / "scalars.safetensors")[name], getattr(model, name))
    rows = measure(again.encoder, bench)
    assert np.array_equal(rows.texts, measure(adapted.encoder, bench).texts)


def test_info_nce_leaves_the_bias_alone(bench, base):
    arm = InstanceArm(loss="info_nce", batch=16, samples=16, held=16)
    adapted, _ = train_arm(bench, base, arm)
    assert torch.equal(adapted.encoder.model.logit_bias, base.model.logit_bias)


def test_every_test_query_has_one_right_class(asked):
    frame = asked.instances.pairs.test
    assert (frame.groupby("caption")["recipe_id"].nunique() == 1).all()


def test_logits_and_matches_are_those_of_the_model(bench, base):
    found = measure(base, bench)
    assert found.logits.shape == found.matches.shape == (len(found.texts), len(found.images))
    by_hand = base.logit_scale * float(found.texts[0] @ found.images[1]) + base.logit_bias
    assert found.logits[0, 1] == pytest.approx(by_hand, abs=1e-4)
    with pytest.raises(ValueError, match="no train pairs"):
        measure(base, bench, "train")


def test_the_adapter_is_on_queries_and_values_alone(bench, base):
    adapted, _ = train_arm(bench, base, InstanceArm(batch=8, samples=8, held=8))
    named = [n for n, p in adapted.encoder.model.named_parameters() if p.requires_grad]
    assert all("q_proj" in n or "v_proj" in n or n.startswith("logit_") for n in named)
    assert any("vision" in n for n in named)
    assert any("text" in n for n in named)
    assert DUAL.dropout == 0


class Told(Ranks):
    """A process that is told what is given."""

    def told(self, value):
        return "ValueError: no such source"


def test_an_error_of_the_first_process_reaches_the_others():
    with pytest.raises(RunError, match="process 0 failed: ValueError: no such source"):
        first_then_others(Told(1, 2), lambda: None)

    def fails():
        raise ValueError("no such source")

    with pytest.raises(ValueError, match="no such source"):
        first_then_others(Told(0, 2), fails)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--model", "tiny-clip"], "no logit bias"),
        (["--batch", "4000"], "fill no batch of 4000"),
        (["--source", "world:garag"], "garag"),
        (["--modules", "qproj"], "q_proj"),
    ],
)
def test_wrong_settings_end_with_a_line(extra, said, tmp_path, capsys):
    assert main([*COMMAND, "--out", str(tmp_path / "out"), *extra]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "evaluation_results.json").exists()


def finished(folder):
    return json.loads((folder / "evaluation_results.json").read_text())


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    for name, start in (("one", []), ("two", launch)):
        command = [sys.executable, *start, "-m", "helpers.first.training", *COMMAND]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / name)], env=environment, capture_output=True,
            text=True, check=False, timeout=1200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("written:") == 1
    one, two = finished(tmp_path / "one"), finished(tmp_path / "two")
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["zero_shot"] == two["zero_shot"]
    for name in ("logit_scale", "logit_bias"):
        a, b = (r["calibration"]["trained"][name] for r in (one, two))
        assert a == pytest.approx(b, abs=1e-5)
        assert a != one["calibration"]["zero_shot"][name]
    logs = [json.loads((tmp_path / n / "training_logs.json").read_text())["steps"]
            for n in ("one", "two")]  # fmt: skip
    losses = [[step["loss"] for step in log] for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
