"""A language model as the writer or the judge of queries, behind an OpenAI-compatible address.

The metadata goes as JSON in a message of its own, which is said to be data; the answer has to fit a
schema and is trusted in nothing: it passes the guardrails like any other draft. An answer is kept
the moment it comes, under a hash of what was asked: no question is asked twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from helpers.endpoint import Endpoint, EndpointError
from helpers.repro import canonical_json, hash_of
from helpers.store.zones import Zone, open_zone
from helpers.topics.cars.queries import (
    UNANSWERED,
    Answer,
    Draft,
    Refused,
    Written,
    write_queries,
)
from helpers.topics.cars.reading import WORDS, Car

RULES = "rules"
ANSWERS = "fine-tuning-zone/answers"
TEMPERATURE = 0.8  # of the writer; a judge has none


class Judged(BaseModel):
    """The form of a judge's answer."""

    model_config = ConfigDict(strict=True, extra="forbid")

    supported: bool
    words: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """A model as writer or judge, whose answers lie in a zone, a small file each."""

    endpoint: Endpoint
    zone: Zone

    def ask(self, instructions: str, data: Any, form: type[BaseModel], **how) -> Any:
        """An answer in a form. Raises ``Refused``: no answer, or ``malformed``."""
        messages = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": canonical_json(data)},
        ]
        how["schema"] = form.model_json_schema()
        key = f"{ANSWERS}/{hash_of([self.endpoint.model, how, messages], digits=24)}.json"
        try:
            answer = str(json.loads(self.zone.read_bytes(key))["answer"])
        except (FileNotFoundError, ValueError, LookupError, TypeError):  # none, or half of one
            try:
                answer = self.endpoint.ask(messages, **how)
            except EndpointError as error:
                raise Refused(UNANSWERED, str(error)) from error
            self.zone.write_bytes(key, canonical_json({"answer": answer}).encode())
        try:
            return form.model_validate_json(answer)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise Refused("malformed", f"{place}: {first['msg']}".lstrip(": "), answer) from error

    def write(self, car: Car, *, number: int, attempt: int, seed: int) -> Draft:
        """A query; the style changes with its number."""
        style = WORDS["styles"][number % len(WORDS["styles"])]
        drawn = int(hash_of([seed, car.id, number, attempt], digits=7), 16)
        said = self.ask(WORDS["write"].format(style=style), car.metadata, Answer,
                        temperature=TEMPERATURE, seed=drawn)  # fmt: skip
        return Draft(said.query, (f"style:{style}",), said.mentions)

    def judge(self, query: str, car: Car) -> str:
        """The words that the metadata does not account for; empty where it does."""
        asked = {"metadata": car.metadata, "query": query}
        said = self.ask(WORDS["judge"], asked, Judged, temperature=0.0, seed=0)
        return "" if said.supported else " ".join(said.words) or query


def ask(
    cars: Sequence[Car], *, query_writer: str = RULES, query_judge: str = RULES, zone: str = "",
    n: int = 36, seed: int = 42,
) -> Written:  # fmt: skip
    """Queries for each class, ``n`` of them, by a writer and a judge that are named.

    Each is ``rules`` or ``ADDRESS#MODEL``; what a model answers is kept in the zone. Raises
    ``ValueError`` for a name of another form, ``AccessError`` if the address holds a key.
    """
    roles = {}
    for parameter, name in (("query_writer", query_writer), ("query_judge", query_judge)):
        address, _, model = name.partition("#")
        if name != RULES and not (model and address.startswith(("http://", "https://"))):
            raise ValueError(
                f"{parameter} is {name!r}: give 'rules', or an address and a model, such as "
                "http://127.0.0.1:11434/v1#qwen2.5:14b"
            )
        if name != RULES:
            roles[parameter] = Role(Endpoint(address, model), open_zone(zone))
    writer, judge = roles.get("query_writer"), roles.get("query_judge")
    return write_queries(cars, writer and writer.write, judge and judge.judge, n=n, seed=seed)
