"""What intake promises of bad input, checked in any number of variants; each gives its failures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

from helpers.data.images import ImageError, load_image, normalise
from helpers.data.pairs import ensure_pairs
from helpers.data.readers import read_recipes_jsonl
from helpers.data.records import Recipe, Reject
from helpers.data.sources import open_source
from helpers.data.trusted import Intake, build_trusted_zone
from helpers.store.zones import KeyRefused, Zone, open_zone
from tests.data.damage import EITHER, GRAY, IMAGES, SAME, saved, scene
from tests.data.damage_records import HOSTILE, LINES, fuzzed_lines, line_of, record

GOOD = "good.png"
TOLERANCE = 8  # of 255, mean over pixels: two passes through JPEG


def _seed(name: str) -> int:
    return int.from_bytes(name.encode()[:8].ljust(8, b" "), "big")


def _folder(base: Path, lines: list[str]) -> Intake:
    """The intake of a folder of some lines, the first of which is good."""
    (base / GOOD).write_bytes(saved(Image.new("RGB", (40, 40), (1, 2, 3)), "PNG"))
    lines = [line_of({**record(0, GOOD), "recipe_id": "good"}), *lines]
    text = "\n".join(lines) + "\n"
    (base / "recipes.jsonl").write_bytes(text.encode("utf-8", "surrogateescape"))
    zone = open_zone(str(base / "zone"))
    intake = build_trusted_zone(zone, open_source(str(base)), image_px=40, progress=False)
    counts, kinds = intake.counts, intake.rejects["kind"]
    for what, kind in (("records", "record"), ("images", "image")):
        read = counts["records_read" if kind == "record" else "images_named"]
        assert read == counts[f"{what}_kept"] + counts[f"{what}_rejected"]
        assert counts[f"{what}_rejected"] == (kinds == kind).sum()
    assert counts["records_read"] == len(lines)
    return intake


def damaged_images(name: str, count: int, base: Path) -> list[str]:
    """The variants of a kind of damaged image that neither came out right nor gave a reason."""
    make, expected = IMAGES[name]
    rng, truths = np.random.default_rng(_seed(name)), []
    for i in range(count):
        truths.append(scene(rng))
        (base / f"{i}.jpg").write_bytes(make(rng, truths[-1]))
    intake = _folder(base, [line_of(record(i, f"{i}.jpg")) for i in range(count)])
    zone = open_zone(str(base / "zone"))
    failures = []
    for i, truth in enumerate(truths):
        rows = intake.rejects[(intake.rejects["item"] == f"{i}.jpg")]
        key = f"trusted-zone/images/{i:03d}/0.jpg"
        if zone.exists(key) == (len(rows) > 0):
            failures.append(f"{name} {i}: kept {zone.exists(key)}, {len(rows)} rejects")
        elif zone.exists(key):
            if expected == EITHER:
                continue
            got = load_image(zone.read_bytes(key))
            want = normalise(
                truth.convert("L" if expected == GRAY else "RGB").convert("RGB"), image_px=40
            )
            off = np.abs(np.asarray(got, float) - np.asarray(want, float)).mean()
            if expected not in (SAME, GRAY) or got.size != want.size or off > TOLERANCE:
                failures.append(f"{name} {i}: kept, {got.size}, off by {off:.1f}")
        else:
            row = rows.iloc[0]
            named = (row["file"], row["line"], row["kind"]) == ("recipes.jsonl", i + 2, "image")
            pattern = "." if expected == EITHER else expected
            if expected in (SAME, GRAY) or not named or not re.search(pattern, row["reason"]):
                failures.append(f"{name} {i}: {row['line']}: {row['reason']}")
    return failures


def damaged_lines(name: str, count: int, base: Path) -> list[str]:
    """The variants of a kind of damaged line of which no reject says where and why."""
    spoil, kind, reason = LINES[name]
    rng = np.random.default_rng(_seed(name))
    failures = []
    for i in range(count):
        folder = base / str(i)
        folder.mkdir()
        before = [line_of(record(n + 100, GOOD)) for n in range(int(rng.integers(0, 4)))]
        intake = _folder(folder, [*before, spoil(rng, record(i, GOOD))])
        line = len(before) + 2
        rows = intake.rejects[intake.rejects["line"] == line]
        hits = rows[(rows["kind"] == kind) & rows["reason"].str.contains(reason)]
        others = intake.rejects[intake.rejects["line"] != line]
        if len(hits) != 1 or len(others) or (hits["file"] != "recipes.jsonl").any():
            failures.append(f"{name} {i}: {intake.rejects.values.tolist()}")
    return failures


def memory_of_large_headers(count: int) -> tuple[int, float]:
    """How many images over the limit were refused, and by how many MB the process grew by it."""
    code = (
        "import resource, numpy as np\n"
        "from helpers.data.images import ImageError, load_image\n"
        "from tests.data.damage import LARGE, scene\n"
        "rng = np.random.default_rng(1)\n"
        f"files = [make(rng, scene(rng)) for make in LARGE.values() for _ in range({count})]\n"
        "def peak():\n    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "def refused(data):\n"
        "    try:\n        load_image(data)\n"
        "    except ImageError as error:\n        return 'over the limit' in str(error)\n"
        "    return False\n"
        "before = peak()\nprint(sum(map(refused, files)), peak() - before)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    refused, grown = done.stdout.split()
    return int(refused), float(grown)


def hostile_zone_keys(zone: Zone, outside: Path, keys: tuple[str, ...] = HOSTILE) -> list[str]:
    """The keys by which something outside a zone was read or written; ``outside`` holds it."""
    secret = outside / "secret.txt"
    secret.write_text("secret")
    is_local = zone.root.protocol in ("", "file")
    if is_local:
        root = Path(str(zone.root))
        root.mkdir(exist_ok=True)
        (root / "link-file").symlink_to(secret)
        (root / "link-folder").symlink_to(outside)
        (root / "link-up").symlink_to("..")
    failures = []
    for key in keys:
        linked = key.startswith("link-")  # a plain name where there are no links
        acts = {
            "read": lambda key=key: zone.read_bytes(key),
            "write": lambda key=key: zone.write_bytes(key, b"x"),
            "remove": lambda key=key: zone.remove(key),
            "list": lambda key=key: zone.list(key),
            "exists": lambda key=key: zone.exists(key),
        }
        zone.write_bytes("good.txt", b"x")
        for act, call in acts.items():
            try:
                got = call()
            except KeyRefused:
                continue
            except FileNotFoundError:
                got = None
            if (is_local or not linked) and not (act == "list" and key in ("a/", "a//b")):
                failures.append(f"{act} {key!r}: not refused, gave {got!r}")
    held = {path.name for path in outside.iterdir()}
    if secret.read_text() != "secret" or held - {"secret.txt", "zone"}:
        failures.append(f"outside the zone: {sorted(held)}")
    return failures


def hostile_image_keys(base: Path, keys: tuple[str, ...] = HOSTILE) -> list[str]:
    """The keys by which a source opened an image that lies outside its folder."""
    folder = base / "source"
    folder.mkdir()
    for name in ("secret.txt", "passwd"):
        (base / name).write_bytes(saved(Image.new("RGB", (8, 8)), "PNG"))
    (folder / "link-file").symlink_to(base / "secret.txt")
    (folder / "link-folder").symlink_to(base)
    (folder / "link-up").symlink_to("..")
    (folder / "recipes.jsonl").write_text(line_of(record(1, "x")))
    source = open_source(str(folder))
    failures = []
    for key in keys:
        try:
            source.load_image(key)
        except ImageError:
            continue
        failures.append(f"{key!r} gave an image")
    return failures


def fuzzed(count: int) -> tuple[int, list[str]]:
    """How many fuzzed lines were tried, and what was wrong with the reading of some."""
    tried, failures = 0, []

    @settings(
        max_examples=count, database=None, derandomize=True, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(fuzzed_lines())
    def check(case: tuple[str, dict | None]) -> None:
        nonlocal tried
        tried += 1
        if problem := _misread(*case):
            failures.append(f"{case[0]!r}: {problem}")

    check()
    return tried, failures


def _misread(line: str, want: dict | None) -> str:
    """What is wrong with the reading of a line between two good ones; empty: nothing."""
    first, last = record(7, "a.png"), {**record(8, "b.png"), "recipe_id": "NA"}
    text = "\n".join([line_of(first), line, line_of(last), ""])
    items = list(read_recipes_jsonl(text, "f.jsonl"))
    recipes = {item.line: item for item in items if isinstance(item, Recipe)}
    rejects = [item for item in items if isinstance(item, Reject)]
    if (recipes.get(1), recipes.get(3)) != (
        Recipe("007", "A pie", ("a.png",)), Recipe("NA", "A pie", ("b.png",)),
    ):  # fmt: skip
        return "its neighbors did not survive"
    if any((item.file, item.line) != ("f.jsonl", 2) or not item.reason for item in rejects):
        return f"rejects elsewhere: {rejects}"
    whole = [item for item in rejects if item.kind == "record"]
    if len(whole) + (2 in recipes) != (1 if line.removeprefix("\ufeff").strip() else 0):
        return "it is neither a recipe nor a reject, or both"
    if want is not None:
        got = recipes.get(2)
        same = got and (got.recipe_id, got.title, list(got.images)) == tuple(want.values())
        return "" if same else f"a good record became {got}"
    return "" if whole or _plausible(line) else "a bad line became a recipe"


def _plausible(line: str) -> bool:
    """Whether a line may be a recipe, by a second and simpler reading; blank ones may."""
    line = line.removeprefix("\ufeff")
    if not line.strip():
        return True
    try:
        value = json.loads(line)
    except ValueError:
        return False
    if not isinstance(value, dict):
        return False
    is_id = isinstance(value.get("recipe_id"), str) and value["recipe_id"].strip()
    lists = ("images", "captions", "tags", "ingredients")
    titled = isinstance(value.get("title", ""), str) and (
        value.get("title") or value.get("captions")
    )
    return bool(is_id and titled and all(isinstance(value.get(n, []), list) for n in lists))


def survives_pairs(base: Path) -> bool:
    """Whether the ids "007" and "NA" and such captions come out of the pairs as they went in."""
    records = [
        {**record(7, GOOD), "captions": ["NA", "007", "None", "1e5"]},
        {**record(8, "other.png"), "recipe_id": "NA"},
    ]
    (base / "other.png").write_bytes(saved(Image.new("RGB", (40, 40), (200, 2, 3)), "PNG"))
    _folder(base, [line_of(each) for each in records])
    pairs = ensure_pairs(
        open_zone(str(base / "pairs")), source=str(base), split_used=False, progress=False
    )
    captions = set(pairs.all.loc[pairs.all["recipe_id"] == "007", "caption"])
    return captions == {"NA", "007", "None", "1e5"} and "NA" in set(pairs.all["recipe_id"])
