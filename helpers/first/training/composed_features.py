"""Triplets as a frozen model sees them: rows of pictures, kept, and rows of modifications.

Pictures are embedded once for all sets that show them (``training.features``); texts, which change
with every generator, are embedded when they are asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.chance import Gallery
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import Ranking, rank_positives_from_scores
from helpers.first.models.adapter_base import base_of
from helpers.first.models.encoders import Encoder
from helpers.first.training.features import ensure_features
from helpers.repro import hash_of
from helpers.topics.cir.triplets import TripletSet

QUERIES_AT_ONCE = 512


@dataclass(frozen=True)
class PictureRows:
    """Embedded pictures, by their ids.

    Attributes
    ----------
    names : tuple of str
    rows : (n, d) float32, unit rows
        Memory-mapped and read only.
    hashes : tuple of str
        Of the pictures' content.
    model : str
        The model's fingerprint.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    hashes: tuple[str, ...]
    model: str

    @cached_property
    def place(self) -> dict[str, int]:
        """The row of each id."""
        return {name: row for row, name in enumerate(self.names)}

    def of(self, names: Sequence[str]) -> np.ndarray:
        """(m, d) rows of some pictures.

        Raises
        ------
        ValueError
            If a picture is not among them; the message names it.
        """
        if strangers := [name for name in names if name not in self.place]:
            raise ValueError(
                f"picture {strangers[0]!r} is not among the {len(self.names)} embedded ones: "
                "give ensure_rows the pictures of every set"
            )
        return np.asarray(self.rows[[self.place[name] for name in names]])


def ensure_rows(
    encoder: Encoder,
    names: Sequence[str],
    load_image: Callable[[str], Image.Image],
    image_hash: Callable[[str], str],
    *,
    folder: Path | None = None,
    progress: bool = True,
) -> PictureRows:
    """The rows of pictures, computed where they are not kept yet.

    Raises
    ------
    InvalidEmbeddings
        If the model gives rows that cannot be ranked.

    Examples
    --------
    >>> rows = ensure_rows(encoder, names, source.load_image, source.image_hash)  # doctest: +SKIP
    """
    names = tuple(dict.fromkeys(names))
    hashes = {name: image_hash(name) for name in names}
    # The store of features keeps pictures with texts: one text that nobody reads goes with them.
    data = RetrievalSet(names, np.array(names), ("a picture",), np.array(["-"]))
    found = ensure_features(
        encoder, data, load_image, image_hashes=hashes, folder=folder, progress=progress
    )
    return PictureRows(names, found.images, tuple(hashes.values()), model_fingerprint(encoder))


def model_fingerprint(encoder: Encoder) -> str:
    """Of weights, preprocessing, tokenizer and precision."""
    base = base_of(encoder)
    return hash_of([base.fingerprint, base.preprocessing, base.tokenizer, encoder.precision])


@dataclass(frozen=True)
class ComposedFeatures:
    """A set of triplets as a frozen model sees it.

    Attributes
    ----------
    triplets : TripletSet
    images : (n, d) float32, unit rows
        The gallery in its order, then references that are no part of it.
    texts : (q, d) float32, unit rows
        The modifications.
    fingerprint : str
        Of model, pictures and triplets.
    """

    triplets: TripletSet
    images: np.ndarray
    texts: np.ndarray
    fingerprint: str

    @cached_property
    def references(self) -> np.ndarray:
        """(q,) row of ``images`` of each query's reference."""
        rows = {name: row for row, name in enumerate(image_names(self.triplets))}
        return np.array([rows[one.reference] for one in self.triplets.triplets])

    @cached_property
    def targets(self) -> list[list[int]]:
        """The rows of each query's targets."""
        return self.triplets.positives()

    @cached_property
    def groups(self) -> np.ndarray:
        """(q,) what is resampled together."""
        return np.array([one.group for one in self.triplets.triplets])

    @cached_property
    def choices(self) -> Gallery:
        """What each query ranks: the gallery, without its reference where that leaves."""
        leaves = (np.asarray(self.triplets.excluded()) >= 0).all()
        size = len(self.triplets.gallery) - int(leaves)
        return Gallery(size, np.array([len(rows) for rows in self.targets]))

    @property
    def gallery(self) -> np.ndarray:
        """(g, d) the rows that are ranked."""
        return self.images[: len(self.triplets.gallery)]


def image_names(triplets: TripletSet) -> tuple[str, ...]:
    """The gallery, then the references outside it."""
    return tuple(dict.fromkeys((*triplets.gallery, *(t.reference for t in triplets.triplets))))


def composed_features(
    encoder: Encoder, triplets: TripletSet, pictures: PictureRows
) -> ComposedFeatures:
    """The features of a set whose pictures are embedded: only its texts are encoded here.

    Raises
    ------
    ValueError
        If a picture is not among those embedded, or they are of another model.
    """
    if pictures.model != model_fingerprint(encoder):
        raise ValueError(f"the pictures were embedded by another model than {encoder.name}")
    names = image_names(triplets)
    rows = pictures.of(names)
    texts = encoder.texts([one.caption for one in triplets.triplets], progress=False)
    queries = [(t.pair_id, t.reference, t.targets, t.caption) for t in triplets.triplets]
    shown = [(name, pictures.hashes[pictures.place[name]]) for name in names]
    about = [model_fingerprint(encoder), queries, shown, triplets.excluded()]
    return ComposedFeatures(triplets, rows, texts, hash_of(about, digits=16))


def take_triplets(features: ComposedFeatures, n: int, *, seed: int) -> ComposedFeatures:
    """The part of ``n`` triplets that a seed draws; the smaller part is in the larger; 0: all.

    The pictures stay as they are: what is drawn from are the queries.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if n == 0:
        return features
    available = len(features.triplets.triplets)
    if not 0 < n <= available:
        raise ValueError(f"{n} triplets are asked for and there are {available}: give 0 for all")
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(available)[:n])
    part = tuple(features.triplets.triplets[i] for i in chosen)
    triplets = replace(features.triplets, triplets=part)
    images = features.images
    if image_names(triplets) != image_names(features.triplets):
        place = {name: row for row, name in enumerate(image_names(features.triplets))}
        images = images[[place[name] for name in image_names(triplets)]]
    name = hash_of([features.fingerprint, chosen.tolist()], digits=16)
    return ComposedFeatures(triplets, images, features.texts[chosen], name)


def draw_batch(
    features: ComposedFeatures, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries, the distinct targets drawn for them, and which of these answer which query.

    Returns
    -------
    queries : (b,) int, targets : (t,) int rows of ``images``, positives : (b, t) bool
    """
    queries = rng.permutation(len(features.targets))[:size]
    drawn = [features.targets[q][int(rng.integers(len(features.targets[q])))] for q in queries]
    columns = np.unique(drawn)
    place = {row: i for i, row in enumerate(columns.tolist())}
    positives = np.zeros((len(queries), len(columns)), dtype=bool)
    for i, q in enumerate(queries):
        positives[i, [place[row] for row in features.targets[q] if row in place]] = True
    return queries, columns, positives


def composed_scores(model: nn.Module, features: ComposedFeatures) -> np.ndarray:
    """(q, g) float32 scores of every query with the gallery, by a model in evaluation mode."""
    was = model.training
    model.eval()
    gallery, blocks = torch.from_numpy(np.array(features.gallery)), []
    with torch.no_grad():
        for at in range(0, len(features.texts), QUERIES_AT_ONCE):
            rows = features.references[at : at + QUERIES_AT_ONCE]
            texts = torch.from_numpy(np.array(features.texts[at : at + QUERIES_AT_ONCE]))
            blocks.append(model(torch.from_numpy(features.images[rows]), texts, gallery).numpy())
    model.train(was)
    return np.concatenate(blocks)


def rank_composed(scores: np.ndarray, triplets: TripletSet) -> Ranking:
    """Ranks of every true target, the reference left out where the protocol says so."""
    positives = positives_from_lists(triplets.positives(), n_gallery=len(triplets.gallery))
    return rank_positives_from_scores(scores, positives, exclude=np.array(triplets.excluded()))
