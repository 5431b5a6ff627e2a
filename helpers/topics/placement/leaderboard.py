"""A leaderboard of adaptation methods: settings, decided pairs, and how often the procedure errs.

A pair of settings is *decided* if one is better (two-way error, Holm over all pairs of a base) or
if both are equivalent within a margin that was fixed beforehand. Everything is computed from the
committed ranks: from sums by recipe, since a table of 30 settings has 435 pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from helpers.evaluation.ranking import DIRECTIONS
from helpers.evaluation.stats import ALPHA, Estimate, holm
from helpers.grid import run_grid
from helpers.report import tables
from helpers.report.results import Lesson
from helpers.study import Design, Study
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


@dataclass(frozen=True)
class Sums:
    """Hits at 10 of one setting by seed and recipe, a pair of arrays for each direction.

    ``hits``: (s, g) for each direction; ``sizes``: (g,) queries of each recipe. Recipes and seeds
    are in the same order for all settings of a table.
    """

    hits: tuple[np.ndarray, ...]
    sizes: tuple[np.ndarray, ...]
    seeds: tuple[int, ...]


def sums_of(study: Study, *, test: str = TESTS[0]) -> dict[str, Sums]:
    """The sums of every setting."""
    parts = [study.queries(test, direction)[0] for direction in DIRECTIONS]
    groups = np.unique(np.concatenate([part.groups for part in parts]))
    codes = [np.searchsorted(groups, part.groups) for part in parts]
    sizes = tuple(np.bincount(code, minlength=len(groups)) for code in codes)
    found = {}
    for arm, seeds in parts[0].seeds.items():
        hits = tuple(
            np.array([np.bincount(code, one <= 10, len(groups)) for one in part.ranks[arm]])
            for part, code in zip(parts, codes, strict=True)
        )
        found[arm] = Sums(hits, sizes, seeds)
    return found


def difference(
    a: Sums, b: Sums, *, pick: tuple[Sequence[int], Sequence[int]] | None = None,
    counts: np.ndarray | None = None,
) -> Estimate:  # fmt: skip
    """Setting ``a`` minus ``b``, both directions averaged, as ``Study.difference`` has it.

    Parameters
    ----------
    pick : two sequences of row numbers, optional
        Which seeds of each, paired in this order; default: the seeds that both have.
    counts : (g,) int, optional
        How often each recipe was drawn; default: once.
    """
    if pick is None:
        shared = [seed for seed in a.seeds if seed in b.seeds]
        pick = [a.seeds.index(s) for s in shared], [b.seeds.index(s) for s in shared]
    weight = np.ones(len(a.sizes[0])) if counts is None else counts
    by_seed, residuals = 0.0, 0.0
    for own, other, sizes in zip(a.hits, b.hits, a.sizes, strict=True):
        by_recipe = (own[list(pick[0])] - other[list(pick[1])]).astype(float)  # (s, g)
        n = float(weight @ sizes)
        means = by_recipe @ weight / n
        by_seed = by_seed + means / len(a.hits)
        residuals = residuals + (by_recipe.mean(axis=0) - means.mean() * sizes) / n / len(a.hits)
    s, g, value = len(by_seed), float(weight.sum()), float(by_seed.mean())
    of_items = math.sqrt(g / (g - 1) * float(weight @ residuals**2))
    of_seeds = float(by_seed.std(ddof=1)) / math.sqrt(s) if s > 1 else 0.0
    error = math.hypot(of_items, of_seeds)
    if error < 1e-12:
        half = 1 - 0.025 ** (1 / g)
        return Estimate(value, value - half, value + half, float(value == 0), n_seeds=s)
    free = error**4 / (of_items**4 / (g - 1) + (of_seeds**4 / (s - 1) if s > 1 else 0.0))
    half = float(stats.t.ppf(0.975, free)) * error
    p = float(2 * stats.t.sf(abs(value) / error, free))
    return Estimate(value, value - half, value + half, p, n_seeds=s)


def pairs(study: Study, design: Design, base: str, *, test: str = TESTS[0]) -> pd.DataFrame:
    """All pairs of the trained settings of a base, better one first, each with its verdict.

    Columns ``a, b, value, low, high, p, p_holm, n_seeds, margin, verdict``; ``better`` where Holm
    over these pairs leaves p at most 0.05, else ``equivalent`` where the interval lies within the
    margin, else ``undecided``.
    """
    arms = [arm for arm, about in design.arms.items() if about["base"] == base and "row" in about]
    sums, margins = sums_of(study, test=test), design.settings["margins"]
    rows = []
    for a, b in combinations(arms, 2):
        found = difference(sums[a], sums[b])
        if found.value < 0:
            a, b, found = b, a, difference(sums[b], sums[a])
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


def error_rate(
    study: Study, arm: str, *, n_splits: int = 200, level: float = ALPHA, seed: int = 0,
    test: str = TESTS[0],
) -> tuple[int, int]:  # fmt: skip
    """How often a setting differs from itself: false calls, and how many splits.

    Each split puts half of its seeds against the other half at random, and draws the recipes with
    replacement: no training is needed, and every call is false.
    """
    sums, rng = sums_of(study, test=test)[arm], np.random.default_rng(seed)
    half, g = len(sums.seeds) // 2, len(sums.sizes[0])
    if half < 2:
        raise ValueError(f"{arm!r} has {len(sums.seeds)} seeds: a split needs at least 4")
    calls = 0
    for _ in range(n_splits):
        order = rng.permutation(len(sums.seeds))
        counts = np.bincount(rng.integers(g, size=g), minlength=g).astype(float)
        found = difference(sums, sums, pick=(order[:half], order[half : 2 * half]), counts=counts)
        calls += found.p <= level
    return calls, n_splits


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
                       f"-p learning_rate={one['rate'].iloc[0]:g} {row.options}",
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
    for level, named in ((ALPHA, "p ≤ 0.05"), (ALPHA / len(found), "the family's first step")):
        calls, n = error_rate(study, arm, level=level)
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
