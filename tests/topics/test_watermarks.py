"""Watermarks found, removed, and kept side by side: masks, Florence-2, inpainting, subsets."""

import sys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.data.pairs import ensure_pairs
from helpers.store.zones import open_zone
from helpers.topics.watermarks import subsets
from helpers.topics.watermarks.detect import (
    FittedDetector,
    connected,
    mask_scores,
    pixel_features,
    sample_pixels,
)
from helpers.topics.watermarks.florence import (
    DETECTION,
    OCR,
    PROMPTS,
    FlorenceDetector,
    filled,
    load_florence,
    polygons_of,
    share_of,
)
from helpers.topics.watermarks.inpaint import (
    METHODS,
    DiffusionInpainter,
    OpenCVInpainter,
    open_inpainter,
    psnr,
)
from helpers.topics.watermarks.marks import Watermark, draw, marked, stored
from helpers.world import open_world
from tests.small_florence import small_florence, small_processor

SIZE = (100, 50)
QUAD = "<loc_100><loc_200><loc_300><loc_200><loc_300><loc_400><loc_100><loc_400>"
BOX = "<loc_100><loc_200><loc_300><loc_400>"
SQUARE = ((10, 10), (30, 10), (30, 20), (10, 20))  # thousandths of 100 and of 50 pixels
TRIANGLE = ((10, 10), (30, 20), (50, 5))


def test_masks_by_hand():
    found = np.array([[1, 1, 0], [0, 0, 0]], bool)
    truth = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert mask_scores(found, truth) == {"precision": 1 / 2, "recall": 1 / 3, "iou": 1 / 4}
    empty = np.zeros((2, 3), bool)
    assert np.isnan(list(mask_scores(empty, empty).values())).all()
    assert mask_scores(empty, truth)["iou"] == 0


def test_likely_pixels_need_enough_sure_ones_in_reach():
    likely = np.zeros((9, 20), bool)
    likely[2:4, 2:8] = likely[6, 12:18] = True
    sure = np.zeros_like(likely)
    sure[2, 2:6] = sure[6, 12] = True
    kept = connected(likely, sure, least=3)
    assert kept[2:4, 2:8].all()
    assert not kept[6].any()


def test_features_do_not_know_the_place_and_pixels_are_a_third_of_the_mark():
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    features = pixel_features(Image.fromarray(np.tile(tile, (3, 3, 1))))
    assert np.abs(features[40, 40] - features[40 + 16 - 16, 40]).max() == 0
    mirrored = pixel_features(Image.fromarray(np.tile(tile, (3, 3, 1))[:, ::-1].copy()))
    assert np.allclose(mirrored[..., 3], features[:, ::-1, 3], atol=1e-5)
    mask = np.zeros((96, 96), bool)
    mask[:20, :20] = True
    rows, labels = sample_pixels(features, mask, 300, rng)
    assert (rows.shape, labels.sum()) == ((300, features.shape[-1]), 100)


@pytest.mark.slow
def test_a_fitted_detector_finds_marks_that_it_was_not_fitted_on_and_repeats_itself():
    world = open_world("kitchen", n_recipes=40, seed=7)
    plain = [world.draw(i, 0).image for i in range(24)]
    made = [FittedDetector(lambda: plain, "plain", copies=60, pixels=300, trees=30) for _ in "ab"]
    drawn = [marked(world.draw(i, 0).image, seed=i, opacity=0.9) for i in range(24, 40)]
    found, again = (one.find([stored(image) for image, _ in drawn]) for one in made)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))
    scores = [mask_scores(a, b) for a, (_, b) in zip(found, drawn, strict=True)]
    shuffled = [mask_scores(a, b) for a, (_, b) in zip(found, drawn[1:] + drawn[:1], strict=True)]
    mean, chance = (np.nanmean([one["recall"] for one in part]) for part in (scores, shuffled))
    assert mean > chance + 0.2
    (large,) = made[0].find([drawn[0][0].resize((300, 200))])
    assert (large.shape, large.dtype) == ((200, 300), bool)
    assert made[0].fingerprint == made[1].fingerprint
    other = FittedDetector(lambda: plain, "others", copies=60, pixels=300, trees=30)
    assert other.fingerprint != made[0].fingerprint
    with pytest.raises(ValueError, match="no image to fit"):
        FittedDetector(list, "none").find(plain[:1])


def a_florence(model=None):
    return FlorenceDetector(model or small_florence(), small_processor(), "small", 20)


@pytest.mark.parametrize(
    ("task", "answer", "found"),
    [
        (OCR, f"SAMPLE{QUAD}", [SQUARE]),
        (DETECTION, f"watermark{BOX}", [SQUARE]),
        (DETECTION, "watermark<poly><loc_100><loc_200><loc_300><loc_400><loc_500><loc_100></poly>",
         [TRIANGLE]),
        (DETECTION, "watermark<poly><loc_100><loc_200><loc_300><loc_400></poly>", []),  # no area
        (OCR, "nothing is written here", []),
        (DETECTION, "", []),
    ],
)  # fmt: skip
def test_answers_of_every_form_become_polygons(task, answer, found):
    assert polygons_of(small_processor(), f"</s><s>{answer}</s>", task, SIZE) == found


def test_areas_and_filled_polygons_agree():
    assert share_of(SQUARE, SIZE) == pytest.approx(20 * 10 / 5000)
    assert filled(SQUARE, SIZE).sum() == 21 * 11  # its border included
    assert share_of(TRIANGLE, SIZE) == pytest.approx(250 / 5000)


def test_too_large_a_proposal_is_no_mark_and_strokes_alone_are_taken(monkeypatch):
    plate = Image.new("RGB", SIZE, (90, 90, 90))
    image, mask = draw(plate, Watermark("SAMPLE", x=0.15, y=0.2, size=0.2, opacity=0.9))
    rows, columns = np.nonzero(mask)
    box = [columns.min() * 10, rows.min() * 20, columns.max() * 10, rows.max() * 20]
    answers = {
        DETECTION: "watermark" + "".join(f"<loc_{min(999, v)}>" for v in box),
        OCR: "a<loc_0><loc_0><loc_999><loc_0><loc_999><loc_999><loc_0><loc_999>",
    }
    monkeypatch.setattr(FlorenceDetector, "answer", lambda self, image, task: answers[task])
    (strokes,) = a_florence().find([image])
    assert mask_scores(strokes, mask)["precision"] > 0.9
    assert mask_scores(strokes, mask)["recall"] > 0.5
    answers[DETECTION] = answers[OCR]
    assert not a_florence().find([image])[0].any()


def test_a_stored_florence_is_opened_by_its_folder_and_known_by_its_weights(tmp_path):
    small_florence().save_pretrained(tmp_path)
    small_processor().save_pretrained(tmp_path)
    loaded = replace(load_florence(str(tmp_path)), max_new_tokens=20)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    for task in PROMPTS:
        assert loaded.answer(image, task) == a_florence().answer(image, task)
    (mask,) = loaded.find([image])
    assert (mask.shape, mask.dtype) == ((40, 50), bool)
    assert loaded.fingerprint == a_florence().fingerprint
    with torch.no_grad():
        next(loaded.model.parameters()).add_(1)
    assert a_florence(loaded.model).fingerprint != a_florence().fingerprint
    assert "torchvision" not in sys.modules


def test_a_mask_that_leaves_nothing_to_fill_from_is_refused():
    with pytest.raises(ValueError, match="whole image"):
        OpenCVInpainter().fill(ramp(5, 4), np.ones((4, 5), bool))


def ramp(width, height):
    """Light that rises evenly from left to right: what is missing can be told from the rest."""
    row = np.linspace(20, 220, width)
    return Image.fromarray(np.tile(row[None, :, None], (height, 1, 3)).astype(np.uint8))


@pytest.mark.parametrize("method", METHODS)
def test_a_hole_in_an_even_ramp_is_nearly_brought_back(method):
    image, mask = ramp(40, 30), np.zeros((30, 40), bool)
    mask[12:16, 10:30] = True
    spoiled = np.asarray(image).copy()
    spoiled[mask] = 255
    done = OpenCVInpainter(method).fill(Image.fromarray(spoiled), mask)
    error = np.abs(np.asarray(done, float) - np.asarray(image, float))
    assert error[mask].mean() < 6
    assert error[~mask].max() == 0
    assert psnr(done, image, mask) > psnr(Image.fromarray(spoiled), image, mask)
    assert psnr(image, image, mask) == np.inf
    assert np.isnan(psnr(image, image, np.zeros_like(mask)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(METHODS)))
def test_nothing_outside_the_mask_changes_and_the_covered_values_do_not_matter(seed, method):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (20, 17, 3), dtype=np.uint8)
    mask = rng.random((20, 17)) < 0.2
    other = pixels.copy()
    other[mask] = rng.integers(0, 256, (int(mask.sum()), 3), dtype=np.uint8)
    a, b = (OpenCVInpainter(method).fill(Image.fromarray(p), mask) for p in (pixels, other))
    assert (np.asarray(a) == np.asarray(b)).all()
    assert (np.asarray(a)[~mask] == pixels[~mask]).all()


@cache
def tiny_pipeline(in_channels: int = 9):
    """Stable Diffusion's inpainting pipeline with a few thousand fresh weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline
    from diffusers import UNet2DConditionModel as UNet
    from transformers import CLIPTextConfig, CLIPTextModel

    from helpers.models.encoder import load_encoder

    torch.manual_seed(0)
    tokenizer = load_encoder("tiny-clip", device="cpu").processor.tokenizer
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=tokenizer.model_max_length,
        )
    )  # fmt: skip
    unet = UNet(
        sample_size=8, in_channels=in_channels, out_channels=4, layers_per_block=1,
        norm_num_groups=8, block_out_channels=(8, 16), cross_attention_dim=16, attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=8, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.slow
def test_a_stored_pipeline_fills_the_hole_alone_and_is_known_by_its_weights(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path, safe_serialization=True)
    loaded = open_inpainter(str(tmp_path), steps=2, px=32)
    kept = DiffusionInpainter(tiny_pipeline(), "tiny", steps=2, px=32)
    image, mask = ramp(40, 24), np.zeros((24, 40), bool)
    mask[5:12, 8:20] = True
    a, b, again = (np.asarray(one.fill(image, mask)) for one in (loaded, kept, kept))
    assert np.abs(a.astype(int) - b).max() <= 1
    assert (b == again).all()
    assert (b[~mask] == np.asarray(image)[~mask]).all()
    assert (b[mask] != np.asarray(image)[mask]).any()
    assert loaded.fingerprint == kept.fingerprint
    with torch.no_grad():
        next(loaded.pipeline.unet.parameters()).add_(1)
    moved = DiffusionInpainter(loaded.pipeline, "tiny", steps=2, px=32)
    assert moved.fingerprint != kept.fingerprint
    assert DiffusionInpainter(tiny_pipeline(), "tiny", steps=3, px=32).fingerprint != (
        kept.fingerprint
    )


def test_the_parameter_chooses_the_method_or_a_model(tmp_path):
    assert open_inpainter("telea") == OpenCVInpainter("telea")
    assert OpenCVInpainter().fingerprint != OpenCVInpainter("telea").fingerprint
    with pytest.raises(ValueError, match="nowhere"):
        open_inpainter(str(tmp_path / "nowhere"))


@dataclass(frozen=True)
class Corner:
    """A detector that always finds the same corner, and counts what it is asked."""

    asked: list
    fingerprint: str = "corner"
    name: str = "corner"

    def find(self, images):
        masks = [np.zeros((image.height, image.width), bool) for image in images]
        self.asked.append(len(masks))
        for mask in masks:
            mask[:5, :5] = True
        return masks


@pytest.fixture
def pairs(tmp_path):
    zone = open_zone(str(tmp_path / "zone"))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=32, progress=False)


def with_corner(asked, fingerprint="corner"):
    return subsets.Tools(Corner(asked, fingerprint), OpenCVInpainter(), {}, {})


def test_subsets_side_by_side_differ_in_images_and_in_nothing_else(pairs):
    asked, opacity = [], (0.9, 0.95)
    made = subsets.ensure_subsets(pairs, with_corner(asked), marks=subsets.DRAWN, opacity=opacity)
    keys = list(dict.fromkeys(pairs.all["image_key"]))
    assert list(made) == ["watermarked", "repaired", "repaired, true masks", "clean"]
    assert sum(asked) == len(keys)
    same = ["recipe_id", "image_key", "caption", "language", "style", "split"]
    for part in made.values():
        assert part.all[same].equals(pairs.all[same])
    assert len({part.manifest.fingerprint for part in made.values()}) == 4
    watermarked, repaired, exact, clean = made.values()
    assert clean is pairs
    gains = []
    for key in keys:
        drawn, mask = marked(pairs.image(key), seed=[42, key], opacity=opacity)
        assert (watermarked.mask(key) == exact.mask(key)).all()
        assert (watermarked.mask(key) == mask).all()
        assert np.array_equal(np.asarray(watermarked.image(key)), np.asarray(stored(drawn)))
        assert (repaired.mask(key)[:5, :5]).all()
        gains.append(psnr(exact.image(key), clean.image(key), mask)
                     - psnr(watermarked.image(key), clean.image(key), mask))  # fmt: skip
    assert np.median(gains) > 0


def test_subsets_are_built_once_and_anew_for_other_weights(pairs):
    asked = []
    first, again = (
        subsets.ensure_subsets(pairs, with_corner(asked), marks=subsets.DRAWN) for _ in "ab"
    )
    assert sum(asked) == pairs.all["image_key"].nunique()
    prints = [{n: part.manifest.fingerprint for n, part in m.items()} for m in (first, again)]
    assert prints[0] == prints[1]
    other = subsets.ensure_subsets(pairs, with_corner(asked, "moved"), marks=subsets.DRAWN)
    assert sum(asked) == 2 * pairs.all["image_key"].nunique()
    found = {name: part.manifest.fingerprint for name, part in other.items()}
    assert [name for name in found if found[name] != prints[0][name]] == ["repaired"]


def test_images_are_taken_as_they_come_unless_marks_are_asked_for(pairs):
    keys, taken = subsets.image_keys_of_test(pairs, 1), {"marks": subsets.FOUND}
    assert set(pairs.all.loc[pairs.all["image_key"].isin(keys), "split"]) == {"test"}
    assert set(subsets.image_keys_of_test(pairs, 0)) == set(pairs.all["image_key"])
    made = subsets.ensure_subsets(pairs, with_corner([]), keys=keys, **taken)
    assert list(made) == ["watermarked", "repaired"]
    assert set(made["repaired"].all["image_key"]) == set(keys)
    assert subsets.ensure_subsets(pairs, with_corner([]), marks=subsets.NONE) == {}
    assert subsets.wanted_marks("auto", "photos/captions.csv") == subsets.NONE
    assert subsets.wanted_marks("auto", "world:kitchen") == subsets.DRAWN
    assert subsets.wanted_marks("drawn", "photos/captions.csv") == subsets.DRAWN
    with pytest.raises(ValueError, match="'nobody'"):
        subsets.ensure_subsets(pairs, with_corner([]), keys={"nobody"}, **taken)


def test_scores_by_opacity_are_of_one_watermark_on_each_image(pairs):
    fit, score = {}, {key: pairs.image(key) for key in pairs.test["image_key"].unique()[:3]}
    tools = subsets.Tools(Corner([]), OpenCVInpainter(), fit, score)
    frame = subsets.scores_by_opacity(tools, opacities=(0.2, 0.9), seed=1)
    assert frame.groupby("opacity").size().to_dict() == dict.fromkeys((0.0, 0.2, 0.9), len(score))
    left = frame.pivot(index="key", columns="opacity", values="watermarked")
    assert (left[0.2] > left[0.9]).all()
    true = frame.pivot(index="key", columns="opacity", values=subsets.TRUE_MASKS)
    assert np.allclose(true[0.2], true[0.9], atol=2.5)  # what was covered is not read
    assert np.allclose((frame["repaired"] - frame["watermarked"]).dropna(), frame["gain"].dropna())
    table = subsets.by_opacity(frame, ["iou", "gain"])
    assert set(table["what"]) == {"iou", "gain"}
    mean = frame[frame["opacity"] == 0.9]["iou"].mean()
    row = table[(table["what"] == "iou") & (table["opacity"] == 0.9)]
    assert row["estimate"].iloc[0].value == pytest.approx(mean)
    odd = pd.DataFrame({"key": ["a"], "opacity": [0.5], "iou": [0.5]})
    assert subsets.by_opacity(odd, ["iou"]).empty  # one image has no interval


def test_where_marks_are_not_asked_for_drawings_stand_in(pairs):
    tools = subsets.open_tools(pairs, marks=subsets.NONE, n=3)
    assert len(tools.to_score) == 3
    assert not set(tools.to_score) & set(tools.to_fit)
    found = subsets.open_tools(pairs, marks=subsets.FOUND, n=3)  # may have watermarks of their own
    assert found.detector.fingerprint == tools.detector.fingerprint
    own = subsets.open_tools(pairs, marks=subsets.DRAWN, n=3)
    assert set(own.to_score) <= set(pairs.test["image_key"])
    assert set(own.to_fit) <= set(pairs.train["image_key"])
    assert tools.detector.fingerprint != own.detector.fingerprint
