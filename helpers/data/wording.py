"""Short English from a recipe's free text: the first sentence, the name of an ingredient."""

import re
import unicodedata

_NUMBER = r"(?:\d+(?:[.,/]\d+)*|[¼½¾⅓⅔⅛])(?:\s*[¼½¾⅓⅔⅛])?"
_RANGE = rf"{_NUMBER}(?:\s*(?:-|–|/|to|or|and)\s*{_NUMBER})*"
_UNIT = (
    r"(?:k?g|gr|mg|[mdc]?l|oz|lbs?|tsps?|tbsps?|pcks?|pcs?|cm|inch(?:es)?|"
    r"(?:kilo)?grams?|ounces?|pounds?|(?:milli)?lit(?:er|re)s?|cups?|glass(?:es)?|"
    r"tea\s?spoons?|table\s?spoons?|gallons?|pints?|quarts?|sticks?|packe?t?s?|packages?|cans?|tins?|"
    r"jars?|bottles?|cloves?|pinch(?:es)?|dash(?:es)?|handfuls?|bunch(?:es)?|slices?|pieces?|"
    r"sprigs?|stalks?|knobs?|heads?|servings?|sachets?|drizzles?)\b\.?"
)
_ABOUT = r"(?:~|≈|about|around|approximately|approx\.?|ca\.?|roughly|some|at least|up to)"
_COUNT = r"(?:an?|one|two|three|four|five|six|half)\b"
_SIZE = r"(?:small|medium|large|big)(?:[ /-](?:sized?|small|medium|large))*\b"
_AMOUNT = rf"{_RANGE}\s*(?:x\b)?\s*(?:{_UNIT})?"
_LEADING = re.compile(
    rf"^\s*(?:{_ABOUT}\s*)?(?:{_AMOUNT}|{_COUNT}\s+(?:{_UNIT})?|{_UNIT})\s*"
    rf"(?:(?:or\s|/)\s*{_AMOUNT})?\s*(?:of\s+)?(?:{_SIZE}\s+)?",
    re.IGNORECASE,
)
_TRAILING = re.compile(rf"\s+(?:{_ABOUT}\s*)?{_AMOUNT}\.?$", re.IGNORECASE)
_REMARK = re.compile(
    r"\s*(?:[,;:|]|\s[-–—]\s|\bor\b|\bto taste\b|\bfor\b|\bper\b|\.(?:\s|$)).*$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|approx|ca|vs|etc|dr|mr|mrs|st|no|min|max))$", re.I)
STAPLES = frozenset({"salt", "pepper", "black pepper", "salt and pepper", "water", "oil"})


def collapse(text: str) -> str:
    """The text in Unicode's form NFC with each run of white space as one space.

    >>> collapse("  a\\n  b ")
    'a b'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def plain_text(text: str) -> str:
    """Markdown and HTML marks removed, the words kept; the first paragraph of more is not chosen.

    >>> plain_text("A swiss _favorite_ for [pasta](/pasta).")
    'A swiss favorite for pasta.'
    """
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)  # pictures
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # links keep their words
    text = re.sub(r"</?[A-Za-z][^>]*>", " ", text)
    text = re.sub(r"(?m)^\s*(?:#{1,6}|>|[-*+]|\d+[.)])\s+", "", text)
    text = re.sub(r"(\*\*|__|\*|`|~~)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    return re.sub(r"(?<!\w)_(?=\S)(.+?)(?<=\S)_(?!\w)", r"\1", text)


def first_sentence(text: str) -> str:
    """The first sentence of the first paragraph, plain and on one line; empty for empty text.

    >>> first_sentence("Melt-in-mouth pork, e.g. belly. Serve hot.")
    'Melt-in-mouth pork, e.g. belly.'
    """
    paragraphs = (collapse(plain_text(p)) for p in re.split(r"\n\s*\n", text))
    paragraph = next((p for p in paragraphs if p), "")
    for end in _SENTENCE_END.finditer(paragraph):
        following = paragraph[end.end() :].lstrip()
        if following[:1].islower() or _ABBREVIATION.search(paragraph[: end.start()]):
            continue
        return paragraph[: end.end()]
    return paragraph.rstrip(" :;,")


def ingredient_name(text: str) -> str:
    """What an ingredient is, without how much of it: lower case; empty if nothing is left.

    >>> ingredient_name("~150g (1/3 lb) bacon cubes"), ingredient_name("3 onions, chopped")
    ('bacon cubes', 'onions')
    """
    name = collapse(re.sub(r"\([^)]*\)", " ", plain_text(text)))
    before = None
    while name != before:  # "2 pcks", "1 (14 oz) can of"
        before = name
        name = _LEADING.sub("", name)
    name = _TRAILING.sub("", _REMARK.sub("", name))
    return name.strip(" .,*").lower()


def main_ingredients(ingredients: tuple[str, ...], *, most: int = 3) -> str:
    """The first few ingredients that say something, as ``"a, b and c"``; staples are left out.

    >>> main_ingredients(("2 eggs", "salt", "200g flour", "3 cups of milk", "sugar"))
    'eggs, flour and milk'
    """
    names = [n for n in map(ingredient_name, ingredients) if n and n not in STAPLES]
    names = list(dict.fromkeys(names))[:most]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
