import json
import os

import pytest
from PIL import Image

from helpers.data.images import ImageError
from helpers.data.readers import read_table
from helpers.data.records import Caption, Recipe, Reject
from helpers.data.sources import open_source
from tests.data.conftest import picture, write_jsonl


def _csv(text):
    items = list(read_table(text, "pairs.csv"))
    return [i for i in items if isinstance(i, Recipe)], [i for i in items if isinstance(i, Reject)]


def test_a_folder_and_its_jsonl_give_the_same_recipes(folder_source):
    folder = open_source(str(folder_source))
    file = open_source(str(folder_source / "recipes.jsonl"))
    assert (folder.name, file.name) == ("dishes", "recipes")
    assert list(folder.recipes()) == list(file.recipes())
    assert [r.recipe_id for r in folder.recipes() if isinstance(r, Recipe)][:3] == [
        "007", "NA", "cake",
    ]  # fmt: skip


def test_keys_are_relative_to_the_file_or_to_images(folder_source):
    source = open_source(str(folder_source))
    for key in ("soup.webp", "pie.png", "images/pie.png"):
        assert source.load_image(key).size == (60, 40)


@pytest.mark.parametrize(
    ("key", "reason"),
    [("../secret.png", "lies outside"), ("..\\secret.png", "lies outside"),
     ("/etc/passwd", "lies outside"), ("C:\\secret.png", "lies outside"),
     ("https://a.b/c.jpg", "an address on the web"), ("a\\b.png", "no such file"),
     ("x" * 5000, "no such file"), ("a\0b", "no such file"), ("a//b", "not the name of a file"),
     ("gone.jpg", "no such file in dishes/ or dishes/images/"), ("images", "no regular file"),
     ("broken.jpg", "not an image"), ("empty.jpg", "zero bytes")],
)  # fmt: skip
def test_keys_that_give_no_image(folder_source, key, reason):
    picture((1, 2, 3)).save(folder_source.parent / "secret.png")
    with pytest.raises(ImageError, match=reason):
        open_source(str(folder_source)).load_image(key)


def test_names_in_either_unicode_form_are_found(tmp_path):
    picture((1, 2, 3)).save(tmp_path / "cafe\u0301.png")
    picture((1, 2, 3)).save(tmp_path / "the\u0301.png")
    keys = ["caf\u00e9.png", "the\u0301.png"]
    write_jsonl(tmp_path / "r.jsonl", [{"recipe_id": "1", "title": "x", "images": keys}])
    source = open_source(str(tmp_path / "r.jsonl"))
    assert [source.load_image(key).size for key in keys] == [(60, 40)] * 2


def test_the_fingerprint_follows_records_and_images_and_nothing_else(folder_source):
    def now(**options):
        return open_source(str(folder_source), **options).fingerprint

    first = now()
    (folder_source / "notes.txt").write_text("x")
    assert now() == now(seed=7) == first
    os.utime(folder_source / "soup.webp", (1, 1))
    touched = now()
    Image.new("RGB", (4, 4)).save(folder_source / "images" / "gone.jpg")
    appeared = now()
    with (folder_source / "recipes.jsonl").open("a") as stream:
        stream.write("\n")
    limited = {now(max_recipes=3), now(max_recipes=2), now(max_recipes=2, seed=1)}
    assert len({first, touched, appeared, now(), *limited}) == 7


def test_max_recipes_draws_nested_sets_in_the_order_of_the_file(tmp_path):
    ids = [f"{i:02d}" for i in range(40)]
    records = [{"recipe_id": i, "title": "x", "images": ["a"]} for i in ids]
    path = write_jsonl(tmp_path / "r.jsonl", records)
    path.write_text(path.read_text() + "bad\n")

    def drawn(n, seed=42):
        items = list(open_source(str(path), max_recipes=n, seed=seed).recipes())
        assert isinstance(items[-1], Reject)
        return [item.recipe_id for item in items[:-1]]

    assert len(drawn(5)) == 5
    assert set(drawn(5)) < set(drawn(10))
    assert drawn(10) == sorted(drawn(10)) != ids[:10]
    assert drawn(5) != drawn(5, seed=1)
    assert drawn(0) == drawn(99) == ids


def test_csv_a_recipe_for_each_image_with_all_its_captions():
    recipes, rejects = _csv('\ufeffimage,caption\r\n007,NA\r\nb.jpg,None\r\n007,"a, ""b""\n c"\r\n')
    assert recipes == [
        Recipe("007", "", ("007",), (Caption("NA"), Caption('a, "b"\n c'))),
        Recipe("b.jpg", "", ("b.jpg",), (Caption("None"),)),
    ]
    assert [r.line for r in recipes] == [2, 3]
    assert rejects == []


@pytest.mark.parametrize(
    ("key", "found"),
    [("photos\\pie.png", True), ("./photos/pie.png", True), ("{folder}/photos/pie.png", True),
     ("{folder}/../secret.png", False), ("{folder}x/photos/pie.png", False)],
)  # fmt: skip
def test_keys_as_people_write_them(tmp_path, key, found):
    folder = tmp_path / "mine"
    (folder / "photos").mkdir(parents=True)
    picture((1, 2, 3)).save(folder / "photos" / "pie.png")
    picture((1, 2, 3)).save(tmp_path / "secret.png")
    key = key.replace("{folder}", str(folder))
    (folder / "p.csv").write_text(f"image,caption\n{key},a pie\n")
    source = open_source(str(folder / "p.csv"))
    (recipe,) = source.recipes()
    if found:
        assert (recipe.recipe_id, recipe.images) == ("photos/pie.png", ("photos/pie.png",))
        assert source.load_image(recipe.images[0]).size == (60, 40)
    else:
        with pytest.raises(ImageError, match="lies outside the folder"):
            source.load_image(recipe.images[0])


def test_csv_with_recipe_ids_gathers_scattered_rows():
    recipes, rejects = _csv("caption,recipe_id,Image\nx,1,a\ny,2,b\nz,1,c\nw,1,a\n")
    assert rejects == []
    assert recipes == [
        Recipe("1", "", ("a", "c"), (Caption("x"), Caption("z"), Caption("w"))),
        Recipe("2", "", ("b",), (Caption("y"),)),
    ]


def test_csv_bad_rows_are_named_by_line():
    text = (
        "image,caption,recipe_id,captoin\n"
        'a,"two\nlines",1,\n'
        "b,x\n"
        ",x,1,\n"
        "c,,1,\n"
        "\n"
        "d,x,,\n"
        "e,\udcff,1,\n"
        'f,"x"y,1,\n'
        'g,"open,1,\nh,x,1,\n'
    )
    recipes, rejects = _csv(text)
    assert recipes == [Recipe("1", "", ("a", "c", "e", "h"), (Caption("two\nlines"), Caption("x")))]
    assert [(r.line, r.kind, r.reason[:27]) for r in rejects] == [
        (1, "field", "unknown column, not read; d"),
        (4, "record", "has 2 fields, the first lin"),
        (5, "record", "image is empty"),
        (6, "caption", "is empty"),
        (8, "record", "recipe_id is empty"),
        (9, "caption", "is not valid UTF-8; save th"),
        (10, "record", "not CSV: ',' expected after"),
        (11, "record", "opens a quote that nothing "),
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [("", "no column 'image' and no 'caption'; it has an empty first line"),
     ("image|caption\n", "first line has to be image,caption"),
     ("image,label\n", "no column 'caption'; it has"),
     ("image,caption,image\n", "'image' occurs twice")],
)  # fmt: skip
def test_csv_columns_that_cannot_be_used(tmp_path, text, match):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=match):
        open_source(str(tmp_path / "p.csv"))


def test_near_misses_are_named(folder_source, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "list.csv").write_text("image,caption\n")
    (tmp_path / "x.xlsx").write_text("")
    for source, match in (
        ("dishs", r"did you mean '.*dishes'\?"), ("wrold:kitchen", "did you mean 'world:kitchen'"),
        ("other", "did you mean 'other/list.csv'"),
        ("x.xlsx", "a .xlsx file is not read .*: save the sheet as CSV"),
        ("", "it is empty; a source is world:"), ("world:kichen", "did you mean 'world:kitchen'"),
        ("zzz.csv", "nothing is at"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            open_source(source)
    with pytest.raises(ValueError, match="max_recipes is -1"):
        open_source("dishes", max_recipes=-1)
    assert open_source("dishes").name == "dishes"


def test_a_world_is_a_source():
    source = open_source("world:kitchen", max_recipes=3, seed=5)
    recipes = list(source.recipes())
    assert len(recipes) == 3
    assert source.load_image(recipes[2].images[0]).mode == "RGB"


def test_the_real_recipes_are_read_whole(real_recipes):
    recipes = list(open_source(str(real_recipes)).recipes())
    lines = (real_recipes / "recipes.jsonl").read_text().splitlines()
    assert [r.recipe_id for r in recipes] == [json.loads(line)["recipe_id"] for line in lines]
    assert sum(len(r.images) for r in recipes) == 161
