"""What kinds of text a parameter can be: any text, one of some words, a list."""

import re
from dataclasses import dataclass

from helpers.first.models.method_names import INSTEAD
from helpers.first.runner.lessons import did_you_mean
from helpers.first.runner.ranges import ABOVE_ZERO, Range


@dataclass(frozen=True)
class Text:
    """Any text.

    ``separator`` is what parts of a list stand between; empty: the parameter is one value.
    ``number`` says whether a number may stand for its text.
    """

    separator: str = ""
    number: bool = True

    def parts(self, text: str) -> list[str]:
        """The parts of a list, without spaces around them."""
        return [part.strip() for part in text.split(self.separator) if part.strip()]

    def problem(self, text: str) -> str:
        """What follows "parameter 'value' of lesson" where it cannot be that; empty: it can."""
        return ""

    def settled(self, text: str) -> str:
        """The text as it is kept: a path means the same later."""
        return text

    def missing(self, text: str) -> str:
        """Why what the text names cannot be used here and now; empty: it can."""
        return ""


@dataclass(frozen=True)
class Words(Text):
    """One of some words, or a list of them; ``least`` is how many there have to be."""

    options: tuple[str, ...] = ()
    pattern: str = ""
    least: int = 1

    def problem(self, text: str) -> str:
        """The first word that is none of them."""
        words = self.parts(text) if self.separator else [text]
        for word in words:
            if word not in self.options and not re.fullmatch(self.pattern or r"(?!)", word):
                known = INSTEAD.get(word, "")
                hint = f"; {known}" if known else did_you_mean(word, self.options)
                which = f": {word!r}" if self.separator else ""
                return f"{which} is unknown; use {self._all()}{hint}"
        return "" if len(words) >= self.least else f" is empty; use {self._all()}"

    def _all(self) -> str:
        if self.separator:
            return f"some of {f'{self.separator} '.join(self.options)}"
        *first, last = self.options
        return f"{', '.join(first)} or {last}" if first else last


@dataclass(frozen=True)
class Numbers(Text):
    """A list of numbers, each in a range."""

    separator: str = ","
    each: Range = ABOVE_ZERO
    whole: bool = False
    exactly: int = 0

    def problem(self, text: str) -> str:
        """The first part that is no such number."""
        found = self.parts(text)
        kind = "whole numbers" if self.whole else "numbers"
        many = f"{self.exactly} {kind}" if self.exactly else kind
        form = f"give {many} with commas, each {self.each.text}"
        if not found or (self.exactly and len(found) != self.exactly):
            return f": {form}; it has {len(found)}"
        for part in found:
            value = _number(part)
            if value is None or (self.whole and value != int(value)) or not self.each.holds(value):
                return f": {part!r} will not do; {form}"
            if self.whole and not part.isdecimal():
                return f": {part!r} will not do; {form}, written without a point"
        return ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
