"""Rows, their training, and the study of lesson 05, on models of a few thousand weights."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import experiment
from helpers.data.sets import RetrievalSet
from helpers.experiment import PreparedSet, ranks_of
from helpers.models.encoder import load_encoder, weights_fingerprint
from helpers.models.placement import PlacementError
from helpers.study import Design, Study
from helpers.topics.placement import leaderboard, rows, study, training
from helpers.topics.placement.rows import Row, parse, parse_grid, row_of, rows_of
from helpers.topics.placement.training import adapted, train_row
from helpers.training.loop import Settings
from helpers.training.prefix import Prefixes, why_not
from tests import recompute
from tests.small_models import small_data, small_encoder, small_pairs

SETTINGS = Settings(steps=3, batch_size=8, learning_rate=0.02, keep="last", draw="image", seed=1)
EVERY_METHOD = [
    "r2 v1", "r2 v1 heads", "r2 v2 t1 qkvof1f2", "r2 vall tall dora", "r2 vall tall rslora",
    "r2 vall tall pissa", "r2 v1 loha", "r2 vall tall lokr", "r2 v2 oft", "r2 vall tall hra",
    "r4 vall tall vera", "ia3", "biases", "norms", "v1 biases", "rla", "heads full", "v1 t1 full",
    "full",
]  # fmt: skip


@pytest.mark.parametrize("name", [*rows.REPORTED, *EVERY_METHOD, "r8 v2 prompt", "prolip"])
def test_a_name_and_its_row_say_the_same(name):
    assert parse(name).name == name


@given(
    rank=st.integers(1, 64), scale=st.sampled_from([0.5, 1, 2, 3.3]), vision=st.integers(-1, 6),
    text=st.integers(-1, 4), heads=st.booleans(), dropout=st.sampled_from([0.0, 0.05, 0.1]),
    letters=st.sets(st.sampled_from(list(rows.LETTERS)), min_size=1),
    method=st.sampled_from(rows.ALL_METHODS),
)  # fmt: skip
def test_rows_of_one_name_are_one_row(rank, scale, vision, text, heads, dropout, letters, method):
    modules = ",".join(name for name in rows.LETTERS if name in letters)
    try:
        one = row_of(rank=rank, alpha=rank * scale, vision_layers=vision, text_layers=text,
                     heads=heads, dropout=dropout, modules=modules, method=method)  # fmt: skip
    except PlacementError:
        return
    again = parse(one.name)
    assert again.name == one.name
    first, second = (vars(row.placement) | {"method": row.method} for row in (one, again))
    differ = {name for name in first if first[name] != second[name]}
    no_rank = one.method in ("biases", "norms", "ia3")
    assert differ <= ({"rank", "alpha", "dropout", "modules"} if no_rank else set())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("r8 v2 v3", "'v3' is given twice"),
        ("r8 x2", "'x2' is not known"),
        ("v2 heads", "has no rank"),
        ("r8 heads", "needs a layer"),
        ("r0 v2", "rank is at least 1"),
    ],
)
def test_a_wrong_name_is_refused(name, said):
    with pytest.raises(PlacementError, match=said):
        parse(name)


def test_a_grid_combines_and_a_list_lists():
    found = parse_grid("grid: [[r4, r8], ['', d0.1], [v1, v2]]\nrows: [r2 tall heads, r4 v1]")
    assert [one.name for one in found] == [
        "r2 tall heads", "r4 v1", "r4 v2", "r4 v1 d0.1", "r4 v2 d0.1", "r8 v1", "r8 v2",
        "r8 v1 d0.1", "r8 v2 d0.1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows: [r8 x2]", "mine.yaml, row 'r8 x2': 'x2' is not known"),
        ("rows: [r4]", "mine.yaml, row 'r4': vision_layers and text_layers are both 0"),
        ("rows: [{rank: 4}]", "mine.yaml: rows.0 is {'rank': 4}"),
        ("grid: [r4]", "mine.yaml: grid.0 is 'r4'"),
        ("lines: []", "'lines' is not known; use rows and grid"),
        ("grid: []", "describes 0 rows"),
        (f"grid: [[v1], [{', '.join(f'r{i}' for i in range(1, 202))}]]", "describes 201 rows"),
        ("- 1", "no YAML of rows"),
        ("rows: [", "no YAML of rows"),
    ],
)
def test_a_wrong_grid_is_refused_with_its_place(text, said):
    with pytest.raises(PlacementError, match=said):
        parse_grid(text, where="mine.yaml")


def test_rows_by_names_all_eight_and_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("rows: [r4 v3]")
    names = [one.name for one in rows_of(f"original, r8 v2 qv, {tmp_path / 'mine.yaml'}")]
    assert names == [*rows.REPORTED, "r4 v3"]
    with pytest.raises(PlacementError, match="cannot read the rows of"):
        rows_of(str(tmp_path / "gone.yaml"))
    profile = rows_of("notebooks/profiles/placement_grid.yaml")
    assert "r8 v6" in [one.name for one in profile]


def test_the_control_of_the_study_is_as_large_as_the_row_with_heads():
    base = load_encoder("tiny-siglip", device="cpu")
    names = ("r8 v2 heads", "r34 v2 qkvof1f2")
    sizes = [rows.trainable_parameters(base, parse(name).placement) for name in names]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    with pytest.raises(PlacementError, match="row 'r4 v9' does not fit tiny-siglip"):
        rows.check_rows([parse("r4 v9")], base)
    assert rows.fitting([parse("r4 v9"), parse("r4 v1")], base) == [parse("r4 v1")]


def split(encoder):
    """With its frozen prefixes cached, where something below is frozen."""
    return encoder if why_not(encoder.adapter.placement, encoder) else Prefixes(encoder)


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("name", EVERY_METHOD)
def test_every_method_starts_at_the_base_and_moves_away(family, name):
    base, row = small_encoder(family), parse(name)
    held = PreparedSet.of(base, small_data())
    start = held.embed(base)
    fresh = held.embed(split(adapted(base, row, seed=1)))
    for before, after in zip(start, fresh, strict=True):
        assert np.allclose(before, after, atol=2e-6)
    found = train_row(base, row, small_pairs(family, negatives=False), settings=SETTINGS)
    moved, whole = held.embed(found.embeds), held.embed(found.encoder)
    for cached, plain in zip(moved, whole, strict=True):
        assert np.allclose(cached, plain, atol=2e-6)  # with a cached prefix as without
    assert max(np.abs(a - b).max() for a, b in zip(start, moved, strict=True)) > 1e-5
    assert 1 < found.info["trainable_parameters"] < found.info["parameters"] + 1
    assert weights_fingerprint(base.model) == base.fingerprint


def trained_names(family, name):
    encoder = adapted(small_encoder(family), parse(name), seed=1)
    return [n for n, p in encoder.model.named_parameters() if p.requires_grad]


def test_what_is_opened_is_what_the_method_names():
    found = trained_names("siglip", "v1 biases")
    assert all(n.endswith("bias") and "vision_model.encoder.layers.2." in n for n in found[1:])
    assert len(found) == 1 + 8  # the logit scale; q, k, v, out, two norms, two of the MLP
    norms = trained_names("clip", "norms")
    assert len(norms) == 1 + 2 * 2 * (3 + 2)  # gain and bias of two norms in every layer
    assert all("layer_norm" in name for name in norms[1:])
    heads = trained_names("clip", "prolip")
    assert heads == ["logit_scale", "visual_projection.weight", "text_projection.weight"]
    with pytest.raises(PlacementError, match="no linear projections"):
        adapted(small_encoder("siglip"), parse("prolip"), seed=1)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_rla_is_a_matrix_on_each_embedding(family):
    base, held = small_encoder(family), PreparedSet.of(small_encoder(family), small_data())
    encoder = adapted(base, parse("rla"), seed=1)
    d, path = base.dimension, {"clip": "visual_projection", "siglip": "vision_model.head"}[family]
    with torch.no_grad():  # permute, and longer
        encoder.model.get_submodule(path)[1].weight.copy_(2 * torch.eye(d)[torch.arange(d).roll(1)])
    before, after = held.embed(base), held.embed(split(encoder))
    assert np.allclose(after[0], np.roll(before[0], 1, axis=1), atol=1e-6)
    assert np.allclose(after[1], before[1], atol=1e-6)


def test_the_pull_is_the_squared_distance_from_the_start():
    encoder = adapted(small_encoder("clip"), parse("prolip"), seed=1)
    weight = encoder.model.visual_projection.weight

    def nothing(number, rng):
        return torch.tensor(1.0), []

    step = training.pulled(encoder, nothing, 0.5)
    assert float(step(0, None)[0]) == 1
    with torch.no_grad():
        weight[0, 0] += 2
    encoder.model.zero_grad()
    assert float(step(0, None)[0]) == pytest.approx(1 + 0.5 * 4)
    assert float(weight.grad[0, 0]) == pytest.approx(0.5 * 2 * 2)
    assert int((weight.grad != 0).sum()) == 1


def test_a_prepared_set_is_ranked_as_the_set_is_equal_captions_of_two_items_too():
    whole = small_data()
    captions = [*whole.captions[:-1], whole.captions[0]]  # of the first and of the last item
    data = RetrievalSet(whole.images, whole.image_items, captions, whole.caption_items)
    base = small_encoder("clip")
    pd.testing.assert_frame_equal(PreparedSet.of(base, data).ranks(base), ranks_of(base, data))


def test_the_rate_forgets_little_and_scores_best():
    scores = pd.DataFrame({"score": [0.5, 0.6, 0.7], "other": [0.40, 0.38, 0.30]}, [0.1, 0.2, 0.4])
    assert study.best_rate(scores) == 0.4
    assert study.best_rate(scores, within=3) == 0.2
    assert study.best_rate(scores, within=1) == 0.1


DESIGN = {
    "lesson": "05", "version": 1, "date": "2026-01-01", "question": "?", "base": {"small": ""},
    "seeds": {"default": 2, "zero-shot": 0},
    "settings": {
        "steps": 4, "batch_size": 8, "search": {"trials": 2, "steps": 2, "rates": [0.01, 0.1],
                                                "seed": 1},
        "rates": {"shared": {"rows": ["r2 v1"], "values": [0.01, 0.02]},
                  "full": {"rows": ["full"], "values": [0.001, 0.002], "within": 100}},
    },
    "arms": {
        "zero-shot": {},
        "r2 v1": {"row": "r2 v1", "rate": "shared", "factors": [0, 0.5, 1]},
        "full": {"row": "full", "rate": "full"},
        "the search's winner": {"rate": "search"},
        "r2 v1, 0.5": {"of": "r2 v1", "factor": 0.5},
    },
    "data": {
        "training": {"source": "world:kitchen", "n": 12, "first": 0},
        "kitchen": {"source": "world:kitchen", "n": 12, "first": 60},
        "general": {"source": "world:general", "n": 12, "first": 60},
        "validation, kitchen": {"source": "world:kitchen", "n": 12, "first": 30},
        "validation, general": {"source": "world:general", "n": 12, "first": 30},
    },
    "hypotheses": [
        {"name": "x", "says": "x", "test": "kitchen", "kind": "same", "margin": 1, "a": "full",
         "b": "r2 v1", "gate": "flat: full"},
    ],
}  # fmt: skip


@pytest.mark.slow
def test_a_study_runs_by_its_stages_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "load_encoder", lambda name, device: small_encoder("siglip"))
    design = Design(**DESIGN)
    found = study.run_study(design, tmp_path)
    assert set(found.arms) == set(design.arms)
    assert set(found.frames) == {"evaluations", "path", "rates", "trials"}
    rates = found.frames["rates"]
    assert rates[rates["chosen"]].groupby("name").size().to_dict() == {"full": 1, "shared": 1}
    (rate,) = set(rates.loc[rates["chosen"] & (rates["name"] == "shared"), "rate"])
    runs = found.runs.set_index(["arm", "seed"])
    assert runs.loc[("r2 v1", 1), "rate"] == rate
    assert runs.loc[("the search's winner", 1), "row"] in set(found.frames["trials"]["row"])
    assert not found.ranks[found.ranks["arm"] == "r2 v1, 0.5"].empty
    assert set(found.frames["path"]["factor"]) == {0.0, 0.5, 1.0}
    table = study.table(found, [a for a in found.arms if a != "r2 v1, 0.5"])
    assert table["trainable parameters"].iloc[0] == "–"
    assert len(table) == 4
    assert f"shared {rate:g} of " in study.rates_told(found)
    told = study.reconciled(found, found.frames["trials"], test="kitchen")
    assert "The study is not measured yet" in told
    told = study.reconciled(found, found.frames["trials"], test="kitchen", committed=found)
    assert "Of 3 pairs of rows that both trained" in told  # equal scores have no order
    monkeypatch.setattr(study, "train_row", None)  # nothing is trained a second time
    again = study.run_study(design, tmp_path)
    pd.testing.assert_frame_equal(again.ranks, found.ranks)


@pytest.mark.slow
def test_a_leaderboard_gives_its_best_more_seeds_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "load_encoder", lambda name, device: small_encoder("clip"))
    settings = {"steps": 4, "rate steps": 2, "batch_size": 8, "within": 100, "more for": 1,
                "more seeds": 3, "margins": {"usual": 1.5, "more": 1}}  # fmt: skip
    arms = {"zero-shot": {"base": "small"}} | {
        name: {"base": "small", "row": name, "rates": [0.01, 0.02]} for name in ("r2 v1", "prolip")
    }
    design = Design(**DESIGN | {"settings": settings, "arms": arms, "hypotheses": []})
    found = leaderboard.run_study(design, tmp_path)
    (best,) = leaderboard.best_by_validation(found, "small", 1)
    assert {arm: len(found.seeds(arm)) for arm in ("r2 v1", "prolip")} == {
        arm: 3 if arm == best else 2 for arm in ("r2 v1", "prolip")
    }
    rates = found.frames["rates"]
    assert rates.groupby("arm")["chosen"].sum().to_dict() == {"r2 v1": 1, "prolip": 1}
    assert len(leaderboard.pairs(found, design, "small")) == 1
    monkeypatch.setattr(study, "train_row", None)  # nothing is trained a second time
    pd.testing.assert_frame_equal(leaderboard.run_study(design, tmp_path).ranks, found.ranks)


def test_rows_trained_live_leave_a_record_and_their_losses(local_zone):
    base, held = small_encoder("siglip"), PreparedSet.of(small_encoder("siglip"), small_data())
    sets = {"train": held, "validation": held}
    how = {"seed": 1, "rate": 0.01, "steps": 2}
    live = study.train_rows(base, [parse("r2 v1"), parse("biases")], sets, {"own": held}, **how)
    study.save_logs(local_zone, live)
    folder = "fine-tuning-zone/experiments/placement"
    run = pd.read_csv(StringIO(local_zone.read_text(f"{folder}/r2-v1/run.csv"))).iloc[0]
    assert (run["row"], run["seed"], run["rate"]) == ("r2 v1", 1, 0.01)
    assert run["validation"] == pytest.approx(live.runs["validation"].iloc[0])
    losses = pd.read_csv(StringIO(local_zone.read_text(f"{folder}/biases/losses.csv")))
    assert losses["step"].tolist() == [1, 2]
    assert set(losses["arm"]) == {"biases"}


def ranked(hits: dict[str, list[list[int]]], n: int = 6) -> Study:
    """A study whose arms hit or miss: a row a seed, an item a query, in both directions."""
    parts = []
    for arm, seeds in hits.items():
        for seed, found in enumerate(seeds, start=1):
            for direction in ("text_to_image", "image_to_text"):
                parts.append(pd.DataFrame({
                    "arm": arm, "seed": seed, "test": "kitchen", "direction": direction,
                    "query": range(n), "group": [f"r{i}" for i in range(n)], "gallery": "0",
                    "gallery_size": 300, "positives": 1,
                    "rank": np.where(found, 1.0, 50.0).astype("float32"),
                }))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    runs = frame[["arm", "seed"]].drop_duplicates()
    return Study(frame, runs)


@pytest.mark.parametrize(
    ("middle", "last", "value"),
    [
        ([1, 1, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0], 4 / 6),  # +4 and -4: it turns
        ([1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], -2 / 6),  # +3 and +2: it goes on rising
        ([1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], 0.0),  # the second step is none
    ],
)
def test_a_trend_turns_where_its_steps_go_against_each_other(middle, last, value):
    found = ranked({"a": [[1, 0, 0, 0, 0, 0]] * 2, "b": [middle] * 2, "c": [last] * 2})
    turned = study.turn(found, ("a", "b", "c"))
    assert turned.value == pytest.approx(value)
    assert turned.low <= turned.value <= turned.high


def test_a_row_is_a_placement_or_a_variant():
    assert parse("r8 v2") == Row(parse("r8 v2").placement)
    assert parse("r8 v2 loha").method == "loha"


def test_the_turn_of_the_recomputation_is_the_studys():
    rng = np.random.default_rng(4)
    for _ in range(6):
        arms = {name: rng.integers(0, 2, (3, 30)).tolist() for name in "abc"}
        found = ranked(arms, n=30)
        own = study.turn(found, ("a", "b", "c"))
        where = {"test": "kitchen", "metric": "hit@10"}
        again = recompute.turn(found.ranks, ["a", "b", "c"], where)
        for name in ("value", "low", "high", "p"):
            assert again[name] == pytest.approx(getattr(own, name), abs=1e-9)
