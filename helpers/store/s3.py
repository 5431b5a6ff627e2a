"""Zones in an object store (MinIO, or any S3): whole or not at all, and in bounded time.

One layer retries: this one. s3fs and botocore are told to try once, so that their loops do not
multiply. Keys go to the store as they are, past any reading of paths (``?versionId=`` would be cut
off there).
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

from upath import UPath

from helpers.store import claims
from helpers.store.credentials import Access, AccessError, read_access
from helpers.store.s3_calls import FAILURES, Limits, answer_of, attempt, may_pass
from helpers.store.zones import BUCKET, StoreError, Zone, check_key

TAKEN_STATUS = (409, 412)  # a conditional put that found an object, or another put under way
REMEDIES = {
    "NoSuchBucket": "make the bucket, or correct the name after s3://",
    "AccessDenied": "check MINIO_USER and MINIO_PASSWORD, and what that user may do",
    "NoSuchUpload": "see that no other process writes this key",
    "QuotaExceeded": "make room in the store",
}
KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403", "Forbidden")


@dataclass(frozen=True)
class S3Zone(Zone):
    """A zone below a prefix of a bucket. See ``open_s3_zone``."""

    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    limits: Limits = field(default_factory=Limits)

    def read_bytes(self, key: str) -> bytes:
        """The bytes of an object. Raises ``FileNotFoundError`` and ``StoreError``."""
        return self._ask("get_object", key)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Put an object whole; until the last byte is there, readers have what was there before.

        Raises ``StoreError``; parts that were sent by then are given up.
        """
        if len(data) >= self.limits.parts_from:
            self._write_parts(key, data)
        else:
            self._ask("put_object", key, size=len(data), Body=data)

    def write_new(self, key: str, data: bytes) -> bool:
        """Put an object unless there is one (If-None-Match); whether there was none.

        After a lost answer the store says no to its own writer: compare what lies there.
        """
        try:
            self._ask("put_object", key, size=len(data), Body=data, IfNoneMatch="*")
        except FileExistsError:
            return False
        return True

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

    def abort_uploads(self, prefix: str) -> int:
        """Give up unfinished uploads of a key or below a prefix, as a killed process leaves them.

        MinIO tells of those of a key alone; it removes what is older than a day by itself.
        """
        name = self._name(prefix)
        found = self._ask("list_multipart_uploads", prefix).get("Uploads", ())
        own = [u for u in found if u["Key"] == name or u["Key"].startswith(f"{name}/")]
        for upload in own:
            key = upload["Key"].removeprefix(f"{self.prefix}/")
            with suppress(FileNotFoundError):  # ended since
                self._ask("abort_multipart_upload", key, UploadId=upload["UploadId"])
        return len(own)

    def claim(self, name: str, *, what: str) -> AbstractContextManager[None]:
        """Keep other machines from building ``name`` (see ``claims``)."""
        return claims.held(self, f"manifests/{check_key(name)}.claim", what=what)

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{check_key(key)}"

    def _write_parts(self, key: str, data: bytes) -> None:
        self.abort_uploads(key)
        upload = self._ask("create_multipart_upload", key)["UploadId"]
        try:
            parts = list(self._send_parts(key, upload, data))
            self._complete(key, upload, parts, data)
        except BaseException as error:
            self._give_up(key, upload, error)
            if isinstance(error, FileNotFoundError):
                raise self._error("upload", key, 1, "NoSuchUpload", error) from error
            raise

    def _send_parts(self, key: str, upload: str, data: bytes) -> Iterator[dict[str, Any]]:
        step = self.limits.part_size
        for number, start in enumerate(range(0, len(data), step), start=1):
            piece = data[start : start + step]
            sent = {"PartNumber": number, "UploadId": upload, "Body": piece}
            out = self._ask("upload_part", key, size=len(piece), **sent)
            yield {"PartNumber": number, "ETag": out["ETag"]}

    def _complete(self, key: str, upload: str, parts: list[dict[str, Any]], data: bytes) -> None:
        done = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
        try:
            self._ask("complete_multipart_upload", key, size=len(data), **done)
        except FileNotFoundError:  # no such upload: completed by an attempt whose answer was lost?
            if not self.exists(key) or self.read_bytes(key) != data:
                raise

    def _give_up(self, key: str, upload: str, error: BaseException) -> None:
        try:
            self._ask("abort_multipart_upload", key, UploadId=upload)
        except (StoreError, FileNotFoundError) as second:
            error.add_note(
                f"the unfinished upload of {key!r} could not be given up either ({second}); the "
                "next write of that key does it"
            )

    def _ask(self, operation: str, key: str, *, size: int = 0, **options: Any) -> Any:
        """Make one request, again while that can help."""
        pauses, name = [*self.limits.pauses(), None], self._name(key)
        place = "Prefix" if operation.startswith("list_") else "Key"
        options |= {"Bucket": self.bucket, place: name}
        for number, pause in enumerate(pauses, start=1):
            try:
                return attempt(self.root.fs, operation, size, self.limits, **options)
            except FAILURES as error:
                code, status = answer_of(error)
                if code in ("NoSuchKey", "NoSuchUpload"):
                    raise FileNotFoundError(f"{self}/{key}") from error
                if status in TAKEN_STATUS and "IfNoneMatch" in options:
                    raise FileExistsError(f"{self}/{key}") from error
                if pause is None or not may_pass(error, status):
                    raise self._error(operation, key, number, code, error) from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _error(
        self, operation: str, key: str, attempts: int, code: str, error: Exception
    ) -> StoreError:
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        reason = code or f"{type(error).__name__}: {error}".rstrip(": ")
        if code in KEYS:
            code = "AccessDenied"
        remedy = REMEDIES.get(code, "see that the store runs and MINIO_ENDPOINT is its address")
        return StoreError(
            f"store {self} at {self.endpoint}: {operation} of {key!r} failed{tried}: {reason}; "
            f"{remedy}, then run it again"
        )


def open_s3_zone(
    zone: str, *, access: Access | None = None, limits: Limits | None = None
) -> S3Zone:
    """Open ``s3://bucket/prefix``; nothing is asked of the store before something is used.

    Parameters
    ----------
    zone : str
        The prefix is needed: a bucket's root may hold what is not the course's.
    access : Access, optional
        By default as the environment and ``.env`` say (``read_access``).
    limits : Limits, optional

    Raises
    ------
    ValueError
        For a bucket or prefix that is none, and where address or keys are missing.
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
        access = read_access() if access is None else access
    except AccessError as error:
        raise AccessError(f"zone {zone!r}: {error}") from None
    limits = Limits() if limits is None else limits
    root = UPath(f"s3://{bucket}/{prefix}", **_options(access, limits))
    root.fs.retries = 1
    return S3Zone(root, bucket, prefix, access.endpoint, limits)


def _options(access: Access, limits: Limits) -> dict[str, Any]:
    return {
        "key": access.user,
        "secret": access.password,
        "endpoint_url": access.endpoint,
        "use_listings_cache": False,
        "client_kwargs": {"region_name": access.region},
        "config_kwargs": {
            "connect_timeout": limits.connect_s,
            "read_timeout": limits.read_s,
            "retries": {"total_max_attempts": 1},
            "s3": {"addressing_style": "path"},  # bucket.localhost is no address
        },
    }
