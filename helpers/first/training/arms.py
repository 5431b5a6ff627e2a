"""Arms: the ways to adapt a model that a study compares, and the rows that each trains on."""

from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from helpers.data.pairs import Pairs
from helpers.data.trusted import read_trusted_recipes
from helpers.first.models.placement import Placement
from helpers.first.prepare.augment import augmented_captions
from helpers.first.prepare.augmentation_settings import AugmentationConfig
from helpers.first.prepare.negatives import near_duplicates, negative_pairs
from helpers.first.training.settings import Training


@dataclass(frozen=True)
class Arm:
    """One way to adapt a model; a study compares arms.

    Attributes
    ----------
    placement : Placement
    training : Training
    augment : tuple of str
        Image transforms, applied at run time, and caption rules, which add a rewritten copy of
        each caption, by their names in the augmentation file; empty: none.
    negatives : str
        ``none``, or explicit negatives (label 0) that are ``random`` or ``hard``.
    """

    placement: Placement = field(default_factory=Placement)
    training: Training = field(default_factory=Training)
    augment: tuple[str, ...] = ()
    negatives: str = "none"


def training_frame(pairs: Pairs, arm: Arm, rules: AugmentationConfig | None) -> pd.DataFrame:
    """The rows that an arm trains on, with ``label``: pairs, rewritten captions, negatives."""
    train, seed = pairs.train.assign(label="1"), arm.training.seed
    parts = [train]
    if rules is not None and any(rule.enabled for rule in rules.texts.values()):
        rewritten = augmented_captions(train, rules.texts, seed=seed, copy=1)
        parts.append(rewritten[rewritten["caption_rule"] != ""].drop(columns="caption_rule"))
    if arm.negatives != "none":
        groups = near_duplicates(read_trusted_recipes(pairs.zone), image_hashes=pairs.image_hashes)
        wrong = negative_pairs(train, seed=seed, mode=arm.negatives, groups=groups)
        parts.append(wrong.frame.drop(columns="caption_recipe_id"))
    return pd.concat(parts, ignore_index=True)


def rules_as_json(rules: AugmentationConfig | None) -> dict[str, Any]:
    """The enabled rules as JSON values, for the run's identity."""
    if rules is None:
        return {}
    parts = {"images": rules.images, "texts": rules.texts}
    return {
        part: {name: asdict(rule) for name, rule in found.items() if rule.enabled}
        for part, found in parts.items()
    }
