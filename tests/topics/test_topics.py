"""The topics of lessons 02, 03 and 04 on embeddings and models small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import experiment
from helpers.data.sets import RetrievalSet, drawn_set
from helpers.evaluation.ranking import InvalidEmbeddings, rank_both_directions
from helpers.experiment import hit10, ranks_of
from helpers.models.encoder import load_encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement
from helpers.study import Design, judge
from helpers.topics import adaptation, zero_shot
from helpers.topics.augmentation import study as augmentation
from helpers.topics.augmentation.config import load_config
from helpers.training.batches import prepare_pairs
from tests.small_models import small_encoder


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def data() -> RetrievalSet:
    rng = np.random.default_rng(0)
    items = np.repeat([f"r{i}" for i in range(8)], 2)
    return RetrievalSet([None] * 16, items, [f"c{i}" for i in range(16)], rng.permutation(items))


def test_centering_removes_the_mean():
    rows = unit(np.random.default_rng(1).normal(size=(50, 6)) + 3)
    moved = zero_shot.center(rows, rows.mean(axis=0))
    assert np.linalg.norm(moved, axis=1) == pytest.approx(np.ones(50))
    assert np.linalg.norm(moved.mean(axis=0)) < 0.3 * np.linalg.norm(rows.mean(axis=0))


def test_a_bank_takes_points_from_a_hub():
    """A gallery entry that every bank query likes loses; one that none likes does not."""
    gallery, bank = unit([[1, 0.1], [0, 1]]), unit([[1, 0], [1, 0.2], [1, -0.2]])
    query = unit([[1, 1]])
    score = zero_shot.with_bank({"text_to_image": bank}, {"text_to_image": 10.0})
    plain, banked = query @ gallery.T, score("text_to_image", query, gallery)
    assert plain[0, 0] > plain[0, 1]
    assert banked[0, 0] < banked[0, 1]


@pytest.mark.parametrize("ties", [False, True])
def test_mixed_ranks_are_those_of_a_plain_count(data, ties):
    rng = np.random.default_rng(2)
    images, texts = unit(rng.normal(size=(16, 5))), unit(rng.normal(size=(16, 5)))
    if ties:
        images[8:], texts[8:] = images[:8], texts[:8]  # of other items
    found = zero_shot.mixed_ranks(images, texts, data).set_index(["test", "query"])
    entries, items = np.vstack([images, texts]), np.r_[data.image_items, data.caption_items]
    for query in range(16):
        scores, own = entries @ texts[query], items == data.caption_items[query]
        for answers, rows in (("images", range(16)), ("captions", range(16, 32))):
            wanted = [i for i in rows if own[i] and i != 16 + query]
            best = max(scores[wanted])
            tied = sum(abs(scores[~own] - best) <= 1e-6)
            row = found.loc[f"mixed, {answers}", query]
            assert row["rank"] == 1 + sum(scores[~own] > best + 1e-6) + tied / 2
            assert row["positives"] == len(wanted)
            assert row["gallery_size"] == sum(~own) + len(wanted)
    assert (found["rank"] % 1 != 0).any() == ties


def test_a_caption_that_is_alone_finds_no_caption():
    items = np.array(["a", "b"])
    pair = RetrievalSet([None] * 2, items, ["x", "y"], items)
    found = zero_shot.mixed_ranks(unit([[1, 0], [0, 1]]), unit([[1, 0.1], [0.1, 1]]), pair)
    assert found["test"].tolist() == ["mixed, images"] * 2
    assert found["positives"].tolist() == [1, 1]
    assert found["gallery_size"].tolist() == [3, 3]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (0.0, "only zeros")])
def test_mixed_ranks_of_broken_embeddings_are_refused(data, side, value, message):
    sides = [unit(np.random.default_rng(6).normal(size=(16, 5))) for _ in range(2)]
    sides[side][4] = value
    with pytest.raises(InvalidEmbeddings, match=message):
        zero_shot.mixed_ranks(*sides, data)


def test_the_sharpness_is_chosen_for_each_direction(data):
    rng = np.random.default_rng(3)
    sides = unit(rng.normal(size=(16, 5))), unit(rng.normal(size=(16, 5)))
    banks = {"text_to_image": sides[1], "image_to_text": sides[0]}
    betas = zero_shot.choose_betas(banks, sides, data)
    assert set(betas) == set(banks)
    assert set(betas.values()) <= set(zero_shot.BETAS)


def test_random_negatives_are_of_another_item(data):
    negatives = adaptation.study.random_negatives(data, seed=1)
    assert [image for image, _ in negatives] == list(range(16))
    for image, caption in negatives:
        owner = data.caption_items[data.captions.index(caption)]
        assert owner != data.image_items[image]
    assert negatives == adaptation.study.random_negatives(data, seed=1)


def test_the_score_is_the_mean_of_both_directions(data):
    class Fixed:
        rng = np.random.default_rng(4)
        rows = unit(rng.normal(size=(32, 5)))

        def images(self, images):
            return self.rows[:16]

        def texts(self, captions):
            return self.rows[16:]

    ranks = rank_both_directions(Fixed.rows[:16], Fixed.rows[16:], data)
    hits = ranks.assign(hit=ranks["rank"] <= 10).groupby("direction")["hit"].mean()
    assert hit10(ranks_of(Fixed(), data)) == pytest.approx(hits.mean())


def test_a_cost_is_a_share_of_the_base_with_rounds_as_what_varies():
    rng = np.random.default_rng(5)
    rows = []
    for inputs in ("images", "captions"):
        for i in range(30):
            base = 1 + 0.05 * rng.random()
            seconds = {"base": base, "adapter": base * rng.normal(1.1, 0.01), "merged": base}
            rows += [(inputs, name, i, value) for name, value in seconds.items()]
    costs = pd.DataFrame(rows, columns=["inputs", "model", "round", "seconds"])
    found = adaptation.study.cost_estimate(costs)
    assert found.value == pytest.approx(0.1, abs=0.01)
    assert found.low <= 0.1 <= found.high
    assert found.n == 30


def test_a_batch_takes_a_caption_of_each_images_own_item():
    base, drawn = (
        load_encoder("tiny-siglip", device="cpu"),
        drawn_set("world:kitchen", first=0, n=4),
    )
    pairs = prepare_pairs(base, drawn, progress=False)
    images = np.array([0, 3, 5])
    pixels, tokens, items = adaptation.batch_of(base, pairs, images, np.random.default_rng(0))
    assert items.tolist() == drawn.image_items[images].tolist()
    wanted = base.prepare_images([drawn.images[i] for i in images])
    assert torch.allclose(pixels, wanted, atol=0.02)  # rounded to whole pixel values between
    for row, image in enumerate(images):
        own = base.prepare_texts(drawn.captions_of[drawn.image_items[image]])["input_ids"]
        assert any(torch.equal(tokens["input_ids"][row], ids) for ids in own)


def test_a_probe_has_a_gradient_in_every_weight():
    base = load_encoder("tiny-siglip", device="cpu")
    probe = adaptation.probe_of(adapt(base, Placement(dropout=0.0), seed=1))
    probe.text_features(base.prepare_texts(["a red soup"])).sum().backward()
    grads = {n: p.grad for n, p in probe.model.named_parameters() if "text" in n and "lora" in n}
    assert grads
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads.values())


KITCHEN = {"source": "world:kitchen", "n": 12}
GENERAL = {"source": "world:general", "n": 12, "first": 0}
SMALL = {
    "lesson": "03", "version": 1, "date": "2026-01-01", "question": "?", "base": {"small": ""},
    "seeds": {"default": 0}, "hypotheses": [], "settings": {"too_sharp": 100},
    "arms": {"zero-shot": {}},
    "data": {
        name: {**KITCHEN, "first": 20 * i}
        for i, name in enumerate(("training", "validation", "test", "kitchen"))
    } | dict.fromkeys(("other domain", "general"), GENERAL),
}  # fmt: skip
LORA = {"base": "small", "steps": 4, "batch_size": 4, "learning_rate": 0.01}


@pytest.fixture
def small_bases(monkeypatch):
    for module in (zero_shot, experiment):
        monkeypatch.setattr(module, "load_encoder", lambda name, device: small_encoder("siglip"))


@pytest.mark.usefixtures("small_bases")
def test_the_study_of_zero_shot_measures_every_treatment():
    study = zero_shot.run_study(Design(**SMALL))
    assert study.arms == [
        "zero-shot", "centered", "query bank", "bank too sharp", "bank of another domain"
    ]  # fmt: skip
    assert study.tests == ["kitchen", "mixed, images", "mixed, captions"]
    assert study.ranks["group"].nunique() == 12
    new = drawn_set(**SMALL["data"]["test"])
    rows = small_encoder("siglip").images(new.images), small_encoder("siglip").texts(new.captions)
    wanted = rank_both_directions(*rows, new)["rank"]
    found = study.ranks[(study.ranks["arm"] == "zero-shot") & (study.ranks["test"] == "kitchen")]
    assert found["rank"].tolist() == wanted.tolist()


@pytest.mark.usefixtures("small_bases")
def test_the_study_of_lora_goes_on_where_it_stopped(tmp_path, monkeypatch):
    settings = {
        "placement": {"rank": 2, "dropout": 0.1}, "seed of negatives": 1, "rounds of cost": 3,
    }  # fmt: skip
    gated = {
        "name": "H1", "says": "LoRA helps", "test": "kitchen", "a": "LoRA", "b": "zero-shot",
        "kind": "higher", "margin": 1, "gate": "above: LoRA > zero-shot",
    }  # fmt: skip
    design = Design(**{
        **SMALL, "lesson": "04", "settings": settings, "seeds": {"default": 5, "zero-shot": 0},
        "arms": {"zero-shot": {"base": "small"}, "LoRA": LORA,
                 "negatives": {**LORA, "negatives": True}},
        "hypotheses": [gated],
    })  # fmt: skip
    train, done = adaptation.study.train_lora, []

    def stops(*args, **kwargs):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return train(*args, **kwargs)

    monkeypatch.setattr(adaptation.study, "train_lora", stops)
    with pytest.raises(KeyboardInterrupt):
        adaptation.study.run_study(design, tmp_path)
    monkeypatch.setattr(
        adaptation.study, "train_lora", lambda *a, **k: done.append(1) or train(*a, **k)
    )
    study = adaptation.study.run_study(design, tmp_path)
    assert len(done) == 10  # two arms with five seeds, each once
    assert study.seeds("LoRA") == [1, 2, 3, 4, 5]
    assert study.tests == ["kitchen", "general"]
    assert set(study.frames) == {"evaluations", "losses", "costs"}
    ranks = study.ranks.pivot_table("rank", ["test", "direction", "query"], ["arm", "seed"])
    assert not ranks.isna().any(axis=None)
    assert len({tuple(column) for column in ranks["LoRA"].to_numpy().T}) > 1  # seeds differ
    scores = study.frames["evaluations"].groupby(["arm", "step"])["score"].mean()
    lead = scores["LoRA", 4] > scores["zero-shot", 0]
    verdict = judge(study, design)["text"].item()
    assert verdict.startswith("not asked (gate") != lead


def test_items_are_drawn_whole_by_seed(data):
    part = augmentation.drawn_items(data, 3, seed=1)
    assert len(part.items) == 3
    assert set(part.image_items) == set(part.caption_items)
    for item in part.items:
        for of, mine in ((data.image_items, part.image_items),
                         (data.caption_items, part.caption_items)):  # fmt: skip
            assert (of == item).sum() == (mine == item).sum()
    assert part.items == augmentation.drawn_items(data, 3, seed=1).items
    others = {tuple(augmentation.drawn_items(data, 3, seed=s).items) for s in range(9)}
    assert len(others) > 3
    assert augmentation.drawn_items(data, 0, seed=1) is augmentation.drawn_items(data, 99, seed=1)


def test_a_rewritten_caption_stands_beside_its_own_of_the_same_item():
    drawn = drawn_set("world:kitchen", first=0, n=6)
    both = augmentation.with_rewritten(drawn, load_config(), seed=1)
    n = len(drawn.captions)
    assert both.captions[:n] == list(drawn.captions)
    assert len(both.captions) > n
    assert len(both.captions) == len(both.caption_items)
    pairs = list(zip(both.captions, both.caption_items, strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(both.caption_items[n:]) <= set(drawn.items)
    nothing = augmentation.with_rewritten(drawn, load_config().only(), seed=1)
    assert nothing.captions == list(drawn.captions)


def test_the_loss_of_pairs_is_that_of_a_plain_count():
    base, drawn = small_encoder("siglip"), drawn_set("world:kitchen", first=0, n=5)
    first = [int(np.argmax(drawn.image_items == item)) for item in drawn.items[:3]]
    u = base.images([drawn.images[i] for i in first])
    v = base.texts([drawn.captions_of[item][0] for item in drawn.items[:3]])
    logits = base.logit_scale * u @ v.T
    wanted = [np.log(np.exp(x).sum(axis=1)) - np.diag(x) for x in (logits, logits.T)]
    assert augmentation.pair_loss(base, drawn, 3) == pytest.approx(np.mean(wanted), abs=1e-5)


@pytest.mark.usefixtures("small_bases")
def test_the_study_of_augmentation_changes_data_and_nothing_else(tmp_path, monkeypatch):
    settings = {
        "placement": {"rank": 2, "dropout": 0.1}, "looks": [0, 0.5, 1], "pairs of a loss": 6,
    }  # fmt: skip
    factors = {"steps": 4, "batch_size": 6, "rate": 0.01}
    trained = {f"{c}, {n}": {"n": n, "condition": c, **factors}
               for n in (8, 12) for c in augmentation.CONDITIONS}  # fmt: skip
    arms = {"zero-shot": {}, **trained}
    gated = {
        "name": "both at 8", "says": "Both help", "test": "kitchen", "a": "both, 8",
        "b": "none, 8", "kind": "higher", "margin": 1.5, "gate": "overfits: none, 8",
    }  # fmt: skip
    design = Design(**{
        **SMALL, "lesson": "02", "settings": settings, "arms": arms, "hypotheses": [gated],
        "seeds": {"default": 2, "zero-shot": 0},
    })  # fmt: skip
    study = augmentation.run_study(design, tmp_path)
    assert study.arms == list(arms)
    assert study.tests == ["kitchen"]
    assert set(study.frames) == {"evaluations", "generalization", "losses"}
    looks = study.frames["generalization"].set_index(["arm", "seed", "step"])
    assert sorted(set(looks.index.get_level_values("step"))) == [0, 2, 4]
    start = looks.xs((1, 0), level=("seed", "step"))
    for n in (8, 12):  # one seed and number share recipes and start; validation is never changed
        assert start.loc[[f"{c}, {n}" for c in ("none", "images")], "training"].nunique() == 1
    assert start["validation"].nunique() == 1
    last = study.frames["losses"].groupby(["arm", "seed"])["loss"].last().unstack()
    assert last[1].nunique() == len(trained)  # every condition trains on something else
    runs = study.runs[study.runs["arm"] != "zero-shot"]
    assert (runs["best_validation"] >= runs["validation"]).all()
    means = augmentation.mean_losses(study, design)
    wanted = looks.loc[[("both, 12", seed, 4) for seed in (1, 2)], "validation"].mean()
    row = means[(means["recipes"] == 12) & (means["condition"] == "both") & (means["step"] == 4)]
    assert row["validation"].item() == pytest.approx(wanted)
    assert judge(study, design)["verdict"].item() == "not asked"  # two trainings are too few
    monkeypatch.setattr(augmentation, "train_condition", None)
    again = augmentation.run_study(design, tmp_path)  # nothing is trained twice
    assert again.ranks.equals(study.ranks)


def test_an_unknown_condition_is_named(data):
    how = {"config": None, "steps": 1, "batch_size": 2, "learning_rate": 0.1, "seed": 1}
    with pytest.raises(ValueError, match="'colors'; use one of none, images, texts, both"):
        augmentation.train_condition(None, data, data, condition="colors", **how)
