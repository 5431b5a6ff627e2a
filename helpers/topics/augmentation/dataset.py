"""The training pairs of lesson 02 in the zone: positives, changed copies of them, and negatives.

Only the train split comes in here. A changed copy of a test image in training would be a leak, and
a changed test would be another test.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby

import pandas as pd
from PIL import Image

from helpers.data.images import encode_jpeg, load_image
from helpers.data.pairs import COLUMNS, PAIR_IMAGES, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.data.trusted import read_trusted_recipes
from helpers.repro import canonical_json
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone
from helpers.topics.augmentation.config import Config
from helpers.topics.augmentation.images import augment, chances_of, images_of, pixels_of, used
from helpers.topics.augmentation.negatives import MODES, Negatives, near_duplicates, negative_pairs
from helpers.topics.augmentation.texts import rewritten

NAME = "augmented-pairs"
TABLE = "fine-tuning-zone/datasets/train_pairs_augmented_with_negatives.csv"
COUNTS = "fine-tuning-zone/datasets/augmentation_counts.json"
AUGMENTED_IMAGES = "fine-tuning-zone/augmented_images"
# recipe_id, image_key, caption, label, ... as in the positives, then how the row came about
AUGMENTED_COLUMNS = (
    *COLUMNS[:3], "label", *COLUMNS[3:],
    "origin", "image_rule", "caption_rule", "caption_recipe_id",
)  # fmt: skip
CODE = tuple(
    f"{__package__}.{name}" for name in ("dataset", "facts", "images", "negatives", "texts")
)
_BATCH = 64


@dataclass(frozen=True)
class AugmentedPairs:
    """The table and its images.

    ``all`` has the columns ``AUGMENTED_COLUMNS``, all strings: ``label`` "1" or "0", ``origin``
    "original" or "augmented", ``image_rule`` and ``caption_rule`` name what was done ("" nothing),
    ``caption_recipe_id`` whose caption it is. ``counts`` says what was made, refused and removed.
    """

    all: pd.DataFrame
    counts: Mapping[str, int]
    manifest: Manifest
    zone: Zone

    @property
    def positives(self) -> pd.DataFrame:
        """The rows with label 1, originals and changed copies."""
        return self.all[self.all["label"] == "1"].reset_index(drop=True)

    @property
    def negatives(self) -> pd.DataFrame:
        """The rows with label 0."""
        return self.all[self.all["label"] == "0"].reset_index(drop=True)

    def image(self, key: str) -> Image.Image:
        """The image of an ``image_key``, original or changed."""
        folder = AUGMENTED_IMAGES if ".aug" in key.rsplit("/", 1)[-1] else PAIR_IMAGES
        return load_image(self.zone.read_bytes(f"{folder}/{key}"))


def ensure_augmented(
    pairs: Pairs, *, config: Config, seed: int = 42, copies: int = 1, negatives: str = "random"
) -> AugmentedPairs:
    """The augmented training pairs with negatives, built where they are not there yet.

    Parameters
    ----------
    pairs : Pairs
        Its train rows alone are used.
    copies : int
        Changed copies of each image; each carries every caption of its recipe, rewritten. 0: none.
    negatives : str
        ``random``, ``hard`` (:func:`negative_pairs`) or ``none``. One to each positive row.

    Raises
    ------
    ValueError
        If there is nothing to train on, or no negative can be found.
    ArtefactError
        If files from elsewhere lie in the zone, or files of it were changed.
    """
    if copies < 0:
        raise ValueError(f"copies is {copies}; give 0 or more")
    if negatives not in (*MODES, "none"):
        raise ValueError(f"negatives is {negatives!r}; use one of {', '.join(MODES)}, none")
    if pairs.train.empty:
        raise ValueError("there are no training pairs to augment; give a source with more recipes")
    manifest = ensure(
        pairs.zone, NAME, kind="augmented pairs",
        parameters={"config": config.dump(), "seed": seed, "copies": copies,
                    "negatives": negatives, "kornia": version("kornia")},
        inputs={"pairs": pairs.manifest.fingerprint},
        build=lambda writer: _build(writer, pairs, config, seed, copies, negatives),
        prefixes=(TABLE, COUNTS, AUGMENTED_IMAGES), code=code_of(*CODE),
    )  # fmt: skip
    zone = pairs.zone
    counts = json.loads(zone.read_text(COUNTS))
    return AugmentedPairs(read_pairs(zone.read_text(TABLE)), counts, manifest, zone)


def augmented_key(key: str, copy: int) -> str:
    """The key of a changed copy, below ``augmented_images/``.

    >>> augmented_key("007/0.jpg", 1)
    '007/0.aug1.jpg'
    """
    stem, _, suffix = key.rpartition(".")
    return f"{stem}.aug{copy}.{suffix}"


def rewritten_rows(frame: pd.DataFrame, config: Config, *, seed: int, copy: int) -> pd.DataFrame:
    """The frame with every caption rewritten, and the column ``caption_rule``.

    A caption is rewritten alike for all images of its recipe that share a ``copy``.
    """
    said = list(frame[["recipe_id", "caption", "language"]].itertuples(index=False, name=None))
    once = {
        (recipe, text, language): rewritten(
            text, config.texts, seed=seed, key=f"{recipe}/{copy}", language=language
        )
        for recipe, text, language in dict.fromkeys(said)
    }
    done = [once[row] for row in said]
    return frame.assign(caption=[r.text for r in done], caption_rule=[r.rule for r in done])


def negatives_of(pairs: Pairs, positives: pd.DataFrame, *, mode: str, seed: int) -> Negatives:
    """Captions of other training recipes for some rows, near-duplicates kept apart."""
    groups = near_duplicates(read_trusted_recipes(pairs.zone), image_hashes=pairs.image_hashes)
    return negative_pairs(positives, seed=seed, mode=mode, groups=groups, captions=pairs.train)


def _build(
    writer: Writer, pairs: Pairs, config: Config, seed: int, copies: int, negatives: str
) -> None:
    train = pairs.train.assign(label="1", caption_recipe_id=pairs.train["recipe_id"])
    parts = [train.assign(origin="original", image_rule="", caption_rule="")]
    for copy in range(1, copies + 1):
        done = dict(_write_images(writer, pairs, config, seed, copy))
        changed = rewritten_rows(train, config, seed=seed, copy=copy)
        keys = [augmented_key(key, copy) for key in changed["image_key"]]
        rules = changed["image_key"].map(done)
        parts.append(changed.assign(origin="augmented", image_rule=rules, image_key=keys))
    table = pd.concat(parts, ignore_index=True)
    twice = table.assign(same=table["caption"].map(collapse)).duplicated(["image_key", "same"])
    table = table[~twice].reset_index(drop=True)
    new = table["origin"] == "augmented"
    counts = {
        "original_positives": int((~new).sum()),
        "augmented_positives": int(new.sum()),
        "duplicates_removed": int(twice.sum()),
        "augmented_images": table.loc[new, "image_key"].nunique(),
        "captions_unchanged": int((new & (table["caption_rule"] == "")).sum()),
    }
    if negatives != "none":
        found = negatives_of(pairs, table, mode=negatives, seed=seed)
        spoken = train.assign(caption=train["caption"].map(collapse))
        spoken = spoken.drop_duplicates(["recipe_id", "caption"])
        languages = spoken.set_index(["recipe_id", "caption"])["language"].to_dict()
        wrong = found.frame.assign(caption_rule="")
        whose = zip(wrong["caption_recipe_id"], wrong["caption"], strict=True)
        wrong = wrong.assign(language=[languages[one] for one in whose])
        table = pd.concat([table, wrong], ignore_index=True)
        counts |= {"negatives": len(wrong), "negatives_repeated": found.repeated}
        counts |= {f"refused: {reason}": n for reason, n in found.refused.items()}
    writer.write_text(TABLE, write_pairs(table[list(AUGMENTED_COLUMNS)]))
    writer.write_text(COUNTS, canonical_json(counts))


def _write_images(
    writer: Writer, pairs: Pairs, config: Config, seed: int, copy: int
) -> Iterator[tuple[str, str]]:
    """Write a changed copy of each training image; yields its key and what was done."""
    rules, keys = config.images, list(dict.fromkeys(pairs.train["image_key"]))
    for start in range(0, len(keys), _BATCH):
        batch = [(key, pairs.image(key)) for key in keys[start : start + _BATCH]]
        for _, same_size in groupby(sorted(batch, key=_size), key=_size):
            names, images = zip(*same_size, strict=True)
            chances = chances_of(names, rules, seed=seed, copy=copy)
            changed = images_of(augment(pixels_of(images), chances, rules))
            for key, image, own in zip(names, changed, used(chances, rules), strict=True):
                writer.write_bytes(
                    f"{AUGMENTED_IMAGES}/{augmented_key(key, copy)}", encode_jpeg(image)
                )
                done = zip(rules, own.tolist(), strict=True)
                yield key, "+".join(name for name, applied in done if applied)


def _size(item: tuple[str, Image.Image]) -> tuple[int, int]:
    return item[1].size
