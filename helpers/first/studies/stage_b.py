"""The second stage as a stored run: heads first, then the last blocks with them.

Beside the ranks of the second stage a run holds those of the heads that it started from, so that
what the second stage adds is compared on the same queries, with the same seed and recipes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.encoders import Encoder
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.head_files import Headed
from helpers.first.studies.adapters import Study, seeded
from helpers.first.training.features import take_recipes
from helpers.first.training.head_runs import CODE, HeadArm, HeadRun, Parts, first_hits, train_arm
from helpers.first.training.pairs import prepare_pairs
from helpers.first.training.settings import Training
from helpers.first.training.stage_b import StageB, headed_score, train_stage_b, unfreeze_last
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, code_of, ensure

STAGE_CODE = (
    *CODE, "helpers.first.models.encoders", "helpers.first.studies.stage_b", "helpers.first.training.grad_cache",
    "helpers.first.training.loop", "helpers.first.training.pairs", "helpers.first.training.progress",
    "helpers.first.training.stage_b", "helpers.first.training.step", "helpers.first.training.towers",
)  # fmt: skip


def second_stage(
    pairs: Pairs,
    encoder: Encoder,
    parts: Parts,
    arm: HeadArm,
    settings: Training,
    *,
    vision_layers: int = 1,
    text_layers: int = 1,
    groups: Mapping[str, str] | None = None,
    progress: bool = True,
) -> tuple[Headed, StageB]:
    """The heads of an arm on the frozen model, and what the second stage makes of both."""
    heads = train_arm(parts, arm, groups=groups).best
    recipes = set(take_recipes(parts.train, arm.n_recipes, seed=arm.training.seed).recipes.tolist())
    frame = pairs.train[pairs.train["recipe_id"].isin(recipes)]
    ready = prepare_pairs(frame, encoder, pairs.image, progress=False)
    opened = unfreeze_last(encoder, heads, vision_layers=vision_layers, text_layers=text_layers)
    validate = headed_score(opened, parts.validation.data, pairs.image)
    stage = train_stage_b(opened, ready, settings, validate=validate, progress=progress)
    return Headed(encoder, heads), stage


def ensure_stage_b(
    pairs: Pairs,
    encoder: Encoder,
    parts: Parts,
    arm: HeadArm,
    settings: Training,
    *,
    vision_layers: int = 1,
    text_layers: int = 1,
    groups: Mapping[str, str] | None = None,
    progress: bool = True,
) -> HeadRun:
    """Train and measure the second stage, or read it where that is done.

    Returns
    -------
    HeadRun
        ``best``: after the second stage; ``last``: the heads alone that it started from.

    Examples
    --------
    >>> run = ensure_stage_b(pairs, encoder, parts, HeadArm(), Training())  # doctest: +SKIP
    """
    settings = replace(settings, seed=arm.training.seed, draw="image")
    parameters: dict[str, Any] = {
        "arm": asdict(arm), "model": parts.model, "training": asdict(settings),
        "vision_layers": vision_layers, "text_layers": text_layers,
        "groups": hash_of(sorted((groups or {}).items())),
    }  # fmt: skip
    inputs = {"pairs": pairs.manifest.fingerprint, "features": parts.train.fingerprint}
    run_id = hash_of([parameters, inputs])
    key = f"{EXPERIMENTS}/stage_b/{run_id}.json"

    def build(writer: Writer) -> None:
        start, stage = second_stage(
            pairs, encoder, parts, arm, settings, vision_layers=vision_layers,
            text_layers=text_layers, groups=groups, progress=progress,
        )  # fmt: skip
        log = stage.trained
        record = {
            "looks": [{"step": e["step"], "score": e["score"]} for e in log.epochs],
            "seconds": log.seconds,
            "best": {
                "step": log.epochs[log.kept_epoch]["step"],
                "validation": log.epochs[log.kept_epoch]["score"],
                "first_hit_ranks": _ranks(pairs, stage.headed),
            },
            "last": {
                "step": 0,
                "validation": log.epochs[0]["score"],
                "first_hit_ranks": first_hits(start.heads, parts.test),
            },
        }
        text = json.dumps({"id": run_id, **parameters, **record}, allow_nan=False)
        writer.write_text(key, text + "\n")

    ensure(
        pairs.zone, f"stage-b-{run_id}", kind="stage B run", parameters=parameters, inputs=inputs,
        build=build, prefixes=(key,), code=code_of(*STAGE_CODE),
    )  # fmt: skip
    return HeadRun(arm, json.loads(pairs.zone.read_text(key)))


def run_stage_b(
    study: Study,
    pairs: Pairs,
    encoder: Encoder,
    arm: HeadArm,
    settings: Training,
    sizes: Sequence[int],
) -> dict[int, list[HeadRun]]:
    """The second stage at some sizes, a run a seed; heads with the rate that validation chose."""
    return {
        n: [
            ensure_stage_b(pairs, encoder, study.parts, one, settings, groups=study.groups)
            for one in seeded(study, replace(arm, n_recipes=n))
        ]
        for n in sizes
    }


def _ranks(pairs: Pairs, headed: Headed) -> dict[str, list[float]]:
    data = retrieval_set(pairs.test)
    images = headed.images([pairs.image(key) for key in data.image_keys])
    texts = headed.texts(list(data.captions))
    found = both_directions(images, data.image_ids, texts, data.caption_ids)
    return {way: ranking.first.tolist() for way, ranking in found.items()}
