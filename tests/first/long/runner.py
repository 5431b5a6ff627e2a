"""The runner under every mistake and interruption: see ``tests/course/interruptions.py``."""

from tests.course.interruptions import main

__all__ = ["main"]
