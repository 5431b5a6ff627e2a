"""What heads do to the embedding space, and to kinds of queries."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.study import Study
from helpers.topics.heads.training import Features

COLORS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "gray", "grey",
    "brown", "beige", "golden", "silver",
)  # fmt: skip
# A color that belongs to the name of a thing asks for the thing.
NAMES = re.compile(
    r"\b(?:(?:red|white|green|spring) onions?|black olives?|(?:black|red|white|green) pepper\w*|"
    r"brown rice|(?:red|white) wine|orange (?:slices?|juice|zest)|green (?:beans?|tea)|"
    r"white (?:bread|chocolate|beans?)|black (?:beans?|tea)|brown sugar)\b"
)
COLOR = re.compile(rf"\b(?:{'|'.join(COLORS)})\b")
RARE = 0.01  # a word is rare if a smaller share of the training captions has it
MIN_QUERIES = 20  # of a kind that is shown


def alignment(features: Features) -> float:
    """Mean squared distance of positives on the unit sphere (Wang and Isola 2020); 0 to 4."""
    count, _, rows = features.captions_of_image
    images = np.repeat(features.images, count, axis=0)
    return float(2 - 2 * np.einsum("ij,ij->i", images, features.texts[rows]).mean())


def uniformity(rows: np.ndarray) -> float:
    """``log mean exp(-2 |x - y|^2)`` over pairs of rows (Wang and Isola 2020); lower: more even."""
    distances = 2 - 2 * rows @ rows.T
    return float(np.log(np.exp(-2 * distances[np.triu_indices(len(rows), 1)]).mean()))


def wrong_above(features: Features) -> float:
    """Share of the wrong pairs whose cosine exceeds the mean cosine of the positives; 0 to 1."""
    of_image, of_text = features.item_numbers
    cosines = features.images @ features.texts.T  # (n, m)
    right = of_image[:, None] == of_text
    return float((cosines[~right] > cosines[right].mean()).mean())


def neighbors_kept(before: np.ndarray, after: np.ndarray, *, k: int = 10) -> float:
    """Share of each row's ``k`` nearest rows before that are among its nearest after."""
    k = min(k, len(before) - 1)
    near = []
    for rows in (before, after):
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        near.append(np.argsort(-scores, axis=1, kind="stable")[:, :k])
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(*near, strict=True)]))


def space_of(before: Features, after: Features) -> dict[str, float]:
    """How heads moved a set: positives, wrong pairs, its images, and their neighbors kept."""
    return {
        "alignment": alignment(after),
        "wrong above": wrong_above(after),
        "uniformity": uniformity(after.images),
        "neighbors kept": neighbors_kept(before.images, after.images),
    }


def names_a_color(caption: str) -> bool:
    """Whether a color is asked for, names such as "red onion" aside.

    >>> names_a_color("soup on a red plate"), names_a_color("red onion salad")
    (True, False)
    """
    return bool(COLOR.search(NAMES.sub(" ", caption.casefold())))


def words_of(caption: str) -> list[str]:
    """The words of a caption in lower case.

    >>> words_of("Soup, hot")
    ['soup', 'hot']
    """
    return re.findall(r"[^\W\d_]+", caption.casefold())


def query_kinds(captions: Sequence[str], known: Sequence[str]) -> dict[str, np.ndarray]:
    """Kinds of query by name: (q,) bool; a caption may be of several.

    Parameters
    ----------
    captions : sequence of str
        The queries, in English.
    known : sequence of str
        The captions that heads were trained on: they say which words are rare.

    Returns
    -------
    dict
        ``all``; thirds by length; with and without a color; with a rare word. A kind of fewer than
        ``MIN_QUERIES`` captions is left out.
    """
    n = np.array([len(words_of(one)) for one in captions])
    low, high = np.quantile(n, [1 / 3, 2 / 3], method="lower")
    seen = pd.Series([word for one in known for word in set(words_of(one))]).value_counts()
    common = set(seen.index[seen >= RARE * len(known)])
    color = np.array([names_a_color(one) for one in captions])
    kinds = {
        "all captions": np.ones(len(n), bool),
        f"up to {low} words": n <= low,
        f"{low + 1} to {high} words": (n > low) & (n <= high),
        f"more than {high} words": n > high,
        "names a color": color,
        "names no color": ~color,
        "has a rare word": np.array([not common.issuperset(words_of(one)) for one in captions]),
    }
    first = next(iter(kinds))
    return {k: rows for k, rows in kinds.items() if rows.sum() >= MIN_QUERIES or k == first}


def by_kind(ranks: Mapping[str, pd.DataFrame], kinds: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """hit@10 of captions by kind of query: for :func:`helpers.report.plots.points_with_intervals`.

    ``ranks`` maps a model to its ranks in both directions; the models are the series.
    """
    asked = {model: one[one["direction"] == "text_to_image"] for model, one in ranks.items()}
    rows = []
    for kind, wanted in kinds.items():
        parts = {model: one[wanted[one["query"]]] for model, one in asked.items()}
        study = Study.of(parts, test="test")
        where = {"test": "test", "direction": "text_to_image"}
        rows += [(f"{kind} ({wanted.sum()})", m, study.estimate(m, **where)) for m in parts]
    return pd.DataFrame(rows, columns=["arm", "direction", "estimate"])


def extremes(table: pd.DataFrame, model: str) -> str:
    """A sentence: the kinds of query with the lowest and the highest hit@10 of a model."""
    values = table[table["direction"] == model].set_index("arm")["estimate"]
    values = values.map(lambda one: one.value).dropna()
    if values.empty:
        return ""
    low, high = values.idxmin(), values.idxmax()
    return f"{model}: lowest “{low}”, {values[low]:.1%}; highest “{high}”, {values[high]:.1%}."


def cases(
    before: pd.DataFrame, after: pd.DataFrame, *, k: int = 5, seed: int
) -> tuple[list[int], str]:
    """A caption that gained its image among the first ``k``, one that lost it, one of neither.

    Returns
    -------
    list of int, str
        Numbers of captions, drawn at random; a sentence with the number of each.
    """
    was, now = (
        one[one["direction"] == "text_to_image"].sort_values("query")["rank"].to_numpy() <= k
        for one in (before, after)
    )
    found = {"gained": now & ~was, "lost": was & ~now, "found by neither": ~was & ~now}
    draw = np.random.default_rng(seed).permutation
    queries = [int(q) for rows in found.values() for q in draw(np.flatnonzero(rows))[:1]]
    counts = ", ".join(f"{rows.sum()} {name}" for name, rows in found.items())
    return queries or [0], f"Among the first {k}, of {len(now)} captions: {counts}."
