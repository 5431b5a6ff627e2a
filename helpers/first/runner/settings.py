"""Parameters from YAML: profiles, ``-f FILE`` and ``-y TEXT``.

YAML is read as a tree of nodes, never turned into objects: a value keeps the text that was written,
beside what YAML would take it for. So ``no`` for a str is refused rather than passed on as False,
and ``1e-4``, which YAML 1.1 calls a str, is a number where a number is declared.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml

from helpers import paths
from helpers.first.runner.lessons import CourseError, Lesson, did_you_mean
from helpers.first.runner.parameters import Given, from_option
from helpers.store.credentials import KEY_VARIABLES, without_keys

DEFAULT_PROFILE = "tiny"


def _given(key: yaml.Node, value: yaml.Node, where: str) -> Given:
    if not isinstance(key, yaml.ScalarNode):
        raise CourseError(f"{where}: a name is expected at line {key.start_mark.line + 1}")
    place = f"{where}, line {value.start_mark.line + 1},"
    if isinstance(value, yaml.SequenceNode):
        plain = all(isinstance(node, yaml.ScalarNode) for node in value.value)
        parts = tuple(node.value for node in value.value) if plain else ()
        return Given(key.value, "[...]", place, "list" if plain else "list of lists", parts=parts)
    if isinstance(value, yaml.MappingNode):
        return Given(key.value, "{...}", place, "mapping")
    kind = value.tag.rsplit(":", 1)[-1]
    return Given(key.value, value.value, place, kind, quoted=value.style is not None)


def from_yaml(text: str, *, where: str) -> tuple[Given, ...]:
    """The values of a YAML mapping ``name: value``, in its order; an empty text holds none.

    Lines may be gathered under headings, one level deep: ``lora:`` and, indented, ``rank: 32``. The
    headings are for the reader alone.

    Raises
    ------
    CourseError
        If the text is no YAML, no mapping, or names a parameter twice.

    Examples
    --------
    >>> from_yaml("rank: 32", where="-y")[0].text
    '32'
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CourseError(f"{where} is not YAML: {error}") from error
    if tree is None:
        return ()
    if not isinstance(tree, yaml.MappingNode):
        raise CourseError(f"{where} is not a mapping; write one `name: value` a line")
    given = tuple(_given(key, value, where) for key, value in _without_headings(tree))
    _refuse_twice(given, where)
    return given


def _without_headings(tree: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    """Names and values, those under a heading (a mapping in lines, not in braces) included."""
    found = []
    for key, value in tree.value:
        heading = isinstance(value, yaml.MappingNode) and not value.flow_style
        found += value.value if heading else [(key, value)]
    return found


def _refuse_twice(given: Sequence[Given], where: str) -> None:
    seen = set()
    for one in given:
        if one.name in seen:
            raise CourseError(f"{where} gives {one.name!r} twice")
        seen.add(one.name)


def from_file(path: Path) -> tuple[Given, ...]:
    """The values of a YAML file.

    Raises
    ------
    CourseError
        If it is missing or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"cannot read the parameters file {path}: {error}") from error
    return from_yaml(text, where=str(path))


def from_command_line(
    options: Sequence[str], *, text: str = "", file: str = ""
) -> tuple[tuple[Given, ...], ...]:
    """What ``-f``, ``-y`` and ``-p`` give, in this order: a later layer beats the ones before."""
    single = tuple(from_option(option) for option in options)
    _refuse_twice(single, "-p")
    layers = (
        from_file(paths.find(file)) if file else (),
        from_yaml(text, where="-y") if text else (),
        single,
    )
    for given in (one for layer in layers for one in layer):
        _refuse_keys(given)
    return tuple(layer for layer in layers if layer)


def _refuse_keys(given: Given) -> None:
    """Refuse a value that is an address with a password, before anything records it."""
    if (plain := without_keys(given.text)) != given.text:
        raise CourseError(
            f"{given.name} is an address that holds a user or a password, and every page of a run "
            f"shows its parameters: give {plain}, and the key in {' or '.join(KEY_VARIABLES)} "
            "(see .env.example)"
        )


def profiles() -> tuple[str, ...]:
    """The names of the profiles; ``tiny`` is the notebooks' own defaults and needs no folder."""
    folder = paths.notebooks() / "profiles"
    found = (p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ()
    return tuple(sorted({DEFAULT_PROFILE, *found}))


def check_profile(profile: str) -> None:
    """Refuse a profile that does not exist."""
    if profile not in profiles():
        hint = did_you_mean(profile, profiles())
        raise CourseError(f"unknown profile {profile!r}{hint} (there are: {', '.join(profiles())})")


def profile_file(profile: str, lesson: Lesson) -> Path:
    """The YAML file that a profile may have for a lesson."""
    return paths.notebooks() / "profiles" / profile / f"{lesson.slug}.yaml"


def from_profile(profile: str, lesson: Lesson) -> tuple[Given, ...]:
    """The values that a profile sets for a lesson; none where the profile has no file for it."""
    path = profile_file(profile, lesson)
    return from_file(path) if path.is_file() else ()
