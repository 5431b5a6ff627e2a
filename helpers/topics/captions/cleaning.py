"""Captions cleaned: noise removed, language found, translated into English; what fails is flagged.

Noise goes first: links and tags mislead the detector of languages. A caption whose language is
unsure, or of which a word stays untranslated, is flagged and keeps its own words without the noise;
one that is noise alone stays as it was. Nothing is dropped: the table has a row for each caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pandas as pd

from helpers.data.pairs import DATASETS, Pairs, read_pairs, write_pairs
from helpers.data.records import collapse
from helpers.data.sources import open_source
from helpers.repro import hash_of, sha256_file
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.topics.captions import noise
from helpers.topics.captions.translators import Translator

CAPTIONS = f"{DATASETS}/captions_clean.csv"
TRAIN, TEST = (f"{DATASETS}/{name}_pairs_clean.csv" for name in ("train", "test"))
COLUMNS = ("crawled", "cleaned", "language", "rules", "removed", "flag")
TRUTH = ("recipe_id", "crawled", "clean", "true_language", "noise", "writer")
AMONG = ("en", "de", "es", "fr", "it", "pt", "nl")  # more languages make short texts less sure
MARGIN = 0.15  # chosen on captions of the first writer, seed 42: 99.8 % right, 2 % unsure
OVERRULES = 0.5  # the margin from which the detector is believed rather than the source
UNSURE, UNDETERMINED, NOISE_ALONE = "language unsure", "und", "noise alone"


def clean_captions(
    captions: Sequence[str], *, translator: Translator, declared: Sequence[str] = ()
) -> pd.DataFrame:
    """Each caption without noise, and in English or flagged: a row each, all strings.

    ``declared`` is the language that the source declares of each: the detector has to be very sure
    to overrule it; empty or ``und``: none. The columns are ``crawled``, the caption as it came;
    ``cleaned``; ``language``, its ISO 639-1 code, or ``und`` where it is unsure; ``rules``, those
    that applied, and what they ``removed``; ``flag``, why it is not English: ``language unsure``,
    ``noise alone``, ``no translator: pt``, ``untranslated: words``, or empty.

    >>> from helpers.topics.captions.glossary import Glossary
    >>> clean_captions(["<b>sopa de pollo con perejil</b>"], translator=Glossary())["cleaned"][0]
    'chicken soup with parsley'
    """
    pure = [noise.remove_noise(caption) for caption in captions]
    detected = detect_languages([text for text, _ in pure])
    declared = declared or [""] * len(captions)
    guess, rows = getattr(translator, "language_of", lambda text: ""), []
    for caption, (text, removed), found, said in zip(
        captions, pure, detected, declared, strict=True
    ):
        known = said if said in AMONG else ""
        language = _language(*found, known, guess(text)) if text else UNDETERMINED
        flag = NOISE_ALONE if not text else UNSURE if language == UNDETERMINED else ""
        rules, pieces = " ".join(removed), " ".join(removed.values())
        rows.append((caption, text or caption, language, rules, pieces, flag))
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")
    for language, part in table.groupby("language"):
        if language in ("en", UNDETERMINED):
            continue
        if translator.languages and language not in translator.languages:
            table.loc[part.index, "flag"] = f"no translator: {language}"
            continue
        answers = translator.translate(part["cleaned"].tolist(), language)
        table.loc[part.index, "cleaned"] = [one.text for one in answers]  # as it was if unknown
        unknown = [" ".join(one.unknown) for one in answers]
        table.loc[part.index, "flag"] = [f"untranslated: {u}" if u else "" for u in unknown]
    return table


def detect_languages(texts: Sequence[str]) -> list[tuple[str, float]]:
    """The likeliest of the languages ``AMONG`` for each text, and how far the next one is behind.

    Confidences sum to 1 over the languages; the margin is the difference of the largest two.

    >>> detect_languages(["sopa de pollo casera con albahaca"])[0][0]
    'es'
    """
    values = _detector().compute_language_confidence_values_in_parallel(list(texts))
    # lingua sums in no fixed order: the last digits differ from call to call
    return [
        (first.language.iso_code_639_1.name.lower(), round(first.value - second.value, 9))
        for first, second, *_ in values
    ]


@cache
def _detector() -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in AMONG]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()


def _language(detected: str, margin: float, declared: str, guessed: str) -> str:
    """What the words themselves say, then the source, then the detector."""
    if guessed == "en" or (guessed and not declared):
        return guessed
    if declared and margin < OVERRULES:
        return declared
    return detected if margin >= MARGIN else UNDETERMINED


def ensure_cleaned(pairs: Pairs, *, translator: Translator) -> pd.DataFrame:
    """The table of :func:`clean_captions` for the captions of each item, with its id and split.

    Writes it below ``fine-tuning-zone/datasets/`` as ``captions_clean.csv`` where it is not there
    yet, and beside it ``train_pairs_clean.csv`` and ``test_pairs_clean.csv``, the pairs with these
    captions, each once. Raises ``ArtefactError`` if files from elsewhere lie in the zone, or files
    of it were changed.
    """
    ensure(
        pairs.zone, "cleaned-captions", kind="cleaned captions",
        parameters={"translator": [translator.name, translator.fingerprint]},
        inputs={"pairs": pairs.manifest.fingerprint},
        build=lambda writer: _build(writer, pairs, translator),
        prefixes=(CAPTIONS, TRAIN, TEST), code=_code(),
    )  # fmt: skip
    return read_pairs(pairs.zone.read_text(CAPTIONS))


def _code() -> str:
    """Changes when the rules may; the words of a translator are in its own fingerprint."""
    names = ("glossary", "noise", "translators")
    code = code_of(__name__, *(f"helpers.topics.captions.{name}" for name in names))
    return hash_of([code, sha256_file(noise.TABLE)])


def _build(writer: Writer, pairs: Pairs, translator: Translator) -> None:
    rows = pairs.all.drop_duplicates(["recipe_id", "caption"])
    table = clean_captions(
        list(rows["caption"]), declared=list(rows["language"]), translator=translator
    )
    table = pd.concat([rows[["recipe_id", "split"]].reset_index(drop=True), table], axis=1)
    writer.write_text(CAPTIONS, write_pairs(table))
    keys = ["recipe_id", "caption"]
    known = table.rename(columns={"crawled": "caption"}).drop(columns="split")
    both = pairs.all.drop(columns="language").merge(known, on=keys, validate="many_to_one")
    frame = both.assign(
        caption=both["cleaned"], language=both["language"].where(both["flag"] != "", "en"),
        same=both["cleaned"].map(collapse),
    ).drop_duplicates(["image_key", "same"])[list(pairs.all.columns)]  # fmt: skip
    writer.write_text(TRAIN, write_pairs(frame[frame["split"] != "test"]))
    writer.write_text(TEST, write_pairs(frame[frame["split"] == "test"]))


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
    truth = truths_of(opened, [i for i in range(opened.n_recipes) if opened.recipe_id(i) in used])
    truth = truth[~pd.DataFrame({"of": truth["recipe_id"], "same": truth["crawled"].map(collapse)})
                  .duplicated()]  # fmt: skip
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


def with_truth(captions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The captions with what is known of them, and ``outcome``; where nothing is, these alone."""
    if truth.empty:
        return captions
    both = captions.merge(truth, on=["recipe_id", "crawled"], validate="one_to_one")
    return both.assign(outcome=outcomes(both))


def outcomes(rows: pd.DataFrame) -> pd.Series:
    """``clean``: cleaning arrived at the clean caption; ``flagged``: it says that it did not;
    ``wrong``: another text without a flag."""
    texts = rows[["cleaned", "clean"]].map(lambda text: collapse(text).casefold())
    said = (rows["flag"] != "").map({True: "flagged", False: "wrong"})
    return said.mask(texts["cleaned"] == texts["clean"], "clean")


@dataclass(frozen=True)
class CrawledTexts:
    """The captions of recipes of a drawn source as crawled, cleaned and clean, for a study."""

    translator: Translator

    @property
    def fingerprint(self) -> str:
        """Changes when the texts may."""
        return hash_of([self.translator.fingerprint, _code()])

    def __call__(self, source: str, numbers: Sequence[int], seed: int = 42) -> pd.DataFrame:
        """A row for each caption, in order of the recipes: ``TRUTH``, ``cleaned``, ``outcome``."""
        opened = open_source(_crawled(source), max_recipes=max(numbers) + 1, seed=seed)
        truth = truths_of(opened, numbers)
        table = clean_captions(truth["crawled"].tolist(), translator=self.translator)
        rows = truth.assign(**table[["cleaned", "language", "flag"]])
        return rows.assign(outcome=outcomes(rows))


def _crawled(source: str) -> str:
    """The source with the captions of a crawl, if it is a drawn kitchen that has none."""
    kitchen, _, options = source.partition("?")
    if kitchen != "world:kitchen" or "captions=" in options or "languages=" in options:
        return source
    return f"{source}{'&' if options else '?'}captions=mixed"
