"""Queries about cars, written from their metadata, guarded, judged, and counted.

A writer drafts, the guardrails (``query_guards``) and a judge decide. A draft that fails goes to
the rejects with its reason and is asked for again, within a budget; what stays unfilled is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from tqdm.auto import tqdm

from helpers.first.prepare.query_facts import (
    FACTS,
    CarFacts,
    facts_of,
    metadata_problem,
    phrases_of,
    words_of,
)
from helpers.first.prepare.query_guards import GuardError, checked, guard
from helpers.first.prepare.query_judges import RuleJudge
from helpers.first.prepare.query_reading import fits, read_query
from helpers.first.prepare.query_roles import (
    MISSES,
    Draft,
    Judge,
    QueryError,
    QueryWriter,
    Verdict,
    WriterFailure,
)
from helpers.first.prepare.query_rules import RuleWriter
from helpers.repro import hash_of

__all__ = [
    "CarFacts", "Draft", "Judge", "QueryError", "QueryWriter", "RuleJudge", "RuleWriter", "Verdict",
    "WriterFailure", "Written", "facts_of", "guard", "write_queries",
]  # fmt: skip
COLUMNS = (
    "id", "number", "query", "edits", "mentions", "fits", "split", "attempts", "make", "model",
    "body", "year",
)  # fmt: skip
REJECTED_COLUMNS = ("id", "number", "attempt", "text", "reason", "detail")
SHARES = {"test": 0.2, "validation": 0.1}
MOST = 400  # letters of a text that is kept among the rejects
PATIENCE = 20  # answers in a row that did not come before an address is given up


@dataclass(frozen=True, eq=False)
class Written:
    """Queries that passed, drafts that did not, and how many of each.

    Attributes
    ----------
    queries : DataFrame
        ``COLUMNS``, strings but for ``number`` and ``attempts``. ``edits``, ``mentions`` and
        ``fits`` are joined by ``"; "``; ``fits`` are the ids of all cars that the query holds of
        (a query without a year fits other years too): these are its relevant answers.
    rejected : DataFrame
        ``REJECTED_COLUMNS``: a row a failed draft; ``reason`` as in ``guard``, or ``metadata``,
        ``malformed``, ``unexplained``, ``unsupported``, ``duplicate``, or one of ``MISSES``.
    counts : dict of str to int
        ``wanted = accepted + unfilled``, ``drafts = accepted + rejected``; ``asked`` leaves out
        cars whose metadata is no name.
    """

    queries: pd.DataFrame
    rejected: pd.DataFrame
    counts: dict[str, int] = field(default_factory=dict)


def write_queries(
    facts: Sequence[CarFacts],
    writer: QueryWriter | None = None,
    judge: Judge | None = None,
    *,
    n: int = 8,
    seed: int = 42,
    budget: int = 3,
    splits: Mapping[str, str] | None = None,
    shares: Mapping[str, float] = SHARES,
    patience: int = PATIENCE,
    progress: bool = True,
) -> Written:
    """Up to ``n`` queries a car, no two of a car the same.

    Parameters
    ----------
    facts : sequence of CarFacts
    writer, judge : optional
        ``RuleWriter()`` and ``RuleJudge()`` by default.
    n, budget : int
        Queries a car, and attempts a query.
    splits : mapping of id to split, optional
        For cars that belong to one side whole. Without it each text goes to a side by its hash
        (``shares``; the rest is ``train``): a text that fits two cars is never on both sides.
    patience : int
        So many answers in a row that do not come end the run.

    Raises
    ------
    QueryError
        If the writer or the judge stops answering; answers so far are kept by whoever caches them.

    Examples
    --------
    >>> car = CarFacts(id="7", make="Nissan", model="Leaf", body="Hatchback", year="2012")
    >>> write_queries([car], n=2).counts["accepted"]
    2
    """
    if n < 1 or budget < 1:
        raise ValueError(f"n is {n} and budget is {budget}; each must be at least 1")
    forms = [(car.id, phrases_of(car)) for car in facts]
    desk = _Desk(forms, writer or RuleWriter(), judge or RuleJudge(), seed, budget, patience)
    for car in tqdm(facts, desc="writing queries", unit="car", disable=not progress, delay=5):
        desk.serve(car, n)
    queries = pd.DataFrame(desk.kept, columns=[c for c in COLUMNS if c != "split"])
    rows = zip(queries["id"], queries["query"], strict=True)
    sides = [_side(*row, splits, shares, seed) for row in rows]
    queries.insert(COLUMNS.index("split"), "split", sides)
    rejected = pd.DataFrame(desk.rejected, columns=list(REJECTED_COLUMNS))
    wanted = n * len(facts)
    counts = {"wanted": wanted, "accepted": len(queries), "unfilled": wanted - len(queries)}
    counts |= {"drafts": len(queries) + len(rejected), "rejected": len(rejected)}
    return Written(queries, rejected, {**counts, "asked": desk.asked})


@dataclass
class _Desk:
    """A run of a writer and a judge: what passed, what did not, and the misses in a row."""

    forms: Sequence[tuple[str, Mapping[tuple[str, ...], str]]]
    writer: QueryWriter
    judge: Judge
    seed: int
    budget: int
    patience: int
    kept: list[tuple] = field(default_factory=list)
    rejected: list[tuple] = field(default_factory=list)
    asked: int = 0
    misses: int = 0

    def serve(self, facts: CarFacts, n: int) -> None:
        """Up to ``n`` queries of a car; none where its metadata is no name."""
        if problem := metadata_problem(facts):
            self.rejected.append((facts.id, 0, 0, "", "metadata", problem))
            return
        taken: set[str] = set()
        for number in range(n):
            for attempt in range(self.budget):
                if self._try(facts, number, attempt, taken):
                    break

    def _try(self, facts: CarFacts, number: int, attempt: int, taken: set[str]) -> bool:
        self.asked += 1
        text = ""
        try:
            draft = self.writer.draft(facts, number=number, attempt=attempt, seed=self.seed)
            text = draft.text
            query = checked(draft.text, facts, draft.mentions)
            same = " ".join(words_of(query.query))
            verdict = (
                Verdict("duplicate", same) if same in taken else self.judge.judge(query, facts)
            )
        except GuardError as error:
            verdict = Verdict(error.reasons[0], error.detail)
        except WriterFailure as error:
            verdict, text = Verdict(error.reason, error.detail), text or error.text
        self._count_miss(verdict)
        if verdict.reason:
            said = (text[:MOST], verdict.reason, verdict.detail[:MOST])
            self.rejected.append((facts.id, number, attempt, *said))
            return False
        taken.add(same)
        reading = read_query(text, facts)
        joined = ("; ".join(draft.edits), "; ".join(reading.facts))
        also = "; ".join(car for car, forms in self.forms if fits(reading, forms))
        about = tuple(getattr(facts, name) for name in FACTS)
        self.kept.append((facts.id, number, text, *joined, also, attempt + 1, *about))
        return True

    def _count_miss(self, verdict: Verdict) -> None:
        self.misses = self.misses + 1 if verdict.reason in MISSES else 0
        if self.misses >= self.patience:
            raise QueryError(
                f"{self.misses} times in a row no answer came, the last time by {verdict.reason} "
                f"({verdict.detail}); {len(self.kept)} queries had passed. Check the address and "
                "run again: answers that were kept are not asked for twice"
            )


def _side(
    car: str, text: str, splits: Mapping[str, str] | None, shares: Mapping[str, float], seed: int
) -> str:
    """The car's split, or that of the text by its hash."""
    if splits is not None:
        if car not in splits:
            raise QueryError(f"splits has no car {car!r}; give each car a split, or none")
        return splits[car]
    place = int(hash_of([seed, "split", words_of(text)]), 16) / 16**12
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return "train"
