"""What a query needs and what its results show, on drawn triplets and on made-up ranks."""

import numpy as np
import pytest

from helpers.topics.cir import queries
from helpers.topics.cir.triplets import drawn_source


@pytest.fixture(scope="module")
def source():
    parts = {"test": {"first": 0, "n": 24, "gallery": 12}}
    return drawn_source("world:kitchen", parts)


def by_truth(source, wanted):
    """Scores of somebody who sees attributes: how many of ``wanted(triplet)`` an image has."""
    tables = []
    for one in source.sets["test"]:
        rows = []
        for triplet in one.triplets:
            goal = source.truth.shown[triplet.targets[0]].attributes
            names = wanted(triplet)
            rows.append([
                sum(source.truth.shown[image].attributes[n] == goal[n] for n in names)
                for image in one.gallery
            ])  # fmt: skip
        tables.append(np.array(rows, float))
    return tables


ATTRIBUTES = ("dish", "main", "garnish", "sauce", "plate", "shape", "table")


def test_what_finds_a_query_decides_what_it_needs():
    image, text = [[1, 50, 1, 50], [50, 50, 50, 50]], [[1, 2, 50, 50]]
    assert queries.needs(image, text).tolist() == ["either", "text", "image", "both"]


def test_somebody_who_sees_all_has_no_gap(source):
    found = queries.results_of(by_truth(source, lambda t: ATTRIBUTES), source.sets["test"],
                               source.truth)  # fmt: skip
    assert (found.kinds[:, 0] > 0).all()
    assert not found.gap.any()
    assert found.kinds.sum(axis=1).tolist() == [10] * 24
    assert found.shares().sum() == pytest.approx(1)


def test_somebody_who_reads_the_text_alone_finds_the_change(source):
    """With one result each: it has the change, and rarely the rest."""
    tables = by_truth(source, lambda t: t.changed)
    found = queries.results_of(tables, source.sets["test"], source.truth, k=1)
    assert (found.kinds[:, 2:] == 0).all()  # whatever is first fulfills the change
    assert (found.kinds[:, 1] > 0).any()
    assert found.hard.mean() == pytest.approx(found.kinds[:, 1].mean())


def test_a_gap_is_both_parts_in_two_images():
    kinds = np.array([[0, 2, 3, 5], [1, 2, 3, 4], [0, 0, 3, 7], [0, 4, 0, 6]])
    found = queries.Results(kinds)
    assert found.gap.tolist() == [True, False, False, False]
    assert found.hard.tolist() == [0.5, 0.5, 0.3, 0.4]


def test_wordings_ask_for_the_same(source):
    sets = source.sets["test"]
    reworded = queries.reworded(sets, source.truth, 4)
    assert [t.caption for t in reworded[0][0].triplets] == [t.caption for t in sets[0].triplets]
    differ = 0
    for k, wording in enumerate(reworded):
        for one, own in zip(wording, sets, strict=True):
            for said, triplet in zip(one.triplets, own.triplets, strict=True):
                assert said.targets == triplet.targets
                wanted = dict(source.truth.claims(said.caption).wanted)
                goal = source.truth.shown[triplet.targets[0]].attributes
                assert all(goal[name] == value for name, value in wanted.items())
                differ += k > 0 and said.caption != triplet.caption
    assert differ > 24


def test_the_spread_of_wordings_by_hand():
    found = queries.wording_spread([[1, 50, 3, 50], [1, 50, 50, 50]])
    assert found == {"hit": 0.375, "low": 0.25, "high": 0.5, "undecided": 0.25}
