"""The gap between two samples: found where there is one, not where there is none."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.first.studies.embedding_gap import embedding_gap, gap_by_layer, probe_auc
from helpers.first.studies.two_samples import folds_of, two_samples

IDS = [f"r{i}" for i in range(60)]
QUICK = {"groups_a": IDS, "groups_b": IDS, "n_permutations": 99, "n_resamples": 200}


def cloud(seed, n=60, d=4, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_no_gap_is_not_distinguishable():
    gap = embedding_gap(cloud(0), cloud(2), **QUICK)
    assert gap.auc_low < 0.5 < gap.auc_high
    assert gap.mmd_p > 0.05
    assert gap.frechet == pytest.approx(gap.frechet_null, rel=0.8)
    assert gap.frechet_null > 0.02
    assert gap.centroid_ratio < 0.3
    assert (gap.n_a, gap.n_b, gap.n_groups) == (60, 60, 60)


def test_without_a_gap_intervals_miss_one_half_as_rarely_as_they_should():
    missed = 0
    for seed in range(80):
        rows = np.concatenate([cloud(seed, n=40), cloud(1000 + seed, n=40)])
        _, low, high = probe_auc(rows, two_samples(IDS[:40], IDS[:40]), n_resamples=150)
        missed += not low <= 0.5 <= high
    assert missed <= 10  # 4 are due; 11 or more would come once in 500 such tests


def test_a_gap_is_found_by_every_number():
    gap = embedding_gap(cloud(0), cloud(1, shift=1.0), **QUICK)
    assert gap.auc_low > 0.8
    assert gap.mmd_p == pytest.approx(0.01)
    assert gap.frechet > 5 * gap.frechet_null
    assert gap.centroid_ratio == pytest.approx(1.0, abs=0.2)  # 2 apart, spread 2


def test_a_gap_in_spread_alone_escapes_the_means_and_not_mmd():
    gap = embedding_gap(cloud(0), 4 * cloud(1), **QUICK)
    assert gap.mmd_p < 0.05
    assert gap.frechet > 2 * gap.frechet_null
    assert gap.centroid_ratio < 0.3
    assert gap.auc < 0.65


def test_units_of_the_features_do_not_matter():
    a, b = cloud(0), cloud(1, shift=0.4)
    one, other = embedding_gap(a, b, **QUICK), embedding_gap(1000 * a, 1000 * b, **QUICK)
    for name in ("auc", "mmd", "mmd_p", "frechet", "frechet_null", "centroid_ratio"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6)


def test_what_a_probe_learns_of_recipes_it_cannot_use():
    """Each recipe has its own place, on one side or the other: memory without a gap."""
    aucs = []
    recipes = np.repeat(np.arange(40), 4)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        places = 10 * rng.normal(size=(40, 60))
        rows = np.repeat(places, 4, axis=0) + 0.01 * rng.normal(size=(160, 60))
        by_recipe = two_samples(recipes[:80], recipes[80:])
        by_picture = two_samples(range(80), range(80, 160))
        aucs.append([probe_auc(rows, s, n_resamples=20)[0] for s in (by_recipe, by_picture)])
    assert np.mean(aucs, axis=0)[0] == pytest.approx(0.5, abs=0.15)
    assert np.min(aucs, axis=0)[1] > 0.95


def test_the_auc_is_the_share_of_pairs_within_folds():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows, samples = np.concatenate([cloud(0), cloud(1, shift=0.3)]), two_samples(IDS, IDS)
    fold = folds_of(samples, 5, seed=42)
    aucs, sizes = [], []
    for f in range(5):
        train, test = fold != f, fold == f
        scale = StandardScaler().fit(rows[train])
        probe = LogisticRegression(C=0.1, max_iter=2000)
        probe.fit(scale.transform(rows[train]), samples.is_a[train])
        scores = probe.decision_function(scale.transform(rows[test]))
        aucs.append(roc_auc_score(samples.is_a[test], scores))
        sizes.append(samples.is_a[test].sum() * (~samples.is_a[test]).sum())
    assert probe_auc(rows, samples)[0] == pytest.approx(np.average(aucs, weights=sizes))


def test_a_perfect_probe_is_as_sure_as_its_recipes_are_many():
    far = cloud(1, shift=50.0)
    value, low, high = probe_auc(np.concatenate([cloud(0), far]), two_samples(IDS, IDS))
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 60))


def test_the_same_seed_gives_the_same_gap():
    one, two = (embedding_gap(cloud(0), cloud(1, shift=0.2), **QUICK) for _ in range(2))
    assert one == two
    other = embedding_gap(cloud(0), cloud(1, shift=0.2), seed=7, **QUICK)
    assert other.mmd == one.mmd
    assert other.frechet_null != one.frechet_null


def test_sides_of_different_size_without_common_recipes():
    gap = embedding_gap(
        cloud(0, n=30), cloud(1, n=50, shift=1.0), groups_a=[f"a{i // 2}" for i in range(30)],
        groups_b=[f"b{i // 2}" for i in range(50)], n_permutations=99, n_resamples=100,
    )  # fmt: skip
    assert (gap.n_a, gap.n_b, gap.n_groups) == (30, 50, 40)
    assert gap.auc_low > 0.7
    assert gap.mmd_p <= 0.02


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="a has 4 columns, b 3"):
        embedding_gap(cloud(0), cloud(1, d=3), **QUICK)
    with pytest.raises(ValueError, match="59 groups"):
        embedding_gap(cloud(0), cloud(1), **(QUICK | {"groups_a": IDS[1:]}))
    with pytest.raises(ValueError, match="at least two on"):
        embedding_gap(cloud(0, n=3), cloud(1, n=3), groups_a="xxx", groups_b="xxx")


def test_layers_come_in_their_order_and_must_be_the_same():
    a = {"layer 2": cloud(0), "layer 10": cloud(2)}
    b = {"layer 2": cloud(1), "layer 10": cloud(3, shift=1.0)}
    found = gap_by_layer(a, b, **QUICK)
    assert found["layer"].tolist() == ["layer 2", "layer 10"]
    assert found["auc"].tolist() == [embedding_gap(a[name], b[name], **QUICK).auc for name in a]
    with pytest.raises(ValueError, match=r"b \['layer 2'\]"):
        gap_by_layer(a, {"layer 2": cloud(1)}, **QUICK)
