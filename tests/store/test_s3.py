"""Zones in an object store: like a folder's, in bounded time, whole or not at all, keys hidden."""

import re
import socket
from urllib.parse import unquote

import pytest

from helpers import paths
from helpers.store import artefacts, s3
from helpers.store.artefacts import ensure, examine
from helpers.store.s3 import ATTEMPTS, MIB, open_s3_zone
from helpers.store.zones import KeyRefused, StoreError
from tests.store.s3_server import (
    BUCKET,
    CUT,
    DROP,
    HANG,
    INSIDE,
    LOSE,
    OUTSIDE,
    PASS,
    PASSWORD,
    SHORT,
    USER,
    access_to,
    answer,
    moto_server,
    proxy_to,
    shown,
    zone_at,
)
from tests.store.s3_small import small_pairs

BIG = bytes(range(256)) * (3 * MIB // 256)
BUSY_ANSWER = answer(503, "SlowDown")


@pytest.fixture(scope="module")
def store():
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def proxy(store):
    with proxy_to(store) as running:
        yield running


@pytest.fixture
def direct(store, request):
    """A zone in the store itself, of the test's own."""
    return zone_at(store, f"tests/{abs(hash(request.node.nodeid))}")


def behind(proxy, direct, fault=PASS):
    """The same zone behind the proxy; its clock is short only where the fault is a hang."""
    return zone_at(proxy.endpoint, direct.prefix, config=SHORT if fault == HANG else None)


@pytest.fixture
def zone(proxy, direct):
    """The same zone behind the proxy."""
    return behind(proxy, direct)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Locks in a folder of the test's own."""
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Attempts follow each other at once."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


def failing(zone, operation, *arguments) -> str:
    with pytest.raises(StoreError) as caught:
        getattr(zone, operation)(*arguments)
    return shown(caught.value)


# What a zone does


@pytest.mark.parametrize(
    ("name", "match"),
    [("s3://course", "no prefix"), ("s3://course/", "no prefix"), ("s3:///x", "no bucket"),
     ("s3://Co_urse/x", "no bucket"), ("s3://course/a/../b", "'..'"), ("s3://course//x", "root"),
     ("s3://course/a\\b", "backslash")],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(name, match):
    with pytest.raises(ValueError, match=match):
        open_s3_zone(name, access=access_to("http://127.0.0.1:9"))


@pytest.mark.slow
def test_write_read_list_remove(direct):
    direct.write_bytes("t/b/2.bin", b"two")
    direct.write_bytes("t/a.txt", "é\r\n".encode())
    direct.write_bytes("t2/c", b"")
    direct.write_bytes("t/b/3.bin", b"two")
    assert direct.read_text("t/a.txt") == "é\r\n"
    assert direct.sizes("t/") == {"t/a.txt": 4, "t/b/2.bin": 3, "t/b/3.bin": 3}
    assert direct.list("t/a.txt") == ["t/a.txt"]
    assert direct.list("nowhere") == []
    assert [direct.exists(k) for k in ("t2/c", "t2", "t/a.tx", "none")] == [
        True,
        False,
        False,
        False,
    ]
    direct.write_bytes("t2/c", b"new")
    direct.remove("t/b/2.bin")
    assert direct.list("t") == ["t/a.txt", "t/b/3.bin"]
    assert direct.read_bytes("t2/c") == b"new"
    assert direct.name == direct.prefix.split("/")[-1]
    for operation in (direct.read_bytes, direct.remove):
        with pytest.raises(FileNotFoundError, match="t/none"):
            operation("t/none")


@pytest.mark.slow
def test_a_listing_has_as_many_pages_as_it_needs(direct, monkeypatch):
    for number in range(7):
        direct.write_bytes(f"t/{number}", b"x" * number)
    direct.root.fs.call_s3("put_object", Bucket=BUCKET, Key=f"{direct.prefix}/t/folder/", Body=b"")
    whole, ask = direct.sizes("t"), type(direct)._ask

    def small_pages(self, operation, key, **options):
        return ask(self, operation, key, **options, MaxKeys=3)

    monkeypatch.setattr(type(direct), "_ask", small_pages)
    assert direct.sizes("t") == whole == {f"t/{n}": n for n in range(7)}


@pytest.mark.slow
def test_a_large_object_is_one_request(zone, proxy, direct):
    zone.write_bytes("big", BIG)
    assert [method for method, _ in proxy.seen] == ["PUT"]
    assert direct.read_bytes("big") == BIG
    assert direct.sizes("big") == {"big": len(BIG)}


@pytest.mark.slow
def test_no_key_leaves_the_prefix(zone, proxy, direct):
    calls = (
        zone.path, zone.read_bytes, zone.read_text, zone.exists, zone.remove,
        lambda key: zone.sizes(key) if key.rstrip("/") == key else zone.path(key),
        lambda key: zone.write_bytes(key, b"x"),
    )  # fmt: skip
    for key in OUTSIDE:
        for call in calls:
            with pytest.raises(KeyRefused):
                call(key)
    assert proxy.seen == []  # nothing was asked of the store
    for key in INSIDE:
        zone.write_bytes(key, key.encode())
        assert zone.read_bytes(key) == key.encode()
        assert zone.sizes(key) == {key: len(key.encode())}
    start = f"/{BUCKET}/{direct.prefix}/"
    for _, path in proxy.seen:
        asked, _, query = path.partition("?")
        assert unquote(asked).startswith(start) or f"prefix={direct.prefix}/" in unquote(query)
    fs = direct.root.fs
    found = fs.call_s3("list_objects_v2", Bucket=BUCKET, Prefix=direct.prefix)["Contents"]
    assert {item["Key"] for item in found} == {f"{direct.prefix}/{key}" for key in INSIDE}


@pytest.mark.slow
def test_what_the_lessons_build_is_the_same_in_a_folder_and_in_a_store(direct, local_zone):
    """Each file to the byte, and fingerprints; the long test trains too."""
    wanted = small_pairs(local_zone, recipes=12)
    found = small_pairs(direct, recipes=12)
    assert sorted(found) == sorted(wanted)
    assert [key for key in wanted if wanted[key] != found[key]] == []
    assert sum(key.endswith(".jpg") for key in found) > 12


# What networks and stores do


@pytest.mark.slow
@pytest.mark.parametrize("fault", [BUSY_ANSWER, answer(500, "InternalError"), HANG, CUT, LOSE])
def test_what_passes_is_tried_again(proxy, direct, fault):
    zone = behind(proxy, direct, fault)
    direct.write_bytes("k", b"value")
    proxy.plan(fault, fault if fault is BUSY_ANSWER else PASS, PASS)
    assert zone.read_bytes("k") == b"value"
    proxy.plan(fault, PASS)
    assert zone.sizes("k") == {"k": 5}
    proxy.plan(fault, PASS)
    zone.write_bytes("k2", b"v2")
    assert direct.read_bytes("k2") == b"v2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [(BUSY_ANSWER, "SlowDown"), (HANG, "ReadTimeout"), (LOSE, "Endpoint|Connection")],
    ids=["503", "hang", "drop"],
)  # fmt: skip
def test_what_does_not_pass_ends_with_a_clear_error(proxy, direct, fault, reason):
    zone = behind(proxy, direct, fault)
    proxy.plan(fault)
    for operation, request, arguments in (
        ("read_bytes", "get_object", ("a/k",)), ("write_bytes", "put_object", ("a/k", b"x")),
        ("sizes", "list_objects_v2", ("a/k",)),
    )[: 2 if fault == HANG else 3]:  # fmt: skip
        message = failing(zone, operation, *arguments)
        assert message.startswith(f"store {zone} at {proxy.endpoint}: {request} of 'a/k' failed")
        assert f"after {ATTEMPTS} attempts" in message
        assert re.search(reason, message)
        assert "see that the store runs" in message


@pytest.mark.slow
def test_a_store_that_takes_no_more_of_an_object_is_not_waited_for(proxy, direct, monkeypatch):
    zone = behind(proxy, direct)
    direct.exists("k")
    monkeypatch.setattr(s3, "ATTEMPT_S", 0.25)
    monkeypatch.setattr(s3, "MIB", 1 << 40)
    proxy.plan(HANG)
    message = failing(zone, "write_bytes", "k", bytes(32 * MIB))
    assert "put_object of 'k' failed after 4 attempts: no end in time; see that" in message
    assert direct.sizes("k") == {}


@pytest.mark.slow
def test_a_connection_dropped_in_mid_upload_leaves_the_old_object(zone, proxy, direct):
    direct.write_bytes("k", b"old")
    proxy.plan(DROP, methods="PUT")
    assert "put_object of 'k'" in failing(zone, "write_bytes", "k", b"n" * MIB)
    assert "put_object of 'new'" in failing(zone, "write_bytes", "new", b"n" * MIB)
    assert direct.read_bytes("k") == b"old"
    assert not direct.exists("new")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "remedy"),
    [(answer(403, "InvalidAccessKeyId"), "check MINIO_USER and MINIO_PASSWORD"),
     (answer(403, "SignatureDoesNotMatch"), "check MINIO_USER and MINIO_PASSWORD"),
     (answer(404, "NoSuchBucket"), "make the bucket"),
     (answer(507, "QuotaExceeded"), "make room")],
    ids=["unknown user", "wrong password", "no bucket", "full"],
)  # fmt: skip
def test_what_cannot_pass_is_not_tried_again(zone, proxy, fault, remedy):
    proxy.plan(fault)
    for operation, arguments in (
        ("read_bytes", ("k",)),
        ("write_bytes", ("k", b"")),
        ("exists", ("k",)),
    ):
        proxy.seen.clear()
        message = failing(zone, operation, *arguments)
        assert remedy in message
        assert fault[1] in message
        assert len(proxy.seen) == 1


@pytest.mark.slow
def test_a_missing_bucket_is_not_taken_for_a_missing_file(store):
    zone = zone_at(store, "x", bucket="elsewhere")
    for operation in ("read_bytes", "exists", "sizes", "remove"):
        assert "make the bucket" in failing(zone, operation, "k")


def test_a_store_that_is_not_there():
    with socket.socket() as taken:  # bound and not listening: nobody answers
        taken.bind(("127.0.0.1", 0))
        zone = zone_at(f"http://127.0.0.1:{taken.getsockname()[1]}", "x")
        message = failing(zone, "read_bytes", "k")
    assert f"after {ATTEMPTS} attempts" in message
    assert "see that the store runs and MINIO_ENDPOINT is its address" in message


# Artefacts

SAME = {"parameters": {"px": 64}, "inputs": {}, "prefixes": ("t",), "code": "c"}


def _build(writer):
    writer.write_bytes("t/1", b"one")
    writer.write_bytes("t/2", b"two")


def _ensure(zone, build=_build):
    return ensure(zone, "a", kind="test", build=build, **SAME)


@pytest.mark.slow
def test_a_build_that_the_network_ends_is_taken_back_and_done_again(zone, proxy, direct):
    proxy.plan(BUSY_ANSWER, where="/t/2")
    with pytest.raises(StoreError, match="put_object of 't/2'"):
        _ensure(zone)
    assert examine(direct, "a", **SAME)[0] == "missing"
    proxy.plan(PASS)
    direct.write_bytes("manifests/a.building", b"[]")  # as a killed process leaves it
    manifest = _ensure(zone)
    assert examine(direct, "a", **SAME)[0] == "fresh"
    assert artefacts.verify(direct, "a") == []
    assert direct.list("manifests") == ["manifests/a.json"]
    text = direct.read_text("manifests/a.json")
    assert USER not in text
    assert PASSWORD not in text
    assert manifest.fingerprint == _ensure(direct).fingerprint
