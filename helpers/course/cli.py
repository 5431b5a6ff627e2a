"""The command line ``course``: list, run, check, search, serve, watch and pretrain."""

import sys
from collections.abc import Sequence

from helpers.first import course


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; see ``course --help``."""
    return course.main(argv)


if __name__ == "__main__":
    sys.exit(main())
