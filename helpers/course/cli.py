"""The command line ``course``: list, run, check, search, serve, watch, reset and pretrain.

Everything heavy is imported by the command that needs it, so that a list is there at once.
"""

import argparse
import errno
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from helpers import __version__
from helpers.course import search, serve, state, watch
from helpers.course.lessons import UNEXPECTED, CourseError, choose, find_lessons, one_line
from helpers.course.parameters import DEFAULT_PROFILE, from_command_line
from helpers.course.plan import check_source, make_plans, recorded_plan
from helpers.course.reset import add_reset

DEFAULT_TIMEOUT = 3600  # seconds a cell may take


class Parser(argparse.ArgumentParser):
    """A grammar whose refusals are one line, like those of everything else."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line; ``main`` says why."""
        raise CourseError(f"{message}; {self.prog} --help shows what there is")


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise CourseError(f"--jobs is {text!r}: give a whole number of 1 or more")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise CourseError(f"--timeout is {text!r}: give whole seconds, or 0 for no limit")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = Parser(prog="course", description="Runs the lessons of the course.")
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser(
        "list", help="lessons, question, minutes, state", epilog="example: course list --name mine",
        description="List the lessons with the minutes that they take, and their state in a run.",
    )  # fmt: skip
    listing.add_argument(
        "--name", help=f"the run whose state is shown (default: {DEFAULT_PROFILE})"
    )
    listing.set_defaults(command=_list)
    _add_run(commands)
    check = commands.add_parser(
        "check", help="environment, lessons, artefacts, exercises", epilog="example: course check",
        description="Check what is installed, the lessons, the stored data and reports of all "
        "runs, and the solutions of the exercises; a line for each, and code 1 where one fails.",
    )  # fmt: skip
    check.set_defaults(command=_check)
    for add in (search.add_search, serve.add_serve, watch.add_watch, add_reset):
        add(commands)
    # Its options are its own: main hands them on before this grammar sees them.
    commands.add_parser("pretrain", help="make a tiny checkpoint from nothing")
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show an error's traceback")
    return top


def _add_run(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser(
        "run", help="run lessons in order into reports/<name>/",
        description="Run lessons in order into reports/<name>/; what is up to date is skipped.",
        epilog="example: course run --name mine --only 01,03 -p source=photos/captions.csv",
    )  # fmt: skip
    run.add_argument("--only", metavar="01,03", help="these lessons alone (default: all)")
    run.add_argument(
        "-p", dest="options", action="append", default=[], metavar="name=value",
        help="a parameter, for every chosen lesson that declares it; beats -y and -f",
    )  # fmt: skip
    run.add_argument(
        "-y", dest="text", default="", metavar="YAML",
        help="parameters as YAML, one `name: value` a line, such as 'rank: 16'; beats -f",
    )  # fmt: skip
    run.add_argument(
        "-f", dest="file", default="", metavar="FILE",
        help="a file of such YAML; notebooks/profiles/experiment_config.yaml is an example",
    )  # fmt: skip
    run.add_argument(
        "--profile", default=DEFAULT_PROFILE, help="tiny, study or hub (default: %(default)s)"
    )
    run.add_argument("--name", help="the run's name (default: that of its profile)")
    run.add_argument("--force", action="store_true", help="run what is up to date, too")
    run.add_argument(
        "--new-source", action="store_true",
        help="bring another source into the run; its lessons on the one before go stale",
    )  # fmt: skip
    run.add_argument(
        "--jobs", type=_jobs, default=1, metavar="N",
        help="lessons at a time (default: %(default)s)",
    )  # fmt: skip
    run.add_argument(
        "--timeout", type=_seconds, default=DEFAULT_TIMEOUT, metavar="SECONDS",
        help="what one cell may take (default: %(default)g; 0: no limit)",
    )  # fmt: skip
    run.set_defaults(command=_run)


def _list(arguments: argparse.Namespace) -> int:
    name = DEFAULT_PROFILE if arguments.name is None else arguments.name
    state.run_folder(name)  # refuses a bad name
    if arguments.name is not None and name not in (there := state.runs()):
        raise CourseError(f"there is no run {name!r} (there are: {', '.join(there) or 'none'})")
    lessons = find_lessons()
    wide = max(len(lesson.question) for lesson in lessons)
    below = max(len("builds on"), *(len(", ".join(lesson.builds_on)) for lesson in lessons))
    print(f"    {'question':<{wide}}  minutes  {'builds on':<{below}}  state in run {name!r}")
    for x in lessons:
        judged, _ = recorded_plan(x, name=name).judged(lessons)
        stands = f"{x.minutes:>7g}  {', '.join(x.builds_on):<{below}}"
        print(f"{x.number}  {x.question:<{wide}}  {stands}  {judged}")
    total = sum(lesson.minutes for lesson in lessons)
    print(f"    {'all, on two CPU cores':<{wide}}  {total:>7g}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from helpers.course.run import run

    lessons = find_lessons()
    chosen = lessons if arguments.only is None else choose(lessons, arguments.only)
    layers = from_command_line(arguments.options, text=arguments.text, file=arguments.file)
    name = arguments.profile if arguments.name is None else arguments.name
    plans = make_plans(lessons, chosen, layers, profile=arguments.profile, name=name)
    if not arguments.new_source:
        check_source(name, plans)
    jobs = arguments.jobs
    if jobs > 1:  # kernels inherit it: several of them share the cores
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    return run(
        plans, lessons, force=arguments.force, jobs=jobs, timeout=arguments.timeout,
        again=_again(arguments),
    )  # fmt: skip


def _again(arguments: argparse.Namespace) -> str:
    """The command line of a run without its choice of lessons, to be copied."""
    parts = ["course", "run"]
    for option, value, default in (
        ("--profile", arguments.profile, DEFAULT_PROFILE), ("--name", arguments.name, None),
        ("-f", arguments.file, ""), ("-y", arguments.text, ""),
        *(("-p", option, "") for option in arguments.options),
        ("--jobs", arguments.jobs, 1), ("--timeout", arguments.timeout, DEFAULT_TIMEOUT),
    ):  # fmt: skip
        parts += [] if value == default else [option, str(value)]
    return shlex.join(parts)


def _check(arguments: argparse.Namespace) -> int:
    from helpers.course.checks import run_checks

    return run_checks()


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _message(error: Exception) -> str:
    """What an error says, in one line; of one that nobody foresaw, that it was not foreseen."""
    text = one_line(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG):
        return f"no room to write: {text}; free some space and try again"
    if type(error).__module__.partition(".")[0] == "helpers":
        return text
    if isinstance(error, UNEXPECTED) or not text:
        text = f"this command met something that it was not written for ({text or 'no text'})"
    return f"{text}; the same command with --debug shows where"


def _carried_out(argv: list[str]) -> int:
    if argv[:1] == ["pretrain"]:
        from helpers.pretraining.command import main as pretrain

        return pretrain([part for part in argv[1:] if part != "--debug"]) or 0
    arguments = parser().parse_args(argv)
    code = arguments.command(arguments)
    sys.stdout.flush()  # here, where a closed pipe can still be told from a fault
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: all is well. 1: a lesson or a check failed. 2: the command could not be carried out, and one
    line on standard error says why (after the traceback, with ``--debug``). 130: stopped by the
    user.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        return _carried_out(argv)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 (of whatever layer: the user gets one line)
        if "--debug" in argv:
            traceback.print_exception(error)
        print(f"course: {_message(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
