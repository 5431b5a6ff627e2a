"""What the web leaves on captions, removed by rules that say their names.

Seven kinds: misread letters (repaired, by ftfy), HTML, links, hashtags and mentions, emoji,
boilerplate, numbering; spaces are tidied last. A rule that finds nothing leaves the text as it is,
to the byte. The patterns are data: ``noise.yaml``.
"""

import html
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import yaml

TABLE = Path(__file__).with_name("noise.yaml")
MISREAD, SPACING = "mojibake", "spacing"  # spaces that were no single ones
_LOOSE = re.compile(r"\s+([.,])(?=\s|$)")
_DANGLING = re.compile(r"^[\s|–—-]+(?=\S)|[\s|–—-]{1,9}$")


@cache
def rules() -> dict[str, list[tuple[re.Pattern, str | Callable]]]:
    """By rule the patterns that it looks for, and what it puts in the place of each."""
    found, special = {}, {"its letter": lambda m: html.unescape(m.group())}
    for name, patterns in yaml.safe_load(TABLE.read_text(encoding="utf-8")).items():
        both = [one if isinstance(one, dict) else {"find": one, "put": " "} for one in patterns]
        found[name] = [(re.compile(p["find"]), special.get(p["put"], p["put"])) for p in both]
    return found


def remove_noise(text: str) -> tuple[str, dict[str, str]]:
    """The caption without what the web left on it; and by rule what that took away, or repaired.

    ``spacing`` is named where spaces had to be tidied though no other rule had changed anything.

    >>> remove_noise("<b>Soup</b> #yum")
    ('Soup', {'html': '<b> </b>', 'hashtags': '#yum'})
    """
    from ftfy import fix_encoding

    steps, given = {}, text
    text = fix_encoding(given)
    if text != given:
        steps[MISREAD] = " ".join(w for w in given.split(" ") if w not in text.split(" "))
    for name, patterns in rules().items():
        before, pieces = text, []
        for pattern, put in patterns:
            pieces += [m.group().strip() for m in pattern.finditer(text)]
            text = pattern.sub(put, text)
        if text != before:
            steps[name] = " ".join(pieces)
    tidy = " ".join(text.split())
    if steps:
        return _LOOSE.sub(r"\1", _DANGLING.sub("", tidy)).strip(), steps
    return (given, {}) if tidy == given else (tidy, {SPACING: ""})
