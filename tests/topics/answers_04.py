"""Answers to the exercises of lesson 04: right ones, and mistakes with their hints."""

import numpy as np
import torch
from scipy.special import log_softmax, softmax

# --- 04.info_nce ---------------------------------------------------------------------------------


def logits_of(images, texts, scale):
    return images @ texts.T * scale


def loss_right(images, texts, scale):
    logits = logits_of(images, texts, scale)
    by_image = -np.diag(log_softmax(logits, axis=1)).mean()
    return (by_image - np.diag(log_softmax(logits, axis=0)).mean()) / 2


def loss_by_shift(images, texts, scale):
    logits = logits_of(images, texts, scale)
    total = 0.0
    for square in (logits, logits.T):
        square = square - square.max(axis=1, keepdims=True)
        total += (np.log(np.exp(square).sum(axis=1)) - np.diag(square)).mean()
    return float(total / 2)


def loss_naive(images, texts, scale, *, eps=0.0):
    logits = logits_of(images, texts, scale)
    rows = np.exp(logits)
    by_image, by_text = rows / rows.sum(1, keepdims=True), rows / rows.sum(0, keepdims=True)
    return -(np.log(np.diag(by_image) + eps).mean() + np.log(np.diag(by_text) + eps).mean()) / 2


def loss_clipped(images, texts, scale):
    logits = logits_of(images, texts, scale)
    shares = [np.diag(softmax(logits, axis=axis)) for axis in (0, 1)]
    return -np.mean(np.log(np.maximum(shares, 1e-12)))


def loss_of(of_square):
    """The mean over both directions of something that is made of the logits of one."""

    def loss(images, texts, scale):
        logits = logits_of(images, texts, scale)
        return (of_square(logits) + of_square(logits.T)) / 2

    return loss


def one_direction(axis):
    return lambda i, t, s: -np.diag(log_softmax(logits_of(i, t, s), axis=axis)).mean()


def without_own(square):
    others = np.exp(square).sum(axis=1) - np.exp(np.diag(square))
    return (np.log(others) - np.diag(square)).mean()


LOSS_MISTAKES = [
    (one_direction(1), "from image to text"),
    (one_direction(0), "from text to image"),
    (lambda i, t, s: loss_right(i, t, 1 / s), "you divide by the scale"),
    (lambda i, t, s: loss_right(i, t, np.exp(s)), "`exp` of the scale"),
    (lambda i, t, s: loss_right(i, t, 1), "makes no difference"),
    (lambda i, t, s: loss_right(i, t, s) * len(i), "sum over the pairs"),
    (lambda i, t, s: loss_right(i, t, s) * 2, "add the two directions"),
    (lambda i, t, s: loss_right(i, t, s) * 2 * len(i), "add pairs and directions"),
    (lambda i, t, s: -loss_right(i, t, s), "the sign"),
    (loss_of(lambda x: -np.diag(softmax(x, axis=1)).mean()), "this is minus the mean prob"),
    (loss_of(lambda x: np.diag(softmax(x, axis=1)).mean()), "this is the mean prob"),
    (loss_of(lambda x: -log_softmax(x, axis=1).mean()), "over all cells"),
    (loss_of(lambda x: -np.diag(log_softmax(x)).mean()), "whole matrix"),
    (loss_of(without_own), "leaves out the pair itself"),
    (loss_naive, "beyond float32"),
    (loss_clipped, "caps the loss"),
    (lambda i, t, s: 7.0, "is due and you gave 7"),
    (lambda i, t, s: log_softmax(logits_of(i, t, s), axis=1), "a single number"),
]  # fmt: skip

# --- 04.lora_parameters --------------------------------------------------------------------------


def lora_right(layers, width, rank, n_modules):
    return layers * n_modules * 2 * width * rank


LORA_MISTAKES = [
    (lambda n, d, r, m: n * m * d * r, "both are trained"),
    (lambda n, d, r, m: n * m * d * d, "frozen weights themselves"),
    (lambda n, d, r, m: n * m * (d * d + 2 * d * r), "are counted too"),
    (lambda n, d, r, m: n * 2 * d * r, "number of adapted modules"),
    (lambda n, d, r, m: m * 2 * d * r, "number of layers"),
    (lambda n, d, r, m: 2 * d * r, "and by the layers"),
    (lambda n, d, r, m: n * m * 2 * d, "the rank is missing"),
    (lambda n, d, r, m: n * m * 4 * d * r, "one tower"),
    (lambda n, d, r, m: n * m * 2 * (d + r), "not their sum"),
    (lambda n, d, r, m: n * m * (2 * d * r + r * r), "no rank x rank"),
    (lambda n, d, r, m: lora_right(n, d, r, m) + 1, "the logit scale"),
    (lambda n, d, r, m: 5, "is due and you gave 5"),
]  # fmt: skip


def sigmoid_right(images, texts, items, scale, bias=-10.0):
    own = torch.eye(len(images), dtype=torch.bool)
    same = torch.as_tensor(items[:, None] == items)
    sign = torch.where(own, 1.0, -1.0)
    costs = -torch.nn.functional.logsigmoid(sign * (scale * images @ texts.T + bias))
    return costs.masked_fill(same & ~own, 0).sum() / len(images)


def sigmoid_unmasked(images, texts, items, scale, bias=-10.0):
    return sigmoid_right(images, texts, np.arange(len(images)), scale, bias)


RIGHT = {
    "04.info_nce": [loss_right, loss_by_shift],
    "04.lora_parameters": [lora_right],
    "04.same_as_one_batch": [1, 1.0, "1", np.int64(1)],
    "04.sigmoid_loss": [sigmoid_right],
    "04.collapsed_loss": [(float(np.log(128)), 128)],
}
WRONG = {
    "04.info_nce": LOSS_MISTAKES,
    "04.lora_parameters": LORA_MISTAKES,
    "04.same_as_one_batch": [
        (31, "gradients, not negatives"), (30, "never sees"), (32, "no negative"),
        (16, "forgotten"), (15, "other losses"), (2, "its own"), (0, "single choice"),
        (7, "7 is not it"), (0.5, "not it"), ("many", "whole number"), (True, "whole number"),
        (float("nan"), "not it"),
    ],
    "04.sigmoid_loss": [
        (sigmoid_unmasked, "same item"),
        (lambda *a: sigmoid_right(*a) * len(a[0]), "divide"),
        (lambda *a: sigmoid_right(*a) / len(a[0]), "number of cells"),
        (lambda *a: sigmoid_right(*a, bias=0.0), "bias is missing"),
        (lambda i, t, r, scale: sigmoid_right(i, t, r, 1.0), "scale is missing"),
    ],
    "04.collapsed_loss": [
        ((7.0, 128), "natural logarithm"), ((0.0, 128), "guessing"), (("much", 128), "a number"),
    ],
}  # fmt: skip
