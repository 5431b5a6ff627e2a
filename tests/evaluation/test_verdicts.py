"""The rules of judging, over a grid of every case: one verdict each, and the same in the mirror."""

from itertools import product

import numpy as np
import pytest

from helpers.evaluation.stats import VERDICTS, verdict

GRID = [-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]
CASES = [
    (value / 100, low / 100, high / 100, p, margin / 100, reported)
    for low, value, high in product(GRID, repeat=3)
    if low <= value <= high
    for p in (0.0, 0.05, 0.051, 1.0)
    for margin in (0.5, 1.0, 2.0)
    for reported in (None, 0.005, 0.02)
]


def rule(value, low, high, p, kind, margin, reported):
    """The table of the rules, written once more row by row: the names of all that hold."""
    shown, within = p <= 0.05 and value != 0, -margin <= low and high <= margin
    if kind == "same":
        away = shown and (low > margin or high < -margin)
        rows = {"supported": within, "contradicted": away and not within,
                "undecided": not within and not away}  # fmt: skip
    else:
        excluded = reported is not None and high < reported
        rows = {
            "supported": shown and value > 0,
            "contradicted": shown and value < 0,
            "equivalent": not shown and within,
            "reported size excluded": not shown and not within and excluded,
            "undecided": not shown and not within and not excluded,
        }
    return [name for name, holds in rows.items() if holds]


@pytest.mark.parametrize("kind", ["higher", "lower", "same"])
def test_exactly_one_verdict_holds_and_it_is_the_one_given(kind):
    for value, low, high, p, margin, reported in CASES:
        if kind == "lower":
            value, low, high = -value, -high, -low
        given = None if kind == "same" else reported
        found = verdict(value, low, high, p, kind=kind, margin=margin,
                        reported=-given if given and kind == "lower" else given)  # fmt: skip
        oriented = (-value, -high, -low) if kind == "lower" else (value, low, high)
        assert rule(*oriented, p, kind, margin, given) == [found.name]
        assert found.name in VERDICTS


def test_a_mirrored_claim_gets_the_same_verdict():
    for value, low, high, p, margin, reported in CASES:
        higher = verdict(value, low, high, p, kind="higher", margin=margin, reported=reported)
        mirrored = verdict(
            -value, -high, -low, p, kind="lower", margin=margin,
            reported=None if reported is None else -reported,
        )  # fmt: skip
        assert (higher.name, higher.size) == (mirrored.name, mirrored.size)


def test_a_smaller_error_undoes_no_verdict():
    """At an equal difference a narrower interval with a smaller p keeps what was decided."""
    decided = {"supported", "contradicted", "equivalent"}
    for value in np.array(GRID) / 100:
        for wide in (0.004, 0.008, 0.02):
            for p in (0.01, 0.2):
                first = verdict(value, value - wide, value + wide, p, kind="same", margin=0.01)
                second = verdict(
                    value, value - wide / 2, value + wide / 2, p / 10, kind="same", margin=0.01
                )
                if first.name in decided:
                    assert second.name == first.name


@pytest.mark.parametrize(
    ("numbers", "kind", "margin", "reported", "name", "size"),
    [
        ((-0.07, -0.53, 0.38, 0.7), "higher", 1, 1.11, "equivalent", "smaller than reported"),
        ((-0.13, -1.38, 1.12, 0.8), "higher", 1, 0.95, "undecided", "as reported"),
        ((-0.13, -1.22, 0.92, 0.8), "higher", 1, 0.95, "reported size excluded",
         "smaller than reported"),
        ((0.4, -1.3, 2.1, 0.6), "higher", 2, 13.65, "reported size excluded",
         "smaller than reported"),
        ((11.5, 9.0, 14.0, 0.0001), "higher", 1, 2.4, "supported", "larger than reported"),
        ((-7.0, -8.0, -6.0, 0.0001), "lower", 2, None, "supported", ""),
        ((7.0, 6.0, 8.0, 0.0001), "same", 5, None, "contradicted", ""),
        ((0.3, -0.2, 0.8, 0.2), "same", 1, None, "supported", ""),
    ],
)  # fmt: skip
def test_examples(numbers, kind, margin, reported, name, size):
    value, low, high, p = numbers
    found = verdict(
        value / 100, low / 100, high / 100, p, kind=kind, margin=margin / 100,
        reported=None if reported is None else reported / 100, detectable=0.018,
    )  # fmt: skip
    assert (found.name, found.size) == (name, size)


def test_the_text_says_what_could_have_been_shown():
    found = verdict(-0.0013, -0.0138, 0.0112, 0.8, kind="higher", margin=0.01, detectable=0.018)
    assert found.text == "undecided (could have shown 1.8 points)"


def test_a_shown_difference_that_is_too_small_to_matter_says_so():
    found = verdict(0.004, 0.002, 0.006, 0.001, kind="higher", margin=0.01)
    assert found.text == "supported, within ±1 points"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 0}, "margin"),
        ({"low": 0.5}, "does not hold"),
        ({"reported": -0.01}, "not what 'higher' expects"),
    ],
)
def test_nonsense_is_refused(change, message):
    asked = {"value": 0.1, "low": 0.0, "high": 0.2, "p": 0.5, "kind": "higher", "margin": 0.01}
    with pytest.raises(ValueError, match=message):
        verdict(**asked | change)
