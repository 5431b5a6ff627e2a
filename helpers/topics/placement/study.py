"""The study of lesson 05: rates, length and a search on validation, then every row and seed.

The order is that of ``reports/study/05_placement_study/design.yaml``. Each stage goes on from what
it finds finished, and none before the last one ranks a test.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from helpers.data.sets import RetrievalSet
from helpers.evaluation.stats import Estimate
from helpers.experiment import Experiment, PreparedSet, with_points
from helpers.grid import Result, run_grid
from helpers.models.encoder import Encoder
from helpers.report import tables
from helpers.repro import hash_of
from helpers.study import Design, Study, gate_fails
from helpers.topics.placement import search
from helpers.topics.placement.rows import REPORTED, Row, parse
from helpers.topics.placement.training import Embeds, Trained, settings_of, train_row
from helpers.training.loop import Settings

TESTS = ("kitchen", "general")  # the domain of the training, then one that nothing trains on
PILOT = (101, 102)  # seeds of what is chosen on validation; none of the study's
POINT = re.compile(r", [\d.]+$")  # what ends the name of a point on a path
EDGES = 2  # values that a rate at an edge may add
WINNER = "the search's winner"
TURN = ("r8 v2 heads", "r32 a32 v2 heads", "r16 v4 heads qkvo")  # from small to large


class Training(Experiment):
    """Trains a row of the design, and ranks every test."""

    @cached_property
    def key(self) -> str:
        """What the results depend on beside the factors of an arm."""
        topic = "helpers.topics.placement"
        return self.identity(
            "helpers.training.runs", f"{topic}.rows", f"{topic}.training",
            settings={"batch_size": self.design.settings["batch_size"]},
            training=asdict(self.settings(1, 0.001, 8)),
        )  # fmt: skip

    def settings(self, seed: int, rate: float, steps: int) -> Settings:
        """How a row is trained: the last step is kept, validation searched at every quarter."""
        evaluated = tuple(round(steps * share) for share in (0.25, 0.5, 0.75, 1))
        size = self.design.settings["batch_size"]
        found = settings_of(steps=steps, rate=rate, seed=seed, batch_size=size)
        return replace(found, evaluations=evaluated)

    def trained(self, *, seed: int, base: str, row: str, rate: float, steps: int, **how) -> Trained:
        """A trained row; ``how`` replaces settings, ``evaluate`` the score on validation."""
        validation = self.prepared(base, "validation, kitchen")
        evaluate = how.pop("evaluate", validation.hit10)
        return train_row(
            self.bases[base], parse(row), self.prepared(base, "training").pairs,
            settings=replace(self.settings(seed, rate, steps), **how), evaluate=evaluate,
        )  # fmt: skip

    def validate(self, *, seed: int, base: str, row: str, rate: float, steps: int) -> Result:
        """Train a row and rank validation alone; ``score`` and ``other`` are its two domains."""
        found = self.trained(seed=seed, base=base, row=row, rate=rate, steps=steps,
                             evaluations=(steps,))  # fmt: skip
        sets = {test: self.prepared(base, f"validation, {test}") for test in TESTS}
        ranks = [one.ranks(found.embeds).assign(test=test) for test, one in sets.items()]
        score, other = (one.hit10(found.embeds) for one in sets.values())
        return Result(pd.concat(ranks), {**found.info, "score": score, "other": other})

    def train(
        self, *, seed: int, base: str, row: str = "", rate: float = 0.0, steps: int = 0,
        factors: Sequence[float] = (1.0,),
    ) -> Result:  # fmt: skip
        """Train a row with one seed and rank every test; without ``row`` the base itself.

        With several ``factors`` each test is ranked at each of these points of the path from the
        base, and the frame ``path`` has the scores on validation.
        """
        if not row:
            encoder = self.bases[base]
            score = self.prepared(base, "validation, kitchen").hit10(encoder)
            frames = {"evaluations": pd.DataFrame({"step": [0], "score": [score]})}
            return self._ranked(base, encoder, encoder, (1.0,), {}, frames)
        found = self.trained(seed=seed, base=base, row=row, rate=rate, steps=steps)
        frames = {"evaluations": found.evaluations[["step", "score"]]}
        return self._ranked(base, found.encoder, found.embeds, factors, found.info, frames)

    def _ranked(
        self, base: str, encoder: Encoder, model: Embeds, factors: Sequence[float],
        info: Mapping[str, Any], frames: Mapping[str, pd.DataFrame],
    ) -> Result:  # fmt: skip
        ranks, path = self.along_path(base, encoder, factors, tests=TESTS, model=model)
        more = {"path": path} if len(path) else {}
        return Result(ranks, info, {**frames, **more})


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Choose on validation and train what the design asks; what is finished is found again."""
    experiment = Training(design, device)
    base, steps = next(iter(design.base)), design.settings["steps"]
    parts = []
    for name, about in design.settings["rates"].items():
        part = rate_scores(experiment, folder / "rates", base=base, steps=steps, edges=EDGES,
                           rows=about["rows"], values=about["values"],
                           within=about.get("within"))  # fmt: skip
        parts.append(part.assign(name=name))
    rates = pd.concat(parts, ignore_index=True)
    chosen = rates[rates["chosen"]].groupby("name")["rate"].first()
    trials = search_trials(experiment, folder, base)
    row, rate = search.winner(trials)
    for length in (steps, 2 * steps):  # twice as long, once, if a gate still moves
        arms = {}
        for arm, about in design.arms.items():
            if "of" in about:
                continue
            factors = {"base": base} | {k: v for k, v in about.items() if k == "factors"}
            if about.get("rate") == "search":
                factors |= {"row": row, "rate": rate, "steps": length}
            elif "row" in about:
                factors |= {"row": about["row"], "rate": float(chosen[about["rate"]]),
                            "steps": length}  # fmt: skip
            arms[arm] = factors
        study = run_grid(experiment.train, arms, seeds=design.seeds_of,
                         folder=folder / f"{length} steps", identity=experiment.key)  # fmt: skip
        if not any(gate_fails(study, h.gate) for h in design.hypotheses if h.gate[:4] == "flat"):
            break
    points = {arm: about for arm, about in design.arms.items() if "of" in about}
    found = with_points(study, points)
    return Study(found.ranks, found.runs, {**found.frames, "rates": rates, "trials": trials})


def rate_scores(
    experiment: Training, folder: Path, *, base: str, rows: Sequence[str],
    values: Sequence[float], steps: int, edges: int = 0, within: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Scores on validation by learning rate, mean over ``rows`` and pilot seeds; one is ``chosen``.

    A best rate at an edge adds a value beyond it, ``edges`` times at most. ``within``: of the rates
    whose other domain lies within so many points of the best there.
    """
    identity, values = experiment.key, sorted(values)
    ratio = values[1] / values[0]
    for extra in range(edges + 1):
        arms = {
            f"{row}, {base}, {rate:g}, {steps} steps":
            {"base": base, "row": row, "rate": rate, "steps": steps}
            for row in rows for rate in values
        }  # fmt: skip
        found = run_grid(experiment.validate, arms, seeds=lambda _: PILOT, folder=folder,
                         identity=identity, progress=False)  # fmt: skip
        scores = found.runs.groupby("rate")[["score", "other"]].mean()
        best = best_rate(scores, within)
        if extra == edges or best not in (values[0], values[-1]):
            break
        beyond = values[-1] * ratio if best == values[-1] else values[0] / ratio
        values = sorted([*values, float(f"{beyond:.4g}")])
    scores = scores.reset_index()
    return scores.assign(chosen=scores["rate"] == best, rows=", ".join(rows), base=base)


def best_rate(scores: pd.DataFrame, within: float | None = None) -> float:
    """The rate (the index) with the highest ``score`` of those that forget little.

    ``within`` are points of ``other`` below its best; None: no such condition.
    """
    if within is not None:
        scores = scores[scores["other"] >= scores["other"].max() - within / 100]
    return float(scores["score"].idxmax())


def search_trials(experiment: Training, folder: Path, base: str) -> pd.DataFrame:
    """The trials of the design's search; each one is trained with the first pilot seed."""
    about = experiment.design.settings["search"]

    def objective(trial: optuna.Trial) -> float:
        row, rate = search.suggest(trial, experiment.bases[base], tuple(about["rates"]))
        validation = experiment.prepared(base, "validation, kitchen")
        last, scores = about["steps"], []

        def look(embeds: Embeds) -> float:
            scores.append(validation.hit10(embeds))
            trial.report(scores[-1], len(scores))
            if len(scores) == 1 and trial.should_prune():
                raise optuna.TrialPruned
            return scores[-1]

        found = experiment.trained(seed=PILOT[0], base=base, row=row.name, rate=rate, steps=last,
                                   evaluations=(last // 2, last), evaluate=look)  # fmt: skip
        return found.info["validation"]

    journal = folder / f"search-{hash_of([experiment.key, about], digits=8)}.jsonl"
    study = search.run(objective, n_trials=about["trials"], seed=about["seed"], journal=journal)
    return search.trials_of(study, about["trials"])


def other_estimates(study: Study) -> dict[str, Estimate]:
    """The hypothesis on two differences at once: what :func:`helpers.study.judge` takes."""
    return {"turn": turn(study, TURN)} if set(TURN) <= set(study.arms) else {}


def turn(study: Study, rows: Sequence[str], test: str = TESTS[0]) -> Estimate:
    """Whether a trend over three rows turns: the less certain of its two steps.

    It counts above zero where it goes against the other step; both have to be shown (the
    intersection-union test of Berger 1982).
    """
    first, middle, last = rows
    steps = [study.difference(middle, first, test=test), study.difference(last, middle, test=test)]
    certain, other = sorted(steps, key=lambda step: (step.p, -abs(step.value)))
    if certain.value > 0:  # the other step has to go down
        other = replace(other, value=-other.value + 0.0, low=-other.high, high=-other.low)
    return other


def prepared(base: Encoder, sets: Mapping[str, RetrievalSet]) -> dict[str, PreparedSet]:
    """Each set prepared once for all rows."""
    return {name: PreparedSet.of(base, data) for name, data in sets.items()}


def train_rows(
    base: Encoder, rows: Sequence[Row], sets: Mapping[str, PreparedSet],
    tests: Mapping[str, PreparedSet], *, seed: int, rate: float, steps: int, named: str = "",
) -> Study:  # fmt: skip
    """Each row trained once on ``sets["train"]`` and ranked on all tests.

    ``info`` has the score on ``sets["validation"]``; ``named`` stands before the rows' names.
    """
    parts = []
    how = settings_of(steps=steps, rate=rate, seed=seed)
    for row in rows:
        found = train_row(base, row, sets["train"].pairs, settings=how,
                          evaluate=sets["validation"].hit10)  # fmt: skip
        ranks = [one.ranks(found.embeds).assign(test=test) for test, one in tests.items()]
        arm, about = named + row.name, {"row": row.name, "rate": rate, "steps": steps}
        one = Study.of({arm: pd.concat(ranks)}, seed=seed, info=found.info | about)
        losses = found.losses[["step", "loss"]].assign(arm=arm, seed=seed)
        parts.append(replace(one, frames={"losses": losses}))
    return parts[0].join(*parts[1:])


def table(
    study: Study, arms: Sequence[str], base: str = "zero-shot", tests: Sequence[str] = TESTS
) -> pd.DataFrame:
    """Rows side by side: reported and measured score, what they forget, what they cost."""
    runs = study.runs.groupby("arm")
    lines = []
    for arm in arms:
        at = partial(study.estimate, arm, test=tests[0])
        known = f"{100 * REPORTED[arm]:.2f}" if arm in REPORTED else ""
        line = {"row": arm, "reported score": known,
                "score, hit@10 [95 %]": tables.value_text(at()),
                "text to image": tables.value_text(at(direction="text_to_image")),
                "image to text": tables.value_text(at(direction="image_to_text"))}  # fmt: skip
        if arm != base:
            lost = study.difference(arm, base, test=tests[1])
            line["other domain, points [95 %]"] = tables.difference_text(lost)
            one = runs.get_group(arm)
            line["trainable parameters"] = f"{int(one['trainable_parameters'].iloc[0]):,}"
            line["seconds"] = f"{one['seconds'].median():.0f}"
            line["seeds"] = str(len(study.seeds(arm)))
        lines.append(line)
    return pd.DataFrame(lines).fillna("–").replace("", "–")


def save_logs(zone: Any, live: Study) -> None:
    """Write ``experiments/placement/<row>/run.csv`` and ``losses.csv`` for each trained row."""
    for arm in (arm for arm in live.arms if live.seeds(arm)):
        folder = "fine-tuning-zone/experiments/placement/"
        folder += "".join(c if c.isalnum() else "-" for c in arm)
        for name, frame in {"run": live.runs, "losses": live.frames["losses"]}.items():
            text = frame[frame["arm"] == arm].to_csv(index=False)
            zone.write_bytes(f"{folder}/{name}.csv", text.encode())


def rates_told(study: Study) -> str:
    """A sentence: which rates validation chose, and of how many values."""
    rates = study.frames["rates"]
    told = [
        f"{name} {part.loc[part['chosen'], 'rate'].iloc[0]:g} of {len(part)}"
        for name, part in rates.groupby("name", sort=False)
    ]
    return f"Rates chosen on validation: {', '.join(told)}."


def reconciled(
    live: Study, trials: pd.DataFrame, *, test: str, committed: Study | None = None
) -> str:
    """A paragraph that holds a live run, its search and the committed study side by side."""
    rows = [arm for arm in live.arms if live.seeds(arm)]
    level = {arm: live.estimate(arm, test=test) for arm in rows}
    best = max(rows, key=lambda arm: level[arm].value)
    told = f"This run trained {len(rows)} rows once each; highest: {best}, "
    told += f"{tables.value_text(level[best])}. "
    if trials["score"].notna().any():
        row, rate = search.winner(trials)
        told += f"Of its {len(trials)} short trials, {row} at {rate:.2g} validates best. "
    if committed is None:
        return told + "The study is not measured yet, so none of this is a verdict."
    trained = [arm for arm in committed.arms if not POINT.search(arm)]
    own = {arm: committed.estimate(arm, test=TESTS[0]).value for arm in trained}
    told += f"The study's highest row is {max(own, key=own.get)}. "
    if WINNER in own and set(REPORTED) & set(own):
        eight = max(set(REPORTED) & set(own), key=own.get)
        found = committed.difference(WINNER, eight, test=TESTS[0])
        row = committed.runs.loc[committed.runs["arm"] == WINNER, "row"].iloc[0]
        told += f"The winner of its search, {row}, differs from the best reported row, {eight}, "
        told += f"by {tables.points(found)} on recipes that no choice has seen. "
    pairs = [(a, b) for a, b in combinations(rows, 2) if a in own and b in own]
    alike = sum((level[a].value - level[b].value) * (own[a] - own[b]) > 0 for a, b in pairs)
    return told + f"Of {len(pairs)} pairs of rows that both trained, {alike} have the same order."
