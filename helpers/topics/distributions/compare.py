"""Two sets of images compared before anything is trained: pixel statistics, a probe, MMD.

Images of one item resemble each other, so an item moves as one. An item that stands in both sets is
a pair: its images swap sides together in a permutation, and lie in one fold of a probe.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import ks_2samp, rankdata
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data.images import normalise
from helpers.evaluation.stats import Estimate, holm

UNITS = {
    "brightness": "gray levels, 0 to 255", "gradient": "gray levels per pixel",
    "sharpness": "variance of the Laplacian", "colorfulness": "scale of Hasler and Süsstrunk",
}  # fmt: skip
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def gray_squares(images: Iterable[Image.Image], px: int) -> list[np.ndarray]:
    """Gray levels of images brought to one size, (px, px) float64 each: edges depend on it."""
    return [_square(image, px) @ LUMA for image in images]


def _square(image: Image.Image, px: int) -> np.ndarray:
    if min(image.size) < px:
        raise ValueError(f"an image has {image.width} x {image.height} pixels, {px} are due")
    return np.asarray(normalise(image.convert("RGB"), image_px=px), float)


def common_px(*sets: Iterable[Image.Image], most: int = 224) -> int:
    """The side to which all images are reduced, at most ``most`` pixels."""
    return min(most, *(min(image.size) for one in sets for image in one))


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
        down, right = (gray[2:, 1:-1] - gray[:-2, 1:-1]) / 2, (gray[1:-1, 2:] - gray[1:-1, :-2]) / 2
        around = gray[2:, 1:-1] + gray[:-2, 1:-1] + gray[1:-1, 2:] + gray[1:-1, :-2]
        red, green, blue = np.moveaxis(rgb, -1, 0)
        opponents = (red - green, (red + green) / 2 - blue)
        spread, shift = (np.hypot(*(f(one) for one in opponents)) for f in (np.std, np.mean))
        sharp = (around - 4 * gray[1:-1, 1:-1]).var()
        rows.append((gray.mean(), np.hypot(down, right).mean(), sharp, spread + 0.3 * shift))
    return pd.DataFrame(rows, columns=list(UNITS))


def cliffs_delta(a: Sequence[float], b: Sequence[float]) -> float:
    """How often a value of ``a`` lies above one of ``b``, less how often below (Cliff 1993).

    >>> cliffs_delta([2, 3], [1, 3])
    0.25
    """
    ranks = rankdata([*a, *b])
    above = ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2  # pairs, ties as one half
    return float(2 * above / (len(a) * len(b)) - 1)


def permuted_sides(
    groups_a: Sequence[str], groups_b: Sequence[str], n: int, *, seed: int
) -> np.ndarray:
    """Which rows count as ``a`` if sides do not matter: (n, rows of a and then of b) bool.

    An item in both sets swaps its sides or keeps them, the others exchange theirs as wholes.
    """
    rng = np.random.default_rng(seed)
    labels = np.array([*groups_a, *groups_b], str)
    names, code = np.unique(labels, return_inverse=True)
    is_a = np.arange(len(labels)) < len(groups_a)
    in_a, in_b = np.isin(names, labels[is_a]), np.isin(names, labels[~is_a])
    sides = is_a ^ (rng.random((n, len(names))) < 0.5)[:, code]
    alone = np.flatnonzero(in_a ^ in_b)
    by_group = np.zeros((n, len(names)), bool)
    by_group[:, alone] = rng.permuted(np.tile(in_a[alone], (n, 1)), axis=1)
    single = np.isin(code, alone)
    sides[:, single] = by_group[:, code[single]]
    return sides


def permutation_p(observed: float, permuted: np.ndarray) -> float:
    """The share of permutations that reach a value, which counts as one of them.

    Phipson and Smyth, "Permutation p-values should never be zero" (2010).
    """
    reach = observed - 1e-9 * max(abs(observed), 1e-12)
    return float((1 + (permuted >= reach).sum()) / (1 + len(permuted)))


def compare_statistics(
    a: pd.DataFrame, b: pd.DataFrame, groups_a: Sequence[str], groups_b: Sequence[str], *,
    n: int = 1000, seed: int = 42,
) -> pd.DataFrame:  # fmt: skip
    """How two sets differ in each column: means, Cliff's delta, KS, and p of the means (Holm)."""
    sides = permuted_sides(groups_a, groups_b, n, seed=seed)
    rows = []
    for name in a.columns:
        values = np.concatenate([a[name], b[name]])
        means = (sides @ values / sides.sum(1)) - (~sides @ values / (~sides).sum(1))
        p = permutation_p(abs(a[name].mean() - b[name].mean()), np.abs(means))
        rows.append((name, a[name].mean(), b[name].mean(), cliffs_delta(a[name], b[name]),
                     ks_2samp(a[name], b[name]).statistic, p))  # fmt: skip
    frame = pd.DataFrame(rows, columns=["statistic", "real", "synthetic", "delta", "ks", "p"])
    return frame.assign(p=holm(frame["p"]))


def probe_auc(
    a: np.ndarray, b: np.ndarray, groups_a: Sequence[str], groups_b: Sequence[str], *,
    folds: int = 5,
) -> Estimate:  # fmt: skip
    """AUC of a logistic regression that tells two sets apart, on items that it was not fitted to.

    The mean of the folds' own AUCs: scores of two probes do not compare. The interval is that of
    Obuchowski, "Nonparametric analysis of clustered ROC curve data" (1997), with the items as
    clusters. It takes the probes as they are; for what other training items would change, it is
    widened by 1 + 1 / (folds - 1) (Nadeau and Bengio, "Inference for the generalization error",
    2003, on why such a factor is due, and why any is a guess).
    """
    rows, groups = np.concatenate([a, b]), np.array([*groups_a, *groups_b], str)
    is_a = np.arange(len(rows)) < len(a)
    n_groups = len(np.unique(groups))
    sizes = len(set(groups_a)), len(set(groups_b))
    folds = min(folds, *sizes)
    if folds < 2:
        raise ValueError(
            f"{sizes[0]} and {sizes[1]} items: a probe needs two on each side at least"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    off, values = np.zeros(len(rows)), []
    for fit, test in cut.split(rows, is_a, groups):
        scores = probe.fit(rows[fit], is_a[fit]).decision_function(rows[test])
        of_a, of_b = test[is_a[test]], test[~is_a[test]]
        above = scores[is_a[test]][:, None] - scores[~is_a[test]][None]  # (a, b)
        wins = (above > 0) + 0.5 * (above == 0)
        values.append(wins.mean())
        off[of_a] = (wins.mean(axis=1) - values[-1]) / len(of_a) / folds
        off[of_b] = (wins.mean(axis=0) - values[-1]) / len(of_b) / folds
    value = float(np.mean(values))
    by_group = pd.Series(off).groupby(groups).sum().to_numpy()
    error = float(np.sqrt(n_groups / (n_groups - 1) * (by_group**2).sum())) * folds / (folds - 1)
    half = float(student.ppf(0.975, n_groups - 1)) * error
    if error < 1e-12:  # every pair is in the right order: what the number of items allows
        half = 1 - 0.025 ** (1 / n_groups)
    told = {"error": error, "item_error": error, "df": n_groups - 1.0}
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0), n=len(rows),
                    n_items=n_groups, **told)  # fmt: skip


def mmd_test(
    a: np.ndarray, b: np.ndarray, groups_a: Sequence[str], groups_b: Sequence[str], *,
    n: int = 300, seed: int = 42,
) -> tuple[float, float]:  # fmt: skip
    """Unbiased squared MMD of two sets of embeddings, and its permutation p.

    Gretton et al., "A kernel two-sample test" (2012), lemma 6, with a Gaussian kernel whose width
    is the median distance. Pairs of one item are left out: they are not independent.
    """
    rows, labels = np.concatenate([a, b]).astype(float), np.array([*groups_a, *groups_b], str)
    squares = (rows**2).sum(1)
    distance = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0)
    median = np.median(distance[np.triu_indices(len(rows), 1)]) or 1.0
    apart = (labels[:, None] != labels[None]).astype(float)
    kernel = np.exp(-distance / (2 * median)) * apart
    is_a = (np.arange(len(rows)) < len(a))[None]
    sides = np.concatenate([is_a, permuted_sides(groups_a, groups_b, n, seed=seed)]).astype(float)
    found = _mean_within(kernel, apart, sides)
    return float(found[0]), permutation_p(found[0], found[1:])


def _mean_within(kernel: np.ndarray, apart: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Mean kernel within both sides less twice that between them, for each way to side: (r,)."""

    def sums(matrix: np.ndarray) -> np.ndarray:
        from_a = sides @ matrix
        within, across = (from_a * sides).sum(1), (from_a * (1 - sides)).sum(1)
        return np.stack([within, matrix.sum() - within - 2 * across, across])

    means = sums(kernel) / sums(apart)
    return means[0] + means[1] - 2 * means[2]
