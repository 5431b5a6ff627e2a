"""What a caption of a dish says, apart from the language that it says it in.

``kitchen.plan`` decides what is said and in which order; the English of the kitchen and the four
languages of ``languages`` put the same plan into words.
"""

from dataclasses import dataclass

OPENINGS = ("", "photo", "homemade", "", "fresh")


@dataclass(frozen=True)
class Extra:
    """A part of a caption after the dish.

    Attributes
    ----------
    about : str
        ``sauce``, ``garnish``, ``plate`` or ``table``.
    form : int
        Which of the phrasings of its kind.
    value : str
        The value of the attribute; of a plate its color, empty where it is not said.
    second : bool
        Whether the rarer of the two words is used.
    shape : str
        Of a plate: its shape, empty where it is not said; ``second`` then speaks of the shape.
    """

    about: str
    form: int
    value: str
    second: bool = False
    shape: str = ""


@dataclass(frozen=True)
class Said:
    """A caption before it is put into words.

    Attributes
    ----------
    opening : str
        One of ``OPENINGS``.
    dish : (value, whether the rarer word is used); the value is empty where the dish is not named
    unnamed : str
        What stands for a dish that is not named.
    main : (value, whether the rarer word is used); the value is empty where it is not named
    joined : bool
        "chicken soup" rather than "soup with chicken".
    extras : tuple of Extra
        In the order in which they are said.
    """

    opening: str
    dish: tuple[str, bool]
    unnamed: str
    main: tuple[str, bool]
    joined: bool
    extras: tuple[Extra, ...]
