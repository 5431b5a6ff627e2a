"""Checks of the exercises: ``check("03.hit_at_k", hit_at_k)`` shows a verdict under the cell.

A check is a function that takes the learner's answer and gives a Verdict. It calls a learner's
function through ``ask``, which turns an exception into a hint, and an empty answer into *not
attempted*: a learner never sees a traceback of this package. The checks of a lesson lie in
``lesson_NN.py``; they solve the exercise in the plainest way and share no code with what they
teach.
"""

import copy
import html
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from reprlib import Repr
from typing import Any, Literal

Status = Literal["correct", "hint", "not attempted"]
_SIGNS = {"correct": "✓ Correct", "hint": "→ Hint", "not attempted": "○ Not attempted"}
_LINES = {"correct": "solid", "hint": "dashed", "not attempted": "dotted"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says: ``correct``, a ``hint`` at the likely mistake, or ``not attempted``.

    In a message, text between back quotes is code.
    """

    status: Status
    message: str

    def __repr__(self) -> str:
        return textwrap.fill(f"{_SIGNS[self.status]}: {self.message}", 96)

    def _repr_markdown_(self) -> str:
        return f"**{_SIGNS[self.status]}.** {_escaped_outside_code(self.message)}"

    def _repr_html_(self) -> str:
        text = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(self.message))
        return (
            f'<div style="border-left: 4px {_LINES[self.status]} currentColor; padding: 2px 12px; '
            f'max-width: 46em"><strong>{_SIGNS[self.status]}.</strong> {text}</div>'
        )


@dataclass(frozen=True, slots=True)
class Exercise:
    """A check; ``example`` holds the arguments of a first call that finds out stubs."""

    check: Callable[[Any], Verdict]
    example: Mapping[str, Any] | None


class Settled(Exception):
    """The verdict is known before the check has come to its end."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def correct(message: str) -> Verdict:
    """The answer is right; the message says what is worth remembering."""
    return Verdict("correct", message)


def hint(message: str) -> Verdict:
    """The answer is not right yet; the message names the likely mistake."""
    return Verdict("hint", message)


def not_attempted() -> Verdict:
    """There is no answer yet."""
    return Verdict("not attempted", "replace the stub by your answer and run the cell again.")


def exercise(example: Mapping[str, Any] | None = None) -> Callable:
    """Make a check an :class:`Exercise`, called by its function's name.

    ``example`` holds keyword names and values of one valid call, in the order of the parameters,
    where the answer is a function; without it the answer is a value.
    """
    return lambda function: Exercise(function, example)


def exercises_of(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson such as ``"03"``, by name.

    Raises ``ValueError`` if the lesson has none.
    """
    module = f"{__package__}.lesson_{lesson}"
    if not lesson.isdigit() or find_spec(module) is None:
        raise ValueError(f"lesson {lesson!r} has no exercises")
    return {k: v for k, v in vars(import_module(module)).items() if isinstance(v, Exercise)}


def check(name: str, answer: Any) -> Verdict:
    """Judge an answer: *correct*, a hint that names the likely mistake, or *not attempted*.

    ``name`` is lesson, a dot, the exercise: ``03.hit_at_k``. None, ``...`` or a function that
    returns either is no attempt; an exception inside the learner's function becomes a hint. Raises
    ``ValueError`` if there is no exercise of that name.
    """
    lesson, _, title = name.partition(".")
    known = exercises_of(lesson)
    if title not in known:
        near = get_close_matches(title, known, n=1, cutoff=0.4)
        meant = f"; did you mean '{lesson}.{near[0]}'?" if near else ""
        raise ValueError(f"unknown exercise {name!r}{meant} (there are: {', '.join(known)})")
    return judge(known[title], answer)


def judge(task: Exercise, answer: Any) -> Verdict:
    """The verdict of one exercise on an answer: stubs first, then the check itself."""
    if answer is None or answer is Ellipsis:
        return not_attempted()
    try:
        if task.example is not None:
            if not callable(answer):
                given = f"the answer is a function, and this is {_short(answer)}"
                return hint(f"{given}: hand over the function itself, without calling it.")
            if _empty(_call(answer, task.example)):
                return not_attempted()
        return task.check(answer)
    except Settled as settled:
        return settled.verdict


def ask(answer: Callable, **arguments: Any) -> Any:
    """Call the learner's function on copies of the arguments, by position, in the order given.

    Raises ``Settled`` with a hint, if it raises, or returns nothing where an answer is due.
    """
    result = _call(answer, arguments)
    if _empty(result):
        raise Settled(hint(f"your function returned nothing when {_called(arguments)}."))
    return result


def number(result: Any, arguments: Mapping[str, Any]) -> float:
    """The result as a float, or a hint that a number was due."""
    try:
        if isinstance(result, (str, bytes)):
            raise TypeError("text")
        return float(result)
    except (TypeError, ValueError):
        given = f"{_short(result)} when {_called(arguments)}"
        raise Settled(hint(f"a single number is due, and you returned {given}.")) from None


def compare(
    answer: Callable,
    cases: list[dict[str, Any]],
    right: Callable[..., float],
    mistakes: list[tuple[Callable[..., float], str]],
) -> Verdict | None:
    """Compare a learner's numbers with the right ones, and name the mistake that explains them.

    ``mistakes`` are wrong solutions, each with its hint. Of those that give the learner's number on
    the first case that went wrong, the one that does so on the most cases is named.
    None if every number is right.
    """
    got = [number(ask(answer, **case), case) for case in cases]
    want = [right(**case) for case in cases]
    wrong = [i for i in range(len(cases)) if not _close(got[i], want[i])]
    if not wrong:
        return None
    first = wrong[0]
    alike = [[_close(n, mistake(**case)) for n, case in zip(got, cases, strict=True)]
             for mistake, _ in mistakes]  # fmt: skip
    likely = [i for i, same in enumerate(alike) if same[first]]
    if likely:
        return hint(mistakes[max(likely, key=lambda i: sum(alike[i]))][1])
    return hint(
        f"{want[first]:.4g} is due and you gave {got[first]:.4g} when {_called(cases[first])}."
    )


def _close(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


def _call(answer: Callable, arguments: Mapping[str, Any]) -> Any:
    try:
        return answer(*copy.deepcopy(list(arguments.values())))
    except NotImplementedError:
        return None
    # Whatever a learner's code raises is the answer to show, `exit()` included.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        message = f"your function raised `{said.replace('`', chr(39))}` when {_called(arguments)}."
        raise Settled(hint(message)) from None


def _empty(result: Any) -> bool:
    return result is None or result is Ellipsis


def _called(arguments: Mapping[str, Any]) -> str:
    """``called with `k = 5, ids = [...]```, long values shortened."""
    shown = ", ".join(f"{name} = {_short(value)}" for name, value in arguments.items())
    return f"called with `{shown.replace('`', chr(39))}`"


def _short(value: Any) -> str:
    short = Repr()
    short.maxlist, short.maxdict, short.maxstring, short.maxother = 8, 6, 60, 160
    value = value.tolist() if hasattr(value, "tolist") else value
    return short.repr(value)


def _escaped_outside_code(text: str) -> str:
    """Markdown's own signs disarmed, except in code between back quotes."""
    parts = text.split("`")
    return "`".join(
        part if i % 2 else re.sub(r"([\\*_<>\[\]$#|])", r"\\\1", part)
        for i, part in enumerate(parts)
    )
