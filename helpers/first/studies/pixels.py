"""Five numbers that a picture has before any model sees it, and two sets of pictures compared.

Levels are those of 8-bit pixels, 0 to 255. Edges and spectra depend on the size of a picture: sets
of different sizes are brought to one, by ``px``, or by :func:`helpers.first.data.image_folders`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.images import normalise
from helpers.first.evaluation.comparison import holm
from helpers.first.evaluation.resampling import expanded_tail, percentile_limits
from helpers.first.studies.style_pictures import Sides
from helpers.first.studies.two_samples import (
    TwoSamples,
    check_rows,
    cliffs_delta,
    kolmogorov_smirnov,
    resampled_weights,
    shuffle_p_value,
    shuffled_sides,
    two_samples,
)

STATISTICS = ("brightness", "gradient", "laplacian_variance", "colorfulness", "spectrum_slope")
UNITS = {
    "brightness": "gray levels, 0 to 255",
    "gradient": "gray levels a pixel",
    "laplacian_variance": "gray levels squared",
    "colorfulness": "Hasler and Süsstrunk's scale",
    "spectrum_slope": "exponent of the power spectrum",
}
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def pixel_statistics(
    images: Iterable[Image.Image], *, px: int = 0, progress: bool = False
) -> pd.DataFrame:
    """Brightness, edges, sharpness, color and spectrum of pictures.

    ``brightness`` is the mean gray level; ``gradient`` the mean length of the gradient (central
    differences); ``laplacian_variance`` the variance of the 4-neighbor Laplacian, a measure of
    sharpness (Pech-Pacheco et al. 2000); ``colorfulness`` that of Hasler and Süsstrunk, "Measuring
    colourfulness in natural images" (2003), equation 4; ``spectrum_slope`` the exponent of power
    over frequency, see :func:`spectrum_slope`.

    Parameters
    ----------
    images : iterable of PIL.Image.Image
        At least 8 pixels a side.
    px : int
        Bring every picture to a square of so many pixels first; 0: they have one size already.
    progress : bool

    Returns
    -------
    DataFrame
        Columns ``STATISTICS``, one row an image. The slope of a picture of one color is NaN.

    Raises
    ------
    ValueError
        If there is no picture, one is smaller than 8 or ``px`` pixels, or sizes differ.

    Examples
    --------
    >>> pixel_statistics([Image.new("RGB", (16, 16), "white")])["brightness"].tolist()
    [255.0]
    """
    rows, sizes = [], {}
    for i, image in enumerate(tqdm(images, desc="measuring pixels", disable=not progress)):
        if min(image.size) < max(px, 8):
            raise ValueError(
                f"picture {i} has {image.width} x {image.height} pixels; at least {max(px, 8)} are "
                "due: choose a smaller px, or leave it out"
            )
        square = normalise(image.convert("RGB"), image_px=px) if px else image.convert("RGB")
        sizes.setdefault(square.size, i)
        rows.append(_statistics(np.asarray(square, np.float64)))
    if not rows:
        raise ValueError("no picture to measure; give at least one")
    if len(sizes) > 1:
        (one, i), (other, j) = list(sizes.items())[:2]
        raise ValueError(
            f"picture {i} has {one[0]} x {one[1]} pixels and picture {j} {other[0]} x {other[1]}: "
            "edges and spectra of different sizes cannot be compared; give px, the side to bring "
            "all of them to"
        )
    return pd.DataFrame(rows, columns=list(STATISTICS))


def _statistics(rgb: np.ndarray) -> tuple[float, ...]:
    """The five numbers of (h, w, 3) float64 levels."""
    gray = rgb @ _LUMA  # (h, w)
    inner = gray[1:-1, 1:-1]
    down, right = (gray[2:, 1:-1] - gray[:-2, 1:-1]) / 2, (gray[1:-1, 2:] - gray[1:-1, :-2]) / 2
    around = gray[2:, 1:-1] + gray[:-2, 1:-1] + gray[1:-1, 2:] + gray[1:-1, :-2]
    return (
        float(gray.mean()),
        float(np.hypot(down, right).mean()),
        float((around - 4 * inner).var()),
        colorfulness(rgb),
        spectrum_slope(gray),
    )


def colorfulness(rgb: np.ndarray) -> float:
    """Hasler and Süsstrunk 2003: the spread of opponent colors, and .3 of their distance to gray.

    Parameters
    ----------
    rgb : (h, w, 3) float, levels of 0 to 255

    Examples
    --------
    >>> colorfulness(np.full((4, 4, 3), 99.0))
    0.0
    """
    red, green, blue = np.moveaxis(rgb, -1, 0)
    pairs = (red - green, (red + green) / 2 - blue)
    spread = np.hypot(*(pair.std() for pair in pairs))
    return float(spread + 0.3 * np.hypot(*(pair.mean() for pair in pairs)))


def spectrum_slope(gray: np.ndarray) -> float:
    """The slope of log power over log frequency, averaged over all directions.

    Photos of nature lie near -2 (Field, "Relations between the statistics of natural images and the
    response properties of cortical cells", 1987): flatter is harsher or noisier, steeper smoother.
    The mean is taken off and a Hann window laid on, so that the borders add no edge; the line goes
    through the mean power of octave-thirds from 2 cycles a picture to half a cycle a pixel.

    Parameters
    ----------
    gray : (h, w) float

    Returns
    -------
    float
        NaN for a picture of one level.
    """
    height, width = gray.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    flat = gray - np.average(gray, weights=window)
    if np.abs(flat).max() < 1e-9:
        return float("nan")
    power = np.abs(np.fft.fft2(flat * window)) ** 2
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    frequency = np.hypot(rows, columns).ravel()  # cycles a pixel
    lowest = 2 / min(height, width)
    bins = np.floor(3 * np.log2(np.maximum(frequency, 1e-9) / lowest) + 1e-9)
    kept = (bins >= 0) & (frequency <= 0.5)
    numbers = np.unique(bins[kept], return_inverse=True)[1]
    counts = np.bincount(numbers)
    mean_power, mean_log = (
        np.bincount(numbers, weights=v) / counts
        for v in (power.ravel()[kept], np.log(frequency[kept]))
    )
    return float(np.polyfit(mean_log, np.log(np.maximum(mean_power, 1e-12)), 1)[0])


def compared_side(sides: Sides, *, most: int = 224) -> tuple[int, str]:
    """The side at which pictures of two sets are measured, and a sentence that says why.

    A single small picture brings all others down to its own side, so it is named.

    Parameters
    ----------
    sides : Sides
    most : int
        Larger pictures are made as small as this.
    """
    if sides.px >= most:
        return most, f"pixels are compared at {most} px"
    labels = {"real": sides.groups_real, "synthetic": sides.groups_synthetic}
    both = (*sides.real, *sides.synthetic)
    names = [f"{look} {label}" for look, found in labels.items() for label in found]
    small = [name for image, name in zip(both, names, strict=True) if min(image.size) == sides.px]
    decides = f"that of {small[0]}" + (f" and {len(small) - 1} more" if small[1:] else "")
    if len(small) == len(both):
        decides = "that of every picture"
    return sides.px, f"pixels are compared at {sides.px} px, {decides}"


def compare_statistics(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    groups_a: Sequence[str],
    groups_b: Sequence[str],
    paired: bool = False,
    seed: int = 42,
    n_shuffles: int = 2000,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """How two sets of pictures differ in each statistic.

    Groups (recipes) are resampled for the interval and shuffled for the tests, never single
    pictures; a label that stands on both sides is drawn, and swaps sides, as one (see
    :mod:`helpers.first.studies.two_samples`).

    Parameters
    ----------
    a, b : DataFrame
        From :func:`pixel_statistics`, or any columns of numbers, the same in both.
    groups_a, groups_b : sequence of str
        The recipe of each row.
    paired : bool
        Row i of ``a`` and of ``b`` belong together; checked, and said in the result.
    seed, n_shuffles, n_resamples : int
    level : float

    Returns
    -------
    DataFrame
        A row a statistic: ``statistic, mean_a, mean_b, difference`` (a - b) with ``low, high``;
        ``p_value`` of the difference of means and ``ks_p_value`` of ``ks``, the largest gap between
        the two distribution functions (Kolmogorov and Smirnov), both corrected by Holm over the
        statistics; ``effect_size``, Cliff's delta; ``n_a, n_b, n_groups, paired``.

    Raises
    ------
    ValueError
        If the columns differ, a value is not finite, or rows that should be pairs are not.
    """
    if list(a.columns) != list(b.columns):
        raise ValueError(f"a has the columns {list(a.columns)}, b {list(b.columns)}")
    if paired and list(groups_a) != list(groups_b):
        raise ValueError(
            "paired=True, but groups_a and groups_b differ; order both by pair, or say paired=False"
        )
    rows_a, rows_b = check_rows("a", a, groups_a), check_rows("b", b, groups_b)
    samples = two_samples(groups_a, groups_b)
    values = np.concatenate([rows_a, rows_b])  # (N, statistics)
    sides = shuffled_sides(samples, n_shuffles, seed=seed)
    weights = resampled_weights(samples, n_resamples, seed=seed)
    tail = expanded_tail(max(samples.n_effective, 2), level)
    rows = []
    for column, name in enumerate(a.columns):
        v = values[:, column]
        difference = _differences(v, samples.is_a[None].astype(float), np.ones((1, len(v))))[0]
        low, high = percentile_limits(_differences(v, samples.is_a, weights), tail)
        shuffled = _differences(v, sides, np.ones((1, len(v))))
        ks = kolmogorov_smirnov(v, samples.is_a[None])[0]
        rows.append(
            {
                "statistic": name,
                "mean_a": v[samples.is_a].mean(),
                "mean_b": v[~samples.is_a].mean(),
                "difference": difference,
                "low": min(low, difference),
                "high": max(high, difference),
                "p_value": shuffle_p_value(abs(difference), np.abs(shuffled)),
                "effect_size": cliffs_delta(v[samples.is_a], v[~samples.is_a]),
                "ks": ks,
                "ks_p_value": shuffle_p_value(ks, kolmogorov_smirnov(v, sides)),
            }
        )
    found = pd.DataFrame(rows)
    for name in ("p_value", "ks_p_value"):
        found[name] = holm(found[name])
    counts = _counts(samples)
    return found.assign(**counts, paired=paired)


def _counts(samples: TwoSamples) -> dict[str, int]:
    n_a = int(samples.is_a.sum())
    return {"n_a": n_a, "n_b": len(samples.is_a) - n_a, "n_groups": samples.n_groups}


def _differences(values: np.ndarray, is_a: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of a minus that of b, for each row of sides or of weights: (r,)."""
    in_a = weights * is_a  # (r, N)
    in_b = weights - in_a
    return in_a @ values / in_a.sum(axis=1) - in_b @ values / in_b.sum(axis=1)
