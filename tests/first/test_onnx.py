"""Exported towers: the rows, what is refused, what is chosen, and the table of ways to serve."""

import copy
import shutil
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from helpers.data.pairs import retrieval_set
from helpers.first.models.lora import merge
from helpers.first.retrieval import onnx_export
from helpers.first.retrieval.onnx_check import agreement, serving_table, shared_best
from helpers.first.retrieval.onnx_encoder import load_onnx
from helpers.first.retrieval.onnx_export import OnnxRefused, export_onnx, tensorrt_command
from helpers.first.retrieval.onnx_int8 import CUTS, layer_of, quantize_onnx
from helpers.first.retrieval.precision import in_precision
from helpers.first.retrieval.space import space_of
from tests.first.small_training import (
    WORDS,
    small_adapted,
    small_encoder,
    small_frame,
    small_picture,
)

FAMILIES = ["clip", "siglip"]
PICTURES = [small_picture(f"{r}/{i}.jpg") for r in range(6) for i in range(2)]


def adapted_and_merged(family):
    """A merged model that is not its base."""
    adapted = small_adapted(family)
    with torch.no_grad():
        for name, p in adapted.encoder.model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.2)
    return merge(adapted)


@pytest.fixture(scope="module")
def models():
    """Family to merged model."""
    return {family: adapted_and_merged(family) for family in FAMILIES}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, models):
    """Family to the folder of its exported towers, made and opened without a network."""
    root = tmp_path_factory.mktemp("onnx")

    def closed(*args, **kwargs):
        raise OSError("no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", closed)
        patch.setattr(socket.socket, "connect", closed)
        return {family: export_onnx(models[family], root / family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 5])
def test_rows_are_the_merged_models(family, n, models, exported):
    served, model = load_onnx(exported[family]), models[family]
    captions = (WORDS * 2)[:n]
    np.testing.assert_allclose(served.images(PICTURES[:n]), model.images(PICTURES[:n]), atol=1e-5)
    np.testing.assert_allclose(served.texts(captions), model.texts(captions), atol=1e-5)
    base = small_encoder(family)
    assert np.abs(served.images(PICTURES[:n]) - base.images(PICTURES[:n])).max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_says_what_it_is(family, models, exported):
    served, model = load_onnx(exported[family]), models[family]
    for name in ("name", "family", "dimension", "text_length", "image_px"):
        assert getattr(served, name) == getattr(model, name)
    assert served.logit_scale == pytest.approx(model.logit_scale, rel=1e-5)
    assert served.logit_bias == pytest.approx(model.logit_bias)
    assert served.fingerprint
    assert space_of(served).preprocessing == space_of(model).preprocessing


@pytest.mark.parametrize("family", FAMILIES)
def test_agreement_of_fp32(family, models, exported):
    table = agreement(models[family], load_onnx(exported[family]), PICTURES, WORDS, k=3)
    assert table.tower.tolist() == ["vision", "text"]
    assert (table.min_cosine > 1 - 1e-5).all()
    assert (table.top3_agreement == 1).all()


def test_neighbors_in_common():
    a = np.array([[5.0, 4, 3, 2], [1, 2, 3, 4]])
    b = np.array([[2.0, 3, 4, 5], [1, 2, 3, 4]])
    assert shared_best(a, b, k=2).tolist() == [0.0, 1.0]
    assert shared_best(a, b, k=9).tolist() == [1.0, 1.0]


def test_no_path_of_this_machine_is_in_the_files(exported):
    for folder in exported.values():
        for file in folder.glob("*.onnx"):
            content = file.read_bytes()
            assert b"helpers/first/retrieval" not in content
            assert b"site-packages" not in content


def test_whole_numbers_are_chosen_on_held_pictures(exported, models, tmp_path):
    folder = shutil.copytree(exported["clip"], tmp_path / "clip")
    ticks = iter(range(10**6))
    table = quantize_onnx(
        folder, PICTURES, WORDS, floor=0.99, repeats=1, reference=models["clip"],
        clock=lambda: float(next(ticks)),
    )  # fmt: skip
    assert table.groupby("tower").chosen.sum().tolist() == [1, 1]
    assert (table[table.chosen].min_cosine >= 0.99).all()
    everything = table[table.kept_fp32 == "everything"]
    assert everything.n_int8.tolist() == [0, 0]
    assert (everything.min_cosine > 1 - 1e-5).all()
    nothing = table[table.kept_fp32 == "nothing"].set_index("tower")
    assert nothing.n_int8.to_dict() == {"vision": 3 * 6 + 1, "text": 2 * 6 + 1}
    assert (nothing.min_cosine < 1 - 1e-7).all()
    served = load_onnx(folder, precision="int8")
    cosine = (served.images(PICTURES) * models["clip"].images(PICTURES)).sum(axis=1)
    assert cosine.min() >= 0.99
    assert served.fingerprint != load_onnx(folder).fingerprint


def test_of_those_that_hold_the_floor_the_most_in_int8_is_chosen_whatever_the_times(
    exported, tmp_path
):
    folder = shutil.copytree(exported["clip"], tmp_path / "clip")
    spent = iter([4, 2, 9, 3] * 2)  # the fourth is the model itself: all of it in fp32
    readings = (t for s in spent for t in (0, s))
    cuts = [CUTS[0], CUTS[1], CUTS[2], CUTS[-1]]
    options = {"repeats": 1, "cuts": cuts, "clock": lambda: next(readings)}
    table = quantize_onnx(folder, PICTURES, WORDS, floor=0.9, **options)
    assert table[table.chosen].kept_fp32.tolist() == [CUTS[0].name] * 2
    assert table.latency_ms.tolist() == [4000, 2000, 9000, 3000] * 2


def test_where_nothing_holds_the_floor_fp32_stays(exported, tmp_path):
    folder = shutil.copytree(exported["clip"], tmp_path / "clip")
    table = quantize_onnx(folder, PICTURES, WORDS, floor=1.1, repeats=1, cuts=CUTS[-2:])
    assert table[table.chosen].kept_fp32.tolist() == ["everything", "everything"]
    plain, served = load_onnx(folder), load_onnx(folder, precision="int8")
    assert np.array_equal(plain.images(PICTURES), served.images(PICTURES))


def test_layers_by_the_names_of_modules():
    assert layer_of("vision_model.encoder.layers.11.mlp.fc1") == 11
    assert layer_of("text_model.encoder.layers.2") == 2
    assert layer_of("visual_projection") == -1
    fc1 = "vision_model.encoder.layers.3.mlp.fc1"
    kept = {cut.name: cut.keeps(fc1, 5) for cut in CUTS}
    assert [name for name, keeps in kept.items() if keeps] == ["heads, second half", "everything"]


def test_nothing_to_choose_on(exported):
    with pytest.raises(ValueError, match="12 pictures and 0 captions"):
        quantize_onnx(exported["clip"], PICTURES, [])


def test_what_cannot_be_exported_is_refused_with_a_remedy(exported, tmp_path, monkeypatch):
    with pytest.raises(OnnxRefused, match=r"adapter at .*_proj: export merge\(adapted\)"):
        export_onnx(small_adapted("clip").encoder, tmp_path)
    prompted = small_adapted("clip", method="prompt", heads=False).encoder
    with pytest.raises(OnnxRefused, match=r"learned tokens at .*: serve it with torch"):
        export_onnx(prompted, tmp_path)
    with pytest.raises(OnnxRefused, match="opened in bf16: open it in fp32"):
        export_onnx(replace(small_encoder("clip"), precision="bf16"), tmp_path)
    with pytest.raises(OnnxRefused, match="is no torch model: it was exported already"):
        export_onnx(load_onnx(exported["clip"]), tmp_path)

    def failing(*args, **kwargs):
        raise RuntimeError("no word for aten::strange\nat length")

    monkeypatch.setattr(onnx_export.torch.onnx, "export", failing)
    with pytest.raises(OnnxRefused, match=r"vision tower of small-clip .*strange\): serve this"):
        export_onnx(small_encoder("clip"), tmp_path)
    assert not (tmp_path / "onnx.json").exists()


def test_damaged_and_missing_files_are_refused(exported, tmp_path):
    folder = shutil.copytree(exported["siglip"], tmp_path / "siglip")
    with pytest.raises(OnnxRefused, match="unknown precision 'fp16'"):
        load_onnx(folder, precision="fp16")
    with pytest.raises(OnnxRefused, match=r"has no vision\.int8\.onnx: make it with quantize_onnx"):
        load_onnx(folder, precision="int8")
    data = bytearray((folder / "text.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "text.onnx").write_bytes(data)
    with pytest.raises(OnnxRefused, match=r"text\.onnx is damaged"):
        load_onnx(folder)
    (folder / "text.onnx").unlink()
    with pytest.raises(OnnxRefused, match=r"text\.onnx is missing"):
        load_onnx(folder)
    (folder / "onnx.json").write_text("{}")
    with pytest.raises(OnnxRefused, match="cannot be read"):
        load_onnx(folder)
    with pytest.raises(OnnxRefused, match=r"onnx\.json is missing: export the model"):
        load_onnx(tmp_path)


def test_the_command_for_tensorrt_names_file_and_shapes(exported):
    said = tensorrt_command(exported["clip"], max_batch=8)
    assert said.startswith(f"trtexec --onnx={exported['clip']}/vision.onnx ")
    assert "--minShapes=pixel_values:1x3x16x16" in said
    assert "--maxShapes=pixel_values:8x3x16x16" in said


def test_the_table_of_ways_to_serve(exported, models):
    frame = small_frame(recipes=6, negatives=False).assign(split="test")
    data = retrieval_set(frame)
    ways = {
        "torch": models["clip"], "onnx": load_onnx(exported["clip"]),
        "bf16": in_precision(replace(models["clip"], fingerprint="x"), "bf16"),
        "another model": small_encoder("clip", seed=5),
    }  # fmt: skip
    ticks = iter(range(10**6))
    table = serving_table(
        ways, data, small_picture, sizes_mb={"onnx": 1.5, "bf16": 2.0}, batch_size=4, repeats=2,
        clock=lambda: float(next(ticks)),
    ).set_index("served by")  # fmt: skip
    assert table.index.tolist() == list(ways)
    assert (table[["image_ms", "text_ms"]] == 1000).all(axis=None)  # one second by this clock
    assert (table[["images_per_s", "texts_per_s"]] == 4).all(axis=None)
    assert table.size_mb["onnx"] == 1.5
    weights = sum(p.numel() for p in models["clip"].model.parameters())
    assert table.size_mb["torch"] == pytest.approx(4 * weights / 2**20)
    for way in ("t2i", "i2t"):
        assert table[f"{way} lost"][["torch", "onnx"]].tolist() == [0, 0]
        other = table.loc["another model"]
        assert other[f"{way} low"] <= other[f"{way} lost"] <= other[f"{way} high"]
        expected = table[f"{way} hit@10"]["torch"] - other[f"{way} hit@10"]
        assert other[f"{way} lost"] == pytest.approx(expected)


def test_a_projection_to_another_width(tmp_path):
    """As in every real CLIP: 768 to 512 in ViT-B/32."""
    small = small_encoder("clip")
    config = copy.deepcopy(small.model.config)
    config.projection_dim = config.vision_config.projection_dim = 8
    config.text_config.projection_dim = 8
    torch.manual_seed(0)
    encoder = replace(small, model=CLIPModel(config).eval().requires_grad_(False))
    folder = export_onnx(encoder, tmp_path, towers=("vision",))
    quantize_onnx(folder, PICTURES, WORDS, floor=0.9, repeats=1, cuts=CUTS[:2])
    rows = load_onnx(folder, precision="int8").images(PICTURES)
    assert rows.shape == (len(PICTURES), 8)
    assert (rows * encoder.images(PICTURES)).sum(axis=1).min() > 0.9


def test_one_tower_alone(tmp_path):
    encoder = small_encoder("clip")
    served = load_onnx(export_onnx(encoder, tmp_path, towers=("text",)))
    np.testing.assert_allclose(served.texts(WORDS), encoder.texts(WORDS), atol=1e-5)
    with pytest.raises(OnnxRefused, match="the vision tower was not exported"):
        served.images(PICTURES)
    with pytest.raises(OnnxRefused, match="unknown tower 'head'"):
        export_onnx(encoder, tmp_path, towers=("head",))


def test_a_size_that_nobody_knows(exported):
    data = retrieval_set(small_frame(recipes=6, negatives=False).assign(split="test"))
    with pytest.raises(ValueError, match="give its size in sizes_mb"):
        serving_table({"onnx": load_onnx(exported["clip"])}, data, small_picture, repeats=1)
