"""Pictures that are one picture: a hash proposes, a comparison of aligned pixels decides.

The hash (signs of low frequencies; Zauner 2010, "Implementation and benchmarking of perceptual
image hash functions") finds among all pairs those that may be equal. Alone it would join different
dishes on the same plate, so each proposed pair is laid onto one another (Lucas and Kanade 1981, for
scale and shift) and must agree in fine structure and in color nearly everywhere. The bounds were
chosen on drawn dishes and photographs; ``python -m tests.first.long intake_near_duplicates`` prints
what others would give.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

SIDE = 32  # pixels of what is compared
CELL = 8  # pixels of a block whose structure is compared on its own
BITS = 8  # frequencies of the hash, a side
MAX_BITS = 10  # that may differ between the hashes of a proposed pair
MIN_STRUCTURE = 0.86  # correlation of fine structure from which on it may be one picture
MAX_COLOR_GAP = 0.04  # difference of color up to which it is, of a range of 1
STARTING_GAP = 0.1  # before the alignment, beyond which a pair is let go
STEPS = 6  # of the alignment
ROWS, COLUMNS = 64, 4096  # of a tile of the search, which fits a processor's cache
AT_ONCE = 512  # pairs compared at a time
LUMINANCE = np.float32([0.299, 0.587, 0.114])
WHOLE = np.float32([1, 1, 0, 0])
WINDOWS = np.stack(
    [WHOLE, *(np.float32([0.95, 0.95, x, y]) for x, y in (
        (0, 0), (-0.05, -0.05), (-0.05, 0.05), (0.05, -0.05), (0.05, 0.05)
    ))]
)  # fmt: skip  # what a crop of five percent leaves: scale in x and y, shift in x and y


@dataclass(frozen=True)
class Matches:
    """Pairs of pictures: row numbers ``a < b``, (m,) intp, with ``structure`` and ``color_gap``.

    The two are (m,) float32, see ``compare``.
    """

    a: np.ndarray
    b: np.ndarray
    structure: np.ndarray
    color_gap: np.ndarray


def thumbnail(image: Image.Image) -> np.ndarray:
    """What of a picture is compared: (32, 32, 3) float32 in [0, 1].

    >>> thumbnail(Image.new("RGB", (640, 480))).shape
    (32, 32, 3)
    """
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small, dtype=np.float32) / 255


def hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Which low frequencies lie above their median: (n, 32, 32, 3) float32 to (n,) uint64."""
    return _hashes_of(thumbnails @ LUMINANCE)


def _hashes_of(light: np.ndarray) -> np.ndarray:
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
) -> Matches:
    """The pairs that are one picture, resized, recompressed, marked or slightly cropped.

    Every hash is compared with every other, in tiles: the work grows with the square of the number
    of pictures, and for 50,000 is still small beside reading them.

    Parameters
    ----------
    thumbnails : (n, 32, 32, 3) float32
        See ``thumbnail``.
    max_bits : int
        By how many bits the hashes of a pair may differ.
    min_structure, max_color_gap : float
        See ``compare``.

    Returns
    -------
    Matches
        Sorted by ``a`` and ``b``. A picture without structure (one flat color) matches none.

    >>> dots = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    >>> find_matches(dots[[0, 1, 0]]).b.tolist()
    [2]
    """
    a, b, window = proposed(thumbnails, max_bits=max_bits)
    structure, gap = (np.zeros(len(a), np.float32) for _ in range(2))
    for start in range(0, len(a), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        structure[part], gap[part] = compare(
            thumbnails[a[part]], thumbnails[b[part]], WINDOWS[window[part]]
        )
    same = (structure >= min_structure) & (gap <= max_color_gap)
    low, high = np.minimum(a, b)[same], np.maximum(a, b)[same]
    return Matches(low, high, structure[same], gap[same])


def proposed(thumbnails: np.ndarray, *, max_bits: int = MAX_BITS) -> tuple[np.ndarray, ...]:
    """Pairs whose hashes are near: row ``a``, row ``b`` and the window of ``a`` that shows ``b``.

    Sorted by the smaller and the larger row; of a pair's windows the one with the nearest hash is
    given. Each array is (m,) intp.
    """
    light = thumbnails @ LUMINANCE  # (n, 32, 32)
    plain = _hashes_of(light)
    found = [np.zeros((0, 4), np.intp)]  # bits, window, a, b
    for number, window in enumerate(WINDOWS):
        seen = _hashes_of(_seen_through(light, window)) if number else plain
        for row, column in product(range(0, len(plain), ROWS), range(0, len(plain), COLUMNS)):
            bits = np.bitwise_count(seen[row : row + ROWS, None] ^ plain[column : column + COLUMNS])
            i, j = np.nonzero(bits <= max_bits)
            if len(i):
                places = [bits[i, j], np.full(len(i), number), i + row, j + column]
                found.append(np.stack(places, axis=1))
    bits, window, a, b = np.concatenate(found).astype(np.intp).T
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((a, window, bits, high, low))
    order = order[(low != high)[order]]
    low, high = low[order], high[order]
    first = np.ones(len(order), bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return a[order][first], b[order][first], window[order][first]


def compare(a: np.ndarray, b: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of ``b`` each picture ``a`` has when laid onto it: structure and color gap.

    Structure is what a mean over 5 x 5 pixels does not show, correlated in blocks of 8 x 8 pixels
    and three colors; the median block counts, weighted by contrast: a watermark spoils a few
    blocks, an empty background has no say. The color gap is the difference of the mean colors of
    4 x 4 pixels, at three quarters of the picture the largest. Pairs too far apart in color before
    the alignment get -1 and 1.

    Parameters
    ----------
    a, b : (m, 32, 32, 3) float32
    motion : (m, 4) float32
        Where the alignment begins (see ``warped``).

    Returns
    -------
    (m,) float32 in [-1, 1] and (m,) float32 in [0, 1]
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
    """Each picture seen through its own scale and shift, and where that lies inside it.

    Parameters
    ----------
    pictures : (m, s, s, c) float32
    motion : (m, 4) float32
        Scale in x and y, shift in x and y, where the picture reaches from -1 to 1.

    Returns
    -------
    (m, s, s, c) float32, and (m, s, s) bool
    """
    side = pictures.shape[1]
    at = [(motion[:, [k]] * _grid(side) + motion[:, [k + 2]] + 1) / 2 * side - 0.5 for k in (0, 1)]
    low = [np.clip(np.floor(v), 0, side - 2).astype(np.intp) for v in at]
    part = [np.clip(v - first, 0, 1).astype(np.float32) for v, first in zip(at, low, strict=True)]
    (x, y), (px, py) = low, part
    rows, px, py = np.arange(len(pictures))[:, None], px[:, None, :, None], py[:, :, None, None]
    lines = pictures[rows, y] * (1 - py) + pictures[rows, y + 1] * py  # between two lines
    across = np.arange(side)[None, :, None]
    rows, x = rows[:, :, None], x[:, None, :]
    seen = lines[rows, across, x] * (1 - px) + lines[rows, across, x + 1] * px
    inside = [(v > -0.6) & (v < side - 0.4) for v in at]
    return seen, inside[1][:, :, None] & inside[0][:, None, :]


def _seen_through(light: np.ndarray, window: np.ndarray) -> np.ndarray:
    """All pictures warped alike, (n, 32, 32): one matrix for the lines, one for the columns."""
    unit = np.eye(light.shape[1], dtype=np.float32)[None, ..., None]
    along_x, along_y = (
        warped(unit, np.float32([[window[k], 1, window[k + 2], 0]]))[0][0, ..., 0] for k in (0, 1)
    )
    return along_y.T @ light @ along_x


def _grid(side: int) -> np.ndarray:
    return (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1


def _fine(pictures: np.ndarray) -> np.ndarray:
    return pictures - uniform_filter(pictures, (0, 5, 5, 0))


def _structure(seen: np.ndarray, inside: np.ndarray, b: np.ndarray) -> np.ndarray:
    fine_a, fine_b = (np.where(inside[..., None], _fine(x), 0) for x in (seen, b))
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
