"""What the web leaves on captions, removed by rules that say their names.

Seven kinds, each a rule: misread letters (repaired, by ftfy), HTML, links, hashtags and mentions,
emoji, numbering, boilerplate; blanks are tidied last. A rule that finds nothing leaves the text as
it is, to the byte.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A rule that changed a caption, and what it took away or, of misread letters, repaired."""

    rule: str
    removed: str


@dataclass(frozen=True)
class Denoised:
    """A caption without its noise, and the rules that were applied, in order."""

    text: str
    steps: tuple[Step, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules."""
        return tuple(step.rule for step in self.steps)


# Repetitions are bounded where they could be tried from every place of a long run of blanks.
Found = tuple[str, list[str]]  # the text after a rule, the pieces that it took away

_COMMENT = re.compile(r"<!--.{0,2000}?-->", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>")
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z][A-Za-z0-9]{1,30});")
_MARKDOWN_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_LINK = re.compile(
    r"\(?\s?(?:\b(?:https?|ftp)://|\bwww\.)[^\s<>()]+\)?|\b(?:[a-z0-9-]+\.){1,3}[a-z]{2,}/\S*",
    re.IGNORECASE,
)
_HASHTAG = re.compile(r"(?<![\w&/])#(?=\w*[^\W\d_])\w+(?:#\w+)*|(?<![\w.])@\w+")
_HASH_NUMBER = re.compile(r"(?<![\w&/])#\d+(?=\s+#)")  # "#2021 #eatwell": a tag among tags
_PICTOGRAM = "\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\U000e0020-\U000e007f\u20e3"
_EMOJI = re.compile(rf"(?:[{_PICTOGRAM}][\ufe0e\ufe0f\u200d]*)+|(?<!\S)[:;]'?-?[)(DPp](?!\S)")
_NUMBERING = re.compile(
    r"^\s*(?:\(\d{1,3}\)|\d{1,3}[.)](?!\d)|#\d{1,3}\s*[:.–-]|[•‣▪●*]|"
    r"(?:fig|figure|abb|step|schritt|paso|étape|passo|no|nr|n°|nº)\b\.?\s*\d{1,3}\s*[:.)–-]|"
    r"(?:IMG|DSC|DSCN|PXL)[_-]?\d{3,}(?:\.jpe?g)?)\s+",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^\s*(?:(?:easy|quick|free)\s+)?(?:recipe|rezept|receta|recette|ricetta)\s*:\s*", re.IGNORECASE
)
_SITE = re.compile(
    r"\s{0,9}\|\s[^|]{0,99}\b(?:recipes?|rezepte?|recetas?|recettes?|ricett[ae])\b[^|]{0,99}$", re.I
)
_CALL = re.compile(
    r"\s{0,9}(?:[-–—|.!]\s{0,9})?"
    r"\b(?:(?:click|tap) here|hier klicken|haz clic|cliquez ici|clicca qui)\b.*$",
    re.IGNORECASE | re.DOTALL,
)
_RIGHTS = re.compile(r"\s{0,9}(?:©|\(c\)\s*(?=\d{4})|\bcopyright\b).*$", re.IGNORECASE | re.DOTALL)


def _cut(*patterns: re.Pattern) -> Callable[[str], Found]:
    """A rule that takes away all that some patterns match."""

    def rule(text: str) -> Found:
        pieces = []
        for pattern in patterns:
            pieces += [m.group().strip() for m in pattern.finditer(text)]
            text = pattern.sub(" ", text)
        return text, pieces

    return rule


def _misread(text: str) -> Found:
    """UTF-8 that was read as another encoding, turned back, as often as it was misread."""
    from ftfy import fix_encoding

    fixed = fix_encoding(text)
    if fixed == text:
        return text, []
    words = [word for word in text.split(" ") if word not in fixed.split(" ")]
    return fixed, [" ".join(words)]


def _markup(text: str) -> Found:
    """Comments and tags go; entities become the letters that they stand for."""
    pieces = [m.group() for m in _COMMENT.finditer(text)]
    text = _COMMENT.sub(" ", text)
    pieces += [m.group() for m in _ENTITY.finditer(text)]
    text = _ENTITY.sub(lambda m: html.unescape(m.group()), text)
    pieces += [m.group() for m in _TAG.finditer(text)]
    return _TAG.sub(" ", text), pieces


def _links(text: str) -> Found:
    """Links go; the words of a Markdown link stay."""
    pieces = [m.group() for m in _MARKDOWN_LINK.finditer(text)]
    text = _MARKDOWN_LINK.sub(r"\1", text)
    rest, more = _cut(_LINK)(text)
    return rest, pieces + more


RULES: dict[str, Callable[[str], Found]] = {
    "mojibake": _misread,
    "html": _markup,
    "url": _links,
    "hashtags": _cut(_HASH_NUMBER, _HASHTAG),
    "emoji": _cut(_EMOJI),
    "boilerplate": _cut(_LABEL, _CALL, _SITE, _RIGHTS),
    "numbering": _cut(_NUMBERING),
}
SPACING = "spacing"  # blanks that were no single blanks, and separators left at an end
_LOOSE = re.compile(r"\s+([.,])(?=\s|$)")
_DANGLING = re.compile(r"^[\s|–—-]+(?=\S)|[\s|–—-]{1,9}$")


def remove_noise(text: str) -> Denoised:
    """The caption without what the web left on it.

    Parameters
    ----------
    text : str

    Returns
    -------
    Denoised
        ``steps`` names each rule of ``RULES`` that changed the text, and what it took away;
        ``spacing`` if blanks had to be tidied though no other rule had come by.

    Examples
    --------
    >>> remove_noise("<b>Soup</b> #yum").text, remove_noise("<b>Soup</b> #yum").rules
    ('Soup', ('html', 'hashtags'))
    """
    steps, given = [], text
    for name, rule in RULES.items():
        after, pieces = rule(text)
        if after != text:
            steps.append(Step(name, " ".join(pieces)))
            text = after
    tidy = " ".join(text.split())
    if steps:
        tidy = _LOOSE.sub(r"\1", _DANGLING.sub("", tidy)).strip()
    elif tidy != given:
        steps.append(Step(SPACING, ""))
    return Denoised(tidy if steps else given, tuple(steps))
