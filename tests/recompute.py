"""Every number that the lessons say of their committed studies, computed from the files alone.

``python -m tests.recompute 03 04`` prints them. It imports numpy, pandas, yaml and scipy's
distributions, and nothing of the course: what a reader would write who trusts none of its code.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import beta, binom, t

STUDIES = Path(__file__).resolve().parents[1] / "reports" / "study"
WAYS = ("text_to_image", "image_to_text")
COMPOSED = "image_and_text_to_image"


def value(rank: pd.Series, metric: str) -> np.ndarray:
    """The value of each query: a hit of the first K, or 1 / rank."""
    if metric.startswith("hit@"):
        return (rank.to_numpy() <= int(metric[4:])).astype(float)
    return 1 / rank.to_numpy() if metric == "mrr" else rank.to_numpy().astype(float)


def wide(ranks: pd.DataFrame, arm: str, test: str, way: str, metric: str) -> pd.DataFrame:
    """A row a seed, a column a query."""
    part = ranks[(ranks["arm"] == arm) & (ranks["test"] == test) & (ranks["direction"] == way)]
    part = part.assign(value=value(part["rank"], metric))
    return part.pivot(index="seed", columns="query", values="value")


def contrast(ranks: pd.DataFrame, weights: dict[str, float], h: dict) -> dict[str, float]:
    """Value, interval and p of a weighted sum of arms, items and seeds both resampled."""
    there = set(ranks.loc[ranks["test"] == h["test"], "direction"])
    both = (COMPOSED,) if COMPOSED in there else WAYS
    ways = both if h.get("direction", "both") == "both" else (h["direction"],)
    means, by_group = [], []
    for way in ways:
        tables = {arm: wide(ranks, arm, h["test"], way, h["metric"]) for arm in weights}
        trained = [set(x.index) for x in tables.values() if set(x.index) != {-1}]
        seeds = sorted(set.intersection(*trained)) if trained else [-1]
        total = 0
        for arm, weight in weights.items():
            x = tables[arm]
            x = x.to_numpy() if set(x.index) == {-1} else x.loc[seeds].to_numpy()
            total = total + weight * x
        query = ranks[(ranks["test"] == h["test"]) & (ranks["direction"] == way)]
        group = query.drop_duplicates("query").set_index("query")["group"].astype(str)
        group = group.loc[tables[next(iter(weights))].columns]
        d = total.mean()
        means.append(total.mean(axis=1))
        off = pd.Series(total.mean(axis=0) - d).groupby(group.to_numpy()).sum() / total.shape[1]
        by_group.append(off)
    d_s = np.mean(means, axis=0)
    u = pd.concat(by_group, axis=1).fillna(0).sum(axis=1) / len(ways)
    g, s, d = len(u), len(d_s), float(d_s.mean()) + h.get("shift", 0) / 100
    se_g = math.sqrt(g / (g - 1) * float((u**2).sum()))
    se_s = float(d_s.std(ddof=1)) / math.sqrt(s) if s > 1 else 0.0
    se = math.hypot(se_g, se_s)
    if se < 1e-12:
        half = 1 - 0.025 ** (1 / g)
        p = min(1.0, 2 * max(0.0, 1 - abs(d)) ** g)
        return {"value": d, "low": d - half, "high": d + half, "p": p, "se": 0.0, "df": g - 1.0}
    df = se**4 / (se_g**4 / (g - 1) + (se_s**4 / (s - 1) if s > 1 else 0))
    half = t.ppf(0.975, df) * se
    p = float(2 * t.sf(abs(d) / se, df))
    return {"value": d, "low": d - half, "high": d + half, "p": p, "se": se, "df": df}


def cost(frame: pd.DataFrame) -> dict[str, float]:
    """How much longer an adapter beside the weights takes than the base, rounds resampled."""
    x = frame.pivot_table("seconds", ["inputs", "round"], "model")
    r = np.log(x["adapter"] / x["base"]).groupby("round").mean().to_numpy()
    n, d, se = len(r), r.mean(), r.std(ddof=1) / math.sqrt(len(r))
    half = t.ppf(0.975, n - 1) * se
    numbers = {"value": d, "low": d - half, "high": d + half}
    p = float(2 * t.sf(abs(d) / se, n - 1))
    return {k: math.expm1(v) for k, v in numbers.items()} | {"p": p, "se": se, "df": n - 1.0}


def turn(ranks: pd.DataFrame, rows: list[str], h: dict) -> dict[str, float]:
    """Of two steps over three rows the less certain, above zero where it turns against the other.

    Both steps have to be shown, so that the larger p counts.
    """
    first, middle, last = rows
    steps = [contrast(ranks, {b: 1.0, a: -1.0}, h) for a, b in ((first, middle), (middle, last))]
    certain, other = sorted(steps, key=lambda step: (step["p"], -abs(step["value"])))
    if certain["value"] <= 0:
        return other
    return other | {"value": -other["value"], "low": -other["high"], "high": -other["low"]}


def two_tests(ranks: pd.DataFrame, arm: str, h: dict) -> dict[str, float]:
    """An arm on a test minus itself on the clean one, query by query."""
    own = ranks[ranks["arm"] == arm]
    parts = [own[own["test"] == test].assign(arm=test) for test in (h["test"], "kitchen")]
    joined = pd.concat(parts).assign(test=h["test"])
    return contrast(joined, {h["test"]: 1.0, "kitchen": -1.0}, h)


def by_item(a: pd.DataFrame, b: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean difference of two frames with a row for each seed and item."""
    parts = [x.assign(arm=arm, test="", direction="", query=x["item"], group=x["item"],
                      rank=x[column].astype(float)) for arm, x in (("a", a), ("b", b))]  # fmt: skip
    plain = {"test": "", "direction": "", "metric": "mean"}
    return contrast(pd.concat(parts), {"a": 1.0, "b": -1.0}, plain)


def framed(folder: Path, h: dict, ranks: pd.DataFrame) -> dict[str, float]:
    """A hypothesis that rests on two tests, on texts, on runs, on attention or on distances."""
    if h["frame"] == "tests":
        return two_tests(ranks, h["a"], h)
    frame = pd.read_parquet(folder / f"{h['frame']}.parquet")
    if h["frame"] == "texts":
        return overlap(frame, h["name"])
    if h["frame"] == "runs":
        return collapsed(frame, h["name"].removeprefix("collapse, "))
    last, first = (frame[frame["step"] == f(frame["step"])] for f in (max, min))
    if h["frame"] == "distances":
        after, before = (x[x["arm"] == h["a"]] for x in (last, first))
        return by_item(after, before, "distance")
    last = last[(last["region"] == "watermark") & (last["images"] == "watermarked")]
    return by_item(last[last["arm"] == h["a"]], last[last["arm"] == h["b"]], "share")


def overlap(frame: pd.DataFrame, name: str) -> dict[str, float]:
    """Words shared with people's texts: those of pairs minus those of captions, by reference."""
    given = {"arm": frame["writer"], "query": frame["pair_id"], "rank": frame[name].astype(float)}
    plain = {"test": "", "direction": "", "metric": "mean"}
    made = frame[["group"]].assign(**given, seed=-1, test="", direction="")
    return contrast(made, {"pairs": 1.0, "captions": -1.0}, plain)


def collapsed(runs: pd.DataFrame, arm: str) -> dict[str, float]:
    """The share of an arm's trainings that collapsed minus one half, exact binomial."""
    spread = runs.loc[runs["arm"] == arm, "spread"].dropna()
    n, k = len(spread), int((spread < 0.05).sum())
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    p = min(1.0, 2 * float(binom.cdf(min(k, n - k), n, 0.5)))
    se = (high - low) / 2 / t.ppf(0.975, n - 1)
    numbers = {"value": k / n - 0.5, "low": low - 0.5, "high": high - 0.5}
    return numbers | {"p": p, "se": se, "df": n - 1.0}


def holm(p: list[float]) -> list[float]:
    """p-values of one family, each multiplied by the number of those not smaller."""
    order, worst, found = np.argsort(p, kind="stable"), 0.0, [0.0] * len(p)
    for step, i in enumerate(order):
        worst = max(worst, min(1.0, p[i] * (len(p) - step)))
        found[i] = worst
    return found


def gate_holds(h: dict, folder: Path) -> bool:
    """Whether the arms that a hypothesis rests on behaved on validation as its gate asks."""
    return all(one_holds(gate.strip(), folder) for gate in h.get("gate", "").split(";") if gate)


def one_holds(gate: str, folder: Path) -> bool:
    """Level at the end, a point below the best look, or above another arm."""
    name, _, listed = gate.partition(": ")
    scores = pd.read_parquet(folder / "evaluations.parquet")
    arms = [scores[scores["arm"] == arm.strip()] for arm in listed.split(" > ")]
    last = [arm.groupby("step")["score"].mean().sort_index().to_numpy() for arm in arms]
    if name == "flat":
        return abs(last[0][-1] - last[0][-2]) < 0.005
    if name == "overfits":
        return last[0].max() - last[0][-1] >= 0.01
    return last[0][-1] > last[1][-1]


def enough(h: dict, design: dict, weights: dict[str, float]) -> bool:
    """Whether every trained arm was trained five times or more."""
    if h.get("frame"):
        return True
    n = [design["seeds"].get(arm, design["seeds"]["default"]) for arm in weights]
    return min([one for one in n if one] or [5]) >= 5


def verdict(h: dict, row: dict) -> str:
    """The verdict's name by the rules that stand in the lessons."""
    low, high, p, margin = row["low"], row["high"], row["p_holm"], h["margin"] / 100
    within = -margin <= low and high <= margin
    if h["kind"] == "same":
        far = p <= 0.05 and (low > margin or high < -margin)
        return "supported" if within else "contradicted" if far else "undecided"
    sign = -1 if h["kind"] == "lower" else 1
    top = max(sign * low, sign * high)
    if p <= 0.05:
        return "supported" if sign * row["value"] > 0 else "contradicted"
    if within:
        return "equivalent"
    small = h.get("reported") is not None and top < sign * h["reported"] / 100
    return "reported size excluded" if small else "undecided"


def recompute(folder: Path) -> pd.DataFrame:
    """The hypotheses of a study with all their numbers, in points."""
    design = yaml.safe_load((folder / "design.yaml").read_text(encoding="utf-8"))
    ranks = pd.read_parquet(folder / "ranks.parquet")
    rows = []
    for h in design["hypotheses"]:
        h = {"metric": "hit@10"} | h
        weights = h.get("arms") or {h.get("a"): 1.0, h.get("b"): -1.0}
        if h.get("frame") == "turn":
            found = turn(ranks, list(weights), h)
        elif h.get("frame"):
            is_cost = h["frame"] == "costs"
            found = cost(pd.read_parquet(folder / "costs.parquet")) if is_cost else framed(
                folder, h, ranks)  # fmt: skip
        else:
            found = contrast(ranks, weights, h)
        open_gate = gate_holds(h, folder) and enough(h, design, weights)
        rows.append({"name": h["name"], **found, "asked": open_gate})
    frame = pd.DataFrame(rows)
    k = len(frame)
    quantiles = [t.ppf(1 - 0.025 / k, df) + t.ppf(0.8, df) for df in frame["df"]]
    frame = frame.assign(
        p_holm=holm(frame["p"].where(frame["asked"], 1.0).tolist()),
        detectable=quantiles * frame["se"],
    )
    judged = zip(design["hypotheses"], frame.to_dict("records"), strict=True)
    frame["verdict"] = [verdict(h, row) if row["asked"] else "not asked" for h, row in judged]
    points = ["value", "low", "high", "se", "detectable"]
    return frame.assign(**{name: 100 * frame[name] for name in points})


def main(numbers: list[str]) -> None:
    """Print the tables of some lessons' studies, or of all that have ranks."""
    folders = sorted(path.parent for path in STUDIES.glob("*/ranks.parquet"))
    for number in sorted(set(numbers) - {folder.name[:2] for folder in folders}):
        designed = any(STUDIES.glob(f"{number}_*/design.yaml"))
        print(f"lesson {number} has no study" + " that was measured yet" * designed)
    for folder in folders:
        asked = yaml.safe_load((folder / "design.yaml").read_text(encoding="utf-8"))["hypotheses"]
        if asked and (not numbers or folder.name[:2] in numbers):
            print(folder.name)
            print(recompute(folder).round(3).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
