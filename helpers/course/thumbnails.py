"""Thumbnails in a terminal: colored half blocks, two pixels a character."""

from collections.abc import Mapping

from PIL import Image

WAYS = ("blocks", "none")
COLUMNS, LINES = 16, 8  # of a thumbnail, in characters; a character is twice as high as wide
RESET = "\x1b[0m"


def best_way(environment: Mapping[str, str], *, terminal: bool) -> str:
    """What this terminal can show, by what it says of itself.

    >>> best_way({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, terminal=True)
    'blocks'
    >>> best_way({"TERM": "xterm-256color"}, terminal=False)
    'none'
    """
    known = environment.get("TERM", "") not in ("", "dumb") and not environment.get("NO_COLOR")
    return "blocks" if terminal and known and colors(environment) else "none"


def colors(environment: Mapping[str, str]) -> int:
    """How many colors a character can have: 2**24, 256, or 0 for what is not known."""
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 2**24
    return 256 if "256color" in environment.get("TERM", "") else 0


def beside(image: Image.Image, lines: list[str], *, truecolor: bool = True) -> str:
    """A thumbnail with at most ``LINES`` lines of text to its right, as one text to print."""
    said = (lines + [""] * LINES)[:LINES]
    pixels = blocks(image, truecolor=truecolor)
    return "\n".join(f"{left}  {right}" for left, right in zip(pixels, said, strict=True))


def blocks(image: Image.Image, *, truecolor: bool = True) -> list[str]:
    """``LINES`` lines of ``COLUMNS`` upper half blocks."""
    pixels = _square(image, COLUMNS, 2 * LINES).load()
    lines = []
    for row in range(LINES):
        text = ""
        for column in range(COLUMNS):
            upper, lower = pixels[column, 2 * row], pixels[column, 2 * row + 1]
            text += f"\x1b[38;{_color(upper, truecolor)};48;{_color(lower, truecolor)}m▀"
        lines.append(text + RESET)
    return lines


def _square(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image on a white ground of this size, ratio kept."""
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (width, height), "white")
    ground.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return ground


def _color(rgb: tuple[int, int, int], truecolor: bool) -> str:
    if truecolor:
        return "2;" + ";".join(map(str, rgb))
    red, green, blue = (round(value / 255 * 5) for value in rgb)  # the cube of 216 colors
    return f"5;{16 + 36 * red + 6 * green + blue}"
