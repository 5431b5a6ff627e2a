"""Texts that machines write: pools without annotation, written triplets, texts to be judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers.first.data.composed_sources import ComposedSource
from helpers.first.models.encoders import Encoder
from helpers.first.retrieval.caption_texts import texts_from_captions
from helpers.first.training.composed_features import (
    ComposedFeatures,
    PictureRows,
    composed_features,
    take_triplets,
)
from helpers.first.training.generator_runs import GeneratorRun
from helpers.repro import hash_of
from helpers.topics.cir.triplets import Triplet, TripletSet
from helpers.world.picture_pool import PicturePool
from helpers.world.pool import world_pool


@dataclass(frozen=True)
class Written:
    """Triplets that were written by a machine, for both kinds of models.

    Attributes
    ----------
    name : str
        Where the texts come from.
    triplets : tuple of Triplet
    features : ComposedFeatures
        The same triplets as the models on features see them.
    """

    name: str
    triplets: tuple[Triplet, ...]
    features: ComposedFeatures


def open_pool(source: ComposedSource, triplets: Sequence[Triplet]) -> PicturePool:
    """The pictures of some triplets, without what is asked of them.

    Photographs are all of one category, and what is said of one are the texts that lead to it.
    """
    if source.truth is not None:
        return replace(world_pool(source.truth, triplets), load_image=source.load_image)
    said: dict[str, tuple[str, ...]] = {}
    for one in triplets:
        for name in (one.reference, *one.targets):
            texts = (one.caption,) if name in one.targets else ()
            said[name] = (*said.get(name, ()), *texts)
    names = tuple(said)
    captions = {name: texts or ("a picture",) for name, texts in said.items()}
    shown = [(name, source.image_hash(name), captions[name]) for name in names]
    categories = (source.name,) * len(names)
    return PicturePool(names, categories, captions, source.load_image, hash_of(shown))


def written(
    name: str,
    triplets: Sequence[Triplet],
    pool: PicturePool,
    encoder: Encoder,
    pictures: PictureRows,
) -> Written:
    """Triplets over a pool, with their features; its pictures are embedded already.

    Raises
    ------
    ValueError
        If nothing was kept.
    """
    if len(triplets) < 2:
        raise ValueError(
            f"{len(triplets)} triplets with {name} are left to pretrain on: mine more pairs, widen "
            "the band, or train the generator longer"
        )
    whole = TripletSet(name, "synthetic", tuple(triplets), pool.names, exclude_reference=True)
    return Written(name, tuple(triplets), composed_features(encoder, whole, pictures))


def part_of(some: Written, n: int, *, seed: int) -> Written:
    """``n`` of them, drawn by a seed; the smaller part lies in the larger."""
    features = take_triplets(some.features, n, seed=seed)
    return Written(some.name, features.triplets.triplets, features)


def texts_for(
    writer: GeneratorRun | None,
    source: ComposedSource,
    triplets: Sequence[Triplet],
    *,
    seed: int = 42,
) -> pd.DataFrame:
    """What a writer says of pairs that people have described: held out from its training.

    Parameters
    ----------
    writer : GeneratorRun, optional
        None: the difference of two captions.

    Returns
    -------
    DataFrame
        ``pair_id``, ``reference``, ``target`` (the first), ``text``.
    """
    pairs = [(one.reference, one.targets[0]) for one in triplets]
    if writer is None:
        said = open_pool(source, triplets).captions
        both = texts_from_captions([(said[a], said[b]) for a, b in pairs], seed=seed)
        texts = [forward for forward, _ in both]
    else:
        names = list(dict.fromkeys(name for pair in pairs for name in pair))
        seen = writer.generator.see([source.load_image(name) for name in names])
        place = {name: row for row, name in enumerate(names)}
        columns = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
        texts = writer.generator.write(*(seen[rows] for rows in columns))
    rows = [
        {"pair_id": one.pair_id, "reference": a, "target": b, "text": text}
        for one, (a, b), text in zip(triplets, pairs, texts, strict=True)
    ]
    return pd.DataFrame(rows, columns=["pair_id", "reference", "target", "text"])


def with_way_back(
    writer: GeneratorRun, source: ComposedSource, triplets: Sequence[Triplet]
) -> tuple[tuple[Triplet, ...], str]:
    """The triplets with a reverse text each; the writer gives those that nobody has written.

    FashionIQ and CIRR have texts from reference to target alone. Where the writer has nothing to
    say, the reverse text is "undo: " with the text itself.

    Returns
    -------
    triplets : tuple of Triplet
        As they are where no reverse text is missing.
    says : str
        How many were written, in a sentence; empty: none.
    """
    silent = [one for one in triplets if not one.reverse.strip()]
    if not silent:
        return tuple(triplets), ""
    exchanged = [replace(t, reference=t.targets[0], targets=(t.reference,)) for t in silent]
    texts = texts_for(writer, source, exchanged)["text"]
    written_back = {
        one.pair_id: text.strip() or f"undo: {one.caption}"
        for one, text in zip(silent, texts, strict=True)
    }
    full = tuple(replace(t, reverse=written_back.get(t.pair_id, t.reverse)) for t in triplets)
    return full, (
        f"{source.name} has no text from target to reference for {len(silent)} of {len(triplets)} "
        "triplets: the generator wrote them, so the pull below is as good as its texts."
    )
