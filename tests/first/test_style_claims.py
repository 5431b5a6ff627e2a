"""Claims about looks of the training pictures: which arms they compare, and how they are judged."""

import numpy as np
import pytest

from helpers.first.evaluation.claims import judge_claims
from helpers.first.studies import style_claims as claims

RECIPES = [f"r{i}" for i in range(80)]
ARMS = dict.fromkeys(name for _, a, b in claims.CLAIMS for name in (a, b))


def values(**changes: float) -> dict[str, np.ndarray]:
    """Scores of every arm, alike but for a shift by name, with a little noise of their own."""
    hard = np.random.default_rng(0).uniform(0.2, 0.8, len(RECIPES))
    noise = np.random.default_rng(1)
    return {
        name: hard + changes.get(name, 0.0) + 0.01 * noise.normal(size=len(RECIPES))
        for name in ARMS
    }


def verdicts(found: dict[str, np.ndarray]) -> dict[str, str]:
    judged = judge_claims(claims.style_comparisons(found, RECIPES))
    return {one.claim.name: one.verdict for one in judged}


def test_what_was_concluded_elsewhere_is_supported_where_it_holds():
    found = values(**{claims.SYNTHETIC: -0.1, claims.MIXED: -0.05, claims.FEW: -0.15})
    assert verdicts(found) == dict.fromkeys(
        (claim.name for claim, _, _ in claims.CLAIMS), "supported"
    )


def test_and_contradicted_where_the_opposite_does():
    found = values(
        **{claims.SYNTHETIC: 0.1, claims.MIXED: 0.1, claims.FEW: 0.2, claims.MARKED: -0.1,
           claims.MARKED_ON_MARKED: 0.1}
    )  # fmt: skip
    assert verdicts(found) == dict.fromkeys(
        (claim.name for claim, _, _ in claims.CLAIMS), "contradicted"
    )


def test_without_a_difference_only_sameness_is_supported():
    found = verdicts(values())
    assert found["watermark, clean test"] == found["watermark, marked test"] == "supported"
    assert found["indispensable"] == found["addition"] == "not distinguishable"


def test_the_differences_are_the_first_arm_less_the_second():
    found = values(**{claims.SYNTHETIC: -0.1})
    differences = {claim.name: c for claim, c in claims.style_comparisons(found, RECIPES)}
    assert differences["indispensable"].difference == pytest.approx(0.1, abs=0.01)
    assert differences["indispensable"].n_groups == len(RECIPES)


def test_a_missing_arm_is_named():
    found = values()
    del found[claims.MARKED]
    with pytest.raises(ValueError, match=r"no values of \['watermarked'\]"):
        claims.style_comparisons(found, RECIPES)


@pytest.mark.parametrize(
    ("apart", "verdict"),
    [(0.0, "supported"), (0.004, "supported"), (0.02, "contradicted"), (-0.02, "contradicted")],
)
def test_attention_is_compared_between_arms_which_both_move(apart, verdict):
    rng = np.random.default_rng(2)
    clean = rng.uniform(0.02, 0.1, len(RECIPES)) + 0.3  # far from what it was before training
    watermarked = clean + apart + 0.002 * rng.normal(size=len(RECIPES))
    pair = claims.attention_comparison(watermarked, clean, RECIPES)
    assert pair[1].difference == pytest.approx(apart, abs=0.001)
    [judged] = judge_claims([pair])
    assert judged.verdict == verdict


def test_the_margin_of_attention_is_small_against_the_area_of_a_mark():
    assert claims.ATTENTION.margin == 0.005
