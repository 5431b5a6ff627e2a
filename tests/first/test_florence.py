"""Florence-2: its answers become proposals and masks; the native class runs without torchvision."""

import sys

import numpy as np
import pytest
from PIL import Image

from helpers.first.data.marks import Mark, draw_mark
from helpers.first.prepare.florence import (
    DETECTION,
    OCR,
    REGIONS,
    SEGMENTATION,
    TASKS,
    FlorenceDetector,
    Proposal,
    filled,
    load_florence,
    proposals_of,
)
from helpers.first.prepare.watermarks import strokes_inside
from tests.small_florence import small_florence, small_processor

SIZE = (100, 50)
QUAD = "<loc_100><loc_200><loc_300><loc_200><loc_300><loc_400><loc_100><loc_400>"
BOX = "<loc_100><loc_200><loc_300><loc_400>"
SQUARE = ((10, 10), (30, 10), (30, 20), (10, 20))  # thousandths of 100 and of 50 pixels
TRIANGLE = ((10, 10), (30, 20), (50, 5))


def picture():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))


def detector(**settings):
    return FlorenceDetector(
        small_florence(), small_processor(), "small", **{"max_new_tokens": 20, **settings}
    )


def answering(monkeypatch, by_task):
    """A detector whose model says what it is told to."""
    monkeypatch.setattr(FlorenceDetector, "answer", lambda self, image, task: by_task[task])
    return detector


@pytest.mark.parametrize(
    ("task", "answer", "found"),
    [
        (OCR, f"SAMPLE{QUAD}", [(SQUARE, "SAMPLE")]),
        (DETECTION, f"watermark{BOX}", [(SQUARE, "watermark")]),
        (DETECTION, "watermark<poly><loc_100><loc_200><loc_300><loc_400><loc_500><loc_100></poly>",
         [(TRIANGLE, "watermark")]),
        (SEGMENTATION, "<loc_100><loc_200><loc_300><loc_400><loc_500><loc_100>", [(TRIANGLE, "")]),
        (REGIONS, BOX + BOX, [(SQUARE, ""), (SQUARE, "")]),
        (OCR, "nothing is written here", []),
        (SEGMENTATION, "<loc_100><loc_200><loc_300><loc_400>", []),  # two corners enclose nothing
        (DETECTION, "", []),
    ],
)  # fmt: skip
def test_answers_of_every_form_become_proposals(task, answer, found):
    proposals = proposals_of(small_processor(), f"</s><s>{answer}</s>", task, SIZE)
    assert [(p.polygon, p.label, p.task) for p in proposals] == [(*one, task) for one in found]


def test_areas_and_filled_polygons_agree():
    square = Proposal(SQUARE, "", OCR)
    assert square.share_of(SIZE) == pytest.approx(20 * 10 / 5000)
    assert filled(SQUARE, SIZE).shape == (50, 100)
    assert filled(SQUARE, SIZE).sum() == 21 * 11  # its border included
    assert filled(TRIANGLE, SIZE)[11, 20]
    assert Proposal(TRIANGLE, "", OCR).share_of(SIZE) == pytest.approx(250 / 5000)


def test_too_large_a_proposal_is_no_mark_and_the_rest_is_put_together(monkeypatch):
    whole = "<loc_0><loc_0><loc_999><loc_999>"
    answers = {OCR: f"<s>a{QUAD}</s>", DETECTION: f"<s>watermark{whole}</s>"}
    make = answering(monkeypatch, answers)
    image = Image.new("RGB", SIZE)
    mask = make(masks="region").find([image])[0]
    assert (mask == filled(SQUARE, SIZE)).all()
    assert make(masks="region", largest=1.0).find([image])[0].mean() > 0.9
    assert len(make().proposals(image)) == 2


def test_strokes_alone_are_taken_from_a_region(monkeypatch):
    plate = Image.new("RGB", SIZE, (90, 90, 90))
    marked = draw_mark(plate, Mark("text", "SAMPLE", x=0.15, y=0.2, size=0.2, opacity=0.9))
    rows, columns = np.nonzero(marked.mask)
    box = [columns.min() * 10, rows.min() * 20, columns.max() * 10, rows.max() * 20]
    places = "".join(f"<loc_{min(999, v)}>" for v in box)
    make = answering(monkeypatch, {DETECTION: f"watermark{places}"})
    found = make(tasks=(DETECTION,)).find([marked.image])[0]
    region = make(tasks=(DETECTION,), masks="region").find([marked.image])[0]
    assert (found == strokes_inside(marked.image, region)).all()
    assert 0 < found.sum() < region.sum()
    assert (found & marked.mask).sum() > 0.9 * found.sum()


def test_a_fresh_model_answers_every_task_and_repeats_itself():
    found = detector(tasks=TASKS)
    for task in TASKS:
        assert found.answer(picture(), task) == found.answer(picture(), task)
    masks = found.find([picture(), picture()])
    assert [(mask.shape, mask.dtype) for mask in masks] == [((40, 50), bool)] * 2
    assert "torchvision" not in sys.modules


def test_a_stored_model_is_opened_by_its_folder(tmp_path):
    small_florence().save_pretrained(tmp_path)
    small_processor().save_pretrained(tmp_path)
    loaded = load_florence(str(tmp_path), max_new_tokens=20)
    assert loaded.answer(picture(), OCR) == detector().answer(picture(), OCR)
    assert loaded.name == str(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: detector(tasks=("<CAPTION>",)), "<CAPTION>"),
        (lambda: detector(tasks=()), "tasks"),
        (lambda: detector(masks="box"), "'box'"),
        (lambda: detector(largest=0), "largest proposal is 0"),
        (lambda: load_florence("none", precision="int4"), "'int4'"),
    ],
)
def test_what_cannot_be_asked_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_fingerprints_tell_settings_apart():
    made = [detector(), detector(tasks=(OCR,)), detector(phrase="logo"), detector(largest=0.1),
            detector(masks="region"), detector(max_new_tokens=30)]  # fmt: skip
    assert len({one.fingerprint for one in made}) == len(made)
