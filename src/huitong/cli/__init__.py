"""Huitong on a terminal. `main` is the console entry; each command's module is loaded only when the command is called."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command named by the arguments and leave with the exit code of its cause (`huitong.cli.exits`)."""
    from huitong.cli.root import run

    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))
