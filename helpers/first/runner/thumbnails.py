"""Thumbnails in a terminal: by kitty's, iTerm2's or sixel graphics, or as colored half blocks.

Half blocks are characters whose upper and lower half have a color each: every terminal with colors
shows them. The other three are pictures proper, and only asked for where the terminal says that it
has them. Inside tmux or screen, which pass no pictures on, half blocks are used.
"""

import base64
import io
from collections.abc import Mapping

from PIL import Image

WAYS = ("kitty", "iterm", "sixel", "blocks", "none")
COLUMNS, LINES = 16, 8  # of a thumbnail, in characters; a character is twice as high as wide
PX = 128  # side of a picture that is sent whole
RESET = "\x1b[0m"


def best_way(environment: Mapping[str, str], *, terminal: bool) -> str:
    """What this terminal can show, by what it says of itself.

    >>> best_way({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, terminal=True)
    'blocks'
    >>> best_way({"TERM": "xterm-kitty"}, terminal=False)
    'none'
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if not terminal or term in ("", "dumb") or environment.get("NO_COLOR"):
        return "none"
    inside = environment.get("TMUX") or environment.get("STY") or term.startswith("screen")
    if not inside:
        if "kitty" in term or "ghostty" in term or environment.get("KITTY_WINDOW_ID"):
            return "kitty"
        if program in ("iTerm.app", "WezTerm"):
            return "iterm"
        if "sixel" in term or term.startswith(("mlterm", "foot")):
            return "sixel"
    return "blocks" if colors(environment) else "none"


def colors(environment: Mapping[str, str]) -> int:
    """How many colors a character can have: 2**24, 256, or 0 for what is not known."""
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 2**24
    return 256 if "256color" in environment.get("TERM", "") else 0


def beside(picture: Image.Image, lines: list[str], *, way: str, shades: int = 2**24) -> str:
    """A thumbnail with lines of text to its right, as one text to print.

    Parameters
    ----------
    picture : PIL.Image.Image
    lines : list of str
        At most ``LINES`` are shown.
    way : str
        One of ``WAYS``.
    shades : int
        For half blocks: 2**24 or 256.

    Raises
    ------
    ValueError
        For an unknown way.
    """
    if way not in WAYS:
        raise ValueError(f"unknown way to show thumbnails {way!r}: use {', '.join(WAYS)}")
    if way == "none":
        return "\n".join(lines)
    said = (lines + [""] * LINES)[:LINES]
    if way == "blocks":
        pixels = blocks(picture, truecolor=shades > 256)
        return "\n".join(f"{left}  {right}" for left, right in zip(pixels, said, strict=True))
    drawn = {"kitty": kitty, "iterm": iterm, "sixel": sixel}[way](picture)
    # Room first, so that nothing scrolls between saving the cursor and coming back to it.
    room = "\n" * LINES + f"\x1b[{LINES}A"
    text = "\n".join(f"\x1b[{COLUMNS + 2}C{line}" for line in said)
    return f"{room}\x1b7{drawn}\x1b8{text}"


def _square(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture on a white ground of this size, ratio kept."""
    small = picture.convert("RGB")
    small.thumbnail((width, height), Image.Resampling.LANCZOS)
    if small.width < width and small.height < height:  # drawn pictures may be smaller
        scale = min(width / small.width, height / small.height)
        size = max(1, round(small.width * scale)), max(1, round(small.height * scale))
        small = small.resize(size, Image.Resampling.BICUBIC)
    ground = Image.new("RGB", (width, height), "white")
    ground.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return ground


def blocks(picture: Image.Image, *, truecolor: bool = True) -> list[str]:
    """``LINES`` lines of ``COLUMNS`` upper half blocks: two pixels a character."""
    pixels = _square(picture, COLUMNS, 2 * LINES).load()
    lines = []
    for row in range(LINES):
        text = ""
        for column in range(COLUMNS):
            upper, lower = pixels[column, 2 * row], pixels[column, 2 * row + 1]
            text += f"\x1b[38;{_color(upper, truecolor)};48;{_color(lower, truecolor)}m▀"
        lines.append(text + RESET)
    return lines


def _color(rgb: tuple[int, int, int], truecolor: bool) -> str:
    if truecolor:
        return "2;" + ";".join(map(str, rgb))
    red, green, blue = (round(value / 255 * 5) for value in rgb)  # the cube of 216 colors
    return f"5;{16 + 36 * red + 6 * green + blue}"


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    _square(picture, PX, PX).save(stream, "PNG")
    return stream.getvalue()


def kitty(picture: Image.Image) -> str:
    """Kitty's graphics protocol: a PNG in pieces of 4,096 characters."""
    text = base64.b64encode(_png(picture)).decode()
    pieces = [text[start : start + 4096] for start in range(0, len(text), 4096)]
    out = ""
    for number, piece in enumerate(pieces):
        more = int(number < len(pieces) - 1)
        first = f"a=T,f=100,q=2,c={COLUMNS},r={LINES}," if number == 0 else ""
        out += f"\x1b_G{first}m={more};{piece}\x1b\\"
    return out


def iterm(picture: Image.Image) -> str:
    """iTerm2's inline images."""
    content = _png(picture)
    text = base64.b64encode(content).decode()
    size = f"size={len(content)};width={COLUMNS};height={LINES}"
    return f"\x1b]1337;File=inline=1;{size};preserveAspectRatio=1:{text}\x07"


def sixel(picture: Image.Image) -> str:
    """DEC's sixel graphics: bands of six pixels, a pass for each of up to 64 colors."""
    drawn = _square(picture, PX, PX).quantize(64)
    palette = drawn.getpalette()
    pixels = drawn.load()
    used = sorted({pixels[x, y] for x in range(PX) for y in range(PX)})
    out = f'\x1bPq"1;1;{PX};{PX}'
    for color in used:
        shares = [round(value / 255 * 100) for value in palette[3 * color : 3 * color + 3]]
        out += f"#{color};2;" + ";".join(map(str, shares))
    for top in range(0, PX, 6):
        bits: dict[int, list[int]] = {}
        for y in range(top, min(top + 6, PX)):
            for x in range(PX):
                bits.setdefault(pixels[x, y], [0] * PX)[x] |= 1 << (y - top)
        bands = (f"#{color}" + "".join(chr(63 + b) for b in row) for color, row in bits.items())
        out += "$".join(bands) + "-"
    return out + "\x1b\\"
