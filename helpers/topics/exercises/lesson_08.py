"""Checks of lesson 08: two forms of alpha, hard negatives, a caption with a negation."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.topics.exercises.engine import Verdict, ask, correct, exercise, hint

_DIALS = {
    0.2: "0.2 in both is not the same: CLIP-Adapter's form also takes 0.2 away from `x`. Divide "
         "`0.8 * x + 0.2 * A(x)` by 0.8: the length is divided out at the end.",
    0.8: "0.8 is what is left of `x` in CLIP-Adapter's form. Divide `0.8 * x + 0.2 * A(x)` by it.",
    4.0: "the other way round: 0.8 / 0.2. The weight of `A(x)` is divided by that of `x`.",
    0.16: "0.2 * 0.8 multiplies where one has to divide: make the weight of `x` equal to 1.",
    1.2: "dividing by 0.8 is right, but the weight of `A(x)` is 0.2, not 1.",
    1.25: "1.25 is 1 / 0.8, what both weights are multiplied by: multiply 0.2 by it.",
}  # fmt: skip


@exercise()
def one_dial(answer: Any) -> Verdict:
    """The alpha of ``x + alpha A(x)`` that equals alpha 0.2 of CLIP-Adapter's form."""
    try:
        if isinstance(answer, bool):
            raise TypeError("a truth value")
        value = float(answer)
    except (TypeError, ValueError):
        return hint(f"answer with a number; you gave {answer!r}.")
    if abs(value - 0.25) < 1e-6:
        return correct(
            "alpha / (1 - alpha). After division by the length the two forms are one family: a "
            "report of `alpha = 0.2` says little without the form, and without how long A(x) grew."
        )
    for known, text in _DIALS.items():
        if abs(value - known) < 1e-6:
            return hint(text)
    return hint(
        f"{value:g} is not it. Multiply `0.8 * x + 0.2 * A(x)` by whatever makes the weight of `x` "
        "equal to 1: the direction stays the same."
    )


def _scores(n: int, m: int, n_groups: int, k: int, seed: int) -> dict[str, Any]:
    """Captions of an image's own group score highest, as under a good model."""
    rng = np.random.default_rng(seed)
    image_groups, text_groups = rng.integers(0, n_groups, n), rng.integers(0, n_groups, m)
    own = image_groups[:, None] == text_groups[None]
    scores = np.round(rng.permutation(n * m).reshape(n, m) / (n * m) + 0.7 * own, 6)
    return {"scores": scores, "image_groups": image_groups, "text_groups": text_groups, "k": k}


_MINING_CASES = [
    {
        "scores": np.array([[0.9, 0.8, 0.1, 0.4, 0.2], [0.3, 0.7, 0.6, 0.8, 0.5]]),
        "image_groups": np.array([0, 1]),
        "text_groups": np.array([0, 0, 1, 1, 2]),
        "k": 1,
    },
    _scores(4, 9, 3, 2, 1),
    _scores(6, 12, 4, 3, 2),
    _scores(3, 20, 2, 4, 3),
]
# Cosines can be negative: a mask of 0 then puts an image's own captions first.
_MINING_CASES.append({**_MINING_CASES[-1], "scores": _MINING_CASES[-1]["scores"] - 1})


def _ranked(scores: np.ndarray, allowed: np.ndarray, k: int, *, hardest: bool = True) -> np.ndarray:
    signed = -scores if hardest else scores
    return np.argsort(np.where(allowed, signed, np.inf), axis=1, kind="stable")[:, :k]


def _others(c: dict[str, Any]) -> np.ndarray:
    return c["image_groups"][:, None] != c["text_groups"][None]


def _mined(**c) -> np.ndarray:
    return _ranked(c["scores"], _others(c), c["k"])


def _not_diagonal(**c) -> np.ndarray:
    n, m = c["scores"].shape
    return _ranked(c["scores"], ~np.eye(n, m, dtype=bool), c["k"])


_MINING_MISTAKES: list[tuple[Callable[..., np.ndarray], str]] = [
    (lambda **c: _ranked(c["scores"], np.ones_like(c["scores"], bool), c["k"]),
     "captions of the image's own group are among them: the best matches are right answers, and "
     "the loss would punish them. Leave out what shares the group before you rank."),
    (_not_diagonal,
     "only the column with the same number is left out: an image's group can have several "
     "captions, anywhere. Compare groups, not positions."),
    (lambda **c: _ranked(c["scores"], _others(c), c["k"], hardest=False),
     "these are the easiest captions, with the lowest scores: a hard negative is one that the "
     "model likes."),
    (lambda **c: _ranked(c["scores"], ~_others(c), c["k"]),
     "these are the captions of the own group: the positives."),
    (lambda **c: np.argsort(np.where(_others(c), -c["scores"], 0), axis=1)[:, : c["k"]],
     "a mask of 0 ranks an image's own captions above others with a negative cosine: mask with "
     "infinity."),
    (lambda **c: _mined(**c)[:, ::-1],
     "right captions in the wrong order: the hardest first."),
    (lambda **c: _mined(**c) + 1,
     "columns count from 0."),
    (lambda **c: _ranked(c["scores"], _others(c), c["k"] + 1),
     "one too many in each row: k are due."),
    (lambda **c: np.take_along_axis(c["scores"], _mined(**c), axis=1),
     "these are the scores of the captions: their columns are due."),
]  # fmt: skip


@exercise(example=_MINING_CASES[0])
def hard_negatives(answer: Callable) -> Verdict:
    """``f(scores, image_groups, text_groups, k) -> (n, k)`` columns, the hardest first."""
    wrong = _first_wrong(answer, _MINING_CASES, _mined, _MINING_MISTAKES)
    return wrong or correct(
        "hard, and wrong for sure as far as the groups know. What the groups do not know, such as "
        "a dish that two recipes share, stays in: look at what was mined."
    )


_NEGATED = {
    "soup with basil": "soup without basil",
    "salad with salmon, with cheese on top": "salad without salmon, with cheese on top",
    "herb withered pasta with peas": "herb withered pasta without peas",
    "carrot masala": "carrot masala",
}
_NEGATION_MISTAKES: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text.replace("with ", "without "),
     "every `with` becomes `without`: change the first one alone, so that the caption is wrong in "
     "one thing."),
    (lambda text: text.replace("with", "without", 1),
     "parts of words are changed too, such as `withered`: look for the word between two spaces."),
    (lambda text: text.replace(" with ", " not ", 1), "write `without` in the place of `with`."),
    (lambda text: text.split(" with ")[0],
     "what follows is cut off: the caption has to deny it, not to leave it out."),
    (lambda text: f"{text} without", "the word `with` has to become `without`, where it stands."),
    (lambda text: text, "the caption is unchanged."),
]  # fmt: skip


@exercise(example={"caption": "soup with basil"})
def negated(answer: Callable) -> Verdict:
    """``f(caption) -> str``: the first word "with" becomes "without"."""
    got = {text: ask(answer, caption=text) for text in _NEGATED}
    if lost := [text for text, said in got.items() if not isinstance(said, str)]:
        return hint(f"a text is due, and you returned {got[lost[0]]!r} for `{lost[0]}`.")
    wrong = [text for text, right in _NEGATED.items() if got[text] != right]
    if not wrong:
        return correct(
            "the caption is now false for its image, and differs in a single word. Compare with "
            "a word of the same meaning: an unusual word lowers the cosine as well."
        )
    for mistake, text in _NEGATION_MISTAKES:
        if all(got[one] == mistake(one) for one in wrong):
            return hint(text)
    return hint(f"`{_NEGATED[wrong[0]]}` is due for `{wrong[0]}`, and you gave `{got[wrong[0]]}`.")


def _first_wrong(
    answer: Callable,
    cases: list[dict[str, Any]],
    right: Callable[..., np.ndarray],
    mistakes: list[tuple[Callable[..., np.ndarray], str]],
) -> Verdict | None:
    """A hint on the first wrong case, by the mistake that explains most cases; else None."""
    got = [_as_array(ask(answer, **case)) for case in cases]
    wrong = [i for i, case in enumerate(cases) if not _same(got[i], right(**case))]
    if not wrong:
        return None
    first = wrong[0]
    fits = [[_same(g, mistake(**c)) for g, c in zip(got, cases, strict=True)]
            for mistake, _ in mistakes]  # fmt: skip
    likely = [i for i, same in enumerate(fits) if same[first]]
    if likely:
        return hint(mistakes[max(likely, key=lambda i: sum(fits[i]))][1])
    want = right(**cases[first])
    if got[first].shape != want.shape:
        return hint(f"shape {want.shape} is due, and you returned {got[first].shape}.")
    return hint(
        f"case {first + 1}: {np.round(want[0], 3).tolist()} is due in the first row and you gave "
        f"{np.round(got[first][0], 3).tolist()}."
    )


def _as_array(result: Any) -> np.ndarray:
    """The answer as numbers; an empty array, which is of no right shape, where it holds none."""
    try:
        return np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        return np.full((0,), np.nan)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, atol=1e-6))
