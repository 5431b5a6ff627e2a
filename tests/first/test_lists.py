"""Lists in parameters: spaces, doubles, and what is refused by name."""

import pytest

from helpers.first.studies.lists import numbers, whole_numbers, words


def test_spaces_and_doubles_do_not_matter():
    assert words(" sushi, maki ,sushi,") == ["sushi", "maki"]
    assert words("") == []
    assert numbers("0.5, 1e-3,0.50", "rates") == [0.001, 0.5]
    assert whole_numbers("200, 50,50", "sizes") == [50, 200]


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty"), ("0.1, many", "could not convert"), ("1;2", "'1;2'")]
)
def test_what_is_no_number_is_named(text, said):
    with pytest.raises(ValueError, match=f"parameter alphas.*{said}"):
        numbers(text, "alphas")


@pytest.mark.parametrize("text", ["", "0.5", "8.7", "50;200", "1", "-8", "many", "²"])
def test_what_is_no_whole_number_is_named_with_the_remedy(text):
    with pytest.raises(ValueError, match=r"parameter widths is .*whole numbers of at least 2 with"):
        whole_numbers(text, "widths", least=2)
