"""``course serve`` as a process: many at once, too much, too slow, killed and restarted."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from helpers import paths
from helpers.course import cli
from helpers.models.encoder import load_encoder
from helpers.store.zones import open_zone
from helpers.topics.serving.pack import ensure_pack
from tests.topics.serving.small import kitchen


@pytest.fixture(scope="module")
def zone(tmp_path_factory):
    """A zone of a few drawn recipes with the pack of a tiny model."""
    found = open_zone(str(tmp_path_factory.mktemp("served") / "zone"))
    kitchen(found)
    encoder = load_encoder("tiny-siglip", device="cpu")
    ensure_pack(found, encoder, model="tiny-siglip", progress=False)
    return found


@contextmanager
def served(zone, *options, port=0):
    """The process and its port, once it says that it serves."""
    command = [sys.executable, "-m", "helpers.course.cli", "serve", "--zone", str(zone),
               "--port", str(port), *options]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(paths.root()), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=paths.root(), env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        found = re.search(r"serving (\d+) images with .* on http://127.0.0.1:(\d+)/$", line)
        assert found, line or process.stderr.read()
        yield process, int(found[2])
    finally:
        process.kill()
        process.communicate()


def ask(port, path="/search", body=b'{"text": "soup"}', method="POST", **headers):
    """Status and JSON of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json", **headers}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ended(process):
    """The exit code of a process that was told to end, and what it wrote to standard error."""
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.slow
def test_a_service_takes_what_comes(zone):
    with served(zone, "--max-mb", "0.1", "--timeout", "1") as (process, port):
        with ThreadPoolExecutor(50) as pool:
            many = list(pool.map(lambda _: ask(port), range(50)))
        assert [status for status, _ in many] == [200] * 50
        assert len({body["hits"][0]["id"] for _, body in many}) == 1
        status, body = ask(port, "/search/image", bytes(200_000))
        assert (status, body["error"]["code"]) == (413, "too_large")
        status, body = ask(port, "/search/image", b"\xff\xd8\xff broken")
        assert (status, body["error"]["code"]) == (422, "bad_image")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
            slow.sendall(b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{")
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as slower:
            slower.sendall(b"POST /search HTT")
            assert slower.recv(100) == b""  # closed
        assert ask(port, "/health", None, "GET", Host="elsewhere.example")[0] == 421
        assert ask(port, "/health", None, "GET")[1]["status"] == "ok"
        process.send_signal(signal.SIGTERM)
        code, err = ended(process)
    assert code == 0
    errors = [line for line in err.splitlines() if " error " in line]
    codes = ["too_large", "bad_image", "too_slow", "too_slow", "wrong_host"]
    assert [line.split(" error ")[1].split()[1] for line in errors] == codes
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_service_that_was_killed_starts_again_on_its_port(zone):
    with served(zone) as (process, port):
        first = ask(port)
        process.kill()
        process.wait()
        with pytest.raises(OSError):
            ask(port)
        with served(zone, port=port) as (again, same):
            assert same == port
            assert ask(port) == first
            _closes_after_what_is_there(again, port)


def _closes_after_what_is_there(process, port):
    """A request that has begun is answered although the service is told to end."""
    body = b'{"text": "soup"}'
    head = f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" \
           f"Content-Length: {len(body)}\r\n\r\n"  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), timeout=60) as begun:
        begun.sendall(head.encode() + body[:5])
        while ask_metric(port) < 2:  # this request and the question itself
            pass
        process.send_signal(signal.SIGTERM)
        begun.sendall(body[5:])
        assert begun.recv(100).startswith(b"HTTP/1.1 200 ")
    assert ended(process)[0] == 0


def ask_metric(port):
    """Requests in progress."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(re.search(r"^course_requests_now (\S+)", text, re.MULTILINE)[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rate", "0"], "'0' is no number above 0"),
        (["--max-mb", "x"], "'x' is no number above 0"),
        (["--port", "99999"], "cannot listen on 127.0.0.1:99999"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8000"),
        (["--endpoint", "http://127.0.0.1:1/v1"], "--endpoint and --endpoint-model go together"),
        (["--port", "0", "--name", "nothing-here"], "there is no run 'nothing-here'"),
    ],
)
def test_a_mistake_is_one_line(capsys, options, said):
    assert cli.main(["serve", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("course: ")
    assert said in line


def test_a_port_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
