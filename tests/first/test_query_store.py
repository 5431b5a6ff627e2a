"""Queries in a zone: built once, resumed without asking anything twice."""

import json

import pandas as pd
import pytest

from helpers.first.prepare.endpoint import EndpointError
from helpers.first.prepare.queries import QueryError, RuleWriter
from helpers.first.prepare.query_models import Judges, ModelJudge, ModelWriter
from helpers.first.prepare.query_store import ANSWERS, KeptAnswers, ensure_queries, keeping
from helpers.store.artefacts import ArtefactError, verify
from tests.first.test_query_facts import car

CARS = [car(), car(model="Juke").model_copy(update={"id": "8"})]


class Model:
    """Stands for an endpoint; fails from the ``fails_from``-th question on, once."""

    model = "stub"

    def __init__(self, fails_from=10**6):
        self.questions, self.fails_from = [], fails_from

    def ask(self, messages, *, schema=None, temperature=0.0, seed=None):
        if len(self.questions) >= self.fails_from:
            raise EndpointError("the server went away")
        self.questions.append(json.dumps([messages, seed]))
        facts = json.loads(messages[1]["content"])
        if "query" in facts:
            return '{"supported": true, "words": []}'
        extra = ("", "2012", "please", "photo", "used", "'12")[len(self.questions) % 6]
        text = f"{facts['model']} {extra}".strip()
        return json.dumps({"query": text, "mentions": ["model"]})


def build(zone, model, **options):
    options = {"n": 3, "progress": False, **options}
    return ensure_queries(zone, CARS, ModelWriter(model), ModelJudge(model), **options)


def test_a_second_call_writes_nothing_and_tells_the_same(zone):
    first = ensure_queries(zone, CARS, n=4, progress=False)
    again = ensure_queries(zone, CARS, n=4, progress=False)
    pd.testing.assert_frame_equal(first.queries, again.queries)
    pd.testing.assert_frame_equal(first.rejected, again.rejected)
    assert first.counts == again.counts
    assert verify(zone, "car-queries") == []
    assert first.queries["number"].dtype.kind == "i"


def test_models_are_asked_once(zone):
    model = Model()
    first = build(zone, model)
    asked = len(model.questions)
    assert first.counts["unfilled"] == 0
    assert asked == len(set(model.questions)) == len(zone.list(ANSWERS))
    build(zone, model)
    build(zone, model, name="other-queries")
    assert len(model.questions) == asked


def test_an_interrupted_run_goes_on_where_it_stopped(zone):
    whole = Model()
    build(zone, whole, name="whole")
    for key in zone.list(ANSWERS):
        zone.remove(key)
    broken = Model(fails_from=5)
    with pytest.raises(QueryError, match="not asked for twice"):
        build(zone, broken, budget=30)
    assert len(zone.list(ANSWERS)) == 5
    broken.fails_from = 10**6
    done = build(zone, broken)
    assert done.counts["unfilled"] == 0
    assert len(broken.questions) == len(set(broken.questions))  # nothing twice
    assert broken.questions[:5] == whole.questions[:5]


@pytest.mark.parametrize(
    "change", [{"n": 5}, {"seed": 1}, {"budget": 4}, {"shares": {"test": 0.5}},
               {"writer": RuleWriter(typo=0)}, {"splits": {"7": "test", "8": "train"}}],
)  # fmt: skip
def test_a_change_writes_anew(zone, change):
    first = ensure_queries(zone, CARS, n=4, progress=False)
    second = ensure_queries(zone, CARS, **{"n": 4, "progress": False, **change})
    if change.keys() != {"budget"}:  # the rules need no second attempt here
        assert not first.queries.equals(second.queries)
    text = zone.read_text("manifests/car-queries.json")
    ensure_queries(zone, CARS, **{"n": 4, "progress": False, **change})
    assert zone.read_text("manifests/car-queries.json") == text


@pytest.mark.parametrize(
    "held", ["", '{"question": "other", "answer": "x"}', "[1]", '{"answer": 2}']
)
def test_a_damaged_answer_is_asked_for_again(zone, held):
    model = Model()
    kept = KeptAnswers(model, zone)
    question = [{"role": "system", "content": ""}, {"role": "user", "content": '{"model": "x"}'}]
    first = kept.ask(question, seed=1)
    (key,) = zone.list(ANSWERS)
    zone.write_bytes(key, held.encode())
    kept.ask(question, seed=1)
    assert (kept.asked, kept.found) == (2, 0)
    assert kept.ask(question, seed=1) == json.loads(zone.read_text(key))["answer"]
    assert (kept.asked, kept.found) == (2, 1)
    assert isinstance(first, str)


def test_another_model_seed_or_temperature_is_another_question(zone):
    kept = KeptAnswers(Model(), zone)
    question = [{"role": "system", "content": ""}, {"role": "user", "content": '{"model": "x"}'}]
    for how in ({}, {"seed": 1}, {"temperature": 0.5}, {"schema": {"type": "object"}}):
        kept.ask(question, **how)
    other = Model()
    other.model = "another"
    KeptAnswers(other, zone).ask(question)
    assert len(zone.list(ANSWERS)) == 5


def test_a_failure_is_not_kept(zone):
    kept = KeptAnswers(Model(fails_from=0), zone)
    with pytest.raises(EndpointError):
        kept.ask([])
    assert zone.list(ANSWERS) == []


def test_foreign_files_are_refused(zone):
    zone.write_bytes("fine-tuning-zone/datasets/car-queries/mine.csv", b"x")
    with pytest.raises(ArtefactError, match="foreign"):
        ensure_queries(zone, CARS, n=1, progress=False)


def test_only_what_asks_a_model_is_kept(zone):
    judges = keeping(Judges((ModelJudge(Model()),)), zone)
    assert isinstance(judges.judges[0].endpoint, KeptAnswers)
    assert keeping(judges, zone) == judges
    assert keeping(RuleWriter(), zone) == RuleWriter()
