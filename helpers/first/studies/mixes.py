"""Mixtures: which share of the training recipes an arm sees, and in which look.

Every arm of a study takes as many steps, of batches of one size: a pool of fewer pictures is gone
through more often. What differs between arms is then the pictures, not how long they are trained.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

REAL, SYNTHETIC = "real", "synthetic"


@dataclass(frozen=True)
class Mix:
    """Which recipes an arm sees, and in which look; never one recipe in two.

    Attributes
    ----------
    real, synthetic : float
        Shares of the training recipes. With one seed a larger share only adds recipes, and the
        synthetic ones are recipes of which no real picture is shown.
    style_gap : float
        How far the synthetic pictures stay away from real ones; of no meaning without any.
    watermark : bool
        Lay a watermark over every training picture.

    Raises
    ------
    ValueError
        If the shares are no shares, or nothing or more than everything is shown.
    """

    real: float = 1.0
    synthetic: float = 0.0
    style_gap: float = 1.0
    watermark: bool = False

    def __post_init__(self) -> None:
        shares = (self.real, self.synthetic)
        if min(shares) < 0 or not 0 < sum(shares) <= 1 + 1e-9:
            raise ValueError(
                f"real {self.real} and synthetic {self.synthetic}: shares of the recipes, 0 or "
                "more, together above 0 and at most 1"
            )
        if not 0 <= self.style_gap <= 1:
            raise ValueError(f"style_gap is {self.style_gap}; it is a share of the way, 0 to 1")
        if not self.synthetic:
            object.__setattr__(self, "style_gap", 1.0)

    @property
    def label(self) -> str:
        """What figures and records call it.

        >>> Mix(0.25, 0.75, style_gap=0.5).label
        '25 % real + 75 % synthetic, gap 0.5'
        """
        parts = [
            f"{100 * share:g} % {name}"
            for name, share in ((REAL, self.real), (SYNTHETIC, self.synthetic))
            if share
        ]
        gap = f", gap {self.style_gap:g}" if self.synthetic and self.style_gap != 1 else ""
        return " + ".join(parts) + gap + (", watermarked" if self.watermark else "")


def percents(text: str) -> tuple[float, ...]:
    """The shares in a comma-separated text of percentages.

    Raises
    ------
    ValueError
        If a part is no number from 0 to 100.

    >>> percents("0, 25,100")
    (0.0, 0.25, 1.0)
    """
    found = []
    for part in text.split(","):
        try:
            share = float(part) / 100
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ValueError(f"{part.strip()!r} in {text!r}: give numbers from 0 to 100, by commas")
        found.append(share)
    return tuple(found)


def study_mixes(
    *,
    shares: Iterable[float],
    alone: Iterable[float],
    added: Iterable[float],
    gaps: Iterable[float],
    base: float,
) -> list[Mix]:
    """The arms of a study, each once; those that its questions cannot do without are always there.

    Parameters
    ----------
    shares : iterable of float
        Shares of real pictures at equal count; the others are synthetic. 0, ``base`` and 1 are
        added.
    alone : iterable of float
        Shares of real pictures without any synthetic ones; ``base`` and 1 are added.
    added : iterable of float
        Shares of synthetic pictures that are added to ``base``.
    gaps : iterable of float
        Style gaps of the synthetic pictures that are added to ``base``, as many as are left.
    base : float
        Share of the real pictures that others are added to, above 0 and below 1.

    >>> [m.label for m in study_mixes(shares=(), alone=(), added=(), gaps=(1,), base=0.5)]
    ['100 % real', '50 % real', '50 % real + 50 % synthetic', '100 % synthetic']
    """
    if not 0 < base < 1:
        raise ValueError(f"base is {base}; give the share of real pictures, above 0 and below 1")
    found = [
        *(Mix(share) for share in sorted({*alone, base, 1.0}, reverse=True)),
        *(Mix(share, 1 - share) for share in sorted({*shares, base, 0.0, 1.0}, reverse=True)),
        *(Mix(base, share) for share in added if share),
        *(Mix(base, 1 - base, style_gap=gap) for gap in gaps if gap),
    ]
    return list(dict.fromkeys(found))


def mixed_rows(train: pd.DataFrame, mix: Mix, *, seed: int) -> pd.DataFrame:
    """The training rows of a mix: as many pictures as ``train`` has, each key with its look.

    Parameters
    ----------
    train : DataFrame
        ``recipe_id, image_key, caption``.
    seed : int
        Of the choice of recipes.

    Returns
    -------
    DataFrame
        ``image_key`` is ``<look>#<copy>/<key>``: where a mix has fewer pictures than ``train``,
        they are there several times.

    Raises
    ------
    ValueError
        If a share is so small that no recipe is left for it.
    """
    rng = np.random.default_rng([seed, 17])
    recipes = rng.permutation(np.unique(train["recipe_id"].to_numpy(dtype=str)))
    first = round(mix.real * len(recipes))
    last = round((mix.real + mix.synthetic) * len(recipes))
    looks = dict.fromkeys(recipes[:first], REAL) | dict.fromkeys(recipes[first:last], SYNTHETIC)
    for name, share, found in ((REAL, mix.real, first), (SYNTHETIC, mix.synthetic, last - first)):
        if share and not found:
            raise ValueError(f"{mix.label}: of {len(recipes)} recipes none is {name}: take more")
    shown = train[train["recipe_id"].isin(looks)]
    keys = rng.permutation(shown["image_key"].drop_duplicates().to_numpy(dtype=str))
    wanted = train["image_key"].nunique()
    copies = []
    for copy in range(-(-wanted // len(keys))):
        part = shown[shown["image_key"].isin(keys[: wanted - copy * len(keys)])]
        look = part["recipe_id"].map(looks)
        copies.append(part.assign(image_key=look + f"#{copy}/" + part["image_key"]))
    return pd.concat(copies, ignore_index=True)
