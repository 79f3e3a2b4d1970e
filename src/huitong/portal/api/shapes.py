"""Frozen nouns into the forms of the API."""

from collections.abc import Iterable
from typing import Any

from huitong.errors import Reason
from huitong.gateway.answer import Explanation
from huitong.intake.load import Loading
from huitong.model.catalog import Dataset, Item, Snapshot
from huitong.model.party import Actor, Division, Office
from huitong.model.policy import DivisionRows, Grant, ItemTerm, Mask
from huitong.model.sharing import Request, RequestEvent, Wish
from huitong.model.text import BilingualText
from huitong.policy.default_masks import default_mask
from huitong.portal.api.language import sentence
from huitong.portal.doors import doors
from huitong.sharing.availability import Availability

JSON = dict[str, Any]


def words(text: BilingualText | None) -> JSON | None:
    """Both languages."""
    return None if text is None else {"zh": text.zh, "en": text.en}


def office_reference(office_id: str) -> JSON:
    """An office by id, with its title if it is known here."""
    office = doors().parties.office(office_id)
    return {"id": office_id, "title": words(office.title) if office else None}


def whoami(actor: Actor) -> JSON:
    """The actor."""
    return {
        "person": actor.person,
        "name": actor.name,
        "post": actor.post,
        "office": office_reference(actor.office),
        "division": actor.division,
        "roles": sorted(actor.roles),
    }


def division(found: Division) -> JSON:
    """A division."""
    return {
        "code": found.code,
        "name": found.name,
        "level": found.level,
        "parent": found.parent,
        "valid_from": found.valid_from,
        "valid_to": found.valid_to,
    }


def office(found: Office) -> JSON:
    """An office."""
    return {
        "id": found.id,
        "title": words(found.title),
        "division": found.division,
        "level": found.level,
        "credit_code": found.credit_code,
        "superior": found.superior,
    }


def mask(found: Mask) -> JSON:
    """A mask."""
    return {"kind": found.kind, "parameters": dict(found.parameters)}


def item(found: Item) -> JSON:
    """An item with its default mask."""
    return {
        "name": found.name,
        "title": words(found.title),
        "type": found.type,
        "grade": int(found.grade),
        "meaning": found.meaning,
        "default_mask": mask(default_mask(found)),
    }


def dataset(found: Dataset) -> JSON:
    """An entry as one sees it in a list."""
    return {
        "id": found.id,
        "title": words(found.title),
        "abstract": words(found.abstract),
        "classification": found.classification,
        "provider": office_reference(found.provider),
        "collector": office_reference(found.collector),
        "sharing": found.sharing,
        "openness": found.openness,
        "update_cycle": found.update_cycle,
        "grade": int(found.grade),
        "item_count": len(found.items),
        "published_on": found.published_on,
    }


def snapshot(found: Snapshot | None) -> JSON | None:
    """A snapshot without the places of its files."""
    if found is None:
        return None
    return {
        "version": found.version,
        "rows": found.rows,
        "rejected_rows": found.rejected_rows,
        "taken_at": found.taken_at,
        "source_hash": found.source_hash,
    }


def loaded(found: Loading) -> JSON:
    """A new snapshot, and the first rows that were left out."""
    rejects = [{"line": one.line, "item": one.item, "reason": one.reason} for one in found.rejects]
    return {**(snapshot(found.snapshot) or {}), "rejects": rejects}


def dataset_full(found: Dataset, *, actor: Actor, language: str) -> JSON:
    """A whole entry, its snapshot, and what the actor's office may have of it."""
    return dataset(found) | {
        "sharing_basis": found.sharing_basis,
        "sharing_condition": words(found.sharing_condition),
        "items": [item(entry) for entry in found.items],
        "key": found.key,
        "division_item": found.division_item,
        "source": found.source,
        "snapshot": snapshot(doors().current_snapshot(found.id)),
        "availability": availability(found, doors().sharing.availability(found, actor=actor), language),
    }


def availability(entry: Dataset, found: Availability, language: str) -> JSON:
    """Can this office have it, how, by when."""
    return {
        "kind": found.kind,
        "grants": list(found.grants),
        "request": found.request,
        "until": found.until,
        "working_days": found.working_days,
        "answer_by": found.answer_by,
        "provisional": found.provisional,
        **reason(found.reason(entry), language),
    }


def reason(found: Reason, language: str) -> JSON:
    """A reason with its sentence."""
    return {"code": found.code, "parameters": dict(found.parameters), "text": sentence(found, language)}


def item_terms(terms: Iterable[ItemTerm]) -> list[JSON]:
    """Items and how they leave."""
    return [{"item": term.item, "mask": mask(term.mask)} for term in terms]


def rows(found: DivisionRows | None) -> JSON | None:
    """The cut of rows."""
    return None if found is None else {"item": found.item, "division": found.division}


def wish(found: Wish) -> JSON:
    """What was asked or agreed."""
    return {
        "purpose": found.purpose.code,
        "legal_basis": found.purpose.legal_basis,
        "items": item_terms(found.items),
        "rows": rows(found.rows),
        "mode": found.mode.value,
        "until": found.until,
    }


def event(found: RequestEvent) -> JSON:
    """One thing that happened."""
    return {
        "kind": found.kind,
        "at": found.at,
        "actor": found.actor,
        "office": found.office,
        "reason": found.reason,
        "words": found.words,
        "wish": wish(found.wish) if found.wish else None,
    }


def request(found: Request, *, grant: str | None) -> JSON:
    """A request with its history."""
    return {
        "id": found.id,
        "dataset": found.dataset,
        "provider": office_reference(found.provider),
        "applicant": found.applicant,
        "applicant_office": office_reference(found.applicant_office),
        "state": found.state,
        "answer_due": found.answer_due,
        "wish": wish(found.wish),
        "events": [event(entry) for entry in found.events],
        "grant": grant,
    }


def grant(found: Grant) -> JSON:
    """A grant with its terms."""
    return {
        "id": found.id,
        "version": found.version,
        "request": found.request,
        "dataset": found.dataset,
        "provider": office_reference(found.provider),
        "using_office": office_reference(found.using_office),
        "signed_by": found.signed_by,
        "state": found.state,
        "valid": found.valid_at(doors().clock()),
        "purpose": found.terms.purpose.code,
        "legal_basis": found.terms.purpose.legal_basis,
        "items": item_terms(found.terms.items),
        "rows": rows(found.terms.rows),
        "mode": found.terms.mode.value,
        "linkage_group": found.terms.linkage_group,
        "valid_from": found.terms.valid_from,
        "valid_until": found.terms.valid_until,
        "terms_hash": found.terms_hash,
        "granted_at": found.granted_at,
        "revoked_at": found.revoked_at,
        "revoked_because": found.revoked_because,
    }


def page(entries: list[JSON], *, name: str, total: int, limit: int, offset: int) -> JSON:
    """Part of a list."""
    return {name: entries, "total": total, "limit": limit, "offset": offset}


def why(found: Explanation, language: str) -> JSON:
    """What would happen to a statement."""
    return {
        "allowed": found.allowed,
        "reasons": [reason(entry, language) for entry in found.decision.reasons],
        "datasets": [
            {
                "dataset": use.dataset,
                "items": list(use.items),
                "grant": use.grant,
                "masks": [{"item": entry.item, "mask": mask(entry.mask)} for entry in use.masks],
                "rows": rows(use.rows),
                "valid_until": use.valid_until,
                "snapshot": use.snapshot,
            }
            for use in found.datasets
        ],
    }
