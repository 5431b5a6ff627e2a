"""Small lessons for the runner's tests, and a stand-in for the kernel where none is needed."""

import json
from pathlib import Path

import nbformat
from nbformat import v4

from helpers import paths

PARAMETERS = """\
source: str = ""  # where records come from
zone: str = ""  # root of the zone
report: str = ""  # folder to write to
rank: int = 8  # LoRA rank
scale: float = 0.5  # factor
fast: bool = True  # skip the slow part"""

WRITE = """\
import json, pathlib
row = dict(lesson="{stem}", run="tiny", model="m", data="d", split="test", direction="",
           metric="rank", value=float({value}), low=None, high=None, n=3, seed=42, unit="rank")
pathlib.Path(report, "results.json").write_text(json.dumps([row]))"""

BUILD = """\
from helpers.store import artefacts, zones

def build(writer):
    for n in range({files}):
        writer.write_text(f"fine-tuning-zone/squares/{{n}}.txt", str(n * n * rank))

place = zones.open_zone(zone)
made = artefacts.ensure(place, "squares", kind="squares", parameters=dict(rank=rank), inputs=dict(),
                        build=build, prefixes=("fine-tuning-zone/squares",), code="1")
total = sum(int(place.read_text(key)) for key in made.files)"""


def write_lesson(
    stem: str,
    *code: str,
    parameters: str = PARAMETERS,
    builds_on: tuple[str, ...] = (),
    question: str = "What is it?",
    results: bool = True,
    value: str = "rank",
) -> Path:
    """A lesson in the course's notebooks: parameters, the given code cells, a report cell.

    ``value`` is the expression whose number goes into the results.
    """
    cells = [v4.new_markdown_cell("# " + question)]
    cells.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [v4.new_code_cell(text) for text in code]
    if results:
        cells.append(v4.new_code_cell(WRITE.format(stem=stem, value=value)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    about = {"question": question, "minutes": 1, "builds_on": list(builds_on), "slug": stem}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"course": about, "kernelspec": kernel})
    path = paths.notebooks() / f"{stem}.ipynb"
    nbformat.write(notebook, path)
    return path


def edit(path: Path, old: str, new: str) -> None:
    """Replace text in a file, which must hold it."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def write_course(*, files: int = 100) -> None:
    """Three lessons: 01 builds an artefact of some files, 03 stands on it, 08 stands alone."""
    build = BUILD.format(files=files)
    write_lesson("01_squares", build, value="len(made.files)")
    write_lesson("03_total", build, builds_on=("01",), value="total")
    write_lesson("08_alone", "rank + 1", "rank + 2")


class FakeKernel:
    """Stands in for ``execute``: counts the cells and writes results, or fails where told to."""

    def __init__(self):
        self.ran: list[tuple[str, dict]] = []
        self.failing: set[str] = set()

    def __call__(self, lesson, output, *, parameters, timeout=0, progress=None):
        from helpers.course.execute import Failure

        self.ran.append((lesson.slug, dict(parameters)))
        notebook = nbformat.read(lesson.path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for number, cell in enumerate(code, start=1):
            cell.execution_count = number
        nbformat.write(notebook, output)
        if lesson.slug in self.failing:
            raise Failure(lesson.slug, 3, "no number is left", "Mend it", "Oops")
        rank = parameters.get("rank", 8)
        row = {"lesson": lesson.slug, "run": "tiny", "model": "m", "data": "d", "split": "test",
               "direction": "", "metric": "rank", "value": float(rank), "low": None, "high": None,
               "n": 3, "seed": 42, "unit": "rank"}  # fmt: skip
        results = paths.root() / parameters["report"] / "results.json"
        results.write_text(json.dumps([row]), encoding="utf-8")
        return notebook

    @property
    def lessons(self) -> list[str]:
        """The numbers of the lessons that ran, in order."""
        return [stem[:2] for stem, _ in self.ran]
