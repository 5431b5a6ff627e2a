"""What translators into English have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Translation:
    """English text; or, with ``unknown`` words, the text as it was."""

    text: str
    unknown: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether nothing was left over."""
        return not self.unknown


class Translator(Protocol):
    """Anything that turns captions into English.

    Attributes
    ----------
    name : str
        What records call it.
    languages : tuple of str
        ISO 639-1 codes that it takes; empty: any.
    fingerprint : str
        Changes when its answers may.
    """

    name: str
    languages: tuple[str, ...]
    fingerprint: str

    def translate(self, texts: Sequence[str], language: str) -> list[Translation]:
        """Each text in English, in order; what cannot be translated stays and is said."""
