"""Pairs, texts and the filter; the audit of texts against the truth; checks for known failures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers.evaluation.stats import Estimate
from helpers.topics.cir import audit, synthesis
from helpers.topics.cir.synthesis import agreement, filtered, mine_pairs
from helpers.topics.cir.triplets import Triplet, drawn_source
from tests.topics.cir.made_up import unit
from tests.topics.cir.small import small_source, small_triplets


@pytest.fixture(scope="module")
def source():
    return drawn_source("world:kitchen", {"pool": {"first": 0, "n": 30}})


def naive_pairs(rows, categories, per_image):
    """All pairs of a category by similarity; each image in at most so many."""
    pairs = [(float(rows[i] @ rows[j]), i, j) for i in range(len(rows)) for j in range(i)
             if categories[i] == categories[j]]  # fmt: skip
    used, kept = dict.fromkeys(range(len(rows)), 0), []
    for _, i, j in sorted(pairs, reverse=True):
        if max(used[i], used[j]) < per_image:
            used[i], used[j] = used[i] + 1, used[j] + 1
            kept.append({i, j})
    return kept


@pytest.mark.parametrize("per_image", [1, 2])
def test_pairs_are_the_nearest_of_a_category(per_image):
    rng = np.random.default_rng(0)
    rows, categories = unit(rng.normal(size=(20, 6))), ["a", "b"] * 10
    names = [str(i) for i in range(20)]
    found = mine_pairs(rows, names, categories, per_image=per_image)
    want = naive_pairs(rows, categories, per_image)
    assert [set(map(int, pair)) for pair in found] == want
    assert mine_pairs(rows, names, categories, per_image=per_image, n_pairs=3) == found[:3]
    assert any(int(a) > int(b) for a, b in found)  # which is the reference is drawn
    assert any(int(a) < int(b) for a, b in found)


def test_the_same_image_twice_is_no_pair():
    rows = unit([[1, 0], [1, 0.001], [0.8, 0.6]])
    found = mine_pairs(rows, list("abc"), ["x"] * 3, per_image=1)
    assert set(found[0]) in ({"a", "c"}, {"b", "c"})


@pytest.mark.parametrize(
    ("forward", "back", "agrees"),
    [
        ("on a red plate", "on a blue plate", True),
        ("with tofu instead of beef", "with beef instead of tofu", True),
        ("with tofu instead of beef", "with beef", True),
        ("with tofu instead of beef", "with egg instead of tofu", False),  # beef does not return
        ("on a red plate", "on a red plate", False),  # wanted both ways
        ("on a red plate", "with beef", False),  # other attributes
        ("without basil", "with basil", True),
        ("make it nicer", "make it worse", False),  # names nothing
    ],
)
def test_texts_of_both_directions_agree(source, forward, back, agrees):
    assert agreement(forward, back, source.truth) is agrees


class Told:
    """A truth that says the same of every image."""

    def __init__(self, truth):
        self.truth = truth

    def __getattr__(self, name):
        return getattr(self.truth, name)

    def captions(self, name):
        return ("beef soup",)


@pytest.fixture
def soups(source):
    return replace(source, truth=Told(source.truth))


def test_every_reason_is_met_and_counts_add_up(soups):
    names = soups.names("pool")
    texts = [
        ("on a red plate", "on a blue plate", "kept"),
        ("on a red plate…", "on a blue plate", "unfinished"),
        ("red", "on a blue plate", "too short"),
        ("on a red plate " * 6, "on a blue plate", "too long"),
        ("on a red plate", "On a  red plate", "same both ways"),
        ("on a red plate", "with beef instead of tofu", "directions disagree"),
    ]
    texts.append(("a pie instead", "sushi instead", "unsupported value"))
    pairs = [(names[0], names[1])] * len(texts)
    made = filtered(soups, pairs, *zip(*[t[:2] for t in texts], strict=True))
    assert made.table["reason"].tolist() == [t[2] for t in texts]
    counts = made.counts()
    assert counts["pairs"].sum() == len(texts)
    assert [t.caption for t in made.triplets] == ["on a red plate"]
    assert made.triplets[0].reverse == "on a blue plate"


def test_a_text_that_is_written_too_often_is_dropped(soups):
    n = synthesis.MOST_ALIKE + 2
    names = soups.names("pool")
    made = filtered(soups, [(names[0], names[1])] * n, ["on a red plate"] * n,
                    ["on a blue plate"] * n)  # fmt: skip
    assert made.table["reason"].value_counts().to_dict() == {"kept": n - 2, "repeated": 2}


def test_photographs_are_filtered_without_a_truth():
    photos = small_source(small_triplets(4))
    made = filtered(photos, [("t0", "t1")], ["is red and long"], ["is blue and short"])
    assert len(made.triplets) == 1


def test_texts_from_captions_are_differences(source):
    said = {"a": "beef soup with basil", "b": "tofu soup", "c": "something else"}
    forward, back = synthesis.from_captions(source, [("a", "b"), ("b", "a")], said)
    assert forward[0] == back[1]
    claims = source.truth.claims(forward[0])
    assert ("main", "tofu") in claims.wanted
    assert ("garnish", "basil") in claims.removed
    plain = synthesis.difference_text("a long shirt", "a long red shirt", None, None)
    assert plain == "with red"
    assert (
        synthesis.difference_text("a long red shirt", "a long shirt", None, None) == "without red"
    )


def test_synthesized_targets_are_drawn_in_the_other_style(source):
    both, triplets = synthesis.synthesized(source, "pool", 3)
    one, own = triplets[0], source.triplets("pool")[0]
    assert (one.reference, one.caption) == (own.reference, own.caption)
    painted, photo = both.load_image(one.targets[0]), source.load_image(own.targets[0])
    assert painted.size == photo.size
    assert painted.tobytes() != photo.tobytes()
    assert both.load_image(one.reference).tobytes() == source.load_image(own.reference).tobytes()
    with pytest.raises(ValueError, match="Left out"):
        synthesis.synthesized(small_source(small_triplets(4)), "train", 2)


@pytest.mark.slow
def test_a_pipeline_of_a_directory_paints_the_targets(tmp_path, source):
    from diffusers import StableDiffusionInstructPix2PixPipeline as Editing

    from tests.topics.test_watermarks import tiny_pipeline

    parts = tiny_pipeline(in_channels=8).components
    wanted = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    Editing(
        **{name: parts[name] for name in wanted}, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(tmp_path)  # fmt: skip
    both, triplets = synthesis.synthesized(source, "pool", 2, pipeline=str(tmp_path))
    target, again = (both.load_image(triplets[0].targets[0], px=32) for _ in range(2))
    drawn = synthesis.synthesized(source, "pool", 2)[0].load_image(triplets[0].targets[0], px=32)
    assert target.size == drawn.size
    assert target.tobytes() == again.tobytes() != drawn.tobytes()
    other = both.load_image(triplets[1].targets[0], px=32)
    assert other.tobytes() != target.tobytes()


SOUP = {"dish": "soup", "main": "beef", "garnish": "none", "plate": "red"}


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("on a blue plate", {"plate": "blue"}, {"complete": True, "missed": 0, "differing": 1}),
        ("on a green plate", {"plate": "blue"}, {"hallucinated": True, "complete": False}),
        ("on a red plate", {"plate": "blue"}, {"wrong side": True, "missed": 1}),
        ("with tofu", {"plate": "blue", "main": "tofu"}, {"complete": False, "missed": 0.5}),
        ("tofu and not beef", {"main": "tofu"}, {"complete": True, "wrong side": False}),
        ("without tofu", {"main": "tofu"}, {"wrong side": True}),
        ("add basil", {"garnish": "basil"}, {"complete": True}),
        ("nice", {"plate": "blue"}, {"says nothing": True, "missed": 1, "hallucinated": False}),
    ],
)
def test_a_text_is_held_against_the_truth(source, text, after, expected):
    found = audit.judge_text(source.truth.claims(text), SOUP, {**SOUP, **after})
    assert {name: found[name] for name in expected} == expected


def test_what_goes_is_named_by_its_old_value(source):
    claims = source.truth.claims("without basil")
    found = audit.judge_text(claims, {**SOUP, "garnish": "basil"}, SOUP)
    assert found["complete"]


def test_true_texts_are_complete_and_an_audit_has_intervals(source):
    triplets = source.triplets("pool")
    table = audit.audit_texts([t.caption for t in triplets], triplets, source.truth)
    assert table["complete"].mean() > 0.9
    assert table["ROUGE-1"].min() == 1
    assert not table["hallucinated"].any()
    back = audit.audit_texts([t.reverse for t in triplets], triplets, source.truth, reverse=True)
    assert back["complete"].mean() > 0.9
    found = audit.summary(table)
    assert found["complete"].low < found["complete"].value <= found["complete"].high
    shown = audit.audit_table({"people": table, "again": back})
    assert shown.set_index("measure").loc["ROUGE-1", "reported"] == "24.8 %"
    photos = audit.audit_texts(["is red"], [Triplet("1", "a", ("b",), "is red", reverse="")])
    assert set(photos) == {"pair_id", "text", "ROUGE-1", "METEOR"}
    assert audit.summary(table.head(1)) == {}  # no interval of one text


def test_correlation_is_positive_where_better_texts_find_more():
    rho, p, n = audit.rank_correlation([0.1, 0.5, 0.9, 1.0, np.nan], [40, 12, 3, 1, 7])
    assert (rho, n) == (1.0, 4)
    assert p < 0.05
    assert np.isnan(audit.rank_correlation([0.5, 0.5, 0.5], [1, 2, 3])[0])


def table_of(rouge, hallucinated=None):
    n = len(rouge)
    frame = pd.DataFrame({"pair_id": [str(i) for i in range(n)], "ROUGE-1": rouge})
    return frame.assign(hallucinated=hallucinated) if hallucinated is not None else frame


def test_each_failure_is_found_where_it_is_and_nowhere_else():
    alike, varied = ["on a red plate"] * 40, [f"text {i}" for i in range(40)]
    assert audit.collapse_of_texts(alike)["found"]
    assert not audit.collapse_of_texts(varied)["found"]
    assert audit.collapse_of_queries(0.001, 40)["found"]
    assert not audit.collapse_of_queries(0.3, 40)["found"]
    much, little = [True] * 30 + [False] * 70, [True] * 5 + [False] * 95
    assert audit.hallucination(table_of([1.0] * 100, much))["found"]
    assert not audit.hallucination(table_of([1.0] * 100, little))["found"]
    worse, open_ = Estimate(-0.1, -0.15, -0.05, n=100), Estimate(-0.1, -0.25, 0.05, n=100)
    assert audit.harmful_pretraining(worse)["found"]
    assert not audit.harmful_pretraining(open_)["found"]
    rouge = [0.2] * 50 + [0.9] * 50
    assert audit.missed_quality(table_of(rouge), [1] * 100)["found"]
    assert not audit.missed_quality(table_of(rouge), [99] * 50 + [1] * 50)["found"]


def test_too_few_texts_show_no_failure():
    found = audit.collapse_of_texts(["on a red plate"] * 5)
    assert not found["found"]
    assert "5 are fewer than 20" in found["says"]
