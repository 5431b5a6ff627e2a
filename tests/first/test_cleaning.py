"""The whole pipeline for captions, as a function and as an artefact of a zone; the real recipes."""

from collections import Counter

import pytest

from helpers.data.pairs import ensure_pairs, read_pairs, retrieval_set
from helpers.data.records import Recipe, captions_of
from helpers.data.sources import open_source
from helpers.first.evaluation.intervals import wilson_interval
from helpers.first.prepare.cleaning import (
    CAPTIONS,
    COLUMNS,
    TEST,
    TRAIN,
    clean_captions,
    cleaning_counts,
    ensure_cleaned,
)
from helpers.first.prepare.crawled import TRUTH_COLUMNS, crawled_pairs
from helpers.first.prepare.translation import Translation
from helpers.store.zones import open_zone
from helpers.world import open_world


class Shouting:
    """A translator that knows every word but one, and is asked a language at a time."""

    name = fingerprint = "shouting"

    def __init__(self, languages=()):
        self.languages = languages
        self.asked = []

    def translate(self, texts, language):
        self.asked.append((language, list(texts)))
        return [
            Translation(t, ("dragón",)) if "dragón" in t else Translation(t.upper()) for t in texts
        ]


SPANISH = "sopa de pollo casera con albahaca en un plato blanco"
GERMAN = "Suppe mit Hähnchen und Petersilie auf einem Teller aus Holz"
PORTUGUESE = "uma fotografia de sopa de galinha com manjericão e não muito mais"


def test_noise_goes_then_the_language_is_found_then_it_is_translated():
    (one,) = clean_captions([f"1. <b>{SPANISH}</b> #rico"])
    assert one.text == "homemade chicken soup with basil on a white plate"
    assert (one.language, one.translated, one.changed, one.flags) == ("es", True, True, ())
    assert one.noise.rules == ("html", "hashtags", "numbering")


def test_each_language_is_translated_once_and_everything_keeps_its_place():
    texts = [SPANISH, "chicken soup", GERMAN, f"{SPANISH} con perejil"]
    translator = Shouting()
    found = clean_captions(texts, translator=translator)
    assert [language for language, _ in translator.asked] == ["de", "es"]
    assert [c.original for c in found] == texts
    assert [c.text for c in found] == [
        SPANISH.upper(), "chicken soup", GERMAN.upper(), f"{SPANISH} con perejil".upper(),
    ]  # fmt: skip


def test_a_flagged_caption_keeps_its_original_noise_and_all():
    original = f"<b>{SPANISH} y dragón</b>"
    (one,) = clean_captions([original], translator=Shouting())
    assert (one.text, one.changed, one.translated) == (original, False, False)
    assert one.flags == ("untranslated: dragón",)


def test_a_language_that_the_translator_does_not_take_is_flagged():
    (one,) = clean_captions([PORTUGUESE])
    assert (one.text, one.language, one.flags) == (PORTUGUESE, "pt", ("no translator: pt",))
    (one,) = clean_captions([PORTUGUESE], translator=Shouting())
    assert one.text == PORTUGUESE.upper()


def test_an_unsure_language_is_flagged_unless_the_source_declares_it():
    text, most = "<i>radicchio parmentier</i>", {"margin": 1.0}
    (unsure,) = clean_captions([text], **most)
    assert (unsure.text, unsure.language, unsure.flags) == (text, "und", ("language unsure",))
    for nothing in ("", "und", "xx"):
        assert clean_captions([text], declared=[nothing], **most) == [unsure]
    (declared,) = clean_captions([text], declared=["en"], **most)
    assert (declared.text, declared.language) == ("radicchio parmentier", "en")


def test_the_detector_has_to_be_very_sure_to_overrule_the_source():
    (kept,) = clean_captions(["Apple Pie"], declared=["en"])
    assert (kept.text, kept.language, kept.flags) == ("Apple Pie", "en", ())
    (overruled,) = clean_captions([GERMAN], declared=["en"], translator=Shouting())
    assert overruled.language == "de"


def test_nothing_to_clean():
    assert clean_captions([]) == []
    assert cleaning_counts([])["captions"] == 0
    with pytest.raises(ValueError, match="zip"):
        clean_captions(["a", "b"], declared=["en"])


def test_counts_add_up():
    found = clean_captions([SPANISH, "<b>soup</b> #yum", "tofu pie", "Drachensuppe mit Feuer"])
    counts = cleaning_counts(found)
    assert (counts["captions"], counts["changed"], counts["flagged"]) == (4, 2, 1)
    assert counts["rule: html"] == counts["rule: hashtags"] == counts["translated"] == 1
    languages = sum(n for name, n in counts.items() if name.startswith("language: "))
    assert languages == counts["captions"]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("cleaning") / "z"))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=40, progress=False)
    return pairs, *crawled_pairs(pairs, source="world:kitchen", max_recipes=40)


def test_crawled_pairs_have_the_same_pictures_and_other_captions(crawled):
    pairs, found, truth = crawled
    assert set(found.all["image_key"]) == set(pairs.all["image_key"])
    assert list(found.all.columns) == list(pairs.all.columns)
    assert list(truth.columns) == list(TRUTH_COLUMNS)
    split = dict(zip(pairs.all["recipe_id"], pairs.all["split"], strict=True))
    assert dict(zip(found.all["recipe_id"], found.all["split"], strict=True)) == split
    said = set(zip(pairs.all["recipe_id"], pairs.all["caption"], strict=True))
    assert set(zip(truth["recipe_id"], truth["clean"], strict=True)) <= said
    assert found.manifest.fingerprint != pairs.manifest.fingerprint
    assert set(found.all["language"]) == {"und"}


def test_other_sources_keep_their_captions(crawled):
    pairs = crawled[0]
    same, truth = crawled_pairs(pairs, source="world:kitchen", captions="clean", max_recipes=40)
    assert set(same.all["caption"]) == set(pairs.all["caption"])
    assert (truth["caption"] == truth["clean"]).all()
    general, truth = crawled_pairs(pairs, source="world:general", max_recipes=3)
    assert general is pairs
    assert truth.empty


def test_the_artefact_keeps_originals_rules_and_flags(crawled):
    _, found, truth = crawled
    cleaned = ensure_cleaned(found)
    zone = found.zone
    assert tuple(cleaned.captions.columns) == COLUMNS
    assert len(cleaned.captions) == len(truth) == cleaned.counts["captions"]
    assert set(cleaned.captions["original"]) == set(truth["caption"])
    flagged = cleaned.captions[cleaned.captions["flags"] != ""]
    assert len(flagged) == cleaned.counts["flagged"] > 0
    assert (flagged["original"] == flagged["caption"]).all()
    assert set(cleaned.manifest.files) >= {CAPTIONS, TRAIN, TEST}
    train, test = (read_pairs(zone.read_text(key)) for key in (TRAIN, TEST))
    assert set(test["split"]) == {"test"}
    assert set(train["split"]) == {"train", "validation"}
    assert len(cleaned.pairs.all) == len(train) + len(test)


def test_cleaned_pairs_are_pairs(crawled):
    _, found, _ = crawled
    cleaned = ensure_cleaned(found).pairs
    assert cleaned.image(cleaned.all["image_key"].iloc[0]).size[0] > 0
    assert not cleaned.all.duplicated(["image_key", "caption"]).any()
    assert set(cleaned.all["image_key"]) == set(found.all["image_key"])
    assert len(retrieval_set(cleaned.test).captions) <= len(retrieval_set(found.test).captions)
    assert set(cleaned.all["language"]) == {"en", "und"}


def test_it_is_made_once_and_anew_for_another_translator(crawled, monkeypatch):
    _, found, _ = crawled
    first = ensure_cleaned(found)
    monkeypatch.setattr("helpers.first.prepare.cleaning.clean_captions", None)
    assert ensure_cleaned(found).manifest.fingerprint == first.manifest.fingerprint
    monkeypatch.undo()
    other = ensure_cleaned(found, translator=Shouting())
    assert other.manifest.fingerprint != first.manifest.fingerprint
    assert other.counts["flagged"] < first.counts["flagged"]
    assert ensure_cleaned(found).counts == first.counts


def test_clean_english_captions_are_left_alone():
    """At least 99 % of captions that were not looked at, by the lower end of Wilson's interval."""
    world = open_world("kitchen", seed=7, n_recipes=160)
    texts = [c.text for r in world.recipes() for c in r.captions]
    left = sum(not c.changed and not c.flags for c in clean_captions(texts))
    assert wilson_interval(left, len(texts)).low >= 0.99


def test_unseen_captions_come_out_as_the_clean_ones():
    world = open_world("kitchen?captions=mixed", seed=7, n_recipes=160)
    seen = [t for i in range(160) for t in world.truths(i)]
    found = clean_captions([t.text for t in seen])
    right, of, wrong = Counter(), Counter(), Counter()
    for one, truth in zip(found, seen, strict=True):
        of[truth.writer] += 1
        right[truth.writer] += one.text == truth.clean
        wrong[truth.writer] += one.text != truth.clean and not one.flags
    assert right[0] / of[0] >= 0.95
    assert wrong[0] / of[0] <= 0.04  # German plurals
    assert wrong[1] / of[1] <= 0.06  # boilerplate that no rule knows


def test_real_english_captions_are_left_alone(real_recipes):
    recipes = [r for r in open_source(str(real_recipes)).recipes() if isinstance(r, Recipe)]
    captions = [c for r in recipes for c in captions_of(r)]
    found = clean_captions([c.text for c in captions], declared=[c.language for c in captions])
    changed = {c.original: c.text for c in found if c.changed}
    assert len(changed) / len(found) <= 0.01
    assert changed == {
        "A delicious home made hamburger dressing \N{HAMBURGER}":
            "A delicious home made hamburger dressing",
        "Pan pizza gives a thick and crispy crust \N{SLICE OF PIZZA}.":
            "Pan pizza gives a thick and crispy crust.",
        "Crostata": "tart",
    }  # fmt: skip
    assert sum(bool(c.flags) for c in found) / len(found) <= 0.06
