"""The kitchen in German: compounds for joined nouns, datives after prepositions.

A cell ``"a // b"`` holds the words of the two writers; a dish ends with its gender (m, f, n, p for
plural) and, where it differs, the dative of its noun.
"""

import re

from helpers.world.said import Extra, Said

DISHES = {
    "soup": ("Suppe f", "Brühe f"),
    "curry": ("Curry n", "Masala n"),
    "noodles": ("Nudeln p", "Pasta f"),
    "rice": ("Reisschale f", "gebratener Reis m"),
    "salad": ("Salat m", "Blattsalat m // grüner Salat m"),
    "pizza": ("Pizza f", "Fladenbrot n"),
    "burger": ("Burger m", "Sandwich n"),
    "pancakes": ("Pfannkuchen p", "Plinsen p"),
    "tacos": ("Tacos p", "Tortillas p"),
    "pie": ("Pastete f", "Tarte f"),
    "sushi": ("Sushi n", "Maki-Rollen p"),
    "skewers": ("Spieße p Spießen", "Kebabs p"),
}
LOANS = {"Curry", "Masala", "Burger", "Sandwich", "Tacos", "Tortillas", "Tarte", "Sushi",
         "Maki-Rollen", "Kebabs", "Blattsalat"}  # fmt: skip
STEMS = {  # the first part of a compound
    "chicken": ("Hähnchen // Hühner", "Geflügel"),
    "beef": ("Rindfleisch // Rinder", "Steak"),
    "shrimp": ("Garnelen", "Riesengarnelen // Scampi"),
    "salmon": ("Lachs", "Fisch"),
    "tofu": ("Tofu", "Sojaquark"),
    "egg": ("Eier", "Spiegelei"),
    "mushroom": ("Pilz", "Champignon"),
    "tomato": ("Tomaten", "Tomaten"),
    "potato": ("Kartoffel", "Kartoffel"),
    "carrot": ("Karotten // Möhren", "Karotten // Möhren"),
}
MAINS = {  # in the dative
    "chicken": ("Hähnchen // Huhn", "Geflügel"),
    "beef": ("Rindfleisch // Rind", "Steak"),
    "shrimp": ("Garnelen", "Riesengarnelen // Scampi"),
    "salmon": ("Lachs", "Fisch"),
    "tofu": ("Tofu", "Sojaquark"),
    "egg": ("Ei", "Spiegeleiern"),
    "mushroom": ("Pilzen", "Champignons"),
    "tomato": ("Tomate", "Tomaten"),
    "potato": ("Kartoffel", "Kartoffeln"),
    "carrot": ("Karotte // Möhre", "Karotten // Möhren"),
}
GARNISHES = {
    "basil": ("Basilikum", "Basilikumblättern"),
    "parsley": ("Petersilie", "gehackten Kräutern"),
    "sesame": ("Sesam", "Sesamkörnern // Sesamsamen"),
    "chili": ("Chili", "Chiliflocken // roten Chiliflocken"),
    "lemon": ("Zitrone", "Zitronenscheiben"),
    "onion": ("roter Zwiebel", "Zwiebelringen"),
    "olives": ("Oliven", "schwarzen Oliven"),
    "cheese": ("Käse", "geriebenem Käse // Reibekäse"),
}
SAUCES = {
    "tomato": ("Tomatensoße // Tomatensauce", "roter Soße // roter Sauce"),
    "cream": ("Sahnesoße // Rahmsoße", "weißer Soße // heller Sauce"),
    "pesto": ("Pesto", "grüner Soße // grüner Sauce"),
    "soy": ("Sojasoße // Sojasauce", "brauner Soße // brauner Sauce"),
    "turmeric": ("Kurkumasoße // Kurkumasauce", "gelber Soße // gelber Sauce"),
}
TABLES = {
    "wood": ("einem Holztisch // einem Tisch aus Holz", "Holz"),
    "marble": ("einer Marmortheke // einer Theke aus Marmor", "Marmor"),
    "cloth": ("einem karierten Tuch", "einer Tischdecke // einem Tischtuch"),
    "slate": ("einer Schiefertafel // einer Schieferplatte", "dunklem Schiefer"),
    "linen": ("Leinen", "beigem Leinen"),
    "steel": ("einer Stahlarbeitsplatte // einer Arbeitsplatte aus Stahl",
              "einer Metalloberfläche // einer Oberfläche aus Metall"),
}  # fmt: skip
NOUNS = {"garnish": GARNISHES, "sauce": SAUCES, "table": TABLES}
COLORS = {
    "white": "weiß", "blue": "blau", "red": "rot", "green": "grün", "black": "schwarz",
    "yellow": "gelb", "brown": "braun", "pink": "rosafarben // pinkfarben", "": "",
}  # fmt: skip
SHAPES = {
    "round": ("rund", "kreisrund // kreisförmig"),
    "square": ("quadratisch", "eckig"),
    "oval": ("oval", "länglich"),
    "": ("", ""),
}
FORMS = {
    "sauce": ("in {}", "mit {}", "bedeckt mit {} // überzogen mit {}"),
    "garnish": (
        "belegt mit {} // bestreut mit {}",
        "garniert mit {} // verziert mit {}",
        "mit {} obendrauf // mit {} darauf",
    ),
    "plate": (
        "auf {einem|m} Teller",
        "serviert auf {einer|f} Platte // angerichtet auf {einer|f} Platte",
    ),
    "table": ("auf {}", "über {}"),
}
STRONG = {"m": "er", "f": "e", "n": "es", "p": "e"}  # nominative without an article
STRONG_DATIVE = {"m": "em", "f": "er", "n": "em", "p": "en"}
DISH = re.compile(r"(.+) ([mfnp])(?: (.+))?")
PHOTO = "ein Foto von // eine Aufnahme von"
ADJECTIVES = {"homemade": "hausgemacht // selbstgemacht", "fresh": "frisch"}


def of(cell: str, writer: int) -> str:
    """What one of the writers says."""
    words = cell.split(" // ")
    return words[writer] if len(words) > 1 else words[0]


def render(said: Said, writer: int) -> str:
    """The caption in German."""
    dative = said.opening == "photo"
    head, gender, in_dative = DISH.fullmatch(
        of(DISHES[said.dish[0]][said.dish[1]], writer)
    ).groups()
    adjective, _, noun = head.rpartition(" ")
    noun = in_dative if in_dative and dative else noun
    if said.main[0] and said.joined:
        noun = compound(of(STEMS[said.main[0]][said.main[1]], writer), noun, writer)
    words = [noun]
    if adjective:
        words.insert(0, adjective.removesuffix("er") + _ending(gender, dative))
    if said.opening in ADJECTIVES:
        words.insert(0, of(ADJECTIVES[said.opening], writer) + STRONG[gender])
    if dative:
        words.insert(0, of(PHOTO, writer))
    if said.main[0] and not said.joined:
        words += ["mit", of(MAINS[said.main[0]][said.main[1]], writer)]
    return " ".join([*words, ", ".join(_extra(e, writer) for e in said.extras)]).strip()


def compound(stem: str, noun: str, writer: int) -> str:
    """Two nouns in one; the first writer keeps loan words apart with a hyphen.

    >>> compound("Lachs", "Suppe", 0), compound("Lachs", "Sushi", 0)
    ('Lachssuppe', 'Lachs-Sushi')
    """
    hyphen = noun in LOANS and (writer == 0 or "-" in noun)
    return f"{stem}-{noun}" if hyphen else stem + noun.lower()


def _ending(gender: str, dative: bool) -> str:
    return STRONG_DATIVE[gender] if dative else STRONG[gender]


def _extra(extra: Extra, writer: int) -> str:
    form = of(FORMS[extra.about][extra.form], writer)
    if extra.about != "plate":
        return form.format(of(NOUNS[extra.about][extra.value][extra.second], writer))
    adjectives = [of(COLORS[extra.value], writer), of(SHAPES[extra.shape][extra.second], writer)]
    start, _, rest = form.partition("{")
    article, _, end = rest.partition("}")
    article, gender = article.split("|")
    ending = "en" if writer == 0 else STRONG_DATIVE[gender]  # "einem weißen", "weißem"
    said = [a + ending for a in adjectives if a]
    return start + " ".join([article, *said] if writer == 0 else said) + end
