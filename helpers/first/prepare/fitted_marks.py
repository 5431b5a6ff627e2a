"""A detector that fits itself: it draws marks on the pictures at hand and learns to find them.

No weights are downloaded. The pictures to be cleaned (or others like them) are background; marks
are drawn on copies of them, so that each pixel's truth is known; gradient-boosted trees learn which
pixels are a mark's. Background has to be without marks: those that it carries are learned to be
none, a third of marked pictures costs about half of what is found, and where all are marked next to
nothing is found. Give such a set other pictures of its kind to fit on. The marks are those of the
*develop* half: the held-out half was never fitted on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version

import cv2
import numpy as np
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from helpers.first.data.marked_sets import sample_mark, stored
from helpers.first.data.marks import draw_mark
from helpers.first.prepare.mark_features import context_features, pixel_features
from helpers.repro import hash_of
from helpers.store.artefacts import code_of

HALF = "develop"
OPACITY = (0.15, 0.95)
UNMARKED = 0.25  # of the pictures to fit on: a picture need not have a mark
CODE = tuple(f"helpers.first.prepare.{name}" for name in ("fitted_marks", "mark_features")) + tuple(
    f"helpers.first.data.{name}" for name in ("mark_shapes", "marks", "marked_sets")
)
Models = tuple[HistGradientBoostingClassifier, HistGradientBoostingClassifier]


@dataclass(frozen=True)
class FittedDetector:
    """A :class:`~helpers.first.prepare.watermarks.WatermarkDetector` that is fitted when first used.

    Attributes
    ----------
    pictures : callable
        Gives the pictures to fit on, a list.
    source : str
        What they are: enters the fingerprint, so name the data by its own.
    copies : int
        How many marked pictures to make; the pictures take turns.
    pixels : int
        How many pixels of each are learned from, a third of them of the mark where that has enough.
    trees : int
    likely, sure : float
        A pixel is a mark's if it is likely, and hangs together with enough sure ones.
    work_px : int
        Larger pictures are reduced to this shorter side first.
    seed : int
    """

    pictures: Callable[[], Sequence[Image.Image]] = field(repr=False, compare=False)
    source: str
    copies: int = 300
    pixels: int = 600
    trees: int = 80
    likely: float = 0.6
    sure: float = 0.9
    work_px: int = 128
    seed: int = 42

    def __post_init__(self) -> None:
        if self.copies < 4 or self.pixels < 3 or self.trees < 1 or self.work_px < 16:
            raise ValueError(
                f"copies={self.copies}, pixels={self.pixels}, trees={self.trees}, "
                f"work_px={self.work_px}: at least 4, 3, 1 and 16 are needed"
            )
        if not 0 < self.likely <= self.sure < 1:
            raise ValueError(f"likely={self.likely}, sure={self.sure}; use 0 < likely <= sure < 1")

    @property
    def name(self) -> str:
        """``fitted``."""
        return "fitted"

    @property
    def fingerprint(self) -> str:
        """A hash of data, settings, code and the library that fits."""
        settings = (self.copies, self.pixels, self.trees, self.likely, self.sure, self.work_px)
        made_by = (code_of(*CODE), version("scikit-learn"), cv2.__version__)
        return hash_of([self.name, self.source, *settings, self.seed, *made_by])

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """One (h, w) bool mask an image."""
        return [self._mask(image) for image in images]

    def likelihood(self, image: Image.Image) -> np.ndarray:
        """How likely each pixel is a mark's: (h, w) float32 in [0, 1], at the working size."""
        first, second = self._models
        return _probability(second, _extended(first, pixel_features(_reduced(image, self.work_px))))

    def _mask(self, image: Image.Image) -> np.ndarray:
        likely = self.likelihood(image)
        unit = min(likely.shape) / 64
        mask = connected(likely > self.likely, likely > self.sure, least=5 * unit**2)
        if mask.shape == (image.height, image.width):
            return mask
        enlarged = cv2.resize(mask.astype(np.float32), image.size, interpolation=cv2.INTER_LINEAR)
        return enlarged > 0.25

    @cached_property
    def _models(self) -> Models:
        backgrounds = [_reduced(image, self.work_px) for image in self.pictures()]
        if not backgrounds:
            raise ValueError("there is no picture to fit the detector on; give it some")
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(backgrounds))
        made = [_example(backgrounds[order[i % len(order)]], rng) for i in range(self.copies)]
        half = len(made) // 2
        first = self._fit([(pixel_features(image), mask) for image, mask in made[:half]], rng)
        rest = [(pixel_features(image), mask) for image, mask in made[half:]]
        second = self._fit([(_extended(first, f), mask) for f, mask in rest], rng)
        return first, second

    def _fit(
        self, examples: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
    ) -> HistGradientBoostingClassifier:
        chosen = [_chosen(f, mask, self.pixels, rng) for f, mask in examples]
        rows, labels = (np.concatenate(part) for part in zip(*chosen, strict=True))
        model = HistGradientBoostingClassifier(
            max_iter=self.trees, learning_rate=0.12, l2_regularization=1.0, early_stopping=False,
            random_state=self.seed,
        )  # fmt: skip
        with threadpool_limits(1):  # its threads wait by spinning: on a busy machine, for minutes
            return model.fit(rows, labels)


def connected(likely: np.ndarray, sure: np.ndarray, *, least: float) -> np.ndarray:
    """The likely pixels in pieces that hold at least ``least`` sure ones: (h, w) bool.

    Pieces may have gaps of two pixels, as letters have.
    """
    joined = cv2.dilate(likely.astype(np.uint8), np.ones((3, 3), np.uint8))
    n, pieces = cv2.connectedComponents(joined)
    good = np.bincount(pieces[sure & likely], minlength=n) >= least
    good[0] = False
    return good[pieces] & likely


def _example(picture: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """A picture to learn from, mirrored half of the time, mostly with a mark; and its mask."""
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < UNMARKED:
        return stored(picture), np.zeros((picture.height, picture.width), bool)
    marked = draw_mark(picture, sample_mark(rng, HALF, opacity=OPACITY))
    return stored(marked.image), marked.mask


def _chosen(
    features: np.ndarray, mask: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """At most ``n`` pixels, a third of them of the mark where it has so many: (n, f), (n,)."""
    flat = mask.ravel()
    of_mark, others = np.flatnonzero(flat), np.flatnonzero(~flat)
    n_mark = min(len(of_mark), n // 3)
    rows = np.concatenate(
        [
            rng.choice(of_mark, n_mark, replace=False),
            rng.choice(others, min(len(others), n - n_mark), replace=False),
        ]
    )
    return features.reshape(-1, features.shape[-1])[rows], flat[rows]


def _extended(first: HistGradientBoostingClassifier, features: np.ndarray) -> np.ndarray:
    guess = _probability(first, features)
    return np.concatenate([features, context_features(guess)], axis=-1)


def _probability(model: HistGradientBoostingClassifier, features: np.ndarray) -> np.ndarray:
    h, w, f = features.shape
    with threadpool_limits(1):
        found = model.predict_proba(features.reshape(-1, f))[:, 1]
    return found.reshape(h, w).astype(np.float32)


def _reduced(image: Image.Image, px: int) -> Image.Image:
    scale = px / min(image.size)
    if scale >= 1:
        return image.convert("RGB")
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.convert("RGB").resize(size, Image.Resampling.BOX)
