"""Which pictures of a zone are near-duplicates, and which recipes they hold together in a split."""

from collections.abc import Iterable, Mapping
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.near_duplicates import SIDE, find_matches, thumbnail
from helpers.data.recipes import IMAGES, QUIET, read_trusted_recipes
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone

NAME = "near-duplicates"
TABLE = "fine-tuning-zone/datasets/near_duplicates.csv"
COLUMNS = ("image_a", "image_b", "recipe_a", "recipe_b", "structure", "color_gap")


def ensure_near_duplicates(
    zone: Zone, trusted: Manifest, *, progress: bool = True
) -> tuple[pd.DataFrame, Manifest]:
    """The near-duplicates among the pictures of a trusted zone, searched where that was not done.

    Parameters
    ----------
    zone : Zone
    trusted : Manifest
        Of its trusted zone.
    progress : bool
        Show a bar where there are more than some hundred images.

    Returns
    -------
    DataFrame and Manifest
        A row for each two pictures that are one: their keys, their recipes (which may be the
        same), and how alike they are (see ``near_duplicates.compare``); all strings. Of pictures
        with equal bytes each stands in a row with the first of them.
    """
    manifest = ensure(
        zone,
        NAME,
        kind="near-duplicates",
        parameters={},
        inputs={"trusted-zone": trusted.fingerprint},
        build=lambda writer: _build(writer, trusted, progress),
        prefixes=(TABLE,),
        code=code_of(__name__, "helpers.data.near_duplicates"),
    )
    stream = BytesIO(zone.read_bytes(TABLE))
    return pd.read_csv(stream, dtype="str", keep_default_na=False), manifest


def between_recipes(matches: pd.DataFrame) -> pd.DataFrame:
    """The rows whose pictures belong to two recipes: those that a split has to heed."""
    return matches[matches["recipe_a"] != matches["recipe_b"]].reset_index(drop=True)


def signs_of(pictures: Mapping[str, Iterable[str]], matches: pd.DataFrame) -> dict[str, list[str]]:
    """What ties a recipe to others: hashes of its pictures, and the rows of ``matches`` it is in.

    Recipes that share a sign belong to one group (``splits.groups_by_picture``).
    """
    signs = {recipe_id: list(hashes) for recipe_id, hashes in pictures.items()}
    for number, pair in enumerate(zip(matches["recipe_a"], matches["recipe_b"], strict=True)):
        for recipe_id in pair:
            signs[recipe_id].append(f"near-duplicate {number}")
    return signs


def group_sizes(groups: Mapping[str, str]) -> pd.DataFrame:
    """How many groups there are of each size: columns ``recipes_in_group`` and ``groups``.

    >>> group_sizes({"a": "a", "b": "a", "c": "c"}).values.tolist()
    [[1, 1], [2, 1]]
    """
    sizes = pd.Series(groups, dtype="str").value_counts().value_counts().sort_index()
    return sizes.rename_axis("recipes_in_group").rename("groups").reset_index()


def _build(writer: Writer, trusted: Manifest, progress: bool) -> None:
    images = [(key, r.recipe_id) for r in read_trusted_recipes(writer.zone) for key in r.images]
    same: dict[str, list[int]] = {}  # content: the rows of the pictures that have it
    for row, (key, _) in enumerate(images):
        same.setdefault(trusted.files[f"{IMAGES}/{key}"].sha256, []).append(row)
    firsts = [rows[0] for rows in same.values()]
    small = np.zeros((len(firsts), SIDE, SIDE, 3), np.float32)
    quiet = not progress or len(firsts) <= 10 * QUIET
    for place, row in enumerate(
        tqdm(firsts, desc="search for near-duplicates", unit="image", disable=quiet)
    ):
        image = Image.open(BytesIO(writer.zone.read_bytes(f"{IMAGES}/{images[row][0]}")))
        image.draft("RGB", (4 * SIDE, 4 * SIDE))  # a large JPEG is decoded at a part of its size
        small[place] = thumbnail(image)
    found = find_matches(small)
    near = zip(found.a, found.b, found.structure, found.color_gap, strict=True)
    pairs = [(firsts[a], firsts[b], f"{s:.4f}", f"{gap:.4f}") for a, b, s, gap in near]
    # Equal pictures are compared with nothing, and each stands beside the first of them alone:
    # the pairs of a picture that n recipes show would be n * n / 2.
    equal = ("1.0000", "0.0000")
    pairs += [(rows[0], row, *equal) for rows in same.values() for row in rows[1:]]
    rows = [(images[a][0], images[b][0], images[a][1], images[b][1], *how)
            for a, b, *how in sorted(pairs)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")
    writer.write_text(TABLE, frame.to_csv(index=False, lineterminator="\n"))
