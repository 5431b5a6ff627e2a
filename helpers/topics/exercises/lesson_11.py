"""Checks of lesson 11: a caption without noise, a watermark undone, how far one moves a model."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np

from helpers.topics.exercises.engine import (
    Settled,
    Verdict,
    ask,
    compare,
    correct,
    exercise,
    hint,
)

_EXAMPLE = "<b>Fish &amp; chips</b> with lemon #yum"

# What comes in, what is due, and what it means if it does not come out.
_KEPT = (
    ("chicken soup with basil", "a clean caption was changed: most captions are clean, and a rule "
     "that harms them costs more than it mends."),
    ("crème brûlée with jalapeños", "letters with accents were lost: they are no noise. Remove "
     "what you know to be noise, not everything that is no plain letter."),
    ("#1 chili", "`#1` is a rank, no hashtag: a hashtag holds a letter."),
    ("rice for 2 < 3 people, or > 4", "a `<` or `>` alone opens no tag: a tag starts with `<` and "
     "a letter, or with `</`."),
    ("Fish & Chips, 500 g (serves 2)!", "capitals, digits and punctuation belong to the caption."),
)  # fmt: skip
_CLEANED = (
    ("<p>tomato soup</p>", "tomato soup", "a tag is still there, or its spaces are."),
    ('<span class="caption">tofu</span> pie', "tofu pie", "a tag may hold more than its name, such "
     "as a class: match everything up to the next `>`."),
    ("soup<br/>with basil", "soup with basil", "two words were glued together: put a space where a "
     "tag was, and make several spaces one at the end."),
    ("fish &amp; chips", "fish & chips", "an entity such as `&amp;` stands for a letter: "
     "`html.unescape` knows them all."),
    ("beef pie #yum #home_cooking2", "beef pie", "a hashtag is still there, or a part of it: "
     "letters, digits and `_` belong to it, and there may be several."),
    ("#dinner beef pie", "beef pie", "a hashtag may stand at the start; spaces around a caption "
     "go as well."),
    ("sopa #cenarápida de pollo", "sopa de pollo", "hashtags are written in any language: `\\w` "
     "takes letters with accents, `[a-z]` does not."),
)  # fmt: skip


def _clean(caption: str) -> str:
    text = re.sub(r"</?[A-Za-z][^<>]*>", " ", caption)
    text = re.sub(r"#(?=\w*[^\W\d_])\w+", " ", unescape(text))
    return " ".join(text.split())


@exercise(example={"caption": _EXAMPLE})
def clean_caption(answer: Callable) -> Verdict:
    """``f(caption) -> str``: no tags, no hashtags, entities resolved, single spaces."""
    for caption, said in _KEPT:
        got = _asked(answer, caption)
        if got != caption:
            return hint(f"`{caption}` became `{got}`: {said}")
    for caption, due, said in _CLEANED:
        got = _asked(answer, caption)
        if got != due:
            return hint(f"`{caption}` became `{got}`, `{due}` is due: {said}")
    got = _asked(answer, _EXAMPLE)
    if got != _clean(_EXAMPLE):
        return hint(f"`{_EXAMPLE}` became `{got}`: several kinds of noise may meet in a caption.")
    return correct("the noise is gone, and what was no noise is as it was.")


def _asked(answer: Callable, caption: str) -> str:
    result = ask(answer, caption=caption)
    if not isinstance(result, str):
        raise Settled(hint(f"the clean caption is due, text, and you returned {result!r}."))
    return result


def _case(n: int, seed: int, color: tuple[int, int, int]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    alpha = np.round(rng.random((n, n + 1)) * (rng.random((n, n + 1)) < 0.6) * 0.8, 3)
    image = np.round(255 * rng.random((n, n + 1, 3)))
    weight = alpha[..., None]
    marked = (1 - weight) * image + weight * np.array(color)
    return {"marked": marked, "alpha": alpha, "color": np.array(color, float)}


_MARKS = [_case(3, 0, (255, 255, 255)), _case(4, 1, (200, 0, 80)), _case(2, 2, (0, 0, 0))]


def _unblended(marked: np.ndarray, alpha: np.ndarray, color: np.ndarray) -> np.ndarray:
    weight = alpha[..., None]
    return (marked - weight * color) / (1 - weight)


_UNBLENDINGS: list[tuple[Callable[..., np.ndarray], str]] = [
    (lambda marked, alpha, color: marked, "the watermark is still there."),
    (lambda marked, alpha, color: marked - alpha[..., None] * color,
     "the color is taken away, but what is left is the image times 1 - alpha: divide by it."),
    (lambda marked, alpha, color: (marked - color) / (1 - alpha[..., None]),
     "the whole color is taken away: only alpha times the color was added."),
    (lambda marked, alpha, color: marked / (1 - alpha[..., None]),
     "first take away what was added, alpha times the color; then divide."),
    (lambda marked, alpha, color: (1 - alpha[..., None]) * marked + alpha[..., None] * color,
     "this blends the watermark in once more: solve the formula for the image."),
    (lambda marked, alpha, color: np.where(alpha[..., None] > 0, 0.0, marked),
     "the covered pixels are wiped out: each still holds 1 - alpha of the image."),
]  # fmt: skip


@exercise(example=_MARKS[0])
def unblend(answer: Callable) -> Verdict:
    """``f(marked, alpha, color) -> (h, w, 3)``: the image under a watermark that is known."""
    for case in _MARKS:
        got, want = ask(answer, **case), _unblended(**case)
        if not isinstance(got, np.ndarray) or got.shape != want.shape:
            given = getattr(got, "shape", type(got).__name__)
            return hint(f"an array of shape {want.shape} is due, and you returned {given}: write "
                        "`alpha[..., None]`, so that it meets all three colors.")  # fmt: skip
        if np.allclose(got, want, atol=1e-6):
            continue
        for mistake, text in _UNBLENDINGS:
            if np.allclose(got, mistake(**case), atol=1e-6):
                return hint(text)
        return hint("the values are others: solve `marked = (1 - alpha) * image + alpha * color` "
                    "for the image, pixel by pixel.")  # fmt: skip
    return correct(
        "where alpha and color are known, nothing has to be invented: each pixel but those with "
        "alpha 1 still holds some of the image."
    )


def _rows(n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=(2, n, 4))
    return {"before": before, "after": before + after}


def _cosine(before: np.ndarray, after: np.ndarray) -> float:
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return float(((before * after).sum(axis=1) / lengths).mean())


_PAIRS = [_rows(5, 0), _rows(3, 1), {"before": 2 * np.eye(3), "after": 3 * np.eye(3)}]
_COSINES: list[tuple[Callable[..., float], str]] = [
    (lambda before, after: float((before * after).sum(axis=1).mean()),
     "the rows are not of length 1: divide each dot product by both lengths."),
    (lambda before, after: float(np.mean(before @ after.T)),
     "every row meets every other: only rows of one image belong together."),
    (lambda before, after: 1 - _cosine(before, after),
     "this is the distance, 1 minus the cosine."),
    (lambda before, after: float((before * after).sum() / np.linalg.norm(before)
                                 / np.linalg.norm(after)),
     "one cosine of everything at once lets long rows count more: take one for each row."),
]  # fmt: skip


@exercise(example=_PAIRS[0])
def mean_cosine(answer: Callable) -> Verdict:
    """``f(before, after) -> float``: the mean cosine of rows that belong together."""
    if verdict := compare(answer, _PAIRS, _cosine, _COSINES):
        return verdict
    return correct("1: nothing moved; it says how far an image moved, not whether it is found.")
