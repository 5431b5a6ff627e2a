"""Values from options, YAML, profiles and kernels: their types, their ranges, their refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import paths
from helpers.course.lessons import CourseError, Parameter, find_lessons, read_lesson
from helpers.course.parameters import (
    check,
    check_names,
    from_command_line,
    from_file,
    from_option,
    from_profile,
    from_yaml,
    parse,
    resolve,
)
from tests.course.small_lessons import write_lesson


def value(kind: str, text: str, way: str = "-p", name: str = "x", folder=None):
    """What a text gives for a parameter of a type, by -p, -y or -f: a value or the error."""
    arguments = {"options": [f"{name}={text}"]} if way == "-p" else {"options": []}
    if way == "-y":
        arguments["text"] = f"{name}: {text}"
    if way == "-f":
        (folder / "values.yaml").write_text(f"{name}: {text}\n", encoding="utf-8")
        arguments["file"] = str(folder / "values.yaml")
    default = {"int": 1, "float": 0.5, "bool": True, "str": "s"}[kind]
    try:
        (one,) = [one for layer in from_command_line(**arguments) for one in layer]
        return parse(one, Parameter(name, kind, default, "m"), "05_study")
    except CourseError as error:
        return error


NO_INT, NO_FLOAT = "not an int", "not a finite number"
# Type, text, and by -p, and as YAML: the value, or a part of the refusal.
CASES = [
    ("str", "007", "007", "007"),
    ("str", "'007'", "'007'", "007"),
    ("int", "007", "leading zeros", "leading zeros"),
    ("int", "-7", -7, -7),
    ("int", "1e3", NO_INT, NO_INT),
    ("int", "7.0", NO_INT, NO_INT),
    ("int", "1_000", NO_INT, NO_INT),
    ("int", "0x1F", NO_INT, NO_INT),
    ("int", "1:30", NO_INT, NO_INT),
    ("int", "٣", NO_INT, NO_INT),
    ("int", "'8'", NO_INT, 8),
    ("float", "1e-4", 1e-4, 1e-4),
    ("float", "3", 3.0, 3.0),
    ("float", ".5", 0.5, 0.5),
    ("float", "-2.", -2.0, -2.0),
    ("float", ".nan", NO_FLOAT, NO_FLOAT),
    ("float", "inf", NO_FLOAT, NO_FLOAT),
    ("float", "1e999", NO_FLOAT, NO_FLOAT),
    ("float", "1,5", NO_FLOAT, NO_FLOAT),
    ("bool", "true", True, True),
    ("bool", "FALSE", False, False),
    ("bool", "no", "true or false", "true or false"),
    ("bool", "1", "true or false", "true or false"),
    ("str", "no", "no", "no"),
    ("str", "'no'", "'no'", "no"),
    ("str", "2024-01-01", "2024-01-01", "2024-01-01"),
    ("str", "[a, b]", "[a, b]", "this is a list"),
    ("str", "[[1], 2]", "[[1], 2]", "this is a list of lists"),
    ("str", "", "", ""),
    ("str", "''", "''", ""),
    ("int", "", NO_INT, NO_INT),
    ("int", "{a: 1}", NO_INT, "this is a mapping"),
    ("str", "a=b: c", "a=b: c", "is not YAML"),
    ("str", "world:kitchen", "world:kitchen", "world:kitchen"),
    ("str", "!!python/name:os.system ''", "!!python/name:os.system ''", ""),
]


@pytest.mark.parametrize("way", ["-p", "-y", "-f"])
@pytest.mark.parametrize(("kind", "text", "plain", "in_yaml"), CASES)
def test_a_value_is_taken_or_refused_by_its_declared_type(
    kind, text, plain, in_yaml, way, tmp_path
):
    found, wanted = value(kind, text, way, folder=tmp_path), plain if way == "-p" else in_yaml
    if isinstance(found, CourseError):
        assert isinstance(wanted, str)
        assert wanted in str(found)
        assert "is not YAML" in str(found) or "'x' of 05_study" in str(found)
    else:
        assert found == wanted
        assert type(found) is type(wanted)


@pytest.mark.parametrize(("name", "kind", "text", "wanted"), [
    ("rank", "int", "-3", "1 or more"), ("rank", "int", "0", "1 or more"),
    ("test_share", "float", "1", "below 1"), ("dimensions", "int", "1", "2 or more"),
])  # fmt: skip
@pytest.mark.parametrize("way", ["-p", "-y"])
def test_a_value_out_of_the_range_of_its_name_is_refused(name, kind, text, wanted, way):
    assert wanted in str(value(kind, text, way, name))


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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2", "gives 'a' twice"),
        ("a:\n  rank: 1\nb:\n  rank: 2\n", "gives 'rank' twice"),
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


def test_headings_are_for_the_reader_alone_and_an_empty_text_gives_nothing():
    given = from_yaml("seed: 1\nlora:\n  rank: 32\n  alpha: 64\n", where="f")
    assert [(g.name, g.text) for g in given] == [("seed", "1"), ("rank", "32"), ("alpha", "64")]
    assert from_yaml("# a note", where="-y") == ()
    for text in ("rank: {a: 1}", "lora:\n  rank:\n    a: 1\n"):  # braces, a second level
        (one,) = from_yaml(text, where="f")
        with pytest.raises(CourseError, match="mapping"):
            parse(one, Parameter("rank", "int", 8, "m"), "04")


@pytest.fixture
def lessons(home):
    """Two lessons with parameters of their own."""
    one = "alpha: float = 1.0  # scale\nreport: str = ''  # x"
    other = "beta: float = 1.0  # scale"
    return [read_lesson(write_lesson(slug, parameters=text))
            for slug, text in (("05_x", one), ("08_y", other))]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("ahpla=1", r"'ahpla' for 05_x; did you mean 'alpha'\?"),
        ("beta=1", "unknown parameter 'beta' for 05_x; 08_y declares it, but is not among"),
        ("report=/tmp", "'report' cannot be set.*--name"),
    ],
)
def test_a_name_that_cannot_be_meant_is_refused(lessons, option, message):
    with pytest.raises(CourseError, match=message):
        check_names([from_option(option)], lessons[:1], lessons)


def misspelt(name: str) -> set[str]:
    """The ways a finger slips: a letter lost, doubled, swapped, struck beside; case and dashes."""
    middle = len(name) // 2
    swapped = name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]
    return {
        name[:middle] + name[middle + 1 :], name[:middle] + name[middle] + name[middle:], swapped,
        name[:-1] + "x", name + "s", name.upper(), name.replace("_", "-"),
    }  # fmt: skip


def test_every_parameter_of_every_lesson_misspelt_is_refused_with_a_name_that_there_is():
    wrong, right = 0, 0
    for lesson in find_lessons():
        for name in lesson.parameters:
            for slip in sorted(misspelt(name) - set(lesson.parameters)):
                with pytest.raises(CourseError, match=f"unknown parameter '{slip}'") as caught:
                    check_names([from_option(f"{slip}=1")], [lesson])
                right += f"did you mean {name!r}?" in str(caught.value)
                wrong += f"did you mean {name!r}?" not in str(caught.value)
    assert right > 50 * wrong  # "real" may be "seed" or "read": a name that is as near


def test_options_beat_text_and_text_beats_the_file(lessons, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("alpha: 1")
    layers = from_command_line(["alpha=3", "beta=9"], text="alpha: 2", file=str(file))
    assert [layer[0].text for layer in layers] == ["1", "2", "3"]
    assert resolve(layers, lessons[0]) == {"alpha": 3.0}
    assert resolve(layers[:2], lessons[0]) == {"alpha": 2.0}
    with pytest.raises(CourseError, match="-p gives 'rank' twice"):
        from_command_line(["rank=1", "rank=2"])
    with pytest.raises(CourseError, match=r"cannot read the parameters file .*none\.yaml"):
        from_command_line([], file=str(tmp_path / "none.yaml"))


def test_a_profile_sets_the_values_of_its_lesson_alone(home):
    lesson = read_lesson(write_lesson("01_a"))
    folder = home / "notebooks" / "profiles" / "study"
    folder.mkdir(parents=True)
    (folder / "01_a.yaml").write_text("rank: 64")
    assert from_profile("study", lesson) == {"rank": 64}
    assert from_profile("tiny", lesson) == {}
    with pytest.raises(CourseError, match=r"'stduy'; did you mean 'study'\?"):
        from_profile("stduy", lesson)
    (folder / "01_a.yaml").write_text("rnak: 64")
    with pytest.raises(CourseError, match=r"'rnak' for 01_a; did you mean 'rank'\?"):
        from_profile("study", lesson)


def test_the_example_experiment_fits_the_lessons():
    """Every name in it is declared by lesson 03 or 04, with a value that they take."""
    given = from_file(paths.notebooks() / "profiles" / "experiment_config.yaml")
    lessons = [lesson for lesson in find_lessons() if lesson.number in ("03", "04")]
    check_names(given, lessons)
    assert {one.name for one in given} == set().union(*(resolve([given], x) for x in lessons))


def test_a_notebook_gets_its_values_of_their_types(home):
    text = 'rank: int = 8  # r\nscale: float = 0.5  # s\nconditions: str = "none"  # c'
    write_lesson("01_a", parameters=text, results=False)
    values = {"rank": 9, "scale": 2, "conditions": ["both", "none"], "other": object()}
    check("01_a", values)
    assert (values["rank"], values["scale"], values["conditions"]) == (9, 2.0, "both, none")
    assert type(values["scale"]) is float
    for wrong, said in ((None, "is nothing"), ([1], "this is a list"), (1.5, "not an int")):
        with pytest.raises(CourseError, match=said):
            check("01_a", {"rank": wrong})
