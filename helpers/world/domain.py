"""What a domain of the drawn world has to bring; the rest of the world is shared.

A new domain is one module with a ``DOMAIN`` and one line in ``helpers.world.DOMAINS``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.world.pen import Pen
from helpers.world.said import Said

Attributes = dict[str, str]
NONE = "none"


@dataclass(frozen=True)
class Scene:
    """Where a domain paints its subject: the picture and, with the same layout, its silhouette."""

    pen: Pen
    mask: Pen


@dataclass(frozen=True)
class Domain:
    """A domain: what there is, how it looks and how people speak of it.

    Attributes
    ----------
    name : str
    n_recipes : int
        How many recipes ``world:<name>`` has unless told otherwise.
    sample : callable
        ``sample(rng) -> attributes``, a flat mapping of strings with a ``table``.
    title : callable
        ``title(attributes) -> str``, the same for equal attributes.
    captions : callable
        ``captions(attributes, rng) -> ((kind, text), ...)``, three of them, from brief to detailed.
    paint : callable
        ``paint(scene, attributes)`` draws the subject and its mask.
    plans : callable, optional
        As ``captions``, before they are put into words: (kind, plan), for other languages.
    """

    name: str
    n_recipes: int
    sample: Callable[[np.random.Generator], Attributes]
    title: Callable[[Attributes], str]
    captions: Callable[[Attributes, np.random.Generator], tuple[tuple[str, str], ...]]
    paint: Callable[[Scene, Attributes], None]
    n_images: tuple[int, int] = (2, 5)
    nth: Callable[[int, int], Attributes] | None = None
    vary: Callable[[Attributes, np.random.Generator], Attributes] | None = None
    plans: Callable[[Attributes, np.random.Generator], tuple[tuple[str, Said], ...]] | None = None

    @property
    def key(self) -> int:
        """A number for the random streams, so that no two domains share one."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big")
