"""How soon each detector sees each kind of change, and how often it sees one that is not there."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from helpers.first.evaluation.intervals import bootstrap_interval, wilson_interval
from helpers.first.studies.drift import Monitor, Thresholds, Watched, recent_steps, verdict, watch
from helpers.first.studies.drift_signals import SIGNALS
from helpers.first.studies.drift_streams import SCENARIOS, Pools, stream

ANY = "any"
RIGHT = {
    "unseen dish": "a new group", "change of style": "the whole population",
    "broken camera": "broken pictures", "nothing": "",
}  # fmt: skip


def run_study(
    pools: Pools,
    thresholds: Thresholds,
    *,
    seeds: Iterable[int],
    scenarios: Iterable[str] = SCENARIOS,
    settings: Monitor | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Watch a stream of every scenario for every seed.

    Parameters
    ----------
    pools : Pools
    thresholds : Thresholds
        Chosen on other seeds.
    seeds : iterable of int
    scenarios : iterable of str
    settings : Monitor, optional
    progress : bool

    Returns
    -------
    DataFrame
        A row for each scenario, seed and detector (``any`` is the first of them to speak):
        false_alarm (before the change; in "nothing" at any time), alarm (the first step at or
        after the change, NaN if there is none), delay_steps (1 where it is the very step of the
        change) and delay_items (changed pictures that had arrived). ``any`` also has cause, right,
        found_share and precision: the verdict at that alarm, and what share of the changed
        pictures it names and of the named ones were changed. Where a false alarm came first, the
        monitor is taken to have been reset: the verdict is that of the alarm after the change.
    """
    cases = list(product(scenarios, seeds))
    rows = []
    for scenario, seed in tqdm(cases, desc="streams", disable=not progress):
        one = stream(pools, scenario, seed=seed)
        watched = watch(one, settings=settings, seed=seed)
        crossed = thresholds.crossed(watched.frame)
        crossed = crossed.assign(**{ANY: crossed.any(axis=1)})
        starts = len(one.steps) if one.starts is None else one.starts
        arrived = np.cumsum([int(step.changed.sum()) for step in one.steps])
        for name in (*SIGNALS, ANY):
            above = watched.frame.step[crossed[name]].to_numpy()
            later = above[above >= starts]
            row = {
                "scenario": scenario, "seed": seed, "detector": name,
                "false_alarm": bool((above < starts).any()),
                "alarm": float(later[0]) if len(later) else np.nan,
                "delay_steps": float(later[0] - starts + 1) if len(later) else np.nan,
                "delay_items": float(arrived[later[0]]) if len(later) else np.nan,
            }  # fmt: skip
            if name == ANY and len(later):
                row |= _judged(watched, thresholds, scenario, starts)
            rows.append(row)
    return pd.DataFrame(rows)


def _judged(
    watched: Watched, thresholds: Thresholds, scenario: str, starts: int
) -> dict[str, object]:
    """The verdict of the first alarm after the change, held against the truth."""
    quiet = watched.frame.copy()
    quiet.loc[quiet.step < starts, list(SIGNALS)] = -np.inf  # as if reset after a false alarm
    said = verdict(replace(watched, frame=quiet), thresholds)
    memory = recent_steps(watched.stream, said.alarm, watched.settings.window)
    changed = {name for step in memory for name in step.ids[step.changed]}
    named = set(said.items.tolist())
    hits = len(changed & named)
    return {
        "cause": said.cause, "right": said.cause == RIGHT[scenario],
        "found_share": hits / len(changed) if changed else np.nan,
        "precision": hits / len(named) if named else np.nan,
    }  # fmt: skip


def drift_table(runs: pd.DataFrame, *, n_resamples: int = 2000, seed: int = 42) -> pd.DataFrame:
    """Detection, delay and false alarms of every detector in every scenario, with intervals.

    Parameters
    ----------
    runs : DataFrame
        Of :func:`run_study`.
    n_resamples, seed : int
        Of the bootstrap over streams.

    Returns
    -------
    DataFrame
        scenario, detector, n; detected and false_alarms, each with Wilson's 95 % interval (_low,
        _high); delay_steps and delay_items, medians over the streams where the change was seen, the
        former with a percentile bootstrap interval; of ``any`` also right_cause, found_share and
        precision, means over the alarms that could be judged, each with their number (_n) and an
        interval: Wilson's for right_cause, a bootstrap over streams for the others.
    """
    lines = []
    for (scenario, detector), group in runs.groupby(["scenario", "detector"], sort=False):
        line = {"scenario": scenario, "detector": detector, "n": len(group)}
        shares = {"false_alarms": group.false_alarm}
        if scenario != "nothing":
            shares["detected"] = group.delay_steps.notna()
        for name, values in shares.items():
            interval = wilson_interval(int(values.sum()), len(values))
            line |= {
                name: values.mean(),
                f"{name}_low": interval.low,
                f"{name}_high": interval.high,
            }
        seen = group.delay_steps.dropna().to_numpy()
        if len(seen):
            rng = np.random.default_rng(seed)
            drawn = np.median(rng.choice(seen, (n_resamples, len(seen))), axis=1)
            low, high = np.percentile(drawn, [2.5, 97.5])
            line |= {
                "delay_steps": np.median(seen), "delay_low": low, "delay_high": high,
                "delay_items": group.delay_items.median(),
            }  # fmt: skip
        if detector == ANY and group.get("right") is not None:
            line |= _judgments(group, n_resamples, seed)
        lines.append(line)
    return pd.DataFrame(lines)


def _judgments(group: pd.DataFrame, n_resamples: int, seed: int) -> dict[str, float]:
    """What was made of the alarms of one scenario, with intervals; nothing where none was judged.

    An alarm that names no picture has no precision, so that the numbers of alarms may differ.
    """
    line: dict[str, float] = {}
    for name, column in (("right_cause", "right"), ("found_share",) * 2, ("precision",) * 2):
        values = group[column].dropna().astype(float)
        if values.empty:
            continue
        if name == "right_cause":
            interval = wilson_interval(int(values.sum()), len(values))
        else:
            options = {"bounds": (0.0, 1.0), "n_resamples": n_resamples, "seed": seed}
            interval = bootstrap_interval(values, group.seed[values.index], **options)
        line |= {
            name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high,
            f"{name}_n": interval.n,
        }  # fmt: skip
    return line
