"""Figures and tables of instance retrieval, on planted rows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.calibration import calibration
from helpers.first.evaluation.chance import Gallery
from helpers.first.evaluation.claims import judge_claims
from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.evaluation.instances import instance_values
from helpers.first.evaluation.intervals import Interval
from helpers.first.evaluation.metrics import both_directions
from helpers.first.prepare.queries import CarFacts
from helpers.first.report import claims
from helpers.first.report import instance_records as records
from helpers.first.report import instances as figures
from helpers.first.report.results import write_results
from helpers.first.studies import instances as study
from helpers.first.training.instance_runs import Bench, Measured

ABOUT = {"lesson": "09", "run": "r", "data": "d", "seed": 42}
FACTS = [
    CarFacts(id="a", make="Arvano", model="Lido", body="van", year="1994"),
    CarFacts(id="b", make="Arvano", model="Corso", body="van", year="2004"),
]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def measured(angles_of_images, angles_of_texts):
    """Two classes, two pictures each, one text each, as angles on the circle."""
    images, texts = (
        np.float32([[np.cos(x), np.sin(x)] for x in angles])
        for angles in (angles_of_images, angles_of_texts)
    )
    ids = np.array(["a", "a", "b", "b"])
    data = RetrievalSet(("0", "1", "2", "3"), ids, ("lido van", "corso van"), np.array(["a", "b"]))
    rankings = both_directions(images, ids, texts, data.caption_ids)
    values = {way: instance_values(ranking) for way, ranking in rankings.items()}
    return Measured(data, images, texts, 10.0, -5.0, values)


def bench_of(one):
    pictures = tuple(Image.new("RGB", (8, 8), (60 * i, 0, 0)) for i in range(4))
    return Bench(None, None, {"test": one.data}, {"test": pictures})


def test_a_lookalike_stands_beside_the_best_right_picture():
    one = measured([0.5, 0.9, 0.1, 2.0], [0.0, 2.0])  # the first text is nearest to picture 2
    (found,) = figures.lookalikes(one, bench_of(one), FACTS)
    assert (found.query, found.wanted.id, found.found.id) == ("lido van", "a", "b")
    assert found.rank == 2
    assert found.shared == ("make", "body")
    assert found.wrong_score == pytest.approx(np.cos(0.1), abs=1e-6)
    assert found.right_score == pytest.approx(np.cos(0.5), abs=1e-6)
    assert found.wrong.getpixel((0, 0)) == (120, 0, 0)
    drawn = figures.lookalike_gallery([found], heading="x")
    shown = [ax.get_xlabel() for ax in drawn.axes]
    assert any("Corso" in text for text in shown)
    assert any("Lido" in text for text in shown)


def test_without_errors_there_is_nothing_to_draw():
    one = measured([0.0, 0.1, 2.0, 2.1], [0.0, 2.0])
    assert figures.lookalikes(one, bench_of(one), FACTS) == []
    with pytest.raises(ValueError, match="every first picture is right"):
        figures.lookalike_gallery([], heading="x")


def curve(*values):
    return {8 * 4**i: Interval(v, v - 0.1, v + 0.1, 9, 9, 0.95) for i, v in enumerate(values)}


def test_curves_are_drawn_over_batch_sizes():
    panel = {"sigmoid": curve(0.3, 0.4), "InfoNCE": curve(0.2, 0.5)}
    drawn = figures.batch_curves({"s": panel, "t": panel}, heading="x", metric="hit@5")
    assert len(drawn.axes) == 2
    ax = drawn.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["8", "32"]
    assert ax.get_xlabel() == "batch, pairs"
    said = drawn.legends[0].get_title().get_text()
    assert said == "text to image; bar: 95 % interval over classes"
    with pytest.raises(ValueError, match="no curve"):
        figures.batch_curves({"s": {}}, heading="x", metric="hit@5")


def small_calibration():
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 2, (10, 24))
    return calibration(logits, rng.random((10, 24)) < 0.2, np.arange(10), n_resamples=100)


def test_reliability_has_a_line_a_model_and_the_diagonal():
    found = {"before": small_calibration(), "after": small_calibration()}
    drawn = figures.reliability_plot(found, heading="x")
    ax = drawn.axes[0]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(curves) == 2
    assert ax.get_xlim() == ax.get_ylim() == (0.01, 1)
    for line in curves:
        assert min(line.get_ydata()) > 0.01  # no bin stands at the bottom
    with pytest.raises(ValueError, match="no calibration"):
        figures.reliability_plot({}, heading="x")


def test_tables_and_records_say_the_same(tmp_path):
    before = measured([0.5, 0.9, 0.1, 2.0], [0.0, 2.0])
    after = measured([0.0, 0.1, 2.0, 2.1], [0.0, 2.0])
    table = records.metric_table(before, after.values)
    row = table[(table["metric"] == "hit@1") & (table["direction"] == "text to image")].iloc[0]
    assert row["zero-shot, %"].startswith("50.0")
    assert row["trained, %"].startswith("100.0")
    assert row["difference, points"].startswith("+50.0")
    fixed = table["metric"] == "hit@5"  # of four pictures and two texts
    assert set(table["verdict"][fixed]) == {"n/a (gallery has 4)", "n/a (gallery has 2)"}
    tested = table[~fixed]
    alone = [
        paired_comparison(after.values[way][m], before.values[way][m], before.groups(way)).p_value
        for way in after.values for m in after.values[way] if m != "hit@5"
    ]  # fmt: skip
    assert tested["p (Holm)"].tolist() == pytest.approx(holm(alone), abs=1e-4)
    verdicts = [v == "not distinguishable" for v in tested["verdict"]]
    assert verdicts == [p > 0.05 for p in holm(alone)]
    made = records.measured_records(before, after.values, model="dual LoRA", **ABOUT)
    made += records.calibration_records({"dual LoRA": small_calibration()}, **ABOUT)
    value = {(r.model, r.metric, r.direction): r.value for r in made}
    assert value["dual LoRA", "hit@1 minus zero-shot", "text_to_image"] == 0.5
    assert value["zero-shot", "hit@1", "text_to_image"] == 0.5
    assert write_results(tmp_path, made).is_file()
    reported = records.reported_table(before, after.values["text_to_image"]).set_index("metric")
    assert reported.loc["hit@1", "reported, %"] == "94.39 -> 98.52"
    assert reported.loc["map", "reported, %"] == "88.67 -> 92.79"


WIDE = Gallery(20, np.ones(4, int))


class Planted:
    def values(self, direction, metric):
        return np.array([1.0, 0.0, 1.0, 1.0])


def test_curves_come_back_from_records():
    results = {name: [Planted()] for name in ("sigmoid, 8", "InfoNCE, 8")}
    groups = np.arange(4)
    direct = records.curves_of(results, [8], groups, "hit@5")
    made = records.arm_records(
        results, groups, "hit@5", gallery=WIDE, prefix="equal steps: ", **ABOUT
    )
    again = records.curves_from(made, "hit@5", prefix="equal steps: ")
    assert {k: v[8].value for k, v in again.items()} == {"sigmoid": 0.75, "InfoNCE": 0.75}
    assert again["sigmoid"][8].low == direct["sigmoid"][8].low
    assert records.curves_from(made, "hit@5", prefix="equal samples: ") == {}


def test_committed_claims_are_judged_as_they_were():
    rng = np.random.default_rng(0)
    groups = np.arange(200)
    values = [(rng.random(200) < share).astype(float) for share in (0.9, 0.5, 0.5)]
    compared = [
        paired_comparison(values[0], values[1], groups),
        paired_comparison(values[1], values[2], groups),
        paired_comparison(values[2], values[2], groups),
    ]
    judged = judge_claims(list(zip(study.size_claims(8, 64), compared, strict=True)))
    about = ABOUT | {"data": "world:garage, equal steps"}
    made = claims.claim_records(judged, metric="hit@5", direction="text_to_image", **about)
    arms = {f"sigmoid, {n}": [Planted()] for n in (16, 8, 64)}
    made += records.arm_records(
        arms, np.arange(4), "hit@5", gallery=WIDE, prefix="equal steps: ", **ABOUT
    )
    again = records.judged_from(made, "equal steps")
    assert [one.claim for one in again] == [one.claim for one in judged]
    assert [one.verdict for one in again] == [one.verdict for one in judged]
    assert [one.p_value for one in again] == [one.p_value for one in judged]
    assert records.judged_from(made, "equal samples") == []


def test_a_constant_answer_costs_what_the_share_of_matches_says():
    for strangers in (1.0, 15.0, 14.1):
        share = 1 / (1 + strangers)
        paid = -np.log(share) - strangers * np.log(1 - share)
        assert study.constant_loss(strangers) == pytest.approx(paid)
    assert study.constant_loss(0) == 0
