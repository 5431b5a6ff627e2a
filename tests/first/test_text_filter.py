"""Every reason to drop a pair, by hand; the round trip against a naive ranking."""

import numpy as np
import pytest

from helpers.first.models.composed import build_composed
from helpers.first.retrieval.text_filter import (
    KEPT,
    REASONS,
    TextFilter,
    reasons_by_text,
    round_trip_ranks,
    unsupported,
    with_round_trip,
)

CAPTIONS = (("beef soup with basil on a red plate",), ("beef soup with lemon on a red plate",))
GOOD = ("with lemon instead of basil", "with basil instead of lemon")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (GOOD, KEPT),
        (("with lemon instead of…", "with basil"), "unfinished"),
        (("", "with basil"), "too short"),
        (("with lemon", "basil"), "too short"),
        ((" ".join(["lemon"] * 21), "with basil"), "too long"),
        (("on a red plate", "On a  red plate"), "same both ways"),
        (("with olives now", "with basil"), "unsupported attribute"),
        (("with lemon", "with olives instead"), "unsupported attribute"),
        (("on a marble counter", "on a wooden table"), KEPT),  # of tables nothing is said
    ],
)
def test_each_reason(texts, reason):
    assert reasons_by_text([texts], [CAPTIONS], TextFilter()) == [reason]


def test_the_same_text_too_often_is_dropped_from_then_on():
    found = reasons_by_text([GOOD] * 4, [CAPTIONS] * 4, TextFilter(most_alike=2))
    assert found == [KEPT, KEPT, "repeated", "repeated"]


def test_unsupported_needs_both_pictures_to_contradict():
    assert unsupported("with basil", *CAPTIONS) == []
    assert unsupported("no olives", *CAPTIONS) == [("garnish", "olives")]
    assert unsupported("no olives", CAPTIONS[0], ("a soup",)) == []
    assert reasons_by_text([("with olives", "no olives")], [CAPTIONS],
                           TextFilter(supported=False)) == [KEPT]  # fmt: skip


def test_round_trip_ranks_as_a_naive_ranking_does():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 6)).astype(np.float32)
    images = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = np.array([[0, 1], [5, 3], [7, 2]])
    texts = images[[1, 3, 9]], images[[0, 5, 11]]
    found = round_trip_ranks(images, pairs, *texts, build_composed("sum", 6))
    for ranks, (given, wanted), text in zip(found, ((0, 1), (1, 0)), texts, strict=True):
        for i, pair in enumerate(pairs):
            query = images[pair[given]] + text[i]
            scores = images @ (query / np.linalg.norm(query))
            others = [j for j in range(20) if j not in (pair[given], pair[wanted])]
            assert ranks[i] == 1 + sum(scores[j] > scores[pair[wanted]] for j in others)


def test_round_trip_drops_what_was_kept_and_nothing_else():
    ranks = np.array([1.0, 11, 1, 99]), np.array([1.0, 1, 11, 99])
    reasons = [KEPT, KEPT, KEPT, "too long"]
    found = with_round_trip(reasons, ranks, TextFilter(round_trip=10))
    assert found == [KEPT, "round trip forward", "round trip reverse", "too long"]
    assert set(found) - {KEPT} <= set(REASONS)
    assert with_round_trip(reasons, ranks, TextFilter(round_trip=0)) == reasons


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="0 < min_words"):
        TextFilter(min_words=5, max_words=4)
    with pytest.raises(ValueError, match="shorter"):
        reasons_by_text([GOOD], [], TextFilter())
