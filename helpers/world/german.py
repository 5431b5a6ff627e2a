"""The kitchen in German: compounds for joined nouns, datives after prepositions.

The words lie in ``words/german.yaml``: a cell ``"a // b"`` holds those of the two writers.
"""

import re
from pathlib import Path

import yaml

from helpers.world.said import Extra, Said

STRONG = {"m": "er", "f": "e", "n": "es", "p": "e"}  # nominative without an article
STRONG_DATIVE = {"m": "em", "f": "er", "n": "em", "p": "en"}
DISH = re.compile(r"(.+) ([mfnp])(?: (.+))?")


def words_of(language: str) -> dict:
    """The tables of a language, in ``words/``."""
    folder = Path(__file__).with_name("words")
    return yaml.safe_load((folder / f"{language}.yaml").read_text(encoding="utf-8"))


WORDS = words_of("german")


def of(cell: str, writer: int) -> str:
    """What one of the writers says."""
    words = cell.split(" // ")
    return words[writer] if len(words) > 1 else words[0]


def render(said: Said, writer: int) -> str:
    """The caption in German."""
    dative = said.opening == "photo"
    head, gender, in_dative = DISH.fullmatch(
        of(WORDS["dish"][said.dish[0]][said.dish[1]], writer)
    ).groups()
    adjective, _, noun = head.rpartition(" ")
    noun = in_dative if in_dative and dative else noun
    if said.main[0] and said.joined:
        noun = compound(of(WORDS["stem"][said.main[0]][said.main[1]], writer), noun, writer)
    words = [noun]
    if adjective:
        words.insert(0, adjective.removesuffix("er") + _ending(gender, dative))
    if said.opening:
        opening = of(WORDS["openings"][said.opening], writer)
        words.insert(0, opening if dative else opening + STRONG[gender])
    if said.main[0] and not said.joined:
        words += ["mit", of(WORDS["main"][said.main[0]][said.main[1]], writer)]
    return " ".join([*words, ", ".join(_extra(e, writer) for e in said.extras)]).strip()


def compound(stem: str, noun: str, writer: int) -> str:
    """Two nouns in one; the first writer keeps loan words apart with a hyphen.

    >>> compound("Lachs", "Suppe", 0), compound("Lachs", "Sushi", 0)
    ('Lachssuppe', 'Lachs-Sushi')
    """
    hyphen = noun in WORDS["loans"] and (writer == 0 or "-" in noun)
    return f"{stem}-{noun}" if hyphen else stem + noun.lower()


def _ending(gender: str, dative: bool) -> str:
    return STRONG_DATIVE[gender] if dative else STRONG[gender]


def _extra(extra: Extra, writer: int) -> str:
    form = of(WORDS["forms"][extra.about][extra.form], writer)
    if extra.about != "plate":
        return form.format(of(WORDS[extra.about][extra.value][extra.second], writer))
    adjectives = [of(WORDS["colors"].get(extra.value, ""), writer)]
    adjectives += [of(WORDS["shapes"][extra.shape][extra.second], writer)] if extra.shape else []
    start, _, rest = form.partition("{")
    article, _, end = rest.partition("}")
    article, gender = article.split("|")
    ending = "en" if writer == 0 else STRONG_DATIVE[gender]  # "einem weißen", "weißem"
    said = [a + ending for a in adjectives if a]
    return start + " ".join([article, *said] if writer == 0 else said) + end
