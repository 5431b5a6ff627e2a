"""The commit of a hub model is an input of a report."""

from helpers.first.runner.state import _inputs


def test_a_revision_makes_a_report_stale(monkeypatch):
    monkeypatch.setattr("helpers.first.runner.state.cached_revision", lambda model: "abc")
    assert _inputs({"model": "acme/clip"}) == {"model": "revision abc"}
