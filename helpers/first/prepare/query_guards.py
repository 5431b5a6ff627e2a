"""Guardrails: a query may say nothing that the car's metadata does not.

``CarQuery`` is the Pydantic model that an answer has to fit, with the car's facts as its context;
``guard`` gives the reasons to refuse a text. How a text is read is in ``query_reading``.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from helpers.first.prepare.query_facts import CarFacts
from helpers.first.prepare.query_reading import Finding, read_query


class Answer(BaseModel):
    """The form that a language model fills in: a query, and the facts that it speaks of."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    query: str
    mentions: tuple[Literal["make", "model", "body", "year"], ...]


class CarQuery(Answer):
    """An answer that passed the guardrails.

    Validated with the car as context: ``CarQuery.model_validate(..., context={"facts": facts})``.
    """

    @model_validator(mode="after")
    def _says_only_what_is_known(self, info: ValidationInfo) -> "CarQuery":
        facts = (info.context or {}).get("facts")
        if facts is None:
            raise ValueError('a query is checked against a car: give context={"facts": facts}')
        reading = read_query(self.query, facts)
        found = list(reading.findings)
        if invented := [name for name in self.mentions if name not in reading.facts]:
            found.append(Finding("mentions", " ".join(invented)))
        if found:
            raise PydanticCustomError("guardrail", "{detail}", _context(found))
        return self


def _context(found: list[Finding]) -> dict[str, Any]:
    detail = "; ".join(f"{f.reason}: {f.words}" for f in found)
    return {"reasons": tuple(dict.fromkeys(f.reason for f in found)), "detail": detail}


class GuardError(ValueError):
    """A query that may not pass, or an answer that is none (the reason ``malformed``)."""

    def __init__(self, reasons: tuple[str, ...], detail: str) -> None:
        super().__init__(detail)
        self.reasons, self.detail = reasons, detail


def checked(query: str, facts: CarFacts, mentions: tuple[str, ...] = ()) -> CarQuery:
    """A query that passed. Raises ``GuardError``."""
    try:
        given = {"query": query, "mentions": mentions}
        return CarQuery.model_validate(given, context={"facts": facts})
    except ValidationError as error:
        raise GuardError(*_reasons_of(error)) from error


def guard(text: str, facts: CarFacts) -> tuple[str, ...]:
    """The reasons to refuse a query of a car, each once; empty: it may pass.

    >>> car = CarFacts(id="7", make="Volkswagen", model="Golf", body="Hatchback", year="1991")
    >>> guard("'91 vw gofl", car), guard("gold golf on a beach", car)
    ((), ('color', 'background'))
    """
    try:
        checked(text, facts)
    except GuardError as error:
        return error.reasons
    return ()


def _reasons_of(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """The reasons and details of the guardrails; ``malformed`` for whatever Pydantic refuses."""
    first = error.errors()[0]
    if first["type"] == "guardrail":
        return first["ctx"]["reasons"], first["ctx"]["detail"]
    place = ".".join(map(str, first["loc"]))
    return ("malformed",), f"{place}: {first['msg']}".lstrip(": ")
