"""Every configuration trained with every seed, each once, by one process or several.

A finished run is a folder, whole or not there: a grid that was stopped goes on from what it finds.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from helpers.study import UNTRAINED, Study


@dataclass(frozen=True)
class Result:
    """What one training gives: ranks by query, numbers about the run, and further tidy frames.

    ``ranks`` has the columns of :func:`helpers.evaluation.ranking.rank_both_directions` and
    ``test``; ``info`` numbers such as ``seconds``; ``frames`` what is no rank, such as the losses
    by step.
    """

    ranks: pd.DataFrame
    info: Mapping[str, float | str]
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One training of a grid."""

    arm: str
    seed: int
    factors: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of its folder: the arm as far as a file name can hold it, a hash of it, the seed."""
        plain = "".join(c if c.isalnum() else "-" for c in self.arm)
        code = hashlib.sha256(self.arm.encode()).hexdigest()[:6]  # "+5" and "-5" are two arms
        return f"{plain}-{code}-{'base' if self.seed == UNTRAINED else self.seed}"

    def key(self, identity: str) -> str:
        """What the run depends on, as a hash."""
        text = json.dumps([identity, self.arm, dict(self.factors), self.seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_grid(
    train: Callable[..., Result], arms: Mapping[str, Mapping[str, Any]], *,
    seeds: Callable[[str], Sequence[int]], folder: Path, identity: str, progress: bool = True,
) -> Study:  # fmt: skip
    """Train every arm with every seed, each once, and join the results.

    ``train(seed=..., **factors)`` gives a :class:`Result`, with the factors of an arm; ``seeds``
    gives its seeds, ``UNTRAINED`` for one that is only evaluated. Each finished run is a folder
    below ``folder``, whole or not there; what is found is not trained again. Several processes may
    share it: a run that another one holds is left to it. ``identity`` is what the results depend on
    beside the factors: data, base weights, version of the code.
    """

    def ensure(run: Run, timeout: float = -1) -> None:
        with FileLock(folder / f"{run.name}.lock", timeout=timeout):
            if not _is_done(folder, run, identity):
                _write(folder, run, identity, train(seed=run.seed, **run.factors))

    folder.mkdir(parents=True, exist_ok=True)
    runs = list(_in_order(arms, seeds))
    todo = [run for run in runs if not _is_done(folder, run, identity)]
    for run in tqdm(todo, desc="runs", disable=not progress):
        with suppress(Timeout):  # another process trains it
            ensure(run, timeout=0)
    for run in runs:  # wait for what other processes still train
        ensure(run)
        (folder / f"{run.name}.lock").unlink(missing_ok=True)
    return join(folder, runs, identity)


def _in_order(arms: Mapping[str, Mapping], seeds: Callable[[str], Sequence[int]]) -> Iterator[Run]:
    """Seed by seed, so that a grid that was stopped holds all arms with some seeds."""
    for some in zip_longest(*map(seeds, arms)):
        for (arm, factors), seed in zip(arms.items(), some, strict=True):
            if seed is not None:
                yield Run(arm, seed, factors)


def _is_done(folder: Path, run: Run, identity: str) -> bool:
    place = folder / run.name / "info.json"
    return place.is_file() and json.loads(place.read_text())["key"] == run.key(identity)


def _write(folder: Path, run: Run, identity: str, result: Result) -> None:
    building, place = folder / f".{run.name}", folder / run.name
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    for name, frame in {"ranks": result.ranks, **result.frames}.items():
        frame.to_parquet(building / f"{name}.parquet", index=False, compression="zstd")
    finished = datetime.now(UTC).isoformat(timespec="minutes")
    info = {"key": run.key(identity), "finished": finished, **result.info}
    (building / "info.json").write_text(json.dumps(info, indent=1) + "\n")
    shutil.rmtree(place, ignore_errors=True)
    building.rename(place)


def join(folder: Path, runs: Sequence[Run], identity: str) -> Study:
    """The study of some finished runs; ``ValueError`` if one is of another training."""
    frames: dict[str, list[pd.DataFrame]] = {}
    rows = []
    for run in runs:
        info = json.loads((folder / run.name / "info.json").read_text())
        if info.pop("key") != run.key(identity):
            raise ValueError(
                f"{folder / run.name} holds another training than {run.arm!r} of this design: "
                "delete the folder and run the study again"
            )
        plain = {k: v for k, v in run.factors.items() if isinstance(v, str | int | float | bool)}
        rows.append({"arm": run.arm, "seed": run.seed, **plain, **info})
        for path in sorted((folder / run.name).glob("*.parquet")):
            frame = pd.read_parquet(path).assign(arm=run.arm, seed=run.seed)
            frames.setdefault(path.stem, []).append(frame)
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()}
    return Study(joined.pop("ranks"), pd.DataFrame(rows), joined)
