"""Blocks of similarity scores: how large they may be, and why their size changes no rank.

Scores are exact. Entries of unit rows are rounded to multiples of 2**-25, so that products are
multiples of 2**-50 and every partial sum, about 1 in size at most, is a float64 without rounding.
Identical rows therefore score identically wherever they stand in a block, whatever the linear
algebra library does with the order of summation. The rounding moves a score by at most
``2**-25 * sqrt(d)``, below the default tie tolerance up to d = 1024.
"""

import numpy as np

GRID = 2.0**25
GALLERY_BLOCK = 8192
QUERY_BLOCK = 4096


def on_grid(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) as float64 multiples of 2**-25; a new array."""
    grid = np.multiply(rows, GRID, dtype=np.float64)
    np.rint(grid, out=grid)
    grid /= GRID
    return grid


def quick_error(dimensions: int) -> float:
    """How far a float32 product of unit rows can be from the product on the grid.

    The bound of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 3.1,
    ``d * 2**-24`` whatever the order of summation; with it the rounding of the rows to the grid and
    to float32, and of a limit that the score is compared with.
    """
    return 2.0**-24 * (1.01 * (dimensions + 8) + dimensions**0.5)


def block_bytes(n_queries: int, n_gallery: int, dimensions: int) -> int:
    """Peak bytes of one block: float64 scores, and both inputs with a temporary each."""
    return 8 * (n_queries * n_gallery + 2 * dimensions * (n_queries + n_gallery))


def block_shape(
    n_queries: int, n_gallery: int, dimensions: int, *, block_mb: float = 256
) -> tuple[int, int]:
    """How many queries and gallery rows a block holds so that it fits in ``block_mb`` MiB.

    Raises ``ValueError`` if not even one query against one row fits.

    Examples
    --------
    >>> block_shape(100, 200, 64)
    (100, 200)
    """
    budget = int(block_mb * 2**20)
    columns = min(n_gallery, GALLERY_BLOCK)
    while columns > 1 and block_bytes(1, columns, dimensions) > budget / 2:
        columns //= 2
    spare = budget - block_bytes(0, columns, dimensions)
    rows = spare // (block_bytes(1, columns, dimensions) - block_bytes(0, columns, dimensions))
    if rows < 1:
        raise ValueError(
            f"block_mb={block_mb} does not hold one score of {dimensions} dimensions; raise it"
        )
    return min(n_queries, QUERY_BLOCK, rows), columns
