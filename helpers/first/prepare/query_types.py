"""What kind of query a text is, by rules on its words: color, number, negation, length, rare words.

The rules read English. A labeled list of queries was written before them
(``tests/reference/query_types.csv``): one half to write the rules on, the other to judge them. Both
come from the same hand, so that other people's queries will fare worse.
"""

import re
from collections.abc import Sequence

import numpy as np

COLORS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "gray", "grey",
    "brown", "beige", "golden", "silver",
)  # fmt: skip
# A color that belongs to the name of a thing asks for the thing.
NAMED = re.compile(
    r"\b(?:(?:red|white|green|spring) onions?|black olives?|(?:black|red|white|green) pepper\w*|"
    r"brown rice|(?:red|white|green|brown|yellow) sauce|red wine|white wine|orange (?:slices?|"
    r"juice|zest)|green (?:beans?|tea)|white (?:bread|chocolate|beans?)|black (?:beans?|tea)|"
    r"brown sugar|leafy greens?)\b"
)
COLOR = re.compile(rf"\b(?:{'|'.join(COLORS)})\b")
NUMBER = re.compile(
    r"\b(?:\d+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:half )?a dozen|dozen|"
    r"a (?:pair|couple) of|single|double|triple)\b(?! ?(?:%|percent|minutes?|hours?))"
)
NEGATION = re.compile(
    r"\b(?:no|not|without|none|never|neither|nor|minus|except|lacking|instead of|rather than|"
    r"hold the|leave out|leaving out|free of|cannot|nothing)\b|\w+n't\b|[- ]free\b|"
    r"\bnon-\w+"
)


def asks_for_color(text: str) -> bool:
    """Whether a color is asked for, names such as "red onion" aside.

    >>> asks_for_color("soup on a red plate"), asks_for_color("red onion salad")
    (True, False)
    """
    return bool(COLOR.search(NAMED.sub(" ", text.casefold())))


def asks_for_number(text: str) -> bool:
    """Whether a count is named.

    >>> asks_for_number("three tacos"), asks_for_number("tacos")
    (True, False)
    """
    return bool(NUMBER.search(text.casefold()))


def asks_for_absence(text: str) -> bool:
    """Whether something is to be missing.

    >>> asks_for_absence("soup without basil"), asks_for_absence("soup with basil")
    (True, False)
    """
    return bool(NEGATION.search(text.casefold()))


def holds_any(text: str, phrases: Sequence[str]) -> bool:
    """Whether one of some words or phrases stands in a text, as whole words.

    >>> holds_any("maki rolls on linen", ["maki rolls"]), holds_any("piety", ["pie"])
    (True, False)
    """
    folded = text.casefold()
    return any(re.search(rf"\b{re.escape(p.casefold())}\b", folded) for p in phrases if p)


def query_kinds(texts: Sequence[str], *, rare: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Kind to (q,) bool: which texts are of it; a text may be of several, or of none.

    Parameters
    ----------
    texts : sequence of str
    rare : sequence of str
        Words and phrases that the model has hardly met.

    Returns
    -------
    dict
        ``all``; ``short``, ``middle`` and ``long`` (thirds by number of words, equal numbers
        together); ``color``, ``number``, ``negation``, ``rare words``.

    Raises
    ------
    ValueError
        If there is no text.
    """
    if not len(texts):
        raise ValueError("no query: give at least one text")
    words = np.array([len(text.split()) for text in texts])
    low, high = np.quantile(words, [1 / 3, 2 / 3], method="lower")
    rules = {
        "color": asks_for_color,
        "number": asks_for_number,
        "negation": asks_for_absence,
        "rare words": lambda text: holds_any(text, rare),
    }
    return {
        "all": np.ones(len(texts), dtype=bool),
        f"short (up to {low} words)": words <= low,
        f"middle (up to {high})": (words > low) & (words <= high),
        f"long (over {high})": words > high,
        **{name: np.array([rule(text) for text in texts]) for name, rule in rules.items()},
    }
