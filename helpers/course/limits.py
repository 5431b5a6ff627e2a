"""What a service lets in: how large, how slow, how often; and what it says to the rest.

``Guard`` wraps an ASGI application. It reads a request's body whole, within a size and a time,
before the application sees any of it, counts every request, and turns every error into one line of
the log and a JSON body with a code and a remedy.
"""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LOG = logging.getLogger("course.serve")
LEFT = 499  # the status of a request whose client left before an answer
CLIENTS = 10_000  # whose rates are remembered
LINGER_S = 1.0  # how long a refused body is still read, so that the sender sees the answer
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
FREE = ("/health", "/metrics")  # of rates: whoever watches the service is no load


class Refused(Exception):
    """A request that is not served: an HTTP status, a code for programs, a reason and a remedy."""

    def __init__(self, status: int, code: str, message: str, remedy: str, **headers: str):
        super().__init__(message)
        self.status, self.code, self.message, self.remedy = status, code, message, remedy
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def body(self) -> dict[str, Any]:
        """What is sent as JSON."""
        return {"error": {"code": self.code, "message": self.message, "remedy": self.remedy}}


@dataclass(frozen=True)
class Limits:
    """What one service takes.

    Attributes
    ----------
    body_bytes : int
        Of a request.
    body_s : float
        Seconds in which a request has to arrive, head and body each.
    search_s, answer_s : float
        Seconds that a search, and an answer in words, may take.
    per_s : float
        Requests a second of one client address, on average; 0: no limit.
    burst : int
        Requests that may come at once.
    waiting : int
        Requests of all clients that may be there at a time.
    megapixels : float
        Of an image, once it is decoded.
    """

    body_bytes: int = 10 * 2**20
    body_s: float = 10.0
    search_s: float = 10.0
    answer_s: float = 60.0
    per_s: float = 50.0
    burst: int = 200
    waiting: int = 100
    megapixels: float = 25.0


class Rates:
    """A token bucket for each client: ``burst`` requests at once, ``per_s`` a second after them."""

    def __init__(self, per_s: float, burst: int):
        self.per_s, self.burst = per_s, burst
        self.left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens and when

    def wait_s(self, client: str, now: float) -> float:
        """Take a token; 0, or the seconds until there is one."""
        if not self.per_s:
            return 0.0
        tokens, since = self.left.pop(client, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) * self.per_s)
        short = max(0.0, 1 - tokens)
        self.left[client] = (tokens if short else tokens - 1, now)
        if len(self.left) > CLIENTS:
            self.left.popitem(last=False)
        return short / self.per_s


class Metrics:
    """What Prometheus asks for: requests by path and status, seconds, requests in progress."""

    def __init__(self, n_images: int):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "course_requests", "Requests.", ["path", "status"], registry=self.registry
        )
        self.errors = Counter("course_errors", "Errors by code.", ["code"], registry=self.registry)
        self.seconds = Histogram(
            "course_request_seconds", "Seconds from the head of a request to its answer.",
            ["path"], buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.now = Gauge("course_requests_now", "Requests in progress.", registry=self.registry)
        images = Gauge("course_images", "Images that are searched.", registry=self.registry)
        images.set(n_images)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class Guard:
    """An ASGI application behind limits."""

    def __init__(self, app: Any, *, limits: Limits, metrics: Metrics, hosts: frozenset[str]):
        self.app, self.limits, self.metrics, self.hosts = app, limits, metrics, hosts
        self.rates = Rates(limits.per_s, limits.burst)
        self.n_now = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), LEFT

        async def sent(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.n_now += 1
        self.metrics.now.set(self.n_now)
        try:
            try:
                self._admit(scope)
                body = await self._body(receive)
            except Refused as error:
                await self._refuse(error, scope, receive, sent)
            else:
                if body is not None:
                    await self.app(scope, _replayed(body, receive), sent)
        except Exception as error:  # noqa: BLE001 (of whatever layer: the client gets JSON)
            reason = f"{type(error).__name__}: {error}"
            failed = Refused(500, "internal", "the service failed", "report the line of its log")
            if status == LEFT:
                await self._refuse(failed, scope, None, sent, reason=reason)
        finally:
            self.n_now -= 1
            self.metrics.now.set(self.n_now)
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)

    def _admit(self, scope: dict[str, Any]) -> None:
        """What can be said from the head of a request alone."""
        heads = dict(scope["headers"])
        host = heads.get(b"host", b"").decode("latin-1").rpartition("@")[2].lower()
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if self.hosts and name not in self.hosts:  # another site's page that was led here
            raise Refused(
                421, "wrong_host", f"this service is not {name!r}",
                f"ask {' or '.join(sorted(self.hosts))}, or start it with --host",
            )  # fmt: skip
        if scope["path"] in FREE:
            return
        if self.n_now > self.limits.waiting:
            raise Refused(
                503, "busy", f"{self.limits.waiting} requests are waiting", "ask again in a second",
                Retry_After="1",
            )  # fmt: skip
        client = scope["client"][0] if scope.get("client") else ""
        if wait := self.rates.wait_s(client, time.monotonic()):
            raise Refused(
                429, "too_many", f"more than {self.limits.per_s:g} requests a second",
                f"wait {wait:.2f} s and ask again", Retry_After=str(int(wait) + 1),
            )  # fmt: skip
        length = heads.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.limits.body_bytes:
            raise self._too_large()

    async def _body(self, receive: Any) -> bytes | None:
        """The whole body; None where the client has gone."""
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self.limits.body_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    more = message.get("more_body", False)
                    if size > self.limits.body_bytes:
                        raise self._too_large()
        except TimeoutError:
            raise Refused(
                408, "too_slow", f"the request did not arrive in {self.limits.body_s:g} s",
                "send it faster, or a smaller image",
            ) from None  # fmt: skip
        return b"".join(parts)

    def _too_large(self) -> Refused:
        most = f"{self.limits.body_bytes / 2**20:g} MiB"
        return Refused(
            413, "too_large", f"the request is larger than {most}",
            "send a smaller image: the model reads few pixels",
        )  # fmt: skip

    async def _refuse(
        self, error: Refused, scope: dict[str, Any], receive: Any, send: Any, *, reason: str = ""
    ) -> None:
        """Send an error; with ``receive``, read on for a while, so that the sender sees it."""
        self.log(error, scope, reason)
        headers = {**error.headers, "Connection": "close", "Content-Type": "application/json"}
        content = json.dumps(error.body, ensure_ascii=False).encode()
        headers["Content-Length"] = str(len(content))
        raw = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": raw})
        await send({"type": "http.response.body", "body": content, "more_body": True})
        if receive is not None and error.status != 408:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while (await receive()).get("more_body", False):
                        pass
        await send({"type": "http.response.body", "body": b""})

    def log(self, error: Refused, scope: dict[str, Any], reason: str = "") -> None:
        """One line of the log: status, code, request, reason and remedy; and a count."""
        self.metrics.errors.labels(error.code).inc()
        client = scope["client"][0] if scope.get("client") else "unknown"
        said = f"{reason or error.message}; {error.remedy}"
        asked = f"{scope['method']} {scope['path']} {client}"
        line = f"error {error.status} {error.code} {asked}: {said}"
        LOG.warning("%s", " ".join("".join(c if c.isprintable() else " " for c in line).split()))


def _replayed(body: bytes, receive: Any) -> Any:
    """A ``receive`` that gives a body that was read already, and then what comes after it."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> dict[str, Any]:
        return first.pop() if first else await receive()

    return next_message
