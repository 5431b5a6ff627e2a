"""Language detection: right where it is sure, unsure where there is nothing to go by."""

import pytest

from helpers.first.prepare.languages import MARGIN, detect_languages
from helpers.world import open_world

TEXTS = {
    "en": "chicken soup with basil on a white plate",
    "de": "Hähnchensuppe mit Basilikum auf einem weißen Teller",
    "es": "sopa de pollo con albahaca en un plato blanco",
    "fr": "soupe au poulet avec du basilic sur une assiette blanche",
    "it": "zuppa di pollo con basilico su un piatto bianco",
}


def test_whole_captions_are_recognized():
    found = detect_languages(list(TEXTS.values()))
    assert [d.language for d in found] == list(TEXTS)
    for d in found:
        assert d.sure
        assert 0 < d.margin <= d.confidence <= 1


@pytest.mark.parametrize("text", ["", "123", "!?", "\N{POT OF FOOD}"])
def test_no_words_are_no_language(text):
    (found,) = detect_languages([text])
    assert not found.sure


def test_the_margin_decides_who_is_sure():
    text = ["masala de tomate"]
    (loose,), (strict,) = (detect_languages(text, margin=m) for m in (0.0, 1.0))
    assert loose.sure
    assert not strict.sure
    assert loose.margin == strict.margin
    (usual,) = detect_languages(text)
    assert usual.sure == (usual.margin >= MARGIN)


def test_only_the_languages_given_are_considered():
    (found,) = detect_languages([TEXTS["fr"]], among=("en", "de"))
    assert found.language in ("en", "de")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 2}, "margin is 2"),
        ({"among": ("en", "xx")}, "'xx' is not known"),
        ({"among": ("en",)}, "needs at least two"),
        ({"among": ("en", "en")}, "needs at least two"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        detect_languages(["soup"], **options)


def test_no_texts():
    assert detect_languages([]) == []


def test_captions_that_were_not_looked_at_for_the_margin():
    world = open_world("kitchen?languages=en,de,es,fr,it", seed=7, n_recipes=120)
    seen = [t for i in range(120) for t in world.truths(i)]
    found = detect_languages([t.plain for t in seen])
    sure = [(d, t) for d, t in zip(found, seen, strict=True) if d.sure]
    assert len(sure) / len(seen) >= 0.95
    assert sum(d.language == t.language for d, t in sure) / len(sure) >= 0.98
