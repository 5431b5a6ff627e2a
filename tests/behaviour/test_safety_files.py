"""No reader opens a file outside the folder of its data set, whoever names it and however."""

import json

import pytest

from tests.behaviour import source_inputs as inputs
from tests.behaviour.source_inputs import DISHES, open_all, opening


def outside_names(folder):
    """Names of an image outside of a folder, in all ways to write one; links are made."""
    secret = inputs.image(folder.parent / "secret.png", 99)
    folder.mkdir(exist_ok=True)
    (folder / "link.png").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    return [
        "../secret.png", "..\\secret.png", "a/../../secret.png", str(secret),
        f"{folder}/../secret.png", "link.png", "linked/secret.png", "C:\\secret.png",
        "\\\\server\\secret.png", f"file://{secret}",
    ]  # fmt: skip


def make(kind, folder):
    """A source of one kind with twelve good images and each name of one outside."""
    names = outside_names(folder)
    good = inputs.images(folder)
    if kind == "jsonl":
        rows = [{"recipe_id": n, "title": n, "images": [n]} for n in (*good, *names)]
        (folder / "recipes.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    elif kind in ("csv", "imagefolder"):
        table = folder / ("captions.csv" if kind == "csv" else "metadata.csv")
        rows = [f"{n},dish {i}" for i, n in enumerate((*good, *names))]
        table.write_text("\n".join(["file_name,text", *rows]) + "\n")
        return str(table if kind == "csv" else folder), names
    else:
        (folder / "content").mkdir()
        for i, name in enumerate((*good, *names)):
            page = f"---\ntitle: Dish {i}\nimage: '{name}'\n---\n"
            (folder / "content" / f"{i}.md").write_text(page)
        (folder.parent / "page.md").write_text(f"---\ntitle: secret\n---\n![](/{good[0]})\n")
        (folder / "content" / "linked.md").symlink_to(folder.parent / "page.md")
    return str(folder), names


@pytest.fixture(scope="module")
def opened(checkout, tmp_path_factory):
    top = tmp_path_factory.mktemp("outside")
    made = {}
    for kind in ("jsonl", "csv", "imagefolder", "markdown"):
        (top / kind).mkdir()
        made[kind] = make(kind, top / kind / "data")
    sources = {kind: source for kind, (source, _) in made.items()}
    found = open_all(checkout, sources, top / "zones", opening("01", until="rejects"), image_px=64)
    return {kind: (found[kind], made[kind][1]) for kind in made}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "imagefolder", "markdown"])
def test_no_name_in_a_source_leads_out_of_its_folder(opened, kind):
    """Fault 6: parent folders, whole paths, drives, addresses and links are rejected by name."""
    found, names = opened[kind]
    assert found.error == ""
    assert len(found.images) == len(DISHES)
    refused = [line for line in found.rejects if line.endswith(",image")]
    assert len(refused) >= len(names) - 2  # in a table two ways to write a name are one image
    reasons = ("lies outside the folder", "a link that leads out", "an address on the web",
               "no such file", "is not the name of a file")  # fmt: skip
    assert all(any(reason in line for reason in reasons) for line in refused), refused
    assert any("a link that leads out of the folder data/" in line for line in refused)


def test_a_page_that_is_a_link_out_of_its_folder_is_not_read(opened):
    """Fault 6: what is shown of a page is text, and no less worth protecting than an image."""
    found, _ = opened["markdown"]
    assert "secret" not in [recipe["title"] for recipe in found.recipes]
    assert any(line.startswith("content/linked.md,0,") for line in found.rejects)


def test_annotations_of_benchmarks_open_nothing_outside_their_images(checkout, tmp_path):
    """Fault 6: CIRR and FashionIQ leave such images out, and the lesson counts them."""
    sources = inputs.benchmarks(tmp_path)
    cells = opening("12", until="open_triplets")
    few = {"n_annotated": 2, "n_validation": 2, "n_test": 0}
    found = open_all(checkout, sources, tmp_path / "zones", cells, **few)
    for kind, triplets, images in (("cirr", 4, 3), ("fashioniq", 2, 1)):
        assert found[kind].error == ""
        said = f"{triplets} of 12 triplets and {images} of 12 images of its gallery"
        assert found[kind].printed.count(said) == 2, found[kind].printed
