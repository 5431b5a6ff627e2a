"""The kitchen in five languages: every word of it, agreement, articles, what is refused."""

import itertools
import re

import pytest

from helpers.world import kitchen
from helpers.world.food import GARNISHES, MAINS, SAUCES
from helpers.world.languages import NAMES, WRITERS, in_language
from helpers.world.phrases import WORDS
from helpers.world.romance import FRENCH, ITALIAN, SPANISH
from helpers.world.said import OPENINGS, Extra, Said

FOREIGN = [code for code in NAMES if code != "en"]


def said(opening="", dish="soup", main="chicken", *, joined=True, second=False, extras=()):
    return Said(opening, (dish, second), "", (main, second), joined, tuple(extras))


def everything():
    """Every word, form and opening at least once, in every combination of dish and main."""
    for dish, main, second, joined in itertools.product(
        kitchen.VALUES["dish"], MAINS, (False, True), (False, True)
    ):
        yield said("fresh", dish, main, joined=joined, second=second)
    abouts = {
        "sauce": (SAUCES, 3),
        "garnish": (GARNISHES, 3),
        "table": (kitchen.VALUES["table"], 2),
    }
    for about, (values, forms) in abouts.items():
        for value, form, second in itertools.product(values, range(forms), (False, True)):
            yield said(extras=[Extra(about, form, value, second)])
    colors, shapes = ("", *kitchen.VALUES["plate"]), ("", *kitchen.VALUES["shape"])
    for color, shape, form, second in itertools.product(colors, shapes, (0, 1), (False, True)):
        if color or shape:
            yield said(extras=[Extra("plate", form, color, second, shape)])
    for opening, dish in itertools.product(OPENINGS, kitchen.VALUES["dish"]):
        yield said(opening, dish)


@pytest.mark.parametrize("language", FOREIGN)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_plan_has_words(language, writer):
    for plan in everything():
        text = in_language(plan, language, writer=writer)
        assert text == " ".join(text.split()), text
        assert not re.search(r"[{}|/]|//|None", text), text


@pytest.mark.parametrize("language", FOREIGN)
def test_synonyms_stay_apart(language):
    """Two ways of saying it in English are two ways here; but for German compounds of a plural."""
    for about in ("garnish", "sauce", "table"):
        for value in WORDS[about]:
            two = {
                in_language(said(extras=[Extra(about, 0, value, second)]), language)
                for second in (False, True)
            }
            assert len(two) == 2
    same = [
        main
        for main in MAINS
        if len({in_language(said(main=main, second=s), language) for s in (False, True)}) == 1
    ]
    assert same == []  # the dish differs as well: soup and broth


@pytest.mark.parametrize(
    ("language", "plan", "text"),
    [
        ("de", said(), "Hähnchensuppe"),
        ("de", said("homemade", joined=False), "hausgemachte Suppe mit Hähnchen"),
        ("de", said("fresh", "rice", "salmon", second=True), "frischer gebratener Fischreis"),
        ("de", said("photo", "rice", "tofu", second=True),
         "ein Foto von gebratenem Sojaquarkreis"),
        ("de", said("photo", "skewers", "beef"), "ein Foto von Rindfleischspießen"),
        ("de", said(extras=[Extra("plate", 0, "white", False, "round")]),
         "Hähnchensuppe auf einem weißen runden Teller"),
        ("es", said("homemade", "noodles"), "fideos de pollo caseros"),
        ("es", said("homemade", "noodles", joined=False), "fideos caseros con pollo"),
        ("es", said(dish="rice"), "bol de arroz y pollo"),
        ("es", said(extras=[Extra("sauce", 2, "soy"), Extra("plate", 1, "red", False, "square")]),
         "sopa de pollo cubierta de salsa de soja, servida en una fuente roja cuadrada"),
        ("fr", said(main="egg"), "soupe à l'œuf"),
        ("fr", said(main="shrimp", joined=False), "soupe avec des crevettes"),
        ("fr", said(dish="salad", main="egg"), "salade d'œuf"),
        ("fr", said("fresh", "skewers", extras=[Extra("garnish", 0, "onion")]),
         "brochettes de poulet fraîches surmontées d'oignon rouge"),
        ("fr", said(extras=[Extra("sauce", 0, "pesto"), Extra("table", 1, "wood")]),
         "soupe au poulet au pesto, posée sur une table en bois"),
        ("it", said(dish="pizza", main="egg"), "pizza all'uovo"),
        ("it", said(dish="pizza", main="shrimp"), "pizza ai gamberetti"),
        ("it", said("fresh", "skewers"), "spiedini di pollo freschi"),
        ("it", said("homemade", "noodles", extras=[Extra("plate", 1, "white", False, "square")]),
         "tagliatelle al pollo fatte in casa servite su un piatto da portata bianco quadrato"),
    ],
)  # fmt: skip
def test_captions_are_grammatical(language, plan, text):
    assert in_language(plan, language) == text


@pytest.mark.parametrize(
    ("agree", "adjective", "forms"),
    [
        (SPANISH.agree, "blanco", ("blanco", "blancos", "blanca", "blancas")),
        (SPANISH.agree, "servido", ("servido", "servidos", "servida", "servidas")),
        (SPANISH.agree, "en", ("en", "en", "en", "en")),
        (FRENCH.agree, "blanc", ("blanc", "blancs", "blanche", "blanches")),
        (FRENCH.agree, "frais", ("frais", "frais", "fraîche", "fraîches")),
        (FRENCH.agree, "garni", ("garni", "garnis", "garnie", "garnies")),
        (
            FRENCH.agree,
            "fait maison",
            ("fait maison", "faits maison", "faite maison", "faites maison"),
        ),
        (FRENCH.agree, "maison", ("maison",) * 4),
        (ITALIAN.agree, "bianco", ("bianco", "bianchi", "bianca", "bianche")),
        (ITALIAN.agree, "casereccio", ("casereccio", "caserecci", "casereccia", "caserecce")),
        (ITALIAN.agree, "servito", ("servito", "serviti", "servita", "servite")),
        (ITALIAN.agree, "rosa", ("rosa",) * 4),
    ],
)
def test_adjectives_agree(agree, adjective, forms):
    cases = itertools.product("mf", "sp")
    assert tuple(agree(adjective, *case) for case in cases) == forms


def test_what_cannot_be_said_is_refused():
    with pytest.raises(ValueError, match="no captions in language 'nl'"):
        in_language(said(), "nl")
    with pytest.raises(ValueError, match="writer is 2"):
        in_language(said(), "de", writer=2)
    nameless = Said("", ("", False), "food", ("chicken", False), False, ())
    assert in_language(nameless, "en") == "food with chicken"
    with pytest.raises(ValueError, match="cannot be said in German"):
        in_language(nameless, "de")
