"""The kitchen in Spanish, French and Italian: one grammar, three vocabularies (``words/``).

Adjectives and participles agree with their noun and follow it; "chicken soup" is a soup *of*, *at*
or *and* chicken, as each dish has it; articles contract and elide.
"""

from dataclasses import dataclass

from helpers.world.german import of, words_of
from helpers.world.said import Extra, Said


@dataclass(frozen=True)
class Noun:
    """A noun with the words that belong to it; ``number`` is s or p, ``gender`` m or f."""

    text: str
    gender: str
    number: str


class Romance:
    """A caption in one of the three.

    A subclass has ``joined(link, noun)``, a noun after the dish that it is in or after "with", and
    ``agree(adjective, gender, number)``, the form of an adjective that goes with a noun.
    """

    fixed: frozenset[str] = frozenset()  # words that never agree

    def __init__(self, language: str) -> None:
        self.words = words_of(language)

    def some(self, noun: Noun) -> str:
        """A noun after "with" in a phrase of its own."""
        return noun.text

    def render(self, said: Said, writer: int) -> str:
        """The caption in this language."""
        dish, link = self.noun("dish", *said.dish, writer)
        words = [dish.text]
        if said.main[0]:
            main = self.noun("main", *said.main, writer)[0]
            made = self.joined(link, main) if said.joined else self.joined("with", main)
            words.append(made)
        opening = of(self.words["openings"][said.opening], writer) if said.opening else ""
        if said.opening == "photo":
            words.insert(0, opening)
        elif opening:
            words.insert(2 if said.joined else 1, self.agree(opening, dish.gender, dish.number))
        extras = ", ".join(self._extra(e, dish, writer) for e in said.extras)
        return " ".join([*words, extras]).strip()

    def noun(self, about: str, value: str, second: bool, writer: int) -> tuple[Noun, str]:
        """The noun for a value, and its link if it is a dish."""
        cell = of(self.words[about][value][second], writer)
        text, _, tags = cell.rpartition(" ")
        gender, number, *link = tags.split("-")
        return Noun(text, gender, number), (link or [""])[0]

    def _extra(self, extra: Extra, dish: Noun, writer: int) -> str:
        form = of(self.words["forms"][extra.about][extra.form], writer)
        start, _, rest = form.partition("{")
        slot, _, end = rest.partition("}")
        if start:  # a participle agrees with the dish
            first, _, more = start.partition(" ")
            start = f"{self.agree(first, dish.gender, dish.number)} {more}"
        if extra.about == "plate":
            article, text, gender = slot.split("|")
            cells = [self.words["colors"].get(extra.value, "")]
            cells += [self.words["shapes"][extra.shape][extra.second]] if extra.shape else []
            adjectives = [self.agree(of(c, writer), gender, "s") for c in cells if c]
            return f"{start}{' '.join([article, text, *adjectives])}{end}"
        if extra.about == "table":
            return start + of(self.words["table"][extra.value][extra.second], writer) + end
        noun = self.noun(extra.about, extra.value, extra.second, writer)[0]
        filled = {"some": self.some(noun), "": noun.text}.get(slot) or self.joined(slot, noun)
        return start + filled + end


class Spanish(Romance):
    """ "de pollo", "y pollo", "con pollo"; "y" is "e" before the sound i."""

    fixed = frozenset({"sobre", "con"})

    def joined(self, link: str, noun: Noun) -> str:
        word = {"with": "con", "y": "e" if noun.text.startswith(("i", "hi")) else "y"}
        return f"{word.get(link, link)} {noun.text}"

    def agree(self, adjective: str, gender: str, number: str) -> str:
        """
        >>> [SPANISH.agree(*asked) for asked in (("blanco", "f", "p"), ("azul", "f", "s"))]
        ['blancas', 'azul']
        """
        if not adjective.endswith("o") or adjective in self.fixed:
            return adjective
        return adjective[:-1] + ("a" if gender == "f" else "o") + ("s" if number == "p" else "")


_FEMININE = {"blanc": "blanche", "frais": "fraîche", "anguleux": "anguleuse", "oblong": "oblongue"}
_AT = {"m-s": "al", "m-p": "ai", "f-s": "alla", "f-p": "alle"}


class French(Romance):
    """ "de poulet", "d'œufs", "au poulet", "aux crevettes", "à l'œuf"; "avec du poulet"."""

    fixed = frozenset({"avec", "sur", "maison", "marron"})

    def joined(self, link: str, noun: Noun) -> str:
        if link == "with":
            return f"avec {self.some(noun)}"
        if link == "de":
            return f"d'{noun.text}" if _vowel(noun.text) else f"de {noun.text}"
        if noun.number == "p":
            return f"aux {noun.text}"
        if _vowel(noun.text):
            return f"à l'{noun.text}"
        return f"{'au' if noun.gender == 'm' else 'à la'} {noun.text}"

    def some(self, noun: Noun) -> str:
        """With its partitive article: "du basilic", "de l'oignon rouge", "des olives"."""
        if noun.number == "p":
            return f"des {noun.text}"
        if _vowel(noun.text):
            return f"de l'{noun.text}"
        return f"{'du' if noun.gender == 'm' else 'de la'} {noun.text}"

    def agree(self, adjective: str, gender: str, number: str) -> str:
        """
        >>> [FRENCH.agree(*asked) for asked in (("blanc", "f", "s"), ("garni", "f", "p"))]
        ['blanche', 'garnies']
        """
        first, _, rest = adjective.partition(" ")  # "fait maison"
        if first in self.fixed or (first.endswith(("à", "é")) and len(first) < 3):
            return adjective
        if gender == "f":
            first = _FEMININE.get(first, first if first.endswith("e") else first + "e")
        if number == "p" and not first.endswith(("s", "x")):
            first += "s"
        return f"{first} {rest}".strip()


class Italian(Romance):
    """ "di pollo", "d'uovo" kept as "di uovo", "al pollo", "all'uovo", "agli champignon"."""

    fixed = frozenset({"con", "sopra", "su", "in", "blu", "rosa"})

    def joined(self, link: str, noun: Noun) -> str:
        if link in ("di", "with"):
            return f"{'con' if link == 'with' else 'di'} {noun.text}"
        if noun.number == "s" and noun.text[0] in "aeiou":
            return f"all'{noun.text}"
        return f"{_AT[f'{noun.gender}-{noun.number}']} {noun.text}"

    def agree(self, adjective: str, gender: str, number: str) -> str:
        """
        >>> [ITALIAN.agree(*asked) for asked in (("bianco", "f", "p"), ("fatto in casa", "m", "p"))]
        ['bianche', 'fatti in casa']
        """
        first, _, rest = adjective.partition(" ")
        if first in self.fixed or not first.endswith("o"):
            return adjective
        stem = first[:-1]
        if number == "p":  # bianco, bianchi, bianche; casereccio, caserecci, caserecce
            stem = f"{stem}h" if stem.endswith("c") else stem.removesuffix("i")
        ending = {"m-s": "o", "f-s": "a", "m-p": "i", "f-p": "e"}[f"{gender}-{number}"]
        return f"{stem}{ending} {rest}".strip()


def _vowel(text: str) -> bool:
    return text[0] in "aeiouyœéêèàâô" or text.startswith("herbes")  # its h is mute


SPANISH, FRENCH, ITALIAN = Spanish("spanish"), French("french"), Italian("italian")
