"""Thumbnails: each way is decoded again and held against the picture."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from helpers.first.runner import thumbnails
from helpers.first.runner.thumbnails import (
    COLUMNS,
    LINES,
    PX,
    beside,
    best_way,
    blocks,
    kitty,
    sixel,
)

HALF = Image.new("RGB", (60, 60), (200, 30, 40))
HALF.paste((20, 60, 220), (0, 30, 60, 60))


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "screen-256color"}, "blocks"),
        ({"TERM": "xterm", "COLORTERM": "24bit"}, "blocks"),
        ({"TERM": "xterm"}, "none"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ({}, "none"),
    ],
)
def test_the_way_follows_from_what_the_terminal_says(environment, way):
    assert best_way(environment, terminal=True) == way
    assert best_way(environment, terminal=False) == "none"


def colors_of(line: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Upper and lower color of each half block."""
    found = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", line)
    return [(tuple(map(int, f[:3])), tuple(map(int, f[3:]))) for f in found]


def test_half_blocks_hold_the_picture():
    lines = [colors_of(line) for line in blocks(HALF)]
    assert [len(line) for line in lines] == [COLUMNS] * LINES
    assert lines[0][3] == ((200, 30, 40),) * 2
    assert lines[-1][-1] == ((20, 60, 220),) * 2
    wide = [colors_of(line) for line in blocks(Image.new("RGB", (100, 50), "black"))]
    assert wide[0][0][0] == (255, 255, 255)  # the ratio is kept, on white
    assert wide[LINES // 2][0][0] == (0, 0, 0)
    few = blocks(Image.new("RGB", (4, 4), (255, 0, 0)), truecolor=False)
    assert "38;5;196;48;5;196m" in few[0]


def test_kitty_and_iterm_send_a_whole_png():
    noise = np.random.default_rng(0).integers(0, 256, (PX, PX, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(picture))
    assert len(pieces) > 2
    assert max(len(text) for _, text in pieces) == 4096
    assert [settings[-3:] for settings, _ in pieces] == ["m=1"] * (len(pieces) - 1) + ["m=0"]
    sent = base64.b64decode("".join(text for _, text in pieces))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), noise)
    head, text = thumbnails.iterm(picture).split(":", 1)
    assert head.startswith("\x1b]1337;File=inline=1;size=")
    sent = base64.b64decode(text.removesuffix("\x07"))
    assert f"size={len(sent)};" in head
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), noise)


def decoded_sixel(text: str) -> np.ndarray:
    """A plain decoder: (PX, PX, 3) in [0, 255], -1 where nothing was painted."""
    body = text.removeprefix(f'\x1bPq"1;1;{PX};{PX}').removesuffix("\x1b\\")
    out = np.full((PX, PX, 3), -1.0)
    palette = {}
    top = x = color = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|[$-]|[?-~]", body):
        if token.startswith("#") and ";" in token:
            number, _, *shares = map(int, token[1:].split(";"))
            palette[number] = np.array(shares) * 2.55
        elif token.startswith("#"):
            color = int(token[1:])
        elif token in "$-":
            x, top = 0, top + 6 * (token == "-")
        else:
            for bit in range(6):
                if (ord(token) - 63) >> bit & 1:
                    out[top + bit, x] = palette[color]
            x += 1
    return out


def test_sixel_paints_every_pixel_in_its_color():
    found = decoded_sixel(sixel(HALF))
    assert found.min() >= 0
    assert np.abs(found[0, 0] - (200, 30, 40)).max() < 4
    assert np.abs(found[-1, -1] - (20, 60, 220)).max() < 4


@pytest.mark.parametrize("way", thumbnails.WAYS)
def test_text_stands_beside_every_way(way):
    said = beside(HALF, ["one", "two"], way=way)
    assert said.index("one") < said.index("two")
    if way in ("kitty", "iterm", "sixel"):
        assert said.startswith("\n" * LINES + f"\x1b[{LINES}A\x1b7")
        assert said.count("\n") == LINES + LINES - 1
    if way == "none":
        assert said == "one\ntwo"


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="'ascii': use kitty"):
        beside(HALF, [], way="ascii")
