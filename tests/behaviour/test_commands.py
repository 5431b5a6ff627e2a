"""The commands that need no run: they answer at once, and say what they are for."""

import pytest


def test_the_list_of_lessons_is_there_before_anything_ran(shell):
    """Fault 36: every lesson by its number, and that it was never run."""
    done = shell("course list")
    assert done.code == 0, done.text
    assert "never run" in done.out


@pytest.mark.parametrize("command", ["run", "list", "check", "search"])
def test_every_command_has_help(shell, command):
    done = shell(f"course {command} --help")
    assert done.code == 0
    assert done.out.startswith("usage:")
