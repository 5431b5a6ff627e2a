"""Finding watermarks: a detector that is fitted on watermarks that it draws, and scores of masks.

No weights are downloaded. Images without watermarks are the background; watermarks are drawn on
copies, so that the label of each pixel is known, and gradient-boosted trees learn it. A second
stage reads the first one's probabilities around each pixel. Backgrounds must have no watermarks of
their own: they would be learned to be none. Only watermarks of the *develop* half are drawn; the
held-out half was never fitted on.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from typing import Protocol

import cv2
import numpy as np
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from helpers.repro import hash_of
from helpers.store.artefacts import code_of
from helpers.topics.watermarks.marks import marked, stored

LUMA = np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601
OPACITY = (0.15, 0.95)
UNMARKED = 0.25  # share of the images to fit on that get no watermark
LIKELY, SURE = 0.6, 0.9  # a likely pixel counts if it hangs together with enough sure ones
WORK_PX = 128  # larger images are reduced to this shorter side first
FITTED = "fitted"
CODE = ("helpers.topics.watermarks.detect", "helpers.topics.watermarks.marks")


class Detector(Protocol):
    """What finds the pixels of watermarks; ``fingerprint`` is all that decides its result."""

    name: str
    fingerprint: str

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """One mask an image, (h, w) bool, all False where no watermark was found."""


@dataclass(frozen=True)
class FittedDetector:
    """A :class:`Detector` that is fitted when it is first used.

    ``backgrounds`` gives the images to fit on, ``source`` says what they are, for the fingerprint.
    Watermarks are drawn on ``copies`` of the backgrounds, taken in turn; of each, ``pixels`` are
    learned from (:func:`sample_pixels`). A stage has ``trees``.
    """

    backgrounds: Callable[[], Sequence[Image.Image]] = field(repr=False, compare=False)
    source: str
    copies: int = 240
    pixels: int = 500
    trees: int = 60
    seed: int = 42
    name: str = FITTED

    @property
    def fingerprint(self) -> str:
        """A hash of data, settings, code and the libraries that fit."""
        settings = [self.name, self.source, self.copies, self.pixels, self.trees, self.seed]
        return hash_of([*settings, code_of(*CODE), version("scikit-learn"), cv2.__version__])

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """See :class:`Detector`."""
        return list(map(self._mask, images))

    def _mask(self, image: Image.Image) -> np.ndarray:
        first, second = self._stages
        features = pixel_features(_reduced(image))
        found = _probability(second, _with_context(first, features))  # (h, w), reduced
        unit = min(found.shape) / 64
        mask = connected(found > LIKELY, found > SURE, least=5 * unit**2)
        if mask.shape == (image.height, image.width):
            return mask
        return cv2.resize(mask.astype(np.float32), image.size) > 0.25  # bilinear

    @cached_property
    def _stages(self) -> tuple[HistGradientBoostingClassifier, HistGradientBoostingClassifier]:
        backgrounds = [_reduced(image) for image in self.backgrounds()]
        if not backgrounds:
            raise ValueError("there is no image to fit the watermark detector on; give it some")
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(backgrounds))
        drawn = [_example(backgrounds[order[i % len(order)]], rng) for i in range(self.copies)]
        half = len(drawn) // 2
        known = ((pixel_features(image), mask) for image, mask in drawn)
        first = self._fit(islice(known, half), rng)
        return first, self._fit(((_with_context(first, f), mask) for f, mask in known), rng)

    def _fit(
        self, examples: Iterable[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
    ) -> HistGradientBoostingClassifier:
        chosen = [sample_pixels(f, mask, self.pixels, rng) for f, mask in examples]
        rows, labels = (np.concatenate(part) for part in zip(*chosen, strict=True))
        model = HistGradientBoostingClassifier(
            max_iter=self.trees, learning_rate=0.12, l2_regularization=1.0, early_stopping=False,
            random_state=self.seed,
        )  # fmt: skip
        with threadpool_limits(1):  # its threads wait by spinning: on a busy machine, for minutes
            return model.fit(rows, labels)


def mask_scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """``precision``, ``recall`` and ``iou`` of a mask; NaN where there is nothing to divide by.

    Both are (h, w) bool. IoU is the intersection over the union.

    >>> mask_scores(np.array([[True, True]]), np.array([[True, False]]))["precision"]
    0.5
    """
    both, n_found, n_true = (int(mask.sum()) for mask in (found & truth, found, truth))
    parts = {"precision": n_found, "recall": n_true, "iou": n_found + n_true - both}
    return {name: both / n if n else float("nan") for name, n in parts.items()}


def connected(likely: np.ndarray, sure: np.ndarray, *, least: float) -> np.ndarray:
    """The likely pixels in pieces that hold at least ``least`` sure ones: (h, w) bool.

    Pieces may have gaps of two pixels, as letters have.
    """
    joined = cv2.dilate(likely.astype(np.uint8), np.ones((3, 3), np.uint8))
    n, pieces = cv2.connectedComponents(joined)
    good = np.bincount(pieces[sure & likely], minlength=n) >= least
    good[0] = False
    return good[pieces] & likely


def sample_pixels(
    features: np.ndarray, mask: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """At most ``n`` pixels, a third of the watermark if it has so many: (n, f), (n,) bool."""
    flat = mask.ravel()
    inside, others = np.flatnonzero(flat), np.flatnonzero(~flat)
    n_inside = min(len(inside), n // 3)
    chosen = [rng.choice(inside, n_inside, replace=False)]
    chosen += [rng.choice(others, min(len(others), n - n_inside), replace=False)]
    rows = np.concatenate(chosen)
    return features.reshape(-1, features.shape[-1])[rows], flat[rows]


def pixel_features(image: Image.Image) -> np.ndarray:
    """(h, w, f) float32: color, contrast, spread, top-hats, edges, ridges at several scales.

    All lengths are fractions of the shorter side, as the sizes of watermarks are, so that the same
    features serve 64 and 224 pixels. The position is no feature: watermarks stand anywhere.
    The top-hat (Serra 1982) keeps what is narrower than a disc.

    >>> pixel_features(Image.new("RGB", (16, 12))).shape
    (12, 16, 55)
    """
    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    light, color = pixels @ LUMA, pixels.max(axis=2) - pixels.min(axis=2)
    unit = min(light.shape) / 64
    maps = [*cv2.split(pixels), light, color]
    for scale in (1, 2, 4, 8):
        mean = _blurred(light, scale * unit)
        variance = _blurred(light * light, scale * unit) - mean * mean
        maps += cv2.split(pixels - _blurred(pixels, scale * unit))
        maps += [light - mean, np.sqrt(np.maximum(variance, 0))]
        maps += [color - _blurred(color, scale * unit)]
    for radius in (1, 2, 4):
        side = 2 * max(1, round(radius * unit)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        hats = (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
        maps += [cv2.morphologyEx(values, hat, disc) for values in (light, color) for hat in hats]
    for scale in (0.7, 1.4):
        maps += _edges(_blurred(light, scale * unit), unit)
    return np.stack(maps, axis=-1)


def _edges(light: np.ndarray, unit: float) -> list[np.ndarray]:
    """The edge, edges around it, whether they stand or lie, and both curvatures (ridges)."""
    orders = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    x, y, xx, yy, xy = (cv2.Sobel(light, cv2.CV_32F, *order) for order in orders)
    edge = np.hypot(x, y)
    around = [_blurred(edge, scale * unit) for scale in (2, 4, 8)]
    standing = _blurred(np.abs(x), 4 * unit) - _blurred(np.abs(y), 4 * unit)
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return [edge, *around, standing, middle + half, middle - half]


def _with_context(first: HistGradientBoostingClassifier, features: np.ndarray) -> np.ndarray:
    """And what the first stage says around each pixel, in discs and along lines: (h, w, f)."""
    found = _probability(first, features)
    unit = min(found.shape) / 64
    maps = [found, *(_blurred(found, scale * unit) for scale in (0.7, 1.5, 3, 6, 12))]
    for width, height in ((17, 3), (3, 17), (33, 5)):  # lines of text lie, some stand
        maps.append(cv2.blur(found, (_odd(width * unit), _odd(height * unit))))
    square = np.ones((_odd(4 * unit), _odd(4 * unit)), np.uint8)
    maps += [cv2.dilate(found, square), cv2.erode(found, square)]
    maps += [np.full_like(found, value) for value in (np.quantile(found, 0.99), found.mean())]
    return np.concatenate([features, np.stack(maps, axis=-1)], axis=-1)


def _probability(model: HistGradientBoostingClassifier, features: np.ndarray) -> np.ndarray:
    h, w, f = features.shape
    with threadpool_limits(1):
        return model.predict_proba(features.reshape(-1, f))[:, 1].reshape(h, w).astype(np.float32)


def _example(image: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """An image to learn from, mirrored half of the time, mostly with a watermark; and its mask."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < UNMARKED:
        return stored(image), np.zeros((image.height, image.width), bool)
    drawn, mask = marked(image, seed=int(rng.integers(2**53)), opacity=OPACITY, half="develop")
    return stored(drawn), mask


def _reduced(image: Image.Image) -> Image.Image:
    scale = WORK_PX / min(image.size)
    if scale >= 1:
        return image.convert("RGB")
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.convert("RGB").resize(size, Image.Resampling.BOX)


def _blurred(values: np.ndarray, scale: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), scale, borderType=cv2.BORDER_REFLECT)


def _odd(length: float) -> int:
    return 2 * max(0, round((length - 1) / 2)) + 1
