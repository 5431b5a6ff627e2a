"""Images of one's own: left as they are unless asked, and no number where none can be had."""

import csv
import html
import json
import re
import shutil

import pytest

from tests.behaviour.conftest import ROOT, run_in
from tests.behaviour.own_images_inputs import Report, two_captions_each

MEANS_NOTHING = "mean nothing for photographs"
HUB = "model=openai/clip-vit-base-patch32"
NOTHING = "n/a (gallery has 6)"


def run_lessons(checkout, source, name: str, only: str, *options: str) -> Report:
    command = ["course", "run", "--name", name, "--only", only, "-p", f"source={source}"]
    done = run_in(checkout, [*command, *(part for one in options for part in ("-p", one))])
    return Report(done, checkout / "reports" / name, checkout / "data" / "zones" / name)


@pytest.fixture(scope="session")
def zero_shot(checkout, tmp_path_factory, worker_id) -> Report:
    """Lesson 03 with the default model on thirty images: six of them, with 12 captions, test it."""
    source = two_captions_each(tmp_path_factory.mktemp("own"))
    report = run_lessons(checkout, source, f"own-{worker_id}", "03", "seed=7")
    assert report.done.code == 0, report.done.text
    return report


def hit10(records: list[dict], direction: str) -> list[dict]:
    """Every record on hit@10 in a direction, on images of one's own."""
    own = (r for r in records if not r["data"].startswith("world:"))
    return [r for r in own if r["direction"] == direction and "hit@10" in r["metric"]]


def test_the_command_says_before_and_after_that_the_numbers_mean_nothing(zero_shot):
    """Fault 13: in one sentence, with the command that has a model for photographs."""
    lines = zero_shot.done.out.splitlines()
    said = [i for i, line in enumerate(lines) if MEANS_NOTHING in line]
    runs = next(i for i, line in enumerate(lines) if line.startswith("03_"))
    assert len(said) == 2
    assert said[0] < runs < said[1]
    command = lines[said[0]].partition("photographs: course run ")[2]
    assert HUB in command
    assert "--only 03" in command
    assert "captions.csv" in command
    assert "seed=7" in command


def test_lesson_and_page_say_it_where_the_numbers_stand(zero_shot):
    """Fault 13: as the command says it, once in front of the lesson's table."""
    assert MEANS_NOTHING in zero_shot.printed("03")
    assert HUB in zero_shot.printed("03")
    shown = html.unescape(zero_shot.page)
    assert shown.index(MEANS_NOTHING) < shown.index("<table>")
    assert shown.count(MEANS_NOTHING) == 2  # of the page, and of the lesson


def test_search_says_it_beside_its_answers(zero_shot, checkout):
    """Fault 13: on standard error, so that answers in JSON stay JSON."""
    name = zero_shot.reports.name
    asked = f"course search --name {name} --model tiny-siglip"
    built = run_in(checkout, f"{asked} --build -k 2 'a dish'")
    assert built.code == 0, built.text
    assert MEANS_NOTHING in built.err
    assert "course search --name" in built.err
    assert "--build --model openai/clip-vit-base-patch32" in built.err
    answered = run_in(checkout, f"{asked} --json -k 2 'a dish'")
    assert MEANS_NOTHING in answered.err
    assert [len(json.loads(line)["hits"]) for line in answered.out.splitlines()] == [2]


@pytest.mark.parametrize("which", ["drawn images", "a model of another making"])
def test_where_numbers_mean_something_nothing_is_said(which, checkout, patterns, tmp_path):
    """Fault 13: drawn images, or a model that was not trained on drawings (its lesson may fail)."""
    options = ["-p", "max_recipes=20"]
    if which != "drawn images":
        made = shutil.copytree(ROOT / "data" / "tiny" / "tiny-siglip", tmp_path / "another")
        (made / "training.json").unlink()
        options = ["-p", f"source={patterns}", "-p", f"model={made}"]
    command = ["course", "run", "--name", tmp_path.name, "--only", "03", "--timeout", "1"]
    done = run_in(checkout, [*command, *options])
    assert "03_" in done.text
    assert MEANS_NOTHING not in done.text


def test_hits_among_as_many_as_there_are_images_are_no_measurement(zero_shot):
    """Fault 14: no value, no interval, the reason; and a value where there is something to miss."""
    records = zero_shot.records("03")
    ten = [r for r in records if r["metric"].endswith("@10")]
    fixed = [r for r in ten if r["direction"] == "text_to_image"]
    assert "hit@10" in {r["metric"] for r in fixed}
    for r in fixed:
        assert (r["value"], r["low"], r["high"]) == (None, None, None)
        assert (r["flag"], r["reason"]) == ("n/a", "gallery has 6")
    for among_twelve in hit10(records, "image_to_text"):
        assert among_twelve["value"] is not None
        assert 0.9 < among_twelve["chance"] < 1
    assert NOTHING in zero_shot.printed("03")
    assert NOTHING in zero_shot.page
    table = (zero_shot.reports / "results.csv").read_text()
    assert "gallery has 6" in table


def test_chance_stands_beside_every_hit(zero_shot):
    """Fault 14: of a record, in the lesson's table and on the page."""
    hits = [r for r in zero_shot.records("03") if r["metric"].startswith("hit@") and r["value"]]
    assert hits
    sizes = {"text_to_image": (6, 1), "image_to_text": (12, 2)}  # rows searched, positives
    for r in hits:
        size, positives = sizes[r["direction"]]
        k, missed = int(r["metric"].partition("@")[2]), 1.0
        for place in range(k):
            missed *= max(size - positives - place, 0) / (size - place)
        assert r["chance"] == pytest.approx(1 - missed)
    printed = zero_shot.printed("03")
    assert "chance" in printed
    assert re.search(r"0\.833|83\.3", printed)  # of hit@5 among six
    assert "<th>chance</th>" in zero_shot.page
    assert '<td class="value">0.833</td>' in zero_shot.page


def test_a_run_counts_the_queries_of_its_own_data(zero_shot):
    """Fault 33: captions ask for images, images for captions, and both differ in number."""
    pairs = zero_shot.pairs_for_testing
    n_of = {
        "text_to_image": len({(row["recipe_id"], row["caption"]) for row in pairs}),
        "image_to_text": len({row["image_key"] for row in pairs}),
    }
    assert n_of == {"text_to_image": 12, "image_to_text": 6}
    asked = [r for r in zero_shot.records("03") if r["direction"] and r["value"] is not None]
    assert {(r["direction"], r["n"]) for r in asked} == set(n_of.items())


@pytest.mark.journey
def test_no_test_is_made_of_what_the_gallery_fixes(zero_shot, checkout, tmp_path):
    """Faults 14 and 20: lesson 04 on few images ends, and concludes nothing from hit@10."""
    source = two_captions_each(tmp_path)
    report = run_lessons(checkout, source, "few", "04", "epochs=1")
    assert report.done.code == 0, report.done.text
    ours = hit10(report.records("04"), "text_to_image")
    assert ours
    for r in ours:
        assert not r["metric"].startswith("p of")
        assert (r["value"], r["flag"], r["reason"]) == (None, "n/a", "gallery has 6")
    assert any(r["value"] is not None for r in hit10(report.records("04"), "image_to_text"))
    printed = report.printed("04")
    assert MEANS_NOTHING in printed
    assert NOTHING in printed


@pytest.mark.journey
def test_lesson_01_measures_what_a_split_of_ones_own_pairs_gives_away(checkout, tmp_path):
    """Each image has two captions: by pair most of them are on both sides, by recipe none is."""
    report = run_lessons(checkout, two_captions_each(tmp_path), "leak", "01")
    assert report.done.code == 0, report.done.text
    shares = {r["metric"]: r["value"] for r in report.records("01")}
    where = "test pairs with the same image in training, split by"
    assert shares[f"{where} pair"] > 0.5
    assert shares[f"{where} recipe"] == 0
    (training,) = report.zone.rglob("train_pairs_positive.csv")
    known = {row["recipe_id"] for row in csv.DictReader(training.open(encoding="utf-8"))}
    assert known.isdisjoint(row["recipe_id"] for row in report.pairs_for_testing)
    assert "hit@1 of the lookup, split by pair" in report.printed("01")


@pytest.mark.journey
@pytest.mark.parametrize("marks", ["", "marks=drawn"])
def test_watermarks_are_drawn_where_they_are_asked_for(marks, checkout, photographs):
    """Fault 15: no copy of a user's image is changed unasked, and the lesson says how to ask."""
    name = "marked" if marks else "unmarked"
    options = ["labelled=2", "marked_recipes=2", *([marks] if marks else [])]
    report = run_lessons(checkout, photographs, name, "11", *options)
    assert report.done.code == 0, report.done.text
    made = {path.name for path in report.zone.glob("fine-tuning-zone/subsets/*")}
    assert made == ({"watermarked", "repaired", "repaired-true-masks"} if marks else set())
    assert ("-p marks=drawn" in report.printed("11")) == (not marks)
