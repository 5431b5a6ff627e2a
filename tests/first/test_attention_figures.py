"""Figures of attention: each map over its picture, regions where they are, shares with areas."""

import matplotlib

matplotlib.use("Agg")

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.first.report.attention import _box, attention_overlays, share_curves
from helpers.first.report.style import set_style


@pytest.fixture(autouse=True)
def _style():
    set_style()
    yield
    plt.close("all")


def texts(fig) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig.canvas.draw()
    return "\n".join(t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_visible())


def scene(n=3):
    images = [Image.new("RGB", (16, 16), (60 * i, 90, 120)) for i in range(n)]
    maps = {"epoch 0": np.random.default_rng(0).dirichlet(np.ones(16), n).reshape(n, 4, 4)}
    maps["epoch 1"] = maps["epoch 0"][:, ::-1]
    masks = {name: np.zeros((n, 16, 16), bool) for name in ("watermark", "dish")}
    masks["watermark"][:, 4:7, 3:12] = True
    masks["dish"][:, 3:14, 2:14] = True
    return images, maps, masks


def test_every_map_lies_over_its_picture_in_times_the_even_share():
    images, maps, masks = scene()
    fig = attention_overlays(images, maps, masks, heading="Where?", captions=["a", "b", "$c"])
    grid = np.array(fig.axes[:9]).reshape(3, 3)
    for row, found in zip(grid[1:], maps.values(), strict=True):
        for i, ax in enumerate(row):
            under, heat = ax.images
            assert np.asarray(heat.get_array()) == pytest.approx(16 * found[i])
            assert np.asarray(under.get_array())[0, 0] == np.asarray(images[i].convert("L"))[0, 0]
            assert tuple(heat.get_extent()) == (0, 16, 16, 0)
    scales = {ax.images[1].get_clim() for ax in grid[1:].flat}
    assert len(scales) == 1
    said = texts(fig)
    for part in ("epoch 1", "\\$c", "times the even share", "solid: the true watermark"):
        assert part in said


def test_another_picture_can_lie_under_a_row():
    images, maps, masks = scene()
    other = [Image.new("RGB", (16, 16), "white")] * 3
    fig = attention_overlays(images, maps, masks, heading="?", under={"epoch 1": other})
    grid = np.array(fig.axes[:9]).reshape(3, 3)
    assert np.asarray(grid[2, 0].images[0].get_array())[0, 0] == 255
    assert np.asarray(grid[1, 0].images[0].get_array())[0, 0] < 255


def test_regions_are_outlined_where_they_lie():
    images, maps, masks = scene(1)
    fig = attention_overlays(images, maps, masks, heading="?")
    outlines = [c.get_paths() for c in fig.axes[1].collections]
    boxes = [p.vertices for paths in outlines for p in paths if len(p.vertices)]
    assert len(boxes) == 4  # two regions, white on black
    low = np.min([b.min(axis=0) for b in boxes], axis=0)
    high = np.max([b.max(axis=0) for b in boxes], axis=0)
    assert np.allclose(low, (2, 3), atol=0.6)
    assert np.allclose(high, (14, 14), atol=0.6)


def test_a_region_that_is_missing_or_everything_is_not_outlined():
    images, maps, masks = scene(1)
    masks["watermark"][:] = False
    masks["dish"][:] = True
    assert not attention_overlays(images, maps, masks, heading="?").axes[1].collections


def test_the_box_of_a_mark_holds_it_and_stays_within_the_picture():
    mask = np.zeros((10, 10), bool)
    mask[0, 9] = mask[3, 5] = True
    box = _box(mask)
    assert box[3, 5]
    rows, columns = np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (1, 4, 4, 8)


def test_numbers_that_differ_are_refused():
    images, maps, masks = scene()
    with pytest.raises(ValueError, match="2 pictures"):
        attention_overlays(images[:2], maps, masks, heading="?")
    with pytest.raises(ValueError, match="give one of each a picture"):
        attention_overlays(images, {}, masks, heading="?")


def intervals():
    rows = []
    for c, checkpoint in enumerate(("zero-shot", 1, 2)):
        for v, version in enumerate(("watermarked", "clean")):
            for region, area in (("watermark", 0.04), ("dish", 0.62)):
                share = area + 0.01 * c + 0.002 * v
                rows.append((checkpoint, version, "rollout", region, share, share - 0.01,
                             share + 0.02, area))  # fmt: skip
    columns = ["checkpoint", "pictures", "kind", "region", "share", "low", "high", "area"]
    return pd.DataFrame(rows, columns=columns)


def test_curves_show_shares_intervals_and_areas():
    fig = share_curves(intervals(), heading="Does it move?", note="over recipes")
    mark, dish = fig.axes
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["On the watermark", "On the dish"]
    assert mark.lines[0].get_ydata()[0] == pytest.approx(0.04)
    assert dish.lines[0].get_ydata()[0] == pytest.approx(0.62)
    shares = [line.get_ydata() for line in mark.lines if len(line.get_xdata()) == 3]
    assert any(np.allclose(y, [0.04, 0.05, 0.06]) for y in shares)
    assert any(np.allclose(y, [0.042, 0.052, 0.062]) for y in shares)
    ends = [bar[:, 1].tolist() for c in mark.collections for bar in c.get_segments()]
    assert ends[0] == pytest.approx([0.03, 0.06])
    said = texts(fig)
    for part in ("zero-shot", "clean", "over recipes", "its\narea", "share of the attention, %"):
        assert part in said


def test_lines_differ_in_more_than_color():
    lines = [line for line in share_curves(intervals(), heading="?").axes[0].lines
             if line.get_marker() in ("o", "s")]  # fmt: skip
    looks = {(line.get_marker(), str(line.get_linestyle())) for line in lines}
    assert len(looks) == 2


def test_several_kinds_of_map_in_one_figure_are_refused():
    mixed = pd.concat([intervals(), intervals().assign(kind="last")])
    with pytest.raises(ValueError, match=r"24 rows of the kinds \['last', 'rollout'\]"):
        share_curves(mixed, heading="?")
    with pytest.raises(ValueError, match="0 rows"):
        share_curves(mixed[:0], heading="?")
