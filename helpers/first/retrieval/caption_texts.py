"""Modification texts from captions: the difference of what is said of two pictures, by rule.

The other way to make triplets, without a generator. It knows only what the captions say, and takes
silence for absence, as any difference of two texts does: a garnish that one caption leaves out is
"without" in the result.
"""

import re
from collections.abc import Sequence

import numpy as np

from helpers.world.changes import CHANGEABLE
from helpers.world.mentions import attributes_told
from helpers.world.phrases import WORDS, with_article

SMALL = frozenset(
    ("a", "an", "the", "of", "on", "in", "with", "and", "or", "is", "are", "at", "to", "for",
     "from", "over", "by", "its", "it", "this", "that", "some")
)  # fmt: skip
MOST_CHANGES = 2
CAPTION = 1  # of brief, standard and detailed: what a shop or a crawl gives


def difference_text(before: str, after: str, *, rng: np.random.Generator) -> str:
    """What leads from one caption to the other, in at most two phrases; empty if nothing does.

    Values that the course's words know become phrases of their attribute ("with tofu instead of
    beef"); where neither caption has one, the words that are in one caption alone do.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> difference_text("beef soup", "tofu soup", rng=rng)
    'with tofu instead of beef'
    >>> difference_text("a long sleeved shirt", "a short sleeved shirt", rng=rng)
    'with short instead of long'
    """
    told = [attributes_told([caption]) for caption in (before, after)]
    if not told[0] and not told[1]:
        return _word_difference(before, after)
    old, new = ({k: min(v) for k, v in t.items()} for t in told)
    differing = [n for n in CHANGEABLE if old.get(n) != new.get(n) and (n in new or n in old)]
    phrases = [_phrase(name, old.get(name, ""), new.get(name, "")) for name in differing]
    phrases = [phrase for phrase in phrases if phrase]
    chosen = sorted(rng.permutation(len(phrases))[:MOST_CHANGES].tolist())
    return " and ".join(phrases[i] for i in chosen)


def texts_from_captions(
    captions: Sequence[tuple[Sequence[str], Sequence[str]]], *, seed: int = 42
) -> list[tuple[str, str]]:
    """Forward and reverse text of each pair of pictures, from one caption of either.

    A change that only one direction can put into words (a plate that one caption leaves out) stands
    in that text alone, so that the two need not name the same changes.
    """
    found = []
    for i, pair in enumerate(captions):
        before, after = (own[min(CAPTION, len(own) - 1)] for own in pair)
        one, two = (np.random.default_rng([seed, i]) for _ in range(2))
        found.append(
            (difference_text(before, after, rng=one), difference_text(after, before, rng=two))
        )
    return found


def _phrase(name: str, old: str, new: str) -> str:
    """One change; an attribute that a dish always has and a caption leaves out says nothing."""
    always_there = name in ("dish", "main", "plate", "table")
    if name == "plate":
        return f"on {with_article(new)} plate" if new else ""
    said = {value: WORDS[name][value][0] for value in (old, new) if value}
    if name == "table":
        return f"on {said[new]}" if new else ""
    if not new:
        return "" if always_there else f"without {said[old]}"
    if name == "dish":
        return f"{said[new]} instead"
    return f"with {said[new]} instead of {said[old]}" if old else f"with {said[new]}"


def _word_difference(before: str, after: str) -> str:
    one, two = (list(dict.fromkeys(re.findall(r"[\w'-]+", t.lower()))) for t in (before, after))
    gained = [word for word in two if word not in one and word not in SMALL]
    lost = [word for word in one if word not in two and word not in SMALL]
    parts = [f"with {' '.join(gained)}"] if gained else []
    parts += [f"{'instead of' if gained else 'without'} {' '.join(lost)}"] if lost else []
    return " ".join(parts)
