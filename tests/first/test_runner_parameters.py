"""Declared parameters and the values that a user gives for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.runner.lessons import CourseError
from helpers.first.runner.parameters import (
    Parameter,
    check_names,
    declared_parameters,
    from_option,
    parse,
    resolve,
)


def value(kind: str, text: str):
    """What ``-p x=<text>`` gives for a parameter of a type."""
    return parse(from_option(f"x={text}"), Parameter("x", kind, 0, "m"), lesson="05_study")


def test_a_parameters_cell_is_read_in_its_order():
    source = 'rank: int = -8  # LoRA rank\n\n# a note\nname: str = "a # b"  # a name, none\n'
    found = declared_parameters(source, where="05")
    assert list(found) == ["rank", "name"]
    assert found["rank"] == Parameter("rank", "int", -8, "LoRA rank")
    assert found["name"].default == "a # b"
    assert found["name"].meaning == "a name, none"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rank = 8  # LoRA rank", "not a parameter"),
        ("import os  # system", "not a parameter"),
        ("rank: list = []  # ranks", "type 'list'; allowed are int"),
        ("rank: int  # LoRA rank", "no default"),
        ("rank: int = 2 ** 3  # LoRA rank", "not a literal"),
        ("rank: int = 8.0  # LoRA rank", "declared int, its default 8.0 is float"),
        ("rank: int = True  # LoRA rank", "declared int, its default True is bool"),
        ("rank: int = 8", "rank has no comment"),
        ("rank: int = 8  #", "rank has no comment"),
        ("rank: int = = 8", "invalid syntax"),
    ],
)
def test_a_malformed_parameter_is_refused_with_its_place(line, message):
    with pytest.raises(CourseError, match=message) as caught:
        declared_parameters(f"seed: int = 1  # seed\n{line}", where="05_study")
    assert "05_study, parameters cell, line 2" in str(caught.value)


def test_a_name_declared_twice_is_refused():
    with pytest.raises(CourseError, match="line 2: a is declared twice"):
        declared_parameters("a: int = 1  # x\na: str = ''  # y", where="05")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("int", "7", 7),
        ("int", "-7", -7),
        ("int", "0", 0),
        ("float", "1e-4", 1e-4),
        ("float", "3", 3.0),
        ("float", ".5", 0.5),
        ("float", "-2.", -2.0),
        ("bool", "true", True),
        ("bool", "FALSE", False),
        ("str", "007", "007"),
        ("str", "a=b", "a=b"),
        ("str", "", ""),
        ("str", "no", "no"),
        ("str", "  spaced ", "  spaced "),
    ],
)
def test_a_value_is_parsed_by_the_declared_type(kind, text, expected):
    found = value(kind, text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("int", "007", "leading zeros"),
        ("int", "1.0", "not an int"),
        ("int", "1_000", "not an int"),
        ("int", " 7", "not an int"),
        ("int", "", "not an int"),
        ("int", "0x10", "not an int"),
        ("int", "٣", "not an int"),
        ("float", "nan", "not a finite number"),
        ("float", "inf", "not a finite number"),
        ("float", "1e999", "not a finite number"),
        ("float", "1,5", "not a finite number"),
        ("float", "1_0.0", "not a finite number"),
        ("bool", "no", "true or false"),
        ("bool", "1", "true or false"),
        ("bool", "", "true or false"),
    ],
)
def test_a_value_of_another_type_is_refused(kind, text, reason):
    with pytest.raises(CourseError, match=reason) as caught:
        value(kind, text)
    assert "'x' of 05_study" in str(caught.value)
    assert repr(text) in str(caught.value)


@given(st.integers())
def test_every_integer_survives(number):
    assert value("int", str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float_survives(number):
    assert value("float", repr(number)) == number


@given(st.text())
def test_every_text_survives(text):
    assert value("str", text) == text


@pytest.mark.parametrize("option", ["rank", "=8", " =8", ""])
def test_an_option_without_a_name_or_value_is_refused(option):
    with pytest.raises(CourseError, match="no form name=value"):
        from_option(option)


PLACEMENT = declared_parameters("alpha: float = 1.0  # scale\nreport: str = ''  # x", where="05")
OTHER = declared_parameters("beta: float = 1.0  # scale", where="08")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(CourseError, match=r"'ahpla' for 05_x; did you mean 'alpha'\?"):
        check_names([from_option("ahpla=1")], {"05_x": PLACEMENT}, {"08_y": OTHER})


def test_a_name_of_a_lesson_that_is_not_chosen_is_refused_with_that_lesson():
    with pytest.raises(CourseError, match="08_y declares it, but is not among"):
        check_names([from_option("beta=1")], {"05_x": PLACEMENT}, {"08_y": OTHER})


def test_the_report_folder_is_not_the_users_to_set():
    with pytest.raises(CourseError, match=r"'report' cannot be set.*--name"):
        check_names([from_option("report=/tmp")], {"05_x": PLACEMENT}, {})


def test_later_layers_win_and_undeclared_names_are_left_out():
    layers = [[from_option("alpha=1")], [from_option("alpha=2"), from_option("beta=9")]]
    assert resolve(layers, PLACEMENT, lesson="05_x") == {"alpha": 2.0}
