"""Five numbers that a picture has before any model sees it.

Levels are those of 8-bit pixels, 0 to 255. Edges and spectra depend on the size of a picture: sets
of different sizes are brought to one, by ``px``.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.images import normalise

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
