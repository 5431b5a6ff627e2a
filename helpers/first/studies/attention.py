"""How much of a model's attention lies on a region, against how much of the picture it is.

A region's share is compared with its area: attention that is spread evenly has exactly that share.
For a watermark there is a better comparison still: the same place in the picture without it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.evaluation.intervals import bootstrap_interval
from helpers.first.models.attention import attention_maps
from helpers.first.models.encoders import Encoder

KEYS = ("checkpoint", "pictures", "kind", "region")


def attention_shares(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of each map that lies on its mask.

    A patch that a mask covers in part counts in part, so an even map has the mask's area as share.

    Parameters
    ----------
    maps : (n, h, w) float, each sums to 1
    masks : (n, height, width) bool
        Of the pictures that the maps belong to, at any resolution.

    Returns
    -------
    (n,) float64, 0 to 1

    Raises
    ------
    ValueError
        If the numbers differ, or a map does not sum to 1.

    Examples
    --------
    >>> mask = np.array([[[1, 1, 0, 0]] * 4], bool)
    >>> attention_shares(np.full((1, 2, 2), 0.25), mask).tolist()
    [0.5]
    """
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 3 or np.ndim(masks) != 3 or len(maps) != len(masks):
        raise ValueError(
            f"maps of shape {maps.shape} and masks of shape {np.shape(masks)}; give one mask a map"
        )
    sums = maps.sum(axis=(1, 2))
    if not np.allclose(sums, 1, atol=1e-3):
        worst = int(np.abs(sums - 1).argmax())
        raise ValueError(f"map {worst} sums to {sums[worst]:g}; divide each map by its sum")
    return (maps * covered(masks, maps.shape[1:])).sum(axis=(1, 2))


def covered(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The part of each patch that a mask covers: (n, h, w) float64, by area, for any resolution."""
    height, width = np.shape(masks)[1:]
    down, across = _overlap(grid[0], height), _overlap(grid[1], width)
    return down @ np.asarray(masks, np.float64) @ across.T


def _overlap(n_cells: int, n_pixels: int) -> np.ndarray:
    """The share of each cell that each pixel fills, (n_cells, n_pixels); rows sum to 1."""
    cells, pixels = np.linspace(0, 1, n_cells + 1), np.linspace(0, 1, n_pixels + 1)
    low = np.maximum(cells[:-1, None], pixels[None, :-1])
    high = np.minimum(cells[1:, None], pixels[None, 1:])
    return np.maximum(high - low, 0) * n_cells


def checkpoint_shares(
    encoders: Mapping[str, Encoder],
    pictures: Mapping[str, Sequence[Image.Image]],
    masks: Mapping[str, np.ndarray],
    *,
    kind: str = "rollout",
    maps_of: Callable[..., np.ndarray] = attention_maps,
) -> pd.DataFrame:
    """The share on each region of each picture, for every checkpoint and version of the pictures.

    Parameters
    ----------
    encoders : mapping of name to Encoder
        Such as ``{"epoch 0": ..., "epoch 1": ...}``; a name may be any value, such as a number.
    pictures : mapping of name to n pictures
        Such as ``{"watermarked": ..., "clean": ...}``: the same n in every version.
    masks : mapping of name to (n, px, px) bool
        Regions, such as ``watermark`` and ``dish``.
    kind : str
        See :func:`helpers.first.models.attention.attention_maps`.

    Returns
    -------
    DataFrame
        ``checkpoint, pictures, kind, region, image`` (0 to n - 1), ``share, area``.
    """
    rows = []
    areas = {region: np.asarray(mask).mean(axis=(1, 2)) for region, mask in masks.items()}
    for checkpoint, encoder in encoders.items():
        for version, versions in pictures.items():
            maps = maps_of(encoder, versions, kind=kind)
            for region, mask in masks.items():
                shares = attention_shares(maps, mask)
                rows.append(
                    pd.DataFrame(
                        {
                            "checkpoint": checkpoint,
                            "pictures": version,
                            "kind": kind,
                            "region": region,
                            "image": np.arange(len(shares)),
                            "share": shares,
                            "area": areas[region],
                        }
                    )
                )
    return pd.concat(rows, ignore_index=True)


def share_intervals(
    shares: pd.DataFrame, groups: Sequence[str], *, seed: int = 42, n_resamples: int = 2000
) -> pd.DataFrame:
    """The mean share of each region with its interval over recipes, and against its area.

    Parameters
    ----------
    shares : DataFrame
        From :func:`checkpoint_shares`.
    groups : (n,) labels, the recipe of each picture
    seed, n_resamples : int

    Returns
    -------
    DataFrame
        ``checkpoint, pictures, kind, region, share, low, high, n, area``; ``excess`` (share - area)
        with ``excess_low, excess_high``, and ``p_value`` by sign flips of recipes, corrected by
        Holm over all rows; ``verdict``: "more than its area", "less than its area" or "not
        distinguishable".
    """
    groups, rows = np.asarray(groups), []
    for names, part in shares.groupby(list(KEYS), sort=False):
        of = groups[part["image"]]
        mean = bootstrap_interval(
            part["share"], of, bounds=(0.0, 1.0), seed=seed, n_resamples=n_resamples
        )
        excess = paired_comparison(
            part["share"], part["area"], of, seed=seed, n_resamples=n_resamples
        )
        rows.append(
            {
                **dict(zip(KEYS, names, strict=True)),
                "share": mean.value, "low": mean.low, "high": mean.high, "n": mean.n,
                "area": part["area"].mean(),
                "excess": excess.difference,
                "excess_low": excess.low, "excess_high": excess.high,
                "p_value": excess.p_value,
            }
        )  # fmt: skip
    found = pd.DataFrame(rows)
    found["p_value"] = holm(found["p_value"])
    return found.assign(verdict=_verdicts(found["excess"], found["p_value"]))


def _verdicts(excess: pd.Series, p_values: pd.Series, alpha: float = 0.05) -> list[str]:
    return [
        "not distinguishable"
        if p > alpha or e == 0
        else f"{'more' if e > 0 else 'less'} than its area"
        for e, p in zip(excess, p_values, strict=True)
    ]


def share_changes(
    shares: pd.DataFrame,
    groups: Sequence[str],
    *,
    over: str,
    against: str,
    seed: int = 42,
    n_resamples: int = 2000,
) -> pd.DataFrame:
    """How shares differ from those of one checkpoint, or of one version of the pictures, in pairs.

    ``over="pictures", against="clean"`` asks what the mark itself draws: the same place of the same
    picture without it is the comparison. ``over="checkpoint", against="epoch 0"`` asks what
    training changed.

    Parameters
    ----------
    shares : DataFrame
        From :func:`checkpoint_shares`.
    groups : (n,) labels, the recipe of each picture
    over : {"checkpoint", "pictures"}
    against : one of the values of that column

    Returns
    -------
    DataFrame
        The four names, ``difference, low, high, p_value`` (Holm over all rows) and ``verdict``.

    Raises
    ------
    ValueError
        If the column has no such value, or nothing to compare with it.
    """
    values = list(shares[over].unique()) if over in ("checkpoint", "pictures") else []
    if against not in values or len(values) < 2:
        raise ValueError(
            f"over={over!r}, against={against!r}: compare over 'checkpoint' or 'pictures', against "
            f"one of at least two values (there are {values})"
        )
    groups, rows = np.asarray(groups), []
    fixed = [name for name in KEYS if name != over]
    for _, part in shares.groupby(fixed, sort=False):
        base = part[part[over] == against].set_index("image")["share"]
        for value in (v for v in values if v != against):
            mine = part[part[over] == value].set_index("image")["share"]
            found = paired_comparison(
                mine, base.loc[mine.index], groups[mine.index], seed=seed, n_resamples=n_resamples
            )
            names = part.iloc[0][fixed].to_dict() | {over: value}
            rows.append(
                {
                    **{name: names[name] for name in KEYS},
                    "difference": found.difference, "low": found.low, "high": found.high,
                    "p_value": found.p_value,
                }
            )  # fmt: skip
    done = pd.DataFrame(rows)
    done["p_value"] = holm(done["p_value"])
    verdict = np.where(done["difference"] > 0, "higher", "lower")
    return done.assign(verdict=np.where(done["p_value"] <= 0.05, verdict, "not distinguishable"))
