"""Model cards: one template, and no card with an empty field."""

import pytest

from helpers.pretraining import blip2, cars, dual_encoder
from helpers.pretraining.card import card, score_rows

GIVEN = {
    "name": "tiny-clip", "family": "clip", "pipeline": "zero-shot", "summary": "A CLIP.",
    "start": "seeds", "made": {"data": "24 images", "seed": "0"}, "measured": "On 12 recipes.",
    "results": score_rows({"hit@1": {"value": 0.5, "low": 0.25, "high": 0.75}}, first="metric"),
    "limits": "None known.",
}  # fmt: skip


def test_a_card_holds_both_tables():
    text = card(**GIVEN)
    assert text.startswith("---\nlicense: mit\n")
    assert "tags: [tiny, course, clip]" in text
    assert "| data | 24 images |\n| seed | 0 |\n" in text
    assert "| metric | value | 95 % interval |\n| --- | --- | --- |\n| hit@1 | 0.500 |" in text
    assert "| 0.500 | 0.250 to 0.750 |\n\n" in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"limits": " "}, "limits"), ({"made": {"data": ""}}, "data"), ({"made": {}}, "made"),
        ({"made": {"loss": "contrast nan (chance 4.85)"}}, "loss"),
        ({"results": score_rows({}, first="metric")}, "a table"),
        ({"results": [["metric", "value"], ["mrr", "nan"]]}, "mrr"),
    ],
)  # fmt: skip
def test_an_empty_field_or_a_nan_is_refused_by_name(change, named):
    with pytest.raises(ValueError, match=rf"card of tiny-clip: '{named}' is empty or not a number"):
        card(**GIVEN | change)


SCORES = {"hit@1": {"value": 0.5, "low": 0.25, "high": 0.75}}
CARDS = {
    "tiny-siglip": lambda: dual_encoder.card_of(dual_encoder.SETTINGS["tiny-siglip"], 20.0, SCORES),
    "tiny-blip2": lambda: blip2.card_of(
        blip2.Blip2Pretraining(), {"contrast": 2.61, "matching": 0.631}, 7.0, SCORES
    ),
    "tiny-siglip-cars": lambda: cars.card_of(cars.Pretraining(), 30.0, SCORES),
}


@pytest.mark.parametrize("name", CARDS)
def test_every_pretraining_has_a_card_of_the_one_template(name):
    text = CARDS[name]()
    assert f"\n# {name}\n" in text
    assert f"`course pretrain {name}`, from " in text
    assert "| hit@1 | 0.500 | 0.250 to 0.750 |" in text
    assert not [part for part in ("{", "}", "nan", "|  |", "  ") if part in text]


def test_the_chance_of_the_losses_is_that_of_their_targets():
    """128 texts to choose from, and one pair of three that matches: log 128, and its entropy."""
    text = CARDS["tiny-blip2"]()
    assert "contrast 2.61 (chance 4.85), matching 0.631 (chance 0.637)" in text
