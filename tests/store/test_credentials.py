"""Address and keys of a store: where they come from, what is refused, that they are not shown."""

from pathlib import Path

import pytest
import yaml

import helpers
from helpers import paths
from helpers.store.credentials import AccessError, Secret, read_access, without_keys
from helpers.store.zones import open_zone
from tests.store.s3_server import BUCKET, KEYS, PASSWORD, USER, shown

ROOT = Path(helpers.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_course(tmp_path, monkeypatch):
    """No address and no ``.env`` but the test's."""
    for name in (*KEYS, "MINIO_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    return tmp_path


def given(monkeypatch, settings):
    """Settings in the environment."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def test_keys_come_from_the_environment_before_the_file(own_course, monkeypatch):
    lines = "MINIO_ENDPOINT=host:9000\nexport MINIO_USER='u'\nMINIO_PASSWORD=\"p $HOME#1\" # note\n"
    (own_course / ".env").write_text("\ufeff" + lines, encoding="utf-8")
    access = read_access()
    assert access.endpoint == "http://host:9000"
    assert (access.user, access.password) == ("u", "p $HOME#1")
    monkeypatch.setenv("MINIO_USER", "other")
    monkeypatch.setenv("MINIO_PASSWORD", "")  # an empty one counts as none
    assert (read_access().user, read_access().password) == ("other", "p $HOME#1")


@pytest.mark.parametrize("name", list(KEYS))
def test_a_missing_setting_is_named_with_the_remedy(name, monkeypatch):
    with pytest.raises(AccessError, match=r"zone 's3://course/x': MINIO_ENDPOINT and MINIO_USER"):
        open_zone("s3://course/x")
    given(monkeypatch, {k: v for k, v in KEYS.items() if k != name})
    with pytest.raises(AccessError, match=rf"^{name} is not set; .*copy \.env\.example to .*\.env"):
        read_access()


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://x", f"http://{USER}:{PASSWORD}@host", "http://host/path", "http://host?x", "http://",
     "http://host:port", "http://a b", "http://:9000", "host:70000", "http://[::1",
     f"http://{USER}:{PASSWORD}/x@host", f"{USER}:{PASSWORD}@host"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(endpoint, monkeypatch):
    given(monkeypatch, KEYS | {"MINIO_ENDPOINT": endpoint})
    with pytest.raises(AccessError, match="MINIO_ENDPOINT is no") as caught:
        read_access()
    shown(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [("localhost:9000", "http://localhost:9000"), (" https://s3.example.org/ ", "https://s3.example.org"),
     ("http://[::1]:9000", "http://[::1]:9000")],
)  # fmt: skip
def test_an_address_needs_no_scheme(endpoint, address, monkeypatch):
    given(monkeypatch, KEYS | {"MINIO_ENDPOINT": endpoint})
    assert read_access().endpoint == address


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("at http://root:tea@host:19530 now", "at http://host:19530 now"),
        ("'https://tea@host/v1'", "'https://host/v1'"),
        ("http://root:t@ea@host", "http://host"),
        ("http://root:t/e?a#@host:1", "http://host:1"),
        ("s3://root:tea@course/x", "s3://course/x"),
        ("root:tea@127.0.0.1:19530", "127.0.0.1:19530"),
        ("http://host:80/@name", "http://host:80/@name"),
        ("s3://course/my@run", "s3://course/my@run"),
        ("me@home.org, data@home/milvus.db", "me@home.org, data@home/milvus.db"),
        (r"C:\data@home\milvus.db", r"C:\data@home\milvus.db"),
        ("cirr:folder", "cirr:folder"),
    ],
)
def test_addresses_are_shown_without_keys(text, plain):
    """Fault 8."""
    assert without_keys(text) == plain


def test_secrets_do_not_show_themselves_and_stay_apart(monkeypatch):
    given(monkeypatch, KEYS)
    zone = open_zone("s3://course/x")
    seen = repr((zone, zone.root, zone.root.storage_options, read_access(), str(zone), vars(zone)))
    assert USER not in seen
    assert PASSWORD not in seen
    assert repr(Secret("a")) == repr(Secret("a")) != repr(Secret("b"))
    # fsspec keeps file systems by the text of their options
    monkeypatch.setenv("MINIO_PASSWORD", "another")
    assert open_zone("s3://course/x").root.fs is not zone.root.fs


def test_the_example_of_settings_holds_every_name():
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert {line.partition("=")[0] for line in lines if line and line[0] != "#"} == set(KEYS)
    assert "\n.env\n" in (ROOT / ".gitignore").read_text(encoding="utf-8")


def test_the_store_of_the_compose_file_is_reached_from_here_alone():
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    assert all(port.startswith("127.0.0.1:") for port in services["minio"]["ports"])
    assert services["minio"]["environment"]["MINIO_ROOT_PASSWORD"].startswith("${MINIO_PASSWORD:?")
    assert all(":RELEASE." in service["image"] for service in services.values())
    assert f"store/{BUCKET}" in services["bucket"]["command"][-1]
