"""A server on loopback that speaks as an OpenAI-compatible address, and misbehaves on demand."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer:
    """What it was asked, and what it will answer.

    Attributes
    ----------
    answer : callable
        From the request's body to the text of the answer, or to a dict that is sent as it is.
    status : int
    asked : list of (path, authorization, body)
    """

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Any] = lambda body: ""
        self.status = 200
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.url = ""


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Serve until the block ends."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append((self.path, self.headers.get("Authorization"), body))
            said = state.answer(body)
            reply = said if isinstance(said, dict) else _completion(said)
            with suppress(BrokenPipeError, ConnectionResetError):  # the asker has given up
                self.send_response(state.status)
                self.end_headers()
                self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}
