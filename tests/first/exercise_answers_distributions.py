"""Answers to the exercises of lesson 06: right ones, and mistakes with their hints."""

import numpy as np
import torch
from scipy import stats

# --- 06.cliffs_delta -----------------------------------------------------------------------------


def delta_right(a, b):
    return np.sign(np.subtract.outer(a, b)).mean()


def delta_by_ranks(a, b):
    u = stats.mannwhitneyu(a, b).statistic
    return 2 * u / (len(a) * len(b)) - 1


def signs(a, b):
    return np.sign(a[:, None] - b[None, :])


def cohens_d(ddof):
    def d(a, b):
        if min(len(a), len(b)) <= ddof:
            return float("nan")
        pooled = np.sqrt((a.var(ddof=ddof) + b.var(ddof=ddof)) / 2)
        return (a.mean() - b.mean()) / pooled if pooled else float("nan")

    return d


DELTA_MISTAKES = [
    (lambda a, b: delta_right(b, a), "the sign"),
    (lambda a, b: (delta_right(a, b) + 1) / 2, "the AUC"),
    (lambda a, b: (signs(a, b) > 0).mean(), "share of pairs with `a` above"),
    (lambda a, b: (signs(a, b) > 0).mean() - (signs(a, b) <= 0).mean(), "as defeats"),
    (lambda a, b: (signs(a, b) >= 0).mean() - (signs(a, b) < 0).mean(), "as wins"),
    (lambda a, b: signs(a, b).sum() / max((signs(a, b) != 0).sum(), 1), "without ties"),
    (lambda a, b: signs(a, b).sum(), "a number of pairs"),
    (lambda a, b: signs(a, b).sum() / len(a), "`len\\(a\\)` alone"),
    (lambda a, b: np.mean([np.sign(x - y) for x, y in zip(a, b, strict=False)]), "`b\\[i\\]`"),
    (lambda a, b: a.mean() - b.mean(), "difference of the means"),
    (lambda a, b: np.median(a) - np.median(b), "difference of the medians"),
    (cohens_d(0), "Cohen's d"),
    (cohens_d(1), "Cohen's d"),
    (lambda a, b: 0.123, "is due and you gave 0.123"),
    (lambda a, b: signs(a, b), "a single number"),
]  # fmt: skip

# --- 06.unbiased_mmd -----------------------------------------------------------------------------


def within(k):
    return np.mean([k[i, j] for i in range(len(k)) for j in range(len(k)) if i != j])


def mmd_right(k_aa, k_bb, k_ab):
    return within(k_aa) + within(k_bb) - 2 * k_ab.mean()


def mmd_by_triangle(k_aa, k_bb, k_ab):
    upper = [k[np.triu_indices(len(k), 1)].mean() for k in (k_aa, k_bb)]
    return sum(upper) - 2 * np.mean(k_ab)


def without_diagonal(k):
    return k - np.diag(np.diag(k))


def mmd_with_holes(k_aa, k_bb, k_ab):
    if k_ab.shape[0] != k_ab.shape[1]:
        return float("nan")
    return within(k_aa) + within(k_bb) - 2 * within(k_ab)


MMD_MISTAKES = [
    (lambda a, b, x: a.mean() + b.mean() - 2 * x.mean(), "the biased estimate"),
    (lambda a, b, x: without_diagonal(a).mean() + without_diagonal(b).mean() - 2 * x.mean(),
     "not out of the counts"),
    (lambda a, b, x: within(a) + within(b) - x.mean(), "taken off twice"),
    (mmd_with_holes, "keeps its diagonal|is due"),
    (lambda a, b, x: -mmd_right(a, b, x), "the sign"),
    (lambda a, b, x: (within(a) + within(b)) / 2 - x.mean(), "half of what is due"),
    (lambda a, b, x: max(mmd_right(a, b, x), 0) ** 0.5, "take the root"),
    (lambda a, b, x: max(mmd_right(a, b, x), 0), "cut it off"),
    (lambda a, b, x: abs(mmd_right(a, b, x)), "drop the sign"),
    (lambda a, b, x: a[np.triu_indices(len(a))].mean() + b[np.triu_indices(len(b))].mean()
     - 2 * x.mean(), "still in the triangle"),
    (lambda a, b, x: without_diagonal(a).sum() + without_diagonal(b).sum() - 2 * x.sum(),
     "these are sums"),
    (lambda a, b, x: 9.0, "is due and you gave 9"),
    (lambda a, b, x: [a, b], "a single number"),
]  # fmt: skip

# --- 06.rollout ----------------------------------------------------------------------------------


def rollout_right(layers):
    total = np.eye(layers.shape[1])
    for weights in layers:
        total = 0.5 * (weights @ total + total)
    return total


def rollout_in_torch(layers):
    mixed = [(torch.as_tensor(w) + torch.eye(w.shape[0], dtype=torch.float64)) / 2 for w in layers]
    return torch.linalg.multi_dot(mixed[::-1]) if len(mixed) > 1 else mixed[0]


def chained(layers, *, mix=True, halve=True, reverse=False):
    identity = np.eye(layers.shape[1])
    parts = [(w + identity * mix) / (2 if mix and halve else 1) for w in layers]
    total = identity
    for part in parts[::-1] if not reverse else parts:
        total = total @ part
    return total


ROLLOUT_MISTAKES = [
    (lambda x: chained(x, mix=False), "residual connection is missing"),
    (lambda x: chained(x, reverse=True), "the order"),
    (lambda x: chained(x, mix=False, reverse=True), "two things"),
    (lambda x: chained(x, halve=False), "no longer sum to 1"),
    (lambda x: (x.mean(axis=0) + np.eye(x.shape[1])) / 2, "already mixed"),
    (lambda x: x.mean(axis=0), "each is mixed with the identity"),
    (lambda x: np.prod([(w + np.eye(len(w))) / 2 for w in x], axis=0), "cell by cell"),
    (lambda x: (x[-1] + np.eye(x.shape[1])) / 2, "the last layer alone"),
    (lambda x: x[-1], "last layer's attention"),
    (lambda x: rollout_right(x).T, "the transpose"),
    (lambda x: chained(x[1:]) if len(x) > 1 else np.eye(x.shape[1]), "first layer is missing"),
    (lambda x: np.zeros((x.shape[1], x.shape[1])), "the first row of the result should be"),
    (lambda x: rollout_right(x)[0], "a matrix of 3 x 3 is due"),
    (lambda x: "A_L ... A_1", "a matrix of 3 x 3 is due"),
]  # fmt: skip

RIGHT = {
    "06.cliffs_delta": [delta_right, delta_by_ranks],
    "06.unbiased_mmd": [mmd_right, mmd_by_triangle],
    "06.rollout": [rollout_right, rollout_in_torch],
}
WRONG = {
    "06.cliffs_delta": DELTA_MISTAKES,
    "06.unbiased_mmd": MMD_MISTAKES,
    "06.rollout": ROLLOUT_MISTAKES,
}
