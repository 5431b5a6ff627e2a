"""Queries as an artefact of a zone, and the answers of a language model kept beside it.

An answer is kept the moment it comes, under a hash of what was asked: a run that was interrupted
goes on where it stopped, and no question is asked twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from helpers.data.pairs import DATASETS, read_pairs, write_pairs
from helpers.first.prepare.queries import SHARES, Written, write_queries
from helpers.first.prepare.query_facts import CarFacts
from helpers.first.prepare.query_judges import RuleJudge
from helpers.first.prepare.query_models import Asked, Judges, ModelJudge, ModelWriter
from helpers.first.prepare.query_roles import Judge, QueryWriter
from helpers.first.prepare.query_rules import RuleWriter
from helpers.repro import canonical_json, hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import Zone

NAME = "car-queries"
ANSWERS = "fine-tuning-zone/answers"
PARTS = ("facts", "guards", "judges", "models", "names", "patterns", "reading", "roles", "rules")
CODE = (
    "helpers.first.prepare.queries",
    *(f"helpers.first.prepare.query_{part}" for part in (*PARTS, "words")),
)
NUMBERS = {"queries": ("number", "attempts"), "rejected": ("number", "attempt")}


@dataclass
class KeptAnswers:
    """An endpoint whose answers lie in a zone, one small file each.

    What did not come (a time-out, an error of the server) is not kept: it is asked for again.

    Attributes
    ----------
    endpoint : Endpoint
    zone : Zone
    asked, found : int
        Questions that went out, and those that were answered before.
    """

    endpoint: Asked
    zone: Zone
    asked: int = field(default=0, init=False)
    found: int = field(default=0, init=False)

    @property
    def model(self) -> str:
        """The endpoint's."""
        return self.endpoint.model

    def ask(
        self,
        messages: Any,
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> str:
        """The answer to a question, from the zone where it was asked before.

        Raises
        ------
        EndpointError
            If it has to be asked and no answer comes.
        """
        how = {"model": self.model, "schema": schema, "temperature": temperature, "seed": seed}
        question = hash_of([how, list(messages)], digits=24)
        key = f"{ANSWERS}/{question}.json"
        if (kept := self._kept(key, question)) is not None:
            self.found += 1
            return kept
        self.asked += 1
        answer = self.endpoint.ask(messages, schema=schema, temperature=temperature, seed=seed)
        self.zone.write_bytes(
            key, canonical_json({"question": question, "answer": answer}).encode()
        )
        return answer

    def _kept(self, key: str, question: str) -> str | None:
        """The answer of a file that is whole and of this question; else it is asked for again."""
        try:
            held = json.loads(self.zone.read_bytes(key))
        except (FileNotFoundError, ValueError):  # none yet, or half of one
            return None
        whole = isinstance(held, dict) and held.get("question") == question
        answer = held.get("answer") if whole else None
        return answer if isinstance(answer, str) else None


def ensure_queries(
    zone: Zone,
    facts: Sequence[CarFacts],
    writer: QueryWriter | None = None,
    judge: Judge | None = None,
    *,
    name: str = NAME,
    n: int = 8,
    seed: int = 42,
    budget: int = 3,
    splits: Mapping[str, str] | None = None,
    shares: Mapping[str, float] = SHARES,
    progress: bool = True,
) -> Written:
    """The queries of ``write_queries`` in a zone, written where they are not there yet.

    Parameters
    ----------
    zone : Zone
        Gets ``fine-tuning-zone/datasets/<name>/`` with queries, rejects and counts, and the answers
        of a language model in ``fine-tuning-zone/answers/``.
    facts, writer, judge, n, seed, budget, splits, shares
        See ``write_queries``.
    name : str
        Of the artefact; two writers in one zone need two.

    Raises
    ------
    QueryError
        If a language model stops answering; run again to go on from there.
    ArtefactError
        If files from elsewhere lie there, or files of it were changed.

    Examples
    --------
    >>> from helpers.store.zones import open_zone
    >>> car = CarFacts(id="7", make="Nissan", model="Leaf", body="Hatchback", year="2012")
    >>> ensure_queries(open_zone("memory://queries"), [car], n=2).counts["unfilled"]
    0
    """
    writer, judge = keeping(writer or RuleWriter(), zone), keeping(judge or RuleJudge(), zone)
    folder = f"{DATASETS}/{name}"
    parts = {"writer": [writer.name, writer.fingerprint], "judge": [judge.name, judge.fingerprint]}

    def build(out: Writer) -> None:
        written = write_queries(
            facts, writer, judge, n=n, seed=seed, budget=budget, splits=splits, shares=shares,
            progress=progress,
        )  # fmt: skip
        out.write_text(f"{folder}/queries.csv", write_pairs(written.queries))
        out.write_text(f"{folder}/rejected.csv", write_pairs(written.rejected))
        out.write_text(f"{folder}/counts.json", canonical_json(written.counts))

    ensure(
        zone,
        name,
        kind="car queries",
        parameters={
            **parts,
            "n": n,
            "seed": seed,
            "budget": budget,
            "shares": list(shares.items()),
        },
        inputs={"facts": hash_of([f.model_dump() for f in facts]), "splits": hash_of(splits)},
        build=build,
        prefixes=(folder,),
        code=code_of(__name__, *CODE),
    )
    frames = {
        part: read_pairs(zone.read_text(f"{folder}/{part}.csv")).astype(dict.fromkeys(whole, int))
        for part, whole in NUMBERS.items()
    }
    counts = json.loads(zone.read_text(f"{folder}/counts.json"))
    return Written(frames["queries"], frames["rejected"], counts)


def keeping(part: Any, zone: Zone) -> Any:
    """A writer or judge whose language model's answers are kept in a zone; others as they are."""
    if isinstance(part, Judges):
        return replace(part, judges=tuple(keeping(judge, zone) for judge in part.judges))
    if isinstance(part, ModelWriter | ModelJudge) and not isinstance(part.endpoint, KeptAnswers):
        return replace(part, endpoint=KeptAnswers(part.endpoint, zone))
    return part
