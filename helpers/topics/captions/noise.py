"""What the web leaves on captions, removed by rules that say their names.

Seven kinds, each a rule: misread letters (repaired, by ftfy), HTML, links, hashtags and mentions,
emoji, numbering, boilerplate; spaces are tidied last. A rule that finds nothing leaves the text as
it is, to the byte.
"""

import html
import re
from collections.abc import Callable, Mapping

Found = tuple[str, list[str]]  # the text after a rule, the pieces that it took away
Rule = Callable[[str], Found]

# Repetitions are bounded where they could be tried from every place of a long run of spaces.
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


def _cut(*patterns: re.Pattern) -> Rule:
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


RULES: dict[str, Rule] = {
    "mojibake": _misread,
    "html": _markup,
    "url": _links,
    "hashtags": _cut(_HASH_NUMBER, _HASHTAG),
    "emoji": _cut(_EMOJI),
    "boilerplate": _cut(_LABEL, _CALL, _SITE, _RIGHTS),
    "numbering": _cut(_NUMBERING),
}
SPACING = "spacing"  # spaces that were no single ones
_LOOSE = re.compile(r"\s+([.,])(?=\s|$)")
_DANGLING = re.compile(r"^[\s|–—-]+(?=\S)|[\s|–—-]{1,9}$")


def remove_noise(text: str, rules: Mapping[str, Rule] = RULES) -> tuple[str, dict[str, str]]:
    """The caption without what the web left on it; and by rule what that took away, or repaired.

    ``spacing`` is named where spaces had to be tidied though no other rule had changed anything.

    Examples
    --------
    >>> remove_noise("<b>Soup</b> #yum")
    ('Soup', {'html': '<b> </b>', 'hashtags': '#yum'})
    """
    steps, given = {}, text
    for name, rule in rules.items():
        after, pieces = rule(text)
        if after != text:
            steps[name] = " ".join(pieces)
            text = after
    tidy = " ".join(text.split())
    if steps:
        return _LOOSE.sub(r"\1", _DANGLING.sub("", tidy)).strip(), steps
    return (given, {}) if tidy == given else (tidy, {SPACING: ""})
