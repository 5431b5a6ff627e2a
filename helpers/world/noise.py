"""What the web leaves on captions: marks, links, tags, smileys, numbers, phrases, broken letters.

As with the languages there are two writers, who leave different traces of each kind, so that rules
written for the first can be judged on traces that they have not met.
"""

import numpy as np

from helpers.world.phrases import pick

KINDS = ("html", "url", "hashtags", "emoji", "numbering", "boilerplate", "mojibake")
SEVERAL = "several"  # two kinds at once

_TRACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "html": (
        ("<p>{}</p>", "<b>{}</b>", '<span class="caption">{}</span>', "{}<br/>", "<i>{}</i>&nbsp;"),
        ("<div><h3>{}</h3></div>", "<a href='/r/12'>{}</a>", '<img src="a.jpg">{}',
         "{} <!-- photo -->", "<li> {}</li>"),
    ),
    "url": (
        ("{} https://example.com/recipes/123", "http://www.example.org/a?b=1 {}",
         "{} (www.example.net)"),
        ("{} https://short.example/xY3", "[{}](https://example.com/7)", "{} | food.example.com/7",
         "{} ftp://example.org/pix.jpg"),
    ),
    "hashtags": (
        ("{} #foodie #yum", "#dinner {}", "{} #homecooking"),
        ("{} #instafood#tasty", "{} @foodblog #delicious", "#lunch #2021 {} #eat_well"),
    ),
    "emoji": (
        ("{} \N{FACE SAVOURING DELICIOUS FOOD}", "\N{POT OF FOOD} {} \N{POT OF FOOD}",
         "{} \N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}\N{FIRE}"),
        ("{} \N{WOMAN}\N{ZERO WIDTH JOINER}\N{COOKING}\N{SPARKLES}", "{} :-)",
         "\N{WHITE MEDIUM STAR}\N{WHITE MEDIUM STAR} {}",
         "{} \N{REGIONAL INDICATOR SYMBOL LETTER I}\N{REGIONAL INDICATOR SYMBOL LETTER T}"),
    ),
    "numbering": (
        ("1. {}", "(3) {}", "12) {}", "Fig. 4: {}"),
        ("Step 2: {}", "No. 5: {}", "IMG_2041 {}", "\N{BULLET} {}", "#7 \N{EN DASH} {}"),
    ),
}  # fmt: skip
_BOILERPLATE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (
        ("Recipe: {}", "{} | Easy Recipes", "{} - click here for the full recipe"),
        ("{}. Save this recipe for later!", "{} \N{COPYRIGHT SIGN} 2021 All rights reserved",
         "Watch the video: {}"),
    ),
    "de": (
        ("Rezept: {}", "{} | Einfache Rezepte", "{} - hier klicken zum ganzen Rezept"),
        ("{}. Jetzt nachkochen!", "{} \N{COPYRIGHT SIGN} 2021 Alle Rechte vorbehalten",
         "Zum Video: {}"),
    ),
    "es": (
        ("Receta: {}", "{} | Recetas fáciles", "{} - haz clic aquí para ver la receta completa"),
        ("{}. ¡Guarda esta receta!", "{} \N{COPYRIGHT SIGN} 2021 Todos los derechos reservados",
         "Ver el vídeo: {}"),
    ),
    "fr": (
        ("Recette : {}", "{} | Recettes faciles", "{} - cliquez ici pour la recette complète"),
        ("{}. À tester sans attendre !", "{} \N{COPYRIGHT SIGN} 2021 Tous droits réservés",
         "Voir la vidéo : {}"),
    ),
    "it": (
        ("Ricetta: {}", "{} | Ricette facili", "{} - clicca qui per la ricetta completa"),
        ("{}. Salva questa ricetta!", "{} \N{COPYRIGHT SIGN} 2021 Tutti i diritti riservati",
         "Guarda il video: {}"),
    ),
}  # fmt: skip


def add_noise(
    text: str, kind: str, rng: np.random.Generator, *, language: str = "en", writer: int = 0
) -> str:
    """The caption with a trace of a kind, or with two at once for ``several``.

    Parameters
    ----------
    text : str
    kind : str
        One of ``KINDS``, or ``several``.
    rng : numpy.random.Generator
        Chooses the trace.
    language : str
        Of the boilerplate.
    writer : int
        0 or 1.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> add_noise("soup", "mojibake", np.random.default_rng(0), language="en")
    'Â\\xa0soup'
    """
    if kind == SEVERAL:
        first, second = (KINDS[i] for i in np.sort(rng.choice(len(KINDS), 2, replace=False)))
        once = add_noise(text, first, rng, language=language, writer=writer)
        return add_noise(once, second, rng, language=language, writer=writer)
    if kind == "mojibake":
        return _misread(text, times=1 + writer)
    if kind == "boilerplate":
        return pick(rng, _BOILERPLATE[language][writer]).format(text)
    if kind not in _TRACES:
        raise ValueError(f"no noise of kind {kind!r} (there are {', '.join((*KINDS, SEVERAL))})")
    return pick(rng, _TRACES[kind][writer]).format(text)


def _misread(text: str, *, times: int) -> str:
    """UTF-8 read as Windows-1252, once or twice; a text of plain letters gets a hard blank first.

    What Windows-1252 has no letter for stays as it was: only its neighbors are misread.
    """
    if text.isascii():
        text = text.replace(" ", "\xa0", 1) if " " in text else f"\xa0{text}"
    for _ in range(times):
        text = "".join(_misread_letter(letter) for letter in text)
    return text


def _misread_letter(letter: str) -> str:
    try:
        return letter.encode("utf-8").decode("cp1252")
    except UnicodeDecodeError:
        return letter
