"""Does cleaning captions move retrieval? The same captions as crawled, cleaned, and clean.

Each caption is a slot with up to three texts, so that every comparison is paired: zero-shot, the
three texts ask the same question; after training, models that were trained on one of them answer
the same clean questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from helpers.data.pairs import DATASETS, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.first.evaluation.intervals import wilson_interval
from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.encoders import Encoder
from helpers.first.models.placement import Placement
from helpers.first.prepare.cleaning import CleanedPairs
from helpers.first.studies.arms import by_arm, query_values, run_arms
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training
from helpers.repro import hash_of
from helpers.store.artefacts import code_of, ensure

CRAWLED, CLEANED, CLEAN = "as crawled", "cleaned", "clean"
TEXTS = (CRAWLED, CLEANED, CLEAN)
DIRECTIONS = ("text_to_image", "image_to_text")

Values = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Measured:
    """Values by query: direction to kind of text to (q,), and the recipe of each query."""

    values: Values
    groups: Mapping[str, np.ndarray]


def caption_slots(cleaned: CleanedPairs, truth: pd.DataFrame) -> pd.DataFrame:
    """A row a caption with its texts.

    Parameters
    ----------
    cleaned : CleanedPairs
        Of the crawled pairs.
    truth : DataFrame
        ``recipe_id, caption, clean`` and more, from ``crawled_pairs``; empty: not known.

    Returns
    -------
    DataFrame
        ``recipe_id, split``, the columns ``as crawled`` and ``cleaned``, ``language_found`` and
        ``flags``; where the truth is known, ``clean`` and the columns of the truth as well.
    """
    found = cleaned.captions.rename(
        columns={"original": CRAWLED, "caption": CLEANED, "language": "language_found"}
    )
    if truth.empty:
        return found
    known = truth.rename(columns={"caption": CRAWLED})
    return found.merge(known, on=["recipe_id", CRAWLED], validate="one_to_one")


def agreement(slots: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How often cleaning arrives at the clean caption, with Wilson's interval.

    Parameters
    ----------
    slots : DataFrame
        From ``caption_slots``, with the truth.
    by : sequence of str
        Columns to group by, such as ``language``, ``noise``, ``writer``.

    Returns
    -------
    DataFrame
        A row a group: ``n``, ``agree``, ``low``, ``high``, and the shares ``flagged`` (left as it
        was, with a reason) and ``wrong`` (another text, without a flag).
    """
    same = slots[CLEANED].map(_plain) == slots[CLEAN].map(_plain)
    flagged = (slots["flags"] != "") & ~same
    rows = []
    for key, group in slots.groupby(list(by)):
        hits, n = int(same[group.index].sum()), len(group)
        limits, left = wilson_interval(hits, n), float(flagged[group.index].mean())
        shares = {"agree": hits / n, "low": limits.low, "high": limits.high, "flagged": left}
        wrong = float((~same & ~flagged)[group.index].mean())
        rows.append(dict(zip(by, key, strict=True)) | {"n": n} | shares | {"wrong": wrong})
    columns = [*by, "n", "agree", "low", "high", "flagged", "wrong"]
    return pd.DataFrame(rows, columns=columns)


def untouched(slots: pd.DataFrame) -> tuple[int, int]:
    """Of the English captions that came without noise: how many were left alone, and how many."""
    clean = slots[(slots["language"] == "en") & (slots["noise"] == "none")]
    return int((clean[CLEANED] == clean[CRAWLED]).sum()), len(clean)


def zero_shot(
    pairs: Pairs, slots: pd.DataFrame, encoder: Encoder, *, metric: str = "hit@10"
) -> Measured:
    """An unadapted model on the test recipes: the same pictures, asked and described by each text.

    Parameters
    ----------
    pairs : Pairs
        For the pictures of its test recipes.
    slots : DataFrame
        From ``caption_slots``; every slot is a query, also where two of a recipe say the same.

    Returns
    -------
    Measured
        The q of text-to-image are the slots, of image-to-text the pictures.
    """
    asked = slots[slots["split"] == "test"]
    pictures = pairs.test.drop_duplicates("image_key")
    image_ids = pictures["recipe_id"].to_numpy(dtype=str)
    caption_ids = asked["recipe_id"].to_numpy(dtype=str)
    images = encoder.images([partial(pairs.image, key) for key in pictures["image_key"]])
    values: Values = {way: {} for way in DIRECTIONS}
    for name in (text for text in TEXTS if text in asked):
        texts = encoder.texts(list(asked[name]))
        for way, ranking in both_directions(images, image_ids, texts, caption_ids).items():
            values[way][name] = query_values(ranking.first, metric)
    return Measured(values, dict(zip(DIRECTIONS, (caption_ids, image_ids), strict=True)))


def trained(
    pairs: Pairs,
    slots: pd.DataFrame,
    encoder: Encoder,
    arm: Arm,
    *,
    seeds: Sequence[int],
    train_recipes: int = 0,
    metric: str = "hit@10",
) -> Measured:
    """Models trained on each kind of text, all tested on the same clean captions.

    Parameters
    ----------
    pairs : Pairs
        For pictures, splits and zone.
    slots : DataFrame
        From ``caption_slots``. Without a truth the test captions are the cleaned ones.
    arm : Arm
        How to train; with ``keep="last"`` no validation captions decide.
    seeds : sequence of int
    train_recipes : int
        0: all; otherwise the first so many training recipes.

    Returns
    -------
    Measured
        Each query's value is the mean over the seeds.
    """
    texts = [text for text in TEXTS if text in slots]
    runs, test = {}, None
    for text in texts:
        chosen = training_pairs(pairs, slots, text, train_recipes=train_recipes)
        runs[text] = run_arms(chosen, encoder, {text: arm}, seeds=seeds)[text]
        test = chosen.test
    captions = test.assign(same=test["caption"].map(collapse))
    groups = {
        "text_to_image": captions.drop_duplicates(["recipe_id", "same"])["recipe_id"],
        "image_to_text": test.drop_duplicates("image_key")["recipe_id"],
    }
    values = {way: by_arm(runs, way, metric) for way in DIRECTIONS}
    return Measured(values, {way: ids.to_numpy(dtype=str) for way, ids in groups.items()})


def short_arm(*, epochs: int = 2) -> Arm:
    """A short training of both towers, as lesson 04 does it; the last weights are kept."""
    placement = Placement(rank=8, alpha=16.0, dropout=0.05, modules="q_proj,k_proj,v_proj,out_proj",
                          vision_layers=-1, text_layers=-1)  # fmt: skip
    training = Training(epochs=epochs, batch_size=128, learning_rate=0.005, draw="image",
                        keep="last")  # fmt: skip
    return Arm(placement=placement, training=training)


def training_pairs(
    pairs: Pairs, slots: pd.DataFrame, text: str, *, train_recipes: int = 0
) -> Pairs:
    """The pairs whose training part has one kind of text and whose test part the clean ones.

    An artefact of its own in the zone: ``datasets/pairs_<text>.csv``.

    Raises
    ------
    ValueError
        If there is no such kind of text.
    """
    if text not in slots or text not in TEXTS:
        raise ValueError(f"no text {text!r} among the slots: use one of {', '.join(TEXTS)}")
    best = CLEAN if CLEAN in slots else CLEANED
    trains = slots["split"] != "test"
    said = slots[["recipe_id"]].assign(caption=slots[text].where(trains, slots[best]))
    slug = text.replace(" ", "_")
    key = f"{DATASETS}/pairs_{slug}.csv"
    manifest = ensure(
        pairs.zone,
        f"pairs-{slug}",
        kind="pairs of a caption study",
        parameters={"text": text, "test": best, "train_recipes": train_recipes},
        inputs={"pairs": pairs.manifest.fingerprint, "captions": _hash_of(slots)},
        build=lambda w: w.write_text(key, write_pairs(_joined(pairs, said, train_recipes))),
        prefixes=(key,),
        code=code_of(__name__),
    )
    frame = read_pairs(pairs.zone.read_text(key))
    return replace(pairs, all=frame, manifest=manifest)


def _joined(pairs: Pairs, said: pd.DataFrame, train_recipes: int) -> pd.DataFrame:
    pictures = pairs.all.drop_duplicates("image_key").drop(columns=["caption", "language"])
    if train_recipes:
        known = pictures.loc[pictures["split"] == "train", "recipe_id"].drop_duplicates()
        pictures = pictures[~pictures["recipe_id"].isin(known.iloc[train_recipes:])]
    frame = pictures.merge(said, on="recipe_id").assign(language="en")
    twice = frame.assign(same=frame["caption"].map(collapse)).duplicated(["image_key", "same"])
    return frame.loc[~twice, list(pairs.all.columns)].reset_index(drop=True)


def _hash_of(slots: pd.DataFrame) -> str:
    return hash_of([slots[c].tolist() for c in ("recipe_id", "split", *TEXTS) if c in slots])


def _plain(text: str) -> str:
    return collapse(text).casefold()
