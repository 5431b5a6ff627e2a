"""Arms: the ways to adapt a model that a study compares, and the rows that each trains on."""

from dataclasses import dataclass, field

import pandas as pd

from helpers.data.pairs import Pairs
from helpers.first.models.placement import Placement
from helpers.first.training.settings import Training


@dataclass(frozen=True)
class Arm:
    """One way to adapt a model; a study compares arms."""

    placement: Placement = field(default_factory=Placement)
    training: Training = field(default_factory=Training)


def training_frame(pairs: Pairs) -> pd.DataFrame:
    """The rows that an arm trains on, with ``label``."""
    return pairs.train.assign(label="1")
