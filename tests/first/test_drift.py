"""Signals by hand and by naive oracles, thresholds by their promise, planted changes named."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.studies.drift import (
    ADVICE,
    CAUSES,
    Monitor,
    cause_of,
    choose_thresholds,
    conspicuous,
    heights_of,
    recent_steps,
    verdict,
    watch,
)
from helpers.first.studies.drift_signals import (
    SIGNALS,
    density_ratio,
    evening_axes,
    far_excess,
    group_excess,
    know,
    kth_distance,
    mmd_shift,
    neighbor_shift,
    same_side_share,
)
from helpers.first.studies.drift_streams import (
    SCENARIOS,
    Guise,
    Pools,
    Shape,
    drift_pools,
    out_of_order,
    stream,
)
from helpers.first.studies.drift_study import ANY, drift_table, run_study
from tests.first.small_training import small_encoder

SHAPE = Shape(reference=120, n_steps=8, starts=3, per_step=20, queries=10, slope=0.1, most=0.4,
              broken=0.3)  # fmt: skip
FAST = Monitor(window=3, n_shuffles=30, sample=80)


def unit(rows):
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cloud(n, seed, *, center=None, spread=1.0, d=8):
    """Unit rows around a direction; everywhere without one."""
    noise = np.random.default_rng(seed).standard_normal((n, d))
    return unit(noise if center is None else center + spread * noise)


@pytest.fixture(scope="module")
def pools():
    """Known rows everywhere; a tight group of its own; a moved half; dark pictures elsewhere."""
    axis = np.eye(8)
    base = cloud(400, 0, center=2 * axis[0])
    moved = unit(base[:200] + 1.5 * axis[3])
    rng = np.random.default_rng(9)

    def guise(name, rows, pixels):
        ids = np.array([f"{name}:r-{i:05d}" for i in range(len(rows))])
        return Guise(ids, rows, pixels, cloud(len(rows), 5, center=2 * axis[1]))

    light = rng.normal(100, 5, (400, 2))
    first = 10_000  # recipes of the unseen dish are none of the others
    unseen = cloud(80, 1, center=-4 * axis[0], spread=0.3)
    group = replace(
        guise("unseen", unseen, light[:80]),
        ids=np.array([f"unseen:r-{first + i}" for i in range(80)]),
        captions=cloud(80, 6, center=-3 * axis[1]),
    )
    guises = {
        "known": guise("known", base, light), "unseen": group,
        "style": guise("style", moved, light[:200]),
        "broken": guise("broken", cloud(200, 2, center=-4 * axis[2], spread=0.4), light[:200] - 60),
    }  # fmt: skip
    return Pools(guises, lambda name: None, SHAPE)


@pytest.fixture(scope="module")
def limits(pools):
    """Thresholds of the planted pools."""
    options = {"settings": FAST, "progress": False, "false_alarms": 0.1}
    return choose_thresholds(pools, seeds=range(100, 130), **options)


def test_the_kth_distance_by_hand_and_by_sorting():
    rows, others = cloud(7, 0), cloud(9, 1)
    expected = np.sort(1 - rows @ others.T, axis=1)[:, 2]
    np.testing.assert_allclose(kth_distance(rows, others, k=3), expected)
    alone = [sorted(1 - r @ s for j, s in enumerate(rows) if j != i)[1] for i, r in enumerate(rows)]
    np.testing.assert_allclose(kth_distance(rows, rows, k=2, apart=True), alone)
    assert kth_distance(rows, others, k=99).shape == (7,)


def test_density_is_none_where_both_are_alike_and_high_in_a_new_group():
    known = cloud(200, 0)
    same = density_ratio(cloud(200, 1), known, k=5)
    assert abs(np.median(same)) < 0.1
    grown = np.concatenate([cloud(180, 1), cloud(20, 2, center=6 * np.eye(8)[0], spread=0.2)])
    ratio = density_ratio(grown, known, k=5)
    assert np.median(ratio[180:]) > np.quantile(ratio[:180], 0.99)


def test_densities_are_of_equally_many():
    rows, known = cloud(50, 0), cloud(200, 1)
    assert np.array_equal(density_ratio(rows, known, k=5), density_ratio(rows, known[:50], k=5))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(4, 12), k=st.integers(1, 3), seed=st.integers(0, 50))
def test_shares_of_the_same_side_by_a_loop(n, k, seed):
    rows, rng = cloud(n, seed), np.random.default_rng(seed)
    sides = rng.random((3, n)) < 0.5
    near = rows @ rows.T
    expected = []
    for side in sides:
        hits = []
        for i in range(n):
            order = sorted((j for j in range(n) if j != i), key=lambda j: -near[i, j])
            hits += [side[j] == side[i] for j in order[:k]]
        expected.append(np.mean(hits))
    np.testing.assert_allclose(same_side_share(rows, sides, k=k), expected)


@pytest.mark.parametrize("test", [mmd_shift, neighbor_shift])
def test_population_tests_see_a_shift_and_none_where_there_is_none(test):
    base = cloud(60, 0, center=np.eye(8)[0])
    moved = test(base, cloud(60, 1, center=np.eye(8)[1]))
    assert moved.z > 5
    assert moved.p_value == pytest.approx(1 / 101)
    same = [test(base, cloud(60, 2 + i, center=np.eye(8)[0]), seed=i) for i in range(12)]
    assert np.mean([one.p_value for one in same]) > 0.2
    assert abs(np.mean([one.z for one in same])) < 1.2


def test_what_a_reference_says_of_itself():
    reference = cloud(200, 0)
    known = know(reference, k=5, sample=50)
    beyond = kth_distance(reference, reference, k=5, apart=True)
    assert (beyond > known.far).mean() == pytest.approx(0.1, abs=0.01)
    assert (beyond > known.outside).mean() == pytest.approx(0.01, abs=0.006)
    assert known.sample.shape == (50, 8)
    with pytest.raises(ValueError, match="a reference of 39 rows; 40 are the least for k=5"):
        know(reference[:39], k=5)


def test_excess_is_in_standard_deviations():
    known = know(cloud(200, 0), k=5)
    far = unit(-known.rows.mean(axis=0, keepdims=True) + 0.01 * cloud(100, 1))
    known = replace(known, far=-1.0)  # everything lies beyond
    z, which = far_excess(known, far)
    assert which.all()
    assert z == pytest.approx((100 - 10) / np.sqrt(100 * 0.1 * 0.9))
    z, which = group_excess(replace(known, dense=1e9), far)
    assert not which.any()
    assert z == pytest.approx(-1 / np.sqrt(100 * 0.01 * 0.99))


def test_evened_directions_vary_alike_half_way():
    rows = np.random.default_rng(0).standard_normal((4000, 3)) * [3.0, 1.0, 0.1]
    variances = np.var((rows - rows.mean(axis=0)) @ evening_axes(rows), axis=0)
    mean = (9 + 1 + 0.01) / 3
    expected = [v / (0.5 * v + 0.5 * mean) for v in (0.01, 1, 9)]
    np.testing.assert_allclose(variances, expected, rtol=0.1)


def test_evened_rows_are_unit_rows():
    known = know(cloud(100, 0, center=np.eye(8)[0]), k=5)
    np.testing.assert_allclose(np.linalg.norm(known.evened(known.rows), axis=1), 1)


def test_no_answer_before_the_window_is_full(pools):
    frame = watch(stream(pools, "nothing", seed=0), settings=FAST).frame
    assert frame.step.tolist() == [2, 3, 4, 5, 6, 7]
    assert frame.n.tolist() == [60, 80, 100, 120, 140, 160]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_streams_hold_what_they_promise(pools, scenario):
    one = stream(pools, scenario, seed=3)
    again = stream(pools, scenario, seed=3)
    assert len(one.reference) == 120
    recipes = [name.split(":")[1] for step in one.steps for name in step.ids]
    assert len(set(recipes)) == len(recipes) == 8 * 20
    known = pools.guises["known"]
    used = {name.split(":")[1] for name, row in zip(known.ids, known.rows, strict=True)
            if (one.reference == row).all(axis=1).any()}  # fmt: skip
    assert not used & set(recipes)
    for number, (step, same) in enumerate(zip(one.steps, again.steps, strict=True)):
        assert step.ids.tolist() == same.ids.tolist()
        assert step.changed.sum() == round(20 * SHAPE.share(scenario, number))
        guise = np.array([name.split(":")[0] for name in step.ids])
        assert ((guise != "known") == step.changed).all()
        assert (len(step.rows), len(step.pixels), len(step.queries)) == (20, 20, 10)
    assert one.starts == (None if scenario == "nothing" else 3)


def test_shares_grow_as_the_shape_says():
    shape = Shape()
    assert [shape.share("unseen dish", s) for s in (7, 8, 9, 23)] == [0, 0.03, 0.06, 0.25]
    assert [shape.share("broken camera", s) for s in (7, 8, 23)] == [0, 0.15, 0.15]
    with pytest.raises(ValueError, match="unknown scenario 'flood': use one of unseen dish"):
        shape.share("flood", 0)


def test_windows_are_short_at_the_start(pools):
    one = stream(pools, "nothing", seed=0)
    assert [len(recent_steps(one, step, 3)) for step in (0, 1, 2, 7)] == [1, 2, 3, 3]
    assert recent_steps(one, 7, 3)[-1] is one.steps[7]


def test_heights_are_the_lowest_that_keep_the_promise():
    rng = np.random.default_rng(0)
    maxima = pd.DataFrame(rng.standard_normal((100, 5)), columns=list(SIGNALS))
    found = heights_of(maxima, false_alarms=0.05)
    assert (maxima > pd.Series(found.heights)).any(axis=1).mean() <= 0.05
    assert min(found.heights.values()) > maxima.quantile(0.9).min()
    assert found.surprise("mmd", maxima.mmd.max()) == pytest.approx(2 / 101)
    assert found.surprise("mmd", 99) == pytest.approx(1 / 101)
    with pytest.raises(ValueError, match="10 streams cannot say what one in 20 does: give 20"):
        heights_of(maxima[:10], false_alarms=0.05)


@pytest.mark.parametrize(
    ("scenario", "cause", "retrain"),
    [("unseen dish", "a new group", True), ("broken camera", "broken pictures", False)],
)
def test_planted_changes_are_named_with_their_pictures(pools, limits, scenario, cause, retrain):
    one = stream(pools, scenario, seed=1)
    said = verdict(watch(one, settings=FAST, seed=1), limits)
    assert said.alarm >= 3
    assert (said.cause, said.retrain, said.advice) == (cause, retrain, ADVICE[cause])
    changed = np.concatenate([step.ids[step.changed] for step in one.steps[: said.alarm + 1]])
    assert np.isin(said.items, changed).mean() > 0.6
    assert np.isin(changed, said.items).mean() > 0.6
    assert said.sure <= 2 / 31


def test_a_moved_population_is_seen_and_not_taken_for_broken_pictures(pools, limits):
    said = verdict(watch(stream(pools, "change of style", seed=1), settings=FAST, seed=1), limits)
    assert said.alarm >= 3
    assert said.cause in ("the whole population", "a new group")


@pytest.mark.parametrize(
    ("detectors", "light", "share", "apart", "cause"),
    [
        (("queries",), 100, 0.1, True, "queries"),
        (("mmd", "queries"), 100, 0.1, True, "a new group"),
        (("group",), 100, 0.5, True, "the whole population"),
        (("mmd",), 100, 0.1, False, "the whole population"),
        (("group",), 20, 0.1, True, "broken pictures"),
    ],
)
def test_causes(pools, detectors, light, share, apart, cause):
    one = stream(pools, "nothing", seed=0)
    pixels = np.full((9, 2), 100.0)
    pixels[:4] = light
    assert cause_of(one, detectors, pixels, share=share, apart=apart) == cause
    none = cause_of(one, ("mmd",), pixels[:0], share=0.0, apart=False)
    assert none == "the whole population"


def test_other_questions_are_named_as_such(pools, limits):
    quiet = stream(pools, "nothing", seed=1)
    asked = stream(pools, "unseen dish", seed=1)
    steps = [replace(a, queries=b.queries) for a, b in zip(quiet.steps, asked.steps, strict=True)]
    watched = watch(replace(quiet, steps=steps), settings=FAST, seed=1)
    calm = watched.frame.assign(**{n: -9.0 for n in SIGNALS if n != "queries"})
    said = verdict(replace(watched, frame=calm), limits)
    assert (said.detectors, said.cause, len(said.items)) == (("queries",), "queries", 0)


def test_nothing_is_nothing(pools, limits):
    watched = watch(stream(pools, "nothing", seed=1), settings=FAST, seed=1)
    calm = replace(watched, frame=watched.frame.assign(**dict.fromkeys(SIGNALS, -9.0)))
    said = verdict(calm, limits)
    assert (said.alarm, said.detectors, said.cause, said.retrain) == (None, (), "", False)
    assert set(ADVICE) == {*CAUSES, ""}


def test_conspicuous_are_those_beyond_either_line():
    known = know(cloud(200, 0, center=3 * np.eye(8)[0]), k=5)
    rows = np.concatenate([known.rows[:30], -known.rows[:1]])
    assert conspicuous(replace(known, dense=9.0), rows)[-1]
    assert not conspicuous(replace(known, dense=9.0, outside=9.0), rows).any()


def test_the_study_counts_delays_from_the_change(pools, limits):
    runs = run_study(pools, limits, seeds=range(2), settings=FAST, progress=False)
    assert len(runs) == 4 * 2 * (len(SIGNALS) + 1)
    seen = runs[(runs.scenario == "broken camera") & (runs.detector == ANY)]
    assert (seen.delay_steps >= 1).all()
    assert (seen.delay_steps == seen.alarm - 3 + 1).all()
    assert (seen.delay_items == seen.delay_steps * 6).all()  # 30 percent of 20
    assert runs[runs.scenario == "nothing"].alarm.isna().all()
    first = runs[runs.detector != ANY].groupby(["scenario", "seed"]).delay_steps.min()
    anyone = runs[runs.detector == ANY].set_index(["scenario", "seed"]).delay_steps
    pd.testing.assert_series_equal(first.sort_index(), anyone.sort_index())


def test_the_table_by_hand():
    runs = pd.DataFrame(
        [
            ("broken camera", 0, "far", False, 4.0, 2.0, 9.0),
            ("broken camera", 1, "far", True, 6.0, 4.0, 15.0),
            ("broken camera", 2, "far", False, np.nan, np.nan, np.nan),
            ("nothing", 0, "far", True, np.nan, np.nan, np.nan),
        ],
        columns=["scenario", "seed", "detector", "false_alarm", "alarm", "delay_steps",
                 "delay_items"],
    )  # fmt: skip
    table = drift_table(runs).set_index("scenario")
    seen = table.loc["broken camera"]
    assert (seen.n, seen.detected, seen.false_alarms) == (3, 2 / 3, 1 / 3)
    assert seen.detected_low < 2 / 3 < seen.detected_high
    assert (seen.delay_steps, seen.delay_items) == (3, 12)
    assert 2 <= seen.delay_low <= 3 <= seen.delay_high <= 4
    assert np.isnan(table.detected["nothing"])
    assert table.false_alarms["nothing"] == 1


def test_verdicts_are_counted_over_the_alarms_that_were_judged():
    judged = [(True, 0.5, 1.0), (True, 0.5, np.nan), (False, 0.0, 0.0), (True, 1.0, 0.5),
              (np.nan, np.nan, np.nan)]  # fmt: skip
    runs = pd.DataFrame(
        [("unseen dish", seed, ANY, False, 4.0, 2.0, 9.0, *one) for seed, one in enumerate(judged)]
        + [("nothing", 0, ANY, False, *[np.nan] * 6)],
        columns=["scenario", "seed", "detector", "false_alarm", "alarm", "delay_steps",
                 "delay_items", "right", "found_share", "precision"],
    )  # fmt: skip
    table = drift_table(runs).set_index("scenario")
    seen = table.loc["unseen dish"]
    assert (seen.n, seen.right_cause_n, seen.found_share_n, seen.precision_n) == (5, 4, 4, 3)
    assert (seen.right_cause, seen.found_share, seen.precision) == (0.75, 0.5, 0.5)
    # Wilson, 3 of 4: z = 1.96, (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert seen.right_cause_low == pytest.approx(0.3006, abs=1e-4)
    assert seen.right_cause_high == pytest.approx(0.9544, abs=1e-4)
    for name in ("found_share", "precision"):
        assert 0 <= seen[f"{name}_low"] < 0.5 < seen[f"{name}_high"] <= 1
    pd.testing.assert_frame_equal(drift_table(runs), drift_table(runs))
    level = drift_table(runs.assign(found_share=runs.found_share * 0 + 0.5)).iloc[0]
    share = 0.025**0.25  # four streams that agree: Clopper and Pearson's bound for 0 of 4
    assert level.found_share_low == pytest.approx(0.5 * share)
    assert level.found_share_high == pytest.approx(1 - 0.5 * share)
    assert table.loc["nothing"].filter(regex="right|found|precision").isna().all()


def test_pools_of_the_drawn_kitchen():
    shape = Shape(reference=40, n_steps=3, starts=1, per_step=8, queries=4)
    pools = drift_pools(small_encoder("clip"), n_recipes=90, shape=shape, progress=False)
    assert set(pools.guises) == {"known", "unseen", "style", "broken"}
    assert len(pools.guises["known"].ids) + len(pools.guises["unseen"].ids) == 90
    broken, known = pools.guises["broken"], pools.guises["known"]
    assert (broken.pixels < known.pixels[: len(broken.pixels)]).all()
    assert pools.picture(broken.ids[0]).size == (64, 64)
    assert pools.picture(broken.ids[0]) == out_of_order(pools.picture(known.ids[0]))
    assert pools.picture(pools.guises["style"].ids[0]) != pools.picture(known.ids[0])
    with pytest.raises(ValueError, match="give 160 or more"):
        drift_pools(small_encoder("clip"), n_recipes=60, shape=shape, progress=False)
