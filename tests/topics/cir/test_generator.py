"""The generator: the images' order matters, exactly three parts are trained, no other moves."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.models.checkpoints import ModelError
from helpers.models.encoder import weights_fingerprint
from helpers.pretraining.encoder import NormedStem
from helpers.topics.cir import generator as writing
from helpers.topics.cir.generator import TEXT_TOKENS, TRAINED, UNFINISHED, Stem, paired, soft_tokens
from helpers.topics.cir.triplets import Triplet
from tests.topics.cir.small import (
    TEXTS,
    Held,
    noise,
    small_generator,
    small_source,
    small_triplets,
)

NAMES = [f"image {i}" for i in range(6)]
PAIRS = list(zip(NAMES[::2], NAMES[1::2], strict=True))


@pytest.fixture(scope="module")
def states():
    rows = small_generator().states([noise(name) for name in NAMES]).half()
    return writing.States({name: i for i, name in enumerate(NAMES)}, Held(rows))


@pytest.fixture(scope="module")
def triplets():
    return [Triplet(str(i), a, (b,), TEXTS[2 * i], reverse=TEXTS[2 * i + 1])
            for i, (a, b) in enumerate(PAIRS)]  # fmt: skip


def test_the_marker_tells_which_image_is_which():
    a, b = torch.randn(2, 2, 5, 24)
    tokens = paired(a, b)
    assert tokens.shape == (2, 11, 24)
    assert torch.equal(tokens[:, :5], a)
    marker = tokens[:, 5:6]
    torch.testing.assert_close(tokens[:, 6:], b + marker)
    model, ids = small_generator().model, small_generator().qformer_ids()
    there, back = soft_tokens(model, paired(a, b), ids), soft_tokens(model, paired(b, a), ids)
    assert not torch.allclose(there, back, rtol=0, atol=1e-5)
    bare = soft_tokens(model, torch.cat([a, b], dim=1), ids)
    bare_back = soft_tokens(model, torch.cat([b, a], dim=1), ids)
    assert torch.allclose(bare, bare_back, rtol=0, atol=1e-6)  # why a marker is needed at all
    with pytest.raises(ValueError, match="encode both"):
        paired(a, b[:1])


@torch.no_grad()
def test_the_loss_is_that_of_the_class_itself():
    """On one image, which the class can do alone: its own forward with labels."""
    generator = small_generator()
    model, tokenizer = generator.model, generator.tokenizer
    pixels = generator.pixels([noise("a"), noise("b")])
    ids, mask = generator.text_ids(["on a red plate", "add basil"])
    seen = model.vision_model(pixel_values=pixels).last_hidden_state
    prompt = generator.prompt_ids().expand(2, -1)
    soft = soft_tokens(model, seen, generator.qformer_ids())
    prefix = torch.cat([soft, model.get_input_embeddings()(prompt)], dim=1)
    images = torch.full((2, 4), model.config.image_token_index)
    silent = torch.full((2, 4 + prompt.shape[1]), -100)
    out = model(
        pixel_values=pixels, qformer_input_ids=generator.qformer_ids().expand(2, -1),
        input_ids=torch.cat([images, prompt, ids], dim=1),
        attention_mask=torch.cat([torch.ones_like(silent), mask], dim=1),
        labels=torch.cat([silent, ids.masked_fill(mask == 0, -100)], dim=1),
    )  # fmt: skip
    found = writing.language_loss(model, prefix, ids, mask).item()
    assert found == pytest.approx(out.loss.item(), abs=1e-5)
    assert (ids[mask == 0] == tokenizer.pad_token_id).all()


def test_texts_end_or_are_marked(states):
    generator = small_generator()
    ids, _ = generator.text_ids(["basil " * TEXT_TOKENS, "basil"])
    assert ids.shape == (2, TEXT_TOKENS)
    assert (ids[:, -1] == generator.tokenizer.eos_token_id).tolist() == [True, False]
    cut = generator.write(states, PAIRS[:1], max_tokens=2)[0]
    assert cut.endswith(UNFINISHED)
    whole = generator.write(states, PAIRS, max_tokens=6)
    assert whole == generator.write(states, PAIRS, max_tokens=6, batch_size=2)


def test_images_are_rows_of_what_the_queries_bring(states):
    rows = small_generator().rows(states, NAMES, batch_size=4)
    assert rows.shape == (6, 2 * 24)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows, small_generator().rows(states, NAMES), atol=1e-5)


def test_training_moves_three_parts_and_not_a_bit_of_the_rest(states, triplets):
    base = small_generator()
    generator = writing.copy_of(base)
    before = {n: p.clone() for n, p in base.model.named_parameters()}
    fitted = writing.train(generator, triplets, states, steps=6, batch_size=3, learning_rate=5e-3)
    assert len(fitted.losses) == 6
    for name, after in generator.model.named_parameters():
        if not name.startswith(TRAINED):
            assert after is dict(base.model.named_parameters())[name]  # shared, not copied
        assert torch.equal(before[name], dict(base.model.named_parameters())[name])
    moved = {n.split(".")[0] for n, p in generator.model.named_parameters()
             if not torch.equal(before[n], p)}  # fmt: skip
    assert moved == {"qformer", "query_tokens", "language_projection"}
    assert not any(p.requires_grad for p in generator.model.parameters())
    table = writing.parts_of(generator.model).set_index("part")
    assert table.index[table["trained"]].tolist() == ["Q-Former", "query tokens", "projection"]
    assert table["parameters"].sum() == sum(p.numel() for p in base.model.parameters())


def test_a_frozen_weight_that_moved_is_named(states, triplets, monkeypatch):
    generator = writing.copy_of(small_generator())
    told = iter("aabc")
    monkeypatch.setattr(writing, "weights_fingerprint", lambda _: next(told))
    with pytest.raises(RuntimeError, match="frozen weights of small changed"):
        writing.train(generator, triplets, states, steps=1, batch_size=2)


def test_a_start_is_read_beside_the_checkpoint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    generator = small_generator()
    assert weights_fingerprint(writing.load_start(generator, str(tmp_path)).model) == (
        generator.fingerprint
    )
    start = {n: p + 1 for n, p in generator.model.named_parameters() if n.startswith(TRAINED)}
    save_file(start, tmp_path / writing.START)
    made = writing.load_start(generator, str(tmp_path))
    assert torch.equal(made.model.query_tokens, generator.model.query_tokens + 1)
    assert weights_fingerprint(generator.model) == generator.fingerprint
    start.pop("query_tokens")
    save_file(start, tmp_path / writing.START)
    with pytest.raises(ModelError, match="does not hold the trained parts of small"):
        writing.load_start(generator, str(tmp_path))


def test_folded_batch_norms_give_the_same_map():
    torch.manual_seed(0)
    normed = NormedStem(8, 12, (4, 6)).train()
    for _ in range(3):
        normed(torch.randn(4, 3, 32, 32) * 2 + 1)
    with torch.no_grad():
        for norm in normed.norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    plain = normed.eval().folded(8, 12, (4, 6))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(plain(x), normed(x), atol=1e-4, rtol=1e-4)
    assert plain(x).shape == (2, 12, 4, 4)  # a token for each patch of 8 pixels
    assert not list(plain.buffers())


def test_an_image_encoder_with_convolutions_saves_and_opens(tmp_path):
    generator = small_generator(stem=True)
    assert isinstance(generator.model.vision_model.embeddings.patch_embedding, Stem)
    generator.model.save_pretrained(tmp_path)
    again = writing.HybridInstructBlip.from_pretrained(tmp_path)
    assert weights_fingerprint(again) == weights_fingerprint(generator.model)
    assert generator.states([noise("a")]).shape == (1, 5, 24)


def test_tiny_instructblip_opens_and_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.paths.cache", lambda: tmp_path)
    found = writing.load_generator(device="cpu")
    kinds = {n.startswith(TRAINED): p.dtype for n, p in found.model.named_parameters()}
    assert kinds == {True: torch.float32, False: torch.float32}
    one = small_triplets(2)
    kept = found.cached_states(small_source(one), one.gallery)
    assert len(found.write(kept, [(one.gallery[0], one.gallery[1])])) == 1
    with pytest.raises(ModelError, match="is a 'siglip' model, no InstructBLIP"):
        writing.load_generator("tiny-siglip")
