"""Checks of lesson 08: a residual head, one dial in two forms, negatives that are surely wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Verdict, ask, correct, exercise, hint


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _case(n: int, d: int, alpha: float, form: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"x": _unit(rng.normal(size=(n, d))), "a_of_x": rng.normal(size=(n, d)), "alpha": alpha,
            "form": form}  # fmt: skip


_RESIDUAL_CASES = [
    _case(3, 4, 0.2, "add", 1),
    _case(4, 3, 0.2, "convex", 2),
    _case(2, 5, 0.7, "add", 3),
    _case(5, 2, 0.7, "convex", 4),
    _case(2, 3, 0.0, "add", 5),
]


def _mixed(x, a_of_x, alpha, form) -> np.ndarray:
    kept = 1 - alpha if form == "convex" else 1.0
    return kept * x + alpha * a_of_x


def _residual(**case) -> np.ndarray:
    return _unit(_mixed(**case))


def _flipped(form: str) -> str:
    return "add" if form == "convex" else "convex"


_RESIDUAL_MISTAKES: list[tuple[Callable[..., np.ndarray], str]] = [
    (lambda **c: _mixed(**c),
     "the rows are not of length 1: cosines are taken of what you return, so divide each row by "
     "its length at the end."),
    (lambda **c: _unit(c["a_of_x"] + 0 * c["x"]),
     "what the model knew is gone: this is the head's answer alone, a tower. Add it to `x`."),
    (lambda **c: _unit(c["x"] + c["a_of_x"]),
     "alpha makes no difference: multiply `a_of_x` by it."),
    (lambda **c: _unit(c["alpha"] * c["x"] + (1 - c["alpha"]) * c["a_of_x"]),
     "alpha weighs `x` here: it is the share of the head's answer, and 0 has to give back `x`."),
    (lambda **c: _unit(_mixed(**c | {"form": "add"})),
     "`convex` is treated like `add`: there `x` is weighed by `1 - alpha`."),
    (lambda **c: _unit(_mixed(**c | {"form": "convex"})),
     "`add` is treated like `convex`: there `x` keeps its whole weight."),
    (lambda **c: _unit(_mixed(**c | {"form": _flipped(c["form"])})),
     "the two forms are swapped: `convex` is the one in which the weights add up to 1."),
    (lambda **c: _unit(_mixed(**c | {"a_of_x": _unit(c["a_of_x"])})),
     "`a_of_x` is brought to length 1 first: its length says how sure the head is; only the sum is "
     "made a unit row."),
    (lambda **c: _mixed(**c) / np.linalg.norm(_mixed(**c)),
     "you divide by the length of the whole matrix: each row is to have length 1."),
    (lambda **c: _mixed(**c) / np.linalg.norm(_mixed(**c), axis=0, keepdims=True),
     "you divide columns by their length: use `axis=1`, rows are embeddings."),
]  # fmt: skip


@exercise("08.residual_head", example=_RESIDUAL_CASES[0])
def residual_head(answer: Callable) -> Verdict:
    """``f(x, a_of_x, alpha, form) -> (n, d)`` unit rows, ``form`` being "add" or "convex"."""
    wrong = _first_wrong(answer, _RESIDUAL_CASES, _residual, _RESIDUAL_MISTAKES)
    return wrong or correct(
        "at alpha 0 both forms are the frozen model; whatever the head learns is a change to it."
    )


_DIALS = {
    0.2: "0.2 in both is not the same: `convex` also takes 0.2 away from `x`. Divide "
         "`0.8 * x + 0.2 * A(x)` by 0.8; unit rows do not notice.",
    0.8: "0.8 is what is left of `x` in the convex form. Divide `0.8 * x + 0.2 * A(x)` by it.",
    4.0: "the other way round: 0.8 / 0.2. The weight of `A(x)` is divided by that of `x`.",
    0.16: "0.2 * 0.8 multiplies where one has to divide: make the weight of `x` equal to 1.",
    1.2: "dividing by 0.8 is right, but the weight of `A(x)` is 0.2, not 1.",
    1.25: "1.25 is 1 / 0.8, what both weights are multiplied by: multiply 0.2 by it.",
}  # fmt: skip


@exercise("08.one_dial")
def one_dial(answer: Any) -> Verdict:
    """The alpha of the form "add" that gives the same unit rows as alpha 0.2 of "convex"."""
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
    (lambda **c: _mined(**c)[:, ::-1],
     "right captions in the wrong order: the hardest first."),
    (lambda **c: _mined(**c) + 1,
     "columns count from 0."),
    (lambda **c: _ranked(c["scores"], _others(c), c["k"] + 1),
     "one too many in each row: k are due."),
    (lambda **c: np.take_along_axis(c["scores"], _mined(**c), axis=1),
     "these are the scores of the captions: their columns are due."),
]  # fmt: skip


@exercise("08.hard_negatives", example=_MINING_CASES[0])
def hard_negatives(answer: Callable) -> Verdict:
    """``f(scores, image_groups, text_groups, k) -> (n, k)`` columns, the hardest first."""
    wrong = _first_wrong(answer, _MINING_CASES, _mined, _MINING_MISTAKES)
    return wrong or correct(
        "hard, and wrong for sure as far as the groups know. What the groups do not know, such as "
        "a dish that two recipes share, stays in: look at what was mined."
    )


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
