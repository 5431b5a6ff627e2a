"""Which image goes with which caption: every image of a recipe with every caption of it."""

from collections.abc import Iterable

import pandas as pd

from helpers.data.records import Caption, Recipe, captions_of
from helpers.data.wording import collapse

COLUMNS = ("recipe_id", "image_key", "caption", "language", "style", "source", "split")
REMOVED_COLUMNS = ("recipe_id", "caption", "reason")
MISSING, DUPLICATE = "empty", "same as an earlier caption of its recipe"


def build_pairs(recipes: Iterable[Recipe], *, source: str = "") -> pd.DataFrame:
    """Every image of a recipe with every distinct caption of it; never across recipes.

    Empty captions and repeats (white space aside) are left out: ``removed_captions`` names them.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``, all strings; ``style`` is the recipe's attribute of that name, and
        ``split`` is empty.

    >>> pie = Recipe("7", "Pie", ("a.jpg", "b.jpg"), (Caption("a pie"), Caption("a  pie")))
    >>> build_pairs([pie])[["image_key", "caption"]].values.tolist()
    [['a.jpg', 'a pie'], ['b.jpg', 'a pie']]
    """
    rows = [
        (recipe.recipe_id, image, caption.text, caption.language,
         recipe.attributes.get("style", ""), source, "")
        for recipe in recipes
        for image in dict.fromkeys(recipe.images)
        for caption in _sorted_out(recipe)[0]
    ]  # fmt: skip
    return frame_of(rows, COLUMNS)


def removed_captions(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The captions that ``build_pairs`` leaves out: ``recipe_id``, ``caption``, ``reason``."""
    rows = [
        (recipe.recipe_id, caption.text, reason)
        for recipe in recipes
        for caption, reason in _sorted_out(recipe)[1]
    ]
    return frame_of(rows, REMOVED_COLUMNS)


def frame_of(rows: list, columns: tuple[str, ...]) -> pd.DataFrame:
    """A frame of strings."""
    return pd.DataFrame(rows, columns=list(columns), dtype="str")


def _sorted_out(recipe: Recipe) -> tuple[list[Caption], list[tuple[Caption, str]]]:
    """The captions that stay, and those that go with the reason."""
    kept: dict[str, Caption] = {}
    gone: list[tuple[Caption, str]] = []
    for caption in captions_of(recipe):
        text = collapse(caption.text)
        if not text or text in kept:
            gone.append((caption, DUPLICATE if text else MISSING))
        else:
            kept[text] = caption
    return list(kept.values()), gone
