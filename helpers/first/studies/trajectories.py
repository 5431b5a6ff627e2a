"""Paths of fixed pictures through training: does the gap between real and synthetic close?

The same pictures are embedded after every epoch and seen in one projection that was fitted once,
before training. A projection shows where they go; whether the two clouds come together is said by
numbers that are computed in all dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from helpers.first.evaluation.comparison import Comparison, paired_comparison
from helpers.first.models.encoders import Encoder
from helpers.first.studies.embedding_gap import embedding_gap
from helpers.first.studies.projections import Projection, project_pca
from helpers.first.studies.style_pictures import Sides
from helpers.first.studies.style_runs import StyleRun


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The probes after each of E epochs, before training first.

    Attributes
    ----------
    real, synthetic : (E, n, 2) float64
        In the projection that was fitted before training.
    twin_distances : (E, n) float64
        See :func:`twin_distances`.
    gaps : DataFrame
        A row an epoch: ``epoch`` and the fields of :class:`helpers.first.studies.embedding_gap.Gap`.
    """

    real: np.ndarray
    synthetic: np.ndarray
    twin_distances: np.ndarray
    gaps: pd.DataFrame


def fit_projection(base: Encoder, probes: Sides) -> Projection:
    """The plane that all paths are seen in: principal components of both looks, before training."""
    return project_pca(np.concatenate(_rows(base, probes)))


def twin_distances(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """How far each picture is from its twin, in units of the distance of two different real ones.

    0: the style leaves no trace; 1: a twin is no nearer than a picture of another recipe. Dividing
    by the root mean square distance of different real pictures keeps an embedding that shrinks as
    a whole from looking like a gap that closes.

    Parameters
    ----------
    real, synthetic : (n, d) float
        Row i of both shows one scene.

    Returns
    -------
    (n,) float64

    Examples
    --------
    >>> twin_distances(np.array([[0.0], [4.0]]), np.array([[1.0], [4.0]])).tolist()
    [0.25, 0.0]
    """
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    if real.shape != synthetic.shape or len(real) < 2:
        raise ValueError(
            f"real has shape {real.shape}, synthetic {synthetic.shape}: give two pairs of twins or "
            "more, row by row"
        )
    # The mean over all ordered pairs of different rows: 2 n / (n - 1) times the mean square.
    spread = 2 * ((real - real.mean(axis=0)) ** 2).sum(axis=1).sum() / (len(real) - 1)
    if spread <= 0:
        raise ValueError("all real rows are the same: there is no distance to compare with")
    return np.linalg.norm(real - synthetic, axis=1) / np.sqrt(spread)


def walk(
    run: StyleRun,
    base: Encoder,
    probes: Sides,
    projection: Projection,
    *,
    n_permutations: int = 200,
    seed: int = 42,
) -> Trajectory:
    """Embed the probes after every epoch of a run.

    Parameters
    ----------
    probes : Sides
        Twins that no arm is trained on: see :func:`helpers.first.studies.style_pictures.world_sides`.
    projection : Projection
        As :func:`fit_projection` gives it: one for all runs that are compared.

    Examples
    --------
    >>> path = walk(run, base, probes, fit_projection(base, probes))  # doctest: +SKIP
    """
    if not probes.paired:
        raise ValueError(f"the probes of {probes.data} are no twins: give pictures in both looks")
    epochs = range(len(run.weights))
    rows = [_rows(run.encoder(base, epoch=epoch), probes) for epoch in epochs]
    gaps = [
        embedding_gap(
            real, synthetic, groups_a=probes.groups_real,
            groups_b=probes.groups_synthetic, seed=seed, n_permutations=n_permutations,
        )
        for real, synthetic in rows
    ]  # fmt: skip
    return Trajectory(
        np.stack([projection.apply(real) for real, _ in rows]),
        np.stack([projection.apply(synthetic) for _, synthetic in rows]),
        np.stack([twin_distances(*both) for both in rows]),
        pd.DataFrame([{"epoch": n, **asdict(gap)} for n, gap in enumerate(gaps)]),
    )


def gap_frame(paths: Mapping[str, Sequence[Trajectory]]) -> pd.DataFrame:
    """The gap of every arm, seed and epoch, in one frame.

    Returns
    -------
    DataFrame
        ``arm, run`` (0, 1, ... by seed), ``epoch``, the fields of a gap, ``twin_distance`` (mean).
    """
    parts = [
        path.gaps.assign(arm=arm, run=run, twin_distance=path.twin_distances.mean(axis=1))
        for arm, done in paths.items()
        for run, path in enumerate(done)
    ]
    return pd.concat(parts, ignore_index=True)


def closing(
    done: Sequence[Trajectory], groups: Sequence[str], *, seed: int = 42, **settings
) -> Comparison:
    """The twins' distances after training less those before, scene by scene, mean over the seeds.

    Below 0 the gap closes. Distances are lower where it is better: verdict "better" means closed.
    """
    before, after = (
        np.mean([path.twin_distances[epoch] for path in done], axis=0) for epoch in (0, -1)
    )
    return paired_comparison(after, before, groups, higher_is_better=False, seed=seed, **settings)


def _rows(encoder: Encoder, probes: Sides) -> tuple[np.ndarray, np.ndarray]:
    """Both looks embedded: (n, d) and (n, d) float32, unit rows."""
    return encoder.images(probes.real), encoder.images(probes.synthetic)
