"""Lesson 04: LoRA on a dual encoder. Its two studies: :mod:`study` and :mod:`frontier`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure

from helpers.data.sets import RetrievalSet
from helpers.evaluation.efficiency import seconds_in_turns
from helpers.models.encoder import Encoder
from helpers.models.lora import merge, save_adapter
from helpers.report import style
from helpers.report.results import Lesson, save_experiment
from helpers.study import Study
from helpers.topics.adaptation import frontier, study
from helpers.training.batches import TrainingPairs, normalized

__all__ = ["frontier", "study"]  # reached as attributes


def batch_of(
    encoder: Encoder, pairs: TrainingPairs, images: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, dict[str, torch.Tensor], np.ndarray]:
    """Pixels, tokens and items of some images, each with one caption of its item at random.

    Returns ``pixel_values`` (b, 3, px, px) and tokens of (b, length), as the towers read them, and
    the (b,) items.
    """
    first = np.searchsorted(pairs.image_ids, images)  # the pairs of an image lie together
    count = np.searchsorted(pairs.image_ids, images, "right") - first
    texts = pairs.text_ids[first + (rng.random(len(images)) * count).astype(int)]
    tokens = {name: ids[texts] for name, ids in pairs.tokens.items()}
    pixels = pairs.pixels[torch.from_numpy(images)].float() / 255
    return normalized(pixels, encoder), tokens, pairs.items[first]


def probe_of(encoder: Encoder, seed: int = 1) -> Encoder:
    """The adapter with small random B in the place of zero, so that A gets a gradient too."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, weight in encoder.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.02)
    return encoder


def costs_of(base: Encoder, adapted: Encoder, data: RetrievalSet) -> list[dict[str, Any]]:
    """Images and captions embedded per second: the base, the adapter beside it, and merged."""
    inputs = study.first_inputs(base, data)
    n = len(inputs["images"])
    networks = {"zero-shot": base, "LoRA": adapted, "LoRA merged": merge(adapted)}
    rows = []
    for what, given in inputs.items():
        seconds = seconds_in_turns(study.variants_of(networks, what, given))
        for name, part in seconds.items():
            low, value, high = (n / np.quantile(part, q) for q in (1, 0.5, 0))
            rate = {"value": value, "low": low, "high": high, "n": n, "unit": f"{what}/s"}
            rows.append({"metric": f"{what} embedded", "model": name} | rate)
    return rows


def save_run(
    lesson: Lesson, zone: Any, encoder: Encoder, live: Study, data: RetrievalSet,
    scores: np.ndarray, logs: Mapping[str, pd.DataFrame], factor: float = 1.0,
) -> str:  # fmt: skip
    """Write ``experiments/lora/run_<id>/``: adapter, configuration, logs, results, examples.

    Of the update so much is saved as ``factor`` says, a share of 1.
    The id is the time; a study's configurations are told apart by their names, not by runs.
    """
    run = f"lora/run_{datetime.now(UTC):%Y%m%dT%H%M%S}"
    placement = asdict(encoder.adapter.placement)
    config = {"method": placement.pop("method"), "model": lesson.model, "lora": placement,
              "factor": factor, "seed": lesson.seed}  # fmt: skip
    log = {name: frame.to_dict("records") for name, frame in logs.items()}
    more = {"config.yaml": yaml.safe_dump(config), "training_logs.json": json.dumps(log, indent=1)}
    save_experiment(zone, run, live, data, scores, arm="LoRA", more=more,
                    about={"model": lesson.model, **encoder.record})  # fmt: skip
    with TemporaryDirectory() as folder:
        save_adapter(encoder, Path(folder), factor=factor, training=config, data=data.name)
        for file in sorted(Path(folder).iterdir()):
            key = f"fine-tuning-zone/experiments/{run}/adapters/{file.name}"
            zone.write_bytes(key, file.read_bytes())
    return run


def learning_curves(
    losses: pd.DataFrame, evaluations: pd.DataFrame, *, heading: str, guessing: float
) -> Figure:
    """The training loss by ``step``, and the validation ``score`` at each evaluation.

    ``guessing`` is the loss of a model that tells nothing apart.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.1), layout="constrained")
    smooth = losses["loss"].rolling(9, min_periods=1, center=True).mean()
    left.plot(losses["step"], losses["loss"], color=style.FAINT, lw=0.8)
    left.plot(losses["step"], smooth, color=style.LINES[0])
    left.axhline(guessing, color=style.MUTED, ls=(0, (4, 3)), lw=1)
    left.annotate(
        "guessing", (1, guessing), (-2, -10), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color=style.MUTED, fontsize=8,
    )  # fmt: skip
    right.plot(evaluations["step"], evaluations["score"], color=style.LINES[0], marker="o", ms=5)
    left.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="hit@10 on validation, percent")
    style.percent_axis(right.yaxis)
    style.title(left, heading)
    return fig


def beside_the_first(steps: Mapping[str, tuple[float, torch.Tensor]]) -> pd.DataFrame:
    """Losses of some steps, and the cosine of each gradient with that of the first."""
    whole = next(iter(steps.values()))[1]
    rows = [
        (name, loss, float(torch.nn.functional.cosine_similarity(gradient, whole, dim=0)))
        for name, (loss, gradient) in steps.items()
    ]
    return pd.DataFrame(rows, columns=["batch", "loss", f"cosine with {next(iter(steps))}"]).round(
        3
    )
