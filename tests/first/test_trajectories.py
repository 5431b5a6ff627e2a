"""Paths of fixed pictures: distances of twins by hand, and walks whose weights are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.first.studies import trajectories
from helpers.first.studies.style_pictures import Sides

RNG = np.random.default_rng(4)
ROWS = RNG.normal(size=(12, 5))
LABELS = tuple(f"r{i}" for i in range(12))


class Mock:
    """Embeds picture i as row i of ``rows``, synthetic ones shifted by ``gap``, all scaled."""

    def __init__(self, gap: float, scale: float = 1.0):
        self.gap, self.scale = gap, scale

    def images(self, pictures):
        shift = np.array([1.0, 0, 0, 0, 0]) * self.gap
        return np.stack([(ROWS[i] + shift * (look == "s")) * self.scale for look, i in pictures])


def probes(*, paired: bool = True) -> Sides:
    looks = [tuple((look, i) for i in range(12)) for look in "rs"]
    return Sides("mock", *looks, LABELS, LABELS, paired, 8)


def run_of(*encoders: Mock):
    return SimpleNamespace(
        weights=encoders, encoder=lambda base, epoch: base if epoch == 0 else encoders[epoch]
    )


def test_twin_distances_agree_with_all_pairs():
    other = ROWS + RNG.normal(size=ROWS.shape)
    squares = [((a - b) ** 2).sum() for i, a in enumerate(ROWS) for b in np.delete(ROWS, i, axis=0)]
    want = np.linalg.norm(ROWS - other, axis=1) / np.sqrt(np.mean(squares))
    assert trajectories.twin_distances(ROWS, other) == pytest.approx(want)


@settings(max_examples=30, deadline=None)
@given(
    arrays(float, (5, 3), elements=st.floats(-5, 5).map(lambda v: round(v, 2))),
    st.floats(0.1, 10),
)
def test_an_embedding_that_shrinks_as_a_whole_closes_nothing(rows, scale):
    if np.ptp(rows, axis=0).max() < 0.1:
        return
    other = rows[::-1] + 1.0
    before, after = (trajectories.twin_distances(k * rows, k * other) for k in (1.0, scale))
    assert after == pytest.approx(before)


def test_rows_that_are_no_twins_are_refused():
    with pytest.raises(ValueError, match="two pairs of twins"):
        trajectories.twin_distances(ROWS, ROWS[:-1])
    with pytest.raises(ValueError, match="no distance to compare"):
        trajectories.twin_distances(np.ones((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="no twins"):
        trajectories.walk(run_of(Mock(1)), Mock(1), probes(paired=False), None)


def walked(*gaps: float, scale: float = 1.0):
    base = Mock(gaps[0])
    plane = trajectories.fit_projection(base, probes())
    encoders = [Mock(gap, scale) for gap in gaps]
    return trajectories.walk(run_of(*encoders), base, probes(), plane, n_permutations=20)


def test_a_path_is_seen_in_the_projection_from_before_training():
    path = walked(2.0, 1.0, 0.0)
    plane = trajectories.fit_projection(Mock(2.0), probes())
    assert path.real.shape == path.synthetic.shape == (3, 12, 2)
    for epoch, gap in enumerate((2.0, 1.0, 0.0)):
        rows = Mock(gap).images(probes().synthetic)
        assert path.synthetic[epoch] == pytest.approx(plane.apply(rows))
        assert path.real[epoch] == pytest.approx(plane.apply(ROWS))
    assert path.gaps["epoch"].tolist() == [0, 1, 2]
    assert path.gaps["centroid_ratio"].is_monotonic_decreasing
    assert path.twin_distances[-1] == pytest.approx(np.zeros(12))


def test_closing_says_which_way_the_twins_went():
    closer, apart = walked(2.0, 0.5), walked(0.5, 2.0)
    assert trajectories.closing([closer, closer], LABELS).verdict == "better"
    assert trajectories.closing([closer], LABELS).difference < 0
    assert trajectories.closing([apart], LABELS).verdict == "worse"
    assert trajectories.closing([walked(1.0, 1.0)], LABELS).verdict == "not distinguishable"
    assert trajectories.closing([walked(1.0, 1.0, scale=0.2)], LABELS).difference == pytest.approx(
        0
    )


def test_the_frame_holds_every_arm_run_and_epoch():
    frame = trajectories.gap_frame(
        {"real": [walked(1.0, 0.5)] * 2, "other": [walked(1.0, 2.0)] * 2}
    )
    assert len(frame) == 2 * 2 * 2
    assert set(frame["arm"]) == {"real", "other"}
    first = frame[(frame.arm == "real") & (frame.run == 1) & (frame.epoch == 1)].iloc[0]
    assert first["twin_distance"] == pytest.approx(walked(1.0, 0.5).twin_distances[1].mean())
