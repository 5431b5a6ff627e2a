"""Hard negatives: wrong captions that a model takes for right ones, mined with FAISS.

Mining looks for what scores high and is not known to be right; some of that *is* right. Three
guards keep such false negatives out: the recipe and its near-duplicates, captions of the same
wording, and a ceiling in proportion to the pair's own score (Moreira et al., "NV-Retriever", 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.first.evaluation.embeddings import check_embeddings


@dataclass(frozen=True)
class Mined:
    """What was found.

    Attributes
    ----------
    rows : (n, k) int64
        Caption rows for each image, the hardest first; -1 where the guards left none.
    refused : dict
        How many candidates each guard kept out: ``group``, ``wording``, ``ceiling``.
    """

    rows: np.ndarray
    refused: dict[str, int]


def mine_captions(
    images,
    texts,
    image_groups: Sequence[str],
    text_groups: Sequence[str],
    captions: Sequence[str],
    *,
    k: int = 4,
    depth: int = 64,
    ceiling: float = 0.95,
) -> Mined:
    """For each image the captions of other groups that score highest with it.

    Parameters
    ----------
    images : (n, d) float, unit rows
    texts : (m, d) float, unit rows
    image_groups, text_groups : (n,), (m,) str
        Recipe, or group of near-duplicates: captions of the image's own are no negatives.
    captions : (m,) str
        Their wording; one that equals a caption of the image's group, but for case and spaces, is
        no negative either.
    k : int
        Negatives an image.
    depth : int
        Candidates that are looked at.
    ceiling : float
        A candidate that scores above this share of the best own caption's score is taken for
        right and left out; ``inf``: no such guard.

    Raises
    ------
    ValueError
        If a length does not fit, k or depth is below 1, or an image's group has no caption.

    Examples
    --------
    >>> mined = mine_captions(np.eye(2), np.eye(2), ["a", "b"], ["a", "b"], ["x", "y"], k=1)
    >>> mined.rows.tolist()
    [[1], [0]]
    """
    import faiss

    images = np.ascontiguousarray(check_embeddings(images, name="images"), dtype=np.float32)
    texts = np.ascontiguousarray(check_embeddings(texts, name="texts"), dtype=np.float32)
    if (len(image_groups), len(text_groups), len(captions)) != (len(images), *[len(texts)] * 2):
        raise ValueError(
            f"{len(images)} images and {len(texts)} texts with {len(image_groups)} and "
            f"{len(text_groups)} groups and {len(captions)} captions: give one for each row"
        )
    if k < 1 or depth < 1 or not ceiling > 0:
        raise ValueError(f"k is {k}, depth {depth}, ceiling {ceiling}: give positive numbers")
    wording = [" ".join(caption.lower().split()) for caption in captions]
    own: dict[str, list[int]] = {}
    for row, group in enumerate(text_groups):
        own.setdefault(group, []).append(row)
    if lost := [g for g in image_groups if g not in own]:
        raise ValueError(f"group {lost[0]!r} has images and no caption: what is right for it?")
    index = faiss.IndexFlatIP(texts.shape[1])
    index.add(texts)
    scores, found = index.search(images, min(depth, len(texts)))  # (n, depth), best first
    rows = np.full((len(images), k), -1, dtype=np.int64)
    refused = {"group": 0, "wording": 0, "ceiling": 0}
    for i, group in enumerate(image_groups):
        mine = own[group]
        said = {wording[row] for row in mine}
        limit = ceiling * float((texts[mine] @ images[i]).max())
        kept = 0
        for score, row in zip(scores[i].tolist(), found[i].tolist(), strict=True):
            reason = _refusal(score, row, group, text_groups, wording, said, limit)
            if reason:
                refused[reason] += 1
                continue
            rows[i, kept] = row
            kept += 1
            if kept == k:
                break
    return Mined(rows, refused)


def _refusal(
    score: float,
    row: int,
    group: str,
    text_groups: Sequence[str],
    wording: Sequence[str],
    said: set[str],
    limit: float,
) -> str:
    if text_groups[row] == group:
        return "group"
    if wording[row] in said:
        return "wording"
    return "ceiling" if score > limit > 0 else ""
