"""Synthetic triplets: pairs mined, texts written, the doubtful ones dropped; an artefact of a zone.

What lies in ``fine-tuning-zone/experiments/triplets/run_<id>/`` is ``pairs.csv``, a row a mined
pair with its texts and its fate, and ``counts.json``. Everything that was mined is in the table:
kept and dropped add up.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from helpers.course.code import Modules
from helpers.first.models.composed import build_composed
from helpers.first.models.encoders import Encoder
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.loading import weights_fingerprint
from helpers.first.retrieval.caption_texts import texts_from_captions
from helpers.first.retrieval.pair_mining import Band, MinedPairs, mine_pairs
from helpers.first.retrieval.text_filter import (
    KEPT,
    REASONS,
    TextFilter,
    reasons_by_text,
    round_trip_ranks,
    with_round_trip,
)
from helpers.first.training.generator_runs import GeneratorRun
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone
from helpers.topics.cir.triplets import Triplet
from helpers.world.picture_pool import PicturePool

WRITERS = ("generator", "captions")
COLUMNS = (
    "pair_id", "reference", "target", "category", "similarity", "text", "reverse", "kept", "reason",
    "rank_forward", "rank_reverse",
)  # fmt: skip
CODE = Modules().named(
    "helpers.first.retrieval.synthesis", packages=("data", "evaluation", "models", "retrieval")
)


@dataclass(frozen=True)
class Synthesis:
    """How triplets are made.

    Attributes
    ----------
    writer : str
        ``generator``: from both pictures; ``captions``: the difference of two captions.
    band_low, band_high : float
        Cosines that a pair may have.
    per_image : int
        In how many pairs a picture may be.
    n_pairs : int
        How many pairs are mined at most; 0: all.
    filter : TextFilter
    seed : int
    """

    writer: str = "generator"
    band_low: float = 0.8
    band_high: float = 0.97
    per_image: int = 2
    n_pairs: int = 0
    filter: TextFilter = field(default_factory=TextFilter)
    seed: int = 42

    def __post_init__(self) -> None:
        if self.writer not in WRITERS:
            raise ValueError(f"unknown writer {self.writer!r}: use one of {', '.join(WRITERS)}")


@dataclass(frozen=True)
class Synthetic:
    """Triplets that were made, and what became of every pair.

    Attributes
    ----------
    triplets : tuple of Triplet
        The kept ones, ready to train with: forward text, reverse text, one target, the category
        as group.
    table : DataFrame
        Columns ``COLUMNS``, a row a mined pair; ranks are NaN where no round trip was asked for.
    counts : DataFrame
        ``reason``, ``pairs``, ``share`` of the mined ones; ``kept`` first.
    mining : dict
        Candidates by outcome; see :class:`~helpers.first.retrieval.pair_mining.MinedPairs`.
    manifest : Manifest
    """

    triplets: tuple[Triplet, ...]
    table: pd.DataFrame
    counts: pd.DataFrame
    mining: dict[str, int]
    manifest: Manifest


def ensure_synthetic(
    zone: Zone,
    pool: PicturePool,
    encoder: Encoder,
    run: GeneratorRun | None,
    *,
    settings: Synthesis | None = None,
    composed: nn.Module | None = None,
    progress: bool = True,
) -> Synthetic:
    """Mine pairs, write both texts of each, filter them, store all; or read it where it is done.

    Parameters
    ----------
    zone : Zone
    pool : PicturePool
    encoder : Encoder
        Mines by its image embeddings, and judges the round trip.
    run : GeneratorRun, optional
        The writer; ``None`` for texts from captions.
    composed : nn.Module, optional
        Judges the round trip, on the encoder's embeddings: a model of
        :mod:`helpers.first.models.composed`; the sum of image and text by default.

    Raises
    ------
    ValueError
        If the generator is to write and none is given, or no pair lies in the band.

    Examples
    --------
    >>> made = ensure_synthetic(zone, pool, load_encoder("tiny-siglip"), run)  # doctest: +SKIP
    """
    settings = settings or Synthesis()
    if (settings.writer == "generator") != (run is not None):
        given = "none is given" if run is None else f"run {run.id} is given"
        raise ValueError(f"writer is {settings.writer!r} and of trained generators {given}")
    judge = build_composed("sum", encoder.dimension) if composed is None else composed.eval()
    parameters = {"settings": asdict(settings), "encoder": encoder.name}
    inputs = {
        "pool": pool.fingerprint, "encoder": encoder.fingerprint,
        "writer": run.manifest.fingerprint if run else settings.writer,
        "judge": type(judge).__name__ + (weights_fingerprint(judge) if composed else ""),
    }  # fmt: skip
    run_id = hash_of([parameters, inputs])
    folder = f"{EXPERIMENTS}/triplets/run_{run_id}"

    def build(writer: Writer) -> None:
        images = encoder.images([partial(pool.load_image, n) for n in pool.names],
                                progress=progress)  # fmt: skip
        mined = _mined(images, pool, settings)
        texts = _texts(pool, mined.pairs, run, settings, progress)
        rows = _judged(pool, mined, texts, images, encoder, judge, settings)
        writer.write_text(f"{folder}/pairs.csv", _csv(rows))
        record = {"id": run_id, **parameters, "inputs": inputs, "mining": mined.counts}
        writer.write_text(f"{folder}/counts.json", json.dumps(record, allow_nan=False) + "\n")

    manifest = ensure(
        zone, f"triplets-run_{run_id}", kind="synthetic triplets", parameters=parameters,
        inputs=inputs, build=build, prefixes=(folder,), code=code_of(*CODE),
    )  # fmt: skip
    table = read_pairs(zone.read_text(f"{folder}/pairs.csv"))
    mining = json.loads(zone.read_text(f"{folder}/counts.json"))["mining"]
    return Synthetic(triplets_of(table), table, counts_of(table), mining, manifest)


def triplets_of(table: pd.DataFrame) -> tuple[Triplet, ...]:
    """The kept rows of a table as triplets."""
    return tuple(
        Triplet(row.pair_id, row.reference, (row.target,), row.text, group=row.category,
                reverse=row.reverse)
        for row in table[table["kept"]].itertuples()
    )  # fmt: skip


def counts_of(table: pd.DataFrame) -> pd.DataFrame:
    """How many pairs were kept and why the others were dropped; they add up to all."""
    found = table["reason"].value_counts()
    rows = [(reason, int(found.get(reason, 0))) for reason in (KEPT, *REASONS)]
    if (counted := sum(n for _, n in rows)) != len(table):
        odd = sorted(set(found.index) - {KEPT, *REASONS})
        raise ValueError(f"{len(table)} pairs were mined and {counted} counted: {odd} is no reason")
    frame = pd.DataFrame(rows, columns=["reason", "pairs"])
    return frame.assign(share=frame["pairs"] / max(1, len(table)))


def read_pairs(text: str) -> pd.DataFrame:
    """The table of a ``pairs.csv``; ids and texts stay as they are ("007", "none")."""
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    names = ("similarity", "rank_forward", "rank_reverse")
    numbers = {name: [float(value) for value in frame[name]] for name in names}
    return frame.assign(kept=frame["kept"] == "True", **numbers)


def _mined(images: np.ndarray, pool: PicturePool, settings: Synthesis) -> MinedPairs:
    mined = mine_pairs(
        images, pool.categories, band=Band(settings.band_low, settings.band_high),
        per_image=settings.per_image, n_pairs=settings.n_pairs, seed=settings.seed,
    )  # fmt: skip
    if not len(mined.pairs):
        raise ValueError(
            f"no pair of {len(pool.names)} pictures has a similarity between {settings.band_low} "
            f"and {settings.band_high} (candidates: {mined.counts}): widen the band"
        )
    return mined


def _texts(
    pool: PicturePool,
    pairs: np.ndarray,
    run: GeneratorRun | None,
    settings: Synthesis,
    progress: bool,
) -> list[tuple[str, str]]:
    if run is None:
        said = [tuple(pool.captions[pool.names[row]] for row in pair) for pair in pairs]
        return texts_from_captions(said, seed=settings.seed)
    used, places = np.unique(pairs, return_inverse=True)
    seen = run.generator.see(
        [partial(pool.load_image, pool.names[row]) for row in used], progress=progress
    )
    reference, target = (seen[column] for column in places.reshape(pairs.shape).T)
    forward = run.generator.write(reference, target, progress=progress)
    return list(
        zip(forward, run.generator.write(target, reference, progress=progress), strict=True)
    )


def _judged(
    pool: PicturePool,
    mined: MinedPairs,
    texts: Sequence[tuple[str, str]],
    images: np.ndarray,
    encoder: Encoder,
    judge: nn.Module,
    settings: Synthesis,
) -> list[dict[str, Any]]:
    names = [tuple(pool.names[row] for row in pair) for pair in mined.pairs]
    captions = [tuple(pool.captions[name] for name in pair) for pair in names]
    reasons = reasons_by_text(texts, captions, settings.filter)
    ranks = (np.full(len(texts), np.nan),) * 2
    if settings.filter.round_trip:
        unique = sorted({text for pair in texts for text in pair})
        place = {text: i for i, text in enumerate(unique)}
        embedded = encoder.texts([text or "nothing" for text in unique])
        rows = [embedded[[place[pair[side]] for pair in texts]] for side in (0, 1)]
        ranks = round_trip_ranks(images, mined.pairs, *rows, judge)
        reasons = with_round_trip(reasons, ranks, settings.filter)
    return [
        {"pair_id": f"mined-{i:05d}", "reference": a, "target": b,
         "category": pool.categories[mined.pairs[i, 0]],
         "similarity": f"{mined.similarity[i]:.6f}", "text": text, "reverse": reverse,
         "kept": reasons[i] == KEPT, "reason": reasons[i],
         "rank_forward": ranks[0][i], "rank_reverse": ranks[1][i]}
        for i, ((a, b), (text, reverse)) in enumerate(zip(names, texts, strict=True))
    ]  # fmt: skip


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
