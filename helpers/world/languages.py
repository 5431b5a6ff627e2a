"""The kitchen's captions in German, Spanish, French and Italian, said as two writers would.

Each language has a ``render(said, writer)``. The second writer (``writer`` 1) has other words and
turns of phrase for some things, so that what was written for the first can be judged on words that
it has not met.
"""

from collections.abc import Callable
from types import MappingProxyType

from helpers.world import german, romance
from helpers.world.kitchen import in_edited_english
from helpers.world.said import Said

WRITERS = (0, 1)
_RENDER: dict[str, Callable[[Said, int], str]] = {
    "en": lambda said, writer: in_edited_english(said),
    "de": german.render,
    "es": romance.SPANISH.render,
    "fr": romance.FRENCH.render,
    "it": romance.ITALIAN.render,
}
NAMES = MappingProxyType(
    {"en": "English", "de": "German", "es": "Spanish", "fr": "French", "it": "Italian"}
)


def in_language(said: Said, language: str, *, writer: int = 0) -> str:
    """What is said, in a language.

    Parameters
    ----------
    said : Said
        Has a dish.
    language : str
        ``en``, ``de``, ``es``, ``fr`` or ``it``; English is the same by either writer.
    writer : int
        0 or 1.

    Raises
    ------
    ValueError
        If there is no such language or writer, or no dish in what is said.

    Examples
    --------
    >>> in_language(Said("", ("soup", False), "", ("chicken", False), True, ()), "de")
    'Hähnchensuppe'
    """
    if language not in _RENDER:
        raise ValueError(f"no captions in language {language!r} (there are {', '.join(_RENDER)})")
    if writer not in WRITERS:
        raise ValueError(f"writer is {writer!r}: use 0 or 1")
    if language != "en" and not said.dish[0]:
        raise ValueError(f"a caption without a dish cannot be said in {NAMES[language]}: {said}")
    return _RENDER[language](said, writer)
