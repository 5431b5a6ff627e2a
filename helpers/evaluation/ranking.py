"""Ranks of the first positive among a gallery, ties ranked at the mean of best and worst.

The first positive of a query has the rank ``1 + above + tied / 2``, where ``above`` and ``tied``
count the *negatives* that score higher, or the same within a tolerance: the mean of the optimistic
rank (every tie won) and the pessimistic one (every tie lost), as in Berrendorf et al., "On the
ambiguity of rank-based evaluation of entity alignment or link prediction methods" (2020). NaN and
all-equal embeddings are refused, so that no broken encoder looks like the best one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

UNIT_TOLERANCE = 1e-3
FLAT_TOLERANCE = 1e-6
TIE_TOLERANCE = 1e-6
DIRECTIONS, COMPOSED = ("text_to_image", "image_to_text"), "image_and_text_to_image"
_BLOCK = 2**22  # scores in memory at a time: 32 MiB in float64
_NAMED = 5
_CHECK_INPUT = "look at these inputs and at the encoder's weights and precision, then embed again"


class InvalidEmbeddings(ValueError):
    """Embeddings that no ranking may be computed from."""


def check_embeddings(embeddings, *, name: str, alike: bool = False) -> np.ndarray:
    """Return the embeddings as an array if they can be ranked, and refuse them otherwise.

    Parameters
    ----------
    embeddings : (n, d) float
        Of length 1 within 1e-3.
    name : str
        What they are, for the message: ``"gallery"``, ``"text queries"``.
    alike : bool
        Let all of them be equal: true of queries, since two people may ask for one thing.

    Raises
    ------
    InvalidEmbeddings
        If the array is not 2-D, is empty or does not hold real numbers; if an embedding has NaN or
        infinite entries, is zero, is not of length 1, or has all entries equal (d > 1); or, unless
        they may be ``alike``, if several embeddings are all the same. The message names the rows,
        their number and the remedy.
    """
    array = np.asarray(embeddings)
    if array.ndim != 2:
        raise InvalidEmbeddings(
            f"{name}: expected a 2-D array (rows, dimensions), got shape {array.shape}; "
            "stack one embedding per row"
        )
    if array.size == 0:
        raise InvalidEmbeddings(f"{name}: empty, shape {array.shape}; embed at least one item")
    if array.dtype.kind not in "fiu":
        raise InvalidEmbeddings(
            f"{name}: entries of type {array.dtype} are no real numbers; convert to float32"
        )
    _refuse(~np.isfinite(array).all(axis=1), name, "NaN or infinite entries", _CHECK_INPUT)
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    _refuse(norms < 1e-12, name, "only zeros", _CHECK_INPUT)
    bad = np.abs(norms - 1) > UNIT_TOLERANCE
    _refuse(bad, name, "a length other than 1", "divide each row by its norm")
    if array.shape[1] > 1:
        flat = array.max(axis=1) - array.min(axis=1) <= FLAT_TOLERANCE
        _refuse(flat, name, "all entries equal", _CHECK_INPUT)
    if not alike and len(array) > 1 and (np.ptp(array, axis=0) <= FLAT_TOLERANCE).all():
        raise InvalidEmbeddings(
            f"{name}: all {len(array)} rows (0 to {len(array) - 1}) are identical, the encoder "
            "tells nothing apart; check that its weights were loaded and that the inputs differ"
        )
    return array


def _refuse(bad: np.ndarray, name: str, what: str, remedy: str) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        named = ", ".join(map(str, rows[:_NAMED])) + ", ..." * (rows.size > _NAMED)
        raise InvalidEmbeddings(
            f"{name}: {rows.size} of {bad.size} rows have {what} (rows {named}); {remedy}"
        )


def first_hit_ranks(
    queries, gallery, query_items: Sequence[str], gallery_items: Sequence[str]
) -> np.ndarray:
    """Rank the first positive of each query in a gallery by cosine similarity.

    Parameters
    ----------
    queries, gallery : (q, d) and (g, d) float
        Embeddings of length 1.
    query_items, gallery_items : (q,) and (g,) str
        A gallery entry is a positive of a query if both belong to one item.

    Returns
    -------
    (q,) float64
        From 1; halves occur where negatives tie with the positive.

    Raises
    ------
    InvalidEmbeddings
        See :func:`check_embeddings`.
    ValueError
        If a side has not one item a row, if the two sides differ in dimension, or if a query has no
        positive in the gallery.
    """
    queries = check_embeddings(queries, name="queries", alike=True)
    gallery = check_embeddings(gallery, name="gallery")
    for name, rows, items in (
        ("queries", queries, query_items), ("gallery", gallery, gallery_items)
    ):  # fmt: skip
        if len(rows) != len(items):
            raise ValueError(
                f"{name}: embeddings of shape {rows.shape} and {len(items)} items; "
                "give one item a row"
            )
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions and the gallery {gallery.shape[1]}; "
            "embed both with one model"
        )
    columns = gallery.T.astype(np.float64)
    return _ranks(
        lambda part: queries[part].astype(np.float64) @ columns, query_items, gallery_items
    )


def first_hit_ranks_of_scores(
    scores, query_items: Sequence[str], gallery_items: Sequence[str]
) -> np.ndarray:
    """Rank the first positive of each query by a matrix of scores, (q, g), higher is better.

    Raises ``InvalidEmbeddings`` if a score is not finite, ``ValueError`` if the matrix has another
    shape than the items; see :func:`first_hit_ranks`.
    """
    scores = np.asarray(scores, float)
    if scores.shape != (len(query_items), len(gallery_items)):
        raise ValueError(
            f"scores of shape {scores.shape}, {len(query_items)} items of queries and "
            f"{len(gallery_items)} of the gallery; give one item a row (query) and a column "
            "(gallery entry)"
        )
    if not np.isfinite(scores).all():
        raise InvalidEmbeddings("scores hold NaN or infinite entries, which would all rank first")
    return _ranks(lambda part: scores[part], query_items, gallery_items)


def _ranks(
    score: Callable[[slice], np.ndarray], query_items: Sequence[str], gallery_items: Sequence[str]
) -> np.ndarray:
    counts, positives = positives_of(query_items, gallery_items)
    start = np.concatenate([[0], np.cumsum(counts)])
    ranks = np.empty(len(counts))
    size = max(1, _BLOCK // len(gallery_items))
    for i in range(0, len(counts), size):
        part = slice(i, min(i + size, len(counts)))
        scores = score(part)  # (size, g)
        of_part = positives[start[part.start] : start[part.stop]]
        row = np.repeat(np.arange(len(scores)), counts[part])
        own = scores[row, of_part]  # the scores of the positives, query after query
        best = np.maximum.reduceat(own, start[part] - start[part.start])
        above = np.count_nonzero(scores > best[:, None] + TIE_TOLERANCE, axis=1)
        level = np.count_nonzero(scores >= best[:, None] - TIE_TOLERANCE, axis=1) - above
        level -= np.bincount(row, own >= best[row] - TIE_TOLERANCE).astype(int)
        ranks[part] = 1 + above + level / 2
    return ranks


def positives_of(
    query_items: Sequence[str], gallery_items: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The number of positives of each query (q,), and their gallery rows, query after query.

    Raises ``ValueError`` if a query has none.
    """
    items, gallery_codes = np.unique(np.asarray(gallery_items), return_inverse=True)
    code = np.searchsorted(items, query_items)
    known = code < len(items)
    known[known] = items[code[known]] == np.asarray(query_items)[known]
    if not known.all():
        lost = np.flatnonzero(~known)
        raise ValueError(
            f"{lost.size} of {known.size} queries have no positive in the gallery (queries "
            f"{', '.join(map(str, lost[:_NAMED]))}); take them out, or add their items"
        )
    order = np.argsort(gallery_codes, kind="stable")
    size = np.bincount(gallery_codes, minlength=len(items))
    first = np.cumsum(size) - size
    counts = size[code]
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return counts, order[np.repeat(first[code], counts) + offset]


def rank_both_directions(
    image_embeddings, text_embeddings, data, score: Callable[..., np.ndarray] | None = None
) -> pd.DataFrame:
    """Rank images for every caption, and captions for every image, within disjoint galleries.

    hit@K depends on the size of the gallery. More test items are therefore not put into one larger
    gallery but ranked in several of the same size, and their queries are pooled.

    Parameters
    ----------
    image_embeddings, text_embeddings : (n, d) and (m, d) float
    data : RetrievalSet
        ``image_items`` (n,), ``caption_items`` (m,) and ``galleries``, a mapping of item to gallery
        or None.
    score : callable, optional
        ``score(direction, queries, gallery) -> (q, g)`` in the place of the dot product.

    Returns
    -------
    DataFrame
        A row a query: ``direction``, ``query`` (its number), ``group`` (its item), ``gallery``,
        ``gallery_size``, ``positives`` (how many), ``rank`` of the first positive.
    """
    sides = {
        "text_to_image": (text_embeddings, data.caption_items, image_embeddings, data.image_items),
        "image_to_text": (image_embeddings, data.image_items, text_embeddings, data.caption_items),
    }
    parts = []
    for direction, (queries, query_items, gallery, gallery_items) in sides.items():
        in_gallery = [gallery_of(items, data.galleries) for items in (query_items, gallery_items)]
        for name in np.unique(in_gallery[0]):
            asked, held = (np.flatnonzero(one == name) for one in in_gallery)
            items = query_items[asked], gallery_items[held]
            if score is None:
                ranks = first_hit_ranks(queries[asked], gallery[held], *items)
            else:
                scores = score(direction, queries[asked], gallery[held])
                ranks = first_hit_ranks_of_scores(scores, *items)
            counts, _ = positives_of(*items)
            columns = {"query": asked, "group": items[0], "gallery": name}
            sizes = {"gallery_size": len(held), "positives": counts, "rank": ranks}
            parts.append(pd.DataFrame({"direction": direction} | columns | sizes))
    return pd.concat(parts, ignore_index=True)


def gallery_of(items: Sequence[str], galleries: dict[str, int] | None) -> np.ndarray:
    """The gallery of each item; 0 where there is one gallery of all."""
    if galleries is None:
        return np.zeros(len(items), int)
    return np.array([galleries[item] for item in items])


def disjoint_galleries(items: Sequence[str], size: int) -> dict[str, int]:
    """Distribute items, in the order in which they come, over galleries of ``size`` items each.

    Raises
    ------
    ValueError
        If the number of items is not a multiple of the size: a smaller gallery would be easier.
    """
    distinct = list(dict.fromkeys(items))
    if len(distinct) % size:
        raise ValueError(
            f"{len(distinct)} items do not fill galleries of {size}: hit@K depends on the size; "
            f"take {len(distinct) // size * size} items, or another size"
        )
    return {item: i // size for i, item in enumerate(distinct)}
