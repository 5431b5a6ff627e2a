"""The kitchen in Italian. A cell is ``"noun gender-number-link"``; ``//`` parts the two writers."""

WORDS = {
    "dish": {
        "soup": ("zuppa f-s-di // minestra f-s-di", "brodo m-s-di"),
        "curry": ("curry m-s-di", "masala m-s-di"),
        "noodles": ("tagliatelle f-p-a", "pasta f-s-a"),
        "rice": ("ciotola di riso f-s-a", "riso fritto m-s-a // riso saltato m-s-a"),
        "salad": ("insalata f-s-di", "verdure a foglia f-p-a"),
        "pizza": ("pizza f-s-a", "focaccia f-s-a"),
        "burger": ("hamburger m-s-di", "panino m-s-a // tramezzino m-s-a"),
        "pancakes": ("pancake m-p-a", "frittelle f-p-di"),
        "tacos": ("tacos m-p-di", "tortillas f-p-a"),
        "pie": ("torta salata f-s-a", "crostata f-s-a"),
        "sushi": ("sushi m-s-di", "rotolini di maki m-p-a // rotoli di maki m-p-a"),
        "skewers": ("spiedini m-p-di", "kebab m-p-di"),
    },
    "main": {
        "chicken": ("pollo m-s", "pollame m-s"),
        "beef": ("manzo m-s", "bistecca f-s"),
        "shrimp": ("gamberetti m-p", "gamberoni m-p // mazzancolle f-p"),
        "salmon": ("salmone m-s", "pesce m-s"),
        "tofu": ("tofu m-s", "cagliata di soia f-s"),
        "egg": ("uovo m-s", "uova fritte f-p // uova al tegamino f-p"),
        "mushroom": ("funghi m-p", "champignon m-p"),
        "tomato": ("pomodoro m-s", "pomodori m-p"),
        "potato": ("patata f-s", "patate f-p"),
        "carrot": ("carota f-s", "carote f-p"),
    },
    "garnish": {
        "basil": ("basilico m-s", "foglie di basilico f-p"),
        "parsley": ("prezzemolo m-s", "erbe tritate f-p // erbette tritate f-p"),
        "sesame": ("sesamo m-s", "semi di sesamo m-p"),
        "chili": ("peperoncino m-s", "fiocchi di peperoncino m-p // scaglie di peperoncino f-p"),
        "lemon": ("limone m-s", "fette di limone f-p // fettine di limone f-p"),
        "onion": ("cipolla rossa f-s", "anelli di cipolla m-p"),
        "olives": ("olive f-p", "olive nere f-p"),
        "cheese": ("formaggio m-s", "formaggio grattugiato m-s"),
    },
    "sauce": {
        "tomato": ("salsa di pomodoro f-s // sugo di pomodoro m-s", "salsa rossa f-s"),
        "cream": ("salsa alla panna f-s // salsa di panna f-s", "salsa bianca f-s"),
        "pesto": ("pesto m-s", "salsa verde f-s"),
        "soy": ("salsa di soia f-s", "salsa marrone f-s"),
        "turmeric": ("salsa alla curcuma f-s // salsa di curcuma f-s", "salsa gialla f-s"),
    },
    "table": {
        "wood": ("un tavolo di legno // un tavolo in legno", "legno"),
        "marble": ("un bancone di marmo // un bancone in marmo", "marmo"),
        "cloth": ("un panno a quadri // un telo a quadri", "una tovaglia"),
        "slate": ("una lastra di ardesia // una tavola di ardesia", "ardesia scura"),
        "linen": ("lino", "lino beige"),
        "steel": (
            "un piano di lavoro in acciaio // un piano di lavoro d'acciaio",
            "una superficie di metallo // una superficie metallica",
        ),
    },
}
FORMS = {
    "sauce": ("in {}", "con {}", "ricoperto di {} // coperto di {}"),
    "garnish": (
        "sormontato da {}",
        "guarnito con {} // decorato con {}",
        "con {} in cima // con {} sopra",
    ),
    "plate": (
        "su {un|piatto|m}",
        "servito su {un|piatto da portata|m} // servito su {un|vassoio|m}",
    ),
    "table": ("su {}", "sopra {}"),
}
COLORS = {
    "white": "bianco", "blue": "blu // azzurro", "red": "rosso", "green": "verde", "black": "nero",
    "yellow": "giallo", "brown": "marrone", "pink": "rosa", "": "",
}  # fmt: skip
SHAPES = {
    "round": ("rotondo // tondo", "circolare"),
    "square": ("quadrato", "spigoloso"),
    "oval": ("ovale", "oblungo // allungato"),
    "": ("", ""),
}
OPENINGS = {
    "photo": "una foto di // una fotografia di",
    "homemade": "fatto in casa // casereccio",
    "fresh": "fresco",
}
_AT = {"m-s": "al", "m-p": "ai", "f-s": "alla", "f-p": "alle"}
_FIXED = {"con", "sopra", "su", "in", "blu", "rosa"}


def joined(link: str, noun) -> str:
    """ "di pollo", "d'uovo" kept as "di uovo", "al pollo", "all'uovo", "agli champignon"."""
    if link in ("di", "with"):
        return f"{'con' if link == 'with' else 'di'} {noun.text}"
    if noun.number == "s" and noun.text[0] in "aeiou":
        return f"all'{noun.text}"
    return f"{_AT[f'{noun.gender}-{noun.number}']} {noun.text}"


def some(noun) -> str:
    """A noun after "with": as it is."""
    return noun.text


def agree(adjective: str, gender: str, number: str) -> str:
    """The form that goes with a noun.

    >>> agree("bianco", "f", "p"), agree("fatto in casa", "m", "p"), agree("verde", "f", "s")
    ('bianche', 'fatti in casa', 'verde')
    """
    first, _, rest = adjective.partition(" ")
    if first in _FIXED or not first.endswith("o"):
        return adjective
    stem = first[:-1]
    if number == "p":  # bianco, bianchi, bianche; casereccio, caserecci, caserecce
        stem = f"{stem}h" if stem.endswith("c") else stem.removesuffix("i")
    ending = {"m-s": "o", "f-s": "a", "m-p": "i", "f-p": "e"}[f"{gender}-{number}"]
    return f"{stem}{ending} {rest}".strip()
