"""A search beyond the grid: placements drawn by Optuna, chosen on the validation recipes alone.

A trial adapts the base, trains it and reports its validation score after each epoch; a trial that
lags behind is pruned. The next one is drawn by the tree-structured Parzen estimator (Bergstra et
al. 2011) from what is finished. The test recipes are never read: run the winner over seeds with
:func:`helpers.first.studies.arms.run_arms`, once, and compare it with the row of the grid that is best on
*validation*. ::

    space = SearchSpace(learning_rate=rates_around([0.003]))
    search = search_placements(pairs, base, space, training=training, n_trials=30)
    runs = run_arms(pairs, base, {"search": search.best}, seeds=seeds)

The winner's validation score is the best of many noisy ones, hence too high (that is why the test
set waits), and it is one seed's. The budget is a number of trials: one in minutes would make the
result depend on the machine.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from helpers import paths
from helpers.course.code import Modules
from helpers.data.pairs import Pairs
from helpers.first.models.encoders import Encoder
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.placement import Placement
from helpers.first.studies.search_importance import importance_of
from helpers.first.studies.search_space import SearchSpace, rates_around, within
from helpers.first.studies.search_trials import Trials, finished
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training
from helpers.repro import hash_of
from helpers.store.artefacts import Manifest, Writer, code_of, ensure, held

if TYPE_CHECKING:
    import optuna

__all__ = ["Search", "SearchSpace", "rates_around", "search_placements"]

PRUNERS = ("median", "asha", "none")
PACKAGES = ("evaluation", "models", "prepare", "training", "studies")
CODE = (
    "helpers.data.images",
    "helpers.data.pairs",
    *Modules().named("helpers.first.studies.search", packages=PACKAGES),
)


@dataclass(frozen=True)
class Search:
    """A finished search.

    Attributes
    ----------
    id : str
    trials : DataFrame
        A row a trial, in order: ``number, state`` (``complete`` or ``pruned``), ``score`` (of the
        best epoch, of a pruned trial up to there; NaN where it was not trained), ``epochs``,
        ``seconds``, ``reason`` (why it was pruned), ``trainable_parameters``, and the values of the
        space.
    best : Arm
        Of the complete trial with the best validation score; of equal ones the first.
    importance : dict
        Value of the space to its share of the variance of the score: one number for each repetition
        (see :func:`helpers.first.studies.search_importance.importance_of`); empty after few trials.
    untrained : float
        The validation score of the base.
    manifest : Manifest
    """

    id: str
    trials: pd.DataFrame
    best: Arm
    importance: dict[str, tuple[float, ...]]
    untrained: float
    manifest: Manifest

    @property
    def pruned(self) -> int:
        """How many trials were ended before their last epoch."""
        return int((self.trials["state"] == "pruned").sum())

    @property
    def seconds(self) -> float:
        """Of all trials, those before an interruption included."""
        return float(self.trials["seconds"].sum())

    @property
    def best_score(self) -> float:
        """The validation score of the best trial: the mean of hit@10 both ways."""
        return float(self.trials.loc[self.trials["state"] == "complete", "score"].max())


def search_placements(
    pairs: Pairs,
    encoder: Encoder,
    space: SearchSpace,
    *,
    training: Training,
    n_trials: int,
    seed: int = 42,
    pruner: str = "median",
    progress: bool = True,
) -> Search:
    """Search a space of placements and learning rates within a budget.

    What is done already is read from the zone. An interrupted search goes on from its finished
    trials, and so does one with more of them; the one trial that was cut short is trained again.

    Parameters
    ----------
    pairs : Pairs
        Trained on ``train``, scored on ``validation``; ``test`` is not touched.
    encoder : Encoder
        The base, in fp32.
    space : SearchSpace
    training : Training
        Of each trial, but for the learning rate; all trials share its seed.
    n_trials : int
    seed : int
        Of the sampler.
    pruner : str
        ``median``: prune below the median of earlier trials at the same epoch, after five of them;
        ``asha``: successive halving (Li et al. 2020) by epochs; ``none``.
    progress : bool

    Raises
    ------
    ValueError
        If there is no trial, the pruner is unknown, or no trial was completed.
    PlacementError
        If the model has fewer layers than the space asks for.

    Examples
    --------
    >>> search_placements(pairs, base, space, training=t, n_trials=5).best  # doctest: +SKIP
    """
    if n_trials < 1:
        raise ValueError(f"n_trials is {n_trials}: a search takes 1 or more")
    if pruner not in PRUNERS:
        raise ValueError(f"pruner {pruner!r} is unknown: use one of {', '.join(PRUNERS)}")
    space = within(space, encoder)
    parameters = {"model": encoder.name, "space": asdict(space), "training": asdict(training),
                  "seed": seed, "pruner": pruner}  # fmt: skip
    inputs = {"pairs": pairs.manifest.fingerprint, "model": encoder.fingerprint}
    code = code_of(*CODE)
    whole = parameters | {"n_trials": n_trials}
    search_id = hash_of([whole, inputs])
    key = f"{EXPERIMENTS}/placement_search/{search_id}.json"
    journal = f"{hash_of([str(pairs.zone.root), parameters, inputs, code])}.jsonl"

    def build(writer: Writer) -> None:
        run = _Run(pairs, encoder, space, training, n_trials, seed, pruner, progress)
        found = run.result(paths.cache() / "search" / journal)
        writer.write_text(key, json.dumps(found, indent=1, allow_nan=False) + "\n")

    manifest = ensure(
        pairs.zone, f"placement-search-{search_id}", kind="placement search",
        parameters=whole, inputs=inputs, build=build, prefixes=(key,), code=code,
    )  # fmt: skip
    found = json.loads(pairs.zone.read_text(key))
    arm = Arm(Placement(**found["best"]["placement"]), Training(**found["best"]["training"]))
    trials = pd.DataFrame(found["trials"])
    trials["score"] = trials["score"].astype(float)  # NaN where nothing was trained
    importance = {name: tuple(values) for name, values in found["importance"].items()}
    return Search(search_id, trials, arm, importance, found["untrained"], manifest)


@dataclass(frozen=True)
class _Run:
    pairs: Pairs
    encoder: Encoder
    space: SearchSpace
    training: Training
    n_trials: int
    seed: int
    pruner: str
    progress: bool

    def result(self, journal: Path) -> dict[str, Any]:
        """Search, or go on searching, in a file of the cache; what is to be kept."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports every trial otherwise
        journal.parent.mkdir(parents=True, exist_ok=True)
        with held(journal.with_suffix(".lock"), what="searching placements"):
            return self._searched(self._study(journal))

    def _study(self, journal: Path) -> "optuna.Study":
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        # The default lock is a symbolic link, which Windows gives to administrators alone.
        backend = JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal)))
        pruners = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
            "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(1, 2),
            "none": optuna.pruners.NopPruner,
        }
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="placements", direction="maximize", load_if_exists=True,
            pruner=pruners[self.pruner](),
        )  # fmt: skip
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # cut short
        return study

    def _searched(self, study: "optuna.Study") -> dict[str, Any]:
        trials = Trials(self.pairs, self.encoder, self.space, self.training, self.seed)
        bar = tqdm(total=self.n_trials, desc="search", unit="trial",
                   disable=not self.progress)  # fmt: skip
        with bar:
            while len(done := finished(study)[: self.n_trials]) < self.n_trials:
                bar.update(len(done) - bar.n)
                trials.run_next(study, done)
            bar.update(len(done) - bar.n)
        return trials.kept(done) | {"importance": importance_of(done, seed=self.seed)}
