"""Safe reading of images, and their one normal form: square RGB JPEG, upright, in sRGB.

The header is checked before anything is decoded (a file of a few kilobytes can ask for gigabytes),
then the whole image is decoded: only that finds a truncated file.
"""

import warnings
from io import BytesIO

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from helpers.data.opencv_images import READER, announced_size, decode
from helpers.data.texts import bounded

Image.init()  # registers the readers; the list below says which of them may look at a file
pillow_heif.register_heif_opener()  # what telephones save
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM")
FITS = ("crop", "pad", "stretch")
WHITE = (255, 255, 255)
JPEG_QUALITY = 92
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's color space: PIL's mode
_SRGB = ImageCms.createProfile("sRGB")


class ImageError(ValueError):
    """An image that cannot be used; the message is the reason that goes to the rejects."""


def load_image(data: bytes, *, max_megapixels: float = 50) -> Image.Image:
    """Decode an image file as a viewer shows it: RGB, upright, in sRGB, on white; first frame only.

    Parameters
    ----------
    data : bytes
        A whole file: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, JPEG 2000 or
        PPM.
    max_megapixels : float
        The most that the header may announce, in millions of pixels.

    Raises
    ------
    ImageError
        For zero bytes, what is no image, a truncated or broken file, one that is too large, and
        pixels without a known range (floating point).

    Notes
    -----
    A color profile that is broken or made for other channels is passed over, as browsers do.
    A file that Pillow does not open is tried with OpenCV (see ``opencv_images``), under the same
    limit; such an image says so in ``info["reader"]``.

    >>> load_image(encode_jpeg(Image.new("RGB", (4, 3)))).size
    (4, 3)
    """
    if not data:
        raise ImageError("zero bytes")
    try:
        with warnings.catch_warnings():  # the limit below says it, and says it to everybody
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"over the limit of {max_megapixels:g} megapixels") from error
    except Exception as error:  # noqa: BLE001 (whatever a reader raises is this image's reason)
        return _second_reading(data, error, max_megapixels)
    _check_size(image.size, max_megapixels)
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return _flat_srgb(upright, image.info.get("icc_profile"))
    except ImageError:
        raise
    except Exception as error:
        why = bounded(str(error) or "no reason given", 120)
        raise ImageError(f"truncated or broken {image.format} ({why})") from error


def _check_size(size: tuple[int, int], max_megapixels: float) -> None:
    width, height = size
    if width * height > max_megapixels * 1e6:
        size = f"{width} x {height} = {width * height / 1e6:.1f} megapixels"
        raise ImageError(f"{size}, over the limit of {max_megapixels:g}")
    if not width * height:
        raise ImageError(f"{width} x {height}: no pixel")


def _second_reading(data: bytes, error: Exception, max_megapixels: float) -> Image.Image:
    """The image by OpenCV, marked as such; the reason of Pillow's error where that fails too."""
    if (size := announced_size(data)) is not None:
        _check_size(size, max_megapixels)
        if (image := decode(data)) is not None:
            rgb = _flat_srgb(image, None)
            rgb.info = {"reader": READER}
            return rgb
    unknown = isinstance(error, UnidentifiedImageError)
    raise ImageError(
        _what_it_is(data) if unknown else f"broken header ({bounded(str(error), 120)})"
    ) from error


def normalise(image: Image.Image, *, image_px: int = 512, fit: str = "crop") -> Image.Image:
    """A square of at most ``image_px`` pixels a side; nothing is ever enlarged.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    image_px : int
        The largest side, pixels.
    fit : str
        ``crop`` keeps the middle square, ``pad`` puts the whole image on a white one, ``stretch``
        distorts it.

    Raises
    ------
    ValueError
        For an unknown ``fit`` or an ``image_px`` below 1.

    >>> normalise(Image.new("RGB", (640, 480)), image_px=224).size
    (224, 224)
    """
    if fit not in FITS:
        raise ValueError(f"unknown fit {fit!r}; use one of {', '.join(FITS)}")
    if image_px < 1:
        raise ValueError(f"image_px is {image_px}; it must be at least 1")
    width, height = image.size
    short, long = min(image.size), max(image.size)
    if fit == "pad":
        side = min(image_px, long)
        inner = (max(1, round(width * side / long)), max(1, round(height * side / long)))
        square = Image.new("RGB", (side, side), WHITE)
        corner = ((side - inner[0]) // 2, (side - inner[1]) // 2)
        square.paste(_resized(image, inner), corner)
        return square
    side = min(image_px, short)
    if fit == "stretch":
        return _resized(image, (side, side))
    left, top = (width - short) // 2, (height - short) // 2
    return _resized(image, (side, side), box=(left, top, left + short, top + short))


def encode_jpeg(image: Image.Image, quality: int = JPEG_QUALITY) -> bytes:
    """The bytes of a JPEG without metadata; color at full resolution, small images need it."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality, subsampling=0, comment=b"")
    return stream.getvalue()


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None = None
) -> Image.Image:
    if box in (None, (0, 0, *image.size)) and size == image.size:
        return image.copy()
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


def _flat_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB, transparency on white, nothing left in ``info``."""
    image = _eight_bits(image)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    elif image.mode in ("P", "1", "YCbCr", "HSV"):
        image = image.convert("RGB")
    rgb = _to_srgb(image, profile) if profile else image.convert("RGB")
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, WHITE), alpha)
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
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _SPACES.get(source.profile.xcolor_space.strip())
        if mode == image.mode or (mode == "RGB" and image.mode == "L"):
            if "sRGB" in (source.profile.profile_description or ""):
                return image.convert("RGB")
            return ImageCms.profileToProfile(image.convert(mode), source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")  # a broken profile: shown without it, as browsers do
    return image.convert("RGB")  # made for other channels


def _what_it_is(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "a HEIC photo that is broken or cut short"
    if data.lstrip()[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<svg "):
        return "not an image but a page of text (HTML, XML or SVG)"
    return "not an image that is read here"
