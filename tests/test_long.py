"""The table of the long tests: what counts as failed, and how it ends."""

import pytest

from tests.long import __main__ as table

ROWS = {"good": [("a", 3, 3, 1.25)], "bad": [("b", 3, 2, 0.0)], "none": [("c", 0, 0, 0.0)]}


class Module:
    def __init__(self, name: str) -> None:
        self.name = name.rpartition(".")[2]

    def main(self) -> list[table.Row]:
        if self.name == "broken":
            raise OSError("no disk")
        return ROWS[self.name]


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(table, "modules", lambda: ["bad", "broken", "good", "none"])
    monkeypatch.setattr(table.importlib, "import_module", Module)


@pytest.mark.parametrize(
    ("chosen", "status", "last"),
    [
        (["good"], 0, "all 1 lines passed"),
        (["good", "bad"], 1, "1 of 2 lines failed"),
        (["none"], 1, "1 of 1 lines failed"),
        ([], 1, "3 of 4 lines failed"),
    ],
)
def test_the_status_says_whether_all_passed(chosen, status, last, capsys):
    assert table.main(chosen) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["test", "tried", "passed", "seconds"]
    assert lines[-1] == last
    if "good" in chosen:
        assert lines[1].split() == ["a", "3", "3", "1.2"]


def test_a_module_that_raises_is_a_failed_line_and_the_others_run(capsys):
    assert table.main(["broken", "good"]) == 1
    out, err = capsys.readouterr()
    assert "broken: did not run to its end" in out
    assert "FAILED" in out
    assert "no disk" in err
    assert out.splitlines()[2].split()[0] == "a"


def test_an_unknown_module_is_refused(capsys):
    assert table.main(["godo"]) == 2
    assert "unknown: godo; there are: bad, broken, good, none" in capsys.readouterr().err
