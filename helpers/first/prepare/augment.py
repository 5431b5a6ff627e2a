"""The training pairs of lesson 02: positives, changed copies of them, and negatives, in the zone.

Only the train split comes in here. A changed copy of a test image in training would be a leak, and
a changed test would be another test.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from helpers.data.images import encode_jpeg, load_image
from helpers.data.pairs import COLUMNS, PAIR_IMAGES, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.data.trusted import QUIET, read_trusted_recipes
from helpers.first.prepare.augmentation_settings import AugmentationConfig, TextRule, load_config
from helpers.first.prepare.negatives import MODES, near_duplicates, negative_pairs
from helpers.first.prepare.text_augmentation import augment_caption
from helpers.repro import canonical_json
from helpers.store.artefacts import Manifest, Writer, code_of, ensure
from helpers.store.zones import Zone

if TYPE_CHECKING:
    from torch import Tensor

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
    f"helpers.first.prepare.{name}"
    for name in (
        "augmentation_settings", "food_words", "image_augmentation", "negatives",
        "text_augmentation", "text_facts", "text_reorder", "text_rules", "text_shape",
    )
)  # fmt: skip
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
    pairs: Pairs,
    *,
    config: AugmentationConfig | None = None,
    seed: int = 42,
    copies: int = 1,
    negatives: str = "random",
    progress: bool = True,
) -> AugmentedPairs:
    """The augmented training pairs with negatives, built where they are not there yet.

    Parameters
    ----------
    pairs : Pairs
        From ``ensure_pairs``; its train rows alone are used.
    config : AugmentationConfig, optional
        By default the course's ``augmentation_config.yaml``.
    copies : int
        Changed copies of each image; each carries every caption of its recipe, rewritten. 0: none.
    negatives : str
        ``random``, ``hard`` (see ``negative_pairs``) or ``none``. One to each positive row.

    Raises
    ------
    ValueError
        If there is nothing to train on, or no negative can be found.
    ArtefactError
        If files from elsewhere lie in the zone, or files of it were changed.
    """
    if copies < 0:
        raise ValueError(f"copies is {copies}; it must be at least 0")
    if negatives not in (*MODES, "none"):
        raise ValueError(f"negatives is {negatives!r}; use one of {', '.join(MODES)}, none")
    config = load_config() if config is None else config
    parameters = {
        "config": {"images": _plain(config.images), "texts": _plain(config.texts)},
        "seed": seed, "copies": copies, "negatives": negatives, "kornia": version("kornia"),
    }  # fmt: skip

    def build(writer: Writer) -> None:
        _build(writer, pairs, config, seed, copies, negatives, progress)

    manifest = ensure(
        pairs.zone,
        NAME,
        kind="augmented pairs",
        parameters=parameters,
        inputs={"pairs": pairs.manifest.fingerprint},
        build=build,
        prefixes=(TABLE, COUNTS, AUGMENTED_IMAGES),
        code=code_of(__name__, *CODE),
    )
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


def augmented_captions(
    frame: pd.DataFrame, rules: Mapping[str, TextRule], *, seed: int, copy: int
) -> pd.DataFrame:
    """The frame with every caption rewritten, and the column ``caption_rule``.

    A caption is rewritten alike for all images of its recipe that share a ``copy``.
    """
    done = {}
    for recipe, text, language in frame[["recipe_id", "caption", "language"]].itertuples(
        index=False
    ):
        if (recipe, text) not in done:
            entropy = canonical_json([seed, copy, recipe, text]).encode()
            rng = np.random.default_rng(np.frombuffer(entropy, np.uint8))
            done[recipe, text] = augment_caption(text, rng, rules, language=language)
    results = [done[item] for item in zip(frame["recipe_id"], frame["caption"], strict=True)]
    return frame.assign(caption=[r.text for r in results], caption_rule=[r.rule for r in results])


def pixels_of(images: list[Image.Image]) -> "Tensor":
    """Images of one size as (n, 3, h, w) float32 in [0, 1]."""
    import torch

    values = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(values).permute(0, 3, 1, 2).float() / 255


def images_of(pixels: "Tensor") -> list[Image.Image]:
    """The inverse of ``pixels_of``, rounded to eight bits."""
    values = (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(value) for value in values]


def _build(
    writer: Writer, pairs: Pairs, config: AugmentationConfig, seed: int, copies: int,
    negatives: str, progress: bool,
) -> None:  # fmt: skip
    train = pairs.train
    if train.empty:
        raise ValueError("there are no training pairs to augment; the source is too small")
    train = train.assign(label="1", caption_recipe_id=train["recipe_id"])
    parts = [train.assign(origin="original", image_rule="", caption_rule="")]
    for copy in range(1, copies + 1):
        done = dict(_write_images(writer, pairs, config, seed, copy, progress))
        changed = augmented_captions(train, config.texts, seed=seed, copy=copy)
        parts.append(
            changed.assign(
                origin="augmented",
                image_rule=changed["image_key"].map(done),
                image_key=[augmented_key(key, copy) for key in changed["image_key"]],
            )
        )
    positives = pd.concat(parts, ignore_index=True)
    same = positives["caption"].map(collapse)
    twice = positives.assign(same=same).duplicated(["image_key", "same"])
    positives = positives[~twice].reset_index(drop=True)
    counts = {
        "original_positives": int((positives["origin"] == "original").sum()),
        "augmented_positives": int((positives["origin"] == "augmented").sum()),
        "duplicates_removed": int(twice.sum()),
        "augmented_images": positives.loc[
            positives["origin"] == "augmented", "image_key"
        ].nunique(),
        "captions_unchanged": int(
            ((positives["origin"] == "augmented") & (positives["caption_rule"] == "")).sum()
        ),
    }
    table = positives
    if negatives != "none":
        groups = near_duplicates(read_trusted_recipes(pairs.zone), image_hashes=pairs.image_hashes)
        found = negative_pairs(positives, seed=seed, mode=negatives, groups=groups, captions=train)
        wrong = found.frame.assign(caption_rule="", language=_languages(found.frame, train))
        table = pd.concat([positives, wrong], ignore_index=True)
        counts |= {"negatives": len(found.frame), "negatives_repeated": found.repeated}
        counts |= {f"refused: {reason}": n for reason, n in found.refused.items()}
    writer.write_text(TABLE, write_pairs(table[list(AUGMENTED_COLUMNS)]))
    writer.write_text(COUNTS, canonical_json(counts))


def _write_images(
    writer: Writer, pairs: Pairs, config: AugmentationConfig, seed: int, copy: int, progress: bool
) -> Iterator[tuple[str, str]]:
    """Write a changed copy of each training image; yields its key and what was done."""
    from helpers.first.prepare.image_augmentation import augment_images

    keys = list(dict.fromkeys(pairs.train["image_key"]))
    with tqdm(
        total=len(keys), desc=f"augmented images, copy {copy}", unit="image",
        disable=not progress or len(keys) <= QUIET,
    ) as bar:  # fmt: skip
        for start in range(0, len(keys), _BATCH):
            batch = [(key, pairs.image(key)) for key in keys[start : start + _BATCH]]
            for _, same_size in groupby(sorted(batch, key=_size), key=_size):
                names, images = zip(*same_size, strict=True)
                changed, steps = augment_images(
                    pixels_of(list(images)), names, rules=config.images, seed=seed, copy=copy
                )
                for key, image, own in zip(names, images_of(changed), steps, strict=True):
                    place = f"{AUGMENTED_IMAGES}/{augmented_key(key, copy)}"
                    writer.write_bytes(place, encode_jpeg(image))
                    yield key, "+".join(step.name for step in own)
            bar.update(len(batch))


def _languages(negatives: pd.DataFrame, train: pd.DataFrame) -> list[str]:
    """The language of each negative caption, which need not be that of the positive."""
    columns = ["recipe_id", "caption", "language"]
    known = {(r, c): language for r, c, language in train[columns].itertuples(index=False)}
    return [
        known[x] for x in zip(negatives["caption_recipe_id"], negatives["caption"], strict=True)
    ]


def _size(item: tuple[str, Image.Image]) -> tuple[int, int]:
    return item[1].size


def _plain(rules: Mapping[str, object]) -> dict[str, dict]:
    return {name: asdict(rule) for name, rule in rules.items()}
