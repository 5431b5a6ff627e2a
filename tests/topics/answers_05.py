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

# --- 05.moved ------------------------------------------------------------------------------------

MOVED_MISTAKES = [
    ("r8 v2", "still adapts vision layers"), ("r8 t2 heads", "heads are trained besides"),
    ("r8 t4", "2 times as many"), ("r8 t1", "0.5 times"), ("r8 t2 qkvo", "2 times"),
    ("r4 t8", "has four layers"), ("r8", "text layers are due"), ("t2", "a rank and"),
    ("r8 x2", "`x2` is no rank"), (8, "a row's name"),
]  # fmt: skip

RIGHT = {
    "05.matched_rank": [rank_right, rank_by_trial],
    "05.holm": [holm_right, holm_with(falling), lambda p: tuple(holm_right(p))],
    "05.moved": ["r8 t2", "r4 t4", "r4 t2 qkvo", "r16 t1"],
}
WRONG = {
    "05.matched_rank": RANK_MISTAKES,
    "05.holm": HOLM_MISTAKES,
    "05.moved": MOVED_MISTAKES,
}
