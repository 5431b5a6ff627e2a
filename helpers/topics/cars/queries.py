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
from pydantic_core import PydanticCustomError
from tqdm.auto import tqdm

from helpers.repro import hash_of
from helpers.topics.cars.reading import (
    AGES,
    WORDS,
    Car,
    Finding,
    forms_of,
    metadata_problem,
    plain,
    read,
    words_of,
)

QUERY_COLUMNS = ("car", "query", "edits", "mentions")
REJECTED_COLUMNS = ("car", "text", "reason", "detail")
BUDGET = 3  # drafts for one query
PATIENCE = 20  # answers in a row that did not come before an address is given up
MOST = 400  # letters of a text that is kept among the rejects
UNANSWERED = "no answer"
# How likely the writer of rules makes each edit.
EDITS = {
    "omission": 0.6,
    "order": 0.4,
    "short form": 0.35,
    "typo": 0.35,
    "case": 0.5,
    "phrase": 0.25,
}
PHRASES = (
    "looking for a {}", "photo of a {}", "show me the {}", "{} please", "any {} around?",
    "pictures of the {}", "used {}", "is this a {}?", "my dad had a {}", "i want to see a {}",
    "foto von einem {}", "photo d'une {}", "busco un {}",
)  # fmt: skip
# The facts that may be said together; each identifies something.
TOGETHER = (
    ("make", "model", "body"), ("make", "model", "year"), ("make", "model"), ("model", "body"),
    ("model", "year"), ("make", "body", "year"), ("age", "make", "model"),
    ("age", "make", "model", "body"),
)  # fmt: skip
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


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
    """The form that a language model fills in: a query, and the facts that it speaks of."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    query: str
    mentions: tuple[Literal["make", "model", "body", "year", "age"], ...]


class CarQuery(Answer):
    """An answer that passed: ``CarQuery.model_validate(answer, context={"car": car})``."""

    @model_validator(mode="after")
    def _says_only_what_is_known(self, info: ValidationInfo) -> "CarQuery":
        car = (info.context or {}).get("car")
        if car is None:
            raise ValueError('a query is checked against a car: give context={"car": car}')
        reading = read(self.query, car)
        found = list(reading.findings)
        if invented := [name for name in self.mentions if name not in reading.facts]:
            found.append(Finding("mentions", " ".join(invented)))
        if found:
            detail = "; ".join(f"{one.reason}: {one.words}" for one in found)
            raise PydanticCustomError(
                "guardrail", "{detail}", {"reason": found[0].reason, "detail": detail}
            )
        return self


Writer = Callable[..., Draft]  # (car, number=, attempt=, seed=); raises Refused
Judge = Callable[[str, Car], str]  # the words that nothing accounts for, or ""; raises Refused


class Written(NamedTuple):
    """Queries that passed (``QUERY_COLUMNS``), and drafts that did not (``REJECTED_COLUMNS``)."""

    queries: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def reasons(self) -> pd.DataFrame:
        """A row a reason: how often, and an example with what gave it; the most frequent first."""
        parts = self.rejected.groupby("reason", sort=False)
        rows = [(reason, len(one), *one.iloc[0][["text", "detail"]]) for reason, one in parts]
        table = pd.DataFrame(rows, columns=["refused because of", "drafts", "example", "words"])
        return table.sort_values("drafts", ascending=False, kind="stable", ignore_index=True)

    @property
    def sentence(self) -> str:
        """How many queries passed, and why most drafts were refused."""
        most = f", most often because of {self.reasons.iloc[0, 0]}" if len(self.rejected) else ""
        return (
            f"{len(self.queries):,} queries passed, {len(self.rejected):,} drafts were "
            f"refused{most}."
        )


def checked(draft: Draft, car: Car) -> CarQuery:
    """A draft that passed the guardrails. Raises ``Refused`` with their first reason."""
    try:
        given = {"query": draft.text, "mentions": draft.mentions}
        return CarQuery.model_validate(given, context={"car": car})
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "guardrail":
            raise Refused(first["ctx"]["reason"], first["ctx"]["detail"], draft.text) from error
        place = ".".join(map(str, first["loc"]))
        raise Refused("malformed", f"{place}: {first['msg']}", draft.text) from error


def write_queries(
    cars: Sequence[Car], writer: Writer | None = None, judge: Judge | None = None, *,
    n: int = 36, seed: int = 42, progress: bool = True,
) -> Written:  # fmt: skip
    """Up to ``n`` queries a car, no two of a car the same; a refused draft is asked for again.

    A car whose metadata is no plain name reaches no writer. Raises ``QueryError`` where a language
    model stops answering; what it answered before was kept by whoever asked it.
    """
    writer, judge, misses = writer or rule_writer, judge or rule_judge, 0
    kept, rejected = [], []
    for car in tqdm(cars, desc="writing queries", unit="car", disable=not progress, delay=5):
        taken: set[str] = set()
        if problem := metadata_problem(car):
            rejected.append((car.id, "", "metadata", problem))
        for number in range(0 if problem else n):
            for attempt in range(BUDGET):
                try:
                    draft = writer(car, number=number, attempt=attempt, seed=seed)
                    said = " ".join(words_of(checked(draft, car).query))
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
                kept.append((car.id, draft.text, "; ".join(draft.edits), mentions))
                misses = 0
                break
    queries = pd.DataFrame(kept, columns=list(QUERY_COLUMNS), dtype="str")
    return Written(queries, pd.DataFrame(rejected, columns=list(REJECTED_COLUMNS), dtype="str"))


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
    makes = {name: rng.random() < likely for name, likely in EDITS.items()}
    parts, edits = car.metadata, []
    if car.age:
        parts["age"] = _pick(rng, AGES[car.age][:2])
    order = [name for name in ("year", "make", "model", "body") if name in parts]
    # A model of one letter or number alone identifies nothing.
    lone = all(len(word) < 4 or word in WORDS["generic"] for word in words_of(car.model))
    together = [
        some for some in TOGETHER if set(some) <= set(parts) and ("make" in some or not lone)
    ]
    if makes["omission"]:
        kept = _pick(rng, together)
        edits += [f"omission:{name}" for name in order if name not in kept]
        order = [name for name in ("age", *order) if name in kept]
    if makes["order"]:
        order = [order[i] for i in rng.permutation(len(order))]
        edits.append("order")
    for edit, change in (("short form", _shortened), ("typo", _mistyped)):
        if makes[edit]:
            edits += change(parts, order, rng)
    text = " ".join(parts[name] for name in order)
    if makes["case"]:
        text, edits = text.lower(), [*edits, "case"]
    if makes["phrase"]:
        text, edits = _pick(rng, PHRASES).format(text), [*edits, "phrase"]
    return Draft(text, tuple(edits), tuple(order))


def _shortened(parts: dict[str, str], order: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One fact by a usual short form: '12, chevy, hatch."""
    options = {name: WORDS[f"{name}_aliases"].get(plain(parts[name]), ())
               for name in ("make", "body") if name in order}  # fmt: skip
    options |= {"year": (f"'{parts['year'][2:]}",)} if "year" in order else {}
    named = [name for name, some in options.items() if some]
    if not named:
        return []
    name = _pick(rng, named)
    long, parts[name] = parts[name], _pick(rng, options[name])
    return [f"short form:{long}>{parts[name]}"]


def _mistyped(parts: dict[str, str], order: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A typo in one word of five letters or more, at neither its first nor its last letter."""
    words = [(name, word) for name in order for word in parts[name].split()
             if word.isalpha() and len(word) > 4 and name != "age"]  # fmt: skip
    if not words:
        return []
    name, word = _pick(rng, words)
    i = int(rng.integers(1, len(word) - 1))
    row = next((keys for keys in KEYS if word[i].lower() in keys), word[i].lower())
    at = row.index(word[i].lower())
    near = row[at - 1] if at else row[1:2]  # the key beside it
    wrong = _pick(rng, [
        word[:i] + word[i + 1] + word[i] + word[i + 2 :],  # exchanged
        word[:i] + word[i + 1 :],  # left out
        word[:i] + word[i] + word[i:],  # doubled
        word[:i] + near + word[i + 1 :],
    ])  # fmt: skip
    if wrong == word:
        return []
    parts[name] = " ".join(wrong if one == word else one for one in parts[name].split())
    return [f"typo:{word}>{wrong}"]


def _pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]
