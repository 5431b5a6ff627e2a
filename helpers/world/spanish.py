"""The kitchen in Spanish. A cell is ``"noun gender-number-link"``; ``//`` parts the two writers."""

WORDS = {
    "dish": {
        "soup": ("sopa f-s-de", "caldo m-s-de"),
        "curry": ("curry m-s-de", "masala m-s-de"),
        "noodles": ("fideos m-p-de // tallarines m-p-de", "pasta f-s-de"),
        "rice": ("bol de arroz m-s-y // cuenco de arroz m-s-y", "arroz frito m-s-de"),
        "salad": ("ensalada f-s-de", "hojas verdes f-p-y"),
        "pizza": ("pizza f-s-de", "pan plano m-s-de"),
        "burger": ("hamburguesa f-s-de", "sándwich m-s-de // bocadillo m-s-de"),
        "pancakes": ("panqueques m-p-de", "tortitas f-p-de"),
        "tacos": ("tacos m-p-de", "tortillas f-p-de"),
        "pie": ("pastel m-s-de", "tarta f-s-de"),
        "sushi": ("sushi m-s-de", "rollos de maki m-p-de // makis m-p-de"),
        "skewers": ("brochetas f-p-de // pinchos m-p-de", "kebabs m-p-de"),
    },
    "main": {
        "chicken": ("pollo m-s", "ave f-s // aves f-p"),
        "beef": ("ternera f-s // res f-s", "bistec m-s // filete m-s"),
        "shrimp": ("camarones m-p // gambas f-p", "langostinos m-p"),
        "salmon": ("salmón m-s", "pescado m-s"),
        "tofu": ("tofu m-s", "cuajada de soja f-s // cuajada de soya f-s"),
        "egg": ("huevo m-s", "huevos fritos m-p"),
        "mushroom": ("setas f-p // hongos m-p", "champiñones m-p"),
        "tomato": ("tomate m-s", "tomates m-p"),
        "potato": ("patata f-s // papa f-s", "patatas f-p // papas f-p"),
        "carrot": ("zanahoria f-s", "zanahorias f-p"),
    },
    "garnish": {
        "basil": ("albahaca f-s", "hojas de albahaca f-p"),
        "parsley": ("perejil m-s", "hierbas picadas f-p"),
        "sesame": ("sésamo m-s // ajonjolí m-s", "semillas de sésamo f-p"),
        "chili": ("chile m-s // guindilla f-s", "copos de pimiento rojo m-p"),
        "lemon": ("limón m-s", "rodajas de limón f-p"),
        "onion": ("cebolla roja f-s // cebolla morada f-s", "aros de cebolla m-p"),
        "olives": ("aceitunas f-p", "aceitunas negras f-p"),
        "cheese": ("queso m-s", "queso rallado m-s"),
    },
    "sauce": {
        "tomato": ("salsa de tomate f-s", "salsa roja f-s"),
        "cream": ("salsa de nata f-s // salsa de crema f-s", "salsa blanca f-s"),
        "pesto": ("pesto m-s", "salsa verde f-s"),
        "soy": ("salsa de soja f-s // salsa de soya f-s", "salsa marrón f-s"),
        "turmeric": ("salsa de cúrcuma f-s", "salsa amarilla f-s"),
    },
    "table": {
        "wood": ("una mesa de madera", "madera"),
        "marble": ("una encimera de mármol", "mármol"),
        "cloth": ("un paño a cuadros // una tela a cuadros", "un mantel"),
        "slate": ("una tabla de pizarra", "pizarra oscura"),
        "linen": ("lino", "lino beige // lino de color beige"),
        "steel": (
            "una mesa de trabajo de acero",
            "una superficie de metal // una superficie metálica",
        ),
    },
}
FORMS = {
    "sauce": ("en {}", "con {}", "cubierto de {} // bañado en {}"),
    "garnish": (
        "coronado con {}",
        "adornado con {} // decorado con {}",
        "con {} por encima // con {} encima",
    ),
    "plate": ("en {un|plato|m}", "servido en {una|fuente|f}"),
    "table": ("sobre {}", "encima de {}"),
}
COLORS = {
    "white": "blanco", "blue": "azul", "red": "rojo", "green": "verde", "black": "negro",
    "yellow": "amarillo", "brown": "marrón", "pink": "rosado // rosa", "": "",
}  # fmt: skip
SHAPES = {
    "round": ("redondo", "circular"),
    "square": ("cuadrado", "angular // anguloso"),
    "oval": ("ovalado", "alargado"),
    "": ("", ""),
}
OPENINGS = {
    "photo": "una foto de // una fotografía de",
    "homemade": "casero",
    "fresh": "fresco",
}


def joined(link: str, noun) -> str:
    """ "de pollo", "y pollo", "con pollo"; "y" is "e" before the sound i."""
    word = {"with": "con", "y": "e" if noun.text.startswith(("i", "hi")) else "y"}.get(link, link)
    return f"{word} {noun.text}"


def some(noun) -> str:
    """A noun after "with": as it is."""
    return noun.text


def agree(adjective: str, gender: str, number: str) -> str:
    """The form that goes with a noun.

    >>> agree("blanco", "f", "p"), agree("azul", "f", "s"), agree("en", "f", "p")
    ('blancas', 'azul', 'en')
    """
    if not adjective.endswith("o") or adjective in ("sobre", "con"):
        return adjective
    return adjective[:-1] + ("a" if gender == "f" else "o") + ("s" if number == "p" else "")
