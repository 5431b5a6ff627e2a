"""Ranks against a naive oracle: ties, several positives, exclusions, blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evaluation.blocks import GRID, block_bytes, block_shape, on_grid
from helpers.evaluation.embeddings import InvalidEmbeddings
from helpers.evaluation.positives import positives_from_ids, positives_from_lists
from helpers.evaluation.ranks import rank_positives, rank_positives_from_scores
from tests.test_embeddings import unit_rows


def same(a, b) -> bool:
    fields = ("optimistic", "pessimistic", "ranks", "indptr")
    return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)


def places(row, wanted, excluded, *, wins_ties: bool) -> list[int]:
    """Places of the positives in one sorted list, positives before or after their equals."""
    kept = [j for j in range(len(row)) if j != excluded]
    key = (
        (lambda j: (-row[j], j not in wanted)) if wins_ties else (lambda j: (-row[j], j in wanted))
    )
    ordered = sorted(kept, key=key)
    return [place for place, j in enumerate(ordered, start=1) if j in wanted]


@st.composite
def tied_problems(draw):
    """Whole-number scores of few levels, several positives, at times an excluded row."""
    n_queries, n_gallery = draw(st.integers(1, 5)), draw(st.integers(2, 9))
    level = st.integers(0, 3)
    matrix = st.lists(level, min_size=n_gallery, max_size=n_gallery)
    scores = draw(st.lists(matrix, min_size=n_queries, max_size=n_queries))
    rows = st.sets(st.integers(0, n_gallery - 1), min_size=1)
    wanted = [draw(rows) for _ in scores]
    exclude = [
        draw(st.sampled_from([-1, *(j for j in range(n_gallery) if w != {j})])) for w in wanted
    ]
    return scores, wanted, exclude


@settings(max_examples=300, deadline=None)
@given(tied_problems())
def test_scores_agree_with_sorting_each_list_twice(problem):
    scores, wanted, exclude = problem
    relation = positives_from_lists(wanted, n_gallery=len(scores[0]))
    ranking = rank_positives_from_scores(scores, relation, exclude=np.array(exclude))
    for i, row in enumerate(scores):
        targets = wanted[i] - {exclude[i]}
        best = places(row, targets, exclude[i], wins_ties=True)
        worst = places(row, targets, exclude[i], wins_ties=False)
        own = slice(ranking.indptr[i], ranking.indptr[i + 1])
        assert ranking.optimistic[i] == best[0]
        # Losing ties to negatives never means losing them to another positive.
        assert ranking.pessimistic[i] == worst[0]
        assert ranking.ranks[own].tolist() == [
            (a + b) / 2 for a, b in zip(best, worst, strict=True)
        ]
        assert ranking.first[i] == ranking.ranks[own][0]


def test_three_by_three_by_hand():
    scores = [[0.9, 0.5, 0.1], [0.8, 0.3, 0.8], [0.2, 0.2, 0.2]]
    ranking = rank_positives_from_scores(scores, positives_from_lists([[0], [1], [2]], n_gallery=3))
    assert ranking.optimistic.tolist() == [1, 3, 1]
    assert ranking.pessimistic.tolist() == [1, 3, 3]
    assert ranking.first.tolist() == [1, 3, 2]


def test_excluded_reference_holds_no_rank():
    scores, relation = [[9, 5, 1]], positives_from_lists([[1]], n_gallery=3)
    assert rank_positives_from_scores(scores, relation).first.tolist() == [2]
    ranking = rank_positives_from_scores(scores, relation, exclude=[0])
    assert ranking.first.tolist() == [1]


def test_one_hot_encoder_finds_everything_first():
    ids = ["a", "a", "b", "c"]
    rows = np.eye(3)[[0, 0, 1, 2]]
    ranking = rank_positives(rows, rows, positives_from_ids(ids, ids))
    assert ranking.pessimistic.tolist() == [1, 1, 1, 1]
    assert ranking.ranks.tolist() == [1, 2, 1, 2, 1, 1]


def duplicated(n: int = 40, d: int = 24):
    """A gallery of exact copies: each of 10 rows stands in it four times, far apart."""
    gallery = np.tile(unit_rows(n // 4, d, seed=1), (4, 1))
    queries = unit_rows(30, d, seed=2)
    return (
        queries,
        gallery,
        positives_from_lists([[i % n, (i * 7 + 3) % n] for i in range(30)], n_gallery=n),
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 3), (30, 13), (4, 40)])
@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_ranks_do_not_depend_on_blocks(shape, tolerance, monkeypatch):
    queries, gallery, relation = duplicated()
    whole = rank_positives(queries, gallery, relation, tie_tolerance=tolerance)
    assert (whole.optimistic < whole.pessimistic).all()  # copies of a positive always tie with it
    monkeypatch.setattr("helpers.evaluation.ranks.block_shape", lambda *_, **__: shape)
    assert same(whole, rank_positives(queries, gallery, relation, tie_tolerance=tolerance))


def test_a_small_budget_gives_the_same_ranks():
    queries, gallery, relation = duplicated()
    small = rank_positives(queries, gallery, relation, block_mb=0.01)
    assert block_shape(30, 40, 24, block_mb=0.01) != (30, 40)
    assert same(small, rank_positives(queries, gallery, relation))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 30))
def test_embeddings_agree_with_their_scores_and_ignore_order(seed, n_queries, n_rows):
    generator = np.random.default_rng(seed)
    queries, gallery = unit_rows(n_queries + 1, 5, seed), unit_rows(n_rows + 1, 5, seed + 1)
    wanted = [
        generator.choice(len(gallery), generator.integers(1, len(gallery) + 1), replace=False)
        for _ in queries
    ]
    relation = positives_from_lists(wanted, n_gallery=len(gallery))
    ranking = rank_positives(queries, gallery, relation)
    assert same(
        ranking, rank_positives_from_scores(on_grid(queries) @ on_grid(gallery).T, relation)
    )
    order = generator.permutation(len(gallery))
    place = np.argsort(order)
    shuffled = positives_from_lists([place[w] for w in wanted], n_gallery=len(gallery))
    assert same(ranking, rank_positives(queries, gallery[order], shuffled))


def test_grid_scores_are_exact_in_any_order_of_summation():
    rows = on_grid(unit_rows(50, 768))
    assert np.array_equal(rows * GRID, np.rint(rows * GRID))
    products = rows[:25] * rows[25:]
    assert np.array_equal(products.sum(axis=1), products[:, ::-1].cumsum(axis=1)[:, -1])


def test_tolerance_decides_what_is_a_tie():
    scores, relation = [[1.0, 1.0 + 5e-7]], positives_from_lists([[0]], n_gallery=2)
    assert rank_positives_from_scores(scores, relation).first.tolist() == [1.5]
    assert rank_positives_from_scores(scores, relation, tie_tolerance=1e-7).first.tolist() == [2]


@pytest.mark.parametrize("bad", [np.full((3, 2), 2**-0.5), np.full((3, 2), np.nan)])
def test_broken_encoders_are_refused_on_both_sides(bad):
    relation = positives_from_lists([[0], [1], [2]], n_gallery=3)
    good = unit_rows(3, 2)
    with pytest.raises(InvalidEmbeddings, match=r"queries: 3 of 3"):
        rank_positives(bad, good, relation)
    with pytest.raises(InvalidEmbeddings, match=r"gallery: 3 of 3"):
        rank_positives(good, bad, relation)


def test_what_does_not_fit_is_refused():
    rows, relation = unit_rows(3, 4), positives_from_lists([[0], [1], [2]], n_gallery=3)
    with pytest.raises(ValueError, match="4 dimensions and the gallery 5"):
        rank_positives(rows, unit_rows(3, 5), relation)
    with pytest.raises(ValueError, match=r"3 queries and 3 gallery rows, the scores 3 and 4"):
        rank_positives(rows, unit_rows(4, 4), relation)
    with pytest.raises(ValueError, match="tie_tolerance=-1"):
        rank_positives(rows, rows, relation, tie_tolerance=-1)
    with pytest.raises(ValueError, match="rows must lie in -1"):
        rank_positives(rows, rows, relation, exclude=[0, 3, 0])
    with pytest.raises(ValueError, match="whole numbers"):
        rank_positives(rows, rows, relation, exclude=[0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="nan at query 0, gallery row 1"):
        rank_positives_from_scores([[1, np.nan, 0]], positives_from_lists([[0]], n_gallery=3))


@pytest.mark.parametrize("d", [64, 512, 1152])
@pytest.mark.parametrize("block_mb", [16, 256, 1024])
def test_blocks_of_a_large_problem_keep_to_their_budget(d, block_mb):
    rows, columns = block_shape(50_000, 50_000, d, block_mb=block_mb)
    assert 1 <= rows <= 50_000
    assert 1 <= columns <= 50_000
    assert block_bytes(rows, columns, d) <= block_mb * 2**20
    whole = 8 * 50_000**2
    assert block_bytes(rows, columns, d) < whole / 10


def test_block_bytes_counts_scores_and_inputs():
    assert block_bytes(10, 20, 3) == 8 * (10 * 20) + 2 * 8 * 3 * (10 + 20)


def test_a_budget_below_one_score_is_refused():
    with pytest.raises(ValueError, match=r"block_mb=0\.001"):
        block_shape(10, 10, 512, block_mb=0.001)
