"""A lesson's bookkeeping: what it shows is saved, what it finds is listed, its numbers are written.

``results.json`` is a list of flat records, one number each, with all that is needed to know what it
is the number of. It is written from a study and never read back by a lesson.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from helpers import paths, repro
from helpers.report.style import set_style
from helpers.report.tables import frame_html, verdict_sentences
from helpers.store.atomic import write_file_atomically
from helpers.study import UNTRAINED, Design, Study, judge

NAME = re.compile(r"[A-Za-z0-9_-]+")
METRICS = ("hit@1", "hit@5", "hit@10", "mrr", "median rank", "mean rank")


@dataclass
class Lesson:
    """Figures and tables of a lesson, each with what was found and how to read it."""

    name: str
    folder: Path
    seed: int
    found: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)

    def show(self, name: str, what: Figure | pd.DataFrame, found: str = "", read: str = "") -> None:
        """Display and save a figure or table; below it, what was found and how to read it.

        Parameters
        ----------
        name : str
            Of the file; once a lesson.
        what : Figure or DataFrame
        found : str
            A sentence made from the numbers; it is the figure's text for who cannot see it, and the
            last cell of the lesson lists it.
        read : str
            How to read what is shown.

        Raises
        ------
        ValueError
            If the name is taken or is no file name.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a figure: use letters, digits, '_' and '-'")
        self.shown.add(name)
        if isinstance(what, Figure):
            png = BytesIO()
            what.savefig(png, format="png", metadata={"Software": None})
            plt.close(what)
            write_file_atomically(self.folder / "figures" / f"{name}.png", png.getvalue())
            data = {"image/png": png.getvalue(), "text/plain": found or name}
            display(data, raw=True, metadata={"image/png": {"alt": found or name}})
        else:
            index = not isinstance(what.index, pd.RangeIndex)
            write_file_atomically(
                self.folder / "tables" / f"{name}.csv", what.to_csv(index=index).encode()
            )
            html = frame_html(what, index=index)
            display({"text/html": html, "text/plain": what.to_string(index=index)}, raw=True)
        if found:
            self.found.append(found)
            say(f"**Found:** {found}")
        if read:
            say(f"**How to read it:** {read}")

    def answer(self, n: int = 2) -> None:
        """Say what the committed study of this lesson found, from its first ``n`` hypotheses."""
        folder = paths.study(self.name)
        if not (folder / "ranks.parquet").is_file():
            say("**Finding:** the study of this lesson has not been measured yet.")
            return
        study, design = Study.load(folder), Design.load(folder)
        said = verdict_sentences(judge(study, design))[:n]
        seeds = max(len(study.seeds(arm)) for arm in study.arms)
        about = f"{study.ranks['group'].nunique():,} test items"
        about += f", up to {seeds} trainings a configuration" if seeds else ", nothing trained"
        say(f"**Finding** of the committed study ({about}). " + ". ".join(said) + ".")

    def finish(
        self, live: Study | None = None, *, model: str = "", data: str = "", run: str = "",
        split: str = "test", numbers: Sequence[dict[str, Any]] = (),
    ) -> None:  # fmt: skip
        """Write ``results.json`` and list what the lesson has found.

        ``numbers`` are further records: ``metric``, ``value``, ``unit`` and what else is known.
        """
        about = {"lesson": self.name[:2], "run": run, "model": model, "data": data,
                 "split": split, "seed": self.seed}  # fmt: skip
        records = study_records(live, about) if live is not None else []
        records += [record(**{**about, "direction": "", **number}) for number in numbers]
        lines = [json.dumps(one, ensure_ascii=False, allow_nan=False) for one in records]
        text = "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]\n" if lines else "[]\n"
        write_file_atomically(self.folder / "results.json", text.encode())
        say("\n".join(f"- {sentence}" for sentence in self.found))


def begin(name: str, *, report: str = "", seed: int = 42) -> Lesson:
    """Set seeds and style, and open the folder for a lesson's figures and results."""
    set_style()
    repro.seed_everything(seed)
    return Lesson(name, paths.report_folder(report, name), seed)


def say(text: str) -> None:
    """Display a line of Markdown."""
    display({"text/markdown": text, "text/plain": text}, raw=True)


def study_records(study: Study, about: dict[str, Any]) -> list[dict[str, Any]]:
    """One record for each arm, test, direction and metric."""
    records = []
    for arm in study.arms:
        for test in study.tests:
            for one in study.table([arm], metrics=METRICS, test=test).itertuples():
                unit = "rank" if "rank" in one.metric else "fraction"
                where = {"data": test} if len(study.tests) > 1 else {}
                seeds = study.seeds(arm)
                named = {"model": f"{about['model']}, {arm}"} if len(study.arms) > 1 else {}
                records.append(record(**{
                    **about, **where, **named, "direction": one.direction, "metric": one.metric,
                    "estimate": one.estimate, "unit": unit,
                    "seed": seeds[0] if len(seeds) == 1 else about["seed"],
                }))  # fmt: skip
    return records


def record(
    *, lesson: str, run: str, model: str, data: str, split: str, direction: str, metric: str,
    value: float | None = None, low: float | None = None, high: float | None = None, n: int = 0,
    seed: int = UNTRAINED, unit: str = "fraction", estimate: Any = None, flag: str = "",
) -> dict[str, Any]:  # fmt: skip
    """A flat record of one number; one that could not be measured is null with the reason."""
    if estimate is not None:
        value, low, high, n = estimate.value, estimate.low, estimate.high, estimate.n
        flag = estimate.missing
    numbers = {"value": value, "low": low, "high": high}
    plain = {k: None if v is None or not math.isfinite(v) else float(v) for k, v in numbers.items()}
    found = {
        "lesson": lesson, "run": run, "model": model, "data": data, "split": split,
        "direction": direction, "metric": metric, **plain, "n": int(n), "seed": int(seed),
        "unit": unit,
    }  # fmt: skip
    return found | ({"flag": flag} if flag else {})
