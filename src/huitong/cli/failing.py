"""How a call that failed speaks: what happened, every reason, what to do now; on standard error, never a trace."""

import difflib
import json
import re
from collections.abc import Sequence

import click

from huitong.cli.exits import Exit, exit_of
from huitong.cli.language import words
from huitong.errors import HuitongError

DATABASE_ERRORS = ("OperationalError", "InterfaceError", "ProgrammingError")
"""Not there, gone, or without the tables."""

USES_OF_DATA = frozenset({"query", "why", "extract-make", "record-get", "record-verify"})
"""Commands after whose refusal one looks at what one may have; a wrong code or a step of an approval has other ways on."""


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--format json` was said; asked of the raw arguments, for a call may fail before they are understood."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)
    return any(one == "--format=json" or (one == "--format" and two == "json") for one, two in pairs)


def sentences(error: HuitongError) -> list[str]:
    """One sentence for each reason: ours if we have the words, the server's own if not."""
    import sys

    client = sys.modules.get("huitong.client")
    theirs = client.sentences_of(error) if client else (None,) * len(error.reasons)
    return [their or words.reason(reason) for reason, their in zip(error.reasons, theirs, strict=True)]


def tell(error: HuitongError, *, as_json: bool = False) -> None:
    """The error in full."""
    cause = exit_of(error)
    number = getattr(error, "query", None)
    texts = sentences(error)
    if as_json:
        body = {
            "error": cause.name.lower().replace("_", "-"),
            "exit": int(cause),
            "query": number,
            "reasons": [
                {"code": reason.code, "parameters": dict(reason.parameters), "text": text}
                for reason, text in zip(error.reasons, texts, strict=True)
            ],
        }
        click.echo(json.dumps(body, ensure_ascii=False, indent=2), err=True)
        return
    head = words(f"failed-{cause.name.lower().replace('_', '-')}")
    if number:
        head += words("failed-query", query=number)
    click.echo(printable(head), err=True)
    for text in texts:
        click.echo(f"  - {printable(text)}", err=True)
    now = f"now-{cause.name.lower().replace('_', '-')}"
    stopped = any(reason.code == "query-cancelled" for reason in error.reasons)
    if words.has(now) and not stopped and (cause is not Exit.REFUSED or getattr(error, "command", "") in USES_OF_DATA):
        click.echo(words(now), err=True)


def tell_unexpected(error: Exception, *, as_json: bool = False) -> None:
    """A fault of Huitong itself: its kind only, for its text may hold what nobody should see."""
    text = words("unexpected", kind=type(error).__name__)
    if as_json:
        reason = {"code": "unexpected", "parameters": {}, "text": text}
        body = {"error": "unexpected", "exit": 1, "query": None, "reasons": [reason]}
        click.echo(json.dumps(body, ensure_ascii=False, indent=2), err=True)
    else:
        click.echo(text, err=True)


def is_database(error: Exception) -> bool:
    """Whether the database is what failed; asked by name, so that nothing is imported for it."""
    return any(kind.__module__ == "django.db.utils" and kind.__name__ in DATABASE_ERRORS for kind in type(error).__mro__)


def tell_usage(error: click.UsageError) -> None:
    """What was wrong with the command line, in the language of the reader, and where help is."""
    click.echo(_usage_sentence(error), err=True)
    command = error.ctx.command_path if error.ctx else "huitong"
    click.echo(words("usage-help", command=command), err=True)


def _usage_sentence(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        sentence = words("usage-no-such-option", option=error.option_name)
        if error.possibilities:
            sentence += words("usage-meant", names=", ".join(sorted(error.possibilities)))
        return sentence
    if isinstance(error, click.exceptions.NoSuchCommand):
        sentence = words("usage-no-such-command", command=error.command_name)
        group = error.ctx.command if error.ctx else None
        known = group.list_commands(error.ctx) if isinstance(group, click.Group) and error.ctx else []
        if close := difflib.get_close_matches(error.command_name, known):
            sentence += words("usage-meant", names=", ".join(close))
        return sentence
    if isinstance(error, click.MissingParameter):
        return words("usage-missing", name=_name_of(error.param, error.ctx))
    if isinstance(error, click.BadParameter) and error.param is not None:
        kind = error.param.type
        name = _name_of(error.param, error.ctx)
        if isinstance(kind, click.Choice):
            return words("usage-choice", name=name, choices=", ".join(map(str, kind.choices)))
        if isinstance(kind, click.Path):
            named = re.search(r"(['\"])(.*)\1", error.message)
            return words("usage-path", name=name, file=printable(named[2]) if named else name)
        if isinstance(kind, (click.IntRange, click.FloatRange)):
            return words("usage-range", name=name, range=kind._describe_range().replace("x", "n"))
        if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
            return words("usage-number", name=name)
        return words("usage-bad", name=name, message=printable(error.message))
    return words("usage-other", message=printable(error.format_message()))


def _name_of(parameter: click.Parameter | None, context: click.Context | None) -> str:
    if parameter is None:
        return "?"
    if isinstance(parameter, click.Option):
        return parameter.opts[0]
    return parameter.make_metavar(context) if context else str(parameter.name).upper()


def printable(text: str) -> str:
    """The text without what a terminal would obey: control characters and marks that turn the direction of writing."""
    return "".join(character if _harmless(character) else f"\\u{ord(character):04x}" for character in text)


def _harmless(character: str) -> bool:
    code = ord(character)
    if code < 0x20 or 0x7F <= code <= 0x9F:
        return False
    return not (0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code in (0x200E, 0x200F, 0x061C, 0x2028, 0x2029))
