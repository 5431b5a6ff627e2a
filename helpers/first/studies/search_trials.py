"""The trials of a search: one drawn, trained, scored epoch by epoch, and kept or pruned.

A trial's draw follows from the seed and the finished trials before it. A search that was killed
therefore draws the trial that was cut short once more, and goes on as if nothing had happened.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.data.pairs import Pairs
from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import adapt
from helpers.first.models.placement import PlacementError, count_parameters
from helpers.first.studies.search_space import SearchSpace, arm_of, suggested
from helpers.first.training.arm_run import SCALARS, validation_score
from helpers.first.training.arms import Arm, training_frame
from helpers.first.training.loop import TrainingDiverged, train
from helpers.first.training.pairs import TrainingPairs, prepare_pairs
from helpers.first.training.prefix_cache import prefix_encoder, prefix_towers, why_not
from helpers.first.training.settings import Training

if TYPE_CHECKING:
    import optuna

    Frozen = optuna.trial.FrozenTrial

STARTUP = 8  # trials drawn at random before the sampler learns from them


@dataclass(frozen=True)
class Trials:
    """What all trials of a search share."""

    pairs: Pairs
    encoder: Encoder
    space: SearchSpace
    training: Training
    seed: int

    @cached_property
    def ready(self) -> TrainingPairs:
        """The training pairs, prepared once."""
        frame = training_frame(self.pairs)
        return prepare_pairs(frame, self.encoder, self.pairs.image, progress=False)

    @cached_property
    def untrained(self) -> dict[str, float]:
        """The validation scores of the base, which are those of every trial before training."""
        return validation_score(self.pairs, self.encoder)()

    def run_next(self, study: "optuna.Study", done: Sequence["Frozen"]) -> None:
        """Draw a trial, train it, and tell the study what came of it.

        A trial with the values of a finished one gets its result and is not trained again.
        """
        import optuna

        draw = int(np.random.SeedSequence([self.seed, len(done)]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=draw, n_startup_trials=STARTUP)
        trial = study.ask()
        values = suggested(trial, self.space)
        began, score, reason = time.perf_counter(), None, ""
        if twin := next((one for one in done if one.params == trial.params), None):
            score = twin.value if is_complete(twin) else None
            reason = twin.user_attrs["reason"]
            for epoch, reached in twin.intermediate_values.items():
                trial.report(reached, epoch)
        else:
            try:
                score = self._trained(arm_of(values, self.space, self.training), trial)
            except optuna.TrialPruned as pruned:
                reason = str(pruned)
            except PlacementError:
                reason = "no layer is adapted"
            except TrainingDiverged as error:
                reason = f"training diverged at step {error.step}"
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("seconds", time.perf_counter() - began)
        state = optuna.trial.TrialState
        study.tell(trial, score, state=state.PRUNED if score is None else state.COMPLETE)

    def _trained(self, arm: Arm, trial: "optuna.Trial") -> float:
        """The best validation score over the epochs of an arm."""
        scalars = SCALARS[arm.training.loss]
        adapted = adapt(self.encoder, arm.placement, train_scalars=scalars, seed=arm.training.seed)
        counts = count_parameters(adapted.encoder.model)
        trial.set_user_attr("trainable_parameters", counts.trainable)
        if why_not(arm.placement, encoder=self.encoder) or arm.training.precision != "fp32":
            towers, quick = None, adapted.encoder
        else:
            towers = prefix_towers(adapted.encoder, self.ready, arm.placement, progress=False)
            quick = prefix_encoder(adapted.encoder, arm.placement)
        validate = self._reporting(trial, validation_score(self.pairs, quick))
        trained = train(
            adapted.encoder, self.ready, arm.training, towers=towers, validate=validate,
            progress=False,
        )  # fmt: skip
        return max(epoch["score"] for epoch in trained.epochs[1:])

    def _reporting(
        self, trial: "optuna.Trial", score: Callable[[], dict[str, float]]
    ) -> Callable[[], dict[str, float]]:
        """Validation for the loop that tells the pruner of each epoch, and obeys it."""
        import optuna

        calls = iter(range(self.training.epochs + 1))

        def validate() -> dict[str, float]:
            epoch = next(calls)
            if epoch == 0:
                return self.untrained
            found = score()
            trial.report(found["score"], epoch)
            if epoch < self.training.epochs and trial.should_prune():
                raise optuna.TrialPruned(f"behind the others after epoch {epoch}")
            return found

        return validate

    def kept(self, done: Sequence["Frozen"]) -> dict[str, Any]:
        """The trials and the best of them as JSON values.

        Raises
        ------
        ValueError
            If no trial was completed.
        """
        complete = [trial for trial in done if is_complete(trial)]
        if not complete:
            raise ValueError(
                f"none of the {len(done)} trials was completed: give the search more of them, or a "
                "space in which layers are adapted"
            )
        best = max(complete, key=lambda trial: (trial.value, -trial.number))
        arm = arm_of(best.params, self.space, self.training)
        return {
            "trials": [self._row(number, trial) for number, trial in enumerate(done)],
            "best": {"placement": asdict(arm.placement), "training": asdict(arm.training)},
            "untrained": self.untrained["score"],
        }

    def _row(self, number: int, trial: "Frozen") -> dict[str, Any]:
        reached = trial.intermediate_values
        return {
            "number": number,
            "state": trial.state.name.lower(),
            "score": max(reached.values(), default=None),
            "epochs": max(reached, default=0),
            "seconds": trial.user_attrs["seconds"],
            "reason": trial.user_attrs["reason"],
            "trainable_parameters": trial.user_attrs.get("trainable_parameters"),
            **trial.params,
        }


def is_complete(trial: "Frozen") -> bool:
    """Whether a trial was trained to its end; a pruned one has a value too, its last score."""
    return trial.state.name == "COMPLETE"


def finished(study: "optuna.Study") -> list["Frozen"]:
    """The complete and the pruned trials, in order; those that were cut short are left out."""
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
