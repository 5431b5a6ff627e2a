"""Captions cleaned: noise removed, language found, translated into English; what fails is flagged.

Noise goes first: links and tags mislead the detector of languages. A caption whose language is
unsure, or of which a word stays untranslated, keeps its original text and is counted.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from helpers.data.pairs import DATASETS, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.first.prepare.glossary import Glossary, reads_as_english, understood_in
from helpers.first.prepare.languages import AMONG, MARGIN, Detected, detect_languages
from helpers.first.prepare.noise import Denoised, remove_noise
from helpers.first.prepare.translation import Translator
from helpers.repro import canonical_json
from helpers.store.artefacts import Manifest, Writer, code_of, ensure

NAME = "cleaned-captions"
CAPTIONS = f"{DATASETS}/captions_clean.csv"
TRAIN, TEST = (f"{DATASETS}/{name}_pairs_clean.csv" for name in ("train", "test"))
COUNTS = f"{DATASETS}/caption_cleaning_counts.json"
COLUMNS = ("recipe_id", "split", "original", "caption", "language", "rules", "removed", "flags")
PARTS = ("glossary", "glossary_terms", "glossary_words", "languages", "noise", "translation")
CODE = tuple(f"helpers.first.prepare.{name}" for name in PARTS)
UNSURE, UNDETERMINED = "language unsure", "und"
OVERRULES = 0.5  # the margin from which the detector is believed rather than the source


@dataclass(frozen=True)
class Cleaned:
    """What became of a caption.

    Attributes
    ----------
    original : str
    text : str
        English without noise; the original where there is a flag.
    language : str
        ISO 639-1 code, or ``und`` where it is unsure.
    noise : Denoised
        The rules that applied.
    translated : bool
    flags : tuple of str
        Why it was left as it was: ``language unsure``, ``no translator: pt``,
        ``untranslated: words``.
    """

    original: str
    text: str
    language: str
    noise: Denoised
    translated: bool = False
    flags: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the text is another one now."""
        return self.text != self.original


def clean_captions(
    captions: Sequence[str],
    *,
    declared: Sequence[str] = (),
    translator: Translator | None = None,
    among: Sequence[str] = AMONG,
    margin: float = MARGIN,
) -> list[Cleaned]:
    """Each caption in English and without noise, or as it was with the reason.

    Parameters
    ----------
    captions : sequence of str
    declared : sequence of str, optional
        The language that the source declares of each; the detector has to be very sure to overrule
        it. Empty or ``und``: nothing is declared.
    translator : Translator, optional
        By default the glossary of the drawn kitchen.
    among, margin
        See ``detect_languages``.

    Examples
    --------
    >>> clean_captions(["<b>sopa de pollo con perejil</b>"])[0].text
    'chicken soup with parsley'
    """
    translator = Glossary() if translator is None else translator
    declared = declared or [""] * len(captions)
    denoised = [remove_noise(caption) for caption in captions]
    detected = detect_languages([d.text for d in denoised], among=among, margin=margin)
    found = [
        _english(*row, tuple(among))
        for row in zip(captions, denoised, detected, declared, strict=True)
    ]
    for language in sorted({c.language for c in found} - {"en", UNDETERMINED}):
        rows = [i for i, c in enumerate(found) if c.language == language]
        if translator.languages and language not in translator.languages:
            for i in rows:
                found[i] = _left(found[i], f"no translator: {language}")
            continue
        answers = translator.translate([found[i].noise.text for i in rows], language)
        for i, answer in zip(rows, answers, strict=True):
            found[i] = (
                replace(found[i], text=answer.text, translated=True)
                if answer.done
                else _left(found[i], f"untranslated: {' '.join(answer.unknown)}")
            )
    return found


def _english(
    caption: str, noise: Denoised, detected: Detected, declared: str, among: tuple[str, ...]
) -> Cleaned:
    """The caption with its language, before any translation."""
    language, understood = detected.language if detected.sure else UNDETERMINED, ()
    if declared in among and (not detected.sure or detected.margin < OVERRULES):
        language = declared
    elif declared not in among:
        understood = understood_in(noise.text)
    if reads_as_english(noise.text):
        language = "en"
    elif len(understood) == 1:  # short captions mislead the detector
        language = understood[0]
    cleaned = Cleaned(caption, noise.text, language, noise)
    return _left(cleaned, UNSURE) if language == UNDETERMINED else cleaned


def _left(cleaned: Cleaned, flag: str) -> Cleaned:
    return replace(cleaned, text=cleaned.original, translated=False, flags=(*cleaned.flags, flag))


@dataclass(frozen=True)
class CleanedPairs:
    """The pairs of a zone with clean captions.

    Attributes
    ----------
    pairs : Pairs
        As they were, with the captions that cleaning left; captions of a recipe that are the same
        now stand once.
    captions : DataFrame
        A row a caption, ``COLUMNS``: its original, what became of it, language, the rules that
        applied and what they removed, flags.
    counts : mapping
        Captions by what happened to them, by ``language: ``, ``rule: `` and ``flag: ``.
    manifest : Manifest
    """

    pairs: Pairs
    captions: pd.DataFrame
    counts: Mapping[str, int]
    manifest: Manifest


def ensure_cleaned(
    pairs: Pairs,
    *,
    translator: Translator | None = None,
    among: Sequence[str] = AMONG,
    margin: float = MARGIN,
) -> CleanedPairs:
    """The pairs with clean captions, made where they are not there yet.

    Writes ``fine-tuning-zone/datasets/{captions,train_pairs,test_pairs}_clean.csv``.

    Parameters
    ----------
    pairs : Pairs
    translator, among, margin
        See ``clean_captions``.

    Raises
    ------
    ArtefactError
        If files from elsewhere lie in the zone, or files of it were changed.
    """
    translator = Glossary() if translator is None else translator
    about = [translator.name, translator.fingerprint]
    manifest = ensure(
        pairs.zone,
        NAME,
        kind="cleaned captions",
        parameters={"translator": about, "among": list(among), "margin": margin},
        inputs={"pairs": pairs.manifest.fingerprint},
        build=lambda writer: _build(writer, pairs, translator, among, margin),
        prefixes=(CAPTIONS, TRAIN, TEST, COUNTS),
        code=code_of(__name__, *CODE),
    )
    zone = pairs.zone
    frames = [read_pairs(zone.read_text(key)) for key in (TRAIN, TEST)]
    return CleanedPairs(
        replace(pairs, all=pd.concat(frames, ignore_index=True), manifest=manifest),
        read_pairs(zone.read_text(CAPTIONS)),
        json.loads(zone.read_text(COUNTS)),
        manifest,
    )


def cleaning_counts(cleaned: Sequence[Cleaned]) -> dict[str, int]:
    """How many captions were changed, translated, flagged; by language, rule and flag."""
    counts = Counter()
    for one in cleaned:
        counts.update([f"language: {one.language}"])
        counts.update(f"rule: {rule}" for rule in one.noise.rules)
        counts.update(f"flag: {flag.partition(':')[0]}" for flag in one.flags)
    totals = {
        "captions": len(cleaned),
        "changed": sum(one.changed for one in cleaned),
        "translated": sum(one.translated for one in cleaned),
        "flagged": sum(bool(one.flags) for one in cleaned),
    }
    return totals | dict(sorted(counts.items()))


def _build(
    writer: Writer, pairs: Pairs, translator: Translator, among: Sequence[str], margin: float
) -> None:
    rows = pairs.all.drop_duplicates(["recipe_id", "caption"])
    cleaned = clean_captions(
        list(rows["caption"]), declared=list(rows["language"]), translator=translator,
        among=among, margin=margin,
    )  # fmt: skip
    table = pd.DataFrame(
        [
            (recipe, split, c.original, c.text, c.language, " ".join(c.noise.rules),
             " ".join(step.removed for step in c.noise.steps), "; ".join(c.flags))
            for recipe, split, c in zip(rows["recipe_id"], rows["split"], cleaned, strict=True)
        ],
        columns=list(COLUMNS), dtype="str",
    )  # fmt: skip
    keys = zip(table["recipe_id"], table["original"], strict=True)
    became = dict(zip(keys, cleaned, strict=True))
    own = [became[key] for key in zip(pairs.all["recipe_id"], pairs.all["caption"], strict=True)]
    frame = pairs.all.assign(
        caption=[c.text for c in own], language=[UNDETERMINED if c.flags else "en" for c in own]
    )
    same = frame.assign(same=frame["caption"].map(collapse))
    frame = frame[~same.duplicated(["image_key", "same"])].reset_index(drop=True)
    writer.write_text(CAPTIONS, write_pairs(table))
    writer.write_text(TRAIN, write_pairs(frame[frame["split"] != "test"]))
    writer.write_text(TEST, write_pairs(frame[frame["split"] == "test"]))
    writer.write_text(COUNTS, canonical_json(cleaning_counts(cleaned)))
