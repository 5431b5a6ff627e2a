"""One study: configurations x seeds -> ranks by query -> intervals, comparisons, verdicts.

A study is one frame of ranks, a row for each configuration (``arm``), seed, test, direction and
query. Tables, figures and verdicts are computed from this frame when they are shown and never
stored beside it, so that a committed study and one that has just run are the same thing. What it
asks is fixed in ``design.yaml`` before the first test result exists.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from helpers.evaluation import metrics, stats
from helpers.evaluation.ranking import COMPOSED, DIRECTIONS
from helpers.evaluation.stats import NOT_ASKED, Estimate, Sample, Verdict

UNTRAINED = -1  # the seed of an arm that is not trained
KEYS = ["test", "direction", "query", "arm", "seed"]
QUERY = ["group", "gallery", "gallery_size", "positives"]  # what belongs to a query alone
BOTH = "both"
MIN_SEEDS = 5  # trainings of an arm below which no verdict on a method is given
FLAT = 0.005  # two evaluations that differ by less are level


@dataclass(frozen=True)
class Queries:
    """The queries of one test and direction: (q,) arrays, and the ranks of each arm, (s, q)."""

    groups: np.ndarray
    gallery_size: np.ndarray
    positives: np.ndarray
    ranks: dict[str, np.ndarray]
    seeds: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Study:
    """Ranks by query, a row of numbers for each run, and further frames by name."""

    ranks: pd.DataFrame
    runs: pd.DataFrame
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(
        cls, ranked: Mapping[str, pd.DataFrame], *, test: str = "", seed: int = UNTRAINED,
        info: Mapping[str, Any] | None = None,
    ) -> "Study":  # fmt: skip
        """The study of one run of some arms; ``test`` names the test where the ranks do not."""
        named = {"seed": seed} | ({"test": test} if test else {})
        ranks = [frame.assign(arm=arm, **named) for arm, frame in ranked.items()]
        runs = pd.DataFrame([{"arm": arm, "seed": seed, **(info or {})} for arm in ranked])
        return cls(pd.concat(ranks, ignore_index=True), runs)

    def add(self, arm: str, ranks: pd.DataFrame, **about) -> "Study":
        """This study with one arm more; see :meth:`of`."""
        return self.join(Study.of({arm: ranks}, **about))

    def join(self, *others: "Study") -> "Study":
        """This study and others as one; runs of the same arm and seed are one run."""
        parts: dict[str, list[pd.DataFrame]] = {}
        for study in (self, *others):
            for name, frame in {"ranks": study.ranks, "runs": study.runs, **study.frames}.items():
                parts.setdefault(name, []).append(frame)
        frames = {name: pd.concat(some, ignore_index=True) for name, some in parts.items()}
        runs = frames.pop("runs").drop_duplicates(["arm", "seed"], ignore_index=True)
        return Study(frames.pop("ranks"), runs, frames)

    @property
    def arms(self) -> list[str]:
        """The configurations, in the order of the runs."""
        return list(dict.fromkeys(self.runs["arm"]))

    @property
    def tests(self) -> list[str]:
        """The names of the tests, in the order of the ranks."""
        return list(dict.fromkeys(self.ranks["test"]))

    def seeds(self, arm: str) -> list[int]:
        """The seeds with which an arm was trained; empty if it was not."""
        return sorted(s for s in self.runs.loc[self.runs["arm"] == arm, "seed"] if s != UNTRAINED)

    @cached_property
    def _queries(self) -> dict[tuple[str, str], Queries]:
        found = {}
        for key, part in self.ranks.groupby(["test", "direction"], observed=True, sort=False):
            wide = part.pivot(index="query", columns=["arm", "seed"], values="rank")
            if wide.isna().any(axis=None):
                (arm, seed), n = wide.isna().sum().idxmax(), int(wide.isna().sum().max())
                raise ValueError(
                    f"study: {arm!r} with seed {seed} has not ranked {n} queries of {key}: "
                    "delete this run and train it again"
                )
            query = part.drop_duplicates(["query", *QUERY]).set_index("query")
            if not query.index.is_unique:
                raise ValueError(
                    f"study: the arms of {key} ranked other items under the same query numbers: "
                    "measure them on one test set"
                )
            query = query.loc[wide.index]
            arms = list(dict.fromkeys(arm for arm, _ in wide.columns))
            found[key] = Queries(
                query["group"].astype(str).to_numpy(),
                query["gallery_size"].to_numpy(),
                query["positives"].to_numpy(),
                {arm: wide[arm].sort_index(axis=1).to_numpy().T for arm in arms},
                {arm: tuple(sorted(wide[arm].columns)) for arm in arms},
            )
        return found

    def directions(self, test: str) -> tuple[str, ...]:
        """Both directions, or the one of composed retrieval where a test is of that."""
        return (COMPOSED,) if (test, COMPOSED) in self._queries else DIRECTIONS

    def queries(self, test: str, direction: str) -> list[Queries]:
        """The queries of a direction, or of both; an error names a test that is not there."""
        wanted = self.directions(test) if direction == BOTH else (direction,)
        missing = [one for one in wanted if (test, one) not in self._queries]
        if missing:
            there = ", ".join(f"{t} {d}" for t, d in self._queries)
            raise ValueError(f"study: no ranks of test {test!r}, {missing[0]} (there are: {there})")
        return [self._queries[test, one] for one in wanted]

    def estimate(
        self, weights: str | Mapping[str, float], *, metric: str = "hit@10", test: str,
        direction: str = BOTH, shift: float = 0.0,
    ) -> Estimate:  # fmt: skip
        """The metric of an arm, or a weighted sum of arms: ``{"lora": 1, "zero-shot": -1}``.

        Arms are paired by seed number; seeds that one of the trained arms lacks are left out. An
        arm that was not trained stands beside each seed of the others.
        """
        alone = isinstance(weights, str)
        weights = {weights: 1.0} if alone else dict(weights)
        parts = self.queries(test, direction)
        unknown = set(weights) - set(parts[0].ranks)
        if unknown:
            raise ValueError(f"study: no arm {min(unknown)!r} (there are: {', '.join(self.arms)})")
        size = int(min(part.gallery_size.min() for part in parts))
        if missing := metrics.not_applicable(metric, size):
            return Estimate(math.nan, math.nan, math.nan, missing=missing)
        samples = []
        for part in parts:
            shared = _shared_seeds(part, weights)
            values = {
                arm: metrics.values_of(part.ranks[arm][_rows(part.seeds[arm], shared)], metric)
                for arm in weights
            }
            samples.append(Sample(stats.contrast(values, weights), part.groups))
        is_share = alone and metric.startswith(("hit", "mrr"))
        bounds = (0.0, 1.0) if is_share else (-math.inf, math.inf)
        found = stats.estimate(*samples, bounds=bounds, shift=shift)
        trained = any(UNTRAINED not in part.seeds[arm] for arm in weights for part in parts)
        found = replace(found, n_seeds=found.n_seeds if trained else 0)
        if metric == "median rank":
            value = float(np.mean([np.median(s.values, axis=1).mean() for s in samples]))
            return replace(found, value=value, low=math.nan, high=math.nan, p=math.nan)
        return found

    def difference(self, a: str, b: str, **where) -> Estimate:
        """Arm ``a`` minus arm ``b``; see :meth:`estimate`."""
        return self.estimate({a: 1.0, b: -1.0}, **where)

    def chance(self, metric: str, *, test: str, direction: str = BOTH) -> float:
        """The metric of a random ranking of the same galleries."""
        parts = self.queries(test, direction)
        levels = [metrics.chance(metric, p.gallery_size, p.positives).mean() for p in parts]
        return float(np.mean(levels))

    def table(
        self, of: Mapping[str, str | Mapping[str, float]] | Sequence[str], *,
        metrics: Sequence[str] = ("hit@10",), test: str, directions: Sequence[str] = (),
    ) -> pd.DataFrame:  # fmt: skip
        """A row for each arm or weighted sum, metric and direction, with its :class:`Estimate`."""
        named = of if isinstance(of, Mapping) else {arm: arm for arm in of}
        rows = [
            (name, metric, direction, self.estimate(what, metric=metric, test=test,
                                                    direction=direction))
            for name, what in named.items() for metric in metrics
            for direction in directions or self.directions(test)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["arm", "metric", "direction", "estimate"])

    def save(self, folder: Path) -> None:
        """Write ``ranks.parquet``, ``runs.parquet`` and one Parquet file per further frame."""
        folder.mkdir(parents=True, exist_ok=True)
        ranks = self.ranks.sort_values(KEYS, ignore_index=True)
        text = ranks.select_dtypes(["object", "string"]).columns
        ranks = ranks.astype(dict.fromkeys(text, "category") | {"rank": "float32"})
        for name, frame in {"ranks": ranks, "runs": self.runs, **self.frames}.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> "Study":
        """A study that was saved; ``FileNotFoundError`` names the command that makes it."""
        if not (folder / "ranks.parquet").is_file():
            raise FileNotFoundError(
                f"{folder} holds no ranks.parquet; course run --profile study --only "
                f"{folder.name[:2]} makes it"
            )
        frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
        return cls(frames.pop("ranks"), frames.pop("runs"), frames)


def _shared_seeds(part: Queries, weights: Mapping[str, float]) -> tuple[int, ...]:
    sets = [set(part.seeds[arm]) for arm in weights if part.seeds[arm] != (UNTRAINED,)]
    shared = set.intersection(*sets) if sets else {UNTRAINED}
    if not shared:
        raise ValueError(f"study: the arms {', '.join(weights)} have no seed in common")
    return tuple(sorted(shared))


def _rows(seeds: tuple[int, ...], shared: tuple[int, ...]) -> list[int]:
    return [0] if seeds == (UNTRAINED,) else [seeds.index(seed) for seed in shared]


class Hypothesis(BaseModel):
    """A difference that is expected, with everything that judging it needs; sizes in points.

    ``a`` minus ``b``, or the weighted sum of ``arms``; ``shift`` is added to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    says: str
    test: str
    kind: stats.Kind
    margin: float
    a: str = ""
    b: str = ""
    arms: dict[str, float] = {}
    shift: float = 0.0
    metric: str = "hit@10"
    direction: str = BOTH
    reported: float | None = None
    source: str = ""
    gate: str = ""
    planned: float | None = None  # smallest detectable difference that was planned for
    frame: str = ""  # judged from another frame than the ranks

    @property
    def weights(self) -> dict[str, float]:
        """What is judged, as a weighted sum of arms."""
        return self.arms or {self.a: 1.0, self.b: -1.0}


class Design(BaseModel):
    """What a study asks and of what, written before its first test result."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    lesson: str
    version: int
    date: str
    question: str
    base: dict[str, str]
    data: dict[str, dict[str, Any]]
    arms: dict[str, dict[str, Any]]
    seeds: dict[str, int]
    settings: dict[str, Any] = {}
    hypotheses: list[Hypothesis]
    notes: str = ""

    @model_validator(mode="after")
    def _names_are_known(self) -> "Design":
        asked = {arm for h in self.hypotheses if not h.frame for arm in h.weights}
        for what, names in (("seeds", set(self.seeds) - {"default"}), ("hypotheses", asked)):
            if lost := sorted(names - set(self.arms)):
                raise ValueError(f"design of lesson {self.lesson}: {what} name {lost[0]!r}, no arm")
        names = [h.name for h in self.hypotheses]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"design of lesson {self.lesson}: two hypotheses named {twice[0]!r}")
        return self

    @classmethod
    def load(cls, folder: Path) -> "Design":
        """The ``design.yaml`` of a folder; pydantic's error names what it lacks or cannot mean."""
        return cls(**yaml.safe_load((folder / "design.yaml").read_text(encoding="utf-8")))

    @property
    def sizes(self) -> str:
        """What is trained, tested and judged, as a sentence; points of a path are not trained."""
        trained = [a for a, f in self.arms.items() if "of" not in f and self.seeds_of(a)[0] > 0]
        tests = " and ".join(
            f"{one['n']:,} new items of {one['source']}" for name, one in self.data.items()
            if "gallery" in one and "validation" not in name
        )  # fmt: skip
        least = min((len(self.seeds_of(arm)) for arm in trained), default=0)
        did = [f"trains {len(trained)} configurations at least {least} times each"] * (least > 0)
        did += [f"tests {'them' if did else f'{len(self.arms)} configurations'} on {tests}"]
        did += [f"judges {len(self.hypotheses)} hypotheses"] * bool(self.hypotheses)
        return f"The study, designed {self.date}, {', '.join(did[:-1])} and {did[-1]}."

    def seeds_of(self, arm: str) -> list[int]:
        """The seeds of an arm: 1, 2, ...; one that is not trained has none of its own."""
        n = self.seeds.get(arm, self.seeds["default"])
        return list(range(1, n + 1)) if n else [UNTRAINED]


def judge(
    study: Study, design: Design, others: Mapping[str, Estimate] | None = None
) -> pd.DataFrame:
    """Judge all hypotheses of a design as one family.

    ``others`` holds estimates of hypotheses that do not rest on ranks. A hypothesis whose gate does
    not hold keeps its place in the family, with p = 1. There is a row for each: its fields,
    ``estimate``, ``p_holm``, ``detectable``, ``verdict``, ``text`` and ``size``.
    """
    others, rows = others or {}, []
    found = {
        h.name: others[h.name] if h.frame else study.estimate(
            h.weights, metric=h.metric, test=h.test, direction=h.direction, shift=h.shift / 100)
        for h in design.hypotheses
    }  # fmt: skip
    gates = {h.name: gate_fails(study, h.gate) for h in design.hypotheses}
    closed = {n: f"gate: {gates[n]}" if gates[n] else _too_few(one) for n, one in found.items()}
    p_holm = stats.holm([1.0 if closed[name] else one.p for name, one in found.items()])
    for hypothesis, p in zip(design.hypotheses, p_holm, strict=True):
        one, why = found[hypothesis.name], closed[hypothesis.name]
        detectable = one.detectable(len(design.hypotheses))
        reported = None if hypothesis.reported is None else hypothesis.reported / 100
        said = stats.verdict(
            one.value, one.low, one.high, float(p), kind=hypothesis.kind,
            margin=hypothesis.margin / 100, reported=reported, detectable=detectable,
        )  # fmt: skip
        if why:
            said = Verdict(NOT_ASKED, f"{NOT_ASKED} ({why})")
        rows.append(
            hypothesis.model_dump()
            | {"estimate": one, "p_holm": float(p), "detectable": detectable}
            | {"verdict": said.name, "text": said.text, "size": said.size}
        )
    return pd.DataFrame(rows)


def _too_few(one: Estimate) -> str:
    return f"{one.n_seeds} of at least {MIN_SEEDS} trainings" * (0 < one.n_seeds < MIN_SEEDS)


def gate_fails(study: Study, gate: str) -> str:
    """Why a gate does not hold on validation, or "". Several stand with ``;`` between them.

    ``flat: ARM``: the last two evaluations, means over seeds, differ by less than half a point.
    ``above: ARM > OTHER``: the last evaluation of one exceeds that of the other.
    ``overfits: ARM``: the last evaluation is a point or more below the best one.
    """
    if not gate or ";" in gate:
        return next(filter(None, (gate_fails(study, x.strip()) for x in gate.split(";") if x)), "")
    name, _, listed = gate.partition(":")
    arms = [arm.strip() for arm in listed.split(">")]
    scores = study.frames.get("evaluations", pd.DataFrame(columns=["arm", "step", "score"]))
    means = [scores[scores["arm"] == arm].groupby("step")["score"].mean() for arm in arms]
    wanted = 1 if name == "above" else 2
    if short := [arm for arm, one in zip(arms, means, strict=True) if len(one) < wanted]:
        few = f"{short[0]!r} has fewer than {wanted} evaluations on validation"
        raise ValueError(f"gate {gate!r}: {few}; record them in the frame 'evaluations'")
    if name == "flat" and len(arms) == 1:
        gain = float(means[0].iloc[-1] - means[0].iloc[-2])
        return "" if abs(gain) < FLAT else f"{arms[0]} still moves by {100 * gain:+.1f} points"
    if name == "above" and len(arms) == 2:
        lead = float(means[0].iloc[-1] - means[1].iloc[-1])
        return "" if lead > 0 else f"{arms[0]} is not above {arms[1]} ({100 * lead:+.1f} points)"
    if name == "overfits" and len(arms) == 1:
        fall = float(means[0].max() - means[0].iloc[-1])
        return "" if fall >= 2 * FLAT else f"{arms[0]} falls by {100 * fall:.1f} points only"
    raise ValueError(f"unknown gate {gate!r}: use 'flat: A', 'overfits: A' or 'above: A > B'")
