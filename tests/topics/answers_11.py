"""Answers to the exercises of lesson 11: right ones, and mistakes with their hints."""

import html
import re

import numpy as np

TAG, HASHTAG = r"</?[a-zA-Z][^>]*>", r"#\w*[^\W\d_]\w*"


def caption_right(caption):
    for pattern in (TAG, HASHTAG):
        caption = re.sub(pattern, " ", caption)
    return " ".join(html.unescape(caption).split())


def caption_by_words(caption):
    text = html.unescape(re.sub(TAG, " ", caption))
    kept = [w for w in text.split() if not (w[0] == "#" and any(c.isalpha() for c in w))]
    return " ".join(kept)


def caption_as(*, tag=TAG, hashtag=HASHTAG, gap=" ", unescape=html.unescape, tidy=True):
    """A wrong answer: the right one but for what is given."""

    def clean(caption):
        text = re.sub(hashtag, " ", unescape(re.sub(tag, gap, caption)))
        return " ".join(text.split()) if tidy else text

    return clean


def unblend_right(marked, alpha, color):
    out = marked.copy()
    for channel in range(3):
        out[..., channel] = (marked[..., channel] - alpha * color[channel]) / (1 - alpha)
    return out


def cosine_right(before, after):
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (before, after)]
    return np.einsum("ij,ij->i", *units).mean()


RIGHT = {
    "11.clean_caption": [caption_right, caption_by_words],
    "11.unblend": [unblend_right],
    "11.mean_cosine": [cosine_right],
}
WRONG = {
    "11.clean_caption": [
        (lambda caption: caption, "a tag is still there"),
        (lambda caption: caption.lower(), "capitals, digits"),
        (lambda caption: re.sub(r"[^a-zA-Z0-9 ,.&#<>!()]", "", caption), "letters with accents"),
        (lambda caption: caption_right(caption).split(), "text, and you returned"),
        (lambda caption: caption_right(caption) + "!", "a clean caption was changed"),
        (caption_as(hashtag=r"#\w+"), "is a rank"),
        (caption_as(tag=r"<[^>]*>"), "opens no tag"),
        (caption_as(tag=r"</?\w+>"), "more than its name"),
        (caption_as(gap=""), "glued together"),
        (caption_as(unescape=str), "html.unescape"),
        (caption_as(hashtag=r"#[a-z]+"), "a part of it"),
        (caption_as(hashtag=r" #\w*[^\W\d_]\w*"), "at the start"),
        (caption_as(hashtag=r"#(?=[a-z])[a-z0-9_]+"), "any language"),
        (caption_as(tidy=False), "or its spaces are"),
        (lambda c: c if "&amp;" in c and "<b>" in c else caption_right(c), "may meet"),
    ],
    "11.unblend": [
        (lambda marked, alpha, color: marked, "still there"),
        (lambda marked, alpha, color: marked - alpha[..., None] * color, "divide by it"),
        (lambda m, a, c: (m - c) / (1 - a[..., None]), "only alpha times"),
        (lambda m, a, c: m / (1 - a[..., None]), "first take away"),
        (lambda m, a, c: (1 - a[..., None]) * m + a[..., None] * c, "once more"),
        (lambda m, a, c: np.where(a[..., None] > 0, 0.0, m), "wiped out"),
        (lambda m, a, c: m + 1, "solve"),
        (lambda m, a, c: m[..., 0], "an array of shape"),
        (lambda m, a, c: "image", "an array of shape"),
    ],
    "11.mean_cosine": [
        (lambda before, after: (before * after).sum(axis=1).mean(), "not of length 1"),
        (lambda before, after: (before @ after.T).mean(), "every other"),
        (lambda before, after: 1 - cosine_right(before, after), "distance"),
        (lambda b, a: (b * a).sum() / np.linalg.norm(b) / np.linalg.norm(a), "each row"),
        (lambda before, after: 0.123, "is due"),
        (lambda before, after: before, "single number"),
    ],
}
