"""What heads did to the space and to kinds of questions, apart from the one score."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.alignment import alignment, modality_gap, neighbor_overlap, uniformity
from helpers.first.evaluation.chance import telling_k
from helpers.first.evaluation.errors import by_kind, told_apart
from helpers.first.models.adapters import Heads, apply_heads
from helpers.first.models.encoders import Encoder
from helpers.first.training.features import Features, take_recipes
from helpers.first.training.head_runs import HeadArm, Parts, first_hits, train_arm
from helpers.repro import hash_of


def misalignment(heads: Heads, home: Features, away: Features, *, k: int = 10) -> dict[str, float]:
    """How embeddings lie after heads were put on, at home and in a domain they never saw.

    Parameters
    ----------
    heads : Heads
    home, away : Features
        Test features of the domain that was trained on, and of another.
    k : int
        Neighbors that are compared with those on the frozen model, and the K of hit@K; 5 or 1 where
        there are too few images or captions for it.

    Returns
    -------
    dict
        ``gap``, ``alignment``, ``uniformity, pictures``, ``uniformity, captions`` (lower is more
        even), ``neighbors kept, pictures``, ``neighbors kept, captions`` (fractions), ``hit@K,
        home``, ``hit@K, away`` (fractions, mean of both directions).
    """
    images, texts = apply_heads(heads, home.images, home.texts)
    data = home.data
    near_images, near_texts = (
        min(k, telling_k(len(rows) - 1)) for rows in (home.images, home.texts)
    )
    return {
        "gap": modality_gap(images, texts),
        "alignment": alignment(images, data.image_ids, texts, data.caption_ids),
        "uniformity, pictures": uniformity(images),
        "uniformity, captions": uniformity(texts),
        "neighbors kept, pictures": float(
            neighbor_overlap(home.images, images, k=near_images).mean()
        ),
        "neighbors kept, captions": float(neighbor_overlap(home.texts, texts, k=near_texts).mean()),
        **_hit(heads, home, k, "home"),
        **_hit(heads, away, k, "away"),
    }


def with_texts(
    features: Features, encoder: Encoder, texts: Sequence[str], ids: Sequence[str]
) -> Features:
    """The same pictures with other texts, such as listings in the place of captions.

    Pictures whose recipe has no text are left out.

    Parameters
    ----------
    features : Features
    encoder : Encoder
        The frozen model, for the texts.
    texts, ids : (m,) str
        And the recipe of each.

    Raises
    ------
    ValueError
        If no picture has a text.
    """
    data, known = features.data, set(ids)
    rows = np.flatnonzero([i in known for i in data.image_ids.tolist()])
    if not len(rows):
        raise ValueError("no text belongs to a recipe of the pictures: give recipe ids")
    here = set(data.image_ids[rows].tolist())
    kept = [(text, i) for text, i in zip(texts, ids, strict=True) if i in here]
    keys = tuple(data.image_keys[row] for row in rows)
    words, of_text = zip(*kept, strict=True)
    part = RetrievalSet(keys, data.image_ids[rows], words, np.array(of_text))
    name = hash_of([features.fingerprint, kept])
    return Features(part, features.images[rows], encoder.texts(list(words)), name)


def heads_on_texts(
    parts: Parts, encoder: Encoder, arm: HeadArm, texts: Sequence[str], ids: Sequence[str]
) -> Heads:
    """The heads of an arm on its own recipes and with its own settings, but on other texts.

    Parameters
    ----------
    texts, ids
        As for :func:`with_texts`; recipes without a text are left out.
    """
    sample = take_recipes(parts.train, arm.n_recipes, seed=arm.training.seed)
    told = replace(parts, train=with_texts(sample, encoder, texts, ids))
    return train_arm(told, replace(arm, n_recipes=0)).best


def foil_values(
    encoder: Encoder, models: Mapping[str, Heads], asked: pd.DataFrame, features: Features
) -> dict[str, np.ndarray]:
    """Whether each model tells the truth from the foil, question by question.

    Parameters
    ----------
    encoder : Encoder
        The frozen model, for the texts.
    models : mapping of name to Heads
    asked : DataFrame
        As :func:`helpers.first.prepare.foils.attribute_foils` gives it; its pictures are in ``features``.

    Returns
    -------
    dict of name to (n,) float64
        1, 0, or one half for a tie.

    Raises
    ------
    KeyError
        If a picture has no features.
    """
    row_of = {key: row for row, key in enumerate(features.data.image_keys)}
    pictures = features.images[[row_of[key] for key in asked["image_key"]]]
    texts = [encoder.texts(asked[side].tolist()) for side in ("truth", "foil")]
    found = {}
    for name, heads in models.items():
        images, truths = apply_heads(heads, pictures, texts[0])
        found[name] = told_apart(images, truths, apply_heads(heads, pictures, texts[1])[1])
    return found


def foil_kinds(
    encoder: Encoder, models: Mapping[str, Heads], asked: pd.DataFrame, features: Features
) -> pd.DataFrame:
    """:func:`foil_values` by kind of question, as :func:`helpers.first.evaluation.errors.by_kind`."""
    values = foil_values(encoder, models, asked, features)
    kinds = {kind: (asked["kind"] == kind).to_numpy() for kind in asked["kind"].unique()}
    return by_kind(values, kinds, asked["recipe_id"].to_numpy())


def preferences(
    encoder: Encoder, heads: Heads, asked: pd.DataFrame, features: Features
) -> pd.DataFrame:
    """The questions with both cosines: columns ``truth_score`` and ``foil_score`` are added."""
    row_of = {key: row for row, key in enumerate(features.data.image_keys)}
    pictures = features.images[[row_of[key] for key in asked["image_key"]]]
    added = {}
    for side in ("truth", "foil"):
        rows = apply_heads(heads, pictures, encoder.texts(asked[side].tolist()))
        added[f"{side}_score"] = np.einsum("ij,ij->i", *rows)
    return asked.assign(**added)


def _hit(heads: Heads, features: Features, k: int, where: str) -> dict[str, float]:
    ranks = first_hits(heads, features)
    k = min(
        k, telling_k(*map(len, ranks.values()))
    )  # one direction's queries are searched in the other
    hits = float(np.mean([np.mean(np.array(found) <= k) for found in ranks.values()]))
    return {f"hit@{k}, {where}": hits}
