"""The studies of lessons 07 and 12: composers, pretraining on generated triplets, two hops."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from safetensors.torch import load_file, save_file
from scipy.stats import beta, binomtest, t

from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.experiment import Experiment
from helpers.grid import Result
from helpers.repro import hash_of
from helpers.study import UNTRAINED, Design, Study
from helpers.topics.cir import audit, composers, findings, qformer, queries, synthesis
from helpers.topics.cir.blip2 import Blip2, States, blip2_states, load_blip2
from helpers.topics.cir.composers import BASELINES, Features, ImageRows, embed, embed_images
from helpers.topics.cir.generator import Generator, load_generator
from helpers.topics.cir.metrics import hit10, rank_frame
from helpers.topics.cir.triplets import Source, Triplet, TripletSet, drawn_source
from helpers.training.loop import Fitted

TEST, CARS = "kitchen", "garage"
SHOWN = ("image only", "text only", "product", "combiner, 100", "TIRG, 100", "ARTEMIS, 100",
         "SPRC, 100")  # fmt: skip
WORDINGS = 6
CODE = ("composers", "qformer", "blip2", "generator", "synthesis", "metrics", "queries")


@dataclass(frozen=True)
class Training(Experiment):
    """Trains a composer as an arm of the design asks, and ranks the tests.

    ``design.data`` names ``train``, ``pool``, ``validation`` and ``test`` (of one kitchen), and,
    where an arm is tested on them, ``cars``. What several runs share is kept in ``work``.
    """

    work: Path = Path()

    @cached_property
    def source(self) -> Source:
        """The triplets of the kitchen."""
        about = {name: one for name, one in self.design.data.items() if name != "cars"}
        (place,) = {one["source"] for one in about.values()}
        return drawn_source(place, about)

    @cached_property
    def cars(self) -> Source:
        """Triplets that nothing here was trained on."""
        about = self.design.data["cars"]
        return drawn_source(about["source"], {"test": about})

    @cached_property
    def images(self) -> ImageRows:
        """The kitchen's images under the base model."""
        return embed_images(self.base, self.source)

    @cached_property
    def features(self) -> dict[str, Features]:
        """The kitchen's parts that models on embeddings train and are tested on."""
        parts = ("train", "validation", "test")
        return {part: embed(self.base, self.source.sets[part], self.images) for part in parts}

    @cached_property
    def far(self) -> Features:
        """The cars under the base model."""
        return embed(self.base, self.cars.sets["test"], embed_images(self.base, self.cars))

    @cached_property
    def blip2(self) -> Blip2:
        return load_blip2(self.design.settings["blip2"], device=self.device)

    @cached_property
    def states(self) -> States:
        return blip2_states(self.blip2, self.source)

    @cached_property
    def generator(self) -> Generator:
        return load_generator(self.design.settings["generator"], device=self.device)

    def shared(self, name: str, make) -> pd.DataFrame:
        """A frame that the first process makes and all others read."""
        place = self.work / f"{name}.parquet"
        with FileLock(place.with_suffix(".lock")):
            if not place.is_file():
                make().to_parquet(place.with_suffix(".partial"), index=False)
                place.with_suffix(".partial").rename(place)
        return pd.read_parquet(place)

    @cached_property
    def mined(self) -> pd.DataFrame:
        """The mined pairs with the generator's texts, and those from its captions."""

        def make() -> pd.DataFrame:
            names, settings = self.source.names("pool"), self.design.settings
            kept = self.generator.cached_states(self.source, names)
            categories = [self.source.truth.category(name) for name in names]
            pairs = synthesis.mine_pairs(
                self.generator.rows(kept, names), names, categories, n_pairs=settings["pairs"],
                per_image=settings["per image"],
            )  # fmt: skip
            made = synthesis.generated(self.source, self.generator, kept, pairs)
            said = synthesis.described(self.generator, kept, names)
            forward, back = synthesis.from_captions(self.source, pairs, said)
            return made.table.assign(**{"captions": forward, "captions reverse": back})

        return self.shared("mined", make)

    def written(self, texts: str) -> tuple[Source, tuple[Triplet, ...]]:
        """The triplets to pretrain on, and a source of their images; as many in every arm.

        ``texts``: ``pairs`` (the generator's), ``captions`` (the difference of two captions by
        the same generator), ``true`` (the annotated ones), ``images`` (true texts with
        synthesized targets; the setting ``painter`` may name a diffusers pipeline).
        """
        kept = self.mined[self.mined["reason"] == synthesis.KEPT]
        if texts in ("pairs", "captions"):
            columns = ("text", "reverse") if texts == "pairs" else ("captions", "captions reverse")
            return self.source, synthesis.triplets_of(kept, *columns)
        n = min(len(kept), len(self.source.triplets("pool")))
        if texts == "images":
            pipeline = self.design.settings.get("painter", "")
            return synthesis.synthesized(self.source, "pool", n, pipeline=pipeline)
        return self.source, self.source.triplets("pool")[:n]

    def train(self, *, seed: int, **factors: Any) -> Result:
        """Train one arm with one seed, or rank an untrained one, and rank the tests."""
        model = factors["model"]
        if model in BASELINES:
            return self._untrained(model, factors.get("encoder", ""))
        if model in composers.TRAINED:
            return self._composer(seed, factors)
        return self._qformer(seed, factors)

    def _untrained(self, model: str, encoder: str) -> Result:
        """A baseline; with ``encoder`` under another base than the first."""
        known, far, frames = self.features, None, {}
        if encoder and encoder != self.base.name:
            base = self.bases[encoder]
            images = embed_images(base, self.source, "validation", "test")
            known = {p: embed(base, self.source.sets[p], images) for p in ("validation", "test")}
        elif "cars" in self.design.data:
            far = self.far
        scorer = composers.build(model, known["test"].texts.shape[1])
        score = hit10(composers.ranks_of(scorer, known["validation"]))
        frames["evaluations"] = pd.DataFrame({"step": [0], "score": [score]})
        if model == BASELINES[0] and "pool" in self.design.data and far is not None:
            frames["texts"] = self.audited()
            frames["mined"] = self.mined[["pair_id", "reason"]]
        ranks, info = self._ranked(composers.scores_of(scorer, known["test"]))
        if far is not None:
            ranks = pd.concat([ranks, composers.ranks_of(scorer, far).assign(test=CARS)])
        return Result(ranks, info, frames)

    def _composer(self, seed: int, factors: Mapping[str, Any]) -> Result:
        began, train, held = (
            time.perf_counter(),
            self.features["train"],
            self.features["validation"],
        )
        model = composers.build(factors["model"], train.texts.shape[1], seed=seed)
        options = {"learning_rate": factors["rate"], "seed": seed}

        def pretrain() -> None:
            texts, steps = factors["pretraining"], factors["pretraining_steps"]
            source, triplets = self.written(texts)
            images = self.images
            if texts == "images":
                targets = [t.targets[0] for t in triplets]
                rows = self.base.images([source.load_image(n) for n in targets])
                images = images.join(ImageRows(tuple(targets), rows))
            known = embed(self.base, [as_set(triplets, texts)], images)
            composers.train(model, known, held, steps=steps, **options)

        self._pretrained(model, factors, seed, pretrain)
        few = train.part(share_of(train, factors["share"]), seed=seed)
        fitted = composers.train(model, few, held, steps=factors["steps"], **options)
        ranks, info = self._ranked(composers.scores_of(model, self.features["test"]))
        if factors.get("wordings"):
            found = queries.wordings(model, self.base, self.source, self.images, WORDINGS)
            info |= {f"wording {name}": value for name, value in found.items()}
        if factors.get("cars"):
            ranks = pd.concat([ranks, composers.ranks_of(model, self.far).assign(test=CARS)])
        return self._finished(ranks, info, fitted, began)

    def _qformer(self, seed: int, factors: Mapping[str, Any]) -> Result:
        began, model = time.perf_counter(), qformer.build(factors["model"], self.blip2)
        known = {k: factors[k] for k in ("p2p", "t2t", "detach", "keep") if k in factors}
        known |= {"learning_rate": factors["rate"], "seed": seed}

        def trained(triplets: Sequence[Triplet], steps: int) -> qformer.Trained:
            return qformer.train(model, self.blip2, triplets, self.states,
                                 self.source.sets["validation"], steps=steps, **known)  # fmt: skip

        def pretrain() -> None:
            trained(self.written(factors["pretraining"])[1], factors["pretraining_steps"])

        self._pretrained(model, factors, seed, pretrain)
        train = self.features["train"]
        few = train.part(share_of(train, factors["share"]), seed=seed).triplets
        run = trained(few, factors["steps"])
        scores = qformer.scores_of(model, self.blip2, self.source.sets["test"], self.states)
        ranks, info = self._ranked(scores)
        held = self.source.triplets("validation")
        p = qformer.joint_tokens(model, self.blip2, held, self.states)
        info |= {"spread": qformer.spread(p), "effective rank": qformer.effective_rank(p)}
        return self._finished(ranks, info, run.fitted, began, steps=run.steps)

    def _pretrained(self, model, factors: Mapping[str, Any], seed: int, pretrain) -> None:
        """Fill a model with pretrained weights, if an arm has them; the first process trains them.

        Arms that differ only in what follows take the same ones.
        """
        if "pretraining" not in factors:
            return
        later = ("share", "steps", "wordings", "cars", "equal")
        about = hash_of([sorted((k, v) for k, v in factors.items() if k not in later), seed])
        place = self.work / f"pretrained-{about}.safetensors"
        with FileLock(place.with_suffix(".lock")):
            if not place.is_file():
                pretrain()
                partial = place.with_suffix(".partial")
                save_file({k: v.contiguous() for k, v in model.state_dict().items()}, partial)
                partial.rename(place)
        model.load_state_dict(load_file(place))

    def _ranked(self, scores: Sequence[np.ndarray]) -> tuple[pd.DataFrame, dict[str, float]]:
        sets = self.source.sets["test"]
        kinds = queries.results_of(scores, sets, self.source.truth)
        info = {"composition gap": float(kinds.gap.mean()), "hard": float(kinds.hard.mean())}
        info |= {f"share {name}": float(value) for name, value in kinds.shares().items()}
        return rank_frame(scores, sets).assign(test=TEST), info

    def _finished(
        self, ranks: pd.DataFrame, info: dict[str, float], fitted: Fitted, began: float,
        **frames: pd.DataFrame,
    ) -> Result:  # fmt: skip
        info |= {"seconds": time.perf_counter() - began, "best_step": fitted.best_step}
        return Result(ranks, info, {"evaluations": selected_scores(fitted), **frames})

    def audited(self) -> pd.DataFrame:
        """Texts of the test triplets by both writers, against the annotated ones and the truth."""

        def make() -> pd.DataFrame:
            triplets = self.source.triplets("test")
            ends = [(t.reference, t.targets[0]) for t in triplets]
            names = tuple(dict.fromkeys(name for pair in ends for name in pair))
            kept = self.generator.cached_states(self.source, names)
            texts = self.generator.write(kept, ends)
            back = self.generator.write(kept, [pair[::-1] for pair in ends])
            said = synthesis.described(self.generator, kept, names)
            captions, _ = synthesis.from_captions(self.source, ends, said)
            truth, parts = self.source.truth, []
            for writer, one in (("pairs", texts), ("captions", captions)):
                table = audit.audit_texts(one, triplets, truth).assign(writer=writer)
                parts.append(table.assign(group=[t.group for t in triplets]))
            parts[0]["agree"] = [
                synthesis.agreement(a, b, truth) for a, b in zip(texts, back, strict=True)
            ]
            return pd.concat(parts, ignore_index=True)

        return self.shared("texts", make)


def as_set(triplets: Sequence[Triplet], name: str) -> TripletSet:
    """Triplets to train on as a set over their own images."""
    ends = (n for one in triplets for n in (one.reference, *one.targets))
    return TripletSet(name, "train", tuple(triplets), tuple(dict.fromkeys(ends)))


def share_of(features: Features, percent: float) -> int:
    """How many triplets a share of the annotated ones is; 0: all."""
    return 0 if percent >= 100 else max(2, round(len(features.triplets) * percent / 100))


def selected_scores(fitted: Fitted) -> pd.DataFrame:
    """What gates read: at each evaluation the ``score`` of the weights selected up to there."""
    frame = fitted.evaluations[["step", "score"]]
    return frame.assign(current=frame["score"], score=frame["score"].cummax())


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again."""
    experiment = Training(design, device, folder / "shared")
    experiment.work.mkdir(parents=True, exist_ok=True)
    settings = design.settings
    blip2 = load_blip2(settings["blip2"]).fingerprint if "blip2" in settings else ""
    writer = load_generator(settings["generator"]).fingerprint if "generator" in settings else ""
    identity = experiment.identity(
        *(f"helpers.topics.cir.{name}" for name in CODE), blip2=blip2, generator=writer
    )
    mark = experiment.work / "identity"
    if mark.is_file() and mark.read_text() != identity:
        raise ValueError(
            f"{experiment.work} holds texts and weights of another design, model or code: delete "
            "the folder and run the study again"
        )
    mark.write_text(identity)
    return experiment.run(folder, identity)


def other_estimates(study: Study) -> dict[str, Estimate]:
    """What hypotheses compare that is no rank: overlap of texts, and collapsed trainings."""
    found = {}
    if "texts" in study.frames:
        frame = study.frames["texts"]
        for name in ("ROUGE-1", "METEOR"):
            wide = frame.pivot(index=["group", "pair_id"], columns="writer", values=name)
            values = (wide["pairs"] - wide["captions"]).to_numpy()
            groups = wide.index.get_level_values("group")
            found[name] = estimate(Sample(values[None], list(groups)))
    if "spread" in study.runs:
        for arm, runs in study.runs.dropna(subset="spread").groupby("arm"):
            found[f"collapse, {arm}"] = collapsed_share(runs["spread"].to_numpy())
    return found


def collapsed_share(spreads: np.ndarray) -> Estimate:
    """The share of trainings that collapsed minus one half, exact binomial."""
    n, k = len(spreads), int((spreads < qformer.COLLAPSED).sum())
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    error = float((high - low) / 2 / t.ppf(0.975, n - 1))
    p = float(binomtest(k, n, 0.5).pvalue)
    return Estimate(k / n - 0.5, low - 0.5, high - 0.5, p, error, df=n - 1.0, n=n, n_items=n,
                    n_seeds=n)  # fmt: skip


def need_labels(study: Study) -> pd.Series:
    """What each query of the kitchen needs: ``image``, ``text``, ``either`` or ``both``, by query.

    One side finds it if it does so under any of the base models.
    """
    ranks = study.ranks[study.ranks["test"] == TEST]
    wide = ranks[ranks["seed"] == UNTRAINED].pivot(index="query", columns="arm", values="rank")
    sides = ([c for c in wide if c.startswith(side)] for side in ("image only", "text only"))
    labels = queries.needs(*(wide[columns].to_numpy().T for columns in sides))
    return pd.Series(labels, index=wide.index)


def by_need(study: Study, *, arms: Sequence[str] = SHOWN) -> tuple[pd.DataFrame, str]:
    """hit@10 of some arms by what the queries of the kitchen need, means over seeds."""
    ranks = study.ranks[study.ranks["test"] == TEST]
    frames = {arm: ranks[ranks["arm"] == arm] for arm in arms}
    return findings.needs_table(frames, need_labels(study).to_numpy())


def pretraining_table(study: Study, design: Design) -> pd.DataFrame:
    """hit@10 minus image only over the share of annotated triplets: model, pretrained or not."""
    rows = []
    for arm, factors in design.arms.items():
        plain = not factors.get("equal") and factors.get("pretraining", "pairs") == "pairs"
        if "share" in factors and plain and arm in study.arms:
            how = "pretrained" if "pretraining" in factors else "not pretrained"
            found = study.difference(arm, BASELINES[0], test=TEST)
            rows.append((factors["share"], f"{factors['model']}, {how}", found))
    return pd.DataFrame(rows, columns=["share", "arm", "estimate"])
