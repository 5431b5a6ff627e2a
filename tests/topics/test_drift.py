"""Lesson 13: signals by hand, thresholds that keep their rate, streams, causes, records."""

import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.study import Design, judge
from helpers.topics.drift import arrived, effects, signals, streams, study, watch
from helpers.topics.drift.signals import SIGNALS
from helpers.topics.drift.streams import Images, Pool, Shape
from tests.small_models import small_encoder

SHAPE = Shape(
    reference=80, n_steps=16, starts=8, per_step=12, queries=6, slope=0.2, most=0.5, styled=0.5,
    broken=0.4,
)  # fmt: skip


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def images_of(name, n, *, center, spread=0.4, dark=False, first=0, seed=0):
    rng = np.random.default_rng([seed, len(name)])
    rows = unit(center + spread * rng.normal(size=(n, 8)))
    pixels = rng.normal([0.5, 0.1], 0.01, (n, 2)) - 0.3 * dark
    asked = unit(rows + 0.2 * rng.normal(size=(n, 8)))
    return Images(np.array([f"{name}:r{first + i}" for i in range(n)]), rows, pixels, asked)


@pytest.fixture(scope="module")
def pool():
    """Known images around one direction; an unseen dish is a tight group elsewhere."""
    one, other = np.eye(8)[0], np.eye(8)[5]
    guises = {
        "known": images_of("known", 400, center=one),
        "unseen": images_of("unseen", 60, center=1.2 * other, spread=0.15, first=1000),
        "style": images_of("style", 150, center=one + 0.9 * np.eye(8)[3]),
        "broken": images_of("broken", 100, center=one - 2 * other, spread=0.4, dark=True),
    }
    return Pool(guises, lambda key: Image.new("RGB", (8, 8), "red"), SHAPE)


@pytest.fixture(scope="module")
def levels(pool):
    quiet = [watch.watch(streams.deal(pool, "nothing", seed=100 + i)) for i in range(60)]
    return watch.thresholds(watch.maxima(quiet), false_alarms=0.05)


def test_the_kth_distance_is_that_of_a_plain_count():
    rng = np.random.default_rng(0)
    rows, others = unit(rng.normal(size=(6, 4))), unit(rng.normal(size=(9, 4)))
    plain = [sorted(1 - a @ b for b in others)[2] for a in rows]
    assert signals.kth_distance(rows, others, k=3) == pytest.approx(plain)
    own = [sorted(1 - a @ b for j, b in enumerate(rows) if j != i)[1] for i, a in enumerate(rows)]
    assert signals.kth_distance(rows, rows, k=2, apart=True) == pytest.approx(own)
    assert signals.kth_distance(rows, others, k=99) == pytest.approx((1 - rows @ others.T).max(1))


def test_squared_mmd_by_hand_and_without_a_difference():
    a, b = np.array([[1.0, 0], [0, 1]]), np.array([[1.0, 0], [1, 0]])
    far, near = np.exp(-1 / 0.25), 1.0  # cosines 0 and 1, width 0.5
    want = 2 * far / 2 + 2 * near / 2 - 2 * (2 * near + 2 * far) / 4
    assert signals.squared_mmd(a, b, 0.5) == pytest.approx(want)
    rng = np.random.default_rng(1)
    same = [signals.squared_mmd(*(unit(rng.normal(size=(40, 5))) for _ in range(2)), 1.0)
            for _ in range(200)]  # fmt: skip
    assert np.mean(same) == pytest.approx(0, abs=3 * np.std(same) / 200**0.5)  # unbiased


def test_a_tight_group_in_an_empty_place_crowds():
    rng = np.random.default_rng(2)
    known = unit(np.eye(6)[0] + 0.5 * rng.normal(size=(200, 6)))
    group = unit(np.eye(6)[3] + 0.05 * rng.normal(size=(20, 6)))
    plain = unit(np.eye(6)[0] + 0.5 * rng.normal(size=(60, 6)))
    reference = signals.Known.of(known, known)
    crowding = reference.crowding(np.vstack([plain, group]))
    assert crowding[60:].min() > reference.dense
    assert reference.is_far(group).mean() > 0.5
    assert (crowding[:60] > reference.dense).mean() < 0.2
    before, after = (np.linalg.svd(x - x.mean(axis=0))[1] for x in (known, reference.whitened))
    assert after[0] / after[-1] < before[0] / before[-1]
    with pytest.raises(ValueError, match="40 are the least"):
        signals.Known.of(known[:30], known)


def test_thresholds_are_crossed_by_no_more_streams_than_asked():
    rng = np.random.default_rng(3)
    largest = pd.DataFrame(rng.normal(size=(200, 4)), columns=SIGNALS)
    for rate in (0.05, 0.2):
        found = watch.thresholds(largest, false_alarms=rate)
        crossed = (largest > found).any(axis=1).mean()
        assert rate / 2 < crossed <= rate
    with pytest.raises(ValueError, match="give 20 or more"):
        watch.thresholds(largest[:19], false_alarms=0.05)


@pytest.mark.parametrize("kind", streams.KINDS)
def test_a_stream_holds_each_recipe_once_and_changes_as_its_shape_says(pool, kind):
    one = streams.deal(pool, kind, seed=1)
    ids = [i.split(":")[1] for part in (one.reference, *one.steps) for i in part.ids]
    assert len(ids) == len(set(ids)) == SHAPE.reference + SHAPE.n_steps * SHAPE.per_step
    assert [int(part.sum()) for part in one.changed] == SHAPE.counts(kind)
    for step, truth in zip(one.steps, one.changed, strict=True):
        guises = np.array([i.split(":")[0] for i in step.ids])
        assert np.array_equal(guises == streams.GUISE[kind], truth | (kind == "nothing"))
    assert {len(asked) for asked in one.queries} == {SHAPE.queries}
    again, other = (streams.deal(pool, kind, seed=seed) for seed in (1, 2))
    assert again.steps[3].ids.tolist() == one.steps[3].ids.tolist() != other.steps[3].ids.tolist()
    assert one.starts == (None if kind == "nothing" else SHAPE.starts)


@pytest.mark.parametrize("kind", streams.KINDS[1:])
def test_a_change_is_found_with_its_cause(pool, levels, kind):
    found = [watch.first_alarm(watch.watch(streams.deal(pool, kind, seed=i)), levels, since=8)
             for i in range(6)]  # fmt: skip
    assert all(found)
    right = [one.cause == study.RIGHT[kind] for one in found]
    assert np.mean(right) >= 0.5, [one.cause for one in found]
    named = found[right.index(True)].ids
    assert any(i.startswith(streams.GUISE[kind]) for i in named[:5])


def test_few_streams_without_a_change_have_an_alarm(pool, levels):
    quiet = [watch.watch(streams.deal(pool, "nothing", seed=i)) for i in range(30)]
    assert sum(watch.first_alarm(one, levels) is not None for one in quiet) <= 6


def test_an_alarm_before_the_change_is_no_find(pool, levels):
    watched = watch.watch(streams.deal(pool, "broken camera", seed=1))
    loud = watched.frame.copy()
    loud.loc[loud["step"] == 7, "far"] = 9.0
    early = replace(watched, frame=loud)
    assert watch.first_alarm(early, levels).step == 7
    assert watch.first_alarm(early, levels, since=8).step >= 8
    ranks, n = study.ranks_of(early, levels)
    assert n == 8
    assert ranks["any"] == watch.first_alarm(early, levels, since=8).step - 7
    assert 1 <= ranks["queries"] <= 9


def test_a_stream_without_an_alarm_has_the_rank_after_the_last(pool):
    watched = watch.watch(streams.deal(pool, "nothing", seed=3))
    ranks, n = study.ranks_of(watched, pd.Series(9.0, SIGNALS))
    assert n == SHAPE.n_steps - watch.WINDOW + 1
    assert set(ranks.values()) == {n + 1}
    assert watch.first_alarm(watched, pd.Series(9.0, SIGNALS)) is None


def test_the_study_counts_streams_and_judges_them_by_pool(pool, levels):
    parts = [study.measure(((kind, streams.deal(pool, kind, seed=10 * g + i))
                            for kind in streams.KINDS for i in range(4)), levels, group=f"pool {g}")
             for g in range(3)]  # fmt: skip
    ranks = pd.concat([one[0] for one in parts], ignore_index=True)
    found = study.as_study(ranks, pd.concat([one[1] for one in parts]))
    table, said, soonest = effects.shares(found)
    assert len(table) == len(streams.KINDS) * len(study.DETECTORS)
    assert soonest in streams.KINDS[1:]
    assert "12 of each kind" in said
    assert 0.5 < effects.share_of(found, "unseen dish") <= 1
    asked = {"name": "h", "says": "s", "test": "unseen dish", "arms": {"any": 1}, "shift": -50,
             "metric": "hit@8", "direction": "stream", "kind": "higher", "margin": 10}  # fmt: skip
    design = Design(lesson="13", version=1, date="d", question="q", base={}, data={}, seeds={
        "default": 0}, arms={"any": {}}, hypotheses=[asked])  # fmt: skip
    judged = judge(found, design).iloc[0]
    assert judged["estimate"].value == pytest.approx(effects.share_of(found, "unseen dish") - 0.5)
    assert judged["estimate"].n_items == 3
    causes, words = effects.causes(found.frames["alarms"])
    assert words.startswith("The cause is right: unseen dish")
    assert causes["alarms"].sum() == len(found.frames["alarms"])
    assert len(effects.delay_figure(found, heading="h").axes[0].lines) == 4


def test_an_alarm_is_recorded_and_starts_a_retraining_once(tmp_path, monkeypatch):
    """What runs it is killed: the second start finds the folder of the first."""
    monkeypatch.setattr(watch.paths, "reports", lambda: tmp_path / "reports")
    alarm, record = watch.Alarm(12, ("group",), "a new group", ("a", "b")), tmp_path / "alarms"
    begun, asked = [], {"source": "new images.csv", "model": "tiny-clip"}

    def run(command, check):
        begun.append(command)
        (path,) = record.glob("*.json")  # written before it starts
        assert json.loads(path.read_text())["done"].endswith("started")
        raise KeyboardInterrupt

    command, done = watch.act(alarm, record, **asked, start=False, run=run)
    assert (done, begun) == ("recorded", [])
    assert command.endswith("--only 04 -p 'source=new images.csv' -p model=tiny-clip")
    with pytest.raises(KeyboardInterrupt):
        watch.act(alarm, record, **asked, start=True, run=run)
    assert begun[0][-4:] == ["-p", "source=new images.csv", "-p", "model=tiny-clip"]
    for again in (asked, asked | {"source": "others.csv"}):
        _, done = watch.act(alarm, record, **again, start=True, run=run)
        assert "retraining was started before, into " in done
    broken = replace(alarm, cause="broken images")
    _, done = watch.act(broken, record, **asked, start=True, run=run)
    assert done.startswith("recorded; not started, since the advice is: do not retrain")
    assert len(begun) == 1
    assert len(list(record.glob("*.json"))) == 2


def test_one_stream_of_arrivals_has_one_alarm_until_model_or_known_images_change(tmp_path):
    known = images_of("known", 20, center=np.eye(8)[0])
    key = watch.key_of(known, "f", tmp_path)
    assert key == watch.key_of(known.take(range(19, -1, -1)), "f", tmp_path / ".." / tmp_path.name)
    fewer, moved = known.take(range(19)), tmp_path / "x"
    others = (fewer, "f", tmp_path), (known, "g", tmp_path), (known, "f", moved)
    assert key not in {watch.key_of(*one) for one in others}


def test_arrivals_come_in_order_of_time_and_unreadable_files_are_named(tmp_path):
    for i, name in enumerate(["b.png", "a.png", "sub/c.jpg"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (60 * i, 0, 0)).save(tmp_path / name)
        os.utime(tmp_path / name, (100 - i, 100 - i))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image")
    names, images, unreadable = arrived.in_order(tmp_path)
    assert names == ["sub/c.jpg", "a.png", "b.png"]
    assert arrived.in_order(tmp_path, by="name")[0] == ["a.png", "b.png", "sub/c.jpg"]
    assert len(images) == 3
    assert unreadable == ["broken.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no readable image"):
        arrived.in_order(tmp_path / "empty")


def test_own_streams_have_whole_steps_and_no_image_on_both_sides():
    known = images_of("known", 120, center=np.eye(8)[0])
    new = images_of("new", 95, center=np.eye(8)[0])
    own = streams.own_stream(known, new, per_step=10, seed=1)
    assert [len(step.ids) for step in own.steps] == [10] * 9
    assert [i for step in own.steps for i in step.ids] == new.ids[:90].tolist()
    quiet = streams.quiet_streams(known, 9, 3, per_step=10, seed=1)
    for one in (own, *quiet):
        arriving = {i for step in one.steps for i in step.ids}
        assert not arriving & set(one.reference.ids)
        assert len(one.reference.ids) == 60  # thresholds hold for a reference of this size
        assert len(watch.watch(one).frame) == 2
    with pytest.raises(ValueError, match=r"95 arrivals make 4 steps of 20.* per_step 10 or less"):
        streams.own_stream(known, new, per_step=20, seed=1)
    with pytest.raises(ValueError, match=r"70 known images.*80 are the least"):
        streams.own_stream(known.take(range(70)), new, per_step=10, seed=1)


def test_pixel_statistics_by_hand():
    flat, dot = np.full((5, 5), 100, np.uint8), np.zeros((5, 5), np.uint8)
    dot[2, 2] = 255
    found = streams.pixel_statistics([Image.fromarray(flat), Image.fromarray(dot)])
    assert found[0] == pytest.approx([100 / 255, 0])
    around = np.array([0, -1, 0, -1, 4, -1, 0, -1, 0])
    assert found[1] == pytest.approx([1 / 25, around.var()])
    blurred = streams.pixel_statistics(
        [streams.out_of_order(Image.fromarray(dot).resize((64, 64)))]
    )
    assert (blurred[0] < found[1]).all()


def test_too_few_recipes_are_refused_with_a_number_that_suffices():
    with pytest.raises(ValueError, match=r"drift_recipes is 600: \d+ of them .* of sushi") as said:
        streams.check_recipes(600, seed=42)
    enough = int(str(said.value).split("give ")[1].split(" ")[0])
    streams.check_recipes(enough, seed=42)
    with pytest.raises(ValueError, match="unknown kind of stream 'rain'"):
        SHAPE.share("rain", 9)


DESIGN = {
    "lesson": "13", "version": 1, "date": "2026-01-01", "question": "Does it run?",
    "base": {"tiny-siglip": ""},
    "data": {"pools": {"source": "world:kitchen", "first": 1350000, "n": 800, "of": 200}},
    "settings": {"quiet pools": 2, "streams": 10, "false alarms": 0.05},
    "seeds": {"default": 0}, "arms": {name: {} for name in study.DETECTORS}, "hypotheses": [],
}  # fmt: skip


@pytest.mark.slow
def test_a_tiny_design_runs_and_goes_on_from_what_is_done(tmp_path, monkeypatch):
    shape = Shape(reference=60, n_steps=10, starts=8, per_step=8, queries=4)
    monkeypatch.setattr(streams, "Shape", lambda: shape)
    found = study.run_study(Design(**DESIGN), tmp_path)
    assert found.arms == list(study.DETECTORS)
    assert found.tests == list(streams.KINDS)
    assert set(found.ranks["group"]) == {"pool 2", "pool 3"}
    assert not found.ranks.duplicated(["test", "query", "arm"]).any()
    monkeypatch.setattr(study.Drift, "train", lambda *_, **__: pytest.fail("measured again"))
    again = study.run_study(Design(**DESIGN), tmp_path)
    pd.testing.assert_frame_equal(again.ranks, found.ranks)


@pytest.mark.slow
def test_a_planted_change_takes_the_place_of_the_broken_camera(pool):
    encoder = small_encoder("siglip")
    pool = replace(pool, image=lambda key: Image.new("RGB", (16, 16), (len(key) * 9 % 255, 90, 9)))
    with pytest.raises(ValueError, match="identical"):
        streams.with_change(pool, encoder, lambda image: Image.new("RGB", image.size))
