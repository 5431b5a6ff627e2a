"""Kinds of damage to the lines of ``recipes.jsonl``, hostile keys, and fuzzed lines."""

import json
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

Record = dict[str, object]
Spoil = Callable[[np.random.Generator, Record], str]


def record(number: int, image: str) -> Record:
    """A good record."""
    return {"recipe_id": f"{number:03d}", "title": "A pie", "images": [image]}


def line_of(value: object) -> str:
    """A record as a line."""
    return json.dumps(value, ensure_ascii=False)


def _with(**more: object) -> Spoil:
    return lambda rng, record: line_of({**record, **more})


def _without(name: str) -> Spoil:
    return lambda rng, record: line_of({k: v for k, v in record.items() if k != name})


def _raw(end: str) -> Spoil:
    """The good line with its closing brace replaced."""
    return lambda rng, record: line_of(record)[:-1] + end


def _cut(rng: np.random.Generator, record: Record) -> str:
    line = line_of(record)
    return line[: int(rng.integers(2, len(line)))]


def _surrogate(rng: np.random.Generator, record: Record) -> str:
    return line_of({**record, "title": "x"}).replace('"x"', f'"\\ud{rng.integers(800, 999)}"')


def _escape(up: str) -> Spoil:
    return lambda rng, record: line_of({**record, "images": [up * int(rng.integers(1, 5)) + "a"]})


# name: how the line is spoilt, the kind of its reject, a pattern of the reason
LINES: dict[str, tuple[Spoil, str, str]] = {
    "missing file": (_with(images=["gone.png"]), "image", "no such file"),
    "duplicate id": (_with(recipe_id="good"), "record", "taken before"),
    "empty caption": (_with(captions=["a pie", " "]), "caption", "is empty"),
    "NaN caption": (_with(captions=[float("nan")]), "record", "NaN is no JSON value"),
    "caption null": (_with(captions=["a pie", None]), "caption", "no string"),
    "caption with a control character": (_with(captions=["a\x07", "b"]), "caption", "control"),
    "byte-order mark": (lambda rng, r: "\ufeff" + line_of(r), "field", "UTF-8"),
    "cut line": (_cut, "record", "not JSON|is missing"),
    "duplicate JSON key": (_raw(', "title": "again"}'), "record", "occurs twice"),
    "lone surrogate": (_surrogate, "record", "not valid UTF-8"),
    "bytes that are no UTF-8": (_with(title="caf\udce9"), "record", "not valid UTF-8"),
    "id a number": (_with(recipe_id=7), "record", "write it as a string"),
    "id null": (_with(recipe_id=None), "record", "null"),
    "id empty": (_with(recipe_id=""), "record", "is empty"),
    "id missing": (_without("recipe_id"), "record", "recipe_id is missing"),
    "title missing": (_without("title"), "record", "title is missing"),
    "title a list": (_with(title=["a"]), "record", "title is a list"),
    "images a string": (_with(images="a.png"), "record", "write it as a list"),
    "images missing": (_without("images"), "record", "names no image"),
    "image a number": (_with(images=[7]), "image", "no string"),
    "image empty": (_with(images=[""]), "image", "is empty"),
    "image with NUL": (_with(images=["a\x00.png"]), "image", "control character"),
    "image outside": (_escape("../"), "image", "lies outside the folder"),
    "image with backslash": (_escape("..\\"), "image", "lies outside the folder"),
    "tags an object": (_with(tags={}), "record", "tags is an object"),
    "attributes with a number": (_with(attributes={"a": 1}), "record", "attributes"),
    "unknown field": (_with(titles="x"), "field", "did you mean 'title'"),
    "infinite value": (_raw(', "x": -Infinity}'), "record", "Infinity is no JSON value"),
    "trailing comma": (_raw(",}"), "record", "not JSON"),
    "two records on a line": (_raw("} {}"), "record", "not JSON"),
    "a list": (lambda rng, r: line_of([r]), "record", "a record is an object"),
    "a bare word": (lambda rng, r: "title", "record", "not JSON"),
    "nested too deeply": (_raw(f', "x": {"[" * 100_000}}}'), "record", "nested|not JSON"),
}

UP = ("../", "../../", "a/../../", "./../", "a/b/../../../")
HOSTILE = (
    *(f"{up}secret.txt" for up in UP), "..", ".", "", "a/..", "a/.", "./secret.txt", "a//b", "a/",
    "/secret.txt", "/etc/passwd", "//server/share", "/", "~root/../../secret.txt",
    "\\secret.txt", "..\\secret.txt", "a\\..\\..\\secret.txt", "a\\b",
    "C:\\secret.txt", "C:/secret.txt", "c:secret.txt", "file:///etc/passwd", "s3://b/secret.txt",
    "memory://secret.txt", "http://a.b/c", "a\x00b", "\x00", "secret.txt\x00.jpg", "a\nb", "a\rb",
    "a\tb", "\x1b[2J", "a\x7fb", "\x85", "cafe\u0301.txt", "a/u\u0308/b", "\u212bngstrom", "\u2126",
    "e\u0301/../../secret.txt", "\ud800", "a/\udfff", "link-file", "link-folder/secret.txt",
    "link-up/secret.txt", "trusted-zone/../../secret.txt", "a/link/../../../secret.txt",
)  # fmt: skip

_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)  # fmt: skip
_NAMES = ("recipe_id", "title", "images", "captions", "description", "tags", "ingredients")
_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1)
GOOD = st.builds(
    lambda recipe_id, title, images: {"recipe_id": recipe_id, "title": title, "images": images},
    _TEXT | st.sampled_from(["NA", "007", "null", "1e5"]), _TEXT, st.lists(_TEXT, max_size=3),
)  # fmt: skip


@st.composite
def fuzzed_lines(draw: st.DrawFn) -> tuple[str, dict | None]:
    """A line, and the record that it must give (None where that is not known)."""
    good = draw(GOOD)
    kind = draw(st.sampled_from(["good", "cut", "insert", "value", "drop", "any", "text"]))
    line = line_of(good)
    if kind == "good":
        return line, good
    if kind == "cut":
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(line))] * 2)))
        line = line[:start] + line[end:]
    elif kind == "insert":
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.text(min_size=1, max_size=3)) + line[at:]
    elif kind == "value":
        line = json.dumps({**good, draw(st.sampled_from(_NAMES)): draw(_VALUE)})
    elif kind == "drop":
        line = line_of({k: v for k, v in good.items() if k != draw(st.sampled_from(_NAMES[:3]))})
    else:
        line = json.dumps(draw(_VALUE)) if kind == "any" else draw(st.text(max_size=30))
    return line.replace("\n", " "), None
