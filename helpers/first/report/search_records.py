"""A search as flat records and back, so that a committed one is drawn like one just run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from helpers.first.evaluation.intervals import Interval
from helpers.first.report.results import NOT_MEASURED, Record
from helpers.first.studies.placement import row_name
from helpers.first.studies.search import Search

TRIAL, BASE, SECONDS, SHARE = (
    "search trial", "search, untrained base", "search, duration", "search, importance of",
)  # fmt: skip
LEVEL = 0.95


@dataclass(frozen=True)
class ShownSearch:
    """What the figures draw of a search.

    Attributes
    ----------
    trials : DataFrame
        ``number, state, score`` (NaN where nothing was trained) and ``epochs``.
    winner : str
        What the best trial is called.
    untrained, seconds : float
    importance : dict of name to Interval
        Median and 95 % of the repetitions.
    """

    trials: pd.DataFrame
    winner: str
    untrained: float
    seconds: float
    importance: Mapping[str, Interval]


def winner_name(search: Search) -> str:
    """What the winner of a search is called: its row's name and its learning rate.

    >>> winner_name(search)  # doctest: +SKIP
    'r16 v2 t4 qkvo, rate 0.0061'
    """
    rate = search.best.training.learning_rate
    return f"{row_name(search.best.placement)}, rate {rate:.2g}"


def share_interval(shares: Sequence[float]) -> Interval:
    """The median of repetitions, and the middle 95 % of them."""
    outside = (1 - LEVEL) / 2
    low, middle, high = np.quantile(shares, (outside, 0.5, 1 - outside))
    return Interval(float(middle), float(low), float(high), len(shares), 0, LEVEL)


def shown(search: Search) -> ShownSearch:
    """The part of a search that the figures draw."""
    return ShownSearch(
        search.trials[["number", "state", "score", "epochs"]],
        winner_name(search),
        search.untrained,
        search.seconds,
        {name: share_interval(shares) for name, shares in search.importance.items()},
    )


def search_records(search: Search, *, n: int, **about: Any) -> list[Record]:
    """Every trial, the base, the duration and the importance of a search as records.

    A trial's number stands in ``seed``; its state and its epochs are part of the metric. What was
    never trained has no value.

    Parameters
    ----------
    n : int
        Queries behind a validation score.
    **about
        ``lesson``, ``run``, ``data``; a ``seed`` is left out.
    """
    found, named = shown(search), about | {"split": "validation", "direction": ""}
    named.pop("seed", None)
    untrained = {"value": None, "flag": NOT_MEASURED, "reason": "nothing was trained"}
    records = [
        Record(model=found.winner, metric=f"{TRIAL}, {trial.state}, {trial.epochs:.0f} epochs", n=n,
               seed=int(trial.number), **named,
               **(untrained if np.isnan(trial.score) else {"value": float(trial.score)}))
        for trial in found.trials.itertuples()
    ]  # fmt: skip
    records.append(Record(model=found.winner, metric=BASE, value=found.untrained, n=n, **named))
    records.append(
        Record(model=found.winner, metric=SECONDS, value=found.seconds, unit="s", n=1, **named)
    )
    records += [
        Record(model=found.winner, metric=f"{SHARE} {name}", value=share.value, low=share.low,
               high=share.high, n=share.n, **named)
        for name, share in found.importance.items()
    ]  # fmt: skip
    return records


def search_of(records: Iterable[Record]) -> ShownSearch | None:
    """The search among some records, or None where there is none.

    Raises
    ------
    ValueError
        If the records hold trials of more than one search.
    """
    trials, single, importance, winners = [], {}, {}, set()
    for record in records:
        if record.metric.startswith(f"{TRIAL}, "):
            winners.add((record.run, record.model, record.data))
            score = record.value if record.measured else float("nan")
            state, epochs = record.metric.removeprefix(f"{TRIAL}, ").split(", ")
            trials.append((record.seed, state, score, int(epochs.split()[0])))
        elif record.metric in (BASE, SECONDS):
            single[record.metric] = record.value
        elif record.metric.startswith(f"{SHARE} "):
            name = record.metric.removeprefix(f"{SHARE} ")
            importance[name] = Interval(record.value, record.low, record.high, record.n, 0, LEVEL)
    if not trials:
        return None
    if len(winners) > 1:
        raise ValueError(f"records of {len(winners)} searches: give those of one run alone")
    frame = pd.DataFrame(sorted(trials), columns=["number", "state", "score", "epochs"])
    winner = winners.pop()[1]
    return ShownSearch(frame, winner, single[BASE], single[SECONDS], importance)
