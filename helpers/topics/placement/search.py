"""A search beyond the table: placements and rates drawn by Optuna, chosen on validation alone.

The budget is a number of trials, so that the result does not depend on the machine. Each trial
draws from a generator of its own number: a search that was stopped goes on as if nothing had been.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from filelock import FileLock
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from helpers import paths
from helpers.models.encoder import Encoder
from helpers.repro import hash_of, library_versions
from helpers.store.artefacts import code_of
from helpers.topics.placement.rows import LETTERS, Row, row_of

MODULES = ("qv", "qkvo", "qkvof1f2")
STARTUP = 5  # trials that are drawn at random, and that no trial is stopped below


def rate_range(text: str) -> tuple[float, float]:
    """The lowest and the highest learning rate of a search: two numbers with a comma.

    >>> rate_range("0.0005, 0.02")
    (0.0005, 0.02)
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not 0 < low < high:
        raise ValueError(
            f"search_rates is {text!r}: give the lowest and the highest learning rate, such as "
            "0.0005,0.02"
        )
    return low, high


def suggest(trial: Trial, base: Encoder, rates: tuple[float, float]) -> tuple[Row, float]:
    """A row and a learning rate of the whole space, as the sampler draws them.

    Raises ``optuna.TrialPruned`` where no layer of either tower would be adapted.
    """
    depth = {
        tower: getattr(base.model.config, f"{tower}_config").num_hidden_layers
        for tower in ("vision", "text")
    }
    values = {
        "rank": trial.suggest_int("rank", 2, 32, log=True),
        "scale": trial.suggest_float("alpha / rank", 0.5, 4.0, log=True),
        "vision_layers": trial.suggest_int("vision_layers", 0, depth["vision"]),
        "text_layers": trial.suggest_int("text_layers", 0, depth["text"]),
        "heads": trial.suggest_categorical("heads", (False, True)),
        "modules": trial.suggest_categorical("modules", MODULES),
    }
    rate = trial.suggest_float("learning_rate", *rates, log=True)
    if values["vision_layers"] == values["text_layers"] == 0:
        trial.set_user_attr("reason", "no layer is adapted")
        raise optuna.TrialPruned
    letters, scale = values.pop("modules"), values.pop("scale")
    names = ",".join(name for name, letter in LETTERS.items() if letter in letters)
    row = row_of(**values, modules=names, alpha=float(f"{values['rank'] * scale:.3g}"))
    trial.set_user_attr("row", row.name)
    return row, rate


def run(
    objective: Callable[[Trial], float], *, n_trials: int, seed: int, journal: Path
) -> optuna.Study:
    """Run trials until there are ``n_trials``; those in ``journal`` are not run again.

    ``objective`` gives the score on validation, of which more is better, or raises
    ``optuna.TrialPruned``. One process at a time searches in a journal.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    # The default lock is a symbolic link, which Windows gives to administrators alone.
    backend = JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal)))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    with FileLock(journal.with_suffix(".lock")), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=JournalStorage(backend), study_name="placements", direction="maximize",
            load_if_exists=True, pruner=pruner,
        )  # fmt: skip
        for cut_short in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(cut_short.number, state=TrialState.FAIL)
        while (done := len(finished(study))) < n_trials:
            study.sampler = optuna.samplers.TPESampler(seed=seed + done, n_startup_trials=STARTUP)
            study.optimize(objective, n_trials=1)
    return study


def journal_of(*parts: Any) -> Path:
    """Where the trials of a search are kept: a file of the cache for all that decides them."""
    code = code_of("helpers.topics.placement.rows", "helpers.topics.placement.training", __name__)
    return paths.cache() / "search" / f"{hash_of([*parts, code, library_versions()])}.jsonl"


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that came to an end, pruned ones included; one that was cut short is run again."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def trials_of(study: optuna.Study, n_trials: int | None = None) -> pd.DataFrame:
    """A row a trial: ``number``, ``state``, ``row``, ``score`` (NaN if it was pruned), values."""
    rows = [
        {"number": i, "state": one.state.name.lower(), "row": one.user_attrs.get("row", ""),
         "score": np.nan if one.value is None else one.value, **one.params}
        for i, one in enumerate(finished(study)[:n_trials])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def winner(trials: pd.DataFrame) -> tuple[str, float]:
    """The row and the learning rate of the complete trial that validates best.

    Raises ``ValueError`` if no trial came to its end.
    """
    scores = trials["score"].dropna()
    if scores.empty:
        raise ValueError(f"none of {len(trials)} trials was trained to its end: give more trials")
    best = trials.loc[scores.idxmax()]
    return str(best["row"]), float(best["learning_rate"])
