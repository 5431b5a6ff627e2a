"""A lesson's bookkeeping: what it shows is saved, what it finds is listed, its numbers are written.

``results.json`` is a list of flat records, one number each, with all that is needed to know what it
is the number of. It is written from a study and never read back by a lesson.
"""

import json
import math
import re
import shlex
import warnings
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from transformers.utils import logging

from helpers import paths, repro
from helpers.evaluation.stats import Estimate
from helpers.report.style import set_style
from helpers.report.tables import METRICS, frame_html, verdict_sentences
from helpers.store.zones import write_file_atomically
from helpers.study import UNTRAINED, Design, Study, judge

CHECKER = "helpers.course.parameters"
HUB = {"source": "openai/clip-vit-base-patch32", "cars": "google/siglip-base-patch16-224"}
NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass
class Lesson:
    """Figures and tables of a lesson, each with what was found and how to read it."""

    name: str
    folder: Path
    seed: int
    model: str = ""
    found: dict[str, str] = field(default_factory=dict)
    others: Callable[[Study], dict[str, Estimate]] | None = None

    def show(self, name: str, what: Figure | pd.DataFrame, found: str = "", read: str = "") -> None:
        """Display and save a figure or table; below it, what was found and how to read it.

        ``name`` is that of the file; a second one of this name takes its place. ``found`` is a
        sentence made from the numbers: the figure's text for who cannot see it, listed once more by
        the last cell of the lesson. Raises ``ValueError`` if the name is no file name.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a figure: use letters, digits, '_' and '-'")
        if isinstance(what, Figure):
            png = BytesIO()
            what.savefig(png, format="png", metadata={"Software": None})
            plt.close(what)
            write_file_atomically(self.folder / "figures" / f"{name}.png", png.getvalue())
            data = {"image/png": png.getvalue(), "text/plain": found or name}
            display(data, raw=True, metadata={"image/png": {"alt": found or name}})
        else:
            index = not isinstance(what.index, pd.RangeIndex)
            path = self.folder / "tables" / f"{name}.csv"
            write_file_atomically(path, what.to_csv(index=index).encode())
            html = frame_html(what, index=index)
            display({"text/html": html, "text/plain": what.to_string(index=index)}, raw=True)
        if found:
            self.found[name] = found
            say(f"**Found:** {found}")
        if read:
            say(f"**How to read it:** {read}")

    @cached_property
    def design(self) -> Design:
        """What the committed study of this lesson asks."""
        return Design.load(paths.study(self.name))

    @cached_property
    def study(self) -> Study:
        """The committed study of this lesson; see :meth:`helpers.study.Study.load`."""
        return Study.load(paths.study(self.name))

    def save_study(self, study: Study) -> None:
        """Write a study that has just been measured in the place of the committed one.

        Each run is stamped with the hash of the design that it answers and the time at which it
        was finished, where it has none.
        """
        folder = paths.study(self.name)
        stamp = {"design": repro.sha256_file(folder / "design.yaml")}
        if "finished" not in study.runs:
            stamp["finished"] = datetime.now(UTC).isoformat(timespec="minutes")
        replace(study, runs=study.runs.assign(**stamp)).save(folder)
        self.__dict__.pop("study", None)

    def judged(self) -> pd.DataFrame:
        """The hypotheses of the committed study, judged as one family."""
        others = self.others(self.study) if self.others else {}
        return judge(self.study, self.design, others)

    @property
    def measured(self) -> bool:
        """Whether the study of this lesson is there; if not, that is said with the command."""
        if (paths.study(self.name) / "ranks.parquet").is_file():
            return True
        command = f"course run --profile study --only {self.name[:2]}"
        say(f"The study {self.name} has not been measured yet: `{command}` does it.")
        return False

    def answer(self, n: int = 2) -> None:
        """Say what the committed study found: ``n`` hypotheses, of different tests first."""
        if not (paths.study(self.name) / "design.yaml").is_file() or not self.measured:
            return
        judged = self.judged().query("frame == ''")
        seeds = max(len(self.study.seeds(arm)) for arm in self.study.arms)
        about = f"{self.study.ranks['group'].nunique():,} test items"
        about += f", up to {seeds} trainings of a configuration" if seeds else ", nothing trained"
        again = judged.duplicated("test").sort_values(kind="stable")
        found = ". ".join(verdict_sentences(judged.loc[again.index])[:n])
        about += f"; designed {self.design.date}, measured {self.study.runs['finished'].max()[:10]}"
        say(f"**Finding** of the committed study ({about}). {found}.")

    @property
    def runs(self) -> Path:
        """Where the finished trainings of this lesson's study lie until they are joined."""
        return paths.study(self.name) / "runs"

    def finish(
        self, live: Study | None = None, *, data: str = "", run: str = "",
        costs: Sequence[dict[str, Any]] = (),
    ) -> None:  # fmt: skip
        """Write ``results.json`` and list what the lesson has found.

        ``costs`` are further records: ``metric``, ``value``, ``unit`` and what else is known.
        """
        about = {"lesson": self.name[:2], "run": run, "model": self.model, "data": data,
                 "split": "test", "seed": self.seed}  # fmt: skip
        records = study_records(live, about) if live is not None else []
        records += [record(**{**about, "direction": "", "split": "", **number}) for number in costs]
        lines = [json.dumps(one, ensure_ascii=False, allow_nan=False) for one in records]
        text = "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]\n" if lines else "[]\n"
        write_file_atomically(self.folder / "results.json", text.encode())
        say("\n".join(f"- {sentence}" for sentence in self.found.values()))


def begin(
    name: str, values: MutableMapping[str, Any],
    others: Callable[[Study], dict[str, Estimate]] | None = None,
) -> Lesson:  # fmt: skip
    """Check the parameters of a lesson, set seeds and style, and say what its study found.

    ``values`` are the notebook's ``globals()``: its parameters get their types in place. ``others``
    gives estimates of hypotheses that rest on no ranks, by name. A tiny model on photos is told.
    """
    import_module(CHECKER).check(name, values)  # by its name: it belongs to the runner
    set_style()
    repro.seed_everything(values["seed"])
    logging.set_verbosity_error()  # tiny checkpoints have token ids of their own
    logging.disable_progress_bar()
    # peft asks transformers by an old name whether it trades memory for time.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    model, images = values.get("model", ""), "cars" if "cars" in values else "source"
    source = values.get("real") or values.get(images, "")
    folder = paths.report_folder(values["report"], name)
    lesson = Lesson(name, folder, values["seed"], model, others=others)
    if model.startswith("tiny-") and not source.startswith("world:"):
        say(
            f"**These numbers mean nothing for photographs.** `{model}` has seen drawings only. "
            f"Run `course run --name {Path(values['zone']).name or 'tiny'} --only {name[:2]} "
            f"-p {shlex.quote(f'{images}={source}')} -p model={HUB[images]}` instead."
        )
    lesson.answer()
    return lesson


def save_experiment(
    zone: Any, name: str, live: Study, data: Any, scores: np.ndarray, *,
    about: dict[str, str], arm: str = "", more: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """Write results and examples of a model below ``fine-tuning-zone/experiments/<name>/``.

    ``live`` has the ranks of ``arm`` (its first one by default), ``scores`` are (captions, images)
    float. ``about`` says what was measured: ``model``, and what an encoder's ``record`` says;
    ``more`` maps names of further files to their text.
    """
    arm, folder = arm or live.arms[0], f"fine-tuning-zone/experiments/{name}"
    table = live.table([arm], metrics=METRICS, test=live.tests[0])
    told = {"lesson": "", "run": "", "model": about["model"], "data": data.name, "split": "test"}
    rows = [
        record(**told, direction=r.direction, metric=r.metric, estimate=r.estimate)
        for r in table.itertuples()
    ]
    keys = data.image_keys
    examples = [
        {"caption": data.captions[i], "item": str(data.caption_items[i]),
         "images": [{"image": keys[j], "item": str(data.image_items[j]),
                     "similarity": round(float(scores[i, j]), 4)}
                    for j in np.argsort(-scores[i], kind="stable")[:5]]}
        for i in np.linspace(0, len(data.captions) - 1, 10).astype(int)
    ]  # fmt: skip
    kind = "lora" if name.startswith("lora") else "baseline"
    files = {f"results_{kind}.json": {**about, "results": rows}, "examples_top5.json": examples}
    texts = {
        file: json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        for file, value in files.items()
    }
    for file, text in (texts | (more or {})).items():
        zone.write_bytes(f"{folder}/{file}", text.encode())


def say(text: str) -> None:
    """Display a line of Markdown."""
    display({"text/markdown": text, "text/plain": text}, raw=True)


def answered(prediction: Any, right: Any, *, within: float = 0.0) -> str:
    """What became of a prediction, as a sentence that follows others; empty where none was made."""
    if prediction is ... or prediction is None:
        return ""
    alike = str(prediction).strip().lower() == str(right).strip().lower()
    hit = abs(prediction - right) <= within if within else prediction == right or alike
    text = f"{right:g}" if within else repr(right)
    return f" You predicted {prediction!r}: {'right' if hit else f'it is {text}'}."


def study_records(study: Study, about: dict[str, Any]) -> list[dict[str, Any]]:
    """One record for each arm, test, direction and metric."""
    records = []
    for arm, test in product(study.arms, study.tests):
        known, seeds = dict(about), study.seeds(arm)
        if len(study.tests) > 1:
            known["data"] = test
        if len(study.arms) > 1:
            known["model"] = f"{about['model']}, {arm}"
        if len(seeds) == 1:
            known["seed"] = seeds[0]
        for one in study.table([arm], metrics=METRICS, test=test).itertuples():
            known |= {"direction": one.direction, "metric": one.metric, "estimate": one.estimate}
            is_hit = one.metric.startswith("hit@")
            chance = (
                study.chance(one.metric, test=test, direction=one.direction) if is_hit else None
            )
            records.append(record(**known, chance=chance))
    return records


def record(
    *, lesson: str, run: str, model: str, data: str, split: str, direction: str, metric: str,
    value: float | None = None, low: float | None = None, high: float | None = None, n: int = 0,
    seed: int = UNTRAINED, unit: str = "", estimate: Any = None,
    chance: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A flat record of one number; one that could not be measured is null with the reason."""
    flag = reason = ""
    if estimate is not None:
        value, low, high, n = estimate.value, estimate.low, estimate.high, estimate.n
        flag, _, reason = estimate.missing.removesuffix(")").partition(" (")
    numbers = {"value": value, "low": low, "high": high}
    plain = {k: None if v is None or not math.isfinite(v) else float(v) for k, v in numbers.items()}
    found = {
        "lesson": lesson, "run": run, "model": model, "data": data, "split": split,
        "direction": direction, "metric": metric, **plain, "n": int(n), "seed": int(seed),
        "unit": unit or ("rank" if "rank" in metric else "fraction"),
    }  # fmt: skip
    if flag:
        return found | {"flag": flag, "reason": reason}
    return found | ({} if chance is None else {"chance": float(chance)})
