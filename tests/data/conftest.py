"""Fixtures of the tests of data: small sources on disk, the real recipes."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from helpers import paths


def picture(color: tuple[int, ...], *, size: tuple[int, int] = (60, 40), mode: str = "RGB"):
    """A flat image with a darker left half, so that turns and crops can be told apart."""
    image = Image.new(mode, size, color)
    dark = tuple(c // 2 for c in color[:3]) + color[3:]
    image.paste(dark, (0, 0, size[0] // 2, size[1]))
    return image


def write_jsonl(path: Path, records: list[dict]) -> Path:
    """A ``recipes.jsonl`` of some records."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8", newline="")
    return path


@pytest.fixture
def folder_source(tmp_path: Path) -> Path:
    """A folder of eight records and images in many formats: five good recipes, three bad ones."""
    folder = tmp_path / "dishes"
    (folder / "images").mkdir(parents=True)
    picture((200, 40, 40)).save(folder / "soup.webp", lossless=True)
    picture((40, 200, 40)).save(folder / "images" / "pie.png")
    picture((40, 40, 200, 128), mode="RGBA").save(folder / "images" / "pie alpha.png")
    picture((10, 90, 90)).quantize().save(folder / "images" / "cake.gif")
    picture((90, 90, 10)).convert("CMYK").save(folder / "images" / "stew.jpg")
    picture((120, 10, 200)).convert("L").save(folder / "images" / "tart.bmp")
    (folder / "images" / "broken.jpg").write_bytes(b"no image")
    (folder / "images" / "empty.jpg").write_bytes(b"")
    write_jsonl(
        folder / "recipes.jsonl",
        [
            {"recipe_id": "007", "title": "Soup", "images": ["soup.webp", "gone.jpg"]},
            {"recipe_id": "NA", "title": "Pie", "images": ["pie.png", "pie alpha.png"],
             "captions": ["a pie", {"text": "une tarte", "language": "fr"}, "a  pie "]},
            {"recipe_id": "cake", "title": "Cake", "images": ["images/cake.gif"],
             "description": "A _soft_ cake. Serve cold.", "ingredients": ["2 eggs", "1 cup flour"]},
            {"recipe_id": "stew", "title": "None", "images": ["stew.jpg", "empty.jpg"]},
            {"recipe_id": "tart", "title": "Tart", "images": ["tart.bmp"],
             "captions": ["line\r\nbreak, \"quoted\"", ""]},
            {"recipe_id": "lost", "title": "Lost", "images": ["broken.jpg"]},
            {"recipe_id": "007", "title": "Soup again", "images": ["soup.webp"]},
            {"recipe_id": "bare", "title": "No image", "images": []},
        ],
    )  # fmt: skip
    return folder


@pytest.fixture
def real_recipes() -> Path:
    """139 real recipes with their photographs, where the data lie beside the repository."""
    given = os.environ.get("COURSE_REAL_DATA", "")
    base = Path(given) if given else paths.root().parent / "shared" / "real"
    folder = base / "public-domain-recipes"
    if not folder.is_dir():
        pytest.skip(f"no real recipes at {folder}; COURSE_REAL_DATA names another place")
    return folder
