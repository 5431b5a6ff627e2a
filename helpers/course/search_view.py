"""How answers of ``course search`` look: text with thumbnails, or a line of JSON."""

import io
import json
import shutil
import textwrap
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from helpers.course import thumbnails


@dataclass(frozen=True)
class Look:
    """How this terminal shows answers: the way of thumbnails, colors, and characters a line."""

    way: str = "none"
    colors: int = 2**24
    width: int = 80

    @classmethod
    def of(cls, asked: str, environment: Mapping[str, str], stream: TextIO) -> "Look":
        """By what was asked for and what the terminal says of itself."""
        terminal = stream.isatty()
        way = thumbnails.best_way(environment, terminal=terminal) if asked == "auto" else asked
        colors = thumbnails.colors(environment) or 2**24
        return cls(way, colors, shutil.get_terminal_size().columns if terminal else 100)


def printable(text: str) -> str:
    """A caption without what steers a terminal: data never moves the cursor."""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join("".join(kept).split())


def welcome(pack: Any, source: str) -> str:
    """One line on what is searched; ``source`` is where the images come from."""
    return f"{_images(len(pack.retriever.index))} of {printable(source)}, {pack.made_by}"


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n:,} images"


def as_text(answer: Any, ms: float, pack: Any, look: Look) -> str:
    """Rank, score, caption and path of each hit, beside its thumbnail where there is one."""
    room = look.width - (thumbnails.COLUMNS + 3) * (look.way != "none")
    parts = []
    for hit in answer.hits:
        said = printable(str(hit.metadata.get("caption", "")))
        lines = [f"{hit.rank:2d}  {hit.score:.3f}", *textwrap.wrap(said, max(20, room))[:4]]
        lines.append(printable(str(pack.image_place(hit.id))))
        if look.way == "none":
            parts.append("\n    ".join(lines))
            continue
        image = _image(pack.image_bytes(hit.id))
        parts.append(thumbnails.beside(image, lines, truecolor=look.colors > 256))
    found = f"{len(answer.hits)} of {_images(answer.searched)} in {ms:.1f} ms"
    return "\n".join([*parts, found])


def as_json(question: Mapping[str, Any], answer: Any, ms: float, pack: Any) -> str:
    """One line: the question, milliseconds, hits and where they come from."""
    hits = [
        {"rank": h.rank, "id": h.id, "score": round(h.score, 6), **h.metadata,
         "path": str(pack.image_place(h.id))}
        for h in answer.hits
    ]  # fmt: skip
    record = {**question, "ms": round(ms, 3), "hits": hits, "provenance": dict(answer.provenance)}
    return json.dumps(record, ensure_ascii=False)


def _image(content: bytes) -> Any:
    from PIL import Image

    # Images of a zone are in its one normal form: checked when they came in.
    return Image.open(io.BytesIO(content)).convert("RGB")
