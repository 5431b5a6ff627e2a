"""Zones in an object store, at length: the course's results, faults, kills, keys.

``main`` tries all of it; ``tests/store/test_s3.py`` tries a case of each line.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

import helpers
from helpers.store import artefacts
from helpers.store.artefacts import ensure, examine
from helpers.store.s3 import ATTEMPT_S, ATTEMPTS, MIB, S3Zone
from helpers.store.zones import KeyRefused, StoreError, Zone
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
    Proxy,
    answer,
    moto_server,
    proxy_to,
    zone_at,
)
from tests.store.s3_small import small_build

Row = tuple[str, int, int, float]
ROOT = Path(helpers.__file__).resolve().parents[1]
BUILT = {"kind": "test", "parameters": {}, "inputs": {}, "prefixes": ("t",), "code": "c"}
ASKED = {name: BUILT[name] for name in ("parameters", "inputs", "prefixes", "code")}
LESSONS = f"s3://{BUCKET}/long/lessons"
BIG = bytes(range(256)) * (11 * MIB // 256)
FILES = {"t/1": b"one", "t/2": BIG, "t/3": b"three"}
FAULTS = (
    DROP, HANG, CUT, LOSE, answer(503, "SlowDown"), answer(500, "InternalError"),
    answer(403, "AccessDenied"), answer(403, "InvalidAccessKeyId"), answer(404, "NoSuchBucket"),
    answer(507, "QuotaExceeded"),
)  # fmt: skip
# Times and memory differ between any two runs.
TIMED_UNITS = ("s", "ms", "mb", "MB", "MiB", "seconds")
MEASURED = ("seconds", "memory", "_ms", "per_s", "elapsed")


def complaint(name: str, seen: object) -> bool:
    """Print what was seen where a case fails; false."""
    print(f"FAILED {name}: {seen}", file=sys.stderr, flush=True)
    return False


def environment(endpoint: str, **more: str) -> dict[str, str]:
    """The variables of a process that uses the store."""
    keys = {"MINIO_ENDPOINT": endpoint, "MINIO_USER": USER, "MINIO_PASSWORD": PASSWORD}
    return {**os.environ, **keys, **more}


def lessons_are_equal(endpoint: str, lessons: str = "01,03") -> tuple[int, int]:
    """Whole lessons with ``-p zone=s3://...``: each number but times equal to the folder's."""
    with tempfile.TemporaryDirectory() as folder:
        home = _home(Path(folder))
        tables = [
            _numbers(endpoint, home, "folder", "--only", lessons),
            _numbers(endpoint, home, "store", "--only", lessons, "-p", f"zone={LESSONS}"),
        ]
    wanted, found = tables
    for row in sorted(wanted ^ found)[:5]:
        complaint("lessons", row)
    return max(1, len(wanted)), len(wanted & found) - len(found - wanted)


def _home(folder: Path) -> Path:
    """A course of its own that shares the lessons and the models."""
    for name in ("notebooks", "data/tiny", "reports/study"):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(ROOT / name)
    return folder


def _numbers(endpoint: str, home: Path, name: str, *options: str) -> set[tuple[str, ...]]:
    """The rows of a run's table that are no times; none where the run failed."""
    command = [sys.executable, "-m", "helpers.course.cli", "run", "--name", name, *options]
    variables = environment(endpoint, COURSE_HOME=str(home))
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        complaint(name, done.stdout + done.stderr)
        return set()
    table = pd.read_csv(home / "reports" / name / "results.csv", dtype=str).fillna("")
    timed = table["unit"].isin(TIMED_UNITS) | table["unit"].str.endswith("/s")
    timed |= table["metric"].str.contains("|".join(MEASURED))
    return set(table[~timed].drop(columns="run").itertuples(index=False, name=None))


def keys_stay_inside(endpoint: str) -> tuple[int, int]:
    """Hostile keys through every call; what the proxy saw and what lies in the bucket decide."""
    passed = 0
    with proxy_to(endpoint) as proxy:
        zone = zone_at(proxy.endpoint, "long/keys")
        for key in (*OUTSIDE, *INSIDE):
            proxy.seen.clear()
            refused = [_is_refused(call, key) for call in _calls(zone)]
            start = f"/{BUCKET}/long/keys/"
            inside = all(
                unquote(path.partition("?")[0]).startswith(start) or "prefix=long%2Fkeys%2F" in path
                for _, path in proxy.seen
            )
            good = all(refused) and not proxy.seen if key in OUTSIDE else inside
            passed += good or complaint("key", (key, refused, proxy.seen))
    return len(OUTSIDE) + len(INSIDE), passed


def _calls(zone: S3Zone) -> tuple[Callable[[str], object], ...]:
    return (
        lambda key: zone.write_bytes(key, b"x"), zone.read_bytes, zone.exists, zone.path,
        zone.remove,
    )  # fmt: skip


def _is_refused(call: Callable[[str], object], key: str) -> bool:
    try:
        call(key)
    except KeyRefused:
        return True
    except FileNotFoundError:
        return False
    return False


def builds_survive(endpoint: str, times: int = 60) -> tuple[int, int]:
    """A build with a fault at a random request: done, or ended by a clear error and then healed."""
    draw, passed = random.Random(42), 0
    with proxy_to(endpoint) as proxy:
        for number in range(times):
            prefix = f"long/builds/{number}"
            direct = zone_at(endpoint, prefix)
            zone = zone_at(proxy.endpoint, prefix, config=SHORT)
            fault, at, lasts = draw.choice(FAULTS), draw.randrange(16), draw.random() < 0.5
            problem = _build_under(proxy, zone, direct, fault, at, lasts)
            passed += not problem or complaint(f"build {number}", (fault, at, lasts, problem))
    return times, passed


def _build_under(
    proxy: Proxy, zone: Zone, direct: S3Zone, fault: object, at: int, lasts: bool
) -> str:
    """What is wrong after a build with a fault from request ``at`` on; empty: nothing."""
    proxy.plan(*[PASS] * at, fault, *([] if lasts else [PASS]))
    begun, ended = time.perf_counter(), ""
    try:
        ensure(zone, "a", build=_build, **BUILT)
    except StoreError as error:
        ended = "".join(traceback.format_exception(error))
        text = str(error)
        if not text.startswith(f"store {zone} at {proxy.endpoint}: ") or " of '" not in text:
            return f"no clear error: {text}"
    if time.perf_counter() - begun > 3 * ATTEMPTS * (ATTEMPT_S + len(BIG) / MIB):
        return "took longer than its bound"
    if USER in ended or PASSWORD in ended:
        return "a key is shown"
    for key in direct.sizes("t"):
        if direct.read_bytes(key) != FILES[key]:
            return f"{key} is visible in part"
    if not ended and examine(direct, "a", **ASKED)[0] != "fresh":
        return "no error, and not fresh"
    proxy.plan(PASS)
    ensure(zone, "a", build=_build, **BUILT)
    healed = artefacts.verify(direct, "a") == []
    left = direct.list("manifests")
    return "" if healed and left == ["manifests/a.json"] else f"not healed: {left}"


def _build(writer: artefacts.Writer) -> None:
    for key, data in FILES.items():
        writer.write_bytes(key, data)


def killed_builders(endpoint: str, times: int = 10) -> tuple[int, int]:
    """kill -9 of a builder at a random moment; the next one takes over and cleans up."""
    draw, passed = random.Random(7), 0
    for number in range(times):
        prefix = f"long/killed/{number}"
        zone, process = zone_at(endpoint, prefix), _builder(endpoint, prefix)
        process.stdout.readline()  # it has begun
        time.sleep(draw.random() * 1.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        manifest = small_build(zone)
        good = (
            artefacts.verify(zone, "a") == []
            and zone.list("manifests") == ["manifests/a.json"]
            and set(zone.list("t")) == set(manifest.files)
        )
        passed += good or complaint(f"kill {number}", zone.list("manifests"))
    return times, passed


def _builder(endpoint: str, prefix: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.s3_small", f"s3://{BUCKET}/{prefix}"],
        cwd=ROOT, env=environment(endpoint), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def wrong_keys(endpoint: str) -> tuple[int, int]:
    """A store that checks signatures: an unknown user is told so, without being named."""
    with moto_server(authenticate=True) as strict:
        zone, passed = zone_at(strict, "long/keys"), 0
        calls = (
            lambda: zone.read_bytes("k"), lambda: zone.write_bytes("k", b""),
            lambda: zone.exists("k"), lambda: zone.sizes("k"), lambda: zone.write_bytes("k", BIG),
        )  # fmt: skip
        for call in calls:
            try:
                seen: object = call()
            except StoreError as error:
                seen = "".join(traceback.format_exception(error))
                good = "check MINIO_USER and MINIO_PASSWORD" in seen
                passed += good and USER not in seen and PASSWORD not in seen
        return len(calls), passed if passed == len(calls) else passed + complaint("keys", seen)


def nothing_is_shown(endpoint: str) -> tuple[int, int]:
    """No object that the lines before have left holds the user or the password."""
    zone = zone_at(endpoint, "long")
    keys = zone.list("course") + zone.list("builds") + zone.list("lessons")
    secrets = (USER.encode(), PASSWORD.encode())
    clean = [not any(secret in zone.read_bytes(key) for secret in secrets) for key in keys]
    return len(clean), sum(clean)


LINES: dict[str, Callable[[str], tuple[int, int]]] = {
    "s3: lessons 01 and 03 with zone=s3://, equal numbers": lessons_are_equal,
    "s3: hostile keys stay in the prefix": keys_stay_inside,
    "s3: builds under faults: whole, bounded, clear, healed": builds_survive,
    "s3: kill -9 of a builder, taken over": killed_builders,
    "s3: wrong keys at a store that checks them": wrong_keys,
    "s3: stored objects hold no key": nothing_is_shown,
}


def main() -> list[Row]:
    """Try every line; returns (name, tried, passed, seconds) for each."""
    rows = []
    with moto_server() as endpoint:
        for name, attempt in LINES.items():
            begun = time.perf_counter()
            tried, passed = attempt(endpoint)
            rows.append((name, tried, passed, time.perf_counter() - begun))
    return rows


if __name__ == "__main__":
    for row in main():
        print(json.dumps(row))
