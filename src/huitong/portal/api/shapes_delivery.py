"""Extracts and their addresses as the API tells them."""

from typing import Any
from urllib.parse import urlencode

from huitong.delivery.addresses import SignedAddress
from huitong.model.catalog import Dataset
from huitong.model.delivery import Extract
from huitong.model.records import RecordDoor, key_items
from huitong.portal.api.language import sentence


def extract(found: Extract, language: str) -> dict[str, Any]:
    """An extract: how far it is, and when it is ready what the file is."""
    reasons = [{"code": one.code, "parameters": dict(one.parameters), "text": sentence(one, language)} for one in found.reasons]
    return {
        "id": found.id,
        "state": found.state,
        "dataset": found.dataset,
        "snapshot": found.snapshot,
        "items": list(found.items),
        "format": found.form,
        "purpose": found.purpose,
        "grant": found.grant,
        "grant_version": found.grant_version,
        "terms_hash": found.terms_hash,
        "person": found.person,
        "asked_at": found.asked_at,
        "rows": found.rows,
        "rows_expected": found.rows_expected,
        "bytes": found.bytes,
        "sha256": found.sha256 or None,
        "query": found.query or None,
        "ready_at": found.ready_at,
        "removed_at": found.removed_at,
        "reasons": reasons,
    }


def address(given: SignedAddress) -> dict[str, Any]:
    """An address, and by what the file that comes can be checked."""
    query = urlencode({"address": given.address.id, "expires": given.expires, "signature": given.signature})
    return {
        "address": f"/api/v1/extracts/{given.extract.id}/download?{query}",
        "extract": given.extract.id,
        "expires_at": given.address.expires_at,
        "bytes": given.extract.bytes,
        "sha256": given.extract.sha256,
    }


def record_door(found: RecordDoor, dataset: Dataset, language: str, *, own: bool = False) -> dict[str, Any]:
    """The door of a dataset and where its copy stands; `own`: to an officer of the managing office."""
    reasons = [{"code": one.code, "parameters": dict(one.parameters), "text": sentence(one, language)} for one in found.reasons]
    return {
        "dataset": found.dataset,
        "on": found.on,
        "key": [item.name for item in key_items(dataset)],
        "changed_at": found.changed_at if found.changed_by else None,
        "snapshot": found.version,
        "state": found.state,
        "rows": found.rows,
        "rows_expected": found.rows_expected,
        "rows_without_key": found.rows_without_key if own else None,
        "reasons": reasons,
    }
