"""Commands with the manners of Huitong: words in two languages, an example in each help, the same options everywhere."""

import importlib
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from huitong.cli.exits import Exit
from huitong.cli.language import LANGUAGES, words
from huitong.errors import HuitongError, InputInvalid

FORMATS = ("table", "csv", "json", "parquet", "arrow")
BINARY = ("parquet", "arrow")
"""Bytes for a file or a pipe, never for a terminal."""
ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
}
"""Endings of an output file that say the form when `--format` does not."""
WIDTH = 100


@dataclass
class Surroundings:
    """What the options that every command takes have said."""

    said_format: str | None = None
    output: Path | None = None
    nl: bool = False
    home: Path | None = None
    server: str | None = None

    @property
    def format(self) -> str:
        """As `--format` says, else as the ending of `--output` does; `--nl` is a manner of JSON."""
        if self.said_format or self.output is None:
            return self.said_format or ("json" if self.nl else "table")
        return ENDINGS.get(self.output.suffix.lower(), "table")

    @property
    def by_line(self) -> bool:
        """Whether JSON is to come with one entry a line."""
        return self.nl or (self.said_format is None and self.output is not None and self.output.suffix.lower() in (".jsonl", ".ndjson"))

    @property
    def plain(self) -> bool:
        """Whether values are for programs: not translated, not shortened."""
        return self.format in ("csv", *BINARY)

    def check(self) -> None:
        """Before anything runs. Raises InputInvalid `cli-binary-to-terminal`, `cli-output-unknown`, `cli-file-unwritable`."""
        if self.output is None:
            if self.format in BINARY and sys.stdout.isatty():
                raise InputInvalid.because("cli-binary-to-terminal", format=self.format)
            return
        if self.said_format is None and self.output.suffix.lower() not in ENDINGS:
            raise InputInvalid.because("cli-output-unknown", file=self.output.name)
        if self.output.is_dir() or not self.output.absolute().parent.is_dir():
            raise InputInvalid.because("cli-file-unwritable", file=str(self.output))


def surroundings() -> Surroundings:
    """Those of the running command."""
    return click.get_current_context().find_root().ensure_object(Surroundings)


def _common(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        del parameter
        if value is not None:
            setattr(context.find_root().ensure_object(Surroundings), name, value)

    return keep


def common_options() -> list[click.Parameter]:
    """The options that stand before or after any command."""
    return [
        click.Option(["--format", "common_format"], type=click.Choice(FORMATS), expose_value=False, callback=_common("said_format")),
        click.Option(
            ["--output", "common_output"],
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_common("output"),
        ),
        click.Option(["--nl", "common_nl"], is_flag=True, default=None, expose_value=False, callback=_common("nl")),
        click.Option(["--lang", "common_lang"], type=click.Choice(LANGUAGES), expose_value=False),
        click.Option(
            ["--home", "common_home"],
            type=click.Path(file_okay=False, path_type=Path),
            expose_value=False,
            callback=_common("home"),
        ),
        click.Option(["--server", "common_server"], metavar="URL", expose_value=False, callback=_common("server")),
    ]


class Command(click.Command):
    """A command whose help is `cli-command-*`, `cli-option-*` and `cli-example-*` of the words."""

    def __init__(self, *arguments: Any, path: str = "", writes_itself: str = "", **settings: Any) -> None:
        """`writes_itself` is the option with which the command writes the file of `--output` itself, for it is too large to be held."""
        super().__init__(*arguments, **settings)
        self.path = path
        self.writes_itself = writes_itself
        taken = {name for parameter in self.params for name in parameter.opts}
        self.params.extend(option for option in common_options() if taken.isdisjoint(option.opts))

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what it prints goes into the file of `--output`, whole or, if it fails, not at all. An error learns which command it
        ended, for what can be done about it depends on that."""
        said = surroundings()
        try:
            said.check()
            if said.output is None or (self.writes_itself and ctx.params.get(self.writes_itself)):
                return super().invoke(ctx)
            with _into(said.output):
                return super().invoke(ctx)
        except HuitongError as error:
            error.__dict__["command"] = self.key
            raise

    def get_short_help_str(self, limit: int = 45) -> str:
        del limit
        return words(f"command-{self.key}").partition("\n")[0]

    @property
    def key(self) -> str:
        """`dataset-search` for `huitong dataset search`."""
        return self.path or str(self.name)

    def get_help(self, ctx: click.Context) -> str:
        return _help(self, ctx)


@contextmanager
def _into(file: Path) -> Iterator[None]:
    """What is printed meanwhile goes into the file."""
    terminal, written = sys.stdout, io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    sys.stdout = written
    try:
        yield
    finally:
        sys.stdout = terminal
    written.flush()
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_bytes(written.buffer.getvalue())
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise InputInvalid.because("cli-file-unwritable", file=str(file)) from None
    click.echo(words("written", file=str(file)), err=True)


class Group(click.Group):
    """A group of commands; a string in `lazy` is the place of a command that is loaded when it is called."""

    command_class = Command
    path: str = ""

    def __init__(self, *arguments: Any, lazy: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.lazy = dict(lazy or {})
        self.params.extend(common_options())

    @property
    def key(self) -> str:
        """`dataset` for `huitong dataset`."""
        return self.path or str(self.name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name].partition(":")
            found: click.Command = getattr(importlib.import_module(module), attribute)
            return found
        return super().get_command(ctx, cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(cmd, name)
        if isinstance(cmd, Command):
            cmd.path = f"{self.key}-{name or cmd.name}"

    def get_short_help_str(self, limit: int = 45) -> str:
        del limit
        return words(f"command-{self.key}").partition("\n")[0]

    def get_help(self, ctx: click.Context) -> str:
        return _help(self, ctx)


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], Command]:
    """Decorator: a command outside a group; `path` is the key of its words if it is hung into one lazily."""
    return click.command(name, cls=Command, **settings)


# --- help ---------------------------------------------------------------------------------------------------------------


def option_words(command: click.Command, parameter: click.Parameter) -> str:
    """What a parameter means: `cli-option-<command>-<name>` where a command says more, else `cli-option-<name>`."""
    name = str(parameter.name).replace("_", "-")
    own = f"option-{getattr(command, 'key', command.name)}-{name}"
    return words(own if words.has(own) else f"option-{name}")


def cells(text: str) -> int:
    """Columns that a text takes on a terminal; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns: broken at spaces, and between Chinese characters (never before punctuation)."""
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if line and cells(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for character in text:
        wide = unicodedata.east_asian_width(character) in "WF"
        closing = character in "，。；：、！？）》」』”’"
        if not pieces:
            pieces.append(character)
            continue
        last = pieces[-1][-1]
        in_word = not wide and not _wide(last) and last != " "
        if closing or last in "（《「『“‘" or character == " " or in_word:
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _two_columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    left = min(max((cells(name) for name, _ in rows), default=0), 34)
    lines = []
    for name, text in rows:
        first, *rest = wrap(text, WIDTH - left - 4)
        if cells(name) > left:
            lines += [f"  {name}", f"{'':{left + 4}}{first}"]
        else:
            lines.append(f"  {name}{'':{left - cells(name)}}  {first}")
        lines += [f"{'':{left + 4}}{line}" for line in rest]
    return lines


def _help(command: Command | Group, context: click.Context) -> str:
    lines = [f"{words('usage')} {context.command_path} {' '.join(command.collect_usage_pieces(context))}", ""]
    for paragraph in words(f"command-{command.key}").strip().split("\n"):
        lines += [f"  {line}".rstrip() for line in wrap(paragraph, WIDTH - 2)]
    arguments, options, common = [], [], []
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Argument):
            arguments.append((parameter.make_metavar(context), option_words(command, parameter)))
            continue
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        metavar = "" if parameter.is_flag or parameter.count else f" {parameter.make_metavar(context)}"
        if parameter.opts == ["--help"] or parameter.opts == ["--version"]:
            common.append((names, words(f"option-{parameter.opts[0][2:]}")))
        elif str(parameter.name).startswith("common_"):
            common.append((names + metavar, option_words(command, parameter)))
        else:
            text = option_words(command, parameter)
            default = parameter.get_default(context, call=False)
            if not parameter.is_flag and isinstance(default, (int, float, str)) and default != "":
                text += words("default", value=str(default))
            if parameter.required:
                text += words("required")
            options.append((names + metavar, text))
    for title, rows in (("arguments", arguments), ("options", options)):
        if rows:
            lines += ["", words(title), *_two_columns(rows)]
    if isinstance(command, Group):
        lines += ["", words("commands"), *_two_columns(_subcommands(command, context))]
    lines += ["", words("common-options"), *_two_columns(common)]
    if words.has(f"example-{command.key}"):
        lines += ["", words("example"), *[f"  {line}" for line in words(f"example-{command.key}").strip().split("\n")]]
    if command.key == "huitong":
        lines += ["", words("exit-codes"), *_two_columns([(str(int(code)), words(code.word)) for code in Exit])]
    return "\n".join(lines)


def _subcommands(group: Group, context: click.Context) -> list[tuple[str, str]]:
    """Names and first lines; a lazy command's words are found without loading it."""
    rows = []
    prefix = "" if group.key == "huitong" else f"{group.key}-"
    for name in group.list_commands(context):
        rows.append((name, words(f"command-{prefix}{name}").strip().partition("\n")[0]))
    return rows
