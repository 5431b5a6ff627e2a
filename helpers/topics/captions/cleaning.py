"""Captions cleaned: noise removed, language found, translated into English; what fails is flagged.

Noise goes first: links and tags mislead the detector of languages. A caption whose language is
unsure, or of which a word stays untranslated, is flagged and keeps its own words without the noise;
one that is noise alone stays as it was. Nothing is dropped: the table has a row for each caption.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from helpers.data.pairs import DATASETS, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.data.sources import open_source
from helpers.repro import canonical_json, hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.topics.captions.languages import AMONG, MARGIN, Detected, detect_languages
from helpers.topics.captions.noise import remove_noise
from helpers.topics.captions.translators import Translator

CAPTIONS = f"{DATASETS}/captions_clean.csv"
TRAIN, TEST = (f"{DATASETS}/{name}_pairs_clean.csv" for name in ("train", "test"))
COUNTS = f"{DATASETS}/caption_cleaning_counts.json"
COLUMNS = ("recipe_id", "split", "crawled", "cleaned", "language", "rules", "removed", "flags")
TRUTH = ("recipe_id", "crawled", "clean", "true_language", "noise", "writer")
CODE = tuple(
    f"helpers.topics.captions.{name}" for name in ("glossary", "languages", "noise", "translators")
)
UNSURE, UNDETERMINED, NOISE_ALONE = "language unsure", "und", "noise alone"
OVERRULES = 0.5  # the margin from which the detector is believed rather than the source
OUTCOMES = ("clean", "flagged", "wrong")


@dataclass(frozen=True)
class Cleaned:
    """What became of a caption.

    ``language`` is its ISO 639-1 code, or ``und`` where it is unsure; ``removed`` maps the rules
    that applied to what they took away. ``flags`` say why it is not English: ``language unsure``,
    ``noise alone``, ``no translator: pt``, ``untranslated: words``.
    """

    original: str
    text: str
    language: str
    removed: Mapping[str, str] = field(default_factory=dict)
    translated: bool = False
    flags: tuple[str, ...] = ()


def clean_captions(
    captions: Sequence[str],
    *,
    translator: Translator,
    declared: Sequence[str] = (),
    among: Sequence[str] = AMONG,
    margin: float = MARGIN,
) -> list[Cleaned]:
    """Each caption without noise, and in English or flagged.

    ``declared`` is the language that the source declares of each: the detector has to be very sure
    to overrule it; empty or ``und``: none. ``among`` and ``margin``: see ``detect_languages``.

    Examples
    --------
    >>> from helpers.topics.captions.glossary import Glossary
    >>> clean_captions(["<b>sopa de pollo con perejil</b>"], translator=Glossary())[0].text
    'chicken soup with parsley'
    """
    declared = declared or [""] * len(captions)
    pure = [remove_noise(caption) for caption in captions]
    detected = detect_languages([text for text, _ in pure], among=among, margin=margin)
    guess = getattr(translator, "language_of", lambda text: "")
    found = []
    for caption, (text, removed), one, said in zip(captions, pure, detected, declared, strict=True):
        if not text:
            found.append(Cleaned(caption, caption, UNDETERMINED, removed, flags=(NOISE_ALONE,)))
            continue
        language = _language(one, said if said in among else "", guess(text))
        flags = (UNSURE,) if language == UNDETERMINED else ()
        found.append(Cleaned(caption, text, language, removed, flags=flags))
    for language in sorted({c.language for c in found} - {"en", UNDETERMINED}):
        rows = [i for i, c in enumerate(found) if c.language == language]
        if translator.languages and language not in translator.languages:
            for i in rows:
                found[i] = replace(found[i], flags=(f"no translator: {language}",))
            continue
        answers = translator.translate([found[i].text for i in rows], language)
        for i, answer in zip(rows, answers, strict=True):
            flags = (f"untranslated: {' '.join(answer.unknown)}",) if answer.unknown else ()
            text = found[i].text if flags else answer.text
            found[i] = replace(found[i], text=text, translated=not flags, flags=flags)
    return found


def _language(detected: Detected, declared: str, guessed: str) -> str:
    """What the words themselves say, then the source, then the detector."""
    if guessed == "en" or (guessed and not declared):
        return guessed
    if declared and (not detected.sure or detected.margin < OVERRULES):
        return declared
    return detected.language if detected.sure else UNDETERMINED


@dataclass(frozen=True)
class CleanedPairs:
    """The pairs of a zone with clean captions.

    Attributes
    ----------
    pairs : Pairs
        As they were, with the captions that cleaning left; captions of an item that are the same
        now stand once.
    captions : DataFrame
        A row for each caption, all strings, ``COLUMNS``: as crawled, what became of it, language,
        the rules that applied and what they removed, flags.
    counts : mapping
        Captions by what happened to them, by ``language: ``, ``rule: `` and ``flag: ``.
    """

    pairs: Pairs
    captions: pd.DataFrame
    counts: Mapping[str, int]


def crawled_pairs(
    pairs: Pairs, *, source: str, max_recipes: int = 0, seed: int = 42
) -> tuple[Pairs, pd.DataFrame]:
    """The pairs with captions as a crawl brings them, and what is known of each caption.

    The drawn kitchen has such captions of its own recipes; the frame says what each stands for:
    ``TRUTH``, all strings. Of any other source the captions are what they are: the pairs come back
    as they were, with an empty frame.
    """
    opened = open_source(_crawled(source), max_recipes=max_recipes, seed=seed)
    if not hasattr(opened, "truths"):
        return pairs, pd.DataFrame(columns=list(TRUTH), dtype="str")
    used = set(pairs.all["recipe_id"])
    kept = [i for i in range(opened.n_recipes) if opened.recipe_id(i) in used]
    truth = truths_of(opened, kept)
    truth = truth[~truth.assign(same=truth["crawled"].map(collapse))
                  .duplicated(["recipe_id", "same"])]  # fmt: skip
    images = pairs.all.drop_duplicates("image_key").drop(columns="caption")
    captions = truth[["recipe_id", "crawled"]].rename(columns={"crawled": "caption"})
    frame = images.assign(language=UNDETERMINED).merge(captions, on="recipe_id")
    inputs = {**pairs.manifest.inputs, "captions": opened.fingerprint}
    manifest = replace(pairs.manifest, inputs=inputs)
    return replace(pairs, all=frame[list(pairs.all.columns)], manifest=manifest), truth


def truths_of(opened, indices: Sequence[int]) -> pd.DataFrame:
    """What a source of crawled captions knows of those of some recipes: ``TRUTH``, all strings."""
    rows = [
        (opened.recipe_id(index), t.text, t.clean, t.language, t.noise, str(t.writer))
        for index in indices
        for t in opened.truths(index)
    ]
    return pd.DataFrame(rows, columns=list(TRUTH), dtype="str")


def ensure_cleaned(
    pairs: Pairs, *, translator: Translator, among: Sequence[str] = AMONG, margin: float = MARGIN
) -> CleanedPairs:
    """The pairs with clean captions, made where they are not there yet; see ``clean_captions``.

    Writes ``fine-tuning-zone/datasets/{captions,train_pairs,test_pairs}_clean.csv``. Raises
    ``ArtefactError`` if files from elsewhere lie in the zone, or files of it were changed.
    """
    zone, about = pairs.zone, [translator.name, translator.fingerprint]
    manifest = ensure(
        zone, "cleaned-captions", kind="cleaned captions",
        parameters={"translator": about, "among": list(among), "margin": margin},
        inputs={"pairs": pairs.manifest.fingerprint},
        build=lambda writer: _build(writer, pairs, translator, among, margin),
        prefixes=(CAPTIONS, TRAIN, TEST, COUNTS), code=code_of(__name__, *CODE),
    )  # fmt: skip
    sides = [read_pairs(zone.read_text(key)) for key in (TRAIN, TEST)]
    return CleanedPairs(
        replace(pairs, all=pd.concat(sides, ignore_index=True), manifest=manifest),
        read_pairs(zone.read_text(CAPTIONS)), json.loads(zone.read_text(COUNTS)),
    )  # fmt: skip


def _build(
    writer: Writer, pairs: Pairs, translator: Translator, among: Sequence[str], margin: float
) -> None:
    rows = pairs.all.drop_duplicates(["recipe_id", "caption"])
    cleaned = clean_captions(
        list(rows["caption"]), declared=list(rows["language"]), translator=translator,
        among=among, margin=margin,
    )  # fmt: skip
    table = cleaning_table(cleaned, rows["recipe_id"], rows["split"])
    became = dict(zip(zip(rows["recipe_id"], rows["caption"], strict=True), cleaned, strict=True))
    keys = zip(pairs.all["recipe_id"], pairs.all["caption"], strict=True)
    own = [became[key] for key in keys]
    frame = pairs.all.assign(
        caption=[c.text for c in own], language=[c.language if c.flags else "en" for c in own]
    )
    same = frame.assign(same=frame["caption"].map(collapse))
    frame = frame[~same.duplicated(["image_key", "same"])].reset_index(drop=True)
    merged = len(rows) - len(frame.drop_duplicates(["recipe_id", "caption"]))
    counts = cleaning_counts(cleaned) | {"same as another caption of its item": merged}
    writer.write_text(CAPTIONS, write_pairs(table))
    writer.write_text(TRAIN, write_pairs(frame[frame["split"] != "test"]))
    writer.write_text(TEST, write_pairs(frame[frame["split"] == "test"]))
    writer.write_text(COUNTS, canonical_json(counts))


def cleaning_table(
    cleaned: Sequence[Cleaned], items: Sequence[str], splits: Sequence[str]
) -> pd.DataFrame:
    """A row for each caption, all strings: ``COLUMNS``."""
    rows = [
        (item, split, c.original, c.text, c.language, " ".join(c.removed),
         " ".join(c.removed.values()), "; ".join(c.flags))
        for item, split, c in zip(items, splits, cleaned, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def cleaning_counts(cleaned: Sequence[Cleaned]) -> dict[str, int]:
    """How many captions were changed, translated, flagged; by language, rule and flag."""
    counts: Counter[str] = Counter()
    for one in cleaned:
        counts.update([f"language: {one.language}"])
        counts.update(f"rule: {rule}" for rule in one.removed)
        counts.update(f"flag: {flag.partition(':')[0]}" for flag in one.flags)
    totals = {
        "captions": len(cleaned),
        "changed": sum(one.text != one.original for one in cleaned),
        "translated": sum(one.translated for one in cleaned),
        "flagged": sum(bool(one.flags) for one in cleaned),
    }
    return totals | dict(sorted(counts.items()))


def with_truth(captions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The captions with what is known of them, and ``outcome``: see :func:`outcomes`.

    Where nothing is known (an empty truth), the captions alone.
    """
    if truth.empty:
        return captions
    both = captions.merge(truth, on=["recipe_id", "crawled"], validate="one_to_one")
    return both.assign(outcome=outcomes(both))


def outcomes(rows: pd.DataFrame) -> pd.Series:
    """``clean``: cleaning arrived at the clean caption; ``flagged``: it says that it did not;
    ``wrong``: another text without a flag."""
    same = rows["cleaned"].map(_plain) == rows["clean"].map(_plain)
    said = (rows["flags"] != "").map({True: "flagged", False: "wrong"})
    return said.mask(same, "clean")


def outcome_shares(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The share of each outcome, and ``captions``, for each value of some columns."""
    parts = rows.groupby(list(by), sort=False)["outcome"]
    shares = parts.value_counts(normalize=True).unstack(fill_value=0.0)
    shares = shares.reindex(columns=list(OUTCOMES), fill_value=0.0).rename_axis(columns=None)
    return shares.assign(captions=parts.size()).reset_index()


def _plain(text: str) -> str:
    return collapse(text).casefold()


@dataclass(frozen=True)
class CrawledTexts:
    """The captions of recipes of a drawn source as crawled, cleaned and clean, for a study."""

    translator: Translator

    @property
    def fingerprint(self) -> str:
        """Changes when the texts may."""
        return hash_of([self.translator.fingerprint, code_of(__name__, *CODE)])

    def __call__(self, source: str, numbers: Sequence[int], seed: int = 42) -> pd.DataFrame:
        """A row for each caption, in order of the recipes: ``TRUTH``, ``cleaned``, ``outcome``."""
        opened = open_source(_crawled(source), max_recipes=max(numbers) + 1, seed=seed)
        rows = truths_of(opened, numbers)
        cleaned = clean_captions(rows["crawled"].tolist(), translator=self.translator)
        table = cleaning_table(cleaned, rows["recipe_id"], [""] * len(rows))
        rows = rows.assign(**{name: table[name] for name in ("cleaned", "language", "flags")})
        return rows.assign(outcome=outcomes(rows))


def _crawled(source: str) -> str:
    """The source with the captions of a crawl, if it is a drawn kitchen that has none."""
    kitchen, _, options = source.partition("?")
    if kitchen != "world:kitchen" or "captions=" in options or "languages=" in options:
        return source
    return f"{source}{'&' if options else '?'}captions=mixed"
