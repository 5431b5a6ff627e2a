"""The neural and the remote translator: on a tiny model, and on a server of this process."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import sentencepiece
import torch

from helpers.first.prepare.endpoint import Endpoint
from helpers.first.prepare.glossary import Glossary
from helpers.first.prepare.translation import (
    EndpointTranslator,
    Marian,
    Translation,
    TranslationError,
    Translator,
    load_marian,
)

SENTENCES = ["zuppa di pollo", "sopa de pollo", "chicken soup", "soupe au poulet", "Suppe mit Huhn"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A MarianMT model of a few thousand weights with a SentencePiece of its own, as on the hub."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    place = tmp_path_factory.mktemp("marian")
    text = place / "text.txt"
    text.write_text("\n".join(SENTENCES * 20), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(place / "pieces"), vocab_size=60,
        hard_vocab_limit=False, minloglevel=2, bos_id=-1, eos_id=0, unk_id=1,
    )  # fmt: skip
    model = (place / "pieces.model").read_bytes()
    for name in ("source.spm", "target.spm"):
        (place / name).write_bytes(model)
    pieces = sentencepiece.SentencePieceProcessor(str(place / "pieces.model"))
    vocabulary = {pieces.id_to_piece(i): i for i in range(pieces.get_piece_size())}
    vocabulary |= {"<pad>": len(vocabulary)}
    (place / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = MarianTokenizer(
        str(place / "source.spm"), str(place / "target.spm"), str(place / "vocab.json"),
        source_lang="mul", target_lang="eng",
    )  # fmt: skip
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=64, pad_token_id=vocabulary["<pad>"],
        eos_token_id=0, decoder_start_token_id=vocabulary["<pad>"], forced_eos_token_id=0,
    )  # fmt: skip
    whole = place / "model"
    MarianMTModel(config).eval().save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    return whole


def test_a_marian_model_translates_what_is_given(folder):
    translator = load_marian(str(folder))
    found = translator.translate(SENTENCES, "it")
    assert len(found) == len(SENTENCES)
    for text, one in zip(SENTENCES, found, strict=True):
        assert one.done or one.text == text
    one_by_one = [translator.translate([text], "it")[0] for text in SENTENCES[:2]]
    assert [f.text for f in found[:2]] == [f.text for f in one_by_one]  # padding changes nothing
    assert translator.translate([], "it") == []


def test_marian_says_what_it_could_not_do(folder):
    translator = load_marian(str(folder))
    (strange,) = translator.translate(["スープ"], "ja")
    assert strange == Translation("スープ", ("letters that the model does not have",))
    translator.max_tokens = 3
    (long,) = translator.translate([SENTENCES[0]], "it")
    assert long == Translation(SENTENCES[0], ("longer than 3 pieces",))


@pytest.mark.parametrize(
    ("said", "unknown"),
    [("", "an empty answer"), ("Zuppa di  pollo", "the model gave it back"), ("soup", "")],
)
def test_copies_and_empty_answers_are_no_translations(folder, said, unknown):
    judged = load_marian(str(folder))._judged("zuppa di pollo", said, [5, 6, 0])
    assert judged == (Translation("zuppa di pollo", (unknown,)) if unknown else Translation(said))


def test_a_model_that_is_not_there_is_named(tmp_path, folder):
    with pytest.raises(TranslationError, match=r"cannot be loaded.*use the glossary"):
        load_marian(str(tmp_path))
    first = load_marian(str(folder))
    other = Marian(first.model, first.tokenizer, "another")
    assert first.fingerprint != other.fingerprint


class Stub(BaseHTTPRequestHandler):
    """Answers as it is told to, and remembers what it was asked."""

    answer, status, asked = staticmethod(lambda texts: []), 200, []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = json.loads(body["messages"][1]["content"])
        type(self).asked.append((self.path, self.headers.get("Authorization"), body))
        content = self.answer(texts)
        content = content if isinstance(content, str) else json.dumps(content)
        reply = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        """Say nothing on stderr."""


@pytest.fixture
def served():
    """A server on loopback and an endpoint that asks it two captions at a time."""
    Stub.asked, Stub.status = [], 200
    server = HTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "small")
    yield EndpointTranslator(endpoint, batch_size=2)
    server.shutdown()
    server.server_close()
    thread.join()


def upper(texts):
    return [{"english": f"  {t.upper()}\n", "unknown": []} for t in texts]


def test_an_endpoint_is_asked_in_batches_and_in_order(served):
    Stub.answer = staticmethod(upper)
    found = served.translate(["a", "b", "c"], "de")
    assert [f.text for f in found] == ["A", "B", "C"]
    assert [path for path, _, _ in Stub.asked] == ["/v1/chat/completions"] * 2
    body = Stub.asked[0][2]
    assert (body["model"], body["temperature"]) == ("small", 0)
    assert "ISO code de" in body["messages"][0]["content"]
    assert served.translate([], "de") == []


def test_the_key_comes_from_the_environment_and_is_sent(served, monkeypatch):
    Stub.answer = staticmethod(upper)
    address = served.endpoint.base_url
    keyed = EndpointTranslator(Endpoint(address, "small", key_variable="TRANSLATION_KEY"))
    monkeypatch.delenv("TRANSLATION_KEY", raising=False)
    with pytest.raises(TranslationError, match="TRANSLATION_KEY is empty"):
        keyed.translate(["a"], "de")
    assert Stub.asked == []
    monkeypatch.setenv("TRANSLATION_KEY", "secret")
    keyed.translate(["a"], "de")
    assert Stub.asked[0][1] == "Bearer secret"
    assert "secret" not in repr(keyed) + keyed.fingerprint


def test_unknown_words_and_strange_lengths_leave_the_caption(served):
    Stub.answer = staticmethod(
        lambda texts: [
            {"english": "soup of", "unknown": ["Drache"]}, {"english": "x" * 500, "unknown": []},
        ]
    )  # fmt: skip
    dragon, long = served.translate(["Drachensuppe", "Suppe"], "de")
    assert dragon == Translation("Drachensuppe", ("Drache",))
    assert long == Translation("Suppe", ("an answer of a strange length",))


@pytest.mark.parametrize(
    "answer",
    ["no JSON", [], [{"english": "a"}], [{"english": 1, "unknown": []}], [1], {"english": "a"}],
)
def test_an_answer_of_another_form_is_an_error(served, answer):
    Stub.answer = staticmethod(lambda texts: answer)
    with pytest.raises(TranslationError, match="did not answer as asked"):
        served.translate(["a"], "de")


def test_an_address_that_fails_is_an_error(served):
    Stub.answer, Stub.status = staticmethod(upper), 500
    with pytest.raises(TranslationError, match="500"):
        served.translate(["a"], "de")
    with pytest.raises(TranslationError, match="check address"):
        EndpointTranslator(Endpoint("http://127.0.0.1:9/v1", "small", timeout_s=60)).translate(
            ["a"], "de"
        )


def test_all_translators_have_one_form(folder, served):
    translators: list[Translator] = [Glossary(), load_marian(str(folder)), served]
    assert len({t.name for t in translators}) == len({t.fingerprint for t in translators}) == 3
    assert all(isinstance(t.languages, tuple) for t in translators)
