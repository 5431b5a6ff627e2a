"""Small checkpoints with random weights, in the layouts that the hub has: whole and broken ones.

transformers makes them, and what they give is computed with transformers alone, so that a command
of the course can be held against it.
"""

import http.server
import itertools
import json
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    GemmaTokenizer,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    SiglipTokenizer,
)

from tests.behaviour.conftest import ROOT, real_data

COMMIT = "0123456789abcdef0123456789abcdef01234567"
POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 605157884\n"
)
TOWER = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
VISION = TOWER | {"image_size": 32, "patch_size": 16}
PIXELS = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5], "resample": 3, "rescale_factor": 1 / 255,
}  # fmt: skip


def write_json(file: Path, content: Any) -> None:
    """Indented, as the hub's files are."""
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_siglip_preprocessor(folder: Path) -> None:
    """``preprocessor_config.json`` with the class that the hub's files name."""
    names = {"image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor"}
    write_json(
        folder / "preprocessor_config.json", PIXELS | names | {"size": {"height": 32, "width": 32}}
    )


def spread(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights large enough that texts and pictures differ, and SigLIP's scale and bias."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.15)
            if name in ("logit_scale", "logit_bias"):
                weight.fill_(2.3 if name == "logit_scale" else -10.0)
    return model.eval()


def clip_of_the_hub(folder: Path) -> Path:
    """openai/clip-vit-base-patch32 in small: ``pytorch_model.bin``, a preprocessor of old form.

    With the real tokenizer where it is at hand; without it a small one in the same two files.
    """
    folder.mkdir(parents=True)
    real = real_data("clip-vit-base-patch32")
    if real:
        names = ("merges.txt", "vocab.json", "tokenizer_config.json", "special_tokens_map.json")
        for name in (*names, "tokenizer.json"):
            shutil.copy(real / name, folder / name)
    else:
        letters = [chr(i) for i in range(ord("!"), ord("~") + 1)]
        tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
        tokens += ["<|startoftext|>", "<|endoftext|>"]
        CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    words = {"vocab_size": len(CLIPTokenizer.from_pretrained(folder)), "eos_token_id": 2}
    config = CLIPConfig(
        text_config=TOWER | words, vision_config=VISION, projection_dim=24, torch_dtype="float32"
    )
    model = spread(CLIPModel(config), 1)
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    crop = {"do_center_crop": True, "crop_size": 32, "size": 32}
    names = {"feature_extractor_type": "CLIPFeatureExtractor"}
    write_json(folder / "preprocessor_config.json", PIXELS | crop | names)
    return folder


def siglip_of_the_hub(folder: Path) -> Path:
    """google/siglip-base-patch16-224 in small: its tokenizer is ``spiece.model`` alone."""
    folder.mkdir(parents=True)
    words = itertools.product(
        ["red", "hot", "cold", "sweet"], ["soup", "pie", "stew"], ["rice", "lemon", "garlic"]
    )
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(f"a {how} {dish} with {part}" for how, dish, part in words))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "spiece"), vocab_size=80, pad_id=-1, bos_id=-1,
        unk_id=2, eos_id=1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    for place in (corpus, folder / "spiece.vocab"):
        place.unlink()
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    save_siglip(folder, len(tokenizer), pad=1)
    return folder


def siglip2_of_the_hub(folder: Path) -> Path:
    """google/siglip2-base-patch16-224 in small: a SigLIP by its type, with Gemma's tokenizer."""
    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'-▁"
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *letters]
    tokenizer = GemmaTokenizer(
        vocab={token: i for i, token in enumerate(tokens)}, merges=[], add_bos_token=False,
        add_eos_token=True, padding_side="right", model_max_length=64,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    save_siglip(folder, len(tokenizer), pad=0)
    return folder


def save_siglip(folder: Path, tokens: int, *, pad: int) -> None:
    """Weights, configuration and preprocessor of a SigLIP."""
    words = {"vocab_size": tokens, "pad_token_id": pad, "bos_token_id": 2, "eos_token_id": 1}
    config = SiglipConfig(text_config=TOWER | words, vision_config=VISION)
    spread(SiglipModel(config), 2).save_pretrained(folder)
    write_siglip_preprocessor(folder)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "clip": clip_of_the_hub,
    "siglip": siglip_of_the_hub,
    "siglip2": siglip2_of_the_hub,
}


def naflex_of_the_hub(folder: Path) -> Path:
    """google/siglip2-base-patch16-naflex: configuration and weights of the other SigLIP 2."""
    words = {"vocab_size": 72, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    vision = TOWER | {"num_patches": 4, "patch_size": 16}
    config = Siglip2Config(text_config=TOWER | words, vision_config=vision)
    Siglip2Model(config).save_pretrained(folder)
    return folder


def put_into_cache(checkpoint: Path, home: Path, model: str) -> dict[str, str]:
    """Lay a checkpoint out as ``hf download`` leaves it; the variables that point there."""
    place = home / "hub" / f"models--{model.replace('/', '--')}"
    shutil.copytree(checkpoint, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    return {"HF_HOME": str(home)}


@contextmanager
def counting_hub() -> Iterator[tuple[dict[str, str], list[str]]]:
    """A server in the place of the hub: the variables that name it, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_error(404)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}"}, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cosines(checkpoint: Path, text: str, pictures: list[Path]) -> np.ndarray:
    """What transformers alone gives for a text, as its family was trained, and every picture."""
    model = AutoModel.from_pretrained(checkpoint).eval()
    processor = AutoProcessor.from_pretrained(checkpoint)
    siglip = model.config.model_type == "siglip"
    tokens = processor.tokenizer(
        [text.lower() if siglip else text], return_tensors="pt", truncation=True,
        max_length=model.config.text_config.max_position_embeddings,
        padding="max_length" if siglip else "longest", return_attention_mask=not siglip,
    )  # fmt: skip
    images = [Image.open(place).convert("RGB") for place in pictures]
    pixels = processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        rows = model.get_image_features(pixel_values=pixels).pooler_output
        row = model.get_text_features(**tokens).pooler_output
    return torch.nn.functional.cosine_similarity(rows, row).numpy()


# Broken ones, made from a checkpoint of the course.


def tiny_copy(folder: Path) -> Path:
    """The committed tiny CLIP, to be broken."""
    return Path(shutil.copytree(ROOT / "data" / "tiny" / "tiny-clip", folder))


def edit(file: Path, **values: Any) -> None:
    """Change values of a JSON file; a name such as text_config__vocab_size goes a level down."""
    content = json.loads(file.read_text(encoding="utf-8"))
    for name, value in values.items():
        *path, last = name.split("__")
        place = content
        for step in path:
            place = place[step]
        place[last] = value
    write_json(file, content)


def weights_pointer(folder: Path) -> None:
    """git-lfs was not installed."""
    (folder / "model.safetensors").write_text(POINTER)


def weights_bin_pointer(folder: Path) -> None:
    """The same of the older form."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text(POINTER)


def weights_cut(folder: Path) -> None:
    """The download ended early."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])


def weights_bin_cut(folder: Path) -> None:
    """The same of the older form."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])


def weights_empty(folder: Path) -> None:
    """Zero bytes."""
    (folder / "model.safetensors").write_bytes(b"")


class Planted:
    """What a pickle could run when it is opened."""

    def __reduce__(self):
        return print, ("a pickle ran code",)


def weights_pickle(folder: Path) -> None:
    """A pickle that holds more than weights."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Planted()}, protocol=2))


def weights_missing(folder: Path) -> None:
    """Only the small files were copied."""
    (folder / "model.safetensors").unlink()


def shard_missing(folder: Path) -> None:
    """One of two files of weights was not copied."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {}, "weight_map": {f"weight{i}": name for i, name in enumerate(names)}},
    )


def config_cut(folder: Path) -> None:
    """The configuration ends in the middle."""
    file = folder / "config.json"
    file.write_text(file.read_text()[:200])


def tokenizer_pointer(folder: Path) -> None:
    """Large tokenizers lie in git-lfs too."""
    (folder / "tokenizer.json").write_text(POINTER)


def no_tokenizer(folder: Path) -> None:
    """transformers makes an empty one in silence."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def no_preprocessor(folder: Path) -> None:
    """Its file was not copied."""
    (folder / "processor_config.json").unlink()


def small_vocabulary(folder: Path) -> None:
    """The model knows fewer tokens than its tokenizer writes."""
    weights = load_file(folder / "model.safetensors")
    (table,) = [name for name in weights if name.endswith("token_embedding.weight")]
    weights[table] = torch.clone(weights[table][:300])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", text_config__vocab_size=300)


def small_tokenizer(folder: Path) -> None:
    """The tokenizer writes fewer tokens than the model knows: another model's."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {token: i for token, i in vocabulary.items() if i < 300}
    content["model"]["merges"] = []
    write_json(file, content)


def other_picture_size(folder: Path) -> None:
    """The preprocessor makes 96 pixels, the model takes 64."""
    size = {"height": 96, "width": 96}
    edit(
        folder / "processor_config.json", image_processor__size={"shortest_edge": 96},
        image_processor__crop_size=size,
    )  # fmt: skip


def shallow_config(folder: Path) -> None:
    """The configuration of a shallower model."""
    edit(folder / "config.json", text_config__num_hidden_layers=1)


def other_architecture(folder: Path) -> None:
    """A model that is no dual encoder."""
    write_json(folder / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})


# What breaks a checkpoint, what the message names, and what it advises.
BROKEN: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "weights-pointer": (weights_pointer, ("model.safetensors", "134 bytes", "git lfs pull")),
    "weights-bin-pointer": (weights_bin_pointer, ("pytorch_model.bin", "134", "git lfs pull")),
    "weights-cut": (weights_cut, ("model.safetensors", "1,147,409 of 3,442,228", "again")),
    "weights-bin-cut": (weights_bin_cut, ("pytorch_model.bin", "cut off", "again")),
    "weights-empty": (weights_empty, ("model.safetensors", "0 bytes", "again")),
    "weights-pickle": (weights_pickle, ("pytorch_model.bin", "can run code", "model.safetensors")),
    "weights-missing": (weights_missing, ("no weights", "model.safetensors", "again")),
    "shard-missing": (shard_missing, ("model-00002-of-00002.safetensors", "missing", "again")),
    "config-cut": (config_cut, ("config.json", "again")),
    "tokenizer-pointer": (tokenizer_pointer, ("tokenizer.json", "134 bytes", "git lfs pull")),
    "no-tokenizer": (no_tokenizer, ("no tokenizer", "tokenizer.json", "again")),
    "no-preprocessor": (no_preprocessor, ("no preprocessor", "preprocessor_config.json", "again")),
    "small-vocabulary": (small_vocabulary, ("627", "300", "tokenizer.json")),
    "small-tokenizer": (small_tokenizer, ("300", "627", "tokenizer.json")),
    "other-picture-size": (other_picture_size, ("96 x 96", "64 x 64", "processor_config.json")),
    "shallow-config": (shallow_config, ("config.json", "layers")),
    "other-architecture": (other_architecture, ("bert", "clip", "siglip")),
}
