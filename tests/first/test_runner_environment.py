"""Pins, and which installed packages requirements lead to."""

from importlib.metadata import version

import pytest

from helpers.first.runner import environment


def test_pins_are_read_by_canonical_name():
    text = '# a note\n\nPre_Commit==4.7.0\npexpect==4.9.0 ; sys_platform != "win32"\n'
    assert environment.pins(text) == {"pre-commit": "4.7.0", "pexpect": "4.9.0"}


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "numpy==2.0,<3", "numpy==2.0\nNumPy==2.1"])
def test_what_is_no_pin_is_refused(line):
    with pytest.raises(ValueError, match=r"line [12]: "):
        environment.pins(line)


def test_another_version_is_a_problem_and_a_missing_package_is_none():
    problems = environment.version_problems({"numpy": "0.1", "no-such-package-here": "1"})
    assert problems == [f"numpy {version('numpy')} is installed, constraints.txt has 0.1"]


def test_a_local_build_is_the_same_version(monkeypatch):
    monkeypatch.setattr(environment, "version", lambda name: "2.13.0+cpu")
    assert environment.version_problems({"torch": "2.13.0"}) == []
    assert environment.version_problems({"torch": "2.13.1"}) != []


def test_the_closure_follows_extras_and_markers(monkeypatch):
    needs = {
        "a": ["b[fast]>=1", 'old ; python_version < "3"'],
        "b": ['c ; extra == "fast"', 'd ; extra == "slow"', "A"],
        "c": None,
    }
    monkeypatch.setattr(environment, "requires", needs.__getitem__)
    assert environment.closure(["a"]) == {"a", "b", "c"}
    assert environment.closure([]) == set()


def test_unwanted_packages_are_found_by_name(monkeypatch):
    monkeypatch.setattr(environment, "UNWANTED", ("json", "no_such_package_here"))
    assert environment.unwanted_packages() == ["json"]
