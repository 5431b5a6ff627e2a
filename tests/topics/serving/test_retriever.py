"""The retriever, and the answers in words that are made from its hits."""

from collections import Counter

import numpy as np
import pytest

from helpers.course.answers import NOT_FOUND, Reply, checked, reply
from helpers.endpoint import Endpoint, EndpointError
from helpers.store.credentials import AccessError
from helpers.topics.serving.index import FlatIndex, IndexRefused, space_of
from helpers.topics.serving.retriever import Hit, Query, QueryRefused, Retriever
from tests.chat_server import chat_server
from tests.small_models import small_encoder, small_image
from tests.topics.serving.small import Tower

N = 12
KEYS = [f"{i}/0.jpg" for i in range(N)]
METADATA = {
    key: {"title": f"Dish {i}", "kind": ("soup", "rice", "pie")[i % 3], "year": str(2000 + i % 2)}
    for i, key in enumerate(KEYS)
}


@pytest.fixture(scope="module")
def retriever():
    encoder = small_encoder("siglip")
    rows = encoder.images([small_image(key) for key in KEYS])
    return Retriever(encoder, FlatIndex.of(rows, KEYS, space_of(encoder)), METADATA)


def ids(answer):
    return [hit.id for hit in answer.hits]


def test_a_text_finds_what_its_embedding_is_nearest_to(retriever):
    (answer,) = retriever.search([Query("chicken soup", k=5)])
    texts = retriever.encoder.texts(["chicken soup"])
    cosines = (texts @ retriever.encoder.images([small_image(key) for key in KEYS]).T)[0]
    assert ids(answer) == [KEYS[i] for i in np.argsort(-cosines)[:5]]
    assert [hit.rank for hit in answer.hits] == [1, 2, 3, 4, 5]
    assert answer.hits[0].score == pytest.approx(cosines.max(), abs=1e-5)
    assert answer.hits[0].metadata == METADATA[answer.hits[0].id]
    assert answer.provenance["model"] == "small-siglip"
    assert (answer.searched, answer.provenance["rows"]) == (N, N)


def test_an_image_finds_itself_and_a_batch_is_each_query_alone(retriever):
    queries = [
        Query(image=small_image("4/0.jpg"), k=1),
        Query("two blue books", k=3),
        Query("a red mug", image=small_image("7/0.jpg"), k=3),
    ]
    answers = retriever.search(queries)
    assert ids(answers[0]) == ["4/0.jpg"]
    for query, answer in zip(queries, answers, strict=True):
        assert ids(retriever.search([query])[0]) == ids(answer)
    assert retriever.search([]) == []
    assert len(retriever.search([queries[1]] * 3)) == 3  # a batch of one and the same


def test_image_weight_goes_from_the_text_to_the_image(retriever):
    text, image = "a red mug", small_image("7/0.jpg")
    both = [Query(text, image, k=N, image_weight=w) for w in (0, 0.3, 1)]
    first, middle, last = retriever.search(both)
    by_text, by_image = retriever.search([Query(text, k=N), Query(image=image, k=N)])
    assert (ids(first), ids(last)) == (ids(by_text), ids(by_image))
    rows = 0.7 * retriever.encoder.texts([text]) + 0.3 * retriever.encoder.images([image])
    scores = (rows / np.linalg.norm(rows)) @ retriever.encoder.images(map(small_image, KEYS)).T
    assert [hit.score for hit in middle.hits] == pytest.approx(-np.sort(-scores[0]), abs=1e-5)


def test_a_text_tower_and_an_encoder_of_images_answer_as_one_encoder(retriever):
    tower = Retriever(Tower(retriever.encoder), retriever.index, METADATA)
    query = Query("a red mug", small_image("7/0.jpg"), k=4)
    parted = tower.with_images(retriever.encoder)
    assert ids(parted.search([query])[0]) == ids(retriever.search([query])[0])
    with pytest.raises(IndexRefused, match="search with the model that made it"):
        tower.with_images(small_encoder("siglip", seed=1))


def test_filters_are_exact(retriever):
    (answer,) = retriever.search([Query("soup", k=N, filters={"kind": ["soup", "pie"]})])
    assert Counter(hit.metadata["kind"] for hit in answer.hits) == {"soup": 4, "pie": 4}
    assert answer.searched == 8
    (none,) = retriever.search([Query("soup", filters={"kind": "soup", "year": "1999"})])
    assert (none.hits, none.searched) == ((), 0)
    with pytest.raises(QueryRefused, match=r"'knid': no row has such a field \(there are kind"):
        retriever.search([Query("soup", filters={"knid": "rice"})])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither text nor image"),
        ({"text": "  "}, "neither text nor image"),
        ({"text": "soup", "k": 0}, "k is 0"),
        ({"text": "soup", "image_weight": 1.5}, "image_weight is 1.5"),
        ({"text": "caf\udce9"}, r"caf\\xe9' is no readable text"),
    ],
)
def test_a_query_asks_for_something(options, message):
    with pytest.raises(QueryRefused, match=message):
        Query(**options)


def test_text_and_image_that_cancel_out_are_refused(retriever):
    class Opposite:
        space = space_of(retriever.encoder)

        def texts(self, captions):
            return -retriever.encoder.images([small_image("7/0.jpg")])

    odd = Retriever(Opposite(), retriever.index, METADATA, vision=retriever.encoder)
    with pytest.raises(QueryRefused, match="cancel each other out"):
        odd.search([Query("not this", small_image("7/0.jpg"))])


def hits_of(*names):
    return tuple(Hit(i, name, 0.5, {"caption": name.upper()}) for i, name in enumerate(names, 1))


def test_the_template_names_hits_and_cites_them():
    said = reply("soup", hits_of("a", "b", "c"), n=2)
    assert said == Reply("For “soup” there is: A [a]; B [b].", ("a", "b"))
    assert reply("soup", ()).cited == ()
    assert "b [b]" in reply("soup", hits_of("b"), label="title").text


def test_a_language_model_is_shown_the_hits_and_its_citations_are_checked(monkeypatch):
    monkeypatch.setenv("ENDPOINT_KEY", "secret")
    with chat_server() as server:
        server.answer = lambda body: "Take [a], or [zz]. Not [a] again."
        endpoint = Endpoint(server.url, "small")
        said = reply("soup?", hits_of("a", "b", "c"), endpoint=endpoint, n=2)
        assert (said.cited, said.invented) == (("a",), ("zz",))
        assert said.text == f"Take [a], or [zz: {NOT_FOUND}]. Not [a] again."
        (_, authorization, body), *_ = server.asked
        assert authorization == "Bearer secret"
        assert '"id": "b"' in body["messages"][1]["content"]
        assert '"id": "c"' not in body["messages"][1]["content"]
        assert reply("soup?", (), endpoint=endpoint).cited == ()
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ("", 200, "an empty answer"),
        (["soup"], 200, "an empty answer"),
        ({"choices": []}, 200, "IndexError"),
        ({"error": "no such model"}, 200, "KeyError"),
        ("soup", 401, "401"),
    ],
)
def test_a_language_model_that_fails_is_named(answer, status, message):
    with chat_server() as server:
        server.answer, server.status = lambda body: answer, status
        with pytest.raises(EndpointError, match=message):
            Endpoint(server.url, "small").ask([{"role": "user", "content": "soup?"}])


def test_an_address_holds_no_password():
    with pytest.raises(AccessError, match="ENDPOINT_KEY"):
        Endpoint("http://me:secret@127.0.0.1:1/v1", "small")


def test_citations_are_sorted_into_found_and_invented():
    marked = checked("[a, q]; [x[1]]; [zz\nzz] [ ]", hits_of("a", "x[1]"))
    assert marked.text == (f"[a, q: {NOT_FOUND}]; [x[1]]; [zz\nzz: {NOT_FOUND}] [ ]")
    assert (marked.cited, marked.invented) == (("a", "x[1]"), ("q", "zz\nzz"))
    assert checked(" I do not know. ", hits_of("a")) == Reply("I do not know.", ())
