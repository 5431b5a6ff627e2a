"""What lesson 09 measures, its study on a tiny design, and its command on one and two processes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import expit

from helpers.data.sets import RetrievalSet
from helpers.models.encoder import load_encoder
from helpers.models.lora import load_adapter
from helpers.study import Design, Study
from helpers.topics.cars import __main__ as command
from helpers.topics.cars import batch_study, measures
from helpers.topics.cars.__main__ import Ranks, shared_step
from helpers.topics.cars.reading import cars_of
from helpers.training.batches import plain_towers
from helpers.training.loop import Settings, fit
from helpers.training.losses import pairwise_sigmoid
from tests.small_models import small_adapted, small_pairs, trainable

SOURCE = "world:garage?px=64&images=6"


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def made_up(n_items=12, *, noise=0.8, galleries=None, seed=0):
    """Three images and two texts an item around one center."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(n_items, 8))
    images, texts = (unit(np.repeat(center, k, 0) + noise * rng.normal(size=(k * n_items, 8)))
                     for k in (3, 2))  # fmt: skip
    names = np.array([f"c{i:02d}" for i in range(n_items)])
    captions = [f"text {i}" for i in range(2 * n_items)]
    data = RetrievalSet([None] * 3 * n_items, names.repeat(3), captions, names.repeat(2), "made up",
                        galleries)  # fmt: skip
    return images, texts, data


@pytest.mark.parametrize(
    ("scores", "positive", "value"),
    [
        ([4, 3, 2, 1], [1, 0, 0, 0], 1),
        ([4, 3, 2, 1], [0, 1, 0, 1], (1 / 2 + 2 / 4) / 2),
        ([4, 3, 2, 1], [1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([1, 1, 1, 1], [1, 0, 0, 0], 1 / 4),  # a tie counts against the positive
    ],
)
def test_average_precision_by_hand(scores, positive, value):
    found = measures.average_precision(np.array([scores]), np.array([positive], bool))
    assert found == pytest.approx([value])


def test_average_precision_is_that_of_each_query_in_its_gallery():
    galleries = {f"c{i:02d}": i // 6 for i in range(12)}
    images, texts, data = made_up(galleries=galleries)
    ranks = measures.ranks_of(images, texts, data)
    for one in ranks.itertuples():
        queries, rows, items = ((texts, images, data.image_items)
                                if one.direction == "text_to_image"
                                else (images, texts, data.caption_items))  # fmt: skip
        held = [i for i, item in enumerate(items) if galleries[item] == galleries[one.group]]
        order = sorted(held, key=lambda i: -float(queries[one.query] @ rows[i]))
        places = [k + 1 for k, i in enumerate(order) if items[i] == one.group]
        naive = np.mean([(k + 1) / place for k, place in enumerate(places)])
        assert one.ap == pytest.approx(naive)
        assert one.rank == places[0]
    study = Study.of({"x": ranks}, test="t")
    found = measures.estimate(study, "x", metric="mAP", test="t", direction="text_to_image")
    assert found.value == pytest.approx(
        ranks.loc[ranks["direction"] == "text_to_image", "ap"].mean()
    )


def test_the_chance_of_average_precision_is_that_of_random_orders():
    images, texts, data = made_up()
    study = Study.of({"x": measures.ranks_of(images, texts, data)}, test="t")
    rng, positive = np.random.default_rng(0), np.arange(36)[None] < 3
    drawn = [measures.average_precision(rng.random((1, 36)), positive)[0] for _ in range(20_000)]
    expected = measures.chance(study, metric="mAP", test="t", direction="text_to_image")
    assert expected == pytest.approx(np.mean(drawn), abs=0.003)


def test_tip_adapter_moves_an_image_to_the_texts_of_images_like_it():
    keys, values = np.eye(2, dtype=np.float32), unit([[1, 1], [1, -1]])
    image = unit([[0.9, 0.1]])
    assert np.allclose(measures.tip_adapter(image, keys, values, alpha=0, beta=5), image)
    near = np.exp(-5 * (1 - image @ keys.T))  # (1, 2)
    by_hand = image + 0.7 * (near[0, 0] * values[0] + near[0, 1] * values[1])
    found = measures.tip_adapter(image, keys, values, alpha=0.7, beta=5)
    assert found == pytest.approx(unit(by_hand), abs=1e-6)


def test_tip_adapter_learns_classes_that_the_base_confuses_and_nothing_is_its_lower_bound():
    images, texts, data = made_up(noise=1.2)
    values = measures.class_texts(texts, data.caption_items, data.image_items)
    chosen = measures.chosen_tip(images, texts, data, images, values)
    before = measures.ranks_of(images, texts, data)["ap"].mean()
    moved = measures.tip_adapter(images, images, values, **chosen)
    assert measures.ranks_of(moved, texts, data)["ap"].mean() > before + 0.05
    assert values[0] == pytest.approx(texts[:2].mean(axis=0), abs=1e-6)


def test_calibration_of_probabilities_that_are_true_and_of_others():
    rng = np.random.default_rng(0)
    logits = rng.normal(-3, 2, (200, 300))
    positive = rng.random(logits.shape) < expit(logits)
    found = measures.calibration_of(logits, positive)
    assert found["ece"] < 0.005
    assert found["log_loss"] < found["constant_log_loss"]
    bold = measures.calibration_of(logits + 2, positive)
    assert bold["ece"] > 0.05
    assert bold["log_loss"] > found["log_loss"]
    assert measures.fitting_shift(logits + 2, positive) == pytest.approx(-2, abs=0.1)
    bins = measures.reliability(logits, positive)
    assert bins["n"].sum() == logits.size
    assert bins["predicted"].is_monotonic_increasing
    with pytest.raises(ValueError, match="0 positives among"):
        measures.reliability(logits, np.zeros_like(positive))


def test_a_model_without_a_bias_is_refused_by_name():
    with pytest.raises(ValueError, match=r"tiny-clip has no logit bias.*use a SigLIP"):
        batch_study.load_siglip("tiny-clip", device="cpu")


def test_the_best_constant_answer_has_the_entropy_of_the_share():
    logits, positive = np.full((1, 8), np.log(1 / 7)), np.arange(8)[None] == 0
    assert measures.log_loss(logits, positive) == pytest.approx(measures.constant_log_loss(1 / 8))
    u = torch.zeros(8, 4)
    loss = pairwise_sigmoid(u, u, 1.0, float(np.log(1 / 7)))
    assert loss.item() == pytest.approx(batch_study.constant_loss("sigmoid", 8), abs=1e-5)


def test_lookalikes_are_the_queries_with_a_wrong_image_first():
    images, texts, data = made_up(noise=1.5)
    rows = [{"id": f"c{i:02d}", "make": "Ivers", "model": f"M{i % 2}", "body": "van",
             "year": "1994"} for i in range(12)]  # fmt: skip
    found = measures.lookalikes(images, texts, data, cars_of(rows))
    ranks = measures.ranks_of(images, texts, data)
    ranks = ranks[ranks["direction"] == "text_to_image"]
    assert sorted(found["query"]) == sorted(ranks.loc[ranks["rank"] > 1, "query"])
    assert found["gap"].is_monotonic_increasing
    for one in found.itertuples():
        a, b = (int(data.image_items[i][1:]) for i in (one.wrong, one.right))
        assert data.caption_items[one.query] == f"c{b:02d}" != f"c{a:02d}"
        assert ("model" in one.shared) == (a % 2 == b % 2)
    assert found["asked for"][0].startswith("Ivers M")


def test_augmentation_is_a_function_of_the_generator_and_keeps_the_shape():
    pixels = torch.rand(5, 3, 16, 16)
    a, b, c = (measures.augmented(pixels, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == pixels.shape


DESIGN = {
    "lesson": "09", "version": 1, "date": "2026-11-30", "question": "?",
    "base": {"tiny-siglip": ""},
    "data": {"cars": {"source": "world:garage?px=64&images=10", "first": 0, "n": 12, "skip": 4,
                      "queries": 9}},
    "settings": {"placement": {"rank": 2, "alpha": 4.0, "dropout": 0.0, "modules": "q_proj,v_proj"},
                 "warmup": 0.1, "rate at 8": 0.001},
    "seeds": {"default": 2, "zero-shot": 0, "Tip-Adapter": 0},
    "arms": {
        "zero-shot": {},
        "Tip-Adapter": {"tip": True},
        "dual": {"loss": "sigmoid", "batch_size": 8, "samples": 24},
        "vision only": {"loss": "sigmoid", "batch_size": 8, "samples": 16,
                        "placement": {"text_layers": 0}},
        "sigmoid 4, equal samples": {"loss": "sigmoid", "batch_size": 4, "samples": 16},
        "InfoNCE 4, equal steps": {"loss": "info_nce", "batch_size": 4, "steps": 3},
        "sigmoid 8 in 2 parts": {"loss": "sigmoid", "batch_size": 8, "samples": 16, "parts": 2},
    },
    "hypotheses": [
        {"name": "gate", "says": "dual is above", "test": "cars", "a": "dual", "b": "zero-shot",
         "metric": "hit@1", "kind": "higher", "margin": 2,
         "gate": "above: dual, text to image > zero-shot, text to image; "
                 "above: dual, image to text > zero-shot, image to text"},
    ],
}  # fmt: skip


@pytest.mark.slow
def test_a_tiny_design_runs_and_goes_on_from_what_is_done(tmp_path, monkeypatch):
    design = Design(**DESIGN)
    shown = batch_study.CarsExperiment(design).classes.images["key"]
    assert {int(key.split("/")[1].removesuffix(".jpg")) for key in shown} == set(range(4, 10))
    found = batch_study.run_study(design, tmp_path / "runs")
    assert found.arms == list(design.arms)
    assert found.seeds("dual") == [1, 2]
    assert found.seeds("Tip-Adapter") == []
    runs = found.runs.set_index("arm")
    assert runs.loc["Tip-Adapter", "tip_beta"] in measures.TIP_BETAS
    assert runs.loc["vision only", "trainable_parameters"].max() < runs.loc[
        "dual", "trainable_parameters"].min()  # fmt: skip
    assert runs.loc["sigmoid 8 in 2 parts", "loss_of_a_constant"].iloc[0] == pytest.approx(
        batch_study.constant_loss("sigmoid", 4)
    )
    steps = found.frames["losses"].groupby("arm")["step"].max()
    assert steps["InfoNCE 4, equal steps"] == steps["dual"] == 3
    curves = batch_study.by_batch_size(found)
    assert curves[["budget", "size", "loss"]].to_numpy().tolist() == [
        ["equal samples", 4, "sigmoid"], ["equal steps", 4, "InfoNCE"]
    ]  # fmt: skip
    names = set(found.frames["evaluations"]["arm"])
    assert {"dual, text to image", "zero-shot, image to text"} <= names
    monkeypatch.setattr(batch_study.CarsExperiment, "train", None)  # nothing is trained again
    assert batch_study.run_study(design, tmp_path / "runs").ranks.equals(found.ranks)


@pytest.mark.slow
def test_the_command_writes_results_and_an_adapter_that_opens(tmp_path, capsys):
    out = tmp_path / "cars"
    arguments = ["--source", SOURCE, "--model", "tiny-siglip", "--max-recipes", "8", "--queries",
                 "9",
                 "--epochs", "1", "--batch", "8", "--held", "4", "--precision", "bf16",
                 "--rank", "2", "--device", "cpu", "--out", str(out)]  # fmt: skip
    assert command.main(arguments) == 0
    found = json.loads((out / "evaluation_results.json").read_text())
    assert set(found["zero_shot"]["text_to_image"]) == {"hit@1", "hit@5", "mAP", "mrr"}
    assert found["settings"]["precision"] == "bf16"
    gain, old, new = (found[name]["image_to_text"]["mAP"]["value"]
                      for name in ("differences", "zero_shot", "trained"))  # fmt: skip
    assert gain == pytest.approx(new - old)
    assert found["trained"]["calibration"]["logit_bias"] != pytest.approx(
        found["zero_shot"]["calibration"]["logit_bias"], abs=1e-9
    )
    adapted = load_adapter(load_encoder("tiny-siglip", device="cpu"), out / "adapter")
    assert adapted.logit_bias == found["trained"]["calibration"]["logit_bias"]
    assert command.main([*arguments, "--batch", "2000"]) == 2
    assert "state of another run" in capsys.readouterr().err
    assert command.main([*arguments, "--model", "tiny-clip"]) == 2
    assert "no logit bias" in capsys.readouterr().err


WORK = Settings(epochs=1, batch_size=10, draw="image", learning_rate=3e-3, loss="sigmoid", clip=0.0,
                warmup=2, keep="last")  # fmt: skip


def work(ranks: Ranks, out: str) -> None:
    """Train for some steps on a batch that processes share; write gradients, weights and losses."""
    adapted = small_adapted("siglip", dropout=0.0, scalars=("logit_scale", "logit_bias"))
    pairs, seen = small_pairs("siglip", negatives=False), {}
    inner = shared_step(adapted, pairs, plain_towers(adapted, pairs), WORK, ranks, held=2)

    def step(number, rng):
        found = inner(number, rng)
        if not number:
            named = adapted.model.named_parameters()
            seen.update({f"gradient|{n}": p.grad.clone() for n, p in named if p.requires_grad})
        return found

    fitted = fit(adapted.model, step, settings=WORK, steps_per_epoch=2, progress=False)
    losses = {"losses": torch.tensor(fitted.losses["loss"])}
    save_file({**seen, **trainable(adapted), **losses}, f"{out}.{ranks.rank}")


@pytest.mark.slow
def test_two_processes_are_one_on_the_same_batch(tmp_path):
    work(Ranks(), str(tmp_path / "one"))
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    done = subprocess.run(
        [*start, "-m", "tests.topics.test_cars", str(tmp_path / "two")], check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    one = load_file(tmp_path / "one.0")
    first, second = (load_file(tmp_path / f"two.{rank}") for rank in (0, 1))
    gradients = [name for name in one if name.startswith("gradient|")]
    assert any(name.endswith("logit_bias") for name in gradients)
    for name in gradients:
        assert (one[name] - first[name]).abs().max() <= 1e-5, name
    for name in first:
        assert torch.equal(first[name], second[name]), f"{name}: the processes have gone apart"
    assert torch.allclose(one["losses"], first["losses"], rtol=1e-4)


def test_a_batch_is_shared_out_whole():
    rows = np.arange(11)
    parts = Ranks(0, 4).shares(rows)
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert sorted(map(len, parts)) == [2, 3, 3, 3]
    with pytest.raises(ValueError, match="batch of 3 pairs for 4 processes"):
        Ranks(0, 4).shares(np.arange(3))


if __name__ == "__main__":
    torch.set_num_threads(1)
    work(Ranks.join(device="cpu"), sys.argv[1])
