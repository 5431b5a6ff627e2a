"""``course search``: search a run's images by text, by image, or one question after the other.

Embeddings lie on disk and a question runs the text encoder alone. An image as a question opens the
whole model, once.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from helpers import paths
from helpers.course import search_view as view
from helpers.course.lessons import CourseError, did_you_mean
from helpers.course.plan import warning_of_search
from helpers.course.rules import nothing_at, rule_of
from helpers.course.state import run_folder
from helpers.course.thumbnails import WAYS

DEFAULT_MODEL = "tiny-siglip"
NO_ADAPTER = "none"
HELP = """\
Type what to look for, such as: tacos on a pink plate
  :image PATH   search with an image        :k N   show N results from now on
  help or ?     show this                   quit   end (also :quit and Ctrl-D)"""
ASKS, ENDS = ("help", "?"), ("quit", "exit", ":quit", ":q")  # at the prompt
EXAMPLES = """\
examples:
  course search --build "tacos on a pink plate"     make the embeddings, then search
  course search --name mine --image photo.jpg -k 10        images like this one, of the run 'mine'
  course search --name mine                                a prompt; help shows what it knows
  course search --json < questions.txt                     a line of JSON for each question"""


def add_search(commands: argparse._SubParsersAction) -> None:
    """The grammar of the command."""
    search = commands.add_parser(
        "search", help="search a run's images, by text or image", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Search a run's images. Without a question: a prompt, or the lines of a pipe.",
    )  # fmt: skip
    search.add_argument("query", nargs="*", help="what to look for, in words")
    search.add_argument("--image", default="", metavar="PATH", help="an image to search with")
    add_pack(search)
    search.add_argument(
        "-k", type=_count, default=5, metavar="N", help="how many results (default: %(default)s)"
    )
    search.add_argument("--json", action="store_true", help="a line of JSON for each question")
    search.add_argument(
        "--thumbnails", choices=("auto", *WAYS), default="auto",
        help="how images are drawn in the terminal (default: %(default)s, by what it can do)",
    )  # fmt: skip
    search.set_defaults(command=run)


def add_pack(parser: argparse.ArgumentParser) -> None:
    """The options that say what is searched, and with which model and adapter."""
    parser.add_argument(
        "--name", default="tiny", help="the run whose images are searched (default: %(default)s)"
    )
    parser.add_argument(
        "--zone", default="", help="a folder or s3://... with data (default: the run's own)"
    )
    parser.add_argument(
        "--model", default="",
        help=f"a model that has embeddings (default: {DEFAULT_MODEL}, or the first that has some)",
    )  # fmt: skip
    parser.add_argument(
        "--adapter", default="",
        help=f"an adapter's folder, or '{NO_ADAPTER}' (default: the newest that the run has "
        "trained for the model, where it has embeddings)",
    )  # fmt: skip
    parser.add_argument(
        "--build", action="store_true", help="make the embeddings where there are none yet"
    )


@dataclass(frozen=True)
class Question:
    """What is asked: words, the path of an image, or both, and for how many."""

    text: str = ""
    image: str = ""
    k: int = 5


@dataclass(eq=False)
class Searcher:
    """A pack, what its data is called, and the whole model where an image asks for it."""

    pack: Any
    source: str = ""

    @cached_property
    def whole(self) -> Any:
        """A retriever with both encoders; takes seconds, the first time."""
        print("opening the whole model for an image ...", file=sys.stderr)
        return self.pack.with_images()

    def answer(self, question: Question) -> tuple[Any, float]:
        """The answer and the milliseconds that it took.

        Raises
        ------
        CourseError
            If nothing is asked, or the image or the model cannot be opened.
        """
        from helpers.topics.serving.retriever import Query

        image = _image(question.image) if question.image else None
        with _of_this_question():
            retriever = self.whole if image else self.pack.retriever
            began = time.perf_counter()
            (found,) = retriever.search([Query(question.text, image, k=question.k)])
        return found, 1000 * (time.perf_counter() - began)


@contextmanager
def _of_this_question() -> Iterator[None]:
    """What the layers below refuse is this question's fault: the next one may be answered."""
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "helpers":
            raise
        raise CourseError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Answer what the command line asks; the exit code."""
    question = Question(" ".join(arguments.query), arguments.image, arguments.k)
    asked = bool(arguments.query or arguments.image)
    if asked and not question.text.strip() and not question.image:
        raise CourseError("the question is empty: say what to look for, or give --image")
    pack = opened(arguments)
    searcher = Searcher(pack, _given_source(arguments) or pack.source)
    if warning := warning_of_search(searcher.pack.source, searcher.pack.model, arguments):
        print(warning, file=sys.stderr)
    show = _shower(arguments, searcher)
    prompts = not asked and sys.stdin.isatty()
    if not prompts and not arguments.json:  # these two say it themselves
        say(f"searching with {pack.made_by}")
    if asked:
        show(question)
    elif prompts:
        _prompt(searcher, show, question)
    else:
        return _lines(sys.stdin.buffer, show, question, encoding=sys.stdin.encoding)
    return 0


def opened(arguments: argparse.Namespace) -> Any:
    """The pack that the options of :func:`add_pack` name, built where that is asked for.

    Which adapter is used, and which could be, is said on standard error.

    Raises ``CourseError`` for an unknown run, and what ``open_pack`` and ``ensure_pack`` raise.
    """
    from helpers.store.zones import open_zone
    from helpers.topics.serving import pack

    run_folder(arguments.name)  # refuses a bad name
    for name in ("zone", "model", "adapter"):  # a relative path means what it means in course run
        setattr(arguments, name, rule_of(name, "").settled(getattr(arguments, name)))
    zone = open_zone(arguments.zone, name=arguments.name)
    if not zone.exists("manifests/pairs.json"):
        raise CourseError(_unknown(zone, arguments))
    given, built = arguments.adapter, pack.packs_of(zone)
    model, adapter = arguments.model, "" if given == NO_ADAPTER else given
    if not model:
        there = [name for name, other in built if other == adapter or not given]
        model = there[0] if there and DEFAULT_MODEL not in there else DEFAULT_MODEL
    newest = "" if given else pack.newest_adapter(zone, model)
    if arguments.build or (model, newest) in built:
        adapter = adapter or newest
    if arguments.build:
        encoder, factor = pack.open_encoder(zone, model, adapter)
        pack.ensure_pack(
            zone, encoder, model=model, adapter=adapter, factor=factor,
            progress=sys.stderr.isatty(),
        )  # fmt: skip
    found = pack.open_pack(zone, model=model, adapter=adapter)
    if newest and not adapter:
        there = pack.made_by(model, newest).partition(" with ")[2].partition(" (")[0]
        say(f"there is also the {there}: add --build once to search with it")
    return found


def say(text: str) -> None:
    """A note for people, beside what a program may read from standard output."""
    print(f"note: {text}", file=sys.stderr)


def _given_source(arguments: argparse.Namespace) -> str:
    """Where the run's images come from, as it was given to the run; empty where nobody knows."""
    if arguments.zone:
        return ""
    for record in sorted(run_folder(arguments.name).glob("[0-9][0-9]_*/run.json")):
        try:
            given = json.loads(record.read_text(encoding="utf-8"))["given"].get("source", "")
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # course check names a record that cannot be read
        if given:
            return str(given).removeprefix(f"{paths.root()}{os.sep}")
    return ""


def _unknown(zone: Any, arguments: argparse.Namespace) -> str:
    if arguments.zone:
        return f"the zone {zone} holds no pairs: run lesson 01 into it (-p zone=...)"
    there = sorted(p.parents[1].name for p in paths.zones().glob("*/manifests/pairs.json"))
    return (
        f"there is no run {arguments.name!r} to search{did_you_mean(arguments.name, there)} "
        f"(there are: {', '.join(there) or 'none'}); 'course run --only 01 --name "
        f"{arguments.name}' makes one"
    )


def _image(place: str) -> Any:
    from helpers.data.images import ImageError, load_image

    path = paths.find(place)
    if not path.exists():
        raise CourseError(f"the image {place} cannot be read: {nothing_at(place)}")
    try:
        return load_image(path.read_bytes())
    except (OSError, ImageError) as error:
        raise CourseError(f"the image {path} cannot be read: {error}") from error


def _shower(arguments: argparse.Namespace, searcher: Searcher) -> Callable[[Question], None]:
    if hasattr(sys.stdout, "reconfigure"):  # a terminal without the letters of a caption
        sys.stdout.reconfigure(errors="backslashreplace")
    look = view.Look.of(arguments.thumbnails, os.environ, sys.stdout)

    def show(question: Question) -> None:
        found, ms = searcher.answer(question)
        if arguments.json:
            print(view.as_json(asdict(question), found, ms, searcher.pack), flush=True)
        else:
            print(view.as_text(found, ms, searcher.pack, look), flush=True)

    return show


def _lines(
    lines: Iterable[bytes], show: Callable[[Question], None], question: Question, *, encoding: str
) -> int:
    """A question a line, as from a file or a pipe; empty lines are passed over.

    A question that cannot be answered is named with its line, and the others are answered. Returns
    2 where there was one.
    """
    code = 0
    for number, line in enumerate(lines, start=1):
        text = line.decode(encoding, "surrogateescape").lstrip("\ufeff").strip()
        try:
            if text:
                show(replace(question, text=text))
        except CourseError as error:
            print(f"course: line {number}: {error}", file=sys.stderr)
            code = 2
    return code


def _prompt(searcher: Searcher, show: Callable[[Question], None], question: Question) -> None:
    """Ask, answer, ask again; earlier questions are there with the up arrow, also next time."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.history import FileHistory

    history = paths.cache() / "search_history"
    history.parent.mkdir(parents=True, exist_ok=True)
    session = PromptSession(
        history=FileHistory(str(history)), auto_suggest=AutoSuggestFromHistory()
    )
    print(f"{view.welcome(searcher.pack, searcher.source)}\n{HELP}")
    while True:
        try:
            line = session.prompt("search> ").strip()
        except EOFError:
            return
        except KeyboardInterrupt:  # as in a shell: the line is given up, not the program
            continue
        if line in ENDS:
            return
        question = _step(line, show, question)


def _step(line: str, show: Callable[[Question], None], question: Question) -> Question:
    """What one line of the prompt does; a mistake is said and ends nothing."""
    try:
        if line.startswith(":k "):
            return replace(question, k=_count(line[3:]))
        if line in ASKS or (line.startswith(":") and not line.startswith(":image ")):
            print(HELP)
            return question
        if line.startswith(":image "):
            show(replace(question, text="", image=line[7:].strip()))
        elif line:
            show(replace(question, text=line, image=""))
    except (CourseError, argparse.ArgumentTypeError) as error:
        print(error)
    return question


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text.strip()!r} is no number of results: give a whole number of 1 or more"
        )
    return int(text)
