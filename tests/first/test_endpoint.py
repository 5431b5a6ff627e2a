"""The client of OpenAI-compatible addresses, against a server that answers well and badly."""

import pytest

from helpers.first.prepare.endpoint import Endpoint, EndpointError
from helpers.store.credentials import AccessError
from tests.chat_server import chat_server

QUESTION = [{"role": "user", "content": "What is this?"}]


@pytest.fixture
def server():
    with chat_server() as state:
        yield state


def test_an_answer_comes_back_as_text(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    server.answer = lambda body: f"{body['model']} says soup"
    endpoint = Endpoint(f"{server.url}/", "small", key_variable="SOME_KEY")
    schema = {"type": "object"}
    assert endpoint.ask(QUESTION, schema=schema, temperature=0.5, seed=7) == "small says soup"
    ((path, authorization, body),) = server.asked
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert (body["temperature"], body["seed"], body["messages"]) == (0.5, 7, QUESTION)
    assert body["response_format"]["json_schema"]["schema"] == schema


def test_no_key_is_sent_unless_there_is_one(server, monkeypatch):
    monkeypatch.delenv("ENDPOINT_KEY", raising=False)
    server.answer = lambda body: "soup"
    Endpoint(server.url, "small").ask(QUESTION)
    ((_, authorization, body),) = server.asked
    assert authorization is None
    assert "seed" not in body
    assert "response_format" not in body


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ("", 200, "an empty answer"),
        (None, 200, "an empty answer"),
        (["soup"], 200, "an empty answer"),
        ({"choices": []}, 200, "IndexError"),
        ({"error": "no such model"}, 200, "KeyError"),
        ("soup", 500, "500"),
        ("soup", 401, "401"),
    ],
)
def test_bad_answers_are_errors_that_name_address_and_model(server, answer, status, message):
    server.answer, server.status = lambda body: answer, status
    with pytest.raises(EndpointError, match=message) as found:
        Endpoint(server.url, "small").ask(QUESTION)
    assert server.url in str(found.value)
    assert "(small)" in str(found.value)


def test_a_missing_key_is_named_and_no_key_is_shown(server, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(EndpointError, match="SOME_KEY is empty"):
        Endpoint(server.url, "small", key_variable="SOME_KEY").ask(QUESTION)
    monkeypatch.setenv("SOME_KEY", "very-secret")
    server.status = 403
    with pytest.raises(EndpointError) as found:
        Endpoint(server.url, "small", key_variable="SOME_KEY").ask(QUESTION)
    assert "very-secret" not in str(found.value)


def test_a_key_comes_from_the_environment_and_never_from_the_address(server, monkeypatch):
    """Fault 8."""
    monkeypatch.setenv("ENDPOINT_KEY", "of the environment")
    server.answer = lambda body: "soup"
    Endpoint(server.url, "small").ask(QUESTION)
    assert server.asked[0][1] == "Bearer of the environment"
    with pytest.raises(AccessError, match=r"give http://host/v1, and set ENDPOINT_KEY") as found:
        Endpoint("http://me:topsecret@host/v1", "small")
    assert "topsecret" not in repr(found.value)


def test_an_address_that_nobody_serves_is_an_error():
    with chat_server() as state:
        url = state.url
    with pytest.raises(EndpointError, match="ConnectError"):
        Endpoint(url, "small", timeout_s=60).ask(QUESTION)
    with pytest.raises(EndpointError, match="gave no answer"):
        Endpoint("no address", "small").ask(QUESTION)


def test_a_server_that_hangs_is_given_up(server):
    import threading

    release = threading.Event()
    server.answer = lambda body: release.wait(20) and "late"
    try:
        with pytest.raises(EndpointError, match="Timeout"):
            Endpoint(server.url, "small", timeout_s=0.2).ask(QUESTION)
    finally:
        release.set()
