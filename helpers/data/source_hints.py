"""Why something is no source, and the nearest thing that would be one."""

import difflib
from pathlib import PurePosixPath

from helpers import paths
from helpers.data.folders import (
    PICTURES,
    RECORDS_FILE,
    Asked,
    files_below,
    pictures_of,
    tables_of,
)
from helpers.data.imagefolder import METADATA
from helpers.data.markdown import is_page

KNOWN = (RECORDS_FILE, *METADATA)
# What people bring that is none, and what to do with it.
INSTEAD = {
    (".xlsx", ".xls", ".ods", ".numbers"): "save the sheet as CSV, with the columns image,caption",
    (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"): "unpack it, and give the folder or its table",
    (".parquet", ".arrow", ".db", ".sqlite"): "write it as CSV, with the columns image,caption",
    (".txt", ".dat"): "where it is a table image,caption, let its name end in .csv",
    PICTURES: "give the table that names it, or the folder that holds the table",
}


def why_not(asked: Asked, kinds: str) -> str:
    """What is there instead of a source, and what may have been meant; ``kinds`` names them."""
    if not asked.source:
        return f"it is empty; {kinds}"
    path = asked.path
    if path.is_dir():
        return _what_a_folder_lacks(asked)
    if path.exists():
        suffix = path.suffix.lower()
        instead = next((text for ends, text in INSTEAD.items() if suffix in ends), "")
        hint = f": {instead}" if instead else ""
        return f"a {path.suffix or 'nameless'} file is not read as a source{hint} ({kinds})"
    where = f"nothing is at {' or '.join(map(str, paths.places(asked.source)))}"
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = [str(path.with_name(n)) for n in difflib.get_close_matches(path.name, names, n=1)]
    scheme, colon, rest = asked.source.partition(":")
    if colon and difflib.get_close_matches(scheme.lower(), ["world"]):
        near.insert(0, f"world:{rest}")
    return f"{where}; did you mean {near[0]!r}? ({kinds})" if near else f"{where}; {kinds}"


def _what_a_folder_lacks(asked: Asked) -> str:
    """What was looked for in a folder, what is there instead, and what to give."""
    files = files_below(asked.path)
    looked = f"no {RECORDS_FILE}, no {', no '.join(METADATA)}, no Markdown page with front matter"
    has = f"the folder {asked.path} holds {looked} and no folders of images named after classes"
    if tables := tables_of(files, known=KNOWN):
        more = f" and {len(tables) - 1} more" if len(tables) > 1 else ""
        table = PurePosixPath(tables[0])
        place = table.parent if table.name in KNOWN else table
        return f"{has}; a table is at {table}{more}: did you mean {_inside(asked, place)!r}?"
    pages = [file for file in files if is_page(file, files)]
    if pages:
        return f"{has}; of {len(pages)} pages such as {pages[0]} none begins with a line ---"
    pictures = pictures_of(files)
    if pictures:
        write = f"write {_inside(asked, 'captions.csv')} with the columns image,caption"
        return (
            f"{has}; it holds {len(pictures)} images such as {pictures[0]}: {write}, and give that"
        )
    return f"{has}, nor any image"


def _inside(asked: Asked, name: object) -> str:
    return f"{asked.source.rstrip('/')}/{name}"
