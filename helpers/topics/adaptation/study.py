"""The study of lesson 04: what LoRA gains, what it costs elsewhere, and what batches do."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from helpers.data.sets import RetrievalSet
from helpers.evaluation.efficiency import seconds_in_turns
from helpers.evaluation.stats import Estimate
from helpers.experiment import Experiment, hit10, ranks_of
from helpers.grid import Result
from helpers.models.encoder import Encoder
from helpers.models.lora import Placement, adapt, merge
from helpers.study import Design, Study
from helpers.training.batches import TrainingPairs, prepare_pairs
from helpers.training.loop import Settings
from helpers.training.runs import train_lora

COST = "adapters cost nothing"


def random_negatives(data: RetrievalSet, seed: int) -> list[tuple[int, str]]:
    """One caption of another item for every image: pairs with label 0."""
    rng = np.random.default_rng(seed)
    found = []
    for image, item in enumerate(data.image_items):
        while data.caption_items[other := int(rng.integers(len(data.captions)))] == item:
            pass
        found.append((image, data.captions[other]))
    return found


class Training(Experiment):
    """Trains an arm of the design, and ranks every test."""

    @cached_property
    def _pairs(self) -> dict[tuple[str, bool], TrainingPairs]:
        return {}

    def pairs(self, base: str, negatives: bool) -> TrainingPairs:
        """The training pairs of a base model, prepared once."""
        if (base, negatives) not in self._pairs:
            train, seed = self.sets["training"], self.design.settings["seed of negatives"]
            drawn = random_negatives(train, seed) if negatives else ()
            self._pairs[base, negatives] = prepare_pairs(
                self.bases[base], train, negatives=drawn, progress=False
            )
        return self._pairs[base, negatives]

    def train(self, *, seed: int, base: str, **factors: Any) -> Result:
        """Train one arm with one seed, and rank every test; without ``steps`` the base itself."""
        encoder, info, frames = self.bases[base], {}, {}
        validation = self.sets["validation"]
        if "steps" in factors:
            trained = train_lora(
                encoder, self.pairs(base, factors.get("negatives", False)),
                placement=Placement(**self.design.settings["placement"]),
                settings=self.settings(seed, factors),
                validation=lambda one: hit10(ranks_of(one, validation)), progress=False,
            )  # fmt: skip
            encoder, info, scores = trained.encoder, trained.info, trained.evaluations
            frames["losses"] = trained.losses[["step", "loss", "gradient_norm"]]
        else:
            score = hit10(ranks_of(encoder, validation))
            scores = pd.DataFrame({"step": [0], "score": [score]})
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
    experiment = Training(design, device)
    trainings = {name: asdict(experiment.settings(1, factors))
                 for name, factors in design.arms.items() if "steps" in factors}  # fmt: skip
    identity = experiment.identity("helpers.training.runs", trainings=trainings)
    study = experiment.run(folder, identity)
    costs = encoding_seconds(experiment.base, experiment.sets["kitchen"], design)
    return Study(study.ranks, study.runs, {**study.frames, "costs": costs})


def encoding_seconds(base: Encoder, data: RetrievalSet, design: Design) -> pd.DataFrame:
    """Seconds to embed a batch with the base, an adapter beside its weights, and merged."""
    adapted = adapt(base, Placement(**design.settings["placement"]), seed=1)
    networks = {"base": base, "adapter": adapted, "merged": merge(adapted)}
    rows = []
    for what, given in first_inputs(base, data).items():
        variants = variants_of(networks, what, given)
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


def first_inputs(base: Encoder, data: RetrievalSet, most: int = 128) -> dict[str, Any]:
    """The first images and as many captions of a set, as the towers read them."""
    n = min(most, len(data.images), len(data.captions))
    return {
        "images": base.prepare_images([data.images[i] for i in range(n)]),
        "captions": base.prepare_texts(list(data.captions[:n])),
    }


def variants_of(networks: Mapping[str, Encoder], what: str, given: Any) -> dict[str, Callable]:
    """A call for each network that embeds the given images or captions."""
    part = "image_features" if what == "images" else "text_features"
    return {name: partial(getattr(one, part), given) for name, one in networks.items()}
