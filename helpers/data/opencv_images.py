"""A second reader for files that Pillow does not open: OpenCV, behind a header that is read here.

That helps with PNG and JPEG files whose remarks are broken but whose pixels are whole, and with Sun
rasters and PAM files. OpenCV has no way to ask for a size without decoding, so that only formats
are tried whose header is read below. Files whose pixels end too early are not tried: OpenCV may
fill in what is missing without a word.
"""

import re
import struct

import numpy as np
from PIL import Image

READER = "OpenCV"
_PAM = re.compile(rb"^(WIDTH|HEIGHT)\s+(\d{1,9})\s*$", re.MULTILINE)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that give a JPEG's size
_BARE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length


def announced_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header announces; None where it is none that is read here.

    >>> announced_size(b"P7\\nWIDTH 30\\nHEIGHT 20\\nDEPTH 3\\nMAXVAL 255\\nENDHDR\\n")
    (30, 20)
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if data[:4] == b"\x59\xa6\x6a\x95" and len(data) >= 32:  # Sun raster
        return struct.unpack(">II", data[4:12])
    if data[:3] == b"P7\n":
        head, end, _ = data[:1024].partition(b"ENDHDR")
        found = [(name, int(value)) for name, value in _PAM.findall(head)]
        sizes = dict(found)
        return (
            (sizes[b"WIDTH"], sizes[b"HEIGHT"]) if end and len(found) == len(sizes) == 2 else None
        )
    return _size_of_jpeg(data) if data[:3] == b"\xff\xd8\xff" else None


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    """The size in a JPEG's one frame header; None if there is none, or no end of the image."""
    at, size = 2, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:  # the pixels start; what is cut short has no end
            return size if b"\xff\xd9" in data[at:] else None
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            if size is not None or at + 9 > len(data):
                return None
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = (width, height)
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def decode(data: bytes) -> Image.Image | None:
    """The image as OpenCV decodes it (a JPEG upright), or None where it cannot.

    Gray, RGB or RGBA with eight bits; color profiles are not applied. The caller has checked the
    announced size.
    """
    import cv2

    flag = cv2.IMREAD_COLOR if data[:2] == b"\xff\xd8" else cv2.IMREAD_UNCHANGED
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # the reason goes to the rejects instead
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        return None
    finally:
        logging.setLogLevel(level)
    size = announced_size(data)
    if pixels is None or pixels.shape[:2] not in (size, size[::-1]):
        return None
    if pixels.dtype == np.uint16:
        pixels = (pixels / 257).round().astype(np.uint8)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        return None
    if channels == 1:
        return Image.fromarray(pixels.reshape(pixels.shape[:2]))
    return Image.fromarray(pixels[:, :, [2, 1, 0, 3][:channels]])  # from BGR
