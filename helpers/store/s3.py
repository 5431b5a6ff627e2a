"""Zones in an object store (MinIO, or any S3): whole or not at all, and in bounded time.

Requests go through s3fs to botocore, which tries again what may pass; s3fs itself is told not to.
Keys go to the store as they are, past s3fs's reading of paths (``?versionId=`` would be cut off).
An object is put by one request: readers see the old one or the new one, and nothing is left over.

Where the bucket keeps versions (MinIO's object versioning, ``mc version enable store/course``),
each write and each removal adds one. Zones read the newest and never delete a version, so that what
a rebuild has replaced can be had back with ``mc undo`` or ``mc cp --version-id``.
"""

import asyncio
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import Any

from aiohttp import ClientPayloadError
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError
from fsspec.asyn import sync
from upath import UPath

from helpers.store.credentials import Access, AccessError, read_access
from helpers.store.zones import BUCKET, StoreError, Zone, check_key

ATTEMPTS = 4
ATTEMPT_S = 20  # the longest that an attempt may take, and a second more for each MiB
MIB = 1 << 20
CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
    "s3": {"addressing_style": "path"},  # bucket.localhost is no address
}
CUT_OFF = (ClientPayloadError, IncompleteRead, ResponseParserError)  # botocore leaves these to us
# s3fs turns a store's answers into OSErrors.
FAILURES = (OSError, BotoCoreError, HTTPClientError, *CUT_OFF)
KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403", "Forbidden")
REMEDIES = {
    **dict.fromkeys(KEYS, "check MINIO_USER and MINIO_PASSWORD, and what that user may do"),
    "NoSuchBucket": "make the bucket, or correct the name after s3://",
    "QuotaExceeded": "make room in the store",
}


@dataclass(frozen=True)
class S3Zone(Zone):
    """A zone below a prefix of a bucket. See ``open_s3_zone``."""

    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""

    def read_bytes(self, key: str) -> bytes:
        """The bytes of an object. Raises ``FileNotFoundError`` and ``StoreError``."""
        return self._ask("get_object", key)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Put an object whole; until the last byte is there, readers have what was there before."""
        self._ask("put_object", key, size=len(data), Body=data)

    def exists(self, key: str) -> bool:
        """Whether an object lies at this key; listed, as a HEAD cannot say that a bucket misses."""
        found = self._ask("list_objects_v2", key, MaxKeys=1)
        return [item["Key"] for item in found.get("Contents", ())] == [self._name(key)]

    def sizes(self, prefix: str) -> dict[str, int]:
        """The size in bytes of each object below a prefix, or of the one that it names."""
        prefix, found, more = prefix.rstrip("/"), {}, {}
        while True:
            page = self._ask("list_objects_v2", prefix, **more)
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(f"{self.prefix}/")
                # Consoles mark a folder by an empty object whose name ends in a slash.
                if key == prefix or (key.startswith(f"{prefix}/") and not key.endswith("/")):
                    found[key] = int(item["Size"])
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def remove(self, key: str) -> None:
        """Remove an object. Raises ``FileNotFoundError`` and ``StoreError``."""
        if not self.exists(key):
            raise FileNotFoundError(f"{self}/{key}")
        self._ask("delete_object", key)

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{check_key(key)}"

    def _ask(self, operation: str, key: str, *, size: int = 0, **options: Any) -> Any:
        """Make one request; ``get_object`` gives the bytes, others the answer."""
        place = "Prefix" if operation.startswith("list_") else "Key"
        options |= {"Bucket": self.bucket, place: self._name(key)}
        # The clock runs over the sending too, which botocore's own time-outs leave out.
        seconds = ATTEMPTS * (ATTEMPT_S + size / MIB)
        for _ in range(ATTEMPTS):
            try:
                return sync(self.root.fs.loop, self._exchange, operation, seconds, **options)
            except FAILURES as error:
                failure = error
                if not isinstance(error, CUT_OFF):
                    break
        raise self._error(operation, key, failure) from failure

    async def _exchange(self, operation: str, seconds: float, **options: Any) -> Any:
        answer = await asyncio.wait_for(self.root.fs._call_s3(operation, **options), seconds)
        if operation != "get_object":
            return answer
        async with answer["Body"] as body:
            return await body.read()

    def _error(self, operation: str, key: str, error: Exception) -> Exception:
        cause = error.__cause__
        answer = cause.response if isinstance(cause, ClientError) else {}
        code = answer.get("Error", {}).get("Code", "")
        if code == "NoSuchKey":
            return FileNotFoundError(f"{self}/{key}")
        attempts = 1 + answer.get("ResponseMetadata", {}).get("RetryAttempts", ATTEMPTS - 1)
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        said = f"{type(error).__name__}: {error}" if str(error) else "no end in time"
        remedy = REMEDIES.get(code, "see that the store runs and MINIO_ENDPOINT is its address")
        return StoreError(
            f"store {self} at {self.endpoint}: {operation} of {key!r} failed{tried}: "
            f"{code or said}; {remedy}, then run it again"
        )


def open_s3_zone(
    zone: str, *, access: Access | None = None, config: dict[str, Any] | None = None
) -> S3Zone:
    """Open ``s3://bucket/prefix``; nothing is asked of the store before something is used.

    The prefix is needed: a bucket's root may hold what is not the course's. Without ``access`` the
    environment and ``.env`` say it (``read_access``); ``config`` is botocore's.

    Raises ``ValueError`` for a bucket or prefix that is none, and for missing address or keys.
    """
    bucket, _, prefix = zone.removeprefix("s3://").rstrip("/").partition("/")
    if not BUCKET.fullmatch(bucket):
        raise ValueError(
            f"zone {zone!r}: {bucket!r} is no bucket's name (3 to 63 of a-z, 0-9, '.' and '-')"
        )
    if not prefix:
        raise ValueError(f"zone {zone!r} has no prefix; use s3://{bucket}/mine, or another name")
    check_key(prefix)
    try:
        access = access or read_access()
    except AccessError as error:
        raise AccessError(f"zone {zone!r}: {error}") from None
    root = UPath(
        f"s3://{bucket}/{prefix}", key=access.user, secret=access.password,
        endpoint_url=access.endpoint, use_listings_cache=False,
        client_kwargs={"region_name": access.region}, config_kwargs=CONFIG | (config or {}),
    )  # fmt: skip
    root.fs.retries = 1  # botocore's are enough
    return S3Zone(root, bucket, prefix, access.endpoint)
