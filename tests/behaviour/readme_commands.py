"""README.md taken apart: its blocks, the commands in them, and what is done where one cannot run.

A block of ``sh`` holds commands, one a line; a block of ``text`` right below it is what its last
command prints. Everything else (``json``, ``csv``, ``bat``) is shown and not run.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\s*$")
COMMANDS = ("make", "course", "curl", "papermill", "pytest", "jupyter", "hf", "docker", "conda")


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its lines, the line of the README where it begins."""

    kind: str
    lines: tuple[str, ...]
    line: int

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Command:
    """A command line, where it stands, and what README says that it prints."""

    text: str
    line: int
    output: str = ""

    @property
    def words(self) -> list[str]:
        """As a shell splits it; a comment is no word."""
        return shlex.split(self.text, comments=True)


@dataclass(frozen=True)
class Instead:
    """Why a command is not run as it stands, and what runs in its place (``""``: nothing does).

    ``run`` may use the command itself as ``{command}``.
    """

    starts: str
    reason: str
    run: str


# A service in the background, asked once it answers, and told to end.
# In braces, so that what is ended is the service and no shell around it.
SERVED = (
    "{{ course serve > /dev/null 2>&1 & served=$!; "
    "curl -fsS --retry 90 --retry-delay 1 --retry-connrefused http://127.0.0.1:8000/health && "
    "{command}; code=$?; kill $served; wait $served; exit $code; }}"
)

# The first that fits counts. What is not in this table runs as the README has it.
INSTEAD = (
    Instead("make test", "runs this very test", "make -n test"),
    Instead("make test-fast", "is a part of make test", "make -n test-fast"),
    Instead("make env", "fetches packages", "make -n {rest}"),
    Instead("jupyter lab", "serves until it is stopped", "jupyter lab --version"),
    Instead("hf download", "needs a network", "HF_HUB_OFFLINE=1 {command}"),
    Instead("docker compose up", "needs docker; its file is read by a test of its own", ""),
    Instead("conda", "needs conda; its file is read by a test of its own", ""),
    Instead("course run --profile study", "takes hours", "{command} --help"),
    Instead("course run --profile hub", "takes a GPU", "{command} --only 03"),
    Instead("course run --name clip", "takes minutes", "{command} -p max_recipes=60"),
    Instead("course run --name trial", "takes minutes", "{command} -p max_recipes=60 -p epochs=1"),
    Instead("course run --name stored", "takes minutes", "{command} -p max_recipes=60"),
    Instead("course serve", "serves until it is stopped", "{command} --help"),
    Instead("course watch", "needs a folder of images that arrived", "{command} --help"),
    Instead("curl", "asks the service of the line before it", SERVED),
    Instead("course pretrain", "takes ten minutes", "{command} --help"),
)


def blocks(text: str) -> list[Block]:
    """Every fenced block, in order.

    >>> [block.kind for block in blocks("```sh\\nmake course\\n```\\n")]
    ['sh']
    """
    found, opened, lines = [], None, []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line.strip())
        if fence and opened is None:
            opened, lines = (fence[1], number), []
        elif fence:
            found.append(Block(opened[0], tuple(lines), opened[1]))
            opened = None
        elif opened is not None:
            lines.append(line)
    assert opened is None, f"README.md: the block that line {opened[1]} opens is not closed"
    return found


def commands(text: str) -> list[Command]:
    """The commands of all ``sh`` blocks in order, each with the output that is shown for it."""
    found: list[Command] = []
    last = 0  # the line at which the block before ended
    for block in blocks(text):
        if block.kind == "sh":
            found += _of_block(block)
        elif block.kind == "text" and block.line - last <= 2:  # at most one empty line between
            found[-1] = Command(found[-1].text, found[-1].line, block.text)
        last = block.line + len(block.lines) + 1
    return found


def _of_block(block: Block) -> list[Command]:
    found, begun = [], ""
    for number, line in enumerate(block.lines, start=block.line + 1):
        begun += line.strip()
        if begun.endswith("\\"):
            begun = begun[:-1]
        elif begun:
            if shlex.split(begun, comments=True):
                found.append(Command(begun, number))
            begun = ""
    return found


def inline_commands(text: str) -> list[Command]:
    """Commands in the prose: code spans that begin with the name of one."""
    inside = {
        number
        for block in blocks(text)
        for number in range(block.line, block.line + len(block.lines) + 2)
    }
    return [
        Command(span, number)
        for number, line in enumerate(text.splitlines(), start=1)
        if number not in inside
        for span in re.findall(r"`([^`]+)`", line)
        if span.split()[0] in COMMANDS and len(span.split()) > 1
    ]


def instead(command: str) -> Instead | None:
    """What stands in the table above for a command."""
    words = " ".join(shlex.split(command, comments=True))
    return next((row for row in INSTEAD if f"{words} ".startswith(f"{row.starts} ")), None)


def to_run(command: str, filled: dict[str, str]) -> str:
    """The command line that is run: without its comment, with the reader's own names filled in."""
    bare = re.sub(r"(^|\s+)#\s.*$", "", command)
    row = instead(bare)
    if row is not None:
        bare = row.run.format(command=bare, rest=bare.partition(" ")[2])
    for name, value in filled.items():
        bare = bare.replace(name, value)
    return bare


def masked(text: str, checkout: Path) -> list[str]:
    """Lines of an output without what differs from run to run: folders, times, last digits."""
    text = text.replace(f"{checkout}/", "")
    text = re.sub(r"\b\d+(\.\d+)? (ms|s|min|seconds|minutes)\b", r"# \2", text)
    text = re.sub(r"\b\d+:\d\d\b", "#:##", text)
    text = re.sub(r"\b(\d\.\d\d)\d\b", r"\1#", text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def shows(shown: list[str], printed: list[str]) -> bool:
    """Whether README's lines are what was printed; a line ``...`` stands for any lines.

    >>> shows(["a", "...", "d"], ["a", "b", "c", "d"]), shows(["a", "d"], ["a", "b", "d"])
    (True, False)
    """
    parts = [r"(?:.*\n)*" if line.strip() == "..." else re.escape(line) + r"\n" for line in shown]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in printed)) is not None
