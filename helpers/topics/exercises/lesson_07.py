"""Checks of lesson 07: the rank of a target, the product of two similarities, texts that agree."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from helpers.topics.exercises.engine import Verdict, ask, correct, exercise, hint

# --- 07.target_rank ------------------------------------------------------------------------------

_RANK_CASES = [
    {"scores": np.array([0.9, 0.2, 0.5, 0.3]), "targets": [1, 2], "reference": 0},
    {"scores": np.array([0.1, 0.8, 0.7, 0.6, 0.9]), "targets": [3], "reference": 4},
    {"scores": np.array([0.1, 0.8, 0.3, 0.5]), "targets": [1, 2], "reference": 0},
    {"scores": np.array([-0.3, -0.4, -0.1, -0.6]), "targets": [3], "reference": 1},
]


def _rank(scores: np.ndarray, targets: list[int], reference: int) -> int:
    best = max(scores[row] for row in targets)
    others = [s for row, s in enumerate(scores) if row not in targets and row != reference]
    return 1 + sum(s > best for s in others)


_RANK_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda scores, targets, reference: 1 + int((scores > max(scores[targets])).sum()),
     "the reference is counted: it is what the user has, and leaves the ranking before you count."),
    (lambda scores, targets, reference: 1 + sum(
        s > min(scores[targets]) for row, s in enumerate(scores)
        if row not in targets and row != reference),
     "this is the rank of the worst target: the first one that is found decides, so the best."),
    (lambda scores, targets, reference: _rank(scores, targets[:1], reference),
     "only the first of the targets is looked for: any of them is right."),
    (lambda scores, targets, reference: _rank(scores, targets, reference) - 1,
     "ranks count from 1: nothing above the target is rank 1."),
    (lambda scores, targets, reference: 1 + sum(
        s < max(scores[targets]) for row, s in enumerate(scores)
        if row not in targets and row != reference),
     "images with a lower score are counted: higher scores come first."),
]  # fmt: skip


@exercise(example=_RANK_CASES[0])
def target_rank(answer: Callable) -> Verdict:
    """``f(scores, targets, reference) -> rank`` of the first target, without the reference."""
    got = [ask(answer, **case) for case in _RANK_CASES]
    numbers = [_number(one) for one in got]
    wrong = [i for i, case in enumerate(_RANK_CASES) if numbers[i] != _rank(**case)]
    if not wrong:
        return correct(
            "whether the reference leaves decides numbers: it is often the image that is most "
            "similar to itself. CIRR takes it out, FashionIQ and CIRCO leave it in."
        )
    for mistake, text in _RANK_MISTAKES:
        if all(numbers[i] == mistake(**_RANK_CASES[i]) for i in wrong):
            return hint(text)
    first = wrong[0]
    due = _rank(**_RANK_CASES[first])
    return hint(f"case {first + 1}: rank {due} is due, and you gave {got[first]!r}.")


def _number(result: Any) -> float:
    try:
        return float(result)
    except (TypeError, ValueError):
        return float("nan")


# --- 07.product ----------------------------------------------------------------------------------


def _similarities(q: int, g: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    image, text = rng.uniform(-0.2, 0.9, (q, g)).round(3), rng.uniform(-0.3, 0.3, (q, g)).round(3)
    return {"image": image, "text": text}


_PRODUCT_CASES = [
    {"image": np.array([[0.9, 0.5, 0.1]]), "text": np.array([[-0.2, 0.2, 0.3]])},
    _similarities(3, 5, 1),
    _similarities(4, 7, 2),
]


def _above(one: np.ndarray) -> np.ndarray:
    return one - one.min(axis=1, keepdims=True)


def _product(image: np.ndarray, text: np.ndarray) -> np.ndarray:
    return _above(image) * _above(text)


_PRODUCT_MISTAKES: list[tuple[Callable[..., np.ndarray], str]] = [
    (lambda image, text: image * text,
     "two negative similarities have a positive product, so that what both sides dislike scores "
     "high: subtract the minimum of each row first."),
    (lambda image, text: (image - image.min()) * (text - text.min()),
     "the minimum of all queries is subtracted: each query has its own, the minimum of its row."),
    (lambda image, text: _above(image) + _above(text),
     "this is a sum: an image that one side likes very much passes without the other. Multiply."),
    (lambda image, text: _above(image) * text, "subtract the minimum of the text's row too."),
    (lambda image, text: image * _above(text), "subtract the minimum of the image's row too."),
    (lambda image, text: (image - image.min(axis=0)) * (text - text.min(axis=0)),
     "the minimum of each column is subtracted: a query is a row."),
]  # fmt: skip


@exercise(example=_PRODUCT_CASES[0])
def product(answer: Callable) -> Verdict:
    """``f(image, text) -> (q, g)`` scores: both similarities above their row's minimum, times."""
    got = [_array(ask(answer, **case)) for case in _PRODUCT_CASES]
    right = [_product(**case) for case in _PRODUCT_CASES]
    wrong = [i for i, one in enumerate(right) if not _same(got[i], one)]
    if not wrong:
        return correct(
            'a product is a soft "and": an image has to please both sides. What it needs no '
            "training for, a sum cannot do: there one side can pay for the other."
        )
    for mistake, text in _PRODUCT_MISTAKES:
        if all(_same(got[i], mistake(**_PRODUCT_CASES[i])) for i in wrong):
            return hint(text)
    first = wrong[0]
    if got[first].shape != right[first].shape:
        return hint(f"shape {right[first].shape} is due, and you returned {got[first].shape}.")
    due, given = right[first][0].round(3).tolist(), got[first][0].round(3).tolist()
    return hint(f"case {first + 1}: {due} is due in the first row, and you gave {given}.")


def _array(result: Any) -> np.ndarray:
    try:
        return np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        return np.full((0,), np.nan)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, atol=1e-6))


# --- 07.agree ------------------------------------------------------------------------------------

Said = tuple[Mapping[str, str], Mapping[str, str]]


def _said(wanted: str, removed: str = "") -> Said:
    parts = (dict(pair.split(":") for pair in text.split()) for text in (wanted, removed))
    one, two = parts
    return one, two


_AGREE_CASES = [
    ({"forward": _said("main:tofu", "main:beef"), "back": _said("main:beef", "main:tofu")}, True),
    ({"forward": _said("plate:red"), "back": _said("plate:blue")}, True),
    ({"forward": _said("plate:red"), "back": _said("plate:red")}, False),
    ({"forward": _said("plate:red"), "back": _said("main:beef")}, False),
    ({"forward": _said("main:tofu", "main:beef"), "back": _said("main:egg", "main:tofu")}, False),
    ({"forward": _said("main:tofu"), "back": _said("main:beef", "main:egg")}, False),
    ({"forward": _said("", "garnish:basil"), "back": _said("garnish:basil")}, True),
    ({"forward": _said("plate:red main:tofu"), "back": _said("plate:blue")}, False),
]


def _named(said: Said) -> set[str]:
    return {*said[0], *said[1]}


def _returns(removed: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(wanted.get(name, value) == value for name, value in removed.items())


def _agree(forward: Said, back: Said, *, names=True, apart=True, there=True, again=True) -> bool:
    if names and _named(forward) != _named(back):
        return False
    if apart and any(back[0].get(name) == value for name, value in forward[0].items()):
        return False
    return (not there or _returns(forward[1], back[0])) and (
        not again or _returns(back[1], forward[0])
    )


_AGREE_MISTAKES: list[tuple[dict[str, bool], str]] = [
    ({"names": False}, "texts that name different attributes pass: compare the attributes that "
                       "each text names, wanted or removed."),
    ({"apart": False}, "a value that both directions ask for passes: what one image gets, the "
                       "other cannot lack."),
    ({"there": False}, "what the forward text removes has to be what the text back asks for, "
                       "where that asks for anything of this attribute."),
    ({"again": False}, "what the text back removes has to be what the forward text asks for, "
                       "where that asks for anything of this attribute."),
    ({"there": False, "again": False}, "what is removed is not looked at: what goes one way has "
                                       "to come back the other."),
]  # fmt: skip


@exercise(example=_AGREE_CASES[0][0])
def agree(answer: Callable) -> Verdict:
    """``f(forward, back) -> bool``; each is (wanted, removed), attribute to value."""
    got = [ask(answer, **case) for case, _ in _AGREE_CASES]
    if lost := [one for one in got if not isinstance(one, bool | np.bool_)]:
        return hint(f"True or False is due, and you returned {lost[0]!r}.")
    wrong = [i for i, (_, right) in enumerate(_AGREE_CASES) if bool(got[i]) != right]
    if not wrong:
        return correct(
            "no truth and no caption was read: two texts of one model check each other. What is "
            "wrong the same way in both directions stays in."
        )
    for without, text in _AGREE_MISTAKES:
        if all(bool(got[i]) == _agree(**_AGREE_CASES[i][0], **without) for i in wrong):
            return hint(text)
    case, right = _AGREE_CASES[wrong[0]]
    return hint(f"{right} is due for `{case['forward']}` and `{case['back']}`.")
