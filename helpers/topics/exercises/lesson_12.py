"""Checks of lesson 12: what a target holds, what a batch offers, what is trained."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from helpers.topics.exercises.engine import Verdict, ask, correct, exercise, hint

Attributes = Mapping[str, str]

# --- 12.make_it_blue ------------------------------------------------------------------------------


def _dish(text: str) -> dict[str, str]:
    return dict(zip(("dish", "main", "plate"), text.split(), strict=True))


_GALLERY = [
    _dish(text)
    for text in (
        "soup tofu red", "soup tofu blue", "pie tofu blue", "soup beef blue", "soup tofu blue",
        "pie beef red", "pie beef blue",
    )
]  # fmt: skip
_TARGET_CASES = [
    {"reference": 0, "change": {"plate": "blue"}, "gallery": _GALLERY},
    {"reference": 5, "change": {"plate": "blue"}, "gallery": _GALLERY},
    {"reference": 0, "change": {"plate": "blue", "main": "beef"}, "gallery": _GALLERY},
    {"reference": 1, "change": {"plate": "red"}, "gallery": _GALLERY},
    {"reference": 1, "change": {"dish": "pie"}, "gallery": _GALLERY},
]


def _wanted(reference: int, change: Attributes, gallery: Sequence[Attributes]) -> dict[str, str]:
    return {**gallery[reference], **change}


def _targets(reference: int, change: Attributes, gallery: Sequence[Attributes]) -> list[int]:
    want = _wanted(reference, change, gallery)
    return [i for i, one in enumerate(gallery) if one == want and i != reference]


def _only_change(reference: int, change: Attributes, gallery: Sequence[Attributes]) -> list[int]:
    return [
        i
        for i, one in enumerate(gallery)
        if i != reference and all(one[name] == value for name, value in change.items())
    ]


def _only_kept(reference: int, change: Attributes, gallery: Sequence[Attributes]) -> list[int]:
    kept = {name: v for name, v in gallery[reference].items() if name not in change}
    return [
        i
        for i, one in enumerate(gallery)
        if i != reference and all(one[name] == value for name, value in kept.items())
    ]


def _alike(reference: int, change: Attributes, gallery: Sequence[Attributes]) -> list[int]:
    return [i for i, one in enumerate(gallery) if one == gallery[reference]]


def _one_change(reference: int, change: Attributes, gallery: Sequence[Attributes]) -> list[int]:
    first = dict([next(iter(change.items()))])
    return _targets(reference, first, gallery)


_TARGET_MISTAKES: list[tuple[Callable[..., list[int]], str]] = [
    (_only_change,
     "everything blue is in there: \"make it blue\" also says, without words, that all else stays. "
     "This is what text only looks for."),
    (_only_kept,
     "what stays is right, and the change is not asked for: a red one answers \"make it blue\" "
     "no better than the reference. This is what image only looks for."),
    (_alike,
     "these are images like the reference: the change has to be applied first."),
    (lambda **c: sorted({*_targets(**c), c["reference"]}),
     "the reference itself is among the answers: it is what the user has, not what they want."),
    (lambda **c: _targets(**c)[:1],
     "there can be several: every image with the wanted attributes is an answer, and a metric "
     "that knows one of them only punishes the others."),
    (_one_change,
     "only the first change is made: apply all of them."),
    (lambda **c: [i + 1 for i in _targets(**c)],
     "rows count from 0."),
]  # fmt: skip


@exercise(example=_TARGET_CASES[0])
def make_it_blue(answer: Callable) -> Verdict:
    """``f(reference, change, gallery) -> rows`` of ``gallery`` that answer; reference is a row."""
    given = [_rows(ask(answer, **case)) for case in _TARGET_CASES]
    return _judge(given, _TARGET_CASES, _targets, _TARGET_MISTAKES) or correct(
        "a target has what the text asks for and keeps what it does not mention. Benchmarks with "
        "photographs know one target of each query and can only hope that there is no second."
    )


# --- 12.negatives_in_a_batch ----------------------------------------------------------------------

_BATCH_CASES = [
    {"drawn": list(range(128)), "answers": [{i} for i in range(128)]},
    {"drawn": [0, 1, 2, 3], "answers": [{0}, {1}, {2}, {3}]},
    {"drawn": [7, 7, 8, 9], "answers": [{7}, {7}, {8}, {9}]},
    {"drawn": [4, 5, 6], "answers": [{4, 5}, {5}, {6, 4}]},
    {"drawn": [1, 1, 2, 3, 3], "answers": [{1, 2}, {1}, {2}, {3, 9}, {3}]},
]


def _negatives(drawn: Sequence[int], answers: Sequence[set[int]]) -> list[int]:
    return [len(set(drawn) - set(right)) for right in answers]


_BATCH_MISTAKES: list[tuple[Callable[..., list[int]], str]] = [
    (lambda drawn, answers: [len(drawn) - 1 for _ in answers],
     "b - 1 holds where all targets differ and each answers one query alone. Here a target is "
     "drawn twice, or answers two queries."),
    (lambda drawn, answers: [len(set(drawn)) - 1 for _ in answers],
     "a target of another query can be right for this one too: leave out everything that answers "
     "it, not only the one that was drawn for it."),
    (lambda drawn, answers: [sum(t not in right for t in drawn) for right in answers],
     "a target that was drawn twice is one column of the softmax: count different targets."),
    (lambda drawn, answers: [len(set(drawn)) for _ in answers],
     "these are all columns: a query's own target is no negative."),
    (lambda drawn, answers: [len(drawn) for _ in answers],
     "this is the size of the batch: a query's own target is no negative."),
    (lambda drawn, answers: [2 * (len(drawn) - 1) for _ in answers],
     "both directions are counted: this loss goes from query to target only."),
    (lambda drawn, answers: [len(drawn) * (len(drawn) - 1) for _ in answers],
     "these are the wrong pairs of the whole batch: count for each query."),
    (lambda drawn, answers: [len(set(drawn) & set(right)) for right in answers],
     "these are the positives."),
]  # fmt: skip


@exercise(example=_BATCH_CASES[0])
def negatives_in_a_batch(answer: Callable) -> Verdict:
    """``f(drawn, answers) -> (b,)`` different targets of the batch that do not answer a query."""
    given = [_rows(ask(answer, **case)) for case in _BATCH_CASES]
    return _judge(given, _BATCH_CASES, _negatives, _BATCH_MISTAKES) or correct(
        "127 in a batch of 128, as long as nothing repeats. Accumulating over 32 batches of 4 "
        "would leave 3 (lesson 04), and a target that is right for two queries is not to be "
        "pushed away from either."
    )


# --- 12.why_the_qformer ---------------------------------------------------------------------------

STATEMENTS = {
    "a": "The language model writes already; a few thousand triplets could only unteach it.",
    "b": "What is frozen needs no gradients and no optimizer state: seven billion numbers less.",
    "c": "The Q-Former decides what of the two images the language model gets to see.",
    "d": "The image encoder cannot be trained, because it has no gradient.",
    "e": "With a frozen language model the texts cannot be wrong.",
}
_REASONS = {
    "a": "`a` is a reason: full fine-tuning of a large language model on few triplets costs it "
         "fluency and breadth.",
    "b": "`b` is a reason: only what is trained needs gradients and the two moments of Adam.",
    "c": "`c` is a reason: all that the language model knows of the images comes through it, so "
         "this is where *what differs* has to be learned.",
    "d": "`d` is no reason: the encoder has gradients, and its last layers are often trained.",
    "e": "`e` is no reason: a frozen language model writes fluently about what it was shown "
         "wrongly. That is what a hallucination is.",
}  # fmt: skip


@exercise()
def why_the_qformer(answer: Any) -> Verdict:
    """The letters of the reasons for training the Q-Former alone."""
    letters = answer if isinstance(answer, str) else list(answer) if _many(answer) else None
    if letters is None or not all(isinstance(x, str) for x in letters):
        return hint(f"answer with letters, such as `{{'a', 'b'}}`; you gave {answer!r}.")
    chosen = {x.strip().lower() for x in letters if x.strip(" ,")}
    if unknown := sorted(chosen - set(STATEMENTS)):
        return hint(f"{unknown[0]!r} is none of {', '.join(STATEMENTS)}.")
    for letter in STATEMENTS:
        if (letter in chosen) != (letter in "abc"):
            return hint(_REASONS[letter])
    return correct(
        "it is the narrow gate between eyes and mouth: small enough for few triplets, and all that "
        "has to change to see two images instead of one."
    )


def _many(answer: Any) -> bool:
    return isinstance(answer, Iterable) and not isinstance(answer, bytes)


def _rows(result: Any) -> list[int]:
    """The answer as whole numbers in order; ``[-1]``, which is right nowhere, where it has none."""
    try:
        return [int(x) for x in result]
    except (TypeError, ValueError):
        return [-1]


def _judge(
    given: Sequence[list[int]],
    cases: Sequence[Mapping[str, Any]],
    right: Callable[..., list[int]],
    mistakes: Sequence[tuple[Callable[..., list[int]], str]],
) -> Verdict | None:
    """A hint on the first wrong case, by the mistake that explains most cases; else None."""
    wrong = [i for i, case in enumerate(cases) if given[i] != right(**case)]
    if not wrong:
        return None
    first = wrong[0]
    fits = [
        [g == mistake(**c) for g, c in zip(given, cases, strict=True)] for mistake, _ in mistakes
    ]
    likely = [i for i, same in enumerate(fits) if same[first]]
    if likely:
        return hint(mistakes[max(likely, key=lambda i: sum(fits[i]))][1])
    if sorted(given[first]) == sorted(right(**cases[first])):
        return hint("these are the right ones in another order: keep that of the input.")
    return hint(
        f"case {first + 1}: {right(**cases[first])[:8]} is due and you gave {given[first][:8]}."
    )
