"""A corpus of pictures embedded once: decoded ahead of the model, kept in shards, never from zero.

Threads decode and resize the next pictures while the model works on a batch; Pillow and torch both
let go of the interpreter where the work is. A killed run goes on at the first unfinished shard. A
picture that cannot be read is named with its reason and costs nothing but its row; it is not tried
again as long as the folder is kept.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers.data.images import load_image
from helpers.first.evaluation.embeddings import check_embeddings
from helpers.first.models.encoders import Encoder
from helpers.first.retrieval.corpus_shards import (
    CorpusRefused,
    Plan,
    Shard,
    agree_on_plan,
    plan_of,
    read_plan,
    read_shard,
    shard_state,
    write_shard,
)
from helpers.first.retrieval.preprocessing import Preprocessing, fast_preprocessing
from helpers.first.retrieval.space import Space, space_of
from helpers.store.artefacts import held

__all__ = ["Corpus", "CorpusRefused", "embed_corpus", "embed_pictures", "read_corpus"]

Load = Callable[[str], Image.Image | bytes]
BROKEN = (OSError, ValueError, KeyError)  # what reading a picture raises; ImageError is one
AHEAD = 2  # batches that are made ready before the model asks for them


@dataclass(frozen=True, eq=False)
class Corpus:
    """An embedded corpus.

    Attributes
    ----------
    ids : (n,) str
        Of the pictures that could be read, in their order.
    rows : (n, d) float32, unit rows
    failed : pandas.DataFrame
        ``id`` and ``reason`` of the others.
    space : Space
        For :func:`helpers.first.retrieval.index.build_index`.
    folder : Path
    n_new : int
        How many pictures this call has worked on; the others were there.
    redone : tuple of str
        Shards whose bytes did not fit their checksum.
    seconds : float
        Of this call's work.
    """

    ids: np.ndarray
    rows: np.ndarray
    failed: pd.DataFrame
    space: Space
    folder: Path
    n_new: int = 0
    redone: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def images_per_s(self) -> float:
        """How fast this call was; NaN if there was nothing to do."""
        return self.n_new / self.seconds if self.n_new else float("nan")


def embed_corpus(
    encoder: Encoder,
    ids: Sequence[str],
    load: Load,
    folder: Path | str,
    *,
    inputs: str = "",
    batch_size: int = 32,
    shard_rows: int = 1024,
    workers: int = 2,
    progress: bool = True,
) -> Corpus:
    """Embed pictures into a folder of shards, going on where an earlier run has stopped.

    Parameters
    ----------
    encoder : Encoder
        :func:`helpers.first.retrieval.precision.in_precision` makes one that does nothing else, faster.
    ids : sequence of str, distinct
    load : callable
        An id to its picture, or to the bytes of a file, which are then decoded here. Called in
        threads.
    folder : path
        Of this corpus alone.
    inputs : str
        The fingerprint of where the pictures come from, so that other pictures under the same ids
        are not taken for these.
    batch_size, shard_rows, workers : int
        Pictures a step of the model and a shard; threads that make pictures ready.
    progress : bool
        Show pictures a second and the time that is left.

    Raises
    ------
    CorpusRefused
        If the folder holds another corpus, or not one picture can be read.
    InvalidEmbeddings
        If the model gives rows that cannot be ranked.

    Examples
    --------
    >>> corpus = embed_corpus(encoder, keys, pairs.image, "data/cache/corpus")  # doctest: +SKIP
    >>> build_index(corpus.rows, corpus.ids.tolist(), space=corpus.space)  # doctest: +SKIP
    """
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    folder = Path(folder)
    options = {"precision": encoder.precision, "inputs": inputs, "shard_rows": shard_rows}
    plan = plan_of(space_of(encoder), ids, **options)
    with held(folder / ".lock", what=f"embedding into {folder}"):
        agree_on_plan(folder, plan)
        states = {i: shard_state(folder, plan, i) for i in range(plan.n_shards)}
        todo = [i for i, state in states.items() if state != "done"]
        n_new = sum(len(plan.rows(i)) for i in todo)
        bar = tqdm(
            total=plan.n, initial=plan.n - n_new, unit="image", disable=not progress,
            desc=f"embedding with {encoder.name}",
        )  # fmt: skip
        began = time.perf_counter()
        with bar, ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool:
            wanted = ([ids[row] for row in plan.rows(i)] for i in todo)
            shards = _shards(encoder, wanted, load, pool, batch_size, bar)
            for number, shard in zip(todo, shards, strict=True):
                write_shard(folder, plan, number, shard)
        seconds = time.perf_counter() - began
        redone = tuple(f"part-{i:05d}" for i, state in states.items() if state == "damaged")
        return _read(folder, plan, n_new=n_new, redone=redone, seconds=seconds)


def read_corpus(folder: Path | str, *, space: Space | None = None) -> Corpus:
    """Read an embedded corpus, every checksum first.

    Parameters
    ----------
    folder : path
    space : Space, optional
        Of the encoder that will ask; another one is refused.

    Raises
    ------
    CorpusRefused
        If a shard is missing or damaged, or the corpus is of another space.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    if space is not None and space != plan.space:
        raise CorpusRefused(
            f"{folder} was embedded by {plan.space.model} ({plan.space.fingerprint}), and "
            f"{space.model} ({space.fingerprint}) asks: embed it again, into another folder"
        )
    return _read(folder, plan)


def embed_pictures(
    encoder: Encoder,
    ids: Sequence[str],
    load: Load,
    *,
    pool: ThreadPoolExecutor,
    batch_size: int = 32,
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Rows and reasons, batch by batch, with pictures made ready by ``pool`` ahead of the model.

    Yields
    ------
    (b, d) float32, list of str
        Unit rows, NaN where a picture could not be read; its reason, empty where it could.
    """
    ready = fast_preprocessing(encoder)
    waiting: deque[Future] = deque()
    stream = iter(ids)

    while True:
        for item in islice(stream, (AHEAD + 1) * batch_size - len(waiting)):
            waiting.append(pool.submit(_prepared, item, load, ready))
        if not waiting:
            return
        done = [waiting.popleft().result() for _ in range(min(batch_size, len(waiting)))]
        yield _embedded(encoder, ready, done)


def _prepared(item: str, load: Load, ready: Preprocessing) -> np.ndarray | str:
    """A picture made ready, or why it could not be."""
    try:
        found = load(item)
        picture = load_image(found) if isinstance(found, bytes) else found
        return ready.prepare(picture)
    except BROKEN as error:
        return f"{type(error).__name__}: {error}"


def _embedded(
    encoder: Encoder, ready: Preprocessing, done: list[np.ndarray | str]
) -> tuple[np.ndarray, list[str]]:
    reasons = [one if isinstance(one, str) else "" for one in done]
    rows = np.full((len(done), encoder.dimension), np.nan, np.float32)
    if good := [one for one in done if not isinstance(one, str)]:
        pixels = ready.finish(good).to(encoder.device, encoder.model.dtype)
        with torch.inference_mode():
            found = encoder.model.get_image_features(pixel_values=pixels).pooler_output
            unit = F.normalize(found.float(), dim=-1).cpu().numpy()
        check_embeddings(unit, name=f"image embeddings of {encoder.name}", alike=True)
        rows[[not reason for reason in reasons]] = unit
    return rows, reasons


def _shards(
    encoder: Encoder,
    wanted: Iterator[list[str]],
    load: Load,
    pool: ThreadPoolExecutor,
    batch_size: int,
    bar: tqdm,
) -> Iterator[Shard]:
    for ids in wanted:
        rows, reasons = [], []
        for some, why in embed_pictures(encoder, ids, load, pool=pool, batch_size=batch_size):
            rows.append(some)
            reasons += why
            bar.update(len(why))
        yield Shard(ids, np.concatenate(rows), reasons)


def _read(folder: Path, plan: Plan, **more) -> Corpus:
    shards = [read_shard(folder, plan, i) for i in range(plan.n_shards)]
    ids = np.array([i for shard in shards for i in shard.ids], str)
    reasons = np.array([r for shard in shards for r in shard.reasons], str)
    good = reasons == ""
    if not good.any():
        raise CorpusRefused(
            f"not one of {plan.n} pictures could be read; the first, {str(ids[0])!r}: {reasons[0]}"
            f"; mend that, delete {folder} and embed the corpus again"
        )
    rows = np.concatenate([shard.rows for shard in shards])[good]
    check_embeddings(rows, name=f"corpus {folder}", alike=True)
    failed = pd.DataFrame({"id": ids[~good], "reason": reasons[~good]}, dtype=str)
    return Corpus(ids[good], rows, failed, plan.space, folder, **more)
