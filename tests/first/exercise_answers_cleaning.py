"""Answers to the exercise on captions in lesson 01: right ones, and mistakes with their hints."""

import html
import re

TAG, HASHTAG = r"</?[a-zA-Z][^>]*>", r"#\w*[^\W\d_]\w*"


def caption_right(caption):
    for pattern in (TAG, HASHTAG):
        caption = re.sub(pattern, " ", caption)
    return " ".join(html.unescape(caption).split())


def caption_by_words(caption):
    text = html.unescape(re.sub(TAG, " ", caption))
    kept = [w for w in text.split() if not (w[0] == "#" and any(c.isalpha() for c in w))]
    return " ".join(kept)


def caption_as(*, tag=TAG, hashtag=HASHTAG, gap=" ", unescape=html.unescape, tidy=True):
    """A wrong answer: the right one but for what is given."""

    def clean(caption):
        text = re.sub(hashtag, " ", unescape(re.sub(tag, gap, caption)))
        return " ".join(text.split()) if tidy else text

    return clean


RIGHT = {"01.clean_caption": [caption_right, caption_by_words]}
WRONG = {
    "01.clean_caption": [
        (lambda caption: caption, "a tag is still there"),
        (lambda caption: caption.lower(), "capitals, digits"),
        (lambda caption: re.sub(r"[^a-zA-Z0-9 ,.&#<>!()]", "", caption), "letters with accents"),
        (lambda caption: caption_right(caption).split(), "text, and you returned"),
        (lambda caption: caption_right(caption) + "!", "a clean caption was changed"),
        (caption_as(hashtag=r"#\w+"), "is a rank"),
        (caption_as(tag=r"<[^>]*>"), "opens no tag"),
        (caption_as(tag=r"</?\w+>"), "more than its name"),
        (caption_as(gap=""), "glued together"),
        (caption_as(unescape=str), "html.unescape"),
        (caption_as(hashtag=r"#[a-z]+"), "a part of it"),
        (caption_as(hashtag=r" #\w*[^\W\d_]\w*"), "at the start"),
        (caption_as(hashtag=r"#(?=[a-z])[a-z0-9_]+"), "any language"),
        (caption_as(tidy=False), "or its blanks are"),
        (lambda c: c if "&amp;" in c and "<b>" in c else caption_right(c), "may meet"),
    ]
}
