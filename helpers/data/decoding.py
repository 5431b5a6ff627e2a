"""The text of a file in whatever encoding it is surely in: UTF-8, UTF-16 by its mark, CP1252.

The encoding is looked for before anything is parsed. Windows programs write UTF-16 with a mark, and
tables in the code page of the country; for Western Europe that is CP1252 (Latin-1 is a part of it).
A code page has no mark: it is taken only where every character fits one Western language, because
the same bytes are other letters in Prague or Istanbul.
"""

import codecs
import re

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is the first half of it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SAVE_AS = "save the file as UTF-8 (a spreadsheet calls it CSV UTF-8)"
# The letters beyond a to z of languages that CP1252 was made for.
ALPHABETS = tuple(
    frozenset(letters)
    for letters in ("àâæçèéêëîïôœùûüñ", "äöüßéèàêç", "áéíóúüñçàèòï", "áâãàçéêíóôõúü", "åäöæøéüè",
                    "àèéìíòóùú")
)  # fmt: skip
_IN_WORDS = re.compile(r"[^\W\d_][^\w\s\x00-\x7f’´][^\W\d_]")
_MARKS = frozenset("’‘“”„‚«»–—…•·°½¼¾×€£§®™¡¿´")


def decode(data: bytes, file: str, *, code_pages: bool = False) -> tuple[str, str]:
    """The text of a file, and a sentence on its encoding where that is not UTF-8.

    Parameters
    ----------
    data : bytes
    file : str
        Its name, for the sentence.
    code_pages : bool
        Try CP1252 where it is no UTF-8: for tables, which spreadsheets write so. JSON is UTF-8.

    Returns
    -------
    str and str
        What cannot be read stands in the text as surrogates (``errors="surrogateescape"``).

    Raises
    ------
    ValueError
        If the file's first bytes promise UTF-16 or UTF-32 and the rest is none.

    >>> decode("crème".encode("latin-1"), "a.csv", code_pages=True)[0]
    'crème'
    """
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "")
    if encoding:
        try:
            return data.decode(encoding), f"{file} is read as {encoding.upper()}"
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{file} begins as {encoding.upper()} and does not stay so (byte {error.start}): "
                f"{SAVE_AS}"
            ) from error
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        if code_pages and (text := _western(data)):
            note = (
                f"{file} is no UTF-8 and is read as Windows-1252; if letters are wrong, {SAVE_AS}"
            )
            return text, note
    return data.decode("utf-8", errors="surrogateescape"), ""


def _western(data: bytes) -> str:
    """The text by CP1252; empty where that is not certain."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    beyond = {c for c in text.lower() if ord(c) > 127} - _MARKS
    certain = any(beyond <= alphabet for alphabet in ALPHABETS) and not _IN_WORDS.search(text)
    return text if certain else ""
