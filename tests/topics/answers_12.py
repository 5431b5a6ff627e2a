"""Answers to the exercises of lesson 12: right ones, and mistakes with their hints."""

import numpy as np

# --- 12.make_it_blue ------------------------------------------------------------------------------


def targets_right(reference, change, gallery):
    want = dict(gallery[reference])
    want.update(change)
    return [i for i in range(len(gallery)) if gallery[i] == want and i != reference]


def targets_as_array(reference, change, gallery):
    return np.array(targets_right(reference, change, gallery), dtype=np.int64)


def targets_of_text(reference, change, gallery):
    return [i for i, one in enumerate(gallery) if i != reference and change.items() <= one.items()]


def targets_of_image(reference, change, gallery):
    kept = {k: v for k, v in gallery[reference].items() if k not in change}
    return [i for i, one in enumerate(gallery) if i != reference and kept.items() <= one.items()]


def targets_with_reference(reference, change, gallery):
    return sorted([*targets_right(reference, change, gallery), reference])


TARGET_MISTAKES = [
    (targets_of_text, "text only"),
    (targets_of_image, "image only"),
    (lambda r, c, g: [i for i, one in enumerate(g) if one == g[r]], "like the reference"),
    (targets_with_reference, "the reference itself"),
    (lambda r, c, g: targets_right(r, c, g)[:1], "several"),
    (lambda r, c, g: targets_right(r, dict(list(c.items())[:1]), g), "only the first change"),
    (lambda r, c, g: [i + 1 for i in targets_right(r, c, g)], "count from 0"),
    (lambda r, c, g: targets_right(r, c, g)[::-1], "another order"),
    (lambda r, c, g: [], r"is due and you gave \[\]"),
    (lambda r, c, g: "blue", r"you gave \[-1\]"),
]

# --- 12.negatives_in_a_batch ----------------------------------------------------------------------


def negatives_right(drawn, answers):
    found = []
    for right in answers:
        found.append(sum(1 for target in set(drawn) if target not in right))
    return found


BATCH_MISTAKES = [
    (lambda drawn, answers: [len(drawn) - 1] * len(answers), "b - 1 holds"),
    (lambda drawn, answers: [len(set(drawn)) - 1] * len(answers), "right for this one too"),
    (lambda drawn, answers: [sum(t not in a for t in drawn) for a in answers], "drawn twice is"),
    (lambda drawn, answers: [len(set(drawn))] * len(answers), "all columns"),
    (lambda drawn, answers: [len(drawn)] * len(answers), "all columns|size of the batch"),
    (lambda drawn, answers: [2 * len(drawn) - 2] * len(answers), "both directions"),
    (lambda drawn, answers: [len(drawn) * (len(drawn) - 1)] * len(answers), "whole batch"),
    (lambda drawn, answers: [len(a & set(drawn)) for a in answers], "the positives"),
    (lambda drawn, answers: [3] * len(answers), "is due"),
    (lambda drawn, answers: 127, "is due"),
]

RIGHT = {
    "12.make_it_blue": [targets_right, targets_as_array],
    "12.negatives_in_a_batch": [
        negatives_right,
        lambda drawn, answers: np.array([len(set(drawn) - a) for a in answers]),
    ],
    "12.why_the_qformer": [{"a", "b", "c"}, "abc", ["A", "B", "C"], "a, b, c"],
}
WRONG = {
    "12.make_it_blue": TARGET_MISTAKES,
    "12.negatives_in_a_batch": BATCH_MISTAKES,
    "12.why_the_qformer": [
        ({"b", "c"}, "`a` is a reason"), ({"a", "c"}, "`b` is a reason"),
        ({"a", "b"}, "`c` is a reason"), ({"a", "b", "c", "d"}, "`d` is no reason"),
        ("abce", "`e` is no reason"), ("abx", "none of"), (7, "with letters"),
        ([1, 2], "with letters"),
    ],
}  # fmt: skip
