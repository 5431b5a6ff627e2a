"""Model cards: one template, and no card with an empty field."""

import pytest

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
