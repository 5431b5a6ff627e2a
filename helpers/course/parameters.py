"""The check of a lesson's parameters: one table for the command line, papermill and Jupyter."""

from collections.abc import MutableMapping
from typing import Any

from helpers.first.runner.checked import check_parameters


def check(lesson: str, values: MutableMapping[str, Any]) -> None:
    """Bring the parameters of a lesson to their types in place, and refuse what cannot be meant."""
    check_parameters(lesson, values)
