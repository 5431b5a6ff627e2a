"""What a run says while it goes on: which lesson, which cell, how long, and how much is left."""

import sys
import time
from collections.abc import Callable, Mapping

EVERY = 60.0  # seconds between two lines on one lesson, where there is no live line


def clock(seconds: float) -> str:
    """Minutes and seconds, such as ``1:05``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Console:
    """Lines for people: when a lesson starts and ends, and while it runs.

    On a terminal a live line follows the cells; elsewhere a line a minute does.

    Parameters
    ----------
    minutes : mapping of slug to float
        What each lesson is known to take; lessons of which nothing is known are left out.
    """

    def __init__(self, minutes: Mapping[str, float | None]) -> None:
        self.live = sys.stdout.isatty()
        self.minutes = dict(minutes)  # of lessons that have not ended
        self.places = {slug: place for place, slug in enumerate(minutes, start=1)}
        self.cells: dict[str, str] = {}
        self.started: dict[str, float] = {}
        self.told: dict[str, float] = {}

    def start(self, slug: str, why: str) -> Callable[[int, int], None]:
        """Announce a lesson; returns the callback that follows its cells."""
        self.started[slug] = self.told[slug] = time.perf_counter()
        self.cells[slug] = "starting"
        if not self.live:
            self.line(f"{self._place(slug)} starts ({why}){self._left()}")

        def progress(cell: int, total: int) -> None:
            self.cells[slug] = f"cell {cell} of {total}"

        return progress

    def tick(self) -> None:
        """Refresh the live line, or write one where the last is a minute old."""
        now = time.perf_counter()
        lines = {
            slug: f"{self._place(slug)}, {cell}, {clock(now - self.started[slug])}"
            for slug, cell in self.cells.items()
        }
        if self.live and lines:
            print("\r\033[K" + "   ".join(lines.values()) + self._left(), end="", flush=True)
        for slug, line in lines.items():
            if not self.live and now - self.told[slug] >= EVERY:
                self.told[slug] = now
                self.line(line + self._left())

    def end(self, slug: str, text: str) -> None:
        """Say how a lesson ended."""
        self.cells.pop(slug, None)
        self.minutes.pop(slug, None)
        self.line(f"{slug:<24} {text}")

    def _place(self, slug: str) -> str:
        return f"lesson {self.places[slug]} of {len(self.places)}: {slug}"

    def _left(self) -> str:
        """What the lessons that have not ended still take, where that is known of all of them."""
        if not self.minutes or None in self.minutes.values():
            return ""
        now = time.perf_counter()
        spent = {slug: (now - self.started[slug]) / 60 for slug in self.cells}
        left = sum(max(0.0, m - spent.get(slug, 0)) for slug, m in self.minutes.items())
        return f"; about {max(1, round(left))} min left in all"

    def line(self, text: str) -> None:
        """Print a line in the place of the live one."""
        print(("\r\033[K" if self.live else "") + text, flush=True)
