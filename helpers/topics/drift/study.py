"""The study of lesson 13: how soon changes are found, and how often one that is not there.

An alarm has a rank: 1 at the first answer after the change, one more than there are answers where
it never comes. hit@K is then the share of streams with an alarm within K answers, and a pool of
recipes is what is resampled: streams that are dealt from one pool are no independent ones.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from helpers.experiment import Experiment
from helpers.grid import Result
from helpers.study import UNTRAINED, Design, Study
from helpers.topics.drift import watch
from helpers.topics.drift.signals import SIGNALS
from helpers.topics.drift.streams import KINDS, Pool, Stream, deal, draw_pool

DETECTORS = ("any", *SIGNALS)
DIRECTION = "stream"
RIGHT = {"unseen dish": "a new group", "change of style": "the whole population",
         "broken camera": "broken images"}  # fmt: skip


def ranks_of(watched: watch.Watched, levels: pd.Series) -> tuple[dict[str, float], int]:
    """The rank of the first alarm of each detector, from the change on, and the answers there."""
    since = watched.stream.starts or 0
    frame = watched.frame[watched.frame["step"] >= since]
    above = frame[list(SIGNALS)] > levels
    above.insert(0, "any", above.any(axis=1))
    n = len(frame)
    return {name: float(found.to_numpy().argmax() + 1 if found.any() else n + 1)
            for name, found in above.items()}, n  # fmt: skip


def measure(
    streams: Iterable[tuple[str, Stream]], levels: pd.Series, *, group: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ranks of the alarms of some streams, each with its kind, and what the alarms said.

    Returns
    -------
    DataFrame, DataFrame
        Columns of a study's ranks, with ``detector``; for each stream with a change that was found
        ``test``, ``right`` (whether the cause is right), ``named`` (share of the named images that
        changed).
    """
    rows, alarms = [], []
    for number, (kind, stream) in enumerate(streams):
        watched = watch.watch(stream)
        ranks, n = ranks_of(watched, levels)
        about = {"test": kind, "direction": DIRECTION, "query": f"{group} {number}", "group": group,
                 "gallery": 0, "gallery_size": n + 1, "positives": 1}  # fmt: skip
        rows += [{**about, "detector": name, "rank": rank} for name, rank in ranks.items()]
        alarm = watch.first_alarm(watched, levels, since=stream.starts or 0)
        if alarm and kind in RIGHT:
            changed = {i for step, truth in zip(stream.steps, stream.changed, strict=True)
                       for i in step.ids[truth]}  # fmt: skip
            named = len(changed & set(alarm.ids)) / max(1, len(alarm.ids))
            alarms.append({"test": kind, "group": group, "right": alarm.cause == RIGHT[kind],
                           "named": named})  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(alarms, columns=["test", "group", "right", "named"])


def as_study(ranks: pd.DataFrame, alarms: pd.DataFrame) -> Study:
    """The study of some ranks of :func:`measure`: an arm for each detector."""
    ranks = ranks.rename(columns={"detector": "arm"}).assign(seed=UNTRAINED)
    runs = pd.DataFrame({"arm": list(DETECTORS), "seed": UNTRAINED})
    return Study(ranks, runs, {"alarms": alarms})


class Drift(Experiment):
    """Watches streams that are dealt from pools of recipes."""

    def pool(self, number: int) -> Pool:
        """A pool of recipes, embedded."""
        about = self.design.data["pools"]
        first = about["first"] + number * about["of"]
        return draw_pool(self.base, n_recipes=about["of"], first=first)

    def train(self, *, seed: int, pool: int, levels: dict[str, float] | None = None) -> Result:
        """Watch the streams of one pool: quiet ones for thresholds, or all kinds with them."""
        found, n = self.pool(pool), self.design.settings["streams"]
        if levels is None:
            quiet = (watch.watch(deal(found, "nothing", seed=1000 + i)) for i in range(n))
            return Result(pd.DataFrame(), {}, {"maxima": watch.maxima(quiet)})
        dealt = ((kind, deal(found, kind, seed=i)) for kind in KINDS for i in range(n))
        ranks, alarms = measure(dealt, pd.Series(levels), group=f"pool {pool}")
        return Result(ranks, {}, {"alarms": alarms})


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Choose thresholds on some pools and watch the streams of others; what is finished is kept."""
    experiment = Drift(design, device)
    modules = (f"helpers.topics.drift.{name}" for name in ("signals", "streams", "watch", "study"))
    identity = experiment.identity(*modules)
    about, settings = design.data["pools"], design.settings
    pools = range(about["n"] // about["of"])
    quiet = {f"quiet {i}": {"pool": i} for i in pools[: settings["quiet pools"]]}
    seen = _untrained(experiment, folder, identity, quiet).frames["maxima"]
    rate = settings["false alarms"]
    levels = watch.thresholds(seen[list(SIGNALS)], false_alarms=rate).round(9).to_dict()
    watched = {f"watched {i}": {"pool": i, "levels": levels} for i in pools[len(quiet) :]}
    found = _untrained(experiment, folder, identity, watched)
    study = as_study(found.ranks.drop(columns=["arm", "seed"]),
                     found.frames["alarms"].drop(columns=["arm", "seed"]))  # fmt: skip
    numbers = study.ranks["query"].map({q: i for i, q in enumerate(study.ranks["query"].unique())})
    runs = study.runs.assign(finished=found.runs["finished"].max(), **levels)
    return Study(study.ranks.assign(query=numbers), runs, study.frames)


def _untrained(experiment: Experiment, folder: Path, identity: str, arms: dict) -> Study:
    from helpers.grid import run_grid

    return run_grid(experiment.train, arms, seeds=lambda _: [UNTRAINED], folder=folder,
                    identity=identity)  # fmt: skip
