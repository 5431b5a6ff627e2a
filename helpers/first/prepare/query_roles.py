"""Who takes part in writing queries: a writer that drafts, a judge that decides, their failures.

The rules are ``query_rules.RuleWriter`` and ``query_judges.RuleJudge``; those that ask a language
model are in ``query_models``.
"""

from dataclasses import dataclass
from typing import Protocol

from helpers.first.prepare.query_facts import CarFacts
from helpers.first.prepare.query_guards import CarQuery

MISSES = ("time-out", "empty answer", "no answer")
MALFORMED, UNEXPLAINED, UNSUPPORTED = "malformed", "unexplained", "unsupported"


class QueryError(RuntimeError):
    """A writer that is of no use any more; the message says what is kept and what to do."""


@dataclass(frozen=True)
class Draft:
    """What a writer wrote.

    Attributes
    ----------
    text : str
    edits : tuple of str
        What was done to the facts, such as ``omission:year`` and ``typo:Ferrari>Ferarri``.
    mentions : tuple of str
        The facts that the writer says it speaks of.
    """

    text: str
    edits: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()


class WriterFailure(RuntimeError):
    """A draft that did not come: ``reason`` is ``malformed`` or one of ``MISSES``."""

    def __init__(self, reason: str, detail: str, text: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.text = reason, detail, text


class QueryWriter(Protocol):
    """Anything that writes a query from facts.

    Attributes
    ----------
    name : str
        What records call it.
    fingerprint : str
        Changes when its queries may.
    """

    name: str
    fingerprint: str

    def draft(self, facts: CarFacts, *, number: int, attempt: int, seed: int) -> Draft:
        """Query ``number`` of a car, the ``attempt``-th try. Raises ``WriterFailure``."""


@dataclass(frozen=True)
class Verdict:
    """A judge's word; without a reason the query passes."""

    reason: str = ""
    detail: str = ""


class Judge(Protocol):
    """Anything that decides on a query that passed the guardrails."""

    name: str
    fingerprint: str

    def judge(self, query: CarQuery, facts: CarFacts) -> Verdict:
        """Whether every content word is accounted for. Raises ``WriterFailure``."""
