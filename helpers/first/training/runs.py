"""Adapter runs in a zone: trained once for a set of settings, found again ever after.

A run lies in ``fine-tuning-zone/experiments/lora/run_<id>/`` with its configuration, adapter, logs,
results and examples; its id is the hash of settings and inputs. A study is a list of arms: what is
there already is read, what was interrupted goes on from its last saved step.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from helpers import paths
from helpers.course.code import Modules
from helpers.data.pairs import Pairs
from helpers.first.models.encoders import Encoder
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.lora import Adapted, load_adapter
from helpers.first.models.placement import Placement
from helpers.first.training.arm_run import ArmRun, kept_precision, validation_score
from helpers.first.training.arms import Arm
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import write_file_atomically

__all__ = ["Run", "ensure_run", "run_folder", "validation_score"]

# A change in any of them makes runs stale: they decide rows, weights or numbers.
PACKAGES = ("evaluation", "models", "prepare", "training")
CODE = (
    "helpers.data.images",
    "helpers.data.pairs",
    *Modules().named("helpers.first.training.runs", packages=PACKAGES),
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
    seed: int = 42,
    n_resamples: int = 2000,
    prefix: str = "auto",
    also: Sequence[Placement] = (),
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
    seed, n_resamples : int
        Of the intervals; the seed of training is in ``arm.training``.
    prefix : str
        Whether to train from kept prefixes (:mod:`helpers.first.training.prefix_cache`): ``auto``, in
        fp32 where that is valid and the run is in fp32; ``fp32`` or ``bf16``; ``off``. In fp32 it
        is a matter of speed and no part of what a run is; in bf16 the numbers differ, so that such
        a run has an id of its own.
    also : sequence of Placement
        Other rows of the study, whose prefixes are computed in the same pass.

    Raises
    ------
    PrefixError
        If ``prefix`` is ``fp32`` or ``bf16`` where prefixes cannot be kept.

    Examples
    --------
    >>> run = ensure_run(pairs, load_encoder("tiny-siglip"), Arm())  # doctest: +SKIP
    """
    kept, note = kept_precision(prefix, arm, encoder)
    parameters = {
        "model": encoder.name,
        "arm": asdict(arm),
        "n_resamples": n_resamples,
        "seed": seed,
    }
    if kept == "bf16":
        parameters["prefix"] = kept
    inputs = {"pairs": pairs.manifest.fingerprint, "model": encoder.fingerprint}
    run_id = hash_of([parameters, inputs])
    folder = run_folder(run_id)
    code = code_of(*CODE)
    name = hash_of([str(pairs.zone.root), run_id, code])  # other code starts from the beginning
    state = paths.cache() / "training" / f"{name}.safetensors"
    state.parent.mkdir(parents=True, exist_ok=True)

    def build(writer: Writer) -> None:
        run = ArmRun(pairs, encoder, arm, kept, note, tuple(also), progress)
        files = run.files(state, seed=seed, n_resamples=n_resamples, run_id=run_id)
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
