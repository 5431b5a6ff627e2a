"""An object store on loopback, and a proxy before it that does to requests what networks do.

``python -m tests.store.s3_server`` runs the store (moto's) as its own process and prints its port.
"""

import http.client
import logging
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers.store.credentials import Access, Secret
from helpers.store.s3 import S3Zone, open_s3_zone

USER, PASSWORD = "learner-4711", "quiet-walnut-93"
BUCKET = "course"
KEYS = {"MINIO_ENDPOINT": "http://127.0.0.1:9", "MINIO_USER": USER, "MINIO_PASSWORD": PASSWORD}
# Where a store never answers, and the clock is what is tried.
SHORT = {"connect_timeout": 2, "read_timeout": 1}
# Keys that try to leave a zone, in every spelling we could think of, and must be refused.
OUTSIDE = (
    "", ".", "..", "/", "//", "../x", "../../x", "a/../x", "a/../../x", "a/..", "a/./b", "./a",
    "a//b", "a/", "/a", "//a", "/etc/passwd", "/course/x", "\\x", "..\\x", "a\\..\\x", "a\\b",
    "\\\\host\\share", "C:/x", "c:x", "file:///etc/passwd", "s3://course/x", "s3://other/x",
    "memory://x", "http://127.0.0.1/x", "a\0", "\0a", "a\0/../x", "a\nb", "a\rb", "a\tb", "a\x7fb",
    "a\x1bb", "cafe\u0301", "A\u030a/x", "\u212b", "a\ud800", "\udcff/x",
)  # fmt: skip
# Keys that only look so: each is one object below the prefix, with exactly this name.
INSIDE = (
    "%2e%2e/x", "..%2fx", "%2Fetc%2Fpasswd", "a?versionId=1", "a?x=..%2f..%2fy", "a#b", "x/a::b",
    "~/x", "~root", "$HOME/x", "a/..b", "a b+c", "*", "a/[x]", "\u2025/x", "\uff0e\uff0e/x",
    "x\u202e/y", "é/'\"<&>", ".hidden", "...",
)  # fmt: skip
PASS, HANG, DROP, CUT, LOSE = "pass", "hang", "drop", "cut", "lose"
ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
)


def answer(status: int, code: str) -> tuple[int, str]:
    """A fault: the proxy answers so by itself, as a store would."""
    return status, code


def access_to(endpoint: str) -> Access:
    """Address and keys, as they come from the environment otherwise."""
    return Access(endpoint, Secret(USER), Secret(PASSWORD))


def shown(error: BaseException) -> str:
    """The message of an error, all of whose traceback was seen to hold no key."""
    text = "".join(traceback.format_exception(error)) + repr(error)
    assert USER not in text
    assert PASSWORD not in text
    return str(error)


def zone_at(
    endpoint: str, prefix: str, *, bucket: str = BUCKET, config: dict[str, object] | None = None
) -> S3Zone:
    """A zone in a store on loopback."""
    return open_s3_zone(f"s3://{bucket}/{prefix}", access=access_to(endpoint), config=config)


@contextmanager
def moto_server(*, authenticate: bool = False) -> Iterator[str]:
    """The address of a store in a child process, with the bucket ``BUCKET`` in it.

    With ``authenticate`` it then knows no user: whoever asks is refused, as with wrong keys.
    """
    command = [sys.executable, "-m", "tests.store.s3_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            zone_at(endpoint, "x").root.fs.call_s3("create_bucket", Bucket=BUCKET)
            if authenticate:
                _post(endpoint, "/moto-api/reset-auth", b"0")
            yield endpoint
        finally:
            process.kill()


def _post(endpoint: str, path: str, body: bytes) -> None:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
    connection.request("POST", path, body)
    assert connection.getresponse().status == 200
    connection.close()


class Proxy(ThreadingHTTPServer):
    """Forwards to a store; ``fault(method, path)`` is asked at each request what is to happen.

    ``pass`` forwards; ``hang`` never answers; ``drop`` sends the store half of the body and cuts
    both connections; ``cut`` sends the client half of the answer; ``lose`` lets the store do it all
    and drops the answer; ``answer(503, "SlowDown")`` answers in the store's place.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream.removeprefix("http://")
        self.ended = threading.Event()
        self.fault: Callable[[str, str], str | tuple[int, str]] = lambda method, path: PASS
        self.seen: list[tuple[str, str]] = []

    @property
    def endpoint(self) -> str:
        """The address that clients use."""
        return f"http://127.0.0.1:{self.server_port}"

    def plan(self, *faults: str | tuple[int, str], where: str = "", methods: str = ".*") -> None:
        """The faults of the next requests whose path and method match; the last one stays."""
        left = list(faults)
        self.seen.clear()

        def fault(method: str, path: str) -> str | tuple[int, str]:
            if not (re.search(where, path) and re.fullmatch(methods, method)):
                return PASS
            return left.pop(0) if len(left) > 1 else left[0]

        self.fault = fault

    def handle_error(self, request: object, client_address: object) -> None:
        """Cut connections are what this is for."""


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """A running proxy."""
    proxy = Proxy(upstream)
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.shutdown()
        proxy.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        proxy = self.server
        fault = proxy.fault(self.command, self.path)
        proxy.seen.append((self.command, self.path))
        if fault == HANG:
            proxy.ended.wait(60)
            return self._cut()
        size = int(self.headers.get("Content-Length") or 0)
        if fault == DROP:
            self._forward(self.rfile.read(size // 2), announced=size)
            return self._cut()
        body = self.rfile.read(size)
        if isinstance(fault, tuple):
            return self._answer(fault[0], ERROR.format(code=fault[1]).encode())
        response, data = self._forward(body, announced=size)
        if fault == LOSE:
            return self._cut()
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault == CUT else data)
        return self._cut() if fault == CUT else None

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _forward(self, body: bytes, *, announced: int):
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection", "content-length"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(announced))
            upstream.endheaders(body)
            if len(body) < announced:
                return None, b""
            response = upstream.getresponse()
            return response, response.read()
        finally:
            upstream.close()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()


def main() -> None:
    """Serve until killed."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
