"""A drawn source with the captions that a crawl would bring, and the truth about each of them.

Recipes and pictures stay what they are, so that nothing is drawn twice: only the captions of the
pairs change. Any other source keeps its own captions, of which no truth is known.
"""

from dataclasses import replace

import pandas as pd

from helpers.data.pairs import DATASETS, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.data.sources import open_source
from helpers.store.artefacts import Writer, code_of, ensure

TABLE = f"{DATASETS}/pairs_crawled.csv"
TRUTH = f"{DATASETS}/captions_crawled.csv"
TRUTH_COLUMNS = ("recipe_id", "caption", "clean", "language", "noise", "writer", "kind")


def crawled_pairs(
    pairs: Pairs, *, source: str, captions: str = "mixed", max_recipes: int = 0, seed: int = 42
) -> tuple[Pairs, pd.DataFrame]:
    """The pairs with crawled captions, and what is known of each.

    Parameters
    ----------
    pairs : Pairs
        Of the source; recipes, pictures and splits are taken from them.
    source, max_recipes, seed
        As the pairs were made with.
    captions : str
        ``mixed``, or ``clean``: five languages and noise, or neither. Not read where the source is
        no drawn kitchen.

    Returns
    -------
    Pairs, DataFrame
        The table has a row a caption of a recipe, columns ``TRUTH_COLUMNS``, all strings:
        ``clean`` is the English caption that it stands for. It is empty for a source whose truth is
        not known; the pairs then are the ones that were given.
    """
    twin = open_source(_twin_of(source, captions), max_recipes=max_recipes, seed=seed)
    if not hasattr(twin, "truths"):
        return pairs, pd.DataFrame(columns=list(TRUTH_COLUMNS), dtype="str")
    manifest = ensure(
        pairs.zone,
        "crawled-captions",
        kind="crawled captions",
        parameters={"captions": twin.name},
        inputs={"pairs": pairs.manifest.fingerprint, "world": twin.fingerprint},
        build=lambda writer: _build(writer, pairs, twin),
        prefixes=(TABLE, TRUTH),
        code=code_of(__name__),
    )
    frame, truth = (read_pairs(pairs.zone.read_text(key)) for key in (TABLE, TRUTH))
    return replace(pairs, all=frame, manifest=manifest), truth


def _twin_of(source: str, captions: str) -> str:
    """The source with crawled captions, if it is a drawn kitchen that has none yet."""
    options = source.partition("?")[2]
    plain = source.partition("?")[0] == "world:kitchen"
    if not plain or any(f"{key}=" in options for key in ("captions", "languages", "noise")):
        return source
    return f"{source}{'&' if options else '?'}captions={captions}"


def _build(writer: Writer, pairs: Pairs, twin) -> None:
    kept = set(pairs.all["recipe_id"])
    rows = [
        (twin.recipe_id(index), t.text, t.clean, t.language, t.noise, str(t.writer), t.kind)
        for index in range(twin.n_recipes)
        if twin.recipe_id(index) in kept
        for t in twin.truths(index)
    ]
    truth = pd.DataFrame(rows, columns=list(TRUTH_COLUMNS), dtype="str")
    truth = truth[~truth.assign(s=truth["caption"].map(collapse)).duplicated(["recipe_id", "s"])]
    pictures = pairs.all.drop_duplicates("image_key").drop(columns=["caption", "language"])
    frame = pictures.merge(truth[["recipe_id", "caption"]], on="recipe_id")
    frame = frame.assign(language="und")[list(pairs.all.columns)]
    writer.write_text(TABLE, write_pairs(frame))
    writer.write_text(TRUTH, write_pairs(truth))
