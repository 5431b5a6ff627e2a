"""The HTTP service, in one process: what it answers, what it refuses, and that it says why."""

import base64
import io
import json
import logging
import re
import threading

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from helpers.course import service
from helpers.course.limits import Limits, Rates
from helpers.endpoint import Endpoint
from helpers.store.zones import open_zone
from helpers.topics.serving import pack
from helpers.topics.serving import retriever as back_end
from helpers.topics.serving.retriever import Query
from tests.chat_server import chat_server
from tests.small_models import small_encoder
from tests.topics.serving.small import kitchen, without_export


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A pack of a few drawn recipes, and a retriever of texts and images."""
    with pytest.MonkeyPatch.context() as patch:
        without_export(patch)
        zone = open_zone(str(tmp_path_factory.mktemp("serving") / "zone"))
        kitchen(zone)
        encoder = small_encoder("siglip")
        pack.ensure_pack(zone, encoder, model="m", progress=False)
        found = pack.open_pack(zone, model="m")
    return found, found.retriever.with_images(encoder)


def client_of(searched, *, retriever=None, **options):
    found, whole = searched
    return TestClient(service.make_app(found, retriever or whole, **options))


@pytest.fixture(scope="module")
def client(searched):
    return client_of(searched)


@pytest.fixture(scope="module")
def image(searched):
    """The file of some image."""
    found, _ = searched
    return found.image_bytes(found.retriever.index.ids[3])


def error_of(response, status):
    """The code of an error, after a look at its form."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "remedy"}
    assert all(body["error"].values())
    return body["error"]["code"]


def test_text_image_and_both_find_what_the_retriever_finds(client, searched, image):
    found, whole = searched
    text, key = "two blue books", found.retriever.index.ids[3]
    encoded = base64.b64encode(image).decode()
    (by_text, by_both) = whole.search(
        [Query(text, k=3), Query(text, service._opened(image, 1), k=3, image_weight=0.7)]
    )
    first = client.post("/search", json={"text": text, "k": 3}).json()
    assert [hit["id"] for hit in first["hits"]] == [hit.id for hit in by_text.hits]
    assert first["hits"][0]["score"] == pytest.approx(by_text.hits[0].score, abs=1e-5)
    assert first["hits"][0]["caption"] == by_text.hits[0].metadata["caption"]
    assert first["provenance"]["adapter"] == ""
    both = {"text": text, "k": 3, "image_weight": 0.7}
    posted = client.post("/search", json={**both, "image": f"data:image/jpeg;base64,{encoded}"})
    uploaded = client.post("/search/image", params=both, content=image)
    for done in (posted, uploaded):
        assert [hit["id"] for hit in done.json()["hits"]] == [hit.id for hit in by_both.hits]
    in_lines = base64.encodebytes(image).decode()
    alone = client.post("/search", json={"image": in_lines, "k": 1}).json()
    assert alone["hits"][0]["id"] == key
    some = client.post("/search", json={"text": text, "k": 100, "filters": {"split": "test"}})
    assert {hit["split"] for hit in some.json()["hits"]} == {"test"}
    assert some.json()["searched"] == len(some.json()["hits"]) < len(found.retriever.index)


def test_a_hit_has_a_thumbnail(client):
    hit = client.post("/search", json={"text": "soup"}).json()["hits"][0]
    shown = client.get(hit["thumbnail"])
    assert shown.headers["content-type"] == "image/jpeg"
    assert max(service.Image.open(io.BytesIO(shown.content)).size) <= service.THUMBNAIL_PX
    assert error_of(client.get("/thumbnail/nothing/0.jpg"), 404) == "unknown_id"
    outside = client.get("/thumbnail/%2e%2e/%2e%2e/manifests/pairs.json")
    assert error_of(outside, 404) == "unknown_id"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "bad_query", "neither text nor image"),
        ({"text": "a", "k": 0}, "bad_request", "body.k"),
        ({"text": "a", "k": 101}, "bad_request", "body.k"),
        ({"text": "a" * 2001}, "bad_request", "body.text"),
        ({"text": "a", "kk": 3}, "bad_request", "body.kk"),
        ({"text": "a", "image_weight": 2}, "bad_request", "body.image_weight"),
        ({"text": "a", "filters": {"knid": "soup"}}, "bad_query", "'knid'"),
        ({"text": "caf\udce9"}, "bad_request", "body"),
        ({"image": "no base64!"}, "bad_image", "base64"),
        ({"image": "aGVsbG8="}, "bad_image", "cannot be read"),
        ([], "bad_request", "body"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_query_that_cannot_be_answered_says_why(client, body, code, said):
    content, form = json.dumps(body).encode(), {"Content-Type": "application/json"}
    response = client.post("/search", content=content, headers=form)
    assert error_of(response, 422) == code
    assert said in response.json()["error"]["message"]


def test_json_has_to_be_called_json(client):
    """So that a page of another site cannot ask without the browser's question before it."""
    response = client.post("/search", content=b'{"text": "soup"}')
    assert error_of(response, 422) == "bad_request"
    assert "Content-Type: application/json" in response.json()["error"]["remedy"]


def test_broken_and_huge_images_are_refused(client, searched, image):
    cut = client.post("/search/image", content=image[: len(image) // 2])
    assert error_of(cut, 422) == "bad_image"
    assert error_of(client.post("/search/image"), 422) == "bad_query"
    form = client.post("/search/image", files={"image": image})
    assert error_of(form, 415) == "no_form"
    assert "--data-binary" in form.json()["error"]["remedy"]
    stream = io.BytesIO()
    service.Image.new("1", (6000, 6000)).save(stream, "PNG")  # a few kilobytes, 36 megapixels
    assert len(stream.getvalue()) < 50_000
    assert error_of(client.post("/search/image", content=stream.getvalue()), 422) == "bad_image"
    small = client_of(searched, limits=Limits(body_bytes=1000))
    assert error_of(small.post("/search/image", content=bytes(1001)), 413) == "too_large"
    parts = (bytes(400) for _ in range(4))  # without a length in the head
    assert error_of(small.post("/search/image", content=parts), 413) == "too_large"


def test_paths_methods_and_hosts_are_checked(client, searched):
    assert error_of(client.get("/nowhere"), 404) == "no_such_path"
    assert error_of(client.get("/search"), 405) == "wrong_method"
    guarded = client_of(searched, hosts=service.LOOPBACK)
    assert error_of(guarded.get("/health"), 421) == "wrong_host"
    for host in ("127.0.0.1:8000", "LOCALHOST", "[::1]:8000"):
        assert guarded.get("/health", headers={"Host": host}).status_code == 200


def test_the_thumbnail_of_any_id_has_an_address():
    answer = back_end.Answer((back_end.Hit(1, "ä dish?/0#.jpg", 0.5, {}),), 1, {})
    (hit,) = service._results(answer)["hits"]
    assert hit["thumbnail"] == "/thumbnail/%C3%A4%20dish%3F/0%23.jpg"


def test_too_many_requests_wait(searched):
    client = client_of(searched, limits=Limits(per_s=0.001, burst=2))
    assert [client.post("/search", json={"text": "a"}).status_code for _ in range(2)] == [200, 200]
    late = client.post("/search", json={"text": "a"})
    assert error_of(late, 429) == "too_many"
    assert int(late.headers["retry-after"]) > 900
    assert client.get("/health").status_code == 200


def test_when_too_many_are_waiting_the_next_is_told_so(searched):
    client = client_of(searched, limits=Limits(waiting=0))
    busy = client.post("/search", json={"text": "a"})
    assert error_of(busy, 503) == "busy"
    assert busy.headers["retry-after"] == "1"
    assert client.get("/health").status_code == 200


def test_rates_fill_up_again_and_forget_whoever_came_first():
    rates = Rates(2.0, 3)
    assert [rates.wait_s("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.wait_s("b", 0.0) == 0
    assert rates.wait_s("a", 0.4) == pytest.approx(0.1)
    assert rates.wait_s("a", 0.5) == 0
    assert [rates.wait_s("a", 99.0) for _ in range(4)] == [0, 0, 0, 0.5]
    for i in range(20_000):
        rates.wait_s(f"{i}", 100.0)
    assert len(rates.left) == 10_000
    assert Rates(0.0, 1).wait_s("a", 0.0) == 0


class Slow:
    """A retriever that waits until it is told to go on, or fails."""

    def __init__(self, whole, error=None):
        self.index, self.error, self.go_on = whole.index, error, threading.Event()

    def search(self, queries):
        if self.error:
            raise self.error
        self.go_on.wait(30)


def test_a_search_ends_in_time(searched):
    slow = Slow(searched[1])
    client = client_of(searched, retriever=slow, limits=Limits(search_s=0.05))
    assert error_of(client.post("/search", json={"text": "a"}), 504) == "timeout"
    slow.go_on.set()


def test_what_nobody_foresaw_is_a_line_of_the_log_and_no_traceback(searched, caplog):
    client = client_of(searched, retriever=Slow(searched[1], RuntimeError("a\nsecret")))
    with caplog.at_level(logging.WARNING, "course.serve"):
        response = client.post("/search", json={"text": "a"})
    assert error_of(response, 500) == "internal"
    assert "secret" not in response.text
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("error 500 internal POST /search ")
    assert "RuntimeError: a secret" in line


def test_an_error_is_one_line_with_its_code(client, caplog):
    with caplog.at_level(logging.WARNING, "course.serve"):
        client.post("/search", json={"text": "a", "filters": {"x\n\x1b[2J": "y"}})
    (line,) = [record.getMessage() for record in caplog.records]
    assert re.match(r"error 422 bad_query POST /search \S+: filter .*; see /docs", line)
    assert "\n" not in line
    assert "\x1b" not in line


def test_health_says_what_is_searched(client, searched):
    said = client.get("/health").json()
    assert (said["status"], said["model"], said["adapter"], said["factor"]) == ("ok", "m", "", 1)
    assert said["images"] == len(searched[0].retriever.index)


def test_metrics_count_requests_errors_and_seconds(searched):
    client = client_of(searched)
    for body in ({"text": "a"}, {"text": "b"}, {}):
        client.post("/search", json=body)
    client.get("/a/path/that/is/nowhere")
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    counts = {
        (s.labels["path"], s.labels["status"]): s.value
        for s in families["course_requests"].samples
        if s.name.endswith("_total")
    }
    assert counts == {("/search", "200"): 2, ("/search", "422"): 1, ("other", "404"): 1}
    errors = {
        s.labels["code"]: s.value
        for s in families["course_errors"].samples
        if s.name.endswith("_total")
    }
    assert errors == {"bad_query": 1, "no_such_path": 1}
    seconds = {s.labels.get("path"): s.value for s in families["course_request_seconds"].samples
               if s.name.endswith("_count")}  # fmt: skip
    assert seconds["/search"] == 3
    assert families["course_images"].samples[0].value == len(searched[0].retriever.index)
    assert families["course_requests_now"].samples[0].value == 1  # this one


def test_the_search_page_is_strict_and_its_own(client):
    """Scripts and styles are files of the service; nothing is inline, nothing from elsewhere."""
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not set(re.findall(r"'unsafe-\w+'|https?:|\*", policy))
    named = re.findall(r"""(?:src|href)="([^"]+)""", page.text)
    assert set(named) == {"/page/search.js", "/page/search.css", "data:,", "/docs"}
    texts = [page.text, *(client.get(place).text for place in named if place.startswith("/page"))]
    for text in texts:
        assert not re.search(r"""://|["'(]//|@import|innerHTML|<style|\son\w+=""", text)
    assert not re.search(r"<script(?! src=)|<[^>]* style=", page.text)
    labels = set(re.findall(r'<label for="(\w+)"', page.text))
    assert set(re.findall(r'<input id="(\w+)"', page.text)) == labels
    assert client.get("/page/search.js").headers["content-type"].startswith("text/javascript")
    for outside in ("..%2fservice.py", "service.py"):
        assert error_of(client.get(f"/page/{outside}"), 404) == "no_such_path"


def test_the_page_of_requests_loads_nothing_from_a_network(client):
    page = client.get("/docs").text
    named = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert named
    for place in named:
        assert place.startswith("/")
        assert client.get(place).status_code == 200
    assert "://" not in page.replace("http://www.w3.org", "")
    form = client.get("/openapi.json").json()
    shown = {"/search", "/search/image", "/answer", "/thumbnail/{key}", "/health", "/metrics"}
    assert set(form["paths"]) == shown
    kinds = form["paths"]["/search"]["post"]["responses"]
    assert set(kinds) == {"200", "default"}
    assert form["components"]["schemas"]["Reason"]["required"] == ["code", "message", "remedy"]


def test_an_answer_cites_what_was_found(client):
    said = client.post("/answer", json={"text": "soup", "k": 2}).json()
    found = [hit["id"] for hit in said["hits"]]
    assert (said["cited"], said["invented"], said["written_by"]) == (found, [], "template")
    assert all(f"[{name}]" in said["text"] for name in found)
    assert error_of(client.post("/answer", json={}), 422) == "bad_query"


def test_a_language_model_answers_and_what_it_invents_is_marked(searched):
    with chat_server() as server:
        client = client_of(searched, endpoint=Endpoint(server.url, "small"))

        def answer(body):
            first = json.loads(body["messages"][1]["content"])["items"][0]["id"]
            return f"Try [{first}], or [no-such/0.jpg]."

        server.answer = answer
        said = client.post("/answer", json={"text": "soup", "k": 2}).json()
        assert said["cited"] == [said["hits"][0]["id"]]
        assert said["invented"] == ["no-such/0.jpg"]
        assert "[no-such/0.jpg: not among what was found]" in said["text"]
        assert said["written_by"] == "small"
        server.status = 500
        response = client.post("/answer", json={"text": "soup"})
        assert error_of(response, 502) == "no_answer"
