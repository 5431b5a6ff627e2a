"""How services are reached: their keys, from the environment or from ``.env``, never shown.

The user and the password of an object store never leave this process but in signed requests: their
``repr`` is hidden, and no message, manifest or result holds them. An address that holds a password
is refused, whatever service it names, and no message repeats it.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from helpers import paths

NAMES = ("MINIO_ENDPOINT", "MINIO_USER", "MINIO_PASSWORD")
REGION = "MINIO_REGION"  # stores that are not MinIO may ask for one
MILVUS_TOKEN, ENDPOINT_KEY = "MILVUS_TOKEN", "ENDPOINT_KEY"
KEY_VARIABLES = (*NAMES[1:], MILVUS_TOKEN, ENDPOINT_KEY)
_KEYS = re.compile(
    r"(?<=://)[^\s/?#]*@"  # http://user:password@host
    r"|(?<=://)[^\s/:@]+:(?!\d+[/?#])\S*@"  # with a slash in the password
    r"|(?<![\w/.-])[\w.-]{2,}:[^\s/@]+@(?=[\w\[])"  # user:password@host, without a scheme
)
_SALT = secrets.token_hex(16)


class AccessError(ValueError):
    """The address or the keys of a store are missing or cannot be used."""


class Secret(str):
    """A text that does not show itself where a record, a frame or a list is printed.

    Two secrets look alike only if they are equal: file systems are told apart by this text.

    >>> "tea" in repr({"key": Secret("tea")})
    False
    """

    __slots__ = ()

    def __repr__(self) -> str:
        digest = hashlib.sha256(f"{_SALT}{self!s}".encode()).hexdigest()[:12]
        return f"<hidden {digest}>"


@dataclass(frozen=True)
class Access:
    """Where a store listens and with which keys it is asked."""

    endpoint: str
    user: Secret
    password: Secret
    region: str = "us-east-1"


def read_access(environment: Mapping[str, str] | None = None) -> Access:
    """Address and keys: from the environment first, then from ``.env`` in the course's root.

    Parameters
    ----------
    environment : mapping, optional
        The process's own by default.

    Raises
    ------
    AccessError
        If one of ``NAMES`` is missing or empty, or the address is none; values are not repeated.

    >>> keys = {"MINIO_ENDPOINT": "localhost:9000", "MINIO_USER": "u", "MINIO_PASSWORD": "p"}
    >>> read_access(keys).endpoint
    'http://localhost:9000'
    """
    file = paths.root() / ".env"
    values = _settings(file, os.environ if environment is None else environment)
    missing = [name for name in NAMES if not values.get(name)]
    if missing:
        raise AccessError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; set "
            f"{', '.join(NAMES)} in the environment, or copy .env.example to {file} and fill it in"
        )
    address, user, password = (values[name] for name in NAMES)
    region = values.get(REGION) or Access.region
    return Access(_endpoint(address), Secret(user), Secret(password), region)


def read_key(name: str) -> Secret:
    """A key such as ``MILVUS_TOKEN``: from the environment first, then ``.env``; empty: not set."""
    return Secret(_settings(paths.root() / ".env", os.environ).get(name, ""))


def without_keys(text: str) -> str:
    """A text whose addresses show nothing of what stands before their ``@``.

    >>> without_keys("no Milvus at http://root:tea@host:19530")
    'no Milvus at http://host:19530'
    """
    return _KEYS.sub("", text)


def refuse_keys(address: str, *, what: str, variable: str) -> None:
    """Refuse an address that holds a user or a password: messages and records show addresses.

    Raises
    ------
    AccessError
        With the address as it may be shown, and the variable that the key belongs in.
    """
    plain = without_keys(address)
    if plain != address:
        raise AccessError(
            f"the address of {what} holds a user or a password, and addresses are recorded: give "
            f"{plain}, and set {variable} in the environment or in {paths.root() / '.env'}"
        )


def _settings(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    return _read_file(file) | {k: v for k, v in environment.items() if v}


def _read_file(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    found = dotenv_values(file, interpolate=False, encoding="utf-8-sig")
    return {name: value for name, value in found.items() if value}


def _endpoint(text: str) -> str:
    """The address with its scheme; ``http`` where none is given, as a MinIO server speaks."""
    text = text.strip()
    address = text if "://" in text else f"http://{text}"
    remedy = "use http://host:port or https://host, and give keys in MINIO_USER and MINIO_PASSWORD"
    try:
        parts = urlsplit(address)
        plain = parts.hostname and parts.port != 0 and re.fullmatch(r"[\w.:\[\]-]+", parts.netloc)
    except ValueError as error:  # a port that is no number
        raise AccessError(f"MINIO_ENDPOINT is no address ({error}); {remedy}") from None
    if parts.scheme not in ("http", "https") or not plain or parts.path.strip("/") or parts.query:
        raise AccessError(f"MINIO_ENDPOINT is no plain address; {remedy}")
    return f"{parts.scheme}://{parts.netloc}"
