"""Generators in a zone: trained once for settings and annotations, found again ever after.

A run lies in ``fine-tuning-zone/experiments/generator/run_<id>/``: the weights of the trained parts
(``trained.safetensors``), nothing of the frozen ones, and ``log.json``. An interrupted run goes on
from its last saved step.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load, save

from helpers import paths
from helpers.course.code import Modules
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.generator import TEXT_TOKENS, TRAINED, Generator
from helpers.first.models.generator_loading import load_trained
from helpers.first.training.generator import GeneratorTraining, Written, text_loss, train_generator
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone
from helpers.topics.cir.triplets import Triplet

CODE = Modules().named("helpers.first.training.generator_runs", packages=("models", "training"))


@dataclass(frozen=True)
class GeneratorRun:
    """A trained generator.

    Attributes
    ----------
    id : str
    generator : Generator
    settings : GeneratorTraining
    log : list of dict
        ``step``, ``loss``, ``seconds`` of each step.
    validation : dict
        ``before`` and ``after``: the loss on the validation triplets; empty without any.
    n_pairs : int
        Pairs that were trained on: a triplet gives one forward and, where its reverse text is
        known, one back.
    too_long : int
        Texts among them whose ends are beyond ``TEXT_TOKENS`` and were not learned.
    seconds : float
        Of training.
    manifest : Manifest
    """

    id: str
    generator: Generator
    settings: GeneratorTraining
    log: list[dict[str, float]]
    validation: dict[str, float]
    n_pairs: int
    too_long: int
    seconds: float
    manifest: Manifest

    @property
    def says(self) -> str:
        """What was trained on and how long, in a sentence."""
        lost = (
            f"; {self.too_long} of their texts have more than {TEXT_TOKENS} tokens, and what comes "
            "after those was not learned"
        )
        return f"{self.n_pairs} pairs, {self.seconds:.0f} s{lost if self.too_long else ''}"


def see_triplets(
    generator: Generator,
    triplets: Sequence[Triplet],
    load_image: Callable[[str], Image.Image],
    *,
    progress: bool = False,
) -> Written:
    """What the generator trains on: pictures as its frozen encoder sees them, pairs and texts.

    Each triplet's first target counts. A reverse text, where there is one, makes a second pair.
    """
    names = list(dict.fromkeys(n for t in triplets for n in (t.reference, t.targets[0])))
    rows = {name: row for row, name in enumerate(names)}
    pairs, texts = [], []
    for t in triplets:
        pair = rows[t.reference], rows[t.targets[0]]
        pairs.append(pair)
        texts.append(t.caption)
        if t.reverse:
            pairs.append(pair[::-1])
            texts.append(t.reverse)
    seen = generator.see([partial(load_image, name) for name in names], progress=progress)
    return Written(seen, np.array(pairs, dtype=np.int64), tuple(texts))


def ensure_generator(
    zone: Zone,
    base: Generator,
    annotated: Sequence[Triplet],
    load_image: Callable[[str], Image.Image],
    *,
    data: str,
    validation: Sequence[Triplet] = (),
    settings: GeneratorTraining | None = None,
    progress: bool = True,
) -> GeneratorRun:
    """Train a generator on annotated triplets and store it, or read it where that is done.

    Parameters
    ----------
    zone : Zone
    base : Generator
        In fp32; not changed.
    annotated : sequence of Triplet
        With texts and known targets.
    load_image : callable
        A picture's name to the picture.
    data : str
        Fingerprint of the pictures, such as ``composed.fingerprint``.
    validation : sequence of Triplet
        Whose loss is measured before and after; nothing is chosen by it here.

    Raises
    ------
    ValueError
        If nothing is annotated, or a triplet has no target.

    Examples
    --------
    >>> run = ensure_generator(zone, load_generator(), annotated, composed.load_image,
    ...                        data=composed.fingerprint)  # doctest: +SKIP
    """
    settings = settings or GeneratorTraining()
    if not annotated:
        raise ValueError("no annotated triplet was given: a generator learns from some")
    if hidden := [t.pair_id for t in (*annotated, *validation) if not t.targets]:
        raise ValueError(f"triplet {hidden[0]} has no known target: it cannot teach what changed")
    told = [[t.pair_id, t.reference, t.targets[0], t.caption, t.reverse] for t in annotated]
    parameters = {
        "model": base.name, "instruction": base.instruction, "settings": asdict(settings),
        "annotated": len(annotated), "validation": [t.pair_id for t in validation],
    }  # fmt: skip
    inputs = {"model": base.fingerprint, "data": data, "annotations": hash_of(told)}
    run_id = hash_of([parameters, inputs])
    folder = f"{EXPERIMENTS}/generator/run_{run_id}"
    code = code_of(*CODE)
    state = paths.cache() / "training" / f"{hash_of([str(zone.root), run_id, code])}.safetensors"
    state.parent.mkdir(parents=True, exist_ok=True)

    def build(writer: Writer) -> None:
        own = load_trained(base, _weights(base))  # a copy: the base stays as it is
        own = replace(own, fingerprint=base.fingerprint)
        train = see_triplets(own, annotated, load_image, progress=progress)
        held = see_triplets(own, validation, load_image) if validation else None
        losses = {"before": text_loss(own, held)} if held else {}
        began = time.perf_counter()
        weights, log = train_generator(own, train, settings, state=state, progress=progress)
        seconds = time.perf_counter() - began
        losses |= {"after": text_loss(own, held)} if held else {}
        record = {
            "id": run_id, **parameters, "inputs": inputs, "n_pairs": len(train.texts),
            "too_long": own.too_long(train.texts),
            "seconds": seconds, "validation_loss": losses, "log": log,
        }  # fmt: skip
        writer.write_bytes(f"{folder}/trained.safetensors", save(weights))
        writer.write_text(f"{folder}/log.json", json.dumps(record, allow_nan=False) + "\n")

    manifest = ensure(
        zone, f"generator-run_{run_id}", kind="generator run", parameters=parameters,
        inputs=inputs, build=build, prefixes=(folder,), code=code,
    )  # fmt: skip
    state.unlink(missing_ok=True)
    record: dict[str, Any] = json.loads(zone.read_text(f"{folder}/log.json"))
    trained = load_trained(base, load(zone.read_bytes(f"{folder}/trained.safetensors")))
    return GeneratorRun(
        run_id, trained, settings, record["log"], record["validation_loss"], record["n_pairs"],
        record["too_long"], record["seconds"], manifest,
    )  # fmt: skip


def _weights(base: Generator) -> dict:
    return {n: p.detach() for n, p in base.model.named_parameters() if n.startswith(TRAINED)}
