"""Answers to the exercises of lesson 05: right ones, and mistakes with their hints."""

import math

import numpy as np
from scipy.stats import false_discovery_control

# --- 05.matched_rank -----------------------------------------------------------------------------


def rank_right(target, layers, n_modules, width):
    return max(1, round(target / (layers * n_modules * 2 * width)))


def rank_by_trial(target, layers, n_modules, width):
    def gap(rank):
        return abs(layers * n_modules * (rank * width + width * rank) - target)

    return min(range(1, 400), key=gap)


RANK_MISTAKES = [
    (lambda t, n, m, d: max(1, round(t / (n * m * d))), "counts twice"),
    (lambda t, n, m, d: max(1, round(t / (m * 2 * d))), "number of layers"),
    (lambda t, n, m, d: max(1, round(t / (n * 2 * d))), "number of adapted modules"),
    (lambda t, n, m, d: max(1, round(t / (n * m * 2))), "by the width"),
    (lambda t, n, m, d: max(1, round(t / (n * m * d * d))), "frozen weight"),
    (lambda t, n, m, d: round(t / (n * m * 2 * d)), "no LoRA"),
    (lambda t, n, m, d: max(1, t // (n * m * 2 * d)), "round down"),
    (lambda t, n, m, d: max(1, math.ceil(t / (n * m * 2 * d))), "round up"),
    (lambda t, n, m, d: max(1, t / (n * m * 2 * d)), "whole number"),
    (lambda t, n, m, d: rank_right(t, n, m, d) * n * m * 2 * d, "rank itself"),
    (lambda t, n, m, d: 5, "is due and you gave 5"),
]

# --- 05.holm -------------------------------------------------------------------------------------


def holm_right(p_values):
    adjusted, worst = [0.0] * len(p_values), 0.0
    for i, (p, place) in enumerate(sorted((p, place) for place, p in enumerate(p_values))):
        worst = max(worst, min(1.0, p * (len(p_values) - i)))
        adjusted[place] = worst
    return adjusted


def holm_with(factors, *, running=True, cap=True, restore=True):
    """Holm's correction by other factors, or with a step left out."""

    def adjust(p_values):
        p = np.array(p_values)
        order = np.argsort(p, kind="stable")
        steps = factors(len(p)) * p[order]
        steps = np.maximum.accumulate(steps) if running else steps
        steps = np.minimum(steps, 1) if cap else steps
        if restore:
            steps = steps[np.argsort(order, kind="stable")]
        return steps

    return adjust


def falling(m):
    return np.arange(m, 0, -1)


HOLM_MISTAKES = [
    (lambda p: p, "as they came"),
    (lambda p: [min(1, len(p) * x) for x in p], "Bonferroni, all times m: .* more power"),
    (lambda p: [len(p) * x for x in p], "And nothing is above 1"),
    (holm_with(falling, running=False), "running maximum along the sorted values, so that"),
    (holm_with(falling, running=False, cap=False), "two steps"),
    (holm_with(falling, cap=False), "above 1"),
    (holm_with(falling, restore=False), "but sorted"),
    (holm_with(lambda m: np.arange(1, m + 1)), "wrong way"),
    (holm_with(lambda m: np.arange(m - 1, -1, -1)), "one too small"),
    (lambda p: false_discovery_control(p, method="bh"), "Benjamini and Hochberg"),
    (lambda p: [0.5] * len(p), "is due and you gave \\[0.5"),
    (lambda p: 0.03, "a list of numbers"),
    (lambda p: holm_right(p)[1:], "3 p-values give 3 adjusted ones; you returned 2"),
    (lambda p: "abc", "a list of numbers"),
]

# --- 05.recipes_needed ---------------------------------------------------------------------------


def size_right(n, shown, wanted):
    return math.ceil(round(n * (shown / wanted) ** 2, 6))


def size_by_the_book(n, shown, wanted):
    return math.ceil(n * (shown / wanted) ** 2)


def size_of_squares(n, shown, wanted):
    return math.ceil(n * shown**2 / wanted**2)


def size_by_errors(n, shown, wanted):
    needed = 1
    while shown * math.sqrt(n / needed) > wanted + 1e-12:
        needed += 1
    return needed


SIZE_MISTAKES = [
    (lambda n, s, w: math.ceil(round(n * s / w, 6)), "four times as many"),
    (lambda n, s, w: n * s / w, "four times as many"),
    (lambda n, s, w: math.ceil(round(n * (w / s) ** 2, 6)), "upside down"),
    (lambda n, s, w: math.ceil(n * math.sqrt(s / w)), "not the root"),
    (lambda n, s, w: int(n * (s / w) ** 2 + 1e-6), "round down"),
    (lambda n, s, w: n * (s / w) ** 2, "parts of recipes"),
    (lambda n, s, w: size_right(n, s, w) - n, "additional"),
    (lambda n, s, w: int(n * (s / w) ** 2) + 1, "192 is due and you gave 193"),
    (lambda n, s, w: 5, "is due and you gave 5"),
]

RIGHT = {
    "05.matched_rank": [rank_right, rank_by_trial],
    "05.holm": [holm_right, holm_with(falling), lambda p: tuple(holm_right(p))],
    "05.recipes_needed": [size_right, size_by_the_book, size_of_squares, size_by_errors],
}
WRONG = {
    "05.matched_rank": RANK_MISTAKES,
    "05.holm": HOLM_MISTAKES,
    "05.recipes_needed": SIZE_MISTAKES,
}
