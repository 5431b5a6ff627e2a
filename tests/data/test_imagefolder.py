"""Image folders with metadata, and telling the kinds of folder apart."""

import os

import pytest

from helpers.data.images import ImageError
from helpers.data.readers import read_table
from helpers.data.records import Caption, Recipe, Reject
from helpers.data.sources import open_source
from helpers.data.trusted import build_trusted_zone
from tests.data.conftest import picture, write_jsonl


def _read(text, file="metadata.jsonl"):
    items = list(read_table(text, file))
    return [i for i in items if isinstance(i, Recipe)], [i for i in items if isinstance(i, Reject)]


JSONL = """{"file_name": "007.jpg", "text": "NA"}
{"file_name": "a.jpg", "text": "one", "recipe_id": "007"}
{"file_name": "b.jpg", "caption": "two", "recipe_id": "007"}
{"file_name": "007.jpg", "text": "again"}
"""
CSV = """file_name,text,recipe_id
007.jpg,NA,007.jpg
a.jpg,one,007
b.jpg,two,007
007.jpg,again,007.jpg
"""


@pytest.mark.parametrize(("text", "file"), [(JSONL, "metadata.jsonl"), (CSV, "metadata.csv")])
def test_several_lines_of_a_file_are_several_captions(text, file):
    recipes, rejects = _read(text, file)
    assert recipes == [
        Recipe("007.jpg", "", ("007.jpg",), (Caption("NA"), Caption("again"))),
        Recipe("007", "", ("a.jpg", "b.jpg"), (Caption("one"), Caption("two"))),
    ]
    assert rejects == []
    assert recipes[1].line == 2 + file.endswith("csv")
    deeper, _ = _read(text, f"train/{file}")
    assert deeper[1].images == ("train/a.jpg", "train/b.jpg")


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ('{"file_name": "a", "text": 7}', "record", "text is no string"),
        ('{"file_name": "a", "text": NaN}', "record", "NaN is no JSON value"),
        ('{"file_name": "a", "text": " "}', "caption", "is empty"),
        ('{"file_name": "", "text": "x"}', "record", "image is empty"),
        ('{"file_name": "a"}', "record", "text is missing; it has file_name"),
        ('{"text": "a"}', "record", "file_name is missing"),
        ('{"file_name": "a", "text": "x", "caption": "y"}', "record", "says again"),
        ('{"file_name": "a", "file_name": "b", "text": "x"}', "record", "occurs twice"),
        ('["a"]', "record", "a line is an object"),
        ('{"file_name": "a", "te', "record", "cut short"),
        ('{"file_name": "a", "text": "x", "label": 3}', "field", "unknown field"),
        ('\ufeff{"file_name": "a", "text": "x"}', "field", "save as plain UTF-8"),
        ('{"file_name": "a", "text": "\\ud800"}', "caption", "not valid UTF-8"),
    ],
)
def test_bad_lines_are_named(line, kind, reason):
    _, (reject,) = _read('\n{"file_name": "good", "text": "x"}\n' + line)
    assert (reject.file, reject.line, reject.kind) == ("metadata.jsonl", 3, kind)
    assert reason in reject.reason


def test_a_folder_with_splits_and_a_picture_that_no_line_names(tmp_path, local_zone):
    folder = tmp_path / "birds"
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
        picture((200, 40, 40)).save(folder / part / "a.png")
        write_jsonl(folder / part / "metadata.jsonl", [{"file_name": "a.png", "text": part}])
    picture((20, 40, 40)).save(folder / "train" / "b.png")
    intake = build_trusted_zone(local_zone, open_source(str(folder)), image_px=32)
    assert (intake.counts["records_kept"], intake.counts["files_rejected"]) == (2, 1)
    assert intake.rejects["item"].tolist() == ["train/b.png"]


def test_folders_are_told_apart_by_what_lies_in_them(tmp_path):
    picture((1, 2, 3)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"no recipes.jsonl, no metadata.jsonl, .* Markdown page"):
        open_source(str(tmp_path))
    (tmp_path / "a.md").write_text("---\ntitle: page\n---\n![](a.png)\n")
    titles = [next(open_source(str(tmp_path)).recipes()).title]
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,line\n")
    titles.append(next(open_source(str(tmp_path)).recipes()).captions[0].text)
    write_jsonl(
        tmp_path / "recipes.jsonl", [{"recipe_id": "1", "title": "record", "images": ["a.png"]}]
    )
    titles.append(next(open_source(str(tmp_path)).recipes()).title)
    assert titles == ["page", "line", "record"]


def test_the_fingerprint_follows_lines_and_pictures(tmp_path):
    picture((1, 2, 3)).save(tmp_path / "a.png")
    lines = write_jsonl(tmp_path / "metadata.jsonl", [{"file_name": "a.png", "text": "x"}])
    prints = [open_source(str(tmp_path)).fingerprint for _ in range(2)]
    lines.write_text(lines.read_text().replace('"x"', '"y"'))
    prints.append(open_source(str(tmp_path)).fingerprint)
    picture((1, 2, 3)).save(tmp_path / "b.png")
    prints.append(open_source(str(tmp_path)).fingerprint)
    os.utime(tmp_path / "a.png", (1, 1))
    prints.append(open_source(str(tmp_path)).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    picture((1, 2, 3)).save(tmp_path / "secret.png")
    picture((1, 2, 3)).save(folder / "own.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "alias.png").symlink_to(folder / "own.png")
    names = ("link.png", "alias.png")
    write_jsonl(folder / "metadata.jsonl", [{"file_name": n, "text": "x"} for n in names])
    source = open_source(str(folder))
    with pytest.raises(ImageError, match="leads out"):
        source.load_image("link.png")
    assert source.load_image("alias.png").size == (60, 40)
