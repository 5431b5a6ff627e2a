"""The kitchen in French. A cell is ``"noun gender-number-link"``; ``//`` parts the two writers."""

WORDS = {
    "dish": {
        "soup": ("soupe f-s-à", "bouillon m-s-de"),
        "curry": ("curry m-s-de", "masala m-s-de"),
        "noodles": ("nouilles f-p-à", "pâtes f-p-à"),
        "rice": ("bol de riz m-s-à", "riz frit m-s-à // riz sauté m-s-à"),
        "salad": ("salade f-s-de", "feuilles vertes f-p-à"),
        "pizza": ("pizza f-s-à", "pain plat m-s-à // galette de pain f-s-à"),
        "burger": ("burger m-s-à // hamburger m-s-à", "sandwich m-s-à"),
        "pancakes": ("crêpes f-p-à", "galettes f-p-à"),
        "tacos": ("tacos m-p-à", "tortillas f-p-à"),
        "pie": ("tourte f-s-à", "tarte f-s-à"),
        "sushi": ("sushi m-s-à", "rouleaux de maki m-p-à // makis m-p-à"),
        "skewers": ("brochettes f-p-de", "kebabs m-p-de"),
    },
    "main": {
        "chicken": ("poulet m-s", "volaille f-s"),
        "beef": ("bœuf m-s", "steak m-s // bifteck m-s"),
        "shrimp": ("crevettes f-p", "gambas f-p // grosses crevettes f-p"),
        "salmon": ("saumon m-s", "poisson m-s"),
        "tofu": ("tofu m-s", "caillé de soja m-s // pâté de soja m-s"),
        "egg": ("œuf m-s", "œufs au plat m-p // œufs sur le plat m-p"),
        "mushroom": ("champignons m-p", "champignons de Paris m-p"),
        "tomato": ("tomate f-s", "tomates f-p"),
        "potato": ("pomme de terre f-s", "pommes de terre f-p // patates f-p"),
        "carrot": ("carotte f-s", "carottes f-p"),
    },
    "garnish": {
        "basil": ("basilic m-s", "feuilles de basilic f-p"),
        "parsley": ("persil m-s", "herbes hachées f-p // herbes ciselées f-p"),
        "sesame": ("sésame m-s", "graines de sésame f-p"),
        "chili": ("piment m-s", "flocons de piment rouge m-p // paillettes de piment rouge f-p"),
        "lemon": ("citron m-s", "tranches de citron f-p // rondelles de citron f-p"),
        "onion": ("oignon rouge m-s", "rondelles d'oignon f-p // anneaux d'oignon m-p"),
        "olives": ("olives f-p", "olives noires f-p"),
        "cheese": ("fromage m-s", "fromage râpé m-s"),
    },
    "sauce": {
        "tomato": ("sauce tomate f-s", "sauce rouge f-s"),
        "cream": ("sauce à la crème f-s // sauce crème f-s", "sauce blanche f-s"),
        "pesto": ("pesto m-s", "sauce verte f-s"),
        "soy": ("sauce soja f-s // sauce de soja f-s", "sauce brune f-s"),
        "turmeric": ("sauce au curcuma f-s // sauce curcuma f-s", "sauce jaune f-s"),
    },
    "table": {
        "wood": ("une table en bois // une table de bois", "du bois"),
        "marble": ("un comptoir en marbre // un comptoir de marbre", "du marbre"),
        "cloth": ("un tissu à carreaux // une étoffe à carreaux", "une nappe"),
        "slate": ("une planche en ardoise // une planche d'ardoise", "de l'ardoise foncée"),
        "linen": ("du lin", "du lin beige"),
        "steel": (
            "un plan de travail en acier",
            "une surface en métal // une surface métallique",
        ),
    },
}
FORMS = {
    "sauce": ("{à}", "avec {some}", "nappé {de} // recouvert {de}"),
    "garnish": (
        "surmonté {de} // parsemé {de}",
        "garni {de} // décoré {de}",
        "avec {some} sur le dessus // avec {some} par-dessus",
    ),
    "plate": ("sur {une|assiette|f}", "servi sur {un|plat|m} // présenté sur {un|plat|m}"),
    "table": ("sur {}", "posé sur {}"),
}
COLORS = {
    "white": "blanc", "blue": "bleu", "red": "rouge", "green": "vert", "black": "noir",
    "yellow": "jaune", "brown": "marron // brun", "pink": "rose", "": "",
}  # fmt: skip
SHAPES = {
    "round": ("rond", "circulaire"),
    "square": ("carré", "anguleux"),
    "oval": ("ovale", "allongé // oblong"),
    "": ("", ""),
}
OPENINGS = {
    "photo": "une photo de // une photographie de",
    "homemade": "maison // fait maison",
    "fresh": "frais",
}
_FEMININE = {"blanc": "blanche", "frais": "fraîche", "anguleux": "anguleuse", "oblong": "oblongue"}
_FIXED = {"avec", "sur", "maison", "marron"}


def _vowel(text: str) -> bool:
    return text[0] in "aeiouyœéêèàâô" or text.startswith("herbes")  # its h is mute


def joined(link: str, noun) -> str:
    """ "de poulet", "d'œufs", "au poulet", "aux crevettes", "à l'œuf"; "with": "avec du poulet"."""
    if link == "with":
        return f"avec {some(noun)}"
    if link == "de":
        return f"d'{noun.text}" if _vowel(noun.text) else f"de {noun.text}"
    if noun.number == "p":
        return f"aux {noun.text}"
    if _vowel(noun.text):
        return f"à l'{noun.text}"
    return f"{'au' if noun.gender == 'm' else 'à la'} {noun.text}"


def some(noun) -> str:
    """The noun with its partitive article: "du basilic", "de l'oignon rouge", "des olives"."""
    if noun.number == "p":
        return f"des {noun.text}"
    if _vowel(noun.text):
        return f"de l'{noun.text}"
    return f"{'du' if noun.gender == 'm' else 'de la'} {noun.text}"


def agree(adjective: str, gender: str, number: str) -> str:
    """The form that goes with a noun.

    >>> agree("blanc", "f", "s"), agree("garni", "f", "p"), agree("rouge", "f", "s")
    ('blanche', 'garnies', 'rouge')
    """
    first, _, rest = adjective.partition(" ")  # "fait maison"
    if first in _FIXED or (first.endswith(("à", "é")) and len(first) < 3):
        return adjective
    if gender == "f":
        first = _FEMININE.get(first, first if first.endswith("e") else first + "e")
    if number == "p" and not first.endswith(("s", "x")):
        first += "s"
    return f"{first} {rest}".strip()
