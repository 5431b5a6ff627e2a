"""Images of one's own with two captions each, and what a run of lesson 03 leaves of them."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from tests.behaviour.conftest import Done, pattern, write_captions

SOURCES = 30


def two_captions_each(folder: Path) -> Path:
    """``captions.csv`` of thirty images, each there twice with another caption."""
    rows = []
    for number in range(SOURCES):
        pattern(number).resize((96, 96)).save(folder / f"{number:02}.png")
        rows += [(f"{number:02}.png", f"{said} number {number}") for said in ("a dish", "a plate")]
    return write_captions(folder, rows)


@dataclass(frozen=True)
class Report:
    """A finished run: what the command printed, and the folders that it left."""

    done: Done
    reports: Path
    zone: Path

    def lesson(self, number: str) -> Path:
        """The folder of a lesson's report."""
        (found,) = self.reports.glob(f"{number}_*/results.json")
        return found.parent

    def records(self, number: str) -> list[dict]:
        """The numbers of a lesson."""
        return json.loads((self.lesson(number) / "results.json").read_text())

    def printed(self, number: str) -> str:
        """All that the cells of a lesson show as text."""
        notebook = json.loads((self.lesson(number) / "lesson.ipynb").read_text())
        outputs = [o for c in notebook["cells"] for o in c.get("outputs", [])]
        parts = [o.get("text", o.get("data", {}).get("text/plain", "")) for o in outputs]
        return "\n".join("".join(part) for part in parts)

    @property
    def page(self) -> str:
        """The front page."""
        return (self.reports / "index.html").read_text()

    @property
    def pairs_for_testing(self) -> list[dict]:
        """The rows of the zone's pairs that are kept for testing."""
        (table,) = self.zone.rglob("test_pairs_positive.csv")
        return list(csv.DictReader(table.open(encoding="utf-8", newline="")))
