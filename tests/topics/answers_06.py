"""Answers to the exercises of lesson 06: right ones, and mistakes with their hints."""

import numpy as np
import torch
from scipy import stats

# --- 06.cliffs_delta -----------------------------------------------------------------------------


def delta_right(a, b):
    return np.sign(np.subtract.outer(a, b)).mean()


def delta_by_ranks(a, b):
    return 2 * stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) - 1


def signs(a, b):
    return np.sign(a[:, None] - b[None, :])


DELTA_MISTAKES = [
    (lambda a, b: -delta_right(a, b), "the sign"),
    (lambda a, b: (signs(a, b).mean() + 1) / 2, "this is the AUC"),
    (lambda a, b: (signs(a, b) > 0).mean(), "share of pairs with `a` above"),
    (lambda a, b: 2 * (signs(a, b) > 0).mean() - 1, "ties count as below"),
    (lambda a, b: signs(a, b).sum() / max(np.abs(signs(a, b)).sum(), 1), "pairs without ties"),
    (lambda a, b: signs(a, b).sum(), "number of pairs"),
    (lambda a, b: np.sign(a[: len(b)] - b[: len(a)]).mean(), "every value of `a` meets"),
    (lambda a, b: a.mean() - b.mean(), "difference of the means"),
    (lambda a, b: (a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2 or 1), "Cohen's d"),
    (lambda a, b: "large", "a single number is due"),
    (lambda a, b: delta_right(a, b) + 0.1, "is due and you gave"),
]

# --- 06.relative_value ---------------------------------------------------------------------------


def value_right(real, synthetic, score, alone, curve):
    if score < curve[0]:
        return "below"
    if score > curve[-1]:
        return "above"
    return (2 ** np.interp(score, curve, np.log2(alone)) - real) / synthetic


def value_piecewise(real, synthetic, score, alone, curve):
    if not min(curve) <= score <= max(curve):
        return "below" if score < min(curve) else "above"
    i = next(k for k in range(1, len(curve)) if score <= curve[k])
    share = (score - curve[i - 1]) / (curve[i] - curve[i - 1])
    return (alone[i - 1] * (alone[i] / alone[i - 1]) ** share - real) / synthetic


def value_with(change):
    """A wrong answer inside the curve, right outside."""

    def value(real, synthetic, score, alone, curve):
        flag = value_right(real, synthetic, score, alone, curve)
        return flag if isinstance(flag, str) else change(real, synthetic, score, alone, curve)

    return value


def amount(score, alone, curve):
    return np.exp(np.interp(score, curve, np.log(alone)))


VALUE_MISTAKES = [
    (lambda r, s, score, a, c: (amount(score, a, c) - r) / s, "return `'below'`"),
    (lambda r, s, score, a, c: "below", "return `'above'`"),
    (value_with(lambda r, s, score, a, c: amount(score, a, c)), "subtract the mixture's own"),
    (value_with(lambda r, s, score, a, c: amount(score, a, c) / s), "counted as synthetic"),
    (value_with(lambda r, s, score, a, c: amount(score, a, c) - r), "replace together"),
    (value_with(lambda r, s, score, a, c: s / max(amount(score, a, c) - r, 1e-9)),
     "this is the exchange rate"),
    (value_with(lambda r, s, score, a, c: (np.interp(score, c, a) - r) / s), "their logarithm"),
    (value_with(lambda r, s, score, a, c: 7.0), "is due and you gave"),
]  # fmt: skip

# --- 06.attention_share --------------------------------------------------------------------------


def share_right(attention, mask):
    step = len(mask) // len(attention)
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(mask).double()[None, None], step)
    return float((torch.from_numpy(attention) * pooled[0, 0]).sum())


def share_of_pixels(attention, mask):
    step = len(mask) // len(attention)
    fine = np.kron(attention, np.ones((step, step))) / step**2
    return fine[mask].sum()


def touched(attention, mask):
    step = len(mask) // len(attention)
    return attention[mask.reshape(len(attention), step, -1, step).any((1, 3))].sum()


SHARE_MISTAKES = [
    (touched, "counts as a whole"),
    (lambda attention, mask: mask.mean(), "this is the area"),
    (lambda attention, mask: share_right(attention, mask) / attention.size, "take the sum"),
    (lambda attention, mask: 1 - share_right(attention, mask), "outside of the mask"),
    (lambda attention, mask: share_right(attention, mask) / mask.mean(), "relative to the area"),
    (lambda attention, mask: share_of_pixels(attention, mask.T), "changed places"),
    (lambda attention, mask: attention[mask].sum(), "IndexError"),
    (lambda attention, mask: 0.9, "is due and you gave"),
]

RIGHT = {
    "06.cliffs_delta": [delta_right, delta_by_ranks],
    "06.relative_value": [value_right, value_piecewise],
    "06.attention_share": [share_right, share_of_pixels],
}
WRONG = {
    "06.cliffs_delta": DELTA_MISTAKES,
    "06.relative_value": VALUE_MISTAKES,
    "06.attention_share": SHARE_MISTAKES,
}
