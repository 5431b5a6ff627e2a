"""Which choice mattered in a search: the share of the score's variance that each value explains.

Functional ANOVA over a random forest (Hutter et al. 2014) that is fitted to the finished trials.
From a few dozen trials, drawn where the sampler expected good scores, such shares are rough: they
are computed many times, on trials drawn with replacement and with another forest each time, and
shown with their spread. They speak of the space that was searched: a learning rate that ranges over
decades drowns what a rank from 8 to 16 does.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import optuna

FEWEST = 8  # complete trials
REPETITIONS = 20


def importance_of(
    trials: Sequence["optuna.trial.FrozenTrial"], *, seed: int, repetitions: int = REPETITIONS
) -> dict[str, list[float]]:
    """The shares of each repetition by the name of the value, the most important first.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        Only complete ones count: what was pruned has no final score.
    seed : int
        Of the resampling and of the forests.

    Returns
    -------
    dict
        Name to ``repetitions`` shares in [0, 1]; empty where fewer than ``FEWEST`` trials are
        complete or all their scores are equal.
    """
    import optuna

    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if len(complete) < FEWEST or len({trial.value for trial in complete}) == 1:
        return {}
    shares: dict[str, list[float]] = {}
    rng = np.random.default_rng(seed)
    while len(next(iter(shares.values()), [])) < repetitions:
        drawn = [complete[i] for i in rng.integers(len(complete), size=len(complete))]
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=int(rng.integers(2**31)))
        if len({trial.value for trial in drawn}) == 1:
            continue
        study = optuna.create_study(direction="maximize")
        study.add_trials(drawn)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        for name, share in found.items():
            shares.setdefault(name, []).append(float(share))
    return dict(sorted(shares.items(), key=lambda item: -float(np.median(item[1]))))
