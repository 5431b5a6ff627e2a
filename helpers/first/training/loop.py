"""The training loop: contrastive fine-tuning of whatever a model leaves trainable, with resume.

All chance of a step (batch, explicit negatives, augmentation, dropout) follows from the seed and
the number of the step alone. A run that was killed therefore goes on from its last saved state as
if nothing had happened, to the last bit on the same machine with as many threads.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from helpers.first.models.encoders import Encoder
from helpers.first.models.loading import weights_fingerprint
from helpers.first.training.pairs import TrainingPairs, epoch_batches
from helpers.first.training.progress import Progress
from helpers.first.training.ranks import Ranks
from helpers.first.training.settings import Training
from helpers.first.training.step import TrainingDiverged, optimizer_for, take_step
from helpers.first.training.towers import Augment, Towers, towers_of
from helpers.repro import hash_of

__all__ = ["Trained", "Training", "TrainingDiverged", "train"]

Validate = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Trained:
    """What a run leaves besides the weights.

    Attributes
    ----------
    steps : tuple of dict
        One record a step; see :func:`helpers.first.training.step.take_step`.
    epochs : tuple of dict
        ``epoch`` (0: before training), ``step``, ``loss`` (mean over its steps), ``seconds`` of
        training up to its end, and what ``validate`` returned.
    kept_epoch : int
        Whose weights the model has now.
    stopped_early : bool
    seconds : float
        Of training, without validation; the steps of earlier runs that were resumed included.
    """

    steps: tuple[dict[str, float], ...]
    epochs: tuple[dict[str, float], ...]
    kept_epoch: int
    stopped_early: bool
    seconds: float


def train(
    encoder: Encoder,
    pairs: TrainingPairs,
    settings: Training,
    *,
    towers: Towers | None = None,
    augment: Augment | None = None,
    validate: Validate | None = None,
    monitor: str = "score",
    state: Path | None = None,
    state_every: int = 25,
    on_step: Callable[[dict[str, float]], None] | None = None,
    ranks: Ranks | None = None,
    progress: bool = True,
) -> Trained:
    """Train the parameters of ``encoder.model`` that require a gradient, in place.

    Parameters
    ----------
    encoder : Encoder
        As :func:`helpers.first.models.lora.adapt` gives it; any other with trainable parameters too.
    pairs : TrainingPairs
    settings : Training
    towers : Towers, optional
        Another way from rows to embeddings; default: the whole towers, over pixels and tokens.
    augment : callable, optional
        Run-time augmentation; see :func:`helpers.first.training.towers.towers_of`.
    validate : callable, optional
        Called before training and after each epoch, the model in evaluation mode; returns scores,
        among them ``monitor``, of which more is better. The untrained model is never the best one.
    state : Path, optional
        A file that keeps the state after every ``state_every`` steps and each epoch. Where it
        exists already the run goes on from it; a finished run is put back as it ended.
    on_step : callable, optional
        Gets the record of each step.
    ranks : Ranks, optional
        Where several processes train together (:mod:`helpers.first.training.ranks`): each has the same
        data and start, the first one validates and writes the state.
    progress : bool

    Raises
    ------
    TrainingDiverged
        If loss or gradient is not finite; the weights are still those before that step.
    AdapterError
        If a trainable parameter gets no gradient.
    StateError
        If ``state`` belongs to another run.

    Examples
    --------
    >>> trained = train(adapted.encoder, ready, Training(epochs=3))  # doctest: +SKIP
    """
    if towers is not None and augment is not None:
        raise ValueError("augment belongs into the towers that are given: leave it out here")
    if settings.negatives and not len(pairs.negative_text_rows):
        raise ValueError("negatives is true, but no pair of the data has label 0: set it to false")
    ranks = ranks or Ranks()
    if ranks.count > 1 and settings.accumulate == "plain":
        raise ValueError("several processes share one loss: set accumulate to 'cached'")
    towers = towers or towers_of(encoder, pairs, augment=augment)
    model, optimizer = encoder.model, optimizer_for(encoder.model, settings)
    per_epoch = len(_epoch(pairs, settings, 0))
    run = Progress(model, optimizer, settings, steps_per_epoch=per_epoch)
    identity = _identity(run, model, pairs, settings, monitor)
    if state is not None:
        run.resume(state, identity)
    silent = not (progress and ranks.is_first)
    bar = tqdm(total=run.total, initial=run.step, desc="training", unit="step", disable=silent)

    def scored() -> dict[str, float]:
        return ranks.told(_scores(model, validate, monitor) if ranks.is_first else None)

    devices = [torch.cuda.current_device()] if encoder.device.startswith("cuda") else []
    batches: list[np.ndarray] = []
    with torch.random.fork_rng(devices), bar:
        if validate is not None and not run.epochs:
            run.epochs.append({"epoch": 0, "step": 0, **scored()})
        while not run.finished:
            epoch, position = divmod(run.step, per_epoch)
            if position == 0 or not batches:
                batches = _epoch(pairs, settings, epoch)
            began = time.perf_counter()
            record = take_step(
                encoder, pairs, settings, towers, optimizer, batches[position],
                step=run.step, total=run.total, ranks=ranks,
            )  # fmt: skip
            run.note_step({"epoch": epoch + 1, **record}, seconds=time.perf_counter() - began)
            bar.update()
            bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
            if run.epoch_is_done:
                scores = {} if validate is None else scored()
                run.note_epoch(scores, scores.get(monitor))
            due = run.step % state_every == 0 or run.epoch_is_done
            if state is not None and ranks.is_first and due:
                run.save(state, identity)
            if on_step is not None:
                on_step(run.steps[-1])
    run.keep()
    model.eval()
    return Trained(
        tuple(run.steps), tuple(run.epochs), run.kept_epoch, run.stopped_early, run.seconds
    )


def _epoch(pairs: TrainingPairs, settings: Training, epoch: int) -> list[np.ndarray]:
    size, draw, seed = settings.pairs_per_step, settings.draw, settings.seed
    return list(epoch_batches(pairs, batch_size=size, draw=draw, seed=seed, epoch=epoch))


def _identity(
    run: Progress,
    model: torch.nn.Module,
    pairs: TrainingPairs,
    settings: Training,
    monitor: str,
) -> str:
    """A hash of all that decides a run, taken before its first step."""
    start = [weights_fingerprint(model), sorted(run.trainable)]
    return hash_of([asdict(settings), pairs.fingerprint, start, monitor])


def _scores(model: torch.nn.Module, validate: Validate, monitor: str) -> dict[str, float]:
    model.eval()
    scores = {name: float(value) for name, value in validate().items()}
    if not np.isfinite(list(scores.values())).all() or monitor not in scores:
        raise ValueError(f"validate gave {scores}: it must give finite scores, {monitor!r} too")
    return scores
