"""Attack cases as a catalogue of them says: read from a YAML file, each with what must come of it.

A file that is none raises; a case that is malformed does not: it becomes a case with a fault, so that it is told in its place and counts
as not run."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from huitong.errors import InputInvalid, Unavailable

LARGEST_FILE = 16 * 2**20
"""Bytes of a catalogue that are read at most: thirty thousand cases, or a few that are very long."""


class Check(StrEnum):
    """What must come of an attack."""

    DENY = "deny"
    """It is refused before anything happens."""
    NO_LEAK = "no_leak"
    """It may be answered, with nothing in the answer that was not granted."""
    BOUNDED = "bounded"
    """It costs no more than the limits allow, and others are served meanwhile."""
    DETECT = "detect"
    """It may happen, and is found."""


@dataclass(frozen=True)
class Case:
    """One attack. `layer` may be any text; a case with `sql` is tried as that statement, another by the procedure of its id."""

    id: str
    layer: str
    name: str
    attempt: str
    must: str
    check: Check | None
    sql: str | None = None
    actor: str | None = None
    """Who tries it; None: as the layer has it."""
    fault: str | None = None
    """Why it cannot be run as it stands, in words; None if it can."""

    def __post_init__(self) -> None:
        if self.check is None and self.fault is None:
            raise InputInvalid.because("drill-case-without-check", case=self.id)


def read_cases(path: Path) -> list[Case]:
    """The cases of a catalogue in their order; the same id may stand twice.

    Raises InputInvalid `drill-file-unreadable`, `drill-file-too-large`, `drill-file-not-yaml`, `drill-file-without-cases`; Unavailable
    `drill-without-yaml` where the optional part of the installation is missing."""
    try:
        import yaml
    except ImportError:
        raise Unavailable.because("drill-without-yaml") from None
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputInvalid.because("drill-file-too-large", file=path.name, megabytes=LARGEST_FILE >> 20)
        text = path.read_bytes()
    except OSError:
        raise InputInvalid.because("drill-file-unreadable", file=str(path)) from None
    try:
        # not its fast form: deep nesting would end the process there, where this one raises
        written = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError):  # ValueError: a date or number of a form that cannot be one
        raise InputInvalid.because("drill-file-not-yaml", file=path.name) from None
    listed = written.get("cases") if isinstance(written, Mapping) else written
    if not isinstance(listed, list):
        raise InputInvalid.because("drill-file-without-cases", file=path.name)
    return [_case(one, position) for position, one in enumerate(listed, 1)]


def _case(written: Any, position: int) -> Case:
    if not isinstance(written, Mapping):
        return Case(f"#{position}", "", "", "", "", None, fault="It is not a mapping of names to values.")
    sql, faults = written.get("sql"), []
    stated = written.get("check")
    check = next((one for one in Check if stated == one.value), None)
    if check is None:
        faults.append(f"Its check is none of {', '.join(one.value for one in Check)}.")
    if isinstance(sql, bytes):
        sql = sql.decode("latin-1")  # every byte is some character: a statement may be anything
    elif sql is not None and not isinstance(sql, str):
        sql = _text(sql)
    return Case(
        id=_text(written.get("id")) or f"#{position}",
        layer=_text(written.get("layer")),
        name=_text(written.get("name")),
        attempt=_text(written.get("attempt")),
        must=_text(written.get("must")),
        check=check,
        sql=sql,
        actor=_text(written.get("actor")) or None,
        fault=" ".join(faults) or None,
    )


def _text(value: Any) -> str:
    """A value that should be text, as text: YAML reads `1` as a number and `no` as false. Cut where it refers to itself."""
    return "" if value is None else str(value)
