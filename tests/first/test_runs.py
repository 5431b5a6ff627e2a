"""Runs: trained once for their settings, stored whole, found again, resumed, rebuilt when stale."""

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from peft import PeftModel

from helpers.data.pairs import ensure_pairs, retrieval_set
from helpers.first.models.evaluate import DIRECTIONS, evaluate
from helpers.first.models.placement import Placement
from helpers.first.models.prefix import SplitTower
from helpers.first.training import arm_run, runs
from helpers.first.training.arms import Arm, training_frame
from helpers.first.training.prefix_cache import PrefixError
from helpers.first.training.runs import ensure_run, run_folder, validation_score
from helpers.first.training.settings import Training
from helpers.store.zones import open_zone
from tests.first.small_training import small_encoder

ARM = Arm(
    Placement(rank=2, alpha=4, modules="q_proj,v_proj"),
    Training(epochs=2, batch_size=8, draw="image", learning_rate=1e-2),
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("runs") / "z"))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(runs.paths, "cache", lambda: tmp_path / "cache")


def run_of(pairs, arm=ARM, **options):
    return ensure_run(
        pairs, small_encoder("siglip"), arm, n_resamples=50, progress=False, **options
    )


def test_a_run_holds_what_the_pipeline_asks_for(pairs):
    run = run_of(pairs)
    folder = run_folder(run.id)
    names = {key.removeprefix(f"{folder}/") for key in run.manifest.files}
    assert names >= {
        "config.yaml", "training_logs.json", "results_lora.json", "examples_top5.json",
        "adapters/adapter_config.json", "adapters/adapter_model.safetensors",
        "adapters/scalars.safetensors", "adapters/README.md",
    }  # fmt: skip
    config = yaml.safe_load(pairs.zone.read_text(f"{folder}/config.yaml"))
    assert config["run_id"] == run.id
    assert config["arm"]["placement"]["rank"] == 2
    assert len(run.log["steps"]) > 2
    assert run.results["trainable_parameters"] < run.results["parameters"]
    assert not list((runs.paths.cache() / "training").iterdir())  # the saved state is gone


def test_the_stored_adapter_is_the_model_that_was_measured(pairs, tmp_path):
    run, base = run_of(pairs), small_encoder("siglip")
    again = evaluate(run.encoder(base), retrieval_set(pairs.test), pairs.image, n_resamples=50)
    for way in DIRECTIONS:
        assert (again.rankings[way].first == run.ranks(way)).all()
        value = run.results["metrics"][way]["hit@10"]["value"]
        assert again.intervals[way]["hit@10"].value == value
    assert run.encoder(base).fingerprint == run.results["fingerprint"] != base.fingerprint
    run.write_adapter(tmp_path / "adapter")
    plain = PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path / "adapter"))
    assert sum(p.numel() for n, p in plain.named_parameters() if "lora_" in n) > 0


def test_a_second_call_reads_and_does_not_train(pairs, monkeypatch):
    first = run_of(pairs)
    monkeypatch.setattr(arm_run, "train", None)
    assert run_of(pairs).results == first.results


@pytest.mark.parametrize(
    "other",
    [
        replace(ARM, training=replace(ARM.training, seed=7)),
        replace(ARM, placement=replace(ARM.placement, rank=3)),
    ],
)
def test_another_arm_is_another_run(pairs, other):
    assert run_of(pairs, other).id != run_of(pairs).id


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(pairs, monkeypatch, tmp_path):
    arm = replace(ARM, training=replace(ARM.training, seed=99))
    whole = run_of(pairs, arm)
    zone = open_zone(str(tmp_path / "other"))
    fresh = ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)
    train, wanted = arm_run.train, len(whole.log["steps"])

    class Killed(Exception):
        pass

    def killed(*args, **options):
        def stop(record):
            if record["step"] == wanted // 2 + 1:
                raise Killed

        return train(*args, **options, state_every=1, on_step=stop)

    with monkeypatch.context() as patched:
        patched.setattr(arm_run, "train", killed)
        with pytest.raises(Killed):
            run_of(fresh, arm)
    done = run_of(fresh, arm)
    assert done.results["first_hit_ranks"] == whole.results["first_hit_ranks"]
    name = f"{run_folder(done.id)}/adapters/adapter_model.safetensors"
    assert zone.read_bytes(name) == pairs.zone.read_bytes(name)


def test_only_training_recipes_are_trained_on(pairs):
    held_out = set(pairs.test.recipe_id) | set(pairs.validation.recipe_id)
    frame = training_frame(pairs)
    assert len(frame) == len(pairs.train)
    assert not held_out & set(frame.recipe_id)
    assert set(frame.label) == {"1"}


def test_the_validation_score_is_the_mean_of_both_ways(pairs):
    score = validation_score(pairs, small_encoder("siglip"))()
    assert score["score"] == pytest.approx(np.mean([score[way] for way in DIRECTIONS]))
    done = evaluate(
        small_encoder("siglip"), retrieval_set(pairs.validation), pairs.image, n_resamples=50
    )
    for way in DIRECTIONS:
        assert score[way] == done.intervals[way]["hit@5"].value


def test_the_sigmoid_loss_trains_the_bias_too(pairs):
    arm = replace(ARM, training=replace(ARM.training, loss="sigmoid"))
    base = small_encoder("siglip")
    tuned = run_of(pairs, arm).encoder(base)
    assert tuned.logit_bias != base.logit_bias
    assert torch.is_tensor(tuned.model.logit_bias)


def test_all_code_that_decides_a_run_makes_it_stale():
    """What Python loads with the module, of the packages below it, is what its hash is made of."""
    lines = "import sys, helpers.first.training.runs; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=True
    )
    packages = {f"helpers.first.{name}" for name in runs.PACKAGES}
    used = {name for name in loaded.stdout.split() if name.rpartition(".")[0] in packages}
    assert "helpers.first.training.loop" in used
    assert used <= set(runs.CODE)
    assert "helpers.first.training.pretrain" not in runs.CODE


def test_a_state_of_other_code_is_not_gone_on_from(pairs, monkeypatch):
    arm = replace(ARM, training=replace(ARM.training, seed=98))
    seen = []

    def stopped(*args, state, **options):
        seen.append(state)
        raise InterruptedError

    monkeypatch.setattr(arm_run, "train", stopped)
    for code in ("one", "one", "other"):
        monkeypatch.setattr(runs, "code_of", lambda *_, code=code: code)
        with pytest.raises(InterruptedError):
            run_of(pairs, arm)
    assert seen[0] == seen[1] != seen[2]


# Kept prefixes

FEW = replace(ARM, placement=replace(ARM.placement, vision_layers=2, text_layers=0, dropout=0.2))


def test_kept_prefixes_change_the_speed_of_a_run_and_not_its_name_or_numbers(pairs, tmp_path):
    quick = run_of(pairs, FEW)
    assert quick.results["prefix"] == "fp32"
    zone = open_zone(str(tmp_path / "other"))
    fresh = ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)
    plain = run_of(fresh, FEW, prefix="off")
    assert plain.results["prefix"] == "off"
    assert plain.id == quick.id
    losses = [[step["loss"] for step in run.log["steps"]] for run in (plain, quick)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    scores = [run.log["epochs"][-1]["score"] for run in (plain, quick)]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
    for way in DIRECTIONS:
        assert np.mean(plain.ranks(way) != quick.ranks(way)) < 0.1


def test_rows_of_a_study_compute_their_prefixes_in_one_pass(pairs, monkeypatch):
    first = replace(FEW, training=replace(FEW.training, seed=97))
    rows = [first, replace(first, placement=replace(FEW.placement, vision_layers=1, heads=True))]
    for_training, prefix = [], SplitTower.prefix

    def watched(self, inputs, cuts):
        if self.encoder.model.training:
            for_training.append((self.name, tuple(cuts)))
        return prefix(self, inputs, cuts)

    monkeypatch.setattr(SplitTower, "prefix", watched)
    run_of(pairs, rows[0], also=[row.placement for row in rows])
    assert set(for_training) == {("vision", (1, 2)), ("text", (2, 3))}
    for_training.clear()
    run_of(pairs, rows[1])
    assert not for_training


def test_a_run_from_prefixes_in_bf16_is_another_run(pairs):
    assert run_of(pairs, FEW, prefix="bf16").id != run_of(pairs, FEW).id
    assert run_of(pairs, FEW, prefix="fp32").id == run_of(pairs, FEW).id


def test_prefixes_that_cannot_be_kept_are_left_out_with_a_note_or_refused(pairs):
    arm, reason = replace(FEW, placement=Placement(rank=2)), "nothing below is frozen"
    run = run_of(pairs, arm)
    assert run.results["prefix"] == "off"
    assert reason in run.results["prefix_note"]
    with pytest.raises(PrefixError, match=reason):
        run_of(pairs, arm, prefix="fp32")


def test_a_run_in_bf16_waits_to_be_asked():
    half = replace(FEW, training=replace(FEW.training, precision="bf16"))
    base = small_encoder("siglip")
    assert arm_run.kept_precision("auto", half, base)[0] == "off"
    assert arm_run.kept_precision("bf16", half, base) == ("bf16", "")
    assert arm_run.kept_precision("off", FEW, base)[0] == "off"
    with pytest.raises(PrefixError, match="'always': use one of auto, off"):
        arm_run.kept_precision("always", FEW, base)
