"""``course serve``: the search of a run as an HTTP service on this machine."""

import argparse
import logging
import sys

from helpers.course.lessons import CourseError
from helpers.course.plan import warning_of_search
from helpers.course.search import add_pack, opened

EXAMPLES = """\
examples:
  course serve                     search the images of the run 'tiny' on http://127.0.0.1:8000
  course serve --name mine --build --port 9000
  course serve --endpoint http://127.0.0.1:11434/v1 --endpoint-model qwen2.5:14b"""


def add_serve(commands: argparse._SubParsersAction) -> None:
    """The grammar of the command."""
    serve = commands.add_parser(
        "serve", help="serve the search of a run over HTTP", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Serve the search of a run over HTTP, until a signal ends it: a page to search "
        "in a browser, and /docs with every request. There are no users and no passwords.",
    )  # fmt: skip
    add_pack(serve)
    serve.add_argument(
        "--host", default="127.0.0.1",
        help="the address to listen on; 0.0.0.0 serves whoever can reach this machine "
        "(default: %(default)s, this machine alone)",
    )  # fmt: skip
    serve.add_argument(
        "--port", type=int, default=8000, help="0: any that is free (default: %(default)s)"
    )
    serve.add_argument(
        "--rate", type=_positive, default=50.0, metavar="N",
        help="requests a second of one client, on average (default: %(default)g)",
    )  # fmt: skip
    serve.add_argument(
        "--max-mb", type=_positive, default=10.0, metavar="N",
        help="MiB of a request (default: %(default)g)",
    )  # fmt: skip
    serve.add_argument(
        "--timeout", type=_positive, default=10.0, metavar="SECONDS",
        help="how long a request may take to arrive, and a search (default: %(default)g)",
    )  # fmt: skip
    serve.add_argument(
        "--endpoint", default="", metavar="URL",
        help="an OpenAI-compatible address that writes answers (default: a template does)",
    )  # fmt: skip
    serve.add_argument("--endpoint-model", default="", metavar="NAME", help="the model there")
    serve.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code."""
    from helpers.course import service
    from helpers.course.limits import LOG, Limits
    from helpers.endpoint import Endpoint

    if bool(arguments.endpoint) != bool(arguments.endpoint_model):
        raise CourseError("--endpoint and --endpoint-model go together: give both or none")
    try:
        listening = service.listen(arguments.host, arguments.port)
    except (OSError, OverflowError) as error:
        raise CourseError(
            f"cannot listen on {arguments.host}:{arguments.port} ({error}): give another --port, "
            "or an address of this machine as --host"
        ) from error
    endpoint = None
    limits = Limits(
        body_bytes=int(arguments.max_mb * 2**20), body_s=arguments.timeout,
        search_s=arguments.timeout, per_s=arguments.rate, burst=max(1, round(4 * arguments.rate)),
    )  # fmt: skip
    if arguments.endpoint:
        endpoint = Endpoint(arguments.endpoint, arguments.endpoint_model, limits.answer_s)
    with listening:
        pack = opened(arguments)
        if warning := warning_of_search(pack.source, pack.model, arguments):
            print(warning, file=sys.stderr)
        local = arguments.host in service.LOOPBACK or arguments.host.startswith("127.")
        hosts = (*service.LOOPBACK, arguments.host) if local else ()
        app = service.make_app(
            pack, pack.with_images(), limits=limits, endpoint=endpoint, hosts=hosts
        )
        _log_lines(LOG)
        port = listening.getsockname()[1]
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        n = len(pack.retriever.index)
        print(f"serving {n:,} images with {pack.made_by} on http://{host}:{port}/", flush=True)
        if not hosts:
            print("note: there are no passwords: whoever reaches it can search", file=sys.stderr)
        try:
            service.serve(app, listening, limits=limits)
        except KeyboardInterrupt:  # the signal again, once all is answered
            print("stopped", file=sys.stderr)
    return 0


def _log_lines(logger: logging.Logger) -> None:
    """A line on standard error for each error, with its time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value
