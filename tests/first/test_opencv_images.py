"""The second reader: what Pillow does not open and OpenCV does, under the same limits, counted."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.data import opencv_images
from helpers.data.images import ImageError, load_image
from helpers.data.opencv_images import announced_size, decode
from helpers.data.recipes import build_trusted_zone
from helpers.data.records import Caption, Recipe
from helpers.store.zones import open_zone
from tests.first.damage import saved

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _chunk(name, body, *, wrong=False):
    check = zlib.crc32(name + body) ^ wrong
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def _png(*extra, size=(30, 20)):
    """A PNG with broken remarks, which Pillow does not open."""
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(extra) + pixels


def _jpeg():
    """A JPEG with a remark of an image editor that is too short."""
    data = saved(Image.fromarray(PIXELS), "JPEG", quality=95)
    return data[:2] + b"\xff\xee\x00\x07Adobe" + data[2:]


def _encoded(ending, pixels=PIXELS):
    done, data = cv2.imencode(ending, pixels)
    assert done
    return data.tobytes()


FILES = {
    "a remark with a wrong sum": _png(_chunk(b"tEXt", b"a\0b", wrong=True)),
    "a remark that is too short": _png(_chunk(b"pHYs", b"\0")),
    "Sun raster": _encoded(".ras", PIXELS[:, :, ::-1]),
    "PAM": _encoded(".pam", PIXELS[:, :, ::-1]),
}


@pytest.mark.parametrize("name", FILES)
def test_what_pillow_does_not_open_is_read_and_says_so(name):
    image = load_image(FILES[name])
    assert (image.mode, image.info) == ("RGB", {"reader": "OpenCV"})
    assert np.array_equal(np.asarray(image), PIXELS)


def test_a_jpeg_with_a_broken_remark():
    image = load_image(_jpeg())
    assert image.info == {"reader": "OpenCV"}
    whole = np.asarray(load_image(saved(Image.fromarray(PIXELS), "JPEG", quality=95)), int)
    assert np.abs(np.asarray(image).astype(int) - whole).mean() < 3


@pytest.mark.parametrize("data", [*FILES.values(), _jpeg()])
def test_the_size_is_known_before_anything_is_decoded(data, monkeypatch):
    assert announced_size(data) == (30, 20)
    monkeypatch.setattr("helpers.data.images.decode", lambda data: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"30 x 20 = 0\.0 megapixels, over the limit of 0\.0005"):
        load_image(data, max_megapixels=0.0005)


@pytest.mark.parametrize("name", FILES)
def test_cut_short_they_are_refused(name):
    data = FILES[name]
    with pytest.raises(ImageError):
        load_image(data[: len(data) * 2 // 3])


def test_a_jpeg_without_an_end_is_not_tried():
    data = _jpeg()
    assert announced_size(data[: len(data) * 2 // 3]) is None
    assert announced_size(data[:40]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x89PNG\r\n\x1a\n", b"\x59\xa6\x6a\x95", b"P7\nWIDTH 3\nENDHDR\n",
        b"P7\nWIDTH 3\nWIDTH 4\nHEIGHT 3\nENDHDR\n", b"\xff\xd8\xff", b"#?RADIANCE\n", b"GIF89a",
    ],
)  # fmt: skip
def test_other_headers_are_left_alone(data):
    assert announced_size(data) is None


def test_a_header_that_lies_is_not_believed():
    lies = _png(_chunk(b"tEXt", b"a\0b", wrong=True), size=(30, 21))
    assert decode(lies) is None
    with pytest.raises(ImageError):
        load_image(lies)


def test_sixteen_bits_and_transparency():
    deep = _encoded(".png", (np.full((4, 5), 257 * 9)).astype(np.uint16))
    assert decode(deep).getpixel((1, 1)) == 9
    clear = _encoded(".png", np.zeros((4, 5, 4), np.uint8))
    assert decode(clear).mode == "RGBA"


def test_the_intake_counts_them():
    class Source:
        name, fingerprint = "fake", "f"

        def recipes(self):
            yield Recipe("1", "Car", ("a", "b", "c"), (Caption("a car"),))

        def load_image(self, key):
            files = {"a": FILES["PAM"], "b": _jpeg(), "c": saved(Image.new("RGB", (9, 9)), "PNG")}
            return load_image(files[key])

    zone = open_zone("memory://second-reader")
    counts = build_trusted_zone(zone, Source(), image_px=16, progress=False).counts
    assert (counts["images_kept"], counts["images_by_opencv"]) == (3, 2)
    assert opencv_images.READER == "OpenCV"
