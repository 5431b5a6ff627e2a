"""The committed distribution study, shown beside a live run: its figures, and what they say."""

from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from helpers.report.claims import claims_table
from helpers.report.mixtures import exchange_plot, gap_curve_plot, share_plot
from helpers.report.results import Record
from helpers.report.studies import study_records
from helpers.report.style_records import (
    crossing_of,
    crossing_records,
    curve_of,
    curve_records,
    exchange_of,
    exchange_records,
    gap_frame_of,
    judged_of,
    score_frame_of,
    score_records,
)
from helpers.report.trajectories import gap_plot
from helpers.studies.mixtures import exchange_rate
from helpers.studies.scores import WAYS, Scores, score_frame
from helpers.studies.style_gap import gap_curve, stops_helping

LESSON = "06_distribution_study"
METRIC, FROZEN = "hit@10", "frozen text tower"


def equal_count(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a score frame whose arms have as many pictures as there are, of gap 1."""
    whole = (frame["real"] + frame["synthetic"]).sub(1).abs() < 1e-9
    return frame[whole & (frame["style_gap"] == 1) & ~frame["watermark"]]


def regime_records(
    table: Scores, base: float, gaps: Sequence[float], *, regime: str = "", **about
) -> list[Record]:
    """The scores of all arms, the gain by gap, worth and where help ends, in all directions.

    Parameters
    ----------
    table : Scores
    base, gaps
        Of the sweep: see :func:`helpers.studies.style_gap.sweep_mixes`.
    regime : str
        Tells another way of training from the study's own.
    **about
        ``lesson, run, data, seed`` and ``n``.
    """
    metric, seed = f"{METRIC}, {regime}" if regime else METRIC, about["seed"]
    records = score_records(score_frame(table, seed=seed), metric, **about)
    records += curve_records(gap_curve(table, base, gaps, seed=seed), metric, **about)
    for way in ("", *WAYS):
        worth = exchange_rate(table, direction=way, seed=seed)
        records += exchange_records(worth, way, regime=regime, **about)
        ends = stops_helping(table, base, gaps, direction=way, seed=seed)
        records += crossing_records(ends, way, regime=regime, **about)
    return records


def committed_records() -> list[Record]:
    """The records of the committed study; empty where it has not been run."""
    return study_records(LESSON)


def committed_figures(records: Iterable[Record], *, n_pictures: int) -> dict[str, Figure]:
    """The figures of a committed study by name; empty where it has not been run.

    Parameters
    ----------
    records : iterable of Record
        As lesson 06 writes them.
    n_pictures : int
        In the whole training set.
    """
    records = list(records)
    drawn: dict[str, Figure] = {}
    for regime, said in (("", "committed study"), (FROZEN, f"committed study, {FROZEN}")):
        metric = f"{METRIC}, {regime}" if regime else METRIC
        frame, curve = score_frame_of(records, metric), curve_of(records, metric)
        exchange = exchange_of(records, regime=regime)
        name = "frozen" if regime else "study"
        if len(frame):
            heading = f"Replaced: {said}"
            drawn[f"{name}_shares"] = share_plot(equal_count(frame), heading=heading)
        if len(frame) and exchange:
            drawn[f"{name}_exchange"] = exchange_plot(
                frame, exchange, n_pictures=n_pictures, heading=f"Worth: {said}"
            )
        if len(curve):
            swept = frame[(frame["style_gap"] != 1) & (frame["synthetic"] > 0)]
            drawn[f"{name}_gap"] = gap_curve_plot(
                curve, crossing_of(records, regime=regime), base=float(swept["real"].min()),
                heading=f"Gap: {said}",
            )  # fmt: skip
    paths = gap_frame_of(records)
    if len(paths):
        drawn["study_paths"] = gap_plot(paths, heading="Does the gap close? Committed study")
    return drawn


def committed_readings(records: Iterable[Record]) -> list[str]:
    """What the exchange rate and the style gap of a committed study come to, a sentence each."""
    records = list(records)
    said = []
    for regime, name in (("", "both towers trained"), (FROZEN, FROZEN)):
        found = exchange_of(records, regime=regime), crossing_of(records, regime=regime)
        said += [f"{name}: {one.reading}" for one in found if one is not None]
    return said


def committed_claims(records: Iterable[Record]) -> pd.DataFrame:
    """The claims of a committed study, judged from its records."""
    table = claims_table(judged_of(list(records)))
    return table.drop(columns="could have shown", errors="ignore")
