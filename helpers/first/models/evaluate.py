"""An encoder against a retrieval set: embeddings, rankings in both directions, intervals, examples.

Every lesson that evaluates a model goes through :func:`evaluate`, so that zero-shot and adapted
models are measured on the same queries in the same way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.intervals import Interval, retrieval_intervals
from helpers.first.evaluation.metrics import both_directions
from helpers.first.evaluation.ranks import Ranking
from helpers.first.models.encoders import Encoder

DIRECTIONS = ("text_to_image", "image_to_text")


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a retrieval set.

    Attributes
    ----------
    data : RetrievalSet
        n images and m captions with their recipe ids.
    images : (n, d) float32, unit rows
    texts : (m, d) float32, unit rows
    rankings : dict
        Direction to ranking: ``text_to_image`` has m queries, ``image_to_text`` n.
    intervals : dict
        Direction to metric to interval, bootstrapped over recipes.
    """

    data: RetrievalSet
    images: np.ndarray
    texts: np.ndarray
    rankings: dict[str, Ranking]
    intervals: dict[str, dict[str, Interval]]

    def query_ids(self, direction: str) -> np.ndarray:
        """The recipe of each query of a direction, for bootstraps and paired tests."""
        return self.data.caption_ids if direction == "text_to_image" else self.data.image_ids

    def gallery_ids(self, direction: str) -> np.ndarray:
        """The recipe of each row that a direction searches."""
        return self.data.image_ids if direction == "text_to_image" else self.data.caption_ids


@dataclass(frozen=True)
class Retrieved:
    """One query with its best results; indices are rows of the retrieval set.

    Attributes
    ----------
    direction : str
    query : int
    results : (k,) int
        Best first; equal scores keep the order of the gallery.
    scores : (k,) float
        Cosine similarities.
    correct : (k,) bool
    rank : float
        Of the first hit, ties at their mean.
    """

    direction: str
    query: int
    results: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    rank: float


def evaluate(
    encoder: Encoder,
    data: RetrievalSet,
    load_image: Callable[[str], Image.Image],
    *,
    batch_size: int = 64,
    n_resamples: int = 2000,
    seed: int = 42,
    progress: bool = False,
) -> Evaluation:
    """Encode a retrieval set and rank it in both directions at recipe level.

    Parameters
    ----------
    encoder : Encoder
    data : RetrievalSet
    load_image : callable
        Key to picture, such as ``pairs.image``.
    batch_size : int
        Images a batch.
    n_resamples, seed : int
        Of the bootstrap over recipes.
    progress : bool

    Examples
    --------
    >>> evaluation = evaluate(encoder, pairs.retrieval("test"), pairs.image)  # doctest: +SKIP
    """
    loaders = [partial(load_image, key) for key in data.image_keys]
    images = encoder.images(loaders, batch_size=batch_size, progress=progress)
    texts = encoder.texts(list(data.captions), progress=progress)
    rankings = both_directions(images, data.image_ids, texts, data.caption_ids)
    groups = {"text_to_image": data.caption_ids, "image_to_text": data.image_ids}
    intervals = {
        way: retrieval_intervals(rankings[way], groups[way], n_resamples=n_resamples, seed=seed)
        for way in DIRECTIONS
    }
    return Evaluation(data, images, texts, rankings, intervals)


def top_results(
    evaluation: Evaluation, direction: str, queries: Sequence[int], *, k: int = 5
) -> list[Retrieved]:
    """The ``k`` best results of some queries of a direction."""
    texts_ask = direction == "text_to_image"
    asking = evaluation.texts if texts_ask else evaluation.images
    asked = evaluation.images if texts_ask else evaluation.texts
    query_ids, gallery_ids = evaluation.query_ids(direction), evaluation.gallery_ids(direction)
    found = []
    for query in queries:
        scores = asked @ asking[query]  # (gallery,)
        best = np.argsort(-scores, kind="stable")[:k]
        correct = gallery_ids[best] == query_ids[query]
        rank = float(evaluation.rankings[direction].first[query])
        found.append(Retrieved(direction, int(query), best, scores[best], correct, rank))
    return found


def examples(evaluation: Evaluation, *, n: int = 10, k: int = 5, seed: int = 42) -> dict[str, Any]:
    """``n`` random queries a direction with their ``k`` best results, as plain JSON values."""
    rng = np.random.default_rng(seed)
    done = {}
    for direction in DIRECTIONS:
        total = len(evaluation.query_ids(direction))
        queries = np.sort(rng.choice(total, min(n, total), replace=False))
        retrieved = top_results(evaluation, direction, queries.tolist(), k=k)
        done[direction] = [_as_json(evaluation, r) for r in retrieved]
    return done


def _as_json(evaluation: Evaluation, found: Retrieved) -> dict[str, Any]:
    data, texts_ask = evaluation.data, found.direction == "text_to_image"
    asking, asked = (
        (data.captions, data.image_keys) if texts_ask else (data.image_keys, data.captions)
    )
    ids = evaluation.gallery_ids(found.direction)
    return {
        "query": str(asking[found.query]),
        "recipe_id": str(evaluation.query_ids(found.direction)[found.query]),
        "first_hit_rank": found.rank,
        "results": [
            {
                "result": str(asked[row]),
                "recipe_id": str(ids[row]),
                "score": round(float(score), 6),
                "correct": bool(hit),
            }
            for row, score, hit in zip(found.results, found.scores, found.correct, strict=True)
        ],
    }
