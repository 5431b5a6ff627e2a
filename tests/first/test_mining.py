"""Hard negatives: what a plain loop finds, and what the guards keep out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.retrieval.mining import mine_captions


def unit(n, seed, d=8):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive(images, texts, image_groups, text_groups, captions, k, ceiling):
    rows = []
    for image, group in zip(images, image_groups, strict=True):
        mine = [j for j, g in enumerate(text_groups) if g == group]
        said = {captions[j].lower() for j in mine}
        limit = ceiling * max(float(texts[j] @ image) for j in mine)
        good = [
            j
            for j in np.argsort(-(texts @ image), kind="stable")
            if text_groups[j] != group
            and captions[j].lower() not in said
            and not (limit > 0 and texts[j] @ image > limit)
        ]
        rows.append((good + [-1] * k)[:k])
    return rows


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.5, 0.95, 1.5, np.inf]))
def test_mining_is_a_guarded_sort(seed, k, ceiling):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 4, 12)
    text_groups = np.concatenate([np.arange(4), rng.integers(0, 4, 10)])
    images, texts = unit(12, seed), unit(14, seed + 1)
    captions = [f"Caption {i}" for i in rng.integers(0, 10, 14)]
    named = [str(g) for g in groups], [str(g) for g in text_groups]
    found = mine_captions(images, texts, *named, captions, k=k, depth=99, ceiling=ceiling)
    assert found.rows.tolist() == naive(images, texts, *named, captions, k, ceiling)


def test_each_guard_counts_what_it_keeps_out():
    images = np.array([[1.0, 0.0]])
    angles = np.array([0.1, 0.0, 0.2, 0.3, 1.2])
    texts = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    captions = ["Soup", "soup ", "hot soup", "broth", "a pie"]
    mined = mine_captions(
        images, texts, ["a"], ["a", "b", "a", "c", "d"], captions, k=2, ceiling=0.9
    )
    assert mined.rows.tolist() == [[4, -1]]
    assert mined.refused == {"group": 2, "wording": 1, "ceiling": 1}
    open_ceiling = mine_captions(
        images, texts, ["a"], ["a", "b", "a", "c", "d"], captions, k=2, ceiling=np.inf
    )
    assert open_ceiling.rows.tolist() == [[3, 4]]


def test_no_deeper_than_asked():
    texts = unit(6, 2)
    groups = [str(i) for i in range(6)]
    mined = mine_captions(texts, texts, groups, groups, groups, k=5, depth=3, ceiling=np.inf)
    assert (mined.rows >= 0).sum(axis=1).tolist() == [2] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"ceiling": 0.0}, "ceiling 0.0"),
        ({"captions": ["x"]}, "1 captions"),
        ({"text_groups": ["a", "c"]}, "group 'b' has images and no caption"),
    ],
)
def test_bad_input_is_named(changes, message):
    given_ = {"image_groups": ["a", "b"], "text_groups": ["a", "b"], "captions": ["x", "y"]}
    given_ |= changes
    groups = given_.pop("image_groups"), given_.pop("text_groups"), given_.pop("captions")
    with pytest.raises(ValueError, match=message):
        mine_captions(np.eye(2), np.eye(2), *groups, **given_)
