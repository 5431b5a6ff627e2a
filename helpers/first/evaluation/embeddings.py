"""The gate before any ranking: embeddings that cannot be ranked honestly are refused by name.

A rank that counts ``score > gold`` is perfect for NaN and for all-equal rows, so a broken encoder
would look like the best one. Nothing here repairs a row: the encoder or its input is at fault.
"""

import numpy as np

UNIT_TOLERANCE = 1e-3
FLAT_TOLERANCE = 1e-6
_NAMED = 5


class InvalidEmbeddings(ValueError):
    """Embeddings that no ranking may be computed from."""


def check_embeddings(rows, *, name: str, alike: bool = False) -> np.ndarray:
    """Return ``rows`` as an array if they can be ranked, and refuse them otherwise.

    Parameters
    ----------
    rows : array_like
        (n, d) numbers, unit rows within 1e-3.
    name : str
        What the rows are, for the message: ``"gallery"``, ``"text queries"``.
    alike : bool
        Let all rows be one and the same: true of queries, since two people may ask for one thing.

    Returns
    -------
    numpy.ndarray
        The same rows, not copied where they are an array already.

    Raises
    ------
    InvalidEmbeddings
        If the array is not 2-D, is empty or does not hold real numbers; if a row has NaN or
        infinite entries, is zero, is not of length 1, or has all entries equal (d > 1); or, unless
        they may be ``alike``, if all of several rows are the same row. The message names the rows,
        their number and the remedy.

    Examples
    --------
    >>> check_embeddings([[1.0, 0.0], [0.0, 1.0]], name="gallery").shape
    (2, 2)
    """
    rows = np.asarray(rows)
    if rows.ndim != 2:
        raise InvalidEmbeddings(
            f"{name}: expected a 2-D array (rows, dimensions), got shape {rows.shape}; "
            "stack one embedding per row"
        )
    if rows.size == 0:
        raise InvalidEmbeddings(f"{name}: empty, shape {rows.shape}; embed at least one item")
    if rows.dtype.kind not in "fiu":
        raise InvalidEmbeddings(
            f"{name}: entries of type {rows.dtype} are no real numbers; convert to float32"
        )
    _refuse(~np.isfinite(rows).all(axis=1), name, "NaN or infinite entries", _CHECK_INPUT)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    _refuse(norms < 1e-12, name, "only zeros", _CHECK_INPUT)
    _refuse(
        np.abs(norms - 1) > UNIT_TOLERANCE,
        name,
        "a length other than 1",
        "divide each row by its norm",
        detail=lambda row: f"length {norms[row]:.4g}",
    )
    if rows.shape[1] > 1:
        flat = rows.max(axis=1) - rows.min(axis=1) <= FLAT_TOLERANCE
        _refuse(flat, name, "all entries equal", _CHECK_INPUT)
    if not alike:
        _refuse_collapsed(rows, name)
    return rows


_CHECK_INPUT = "look at these inputs and at the encoder's weights and precision, then embed again"


def _refuse(bad: np.ndarray, name: str, what: str, remedy: str, *, detail=None) -> None:
    """Raise for the rows that are marked ``bad`` (n,), naming the first few."""
    where = np.flatnonzero(bad)
    if where.size == 0:
        return
    named = ", ".join(f"{row} ({detail(row)})" if detail else str(row) for row in where[:_NAMED])
    more = ", ..." if where.size > _NAMED else ""
    raise InvalidEmbeddings(
        f"{name}: {where.size} of {bad.size} rows have {what} (rows {named}{more}); {remedy}"
    )


def _refuse_collapsed(rows: np.ndarray, name: str) -> None:
    """Raise if several rows are one and the same row."""
    if len(rows) > 1 and (np.ptp(rows, axis=0) <= FLAT_TOLERANCE).all():
        raise InvalidEmbeddings(
            f"{name}: all {len(rows)} rows (0 to {len(rows) - 1}) are identical, the encoder tells "
            "nothing apart; check that its weights were loaded and that the inputs differ"
        )
