"""ROUGE-L and METEOR against values worked out by hand, and as bounds of what they can be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.evaluation.text_overlap import NoSynonyms, meteor, rouge_1, rouge_l

SENTENCES = st.lists(st.sampled_from(["red", "plate", "on", "tofu", "basil"]), min_size=1).map(
    " ".join
)


def test_rouge_by_hand():
    """Common subsequence "with tofu": precision 2/2, recall 2/5, F = 4/7."""
    assert rouge_l("with tofu", ["with tofu instead of beef"]) == pytest.approx(4 / 7)
    assert rouge_1("tofu with", ["with tofu instead of beef"]) == pytest.approx(4 / 7)  # any order
    assert rouge_l("tofu with", ["with tofu instead of beef"]) == pytest.approx(2 / 7)  # 1/2, 1/5
    assert rouge_l("With prawn", ["with prawns"]) == 1.0  # case and stem
    assert rouge_l("", ["with tofu"]) == 0.0


def test_the_best_reference_counts():
    both = ["with tofu instead of beef", "with tofu"]
    assert rouge_l("with tofu", both) == meteor_free(rouge_l, both) == 1.0
    assert meteor("with tofu", both) == max(meteor("with tofu", [r]) for r in both)


def meteor_free(score, references):
    """The same by its definition."""
    return max(score("with tofu", [reference]) for reference in references)


def test_meteor_by_hand():
    """Two of two words in one chunk: F 1, penalty 0.5 (1/2)^3 = 0.0625."""
    assert meteor("with tofu", ["with tofu"]) == pytest.approx(0.9375)
    # Matched 2, precision 1, recall 2/4: F = 10 P R / (R + 9 P) = 5 / 9.5, the same penalty.
    assert meteor("with tofu", ["with tofu and basil"]) == pytest.approx(5 / 9.5 * 0.9375)
    assert meteor("on marble", ["with tofu"]) == 0.0
    assert meteor("", ["with tofu"]) == 0.0


def test_no_synonym_is_known():
    """With WordNet "beef" and "boeuf" would match; here only the word and its stem do."""
    assert NoSynonyms().synsets("beef") == []
    assert meteor("broth", ["soup"]) == 0.0
    assert meteor("tomatoes", ["tomatoes"]) > meteor("tomato", ["tomatoes"]) - 1e-9 > 0


@settings(max_examples=40, deadline=None)
@given(SENTENCES, SENTENCES)
def test_both_are_shares_and_an_equal_text_is_best(text, other):
    for score in (rouge_1, rouge_l, meteor):
        assert 0 <= score(text, [other]) <= score(other, [other]) + 1e-9 <= 1 + 2e-9


def test_a_text_in_the_place_of_a_list_is_refused():
    for references in ("with tofu", []):
        with pytest.raises(ValueError, match="at least one text"):
            rouge_l("with tofu", references)
        with pytest.raises(ValueError, match="at least one text"):
            meteor("with tofu", references)
