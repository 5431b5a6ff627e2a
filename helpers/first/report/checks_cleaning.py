"""Check of lesson 01: a caption without tags and hashtags, and otherwise untouched."""

import re
from collections.abc import Callable
from html import unescape

from helpers.first.report.verdicts import Settled, Verdict, ask, correct, exercise, hint

_EXAMPLE = "<b>Fish &amp; chips</b> with lemon #yum"

# What comes in, what is due, and what it means if it does not come out.
_KEPT = (
    ("chicken soup with basil", "a clean caption was changed: most captions are clean, and a rule "
     "that harms them costs more than it mends."),
    ("crème brûlée with jalapeños", "letters with accents were lost: they are no noise. Remove "
     "what you know to be noise, not everything that is no plain letter."),
    ("#1 chili", "`#1` is a rank, no hashtag: a hashtag holds a letter."),
    ("rice for 2 < 3 people, or > 4", "a `<` or `>` alone opens no tag: a tag starts with `<` and "
     "a letter, or with `</`."),
    ("Fish & Chips, 500 g (serves 2)!", "capitals, digits and punctuation belong to the caption."),
)  # fmt: skip
_CLEANED = (
    ("<p>tomato soup</p>", "tomato soup", "a tag is still there, or its blanks are."),
    ('<span class="caption">tofu</span> pie', "tofu pie", "a tag may hold more than its name, such "
     "as a class: match everything up to the next `>`."),
    ("soup<br/>with basil", "soup with basil", "two words were glued together: put a blank where a "
     "tag was, and make several blanks one at the end."),
    ("fish &amp; chips", "fish & chips", "an entity such as `&amp;` stands for a letter: "
     "`html.unescape` knows them all."),
    ("beef pie #yum #home_cooking2", "beef pie", "a hashtag is still there, or a part of it: "
     "letters, digits and `_` belong to it, and there may be several."),
    ("#dinner beef pie", "beef pie", "a hashtag may stand at the start; blanks around a caption "
     "go as well."),
    ("sopa #cenarápida de pollo", "sopa de pollo", "hashtags are written in any language: `\\w` "
     "takes letters with accents, `[a-z]` does not."),
)  # fmt: skip


def _clean(caption: str) -> str:
    text = re.sub(r"</?[A-Za-z][^<>]*>", " ", caption)
    text = re.sub(r"#(?=\w*[^\W\d_])\w+", " ", unescape(text))
    return " ".join(text.split())


@exercise("01.clean_caption", example={"caption": _EXAMPLE})
def clean_caption(answer: Callable) -> Verdict:
    """``f(caption) -> str``: no tags, no hashtags, entities resolved, single blanks."""
    for caption, said in _KEPT:
        got = _asked(answer, caption)
        if got != caption:
            return hint(f"`{caption}` became `{got}`: {said}")
    for caption, due, said in _CLEANED:
        got = _asked(answer, caption)
        if got != due:
            return hint(f"`{caption}` became `{got}`, `{due}` is due: {said}")
    got = _asked(answer, _EXAMPLE)
    if got != _clean(_EXAMPLE):
        return hint(f"`{_EXAMPLE}` became `{got}`: several kinds of noise may meet in a caption.")
    return correct("the noise is gone, and what was no noise is as it was.")


def _asked(answer: Callable, caption: str) -> str:
    result = ask(answer, caption=caption)
    if not isinstance(result, str):
        raise Settled(hint(f"the clean caption is due, text, and you returned {result!r}."))
    return result
