"""The topic of lesson 06: two domains, mixtures, values with flags, trajectories, attention."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data.sets import RetrievalSet
from helpers.models.encoder import load_encoder
from helpers.models.placement import Placement
from helpers.study import Design, Study, judge
from helpers.topics.distributions import attention, compare, domains, mixes, study, trajectories
from helpers.topics.watermarks.marks import marked
from tests.house import ROOT
from tests.recompute import recompute
from tests.small_models import small_adapted, small_data, small_encoder, small_image

RNG = np.random.default_rng


def mark(image, key):
    return marked(image, seed=[1, key])


# --- two sets of images --------------------------------------------------------------------------


def test_a_single_dot_gives_the_numbers_that_a_pencil_gives():
    levels = np.zeros((8, 8, 3), np.uint8)
    levels[4, 4] = 60
    row = compare.pixel_statistics([Image.fromarray(levels)], px=8).iloc[0]
    assert row["gradient"] == pytest.approx(4 * 30 / 36)
    laplacian = np.zeros(36)
    laplacian[:5] = [-240, 60, 60, 60, 60]
    assert row["sharpness"] == pytest.approx(laplacian.var())
    assert (row["brightness"], row["colorfulness"]) == (pytest.approx(60 / 64), pytest.approx(0))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8),
       st.lists(st.integers(0, 5), min_size=1, max_size=8))  # fmt: skip
def test_cliffs_delta_counts_pairs(a, b):
    naive = np.mean([np.sign(x - y) for x in a for y in b])
    ids = [f"a{i}" for i in range(len(a))], [f"b{i}" for i in range(len(b))]
    assert compare.cliffs_delta(a, b, *ids).value == pytest.approx(naive)


def test_the_interval_of_cliffs_delta_is_that_of_resampled_items():
    rng = RNG(6)
    items = [f"i{i // 2}" for i in range(80)]
    both = rng.normal(size=40).repeat(2)
    a, b = both + rng.normal(size=80) + 0.5, both + rng.normal(size=80)  # pairs, two of an item
    found, draws = compare.cliffs_delta(a, b, items, items), []
    for _ in range(400):
        rows = (2 * rng.integers(0, 40, 40)[:, None] + [0, 1]).ravel()
        draws.append(np.sign(np.subtract.outer(a[rows], b[rows])).mean())
    assert found.error == pytest.approx(np.std(draws), rel=0.15)
    assert found.n_items == 40


def test_the_probe_is_scored_on_items_that_it_was_not_fitted_to():
    rng = RNG(1)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 0.8
    items = [f"i{i // 2}" for i in range(40)]
    found = compare.probe_auc(a, b, items, items)
    rows, is_a = np.concatenate([a, b]), np.arange(80) < 40
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(probe, rows, is_a, groups=[*items, *items], cv=folds,
                             scoring="roc_auc")  # fmt: skip
    assert found.value == pytest.approx(scores.mean())
    assert 0.5 < found.low < found.value < found.high <= 1
    assert (found.n, found.n_items) == (80, 20)


def test_without_a_difference_the_interval_of_the_probe_holds_one_half():
    misses = 0
    for seed in range(60):
        rng, ids = RNG(seed), [str(i) for i in range(40)]
        a, b = rng.normal(size=(2, 40, 4))
        found = compare.probe_auc(a, b, ids, [f"b{i}" for i in ids])
        misses += not found.low <= 0.5 <= found.high
    assert misses <= 8  # 5 % would be 3


def test_one_item_cannot_be_probed():
    with pytest.raises(ValueError, match="1 and 2 items"):
        compare.probe_auc(np.ones((2, 2)), np.ones((2, 2)), ["a", "a"], ["b", "c"])


# --- domains -------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path):
    """Two captioned folders: 16 items in both, and two more in the second."""
    for name, n, shift in (("photos", 16, 0), ("renderings", 18, 1)):
        folder = tmp_path / name
        folder.mkdir()
        rows = ["image,caption,recipe_id"]
        for i in range(n):
            small_image(f"{i}/{shift}.jpg").resize((40, 40)).save(folder / f"dish{i}.png")
            rows.append(f"dish{i}.png,dish number {i},r{i}")
        (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def opened(sources, **more):
    given = {"source": "world:kitchen", "real": str(sources / "photos" / "captions.csv"), **more}
    return domains.open_domains(str(sources / "zone"), **given)


def test_items_of_two_sources_keep_one_split_and_are_followed_in_pairs(sources):
    both = opened(sources, synthetic=str(sources / "renderings" / "captions.csv"))
    assert set(both.synthetic["train"].items) & set(both.real["test"].items) == set()
    assert set(both.real["test"].items) <= set(both.synthetic["test"].items)
    probes = both.probes(50, seed=1)
    assert probes.paired
    assert sorted(probes.items_real) == sorted(both.real["test"].items)
    assert "captions" in both.made
    with pytest.raises(ValueError, match="synthetic images that were given"):
        both.at_gap(0.5)


def test_without_a_second_source_a_stated_rule_changes_the_images(sources):
    both = opened(sources)
    assert both.made == domains.RULE
    real, synthetic = both.probes(3, seed=1).real[0], both.probes(3, seed=1).synthetic[0]
    half = both.at_gap(0.5)
    assert real.size == synthetic.size == half.images[0].size
    distance = [np.abs(np.subtract(np.asarray(x, float), np.asarray(both.real["train"].images[0])))
                .mean() for x in (half.images[0], both.at_gap(1).images[0])]  # fmt: skip
    assert 0 < distance[0] < distance[1]


def test_the_second_style_of_a_drawn_source_has_the_same_keys(tmp_path):
    both = domains.open_domains(str(tmp_path / "zone"), source="world:kitchen", max_recipes=10)
    assert both.synthetic["train"].image_keys == both.real["train"].image_keys
    assert both.probes(2, seed=0).paired
    masks = domains.subject_masks("world:kitchen", both.real["train"].image_keys[:2], seed=42)
    assert [mask.any() and not mask.all() for mask in masks] == [True, True]
    with pytest.raises(ValueError, match="sets style itself"):
        domains.second_source("world:kitchen?style=photo", 1.0)


def test_masks_are_found_by_the_names_of_the_images(sources):
    both = opened(sources)
    folder = sources / "masks"
    folder.mkdir()
    mask = np.zeros((40, 40), np.uint8)
    mask[:20] = 255
    for i in range(16):
        Image.fromarray(mask).save(folder / f"dish{i}.png")
    shown = study.masked_images(both, str(folder), 9, max_recipes=0, seed=42)
    assert len(shown.images) == len(shown.masks["watermark"]) == len(both.real["test"].images)
    assert shown.masks["watermark"][0][:20].all()
    assert not shown.masks["watermark"][0][20:].any()
    for file in folder.iterdir():
        file.rename(folder / f"other-{file.name}")
    with pytest.raises(ValueError, match="name each mask as its image"):
        domains.given_masks(both, str(folder), max_recipes=0, seed=42)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline of a few thousand weights, made from its configurations."""
    diffusers = pytest.importorskip("diffusers")
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    tokenizer = small_encoder("clip").processor.tokenizer
    text = CLIPTextModel(CLIPTextConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        vocab_size=len(tokenizer), max_position_embeddings=77, projection_dim=16,
        pad_token_id=1, bos_token_id=2, eos_token_id=3))  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=16,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=4)  # fmt: skip
    vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=2, latent_channels=4)
    scheduler = diffusers.DDIMScheduler(steps_offset=1, clip_sample=False)
    diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, safety_checker=None,
        scheduler=scheduler, feature_extractor=None,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.mark.slow
def test_a_pipeline_by_directory_draws_an_image_for_each_caption(sources, pipeline, monkeypatch):
    real = domains._drawn
    monkeypatch.setattr(domains, "_drawn", lambda *a, **k: real(*a, num_inference_steps=1, **k))
    both = opened(sources, synthetic=str(pipeline))
    assert f"the pipeline {pipeline.name}" in both.made
    kept = both.pairs.zone.read_text("generated/captions.csv").splitlines()
    assert len(kept) == 1 + len(both.pairs.all["image_key"].unique())
    first = np.asarray(both.synthetic["train"].images[0])
    assert both.probes(2, seed=0).paired
    monkeypatch.setattr(domains, "_drawn", None)  # found again, not drawn again
    again = opened(sources, synthetic=str(pipeline))
    assert np.array_equal(np.asarray(again.synthetic["train"].images[0]), first)


# --- mixtures ------------------------------------------------------------------------------------


@given(st.integers(0, 10), st.integers(0, 10), st.sampled_from([1, 0.5, 0.25]), st.booleans())
def test_a_mixture_has_one_name(real, synthetic, gap, watermarked):
    mix = mixes.Mix(10 * real, 10 * synthetic, gap if synthetic else 1, watermarked)
    if not 0 < real + synthetic <= 10:
        with pytest.raises(ValueError, match="unknown mixture"):
            mixes.Mix.parse(mix.name)
        return
    assert mixes.Mix.parse(mix.name) == mix


@pytest.mark.parametrize("name", ["", "real", "100 rael", "60 real + 60 synthetic", "gap 0.5"])
def test_another_mixture_is_refused_with_examples(name):
    with pytest.raises(ValueError, match="such as '100 real'"):
        mixes.Mix.parse(name)


def second(data: RetrievalSet) -> RetrievalSet:
    images = [Image.new("RGB", (20, 20), "red")] * len(data.images)
    return RetrievalSet(images, data.image_items, data.captions, data.caption_items)


def sides(data: RetrievalSet) -> dict[str, set[str]]:
    """The items whose images are real, and those whose images are red."""
    red = np.array([np.asarray(image)[0, 0].tolist() == [255, 0, 0] for image in data.images])
    items = np.asarray(data.image_items)
    return {"real": set(items[~red].tolist()), "synthetic": set(items[red].tolist())}


@given(st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_a_larger_share_only_adds_items_and_none_is_in_both_parts(seed):
    real = small_data()
    names = ("25 real", "25 real + 50 synthetic", "50 real", "100 synthetic")
    made = [
        sides(mixes.mixed(real, second(real), mixes.Mix.parse(name), seed=seed)) for name in names
    ]
    few, added, half, alone = made
    assert few["real"] == added["real"] < half["real"]
    assert (len(few["real"]), len(added["synthetic"])) == (3, 6)
    assert not added["real"] & added["synthetic"]
    assert alone == {"real": set(), "synthetic": set(real.items)}


def test_a_share_without_items_is_refused_and_captions_come_with_their_items():
    real = small_data()
    with pytest.raises(ValueError, match="of 12 training items none is real"):
        mixes.mixed(real, second(real), mixes.Mix(real=1, synthetic=50), seed=0)
    made = mixes.mixed(real, second(real), mixes.Mix(real=50), seed=0, n=4)
    assert set(made.caption_items) == set(made.image_items)
    assert len(made.items) == 2


def test_a_watermark_is_drawn_on_every_image_of_a_watermarked_mixture():
    real = small_data(n_items=4)
    plain, drawn = (mixes.mixed(real, second(real), mixes.Mix(100, watermarked=w), seed=0,
                                mark=mark) for w in (False, True))  # fmt: skip
    for a, b in zip(plain.images, drawn.images, strict=True):
        assert not np.array_equal(np.asarray(a), np.asarray(b))


ALONE, CURVE = [25, 50, 100], [0.5, 0.6, 0.7]


@pytest.mark.parametrize(
    ("real", "synthetic", "score", "number", "flag"),
    [
        (25, 75, 0.6, 25 / 75, ""),
        (25, 75, 0.5, 0.0, ""),
        (50, 50, 0.65, (np.sqrt(50 * 100) - 50) / 50, ""),
        (25, 75, 0.49, 0.0, "below"),
        (0, 100, 0.4, 0.25, "below"),
        (25, 75, 0.71, 1.0, "above"),
    ],
)
def test_a_value_outside_of_the_curve_is_flagged_with_its_bound(
    real, synthetic, score, number, flag
):
    found = mixes.relative_value(real, synthetic, score, ALONE, CURVE)
    assert (found.number, found.flag) == (pytest.approx(number), flag)


@pytest.mark.parametrize(
    ("gains", "number", "flag"),
    [
        ([3, 1, -1], 0.875, ""),
        ([0, -1, -2], 0.5, ""),
        ([3, 2, 1], 1, "above"),
        ([-1, -2, -3], 0.5, "below"),
    ],
)
def test_the_gap_at_which_nothing_is_gained(gains, number, flag):
    found = mixes.break_even([0.5, 0.75, 1], gains)
    assert (found.number, found.flag) == (pytest.approx(number), flag)


def test_an_interval_may_end_beyond_what_can_be_measured():
    draws = [mixes.Value(0.5), *[mixes.Value(0.25, "below")] * 20,
             *[mixes.Value(x) for x in np.linspace(0.3, 1, 40)]]  # fmt: skip
    found = mixes.with_interval(draws)
    assert found.text.startswith("0.50 [below 0.25, ")


def made_up_study(levels: dict[str, float], *, n_seeds: int = 3, n: int = 60) -> Study:
    """Ranks of items with one query in each direction; an arm hits with its level."""
    rng, parts = RNG(5), []
    for arm, level in levels.items():
        for seed in range(1, n_seeds + 1) if arm != "zero-shot" else (-1,):
            for direction in ("text_to_image", "image_to_text"):
                rank = np.where(rng.random(n) < level, 1.0, 20.0)
                parts.append(pd.DataFrame({
                    "arm": arm, "seed": seed, "test": "kitchen", "direction": direction,
                    "query": range(n), "group": [f"g{i // 2}" for i in range(n)], "gallery": 0,
                    "gallery_size": 100, "positives": 1, "rank": rank}))  # fmt: skip
    ranks = pd.concat(parts, ignore_index=True)
    return Study(ranks, ranks[["arm", "seed"]].drop_duplicates(ignore_index=True))


def test_resampled_scores_start_with_what_was_measured():
    levels = {"zero-shot": 0.4, "25 real": 0.5, "100 real": 0.8, "25 real + 75 synthetic": 0.6}
    made = made_up_study(levels)
    draws = mixes.resampled_scores(made, list(levels), test="kitchen", n=400)
    measured = [made.estimate(arm, test="kitchen") for arm in levels]
    assert draws[0].tolist() == pytest.approx([one.value for one in measured])
    for spread, one in zip(draws[1:].std(axis=0), measured, strict=True):
        assert 0.6 * one.error < spread < 1.4 * one.error
    parsed = [mixes.Mix.parse(name) for name in levels if name != "zero-shot"]
    values = mixes.values_of_mixes(made, parsed, test="kitchen")
    ((name, value),) = values.items()
    assert 0 < value.number < 1
    assert value.low.sort_key <= value.number <= value.high.sort_key
    assert mixes.values_told(values).endswith(f"{name}: {value.text}.")


# --- trajectories --------------------------------------------------------------------------------


def test_distances_neither_turn_nor_grow_with_the_embedding():
    rng = RNG(2)
    real, synthetic = rng.normal(size=(2, 9, 4))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = trajectories.domain_distances(real, synthetic)
    again = trajectories.domain_distances(7 * real @ turn + 3, 7 * synthetic @ turn + 3)
    assert again == pytest.approx(found)
    different = np.linalg.norm(real[:, None] - real[None], axis=2)
    unit = np.sqrt((different**2).sum() / (9 * 8))
    assert found == pytest.approx(np.linalg.norm(real - synthetic, axis=1) / unit)
    apart = trajectories.domain_distances(real, synthetic[:5], paired=False)
    shift = np.linalg.norm(real.mean(0) - synthetic[:5].mean(0))
    assert apart == pytest.approx([shift / unit])
    with pytest.raises(ValueError, match="one embedding"):
        trajectories.domain_distances(np.ones((3, 2)), np.ones((3, 2)))


def test_a_change_is_paired_by_item_and_seed():
    values = {(1, "a"): (3, 1), (1, "b"): (5, 1), (2, "a"): (4, 1), (2, "b"): (2, 2)}
    rows = [{"seed": seed, "item": item, "step": step, "distance": value}
            for (seed, item), pair in values.items()
            for step, value in zip((9, 0), pair, strict=True)]  # fmt: skip
    frame = pd.DataFrame([*rows, {"seed": 3, "item": "a", "step": 0, "distance": 7}])
    found = trajectories.after_before(frame[frame["seed"] < 3])
    assert (found.value, found.n_items, found.n_seeds) == (pytest.approx(9 / 4), 2, 2)
    again = trajectories.after_before(frame)  # the third seed has no last step
    assert (again.value, again.n_seeds) == (found.value, 2)
    told = trajectories.distances_told(frame[frame["seed"] == 1].assign(condition="all"))
    assert told.startswith("Change of the distance from 1.000: all +3.000 [")
    alone = frame[frame["item"] == "a"].assign(condition="one")
    assert "[" not in trajectories.distances_told(alone)


# --- attention -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("heads", [False, True])
def test_maps_are_the_weights_of_the_model_itself(family, heads):
    encoder = small_adapted(family, vision_layers=1, text_layers=0, heads=heads)
    with torch.no_grad():
        for p in encoder.model.parameters():
            if p.requires_grad and p.ndim:
                p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    images = [small_image(f"{i}/0.jpg") for i in range(3)]
    found = attention.attention_maps(encoder, images, batch_size=2)
    pixels, vision = encoder.prepare_images(images), encoder.model.vision_model
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in vision.modules())
    with torch.no_grad():
        if family == "clip":
            vision.config._attn_implementation = "eager"
            weights = vision(pixels, output_attentions=True).attentions[-1]  # (b, heads, t, t)
            want = weights.mean(dim=1)[:, 0, 1:]
        else:
            pool = [m for m in vision.head.modules() if isinstance(m, torch.nn.MultiheadAttention)]
            head = next(m for m in vision.head.modules() if hasattr(m, "probe") and
                        isinstance(getattr(m, "attention", None), torch.nn.MultiheadAttention)
                        and (not heads or m.probe.requires_grad))  # fmt: skip
            assert len(pool) == 1 + heads
            states = vision(pixels).last_hidden_state
            probe = head.probe.repeat(len(images), 1, 1)
            want = head.attention(probe, states, states, need_weights=True)[1][:, 0]
    want = (want / want.sum(dim=1, keepdim=True)).reshape(3, 2, 2).numpy()
    assert found == pytest.approx(want, abs=1e-5)
    assert found.sum(axis=(1, 2)) == pytest.approx(np.ones(3))


def test_coverage_counts_pixels_and_shares_add_up():
    mask = RNG(0).random((2, 12, 12)) < 0.4
    found = attention.coverage(mask, 4)
    assert found == pytest.approx(mask.reshape(2, 4, 3, 4, 3).mean(axis=(2, 4)), abs=1e-6)
    maps = RNG(1).random((1, 2, 4, 4))
    maps /= maps.sum(axis=(2, 3), keepdims=True)
    masks = {"watermark": list(mask), "dish": list(~mask)}
    frame = attention.share_frame(maps, [7], attention.Marked([], ["a", "b"], masks))
    sums = frame.groupby("item")[["share", "area"]].sum()
    assert sums.to_numpy() == pytest.approx(np.ones((2, 2)), abs=1e-6)
    both = pd.concat([frame, frame.assign(images="clean", share=frame["share"] / 2)])
    drawn = attention.attracted(both.assign(condition="100 real")).set_index("item")["share"]
    own = frame[frame["region"] == "watermark"].set_index("item")["share"]
    assert drawn.to_dict() == pytest.approx((own / 2).to_dict())
    told = attention.shares_told(both.assign(condition="100 real"))
    assert f"100 real {50 * own.mean():+.2f} [" in told
    assert "before training: 100 real" in told


# --- the study -----------------------------------------------------------------------------------


def small_design() -> Design:
    """The committed design with a few recipes and steps; none of its test recipes."""
    about = yaml.safe_load(
        (ROOT / "reports/study/06_distribution_study/design.yaml").read_text(encoding="utf-8")
    )
    about["data"]["kitchen"] |= {"first": 7000, "n": 24, "gallery": 12}
    about["data"]["training"]["n"], about["data"]["validation"]["n"] = 16, 12
    about["data"]["pool"] |= {"first": 7100, "n": 10}
    about["settings"] |= {"steps": 2, "batch size": 8, "followed items": 6, "looks": [0, 0.5, 1]}
    about["settings"]["placement"] |= {"rank": 2}
    wanted = {h[side] for h in about["hypotheses"] for side in ("a", "b")}
    wanted |= {"25 real + 75 retrieved", "25 real + 75 narrow 64"}
    about["arms"] = {k: v for k, v in about["arms"].items() if k in wanted}
    about["arms"]["25 real + 75 narrow 64"]["kept"] = 4
    about["seeds"] = {"default": 5, "zero-shot": 0, "25 real + 75 retrieved": 1,
                      "25 real + 75 narrow 64": 1}  # fmt: skip
    return Design(**about)


@pytest.mark.slow
def test_the_study_runs_on_a_small_design_and_can_be_recomputed(tmp_path):
    design = small_design()
    made = study.run_study(design, tmp_path / "runs", mark=mark)
    assert set(made.frames) == {"evaluations", "distances", "attention"}
    assert made.tests == list(study.TESTS)
    controls = study.controls(made, design)
    assert controls["control"].tolist() == ["25 real + 75 retrieved", "25 real + 75 narrow 64"]
    before = made.frames["distances"].query("step == 0")
    assert before.groupby("item")["distance"].nunique().max() == 1  # nothing is trained yet
    judged = judge(made, design, study.other_estimates(made))
    made.save(tmp_path)
    (tmp_path / "design.yaml").write_text(json.dumps(json.loads(design.model_dump_json())))
    again = recompute(tmp_path).set_index("name")
    for row in judged.itertuples():
        for number in ("value", "low", "high"):
            want = 100 * getattr(row.estimate, number)
            assert again.loc[row.name, number] == pytest.approx(want, abs=1e-4), row.name
        assert again.loc[row.name, "p"] == pytest.approx(row.estimate.p, abs=1e-6)
    shutil.rmtree(tmp_path / "runs")


@pytest.mark.slow
def test_a_control_takes_other_images_for_the_same_captions():
    base, data = load_encoder("tiny-siglip"), small_data(n_items=4)
    pool = [small_image(f"{i}/0.jpg") for i in range(20, 23)]
    served = study.served_from(base, data, pool)
    assert served.captions == data.captions
    assert all(any(image is one for one in pool) for image in served.images)
    best = study.best_matched(base, data, 3)
    own = base.images(data.images) @ base.texts(data.captions).T
    score = [own[i, data.caption_items == item].mean() for i, item in enumerate(data.image_items)]
    want = [np.asarray(data.images[i]) for i in np.argsort(-np.array(score))[:3]]
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(best, want, strict=True))


# --- photographs ---------------------------------------------------------------------------------


def photographs_twice(recipes, folder, n: int):
    """Two captioned folders: photographs, and the same ones with few levels and strong color."""
    lines = (recipes / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    dishes = [dish for dish in map(json.loads, lines) if dish["images"]][:n]
    for name in ("photos", "changed"):
        (folder / name).mkdir()
        rows = ["image,caption,recipe_id"]
        for i, dish in enumerate(dishes):
            image = Image.open(recipes / dish["images"][0]).convert("RGB")
            image.thumbnail((256, 256))
            if name == "changed":
                image = ImageOps.posterize(ImageEnhance.Color(image).enhance(2.0), 2)
            image.save(folder / name / f"{i}.jpg")
            rows.append(f'{i}.jpg,"{dish["title"].replace(chr(34), "")}",dish{i}')
        (folder / name / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [str(folder / name / "captions.csv") for name in ("photos", "changed")]


@pytest.mark.slow
def test_trajectories_and_attention_are_those_of_a_users_own_photographs(real_recipes, tmp_path):
    real, synthetic = photographs_twice(real_recipes, tmp_path, 24)
    both = domains.open_domains(str(tmp_path / "zone"), source="world:kitchen", real=real,
                                synthetic=synthetic)  # fmt: skip
    probes = both.probes(10, seed=1)
    assert probes.paired
    shown = study.marked_probes(probes, mark, both.source)
    assert set(shown.masks) == {"watermark"}  # where the dish is nobody knows
    base = load_encoder("tiny-siglip")
    mix = mixes.Mix(synthetic=100)
    data = mixes.mixed(both.real["train"], both.at_gap(1), mix, seed=1)
    trained = mixes.train_mix(
        base, data, placement=Placement(rank=2, vision_layers=1, text_layers=1),
        settings=study.settings_of(steps=2, batch_size=8, rate=0.01, seed=1),
        watch=study.watch(probes, shown),
    )  # fmt: skip
    distances, shares = study.frames_by_condition({mix.name: trained}, probes, shown)
    assert set(distances["item"]) == set(shares["item"]) == set(probes.items_real)
    assert distances.groupby("step")["distance"].mean().nunique() > 1
    assert shares["share"].between(0, 1).all()
    assert "100 synthetic" in trajectories.distances_told(distances)
