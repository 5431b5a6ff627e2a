"""One request to an object store: how long it may take, and what its failure means."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import Any

from aiohttp import ClientPayloadError
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

MIB = 1 << 20
PASSING = (
    exceptions.ConnectionError, exceptions.HTTPClientError, ClientPayloadError, IncompleteRead,
    ResponseParserError, ConnectionError, TimeoutError,
)  # fmt: skip
PASSING_STATUS = (408, 429, 500, 502, 503, 504)
FAILURES = (OSError, BotoCoreError, *PASSING)  # s3fs turns a store's answers into OSErrors


@dataclass(frozen=True)
class Limits:
    """How long a store may take. Times in seconds, sizes in bytes.

    An attempt may take ``attempt_s`` and the time its bytes need at ``bytes_per_s``; there are
    ``attempts`` of them. Objects from ``parts_from`` on are sent in parts of ``part_size``.
    """

    connect_s: float = 5
    read_s: float = 15
    attempt_s: float = 20
    attempts: int = 4
    pause_s: float = 0.25
    bytes_per_s: float = MIB
    parts_from: int = 64 * MIB
    part_size: int = 16 * MIB

    def pauses(self) -> list[float]:
        """The waits between attempts: each twice the one before."""
        return [self.pause_s * 2**i for i in range(self.attempts - 1)]

    def bound_s(self, size: int = 0) -> float:
        """The longest that one request with ``size`` bytes may take.

        >>> Limits().bound_s()
        81.75
        """
        return self.attempts * (self.attempt_s + size / self.bytes_per_s) + sum(self.pauses())


def attempt(fs: Any, operation: str, size: int, limits: Limits, **options: Any) -> Any:
    """Make one request in s3fs's own loop; ``get_object`` gives the bytes, others the answer.

    The clock runs over the sending too, which the HTTP client's own time-outs leave out. A body has
    a clock of its own, by its length, which only the answer tells.
    """
    seconds = limits.attempt_s + size / limits.bytes_per_s

    async def read() -> bytes:
        out = await _within(fs._call_s3(operation, **options), seconds)
        length = int(out.get("ContentLength", 0))
        async with out["Body"] as body:
            return await _within(body.read(), limits.attempt_s + length / limits.bytes_per_s)

    async def ask() -> Any:
        return await _within(fs._call_s3(operation, **options), seconds)

    return sync(fs.loop, read if operation == "get_object" else ask)


def answer_of(error: BaseException) -> tuple[str, int]:
    """The store's code and HTTP status, where an answer came: ``("NoSuchKey", 404)``."""
    cause = error if isinstance(error, ClientError) else error.__cause__
    if not isinstance(cause, ClientError):
        return "", 0
    response = cause.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return response.get("Error", {}).get("Code", ""), status


def may_pass(error: BaseException, status: int) -> bool:
    """Whether another attempt can help."""
    return isinstance(error, PASSING) or status in PASSING_STATUS


async def _within(work: Awaitable[Any], seconds: float) -> Any:
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError as error:
        raise FSTimeoutError(f"no end after {seconds:.1f} s") from error
