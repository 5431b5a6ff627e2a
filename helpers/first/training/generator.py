"""Training of the generator on annotated triplets: each gives a forward and a reverse text.

Reference and target in this order are to give the modification, in the other order the way back.
Image encoder and language model do not change by a bit, and that is checked at the end.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from helpers.first.models.generator import TRAINED, Generator, GeneratorError, only_trained
from helpers.first.training.checkpoint import (
    optimizer_tensors,
    read_state,
    restore_optimizer,
    write_state,
)
from helpers.repro import hash_of


@dataclass(frozen=True)
class GeneratorTraining:
    """How a generator is trained.

    Attributes
    ----------
    steps, batch_size : int
    learning_rate : float
        Linear warm-up, then a cosine.
    warmup : int
        Steps.
    weight_decay : float
    seed : int
    """

    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 20
    weight_decay: float = 0.05
    seed: int = 42

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size) < 1 or not 0 < self.learning_rate < 1:
            raise ValueError(
                f"{self.steps} steps of {self.batch_size} at learning rate {self.learning_rate}: "
                "give at least one step of one pair, and a rate between 0 and 1"
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True)
class Written:
    """Pairs of pictures with the text that leads from one to the other.

    Attributes
    ----------
    seen : (n, tokens, width) float32
        The frozen encoder's tokens of all pictures.
    pairs : (m, 2) int64
        Rows of reference and target.
    texts : tuple of str
    """

    seen: np.ndarray
    pairs: np.ndarray
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.pairs) != len(self.texts) or not self.texts:
            raise ValueError(
                f"{len(self.pairs)} pairs of pictures and {len(self.texts)} texts: give one each"
            )

    def tokens(self, rows: np.ndarray, generator: Generator) -> list[torch.Tensor]:
        """The tokens of references and of targets of some pairs, (b, tokens, width) each."""
        kind = {"device": generator.device, "dtype": generator.model.query_tokens.dtype}
        return [
            torch.from_numpy(np.ascontiguousarray(self.seen[self.pairs[rows, side]])).to(**kind)
            for side in (0, 1)
        ]


def train_generator(
    generator: Generator,
    data: Written,
    settings: GeneratorTraining,
    *,
    state: Path | None = None,
    state_every: int = 50,
    progress: bool = True,
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Train Q-Former, query tokens and projection, in place; returns their weights and the log.

    Parameters
    ----------
    state : Path, optional
        Where the run is saved every ``state_every`` steps; it goes on from there after a kill and
        ends with the same weights.

    Raises
    ------
    GeneratorError
        If a frozen weight has changed, or a loss is not finite.
    StateError
        If the state is that of another run.
    """
    model, s = generator.model, settings
    trained = only_trained(model)
    before = frozen_hash(generator)
    decayed = [p for p in trained.values() if p.ndim > 1]
    others = [p for p in trained.values() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": s.weight_decay},
         {"params": others, "weight_decay": 0.0}],
        s.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    identity = _identity(generator, data, s) if state is not None else ""
    log = _resume(state, identity, trained, optimizer)
    began = time.perf_counter()
    for step in tqdm(
        range(len(log), s.steps), desc="training the generator", unit="step", disable=not progress
    ):
        rows = np.random.default_rng([s.seed, step]).integers(0, len(data.texts), s.batch_size)
        for group in optimizer.param_groups:
            group["lr"] = s.rate(step)
        optimizer.zero_grad()
        loss = generator.loss(*data.tokens(rows, generator), [data.texts[i] for i in rows])
        if not math.isfinite(loss.item()):
            raise GeneratorError(f"the loss of step {step} is {loss.item()}: lower learning_rate")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        log.append({"step": step, "loss": loss.item(), "seconds": time.perf_counter() - began})
        if state is not None and (step + 1) % state_every == 0:
            _save(state, identity, trained, optimizer, log)
    if frozen_hash(generator) != before:
        raise GeneratorError(
            f"frozen weights of {generator.name} changed in training: image encoder and language "
            "model are to stay as they were loaded"
        )
    model.requires_grad_(False)
    return {name: p.detach().clone() for name, p in trained.items()}, log


@torch.inference_mode()
def text_loss(generator: Generator, data: Written, *, batch_size: int = 64) -> float:
    """The mean loss of some texts under a generator, each text with the same weight a token."""
    total, tokens = 0.0, 0
    for start in range(0, len(data.texts), batch_size):
        rows = np.arange(start, min(start + batch_size, len(data.texts)))
        texts = [data.texts[i] for i in rows]
        n = int(generator.text_ids(texts)[1].sum())
        total += n * generator.loss(*data.tokens(rows, generator), texts).item()
        tokens += n
    return total / tokens


def frozen_hash(generator: Generator) -> str:
    """A hash of what must not change: all weights outside Q-Former, queries and projection."""
    digest = hashlib.sha256()
    for name, p in generator.model.named_parameters():
        if not name.startswith(TRAINED):
            raw = p.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(name.encode() + memoryview(raw.numpy()))
    return digest.hexdigest()[:16]


def _identity(generator: Generator, data: Written, s: GeneratorTraining) -> str:
    seen = hashlib.sha256(np.ascontiguousarray(data.seen)).hexdigest()
    known = [generator.fingerprint, generator.instruction, seen, data.pairs.tolist(), data.texts]
    return hash_of([asdict(s), *known])


def _resume(
    state: Path | None,
    identity: str,
    trained: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> list[dict[str, float]]:
    saved = read_state(state, identity=identity) if state is not None else None
    if saved is None:
        return []
    moments = {}
    with torch.no_grad():
        for full, tensor in saved.tensors.items():
            kind, name = full.split("|", 1)
            if kind == "weights":
                trained[name].copy_(tensor)
            else:
                moments[name] = tensor
    restore_optimizer(optimizer, trained, moments)
    return list(saved.values["log"])


def _save(
    state: Path,
    identity: str,
    trained: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    log: Sequence[dict[str, float]],
) -> None:
    names = {p: name for name, p in trained.items()}
    tensors = {f"weights|{name}": p for name, p in trained.items()}
    write_state(
        state,
        {**tensors, **optimizer_tensors(optimizer, names)},
        {"identity": identity, "log": list(log)},
    )
