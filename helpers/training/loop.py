"""The training loop: one settings record and one ``fit`` for adapters, whole models and heads.

All chance of a step (batch, negatives, augmentation, dropout) follows from the seed and the number
of the step alone. A run that was killed therefore resumes from its last saved state as if nothing
had happened, to the last bit on the same machine with as many threads.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from tqdm.auto import tqdm

from helpers.models.encoder import weights_fingerprint
from helpers.repro import hash_of
from helpers.store.zones import write_file_atomically
from helpers.training.losses import clamp_logit_scale

CHOICES = {
    "loss": ("info_nce", "sigmoid"),
    "accumulate": ("cached", "plain"),
    "draw": ("pair", "image", "item"),
    "precision": ("fp32", "bf16"),
    "schedule": ("cosine", "cosine_over_all"),
    "keep": ("best", "last"),
}
FIRST_EVALUATION = 10  # of geometric steps


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is not finite; ``step`` counts from 1, ``items`` are the batch's."""

    def __init__(self, message: str, *, step: int, items: Sequence[str]):
        super().__init__(message)
        self.step, self.items = step, list(items)


class StateError(RuntimeError):
    """A saved state that cannot be resumed."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training run; equal settings, data and start give equal weights.

    Attributes
    ----------
    epochs, steps : int
        Passes over the data, see ``draw``; or optimizer steps, if more than 0.
    batch_size, accumulation : int
        An optimizer step takes ``batch_size`` pairs ``accumulation`` times.
    accumulate : str
        ``cached``: one loss over all pairs of a step (gradient caching); ``plain``: the mean of the
        losses of its micro-batches.
    loss, draw : str
        ``info_nce`` or ``sigmoid``; an epoch takes every ``pair``, ``image`` or ``item`` once.
    mask_positives : bool
        Leave pairs of one item out of each other's negatives.
    learning_rate : float
        At the end of the warm-up.
    warmup : float
        Share of all steps below 1, a number of steps from 1 on.
    schedule : str
        ``cosine``: linear warm-up, then half a cosine over the rest, down to ``final_share``;
        ``cosine_over_all``: warm-up factor times the larger of ``final_share`` and half a cosine
        over all steps.
    weight_decay : float
        On matrices; never on biases, norms, magnitudes and scalars.
    betas, fused
        Of AdamW; its fused kernel is faster and gives other last bits.
    clip, clamp
        Largest norm of the whole gradient, 0: no clipping; whether every trained ``logit_scale`` is
        limited to 100 after each step.
    precision : str
        ``bf16``: the towers run under autocast; weights, loss and optimizer stay float32.
    prefix : bool
        Train adapters from cached prefixes where that is possible (:mod:`helpers.training.prefix`).
    evaluations : str, int or sequence of int
        When ``evaluate`` is called: ``epochs``, before the first step and after each epoch; a
        number, so many geometric steps from 10 to the last; or the steps themselves.
    patience : int
        Stop after so many evaluations below the best; 0: never.
    keep : str
        End with the weights of the ``best`` evaluation, if there is any, or the ``last`` ones.
    start_counts : bool
        Whether an evaluation before the first step may be the best.
    state_every : int
        Save the state after so many steps, and after each evaluation.
    """

    epochs: int = 3
    steps: int = 0
    batch_size: int = 32
    accumulation: int = 1
    accumulate: str = "cached"
    loss: str = "info_nce"
    draw: str = "pair"
    mask_positives: bool = True
    learning_rate: float = 1e-3
    warmup: float = 0.1
    schedule: str = "cosine"
    final_share: float = 0.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    fused: bool = True
    clip: float = 1.0
    clamp: bool = True
    precision: str = "fp32"
    prefix: bool = True
    evaluations: str | int | tuple[int, ...] = "epochs"
    patience: int = 0
    keep: str = "best"
    start_counts: bool = False
    state_every: int = 25
    seed: int = 42

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"training {name} is {value!r}: use one of {', '.join(allowed)}")
        least = {"epochs": 1, "batch_size": 1, "accumulation": 1, "state_every": 1}
        for name, low in {**least, "steps": 0, "patience": 0}.items():
            if getattr(self, name) < low:
                raise ValueError(f"training {name} is {getattr(self, name)}: give at least {low}")
        for name in ("learning_rate", "warmup", "weight_decay", "clip", "final_share"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"training {name} is {value}: give a finite number, 0 or more")

    @property
    def pairs_per_step(self) -> int:
        """Pairs that an optimizer step takes."""
        return self.batch_size * self.accumulation


def learning_rate(step: int, total: int, settings: Settings) -> float:
    """The learning rate of a step, counted from 0 (Loshchilov and Hutter 2017, equation 5).

    >>> s = Settings(learning_rate=1.0, warmup=2)
    >>> [round(learning_rate(i, 6, s), 3) for i in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    warm = settings.warmup if settings.warmup >= 1 else settings.warmup * total
    warm, low = min(round(warm), total), settings.final_share
    rising = min(1.0, (step + 1) / warm) if warm else 1.0
    if settings.schedule == "cosine_over_all":
        cosine = 0.5 * (1 + math.cos(math.pi * step / total))
        return settings.learning_rate * rising * max(low, cosine)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    cosine = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
    return settings.learning_rate * (low + (1 - low) * cosine)


def evaluation_steps(settings: Settings, total: int, steps_per_epoch: int) -> tuple[int, ...]:
    """After which steps a run is evaluated; 0 is before the first.

    >>> evaluation_steps(Settings(evaluations=4), 80, 0)
    (10, 20, 40, 80)
    """
    when = settings.evaluations
    if when == "epochs":
        return tuple(sorted({*range(0, total, steps_per_epoch or total), total}))
    if isinstance(when, int):
        found = np.geomspace(min(FIRST_EVALUATION, total), total, when) if when > 1 else [total]
        return tuple(sorted({round(float(step)) for step in found}))
    if set(when) - set(range(total + 1)):
        raise ValueError(f"evaluations {when!r}: use 'epochs', a number or steps from 0 to {total}")
    return tuple(sorted(set(when)))


@dataclass(frozen=True)
class Fitted:
    """What a run leaves besides the weights in the module.

    Attributes
    ----------
    losses : DataFrame
        A row a step: ``step`` (from 1), ``loss``, ``learning_rate``, ``gradient_norm`` (before
        clipping) and each trained scalar by its name; of ``logit_scale`` the scale itself, not its
        logarithm.
    evaluations : DataFrame
        ``step``, ``score``, ``loss`` (mean over the steps since the evaluation before) and
        ``seconds`` of training up to there.
    best_step : int
        After which step the weights in the module were those.
    stopped_early : bool
    seconds : float
        Of training, without evaluation; steps of earlier processes that were resumed included.
    last : dict of tensors
        The trained weights after the last step, where the module has those of the best one.
    """

    losses: pd.DataFrame
    evaluations: pd.DataFrame
    best_step: int
    stopped_early: bool
    seconds: float
    last: dict[str, torch.Tensor] = field(repr=False, default_factory=dict)


LossOfStep = Callable[[int, np.random.Generator], Any]


def fit(
    module: nn.Module,
    loss_of_step: LossOfStep,
    *,
    settings: Settings,
    steps_per_epoch: int = 0,
    evaluate: Callable[[int], float] | None = None,
    state: Path | None = None,
    identity: str = "",
    progress: bool = True,
) -> Fitted:
    """Train the parameters of ``module`` that require a gradient, in place, with AdamW.

    Parameters
    ----------
    module : Module
        In training mode during a step, in evaluation mode otherwise.
    loss_of_step : callable
        The number of the step, from 0, and a random generator of that step (torch's global state
        is seeded too) to a loss, and optionally the ids of the items of its batch:
        ``loss`` or ``(loss, items)``. A loss without a graph says that its gradients have been
        accumulated already, as gradient caching does.
    steps_per_epoch : int
        Where ``settings`` counts in epochs.
    evaluate : callable, optional
        A step to a score of which more is better, on validation data; called without gradients at
        ``settings.evaluations``. Of two equal scores the later counts as better: on a small
        validation set the score soon reaches its maximum.
    state : Path, optional
        A file for the state of the run, written whole or not at all. Where it exists, the run
        resumes from it; a finished run is put back as it ended.
    identity : str
        What else decides the run, such as a fingerprint of its data: a state with another identity,
        other settings or other weights at the start is refused.

    Raises
    ------
    TrainingDiverged
        If loss or gradient is not finite; the weights are still those before that step.
    StateError
        If ``state`` is no state, or that of another run.
    ValueError
        If nothing is trainable, or a trainable parameter gets no gradient.
    """
    total = settings.steps or settings.epochs * steps_per_epoch
    if not total:
        raise ValueError("0 steps: give steps_per_epoch, or steps in the settings")
    run = Run(module, settings, total)
    checks = set(evaluation_steps(settings, total, steps_per_epoch)) if evaluate else set()
    known = {k: v for k, v in asdict(settings).items() if k != "state_every"}
    start = [weights_fingerprint(module), sorted(run.trainable)] if state else []
    run.identity = hash_of([known, total, sorted(checks), identity, start])
    if state is not None:
        run.resume(Path(state))
    saved = run.step
    bar = tqdm(total=total, initial=run.step, desc="training", leave=False, disable=not progress)
    devices = sorted({p.device.index or 0 for p in run.trainable.values() if p.is_cuda})
    with torch.random.fork_rng(devices), bar:
        while True:
            done = bool(run.evaluations) and run.evaluations[-1]["step"] == run.step
            if run.step in checks and not done:
                module.eval()
                with torch.no_grad():
                    run.note_evaluation(float(evaluate(run.step)))
            finished = run.step == total or run.stopped_early
            due = finished or run.step in checks or run.step % settings.state_every == 0
            if state is not None and due and run.step > saved:
                run.save(Path(state))
            if finished:
                break
            began = time.perf_counter()
            record = take_step(run, loss_of_step)
            run.seconds += time.perf_counter() - began
            bar.update()
            bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
    return run.finish()


def take_step(run: "Run", loss_of_step: LossOfStep) -> dict[str, float]:
    """Change the trainable weights once; the record of the step."""
    settings = run.settings
    run.module.train()
    rng = np.random.default_rng([settings.seed, 1, run.step])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout, and augmentation by global state
    run.optimizer.zero_grad()
    given = loss_of_step(run.step, rng)
    loss, items = given if isinstance(given, tuple) else (given, ())
    if loss.requires_grad:
        loss.backward()
    loss = loss.detach()
    if run.step == 0:
        _require_gradients(run.trainable)
    weights = list(run.trainable.values())
    norm = torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
    rate = learning_rate(run.step, run.total, settings)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise _diverged(run.step + 1, float(loss), float(norm), rate, items)
    if settings.clip:
        torch.nn.utils.clip_grads_with_norm_(weights, settings.clip, norm)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    record = {"step": run.step + 1, "loss": float(loss), "learning_rate": rate}
    record["gradient_norm"] = float(norm)
    for name, parameter in run.trainable.items():
        if name.endswith("logit_scale"):
            if settings.clamp:
                clamp_logit_scale(parameter)
            record[name] = float(parameter.detach().exp())
        elif parameter.ndim == 0:
            record[name] = float(parameter.detach())
    run.records.append(record)
    run.step += 1
    return record


class Run:
    """Where a run stands: the one thing in training that changes; saved and put back as one."""

    SAVED = ("step", "seconds", "records", "evaluations", "best_step", "stopped_early")

    def __init__(self, module: nn.Module, settings: Settings, total: int) -> None:
        self.module, self.settings, self.total, self.identity = module, settings, total, ""
        self.trainable = {n: p for n, p in module.named_parameters() if p.requires_grad}
        if not self.trainable:
            raise ValueError("nothing to train: no parameter of the model requires a gradient")
        self.optimizer = _optimizer(self.trainable.values(), settings)
        self.step, self.seconds, self.best_step, self.stopped_early = 0, 0.0, None, False
        self.records: list[dict[str, float]] = []
        self.evaluations: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}

    def note_evaluation(self, score: float) -> None:
        if not math.isfinite(score):
            raise ValueError(f"the evaluation after step {self.step} gave {score}: not finite")
        since = self.evaluations[-1]["step"] if self.evaluations else 0
        losses = [record["loss"] for record in self.records[since:]]
        mean = sum(losses) / len(losses) if losses else None
        known = {"step": self.step, "score": score, "loss": mean, "seconds": self.seconds}
        self.evaluations.append(known)
        if not self.step and not self.settings.start_counts:
            return
        scores = {e["step"]: e["score"] for e in self.evaluations}
        if self.best_step is None or score >= scores[self.best_step]:
            self.best_step = self.step
            if self.settings.keep == "best":
                self.best = _cloned(self.trainable)
        below = sum(e["step"] > self.best_step for e in self.evaluations)
        self.stopped_early = 0 < self.settings.patience <= below and self.step < self.total

    def finish(self) -> Fitted:
        """Put the best weights into the module, where they were remembered."""
        last = _cloned(self.trainable) if self.best else {}
        _fill(self.trainable, self.best)
        self.module.eval()
        best = self.best_step if self.best else self.step
        frames = pd.DataFrame(self.records), pd.DataFrame(self.evaluations)
        return Fitted(*frames, best, self.stopped_early, self.seconds, last)

    def save(self, path: Path) -> None:
        """Tensors and, in the header, one JSON text: weights, optimizer and logs of one step."""
        names = {p: name for name, p in self.trainable.items()}
        tensors = {f"weights|{name}": p for name, p in self.trainable.items()}
        tensors |= {f"best|{name}": t for name, t in self.best.items()}
        for parameter, moments in self.optimizer.state.items():
            tensors |= {f"{key}|{names[parameter]}": value for key, value in moments.items()}
        content = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        values = {name: getattr(self, name) for name in (*self.SAVED, "identity")}
        header = {"state": json.dumps(values, allow_nan=False)}
        write_file_atomically(path, save(content, metadata=header))

    def resume(self, path: Path) -> None:
        """Go on from a file, if it is there."""
        if not path.is_file():
            return
        try:
            with safe_open(path, framework="pt") as file:
                values = json.loads((file.metadata() or {})["state"])
                # Copies: a mapped file could not be replaced on Windows.
                tensors = {name: file.get_tensor(name).clone() for name in list(file.keys())}
        except (SafetensorError, KeyError, ValueError) as error:
            raise StateError(
                f"{path} is no state of a training run ({error!r}): delete it to start anew"
            ) from error
        if values.get("identity") != self.identity:
            raise StateError(
                f"{path} is the state of another run (other settings, data or model): delete it to "
                "start from the beginning, or give this run a file of its own"
            )
        for full, tensor in tensors.items():
            key, name = full.split("|", 1)
            parameter = self.trainable[name]
            if key == "weights":
                _fill(self.trainable, {name: tensor})
            elif key == "best":
                self.best[name] = tensor.to(parameter.device)
            else:  # a fused AdamW has its step counts beside the weights
                device = parameter.device if key != "step" or self.settings.fused else "cpu"
                self.optimizer.state[parameter][key] = tensor.to(device)
        for name in self.SAVED:
            setattr(self, name, values[name])


def _optimizer(parameters: Collection[nn.Parameter], settings: Settings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); decay on matrices alone."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate, betas = settings.learning_rate, settings.betas
    return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=settings.fused)


def _require_gradients(trainable: Mapping[str, nn.Parameter]) -> None:
    """A gradient of zeros is none to worry about: LoRA's first factor has one before step 1."""
    if without := [name for name, p in trainable.items() if p.grad is None]:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise ValueError(
            f"trainable parameter {without[0]!r}{more} got no gradient: the loss does not depend "
            "on it. Freeze it (scalars, heads), or place the adapter elsewhere"
        )


def _diverged(
    step: int, loss: float, norm: float, rate: float, items: Sequence[str]
) -> TrainingDiverged:
    shown = ", ".join(map(str, items[:8])) or "not recorded"
    more = f" and {len(items) - 8} more" if len(items) > 8 else ""
    return TrainingDiverged(
        f"step {step}: loss {loss}, gradient norm {norm}, learning rate {rate:.3g}. The items of "
        f"the batch: {shown}{more}. Look at these, or lower learning_rate",
        step=step, items=items,
    )  # fmt: skip


def _cloned(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in weights.items()}


def _fill(weights: Mapping[str, nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)
