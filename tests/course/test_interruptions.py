"""A few cases of ``interruptions.py``: real processes, kernels, kills."""

import sys

import pytest

from tests.course import interruptions
from tests.course.faults import survives

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes stands in there")
def test_a_full_disk_is_told_and_the_earlier_report_stands():
    assert survives("disk full for its outputs")


def test_a_killed_run_loses_nothing_and_the_next_one_completes():
    assert interruptions.killed_runs(1) == (1, 1)


def test_of_runs_with_one_name_one_proceeds_and_the_others_say_why():
    assert interruptions.one_name(3) == (3, 3)


def test_a_foreign_file_among_the_inputs_is_refused_by_name():
    assert interruptions.input_is_handled("foreign")


def test_two_jobs_give_the_same_numbers():
    assert interruptions.jobs((2,)) == (1, 1)
