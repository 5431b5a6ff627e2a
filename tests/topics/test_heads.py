"""The topic of lesson 08: heads, their training, hard negatives, kinds of query, a tiny study."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from helpers.data.sets import RetrievalSet
from helpers.models.encoder import load_encoder
from helpers.study import Design, Study
from helpers.topics.heads import effects, models, study, training
from helpers.training.loop import Fitted
from tests.small_models import small_encoder


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def features_of(n_items: int, *, d: int = 24, seed: int = 0, noise: float = 0.6):
    """Two images and two captions an item; images and captions of an item lie near each other."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(n_items, d))
    images, texts = (unit(np.repeat(center, 2, 0) + noise * rng.normal(size=(2 * n_items, d)))
                     for _ in range(2))  # fmt: skip
    items = np.repeat([f"r{i:03d}" for i in range(n_items)], 2)
    captions = [f"caption {i}" for i in range(2 * n_items)]
    data = RetrievalSet([None] * 2 * n_items, items, captions, items, "made up")
    return training.Features(data, images, texts)


@pytest.fixture(scope="module")
def encoder():
    return small_encoder("clip")


@pytest.mark.parametrize("kind", ["residual", "rla", "prolip"])
def test_untrained_heads_are_the_frozen_model(encoder, kind):
    images = [Image.new("RGB", (16, 16), color) for color in ("red", "green", "blue", "white")]
    items = np.array(list("abcd"))
    data = RetrievalSet(images, items, ["a red mug", "two books", "tofu", "soup"], items)
    found = training.embed(encoder, data)
    after = training.moved(models.make_heads(kind, encoder, seed=1), found)
    assert after.images == pytest.approx(found.images, abs=1e-5)
    assert after.texts == pytest.approx(found.texts, abs=1e-5)


def test_an_mlp_head_replaces_the_embedding(encoder):
    rows = unit(np.random.default_rng(0).normal(size=(5, 24)))
    found, _ = models.apply(models.make_heads("mlp", encoder, seed=1), rows, rows)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert not np.allclose(found, rows, atol=0.1)


def test_heads_are_a_function_of_the_seed_and_leave_the_global_state(encoder):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    a, b, other = (models.make_heads("mlp", encoder, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a.image.mlp[0].weight, b.image.mlp[0].weight)
    assert not torch.equal(a.image.mlp[0].weight, other.image.mlp[0].weight)


def test_wrong_kinds_are_refused_by_name(encoder):
    with pytest.raises(ValueError, match="'tower' is unknown: use one of residual"):
        models.make_heads("tower", encoder, seed=1)
    with pytest.raises(ValueError, match="no linear projections"):
        models.make_heads("prolip", small_encoder("siglip"), seed=1)


def test_the_pull_is_the_squared_distance_from_the_start(encoder):
    heads = models.make_heads("rla", encoder, seed=1, pull=0.5)
    assert models.penalty(heads).item() == 0
    with torch.no_grad():
        heads.image.weight[0, 1] += 2.0
        heads.text.weight[3, 3] -= 1.0
    assert models.penalty(heads).item() == pytest.approx(0.5 * (4 + 1))
    assert models.penalty(models.make_heads("residual", encoder, seed=1)) == 0


def test_alpha_can_be_changed_afterwards(encoder):
    heads = models.make_heads("residual", encoder, seed=1)
    with torch.no_grad():
        heads.image.mlp[-1].bias.fill_(1.0)
    rows = unit(np.random.default_rng(0).normal(size=(4, 24)))
    frozen, _ = models.apply(models.with_alpha(heads, 0.0), rows, rows)
    turned, _ = models.apply(models.with_alpha(heads, 0.7), rows, rows)
    assert frozen == pytest.approx(rows, abs=1e-6)
    assert turned == pytest.approx(unit(rows + 0.7), abs=1e-5)


def test_a_batch_holds_an_image_once_with_a_caption_of_its_item():
    features = features_of(10)
    images, texts = features.draw(12, np.random.default_rng(0))
    assert len(set(images)) == 12
    data = features.data
    assert (data.image_items[images] == data.caption_items[texts]).all()
    same = training.same_item(features, images, texts)
    assert same.diagonal().all()
    assert same.sum() > 12  # two images of one item are in it


def test_a_part_is_drawn_by_the_seed_and_keeps_items_whole():
    features = features_of(12)
    part, again, other = (features.part(5, seed) for seed in (1, 1, 2))
    assert len(set(part.data.image_items)) == 5
    assert len(part.images) == len(part.texts) == len(part.data.captions) == 10
    assert part.data.image_items.tolist() == again.data.image_items.tolist()
    assert part.data.image_items.tolist() != other.data.image_items.tolist()
    assert features.part(0, 1) is features
    assert features.part(99, 1) is features
    row = part.data.images.rows[3]
    assert np.array_equal(part.images[3], features.images[row])


def test_the_margin_loss_is_that_of_the_formula(encoder):
    """Of two pairs the random negative of one can only be the other."""
    features, rng = features_of(2, noise=0.8), np.random.default_rng
    part = training.Features(
        RetrievalSet([None] * 2, np.array(["a", "b"]), ["x", "y"], np.array(["a", "b"])),
        features.images[[0, 2]], features.texts[[0, 2]],
    )  # fmt: skip
    heads = models.make_heads("residual", encoder, seed=1)
    loss = training.batch_loss(heads, part, 2, rng(0), loss="margin", negatives="random")
    s = part.images @ part.texts.T
    want = np.mean(1 - np.diag(s)) + np.maximum(0, np.array([s[0, 1], s[1, 0]]) - 0.2).mean()
    assert float(loss) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("loss", ["margin", "triplet", "info_nce"])
@pytest.mark.parametrize("negatives", ["random", "batch"])
def test_every_loss_has_a_gradient(encoder, loss, negatives):
    heads = models.make_heads("mlp", encoder, seed=1)
    value = training.batch_loss(heads, features_of(8), 8, np.random.default_rng(0), loss=loss,
                                negatives=negatives)  # fmt: skip
    value.backward()
    assert heads.image.mlp[0].weight.grad.abs().sum() > 0
    assert (heads.logit_scale.grad is not None) == (loss == "info_nce")


@pytest.mark.parametrize("options", [{}, {"loss": "margin", "negatives": "random"}])
def test_training_selects_the_best_evaluation_and_is_repeatable(encoder, options):
    data, held = features_of(30), features_of(20, seed=1)
    results = []
    for _ in range(2):
        heads = models.make_heads("residual", encoder, seed=1)
        found = training.train(heads, data, held, seed=3, steps=12, learning_rate=0.01,
                               batch_size=16, **options)  # fmt: skip
        results.append(training.moved(heads, held).images)
    scores = found.evaluations
    assert scores["step"].iloc[[0, -1]].tolist() == [0, 12]
    best = scores.loc[scores["step"] == found.best_step, "score"].item()
    assert best == pytest.approx(training.score_of(heads, held))
    assert best == scores["score"][scores["step"] > 0].max()
    assert np.array_equal(*results)


def test_hard_negatives_are_the_nearest_captions_of_others():
    features = features_of(9, noise=1.0)
    features.data.captions[5] = features.data.captions[0].upper()  # worded like one of r000's own
    mined = training.mine(features, k=3, ceiling=np.inf)
    scores = features.images @ features.texts.T
    for image, item in enumerate(features.data.image_items):
        allowed = [
            j for j in np.argsort(-scores[image])
            if features.data.caption_items[j] != item and not (item == "r000" and j == 5)
            and not (item == "r002" and j == 0)
        ]  # fmt: skip
        assert mined[image].tolist() == allowed[:3]


def test_a_ceiling_keeps_what_may_be_right_out_of_the_negatives():
    features = features_of(9, noise=1.0)
    mined = training.mine(features, k=18, ceiling=0.5)
    scores = features.images @ features.texts.T
    own = features.data.image_items[:, None] == features.data.caption_items
    best = np.where(own, scores, -np.inf).max(axis=1)
    for image, rows in enumerate(mined):
        kept = rows[rows >= 0]
        assert (scores[image, kept] <= 0.5 * best[image] + 1e-6).all()
    assert (mined == -1).any()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_second_stage_trains_the_last_blocks_and_leaves_the_model(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.paths.cache", lambda: tmp_path)
    encoder = small_encoder(kind)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)) for _ in range(12)]
    items = np.array([f"r{i}" for i in range(12)])
    words = ["a", "red", "mug", "on", "two", "blue", "books", "with", "soup"]
    captions = [" ".join(rng.permutation(words)) for _ in range(12)]
    data = RetrievalSet(images, items, captions, items)
    before = {n: p.clone() for n, p in encoder.model.named_parameters()}
    heads = models.make_heads("residual", encoder, seed=1)
    stage = training.second_stage(encoder, heads, data, data, seed=1, steps=4, learning_rate=0.01,
                                  batch_size=8)  # fmt: skip
    assert all(torch.equal(p, before[n]) for n, p in encoder.model.named_parameters())
    assert float(heads.image.mlp[-1].weight.abs().sum()) == 0
    changed = {n.split(".layers.")[-1][0] for n, p in stage.encoder.model.named_parameters()
               if ".layers." in n and "vision" in n and not torch.equal(p, before[n])}  # fmt: skip
    assert changed <= {"2"}  # the last of three blocks
    best = stage.fitted.evaluations["score"].max()
    after = training.score_of(None, stage.features(data))
    assert after == pytest.approx(best)
    assert stage.trainable > sum(p.numel() for p in heads.parameters())


def test_space_by_hand():
    images, texts = unit([[1, 0], [0, 1]]), unit([[1, 0], [1, 0]])
    items = np.array(["a", "b"])
    one = training.Features(RetrievalSet([None] * 2, items, ["x", "y"], items), images, texts)
    assert effects.alignment(one) == pytest.approx(1.0)  # distances 0 and 2, squared
    assert effects.wrong_above(one) == 0.5  # positives 1 and 0; wrong pairs 1 and 0
    assert effects.uniformity(images) == pytest.approx(-4.0)
    rows = unit(np.random.default_rng(0).normal(size=(30, 6)))
    assert effects.neighbors_kept(rows, rows) == 1
    assert effects.neighbors_kept(rows, rows[::-1]) < 0.7


def ranks_by_query(rank, **about) -> pd.DataFrame:
    n = len(rank)
    ranks = pd.DataFrame({
        "direction": "text_to_image", "query": range(n), "group": [f"r{i}" for i in range(n)],
        "gallery": 0, "gallery_size": 100, "positives": 1, "rank": np.asarray(rank, float),
    })  # fmt: skip
    back = ranks.assign(direction="image_to_text", query=ranks["query"] + n, rank=1.0)
    return pd.concat([ranks, back], ignore_index=True).assign(**about)


def test_kinds_of_query_and_what_heads_change_for_them():
    captions = ["red soup", "soup on a blue plate", "red onion salad with peas", "zucchini"] * 10
    kinds = effects.query_kinds(captions, ["soup on a plate", "salad with peas", "red onion"] * 5)
    assert kinds["all captions"].all()
    assert kinds["names a color"].tolist() == [True, True, False, False] * 10
    assert kinds["names no color"].sum() == 20
    assert kinds["has a new word"].tolist() == [False, True, False, True] * 10  # blue, zucchini
    before = ranks_by_query(np.where(kinds["names a color"], 50, 1))
    after = ranks_by_query(np.where(kinds["has a new word"], 50, 1))
    kinds = {k: kinds[k] for k in ("all captions", "names a color", "names no color")}
    kinds["rare"] = np.arange(40) < 3
    table, said = effects.gains_by_kind(before, after, kinds)
    found = table.set_index("arm")["estimate"]
    assert found["names a color (20), zero-shot 0.0 %"].value == 0.5
    assert found["names no color (20), zero-shot 100.0 %"].value == -0.5
    assert said.startswith("Largest change: names a color (20), zero-shot 0.0 %, +50.0 [")
    assert "smallest change: names no color (20), zero-shot 100.0 %, -50.0 [" in said
    assert said.endswith("Left out, fewer than 20 captions: rare.")
    queries, said = effects.cases(before, ranks_by_query(np.ones(40)), seed=1)
    assert said == "Among the first 5, of 40 captions: 20 gained, 0 lost, 0 found by neither."
    assert kinds["names a color"][queries[0]]


def test_few_captions_still_have_a_kind():
    kinds = effects.query_kinds(["a soup"] * 3, ["a soup"])
    table, said = effects.gains_by_kind(*[ranks_by_query([1, 1, 1])] * 2, kinds)
    assert "all captions (3), zero-shot 100.0 %" in table["arm"].tolist()
    assert "has a new word" in said


def test_gains_and_the_selected_step(encoder):
    features = features_of(20)
    spoiled = models.make_heads("residual", encoder, seed=1)
    with torch.no_grad():
        spoiled.text.mlp[-1].weight.normal_(std=50)
    named = {"frozen": models.make_heads("residual", encoder, seed=1), "spoiled": spoiled}
    found = effects.gains(named, features)
    assert found["frozen"].value == 0
    assert found["spoiled"].value < 0
    assert effects.below(found) == ["spoiled"]
    level = effects.references(features)["zero-shot"]
    assert level == pytest.approx(training.score_of(None, features))
    scores = pd.DataFrame({"step": [0, 5, 10], "score": [0.1, 0.3, 0.2]})
    fitted = {name: Fitted(pd.DataFrame(), scores, step, False, 1.0)
              for name, step in (("frozen", 5), ("spoiled", 10))}  # fmt: skip
    table, said = effects.selection_table(found, fitted, level)
    assert table["selected step"].tolist() == ["", "5 of 10", "10 of 10"]
    assert said == "Best at their last step, so perhaps not finished: spoiled."
    assert effects.curves(fitted)["value"].tolist() == [0.1, 0.3, 0.2] * 2
    assert "With 20 validation items" in effects.few_items(features)
    assert effects.few_items(features_of(50)) == ""


def test_the_worst_row_and_its_wrong_pairs():
    features = features_of(30, noise=0.3)
    turned = training.replace(features, texts=-features.texts)
    study_ = Study.of({"zero-shot": training.ranks_of(None, features)}, test="t")
    study_ = study_.add("turned", training.ranks_of(None, turned), test="t", seed=1)
    study_ = study_.add("same", training.ranks_of(None, features), test="t", seed=1)
    after = {"turned": turned, "same": features}
    table = effects.space_table(study_, features, after, {"turned": 3, "same": 0}, test="t")
    assert table["trainable parameters"].tolist() == [0, 3, 0]
    said, low, unaligned = effects.space_sentence(study_, table, test="t")
    assert low == unaligned == "turned"
    assert f"turned {100 * table['wrong above'][1]:.1f} %" in said
    assert "highest same (+0.0 [" in said


def test_ranges_over_alpha_and_the_line_that_ends_lower():
    rows = [("set before training", 0.0, 0.9), ("set before training", 0.1, 0.5),
            ("set before training", 0.4, 0.52), ("set after training", 0.1, 0.6),
            ("set after training", 0.4, 0.3)]  # fmt: skip
    said, lower = effects.alpha_ranges(pd.DataFrame(rows, columns=["when", "alpha", "value"]))
    assert "set before training, 50.0 % (alpha 0.1) to 52.0 % (0.4)" in said
    assert "set after training, 30.0 % (alpha 0.4) to 60.0 % (0.1)" in said
    assert lower == "after"


def test_overlap_of_neighbors_and_a_larger_gallery():
    exact, found = np.array([[1, 2], [3, 4]]), np.array([[2, 9], [4, 3]])
    assert effects.overlap(exact, found) == "75.0 %"
    assert "not measured" in effects.overlap(exact, found, n_images=499)
    rows = effects.enlarged(unit(np.eye(5)), 40, seed=1)
    assert rows.shape == (40, 5)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(40), abs=1e-5)


def test_paired_differences_and_hits_of_a_million_queries():
    a, b = np.array([True, True, False, True]), np.array([True, False, False, False])
    gain = effects.paired_difference(a, b, np.array(list("aabb")))
    assert gain.value == 0.5
    assert effects.more_hits(gain).startswith("+500,000 [")


SHORT = {"head": "residual", "n": 8, "steps": 4, "rate": 0.01}
DESIGN = {
    "lesson": "08", "version": 1, "date": "2026-01-01", "question": "?", "base": {"tiny-clip": ""},
    "data": {
        "kitchen": {"source": "world:kitchen", "first": 990_000, "n": 12},
        "training": {"source": "world:kitchen", "first": 0, "n": 16},
        "validation": {"source": "world:kitchen", "first": 5000, "n": 12},
        "second validation": {"source": "world:kitchen", "first": 6000, "n": 12},
    },
    "settings": {"second steps": 2, "alpha": 0.2, "pull": {"rla": 0.1, "prolip": 0.1}},
    "seeds": {"default": 2, "zero-shot": 0},
    "arms": {
        "zero-shot": {},
        "residual, InfoNCE, 8": SHORT | {"dial": [0, 0.4]},
        "residual, InfoNCE, 12": SHORT | {"n": 12, "mined": True},
        "MLP, 8": SHORT | {"head": "mlp", "loss": "margin", "negatives": "random"},
        "ProLIP, 8": SHORT | {"head": "prolip"},
        "second stage, 8": SHORT | {"second_rate": 0.001},
    },
    "hypotheses": [],
}  # fmt: skip


@pytest.mark.slow
def test_a_tiny_design_runs_and_goes_on_from_what_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.paths.cache", lambda: tmp_path)
    design = Design(**DESIGN)
    found = study.run_study(design, tmp_path / "runs")
    assert found.arms == list(design.arms)
    assert found.seeds("residual, InfoNCE, 8") == [1, 2]
    assert found.tests == ["kitchen"]
    dial = found.frames["dial"]
    assert set(dial["how"]) == {"set before training", "set after training"}
    assert len(dial) == 2 * 2 * 2
    at_zero = dial[dial["alpha"] == 0].groupby("how")["score"].mean()
    assert at_zero.nunique() == 1  # the frozen model either way
    said = study.best_alphas(found)
    assert "set before training, 8 recipes: 0" in said
    sizes = study.by_size(found, design)
    assert sizes["arm"].tolist() == ["residual, InfoNCE"] * 2 + ["ProLIP"]
    assert sizes["n"].tolist() == [8, 12, 8]
    said = effects.sizes_sentence(sizes, dial)
    assert said.startswith("hit@10 minus zero-shot with 12 recipes, mean of both directions: res")
    assert (
        "With 8 recipes: hit@10 on validation, both directions, alpha set before training, " in said
    )
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/ranks.parquet")}
    monkeypatch.setattr(study.Training, "train", None)  # nothing is trained again
    again = study.run_study(design, tmp_path / "runs")
    assert again.ranks.equals(found.ranks)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_a_zero_shot_arm_is_the_frozen_model(tmp_path):
    design = Design(**DESIGN | {"arms": {"zero-shot": {}}})
    experiment = study.Training(design)
    result = experiment.train(seed=-1)
    base, data = load_encoder("tiny-clip", device="cpu"), experiment.sets["kitchen"]
    found = training.ranks_of(None, training.embed(base, data))
    assert result.ranks["rank"].tolist() == found["rank"].tolist()
    assert result.info["neighbors kept"] == 1


@pytest.mark.slow
def test_a_pilot_scores_each_rate_by_the_weights_that_were_selected():
    arms = {"rla, 8": {"head": "rla", "n": 8, "steps": 4}}
    experiment = study.Training(Design(**DESIGN))
    found = study.rates_on_validation(experiment, arms, (0.001, 0.01), seeds=(101,))
    assert found[["arm", "rate"]].values.tolist() == [["rla, 8", 0.001], ["rla, 8", 0.01]]
    factors = {**arms["rla, 8"], "rate": 0.01}
    heads, _, fitted = experiment.fitted(101, factors)
    score = training.score_of(heads, experiment.features["validation"])
    assert found["score"].iloc[1] == score == study.best_score(fitted)
    assert study.selected_scores(fitted)["score"].iloc[-1] == score
