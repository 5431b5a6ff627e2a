"""Queries about cars as people type them: drafted by a writer, guarded, judged, and counted.

The default writer edits the metadata by rules, and the default judge wants every word accounted
for; :mod:`helpers.topics.cars.llm` has a language model in either role. The guardrails stand behind
any writer: a query may say nothing that the metadata does not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from tqdm.auto import tqdm

from helpers.repro import hash_of
from helpers.topics.cars.reading import (
    WORDS,
    Car,
    forms_of,
    metadata_problem,
    plain,
    read,
    words_of,
)

BUDGET = 3  # drafts for one query
PATIENCE = 20  # answers in a row that did not come before an address is given up
MOST = 400  # letters of a text that is kept among the rejects
UNANSWERED = "no answer"


class Draft(NamedTuple):
    """What a writer wrote, what it did to the facts, and which facts it says it speaks of."""

    text: str
    edits: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()


class Refused(Exception):
    """A draft that may not pass, or did not come; ``text`` is what came instead of one."""

    def __init__(self, reason: str, detail: str, text: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.text = reason, detail, text


class QueryError(RuntimeError):
    """A writer or judge that does not answer any more."""


class Answer(BaseModel):
    """A query, and the facts that it speaks of: the form that a language model fills in."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    query: str
    mentions: tuple[Literal["make", "model", "body", "year", "age"], ...]


class CarQuery(Answer):
    """An answer that passed: ``CarQuery.model_validate(answer, context={"car": car})``."""

    @model_validator(mode="after")
    def _says_only_what_is_known(self, info: ValidationInfo) -> "CarQuery":
        reading = read(self.query, info.context["car"])
        wrong = [f"{reason}: {words}" for reason, words in reading.findings]
        if invented := [name for name in self.mentions if name not in reading.facts]:
            wrong.append(f"mentions: {' '.join(invented)}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def guarded(draft: Draft, car: Car) -> CarQuery:
    """A draft that passed the guardrails. Raises ``Refused`` with their first reason."""
    given = {"query": draft.text, "mentions": draft.mentions}
    try:
        return CarQuery.model_validate(given, context={"car": car})
    except ValidationError as error:
        detail = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refused(detail.partition(":")[0], detail, draft.text) from error


Writer = Callable[..., Draft]  # (car, number=, attempt=, seed=); raises Refused
Judge = Callable[[str, Car], str]  # the words that nothing accounts for, or ""; raises Refused


class Written(NamedTuple):
    """Queries that passed (``car, query, edits, mentions``); drafts that did not.

    ``rejected`` has the columns ``car, text, reason, detail``.
    """

    queries: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def sentence(self) -> str:
        """How many queries passed, and for which reasons drafts were refused."""
        counts = self.rejected["reason"].value_counts().items()
        counts = ", ".join(f"{reason} {n}" for reason, n in counts)
        return (
            f"{len(self.queries):,} queries passed, {len(self.rejected):,} drafts were "
            f"refused{f' ({counts})' * bool(counts)}."
        )


def write_queries(
    cars: Sequence[Car], writer: Writer | None = None, judge: Judge | None = None, *,
    n: int = 36, seed: int = 42, progress: bool = True,
) -> Written:  # fmt: skip
    """Up to ``n`` queries a car, no two of a car the same; a refused draft is asked for again.

    A car whose metadata is no plain name reaches no writer. Raises ``QueryError`` where a language
    model stops answering; what it answered before was kept by whoever asked it.
    """
    writer, judge, misses = writer or rule_writer, judge or rule_judge, 0
    accepted, rejected = [], []
    for car in tqdm(cars, desc="writing queries", unit="car", disable=not progress, delay=5):
        taken: set[str] = set()
        if problem := metadata_problem(car):
            rejected.append((car.id, "", "metadata", problem))
        for number in range(0 if problem else n):
            for attempt in range(BUDGET):
                try:
                    draft = writer(car, number=number, attempt=attempt, seed=seed)
                    said = " ".join(words_of(guarded(draft, car).query))
                    if said in taken:
                        raise Refused("duplicate", said, draft.text)
                    if left := judge(draft.text, car):
                        raise Refused("unexplained", left, draft.text)
                except Refused as refused:
                    misses = misses + 1 if refused.reason == UNANSWERED else 0
                    if misses == PATIENCE:
                        raise QueryError(
                            f"{misses} times in a row no answer came ({refused.detail}). Check the "
                            "address and run again: answers that came are not asked for twice"
                        ) from refused
                    found = (refused.text[:MOST], refused.reason, refused.detail[:MOST])
                    rejected.append((car.id, *found))
                    continue
                taken.add(said)
                mentions = "; ".join(read(draft.text, car).facts)
                accepted.append((car.id, draft.text, "; ".join(draft.edits), mentions))
                misses = 0
                break
    return Written(
        pd.DataFrame(accepted, columns=["car", "query", "edits", "mentions"], dtype="str"),
        pd.DataFrame(rejected, columns=["car", "text", "reason", "detail"], dtype="str"),
    )


def classes_that_fit(queries: pd.DataFrame, cars: Iterable[Car]) -> pd.DataFrame:
    """``car, caption``: a row for every car that a query holds of, several where it has no year.

    What a query mentions was read against its own car; another car has to have the same forms.
    """
    cars = {car.id: car for car in cars}
    having = defaultdict(set)
    for name, car in cars.items():
        for form, fact in forms_of(car).items():
            having[form, fact].add(name)
    rows = []
    for name, text in queries[["car", "query"]].itertuples(index=False):
        mentions = read(text, cars[name]).mentions
        fits = set.intersection(*(having[form, fact] for fact, _, form in mentions))
        rows += [(car, text) for car in sorted(fits | {name})]
    return pd.DataFrame(rows, columns=["car", "caption"]).drop_duplicates(ignore_index=True)


def rule_judge(query: str, car: Car) -> str:
    """The words of a query that neither tell a fact nor are known to add nothing.

    The guardrails know what is forbidden, the judge what is allowed: nothing passes between the two
    because nobody thought of it.
    """
    return " ".join(read(query, car).unexplained)


def rule_writer(car: Car, *, number: int, attempt: int = 0, seed: int = 42) -> Draft:
    """A car's facts said as people type them; another number, attempt or seed draws anew.

    An edit adds nothing: facts are left out, reordered, shortened, mistyped, put into a phrase.
    """
    key = hash_of([seed, number, attempt, car.model_dump()], digits=16)
    rng = np.random.default_rng(int(key, 16))
    makes = {name: rng.random() < likely for name, likely in WORDS["edits"].items()}
    parts, edits = car.metadata, []
    if car.age:
        parts["age"] = _pick(rng, WORDS["ages"][car.age][:2])
    order = [name for name in ("year", "make", "model", "body") if name in parts]
    # A model of one letter or number alone identifies nothing.
    lone = all(len(word) < 4 or word in WORDS["generic"] for word in words_of(car.model))
    together = [some for some in WORDS["together"]
                if set(some) <= set(parts) and ("make" in some or not lone)]  # fmt: skip
    if makes["omission"]:
        kept = _pick(rng, together)
        edits += [f"omission:{name}" for name in order if name not in kept]
        order = [name for name in ("age", *order) if name in kept]
    if makes["order"]:
        order = [order[i] for i in rng.permutation(len(order))]
        edits.append("order")
    for edit, change in (("short form", _shortened), ("typo", _mistyped)):
        if makes[edit] and (changed := change(parts, order, rng)):
            edits.append(f"{edit}:{'>'.join(changed)}")
    text = " ".join(parts[name] for name in order)
    if makes["case"]:
        text, edits = text.lower(), [*edits, "case"]
    if makes["phrase"]:
        text, edits = _pick(rng, WORDS["phrases"]).format(text), [*edits, "phrase"]
    return Draft(text, tuple(edits), tuple(order))


def _shortened(parts: dict[str, str], order: Sequence[str], rng: np.random.Generator):
    """One fact by a usual short form: '12, chevy, hatch."""
    options = {name: WORDS[f"{name}_aliases"].get(plain(parts[name]), ())
               for name in ("make", "body") if name in order}  # fmt: skip
    options |= {"year": (f"'{parts['year'][2:]}",)} if "year" in order else {}
    if not (named := [name for name, some in options.items() if some]):
        return None
    name = _pick(rng, named)
    long, parts[name] = parts[name], _pick(rng, options[name])
    return long, parts[name]


def _mistyped(parts: dict[str, str], order: Sequence[str], rng: np.random.Generator):
    """A typo in one word of five letters or more, at neither its first nor its last letter."""
    words = [(name, word) for name in order for word in parts[name].split()
             if word.isalpha() and len(word) > 4 and name != "age"]  # fmt: skip
    if not words:
        return None
    name, word = _pick(rng, words)
    i = int(rng.integers(1, len(word) - 1))
    letter = word[i].lower()
    row = next((keys for keys in WORDS["keys"] if letter in keys), letter)
    at = row.index(letter)
    near = row[at - 1] if at else row[1:2]  # the key beside it
    wrong = _pick(rng, [
        word[:i] + word[i + 1] + word[i] + word[i + 2 :],  # exchanged
        word[:i] + word[i + 1 :],  # left out
        word[:i] + word[i] + word[i:],  # doubled
        word[:i] + near + word[i + 1 :],
    ])  # fmt: skip
    parts[name] = " ".join(wrong if one == word else one for one in parts[name].split())
    return (word, wrong) if wrong != word else None


def _pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]
