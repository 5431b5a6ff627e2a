"""``course search``: ask a run's pictures by text, by picture, or one question after the other.

Embeddings lie on disk and a question runs the text tower alone. A picture as a question opens the
whole model, once.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from helpers.first import paths
from helpers.first.runner import search_view as view
from helpers.first.runner.lessons import CourseError, did_you_mean
from helpers.first.runner.meaning import warning_of_search
from helpers.first.runner.staging import run_folder
from helpers.first.runner.thumbnails import WAYS

DEFAULT_MODEL = "tiny-siglip"
HELP = ":image PATH asks with a picture, :k N for more results, :quit or Ctrl-D ends"


def add_search(commands: argparse._SubParsersAction) -> None:
    """The grammar of the command."""
    search = commands.add_parser("search", help="ask a run's pictures, by text or picture")
    search.add_argument("query", nargs="*", help="what to look for, in words")
    search.add_argument("--image", default="", metavar="PATH", help="a picture to look for")
    search.add_argument("--name", default="tiny", help="the run whose pictures are searched")
    search.add_argument("--zone", default="", help="a zone in the place of the run's own")
    search.add_argument("--model", default="", help=f"default: {DEFAULT_MODEL}, if it is there")
    search.add_argument("--adapter", default="", help="an adapter's folder")
    search.add_argument("-k", type=int, default=5, metavar="N", help="how many (default: 5)")
    search.add_argument("--build", action="store_true", help="make the embeddings if need be")
    search.add_argument("--json", action="store_true", help="a line of JSON for each question")
    search.add_argument("--thumbnails", choices=("auto", *WAYS), default="auto")
    search.set_defaults(command=run)


@dataclass(frozen=True)
class Question:
    """What is asked: words, the path of a picture, or both, and for how many."""

    text: str = ""
    image: str = ""
    k: int = 5


@dataclass(eq=False)
class Searcher:
    """A pack, and the whole model where a picture asks for it."""

    pack: Any

    @cached_property
    def whole(self) -> Any:
        """A retriever with both towers; takes seconds, the first time."""
        from helpers.first.models.loading import ModelError, load_encoder
        from helpers.first.retrieval.space import IndexRefused

        print("opening the whole model for a picture ...", file=sys.stderr)
        try:
            return self.pack.with_encoder(load_encoder(self.pack.model, adapter=self.pack.adapter))
        except (ModelError, IndexRefused) as error:
            raise CourseError(str(error)) from error

    def answer(self, question: Question) -> tuple[Any, float]:
        """The answer and the milliseconds that it took.

        Raises
        ------
        CourseError
            If nothing is asked, or the picture or the model cannot be opened.
        """
        from helpers.first.retrieval.retriever import Query, QueryRefused

        picture = _opened(question.image) if question.image else None
        retriever = self.whole if picture else self.pack.retriever
        began = time.perf_counter()
        try:
            (found,) = retriever.search([Query(question.text, picture, k=question.k)])
        except QueryRefused as error:
            raise CourseError(str(error)) from error
        return found, 1000 * (time.perf_counter() - began)


def run(arguments: argparse.Namespace) -> int:
    """Answer what the command line asks; the exit code."""
    from helpers.first.retrieval.search_pack import PackError
    from helpers.first.retrieval.space import IndexRefused
    from helpers.first.store.artefacts import ArtefactError

    question = Question(" ".join(arguments.query), arguments.image, arguments.k)
    asked = bool(arguments.query or arguments.image)
    if asked and not question.text.strip() and not question.image:
        raise CourseError("the question is empty: say what to look for, or give --image")
    try:
        searcher = Searcher(_pack(arguments))
        if warning := warning_of_search(searcher.pack.source, searcher.pack.model, arguments):
            print(warning, file=sys.stderr)
        show = _shower(arguments, searcher)
        if asked:
            show(question)
        elif sys.stdin.isatty():
            _prompt(searcher, show, question)
        else:
            _lines(sys.stdin, show, question)
    except (PackError, IndexRefused, ArtefactError) as error:
        raise CourseError(str(error)) from error
    return 0


def _pack(arguments: argparse.Namespace) -> Any:
    from helpers.first.retrieval.search_pack import open_pack, packs_of
    from helpers.first.store.zones import open_zone

    run_folder(arguments.name)  # refuses a bad name
    try:
        zone = open_zone(arguments.zone, name=arguments.name)
    except ValueError as error:
        raise CourseError(str(error)) from error
    if not zone.exists("manifests/pairs.json"):
        raise CourseError(_unknown(zone, arguments))
    model = arguments.model
    if not model:
        there = [name for name, adapter in packs_of(zone) if adapter == arguments.adapter]
        model = there[0] if there and DEFAULT_MODEL not in there else DEFAULT_MODEL
    if arguments.build:
        _build(zone, model, arguments.adapter)
    return open_pack(zone, model=model, adapter=arguments.adapter)


def _unknown(zone: Any, arguments: argparse.Namespace) -> str:
    if arguments.zone:
        return f"the zone {zone} holds no pairs: run lesson 01 into it (-p zone=...)"
    there = sorted(p.parents[1].name for p in paths.zones().glob("*/manifests/pairs.json"))
    return (
        f"there is no run {arguments.name!r} to search{did_you_mean(arguments.name, there)} "
        f"(there are: {', '.join(there) or 'none'}); 'course run --only 01 --name "
        f"{arguments.name}' makes one"
    )


def _build(zone: Any, model: str, adapter: str) -> None:
    from helpers.first.models.loading import ModelError, load_encoder
    from helpers.first.retrieval.search_pack import ensure_pack
    from helpers.first.retrieval.text_tower import TowerError

    try:
        encoder = load_encoder(model, adapter=adapter)
        ensure_pack(zone, encoder, model=model, adapter=adapter, progress=sys.stderr.isatty())
    except (ModelError, TowerError) as error:
        raise CourseError(str(error)) from error


def _opened(place: str) -> Any:
    from helpers.first.data.images import ImageError, load_image

    path = Path(place).expanduser()
    try:
        return load_image(path.read_bytes())
    except (OSError, ImageError) as error:
        raise CourseError(f"the picture {path} cannot be read: {error}") from error


def _shower(arguments: argparse.Namespace, searcher: Searcher) -> Callable[[Question], None]:
    look = view.Look.of(arguments.thumbnails, os.environ, sys.stdout)

    def show(question: Question) -> None:
        found, ms = searcher.answer(question)
        if arguments.json:
            print(view.as_json(asdict(question), found, ms, searcher.pack), flush=True)
        else:
            print(view.as_text(found, ms, searcher.pack, look), flush=True)

    return show


def _lines(lines: Iterable[str], show: Callable[[Question], None], question: Question) -> None:
    """A question a line, as from a file or a pipe; empty lines are passed over."""
    for line in lines:
        if line.strip():
            show(replace(question, text=line.strip()))


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
    print(f"{view.welcome(searcher.pack)}\n{HELP}")
    while True:
        try:
            line = session.prompt("search> ").strip()
        except EOFError:
            return
        except KeyboardInterrupt:  # as in a shell: the line is given up, not the program
            continue
        if line in (":quit", ":q"):
            return
        question = _step(line, show, question)


def _step(line: str, show: Callable[[Question], None], question: Question) -> Question:
    """What one line of the prompt does; a mistake is said and ends nothing."""
    try:
        if line.startswith(":k "):
            return replace(question, k=_count(line[3:]))
        if line.startswith(":image "):
            show(replace(question, text="", image=line[7:].strip()))
        elif line.startswith(":"):
            print(HELP)
        elif line:
            show(replace(question, text=line, image=""))
    except CourseError as error:
        print(error)
    return question


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise CourseError(f":k {text.strip()!r} is no number of results: give 1 or more")
    return int(text)
