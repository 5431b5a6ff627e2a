"""What cleaning captions did, as tables, and what it moved, as records."""

from collections.abc import Mapping

import pandas as pd

from helpers.first.evaluation.chance import galleries_of
from helpers.first.report.results import Record
from helpers.first.report.studies import MINUS, against, value_records
from helpers.first.studies.cleaning import CRAWLED, Measured

METRIC = "hit@10"


def rule_table(captions: pd.DataFrame) -> pd.DataFrame:
    """How many captions each rule changed, with the first piece that it removed alone.

    Parameters
    ----------
    captions : DataFrame
        ``CleanedPairs.captions``.

    >>> rows = pd.DataFrame({"rules": ["url", ""], "removed": ["www.example.com", ""]})
    >>> rule_table(rows).values.tolist()
    [['url', 1, 'www.example.com']]
    """
    applied = captions[captions["rules"] != ""]
    counts = applied["rules"].str.split().explode().value_counts()
    rows = []
    for rule, count in counts.items():
        alone = applied.loc[applied["rules"] == rule, "removed"]
        rows.append((rule, int(count), alone.iloc[0] if len(alone) else ""))
    return pd.DataFrame(rows, columns=["rule", "captions", "removed, for example"])


def score_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """An ``agreement`` in percent, its interval in one column."""
    shown = agreement.drop(columns=["agree", "low", "high", "flagged", "wrong"])
    return shown.assign(
        **{
            "as the clean caption, %": [
                f"{100 * row.agree:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
                for row in agreement.itertuples()
            ],
            "flagged and kept, %": (100 * agreement["flagged"]).round(1),
            "other, %": (100 * agreement["wrong"]).round(1),
        }
    )


def moved_records(
    measured: Mapping[str, Measured], *, lesson: str, run: str, data: str, seed: int = 42
) -> list[Record]:
    """The values of each kind of text, and each compared with the captions as crawled.

    Parameters
    ----------
    measured : mapping
        Such as ``{"zero-shot": ..., "trained": ...}``; a model is called "zero-shot, cleaned".

    Returns
    -------
    list of Record
        The comparisons have the metric ``hit@10 minus as crawled``.
    """
    about = {"lesson": lesson, "run": run, "data": data, "seed": seed}
    records = []
    for how, found in measured.items():
        galleries = galleries_of(found.groups)
        for way, texts in found.values.items():
            groups, gallery = found.groups[way], galleries[way]
            named = {f"{how}, {text}": values for text, values in texts.items()}
            records += value_records(named, METRIC, groups, gallery=gallery, direction=way, **about)
            records += against(
                named, f"{how}, {CRAWLED}", METRIC, groups, called=CRAWLED, gallery=gallery,
                direction=way, **about,
            )  # fmt: skip
    return records


def moved(records: list[Record]) -> list[Record]:
    """The comparisons among some records: what was measured against the captions as crawled."""
    wanted = f"{METRIC}{MINUS}{CRAWLED}"
    return [r for r in records if r.metric in (wanted, f"p of {wanted}")]
