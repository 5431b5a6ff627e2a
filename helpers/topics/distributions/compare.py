"""Two sets of images compared before anything is trained: pixel statistics and a linear probe.

Images of one item resemble each other, so items are what intervals rest on, and all images of an
item, real and synthetic ones, lie in one fold of a probe.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import laplace
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data.images import normalise
from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.topics.distributions.trajectories import signed

UNITS = {
    "brightness": "gray levels, 0 to 255", "gradient": "gray levels per pixel",
    "sharpness": "variance of the Laplacian", "colorfulness": "scale of Hasler and Süsstrunk",
}  # fmt: skip
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def gray_square(image: Image.Image, px: int) -> np.ndarray:
    """Gray levels of an image brought to one size, (px, px) float64: edges depend on it."""
    return _square(image, px) @ LUMA


def _square(image: Image.Image, px: int) -> np.ndarray:
    return np.asarray(normalise(image.convert("RGB"), image_px=px), float)


def common_px(*sets: Iterable[Image.Image]) -> int:
    """The side to which all images are reduced, at most 224 pixels."""
    return min(224, *(min(image.size) for one in sets for image in one))


def pixel_statistics(images: Iterable[Image.Image], px: int) -> pd.DataFrame:
    """A row for each image, reduced to ``px`` pixels a side, with the columns of ``UNITS``.

    ``gradient`` is the mean length of the gradient (central differences), ``sharpness`` the
    variance of the 4-neighbor Laplacian (Pech-Pacheco et al. 2000), ``colorfulness`` the measure of
    Hasler and Süsstrunk ("Measuring colourfulness in natural images", 2003, equation 4).
    """
    rows = []
    for image in images:
        rgb = _square(image, px)
        gray = rgb @ LUMA  # (px, px)
        inner = (slice(1, -1), slice(1, -1))  # pixels that have four neighbors
        gradient, sharp = np.hypot(*np.gradient(gray))[inner].mean(), laplace(gray)[inner].var()
        red, green, blue = np.moveaxis(rgb, -1, 0)
        opponents = (red - green, (red + green) / 2 - blue)
        spread, shift = (np.hypot(*(f(one) for one in opponents)) for f in (np.std, np.mean))
        rows.append((gray.mean(), gradient, sharp, spread + 0.3 * shift))
    return pd.DataFrame(rows, columns=list(UNITS))


def cliffs_delta(
    a: Sequence[float], b: Sequence[float], groups_a: Sequence[str], groups_b: Sequence[str]
) -> Estimate:
    """How often a value of ``a`` lies above one of ``b``, less how often below (Cliff 1993).

    The interval is that of Obuchowski, "Nonparametric analysis of clustered ROC curve data" (1997),
    with the items as clusters.

    >>> cliffs_delta([2, 3], [1, 3], ["p", "q"], ["r", "s"]).value
    0.25
    """
    value, off = _delta(a, b)
    by_row = value + len(off) * off
    return estimate(Sample(by_row[None], [*groups_a, *groups_b]), bounds=(-1, 1))


def _delta(a: Sequence[float], b: Sequence[float]) -> tuple[float, np.ndarray]:
    """Cliff's delta, and by how much each value of ``a`` and then of ``b`` moves it."""
    signs = np.sign(np.subtract.outer(np.asarray(a, float), np.asarray(b, float)))  # (a, b)
    off = [(part - part.mean()) / len(part) for part in (signs.mean(axis=1), signs.mean(axis=0))]
    return float(signs.mean()), np.concatenate(off)


def compare_statistics(
    a: pd.DataFrame, b: pd.DataFrame, groups_a: Sequence[str], groups_b: Sequence[str]
) -> pd.DataFrame:
    """How real images ``a`` and synthetic ones ``b`` differ in each column."""
    rows = [
        (name, f"{a[name].mean():.4g}", f"{b[name].mean():.4g}",
         signed(cliffs_delta(a[name], b[name], groups_a, groups_b))) for name in a.columns
    ]  # fmt: skip
    columns = ["statistic", "mean, real", "mean, synthetic", "Cliff's delta [95 %]"]
    return pd.DataFrame(rows, columns=columns)


def probe_auc(
    a: np.ndarray, b: np.ndarray, groups_a: Sequence[str], groups_b: Sequence[str]
) -> Estimate:
    """AUC of a logistic regression that tells two sets apart, on items that it was not fitted to.

    The mean of the folds' own AUCs: scores of two probes do not compare. The interval, as that of
    :func:`cliffs_delta`, takes the probes as they are; for what other training items would change,
    it is widened by 1 + 1 / (folds - 1) (Nadeau and Bengio, "Inference for the generalization
    error", 2003, on why such a factor is due, and why any is a guess).
    """
    rows, groups = np.concatenate([a, b]), np.array([*groups_a, *groups_b], str)
    is_a = np.arange(len(rows)) < len(a)
    sizes = len(set(groups_a)), len(set(groups_b))
    if (folds := min(5, *sizes)) < 2:
        raise ValueError(f"{sizes[0]} and {sizes[1]} items: a probe needs two on each side")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    off, values = np.zeros(len(rows)), []
    for fit, test in cut.split(rows, is_a, groups):
        scores = probe.fit(rows[fit], is_a[fit]).decision_function(rows[test])
        delta, moved = _delta(scores[is_a[test]], scores[~is_a[test]])
        values.append((delta + 1) / 2)
        sides = np.concatenate([test[is_a[test]], test[~is_a[test]]])
        off[sides] = moved / 2 / (folds - 1)  # a fold's share, widened
    by_row = np.mean(values) + len(off) * off
    return estimate(Sample(by_row[None], groups), bounds=(0, 1))
