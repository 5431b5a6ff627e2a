"""Watching a stream: signals at every step, thresholds that keep their promise, a verdict.

A threshold on a single step's p-value is broken sooner or later by any stream that runs long
enough. Here a threshold is the height that a whole stream without change rarely reaches, chosen on
such streams for all signals together; they are dealt from seeds that no report uses.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from helpers.first.studies.drift_signals import (
    CROWDED,
    SIGNALS,
    Known,
    crowding,
    far_excess,
    group_excess,
    know,
    kth_distance,
    mmd_shift,
    neighbor_shift,
)
from helpers.first.studies.drift_streams import Arrivals, Pools, Stream, stream

MINORITY = 1 / 3  # what is more is no group any longer
BROKEN = 1 / 3  # share of the conspicuous pictures that are dark or blurred
CAUSES = ("a new group", "the whole population", "broken pictures", "queries")
ADVICE = {
    "a new group": "Look at these pictures. If they are one new thing, caption some of them and "
    "retrain; until then, searches by text will hardly find them.",
    "the whole population": "Measure retrieval on labeled arrivals. Retrain if it has fallen; if "
    "not, make recent arrivals the reference.",
    "broken pictures": "Do not retrain: mend what takes the pictures, and leave these out of index "
    "and training set.",
    "queries": "The pictures are as they were, the questions are not. Look at the new queries; "
    "retrain the text tower if they find nothing.",
    "": "Nothing to do.",
}


@dataclass(frozen=True)
class Monitor:
    """How a stream is watched.

    Attributes
    ----------
    window : int
        Steps that are looked back on: what comes slowly has to gather. Until so many steps have
        passed there is no answer.
    k : int
        The neighbor whose distance is a density.
    n_shuffles : int
        Of the sides, for the expectation and spread of the population tests.
    sample : int
        Rows of the reference in those tests.
    """

    window: int = 8
    k: int = 5
    n_shuffles: int = 60
    sample: int = 200


@dataclass(frozen=True, eq=False)
class Watched:
    """A stream and its signals, a row a step."""

    stream: Stream
    frame: pd.DataFrame
    known: Known
    settings: Monitor


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Heights by signal, and the maxima of the streams without change that they come from."""

    heights: dict[str, float]
    maxima: pd.DataFrame
    false_alarms: float

    def crossed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Which signals stand above their height, (steps, signals) bool."""
        return frame[list(SIGNALS)] > pd.Series(self.heights)

    def surprise(self, signal: str, value: float) -> float:
        """The share of streams without change that come as high: 1 / (n + 1) at the least."""
        seen = self.maxima[signal]
        return float((1 + (seen >= value).sum()) / (1 + len(seen)))


@dataclass(frozen=True, eq=False)
class Verdict:
    """What to make of a stream.

    Attributes
    ----------
    alarm : int or None
        The first step at which a signal stands above its height.
    detectors : tuple of str
        The signals that do so at that step.
    cause : str
        One of ``CAUSES``; empty without an alarm.
    items : (m,) str
        The conspicuous pictures of the steps looked back on, those that crowd most first; where
        pictures are broken, the dark and blurred ones.
    sure : float
        How often a stream without change comes as high in the most surprising of them.
    advice : str
        Retrain or not, in a sentence or two.
    retrain : bool or None
        None where that is to be measured first.
    """

    alarm: int | None
    detectors: tuple[str, ...]
    cause: str
    items: np.ndarray
    sure: float
    advice: str
    retrain: bool | None


def watch(one: Stream, *, settings: Monitor | None = None, seed: int = 0) -> Watched:
    """All signals at every step of a stream.

    Parameters
    ----------
    one : Stream
    settings : Monitor, optional
    seed : int
        Of the reference's sample and the shuffles.

    Returns
    -------
    Watched
        ``frame`` has step, n (arrivals so far), the five ``SIGNALS``, p_mmd, p_neighbors,
        p_queries.
    """
    settings = settings or Monitor()
    known = know(one.reference, k=settings.k, sample=settings.sample, seed=seed)
    arrived = np.cumsum([len(step.ids) for step in one.steps])
    found = []
    for step in range(settings.window - 1, len(one.steps)):
        recent = recent_steps(one, step, settings.window)
        rows = np.concatenate([arrivals.rows for arrivals in recent])
        asked = np.concatenate([arrivals.queries for arrivals in recent])
        options = {"n_shuffles": settings.n_shuffles, "seed": seed * 1000 + step}
        mmd = mmd_shift(known.sample, rows, **options)
        near = neighbor_shift(known.sample, rows, k=settings.k, **options)
        queries = mmd_shift(one.queries[: settings.sample], asked, **options)
        found.append(
            {
                "step": step, "n": int(arrived[step]), "mmd": mmd.z, "neighbors": near.z,
                "far": far_excess(known, rows)[0], "group": group_excess(known, rows)[0],
                "queries": queries.z, "p_mmd": mmd.p_value, "p_neighbors": near.p_value,
                "p_queries": queries.p_value,
            }
        )  # fmt: skip
    return Watched(one, pd.DataFrame(found), known, settings)


def recent_steps(one: Stream, step: int, window: int) -> list[Arrivals]:
    """The last ``window`` steps up to one, fewer at the start."""
    return one.steps[max(0, step - window + 1) : step + 1]


def choose_thresholds(
    pools: Pools,
    *,
    seeds: Iterable[int],
    false_alarms: float = 0.05,
    settings: Monitor | None = None,
    progress: bool = True,
) -> Thresholds:
    """The lowest heights, equally rare for every signal, that few whole streams cross at all.

    Parameters
    ----------
    pools : Pools
    seeds : iterable of int
        Of streams without change; report on other seeds.
    false_alarms : float
        The share of these streams that may cross any of the heights.
    settings : Monitor, optional
    progress : bool
    """
    bar = tqdm(list(seeds), desc="streams without change", disable=not progress)
    rows = [watch(stream(pools, "nothing", seed=s), settings=settings, seed=s).frame for s in bar]
    maxima = pd.DataFrame([frame[list(SIGNALS)].max() for frame in rows])
    return heights_of(maxima, false_alarms=false_alarms)


def heights_of(maxima: pd.DataFrame, *, false_alarms: float) -> Thresholds:
    """Thresholds from the maxima of streams without change, a row a stream.

    Raises
    ------
    ValueError
        If there are too few streams to speak of so small a share.
    """
    if len(maxima) * false_alarms < 1:
        raise ValueError(
            f"{len(maxima)} streams cannot say what one in {1 / false_alarms:.0f} does: give "
            f"{int(np.ceil(1 / false_alarms))} seeds or more"
        )
    for level in np.linspace(1 - false_alarms, 1, 201):
        heights = maxima.quantile(level)
        if (maxima > heights).any(axis=1).mean() <= false_alarms:
            break
    return Thresholds(heights.to_dict(), maxima, false_alarms)


def verdict(watched: Watched, thresholds: Thresholds) -> Verdict:
    """The first alarm of a stream: which signals, which pictures, why, and what to do.

    Examples
    --------
    >>> said = verdict(watch(one), thresholds)  # doctest: +SKIP
    >>> said.cause, said.advice  # doctest: +SKIP
    """
    crossed = thresholds.crossed(watched.frame)
    above = crossed.index[crossed.any(axis=1)]
    if not len(above):
        return Verdict(None, (), "", np.array([], str), 1.0, ADVICE[""], False)
    values = watched.frame.loc[above[0]]
    alarm = int(values.step)
    detectors = tuple(name for name in SIGNALS if crossed[name][above[0]])
    arrivals = recent_steps(watched.stream, alarm, watched.settings.window)
    ids, rows, pixels = (
        np.concatenate([getattr(a, name) for a in arrivals]) for name in ("ids", "rows", "pixels")
    )
    odd = conspicuous(watched.known, rows)
    apart = bool(values.far > thresholds.heights["far"] / 2)
    cause = cause_of(watched.stream, detectors, pixels[odd], share=float(odd.mean()), apart=apart)
    sure = min(thresholds.surprise(name, values[name]) for name in detectors)
    retrain = {"a new group": True, "the whole population": None}.get(cause, False)
    order = np.argsort(-crowding(watched.known, rows), kind="stable")
    named = ids[order[odd[order]]]
    if cause == "broken pictures":
        named = ids[unlike_pixels(watched.stream, pixels)]
    elif cause == "queries":
        named = np.array([], str)
    return Verdict(alarm, detectors, cause, named, sure, ADVICE[cause], retrain)


def conspicuous(known: Known, rows: np.ndarray) -> np.ndarray:
    """Arrivals that crowd where little is known, or lie further out than one in a hundred known."""
    crowded = crowding(known, rows) > known.dense
    return crowded | (kth_distance(rows, known.rows, k=known.k) > known.outside)


def unlike_pixels(one: Stream, pixels: np.ndarray) -> np.ndarray:
    """Which pictures are darker or blurrier than all but one in a hundred known ones, (m,) bool."""
    low = np.quantile(one.pixels, CROWDED, axis=0)
    return (pixels < low).any(axis=1)


def cause_of(
    one: Stream,
    detectors: tuple[str, ...],
    pixels: np.ndarray,
    *,
    share: float,
    apart: bool,
) -> str:
    """Why there was an alarm.

    Queries alone: the queries. A third of the conspicuous pictures dark or blurred: broken. Else a
    group if arrivals lie far from all that is known (the signal has come half way to its own alarm)
    and are a minority: what is new lies apart, while a change of all moves each a little. Else the
    whole population.

    Parameters
    ----------
    one : Stream
    detectors : tuple of str
    pixels : (m, 2) float
        Of the conspicuous pictures.
    share : float
        Of the arrivals that are conspicuous.
    apart : bool
    """
    if detectors == ("queries",):
        return "queries"
    if len(pixels) and unlike_pixels(one, pixels).mean() >= BROKEN:
        return "broken pictures"
    return "a new group" if apart and share <= MINORITY else "the whole population"
