"""The generator: the images' order matters, exactly three parts are trained, no other moves."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.first.models.generator import (
    TEXT_TOKENS,
    TRAINED,
    UNFINISHED,
    GeneratorError,
    language_loss,
    only_trained,
    paired,
    parts_of,
    soft_tokens,
)
from helpers.first.models.generator_loading import load_generator, load_trained
from helpers.first.training.generator import (
    GeneratorTraining,
    Written,
    frozen_hash,
    text_loss,
    train_generator,
)
from tests.first.small_generator import SHAPE, TEXTS, pictures, small_generator, weights

FAST = GeneratorTraining(steps=6, batch_size=3, learning_rate=5e-3, warmup=1)


def copy_of(generator):
    trained = {n: p for n, p in weights(generator).items() if n.startswith(TRAINED)}
    return load_trained(generator, trained)


@pytest.fixture(scope="module")
def data():
    seen = small_generator().see(pictures(6))
    pairs = np.array([[0, 1], [1, 0], [2, 3], [3, 2], [4, 5], [5, 4]])
    return Written(seen, pairs, TEXTS[:6])


def test_the_marker_says_which_image_is_which():
    a, b = torch.randn(2, 2, 5, 24)
    tokens = paired(a, b)
    assert tokens.shape == (2, 11, 24)
    marker = tokens[:, 5:6]
    assert torch.equal(tokens[:, :5], a)
    assert torch.allclose(tokens[:, 6:], b + marker)
    length = a.square().mean(dim=(1, 2)).sqrt()
    assert torch.allclose(marker[1] / length[1], marker[0] / length[0], atol=1e-5)
    model, ids = small_generator().model, small_generator().qformer_ids()
    there, back = soft_tokens(model, paired(a, b), ids), soft_tokens(model, paired(b, a), ids)
    assert there.shape == (2, SHAPE.queries, SHAPE.width)
    assert not torch.allclose(there, back, rtol=0, atol=1e-5)
    bare = soft_tokens(model, torch.cat([a, b], dim=1), ids)
    bare_back = soft_tokens(model, torch.cat([b, a], dim=1), ids)
    assert torch.allclose(bare, bare_back, rtol=0, atol=1e-6)  # why a marker is needed at all
    with pytest.raises(GeneratorError, match="see both"):
        paired(a, b[:1])


def test_pairs_of_a_batch_do_not_touch_each_other():
    a, b = torch.randn(2, 3, 5, 24)
    together = small_generator().prefix(a, b)
    alone = small_generator().prefix(a[1:2], b[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@torch.no_grad()
def test_the_loss_is_that_of_the_class_itself():
    """On one image, which the class can do alone: its own forward with labels."""
    generator = small_generator()
    model, tokenizer = generator.model, generator.tokenizer
    pixels = generator.pixels(pictures(2))
    ids, mask = generator.text_ids(["on a red plate", "add basil"])
    seen = model.vision_model(pixel_values=pixels).last_hidden_state
    prompt = generator.prompt_ids().expand(2, -1)
    soft = soft_tokens(model, seen, generator.qformer_ids())
    prefix = torch.cat([soft, model.get_input_embeddings()(prompt)], dim=1)
    images = torch.full((2, SHAPE.queries), model.config.image_token_index)
    whole = torch.cat([images, prompt, ids], dim=1)
    silent = torch.full((2, SHAPE.queries + prompt.shape[1]), -100)
    out = model(
        pixel_values=pixels,
        qformer_input_ids=generator.qformer_ids().expand(2, -1),
        input_ids=whole,
        attention_mask=torch.cat([torch.ones_like(silent), mask], dim=1),
        labels=torch.cat([silent, ids.masked_fill(mask == 0, -100)], dim=1),
    )
    assert language_loss(model, prefix, ids, mask).item() == pytest.approx(
        out.loss.item(), abs=1e-5
    )
    assert (ids[mask == 0] == tokenizer.pad_token_id).all()
    assert (ids[:, -1] == tokenizer.eos_token_id).any()


def test_texts_beyond_the_limit_are_counted_and_what_is_cut_in_writing_is_marked():
    generator = small_generator()
    word = TEXTS[0].split()[-1]
    per = len(generator.text_ids([" ".join([word] * 3)])[0][0]) - len(
        generator.text_ids([" ".join([word] * 2)])[0][0]
    )
    assert per == 1
    fits, over = (" ".join([word] * n) for n in (TEXT_TOKENS - 1, TEXT_TOKENS))
    assert generator.too_long([fits, over, word]) == 1
    ids, mask = generator.text_ids([fits, over])
    assert ids.shape == (2, TEXT_TOKENS)
    assert mask.all()
    assert (ids[:, -1] == generator.tokenizer.eos_token_id).all()
    seen = generator.see(pictures(2))
    whole = generator.write(seen[:1], seen[1:])[0]
    for n in (1, 3):
        cut = generator.write(seen[:1], seen[1:], max_tokens=n)[0]
        assert cut.endswith(UNFINISHED)
        assert whole.startswith(cut.removesuffix(UNFINISHED))


def test_exactly_the_three_parts_ask_for_gradients():
    generator = copy_of(small_generator())
    found = only_trained(generator.model)
    parts = {name.split(".")[0] for name in found}
    assert parts == {"qformer", "query_tokens", "language_projection"}
    frozen = [n for n, p in generator.model.named_parameters() if not p.requires_grad]
    assert {n.split(".")[0] for n in frozen} == {"vision_model", "language_model"}
    table = parts_of(generator.model).set_index("part")
    assert table[table["trained"]].index.tolist() == ["Q-Former", "query tokens", "projection"]
    assert table["parameters"].sum() == sum(p.numel() for p in generator.model.parameters())
    assert table.loc["query tokens", "parameters"] == SHAPE.queries * SHAPE.width


def test_training_moves_them_and_not_a_bit_of_the_rest(data):
    generator = copy_of(small_generator())
    before, frozen = weights(generator), frozen_hash(generator)
    trained, log = train_generator(generator, data, FAST, progress=False)
    after = weights(generator)
    for name, value in before.items():
        if not name.startswith(TRAINED):
            assert torch.equal(value, after[name]), name
    assert frozen_hash(generator) == frozen
    for part in TRAINED:
        assert any(not torch.equal(before[n], trained[n]) for n in trained if n.startswith(part))
    assert [record["step"] for record in log] == list(range(6))
    assert not any(p.requires_grad for p in generator.model.parameters())


def test_the_three_parts_can_make_a_frozen_writer_say_six_texts(data):
    """The language model first learns to follow six random prefixes; then it stays as it is."""
    generator = copy_of(small_generator())
    model = deepcopy(generator.model)
    generator = replace(generator, model=model)
    model.language_model.requires_grad_(True)
    drawn = torch.randn(6, SHAPE.queries, SHAPE.width, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.language_model.parameters(), 1e-2)
    ids, mask = generator.text_ids(data.texts)
    for _ in range(60):
        prompt = model.get_input_embeddings()(generator.prompt_ids()).expand(6, -1, -1)
        optimizer.zero_grad()
        language_loss(model, torch.cat([drawn, prompt], dim=1), ids, mask).backward()
        optimizer.step()
    before = text_loss(generator, data)
    settings = GeneratorTraining(steps=60, batch_size=6, learning_rate=1e-2, weight_decay=0.0)
    train_generator(generator, data, settings, progress=False)
    assert text_loss(generator, data) < 0.5 * before


def test_an_interrupted_run_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    whole, _ = train_generator(copy_of(small_generator()), data, FAST, progress=False)
    state, cut = tmp_path / "state.safetensors", copy_of(small_generator())
    steps, real = iter(range(4)), type(cut).loss

    def stop_at_the_fifth(self, reference, target, texts):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return real(self, reference, target, texts)

    monkeypatch.setattr(type(cut), "loss", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        train_generator(cut, data, FAST, state=state, state_every=2, progress=False)
    monkeypatch.undo()
    again = copy_of(small_generator())
    resumed, log = train_generator(again, data, FAST, state=state, state_every=2, progress=False)
    assert len(log) == 6
    for name, value in whole.items():
        assert torch.allclose(value, resumed[name], atol=1e-6), name


def test_other_weights_share_what_is_frozen():
    base = small_generator()
    other = copy_of(base)
    assert other.model is not base.model
    one, two = (dict(g.model.named_parameters()) for g in (base, other))
    name, frozen = "query_tokens", "language_model.model.embed_tokens.weight"
    assert one[frozen] is two[frozen]
    assert one[name] is not two[name]
    with pytest.raises(GeneratorError, match="differ in 1 names"):
        load_trained(base, {n: p for n, p in weights(base).items()
                            if n.startswith(TRAINED) and n != name})  # fmt: skip


def test_writing_is_the_same_whatever_the_batch(data):
    generator = small_generator()
    reference, target = data.seen[data.pairs[:, 0]], data.seen[data.pairs[:, 1]]
    texts = generator.write(reference, target, batch_size=64, max_tokens=6)
    assert texts == generator.write(reference, target, batch_size=4, max_tokens=6)
    assert all(isinstance(text, str) and "<" not in text for text in texts)


def test_bad_inputs_are_refused(data):
    with pytest.raises(GeneratorError, match="no picture"):
        small_generator().see([])
    with pytest.raises(ValueError, match="6 pairs of pictures and 5 texts"):
        Written(data.seen, data.pairs, data.texts[:5])
    with pytest.raises(ValueError, match="at least one step"):
        GeneratorTraining(steps=0)
    spoiled = Written(np.full_like(data.seen, np.nan), data.pairs, data.texts)
    with pytest.raises(GeneratorError, match="loss of step 0 is nan"):
        train_generator(copy_of(small_generator()), spoiled, FAST, progress=False)


def test_in_bf16_what_is_trained_stays_in_fp32_and_small_steps_count(tmp_path):
    """At a rate of 1e-5, weights in bf16 hardly move: a step is below their last digit."""
    generator = load_generator("tiny-instructblip", device="cpu", precision="bf16")
    kinds = {name.startswith(TRAINED): p.dtype for name, p in generator.model.named_parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    before = weights(generator)
    seen = generator.see(pictures(4))
    data = Written(seen, np.array([[0, 1], [2, 3]]), ("on a red plate", "with tofu"))
    steps = GeneratorTraining(steps=4, batch_size=2, learning_rate=1e-5, warmup=1)
    train_generator(generator, data, steps, progress=False)
    now = weights(generator)
    trained = [name for name in now if name.startswith(TRAINED) and now[name].ndim > 1]
    moved = sum(int((now[n] != before[n]).sum()) for n in trained)
    assert moved > 0.5 * sum(now[n].numel() for n in trained)
    assert len(generator.write(seen[:1], seen[1:2])) == 1
