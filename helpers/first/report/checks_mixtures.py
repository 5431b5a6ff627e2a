"""The check of lesson 06 on mixtures: an exchange rate from a worth, with its interval."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Verdict, ask, correct, exercise, hint

INF = float("inf")


_WORTHS = [(0.25, 0.5), (0.8, 1.25), (-0.1, 0.4), (0.0, 0.2), (-0.3, -0.1), (-0.2, 0.0)]


def _rates(low: float, high: float) -> tuple[float, float]:
    return (1 / high if high > 0 else INF), (1 / low if low > 0 else INF)


def _pair(result: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in result)
    except (TypeError, ValueError):
        raise TypeError from None
    return low, high


def _same(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return all(x == y or abs(x - y) < 1e-9 for x, y in zip(a, b, strict=True))


def _rate_hint(low: float, high: float, got: tuple[float, float]) -> str:
    """Why ``got`` is not the interval of the rate of a worth between ``low`` and ``high``."""
    case = f"for a worth between {low:g} and {high:g} you give {got[0]:g} to {got[1]:g}: "
    if _same(got, (low, high)):
        return (
            case + "this is the worth itself. A worth of 0.25 means four for one: take 1 / worth."
        )
    if low > 0 and _same(got, (1 / low, 1 / high)):
        return (
            case + "the ends have changed places, because the larger worth is the smaller number."
        )
    if any(np.isnan(got)):
        return case + "a limit that does not exist is `float('inf')` here, not NaN."
    if min(got) < 0:
        return case + (
            "no negative number of pictures is worth a real one. As the worth falls to 0, the rate "
            "grows beyond all numbers; below 0 no number is enough: `float('inf')`."
        )
    if high <= 0:
        return case + "even the upper end is worth nothing: both ends are `float('inf')`."
    if low <= 0 and np.isfinite(got[1]):
        return case + (
            "the worth may be 0, so no finite number of pictures is enough for sure: the upper end "
            "is `float('inf')`."
        )
    due = _rates(low, high)
    return case + f"{due[0]:g} to {due[1]:g} is due."


@exercise("06.exchange_rate", example={"worth_low": 0.25, "worth_high": 0.5})
def exchange_rate(answer: Callable) -> Verdict:
    """``f(worth_low, worth_high) -> (low, high)``: how many synthetic pictures for a real one."""
    for low, high in _WORTHS:
        result = ask(answer, worth_low=low, worth_high=high)
        try:
            got = _pair(result)
        except TypeError:
            return hint(f"two numbers are due, the lower and the upper end; you gave {result!r}.")
        if not _same(got, _rates(low, high)):
            return hint(_rate_hint(low, high, got))
    return correct(
        "turned round, and open to infinity where the worth may be nothing. That is why a worth is "
        "averaged and bootstrapped, and a rate only read off at the end."
    )
