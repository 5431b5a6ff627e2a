"""Parameters from YAML text, files and profiles."""

import pytest

from helpers import paths
from helpers.first.runner.lessons import (
    CourseError,
    find_lessons,
    parameters_cell,
    read_lesson,
    read_notebook,
)
from helpers.first.runner.parameters import Parameter, declared_parameters, parse
from helpers.first.runner.settings import (
    check_profile,
    from_command_line,
    from_file,
    from_profile,
    from_yaml,
)
from tests.first.small_lessons import write_lesson


def value(kind: str, text: str):
    """What ``-y "x: <text>"`` gives for a parameter of a type."""
    (one,) = from_yaml(f"x: {text}", where="-y")
    return parse(one, Parameter("x", kind, 0, "m"), lesson="05")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("int", "7", 7),
        ("float", "3", 3.0),
        ("float", "1e-4", 1e-4),
        ("float", "1.5e-3", 1.5e-3),
        ("bool", "True", True),
        ("str", "soup", "soup"),
        ("str", "'007'", "007"),
        ("str", '"no"', "no"),
        ("str", "world:kitchen", "world:kitchen"),
        ("str", "''", ""),
    ],
)
def test_yaml_values_follow_the_declared_type(kind, text, expected):
    found = value(kind, text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("str", "no", "reads it as bool; quote it: x: 'no'"),
        ("str", "[[1], 2]", "this is a list of lists"),
        ("str", "2024-01-01", "reads it as timestamp; quote it"),
        ("str", "~", "this is a null"),
        ("str", "", "this is a null"),
        ("int", "[1, 2]", "this is a list"),
        ("int", "{a: 1}", "this is a mapping"),
        ("int", "true", "reads it as bool"),
        ("int", "'8'", "it is quoted, which makes it a str; write x: 8"),
        ("int", "1:30", "not an int"),
        ("int", "0x1F", "not an int"),
        ("int", "010", "leading zeros"),
        ("float", ".nan", "not a finite number"),
        ("float", ".inf", "not a finite number"),
        ("float", "1:30.5", "not a finite number"),
        ("float", "soup", "not a finite number"),
        ("bool", "yes", "true or false"),
        ("bool", "1", "reads it as int"),
        ("str", "!!python/name:os.system ''", "YAML reads it as"),
    ],
)
def test_yaml_values_of_another_type_are_refused(kind, text, reason):
    with pytest.raises(CourseError, match=reason) as caught:
        value(kind, text)
    assert "-y, line 1, gives" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2", "gives 'a' twice"),
        ("- 1\n- 2", "not a mapping"),
        ("soup", "not a mapping"),
        ("a: [1", "is not YAML"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("[1, 2]: 3", "a name is expected at line 1"),
    ],
)
def test_yaml_of_another_form_is_refused(text, reason):
    with pytest.raises(CourseError, match=reason):
        from_yaml(text, where="-y")


def test_an_empty_text_gives_nothing():
    assert from_yaml("# a note", where="-y") == ()


def test_options_beat_text_and_text_beats_the_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("rank: 1")
    layers = from_command_line(["rank=3"], text="rank: 2", file=str(file))
    assert [layer[0].text for layer in layers] == ["1", "2", "3"]


def test_an_option_given_twice_is_refused():
    with pytest.raises(CourseError, match="-p gives 'rank' twice"):
        from_command_line(["rank=1", "rank=2"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CourseError, match=r"cannot read the parameters file .*none\.yaml"):
        from_file(tmp_path / "none.yaml")


def test_a_profile_sets_the_values_of_its_lesson_alone(home):
    lesson = read_lesson(write_lesson("01_a"))
    folder = home / "notebooks" / "profiles" / "study"
    folder.mkdir(parents=True)
    (folder / "01_a.yaml").write_text("rank: 64")
    assert [(g.name, g.text) for g in from_profile("study", lesson)] == [("rank", "64")]
    assert from_profile("tiny", lesson) == ()


def test_an_unknown_profile_is_refused_with_the_nearest_one(home):
    (home / "notebooks" / "profiles" / "study").mkdir(parents=True)
    check_profile("study")
    check_profile("tiny")
    with pytest.raises(CourseError, match=r"'stduy'; did you mean 'study'\?"):
        check_profile("stduy")


def test_headings_are_for_the_reader_alone():
    given = from_yaml("seed: 1\nlora:\n  rank: 32\n  alpha: 64\n", where="f")
    assert [(one.name, one.text) for one in given] == [
        ("seed", "1"),
        ("rank", "32"),
        ("alpha", "64"),
    ]


def test_a_name_under_two_headings_is_given_twice():
    with pytest.raises(CourseError, match="twice"):
        from_yaml("a:\n  rank: 1\nb:\n  rank: 2\n", where="f")


def test_braces_and_a_second_level_are_no_headings():
    for text in ("rank: {a: 1}", "lora:\n  rank:\n    a: 1\n"):
        [one] = from_yaml(text, where="f")
        with pytest.raises(CourseError, match="mapping"):
            parse(one, Parameter("rank", "int", 8, "m"), lesson="04")


def test_the_example_experiment_fits_the_lessons():
    """Every name in it is declared by lesson 03 or 04, with a value that they take."""
    given = from_file(paths.notebooks() / "profiles" / "experiment_config.yaml")
    declared = {
        lesson.slug: declared_parameters(
            parameters_cell(read_notebook(lesson.path), where=lesson.slug), where=lesson.slug
        )
        for lesson in find_lessons()
        if lesson.number in ("03", "04")
    }
    for one in given:
        takers = {slug: known[one.name] for slug, known in declared.items() if one.name in known}
        assert takers, one.name
        for slug, parameter in takers.items():
            assert parse(one, parameter, lesson=slug) is not None
