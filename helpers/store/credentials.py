"""How services are reached: their keys, from the environment or from ``.env``, never shown.

What the environment says goes before ``.env`` in the course's root. No message, manifest or result
holds a user or a password, and an address that holds one is refused.
"""

import hashlib
import os
import re
import secrets
from dataclasses import dataclass

from dotenv import dotenv_values

from helpers import paths

NAMES = ("MINIO_ENDPOINT", "MINIO_USER", "MINIO_PASSWORD")
MILVUS_TOKEN, ENDPOINT_KEY = "MILVUS_TOKEN", "ENDPOINT_KEY"
KEY_VARIABLES = (*NAMES[1:], MILVUS_TOKEN, ENDPOINT_KEY)
_KEYS = re.compile(
    r"(?<=://)[^\s/?#]*@"  # http://user:password@host
    r"|(?<=://)[^\s/:@]+:(?!\d+[/?#])\S*@"  # with a slash in the password
    r"|(?<![\w/.-])[\w.-]{2,}:[^\s/@]+@(?=[\w\[])"  # user:password@host, without a scheme
)
ADDRESS = re.compile(r"https?://([\w.-]+|\[[\da-f:.]+\])(:(?P<port>[1-9]\d{0,4}))?", re.IGNORECASE)
_SALT = secrets.token_hex(16)


class AccessError(ValueError):
    """The address or the keys of a store are missing or cannot be used."""


class Secret(str):
    """A text that is not shown where a record is printed; fsspec tells file systems apart by it."""

    def __repr__(self) -> str:
        return f"<hidden {hashlib.sha256(f'{_SALT}{self!s}'.encode()).hexdigest()[:12]}>"


@dataclass(frozen=True)
class Access:
    """Where a store listens and with which keys it is asked."""

    endpoint: str
    user: Secret
    password: Secret
    region: str = "us-east-1"


def read_access() -> Access:
    """Address and keys of the object store; ``AccessError`` names what is missing or no address."""
    values, file = _settings(), paths.root() / ".env"
    missing = [name for name in NAMES if name not in values]
    if missing:
        raise AccessError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; set "
            f"{', '.join(NAMES)} in the environment, or copy .env.example to {file} and fill it in"
        )
    endpoint, user, password = (values[name] for name in NAMES)
    endpoint = endpoint.strip().rstrip("/")
    address = endpoint if "://" in endpoint else f"http://{endpoint}"  # as a MinIO server speaks
    found = ADDRESS.fullmatch(address)
    if not found or int(found["port"] or 80) >= 1 << 16:  # not shown: it may hold a password
        raise AccessError(
            "MINIO_ENDPOINT is no plain address; use http://host:port or https://host, and give "
            "keys in MINIO_USER and MINIO_PASSWORD"
        )
    region = values.get("MINIO_REGION", Access.region)
    return Access(address, Secret(user), Secret(password), region)


def read_key(name: str) -> Secret:
    """A key such as ``MILVUS_TOKEN``: from the environment first, then ``.env``; empty: not set."""
    return Secret(_settings().get(name, ""))


def without_keys(text: str) -> str:
    """A text whose addresses show nothing of what stands before their ``@``."""
    return _KEYS.sub("", text)


def refuse_keys(address: str, *, what: str, variable: str) -> None:
    """Refuse an address that holds a user or a password, with the variable that they belong in."""
    plain = without_keys(address)
    if plain != address:
        raise AccessError(
            f"the address of {what} holds a user or a password, and addresses are recorded: give "
            f"{plain}, and set {variable} in the environment or in {paths.root() / '.env'}"
        )


def _settings() -> dict[str, str]:
    """What is set and not empty, in ``.env`` and over it in the environment."""
    file = dotenv_values(paths.root() / ".env", interpolate=False, encoding="utf-8-sig")
    return {name: value for found in (file, os.environ) for name, value in found.items() if value}
