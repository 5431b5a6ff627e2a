"""Mistakes in names and values of parameters, and what has to be said about each."""

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

from helpers.first import course
from helpers.first.runner.lessons import CourseError, find_lessons
from helpers.first.runner.parameters import Given, Parameter, check_names, from_option, resolve
from helpers.first.runner.plan import declared_by
from helpers.first.runner.settings import from_command_line
from tests.first.runner_faults import complaint


def misspelt(name: str) -> set[str]:
    """The ways a finger slips: a letter lost, doubled, swapped, struck beside; case and dashes."""
    middle = len(name) // 2
    swapped = name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]
    return {
        name[:middle] + name[middle + 1 :],
        name[:middle] + name[middle] + name[middle:],
        swapped,
        name[:-1] + "x",
        name + "s",
        name.upper(),
        name.replace("_", "-"),
    } - {name}


def misspellings() -> tuple[int, int]:
    """Every declared parameter of every lesson, misspelt: refused with a name that is declared."""
    tried = passed = 0
    for lesson in find_lessons():
        declared = declared_by(lesson)
        for name in declared:
            for wrong in sorted(misspelt(name) - set(declared)):
                tried += 1
                passed += _refused(wrong, name, {lesson.slug: declared})
    return tried, passed


def _likeness(a: str, b: str) -> float:
    return SequenceMatcher(None, b, a).ratio()


def _refused(wrong: str, name: str, chosen: dict) -> bool:
    (slug,) = chosen
    try:
        check_names([from_option(f"{wrong}=1")], chosen, {})
    except CourseError as error:
        found = re.fullmatch(
            rf"unknown parameter {wrong!r} for {slug}; did you mean '(\w+)'\?", str(error)
        )
        # "methodx" may be "method" or "methods": the nearer one, or one that is as near
        said = found[1] if found else ""
        as_near = said in chosen[slug] and _likeness(wrong, said) >= _likeness(wrong, name)
        return said == name or as_near or complaint(wrong, error)
    return complaint(wrong, "was taken")


# Type, text, and by -p, -y, -f: the value, or a part of the refusal. In -y and -f it is YAML.
Case = tuple[str, str, object, object]
NO_INT, NO_FLOAT = "not an int", "not a finite number"
CASES: tuple[Case, ...] = (
    ("str", "007", "007", "007"),
    ("str", "'007'", "'007'", "007"),
    ("int", "007", "leading zeros", "leading zeros"),
    ("int", "7", 7, 7),
    ("int", "1e3", NO_INT, "reads it as str"),
    ("int", "7.0", NO_INT, "reads it as float"),
    ("int", "1_000", NO_INT, NO_INT),
    ("int", "0x1F", NO_INT, NO_INT),
    ("float", "1e-4", 1e-4, 1e-4),
    ("float", "1.0e-4", 1e-4, 1e-4),
    ("float", "3", 3.0, 3.0),
    ("float", ".5", 0.5, 0.5),
    ("float", ".nan", NO_FLOAT, NO_FLOAT),
    ("float", "inf", NO_FLOAT, NO_FLOAT),
    ("float", "'1e-4'", NO_FLOAT, "it is quoted"),
    ("bool", "true", True, True),
    ("bool", "False", False, False),
    ("bool", "no", "true or false", "true or false"),
    ("bool", "1", "true or false", "reads it as int"),
    ("str", "no", "no", "reads it as bool; quote it: x: 'no'"),
    ("str", "'no'", "'no'", "no"),
    ("str", "null", "null", "this is a null"),
    ("str", "2024-01-01", "2024-01-01", "reads it as timestamp"),
    ("str", "[a, b]", "[a, b]", "this is a list"),
    ("str", "a,b", "a,b", "a,b"),
    ("str", "", "", "this is a null"),
    ("str", "''", "''", ""),
    ("int", "", NO_INT, "this is a null"),
    ("int", "[1, 2]", NO_INT, "this is a list"),
    ("int", "{a: 1}", NO_INT, "this is a mapping"),
    ("bool", "", "true or false", "this is a null"),
    ("str", "a=b: c", "a=b: c", "is not YAML"),
)
RANGED = (("rank", "-3", "1 or more"), ("rank", "0", "1 or more"), ("test_share", "1", "below 1"))


def _ways(name: str, text: str) -> Iterator[tuple[str, dict[str, object]]]:
    """The three ways to give a value, as arguments of ``from_command_line``."""
    yield "-p", {"options": [f"{name}={text}"]}
    yield "-y", {"options": [], "text": f"{name}: {text}"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "values.yaml")
        file.write_text(f"{name}: {text}\n", encoding="utf-8")
        yield "-f", {"options": [], "file": str(file)}


def _taken(kind: str, name: str, arguments: dict) -> object:
    """The value that a lesson would get, or the error."""
    default = {"int": 1, "float": 0.5, "bool": True, "str": "s"}[kind]
    try:
        layers: tuple[tuple[Given, ...], ...] = from_command_line(**arguments)
        return resolve(layers, {name: Parameter(name, kind, default, "m")}, lesson="05")[name]
    except CourseError as error:
        return error


def coercions() -> tuple[int, int]:
    """Each case by -p, -y and -f: the value with its type, or the reason why not."""
    tried = passed = 0
    ranged = [("float" if "share" in n else "int", t, r, r, n) for n, t, r in RANGED]
    for kind, text, plain, in_yaml, name in (*((*case, "x") for case in CASES), *ranged):
        for way, arguments in _ways(name, text):
            wanted = plain if way == "-p" else in_yaml
            found = _taken(kind, name, arguments)
            tried += 1
            if isinstance(found, CourseError):
                good = isinstance(wanted, str) and wanted in str(found)
            else:
                good = type(found) is type(wanted) and found == wanted
            passed += good or complaint(f"{kind} {text!r} by {way}", repr(found))
    return tried, passed


# A command, and what it has to say before any cell runs.
COMMANDS = (
    (
        "--only 04 -p alhpa=5",  # codespell:ignore alhpa
        "unknown parameter 'alhpa' for 04_lora_finetune; did you mean 'alpha'",  # codespell:ignore
    ),
    ("--only 04 -p rank=-3", "'-3': it has to be 1 or more (rank: of the LoRA update)"),
    ("--only 04 -p rank=8.0", "parameter 'rank' of 04_lora_finetune is int, -p rank=8.0 gives"),
    ("--only 04 -y source:_no", "YAML reads it as bool; quote it: source: 'no'"),
    ("--only 01 -p rank=8", "declare it, but are not among the chosen lessons"),
    ("--only 4O", "--only names no lesson '4O'"),
    ("--profile stduy", "unknown profile 'stduy'; did you mean 'study'?"),
    ("--name ../up", "--name '../up' is no folder name"),
    ("-p report=here", "the runner sets it; name the run with --name instead"),
    ("-p rank", "-p 'rank' has no form name=value, such as -p rank=32"),
    ("-f none.yaml", "cannot read the parameters file "),
)


def message(command: str) -> tuple[int, str]:
    """Exit code and words of ``course run`` with a mistake; an underscore stands for a space."""
    told = io.StringIO()
    argv = ["run", *(part.replace(":_", ": ") for part in command.split())]
    with contextlib.redirect_stderr(told):
        status = course.main(argv)
    return status, told.getvalue()


def messages() -> tuple[int, int]:
    """Mistakes on the command line: exit code 2 and a message, before anything is written."""
    passed = 0
    for command, wanted in COMMANDS:
        status, said = message(command)
        passed += (status == 2 and wanted in said) or complaint(command, (status, said))
    return len(COMMANDS), passed
