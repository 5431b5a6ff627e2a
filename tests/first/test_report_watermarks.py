"""Galleries and curves of watermarks: colors by truth, a bar a value, tables and records."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.pairs import ensure_pairs
from helpers.first.data.marked_sets import DrawnMarks, kitchen_backgrounds, labelled_set
from helpers.first.prepare.image_cleaning import ensure_cleaned_images
from helpers.first.prepare.watermarks import StrokeDetector
from helpers.first.report.results import write_results
from helpers.first.report.studies import comparison_table
from helpers.first.report.watermarks import (
    HIT_COLOR,
    MISSED_COLOR,
    WRONG_COLOR,
    cleaning_gallery,
    edge_picture,
    labelled_gallery,
    mask_picture,
    moved,
    moved_records,
    opacity_curves,
    picture_table,
    score_records,
    score_table,
)
from helpers.first.studies.watermarks import Moved
from helpers.store.zones import open_zone


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def table():
    rows = [
        (name, opacity, metric, value, value - 0.1, value + 0.1, 9)
        for name in ("fitted", "strokes")
        for opacity, value in ((0.0, 0.3), (0.9, 0.5), (0.15, 0.2))
        for metric in ("iou", "psnr_db")
    ]
    columns = ["detector", "opacity", "metric", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def test_a_mask_shows_hits_misses_and_false_alarms():
    found, truth = np.array([[1, 0, 1, 0]], bool), np.array([[1, 1, 0, 0]], bool)
    pixels = np.asarray(mask_picture(found, truth))[0].tolist()
    assert pixels == [list(HIT_COLOR), list(MISSED_COLOR), list(WRONG_COLOR), [255] * 3]
    assert np.asarray(mask_picture(found))[0].tolist() == [[40] * 3, [255] * 3] * 2
    light = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in
             (HIT_COLOR, WRONG_COLOR, MISSED_COLOR)]  # fmt: skip
    assert light == sorted(light)  # apart in greyscale, too


def test_a_table_of_pictures_has_a_panel_each_and_names():
    rows = [[Image.new("RGB", (8, 8))] * 3] * 2
    figure = picture_table(rows, ["a", "b", "c"], labels=["one", "two"], heading="$h$")
    assert len(figure.axes) == 6
    assert [ax.get_title() for ax in figure.axes[:3]] == ["a", "b", "c"]
    assert figure.axes[3].texts[0].get_text() == "two"
    with pytest.raises(ValueError, match="2 columns"):
        picture_table(rows, ["a", "b"])
    with pytest.raises(ValueError, match="0 rows"):
        picture_table([], ["a"])


def test_galleries_of_subsets_and_of_the_labelled_set(tmp_path):
    pairs = ensure_pairs(open_zone(str(tmp_path)), source="world:kitchen", max_recipes=5,
                         image_px=16, progress=False)  # fmt: skip
    drawn = ensure_cleaned_images(pairs, detector=None, drawn=DrawnMarks(), progress=False)
    assert len(cleaning_gallery(drawn, n=3).axes) == 3 * 4
    found = ensure_cleaned_images(pairs, detector=StrokeDetector(), progress=False)
    assert len(cleaning_gallery(found, n=50).axes) == 3 * len(found.table)
    none = ensure_cleaned_images(pairs, detector=None, drawn=DrawnMarks(share=0), progress=False)
    with pytest.raises(ValueError, match="no picture has a mark"):
        cleaning_gallery(none)
    rows = labelled_set("develop", kitchen_backgrounds("develop", 1, px=16), opacities=(0.5,))
    figure = labelled_gallery(rows, [row.mask for row in rows])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["no mark", "opacity 50 %"]


def test_curves_leave_out_what_has_no_mark_and_draw_each_value_with_its_interval():
    figure = opacity_curves(table(), series="detector", heading="How well")
    iou, psnr = figure.axes
    assert len(iou.containers) == 2
    line, _, (bars,) = iou.containers[0]
    assert line.get_ydata().tolist() == [0.2, 0.5]
    assert line.get_xdata() == pytest.approx([15 - 0.45, 90 - 0.45])
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([0.1, 0.3]), pytest.approx([0.4, 0.6])]
    assert "%" in (iou.get_title() or iou.get_title(loc="left"))
    assert "dB" in (psnr.get_title() or psnr.get_title(loc="left"))
    styles = [container[0].get_linestyle() for container in iou.containers]
    assert len(set(styles)) == 2
    with pytest.raises(ValueError, match="no marked picture"):
        opacity_curves(table().query("opacity == 0"), series="detector", heading="x")


def test_a_table_row_holds_all_metrics_of_a_group():
    found = score_table(table(), by=["detector", "opacity"])
    assert len(found) == 6
    row = found[(found["detector"] == "fitted") & (found["opacity"] == 0.9)].iloc[0]
    assert row["intersection over union, %"] == "50 [40, 60]"
    assert row["PSNR inside the mark, dB"] == "0.5 [0.4, 0.6]"


def test_records_name_metric_and_opacity_and_can_be_written(tmp_path):
    records = score_records(table(), series="detector", lesson="01", run="r", data="set, 64 px")
    assert len({(r.model, r.metric) for r in records}) == len(records) == 12
    assert {r.metric for r in records} >= {"iou at opacity 0.9", "iou without a mark"}
    assert {r.unit for r in records} == {"fraction", "dB"}
    assert write_results(tmp_path, records).is_file()


def test_moved_records_compare_each_subset_with_the_watermarked_pictures():
    groups = np.repeat([f"r{i}" for i in range(20)], 2)
    low, high = np.zeros(40), np.ones(40)
    values = {"watermarked": low, "cleaned": low, "clean": high}
    asked = {"text_to_image": groups, "image_to_text": groups}
    found = Moved({"text_to_image": values}, asked)
    records = moved_records({"zero-shot": found}, lesson="01", run="r", data="d")
    compared = moved(records)
    assert len(records) == 3 + 2 * 2
    assert len(compared) == 4
    verdicts = comparison_table(compared).set_index("model")["verdict"]
    assert verdicts["zero-shot, pictures clean"] == "better"
    assert verdicts["zero-shot, pictures cleaned"] == "not distinguishable"


def test_edges_are_dark_where_they_are_strong():
    gradient = np.zeros((2, 4, 4, 3))
    gradient[1, 2, 1, 0] = -40
    pixels = np.asarray(edge_picture(gradient))
    assert pixels[2, 1].tolist() == [0, 0, 0]
    assert (pixels[0] == 255).all()
    assert (np.asarray(edge_picture(np.zeros((2, 3, 3, 3)))) == 255).all()
