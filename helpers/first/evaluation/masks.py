"""Masks against true masks, pixel by pixel, and repaired pictures against the originals.

A detector's mask is scored by precision, recall and intersection over union; a repair by PSNR and
SSIM, both inside the mask alone: outside nothing was to be repaired, and a mean over the whole
picture would mostly say how small the mask is.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

PEAK = 255.0
SIGMA, TRUNCATE = 1.5, 3.5  # a Gaussian window of 11 x 11 pixels, as in Wang et al. (2004)
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class MaskScores:
    """How well a mask fits the true one.

    Attributes
    ----------
    precision : float
        Share of the found pixels that are true; NaN where nothing was found.
    recall : float
        Share of the true pixels that were found; NaN where there are none.
    iou : float
        Intersection over union; NaN where nothing is there and nothing was found.
    found, true : float
        Shares of the picture.
    """

    precision: float
    recall: float
    iou: float
    found: float
    true: float


def mask_scores(found: np.ndarray, truth: np.ndarray) -> MaskScores:
    """Precision, recall and IoU of one mask.

    Parameters
    ----------
    found, truth : (h, w) bool

    Raises
    ------
    ValueError
        If the masks differ in shape, are empty, or are not bool.

    Examples
    --------
    >>> mask_scores(np.array([[True, True]]), np.array([[True, False]])).precision
    0.5
    """
    if found.shape != truth.shape or found.ndim != 2 or not found.size:
        raise ValueError(f"masks of shapes {found.shape} and {truth.shape}; two equal (h, w) ones")
    if found.dtype != bool or truth.dtype != bool:
        raise ValueError(f"masks of types {found.dtype} and {truth.dtype}; both have to be bool")
    both, n_found, n_true = (int(m.sum()) for m in (found & truth, found, truth))
    either = n_found + n_true - both
    return MaskScores(
        precision=both / n_found if n_found else math.nan,
        recall=both / n_true if n_true else math.nan,
        iou=both / either if either else math.nan,
        found=n_found / found.size,
        true=n_true / found.size,
    )


def psnr(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all channels, inside ``mask`` if there is one.

    Parameters
    ----------
    image, reference : (h, w, c) or (h, w), 0 to 255
    mask : (h, w) bool, optional

    Returns
    -------
    float
        Infinite where the two are equal.

    Raises
    ------
    ValueError
        If shapes differ or the mask holds no pixel.

    Examples
    --------
    >>> round(psnr(np.zeros((2, 2)), np.full((2, 2), 25.5)), 6)
    20.0
    """
    inside = _inside(image, reference, mask)
    error = np.asarray(image, np.float64)[inside] - np.asarray(reference, np.float64)[inside]
    mean_square = float(np.mean(error**2))
    return 10 * math.log10(PEAK**2 / mean_square) if mean_square else math.inf


def ssim_map(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The structural similarity around each pixel, on luminance: (h, w) float64, at most 1.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity" (2004), equation 13; beyond the border the picture is mirrored.

    Parameters
    ----------
    image, reference : (h, w, 3) or (h, w), 0 to 255
    """
    _inside(image, reference, None)
    x, y = _luminance(image), _luminance(reference)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    )


def ssim(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """The mean of :func:`ssim_map`, inside ``mask`` if there is one; 1 for equal pictures.

    Raises
    ------
    ValueError
        If shapes differ or the mask holds no pixel.

    Examples
    --------
    >>> ssim(np.eye(4) * 255, np.eye(4) * 255)
    1.0
    """
    inside = _inside(image, reference, mask)
    return float(ssim_map(image, reference)[inside].mean())


def _inside(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if np.shape(image) != np.shape(reference) or np.ndim(image) not in (2, 3):
        raise ValueError(
            f"pictures of shapes {np.shape(image)} and {np.shape(reference)}; two equal ones"
        )
    inside = np.ones(np.shape(image)[:2], bool) if mask is None else mask
    if inside.shape != np.shape(image)[:2] or inside.dtype != bool:
        raise ValueError(
            f"a mask of {inside.shape} {inside.dtype} for a picture of {np.shape(image)}; "
            "a bool of the same height and width is due"
        )
    if not inside.any():
        raise ValueError("the mask holds no pixel: there is nothing to compare inside it")
    return inside


def _luminance(image: np.ndarray) -> np.ndarray:
    values = np.asarray(image, np.float64)
    return values @ np.array(LUMA) if values.ndim == 3 else values


def _blurred(values: np.ndarray) -> np.ndarray:
    return gaussian_filter(values, SIGMA, truncate=TRUNCATE, mode="mirror")
