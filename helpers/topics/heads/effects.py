"""What heads do to the embedding space, and to kinds of queries."""

import re
from collections.abc import Callable, Mapping, Sequence
from timeit import repeat
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from helpers.data.sets import RetrievalSet
from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.models.encoder import Encoder
from helpers.report import tables
from helpers.study import Study
from helpers.topics.heads.training import Features, SecondStage, ranks_of
from helpers.training.loop import Fitted

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
MIN_IMAGES = 500  # of a gallery whose neighbors are compared
MIN_ITEMS = 50  # of a validation set that settings are chosen on
MIN_QUERIES = 20  # of a kind that is shown
CHANGE = "hit@10 minus zero-shot, points [95 %]"


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
        The captions that heads were trained on: they say which words are new.

    Returns
    -------
    dict
        All; thirds by length; with and without a color; with a word of no training caption.
    """
    n = np.array([len(words_of(one)) for one in captions])
    low, high = np.quantile(n, [1 / 3, 2 / 3], method="lower")
    seen = {word for one in known for word in words_of(one)}
    color = np.array([names_a_color(one) for one in captions])
    return {
        "all captions": np.ones(len(n), bool),
        f"up to {low} words": n <= low,
        f"{low + 1} to {high} words": (n > low) & (n <= high),
        f"more than {high} words": n > high,
        "names a color": color,
        "names no color": ~color,
        "has a new word": np.array([not seen.issuperset(words_of(one)) for one in captions]),
    }


def gains_by_kind(
    before: pd.DataFrame, after: pd.DataFrame, kinds: Mapping[str, np.ndarray]
) -> tuple[pd.DataFrame, str]:
    """hit@10 after minus before, text to image, by kind of query; pairs of the same query.

    Returns
    -------
    DataFrame, str
        For :func:`helpers.report.plots.points_with_intervals`; the largest and the smallest
        difference as a sentence, and which kinds have fewer than ``MIN_QUERIES`` captions.
    """
    where = {"test": "test", "direction": "text_to_image"}
    pair = [one[one["direction"] == "text_to_image"] for one in (before, after)]
    rows, short = [], []
    for kind, wanted in kinds.items():
        if wanted.sum() < MIN_QUERIES and not wanted.all():
            short.append(kind)
            continue
        parts = [one[wanted[one["query"]]] for one in pair]
        study = Study.of(dict(zip(("before", "after"), parts, strict=True)), test="test")
        level = study.estimate("before", **where)
        level = level.missing or tables.number(level.value, "hit@10")
        name = f"{kind} ({wanted.sum()}), zero-shot {level}"
        rows.append((name, "text_to_image", study.difference("after", "before", **where)))
    table = pd.DataFrame(rows, columns=["arm", "direction", "estimate"])
    known = sorted((one for one in rows[1:] if not one[2].missing), key=lambda one: -one[2].value)
    ends = {"Largest": known[:1], "smallest": known[1:][-1:]}
    said = [
        f"{end} change: {one[0]}, {tables.points(one[2])}" for end, of in ends.items() for one in of
    ]
    left = [f"Left out, fewer than {MIN_QUERIES} captions: {', '.join(short)}."] if short else []
    return table, " ".join(["; ".join(said) + "."] * bool(said) + left)


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


def levels_table(study: Study, *, test: str) -> tuple[pd.DataFrame, str]:
    """hit@1, hit@5, hit@10 and MRR of zero-shot search, chance of hit@10, and hit@10 in words."""
    of = ["hit@1", "hit@5", "hit@10", "mrr"]
    table = study.table(["zero-shot"], metrics=of, test=test)
    chance = {("hit@10", way): study.chance("hit@10", test=test, direction=way)
              for way in dict.fromkeys(table["direction"])}  # fmt: skip
    level = tables.value_text(study.estimate("zero-shot", test=test))
    said = f"Zero-shot hit@10 on the test, mean of both directions: {level}."
    return tables.wide_table(table, chance=chance), said


def few_items(validation: Features) -> str:
    """A warning that follows others where a validation set is small; else empty."""
    n = len(validation.data.items)
    few = f" With {n} validation items, what is chosen here is mostly chance."
    return few if n < MIN_ITEMS else ""


def mined_table(data: RetrievalSet, mined: np.ndarray, *, n: int = 3) -> pd.DataFrame:
    """A caption of the first ``n`` items, and the hard negatives of an image of each."""
    first = [int(np.argmax(data.image_items == item)) for item in data.items[:n]]
    table = pd.DataFrame({"own caption": [data.captions_of[item][0] for item in data.items[:n]]})
    for k in range(mined.shape[1]):
        rows = [mined[i, k] for i in first]
        table[f"hard negative {k + 1}"] = ["–" if r < 0 else data.captions[r] for r in rows]
    return table


def gains(heads: Mapping[str, nn.Module], features: Features) -> dict[str, Estimate]:
    """hit@10 minus zero-shot on a set, mean of both directions, by the name of the heads."""
    study = Study.of({"zero-shot": ranks_of(None, features)}, test="set")
    for name, one in heads.items():
        study = study.add(name, ranks_of(one, features), test="set", seed=0)
    return {name: study.difference(name, "zero-shot", test="set") for name in heads}


def gains_sentence(found: Mapping[str, Estimate]) -> str:
    """The differences of :func:`gains` with their intervals."""
    return "; ".join(f"{name} {tables.points(one)}" for name, one in found.items()) + "."


def below(found: Mapping[str, Estimate]) -> list[str]:
    """The names whose interval lies below 0."""
    return [name for name, one in found.items() if one.high < 0]


def references(features: Features) -> dict[str, float]:
    """hit@10 of the frozen embeddings of a set and of a random ranking, mean of both directions."""
    study = Study.of({"zero-shot": ranks_of(None, features)}, test="set")
    level = study.estimate("zero-shot", test="set").value
    return {"zero-shot": level, "chance": study.chance("hit@10", test="set")}


def curves(fitted: Mapping[str, Fitted]) -> pd.DataFrame:
    """The validation scores of some trainings: ``run``, ``step``, ``value``."""
    parts = [one.evaluations.assign(run=name) for name, one in fitted.items()]
    return pd.concat(parts, ignore_index=True).rename(columns={"score": "value"})


def selection_table(
    found: Mapping[str, Estimate], fitted: Mapping[str, Fitted], zero_shot: float
) -> tuple[pd.DataFrame, str]:
    """hit@10 on validation of each training, its difference from zero-shot, the selected step.

    The sentence names the trainings whose last evaluation is the best one.
    """
    rows, late = [("zero-shot", tables.number(zero_shot, "hit@10"), "", "")], []
    for name, one in found.items():
        level = one.missing or tables.number(zero_shot + one.value, "hit@10")
        step, last = fitted[name].best_step, int(fitted[name].evaluations["step"].max())
        rows.append((name, level, tables.difference_text(one), f"{step} of {last}"))
        late += [name] * (step == last)
    columns = ["heads", "hit@10 on validation", "minus zero-shot, points [95 %]", "selected step"]
    said = f"Best at their last step, so perhaps not finished: {'; '.join(late) or 'none'}."
    return pd.DataFrame(rows, columns=columns), said


def stage_sentence(stage: SecondStage, heads: Fitted) -> str:
    """Which step of a second stage was selected, and how long its steps take beside the heads'."""
    step = stage.fitted.best_step
    kept = f"the weights of step {step} are selected" if step else (
        "it did not improve validation, and its row equals the residual heads"
    )  # fmt: skip
    seconds = [one.seconds / len(one.losses) for one in (stage.fitted, heads)]
    return (
        f"Second stage: {kept}; a step takes about {seconds[0] / seconds[1]:.0f} times as long as "
        "one of heads alone (one measurement)."
    )


def space_table(
    study: Study, before: Features, after: Mapping[str, Features], trainable: Mapping[str, int], *,
    test: str,
) -> pd.DataFrame:  # fmt: skip
    """A row for each kind of head: its parameters, its change of hit@10, and what it did to space.

    The arms of ``study`` have the names of ``after``; numbers stay numbers, but for the change.
    """
    first = {"heads": "zero-shot", "trainable parameters": 0, CHANGE: ""}
    rows = [first | space_of(before, before)]
    for name, found in after.items():
        change = tables.difference_text(study.difference(name, "zero-shot", test=test))
        first = {"heads": name, "trainable parameters": trainable[name], CHANGE: change}
        rows.append(first | space_of(before, found))
    table = pd.DataFrame(rows).round(3)
    return table[[name for name in table if name != "uniformity"] + ["uniformity"]]


def space_sentence(study: Study, table: pd.DataFrame, *, test: str) -> tuple[str, str, str]:
    """The rows of a :func:`space_table` with the lowest hit@10 and the worst alignment.

    Returns
    -------
    str, str, str
        A sentence with the share of wrong pairs above the mean positive; the two rows' names.
    """
    space = table.set_index("heads")
    found = {name: study.difference(name, "zero-shot", test=test) for name in space.index[1:]}
    low, high = (f(found, key=lambda name: found[name].value) for f in (min, max))
    wrong = [f"{name} {tables.number(space['wrong above'][name], 'hit@10')}"
             for name in dict.fromkeys(["zero-shot", low, high])]  # fmt: skip
    return (
        f"hit@10 on the test minus zero-shot, mean of both directions: lowest {low} "
        f"({tables.points(found[low])}), highest {high} ({tables.points(found[high])}). "
        f"Wrong pairs above the mean positive: {'; '.join(wrong)}. "
        f"Worst alignment: {space['alignment'].idxmax()}."
    ), low, space["alignment"].idxmax()  # fmt: skip


def alpha_ranges(sweep: pd.DataFrame) -> tuple[str, str]:
    """From where to where hit@10 on validation goes over alpha above 0.

    ``sweep`` has the columns ``when`` ("set before training"), ``alpha``, ``value`` (a share) and,
    where it was measured, ``length``, the mean length of what is added.

    Returns
    -------
    str, str
        A sentence; "before" or "after", whichever is lower at the largest alpha.
    """
    said, ends = [], {}
    for when, part in sweep[sweep["alpha"] > 0].groupby("when", sort=False):
        values = part.groupby("alpha")["value"].mean()  # over seeds, where there are several
        low, high = (tables.number(x, "hit@10") for x in (values.min(), values.max()))
        ends[when.split()[1]] = values.iloc[-1]
        said.append(
            f"{when}, {low} (alpha {values.idxmin():g}) to {high} ({values.idxmax():g})"
            + (f", length of αA(x) {part['length'].min():.2f} to {part['length'].max():.2f}"
               if "length" in part else "")
        )  # fmt: skip
    return f"hit@10 on validation, both directions, alpha {'; '.join(said)}.", min(
        ends, key=ends.get
    )


def overlap(exact: np.ndarray, found: np.ndarray, *, n_images: int = MIN_IMAGES) -> str:
    """Share of the exact neighbors, (q, k) rows of an index, that another search finds as well.

    Fewer than ``MIN_IMAGES`` different images, however often they were copied, are said instead.
    """
    if n_images < MIN_IMAGES:
        return f"not measured: {n_images} images"
    same = [np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]
    return tables.number(float(np.mean(same)), "hit@10")


def median_ms(work: Callable[[], Any], *, n: int = 30) -> float:
    """Median time of a call in milliseconds."""
    return 1000 * float(np.median(repeat(work, number=1, repeat=n)))


def enlarged(embeddings: np.ndarray, n: int, *, seed: int, noise: float = 0.5) -> np.ndarray:
    """``n`` unit rows: copies of embeddings that are drawn at random, each with noise."""
    rng = np.random.default_rng(seed)
    rows = embeddings[rng.integers(len(embeddings), size=n)]
    rows = rows + noise * rng.normal(size=rows.shape) / rows.shape[1] ** 0.5
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")


def paired_difference(a: np.ndarray, b: np.ndarray, items: np.ndarray) -> Estimate:
    """The mean of ``a - b`` over the same queries, (q,) bool each; items are resampled."""
    return estimate(Sample((a.astype(float) - b)[None], np.asarray(items)))


def more_hits(gain: Estimate, queries: int = 1_000_000) -> str:
    """How many more of so many queries have a positive among the first ten, with the interval."""
    if gain.missing:
        return gain.missing
    more, low, high = (f"{queries * x:+,.0f}" for x in (gain.value, gain.low, gain.high))
    return f"{more} [{low}, {high}] of {queries:,} queries with a positive among the first ten"


def embedding_costs(encoder: Encoder, features: Features) -> str:
    """What the embeddings of a million images take, from a few of a set; as a sentence."""
    images = [features.data.images[i] for i in range(min(64, len(features.images)))]
    hours = median_ms(lambda: encoder.images(images), n=3) / len(images) / 3.6
    size = 1e6 * features.images.shape[1] * features.images.itemsize / 2**20
    return f"The embeddings of a million images take {size:,.0f} MiB and {hours:.1f} hours here."


def sizes_sentence(sizes: pd.DataFrame, sweep: pd.DataFrame) -> str:
    """The gains of a study with most training recipes, high to low, and its ranges over alpha.

    ``sizes`` as :func:`helpers.topics.heads.study.by_size` gives it; ``sweep`` has ``n``, ``how``,
    ``alpha`` and ``score``.
    """
    most = sizes[sizes["n"] == sizes["n"].max()].itertuples()
    order = sorted(most, key=lambda one: -one.estimate.value)
    said = "; ".join(f"{one.arm} {tables.points(one.estimate)}" for one in order)
    parts = sweep.rename(columns={"how": "when", "score": "value"}).groupby("n")
    alphas = [f"With {n:,} recipes: {alpha_ranges(part)[0]}" for n, part in parts]
    head = f"hit@10 minus zero-shot with {sizes['n'].max():,} recipes, mean of both directions: "
    return " ".join([f"{head}{said}.", *alphas])
