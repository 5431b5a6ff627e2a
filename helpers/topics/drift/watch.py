"""Watching a stream: signals at every step, thresholds that keep a false-alarm rate, causes.

A threshold on the signals of single steps is crossed sooner or later by any stream that is long
enough. Here whole streams without a change seldom reach one, for all signals together.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import paths
from helpers.repro import hash_of
from helpers.store.zones import write_file_atomically
from helpers.topics.drift.signals import FAR, SIGNALS, Known
from helpers.topics.drift.streams import Images, Stream

WINDOW = 8  # steps that are looked back on: what comes slowly has to gather
THIRD = 1 / 3
CAUSES = ("a new group", "the whole population", "broken images", "queries")
ADVICE = {
    "a new group": "look at these images; if they are one new thing, label some and retrain",
    "the whole population": "measure retrieval on labeled arrivals; retrain if it fell, else make "
                            "recent arrivals the reference",
    "broken images": "do not retrain: repair what takes the images, and leave these out",
    "queries": "look at the new queries; retrain the text encoder if they find nothing",
    "": "nothing to do",
}  # fmt: skip
KEPT = ("broken images", "")  # causes that no retraining mends
RECORD = "alarms"


@dataclass(frozen=True, eq=False)
class Watched:
    """A stream, what its reference says, and its signals: a row for each step with an answer."""

    stream: Stream
    known: Known
    frame: pd.DataFrame

    def recent(self, step: int) -> Images:
        """The images of the window that ends with a step."""
        first, *others = self.stream.steps[max(0, step - WINDOW + 1) : step + 1]
        for one in others:
            first = first + one
        return first


@dataclass(frozen=True)
class Alarm:
    """The first alarm of a stream: step, signals above their thresholds, cause and images."""

    step: int
    signals: tuple[str, ...]
    cause: str
    ids: tuple[str, ...]

    @property
    def advice(self) -> str:
        """What to do."""
        return ADVICE[self.cause]


def watch(stream: Stream) -> Watched:
    """All signals of a stream, from the first full window on."""
    known = Known.of(stream.reference.rows, stream.reference.captions)
    watched = Watched(stream, known, pd.DataFrame())
    rows = []
    for step in range(WINDOW - 1, len(stream.steps)):
        asked = np.concatenate(stream.queries[step - WINDOW + 1 : step + 1])
        signals = known.signals(watched.recent(step).rows, asked)
        rows.append({"step": step, **signals})
    return Watched(stream, known, pd.DataFrame(rows))


def maxima(watched: Iterable[Watched]) -> pd.DataFrame:
    """The largest value of each signal in each stream: a row for each stream."""
    return pd.DataFrame([one.frame[list(SIGNALS)].max() for one in watched])


def thresholds(largest: pd.DataFrame, *, false_alarms: float) -> pd.Series:
    """The lowest thresholds, equally rare for every signal, that few whole streams cross at all.

    ``largest`` are the maxima of streams without a change; ``false_alarms`` is the share of them
    that may cross any. Raises ``ValueError`` if there are too few to speak of such a share.
    """
    if len(largest) * false_alarms < 1:
        raise ValueError(
            f"{len(largest)} streams cannot say what one in {1 / false_alarms:.0f} does: give "
            f"{int(np.ceil(1 / false_alarms))} or more"
        )
    for level in np.linspace(1 - false_alarms, 1, 201):
        found = largest.quantile(level)
        if (largest > found).any(axis=1).mean() <= false_alarms:
            break
    return found


def first_alarm(watched: Watched, levels: pd.Series, *, since: int = 0) -> Alarm | None:
    """The first step, from ``since`` on, at which a signal stands above its threshold; or None."""
    above = watched.frame[list(SIGNALS)] > levels
    late = above.any(axis=1) & (watched.frame["step"] >= since)
    if not late.any():
        return None
    place = int(np.flatnonzero(late)[0])
    step = int(watched.frame["step"].iloc[place])
    signals = tuple(name for name in SIGNALS if above[name].iloc[place])
    cause, ids = cause_of(watched, step, signals, levels)
    return Alarm(step, signals, cause, ids)


def cause_of(
    watched: Watched, step: int, signals: tuple[str, ...], levels: pd.Series
) -> tuple[str, tuple[str, ...]]:
    """Why there was an alarm, and the ids of the images behind it, the densest first.

    Queries alone: the queries. A third of the conspicuous images darker or blurrier than all but
    one in a hundred known ones: broken. Else a new group, if arrivals lie far from all that is
    known (the signal has come half way to its threshold) and the conspicuous are a minority: what
    is new lies apart, while a change of all moves each image a little. Else the whole population.
    """
    if signals == ("queries",):
        return "queries", ()
    recent, known = watched.recent(step), watched.known
    crowding = known.crowding(recent.rows)
    odd = known.is_odd(recent.rows)
    low = np.quantile(watched.stream.reference.pixels, 0.01, axis=0)
    broken = (recent.pixels < low).any(axis=1)
    order = np.argsort(-crowding, kind="stable")
    if odd.any() and broken[odd].mean() >= THIRD:
        return "broken images", tuple(recent.ids[order[broken[order]]].tolist())
    usual, far = 1 - FAR, watched.frame.set_index("step").loc[step, "far"]
    apart = far - usual > (levels["far"] - usual) / 2
    cause = "a new group" if apart and odd.mean() <= THIRD else "the whole population"
    return cause, tuple(recent.ids[order[odd[order]]].tolist())


def key_of(known: Images, fingerprint: str, arrivals: Path) -> str:
    """The name of the one alarm that arrivals can have beside known images under one model.

    More arrivals move thresholds a little, and the first alarm with them: it stays the same alarm
    until its cause is dealt with. Who retrains has other known images, and another model.
    """
    return hash_of([sorted(known.ids.tolist()), fingerprint, str(arrivals.resolve())])[:12]


def act(
    alarm: Alarm, record: Path, *, source: str, model: str, start: bool, key: str = "",
    run: Callable[..., object] = subprocess.run,
) -> tuple[str, str]:  # fmt: skip
    """Record an alarm and, if asked, start the lesson that retrains: never twice for one alarm.

    Parameters
    ----------
    alarm : Alarm
    record : Path
        The folder of alarms, a JSON file each.
    source : str
        The labeled images to retrain on, as ``course run`` takes it.
    model : str
        What is retrained.
    start : bool
        Whether to start, where the advice is to retrain.
    key : str
        Of :func:`key_of`; empty: of the alarm itself.

    Returns
    -------
    str, str
        The command that retrains, and what was done with it.
    """
    key = key or hash_of(asdict(alarm))[:12]
    name = f"retrain-{key}"
    command = ["course", "run", "--name", name, "--only", "04", "-p", f"source={source}",
               "-p", f"model={model}"]  # fmt: skip
    folder, begins = paths.reports() / name, False
    if start and alarm.cause not in KEPT:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir()  # of two processes one makes it, and a killed one has made it
            begins = True
    done = "recorded"
    if begins:
        done += ", and retraining started"
    elif folder.exists():
        done += f"; retraining was started before, into {paths.portable(folder)}"
    elif start:
        done += f"; not started, since the advice is: {alarm.advice}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"alarm": asdict(alarm), "command": command, "done": done, "at": now}
    text = json.dumps(entry, indent=1, ensure_ascii=False) + "\n"
    write_file_atomically(record / f"{key}.json", text.encode())
    if begins:
        run([sys.executable, "-m", "helpers.course.cli", *command[1:]], check=True)
    return shlex.join(command), done
