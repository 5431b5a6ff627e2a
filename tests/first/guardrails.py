"""``python -m tests.first.guardrails``: how well the guardrails judge, and what bad answers come to.

Two tables: precision and recall of refusing on the labeled queries (the half to develop with, and
the half that was set aside), and a language model on a stub server that answers badly in every way
that the tests know.
"""

import pandas as pd

from helpers.first.prepare.endpoint import Endpoint
from helpers.first.prepare.queries import CarFacts, guard, write_queries
from helpers.first.prepare.query_models import ModelWriter
from helpers.first.prepare.query_reading import read_query
from helpers.first.prepare.query_tables import failure_table, guard_scores
from tests.chat_server import chat_server
from tests.first.test_query_models import BAD_ANSWERS, LEAF
from tests.topics.car_queries import Labeled, labeled_queries


def refused(labeled: Labeled, *, judge: bool) -> bool:
    """Whether a query is refused, by the guardrails alone or with the judge behind them."""
    facts = CarFacts(id="7", **labeled.facts)
    judged = judge and bool(read_query(labeled.text, facts).unexplained)
    return bool(guard(labeled.text, facts)) or judged


def scores() -> pd.DataFrame:
    """Recall, precision and good queries let through: both halves, with and without the judge."""
    parts = []
    for half in ("dev", "held"):
        labeled = labeled_queries(half)
        for name, judge in (("guardrails", False), ("guardrails and judge", True)):
            table = guard_scores(labeled, lambda q, judge=judge: refused(q, judge=judge))
            parts.append(table.iloc[:3].assign(half=half, by=name))
    return pd.concat(parts).set_index(["half", "by"], append=True).swaplevel(0, 1).swaplevel(1, 2)


def answers() -> pd.DataFrame:
    """A row a kind of bad answer: one query wanted, one draft asked for, and why it was refused."""
    runs = {}
    with chat_server() as server:
        writer = ModelWriter(Endpoint(server.url, "stub"))
        for name, (said, server.status, _) in BAD_ANSWERS.items():
            server.answer = lambda body, said=said: said
            runs[name] = write_queries([LEAF], writer, n=1, budget=1, progress=False)
    return failure_table(runs)


if __name__ == "__main__":
    print("refusing labeled queries (shares of templates, 95 % Wilson intervals)")
    print(scores().to_string(float_format="{:.3f}".format), end="\n\n")
    table = answers()
    print("a stub server in the place of a language model")
    print(table.to_string(), end="\n\n")
    print(f"{table['accepted'].sum()} of {len(table)} kinds of bad answers got through")
