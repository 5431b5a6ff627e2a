"""The committed distribution study, shown beside a live run: its figures, and what they say."""

from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from helpers.first.report.claims import claims_table
from helpers.first.report.mixtures import exchange_plot, gap_curve_plot, share_plot, worth_table
from helpers.first.report.results import Record
from helpers.first.report.studies import study_records
from helpers.first.report.style_records import (
    claims_without,
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
    worth_records,
    worths_of,
)
from helpers.first.report.trajectories import gap_plot
from helpers.first.studies.mixtures import exchange_rate, worth_by_arm
from helpers.first.studies.scores import WAYS, Scores, score_frame
from helpers.first.studies.style_gap import gap_curve, stops_helping

LESSON = "06_distribution_study"
METRIC = "hit@10"
NO_TEXT_LORA = "no LoRA in the text layers"  # the final head of the text tower learns all the same


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
        Of the sweep: see :func:`helpers.first.studies.style_gap.sweep_mixes`.
    regime : str
        Tells another way of training from the study's own.
    **about
        ``lesson, run, data, seed`` and ``n``.
    """
    metric, seed = f"{METRIC}, {regime}" if regime else METRIC, about["seed"]
    records = worth_records(worth_by_arm(table, seed=seed), regime=regime, **about)
    records += score_records(score_frame(table, seed=seed), metric, **about)
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
    for regime, said in (
        ("", "committed study"),
        (NO_TEXT_LORA, f"committed study, {NO_TEXT_LORA}"),
    ):
        metric = f"{METRIC}, {regime}" if regime else METRIC
        frame, curve = score_frame_of(records, metric), curve_of(records, metric)
        exchange = exchange_of(records, regime=regime)
        name = "no_text_lora" if regime else "study"
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
    for regime, name in (("", "LoRA in both towers"), (NO_TEXT_LORA, NO_TEXT_LORA)):
        found = exchange_of(records, regime=regime), crossing_of(records, regime=regime)
        said += [f"{name}: {one.reading}" for one in found if one is not None]
    return said


def committed_worths(records: Iterable[Record]) -> pd.DataFrame:
    """The worths of a committed study: in each arm, where they are known, and the pooled one."""
    records = list(records)
    return worth_table(worths_of(records), exchange_of(records))


def not_committed(records: Iterable[Record]) -> list[str]:
    """What this version of the lesson measures and the committed records lack, a sentence each."""
    records = list(records)
    lacking = [f"the claim {name!r}" for name in claims_without(records)]
    lacking += [] if len(worths_of(records)) else ["the worth in each arm"]
    if exchange_of(records, regime=NO_TEXT_LORA) is None:
        lacking.append(f"the control: {NO_TEXT_LORA}")
    return [f"no committed record yet of {what}" for what in lacking]


def committed_claims(records: Iterable[Record]) -> pd.DataFrame:
    """The claims of a committed study, judged from its records."""
    table = claims_table(judged_of(list(records)))
    return table.drop(columns="could have shown", errors="ignore")
