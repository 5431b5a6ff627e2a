"""The style of every figure: colors that keep their order in gray, a second sign beside each color.

A color never stands alone: series also differ by marker or line, so that a figure says the
same on paper, in gray and to a color-blind reader.
"""

import textwrap
import unicodedata
from functools import cache

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes

# From dark to light: the order of lightness is the order of series.
PALETTE = ("#16324f", "#b5472f", "#3a93a8", "#e0a63a", "#cfd8dc")
MARKERS = ("o", "s", "^", "D", "v")
INK, MUTED, FAINT = "#1c2530", "#5b6672", "#d5dae0"
LINES = (*PALETTE[:-1], MUTED)  # for lines and marks, which the lightest color does not carry
HIT, MISS = "#1b7a43", "#8a939d"
DIRECTION_NAMES = {"text_to_image": "text to image", "image_to_text": "image to text"}
DIRECTION_COLORS = {"text_to_image": PALETTE[0], "image_to_text": PALETTE[1], "both": PALETTE[2]}


def set_style() -> None:
    """Set the house style for all figures that follow: fonts that ship with matplotlib, 120 dpi.

    Call it once, near the imports of a lesson. It changes no back end.
    """
    sns.set_theme(style="whitegrid", palette=list(PALETTE))
    mpl.rcParams.update(
        {
            "figure.dpi": 120,
            "savefig.dpi": 120,
            "savefig.bbox": "tight",
            "font.family": ["DejaVu Sans"],
            "font.size": 9.5,
            "text.color": INK,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlepad": 10,
            "axes.labelsize": 9.5,
            "axes.labelcolor": INK,
            "axes.edgecolor": MUTED,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#e6e9ec",
            "grid.linewidth": 0.7,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "legend.fontsize": 9,
        }
    )


def title(ax: Axes, text: str, *, note: str = "") -> None:
    """A title on the left and, under it, a quieter line that says how to read the figure."""
    ax.set_title(text, loc="left", pad=24 if note else 10)
    if note:
        ax.annotate(
            note, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points",
            color=MUTED, fontsize=8.5, va="bottom",
        )  # fmt: skip


def percent_axis(axis) -> None:
    """Show an axis of fractions in percent: the only place where fractions are multiplied."""
    axis.set_major_formatter(lambda fraction, _: f"{round(100 * fraction, 6) + 0.0:g}")


def plain(text: str) -> str:
    """Text that a figure shows as it stands: no math, no line breaks, no missing glyphs.

    ``$`` is escaped, white space becomes single spaces, and characters that the house font lacks
    become U+FFFD, which it has: users' captions can hold anything.
    """
    text = unicodedata.normalize("NFC", " ".join(str(text).split()))
    shown = "".join(c if ord(c) in _glyphs() else "\ufffd" for c in text)
    return shown.replace("$", r"\$")


def wrapped(text: str, *, width: int, lines: int) -> str:
    """``plain`` text broken to ``width`` characters, cut after ``lines`` lines with an ellipsis."""
    text = " ".join(str(text).split())
    return "\n".join(map(plain, textwrap.wrap(text, width, max_lines=lines, placeholder=" …")))


@cache
def _glyphs() -> frozenset[int]:
    """The code points that DejaVu Sans, the font inside matplotlib, can draw."""
    path = mpl.font_manager.findfont("DejaVu Sans")
    return frozenset(mpl.font_manager.get_font(path).get_charmap())
