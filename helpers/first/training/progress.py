"""Where a training run stands: weights, optimizer, logs, best epoch; saved and put back as one."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from helpers.first.training.checkpoint import (
    optimizer_tensors,
    read_state,
    restore_optimizer,
    write_state,
)
from helpers.first.training.settings import Training

_VALUES = ("step", "seconds", "steps", "epochs", "best_epoch", "best_score", "stopped_early")


class Progress:
    """The one thing in training that changes; the loop alone holds it.

    ``steps`` and ``epochs`` are the logs, ``best`` the trainable weights of ``best_epoch``.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: Training,
        *,
        steps_per_epoch: int,
    ) -> None:
        self.optimizer, self.settings = optimizer, settings
        self.steps_per_epoch, self.total = steps_per_epoch, steps_per_epoch * settings.epochs
        self.trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.step, self.seconds = 0, 0.0
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch, self.best_score = 0, None
        self.stopped_early = False

    @property
    def finished(self) -> bool:
        """No step is left, or none is worth taking."""
        return self.stopped_early or self.step >= self.total

    @property
    def epoch_is_done(self) -> bool:
        """The last step ended an epoch."""
        return self.step % self.steps_per_epoch == 0

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights :meth:`keep` leaves in the model."""
        return self.best_epoch if self.best else self.step // self.steps_per_epoch

    def note_step(self, record: dict[str, float], *, seconds: float) -> None:
        """Log a step that was taken."""
        self.steps.append(record)
        self.step += 1
        self.seconds += seconds

    def note_epoch(self, scores: Mapping[str, float], score: float | None) -> None:
        """Log an epoch; remember its weights if it is the best so far; decide whether to stop.

        Of two epochs with the same score the later counts as better: on a small validation set the
        score soon reaches its top, and the first epoch there has hardly been trained.
        """
        epoch = self.step // self.steps_per_epoch
        losses = [record["loss"] for record in self.steps[-self.steps_per_epoch :]]
        mean = sum(losses) / len(losses)
        known = {"epoch": epoch, "step": self.step, "loss": mean, "seconds": self.seconds}
        self.epochs.append({**known, **scores})
        if score is None:
            return
        if self.best_score is None or score >= self.best_score:
            self.best_epoch, self.best_score = epoch, score
            if self.settings.keep == "best":
                self.best = {n: p.detach().clone() for n, p in self.trainable.items()}
        patience = self.settings.patience
        self.stopped_early = 0 < patience <= epoch - self.best_epoch and not self.finished

    def keep(self) -> None:
        """Put the weights of the best epoch into the model, where they were remembered."""
        _fill(self.trainable, self.best)

    def save(self, path: Path, identity: str) -> None:
        """Write all of it to one file."""
        names = {p: name for name, p in self.trainable.items()}
        tensors = {
            **{f"weights|{name}": p for name, p in self.trainable.items()},
            **{f"best|{name}": t for name, t in self.best.items()},
            **optimizer_tensors(self.optimizer, names),
        }
        values = {name: getattr(self, name) for name in _VALUES}
        write_state(path, tensors, {"identity": identity, **values})

    def resume(self, path: Path, identity: str) -> None:
        """Go on from a file, if it is there; raises ``StateError`` if it is of another run."""
        saved = read_state(path, identity=identity)
        if saved is None:
            return
        parts: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "best": {}, "optimizer": {}}
        for full, tensor in saved.tensors.items():
            kind, name = full.split("|", 1)
            parts[kind][name] = tensor
        _fill(self.trainable, parts["weights"])
        self.best = {n: t.to(self.trainable[n].device) for n, t in parts["best"].items()}
        restore_optimizer(self.optimizer, self.trainable, parts["optimizer"])
        for name in _VALUES:
            setattr(self, name, saved.values[name])


def _fill(trainable: Mapping[str, nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            trainable[name].copy_(value)
