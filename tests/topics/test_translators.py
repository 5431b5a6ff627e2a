"""Own captions in four languages through each translator: by rules, neural, and at an address."""

import json

import pytest
import sentencepiece
import torch
from torch.nn.functional import cross_entropy
from transformers import M2M100Config, M2M100ForConditionalGeneration, MarianConfig, MarianMTModel

from helpers.topics.captions.cleaning import clean_captions
from helpers.topics.captions.translators import (
    NLLB,
    EndpointTranslator,
    NeuralTranslator,
    Translation,
    TranslationError,
    open_translator,
)
from tests.chat_server import chat_server

ENGLISH = ["chicken soup", "fresh tomato salad"]
FOREIGN = {
    "de": ["Hähnchensuppe", "frischer Tomatensalat"],
    "es": ["sopa de pollo", "ensalada fresca de tomate"],
    "fr": ["soupe au poulet", "salade de tomates fraîche"],
    "it": ["zuppa di pollo", "insalata di pomodori fresca"],
}
PAIRS = [(text, en) for texts in FOREIGN.values() for text, en in zip(texts, ENGLISH, strict=True)]
SMALL = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A SentencePiece model of these captions."""
    place = tmp_path_factory.mktemp("pieces")
    text = place / "text.txt"
    said = [part for pair in PAIRS for part in pair]
    text.write_text("\n".join(said * 10), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(place / "pieces"), vocab_size=90,
        hard_vocab_limit=False, minloglevel=2, bos_id=-1, eos_id=0, unk_id=1,
    )  # fmt: skip
    return place / "pieces.model"


@pytest.fixture(scope="module")
def marian(pieces, tmp_path_factory):
    """The folder of a MarianMT model that has learned these captions by heart."""
    from transformers import MarianTokenizer

    place = tmp_path_factory.mktemp("marian")
    spoken = sentencepiece.SentencePieceProcessor(str(pieces))
    vocabulary = {spoken.id_to_piece(i): i for i in range(spoken.get_piece_size())}
    vocabulary |= {"<pad>": len(vocabulary)}
    for name in ("source.spm", "target.spm"):
        (place / name).write_bytes(pieces.read_bytes())
    (place / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    files = [str(place / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*files, source_lang="mul", target_lang="eng")
    pad = vocabulary["<pad>"]
    torch.manual_seed(0)
    model = MarianMTModel(MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, eos_token_id=0, forced_eos_token_id=0,
        decoder_start_token_id=pad, bos_token_id=None, dropout=0.0, **SMALL,
    ))  # fmt: skip
    learn(model, tokenizer, pad)
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    return str(place / "model")


def learn(model, tokenizer, pad):
    foreign, english = zip(*PAIRS, strict=True)
    given = tokenizer(list(foreign), padding=True, return_tensors="pt")
    labels = tokenizer(text_target=list(english), padding=True, return_tensors="pt")["input_ids"]
    started = torch.cat([torch.full_like(labels[:, :1], pad), labels[:, :-1]], dim=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(150):
        logits = model(**given, decoder_input_ids=started).logits
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=pad)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def cleaned(translator):
    """What cleaning makes of each caption, with some noise on it."""
    noisy = [f"<p>{text}</p> #yum" for text, _ in PAIRS]
    said = [language for language in FOREIGN for _ in ENGLISH]
    table = clean_captions(noisy, declared=said, translator=translator)
    found = list(table.itertuples())
    assert [one.language for one in found] == said
    return found


@pytest.mark.slow
def test_own_captions_in_four_languages_go_through_a_marian_model(marian):
    found = cleaned(open_translator(marian))
    assert [one.cleaned for one in found] == [english for _, english in PAIRS]
    assert not any(one.flag for one in found)


def test_own_captions_go_through_the_glossary():
    found = cleaned(open_translator("glossary"))
    right = [one.cleaned == english for one, (_, english) in zip(found, PAIRS, strict=True)]
    assert sum(right) == len(right)


def test_own_captions_go_through_an_address():
    known = dict(PAIRS)
    with chat_server() as server:
        server.answer = lambda body: json.dumps(
            [
                {"english": known[t], "unknown": []}
                for t in json.loads(body["messages"][1]["content"])
            ]
        )
        found = cleaned(open_translator(server.url, model="small"))
        told = [body["messages"][0]["content"] for _, _, body in server.asked]
    assert [one.cleaned for one in found] == [english for _, english in PAIRS]
    assert [next(code for code in FOREIGN if f"ISO code {code}." in t) for t in told] == list(
        FOREIGN
    )


@pytest.mark.slow
def test_a_neural_model_says_what_it_could_not_do(marian):
    translator = open_translator(marian)
    (strange,) = translator.translate(["スープ"], "ja")
    assert strange == Translation("スープ", ("letters that the model does not have",))
    short = NeuralTranslator(translator.model, translator.tokenizer, "short", max_tokens=2)
    (long,) = short.translate([PAIRS[0][0]], "de")
    assert long == Translation(PAIRS[0][0], ("longer than 2 pieces",))
    for said, why in (("", "an empty answer"), ("zuppa di  pollo", "the model gave it back")):
        assert translator._judged("Zuppa di pollo", said, [5]).unknown == (why,)
    assert translator.translate([], "it") == []


@pytest.mark.slow
def test_the_fingerprint_of_a_neural_model_is_of_its_weights(marian):
    first, same = open_translator(marian), open_translator(marian)
    assert first.fingerprint == same.fingerprint
    with torch.no_grad():
        same.model.model.shared.weight[0, 0] += 1
    moved = NeuralTranslator(same.model, same.tokenizer, same.name)
    assert moved.fingerprint != first.fingerprint


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    """The folder of a model of NLLB's class and tokenizer that has learned a dish's captions."""
    from transformers import NllbTokenizer

    letters = sorted({letter for pair in PAIRS for text in pair for letter in text} - {" "})
    names = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters]
    tokenizer = NllbTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[])
    torch.manual_seed(0)
    config = M2M100Config(vocab_size=len(tokenizer), dropout=0.0, attention_dropout=0.0, **SMALL)
    model = M2M100ForConditionalGeneration(config)
    rows = []
    for (foreign, english), code in zip(PAIRS[::2], FOREIGN, strict=True):
        tokenizer.src_lang, tokenizer.tgt_lang = NLLB[code], "eng_Latn"
        given = tokenizer(foreign, return_tensors="pt")
        labels = tokenizer(text_target=english, return_tensors="pt")["input_ids"]
        start = torch.full_like(labels[:, :1], config.decoder_start_token_id)
        rows.append((given, labels, torch.cat([start, labels[:, :-1]], dim=1)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for _ in range(90):
        losses = [
            cross_entropy(model(**given, decoder_input_ids=started).logits[0], labels[0])
            for given, labels, started in rows
        ]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    place = tmp_path_factory.mktemp("nllb")
    model.eval().save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


@pytest.mark.slow
def test_own_captions_in_four_languages_go_through_an_nllb_model(nllb):
    translator = open_translator(nllb)
    assert set(FOREIGN) <= set(translator.languages)
    found = cleaned(translator)
    assert [one.cleaned for one in found[::2]] == ENGLISH[:1] * 4
    flagged = clean_captions(["ふつうのスープ"], declared=["pt"], translator=translator)
    assert flagged["flag"].all()


def test_an_address_is_asked_in_batches_and_in_order():
    with chat_server() as server:
        server.answer = lambda body: json.dumps(
            [{"english": f" {t.upper()}\n", "unknown": []}
             for t in json.loads(body["messages"][1]["content"])]
        )  # fmt: skip
        opened = open_translator(server.url, model="small")
        found = EndpointTranslator(opened.endpoint, batch_size=2).translate(["a", "b", "c"], "de")
        assert [one.text for one in found] == ["A", "B", "C"]
        assert [path for path, _, _ in server.asked] == ["/v1/chat/completions"] * 2


def test_unknown_words_and_strange_lengths_leave_the_caption():
    answers = [{"english": "soup of", "unknown": ["Drache"]}, {"english": "x" * 500, "unknown": []}]
    with chat_server() as server:
        server.answer = lambda body: json.dumps(answers)
        found = open_translator(server.url, model="m").translate(["Drachensuppe", "Suppe"], "de")
    assert found == [
        Translation("Drachensuppe", ("Drache",)),
        Translation("Suppe", ("an answer of a strange length",)),
    ]


@pytest.mark.parametrize(
    "answer",
    ["no JSON", [], [{"english": "a"}], [{"english": 1, "unknown": []}], [1], {"english": "a"}],
)
def test_an_answer_of_another_form_is_an_error(answer):
    with chat_server() as server:
        said = answer if isinstance(answer, str) else json.dumps(answer)
        server.answer = lambda body: said
        with pytest.raises(TranslationError, match="did not answer as asked"):
            open_translator(server.url, model="m").translate(["a"], "de")


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(TranslationError, match=r"cannot be opened.*translator=glossary"):
        open_translator(str(tmp_path))
    with pytest.raises(TranslationError, match="give translator_model"):
        open_translator("http://127.0.0.1:9/v1")
    with pytest.raises(TranslationError, match="check address"):
        open_translator("http://127.0.0.1:9/v1", model="m").translate(["a"], "de")
