"""Lists of uses, and of time stamps, as the API takes and gives them."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from huitong.gateway.running import RunningUse
from huitong.ledger.uses import UseOfData
from huitong.model.ledger import Checkpoint, KeptStamp
from huitong.portal.api.shapes import office_reference
from huitong.portal.api.use_schemas import UsesAsked
from huitong.portal.doors import doors
from huitong.sharing.used import UsesWanted, UseTotal


def wanted(asked: UsesAsked) -> UsesWanted:
    """Which uses. Raises InputInvalid `uses-days-turned`."""
    days = doors().uses_of_data.days(asked.since, asked.until)
    return replace(days, dataset=asked.dataset, office=asked.office, grant=asked.grant, end=asked.end)


def lines(found: Sequence[UseOfData]) -> list[dict[str, Any]]:
    """Uses of data."""
    offices = _offices(line.office for line in found)
    return [
        {
            **vars(line),
            "using_office": offices[line.office],
            "grant_version": line.version,
            "items": [{"item": item, "mask": mask} for item, mask in line.items],
            "reasons": list(line.reasons),
        }
        for line in found
    ]


def running(found: Sequence[RunningUse]) -> list[dict[str, Any]]:
    """Uses that run now."""
    offices = _offices(use.office for use in found)
    return [{**vars(use), "using_office": offices[use.office], "datasets": list(use.datasets)} for use in found]


def totals(found: Sequence[UseTotal]) -> list[dict[str, Any]]:
    """Totals of uses."""
    offices = _offices(line.office for line in found)
    return [{**vars(line), "using_office": offices[line.office]} for line in found]


def stamps(found: Sequence[tuple[Checkpoint, Sequence[KeptStamp]]]) -> list[dict[str, Any]]:
    """Time stamps of checkpoints."""
    return [
        {
            "size": stamp.size,
            "service": stamp.service,
            "at": stamp.at,
            "checkpoint": checkpoint.note,
            "answer": base64.b64encode(stamp.answer).decode(),
        }
        for checkpoint, kept in found
        for stamp in kept
    ]


def _offices(names: Iterable[str]) -> dict[str, Any]:
    return {name: office_reference(name) for name in set(names)}
