"""From a case of re-identification to its JSON: neither tokens nor identifiers stand in it."""

from typing import Any

from huitong.errors import Reason
from huitong.model.reidentification import Reidentification
from huitong.portal.api import shapes
from huitong.portal.api.language import sentence
from huitong.portal.doors import doors


def shape(found: Reidentification, language: str) -> dict[str, Any]:
    """A case as it is told, with whether it stands at this instant."""
    over = doors().reidentification.why_over(found)
    agreed = found.agreement
    names = ("id", "grant", "dataset", "item", "officer", "post", "case", "legal_basis", "why", "state", "tokens", "tokens_hash",
             "days", "reveals", "answer_due", "reveals_left")  # fmt: skip
    told = ("kind", "at", "actor", "office", "reason", "words", "days", "reveals", "query")
    return {
        **{name: getattr(found, name) for name in names},
        "provider": shapes.office_reference(found.provider),
        "using_office": shapes.office_reference(found.using_office),
        "valid": over is None and found.valid_at(doors().clock()) and found.reveals_left > 0,
        "linked_grants": len(doors().reidentification.linked_grants(found)) if found.is_open else 0,
        "over_because": None if over is None else _reason(over, language),
        "valid_until": None if agreed is None else agreed.until,
        "events": [{name: getattr(event, name) for name in told} for event in found.events],
    }


def _reason(reason: Reason, language: str) -> dict[str, Any]:
    return {"code": reason.code, "parameters": dict(reason.parameters), "text": sentence(reason, language)}
