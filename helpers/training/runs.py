"""Adapter runs in a zone: trained once for a set of settings, found again ever after.

A run lies in ``fine-tuning-zone/experiments/lora/run_<id>/`` with its configuration, adapter, logs,
results and examples; its id is the hash of settings and inputs. A study is a list of arms: what is
there already is read, what was interrupted goes on from its last saved step.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from helpers import paths
from helpers.data.pairs import Pairs, retrieval_set
from helpers.evaluation.efficiency import PeakMemory
from helpers.evaluation.metrics import both_directions, hit_at_k
from helpers.models.encoders import Encoder
from helpers.models.evaluate import DIRECTIONS, evaluate, examples
from helpers.models.experiments import EXPERIMENTS, results_of
from helpers.models.lora import Adapted, adapt, load_adapter, save_adapter
from helpers.models.placement import count_parameters
from helpers.prepare.augmentation_settings import AugmentationConfig, load_config, only
from helpers.prepare.image_augmentation import training_augmenter
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure, write_file_atomically
from helpers.store.code import Modules
from helpers.training.arms import Arm, rules_as_json, training_frame
from helpers.training.loop import Trained, train
from helpers.training.pairs import prepare_pairs

SCALARS = {"info_nce": ("logit_scale",), "sigmoid": ("logit_scale", "logit_bias")}
# A change in any of them makes runs stale: they decide rows, weights or numbers.
PACKAGES = ("evaluation", "models", "prepare", "training")
CODE = (
    "helpers.data.images",
    "helpers.data.pairs",
    *Modules().named("helpers.training.runs", packages=PACKAGES),
)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    id : str
    arm : Arm
    results : dict
        As in ``results_lora.json``: metrics with intervals, ranks by query, costs.
    log : dict
        As in ``training_logs.json``: ``steps``, ``epochs``, ``kept_epoch``.
    manifest : Manifest
    pairs : Pairs
    """

    id: str
    arm: Arm
    results: dict[str, Any]
    log: dict[str, Any]
    manifest: Manifest
    pairs: Pairs

    def ranks(self, direction: str) -> np.ndarray:
        """(q,) rank of the first hit of each test query."""
        return np.array(self.results["first_hit_ranks"][direction])

    def write_adapter(self, folder: Path) -> None:
        """Copy the adapter out of its zone, for ``PeftModel.from_pretrained``."""
        start = f"{run_folder(self.id)}/adapters/"
        for key in self.manifest.files:
            if key.startswith(start):
                write_file_atomically(
                    folder / key.removeprefix(start), self.pairs.zone.read_bytes(key)
                )

    def adapted(self, base: Encoder) -> Adapted:
        """The stored adapter on its base."""
        with tempfile.TemporaryDirectory() as name:
            self.write_adapter(Path(name))
            return load_adapter(base, Path(name))

    def encoder(self, base: Encoder) -> Encoder:
        """The adapted model, to encode with."""
        return self.adapted(base).encoder


def run_folder(run_id: str) -> str:
    """The key of a run's folder in its zone."""
    return f"{EXPERIMENTS}/lora/run_{run_id}"


def ensure_run(
    pairs: Pairs,
    encoder: Encoder,
    arm: Arm,
    *,
    config: AugmentationConfig | None = None,
    seed: int = 42,
    n_resamples: int = 2000,
    progress: bool = True,
) -> Run:
    """Train, evaluate and store an arm, or read it where that is done.

    Parameters
    ----------
    pairs : Pairs
        Trained on ``train``, chosen by ``validation``, measured once on ``test``.
    encoder : Encoder
        The base, in fp32.
    arm : Arm
    config : AugmentationConfig, optional
        The course's own by default.
    seed, n_resamples : int
        Of the intervals; the seed of training is in ``arm.training``.

    Examples
    --------
    >>> run = ensure_run(pairs, load_encoder("tiny-siglip"), Arm())  # doctest: +SKIP
    """
    config = load_config() if config is None else config
    rules = only(config, *arm.augment) if arm.augment else None
    parameters = {
        "model": encoder.name,
        "arm": asdict(arm),
        "rules": rules_as_json(rules),
        "n_resamples": n_resamples,
        "seed": seed,
    }
    inputs = {"pairs": pairs.manifest.fingerprint, "model": encoder.fingerprint}
    run_id = hash_of([parameters, inputs])
    folder = run_folder(run_id)
    code = code_of(*CODE)
    name = hash_of([str(pairs.zone.root), run_id, code])  # other code starts from the beginning
    state = paths.cache() / "training" / f"{name}.safetensors"
    state.parent.mkdir(parents=True, exist_ok=True)

    def build(writer: Writer) -> None:
        files = _trained(pairs, encoder, arm, rules, state, seed, n_resamples, progress, run_id)
        settings = {"method": "lora", "run_id": run_id, **parameters, "inputs": inputs}
        settings_yaml = yaml.safe_dump(json.loads(json.dumps(settings)), sort_keys=False)
        writer.write_text(f"{folder}/config.yaml", settings_yaml)
        for name, content in files.items():
            writer.write_bytes(f"{folder}/{name}", content)

    manifest = ensure(
        pairs.zone,
        f"lora-run_{run_id}",
        kind="adapter run",
        parameters=parameters,
        inputs=inputs,
        build=build,
        prefixes=(folder,),
        code=code,
    )
    state.unlink(missing_ok=True)
    zone = pairs.zone
    results = json.loads(zone.read_text(f"{folder}/results_lora.json"))
    log = json.loads(zone.read_text(f"{folder}/training_logs.json"))
    return Run(run_id, arm, results, log, manifest, pairs)


def validation_score(
    pairs: Pairs, encoder: Encoder, *, k: int = 10
) -> Callable[[], dict[str, float]]:
    """A function for the loop: hit@k on the validation recipes; ``score`` is the mean of both ways.

    Pictures are decoded once.
    """
    data = retrieval_set(pairs.validation)
    pictures = [pairs.image(key) for key in data.image_keys]

    def score() -> dict[str, float]:
        images, texts = encoder.images(pictures), encoder.texts(data.captions)
        rankings = both_directions(images, data.image_ids, texts, data.caption_ids)
        found = {way: hit_at_k(ranking, k) for way, ranking in rankings.items()}
        return {**found, "score": float(np.mean(list(found.values())))}

    return score


def _trained(
    pairs: Pairs,
    encoder: Encoder,
    arm: Arm,
    rules: AugmentationConfig | None,
    state: Path,
    seed: int,
    n_resamples: int,
    progress: bool,
    run_id: str,
) -> dict[str, bytes]:
    """Train an arm, evaluate what was stored of it; the files of its run by name."""
    scalars = SCALARS[arm.training.loss]
    adapted = adapt(encoder, arm.placement, train_scalars=scalars, seed=arm.training.seed)
    frame = training_frame(pairs, arm, rules)
    ready = prepare_pairs(frame, adapted.encoder, pairs.image, progress=False)
    transforms = rules is not None and any(rule.enabled for rule in rules.images.values())
    training = replace(arm.training, negatives=arm.negatives != "none")
    with PeakMemory() as memory:
        trained = train(
            adapted.encoder,
            ready,
            training,
            augment=training_augmenter(rules.images) if transforms else None,
            validate=validation_score(pairs, adapted.encoder),
            state=state,
            progress=progress,
        )
    about = {"training": asdict(training), "data": f"{pairs.source}, training part"}
    with tempfile.TemporaryDirectory() as name:
        save_adapter(adapted, Path(name), **about)
        adapter = {path.name: path.read_bytes() for path in sorted(Path(name).iterdir())}
        stored = load_adapter(encoder, Path(name)).encoder
    evaluation = evaluate(
        stored, retrieval_set(pairs.test), pairs.image, n_resamples=n_resamples, seed=seed
    )
    counts = count_parameters(adapted.encoder.model)
    results = (
        {"run_id": run_id}
        | results_of(evaluation, stored)
        | {
            "trainable_parameters": counts.trainable,
            "parameters": counts.total,
            "training_seconds": trained.seconds,
            "peak_memory_mb": memory.peak_mb,
            "cuda_peak_mb": memory.cuda_peak_mb,
            "first_hit_ranks": {way: evaluation.rankings[way].first.tolist() for way in DIRECTIONS},
        }
    )
    written = {
        "training_logs.json": _log_of(trained),
        "results_lora.json": results,
        "examples_top5.json": examples(evaluation, seed=seed),
    }
    return {
        **{name: _json(value) for name, value in written.items()},
        **{f"adapters/{name}": content for name, content in adapter.items()},
    }


def _log_of(trained: Trained) -> dict[str, Any]:
    return {
        "steps": list(trained.steps),
        "epochs": list(trained.epochs),
        "kept_epoch": trained.kept_epoch,
        "stopped_early": trained.stopped_early,
        "seconds": trained.seconds,
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
