import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.records import collapse, first_sentence, ingredient_name, main_ingredients


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", ""),
        ("A soup. Serve hot.", "A soup."),
        ("It is 1.5 hours of work! Yes.", "It is 1.5 hours of work!"),
        ("Pork, e.g. Belly is best. More.", "Pork, e.g. Belly is best."),
        (
            "A **bold** [pie](/pie) with `code`\nand a break. Next",
            "A bold pie with code and a break.",
        ),
        ("![photo](x.jpg)\n\n# A title\n\nText.", "A title"),
        ("Made with a waffle maker:", "Made with a waffle maker"),
        ("snake_case_name stays. So", "snake_case_name stays."),
        ("Ready… and done. Next.", "Ready… and done."),
    ],
)
def test_first_sentence(text, want):
    assert first_sentence(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("~150g (1/3 lb) bacon cubes", "bacon cubes"),
        ("1 - 2L (1/4 - 1/2 gal) milk", "milk"),
        ("2 and 1/4 teaspoons Active Dry Yeast", "active dry yeast"),
        ("Butter Melted 2 tbsp", "butter melted"),
        ("Boneless Chicken 1/2lb, cubed", "boneless chicken"),
        ("Spaghetti: 320 g | 11 oz", "spaghetti"),
        ("1¾ cups of flour", "flour"),
        ("½ tsp paprika powder", "paprika powder"),
        ("salt to taste", "salt"),
        ("2 small/medium-sized potatoes", "potatoes"),
        ("Puff pastry", "puff pastry"),
        ("100 g", ""),
        ("100 g / ½ cups butter", "butter"),
        ("250ml/1 cup milk", "milk"),
        ("200 g or 1 cup sugar", "sugar"),
        ("4 eggs", "eggs"),
        ("one onion", "onion"),
        ("apples", "apples"),
    ],
)
def test_ingredient_name(text, want):
    assert ingredient_name(text) == want


def test_main_ingredients_are_at_most_three_and_no_staples():
    assert main_ingredients(("salt", "1 egg", "water", "egg", "2 cups flour")) == "egg and flour"
    assert main_ingredients(("a b", "b c", "c d", "d e")).count(" and ") == 1
    assert main_ingredients(("salt",)) == main_ingredients(()) == ""


@given(st.text())
def test_any_text_gives_one_line(text):
    for made in (collapse(text), first_sentence(text), ingredient_name(text)):
        assert made == " ".join(made.split())
