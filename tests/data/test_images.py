import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from helpers.data.images import ImageError, encode_jpeg, load_image, normalise
from tests.data.conftest import picture

TURNS = (  # EXIF orientation: how the stored image came from the upright one
    (1, None), (2, Image.Transpose.FLIP_LEFT_RIGHT), (3, Image.Transpose.ROTATE_180),
    (4, Image.Transpose.FLIP_TOP_BOTTOM), (5, Image.Transpose.TRANSPOSE),
    (6, Image.Transpose.ROTATE_90), (7, Image.Transpose.TRANSVERSE),
    (8, Image.Transpose.ROTATE_270),
)  # fmt: skip


def _bytes(image, form="PNG", **options):
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def _quadrants(width=8, height=4):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("orientation", "turn"), TURNS)
def test_exif_orientation_is_undone(orientation, turn):
    upright = _quadrants()
    stored = upright.transpose(turn) if turn is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = load_image(_bytes(stored, exif=exif))
    assert np.array_equal(np.asarray(got), np.asarray(upright))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "JPEG", "AVIF"])
def test_formats_are_read_as_rgb(form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    options = {"lossless": True} if form == "WEBP" else {}
    got = load_image(_bytes(_quadrants(64, 32), form, **options))
    assert (got.mode, got.size, got.info) == ("RGB", (64, 32), {})
    assert np.abs(np.asarray(got)[4, 4].astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize(
    ("mode", "color", "want"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (0, 0, 0, 102), (153, 153, 153)),
        ("LA", (0, 51), (204, 204, 204)),
        ("1", 1, (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 9, (9, 9, 9)),
        ("I;16", 256, (1, 1, 1)),
    ],
)
def test_pixels_of_each_mode(mode, color, want):
    got = load_image(_bytes(Image.new(mode, (3, 2), color)))
    assert got.getpixel((1, 1)) == want


def test_palette_with_and_without_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    opaque, clear = load_image(_bytes(palette)), load_image(_bytes(palette, transparency=1))
    assert [opaque.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (200, 100, 50)]
    assert [clear.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]


def test_cmyk_jpeg_and_the_first_frame_of_an_animation():
    got = load_image(_bytes(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(np.array(got.getpixel((8, 8))) - (255, 0, 0)).max() < 12
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    for form in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        data = _bytes(frames[0], form, save_all=True, append_images=frames[1:], **options)
        assert load_image(data).getpixel((1, 1)) == (255, 0, 0)


def _wide_profile():
    """An sRGB profile whose red and green primaries are exchanged: no rounding can hide it."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return (
        data.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
        .replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")
    )  # fmt: skip


def test_colors_go_through_the_profile_to_srgb():
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert np.abs(
        np.array(load_image(_bytes(red, icc_profile=_wide_profile())).getpixel((1, 1)))
        - (0, 255, 0)
    ).max() < 3  # fmt: skip
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert load_image(_bytes(red, icc_profile=srgb)).getpixel((1, 1)) == (255, 0, 0)
    gray = Image.new("L", (4, 4), 100)
    assert load_image(_bytes(gray, icc_profile=_wide_profile())).getpixel((1, 1)) == (100,) * 3


def test_a_profile_acts_beneath_transparency_and_a_broken_one_is_passed_over():
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    red, green, blue = load_image(_bytes(half, icc_profile=_wide_profile())).getpixel((1, 1))
    assert green == 255
    assert abs(red - 127) < 3
    assert abs(blue - 127) < 3
    data = _bytes(Image.new("RGB", (4, 4), (9, 8, 7)), icc_profile=b"no profile")
    assert load_image(data).getpixel((1, 1)) == (9, 8, 7)


def _huge_png(width, height):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [7072, 10_000, 60_000])
def test_large_headers_are_refused_before_decoding(side, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="over the limit of 50"):
        load_image(_huge_png(side, side))


def test_the_limit_is_a_parameter():
    data = _bytes(Image.new("L", (100, 100)))
    assert load_image(data, max_megapixels=0.01).size == (100, 100)
    with pytest.raises(ImageError, match=r"100 x 100 = 0\.0 megapixels, over the limit of 0\.009"):
        load_image(data, max_megapixels=0.009)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_files_are_refused(form):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = _bytes(Image.fromarray(noise), form)
    with pytest.raises(ImageError, match=r"truncated or broken|not an image|broken header"):
        load_image(data[: len(data) * 2 // 3])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "zero bytes"),
        (b"not an image at all", "not an image"),
        (b"<!DOCTYPE html><html>404</html>", "page of text"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_what_is_no_image_is_named(data, match):
    with pytest.raises(ImageError, match=match):
        load_image(data)


def test_a_file_whose_remarks_are_broken_is_refused_as_what_it_is():
    """Pillow reads no PNG with a wrong sum, and no JPEG with such a remark of an editor."""
    png, jpeg = (_bytes(Image.new("RGB", (30, 20)), form) for form in ("PNG", "JPEG"))
    remark = struct.pack(">I", 3) + b"tEXta\0b" + b"\0\0\0\0"
    with pytest.raises(ImageError, match="a PNG file that cannot be opened; save it anew"):
        load_image(png[:33] + remark + png[33:])
    with pytest.raises(ImageError, match="a JPEG file that cannot be opened; save it anew"):
        load_image(jpeg[:2] + b"\xff\xee\x00\x07Adobe" + jpeg[2:])


def test_floating_point_pixels_are_refused():
    with pytest.raises(ImageError, match="floating-point"):
        load_image(_bytes(Image.new("F", (4, 4), 0.5), "TIFF"))


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF"]), st.data())
def test_damaged_bytes_give_an_image_or_a_reason(noise, form, data):
    whole = bytearray(_bytes(picture((9, 99, 199)), form))
    at = data.draw(st.integers(0, len(whole)))
    whole[at : at + len(noise)] = noise
    try:
        image = load_image(bytes(whole))
    except ImageError:
        return  # any other exception fails
    assert image.mode == "RGB"


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 70),
    st.sampled_from(["crop", "pad", "stretch"]),
)  # fmt: skip
def test_the_square_is_never_larger_than_asked_or_given(width, height, image_px, fit):
    got = normalise(Image.new("RGB", (width, height)), image_px=image_px, fit=fit)
    given_px = max(width, height) if fit == "pad" else min(width, height)
    assert got.size == (min(image_px, given_px),) * 2


def test_what_each_fit_shows():
    image = Image.new("RGB", (80, 40), "blue")
    image.paste("red", (0, 0, 10, 40))
    crop, pad, stretch = (normalise(image, image_px=40, fit=f) for f in ("crop", "pad", "stretch"))
    assert crop.getcolors() == [(1600, (0, 0, 255))]
    assert pad.getpixel((20, 5)) == pad.getpixel((20, 34)) == (255, 255, 255)
    assert pad.getpixel((1, 20))[0] > 240
    assert stretch.getpixel((1, 0)) == (255, 0, 0)
    assert stretch.getpixel((39, 39)) == (0, 0, 255)
    same = normalise(crop, image_px=512)
    assert np.array_equal(np.asarray(same), np.asarray(crop))
    assert same is not crop


def test_bad_options_of_normalise():
    with pytest.raises(ValueError, match="unknown fit 'zoom'"):
        normalise(Image.new("RGB", (4, 4)), fit="zoom")
    with pytest.raises(ValueError, match="image_px is 0"):
        normalise(Image.new("RGB", (4, 4)), image_px=0)


def test_jpeg_bytes_are_the_same_each_time_and_carry_no_metadata():
    image = picture((200, 30, 30))
    image.info["comment"] = b"secret"
    data = encode_jpeg(image)
    assert data == encode_jpeg(image)
    assert b"secret" not in data
    assert np.abs(np.asarray(load_image(data)).astype(int) - np.asarray(image)).max() < 12
