"""Mined pairs: of one category, within the band, each picture as often as allowed, all counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.retrieval.pair_mining import OUTCOMES, Band, mine_pairs


def unit(rows):
    rows = np.asarray(rows, dtype=float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive(rows, categories, band, per_image):
    """All pairs of a category, most similar first, each taken if both pictures are free."""
    pairs = sorted(
        (-float(np.float32(rows[a]) @ np.float32(rows[b])), a, b)
        for a in range(len(rows))
        for b in range(a + 1, len(rows))
        if categories[a] == categories[b]
    )
    used, kept = [0] * len(rows), set()
    for minus, a, b in pairs:
        if band.low <= -minus <= band.high and max(used[a], used[b]) < per_image:
            kept.add((a, b))
            used[a] += 1
            used[b] += 1
    return kept


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14), st.integers(1, 3), st.integers(0, 10**6))
def test_as_the_naive_miner_does(n, per_image, seed):
    rng = np.random.default_rng(seed)
    rows, categories = unit(rng.normal(size=(n, 5))), rng.choice(["soup", "pie"], n).tolist()
    band = Band(-0.4, 0.6)
    mined = mine_pairs(rows, categories, band=band, per_image=per_image, depth=n)
    found = {tuple(sorted(pair)) for pair in mined.pairs.tolist()}
    assert found == naive(rows, categories, band, per_image)
    assert len(found) == len(mined.pairs) == len(mined.similarity)
    assert sum(mined.counts.values()) == mined.n_candidates
    assert set(mined.counts) == set(OUTCOMES)
    for (a, b), similarity in zip(mined.pairs, mined.similarity, strict=True):
        assert rows[a] @ rows[b] == pytest.approx(similarity, abs=1e-5)


def test_either_end_can_be_the_reference_and_a_seed_decides():
    rows = unit(np.random.default_rng(0).normal(size=(80, 4)))
    first, again, other = (mine_pairs(rows, ["x"] * 80, band=Band(0, 1), seed=s) for s in (1, 1, 2))
    assert (first.pairs == again.pairs).all()
    assert {tuple(sorted(p)) for p in first.pairs.tolist()} == {
        tuple(sorted(p)) for p in other.pairs.tolist()
    }
    turned = (first.pairs[:, 0] > first.pairs[:, 1]).mean()
    assert 0.2 < turned < 0.8


def test_fewer_pairs_are_a_part_of_all_and_the_rest_is_counted():
    rows = unit(np.random.default_rng(0).normal(size=(60, 4)))
    band = Band(0, 1)
    every, few = (mine_pairs(rows, ["x"] * 60, band=band, n_pairs=n) for n in (0, 7))
    assert len(few.pairs) == few.counts["mined"] == 7
    assert few.counts["not needed"] == len(every.pairs) - 7
    assert {tuple(sorted(p)) for p in few.pairs.tolist()} <= {
        tuple(sorted(p)) for p in every.pairs.tolist()
    }


def test_impossible_settings_are_refused():
    rows = np.eye(3)
    with pytest.raises(ValueError, match="low < high"):
        Band(0.9, 0.8)
    with pytest.raises(ValueError, match="3 pictures and 2 categories"):
        mine_pairs(rows, ["x", "x"])
    with pytest.raises(ValueError, match="per_image is 0"):
        mine_pairs(rows, ["x"] * 3, per_image=0)
