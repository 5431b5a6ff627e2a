"""The client of OpenAI-compatible addresses, against a server that answers well and badly."""

import pytest

from helpers.endpoint import Endpoint, EndpointError
from helpers.store.credentials import AccessError
from tests.chat_server import chat_server

QUESTION = [{"role": "user", "content": "What is this?"}]


@pytest.fixture
def server():
    with chat_server() as state:
        yield state


def test_an_answer_comes_back_as_text_and_all_that_was_asked_is_sent(server, monkeypatch):
    monkeypatch.setenv("ENDPOINT_KEY", "of the environment")
    server.answer = lambda body: f"{body['model']} says soup"
    schema = {"type": "object"}
    endpoint = Endpoint(f"{server.url}/", "small")
    assert endpoint.ask(QUESTION, schema=schema, temperature=0.5, seed=7) == "small says soup"
    ((path, authorization, body),) = server.asked
    assert (path, authorization) == ("/v1/chat/completions", "Bearer of the environment")
    assert (body["temperature"], body["seed"], body["messages"]) == (0.5, 7, QUESTION)
    assert body["response_format"]["json_schema"]["schema"] == schema


def test_what_was_not_given_is_not_sent(server, monkeypatch):
    monkeypatch.delenv("ENDPOINT_KEY", raising=False)
    server.answer = lambda body: "soup"
    Endpoint(server.url, "small").ask(QUESTION)
    ((_, authorization, body),) = server.asked
    assert authorization is None
    assert set(body) == {"model", "temperature", "messages"}


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


def test_no_key_is_shown_and_none_is_taken_from_the_address(server, monkeypatch):
    monkeypatch.setenv("ENDPOINT_KEY", "very-secret")
    server.status = 403
    with pytest.raises(EndpointError) as found:
        Endpoint(server.url, "small").ask(QUESTION)
    assert "very-secret" not in str(found.value)
    with pytest.raises(AccessError, match=r"set ENDPOINT_KEY") as refused:
        Endpoint("http://me:topsecret@host/v1", "small")
    assert "topsecret" not in repr(refused.value)
