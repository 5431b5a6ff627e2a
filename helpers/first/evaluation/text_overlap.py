"""How far two texts use the same words: ROUGE-1, ROUGE-L and METEOR, by the libraries that papers use.

All are in [0, 1]. METEOR (Banerjee and Lavie, 2005) matches words, then stems, then synonyms; the
synonyms come from WordNet, which is a download. Here WordNet is replaced by a stand-in that knows
no synonym, so these values are a little lower than those of a full METEOR and never higher.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any


class NoSynonyms:
    """A WordNet without a word in it."""

    def synsets(self, word: str, pos: Any = None) -> list[Any]:
        """No synonym of any word."""
        return []


def rouge_1(candidate: str, references: Sequence[str]) -> float:
    """ROUGE-1 (Lin, 2004), the F value of the words that both have, in any order.

    Words are lower-cased and stemmed; of several references the best one counts.

    Raises
    ------
    ValueError
        If there is no reference.

    Examples
    --------
    >>> rouge_1("beef with tofu", ["tofu with beef"]), rouge_l("beef with tofu", ["tofu with beef"])
    (1.0, 0.3333333333333333)
    """
    return _best("rouge1", candidate, references)


def rouge_l(candidate: str, references: Sequence[str]) -> float:
    """ROUGE-L (Lin, 2004), the F value of the longest common subsequence, by ``rouge-score``.

    Words are lower-cased and stemmed; of several references the best one counts.

    Raises
    ------
    ValueError
        If there is no reference.

    Examples
    --------
    >>> round(rouge_l("with tofu", ["with tofu instead of beef"]), 3)
    0.571
    """
    return _best("rougeL", candidate, references)


def meteor(candidate: str, references: Sequence[str]) -> float:
    """METEOR by ``nltk``, with exact and stem matches and no synonyms; the best reference counts.

    Raises
    ------
    ValueError
        If there is no reference.

    Examples
    --------
    >>> meteor("on marble", ["with tofu"])
    0.0
    """
    from nltk.translate.meteor_score import meteor_score

    _check(references)
    words = candidate.lower().split()
    if not words:
        return 0.0
    told = [text.lower().split() for text in references]
    return float(meteor_score(told, words, wordnet=NoSynonyms()))


def _best(kind: str, candidate: str, references: Sequence[str]) -> float:
    _check(references)
    return max(_rouge().score(text, candidate)[kind].fmeasure for text in references)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


def _check(references: Sequence[str]) -> None:
    if isinstance(references, str) or not references:
        raise ValueError(f"references are {references!r}: give a list of at least one text")
