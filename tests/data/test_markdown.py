"""Markdown pages as recipes: what is taken from a page, and what is said of one that is broken."""

import json
import shutil

import pytest

from helpers.data.markdown import pages_of, read_page
from helpers.data.records import Recipe, Reject
from helpers.data.sources import open_source
from helpers.data.trusted import build_trusted_zone
from tests.data.conftest import picture

PAGE = """---
title: 007
date: 2021-13-45
tags: ['NA', no]
---

![a pie](/pix/pie.webp "A pie")
A _soft_ pie,
in two lines.

More prose.

## Ingredients

### Dough

- 2 eggs
* [ ] 1 cup flour

### Filling

1. Apples.

## Directions

- Bake. <img src="../pictures/my%20pie.png" width=3>
"""
FILES = frozenset(["content/pie.md", "static/pix/pie.webp", "pictures/my pie.png"])


def _read(text, file="content/pie.md", files=FILES):
    items = list(read_page(text, file, files))
    return [i for i in items if isinstance(i, Recipe)], [i for i in items if isinstance(i, Reject)]


@pytest.mark.parametrize("text", [PAGE, PAGE.replace("\n", "\r\n")])
def test_a_page_and_all_that_is_taken_from_it(text):
    (recipe,), rejects = _read(text)
    assert not rejects
    assert recipe == Recipe(
        "pie", "007", ("static/pix/pie.webp", "pictures/my pie.png"),
        description="A _soft_ pie,\nin two lines.", tags=("NA", "no"),
        ingredients=("2 eggs", "1 cup flour", "Apples."),
    )  # fmt: skip
    assert (recipe.file, recipe.line) == ("content/pie.md", 1)


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("title: Pie\n", 1, "the first line is not '---'"),
        ("", 1, "the first line is not '---'"),
        ("---\ntitle: Pie\n", 1, "has no end"),
        ("---\n---\n", 2, "no 'name: value'"),
        ("---\n- a\n- b\n---\n", 2, "no 'name: value'"),
        ("---\ntitle: Pie\ntags: [a, b\nauthor: x\n---\n", 4, "is not YAML"),
        ("---\ntitle: a: b\n---\n", 2, "is not YAML"),
        ("---\ntitle: x\n\tdate: 1\n---\n", 3, "is not YAML"),
        ("---\ntitle: x\na: 1\ntitle: y\n---\n", 4, "names 'title' twice"),
        (
            "---\ntitle: x\na: !!python/object/apply:os.system [ls]\n---\n",
            3,
            "write it as a string",
        ),
        ("---\ntitle: !!timestamp 2020-01-01\n---\n", 2, "title is a date; write it as a string"),
        ("---\ntitle: x\ntags: [a, !!binary aGk=]\n---\n", 3, "tags is binary data; write it"),
        ("---\ntitle: x\na: \x01\n---\n", 3, "no text may hold"),
        ("---\ntitle: caf\udce9\n---\n", 2, "no text may hold"),
        ("---\na: &a [x]\ntitle: *a\n---\n", 3, "the alias *a is not followed"),
        ("---\ntitle: [a]\n---\n", 1, "title is a list"),
        ("---\ntags: {a: b}\ntitle: x\n---\n", 1, "tags is an object"),
        ("---\n? [a, b]\n: c\ntitle: x\n---\n", 2, "cannot be read"),
        (f"---\na: {'[' * 5000}\n---\n", 2, "cannot be read"),
    ],
)
def test_broken_front_matter_is_named_with_its_line(front, line, reason):
    recipes, (reject,) = _read(f"{front}![](/pix/pie.webp)\n")
    assert not recipes
    assert (reject.file, reject.line, reject.item) == ("content/pie.md", line, "pie")
    assert reason in reject.reason


def test_pages_without_picture_or_of_the_site_and_a_byte_order_mark():
    assert "names no image" in _read("---\ntitle: x\n---\nText.\n")[1][0].reason
    assert "page of the site" in _read(PAGE, "content/_index.md")[1][0].reason
    recipes, (mark,) = _read("\ufeff" + PAGE)
    assert recipes[0].title == "007"
    assert (mark.kind, mark.line) == ("field", 1)


@pytest.mark.parametrize(
    ("reference", "file", "key"),
    [
        ("pie.png", "content/a/index.md", "content/a/pie.png"),
        ("/pie.png", "content/a/index.md", "static/pie.png"),
        ("../b/pie.png", "content/a/index.md", "content/b/pie.png"),
        ("../../../etc/passwd.png", "content/a/index.md", "../etc/passwd.png"),
        ("https://a.b/pie.png", "content/a/index.md", "https://a.b/pie.png"),
        ("root.png", "content/a/index.md", "root.png"),
        ("/root.png?x=1#y", "content/a/index.md", "root.png"),
        ("<root.png>", "pie.md", "root.png"),
    ],
)
def test_where_a_reference_leads(reference, file, key):
    files = frozenset([file, "root.png"])
    (recipe,), _ = _read(f"---\ntitle: x\n---\n![]({reference})\n", file, files)
    assert recipe.images == (key,)
    assert recipe.recipe_id == ("a" if "index" in file else "pie")


def test_pages_lie_below_content_where_there_is_such_a_folder():
    nested = ["README.md", "content/a.md", "content/a.png"]
    assert pages_of(nested) == ["content/a.md"]
    assert pages_of(["pie.md"]) == ["pie.md"]
    about = ("README.md", "content/LICENSE.md", "data-card.md", "readme.de.md")
    assert pages_of(about) == []


def test_every_file_of_a_folder_is_accounted_for(tmp_path, local_zone):
    folder = tmp_path / "site"
    for part in ("content", "static/pix", ".git"):
        (folder / part).mkdir(parents=True)
    for name in ("pie.webp", "unused.webp"):
        picture((200, 40, 40)).save(folder / "static" / "pix" / name)
    (folder / "content" / "pie.md").write_text(PAGE)
    (folder / "content" / "bad.md").write_text("no front matter")
    (folder / "README.md").write_text("A site.")
    (folder / ".git" / "hidden.md").write_text("x")
    intake = build_trusted_zone(local_zone, open_source(str(folder)), image_px=32)
    found = set(zip(intake.rejects["file"], intake.rejects["kind"], strict=True))
    assert found == {
        ("content/bad.md", "record"), ("content/pie.md", "image"),
        ("static/pix/unused.webp", "file"), ("README.md", "file"),
    }  # fmt: skip
    counts = intake.counts
    assert (counts["records_read"], counts["records_kept"], counts["files_rejected"]) == (2, 1, 2)


def test_real_pages_agree_with_their_records(real_recipes, tmp_path, local_zone):
    folder = tmp_path / "site"
    for part in ("content", "static"):
        shutil.copytree(real_recipes / part, folder / part)
    source = open_source(str(folder))
    read = {item.recipe_id: item for item in source.recipes() if isinstance(item, Recipe)}
    lines = (real_recipes / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    wanted = {record["recipe_id"]: record for record in map(json.loads, lines)}
    for recipe_id, record in wanted.items():
        recipe = read[recipe_id]
        assert recipe.title == record["title"]
        for name in ("images", "tags", "ingredients"):
            assert list(getattr(recipe, name)) == record[name], (recipe_id, name)
    counts = build_trusted_zone(local_zone, source, image_px=32, progress=False).counts
    assert (counts["records_kept"], counts["images_kept"]) == (139, 161)
    pages = len(list((folder / "content").rglob("*.md")))
    assert counts["records_read"] == pages == counts["records_kept"] + counts["records_rejected"]
    photos = len(list((folder / "static").rglob("*.webp")))
    assert photos == counts["images_kept"] + counts["files_rejected"]
