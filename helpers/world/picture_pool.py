"""Pictures without annotation, from which pairs are mined, and the part that people annotated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from helpers.topics.cir.triplets import Triplet


@dataclass(frozen=True)
class PicturePool:
    """Pictures of a source set; what pairs are mined from.

    Attributes
    ----------
    names : tuple of str
    categories : tuple of str
        Of each picture; pairs never leave one.
    captions : mapping of tuple of str
        What is said of each picture, from brief to detailed; nothing of a pair's difference.
    load_image : callable
        Name to picture.
    fingerprint : str
        Of all that stands above.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    captions: Mapping[str, tuple[str, ...]]
    load_image: Callable[[str], Image.Image]
    fingerprint: str

    def __post_init__(self) -> None:
        if len(self.names) != len(self.categories):
            raise ValueError(
                f"{len(self.names)} pictures and {len(self.categories)} categories: give one each"
            )
        if len(set(self.names)) != len(self.names):
            twice = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            raise ValueError(f"picture {twice!r} is in the pool twice")
        if silent := [name for name in self.names if not self.captions.get(name)]:
            raise ValueError(
                f"{len(silent)} pictures have no caption, {silent[0]!r} first: the filter of "
                "unsupported attributes and the texts from captions need one each"
            )


def split_annotated(
    triplets: Sequence[Triplet], *, n: int, seed: int = 42
) -> tuple[tuple[Triplet, ...], tuple[Triplet, ...]]:
    """The ``n`` triplets that people are said to have annotated, and all others.

    Of one seed, a smaller part lies in every larger one; both keep the order of ``triplets``.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if not 0 <= n <= len(triplets):
        raise ValueError(f"{n} annotated triplets are asked for and there are {len(triplets)}")
    chosen = set(np.random.default_rng([seed, 4]).permutation(len(triplets))[:n].tolist())
    parts = ([], [])
    for i, triplet in enumerate(triplets):
        parts[i not in chosen].append(triplet)
    return tuple(parts[0]), tuple(parts[1])
