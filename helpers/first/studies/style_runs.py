"""Arms that train on chosen looks of the pictures: real, synthetic, a mixture, watermarked.

Every arm is trained once and found again; the weights of every epoch are kept with it, so that a
path through training can be walked again without training.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from helpers.course.code import Modules
from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.encoders import Encoder
from helpers.first.models.evaluate import DIRECTIONS
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.lora import adapt
from helpers.first.models.placement import Placement
from helpers.first.studies.mixes import REAL, SYNTHETIC, Mix, mixed_rows
from helpers.first.studies.style_pictures import Pictures
from helpers.first.training.arm_run import validation_score
from helpers.first.training.loop import train
from helpers.first.training.pairs import prepare_pairs
from helpers.first.training.prefix_cache import prefix_encoder, prefix_towers, why_not
from helpers.first.training.settings import Training
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure

PACKAGES = ("evaluation", "models", "studies", "training")
CODE = Modules().named("helpers.first.studies.style_runs", packages=PACKAGES)


@dataclass(frozen=True)
class StyleRun:
    """A finished arm.

    Attributes
    ----------
    mix : Mix
    placement : Placement
    training : Training
        With the seed of this run.
    ranks : dict
        Name of a test set to direction to (q,) ranks of the first hits, queries in the order of
        ``retrieval_set(pairs.test)``.
    epochs : tuple of dict
        The validation of each epoch, 0 (before training) first.
    kept_epoch, n_pictures : int
        Whose weights were measured; how many different pictures were trained on.
    seconds : float
        Of training.
    weights : tuple of dict
        The trained weights of each epoch by name.
    manifest : Manifest
    """

    mix: Mix
    placement: Placement
    training: Training
    ranks: dict[str, dict[str, np.ndarray]]
    epochs: tuple[dict[str, float], ...]
    kept_epoch: int
    n_pictures: int
    seconds: float
    weights: tuple[dict[str, torch.Tensor], ...]
    manifest: Manifest

    def encoder(self, base: Encoder, *, epoch: int | None = None) -> Encoder:
        """The model as it was after an epoch; by default the one that was kept and measured.

        Raises
        ------
        ValueError
            If there was no such epoch.
        """
        epoch = self.kept_epoch if epoch is None else epoch
        if not 0 <= epoch < len(self.weights):
            raise ValueError(
                f"epoch {epoch} of {self.mix.label}: 0 (before) to {len(self.weights) - 1}"
            )
        encoder = adapt(base, self.placement, seed=self.training.seed).encoder
        named = dict(encoder.model.named_parameters())
        with torch.no_grad():
            for name, value in self.weights[epoch].items():
                named[name].copy_(value)
        return encoder


def ensure_style_run(
    pairs: Pairs,
    encoder: Encoder,
    mix: Mix,
    *,
    looks: Mapping[str, Pictures],
    tests: Mapping[str, Pictures],
    placement: Placement,
    training: Training,
    progress: bool = True,
) -> StyleRun:
    """Train an arm on its mix and rank the test recipes, or read it where that is done.

    Parameters
    ----------
    pairs : Pairs
        The validation recipes, in their real look, choose the epoch.
    looks : mapping
        ``real`` and ``synthetic`` to the pictures that stand for them in this mix.
    tests : mapping
        Name to a look of the test pictures.
    placement, training
        As for any arm; the seed of ``training`` also chooses the recipes.

    Examples
    --------
    >>> run = ensure_style_run(pairs, base, Mix(0.5, 0.5), looks=looks, tests=tests,
    ...                        placement=Placement(), training=Training())  # doctest: +SKIP
    """
    used = {name: looks[name] for name in (REAL, SYNTHETIC) if getattr(mix, name)}
    parameters = {
        "model": encoder.name,
        "mix": asdict(mix),
        "placement": asdict(placement),
        "training": asdict(training),
        "tests": sorted(tests),
    }
    inputs = {
        "pairs": pairs.manifest.fingerprint,
        "model": encoder.fingerprint,
        **{f"look {name}": look.fingerprint for name, look in used.items()},
        **{f"test {name}": look.fingerprint for name, look in tests.items()},
    }
    run_id = hash_of([parameters, inputs])
    folder = f"{EXPERIMENTS}/styles/run_{run_id}"

    def build(writer: Writer) -> None:
        results, weights = _trained(
            pairs, encoder, mix, used, tests, placement, training, progress=progress
        )
        text = json.dumps({"run_id": run_id, **parameters, **results}, allow_nan=False)
        writer.write_text(f"{folder}/results.json", text + "\n")
        writer.write_bytes(f"{folder}/epochs.safetensors", save(weights))

    manifest = ensure(
        pairs.zone,
        f"style-run_{run_id}",
        kind="style run",
        parameters=parameters,
        inputs=inputs,
        build=build,
        prefixes=(folder,),
        code=code_of(*CODE),
    )
    results = json.loads(pairs.zone.read_text(f"{folder}/results.json"))
    kept = _by_epoch(load(pairs.zone.read_bytes(f"{folder}/epochs.safetensors")))
    ranks = {
        test: {way: np.array(found) for way, found in ways.items()}
        for test, ways in results["ranks"].items()
    }
    about = (results[name] for name in ("kept_epoch", "n_pictures", "seconds"))
    epochs = tuple(results["epochs"])
    return StyleRun(mix, placement, training, ranks, epochs, *about, kept, manifest)


def run_mixes(
    pairs: Pairs,
    encoder: Encoder,
    mixes: Iterable[Mix],
    *,
    twins: Mapping[float, Pictures],
    real: Pictures,
    marked: Pictures | None = None,
    seeds: Sequence[int],
    training: Training,
    **options: Any,
) -> dict[Mix, list[StyleRun]]:
    """Every mix with every seed.

    Parameters
    ----------
    twins : mapping
        Style gap to the synthetic pictures of that gap.
    real, marked : Pictures
        The real pictures, and those with a watermark, which mixes with ``watermark`` train on.
    **options
        As of :func:`ensure_style_run`.

    Raises
    ------
    ValueError
        If a mix asks for a look that is not given.
    """
    done: dict[Mix, list[StyleRun]] = {mix: [] for mix in mixes}
    for mix in done:
        if mix.watermark and (marked is None or mix.synthetic):
            raise ValueError(f"{mix.label}: watermarks lie on real pictures; give them as `marked`")
        if mix.synthetic and mix.style_gap not in twins:
            raise ValueError(f"{mix.label}: there are twins of the gaps {sorted(twins)} alone")
    for seed in seeds:
        for mix, runs in done.items():
            looks = {REAL: marked if mix.watermark else real}
            looks |= {SYNTHETIC: twins[mix.style_gap]} if mix.synthetic else {}
            seeded = replace(training, seed=seed)
            runs.append(
                ensure_style_run(pairs, encoder, mix, looks=looks, training=seeded, **options)
            )
    return done


def _trained(
    pairs: Pairs,
    encoder: Encoder,
    mix: Mix,
    looks: Mapping[str, Pictures],
    tests: Mapping[str, Pictures],
    placement: Placement,
    training: Training,
    *,
    progress: bool,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Train one arm: its results as JSON, and its weights as ``<epoch>/<name>``."""

    def picture(key: str):
        look, _, rest = key.partition("#")
        return looks[look].load(rest.partition("/")[2])

    rows = mixed_rows(pairs.train, mix, seed=training.seed)
    adapted = adapt(encoder, placement, seed=training.seed).encoder
    ready = prepare_pairs(rows, adapted, picture, progress=False)
    whole = bool(why_not(placement, encoder=adapted))  # nothing below is frozen
    towers = None if whole else prefix_towers(adapted, ready, placement, progress=False)
    seeing = adapted if whole else prefix_encoder(adapted, placement)
    weights: list[dict[str, torch.Tensor]] = []
    score = validation_score(pairs, seeing)

    def validate() -> dict[str, float]:
        named = adapted.model.named_parameters()
        weights.append({name: p.detach().cpu().clone() for name, p in named if p.requires_grad})
        return score()

    trained = train(adapted, ready, training, towers=towers, validate=validate, progress=progress)
    originals = rows["image_key"].str.partition("/")[2]
    results = {
        "ranks": {
            test: {way: found.tolist() for way, found in ways.items()}
            for test, ways in ranks_of_tests(pairs, seeing, tests).items()
        },
        "epochs": [dict(epoch) for epoch in trained.epochs],
        "kept_epoch": trained.kept_epoch,
        "n_pictures": int(originals.nunique()),
        "seconds": trained.seconds,
    }
    return results, {f"{n}/{name}": w for n, kept in enumerate(weights) for name, w in kept.items()}


def ranks_of_tests(
    pairs: Pairs, encoder: Encoder, tests: Mapping[str, Pictures]
) -> dict[str, dict[str, np.ndarray]]:
    """The ranks of the first hits on each test set, as of :attr:`StyleRun.ranks`."""
    data = retrieval_set(pairs.test)
    texts = encoder.texts(data.captions)
    ranks = {}
    for name, look in tests.items():
        images = encoder.images([look.load(key) for key in data.image_keys])
        rankings = both_directions(images, data.image_ids, texts, data.caption_ids)
        ranks[name] = {way: rankings[way].first for way in DIRECTIONS}
    return ranks


def _by_epoch(flat: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], ...]:
    found: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in flat.items():
        epoch, _, name = key.partition("/")
        found.setdefault(int(epoch), {})[name] = value
    return tuple(found[epoch] for epoch in sorted(found))
