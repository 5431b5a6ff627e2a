"""The kitchen in Spanish, French and Italian: one grammar, three vocabularies.

Adjectives and participles agree with their noun and follow it; "chicken soup" is a soup *of*, *at*
or *and* chicken, as each dish has it; articles contract and elide.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from helpers.world import french, italian, spanish
from helpers.world.german import of
from helpers.world.said import Extra, Said


@dataclass(frozen=True)
class Noun:
    """A noun with the words that belong to it; ``number`` is s or p, ``gender`` m or f."""

    text: str
    gender: str
    number: str


@dataclass(frozen=True)
class Romance:
    """A language of the three: its tables and its articles.

    Attributes
    ----------
    words : mapping
        Attribute to value to the two synonyms; each ``"noun tag link"``, the writers apart by
        ``//``; the link of a dish is how it is joined to what it is made of.
    joined : callable
        ``joined(link, noun) -> str``, such as "de pollo", "aux crevettes", "all'uovo".
    some : callable
        A noun after "with": "du basilic", "albahaca".
    forms, colors, shapes, openings : mapping
    agree : callable
        ``agree(adjective, gender, number) -> str``.
    """

    words: Mapping[str, Mapping[str, tuple[str, str]]]
    joined: Callable[[str, Noun], str]
    some: Callable[[Noun], str]
    forms: Mapping[str, tuple[str, ...]]
    colors: Mapping[str, str]
    shapes: Mapping[str, tuple[str, str]]
    openings: Mapping[str, str]
    agree: Callable[[str, str, str], str]

    def render(self, said: Said, writer: int) -> str:
        """The caption in this language."""
        dish, link = self.noun("dish", *said.dish, writer)
        words = [dish.text]
        if said.main[0]:
            main = self.noun("main", *said.main, writer)[0]
            made = self.joined(link, main) if said.joined else self.joined("with", main)
            words.append(made)
        opening = of(self.openings[said.opening], writer) if said.opening else ""
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
        form = of(self.forms[extra.about][extra.form], writer)
        start, _, rest = form.partition("{")
        slot, _, end = rest.partition("}")
        if start:  # a participle agrees with the dish
            first, _, more = start.partition(" ")
            start = f"{self.agree(first, dish.gender, dish.number)} {more}"
        if extra.about == "plate":
            article, text, gender = slot.split("|")
            color = of(self.colors[extra.value], writer)
            shape = of(self.shapes[extra.shape][extra.second], writer)
            adjectives = [self.agree(a, gender, "s") for a in (color, shape) if a]
            return f"{start}{' '.join([article, text, *adjectives])}{end}"
        if extra.about == "table":
            return start + of(self.words["table"][extra.value][extra.second], writer) + end
        noun = self.noun(extra.about, extra.value, extra.second, writer)[0]
        filled = {"some": self.some(noun), "": noun.text}.get(slot) or self.joined(slot, noun)
        return start + filled + end


def _noun_parts(module: object) -> dict:
    names = ("words", "forms", "colors", "shapes", "openings")
    return {name: getattr(module, name.upper()) for name in names}


SPANISH, FRENCH, ITALIAN = (
    Romance(**_noun_parts(m), joined=m.joined, some=m.some, agree=m.agree)
    for m in (spanish, french, italian)
)
