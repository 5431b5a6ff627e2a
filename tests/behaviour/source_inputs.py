"""Sources as people bring them, and the opening of a lesson: what reads them, cell by cell."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from tests.behaviour.conftest import environment, lessons

DISHES = (
    "soup", "pie", "stew", "salad", "bread", "curry", "rice", "pasta", "cake", "beans", "toast",
    "tart",
)  # fmt: skip
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAEYAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABo"
    "dmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEA"
    "GEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAA"
    "AwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMI"
    "CAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAAE5tZGF0AAAAQigBrxmA94BD/eDbGlE2dSez9FOEjXXgiIn7dYofND9k"
    "A3cmligqDJbi8iFipe8xbnLyHqi6AL6QEbNt318LsNyUMA=="
)  # a whole HEIC photo of 64 x 64 pixels, as telephones save them
# Runs the first code cells of a lesson once for each source, in one process as JupyterLab would,
# and prints as JSON what each printed, or how it was refused.
OPENING = """
import contextlib, io, json, sys
asked = json.load(sys.stdin)
told = {}
for name, parameters in asked["sources"].items():
    out, space = io.StringIO(), {"__name__": "__main__", "display": print}
    try:
        with contextlib.redirect_stdout(out):
            exec(asked["cells"][0], space)
            space.update(parameters)
            for cell in asked["cells"][1:]:
                exec(cell, space)
        error = ""
    except Exception as caught:
        error = f"{type(caught).__name__}: {caught}"
    told[name] = {"printed": out.getvalue(), "error": error}
print("\\n" + json.dumps(told))
"""


@dataclass(frozen=True)
class Opened:
    """What came of a source: what the lesson printed, its error, and what lies in its zone."""

    printed: str
    error: str
    zone: Path

    @property
    def rejects(self) -> list[str]:
        """The lines of rejects.csv."""
        file = self.zone / "trusted-zone" / "rejects.csv"
        return file.read_text(encoding="utf-8").splitlines()[1:] if file.is_file() else []

    @property
    def recipes(self) -> list[dict]:
        """The records that were kept."""
        file = self.zone / "trusted-zone" / "documents" / "recipes.jsonl"
        lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
        return [json.loads(line) for line in lines if line]

    @property
    def captions(self) -> list[str]:
        """The captions that were kept."""
        return [caption["text"] for recipe in self.recipes for caption in recipe["captions"]]

    @property
    def images(self) -> list[Path]:
        """The images that were kept."""
        return sorted((self.zone / "trusted-zone" / "images").rglob("*.jpg"))


def opening(number: str, *, until: str) -> list[str]:
    """The code cells of a lesson, its parameters first, up to the one that holds ``until``."""
    (path,) = [path for path in lessons() if path.name.startswith(number)]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    last = next(i for i, source in enumerate(sources) if until in source)
    return sources[: last + 1]


def open_all(
    checkout: Path, sources: dict[str, str], zones: Path, cells: list[str], **more: object
) -> dict[str, Opened]:
    """What a lesson's opening makes of each source, each with a zone of its own."""
    zone = {name: zones / name / "zone" for name in sources}
    parameters = {
        name: {"source": source, "zone": str(zone[name]), "report": str(zones / name / "report")}
        | more
        for name, source in sources.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", OPENING], cwd=checkout, env=environment(checkout), timeout=600,
        input=json.dumps({"cells": cells, "sources": parameters}), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    return {name: Opened(**told[name], zone=zone[name]) for name in sources}


def image(place: Path, number: int) -> Path:
    """A small colored image, another for each number."""
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((72, 72), Image.Resampling.BICUBIC).save(place)
    return place


def images(folder: Path, *, below: str = "", ending: str = "png") -> list[str]:
    """Twelve images, by their names relative to the folder."""
    names = [f"{below}{i}.{ending}" for i in range(12)]
    for i, name in enumerate(names):
        image(folder / name, i)
    return names


def table(
    folder: Path, header: str, row: Callable[[str, str], str], *, below: str = "",
    encoding: str = "utf-8", name: str = "captions.csv",
) -> str:  # fmt: skip
    """Twelve images and a table of them; ``row`` writes the line of an image and its dish."""
    names = images(folder, below=below)
    lines = [header, *(row(file, dish) for file, dish in zip(names, DISHES, strict=True))]
    text = "\n".join(filter(None, lines)) + "\n"
    (folder / name).write_bytes(text.encode(encoding))
    return str(folder / name)


def records(folder: Path, changes: Iterable[dict] = (), *, name: str = "recipes.jsonl") -> str:
    """Twelve images and a record of each, the first ones changed; one object a line."""
    rows = [
        {"recipe_id": f"r{i}", "title": f"dish of {dish}", "images": [file]}
        for i, (file, dish) in enumerate(zip(images(folder), DISHES, strict=True))
    ]
    for row, change in zip(rows, changes, strict=False):
        row.update(change)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder if name == "recipes.jsonl" else folder / name)


def pages(folder: Path, odd: dict[str, str]) -> str:
    """Twelve Markdown pages with an image each, and odd ones by their names."""
    (folder / "content").mkdir(parents=True)
    for i, file in enumerate(images(folder)):
        page = f"---\ntitle: Dish of {DISHES[i]}\n---\n![](/{file})\n"
        (folder / "content" / f"good-{i}.md").write_text(page)
    for name, text in odd.items():
        (folder / "content" / name).write_text(text)
    return str(folder)


def alias_bomb(levels: int) -> str:
    """A page of some hundred bytes whose title unfolds to ten times as much a level."""
    lines = ["a0: &a0 [" + ",".join(["ha"] * 10) + "]"]
    lines += [
        f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, levels)
    ]  # fmt: skip
    return "\n".join(["---", *lines, f"title: *a{levels - 1}", "---", "![](/0.png)", ""])


def tables(top: Path) -> dict[str, str]:
    """Tables in the ways in which people write them, by the name of the way."""
    made = {
        "semicolons": table(top / "a", "image;caption", lambda f, d: f"{f};a bowl of {d}, hot"),
        "tabs": table(top / "b", "image\tcaption", lambda f, d: f"{f}\ta bowl of {d}"),
        "tsv": table(top / "c", "image\tcaption", lambda f, d: f"{f}\t{d}", name="c.tsv"),
        "whole paths": table(
            top / "d", "image,caption", lambda f, d: f"{(top / 'd' / f).resolve()},{d}"
        ),
        "backslashes": table(
            top / "e", "image,caption", lambda f, d: f"{f.replace('/', chr(92))},{d}",
            below="photos/",
        ),
        "addresses": table(
            top / "f", "image,caption", lambda f, d: f"https://example.org/{quote(d)}.png,{d}"
        ),
        "open commas": table(top / "g", "image,caption", lambda f, d: f"{f},{d}, hot, good"),
        "latin-1": table(
            top / "h", "image,caption", lambda f, d: f"{f},crème brûlée and {d}",
            encoding="latin-1",
        ),
        "cp1251": table(
            top / "i", "image,caption", lambda f, d: f"{f},борщ и {d}", encoding="cp1251"
        ),
        "no header": table(top / "j", "", lambda f, d: f"{f},a bowl of {d}"),
        "utf-16": table(
            top / "k", "image\tcaption", lambda f, d: f"{f}\tcrème {d}", encoding="utf-16"
        ),
        "open quote": table(
            top / "l", "image,caption",
            lambda f, d: f'{f},"{d}' if d == "soup" else f"{f},{d}",
        ),
        "long field": table(
            top / "m", "image,caption",
            lambda f, d: f"{f},{'word ' * 30_000}" if d == "soup" else f"{f},{d}",
        ),
    }  # fmt: skip
    (top / "heic").mkdir()
    for i in range(12):
        image(top / "heic" / f"{i}.png", i)
    (top / "heic" / "0.heic").write_bytes(base64.b64decode(HEIC))
    rows = ["image,caption", "0.heic,a photo", *(f"{i}.png,{DISHES[i]}" for i in range(12))]
    (top / "heic" / "captions.csv").write_text("\n".join(rows) + "\n")
    made["heic"] = str(top / "heic" / "captions.csv")
    return made


def files(top: Path) -> dict[str, str]:
    """JSON and folders in the ways in which people bring them."""
    long = {"captions": ["word " * 30_000]}
    made = {
        "long caption": records(top / "a", [long]),
        "long description": records(top / "b", [{"description": "word " * 30_000}]),
        "bad records": records(
            top / "c",
            [{"images": 7}, {"captions": {"a": [1] * 99}}, {"images": ["x" * 5000]},
             {"recipe_id": 10**40}],
        ),
        "utf-16 lines": records(top / "d", name="utf16.jsonl"),
        "list": records(top / "e", name="list.jsonl"),
        "list in json": records(top / "f", name="list.json"),
        "one object": records(top / "g", name="object.json"),
        "pages": pages(
            top / "h",
            {"binary.md": "---\ntitle: !!binary aGVsbG8=\n---\n![](/0.png)\n",
             "date.md": "---\ntitle: !!timestamp 2020-01-01\n---\n![](/1.png)\n",
             "set.md": "---\ntitle: !!set {a, b}\n---\n![](/2.png)\n",
             "number.md": "---\ntitle: Pie\nimage: !!int 5\n---\n![](/3.png)\n",
             "null.md": "---\ntitle: Pie\nimages: !!null\n---\n![](/4.png)\n",
             "bomb.md": alias_bomb(12)},
        ),
    }  # fmt: skip
    lines = Path(made["utf-16 lines"])
    lines.write_bytes(lines.read_text().encode("utf-16"))
    for name, indent in (("list", 1), ("list in json", None)):
        place = Path(made[name])
        rows = [json.loads(line) for line in place.read_text().splitlines()]
        place.write_text(json.dumps(rows, indent=indent))
    place = Path(made["one object"])
    place.write_text(json.dumps({"recipes": [1, 2]}, indent=1))
    for name, about in {
        "bare": "",
        "readme": "# Images\n",
        "card": "---\nlicense: mit\n---\n",
    }.items():
        folder = top / name
        table(
            folder / "data" / "pictures",
            "file_name,text",
            lambda f, d: f"{f},{d}",
            name="metadata.csv",
        )
        if about:
            (folder / "README.md").write_text(about)
        made[name] = str(folder)
    for i, dish in enumerate(DISHES[:4]):
        for j in range(3):
            image(top / "classes" / dish / f"{j}.png", 3 * i + j)
    (top / "classes" / "LICENSE.md").write_text("---\nall: rights\n---\n")
    made["classes"] = str(top / "classes")
    images(top / "no table")
    made["no table"] = str(top / "no table")
    return made


def benchmarks(top: Path) -> dict[str, str]:
    """CIRR's and FashionIQ's annotations, of which some name images outside their folder."""
    secret = image(top / "secret.png", 99)
    for kind in ("cirr", "fashioniq"):
        for inner in ("captions", "image_splits", "images"):
            (top / kind / inner).mkdir(parents=True)
    for split in ("train", "val"):
        names = [f"{split}-{i}" for i in range(12)]
        for i, name in enumerate(names):
            image(top / "cirr" / "images" / f"{name}.png", i)
            image(top / "fashioniq" / "images" / f"{name}.png", i)
        listed = {name: f"./{name}.png" for name in names}
        listed[names[1]], listed[names[2]] = "../../secret.png", str(secret)
        (top / "cirr" / "images" / f"{names[3]}.png").unlink()
        (top / "cirr" / "images" / f"{names[3]}.png").symlink_to(secret)
        products = [names[0], "../../secret", *names[2:]]
        for kind, ids, shown in (("cirr", names, listed), ("fashioniq", products, products)):
            ends = [(one, ids[(i + 1) % 12], i) for i, one in enumerate(ids)]
            entries = [
                {"pairid": i, "reference": a, "target_hard": b, "caption": f"make it {i}",
                 "img_set": {"id": i, "members": [ids[(i + j) % 12] for j in range(6)]}}
                if kind == "cirr"
                else {"candidate": a, "target": b, "captions": [f"is darker {i}", f"longer {i}"]}
                for a, b, i in ends
            ]  # fmt: skip
            what = "rc2" if kind == "cirr" else "dress"
            folder = top / kind
            (folder / "captions" / f"cap.{what}.{split}.json").write_text(json.dumps(entries))
            (folder / "image_splits" / f"split.{what}.{split}.json").write_text(json.dumps(shown))
    return {"cirr": f"cirr:{top / 'cirr'}", "fashioniq": f"fashioniq:{top / 'fashioniq'}#dress"}
