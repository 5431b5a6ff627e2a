"""Captions: what each rule takes, the language, the glossary, and cleaning as an artefact."""

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.pairs import ensure_pairs, read_pairs
from helpers.store.artefacts import read_manifest
from helpers.store.zones import open_zone
from helpers.topics.captions import cleaning
from helpers.topics.captions.cleaning import (
    CAPTIONS,
    COLUMNS,
    MARGIN,
    TEST,
    TRAIN,
    TRUTH,
    crawled_pairs,
    detect_languages,
    ensure_cleaned,
    with_truth,
)
from helpers.topics.captions.glossary import LANGUAGES, Glossary
from helpers.topics.captions.noise import MISREAD, SPACING, remove_noise, rules
from helpers.topics.captions.translators import Translation
from helpers.world import open_world

GLOSSARY = Glossary()

CLEAN = [
    "chicken soup with basil, on a white plate", "crème brûlée", "Älplermagronen (Alpine macaroni)",
    "#1 chili", "fish & chips", "7-Up cake", "3 cheese pizza", "rice for 2 < 3 people > 1",
    "a.k.a. pie", "Mac'n'cheese: the best!", "50/50 bread | rye", "1.5 kg beef", "half & half",
    "C) not a list", "soup - hot", "@ home", "recipe of my aunt", "no. of eggs", "œufs à l'été",
    "Recettes et vins", "AT&T", "a_b", "e.g. tofu/rice", "copyrighted? no", "pizza :",
]  # fmt: skip


@pytest.mark.parametrize("text", CLEAN)
def test_clean_captions_stay_as_they_are(text):
    assert remove_noise(text) == (text, {})


@pytest.mark.parametrize(
    ("noisy", "clean", "names"),
    [
        ("<p>soup</p>", "soup", ["html"]),
        ("soup<br/>with &amp; without", "soup with & without", ["html"]),
        ("soup <!-- a\nremark -->", "soup", ["html"]),
        ("soup https://example.com/a?b=1", "soup", ["url"]),
        ("soup (www.example.com)", "soup", ["url"]),
        ("[tofu soup](https://example.com) hot", "tofu soup hot", ["url"]),
        ("soup #yum #so_good2 @me", "soup", ["hashtags"]),
        ("soup \N{POT OF FOOD}.", "soup.", ["emoji"]),
        ("soup :-)", "soup", ["emoji"]),
        ("3. soup", "soup", ["numbering"]),
        ("Fig. 4: soup", "soup", ["numbering"]),
        ("Recipe: soup | Easy Recipes", "soup", ["boilerplate"]),
        ("sopa - haz clic aquí para ver la receta", "sopa", ["boilerplate"]),
        ("Recette : soupe", "soupe", ["boilerplate"]),
        ("crÃªpes", "crêpes", ["mojibake"]),
        ("crÃƒÂªpes", "crêpes", ["mojibake"]),
        ("tofuÂ\xa0soup", "tofu soup", ["mojibake"]),
        ("two  blanks ", "two blanks", ["spacing"]),
        ("1. <b>soup</b> #yum", "soup", ["html", "hashtags", "numbering"]),
    ],
)
def test_a_rule_takes_its_noise(noisy, clean, names):
    text, removed = remove_noise(noisy)
    assert text == clean
    assert list(removed) == names


def test_what_was_removed_is_said():
    assert remove_noise("soup #yum #hot")[1] == {"hashtags": "#yum #hot"}
    assert remove_noise("crÃªpes au miel")[1] == {"mojibake": "crÃªpes"}


@given(st.text(max_size=60))
def test_no_rule_means_not_a_byte_changed_and_rules_are_known(text):
    after, removed = remove_noise(text)
    assert after == text or removed
    assert set(removed) <= {MISREAD, *rules(), SPACING}


@pytest.mark.parametrize("piece", [" ", "<!--", "<b ", "(", "#", "- ", "| ", "a.", "www.", "a@"])
def test_long_runs_of_anything_come_to_an_end(piece):
    text = "soup " + piece * 20_000 + " soup"
    assert remove_noise(text)[0].startswith("soup")


TEXTS = {
    "en": "chicken soup with basil on a white plate",
    "de": "Hähnchensuppe mit Basilikum auf einem weißen Teller",
    "es": "sopa de pollo con albahaca en un plato blanco",
    "fr": "soupe au poulet avec du basilic sur une assiette blanche",
    "it": "zuppa di pollo con basilico su un piatto bianco",
}


def test_whole_captions_are_recognized_and_letters_alone_decide():
    found = detect_languages(list(TEXTS.values()))
    assert [language for language, _ in found] == list(TEXTS)
    assert all(margin >= MARGIN for _, margin in found)
    assert all(margin < MARGIN for _, margin in detect_languages(["", "123", "!?"]))
    assert detect_languages([]) == []


@pytest.mark.parametrize(
    ("language", "foreign", "english"),
    [
        ("de", "Hähnchensuppe", "chicken soup"),
        ("de", "Lachs-Maki-Rollen", "salmon maki rolls"),
        ("de", "gebratener Tofureis mit Käse", "tofu fried rice with cheese"),
        ("de", "frische Suppe mit geriebenem Käse obendrauf",
         "fresh soup with grated cheese on top"),
        ("de", "Riesengarnelen-Curry", "prawn curry"),
        ("es", "sopa de pollo casera", "homemade chicken soup"),
        ("es", "sopa de huevos fritos fresca", "fresh fried egg soup"),
        ("es", "hojas verdes de huevos fritos", "leafy greens with fried eggs"),
        ("es", "pizza en salsa de soja, en un plato rojo redondo, en una mesa de madera",
         "pizza in soy sauce, on a red round plate, on a wooden table"),
        ("es", "tacos cubiertos de pesto", "tacos covered in pesto"),
        ("fr", "soupe au poulet au pesto", "chicken soup in pesto"),
        ("fr", "salade d’œuf", "egg salad"),
        ("fr", "brochettes garnies d'olives noires", "skewers garnished with black olives"),
        ("it", "zuppa all'uovo fatta in casa", "homemade egg soup"),
        ("it", "pizza ai funghi in salsa rossa, su un tavolo di legno",
         "mushroom pizza in red sauce, on a wooden table"),
        ("it", "zuppa sopra un piano di lavoro in acciaio", "soup over a steel worktop"),
    ],
)  # fmt: skip
def test_word_by_word(language, foreign, english):
    assert GLOSSARY.translate([foreign], language) == [Translation(english)]


@pytest.mark.parametrize(
    ("language", "text", "unknown"),
    [
        ("de", "Drachensuppe mit Basilikum", ("drachensuppe",)),
        ("es", "sopa de dragón y unicornio", ("dragón", "unicornio")),
        ("it", "2 pizze", ("2",)),
        ("es", "rojo", ("a phrase without a noun",)),
        ("es", "de pollo", ("a joint without a noun before it",)),
    ],
)
def test_what_is_not_understood_is_said_and_left(language, text, unknown):
    assert GLOSSARY.translate([text], language) == [Translation(text, unknown)]


@given(st.text(max_size=40), st.sampled_from(LANGUAGES))
def test_any_text_is_translated_or_left(text, language):
    (found,) = GLOSSARY.translate([text], language)
    assert not found.unknown or found.text == text


def test_words_of_the_table_say_their_language():
    assert GLOSSARY.language_of("homemade champignons curry, on a wooden table") == "en"
    assert GLOSSARY.language_of("curry di carote") == "it"
    for neither in ("masala de tomate", "pizza al dragone", "", ","):  # two languages, or none
        assert GLOSSARY.language_of(neither) == ""
    for recipe in open_world("kitchen", n_recipes=60).recipes():
        assert all(GLOSSARY.language_of(caption.text) == "en" for caption in recipe.captions)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_writer_is_understood_and_the_second_is_flagged(language):
    """The table was written on another draw of captions, and by the first writer alone."""
    world = open_world(f"kitchen?languages={language}", seed=7, n_recipes=150)
    seen = [t for i in range(150) for t in world.truths(i)]
    found = GLOSSARY.translate([t.plain for t in seen], language)
    of, right, wrong = Counter(), Counter(), Counter()
    for one, truth in zip(found, seen, strict=True):
        of[truth.writer] += 1
        right[truth.writer] += one.text == truth.clean
        wrong[truth.writer] += one.text != truth.clean and not one.unknown
    assert right[0] / of[0] >= 0.96  # German "mit Pilzen" is with mushroom and with mushrooms
    assert wrong[1] / of[1] <= 0.05
    assert right[1] / of[1] < 0.5


class Shouting:
    """A translator that knows every word but one, and is asked a language at a time."""

    name = fingerprint = "shouting"
    languages = ()

    def __init__(self):
        self.asked = []

    def translate(self, texts, language):
        self.asked.append((language, list(texts)))
        return [
            Translation(t, ("dragón",)) if "dragón" in t else Translation(t.upper()) for t in texts
        ]


def clean_captions(*args, **options):
    return list(cleaning.clean_captions(*args, **options).itertuples())


SPANISH, GERMAN = TEXTS["es"], "Suppe mit Hähnchen und Petersilie auf einem Teller aus Holz"
PORTUGUESE = "uma fotografia de sopa de galinha com manjericão e não muito mais"


def test_noise_goes_then_the_language_is_found_then_it_is_translated():
    (one,) = clean_captions([f"1. <b>{SPANISH}</b> #rico"], translator=GLOSSARY)
    assert one.cleaned == "chicken soup with basil on a white plate"
    assert (one.language, one.flag) == ("es", "")
    assert one.rules.split() == ["html", "hashtags", "numbering"]


def test_each_language_is_translated_once_and_everything_keeps_its_place():
    texts = [SPANISH, "chicken soup", GERMAN, f"{SPANISH} con perejil"]
    translator = Shouting()
    found = clean_captions(texts, translator=translator)
    assert [language for language, _ in translator.asked] == ["de", "es"]
    assert [one.crawled for one in found] == texts
    upper = [text.upper() for text in texts]
    assert [one.cleaned for one in found] == [upper[0], "chicken soup", *upper[2:]]


def test_a_flagged_caption_keeps_its_words_without_the_noise():
    (one,) = clean_captions([f"<b>{SPANISH} y dragón</b> #rico"], translator=Shouting())
    assert (one.cleaned, one.flag) == (f"{SPANISH} y dragón", "untranslated: dragón")
    assert one.crawled.startswith("<b>")


def test_a_caption_that_is_noise_alone_is_flagged_and_stays():
    (one,) = clean_captions(["#foodie #yum"], translator=GLOSSARY)
    assert (one.cleaned, one.flag) == ("#foodie #yum", "noise alone")


def test_a_language_that_the_translator_does_not_take_is_flagged():
    (one,) = clean_captions([f"{PORTUGUESE} #bom"], translator=GLOSSARY)
    assert (one.cleaned, one.language, one.flag) == (PORTUGUESE, "pt", "no translator: pt")
    assert clean_captions([PORTUGUESE], translator=Shouting())[0].cleaned == PORTUGUESE.upper()


def test_an_unsure_language_is_flagged_unless_the_source_declares_it(monkeypatch):
    monkeypatch.setattr(cleaning, "MARGIN", 1.0)
    monkeypatch.setattr(cleaning, "OVERRULES", 1.1)
    text, most = "<i>radicchio parmentier</i>", {"translator": GLOSSARY}
    (unsure,) = clean_captions([text], **most)
    assert (unsure.cleaned, unsure.language) == ("radicchio parmentier", "und")
    assert unsure.flag == "language unsure"
    for nothing in ("", "und", "xx"):
        assert clean_captions([text], declared=[nothing], **most) == [unsure]
    (declared,) = clean_captions([text], declared=["en"], **most)
    assert (declared.cleaned, declared.flag) == ("radicchio parmentier", "")


def test_the_detector_has_to_be_very_sure_to_overrule_the_source():
    (kept,) = clean_captions(["Apple Pie"], declared=["en"], translator=GLOSSARY)
    assert (kept.cleaned, kept.language, kept.flag) == ("Apple Pie", "en", "")
    (overruled,) = clean_captions([GERMAN], declared=["en"], translator=Shouting())
    assert overruled.language == "de"


def test_no_caption_is_no_row():
    assert cleaning.clean_captions([], translator=GLOSSARY).columns.tolist() == list(COLUMNS)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("cleaning") / "z"))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)
    return pairs, *crawled_pairs(pairs, source="world:kitchen", max_recipes=30)


def test_crawled_pairs_have_the_same_images_and_other_captions(crawled):
    pairs, found, truth = crawled
    same = ["image_key", "recipe_id", "split"]
    assert (found.all[same].drop_duplicates().values.tolist()
            == pairs.all[same].drop_duplicates().values.tolist())  # fmt: skip
    assert list(found.all.columns) == list(pairs.all.columns)
    assert list(truth.columns) == list(TRUTH)
    said = set(zip(pairs.all["recipe_id"], pairs.all["caption"], strict=True))
    assert set(zip(truth["recipe_id"], truth["clean"], strict=True)) <= said
    assert found.manifest.fingerprint != pairs.manifest.fingerprint


def test_of_other_sources_the_captions_are_what_they_are(crawled):
    pairs = crawled[0]
    general, truth = crawled_pairs(pairs, source="world:general", max_recipes=3)
    assert general is pairs
    assert truth.empty
    _, truth = crawled_pairs(pairs, source="world:kitchen?languages=de", max_recipes=30)
    assert set(truth["true_language"]) == {"de"}


def test_the_artefact_has_a_row_for_each_caption(crawled):
    _, found, truth = crawled
    made = ensure_cleaned(found, translator=GLOSSARY)
    assert tuple(made.columns) == ("recipe_id", "split", *COLUMNS)
    assert len(made) == len(truth)
    assert set(made["crawled"]) == set(truth["crawled"])
    assert 0 < (made["flag"] != "").sum() < len(made)
    assert set(read_manifest(found.zone, "cleaned-captions").files) == {CAPTIONS, TRAIN, TEST}
    known = with_truth(made, truth)
    assert set(known["outcome"]) <= {"clean", "flagged", "wrong"}
    assert (known.loc[known["outcome"] == "clean", "cleaned"] != "").all()


def test_the_pairs_have_the_cleaned_captions_each_once(crawled):
    _, found, _ = crawled
    made = ensure_cleaned(found, translator=GLOSSARY)
    train, test = (read_pairs(found.zone.read_text(key)) for key in (TRAIN, TEST))
    assert set(test["split"]) == {"test"}
    assert set(train["split"]) == {"train", "validation"}
    both = pd.concat([train, test])
    assert list(both.columns) == list(found.all.columns)
    cleaned = made.groupby("recipe_id")["cleaned"].agg(set)
    for key, part in found.all.groupby("image_key"):
        own = both[both["image_key"] == key]["caption"]
        assert own.is_unique
        assert set(own) == cleaned[part["recipe_id"].iloc[0]]
    assert set(both.loc[both["language"] != "en", "caption"]) <= set(
        made.loc[made["flag"] != "", "cleaned"]
    )


def test_it_is_made_once_and_anew_for_another_translator(crawled, monkeypatch):
    _, found, _ = crawled
    first = ensure_cleaned(found, translator=GLOSSARY)
    monkeypatch.setattr(cleaning, "clean_captions", None)
    assert ensure_cleaned(found, translator=GLOSSARY).equals(first)
    monkeypatch.undo()
    other = ensure_cleaned(found, translator=Shouting())
    assert (other["flag"] != "").sum() < (first["flag"] != "").sum()
    assert ensure_cleaned(found, translator=GLOSSARY).equals(first)


def test_texts_of_a_study_are_the_captions_of_the_recipes_in_their_order():
    texts = cleaning.CrawledTexts(GLOSSARY)
    rows = texts("world:kitchen", [7, 3])
    assert list(dict.fromkeys(rows["recipe_id"])) == ["kitchen-00007", "kitchen-00003"]
    world = open_world("kitchen?captions=mixed", n_recipes=8)
    assert rows["crawled"].tolist() == [t.text for i in (7, 3) for t in world.truths(i)]
    assert set(rows["outcome"]) <= {"clean", "flagged", "wrong"}
    assert texts.fingerprint == cleaning.CrawledTexts(GLOSSARY).fingerprint
    assert texts.fingerprint != cleaning.CrawledTexts(Shouting()).fingerprint
