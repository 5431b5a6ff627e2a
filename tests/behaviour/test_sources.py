"""What people have is read, or refused in one sentence that says what to change."""

import json
import os
import re
import subprocess

import psutil
import pytest

from tests.behaviour import source_inputs as inputs
from tests.behaviour.conftest import environment, run_in
from tests.behaviour.source_inputs import DISHES, open_all, opening


@pytest.fixture(scope="session")
def opened(checkout, tmp_path_factory):
    """What lesson 01 makes of each source, up to the cell that shows the rejects."""
    top = tmp_path_factory.mktemp("sources")
    sources = inputs.tables(top / "tables") | inputs.files(top / "files")
    cells = opening("01", until="rejects")
    return open_all(checkout, sources, top / "zones", cells, image_px=64)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("semicolons", "captions.csv: its columns are separated by semicolons"),
        ("tabs", "captions.csv: its columns are separated by tabs"),
        ("tsv", "c.tsv: its columns are separated by tabs"),
        ("whole paths", ""),
        ("backslashes", ""),
        ("latin-1", "captions.csv is no UTF-8 and is read as Windows-1252"),
        ("utf-16", "captions.csv is read as UTF-16"),
        ("utf-16 lines", "utf16.jsonl is read as UTF-16"),
        ("list", "list.jsonl is one JSON list"),
        ("list in json", "list.json is one JSON list"),
    ],
)
def test_tables_as_programs_write_them_are_read_whole(opened, name, said):
    """Faults 16 and 17: separators, paths, encodings and lists; the lesson says what it took."""
    found = opened[name]
    assert found.error == ""
    assert len(found.recipes) == len(found.images) == 12
    assert found.rejects == []
    assert said in found.printed


def test_what_was_read_says_what_was_written(opened):
    """Faults 16 and 17: captions and names survive each way of writing them."""
    assert opened["semicolons"].captions == [f"a bowl of {dish}, hot" for dish in DISHES]
    assert opened["latin-1"].captions == [f"crème brûlée and {dish}" for dish in DISHES]
    assert opened["utf-16"].captions == [f"crème {dish}" for dish in DISHES]
    for name, below in (("whole paths", ""), ("backslashes", "photos/")):
        ids = [recipe["recipe_id"] for recipe in opened[name].recipes]
        assert ids == [f"{below}{i}.png" for i in range(12)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("addresses", r"12 times, first in captions\.csv, line 2 .* an address on the web, and "
                      "nothing is fetched here: download the pictures"),
        ("open commas", r'12 times.* put a caption with commas in quotes, such as 0\.png,"soup, '
                        'hot, good"'),
        ("no header", "captions.csv has no column 'image' and no 'caption'.* first line has to be "
                      "image,caption"),
        ("cp1251", "12 times.* not valid UTF-8; save the file as UTF-8"),
        ("one object", "object.json is one JSON object over several lines: write each record"),
        ("no table", r"holds 12 images such as 0\.png: write .*captions\.csv with the columns "
                     "image,caption"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_sentence(opened, name, said):
    """Faults 16 and 17: one message for one cause, with what to change in the file."""
    error = opened[name].error
    assert re.search(said, error)
    assert "\n" not in error
    assert not re.search(r"\bkey\b|<class|surrogate|\\udc", error)
    assert opened[name].recipes == []


def test_a_heic_photo_is_read(opened):
    """Fault 16: what telephones save is an image like any other."""
    assert opened["heic"].error == ""
    assert len(opened["heic"].images) == 13


def test_folders_that_are_named_after_what_they_show_are_a_source(opened):
    """Fault 16: the folder's name is the caption, and that is said."""
    found = opened["classes"]
    assert found.error == ""
    assert sorted(found.captions) == sorted(DISHES[:4])
    assert len(found.images) == 12
    assert "the names of its folders are 4 classes" in found.printed


@pytest.mark.parametrize("name", ["bare", "readme", "card"])
def test_a_page_about_a_folder_is_no_recipe(opened, name):
    """Fault 18: with or without a README the refusal names the table two folders down."""
    error = opened[name].error
    assert "no recipes.jsonl, no metadata.jsonl, no metadata.csv, no Markdown page" in error
    assert re.search(rf"a table is at data/pictures/metadata\.csv: .*{name}/data/pictures'", error)
    assert error.replace(name, "bare") == opened["bare"].error


@pytest.mark.parametrize(
    ("name", "kept", "rejected"),
    [
        ("long caption", 12, ["recipes.jsonl,1,captions[0] of r0,.*150,000 characters.*20,000"]),
        ("long description", 12, ["recipes.jsonl,1,description of r0,.*150,000 characters"]),
        ("long field", 11, ["captions.csv,2,.*more than 131,072 characters"]),
        ("open quote", 11, ["captions.csv,2,.*opens a quote that nothing closes"]),
        ("bad records", 8, ["recipes.jsonl,1,.*images is a number", "recipes.jsonl,2,.*captions is",
                            "recipes.jsonl,4,.*recipe_id is a number", "recipes.jsonl,3,x{9}"]),
        ("pages", 12, ["content/date.md,2,date,.*title is a date; write it as a string",
                       "content/binary.md,2,.*title is binary data", "content/set.md,2,.*a set",
                       "content/number.md,3,.*image is a number", "content/null.md,3,.*is null",
                       "content/bomb.md,3,.*alias"]),
    ],
)  # fmt: skip
def test_one_bad_record_is_one_line_of_the_rejects(opened, name, kept, rejected):
    """Faults 9, 10, 11 and 17: whatever a record holds, the others are taken in."""
    found = opened[name]
    assert found.error == ""
    assert len(found.recipes) == kept
    for line in rejected:
        assert any(re.match(line.replace("[0]", r"\[0\]"), one) for one in found.rejects), line
    assert all(len(line) < 1000 for line in found.rejects)


def test_a_refused_source_leaves_nothing_that_fails(fresh_checkout, tmp_path):
    """Fault 5: neither a half-built zone nor a mark of an interrupted build."""
    source = inputs.tables(tmp_path / "t")["addresses"]
    done = run_in(fresh_checkout, f"course run --name refused --only 01 -p source={source}")
    assert done.code == 1
    assert "nothing is fetched here" in done.text
    zone = fresh_checkout / "data" / "zones" / "refused"
    left = [path.name for path in zone.rglob("*") if path.is_file()]
    assert all(name.endswith(".lock") for name in left), left
    checked = run_in(fresh_checkout, "course check")
    assert not re.search(r"FAIL  (build|artefact|report)", checked.out), checked.out


@pytest.mark.journey
def test_a_killed_build_names_the_command_that_makes_it(fresh_checkout):
    """Fault 5: the mark of a killed process says by which command it was being built."""
    command = ["course", "run", "--name", "killed", "--only", "01"]
    process = subprocess.Popen(
        command, cwd=fresh_checkout, env=environment(fresh_checkout), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    manifests = fresh_checkout / "data" / "zones" / "killed" / "manifests"
    while not list(manifests.glob("*.building")):
        assert process.poll() is None, "it ended before it was building anything"
        os.sched_yield()
    for one in (process_tree := psutil.Process(process.pid).children(recursive=True)):
        one.kill()
    process.kill()
    process.wait()
    psutil.wait_procs(process_tree)
    checked = run_in(fresh_checkout, "course check")
    assert checked.code == 1
    assert re.search(r"FAIL  build killed/.*\n +.*course run --name killed --only 01", checked.out)


@pytest.mark.parametrize("images", [1, 8])
def test_a_source_that_leaves_no_test_is_refused_before_a_model_is_opened(
    checkout, tmp_path, images
):
    """Fault 20: the sentence says how many recipes there are and how many are needed."""
    inputs.image(tmp_path / "0.png", 0)
    rows = [
        {"recipe_id": f"r{i}", "title": f"dish {i}", "images": ["0.png"]} for i in range(images)
    ]
    (tmp_path / "recipes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = open_all(
        checkout, {"x": str(tmp_path)}, tmp_path / "zones", opening("03", until="from_pretrained(")
    )["x"]
    said = "1 recipe:" if images == 1 else "8 recipes, which form 1 group as they share images"
    assert f"test has no recipe of the {said}" in found.error
    assert "need at least 4 recipes" in found.error
    assert " parameters" not in found.printed  # that is what the cell with the model prints


@pytest.mark.journey
def test_one_placeholder_image_in_many_recipes(checkout, tmp_path):
    """Fault 21: 3,000 recipes show one image; compared in pairs this would take hours."""
    inputs.records(tmp_path)
    row = {"title": "no photo yet", "images": ["none.png"]}
    inputs.image(tmp_path / "none.png", 77)
    with (tmp_path / "recipes.jsonl").open("a") as file:
        file.writelines(json.dumps({"recipe_id": f"p{i}", **row}) + "\n" for i in range(3000))
    cells = opening("03", until="open_pairs(")
    found = open_all(checkout, {"x": str(tmp_path)}, tmp_path / "zones", cells)["x"]
    assert found.error == ""
    assert "3000 recipes show one image" in found.printed
    assert len(found.recipes) == 3012
