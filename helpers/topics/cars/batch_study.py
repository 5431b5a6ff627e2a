"""The study of lesson 09: which encoder to adapt, and whether the sigmoid loss needs large batches.

Two comparisons that are easily taken for one are kept apart: with equal *samples* a small batch has
more steps, with equal *steps* it has seen fewer pairs.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from helpers.data.sets import RetrievalSet
from helpers.experiment import Experiment
from helpers.grid import Result
from helpers.models.encoder import Encoder, load_encoder
from helpers.models.placement import Placement
from helpers.report import plots, tables
from helpers.report.style import DIRECTION_NAMES
from helpers.study import Design, Study
from helpers.topics.cars import measures, reading
from helpers.topics.cars.instances import Classes, open_classes, split_queries
from helpers.topics.cars.queries import write_queries
from helpers.training.batches import TrainingPairs
from helpers.training.loop import Settings
from helpers.training.runs import Trained, train_lora

TEST = "cars"
SPLIT_SEED = 9  # of images and queries, none of the lesson's; the study's seeds are of training
CODE = tuple(f"helpers.topics.cars.{name}" for name in (
    "batch_study", "instances", "measures", "queries", "reading",
))  # fmt: skip
DUAL = {"rank": 16, "alpha": 32.0, "dropout": 0.0, "modules": "q_proj,v_proj"}
BUDGETS = ("equal samples", "equal steps")


def train_arm(
    base: Encoder, pairs: TrainingPairs, *, loss: str, batch_size: int, seed: int,
    samples: int = 0, steps: int = 0, parts: int = 1, placement: Mapping[str, Any] = DUAL,
    rate_at_8: float = 0.001, warmup: float = 0.1, precision: str = "fp32",
) -> Trained:  # fmt: skip
    """Adapt a copy of the base with so many ``samples`` or ``steps``; scale and bias are trained.

    A batch in ``parts`` has a loss for each of them, as plain accumulation computes it. The
    learning rate grows with the root of the batch's size, as the noise of its gradient falls.
    """
    settings = Settings(
        steps=steps or samples // batch_size, batch_size=batch_size // parts, accumulation=parts,
        accumulate="plain", loss=loss, draw="image", keep="last", seed=seed, warmup=warmup,
        learning_rate=rate_at_8 * math.sqrt(batch_size / 8), weight_decay=0.0, precision=precision,
    )  # fmt: skip
    return train_lora(
        base, pairs, placement=Placement(**placement), settings=settings,
        transform=measures.augmented, progress=False,
    )  # fmt: skip


def load_siglip(name: str, *, device: str = "auto") -> Encoder:
    """A base that the sigmoid loss can train; ``ValueError`` if it is no SigLIP."""
    base = load_encoder(name, device=device)
    if base.family != "siglip":
        raise ValueError(
            f"{base.name} has no logit bias, which the sigmoid loss trains: use a SigLIP, such as "
            "google/siglip-base-patch16-224"
        )
    return base


class CarsExperiment(Experiment):
    """Trains an adapter as an arm of the design asks, and ranks the test."""

    @cached_property
    def classes(self) -> Classes:
        """The classes of the design with their images."""
        about = self.design.data[TEST]
        return open_classes(
            about["source"], max_recipes=about["n"], seed=SPLIT_SEED, skip=about["skip"]
        )

    @cached_property
    def sets(self) -> dict[str, RetrievalSet]:
        """``train``, ``validation`` and ``test``, their images drawn once."""
        n = self.design.data[TEST]["queries"]
        written = write_queries(self.classes.cars, n=n, seed=SPLIT_SEED, progress=False)
        texts = split_queries(written.queries, self.classes, seed=SPLIT_SEED)
        return {side: replace(one, images=list(one.images))
                for side, one in self.classes.sets(texts).items()}  # fmt: skip

    def train(self, *, seed: int, **factors: Any) -> Result:
        """One arm with one seed; without ``loss`` the base, with ``tip`` Tip-Adapter on it."""
        about, model, info, frames, step = self.design.settings, self.base, {}, {}, 0
        sides = {side: self.prepared(model.name, side) for side in self.sets}
        if "loss" in factors:
            placement = {**about["placement"], **factors.pop("placement", {})}
            trained = train_arm(
                model, sides["train"].pairs, seed=seed, placement=placement,
                rate_at_8=about["rate at 8"], warmup=about["warmup"], **factors,
            )  # fmt: skip
            model, losses, step = trained.encoder, trained.losses, len(trained.losses)
            size = factors["batch_size"] // factors.get("parts", 1)
            info = {name: trained.info[name] for name in ("seconds", "trainable_parameters")} | {
                "loss_at_end": float(losses["loss"].tail(max(1, step // 10)).mean()),
                "loss_of_a_constant": constant_loss(factors["loss"], size),
            }  # fmt: skip
            frames["losses"] = losses[["step", "loss"]].iloc[:: max(1, step // 64)]
        found = {side: (*sides[side].embed(model), self.sets[side])
                 for side in ("validation", "test")}  # fmt: skip
        if factors.get("tip"):
            (keys, texts), data = sides["train"].embed(model), self.sets["train"]
            values = measures.class_texts(texts, data.caption_items, data.image_items)
            chosen = measures.chosen_tip(*found["validation"], keys, values)
            found = {side: (measures.tip_adapter(images, keys, values, **chosen), *rest)
                     for side, (images, *rest) in found.items()}  # fmt: skip
            info = {f"tip_{name}": value for name, value in chosen.items()}
        else:
            info |= {"logit_scale": model.logit_scale, "logit_bias": model.logit_bias}
            info |= measures.calibration_of(*measures.logits_of(model, *found["test"]))
        scores = measures.ranks_of(*found["validation"]).groupby("direction")["ap"].mean()
        info["validation"] = float(scores.mean())  # mean average precision
        frames["evaluations"] = pd.DataFrame(
            {"step": step, "direction": scores.index, "score": scores}
        )
        return Result(measures.ranks_of(*found["test"]).assign(test=TEST), info, frames)


def constant_loss(loss: str, size: int) -> float:
    """The loss of one answer for all pairs of a batch of ``size`` pairs of different classes.

    >>> round(constant_loss("info_nce", 8), 3), round(constant_loss("sigmoid", 8), 3)
    (2.079, 3.014)
    """
    return math.log(size) if loss == "info_nce" else size * measures.constant_log_loss(1 / size)


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again.

    Gates read the mean average precision on validation under the names ``ARM, text to image`` and
    ``ARM, image to text``.
    """
    experiment = CarsExperiment(design, device)
    study = experiment.run(folder, experiment.identity(*CODE, words=reading.WORDS))
    scores = study.frames["evaluations"]
    named = scores["arm"] + ", " + scores["direction"].map(DIRECTION_NAMES)
    return replace(study, frames={**study.frames, "evaluations": scores.assign(arm=named)})


def by_batch_size(study: Study, *, test: str = TEST) -> pd.DataFrame:
    """``budget``, ``size``, ``loss``, ``estimate`` (gain in hit@1) of arms that compare sizes."""
    rows = []
    for arm in study.arms:
        name, _, budget = arm.partition(", ")
        if budget in BUDGETS:
            loss, size = name.split()
            found = study.difference(arm, "zero-shot", metric="hit@1", test=test)
            rows.append((budget, int(size), loss, found))
    return pd.DataFrame(rows, columns=["budget", "size", "loss", "estimate"])


def batch_figure(study: Study, *, test: str = TEST) -> Figure:
    """The gain over zero-shot in hit@1, mean of both directions, by budget, batch size and loss."""
    found = by_batch_size(study, test=test).sort_values(["budget", "size"], kind="stable")
    arms = [f"{one.budget}, batches of {one.size}" for one in found.itertuples()]
    return plots.points_with_intervals(
        found.assign(arm=arms, direction=found["loss"]), differences=True,
        heading="How much does each loss gain over zero-shot, by batch size?",
        note="hit@1, mean of both directions",
    )  # fmt: skip


def smallest_batch(study: Study, *, test: str = TEST) -> tuple[str, str]:
    """The gain of each loss with the smallest batch and equal samples; the loss that gains more."""
    curves = by_batch_size(study, test=test)
    if curves["size"].nunique() < 2:
        raise ValueError(f"batch_sizes holds {curves['size'].nunique()} size: give two, as in 8,64")
    small = curves[(curves["size"] == curves["size"].min()) & (curves["budget"] == BUDGETS[0])]
    said = [f"{one.loss} {tables.points(one.estimate)}" for one in small.itertuples()]
    best = max(small.itertuples(), key=lambda one: one.estimate.value).loss
    about = f"both directions, {BUDGETS[0]}, batches of {small['size'].iloc[0]}"
    return f"hit@1 minus zero-shot, {about}: {'; '.join(said)}.", best


def verdicts(judged: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """The hypotheses of the study as a table, a sentence on each, and how to read them."""
    found = f"{'. '.join(tables.verdict_sentences(judged))}."
    read = "Points of hit@1; intervals hold classes and seeds. Reported: system D, R@1."
    return tables.verdict_table(judged), found, read


def study_sentence(design: Design) -> str:
    """What the study of the lesson trains and asks, from its design."""
    trained = [factors for factors in design.arms.values() if "loss" in factors]
    return (
        f"The study, designed {design.date}, trains {len(trained)} configurations with "
        f"{design.seeds['default']} seeds each on {design.data[TEST]['n']} classes, tests them on "
        f"other images and queries, and judges {len(design.hypotheses)} hypotheses."
    )
