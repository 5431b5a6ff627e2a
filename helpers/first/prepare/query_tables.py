"""Tables of what became of queries: runs and their failures, and how well the guardrails judge."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import pandas as pd

from helpers.first.evaluation.intervals import wilson_interval
from helpers.first.prepare.queries import Written


def failure_table(runs: Mapping[str, Written]) -> pd.DataFrame:
    """A row a run: what was wanted, asked for, let through and refused, and why, most often first.

    Parameters
    ----------
    runs : mapping of name to Written
        Such as ``{"rules": written, "malformed JSON": other}``.
    """
    rows = []
    for name, run in runs.items():
        reasons = Counter(run.rejected["reason"]).most_common()
        why = ", ".join(f"{reason} {count}" for reason, count in reasons) or "-"
        columns = ("wanted", "drafts", "accepted", "rejected", "unfilled")
        rows.append((name, *(run.counts[column] for column in columns), why))
    titles = ["run", "wanted", "drafts", "accepted", "rejected", "unfilled", "reasons"]
    return pd.DataFrame(rows, columns=titles).set_index("run")


def reason_table(written: Written) -> pd.DataFrame:
    """A row a reason: how often, its share of all drafts, and an example with what gave it."""
    drafts = max(written.counts["drafts"], 1)
    rows = [
        (reason, len(group), len(group) / drafts, group["text"].iloc[0], group["detail"].iloc[0])
        for reason, group in written.rejected.groupby("reason", sort=False)
    ]
    table = pd.DataFrame(rows, columns=["reason", "count", "share", "example", "detail"])
    return table.sort_values("count", ascending=False, kind="stable").set_index("reason")


class Labeled(Protocol):
    """A query with a label: ``template`` is what it was made from, ``kind`` what it is about."""

    text: str
    good: bool
    kind: str
    template: str
    facts: Mapping[str, str]


def guard_scores(
    labeled: Iterable[Labeled], refuses: Callable[[Labeled], bool], *, level: float = 0.95
) -> pd.DataFrame:
    """How often good and bad queries are refused, by kind, and precision and recall of refusing.

    The queries of one template are no independent trials: the intervals (Wilson) count templates,
    and a template counts as right only if every query of it is.

    Parameters
    ----------
    labeled : iterable of Labeled
    refuses : callable
        Whether a query is refused.

    Returns
    -------
    DataFrame
        Rows ``recall``, ``precision``, ``good let through`` and a row a kind; columns ``share``
        (of templates), ``low``, ``high``, ``templates``, ``queries`` and ``query_share``. A kind's
        share is that of its templates that are judged right.
    """
    rows = [(q.good, q.kind, q.template, refuses(q)) for q in labeled]
    frame = pd.DataFrame(rows, columns=["good", "kind", "template", "refused"])
    frame["right"] = frame["good"] != frame["refused"]
    bad, good = frame[~frame["good"]], frame[frame["good"]]
    by_template = frame.groupby("template", sort=False).agg(
        good=("good", "first"), right=("right", "all")
    )
    caught = int((by_template["right"] & ~by_template["good"]).sum())
    alarms = int((~by_template["right"] & by_template["good"]).sum())
    table = {
        "recall": (*_right(bad, level), len(bad), bad["right"].mean()),
        "precision": (
            *_share(caught, caught + alarms, level), int(frame["refused"].sum()),
            bad["refused"].sum() / max(frame["refused"].sum(), 1),
        ),
        "good let through": (*_right(good, level), len(good), good["right"].mean()),
    }  # fmt: skip
    for (is_good, kind), group in frame.groupby(["good", "kind"], sort=False):
        name = f"{'good' if is_good else 'bad'}: {kind}"
        table[name] = (*_right(group, level), len(group), group["right"].mean())
    columns = ["share", "low", "high", "templates", "queries", "query_share"]
    return pd.DataFrame.from_dict(table, orient="index", columns=columns)


def _right(group: pd.DataFrame, level: float) -> tuple[float, float, float, int]:
    """The share of templates that are right in every query, with its interval."""
    right = group.groupby("template")["right"].all()
    return _share(int(right.sum()), len(right), level)


def _share(right: int, n: int, level: float) -> tuple[float, float, float, int]:
    found = wilson_interval(right, n, level=level)
    return found.value, found.low, found.high, n
