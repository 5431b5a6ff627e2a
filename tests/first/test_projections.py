"""PCA fitted once and applied to others; t-SNE at several perplexities."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from helpers.first.studies.projections import project_pca, project_tsne


def cloud(n=30, d=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1)


def test_it_is_the_pca_of_sklearn_up_to_signs():
    rows, others = cloud(), cloud(seed=1)
    found, want = project_pca(rows, others), PCA(2).fit(rows)
    assert found.explained == pytest.approx(want.explained_variance_ratio_)
    for points, raw in zip(found.points, (rows, others), strict=True):
        assert np.abs(points) == pytest.approx(np.abs(want.transform(raw)))


def test_others_do_not_move_the_axes_and_apply_is_the_same_projection():
    rows, others = cloud(), 100 + cloud(seed=1)
    alone, together = project_pca(rows), project_pca(rows, others)
    assert np.array_equal(alone.axes, together.axes)
    assert np.array_equal(alone.apply(others), together.points[1])
    assert np.array_equal(alone.points[0], together.points[0])


def test_signs_are_fixed_by_the_largest_part_of_an_axis():
    found = project_pca(cloud(), n_axes=3)
    largest = np.abs(found.axes).argmax(axis=1)
    assert (found.axes[np.arange(3), largest] > 0).all()
    assert found.axes @ found.axes.T == pytest.approx(np.eye(3))
    mirrored = project_pca(2 * cloud().mean(axis=0) - cloud(), n_axes=3)
    assert mirrored.axes == pytest.approx(found.axes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((2, 4)), "more than 2 rows"),
        (np.zeros((9, 1)), "at least 2 columns"),
        (np.zeros(9), "shape"),
        (np.full((9, 3), np.inf), "not finite"),
    ],
)
def test_rows_that_cannot_be_projected_are_refused(rows, said):
    with pytest.raises(ValueError, match=said):
        project_pca(rows)


def test_tsne_gives_a_map_a_perplexity_and_the_same_one_for_a_seed():
    rows = np.concatenate([cloud(15), 60 + cloud(15)])
    found, again = (project_tsne(rows, (2, 5), seed=3) for _ in range(2))
    assert list(found) == [2, 5]
    for perplexity, points in found.items():
        assert points.shape == (30, 2)
        assert np.array_equal(points, again[perplexity])
    apart = np.linalg.norm(found[5][:15].mean(0) - found[5][15:].mean(0))
    assert apart > 2 * found[5][:15].std(axis=0).max()


@pytest.mark.parametrize("perplexities", [(), (30,), (5, 0.5)])
def test_perplexities_that_make_no_sense_are_refused(perplexities):
    with pytest.raises(ValueError, match="for 30 rows"):
        project_tsne(cloud(30), perplexities)
