"""What lesson 01 defines in the open: the lookup, the hash of an image, versions of a file."""

import ast

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from helpers.course import form
from tests.house import lessons
from tests.store.s3_server import BUCKET, moto_server, zone_at

CELLS = form.read(lessons()["01"])["cells"]
KEY = "fine-tuning-zone/datasets/train_pairs_positive.csv"


def defined(**known):
    """The imports and functions of the lesson, and what they read from cells above."""
    kept = []
    for cell in CELLS:
        if cell["cell_type"] == "code" and "exercise" not in form.tags(cell):
            wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
            body = ast.parse(form.source(cell)).body
            kept += [ast.unparse(node) for node in body if isinstance(node, wanted)]
    space = dict(known)
    exec("\n".join(kept), space)
    return space


def world_of(n_recipes=12, seed=0):
    """Pairs of recipes with one to three images and captions; images are a few random numbers."""
    rng = np.random.default_rng(seed)
    rows, pixels = [], {}
    for i in range(n_recipes):
        images = [f"{i}/{j}" for j in range(rng.integers(1, 4))]
        captions = [" ".join(rng.choice(list("abcdefgh"), 4)) for _ in range(rng.integers(1, 4))]
        pixels |= {key: rng.integers(0, 4, 5).astype(float) for key in images}
        rows += [(f"r{i}", key, c) for key in images for c in dict.fromkeys(captions)]
    table = pd.DataFrame(rows, columns=["recipe_id", "image_key", "caption"])
    words = {caption: set(caption.split()) for caption in table["caption"]}
    return {"table": table, "pixels": pixels, "words": words, "seed": seed}


def naive_hits(world, test, n_items):
    """hit@1 of each query, without a matrix: a share where several captions are equally near."""
    table, pixels = world["table"], world["pixels"]
    rows = list(zip(table.recipe_id, table.image_key, table.caption, test, strict=True))
    tested = list(dict.fromkeys(r for r, _, _, t in rows if t))
    asked = set(np.random.default_rng(world["seed"]).permutation(tested)[:n_items])
    first_image = {}
    for recipe, key, _, t in rows:
        if t and recipe in asked:
            first_image.setdefault(recipe, key)
    gallery = {(r, c) for r, _, c, _ in rows if r in asked}
    found = []
    for recipe, key in first_image.items():
        train = sorted({k for _, k, _, t in rows if not t})
        near = min(train, key=lambda k: ((pixels[key] - pixels[k]) ** 2).sum())
        seen = [set(c.split()) for _, k, c, t in rows if k == near and not t]
        score = {
            (r, c): max(len(set(c.split()) & s) / len(set(c.split()) | s) for s in seen)
            for r, c in gallery
        }
        best = [r for (r, _), s in score.items() if s == max(score.values())]
        found.append(best.count(recipe) / len(best))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_lookup_is_what_its_text_says(seed):
    world = world_of(seed=seed)
    space, n = defined(**world), len(world["table"])
    by_pair = np.isin(np.arange(n), np.random.default_rng(seed).permutation(n)[: n // 4])
    by_recipe = world["table"]["recipe_id"].isin(["r0", "r1", "r2", "r3"]).to_numpy()
    for test in (by_pair, by_recipe):
        n_items = min(3, world["table"]["recipe_id"][test].nunique())
        found = space["lookup"](test, n_items)
        assert found == pytest.approx(naive_hits(world, test, n_items))


def test_the_nearest_training_images_come_with_their_distances():
    pixels = {"a": np.array([0.0, 0]), "b": np.array([3.0, 4]), "c": np.array([0.0, 1])}
    keys, far = defined(pixels=pixels)["nearest"](["a", "b"], ["b", "c"], k=2)
    assert keys.tolist() == [["c", "b"], ["b", "c"]]
    assert far == pytest.approx(np.array([[1, 5], [0, 18**0.5]]))


def test_the_hash_asks_which_right_neighbor_is_brighter():
    hash_of = defined()["difference_hash"]
    ramp = Image.fromarray(np.tile(np.arange(0, 180, 20, dtype=np.uint8), (8, 1)))  # 9 x 8 pixels
    assert hash_of(ramp).tolist() == [True] * 64
    assert hash_of(ImageOps.mirror(ramp)).tolist() == [False] * 64
    one = np.asarray(ramp).copy()
    one[3, 4] = 255  # brighter than its left neighbor as before, and now than its right one
    assert np.flatnonzero(~hash_of(Image.fromarray(one))).tolist() == [3 * 8 + 4]


def test_the_interval_is_wilsons():
    n, p, z = 300, 0.8, 1.959964
    middle, root = p + z * z / 2 / n, z * (p * (1 - p) / n + (z / 2 / n) ** 2) ** 0.5
    low, high = ((middle + sign * root) / (1 + z * z / n) for sign in (-1, 1))
    assert defined()["interval"](p, n) == f"80.0% [{low:.1%}, {high:.1%}]"


def test_a_folder_keeps_no_versions(tmp_path):
    space = defined()
    zone = space["open_zone"](str(tmp_path))
    zone.write_bytes(KEY, b"1")
    assert space["versions"](zone, KEY) == []


@pytest.mark.slow
def test_a_bucket_that_keeps_versions_lists_each_write():
    versions = defined()["versions"]
    with moto_server() as endpoint:
        zone = zone_at(endpoint, "mine")
        zone.write_bytes(KEY, b"before versions were kept")
        assert versions(zone, KEY) == []
        on = {"Status": "Enabled"}
        zone.root.fs.call_s3("put_bucket_versioning", Bucket=BUCKET, VersioningConfiguration=on)
        for text in (b"one", b"two"):
            zone.write_bytes(KEY, text)
        zone.write_bytes(f"{KEY}.gz", b"another file that begins alike")
        listed = versions(zone, KEY)
        assert len(set(listed)) == len(listed) == 2
        assert zone.read_bytes(KEY) == b"two"
