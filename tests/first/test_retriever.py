"""The retrieval back end and the generators that speak from its hits."""

import numpy as np
import pytest

from helpers.first.prepare.endpoint import Endpoint, EndpointError
from helpers.first.retrieval.generation import (
    NOT_FOUND,
    EndpointGenerator,
    Reply,
    TemplateGenerator,
    checked_reply,
)
from helpers.first.retrieval.index import IndexRefused, build_index, space_of
from helpers.first.retrieval.kinds import IndexKind
from helpers.first.retrieval.retriever import Answer, Hit, Query, QueryRefused, Retriever
from helpers.first.retrieval.vector_index import VectorIndex
from tests.chat_server import chat_server
from tests.first.small_training import small_encoder, small_picture

N = 12
KEYS = [f"{i}/0.jpg" for i in range(N)]
METADATA = {
    key: {"title": f"Dish {i}", "kind": ("soup", "rice", "pie")[i % 3], "year": str(2000 + i % 2)}
    for i, key in enumerate(KEYS)
}


@pytest.fixture(scope="module")
def retriever():
    encoder = small_encoder("siglip")
    rows = encoder.images([small_picture(key) for key in KEYS])
    return Retriever(encoder, build_index(rows, KEYS, space=space_of(encoder)), METADATA)


def test_a_text_finds_what_its_embedding_is_nearest_to(retriever):
    (answer,) = retriever.search([Query("chicken soup", k=5)])
    texts = retriever.encoder.texts(["chicken soup"])
    images = retriever.encoder.images([small_picture(key) for key in KEYS])
    cosines = (texts @ images.T)[0]
    assert [hit.id for hit in answer.hits] == [KEYS[i] for i in np.argsort(-cosines)[:5]]
    assert [hit.rank for hit in answer.hits] == [1, 2, 3, 4, 5]
    assert answer.hits[0].score == pytest.approx(cosines.max(), abs=1e-5)
    assert answer.hits[0].metadata == METADATA[answer.hits[0].id]
    assert answer.provenance["model"] == "small-siglip"
    assert (answer.searched, answer.provenance["rows"]) == (N, N)


def test_an_image_finds_itself_and_a_batch_is_each_query_alone(retriever):
    queries = [
        Query(image=small_picture("4/0.jpg"), k=1),
        Query("two blue books", k=3),
        Query("a red mug", image=small_picture("7/0.jpg"), k=3),
    ]
    answers = retriever.search(queries)
    assert answers[0].hits[0].id == "4/0.jpg"
    for query, answer in zip(queries, answers, strict=True):
        (alone,) = retriever.search([query])
        assert [h.id for h in alone.hits] == [h.id for h in answer.hits]
    assert retriever.search([]) == []


def test_a_batch_may_ask_for_one_thing_several_times(retriever):
    (alone,) = retriever.search([Query("soup", k=3)])
    for texts in (["soup", "soup"], ["soup", " Soup "], ["soup", "soup", "a red mug"]):
        found = retriever.search([Query(text, k=3) for text in texts])
        assert [h.id for h in found[0].hits] == [h.id for h in alone.hits]
        assert len(found) == len(texts)
    picture = small_picture("4/0.jpg")
    both = retriever.search([Query(image=picture, k=1), Query(image=picture.copy(), k=1)])
    assert [a.hits[0].id for a in both] == ["4/0.jpg"] * 2


def test_text_and_image_are_weighed(retriever):
    text, picture = "two blue books", small_picture("3/0.jpg")

    def ids(**options):
        return [h.id for h in retriever.search([Query(**options)])[0].hits]

    both = {"text": text, "image": picture}
    assert ids(**both, image_weight=1.0) == ids(image=picture)
    assert ids(**both, image_weight=0.0) == ids(text=text)
    found = retriever.search([Query(**both, k=1)])[0].hits[0]
    rows = retriever.encoder.texts([text]) + retriever.encoder.images([picture])
    row = rows[0] / np.linalg.norm(rows[0])
    images = retriever.encoder.images([small_picture(key) for key in KEYS])
    assert found.score == pytest.approx((images @ row).max(), abs=1e-5)


def test_filters_lose_nothing(retriever):
    (answer,) = retriever.search([Query("soup", k=10, filters={"kind": "rice"})])
    assert {h.metadata["kind"] for h in answer.hits} == {"rice"}
    assert len(answer.hits) == answer.searched == 4
    (whole,) = retriever.search([Query("soup", k=N)])
    wanted = [h.id for h in whole.hits if h.metadata["kind"] == "rice"]
    assert [h.id for h in answer.hits] == wanted
    both = {"kind": ["rice", "pie"], "year": "2000"}
    (narrow,) = retriever.search([Query("soup", filters=both)])
    assert {(h.metadata["kind"], h.metadata["year"]) for h in narrow.hits} == {
        ("rice", "2000"), ("pie", "2000"),
    }  # fmt: skip
    (none,) = retriever.search([Query("soup", filters={"kind": "tea"})])
    assert (none.hits, none.searched) == ((), 0)


@pytest.mark.parametrize("name", ["flat", "hnsw"])
def test_a_living_index_serves_as_a_flat_one_does(retriever, name):
    rows = retriever.encoder.images([small_picture(key) for key in KEYS])
    living = VectorIndex(IndexKind(name), retriever.index.space)
    living.add(KEYS[1:], rows[1:])
    living.remove([KEYS[5]])
    living.upsert([KEYS[0], KEYS[5]], rows[[0, 5]])
    other = Retriever(retriever.encoder, living, METADATA)
    queries = [Query("soup", k=4), Query("two blue books", k=9, filters={"kind": "rice"})]
    for ours, theirs in zip(other.search(queries), retriever.search(queries), strict=True):
        assert [h.id for h in ours.hits] == [h.id for h in theirs.hits]
        assert ours.provenance == theirs.provenance
    assert other.search(queries)[1].searched == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither text nor image"),
        ({"text": "  "}, "neither text nor image"),
        ({"text": "soup", "k": 0}, "k is 0"),
        ({"text": "soup", "image_weight": 1.5}, "image_weight is 1.5"),
    ],
)
def test_a_query_asks_for_something(options, message):
    with pytest.raises(QueryRefused, match=message):
        Query(**options)


def test_an_unknown_field_and_another_model_are_refused(retriever):
    with pytest.raises(QueryRefused, match=r"'knid': no row has such a field \(there are kind"):
        retriever.search([Query("soup", filters={"knid": "rice"})])
    with pytest.raises(IndexRefused, match="search with the model that made it"):
        Retriever(small_encoder("siglip", seed=1), retriever.index)


def answer_of(*ids):
    hits = tuple(Hit(i, name, 0.5, {"title": name.upper()}) for i, name in enumerate(ids, 1))
    return Answer(hits, len(hits), {})


def test_the_template_names_hits_and_cites_them():
    reply = TemplateGenerator(n=2).reply("soup", answer_of("a", "b", "c"))
    assert reply == Reply("For “soup” there is: A [a]; B [b].", ("a", "b"))
    assert TemplateGenerator().reply("soup", answer_of()).cited == ()
    assert "b [b]" in TemplateGenerator("name").reply("soup", answer_of("b")).text


def test_a_language_model_is_shown_the_hits_and_its_citations_are_checked():
    with chat_server() as server:
        server.answer = lambda body: "Take [a], or [zz]. Not [a] again."
        generator = EndpointGenerator(Endpoint(server.url, "small"), n=2)
        reply = generator.reply("soup?", answer_of("a", "b", "c"))
        assert (reply.cited, reply.invented) == (("a",), ("zz",))
        said = server.asked[0][2]["messages"][1]["content"]
        assert '"id": "b"' in said
        assert '"id": "c"' not in said
        assert generator.reply("soup?", answer_of()).cited == ()
        assert len(server.asked) == 1
        server.status = 500
        with pytest.raises(EndpointError):
            generator.reply("soup?", answer_of("a"))


def test_text_without_citations_cites_nothing():
    marked = checked_reply("[a, q]; [x[1]]; [zz\nzz] [ ]", answer_of("a", "x[1]").hits)
    assert marked.text == (f"[a, q: {NOT_FOUND}]; [x[1]]; [zz\nzz: {NOT_FOUND}] [ ]")
    assert (marked.cited, marked.invented) == (("a", "x[1]"), ("q", "zz\nzz"))
    assert checked_reply(" I do not know. ", answer_of("a").hits) == Reply("I do not know.", ())
