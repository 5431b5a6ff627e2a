"""Answers to the exercise of lesson 06 on mixtures: right ones, and mistakes with their hints."""

import math

INF = math.inf


def rates_right(worth_low, worth_high):
    return tuple(1 / w if w > 0 else math.inf for w in (worth_high, worth_low))


def rates_sorted(worth_low, worth_high):
    ends = [1 / w if w else math.inf for w in (worth_low, worth_high)]
    return min(ends), max(ends)


RATE_MISTAKES = [
    (lambda low, high: (low, high), "this is the worth itself"),
    (lambda low, high: (1 / low if low > 0 else INF, 1 / high if high > 0 else INF),
     "changed places"),
    (rates_sorted, "no negative number of pictures"),
    (lambda low, high: (1 / high, 1 / low), "no negative number of pictures"),
    (lambda low, high: (1 / high, 1 / low if low >= 0 else INF), "ZeroDivisionError"),
    (lambda low, high: (1 / high, 1 / low) if low > 0 else (1 / high, math.nan), "not NaN"),
    (lambda low, high: (1 / high, 1 / low) if low > 0 else (abs(1 / high), 1e6),
     "no finite number of pictures"),
    (lambda low, high: rates_right(low, high) if high > 0 else (0.0, INF), "both ends are"),
    (lambda low, high: (rates_right(low, high)[0] + 1, INF), "2 to 4 is due"),
    (lambda low, high: 1 / high, "two numbers are due"),
    (lambda low, high: (1, 2, 3), "two numbers are due"),
    (lambda low, high: "4 to 2", "two numbers are due"),
]  # fmt: skip

RIGHT = {"06.exchange_rate": [rates_right, lambda low, high: list(rates_right(low, high))]}
WRONG = {"06.exchange_rate": RATE_MISTAKES}
