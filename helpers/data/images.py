"""Safe reading of images, and their one normal form: square RGB JPEG, upright, in sRGB.

Tables and pages may name anything: a file two folders up, a whole path, an address on the web, a
link that leads elsewhere. ``find_below`` is the one way to open what they name: below the data
set's own folder, or not at all. The header is checked before anything is decoded (a file of a few
kilobytes can ask for gigabytes), then the whole image is: only that finds a truncated file.
"""

import os
import unicodedata
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from helpers.data.records import bounded

Image.init()  # registers the readers; the list below says which of them may look at a file
pillow_heif.register_heif_opener()  # what telephones save
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM")
MAX_BYTES = 200_000_000  # more than any image of 50 megapixels
PLACES = ("", "images")  # where a table's images lie, below its folder
STARTS = {b"\x89PNG\r\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF"}
FITS = ("crop", "pad", "stretch")
WHITE = (255, 255, 255)
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's color space: PIL's mode
_SRGB = ImageCms.createProfile("sRGB")


class ImageError(ValueError):
    """An image that cannot be used; the message is the reason that goes to the rejects."""


class FileRefused(ValueError):
    """A file that is not opened; the message is the reason that goes to the rejects."""


class FileMissing(FileRefused):
    """A file that may be opened, and is not there."""


def is_whole(name: str) -> bool:
    """Whether a name starts at a root or a drive, of any system."""
    return name.startswith("/") or bool(PureWindowsPath(name).drive or PureWindowsPath(name).root)


def key_below(folder: Path, name: str) -> str:
    """A name as people write it, as a relative path with ``/``, where it can be one.

    Backslashes become ``/``, ``./`` goes, and a whole path loses the folder that it lies in. What
    lies elsewhere stays as it is: ``find_below`` refuses it.

    >>> key_below(Path("/data/dishes"), "photos\\\\7.jpg"), key_below(Path("/data"), "/data/7.jpg")
    ('photos/7.jpg', '7.jpg')
    """
    if "://" in name:
        return name
    if is_whole(name):
        try:
            given, real = Path(name), Path(os.path.realpath(name))
        except (OSError, ValueError):  # a name that no file can have
            return name
        tries = ((given, folder.absolute()), (real, Path(os.path.realpath(folder))))
        below = (path.relative_to(base) for path, base in tries if path.is_relative_to(base))
        return next(below, PurePosixPath(name)).as_posix()
    return "/".join(part for part in name.replace("\\", "/").split("/") if part != ".")


def find_below(folder: Path, name: str, *, places: Iterable[str] = PLACES) -> Path:
    """The file that a name means (in either of Unicode's forms), below a folder.

    ``places`` are the folders below ``folder`` (empty: itself) in which it is looked for, in this
    order. Raises ``FileRefused`` if it is an address, lies outside the folder (also through a link)
    or is no plain name; ``FileMissing`` if it is not there.
    """
    key = key_below(folder, name)
    if reason := _why_refused(key):
        raise FileRefused(reason)
    forms = dict.fromkeys((key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD"))))
    tried = [folder / place / form for place in places for form in forms]
    for place in tried:
        if os.path.isfile(place):  # noqa: PTH113 - for a name that no file can have, it says no
            if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder)):
                raise FileRefused(
                    f"a link that leads out of the folder {folder.name}/; put the file itself there"
                )
            return place
    if "\0" not in key and any(map(os.path.lexists, tried)):
        raise FileRefused("no regular file")
    looked = " or ".join(f"{'/'.join(filter(None, (folder.name, place)))}/" for place in places)
    raise FileMissing(f"no such file in {looked}")


def read_below(folder: Path, name: str, *, places: Iterable[str] = PLACES) -> bytes:
    """The bytes of a file below a folder. Raises ``FileRefused``."""
    place = find_below(folder, name, places=places)
    try:
        if (size := place.stat().st_size) > MAX_BYTES:
            raise FileRefused(f"has {size:,} bytes, more than {MAX_BYTES:,}")
        return place.read_bytes()
    except OSError as error:
        raise FileRefused(f"cannot be opened ({error.strerror})") from error


def _why_refused(key: str) -> str:
    """Why a key is not even looked for; empty: it is."""
    first, *_ = parts = key.split("/")
    if "://" in key:
        return (
            "is an address on the web, and nothing is fetched here: download the pictures and name "
            "the files"
        )
    if is_whole(key) or ":" in first or ".." in parts:
        return "lies outside the folder of the data: copy the file into it and name it from there"
    return "is not the name of a file" if "" in parts or "." in parts else ""


def load_image(data: bytes, *, max_megapixels: float = 50) -> Image.Image:
    """Decode an image file as a viewer shows it: RGB, upright, in sRGB, on white; first frame only.

    Raises ``ImageError`` for zero bytes, what is no image of ``FORMATS``, a truncated or broken
    file, a header that announces more than ``max_megapixels``, and floating-point pixels. A color
    profile that is broken or made for other channels is passed over, as browsers do.
    """
    if not data:
        raise ImageError("zero bytes")
    try:
        with warnings.catch_warnings():  # the limit below says it, and says it to everybody
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"over the limit of {max_megapixels:g} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(_what_it_is(data)) from error
    except Exception as error:  # whatever a reader raises is this image's reason
        raise ImageError(f"broken header ({bounded(str(error), 120)})") from error
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        size = f"{width} x {height} = {width * height / 1e6:.1f} megapixels"
        raise ImageError(f"{size}, over the limit of {max_megapixels:g}")
    if not width * height:
        raise ImageError(f"{width} x {height}: no pixel")
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return _flat_srgb(upright, image.info.get("icc_profile"))
    except ImageError:
        raise
    except Exception as error:
        why = bounded(str(error) or "no reason given", 120)
        raise ImageError(f"truncated or broken {image.format} ({why})") from error


def normalise(image: Image.Image, *, image_px: int = 512, fit: str = "crop") -> Image.Image:
    """A square of at most ``image_px`` pixels a side of an RGB image; nothing is ever enlarged.

    ``fit``: ``crop`` keeps the middle square, ``pad`` puts the whole image on a white one,
    ``stretch`` distorts it.
    """
    if fit not in FITS:
        raise ValueError(f"unknown fit {fit!r}; use one of {', '.join(FITS)}")
    if image_px < 1:
        raise ValueError(f"image_px is {image_px}; it must be at least 1")
    width, height = image.size
    short, long = min(image.size), max(image.size)
    resized = partial(image.resize, resample=Image.Resampling.BICUBIC, reducing_gap=3.0)
    if fit == "pad":
        side = min(image_px, long)
        inner = (max(1, round(width * side / long)), max(1, round(height * side / long)))
        square = Image.new("RGB", (side, side), WHITE)
        square.paste(resized(inner), ((side - inner[0]) // 2, (side - inner[1]) // 2))
        return square
    side = min(image_px, short)
    left, top = (width - short) // 2, (height - short) // 2
    middle = (left, top, left + short, top + short)
    return resized((side, side), box=None if fit == "stretch" else middle)


def encode_jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """The bytes of a JPEG without metadata; color at full resolution, small images need it."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality, subsampling=0, comment=b"")
    return stream.getvalue()


def _flat_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB, transparency on white, nothing left in ``info``."""
    image = _eight_bits(image)
    clear = image.convert("RGBA") if image.has_transparency_data else None
    if clear or image.mode in ("P", "1", "YCbCr", "HSV"):
        image = (clear or image).convert("RGB")
    rgb = _to_srgb(image, profile) if profile else image.convert("RGB")
    if clear:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, WHITE), clear.getchannel("A"))
    rgb.info = {}
    return rgb


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen-bit gray scaled to eight bits; PIL's own conversion would clip it."""
    if image.mode == "F":
        raise ImageError("floating-point pixels without a known range; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("32-bit pixels without a known range; save it with 8 or 16 bits")
    return Image.fromarray((values / 257).round().astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB; without its profile, as browsers do, where that is broken or another's."""
    with suppress(ImageCms.PyCMSError, OSError):
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _SPACES.get(source.profile.xcolor_space.strip())
        fits = mode == image.mode or (mode == "RGB" and image.mode == "L")
        if fits and "sRGB" not in (source.profile.profile_description or ""):
            return ImageCms.profileToProfile(image.convert(mode), source, _SRGB, outputMode="RGB")
    return image.convert("RGB")


def _what_it_is(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "a HEIC photo that is broken or cut short"
    if data.lstrip()[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<svg "):
        return "not an image but a page of text (HTML, XML or SVG)"
    if form := next((form for start, form in STARTS.items() if data.startswith(start)), ""):
        return f"broken header (a {form} file that cannot be opened; save it anew)"
    return "not an image that is read here"
