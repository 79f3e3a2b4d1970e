"""Who used which data, read from the ledger alone: an intent and its outcome, or a refusal, joined into one line for each dataset.

Doors differ in what they write, and later ones write more: what is not known here is passed over, what is missing stays unknown. The
lines are a function of the folded entries, so a table of them can be thrown away and made again, and compared with the ledger.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from huitong.model.ledger import EntryKind, Promise

LONGEST_NAME, LONGEST_TEXT = 130, 2000
"""Characters of a name and of a text that are kept of what an entry says."""
MOST_ITEMS, MOST_REASONS, MOST_DATASETS = 2000, 100, 1000
"""Items, reasons and datasets of one use that are kept."""
GREATEST_NUMBER = 2**53 - 1
ENDS = (EntryKind.USE_OUTCOME, EntryKind.USE_REFUSED)
OF_USES = (EntryKind.USE_INTENT, *ENDS)


class UseEnd(StrEnum):
    """How a use ended."""

    ANSWERED = "answered"
    """Rows were told, or none were found."""
    REFUSED = "refused"
    """It did not begin."""
    FAILED = "failed"
    """It began and did not end well. Nothing was told, unless it says how many rows had left by then."""


@dataclass(frozen=True)
class UseOfData:
    """One dataset of one use: a line of "who used my office's data". None: the ledger does not say."""

    place: int
    """Of the entry that ended the use, in the tree: a later use has a greater one."""
    position: int
    """Of the dataset among those of the use."""
    query: str
    """Number of the use, under which its receipt is fetched."""
    dataset: str
    """Empty for a refusal of a statement that named no dataset."""
    office: str
    """That used, or wanted to."""
    person: str
    post: str
    purpose: str
    legal_basis: str
    grant: str | None
    version: int | None
    snapshot: int | None
    mode: str | None
    door: str | None
    end: UseEnd
    at: datetime
    """Of the intent, or of the refusal."""
    ended_at: datetime
    rows: int | None
    duration: str | None
    """Bucket of its duration."""
    items: tuple[tuple[str, str], ...]
    """Names of the items that the statement used, each with its mask; never values."""
    reasons: tuple[str, ...]
    """Codes: why it was refused, or failed."""


def uses_of_data(
    entries: Sequence[tuple[int, Promise]], intents: Callable[[Collection[str]], Mapping[str, Promise]]
) -> list[UseOfData]:
    """The lines of the uses that ended with these entries (place and entry), by place. `intents` finds the intents that stand before
    them in the ledger; an outcome whose intent is not found gives no line."""
    begun: dict[str, Promise] = {promise.entry: promise for _, promise in entries if promise.kind is EntryKind.USE_INTENT}
    ended = [(place, promise, told) for place, promise in entries if promise.kind in ENDS and (told := _body(promise)) is not None]
    wanted = {name for _, _, told in ended if isinstance(name := told.get("intent"), str) and name not in begun}
    if wanted:
        begun.update(intents(wanted))
    return [line for place, promise, told in ended for line in _lines(place, promise, told, begun)]


def _lines(place: int, promise: Promise, told: Mapping[str, Any], begun: Mapping[str, Promise]) -> Iterator[UseOfData]:
    intent = begun.get(told["intent"]) if isinstance(told.get("intent"), str) else None
    if intent is None and promise.kind is EntryKind.USE_OUTCOME:
        return
    before = (_body(intent) or {}) if intent is not None else {}
    said = {**told, **before}
    if promise.kind is EntryKind.USE_REFUSED:
        end, reasons = UseEnd.REFUSED, _list(told.get("reasons"))[:MOST_REASONS]
    elif "failure" in told:
        end, reasons = UseEnd.FAILED, [told["failure"]]
    else:
        end, reasons = UseEnd.ANSWERED, []
    parts = [part for part in _list(said.get("grants")) if isinstance(part, dict)]
    parts = parts or [{"dataset": name} for name in _list(said.get("datasets"))] or [{}]
    for position, part in enumerate(parts[:MOST_DATASETS]):
        yield UseOfData(
            place=place,
            position=position,
            query=_text(said.get("query")),
            dataset=_text(part.get("dataset")),
            office=_text(said.get("office")),
            person=_text(said.get("actor")),
            post=_text(said.get("post")),
            purpose=_text(said.get("purpose")),
            legal_basis=_text(part.get("legal_basis") or said.get("legal_basis"), LONGEST_TEXT),
            grant=_text(part.get("grant")) or None,
            version=_number(part.get("version")),
            snapshot=_number(part.get("snapshot")),
            mode=_text(part.get("mode")) or None,
            door=_text(said.get("door")) or None,
            end=end,
            at=intent.at if intent is not None else promise.at,
            ended_at=promise.at,
            rows=None if end is UseEnd.REFUSED else _number(told.get("rows")),
            duration=_text(told.get("duration_bucket")) or None,
            items=_items(part.get("items")),
            reasons=tuple(_text(reason) for reason in reasons),
        )


def _body(promise: Promise) -> dict[str, Any] | None:
    try:
        body = json.loads(promise.payload)["body"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # the audit of the tree names it
    return body if isinstance(body, dict) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _items(value: object) -> tuple[tuple[str, str], ...]:
    """Of a mapping from name to mask; a list of names has no masks."""
    if isinstance(value, dict):
        return tuple((_text(name), _text(mask)) for name, mask in sorted(value.items()))[:MOST_ITEMS]
    return tuple((_text(name), "") for name in _list(value))[:MOST_ITEMS]


def _text(value: object, most: int = LONGEST_NAME) -> str:
    """Text as every database can keep it."""
    return value.replace("\0", "")[:most] if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= GREATEST_NUMBER else None
