"""Finding watermarks: what a detector is, and two that need neither weights nor fitting.

A mark that is seen once can only be told from the picture by its looks; :class:`StrokeDetector`
takes thin strokes that stand in a row. A mark that a source puts on everything in the same place
repeats while the pictures change: :class:`RepeatedMarkDetector` looks at the median over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from PIL import Image
from scipy.fft import dctn, idctn

from helpers.repro import hash_of

LUMA = np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601
MAD_TO_SD, MEDIAN_TO_MEAN = 1.4826, 1.2533  # of a normal distribution
PRIOR = 20  # pictures that the usual spread counts for, as in Smyth's moderated t (2004)
SEEDS = 3  # sure pixels that a piece of a mark has at least
FEWEST, MOST = 8, 200  # pictures that the median is taken over; fewer say little


class WatermarkDetector(Protocol):
    """What finds the pixels of watermarks; ``fingerprint`` is all that decides its result."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of method, settings and weights."""
        ...

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """One mask an image, (h, w) bool, all False where no mark was found.

        A detector may look at the images together, so give it those of one source in one call.
        """
        ...


@dataclass(frozen=True)
class StrokeDetector:
    """Thin strokes, lighter or darker than what lies around them, several in a row: a text.

    The top-hat (Serra, "Image analysis and mathematical morphology", 1982) keeps what is narrower
    than a disc. What it keeps is compared with the picture's own texture, and grouped into lines.
    It is the simple baseline: dishes have rows of strokes, too, and a logo need not be thin.

    Attributes
    ----------
    strength : float
        How many times the picture's usual top-hat a stroke has to reach.
    least : float
        How much a stroke has to change the light, of 255.
    pieces : int
        How many strokes make a line.
    """

    strength: float = 6.0
    least: float = 20.0
    pieces: int = 3

    @property
    def name(self) -> str:
        """``strokes``."""
        return "strokes"

    @property
    def fingerprint(self) -> str:
        """A hash of the settings."""
        return hash_of([self.name, self.strength, self.least, self.pieces])

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """See :class:`WatermarkDetector`."""
        return [self._mask(image) for image in images]

    def _mask(self, image: Image.Image) -> np.ndarray:
        light = luminance(image)
        unit = min(light.shape) / 64
        disc = disc_of(2 * unit)
        found = np.zeros(light.shape, bool)
        for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            hat = cv2.morphologyEx(light, operation, disc)
            strong = hat > max(self.least, self.strength * float(np.median(hat)))
            found |= self._lines(strong, unit)
        return found

    def _lines(self, strong: np.ndarray, unit: float) -> np.ndarray:
        """The strokes that stand in a row wider than it is high."""
        joined = cv2.dilate(
            strong.astype(np.uint8), np.ones((1, 2 * round(2 * unit) + 1), np.uint8)
        )
        n, rows, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        n_strokes, strokes = cv2.connectedComponents(strong.astype(np.uint8), connectivity=8)
        row_of = np.zeros(n_strokes, int)
        row_of[strokes[strong]] = rows[strong]
        pieces = np.bincount(row_of[1:], minlength=n)
        width, height = boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]
        good = (pieces >= self.pieces) & (width > 1.5 * height) & (height > 3 * unit)
        good[0] = False
        return good[rows] & strong


@dataclass(frozen=True)
class RepeatedMarkDetector:
    """A mark that lies in the same place on most images of one source.

    Dekel, Rubinstein, Liu and Freeman, "On the effectiveness of visible watermarks" (2017), section
    3.1: the edges of pictures differ and cancel in the median over a stack, those of the mark stay.
    The median gradients are integrated again (Poisson's equation) to the mark's own light; a pixel
    belongs to the mark where this leaves its surroundings. An image has the mark if its gradients
    agree with the median ones.

    Attributes
    ----------
    surprise : float
        How many standard errors a median gradient has to lie away from 0 to be believed.
    part : float
        A pixel belongs to the mark if it changes the light at least by this part of the most.
    agreement : float
        The least correlation of an image's gradients with the median ones inside the mask.

    Notes
    -----
    It sees nothing of a mark that wanders, or that half of the images lack. Of what all pictures of
    a source share (a frame, a table's edge) it cannot know that it is no mark.
    """

    surprise: float = 5.0
    part: float = 0.3
    agreement: float = 0.12

    @property
    def name(self) -> str:
        """``repeated``."""
        return "repeated"

    @property
    def fingerprint(self) -> str:
        """A hash of the settings."""
        return hash_of([self.name, self.surprise, self.part, self.agreement])

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """See :class:`WatermarkDetector`. Images of different sizes are looked at by size."""
        masks: list[np.ndarray | None] = [None] * len(images)
        sizes = {image.size for image in images}
        for size in sizes:
            own = [i for i, image in enumerate(images) if image.size == size]
            for i, mask in zip(own, self._of_one_size([images[i] for i in own]), strict=True):
                masks[i] = mask
        return masks

    def _of_one_size(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        none = np.zeros((images[0].height, images[0].width), bool)
        if len(images) < FEWEST:
            return [none] * len(images)
        chosen = images[:: -(-len(images) // MOST)]
        stack = np.stack([gradients_of(image) for image in chosen])
        median = np.median(stack, axis=0)  # (2, h, w, 3)
        mask = self._mark(median, self._believed(stack, median))
        if not mask.any():
            return [none] * len(images)
        signs = median[:, mask]
        agree = [_correlation(gradients_of(image)[:, mask], signs) for image in images]
        return [mask if a >= self.agreement else none for a in agree]

    def _believed(self, stack: np.ndarray, median: np.ndarray) -> np.ndarray:
        """Where a median gradient is hardly chance, or next to one that is not: (h, w) bool."""
        n = len(stack)
        spread = np.median(np.abs(stack - median), axis=0) * MAD_TO_SD
        usual = max(1.0, float(np.median(spread)))
        steadied = np.sqrt((n * spread**2 + PRIOR * usual**2) / (n + PRIOR))  # few: by chance 0
        error = MEDIAN_TO_MEAN * steadied / np.sqrt(n)
        surprise = (np.abs(median) / error).max(axis=(0, 3))
        likely = surprise > self.surprise / 2
        joined = cv2.dilate(likely.astype(np.uint8), np.ones((3, 3)))
        n_parts, parts = cv2.connectedComponents(joined)
        sure = np.bincount(parts[surprise > self.surprise], minlength=n_parts) >= SEEDS
        sure[0] = False
        return sure[parts] & likely

    def _mark(self, median: np.ndarray, believed: np.ndarray) -> np.ndarray:
        if not believed.any():
            return np.zeros(median.shape[1:3], bool)
        sparse = median * believed[..., None]
        light = np.stack([integrated(sparse[..., c]) for c in range(3)], axis=-1)
        away = np.abs(light - np.median(light, axis=(0, 1))).max(axis=-1)
        return away > self.part * float(np.quantile(away[believed], 0.9))


def strokes_inside(image: Image.Image, region: np.ndarray) -> np.ndarray:
    """The pixels of a region that differ from its background most, (h, w) bool.

    The background is the median around each pixel; Otsu's threshold (1979) parts the differences.

    Parameters
    ----------
    image : PIL.Image.Image
    region : (h, w) bool
    """
    if not region.any():
        return region.copy()
    pixels = np.asarray(image.convert("RGB"))
    rows = np.flatnonzero(region.any(axis=1))
    height = int(rows[-1] - rows[0] + 1)
    side = min(2 * max(3, height // 2) + 1, 255)
    away = np.abs(pixels.astype(np.int16) - cv2.medianBlur(pixels, side)).max(axis=2)
    values = away[region].astype(np.uint8)
    threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return region & (away > threshold)


def luminance(image: Image.Image) -> np.ndarray:
    """(h, w) float32 in [0, 255]."""
    return np.asarray(image.convert("RGB"), np.float32) @ LUMA


def disc_of(radius: float) -> np.ndarray:
    """A disc to move over a picture; its radius is rounded, and at least 1 pixel."""
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def gradients(pixels: np.ndarray) -> np.ndarray:
    """Differences to the next pixel, right and down: (2, h, w, c); 0 at the last column and row."""
    across, down = np.zeros_like(pixels), np.zeros_like(pixels)
    across[:, :-1] = pixels[:, 1:] - pixels[:, :-1]
    down[:-1] = pixels[1:] - pixels[:-1]
    return np.stack([across, down])


def gradients_of(image: Image.Image) -> np.ndarray:
    """The :func:`gradients` of an image: (2, h, w, 3) float32."""
    return gradients(np.asarray(image.convert("RGB"), np.float32))


def integrated(gradient: np.ndarray) -> np.ndarray:
    """The picture whose gradients come closest to the given ones, of mean 0: (h, w).

    Poisson's equation with free borders, solved by cosine transforms: exact where the gradients are
    those of a picture.

    Parameters
    ----------
    gradient : (2, h, w)
        As :func:`gradients` gives them.
    """
    across, down = gradient
    spread = across.copy()
    spread[:, 1:] -= across[:, :-1]
    spread += down
    spread[1:] -= down[:-1]
    h, w = spread.shape
    row, column = np.cos(np.pi * np.arange(h) / h)[:, None], np.cos(np.pi * np.arange(w) / w)
    scale = 2 * row + 2 * column - 4
    scale[0, 0] = 1.0
    waves = dctn(spread, norm="ortho") / scale
    waves[0, 0] = 0.0
    return idctn(waves, norm="ortho")


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 0.0
