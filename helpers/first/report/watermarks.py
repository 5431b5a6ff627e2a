"""Watermarks to look at: marked, found, filled and clean side by side; scores by opacity."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from helpers.first.data.marked_sets import Labelled
from helpers.first.evaluation.chance import galleries_of
from helpers.first.prepare.image_cleaning import CLEAN, WATERMARKED, CleanedImages
from helpers.first.report.galleries import thumbnail
from helpers.first.report.results import Record
from helpers.first.report.studies import MINUS, against, value_records
from helpers.first.report.style import (
    FAINT,
    MARKERS,
    MUTED,
    PALETTE,
    percent_axis,
    plain,
)
from helpers.first.studies.watermarks import UNMARKED, Moved

METRIC = "hit@10"
NAMES = {
    "precision": "precision, % of found pixels",
    "recall": "recall, % of the mark's pixels",
    "iou": "intersection over union, %",
    "psnr_db": "PSNR inside the mark, dB",
    "ssim": "SSIM inside the mark",
    "any": "pictures with a find, %",
}
IN_PERCENT = ("precision", "recall", "iou", "any")
AS_THEY_ARE = (
    "No watermark is drawn on your images or removed from them. To measure what one costs, add "
    "-p marks=drawn (copies are watermarked); to remove those that are there, add -p marks=found."
)
# From dark to light: they differ in greyscale as well.
HIT_COLOR, WRONG_COLOR, MISSED_COLOR = (20, 90, 50), (214, 64, 80), (244, 190, 70)
LINES = ("-", "--", ":", "-.")
_THUMB_PX = 192


def mask_picture(found: np.ndarray, truth: np.ndarray | None = None) -> Image.Image:
    """A mask as a picture: what was found in black; with the truth, what was missed or wrong, too.

    Parameters
    ----------
    found, truth : (h, w) bool

    Returns
    -------
    PIL.Image.Image
        With a truth: found and true green (dark), missed amber (light), wrong red, on white.
    """
    pixels = np.full((*found.shape, 3), 255, np.uint8)
    if truth is None:
        pixels[found] = 40
        return Image.fromarray(pixels)
    pixels[found & truth] = HIT_COLOR
    pixels[~found & truth] = MISSED_COLOR
    pixels[found & ~truth] = WRONG_COLOR
    return Image.fromarray(pixels)


def edge_picture(gradient: np.ndarray) -> Image.Image:
    """Edges as a picture, dark where they are strong: their largest channel, scaled to the best.

    Parameters
    ----------
    gradient : (2, h, w, 3)
        As ``gradients_of`` gives them.
    """
    strength = np.abs(gradient).max(axis=(0, 3))
    scaled = 255 * (1 - np.clip(strength / max(np.quantile(strength, 0.995), 1e-6), 0, 1))
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


def picture_table(
    rows: Sequence[Sequence[Image.Image]],
    columns: Sequence[str],
    *,
    labels: Sequence[str] = (),
    heading: str = "",
    note: str = "",
) -> Figure:
    """Pictures in rows and named columns.

    Raises
    ------
    ValueError
        If there is no row, or one that has not a picture a column.
    """
    if not rows or any(len(row) != len(columns) for row in rows):
        raise ValueError(
            f"picture_table: {len(rows)} rows of {[len(row) for row in rows]} pictures for "
            f"{len(columns)} columns; give at least one row, and a picture for each column"
        )
    side, head = 1.5, 0.86 if note else 0.6
    height = head + side * len(rows)
    fig, axes = plt.subplots(
        len(rows), len(columns), figsize=(side * len(columns), height), squeeze=False,
        gridspec_kw={"left": 0.01, "right": 0.99, "bottom": 0.01, "top": 1 - head / height,
                     "wspace": 0.04, "hspace": 0.04},
    )  # fmt: skip
    for i, row in enumerate(rows):
        for ax, picture in zip(axes[i], row, strict=True):
            ax.imshow(thumbnail(picture, px=_THUMB_PX))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color=FAINT)
        if labels:
            corner = axes[i][0]
            corner.text(0.03, 0.03, plain(labels[i]), transform=corner.transAxes, fontsize=7,
                        bbox={"fc": "white", "ec": "none", "pad": 1.2})  # fmt: skip
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set_title(plain(name), fontsize=9, fontweight="normal", loc="center", pad=3)
    fig.text(0.01, 1 - 0.06 / height, plain(heading), va="top", fontsize=11, fontweight="bold")
    fig.text(0.01, 1 - 0.32 / height, plain(note), va="top", fontsize=8.5, color=MUTED)
    return fig


def cleaning_gallery(
    made: CleanedImages, *, n: int = 5, heading: str = "Watermarked, found, cleaned, clean"
) -> Figure:
    """The first ``n`` watermarked pictures, spread over the table, in every subset."""
    table = made.table[made.table["marked"] != "0"]
    if table.empty:
        raise ValueError("cleaning_gallery: no picture has a mark; draw some, or look elsewhere")
    keys = table["image_key"].iloc[np.unique(np.linspace(0, len(table) - 1, n).astype(int))]
    known = CLEAN in made.subsets
    rows = []
    for key in keys:
        marked, *others = (subset.image(key) for subset in made.subsets.values())
        mask = mask_picture(made.found(key), made.truth(key) if known else None)
        rows.append([marked, mask, *others])
    columns = ["watermarked", "mask", "cleaned", *(["clean"] * known)]
    note = "mask: dark green found, amber missed, red wrong" if known else "mask: what was found"
    return picture_table(rows, columns, heading=heading, note=note)


def labelled_gallery(
    rows: Sequence[Labelled], masks: Sequence[np.ndarray], *, heading: str = "Marks and finds"
) -> Figure:
    """Pictures of the labelled set above what was found, from the faintest to the strongest."""
    pictures = [row.image for row in rows]
    finds = [mask_picture(m, row.mask) for m, row in zip(masks, rows, strict=True)]
    names = [f"opacity {100 * row.mark.opacity:.0f} %" if row.mark else "no mark" for row in rows]
    note = "below: dark green found, amber missed, red wrong"
    return picture_table([pictures, finds], names, heading=heading, note=note)


def opacity_curves(
    table: pd.DataFrame, *, series: str, heading: str, note: str = "bars: 95 % interval"
) -> Figure:
    """Metrics by the opacity of the mark, a panel a metric, a line a detector or inpainter.

    Parameters
    ----------
    table : DataFrame
        From ``with_intervals`` by ``series`` and ``opacity``.

    Raises
    ------
    ValueError
        If the table is empty.
    """
    table = table[table["opacity"] != UNMARKED]
    if table.empty:
        raise ValueError("opacity_curves: no marked picture to draw; score some first")
    metrics, names = list(dict.fromkeys(table["metric"])), list(dict.fromkeys(table[series]))
    fig, axes = plt.subplots(
        1, len(metrics), figsize=(3.1 * len(metrics) + 0.4, 3.5), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, metric in zip(axes[0], metrics, strict=True):
        for i, name in enumerate(names):
            part = table[(table["metric"] == metric) & (table[series] == name)]
            part = part.sort_values("opacity")
            at = 100 * part["opacity"] + 0.9 * (i - (len(names) - 1) / 2)
            ends = np.abs(part[["low", "high"]].to_numpy().T - part["value"].to_numpy())
            ax.errorbar(at, part["value"], yerr=ends, color=PALETTE[i % 4], lw=1.4, elinewidth=1.1,
                        marker=MARKERS[i % 5], ms=5, ls=LINES[i % 4])  # fmt: skip
        ax.set_xlabel("opacity of the mark, %")
        ax.set_title(NAMES.get(metric, metric), fontsize=9.5, fontweight="normal")
        ax.set_xlim(0, 100)
        if metric in IN_PERCENT:
            ax.set_ylim(-0.02, 1.02)
            percent_axis(ax.yaxis)
    handles = [
        Line2D([], [], color=PALETTE[i % 4], marker=MARKERS[i % 5], ls=LINES[i % 4],
               label=plain(name))
        for i, name in enumerate(names)
    ]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower left", ncols=4, title=note, title_fontsize=8.5,
               alignment="left")  # fmt: skip
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def score_table(table: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """``with_intervals`` with a column a metric: value and interval, in percent where it is one."""
    rows: dict[tuple, dict[str, object]] = {}
    for r in table.itertuples():
        key = tuple(getattr(r, name) for name in by)
        scale, digits = (100, 0) if r.metric in IN_PERCENT else (1, 2 if r.metric == "ssim" else 1)
        value, low, high = (f"{scale * v:.{digits}f}" for v in (r.value, r.low, r.high))
        row = rows.setdefault(key, dict(zip(by, key, strict=True)))
        row[NAMES.get(r.metric, r.metric)] = f"{value} [{low}, {high}]"
    return pd.DataFrame(list(rows.values()))


def score_records(
    table: pd.DataFrame, *, series: str, lesson: str, run: str, data: str, seed: int = 42
) -> list[Record]:
    """``with_intervals`` as records: ``iou at opacity 0.5`` of a detector, and so on."""
    units = {"psnr_db": "dB", "ssim": "SSIM"}
    records = []
    for r in table.itertuples():
        where = "without a mark" if r.opacity == UNMARKED else f"at opacity {r.opacity:g}"
        records.append(
            Record(lesson, run, getattr(r, series), data, "held-out", "", f"{r.metric} {where}",
                   float(r.value), float(r.low), float(r.high), int(r.n), seed,
                   units.get(r.metric, "fraction"))
        )  # fmt: skip
    return records


def moved_records(
    measured: Mapping[str, Moved], *, lesson: str, run: str, data: str, seed: int = 42
) -> list[Record]:
    """The values of each subset of pictures, and each compared with the watermarked ones.

    Parameters
    ----------
    measured : mapping
        Such as ``{"zero-shot": ..., "trained": ...}``; a model is called "zero-shot, cleaned".

    Returns
    -------
    list of Record
        The comparisons have the metric ``hit@10 minus watermarked``.
    """
    about = {"lesson": lesson, "run": run, "data": data, "seed": seed}
    records = []
    for how, found in measured.items():
        galleries = galleries_of(found.groups)
        for way, by_subset in found.values.items():
            groups, gallery = found.groups[way], galleries[way]
            named = {f"{how}, pictures {name}": v for name, v in by_subset.items()}
            records += value_records(named, METRIC, groups, gallery=gallery, direction=way, **about)
            than = f"{how}, pictures {WATERMARKED}"
            records += against(
                named, than, METRIC, groups, called=WATERMARKED, gallery=gallery, direction=way,
                **about,
            )  # fmt: skip
    return records


def moved(records: Sequence[Record]) -> list[Record]:
    """The comparisons among some records: what was measured against watermarked pictures."""
    wanted = f"{METRIC}{MINUS}{WATERMARKED}"
    return [r for r in records if r.metric in (wanted, f"p of {wanted}")]
