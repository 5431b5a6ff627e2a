"""What a run of instance retrieval reports: before, after, their difference, and calibration."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from helpers.first.evaluation.calibration import Calibration, calibration
from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.evaluation.instances import METRICS, summarized
from helpers.first.training.instance_runs import Bench, InstanceArm, Measured

# SigLIP on Stanford Cars, zero-shot and after dual-encoder LoRA, as the project reports it.
REPORTED = {
    "hit@1": (0.9439, 0.9852),
    "hit@5": (0.9951, 1.0),
    "map": (0.8867, 0.9279),
    "mrr": (0.9673, 0.9917),
}
WAYS = ("text_to_image", "image_to_text")


def results_of(
    before: Measured,
    after: Measured,
    *,
    arm: InstanceArm,
    model: str,
    bench: Bench,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of ``evaluation_results.json``, plain JSON values.

    ``zero_shot`` and ``trained`` hold each metric of both directions with its interval over
    classes; ``differences`` the paired comparison of the two; ``calibration`` both, with the
    model's own scale and bias.
    """
    sides = {"zero_shot": before, "trained": after}
    counts = bench.pairs.counts[["recipes", "images", "captions"]]
    return {
        "model": model,
        "data": bench.pairs.source,
        "counts": {split: {k: int(v) for k, v in row.items()} for split, row in counts.iterrows()},
        "arm": asdict(arm),
        **{
            name: {way: summarized(one.values[way], one.groups(way)) for way in WAYS}
            for name, one in sides.items()
        },
        "differences": {way: _differences(before, after, way) for way in WAYS},
        "calibration": {name: calibration_json(one) for name, one in sides.items()},
        "reported_elsewhere": {k: {"zero_shot": a, "trained": b} for k, (a, b) in REPORTED.items()},
        **about,
    }


def calibrated(one: Measured, *, shift: float = 0.0, n_bins: int = 10) -> Calibration:
    """Calibration of every text with every picture, the interval over classes of the texts."""
    return calibration(one.logits + shift, one.matches, one.groups("text_to_image"), n_bins=n_bins)


def calibration_json(one: Measured) -> dict[str, float]:
    """Scale, bias and what the probabilities are worth."""
    found = calibrated(one)
    return {
        "logit_scale": one.scale,
        "logit_bias": one.bias,
        "error": found.error.value,
        "error_low": found.error.low,
        "error_high": found.error.high,
        "predicted": found.predicted,
        "observed": found.observed,
        "log_loss": found.log_loss,
    }


def _differences(before: Measured, after: Measured, way: str) -> dict[str, dict[str, Any]]:
    groups = before.groups(way)
    found = {
        metric: paired_comparison(after.values[way][metric], before.values[way][metric], groups)
        for metric in METRICS
    }
    return {
        metric: {
            "difference": c.difference,
            "low": c.low,
            "high": c.high,
            "p_value": c.p_value,
            "verdict": c.verdict,
        }
        for metric, c in found.items()
    }
