"""A few cases of each line of ``tests/long/runner.py``: real processes, kernels, kills."""

import sys

import pytest

from tests.first import runner_mistakes as mistakes
from tests.first.long import runner
from tests.first.runner_faults import survives


def holds(outcome: tuple[int, int]) -> bool:
    """Whether something was tried, and all of it passed."""
    tried, passed = outcome
    return tried == passed > 0


def test_every_parameter_of_every_lesson_misspelt_is_refused_with_its_name():
    assert holds(mistakes.misspellings())


def test_values_are_taken_or_refused_alike_by_option_text_and_file():
    assert len(mistakes.CASES) >= 30
    assert holds(mistakes.coercions())


@pytest.mark.parametrize(("command", "wanted"), mistakes.COMMANDS)
def test_a_mistake_on_the_command_line_is_told(command, wanted):
    status, said = mistakes.message(command)
    assert status == 2
    assert wanted in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes stands in there")
def test_a_full_disk_is_told_and_the_earlier_report_stands():
    assert survives("disk full for its outputs")


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_the_next_one_completes():
    assert holds(runner.killed_runs(1))


@pytest.mark.slow
def test_of_runs_with_one_name_one_proceeds_and_the_others_say_why():
    assert holds(runner.one_name(3))


@pytest.mark.slow
def test_a_foreign_file_among_the_inputs_is_refused_by_name():
    assert runner.input_is_handled("foreign")


@pytest.mark.slow
def test_two_jobs_give_the_same_numbers_and_say_who_waits():
    assert holds(runner.jobs((2,)))
