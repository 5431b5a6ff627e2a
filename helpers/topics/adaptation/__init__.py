"""Lesson 04: LoRA on a dual encoder, and the study of what it gains and costs."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from scipy import stats

from helpers.data.sets import RetrievalSet, drawn_sets
from helpers.evaluation.efficiency import seconds_in_turns
from helpers.evaluation.metrics import summary
from helpers.evaluation.ranking import rank_both_directions
from helpers.evaluation.stats import Estimate
from helpers.grid import Result, run_grid
from helpers.models.encoder import Encoder, load_encoder
from helpers.models.lora import Placement, adapt, merge, save_adapter
from helpers.report.results import Lesson, save_experiment
from helpers.repro import hash_of, library_versions
from helpers.store.artefacts import code_of
from helpers.study import Design, Study
from helpers.training.batches import TrainingPairs, normalized, prepare_pairs
from helpers.training.loop import Settings
from helpers.training.runs import train_lora

COST = "adapters cost nothing"


def hit10(encoder: Encoder, data: RetrievalSet) -> float:
    """hit@10, mean of both directions: the score by which settings are chosen on validation."""
    ranks = ranks_of(encoder, data)
    return float(
        np.mean([summary(part["rank"], "hit@10") for _, part in ranks.groupby("direction")])
    )


def ranks_of(encoder: Encoder, data: RetrievalSet) -> pd.DataFrame:
    """Embed a set and rank it in both directions."""
    return rank_both_directions(encoder.images(data.images), encoder.texts(data.captions), data)


def random_negatives(data: RetrievalSet, seed: int) -> list[tuple[int, str]]:
    """One caption of another item for every image: pairs with label 0."""
    rng = np.random.default_rng(seed)
    found = []
    for image, item in enumerate(data.image_items):
        while data.caption_items[other := int(rng.integers(len(data.captions)))] == item:
            pass
        found.append((image, data.captions[other]))
    return found


@dataclass(frozen=True)
class Experiment:
    """The data and base models of a design, and the training of one of its arms."""

    design: Design
    device: str = "cpu"

    @cached_property
    def sets(self) -> dict[str, RetrievalSet]:
        """The sets of the design by name, their images drawn once."""
        drawn = drawn_sets(self.design.data)
        return {name: replace(one, images=list(one.images)) for name, one in drawn.items()}

    @cached_property
    def bases(self) -> dict[str, Encoder]:
        """The base models of the design by name."""
        return {name: load_encoder(name, device=self.device) for name in self.design.base}

    @cached_property
    def _prepared(self) -> dict[tuple[str, bool], TrainingPairs]:
        return {}

    def pairs(self, base: str, negatives: bool) -> TrainingPairs:
        """The training pairs of a base model, prepared once."""
        if (base, negatives) not in self._prepared:
            train, seed = self.sets["training"], self.design.settings["seed of negatives"]
            drawn = random_negatives(train, seed) if negatives else ()
            self._prepared[base, negatives] = prepare_pairs(
                self.bases[base], train, negatives=drawn, progress=False
            )
        return self._prepared[base, negatives]

    def train(self, *, seed: int, base: str, **factors: Any) -> Result:
        """Train one arm with one seed, and rank every test; without ``steps`` the base itself."""
        encoder, info, frames = self.bases[base], {}, {}
        if "steps" in factors:
            trained = train_lora(
                encoder, self.pairs(base, factors.get("negatives", False)),
                placement=Placement(**self.design.settings["placement"]),
                settings=self.settings(seed, factors),
                validation=lambda one: hit10(one, self.sets["validation"]), progress=False,
            )  # fmt: skip
            encoder, info, scores = trained.encoder, trained.info, trained.evaluations
            frames["losses"] = trained.losses[["step", "loss", "gradient_norm"]]
        else:
            scores = pd.DataFrame({"step": [0], "score": [hit10(encoder, self.sets["validation"])]})
        frames["evaluations"] = scores[["step", "score"]]
        tests = ("kitchen", "general")
        ranks = [ranks_of(encoder, self.sets[test]).assign(test=test) for test in tests]
        return Result(pd.concat(ranks), info, frames)

    def settings(self, seed: int, factors: Mapping[str, Any]) -> Settings:
        """How an arm is trained: plain accumulation, evaluated at every quarter of its steps."""
        steps = factors["steps"]
        evaluated = tuple(round(steps * share) for share in (0.25, 0.5, 0.75, 1))
        return Settings(
            steps=steps, batch_size=factors["batch_size"], draw="image", keep="last",
            accumulation=factors.get("accumulation", 1), accumulate="plain",
            learning_rate=factors["learning_rate"], evaluations=evaluated, seed=seed,
        )  # fmt: skip


def run_study(design: Design, folder, *, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again."""
    experiment = Experiment(design, device)
    identity = hash_of({
        "design": [design.version, design.data, design.settings],
        "bases": {name: one.fingerprint for name, one in experiment.bases.items()},
        "trainings": {name: asdict(experiment.settings(1, factors))
                      for name, factors in design.arms.items() if "steps" in factors},
        "code": code_of("helpers.models.lora", "helpers.training.loop",
                        "helpers.training.losses", "helpers.training.batches",
                        "helpers.training.runs", "helpers.evaluation.ranking", "helpers.data.sets"),
        "libraries": library_versions(),
    })  # fmt: skip
    study = run_grid(
        experiment.train, design.arms, seeds=design.seeds_of, folder=folder, identity=identity
    )
    base = experiment.bases[next(iter(design.base))]
    costs = encoding_seconds(base, experiment.sets["kitchen"], design)
    return Study(study.ranks, study.runs, {**study.frames, "costs": costs})


def encoding_seconds(base: Encoder, data: RetrievalSet, design: Design) -> pd.DataFrame:
    """Seconds to embed a batch with the base, an adapter beside its weights, and merged."""
    adapted = adapt(base, Placement(**design.settings["placement"]), seed=1)
    networks = {"base": base, "adapter": adapted, "merged": merge(adapted)}
    rows = []
    for what, given in first_inputs(base, data).items():
        variants = _variants(networks, what, given)
        seconds = seconds_in_turns(variants, rounds=design.settings["rounds of cost"])
        rows += [(what, name, i, s) for name, part in seconds.items() for i, s in enumerate(part)]
    return pd.DataFrame(rows, columns=["inputs", "model", "round", "seconds"])


def other_estimates(study: Study) -> dict[str, Estimate]:
    """The hypothesis of the study that rests on seconds: what :func:`helpers.study.judge` takes."""
    return {COST: cost_estimate(study.frames["costs"])} if "costs" in study.frames else {}


def cost_estimate(costs: pd.DataFrame, model: str = "adapter") -> Estimate:
    """How much longer a model takes than the base, as a share: rounds are what varies.

    The mean over rounds of the logarithm of the ratio, images and captions alike.
    """
    wide = costs.pivot_table("seconds", ["inputs", "round"], "model")
    ratio = np.log(wide[model] / wide["base"]).groupby("round").mean().to_numpy()
    n, value = len(ratio), float(ratio.mean())
    error = float(ratio.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    low, middle, high = (math.expm1(x) for x in (value - half, value, value + half))
    p = float(2 * stats.t.sf(abs(value) / error, n - 1))
    return Estimate(middle, low, high, p, error, error, 0.0, n - 1.0, n, n, 0)


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


def first_inputs(base: Encoder, data: RetrievalSet, most: int = 128) -> dict[str, Any]:
    """The first images and as many captions of a set, as the towers read them."""
    n = min(most, len(data.images), len(data.captions))
    return {
        "images": base.prepare_images([data.images[i] for i in range(n)]),
        "captions": base.prepare_texts(list(data.captions[:n])),
    }


def costs_of(base: Encoder, adapted: Encoder, data: RetrievalSet) -> list[dict[str, Any]]:
    """Images and captions embedded per second: the base, the adapter beside it, and merged."""
    inputs = first_inputs(base, data)
    n = len(inputs["images"])
    networks = {"zero-shot": base, "LoRA": adapted, "LoRA merged": merge(adapted)}
    rows = []
    for what, given in inputs.items():
        seconds = seconds_in_turns(_variants(networks, what, given))
        for name, part in seconds.items():
            low, value, high = (n / np.quantile(part, q) for q in (1, 0.5, 0))
            rate = {"value": value, "low": low, "high": high, "n": n, "unit": f"{what}/s"}
            rows.append({"metric": f"{what} embedded", "model": name} | rate)
    return rows


def _variants(networks: Mapping[str, Encoder], what: str, given: Any) -> dict[str, Callable]:
    part = "image_features" if what == "images" else "text_features"
    return {name: partial(getattr(one, part), given) for name, one in networks.items()}


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


PATH = ("gain", "gain_low", "gain_high", "loss", "loss_low", "loss_high")


def gain_and_loss(
    base: Mapping[str, pd.DataFrame], moved: Mapping[str, pd.DataFrame]
) -> list[float]:
    """What an adapted model gains on its domain and loses on another, in points.

    Both mappings hold ranks: of the domain first, then of the other one. The numbers are those of
    ``PATH``: each difference of hit@10 with its interval over items.
    """
    numbers = []
    for test, ranks in moved.items():
        both = Study.of({"base": base[test], "moved": ranks}, test=test)
        one = both.difference("moved", "base", test=test)
        numbers += [100 * x for x in (one.value, one.low, one.high)]
    return numbers


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
