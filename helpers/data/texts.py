"""Texts of data sets: what can be kept, and how much of a value a message shows."""

import reprlib
import unicodedata
from typing import Any

from helpers.data.decoding import SAVE_AS

BOM = "\ufeff"
MAX_CHARS = 20_000  # of a text: no model here reads a hundredth of it
KINDS = {
    dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number",
    float: "a number", type(None): "null",
}  # fmt: skip
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 2, 60, 60


def printable(text: str) -> str:
    """The text with surrogates and control characters written out, so that any file can hold it."""
    escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)


def bounded(text: str, most: int = 300) -> str:
    """The text, printable, with its middle left out where it is longer than ``most``.

    >>> bounded("a" * 20, most=11)
    'aaaa...aaaa'
    """
    if len(text) > most:
        head = (most - 2) // 2
        text = f"{text[:head]}...{text[len(text) - (most - 3 - head) :]}"
    return printable(text)


def shown(value: Any) -> str:
    """A value as a message shows it: a few dozen characters, however large or deep it is."""
    return bounded(_REPR.repr(value), 40)


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: ``a list``."""
    return KINDS.get(type(value), "of a kind that is not read")


def text_problem(text: str) -> str:
    """Why a text cannot be kept; empty if it can (line breaks and tabs are no problem)."""
    if not text.strip():
        return "is empty"
    if len(text) > MAX_CHARS:
        return f"has {len(text):,} characters; at most {MAX_CHARS:,} are kept"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return f"is not valid UTF-8; {SAVE_AS}"
    if any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text):
        return "holds a control character"
    return ""
