"""What lesson 13 shows: signals by step, delays, causes, and what the changes cost in retrieval."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import rank_both_directions
from helpers.models.encoder import Encoder
from helpers.report import galleries, tables
from helpers.report.style import INK, LINES, MARKERS, MUTED, plain
from helpers.study import Study
from helpers.topics.drift.signals import SIGNALS
from helpers.topics.drift.streams import GUISE, KINDS, Images, Pool, pixel_statistics
from helpers.topics.drift.study import DETECTORS, DIRECTION
from helpers.topics.drift.watch import Watched


def kinds_figure(pool: Pool, n: int = 6) -> Figure:
    """A few images of each guise: known, unseen dish, another style, broken camera."""
    ids = {kind: pool.guises[GUISE[kind]].ids[:n] for kind in KINDS}
    images = [pool.image(one) for some in ids.values() for one in some]
    names = [("known" if kind == "nothing" else kind) for kind, some in ids.items() for _ in some]
    return galleries.image_grid(images, names, columns=n, heading="What arrives")


def signals_figure(
    watched: Mapping[str, Watched], levels: Mapping[str, float], *, heading: str
) -> Figure:
    """Each signal by step, divided by its height: a panel for each kind of stream.

    Above 1 is an alarm; the dotted line is the step of the change.
    """
    fig, axes = plt.subplots(1, len(watched), figsize=(2.6 * len(watched) + 0.6, 3.3), sharey=True,
                             squeeze=False, layout="constrained")  # fmt: skip
    for ax, (kind, one) in zip(axes[0], watched.items(), strict=True):
        for i, name in enumerate(SIGNALS):
            ax.plot(one.frame["step"], one.frame[name] / levels[name], color=LINES[i],
                    marker=MARKERS[i], ms=3.5, lw=1.2, label=name)  # fmt: skip
        ax.axhline(1, color=INK, lw=1, ls=(0, (4, 3)))
        if one.stream.starts is not None:
            ax.axvline(one.stream.starts, color=MUTED, lw=1.2, ls=":")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.set_title(plain(kind), fontsize=10, loc="left")
        ax.set_xlabel("step")
    axes[0][0].set_ylabel("signal / its height")
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def alarmed(study: Study, kind: str, detector: str = "any") -> Any:
    """The share of the streams of a kind with an alarm, with its interval over the pools."""
    size = int(study.queries(kind, DIRECTION)[0].gallery_size.max())
    return study.estimate(detector, metric=f"hit@{size - 1}", test=kind, direction=DIRECTION)


def shares(study: Study) -> tuple[pd.DataFrame, str]:
    """The share of streams with an alarm, by kind and detector, and of those the median delay."""
    rows = []
    for kind in study.tests:
        part = study.queries(kind, DIRECTION)[0]
        last = part.gallery_size.max()
        for name in DETECTORS:
            ranks = part.ranks[name][0]
            late = ranks[ranks < last]
            delay = f"{np.median(late):g}" if len(late) and kind != "nothing" else "–"
            rows.append((kind, name, f"{100 * np.mean(ranks < last):.0f} %", delay))
    table = pd.DataFrame(rows, columns=["stream", "signal", "with an alarm", "median delay, steps"])
    n = part.ranks["any"].shape[1]
    any_of = table[table["signal"] == "any"]
    said = "; ".join(
        f"{r[1]} {r[3]}" + (f" after {r[4]} steps" if r[4] != "–" else "")
        for r in any_of.itertuples()
    )
    return table, f"Streams with an alarm of any signal, {n} of each kind: {said}."


def delay_figure(study: Study, *, heading: str) -> Figure:
    """The share of streams with an alarm by the steps since the change, for each kind."""
    fig, ax = plt.subplots(figsize=(7.2, 3.3), layout="constrained")
    for i, kind in enumerate(study.tests):
        part = study.queries(kind, DIRECTION)[0]
        ranks, last = part.ranks["any"][0], int(part.gallery_size.max())
        steps = np.arange(1, last)
        share = [(ranks <= step).mean() for step in steps]
        name = "nothing (false alarms)" if kind == "nothing" else kind
        ax.plot(steps, share, color=LINES[i], marker=MARKERS[i], ms=4, label=name)
    ax.set(xlabel="answers since the change (of nothing: since the first)",
           ylabel="streams with an alarm, share", ylim=(-0.02, 1.02))  # fmt: skip
    fig.legend(loc="outside lower center", ncols=4)
    ax.set_title(plain(heading), loc="left")
    return fig


def causes(alarms: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """How often the cause of an alarm is right, and how many of the images it names changed."""
    rows = [
        (kind, len(part), *(f"{100 * part[name].mean():.0f} %" for name in ("right", "named")))
        for kind, part in alarms.groupby("test", sort=False)
    ]
    columns = ["stream", "alarms", "cause is right", "of the images named, changed"]
    said = "; ".join(f"{kind} {right}" for kind, _, right, _ in rows)
    return pd.DataFrame(rows, columns=columns), f"The cause is right: {said or 'no alarm'}."


def retrieval(pool: Pool, *, n: int = 100) -> tuple[Study, pd.DataFrame, str]:
    """hit@10 of captions among the images of one guise, ``n`` items each: what a change costs."""
    study = None
    for kind in KINDS:
        some = pool.guises[GUISE[kind]].take(range(min(n, len(pool.guises[GUISE[kind]].ids))))
        data = RetrievalSet([None] * len(some.ids), some.ids, [""] * len(some.ids), some.ids)
        ranks = rank_both_directions(some.rows, some.captions, data)
        arm = "known" if kind == "nothing" else kind
        one = Study.of({"model": ranks}, test=arm)
        study = one if study is None else study.join(one)
    found = {name: study.estimate("model", test=name) for name in study.tests}
    rows = [(name, "both", one) for name, one in found.items()]
    table = pd.DataFrame(rows, columns=["arm", "direction", "estimate"])
    said = "; ".join(f"{name} {tables.value_text(one)}" for name, one in found.items())
    return study, table, f"hit@10 among {n} images of one kind: {said}."


def images_behind(pool: Pool, kind: str, ids: Sequence[str], n: int = 12) -> Figure:
    """The images that an alarm names."""
    images = [pool.image(one) for one in ids[:n]]
    return galleries.image_grid(images, columns=6, heading=f"Behind the alarm: {kind}")


def embed(encoder: Encoder, images: Sequence[Image.Image], captions: Sequence[str] = ()) -> Images:
    """Images of one's own, embedded; without captions of them the images are their own queries."""
    rows = encoder.images(images)
    asked = encoder.texts(captions) if len(captions) else rows
    ids = np.array([str(i) for i in range(len(rows))])
    return Images(ids, rows, pixel_statistics(images), asked)


def answered(prediction: Any, right: Any) -> str:
    """What became of a prediction, as a sentence that follows others; empty where none was made."""
    if prediction is ...:
        return ""
    hit = "right" if prediction == right else f"it is {right!r}"
    return f" You predicted {prediction!r}: {hit}."
