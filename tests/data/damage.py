"""Kinds of damage to images, and what intake has to make of each.

``IMAGES`` maps a name to a function from a random stream and a picture to the bytes of a file, and
to what is expected: ``SAME`` (the picture comes out), ``EITHER`` (an image or a reason), or a
pattern of the reason.
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

SAME, EITHER = "same", "either"
BROKEN = "truncated or broken|broken header|not an image"
TURNS = (
    None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270,
)  # fmt: skip
Maker = Callable[[np.random.Generator, Image.Image], bytes]


def scene(rng: np.random.Generator, *, levels: int = 256) -> Image.Image:
    """Four flat quadrants of random colors, 32 to 80 pixels a side, always even."""
    half = int(rng.integers(16, 41))
    colors = rng.integers(0, levels, (2, 2, 3)) * (255 // (levels - 1))
    return Image.fromarray(colors.repeat(half, 0).repeat(half, 1).astype(np.uint8))


def saved(image: Image.Image, form: str, **options) -> bytes:
    """The bytes of an image file."""
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def _noisy(rng: np.random.Generator, form: str, **options) -> bytes:
    pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), form, **options)


def _cut(form: str, **options) -> Maker:
    def make(rng: np.random.Generator, image: Image.Image) -> bytes:
        data = _noisy(rng, form, **options)
        return data[: int(len(data) * rng.uniform(0.05, 0.9))]

    return make


def _corrupted(form: str) -> Maker:
    def make(rng: np.random.Generator, image: Image.Image) -> bytes:
        data = bytearray(_noisy(rng, form))
        for at in rng.integers(len(data) // 4, len(data), 8):
            data[at] = int(rng.integers(0, 256))
        return bytes(data)

    return make


def _as(form: str, mode: str = "RGB", **options) -> Maker:
    return lambda rng, image: saved(image.convert(mode), form, **options)


def _turned(orientation: int) -> Maker:
    def make(rng: np.random.Generator, image: Image.Image) -> bytes:
        turn, exif = TURNS[orientation - 1], Image.Exif()
        exif[0x0112] = orientation
        stored = image if turn is None else image.transpose(turn)
        return saved(stored, "JPEG", quality=95, subsampling=0, exif=exif)

    return make


def _animated(form: str, **options) -> Maker:
    def make(rng: np.random.Generator, image: Image.Image) -> bytes:
        more = [Image.new("RGB", image.size, tuple(rng.integers(0, 256, 3).tolist()))] * 2
        return saved(image, form, save_all=True, append_images=more, duration=50, **options)

    return make


def _large_png(rng: np.random.Generator, image: Image.Image) -> bytes:
    width, height = (int(v) for v in rng.integers(7_100, 60_000, 2))

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


def _large_jpeg(rng: np.random.Generator, image: Image.Image) -> bytes:
    data = bytearray(saved(image, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", *rng.integers(7_100, 60_000, 2).tolist())
    return bytes(data)


def _large_gif(rng: np.random.Generator, image: Image.Image) -> bytes:
    data = bytearray(saved(image, "GIF"))
    data[6:10] = struct.pack("<HH", *rng.integers(7_100, 60_000, 2).tolist())
    return bytes(data)


def _large_bmp(rng: np.random.Generator, image: Image.Image) -> bytes:
    data = bytearray(saved(image, "BMP"))
    data[18:26] = struct.pack("<ii", *rng.integers(7_100, 60_000, 2).tolist())
    return bytes(data)


def _large_truly(rng: np.random.Generator, image: Image.Image) -> bytes:
    side = int(rng.integers(7_100, 7_400))
    return saved(Image.new("1", (side, side)), "PNG", optimize=False, compress_level=1)


def _sixteen_bits(rng: np.random.Generator, image: Image.Image) -> bytes:
    return saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


def _transparent(rng: np.random.Generator, image: Image.Image) -> bytes:
    image = image.convert("RGBA")
    image.putalpha(255)
    return saved(image, "PNG")


def _random(rng: np.random.Generator, image: Image.Image) -> bytes:
    return b"\x00\x01" + rng.bytes(int(rng.integers(1, 400)))


def _constant(start: bytes) -> Maker:
    return lambda rng, image: start + rng.bytes(200)


def _float(rng: np.random.Generator, image: Image.Image) -> bytes:
    return saved(Image.fromarray(rng.random((9, 9), dtype=np.float32)), "TIFF")


def _tail(rng: np.random.Generator, image: Image.Image) -> bytes:
    return saved(image, "PNG") + rng.bytes(50)


GRAY = "same in gray"
LARGE: dict[str, Maker] = {
    "PNG header over 50 megapixels": _large_png,
    "JPEG header over 50 megapixels": _large_jpeg,
    "GIF header over 50 megapixels": _large_gif,
    "BMP header over 50 megapixels": _large_bmp,
    "PNG truly over 50 megapixels": _large_truly,
}
IMAGES: dict[str, tuple[Maker, str]] = {
    "truncated JPEG": (_cut("JPEG"), BROKEN),
    "truncated progressive JPEG": (_cut("JPEG", progressive=True), BROKEN),
    "truncated PNG": (_cut("PNG"), BROKEN),
    "truncated WebP": (_cut("WEBP"), BROKEN),
    "truncated GIF": (_cut("GIF"), BROKEN),
    "truncated TIFF": (_cut("TIFF"), BROKEN),
    "truncated BMP": (_cut("BMP"), BROKEN),
    "corrupted JPEG": (_corrupted("JPEG"), EITHER),
    "corrupted PNG": (_corrupted("PNG"), EITHER),
    "corrupted WebP": (_corrupted("WEBP"), EITHER),
    "corrupted TIFF": (_corrupted("TIFF"), EITHER),
    "zero bytes": (lambda rng, image: b"", "zero bytes"),
    "random bytes": (_random, "not an image"),
    "a page of HTML": (_constant(b"<!DOCTYPE html><html>"), "page of text"),
    "an SVG": (_constant(b"<svg xmlns='http://www.w3.org/2000/svg'>"), "page of text"),
    "a PDF": (_constant(b"%PDF-1.7\n"), "not an image"),
    "an archive": (_constant(b"PK\x03\x04"), "not an image"),
    "a HEIC photo": (_constant(b"\x00\x00\x00\x18ftypheic"), "HEIC"),
    "floating-point pixels": (_float, "floating-point"),
    **{name: (maker, "over the limit") for name, maker in LARGE.items()},
    **{f"EXIF orientation {n}": (_turned(n), SAME) for n in range(1, 9)},
    "CMYK JPEG": (_as("JPEG", "CMYK", quality=95), SAME),
    "palette PNG": (_as("PNG", "P", optimize=False), EITHER),
    "palette GIF": (lambda rng, image: saved(image.quantize(8), "GIF"), SAME),
    "16-bit gray PNG": (_sixteen_bits, GRAY),
    "8-bit gray JPEG": (_as("JPEG", "L", quality=95), GRAY),
    "opaque alpha": (_transparent, SAME),
    "animated GIF": (_animated("GIF"), SAME),
    "animated WebP": (_animated("WEBP", lossless=True), SAME),
    "animated PNG": (_animated("PNG"), SAME),
    "broken color profile": (_as("PNG", icc_profile=b"no profile"), SAME),
    "bytes behind the image": (_tail, SAME),
    "JPEG 2000": (_as("JPEG2000"), SAME),
    "TIFF with LZW": (_as("TIFF", compression="tiff_lzw"), SAME),
}
