"""Experiments in a zone: results and examples of a model, laid out as the pipeline expects them.

``fine-tuning-zone/experiments/baseline/`` holds M0; adapted models lie beside it, a folder a run.
"""

import json
from typing import Any

import numpy as np

from helpers.data.pairs import Pairs
from helpers.first.models.encoders import Encoder
from helpers.first.models.evaluate import Evaluation, examples
from helpers.store.artefacts import Manifest, Writer, ensure

EXPERIMENTS = "fine-tuning-zone/experiments"


def results_of(evaluation: Evaluation, encoder: Encoder) -> dict[str, Any]:
    """The metrics of an evaluation as plain JSON: value, interval and counts by direction."""
    metrics = {
        direction: {
            name: {
                "value": i.value if not i.reason else None,
                **({"reason": i.reason} if i.reason else {}),
                "low": i.low if np.isfinite(i.low) else None,
                "high": i.high if np.isfinite(i.high) else None,
                "n": i.n,
                "n_recipes": i.n_groups,
            }
            for name, i in found.items()
        }
        for direction, found in evaluation.intervals.items()
    }
    return {
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "precision": encoder.precision,
        "revision": encoder.revision,
        "texts": encoder.text_rules,
        "images": len(evaluation.data.image_keys),
        "captions": len(evaluation.data.captions),
        "metrics": metrics,
    }


def ensure_baseline(
    evaluation: Evaluation, encoder: Encoder, pairs: Pairs, *, n_resamples: int, seed: int
) -> Manifest:
    """``results_baseline.json`` and ``examples_top5.json`` of M0 in the zone of its pairs."""
    folder = f"{EXPERIMENTS}/baseline"

    def build(writer: Writer) -> None:
        for name, value in (
            ("results_baseline.json", results_of(evaluation, encoder)),
            ("examples_top5.json", examples(evaluation, seed=seed)),
        ):
            text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
            writer.write_text(f"{folder}/{name}", text + "\n")

    return ensure(
        pairs.zone,
        "baseline",
        kind="evaluation",
        parameters={
            "model": encoder.name,
            "precision": encoder.precision,
            "n_resamples": n_resamples,
            "seed": seed,
        },
        inputs={"pairs": pairs.manifest.fingerprint, "model": encoder.fingerprint},
        build=build,
        prefixes=(folder,),
    )
