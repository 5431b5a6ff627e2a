"""What was concluded elsewhere about real, synthetic and watermarked pictures, as claims to test.

The margins of "hardly matters" are two points of the score and half a point of the attention, which
is small against the area of a watermark, about four points.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from helpers.first.evaluation.claims import Claim
from helpers.first.evaluation.comparison import Comparison, paired_comparison

STUDY = "the food study"
# The arms that claims are about, by the names under which their values are given.
REAL, SYNTHETIC, FEW, MIXED = "real", "synthetic", "few real", "few real + synthetic"
CLEAN_ON_MARKED, MARKED, MARKED_ON_MARKED = (
    "real, tested on watermarked", "watermarked", "watermarked, tested on watermarked",
)  # fmt: skip

CLAIMS: tuple[tuple[Claim, str, str], ...] = (
    (
        Claim(
            "indispensable",
            "Trained on real pictures alone, the model finds real ones better than trained on "
            "synthetic ones alone",
            STUDY,
        ),
        REAL,
        SYNTHETIC,
    ),
    (
        Claim(
            "no substitute",
            "Most real pictures replaced by synthetic ones: worse than real ones alone",
            STUDY,
            "lower",
        ),
        MIXED,
        REAL,
    ),
    (
        Claim(
            "addition",
            "Synthetic pictures added to few real ones help",
            "the reason to make them",
        ),
        MIXED,
        FEW,
    ),
    (
        Claim(
            "watermark, clean test",
            "Watermarks on the training pictures hardly matter, tested on clean ones",
            STUDY,
            "same",
            0.02,
        ),
        MARKED,
        REAL,
    ),
    (
        Claim(
            "watermark, marked test",
            "Watermarks on the training pictures hardly matter, tested on watermarked ones",
            STUDY,
            "same",
            0.02,
        ),
        MARKED_ON_MARKED,
        CLEAN_ON_MARKED,
    ),
)
ATTENTION = Claim(
    "attention, two arms",
    "Trained on watermarked pictures, the model looks at the watermark as much as trained on clean "
    "ones (share of its attention)",
    STUDY,
    "same",
    0.005,
)


def style_comparisons(
    values: Mapping[str, np.ndarray], groups: Sequence[str], *, seed: int = 42
) -> list[tuple[Claim, Comparison]]:
    """Each claim about retrieval with the paired comparison that speaks for or against it.

    Parameters
    ----------
    values : mapping of str to (G,) float
        The score of each test recipe under every arm that a claim is about: see
        :func:`helpers.first.studies.scores.recipe_values`.
    groups : (G,) str
        The recipes.

    Raises
    ------
    ValueError
        If an arm is missing.

    Examples
    --------
    >>> judge_claims(style_comparisons(values, recipes))  # doctest: +SKIP
    """
    needed = dict.fromkeys(name for _, a, b in CLAIMS for name in (a, b))
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"no values of {missing}: the claims are about {list(needed)}")
    return [
        (claim, paired_comparison(values[a], values[b], groups, seed=seed))
        for claim, a, b in CLAIMS
    ]


def attention_comparison(
    watermarked: np.ndarray, clean: np.ndarray, groups: Sequence[str], *, seed: int = 42
) -> tuple[Claim, Comparison]:
    """The claim about attention, with shares on the mark under one arm less those under the other.

    Training moves attention on clean pictures too: what the marks did is the difference between two
    arms after training, not that to the time before it.

    Parameters
    ----------
    watermarked, clean : (n,) float
        Share of the attention that lies on the mark after training on watermarked and on clean
        pictures, of the same watermarked test pictures in the same order.
    groups : (n,) str
        Their recipes.
    """
    return ATTENTION, paired_comparison(watermarked, clean, groups, seed=seed)
