"""What a pixel and its surroundings look like: the features by which marks are told from dishes.

All lengths are fractions of the picture's shorter side, as the sizes of marks are, so that the same
features serve 64 and 224 pixels. The place in the picture is no feature: marks stand anywhere.
"""

import cv2
import numpy as np
from PIL import Image

from helpers.first.prepare.watermarks import LUMA, disc_of

UNIT = 64  # a length of 1 is a 64th of the shorter side
AROUND = (1.0, 2.0, 4.0, 8.0)
HATS = (1.0, 2.0, 4.0)
EDGES = (0.7, 1.4)
NEAR = (0.7, 1.5, 3.0, 6.0, 12.0)
WINDOWS = ((17, 3), (3, 17), (33, 5))  # width and height: lines of text lie, some stand


def pixel_features(image: Image.Image) -> np.ndarray:
    """(h, w, f) float32: color, contrast, spread, top-hats, edges, ridges at several scales.

    >>> pixel_features(Image.new("RGB", (16, 12))).shape
    (12, 16, 55)
    """
    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    light = pixels @ LUMA
    color = pixels.max(axis=2) - pixels.min(axis=2)
    unit = min(light.shape) / UNIT
    maps = [*cv2.split(pixels), light, color]
    for scale in AROUND:
        maps += _contrasts(pixels, light, color, scale * unit)
    for radius in HATS:
        disc = disc_of(radius * unit)
        maps += [
            cv2.morphologyEx(values, hat, disc)
            for values in (light, color)
            for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
        ]
    for scale in EDGES:
        maps += _edges(_blurred(light, scale * unit), unit)
    return np.stack(maps, axis=-1)


def context_features(likely: np.ndarray) -> np.ndarray:
    """(h, w, g) float32: what a first guess says of the surroundings of each pixel.

    Tu and Bai, "Auto-context and its application to high-level vision tasks" (2010).

    Parameters
    ----------
    likely : (h, w) float32
        How likely each pixel is a mark's, in [0, 1].
    """
    unit = min(likely.shape) / UNIT
    maps = [likely, *(_blurred(likely, scale * unit) for scale in NEAR)]
    maps += [cv2.blur(likely, (_odd(w * unit), _odd(h * unit))) for w, h in WINDOWS]
    square = np.ones((_odd(4 * unit), _odd(4 * unit)), np.uint8)
    maps += [cv2.dilate(likely, square), cv2.erode(likely, square)]
    whole = (np.quantile(likely, 0.99), likely.mean())
    maps += [np.full_like(likely, value) for value in whole]
    return np.stack(maps, axis=-1)


def _contrasts(
    pixels: np.ndarray, light: np.ndarray, color: np.ndarray, scale: float
) -> list[np.ndarray]:
    """Each channel, light and saturation against the surroundings; how much light varies there."""
    mean = _blurred(light, scale)
    spread = np.sqrt(np.maximum(_blurred(light * light, scale) - mean * mean, 0))
    channels = cv2.split(pixels - _blurred(pixels, scale))
    return [*channels, light - mean, spread, color - _blurred(color, scale)]


def _edges(light: np.ndarray, unit: float) -> list[np.ndarray]:
    """The edge, edges around it, whether they stand or lie, and both curvatures (ridges)."""
    x, y = (cv2.Sobel(light, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    edge = np.hypot(x, y)
    around = [_blurred(edge, scale * unit) for scale in (2, 4, 8)]
    standing = _blurred(np.abs(x), 4 * unit) - _blurred(np.abs(y), 4 * unit)
    xx, yy, xy = (cv2.Sobel(light, cv2.CV_32F, *order) for order in ((2, 0), (0, 2), (1, 1)))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return [edge, *around, standing, middle + half, middle - half]


def _blurred(values: np.ndarray, scale: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), scale, borderType=cv2.BORDER_REFLECT)


def _odd(length: float) -> int:
    return 2 * max(0, round((length - 1) / 2)) + 1
