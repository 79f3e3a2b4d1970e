"""`huitong` itself: which commands there are, where they live, and how a call ends."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click

from huitong.cli.base import Group
from huitong.cli.exits import Exit, exit_of
from huitong.cli.language import choose, speak, words
from huitong.errors import HuitongError, Unavailable

COMMANDS = {
    "demo": "huitong.cli.demo:demo",
    "init": "huitong.cli.instance:init",
    "serve": "huitong.cli.serving:serve",
    "worker": "huitong.cli.serving:worker",
    "doctor": "huitong.cli.doctor:doctor",
    "backup": "huitong.cli.backing_up:backup",
    "restore": "huitong.cli.backing_up:restore",
    "settings": "huitong.cli.instance:settings",
    "generate": "huitong.cli.generating:generate",
    "account": "huitong.cli.registering:account",
    "login": "huitong.cli.signing_in:login",
    "whoami": "huitong.cli.signing_in:whoami",
    "person": "huitong.cli.people:person",
    "token": "huitong.cli.people:token",
    "staff": "huitong.cli.people:staff",
    "division": "huitong.cli.catalogue:division",
    "office": "huitong.cli.catalogue:office",
    "dataset": "huitong.cli.catalogue:dataset",
    "load": "huitong.cli.loading:load",
    "credential": "huitong.cli.loading:credential",
    "purpose": "huitong.cli.describing:purpose",
    "grading": "huitong.cli.describing:grading",
    "calendar": "huitong.cli.calendar:calendar",
    "request": "huitong.cli.sharing:request",
    "grant": "huitong.cli.sharing:grant",
    "notice": "huitong.cli.notices:notice",
    "webhook": "huitong.cli.notices:webhook",
    "delegation": "huitong.cli.sharing:delegation",
    "reidentification": "huitong.cli.reidentifying:reidentification",
    "pseudonym": "huitong.cli.pseudonyms:pseudonym",
    "query": "huitong.cli.using:query",
    "use": "huitong.cli.using:use",
    "why": "huitong.cli.using:why",
    "record": "huitong.cli.recording:record",
    "extract": "huitong.cli.extracting:extract",
    "receipt": "huitong.cli.proving:receipt",
    "ledger": "huitong.cli.witnessing:ledger",
    "drill": "huitong.cli.drilling:drill",
}
"""Each command and its place, in the order of the help."""


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value and not context.resilient_parsing:
        click.echo(f"huitong {version('huitong')}")
        context.exit()


class _PipeClosedError(Exception):
    """Of no kind that click knows: it would leave by itself with 1, our code of a fault, if it saw the BrokenPipeError."""


class _Root(Group):
    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **settings)
        except BrokenPipeError:
            raise _PipeClosedError from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _PipeClosedError from None


root = _Root("huitong", lazy=COMMANDS, no_args_is_help=True)
root.params.insert(0, click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version))


def run(arguments: Sequence[str]) -> int:
    """Run the command, tell what went wrong in full sentences on standard error, give back the exit code."""
    try:
        return _run(arguments)
    except (BrokenPipeError, _PipeClosedError):
        return _end_quietly()


def _end_quietly() -> Exit:
    """The reader of a pipe has seen enough (`| head`): nothing to tell and nobody to tell it to. What is still to be written goes
    nowhere, so that Python does not complain of it at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return Exit.PIPE_CLOSED


def _run(arguments: Sequence[str]) -> int:
    speak(choose(arguments, os.environ))
    from huitong.cli import failing

    as_json = failing.wants_json(arguments)
    try:
        result = root.main(list(arguments), prog_name="huitong", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else words("usage"), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        failing.tell_usage(error)
        return Exit.USAGE
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(words("interrupted"), err=True)
        return Exit.INTERRUPTED
    except HuitongError as error:
        failing.tell(error, as_json=as_json)
        return exit_of(error)
    except (BrokenPipeError, _PipeClosedError):
        raise
    except Exception as error:
        if os.environ.get("HUITONG_TRACE"):
            raise
        if failing.is_database(error):
            failing.tell(Unavailable.because("cli-database-unreachable"), as_json=as_json)
            return Exit.UNAVAILABLE
        failing.tell_unexpected(error, as_json=as_json)
        return Exit.UNEXPECTED
