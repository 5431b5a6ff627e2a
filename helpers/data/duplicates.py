"""Pictures that are one picture: a hash proposes, a comparison of aligned pixels decides.

The hash (signs of low frequencies; Zauner 2010, "Implementation and benchmarking of perceptual
image hash functions") finds among all pairs those that may be equal. Alone it would join different
dishes on the same plate, so each proposed pair is laid onto one another (Lucas and Kanade 1981, for
scale and shift) and must agree in fine structure and in color nearly everywhere. The bounds were
chosen on drawn dishes and photographs; ``python -m tests.long intake_near_duplicates`` prints
what others would give.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product

import numpy as np
import pandas as pd
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet
from scipy.fft import dctn
from scipy.ndimage import uniform_filter
from tqdm.auto import tqdm

SIDE = 32  # pixels of what is compared
CELL = 8  # pixels of a block whose structure is compared on its own
BITS = 8  # frequencies of the hash, a side
MAX_BITS = 10  # that may differ between the hashes of a proposed pair
MIN_STRUCTURE = 0.86  # correlation of fine structure from which on it may be one picture
MAX_COLOR_GAP = 0.04  # difference of color up to which it is, of a range of 1
STARTING_GAP = 0.1  # before the alignment, beyond which a pair is let go
STEPS = 6  # of the alignment
TILE = (64, 4096)  # rows and columns of the search, which fits a processor's cache
MANY = 3_000  # images; fewer are done before a bar helps
AT_ONCE = 512  # pairs compared at a time
LUMINANCE = np.float32([0.299, 0.587, 0.114])
WHOLE = np.float32([1, 1, 0, 0])
WINDOWS = np.stack(
    [WHOLE, *(np.float32([0.95, 0.95, x, y]) for x, y in (
        (0, 0), (-0.05, -0.05), (-0.05, 0.05), (0.05, -0.05), (0.05, 0.05)
    ))]
)  # fmt: skip  # what a crop of five percent leaves: scale in x and y, shift in x and y
COLUMNS = ("image_a", "image_b", "recipe_a", "recipe_b", "structure", "color_gap")


def near_duplicates(
    images: pd.DataFrame, load: Callable[[str], Image.Image], *, progress: bool = True
) -> pd.DataFrame:
    """The images that are one image: a row of strings for each two, with how alike they are.

    ``images`` has ``image_key``, ``recipe_id`` and ``hash``, of the content. Images of one hash are
    compared with nothing, and each stands in a row with the first of them alone: the pairs of an
    image that n recipes show would be n * n / 2.
    """
    first: dict[str, int] = {}  # hash: the row that has it first
    firsts = [first.setdefault(own, row) for row, own in enumerate(images["hash"])]
    unique = np.array(list(first.values()), np.intp)
    small = np.zeros((len(unique), SIDE, SIDE, 3), np.float32)
    quiet = not progress or len(unique) <= MANY
    keys = images["image_key"].to_numpy()
    bar = tqdm(keys[unique], desc="search for near-duplicates", unit="image", disable=quiet)
    for place, key in enumerate(bar):
        image = load(key)
        image.draft("RGB", (4 * SIDE, 4 * SIDE))  # a large JPEG is decoded at a part of its size
        small[place] = thumbnail(image)
    near = find_matches(small).itertuples(index=False)
    pairs = [(unique[a], unique[b], structure, gap) for a, b, structure, gap in near]
    pairs += [(a, b, 1, 0) for b, a in enumerate(firsts) if a != b]
    recipes = images["recipe_id"].to_numpy()
    rows = [
        (keys[a], keys[b], recipes[a], recipes[b], f"{structure:.4f}", f"{gap:.4f}")
        for a, b, structure, gap in sorted(pairs)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def between_recipes(matches: pd.DataFrame) -> pd.DataFrame:
    """The rows whose images belong to two recipes: those that a split has to heed."""
    return matches[matches["recipe_a"] != matches["recipe_b"]].reset_index(drop=True)


def groups_of(hashes: Mapping[str, Iterable[str]], matches: pd.DataFrame) -> dict[str, str]:
    """The groups that keep recipes which share an image, or nearly, on one side of a split.

    ``hashes`` are those of each recipe's images. A group is the smallest id among the recipes that
    images join, however indirectly.
    """
    signs = {recipe_id: list(own) for recipe_id, own in hashes.items()}
    for number, pair in enumerate(zip(matches["recipe_a"], matches["recipe_b"], strict=True)):
        for recipe_id in pair:
            signs[recipe_id].append(f"near-duplicate {number}")
    return groups_by_picture(signs)


def groups_by_picture(pictures: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The smallest id among the recipes that hashes of pictures join each to, however indirectly.

    >>> groups_by_picture({"a": ["x"], "b": ["x", "y"], "c": ["y"], "d": ["z"]})
    {'a': 'a', 'b': 'a', 'c': 'a', 'd': 'd'}
    """
    joined = DisjointSet(pictures)
    first: dict[str, str] = {}  # picture: the recipe that had it first
    for recipe_id, hashes in pictures.items():
        for picture in hashes:
            joined.merge(recipe_id, first.setdefault(picture, recipe_id))
    least: dict[str, str] = {}
    for group in joined.subsets():
        least |= dict.fromkeys(group, min(group))
    return {recipe_id: least[recipe_id] for recipe_id in pictures}


def thumbnail(image: Image.Image) -> np.ndarray:
    """What of an image is compared: (32, 32, 3) float32 in [0, 1]."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small, dtype=np.float32) / 255


def hashes(light: np.ndarray) -> np.ndarray:
    """Which low frequencies of luminances, (n, 32, 32), lie above their median: (n,) uint64."""
    low = dctn(light, axes=(1, 2), norm="ortho")[:, :BITS, :BITS].reshape(-1, BITS * BITS)
    low[:, 0] = 0  # the mean brightness says nothing
    above = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(above, axis=1, bitorder="little").view(np.uint64).reshape(-1)


def find_matches(
    thumbnails: np.ndarray,
    *,
    max_bits: int = MAX_BITS,
    min_structure: float = MIN_STRUCTURE,
    max_color_gap: float = MAX_COLOR_GAP,
) -> pd.DataFrame:
    """The pairs that are one image, resized, recompressed, marked or slightly cropped.

    Every hash is compared with every other, in tiles: the work grows with the square of the number
    of images, and for 50,000 is still small beside reading them. An image without structure (one
    flat color) matches none.

    Returns rows ``a < b`` of ``thumbnails``, (n, 32, 32, 3), sorted, with ``structure`` and
    ``color_gap`` (see ``compare``).
    """
    a, b, window = proposed(thumbnails, max_bits=max_bits)
    structure, gap = np.zeros((2, len(a)), np.float32)
    for start in range(0, len(a), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        views = thumbnails[a[part]], thumbnails[b[part]], WINDOWS[window[part]]
        structure[part], gap[part] = compare(*views)
    found = {"a": np.minimum(a, b), "b": np.maximum(a, b), "structure": structure, "color_gap": gap}
    return pd.DataFrame(found)[(structure >= min_structure) & (gap <= max_color_gap)]


def proposed(thumbnails: np.ndarray, *, max_bits: int = MAX_BITS) -> tuple[np.ndarray, ...]:
    """Pairs whose hashes are near: row ``a``, row ``b`` and the window of ``a`` that shows ``b``.

    Sorted by the smaller and the larger row; of a pair's windows the one with the nearest hash is
    given. Each array is (m,) intp.
    """
    light = thumbnails @ LUMINANCE  # (n, 32, 32)
    plain = hashes(light)
    found = [np.zeros((0, 4), np.intp)]  # bits, window, a, b
    for number, window in enumerate(WINDOWS):
        seen = plain if not number else hashes(warped(light[..., None], window[None])[0][..., 0])
        for row, column in product(*(range(0, len(plain), size) for size in TILE)):
            tile = seen[row : row + TILE[0], None] ^ plain[column : column + TILE[1]]
            bits = np.bitwise_count(tile)
            i, j = np.nonzero(bits <= max_bits)
            places = (bits[i, j], np.full(len(i), number), i + row, j + column)
            found.append(np.stack(places, axis=1))
    pairs = pd.DataFrame(np.concatenate(found), columns=["bits", "window", "a", "b"], dtype=np.intp)
    pairs["low"], pairs["high"] = pairs[["a", "b"]].min(axis=1), pairs[["a", "b"]].max(axis=1)
    pairs = pairs[pairs["low"] != pairs["high"]]
    pairs = pairs.sort_values(["low", "high", "bits", "window", "a"])
    nearest = pairs.drop_duplicates(["low", "high"])
    return tuple(nearest[name].to_numpy() for name in ("a", "b", "window"))


def compare(a: np.ndarray, b: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of ``b`` each picture ``a`` has when laid onto it: structure and color gap.

    Structure is what a mean over 5 x 5 pixels does not show, correlated in blocks of 8 x 8 pixels
    and three colors; the median block counts, weighted by contrast: a watermark spoils a few
    blocks, an empty background has no say. The color gap is the difference of the mean colors of
    4 x 4 pixels, at three quarters of the picture the largest. Pairs too far apart in color before
    the alignment, which begins at ``motion``, get -1 and 1. Both are (m,) float32.
    """
    structure, gap = np.full(len(a), -1, np.float32), np.ones(len(a), np.float32)
    near = np.flatnonzero(_color_gap(*warped(a, motion), b) <= STARTING_GAP)
    if len(near):
        a, b = a[near], b[near]
        seen, inside = warped(a, aligned(a, b, motion[near]))
        structure[near], gap[near] = _structure(seen, inside, b), _color_gap(seen, inside, b)
    return structure, gap


def aligned(a: np.ndarray, b: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The motions, (m, 4) float32, that lay ``a`` onto ``b``, found from near ones.

    Gauss-Newton steps on scale, shift, contrast and brightness of the luminance; pixels that do
    not fit, as those of a watermark, weigh little.
    """
    a, b = (a @ LUMINANCE)[..., None], (b @ LUMINANCE)[..., None]
    grid = _grid(a.shape[1])
    motion, weight = motion.copy(), np.ones(a.shape, np.float32)
    rows = (len(a), -1, 6)
    for _ in range(STEPS):
        seen, inside = warped(a, motion)
        dy, dx = np.gradient(seen, 2 / a.shape[1], axis=(1, 2))
        columns = [dx * grid[:, None], dy * grid[:, None, None], dx, dy, -b, -np.ones_like(b)]
        system = np.stack(columns, axis=-1).reshape(rows)  # (m, pixels, 6)
        left = np.swapaxes(system * (weight * inside[..., None]).reshape(len(a), -1, 1), 1, 2)
        normal = left @ system + np.diag(np.float32([1, 1, 1, 1, 1e-3, 1e-3]))
        step = np.linalg.solve(normal, -left @ seen.reshape(len(a), -1, 1))[..., 0]
        motion = motion + np.clip(step[:, :4], -0.1, 0.1)
        motion = np.clip(motion, WHOLE - 0.15, WHOLE + 0.15)
        gain, shift = step[:, 4, None, None, None], step[:, 5, None, None, None]
        off = np.abs(seen - gain * b - shift)
        typical = np.median(off, axis=(1, 2, 3), keepdims=True) + 1e-3
        weight = 1 / (1 + (off / (2 * typical)) ** 2)
    return motion


def warped(pictures: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each of (m, s, s, c) pictures seen through its motion, and where that lies inside it.

    A motion is scale in x and y, shift in x and y, where the picture reaches from -1 to 1.
    """
    side = pictures.shape[1]
    at = [(motion[:, [k]] * _grid(side) + motion[:, [k + 2]] + 1) / 2 * side - 0.5 for k in (0, 1)]
    inside = [(v > -0.6) & (v < side - 0.4) for v in at]
    x, y = (  # (m, 1, s, s) each: how much of each pixel a pixel shows
        np.maximum(0, 1 - np.abs(np.clip(v, 0, side - 1)[:, None, :, None] - np.arange(side)))
        for v in at
    )
    planes = np.moveaxis(pictures, -1, 1)
    seen = y.astype(np.float32) @ planes @ np.swapaxes(x, 2, 3).astype(np.float32)
    return np.moveaxis(seen, 1, -1), inside[1][:, :, None] & inside[0][:, None, :]


def _grid(side: int) -> np.ndarray:
    return (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1


def _structure(seen: np.ndarray, inside: np.ndarray, b: np.ndarray) -> np.ndarray:
    fine_a, fine_b = (
        np.where(inside[..., None], x - uniform_filter(x, (0, 5, 5, 0)), 0) for x in (seen, b)
    )
    products = (fine_a * fine_b, fine_a * fine_a, fine_b * fine_b)
    both, own_a, own_b = (_sums(x, CELL).sum(axis=2) for x in products)  # (m, 16) each
    contrast = np.sqrt(own_a * own_b)
    return _weighted_median(both / (contrast + 1e-6), contrast)


def _color_gap(seen: np.ndarray, inside: np.ndarray, b: np.ndarray) -> np.ndarray:
    n_inside = _sums(inside[..., None], CELL // 2)
    apart = np.abs(_sums((seen - b) * inside[..., None], CELL // 2)) / np.maximum(n_inside, 1)
    return np.quantile(apart.mean(axis=2), 0.75, axis=1).astype(np.float32)


def _sums(values: np.ndarray, cell: int) -> np.ndarray:
    """The sum over each block: (m, 32, 32, c) to (m, blocks, c)."""
    m, n = len(values), SIDE // cell
    return values.reshape(m, n, cell, n, cell, -1).sum(axis=(2, 4)).reshape(m, n * n, -1)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each row, the value that has half of the weight at or below it."""
    order = np.argsort(values, axis=1)
    share = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = (share < share[:, -1:] / 2).sum(axis=1)
    return np.take_along_axis(values, order, axis=1)[np.arange(len(values)), middle]
