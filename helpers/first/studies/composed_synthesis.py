"""Pretraining on written triplets, for every model alike: amounts, sources of text, two hops.

With and without pretraining a model takes the same number of optimizer steps: what is pretrained
has fewer left for the annotated triplets. The look that is kept is chosen on validation either way,
and so is the learning rate of models on features; a Q-Former takes the one that it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from helpers.first.evaluation.collapse import LEAST_SHARE
from helpers.first.models.blip2 import Blip2
from helpers.first.models.composed import TRAINED
from helpers.first.studies.composed import ComposedStudy, Found, hits, run_model
from helpers.first.studies.composed_texts import Written
from helpers.first.studies.signatures import failure_signatures, harmful_pretraining
from helpers.first.training.composed_qformer import (
    QformerArm,
    QformerTraining,
    build_composer,
    joint_tokens,
)
from helpers.first.training.composed_qformer_runs import QformerRun, ensure_qformer_run
from helpers.first.training.image_states import ImageStates
from helpers.first.training.qformer_settings import P2P_WEIGHT
from helpers.topics.cir.triplets import Triplet, TripletSet

SINGLE, TWO = "SPRC", "two-hop"
QFORMERS = {SINGLE: 1, TWO: 2}
KNOWN = (*TRAINED, *QFORMERS)


@dataclass(frozen=True)
class Lab:
    """All that runs of both kinds share.

    Attributes
    ----------
    study : ComposedStudy
        Of the models on features; zone and seeds count for all.
    blip2 : Blip2
    states : ImageStates
        Of every picture.
    tests : mapping of TripletSet
        By the names of ``study.tests``.
    pretraining_steps : int
        Of ``study.steps``.
    qformer : QformerTraining
        All steps of a Q-Former.
    qformer_pretraining_steps : int
        Of them.
    """

    study: ComposedStudy
    blip2: Blip2
    states: ImageStates
    tests: Mapping[str, TripletSet]
    pretraining_steps: int
    qformer: QformerTraining
    qformer_pretraining_steps: int

    def __post_init__(self) -> None:
        for part, whole in (
            (self.pretraining_steps, self.study.steps),
            (self.qformer_pretraining_steps, self.qformer.steps),
        ):
            if not 0 < part < whole:
                raise ValueError(
                    f"{part} steps of pretraining out of {whole}: leave some for the annotated "
                    "triplets, and give pretraining some"
                )


def run_any(
    lab: Lab,
    name: str,
    *,
    n_triplets: int = 0,
    synthetic: Written | None = None,
) -> Sequence[Found]:
    """Runs of a model over the seeds, from fresh weights or after pretraining.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    if n_triplets >= len(lab.study.train.triplets.triplets):
        n_triplets = 0  # all of them: one run, by whichever name
    if name in QFORMERS:
        hops = QFORMERS[name]
        pull = P2P_WEIGHT if hops == 2 else 0.0
        return run_qformer(lab, hops, n_triplets=n_triplets, synthetic=synthetic, p2p_weight=pull)
    if name not in TRAINED:
        raise ValueError(f"unknown model {name!r}: use some of {', '.join(KNOWN)}")
    if synthetic is None:
        return run_model(lab.study, name, n_triplets=n_triplets)
    left = replace(lab.study, steps=lab.study.steps - lab.pretraining_steps)
    return run_model(
        left, name, n_triplets=n_triplets, synthetic=synthetic.features,
        pretraining_steps=lab.pretraining_steps,
    )  # fmt: skip


def run_qformer(
    lab: Lab,
    hops: int,
    *,
    n_triplets: int = 0,
    synthetic: Written | None = None,
    seeds: Sequence[int] = (),
    **options: Any,
) -> list[QformerRun]:
    """Runs of a Q-Former with one hop or two; all keep their weights, to be looked into.

    Parameters
    ----------
    seeds : sequence of int
        Default: all of the study.
    **options
        Of ``QformerArm``: ``p2p_weight``, ``t2t_weight``, ``detach``, ``pooling``.
    """
    validation = lab.study.validation.triplets
    found = []
    for seed in seeds or lab.study.seeds:
        training, start = replace(lab.qformer, seed=seed), None
        if synthetic is not None:
            first = replace(training, steps=lab.qformer_pretraining_steps)
            start = ensure_qformer_run(
                lab.study.zone, lab.blip2, QformerArm(hops, training=first, **options),
                train=synthetic.triplets, validation=validation, tests={}, states=lab.states,
                keep_weights=True,
            )  # fmt: skip
            training = replace(training, steps=training.steps - lab.qformer_pretraining_steps)
        arm = QformerArm(hops, training=training, n_triplets=n_triplets, **options)
        found.append(
            ensure_qformer_run(
                lab.study.zone, lab.blip2, arm, train=lab.study.train.triplets.triplets,
                validation=validation, tests=lab.tests, states=lab.states, start=start,
                keep_weights=True,
            )
        )  # fmt: skip
    return found


def taught_by(lab: Lab, triplets: Sequence[Triplet]) -> Lab:
    """The same with other training triplets in the place of those of the same ids.

    For the way back that annotators left out; queries and targets have to be the same.
    """
    known = lab.study.train
    if [one.pair_id for one in triplets] != [one.pair_id for one in known.triplets.triplets]:
        raise ValueError("taught_by: give the training triplets themselves, in their order")
    taught = replace(known, triplets=replace(known.triplets, triplets=tuple(triplets)))
    return replace(lab, study=replace(lab.study, train=taught))


def shares_of(text: str, n: int) -> dict[str, int]:
    """Shares of the annotated triplets in percent, and how many that are, at least two.

    Raises
    ------
    ValueError
        If a share is not above 0 and at most 100.

    >>> shares_of("1,10,100", 600)
    {'1 %': 6, '10 %': 60, '100 %': 600}
    """
    found = {}
    for part in text.split(","):
        share = float(part)
        if not 0 < share <= 100:
            raise ValueError(f"{share:g} % of the annotated triplets: give above 0, at most 100")
        found[f"{share:g} %"] = max(2, round(n * share / 100))
    return found


def pretraining_grid(
    lab: Lab, models: Sequence[str], shares: Mapping[str, int], synthetic: Written
) -> dict[tuple[str, str], dict[str, Sequence[Found]]]:
    """(model, share) to ``none`` and ``pretrained``, each its runs."""
    return {
        (name, share): {
            "none": run_any(lab, name, n_triplets=n),
            "pretrained": run_any(lab, name, n_triplets=n, synthetic=synthetic),
        }
        for name in models
        for share, n in shares.items()
    }


def spread_lines(runs: Mapping[str, Sequence[QformerRun]]) -> dict[str, list[tuple[int, float]]]:
    """Arm to (step, share that differs between the queries of a batch), of its first seed."""
    return {
        name: [(step["step"] + 1, step["spread"]) for step in done[0].record["steps"]]
        for name, done in runs.items()
    }


def look_lines(runs: Mapping[str, Sequence[QformerRun]]) -> dict[str, list[tuple[int, float]]]:
    """Arm to (step, validation's hit@10), of its first seed."""
    return {
        name: [(look["step"], look["score"]) for look in done[0].record["looks"]]
        for name, done in runs.items()
    }


def collapse_limit(runs: Mapping[str, Sequence[QformerRun]]) -> float:
    """The share below which the queries of any of the arms have collapsed; all begin alike."""
    starts = [done[0].spread("first").variance for done in runs.values()]
    return LEAST_SHARE * min(starts)


def signatures(
    lab: Lab,
    grid: Mapping[tuple[str, str], Mapping[str, Sequence[Found]]],
    hopped: Mapping[str, Sequence[QformerRun]],
    texts: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Every signature of failure that can be looked for, by name: a row a look.

    Parameters
    ----------
    grid : mapping
        Of :func:`pretraining_grid`.
    hopped : mapping of arm to runs
        The weights of their last seed's best look are looked into: what was kept. A collapse that
        validation refused is no signature of them; ``says`` tells of the last look too.
    texts : mapping of writer to frame
        Of ``audit_texts``; without a known truth nothing is said of hallucination.
    """
    test, rows = lab.study.tests["test"], []
    for writer, audit in texts.items():
        found = failure_signatures(
            texts=list(audit["text"]), hallucinated=audit.get("hallucinated")
        )
        rows += [(f"texts: {writer}", one) for one in found]
    for name, runs in hopped.items():
        before, after = (
            joint_tokens(model, lab.blip2, test.triplets.triplets, lab.states)
            for model in (build_composer(lab.blip2, runs[-1].arm), runs[-1].composer(lab.blip2))
        )
        found = failure_signatures(embeddings=after, embeddings_before=before)
        rows += [(name, replace(one, says=f"{one.says}; {_kept(runs[-1])}")) for one in found]
    looks = {
        f"{model}, {share}": (hits(ways["pretrained"]), hits(ways["none"]))
        for (model, share), ways in grid.items()
    }
    rows += harmful_pretraining(looks, test.groups).items()
    return pd.DataFrame(
        [
            {"of": what, "signature": one.name, "found": one.found, "says": one.says}
            for what, one in rows
        ]
    )


def _kept(run: QformerRun) -> str:
    """Which weights were kept, and what had become of the queries at the last look."""
    record = run.record
    end = "collapsed" if record["collapse"]["collapsed"] else "not collapsed"
    last = record["looks"][-1]["step"]
    return f"kept: step {record['best_step']} of {last}; at the last step: {end}"
