"""Captions rewritten by rule, so that a model sees one dish under many wordings.

What a rewriting must not change: numbers and their units, colors, ingredients, negations. Every
result is checked for that (``text_facts.preserves``) and dropped if it fails. Two things to know
before hoping for much: the tokenizers of CLIP and SigLIP read small letters only, so that ``case``
changes nothing for them; and "Homemade" or "Easy" are claims that no picture shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from helpers.first.prepare import text_rules
from helpers.first.prepare.augmentation_settings import TextRule, load_config
from helpers.first.prepare.text_facts import preserves
from helpers.first.prepare.text_reorder import reorder

RULES: dict[str, Callable[[str, TextRule, np.random.Generator], str]] = {
    "synonyms": text_rules.synonyms,
    "prefix_add": text_rules.prefix_add,
    "prefix_remove": text_rules.prefix_remove,
    "reorder": reorder,
    "case": text_rules.case,
    "suffix_add": text_rules.suffix_add,
    "suffix_remove": text_rules.suffix_remove,
    "simplify": text_rules.simplify,
}
ANY_LANGUAGE = ("case",)  # the other rules know English only


@dataclass(frozen=True)
class Augmented:
    """A caption and the rule that made it; without a rule it is the text that came."""

    text: str
    rule: str = ""


def augment_caption(
    text: str,
    rng: np.random.Generator,
    rules: Mapping[str, TextRule],
    *,
    language: str = "en",
) -> Augmented:
    """The caption after one rule, chosen by weight among the enabled rules that change it.

    Parameters
    ----------
    rng : Generator
        Decides; the same state gives the same result.
    rules : mapping
        ``AugmentationConfig.texts``.
    language : str
        Text that is not English (``en``, ``en-GB``) is changed in its capitals at most.

    >>> rules = load_config().texts
    >>> augment_caption("200 g", np.random.default_rng(0), rules)
    Augmented(text='200 g', rule='')
    """
    english = language.split("-")[0].casefold() in ("en", "")
    seeds = rng.integers(2**62, size=len(RULES) + 1)
    found: dict[str, str] = {}
    for name, seed in zip(RULES, seeds, strict=False):
        rule = rules[name]
        if rule.enabled and rule.weight > 0 and (english or name in ANY_LANGUAGE):
            changed = _guarded(name, text, rule, np.random.default_rng(seed))
            if changed != text:
                found[name] = changed
    if not found:
        return Augmented(text)
    weights = np.array([rules[name].weight for name in found])
    chosen = np.random.default_rng(seeds[-1]).choice(list(found), p=weights / weights.sum())
    return Augmented(found[str(chosen)], str(chosen))


def apply_rule(
    name: str,
    text: str,
    *,
    rules: Mapping[str, TextRule] | None = None,
    rng: np.random.Generator | None = None,
) -> str:
    """The caption after one named rule, enabled or not; unchanged where the rule does not apply.

    Parameters
    ----------
    rules : mapping, optional
        ``AugmentationConfig.texts``; by default those of the course's file.
    rng : Generator, optional
        Chooses where a rule has a choice; by default the same each time.

    Raises
    ------
    ValueError
        For an unknown rule.

    >>> apply_rule("reorder", "Banana French Toast")
    'French Toast with Banana'
    """
    if name not in RULES:
        raise ValueError(f"unknown text rule {name!r} (there are {', '.join(RULES)})")
    rules = load_config().texts if rules is None else rules
    return _guarded(name, text, rules[name], np.random.default_rng(0) if rng is None else rng)


def _guarded(name: str, text: str, rule: TextRule, rng: np.random.Generator) -> str:
    changed = RULES[name](text, rule, rng)
    if changed == text or not preserves(text, changed, pairs=rule.pairs):
        return text
    return changed
