"""Answers to the exercises of lesson 09: right ones, and mistakes with their hints."""

import math

import numpy as np
from scipy.special import expit, logit


def softplus(x):
    return np.logaddexp(0, x)


def cells(images, texts, scale, bias):
    logits = scale * (images @ texts.T) + bias
    return (2 * np.eye(len(images)) - 1) * logits


def loss_right(images, texts, scale, bias):
    return float(np.logaddexp(0, -cells(images, texts, scale, bias)).sum() / len(images))


def loss_by_loops(images, texts, scale, bias):
    total = 0.0
    for i, image in enumerate(images):
        for j, text in enumerate(texts):
            x = float(scale) * float(image @ text) + float(bias)
            total += softplus(-x if i == j else x)
    return total / len(images)


def loss_naive(images, texts, scale, bias):
    return float(-np.log(expit(cells(images, texts, scale, bias))).sum() / len(images))


def info_nce(i, t, s, b):
    x = s * i @ t.T + b
    rows = [np.logaddexp.reduce(m, axis=1) - np.diag(m) for m in (x, x.T)]
    return float(np.mean(rows))


LOSS_MISTAKES = [
    (lambda i, t, s, b: loss_right(i, t, s, b) / len(i), "average over all n x n"),
    (lambda i, t, s, b: loss_right(i, t, s, b) * len(i), "sum over the cells"),
    (lambda i, t, s, b: -loss_right(i, t, s, b), "the sign"),
    (lambda i, t, s, b: loss_right(i, t, s, 0), "makes no difference: add it"),
    (lambda i, t, s, b: loss_right(i, t, s, -b), "subtract the bias"),
    (lambda i, t, s, b: loss_right(i, t, 1 / s, b), "divide by the scale"),
    (lambda i, t, s, b: loss_right(i, t, 1, b), "multiply the cosines"),
    (lambda i, t, s, b: softplus(-(s * (i * t).sum(1) + b)).mean(), "only the diagonal"),
    (lambda i, t, s, b: loss_right(i, t, s, b) - softplus(-(s * (i * t).sum(1) + b)).mean(),
     "diagonal is missing"),
    (lambda i, t, s, b: softplus(-(s * i @ t.T + b)).sum() / len(i), "treated as a match"),
    (lambda i, t, s, b: softplus(s * i @ t.T + b).sum() / len(i), "treated as a stranger"),
    (lambda i, t, s, b: softplus(cells(i, t, s, b)).sum() / len(i), "exchanged"),
    (info_nce, "this is InfoNCE"),
    (loss_naive, "runs out of numbers"),
    (lambda i, t, s, b: 7.0, "is due and you gave 7"),
]  # fmt: skip


def ap_right(ranks):
    ordered = sorted(ranks)
    return sum((j + 1) / rank for j, rank in enumerate(ordered)) / len(ordered)


def ap_by_array(ranks):
    ordered = np.sort(ranks)
    return float((np.arange(1, len(ordered) + 1) / ordered).mean())


RANK_MISTAKES = [
    (lambda ranks: 1 / min(ranks), "reciprocal rank"),
    (lambda ranks: float(np.mean(1 / np.array(ranks))), "precision there is j / rank"),
    (lambda ranks: ap_right(ranks) * len(ranks), "divide by the number"),
    (lambda ranks: ap_right(ranks) * len(ranks) / max(ranks), "divide by the last rank"),
    (lambda ranks: float(np.mean(np.arange(1, len(ranks) + 1) / np.array(ranks))), "sort them"),
    (lambda ranks: float(np.mean(np.arange(len(ranks)) / np.sort(ranks))), "not number 0"),
    (lambda ranks: len(ranks) / max(ranks), "at the last relevant"),
    (lambda ranks: 5.0, "is due and you gave 5"),
]


def bias_right(bias, trained, used):
    return bias + math.log(used / (1 - used)) - math.log(trained / (1 - trained))


PRIOR_MISTAKES = [
    (lambda b, t, u: b + logit(t) - logit(u), "wrong way round"),
    (lambda b, t, u: b + math.log(u / t), "that of the odds"),
    (lambda b, t, u: logit(u) - logit(t), "the change alone"),
    (lambda b, t, u: b + logit(u), "take it away first"),
    (lambda b, t, u: logit(u), "only the prior's part"),
    (lambda b, t, u: b * u / t, "not by a factor"),
    (lambda b, t, u: 3.0, "is due and you gave 3"),
]

RIGHT = {
    "09.sigmoid_loss": [loss_right, loss_by_loops],
    "09.average_precision": [ap_right, ap_by_array],
    "09.shifted_bias": [bias_right, lambda b, t, u: b + logit(u) - logit(t)],
}
WRONG = {
    "09.sigmoid_loss": LOSS_MISTAKES,
    "09.average_precision": RANK_MISTAKES,
    "09.shifted_bias": PRIOR_MISTAKES,
}
