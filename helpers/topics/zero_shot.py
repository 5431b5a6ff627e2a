"""Lesson 03: what a frozen dual encoder gains without training, its study and its figures."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import logsumexp

from helpers.data.sets import RetrievalSet, drawn_sets
from helpers.evaluation.metrics import summary
from helpers.evaluation.ranking import (
    DIRECTIONS,
    TIE_TOLERANCE,
    check_embeddings,
    gallery_of,
    rank_both_directions,
)
from helpers.models.encoder import load_encoder
from helpers.report import plots, style, tables
from helpers.study import Design, Study

BETAS = (3, 10, 20, 50, 100)
Sides = tuple[np.ndarray, np.ndarray]  # embeddings of images (n, d) and of captions (m, d)


def center(embeddings: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Subtract a mean embedding and scale to length 1 again."""
    moved = embeddings - mean
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def with_bank(banks: Mapping[str, np.ndarray], betas: Mapping[str, float]) -> Callable:
    """A score that takes off each item's popularity among the queries of a bank.

    The inverted softmax of Smith et al., "Offline bilingual word vectors" (2017), as Bogolin et
    al., "Cross modal retrieval with querybank normalisation" (2022), use it.
    """

    def score(direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        beta = betas[direction]
        popularity = logsumexp(beta * (banks[direction] @ gallery.T), axis=0) / beta  # (g,)
        return queries @ gallery.T - popularity

    return score


def choose_betas(banks: Mapping[str, np.ndarray], held: Sides, data: RetrievalSet) -> dict:
    """The sharpness that validates best in MRR, for each direction."""
    scores = {}
    for beta in BETAS:
        ranks = rank_both_directions(*held, data, with_bank(banks, dict.fromkeys(banks, beta)))
        for direction, part in ranks.groupby("direction"):
            scores[direction, beta] = summary(part["rank"], "mrr")
    return {d: max(BETAS, key=lambda beta, d=d: scores[d, beta]) for d in DIRECTIONS}


def mixed_ranks(images: np.ndarray, texts: np.ndarray, data: RetrievalSet) -> pd.DataFrame:
    """Search images and captions in one gallery with each caption.

    Only entries of other recipes push an answer down, and a caption does not find itself. Ties rank
    in the middle, and embeddings are refused, as in :mod:`helpers.evaluation.ranking`.

    Returns
    -------
    DataFrame
        As :func:`helpers.evaluation.ranking.rank_both_directions`, with ``test``: ``mixed, images``
        ranks the first image of the caption's recipe, ``mixed, captions`` the first other caption
        (of captions that are not alone). ``gallery_size`` counts what is ranked: the entries of
        other recipes and the ``positives``.
    """
    images = check_embeddings(images, name="images").astype(np.float64)
    texts = check_embeddings(texts, name="captions").astype(np.float64)
    parts = []
    of_image, of_text = (
        gallery_of(i, data.galleries) for i in (data.image_items, data.caption_items)
    )
    for name in np.unique(of_text):
        held, asked = of_image == name, of_text == name
        scores = texts[asked] @ np.vstack([images[held], texts[asked]]).T  # (q, images + captions)
        np.fill_diagonal(scores[:, held.sum() :], -np.inf)
        own = np.r_[data.image_items[held], data.caption_items[asked]]
        positive = data.caption_items[asked][:, None] == own
        negatives = np.where(positive, -np.inf, scores)
        is_image = np.arange(len(own)) < held.sum()
        for answers, kind in (("images", is_image), ("captions", ~is_image)):
            wanted = positive & kind & np.isfinite(scores)
            count = wanted.sum(axis=1)
            best = np.where(wanted, scores, -np.inf).max(axis=1)[:, None]
            above = (negatives > best + TIE_TOLERANCE).sum(axis=1)
            tied = (negatives >= best - TIE_TOLERANCE).sum(axis=1) - above
            found = {"query": np.flatnonzero(asked), "group": own[held.sum() :]}
            about = {"test": f"mixed, {answers}", "direction": "text_to_image", "gallery": name}
            sizes = {"gallery_size": (~positive).sum(axis=1) + count, "positives": count}
            rank = {"rank": 1 + above + tied / 2}
            parts.append(pd.DataFrame(found | about | sizes | rank)[count > 0])
    return pd.concat(parts, ignore_index=True)


def run_study(design: Design, *, device: str = "cpu") -> Study:
    """Measure every treatment of every base model on the recipes that the design names."""
    parts = [_measure(design, base, device) for base in design.base]
    return parts[0].join(*parts[1:])


def _measure(design: Design, base: str, device: str) -> Study:
    sets = drawn_sets(design.data)
    encoder = load_encoder(base, device=device)
    sides = {n: (encoder.images(s.images), encoder.texts(s.captions)) for n, s in sets.items()}
    new, known, held = (sides[name] for name in ("test", "training", "validation"))
    data = sets["test"]
    means = [one.mean(axis=0) for one in known]
    moved = tuple(center(*pair) for pair in zip(new, means, strict=True))
    banks = {"text_to_image": known[1], "image_to_text": known[0]}
    betas = choose_betas(banks, held, sets["validation"])
    sharp = dict.fromkeys(betas, design.settings["too_sharp"])
    other = {
        "text_to_image": encoder.texts(sets["other domain"].captions),
        "image_to_text": encoder.images(sets["other domain"].images),
    }
    ranked = {
        "zero-shot": rank_both_directions(*new, data),
        "centered": rank_both_directions(*moved, data),
        "query bank": rank_both_directions(*new, data, with_bank(banks, betas)),
        "bank too sharp": rank_both_directions(*new, data, with_bank(banks, sharp)),
        "bank of another domain": rank_both_directions(*new, data, with_bank(other, betas)),
    }
    mixed = {"zero-shot": mixed_ranks(*new, data), "centered": mixed_ranks(*moved, data)}
    label = "" if base == next(iter(design.base)) else f", {base}"
    info = {"base": base, **{f"beta {d}": b for d, b in betas.items()},
            "gap": float(np.linalg.norm(means[0] - means[1]))}  # fmt: skip
    both = Study.of({f"{k}{label}": v for k, v in ranked.items()}, test="kitchen", info=info)
    return both.join(Study.of({f"{k}{label}": v for k, v in mixed.items()}, info=info))


def study_differences(study: Study) -> dict[str, dict[str, float]]:
    """Each treatment of the study minus zero-shot, for every base model, by a name to show."""
    ends = sorted({arm.partition(", ")[2] for arm in study.arms})
    first = study.runs["base"].iloc[0]
    return {
        f"{treatment}, {end or first}": {
            f"{treatment}, {end}".rstrip(", "): 1, f"zero-shot, {end}".rstrip(", "): -1
        }
        for end in ends
        for treatment in dict.fromkeys(arm.partition(", ")[0] for arm in study.arms)
        if treatment != "zero-shot"
    }  # fmt: skip


def mixed_table(mixed: Study) -> pd.DataFrame:
    """hit@10 of the answers of a mixed gallery: a row for each arm, a column for each answer."""
    cells = {
        answers.partition(", ")[2]: [
            tables.value_text(mixed.estimate(arm, test=answers, direction="text_to_image"))
            for arm in mixed.arms
        ]
        for answers in mixed.tests
    }
    return pd.DataFrame(cells, index=pd.Index(mixed.arms, name="embeddings"))


def difference_sentences(table: pd.DataFrame) -> list[str]:
    """``centered, text to image: +2.4 [0.6, 4.1] points`` for each row of a study's table."""
    names = style.DIRECTION_NAMES | {"both": "both directions"}
    rows = table.itertuples()
    return [f"{r.arm}, {names[r.direction]}: {tables.points(r.estimate)}" for r in rows]


def histograms(values: Mapping[str, Sequence[float]], *, heading: str, xlabel: str) -> Figure:
    """Distributions on one axis, each as a share of its own values."""
    fig, ax = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    low, high = (f(np.concatenate([np.asarray(v) for v in values.values()])) for f in (min, max))
    for i, (name, part) in enumerate(values.items()):
        how = {"bins": np.linspace(low, high, 41), "weights": np.full(len(part), 1 / len(part)),
               "color": style.LINES[i]}  # fmt: skip
        ax.hist(part, histtype="stepfilled", alpha=0.35, **how)
        ax.hist(part, histtype="step", lw=1.4, ls=("-", "--", ":")[i % 3], label=style.plain(name),
                **how)  # fmt: skip
    ax.set(xlabel=xlabel, ylabel="share, percent")
    style.percent_axis(ax.yaxis)
    plots.legend(ax, len(values) > 1)
    style.title(ax, heading)
    return fig


def heat_map(values: np.ndarray, *, columns: Sequence[str], heading: str) -> Figure:
    """Similarities of a few images (rows) and captions (columns), with the numbers in the cells."""
    n, m = values.shape
    fig, ax = plt.subplots(figsize=(2.2 + 1.15 * m, 1.5 + 0.42 * n), layout="constrained")
    ax.imshow(values, cmap="GnBu", aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        color = "white" if value > values.min() + 0.7 * np.ptp(values) else style.INK
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color=color)
    texts = [style.wrapped(text, width=17, lines=3) for text in columns]
    ax.set_xticks(range(m), texts, fontsize=7.5)
    ax.set_yticks(range(n), [f"image {i + 1}" for i in range(n)])
    ax.grid(visible=False)
    style.title(ax, heading)
    return fig


def modality_plane(images: np.ndarray, texts: np.ndarray, *, heading: str) -> Figure:
    """Embeddings along the line between the two means, and along what varies most beside it."""
    line = images.mean(axis=0) - texts.mean(axis=0)
    line /= np.linalg.norm(line)
    both = np.concatenate([images, texts])
    rest = both - np.outer(both @ line, line)
    across = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)[2][0]
    fig, ax = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
    for i, (name, part) in enumerate({"images": images, "captions": texts}.items()):
        ax.plot(
            part @ line, part @ across, style.MARKERS[i], ms=2.6, alpha=0.45, label=name,
            color=style.LINES[i],
        )  # fmt: skip
    ax.set(xlabel="along the line between the two means", ylabel="largest component beside it")
    plots.legend(ax, True)
    style.title(ax, heading)
    return fig
