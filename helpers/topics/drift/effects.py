"""What lesson 13 shows: signals by step, delays, causes, and what the changes cost in retrieval."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import rank_both_directions
from helpers.report import galleries, tables
from helpers.report.style import INK, LINES, MARKERS, MUTED, percent_axis, plain
from helpers.study import Study
from helpers.topics.drift.signals import SIGNALS
from helpers.topics.drift.streams import GUISE, KINDS, Pool
from helpers.topics.drift.study import DETECTORS, DIRECTION
from helpers.topics.drift.watch import Watched


def kinds_figure(pool: Pool, n: int = 6) -> Figure:
    """A few images of each guise: known, unseen dish, another style, broken camera."""
    ids = {kind: pool.guises[GUISE[kind]].ids[:n] for kind in KINDS}
    images = [pool.image(one) for some in ids.values() for one in some]
    names = [("known" if kind == "nothing" else kind) for kind, some in ids.items() for _ in some]
    return galleries.image_grid(images, names, columns=n, heading="What arrives")


def group_figure(ratio: np.ndarray, changed: np.ndarray, *, heading: str) -> Figure:
    """Log density ratios (n,) of arrivals: of known dishes, and of those that changed (n,) bool."""
    names = np.where(changed, "unseen dish", "known dishes")
    frame = pd.DataFrame({"log density ratio, whitened": ratio, "arrivals": names})
    fig, ax = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    sns.histplot(frame, x="log density ratio, whitened", hue="arrivals", stat="percent", bins=40,
                 common_norm=False, element="step", palette=LINES[:2], ax=ax)  # fmt: skip
    ax.set(ylabel="share of each, percent")
    ax.set_title(plain(heading), loc="left")
    return fig


def signals_figure(
    watched: Mapping[str, Watched], levels: Mapping[str, float], *, heading: str
) -> Figure:
    """Each signal by step, divided by its threshold: a panel for each kind of stream.

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
    axes[0][0].set_ylabel("signal / its threshold")
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def share_of(study: Study, kind: str, detector: str = "any") -> float:
    """The share of the streams of a kind with an alarm."""
    part = study.queries(kind, DIRECTION)[0]
    return float(np.mean(part.ranks[detector][0] < part.gallery_size.max()))


def shares(study: Study) -> tuple[pd.DataFrame, str, str]:
    """The share of streams with an alarm, by kind and detector, and of those the median delay.

    Returns
    -------
    DataFrame, str, str
        For reading; a sentence on ``any``; the kind with the smallest median delay.
    """
    rows, said, soon = [], [], {}
    for kind in study.tests:
        part = study.queries(kind, DIRECTION)[0]
        for name in DETECTORS:
            ranks = part.ranks[name][0]
            late = np.where(ranks < part.gallery_size.max(), ranks, np.inf)
            delay = np.median(late) if kind != "nothing" else np.inf
            text = f"{delay:g}" if np.isfinite(delay) else "–"
            rows.append((kind, name, f"{100 * share_of(study, kind, name):.0f} %", text))
            if name == "any":
                said.append(f"{kind} {rows[-1][2]}" + f", delay {text}" * (text != "–"))
                soon[kind] = delay
    columns = ["stream", "signal", "with an alarm", "median delay, steps (none: latest)"]
    n = len(part.groups)
    found = f"Streams with an alarm, {n} of each kind (median delay in steps): {'; '.join(said)}."
    return pd.DataFrame(rows, columns=columns), found, min(soon, key=soon.get)


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
           ylabel="streams with an alarm, percent", ylim=(-0.02, 1.02))  # fmt: skip
    percent_axis(ax.yaxis)
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


def retrieval(pool: Pool, *, n: int = 100) -> tuple[Study, pd.DataFrame, str, str]:
    """hit@10 of captions among ``n`` images of one guise: what a change costs, and which most."""
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
    lowest = min(found, key=lambda name: found[name].value)
    return study, table, f"hit@10 among {n} images of one kind: {said}.", lowest


def images_behind(pool: Pool, kind: str, ids: Sequence[str], n: int = 12) -> Figure:
    """The images that an alarm names."""
    images = [pool.image(one) for one in ids[:n]]
    return galleries.image_grid(images, columns=6, heading=f"Behind the alarm: {kind}")
