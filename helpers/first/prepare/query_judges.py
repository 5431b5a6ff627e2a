"""The judge of rules: every word of a query has to be accounted for."""

from dataclasses import dataclass

from helpers.first.prepare.query_facts import CarFacts
from helpers.first.prepare.query_guards import CarQuery
from helpers.first.prepare.query_reading import read_query
from helpers.first.prepare.query_roles import UNEXPLAINED, Verdict


@dataclass(frozen=True)
class RuleJudge:
    """Refuses a query with a word that neither tells a fact nor adds nothing.

    The guardrails know what is forbidden, this judge knows what is allowed: between the two nothing
    passes because nobody thought of it.
    """

    name: str = "rules"
    fingerprint: str = "rules-1"

    def judge(self, query: CarQuery, facts: CarFacts) -> Verdict:
        """``unexplained`` with the words, or nothing."""
        left = read_query(query.query, facts).unexplained
        return Verdict(UNEXPLAINED, " ".join(left)) if left else Verdict()
