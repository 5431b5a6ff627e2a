"""A leaderboard of adaptation methods: settings, decided pairs, and how often the procedure errs.

A pair of settings is *decided* if one is better (two-way error, Holm over all pairs of a base) or
if both are equivalent within a margin that was fixed beforehand. Everything is computed from the
committed ranks.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from helpers.evaluation.stats import ALPHA, Sample, estimate, holm
from helpers.grid import run_grid
from helpers.report import tables
from helpers.report.results import Lesson
from helpers.study import BOTH, Design, Study
from helpers.topics.placement import widget
from helpers.topics.placement.rows import parse
from helpers.topics.placement.study import TESTS, Training, rate_scores

NAME = "05_leaderboard"
BETTER, EQUIVALENT, OPEN = "better", "equivalent", "undecided"


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Choose rates, train all settings, then the best ones by validation with more seeds.

    Stages go on from what they find finished: stop and start it as often as you like.
    """
    experiment, settings = Training(design, device), design.settings
    identity, arms, parts = experiment.key, {}, []
    for arm, about in design.arms.items():
        arms[arm] = {"base": about["base"]}
        if "row" in about:
            found = rate_scores(
                experiment, folder / "rates", base=about["base"], rows=[about["row"]],
                values=about["rates"], steps=settings["rate steps"], within=settings["within"],
            )  # fmt: skip
            parts.append(found.assign(arm=arm))
            rate = float(found.loc[found["chosen"], "rate"].iloc[0])
            arms[arm] |= {"row": about["row"], "rate": rate, "steps": settings["steps"]}
    how = {"folder": folder / "trained", "identity": identity}
    study = run_grid(experiment.train, arms, seeds=design.seeds_of, **how)
    best = best_by_validation(study, next(iter(design.base)), settings["more for"])

    def seeds(arm: str) -> list[int]:
        return list(range(1, settings["more seeds"] + 1)) if arm in best else design.seeds_of(arm)

    study = run_grid(experiment.train, arms, seeds=seeds, **how)
    rates = pd.concat(parts, ignore_index=True)
    return Study(study.ranks.drop(columns="factor"), study.runs, {**study.frames, "rates": rates})


def best_by_validation(study: Study, base: str, n: int) -> list[str]:
    """The ``n`` settings of a base with the best last score on validation, mean over seeds."""
    runs = study.runs[(study.runs["base"] == base) & study.runs["validation"].notna()]
    return runs.groupby("arm")["validation"].mean().nlargest(n).index.tolist()


def pairs(study: Study, design: Design, base: str, *, test: str = TESTS[0]) -> pd.DataFrame:
    """All pairs of the trained settings of a base, better one first, each with its verdict.

    Columns ``a, b, value, low, high, p, p_holm, n_seeds, margin, verdict``; ``better`` where Holm
    over these pairs leaves p at most 0.05, else ``equivalent`` where the interval lies within the
    margin, else ``undecided``.
    """
    arms = [arm for arm, about in design.arms.items() if about["base"] == base and "row" in about]
    margins, rows = design.settings["margins"], []
    for a, b in combinations(arms, 2):
        found = study.difference(a, b, test=test)
        if found.value < 0:
            a, b, found = b, a, study.difference(b, a, test=test)
        many = found.n_seeds >= design.settings["more seeds"]
        numbers = {k: getattr(found, k) for k in ("value", "low", "high", "p", "n_seeds")}
        margin = margins["more" if many else "usual"]
        rows.append({"a": a, "b": b, **numbers, "margin": margin})
    frame = pd.DataFrame(rows)
    frame["p_holm"] = holm(frame["p"].tolist())
    margin = frame["margin"] / 100
    within = (frame["low"] >= -margin) & (frame["high"] <= margin)
    better = (frame["p_holm"] <= ALPHA) & (frame["value"] > 0)
    frame["verdict"] = np.select([better, within], [BETTER, EQUIVALENT], OPEN)
    return frame


def decided_share(found: pd.DataFrame) -> float:
    """The share of pairs that are better or equivalent."""
    return float((found["verdict"] != OPEN).mean())


def p_against_itself(
    study: Study, arm: str, *, n_splits: int = 200, seed: int = 0, test: str = TESTS[0]
) -> np.ndarray:
    """The p-values of a setting against itself, (n_splits,): every small one is a false call.

    Each split puts half of its seeds against the other half at random, and draws the recipes with
    replacement: no training is needed.
    """
    parts, rng = study.queries(test, BOTH), np.random.default_rng(seed)
    half = len(parts[0].seeds[arm]) // 2
    if half < 2:
        raise ValueError(f"{arm!r} has {len(study.seeds(arm))} seeds: a split needs at least 4")
    queries_of = [pd.Series(range(len(one.groups))).groupby(one.groups).indices for one in parts]
    recipes, found = sorted(set(queries_of[0]) | set(queries_of[1])), []
    for _ in range(n_splits):
        order, samples = rng.permutation(2 * half), []
        drawn = rng.choice(recipes, len(recipes))
        for part, queries in zip(parts, queries_of, strict=True):
            own = [queries.get(recipe, ()) for recipe in drawn]
            hits = (part.ranks[arm][:, np.concatenate(own).astype(int)] <= 10).astype(float)
            places = np.repeat(np.arange(len(own)), list(map(len, own)))  # drawn twice: two recipes
            samples.append(Sample(hits[order[:half]] - hits[order[half:]], places))
        found.append(estimate(*samples).p)
    return np.array(found)


def share_interval(calls: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper and Pearson 1934)."""
    found = stats.binomtest(calls, n).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def board(study: Study, design: Design, base: str, found: pd.DataFrame) -> pd.DataFrame:
    """The table: a row a setting, the best on the test first; numbers that can be sorted.

    ``better than`` and ``worse than`` count the pairs that are decided; ``command`` trains the row.
    """
    zero = next(
        a for a, about in design.arms.items() if about["base"] == base and "row" not in about
    )
    shown, runs = found[found["verdict"] == BETTER], study.runs.groupby("arm")
    rows = []
    for arm in dict.fromkeys([*found["a"], *found["b"]]):
        score = study.estimate(arm, test=TESTS[0])
        gain, lost = (study.difference(arm, zero, test=test) for test in TESTS)
        one, row = runs.get_group(arm), parse(design.arms[arm]["row"])
        rows.append({
            "setting": row.name, "method": row.method,
            "hit@10, %": f"{100 * score.value:.1f}", "order": score.value,
            "gain, points [95 %]": tables.difference_text(gain),
            "other domain, points [95 %]": tables.difference_text(lost),
            "better than": int((shown["a"] == arm).sum()),
            "worse than": int((shown["b"] == arm).sum()),
            "trainable parameters": int(one["trainable_parameters"].iloc[0]),
            "seconds": round(float(one["seconds"].median())),
            "rate": float(one["rate"].iloc[0]), "seeds": len(study.seeds(arm)),
            "command": f"course run --only 05 -p model={base} -p steps={int(one['steps'].iloc[0])} "
                       f"-p learning_rate={one['rate'].iloc[0]:g} -p 'rows={row.name}'",
        })  # fmt: skip
    found = pd.DataFrame(rows).sort_values("order", ascending=False, ignore_index=True)
    return found.drop(columns="order")


def told(study: Study, design: Design, found: pd.DataFrame, base: str) -> str:
    """What was found, in sentences: the decided share of all pairs, and the error rate."""
    others = [pairs(study, design, other) for other in design.base if other != base]
    every = pd.concat([found, *others], ignore_index=True)
    counts = every["verdict"].value_counts()
    text = f"{len(every)} pairs: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}; "
    text += f"{decided_share(every):.0%} are decided. "
    arm = best_by_validation(study, base, 1)[0]
    p = p_against_itself(study, arm)
    for level, named in ((ALPHA, "p ≤ 0.05"), (ALPHA / len(found), "the family's first step")):
        calls, n = int((p <= level).sum()), len(p)
        low, high = share_interval(calls, n)
        text += f"{arm} against itself, {named}: {calls} of {n} calls are false "
        text += f"[{low:.1%}, {high:.1%}]. "
    return text.strip()


def show(lesson: Lesson, base: str = "") -> None:
    """The table of a base, the first of the design where none of its own is committed."""
    study, design = lesson.study, lesson.design
    base = base if base in design.base else next(iter(design.base))
    found = pairs(study, design, base)
    read = "Sort by a heading, filter by words. *Better* and *worse than*: pairs decided after "
    read += "Holm's correction over this table. The last column trains the row."
    text = told(study, design, found, base)
    table = board(study, design, base, found)
    widget.show(
        lesson, "leaderboard", table, title=f"Ways of adapting {base}", found=text, read=read
    )
