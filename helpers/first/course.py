"""The command line: ``course list``, ``run``, ``check``, ``search`` and ``pretrain``.

Everything heavy is imported by the command that needs it, so that a list is there at once.
"""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from helpers import __version__
from helpers.first.runner.lessons import CourseError, choose, find_lessons
from helpers.first.runner.reset import add_reset
from helpers.first.runner.search import add_search
from helpers.first.runner.settings import DEFAULT_PROFILE, check_profile, from_command_line

DEFAULT_TIMEOUT = 3600.0  # seconds a cell may take


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def _add_run(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser("run", help="run lessons in order into reports/<name>/")
    run.add_argument("--only", metavar="01,03", help="these lessons alone")
    run.add_argument(
        "-p",
        dest="options",
        action="append",
        default=[],
        metavar="name=value",
        help="a parameter, for every chosen lesson that declares it",
    )
    run.add_argument("-y", dest="text", default="", metavar="YAML", help="parameters as YAML")
    run.add_argument("-f", dest="file", default="", metavar="FILE", help="parameters in a file")
    run.add_argument("--profile", default=DEFAULT_PROFILE, help="tiny (default), study or hub")
    run.add_argument("--name", help="the run's name (default: its profile's)")
    run.add_argument("--force", action="store_true", help="run what is up to date, too")
    run.add_argument("--jobs", type=_positive, default=1, metavar="N", help="lessons at a time")
    run.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="what one cell may take (default: %(default)g; 0: no limit)",
    )
    run.set_defaults(command=_run)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="course", description="Runs the lessons of the course.")
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="lessons, question, minutes, state")
    listing.add_argument("--name", default=DEFAULT_PROFILE, help="the run whose state is shown")
    listing.set_defaults(command=_list)
    _add_run(commands)
    check = commands.add_parser("check", help="environment, lessons, artefacts, exercises")
    check.set_defaults(command=_check)
    add_search(commands)
    add_reset(commands)
    # Its options are its own: main hands them on before this grammar sees them.
    commands.add_parser("pretrain", help="make a tiny checkpoint from nothing")
    return top


def _list(arguments: argparse.Namespace) -> int:
    from helpers.first.runner import staging, state
    from helpers.first.runner.plan import recorded_plan

    staging.run_folder(arguments.name)  # refuses a bad name
    lessons = find_lessons()
    shared = state.Shared.now(lessons)
    print(f"run {arguments.name!r}")
    for lesson in lessons:
        judged, _ = recorded_plan(lesson, name=arguments.name).state(shared)
        below = f"builds on {', '.join(lesson.builds_on)}" if lesson.builds_on else "stands alone"
        print(f"{lesson.number}  {lesson.question or lesson.slug}")
        print(f"    {lesson.slug}, {lesson.minutes:g} min, {below}; {judged}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from helpers.first.runner import session, staging
    from helpers.first.runner.plan import check_source, make_plans

    check_profile(arguments.profile)
    lessons = find_lessons()
    chosen = lessons if arguments.only is None else choose(lessons, arguments.only)
    layers = from_command_line(arguments.options, text=arguments.text, file=arguments.file)
    name = arguments.profile if arguments.name is None else arguments.name
    staging.run_folder(name)  # refuses a bad name
    settings = session.Settings(name, arguments.force, arguments.jobs, arguments.timeout)
    plans = make_plans(lessons, chosen, layers, profile=arguments.profile, name=name)
    check_source(plans, lessons)
    if arguments.jobs > 1:  # kernels inherit it: several of them share the cores
        threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    return session.run(plans, lessons, settings)


def _check(arguments: argparse.Namespace) -> int:
    from helpers.first.runner.checks import run_checks

    return run_checks()


def _pretrain(argv: Sequence[str]) -> int:
    from helpers.first.training.pretrain import main as pretrain

    return pretrain(argv) or 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: all is well. 1: a lesson or a check failed. 2: the command could not be carried out, and the
    message on standard error says why. 130: stopped by the user.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["pretrain"]:
        return _pretrain(argv[1:])
    arguments = parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        code = arguments.command(arguments)
        sys.stdout.flush()  # here, where a closed pipe can still be told from a fault
        return code
    except CourseError as error:
        print(f"course: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            raise
        print(f"course: no room to write: {error}; free some space and try again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
