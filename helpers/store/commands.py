"""The command that started this process, as it can be given again: for what a killed build leaves.

A lesson's kernel is a process of its own, whose arguments are of no use to anybody; the command is
that of the nearest process above it that a user types: ``course``, ``papermill`` or ``jupyter``.
"""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import PurePath

import psutil

TYPED = ("course", "papermill", "jupyter", "jupyter-lab", "jupyter-notebook", "pytest")
_SECRET = re.compile(r"(://)[^/@\s]+@")


def this_command() -> str:
    """The command line behind this process, without what an address holds before its ``@``.

    Empty where none is known, as in a console.
    """
    try:
        above = [p.cmdline() for p in (psutil.Process(), *psutil.Process().parents())]
    except psutil.Error:
        above = [sys.orig_argv]
    return next(filter(None, map(typed, above)), "")


def typed(arguments: Sequence[str]) -> str:
    """What a user typed of a process's arguments; empty where that is no known command.

    >>> typed(["/env/bin/python", "/env/bin/course", "run", "--only", "01"])
    'course run --only 01'
    """
    for at, argument in enumerate(arguments[:3]):
        name = PurePath(argument).name.removesuffix(".exe")
        module = arguments[at - 1] == "-m" if at else False
        name = argument.split(".")[0] if module else name
        if name in TYPED:
            return _SECRET.sub(r"\1", shlex.join([name, *arguments[at + 1 :]]))
    return ""
