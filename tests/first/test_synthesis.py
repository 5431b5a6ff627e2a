"""Synthetic triplets: every mined pair is accounted for, the kept ones are triplets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers.first.models.composed import build_composed
from helpers.first.retrieval.synthesis import (
    COLUMNS,
    Synthesis,
    counts_of,
    ensure_synthetic,
    read_pairs,
    triplets_of,
)
from helpers.first.retrieval.text_filter import KEPT, REASONS, TextFilter
from helpers.first.training.generator import GeneratorTraining
from helpers.first.training.generator_runs import ensure_generator
from helpers.store.zones import open_zone
from helpers.world import open_world
from helpers.world.changes import composed_world
from helpers.world.pool import world_pool
from tests.first.small_generator import small_generator
from tests.first.small_training import small_encoder

FROM_CAPTIONS = Synthesis(writer="captions", band_low=-1.0, band_high=0.9999, per_image=2)


@pytest.fixture(scope="module")
def composed():
    return composed_world(open_world("kitchen", n_recipes=24), counts={"train": 24})


@pytest.fixture(scope="module")
def pool(composed):
    return world_pool(composed, composed.sets["train"].triplets)


@pytest.fixture(scope="module")
def zone(tmp_path_factory):
    return open_zone(str(tmp_path_factory.mktemp("zone")))


def make(zone, pool, settings=FROM_CAPTIONS, run=None, **options):
    return ensure_synthetic(
        zone, pool, small_encoder("siglip"), run, settings=settings, progress=False, **options
    )


def test_every_mined_pair_has_one_fate_and_the_kept_ones_are_triplets(zone, pool):
    made = make(zone, pool)
    assert tuple(made.table.columns) == COLUMNS
    assert made.counts["reason"].tolist() == [KEPT, *REASONS]
    assert made.counts["pairs"].sum() == len(made.table) == made.mining["mined"]
    assert made.counts["share"].sum() == pytest.approx(1)
    kept = made.table[made.table["kept"]]
    assert len(made.triplets) == len(kept) == made.counts["pairs"].iloc[0] > 0
    assert (made.table["kept"] == (made.table["reason"] == KEPT)).all()
    category = dict(zip(pool.names, pool.categories, strict=True))
    for triplet, row in zip(made.triplets, kept.itertuples(), strict=True):
        assert (triplet.reference, triplet.targets) == (row.reference, (row.target,))
        assert (triplet.caption, triplet.reverse) == (row.text, row.reverse)
        assert category[row.reference] == category[row.target] == triplet.group
        assert max(row.rank_forward, row.rank_reverse) <= FROM_CAPTIONS.filter.round_trip


def test_what_was_made_is_read_and_not_made_again(zone, pool):
    first = make(zone, pool)

    def refuse(name):
        raise AssertionError("stored triplets were made again")

    again = make(zone, replace(pool, load_image=refuse))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert again.triplets == first.triplets
    assert again.mining == first.mining


def test_another_judge_filter_or_writer_makes_others(zone, pool):
    few = replace(FROM_CAPTIONS, filter=TextFilter(round_trip=3))
    strict, loose = make(zone, pool, few), make(zone, pool)
    assert len(strict.triplets) < len(loose.triplets)
    dimension = small_encoder("siglip").dimension
    judged = make(zone, pool, composed=build_composed("combiner", dimension))
    assert judged.manifest.fingerprint != loose.manifest.fingerprint
    assert judged.table["text"].tolist() == loose.table["text"].tolist()
    assert judged.table["rank_forward"].tolist() != loose.table["rank_forward"].tolist()


def test_without_a_round_trip_there_is_no_rank(zone, pool):
    made = make(zone, pool, replace(FROM_CAPTIONS, filter=TextFilter(round_trip=0)))
    assert made.table[["rank_forward", "rank_reverse"]].isna().all(axis=None)
    assert not made.table["reason"].str.startswith("round trip").any()


def test_a_generator_writes_for_the_same_pairs(zone, pool, composed):
    run = ensure_generator(
        zone, small_generator(), composed.sets["train"].triplets[:4], composed.load_image,
        data=composed.fingerprint, progress=False,
        settings=GeneratorTraining(steps=2, batch_size=2, warmup=1),
    )  # fmt: skip
    made = make(zone, pool, replace(FROM_CAPTIONS, writer="generator", n_pairs=6), run)
    assert len(made.table) == 6
    known = make(zone, pool, replace(FROM_CAPTIONS, n_pairs=6))
    assert made.table["reference"].tolist() == known.table["reference"].tolist()
    seen = run.generator.see([pool.load_image(made.table[side][0]) for side in
                              ("reference", "target")])  # fmt: skip
    assert run.generator.write(seen[:1], seen[1:]) == [made.table["text"][0]]
    assert run.generator.write(seen[1:], seen[:1]) == [made.table["reverse"][0]]


def test_ids_and_texts_survive_the_file():
    text = ",".join(COLUMNS) + "\n007,a,b,none,0.5,none,NA,True,kept,1.5,2.0\n"
    table = read_pairs(text)
    assert table.loc[0, ["pair_id", "category", "text", "reverse"]].tolist() == [
        "007", "none", "none", "NA",
    ]  # fmt: skip
    assert triplets_of(table)[0].reverse == "NA"
    assert counts_of(table)["pairs"].sum() == 1
    with pytest.raises(ValueError, match="'odd'"):
        counts_of(table.assign(reason="odd"))


def test_what_cannot_be_made_is_refused(zone, pool):
    with pytest.raises(ValueError, match="unknown writer 'people'"):
        Synthesis(writer="people")
    with pytest.raises(ValueError, match="none is given"):
        make(zone, pool, Synthesis())
    with pytest.raises(ValueError, match="widen the band"):
        make(zone, pool, replace(FROM_CAPTIONS, band_low=-1, band_high=-0.9999))
    assert np.isfinite(make(zone, pool).table["similarity"]).all()
