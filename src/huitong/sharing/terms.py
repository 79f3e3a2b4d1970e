"""From what was agreed to the terms that are hashed, signed for and enforced."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from huitong.catalog.canonical import canonical_bytes, canonical_hash, plain
from huitong.ledger.literals import SALT_BYTES, Literal
from huitong.model.policy import Grant, GrantState, MaskKind, Terms
from huitong.model.sharing import Linkage, Request, Wish
from huitong.sharing.deadline import end_of_day


def linkage_group(agreed: Wish, *, using_office: str, grant_id: str) -> str:
    """The group whose grants share pseudonyms. It always begins with the using office: no two offices can share one."""
    if agreed.linkage == Linkage.PURPOSE:
        return f"{using_office}:{agreed.purpose.code}"
    if agreed.linkage == Linkage.ALONE:
        return f"{using_office}:={grant_id}"
    return f"{using_office}:+{agreed.linkage}"


def salted(terms: Terms) -> Terms:
    """The same with a salt of their own, if a condition has values."""
    return replace(terms, salt=secrets.token_hex(SALT_BYTES)) if any(one.values for one in terms.condition) else terms


def told_wish(wish: Wish) -> dict[str, Any]:
    """A wish as the ledger tells it: values of conditions are literals, which may be of persons."""
    written: dict[str, Any] = plain(wish)
    return {**written, "condition": _sealed_values(written["condition"], None)}


def told_terms(canonical: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical terms and parties as the ledger tells them: values of conditions are literals under the salt of the terms, which itself
    is not told. The hash beside them is that of the whole."""
    terms = dict(canonical["terms"])
    salt = terms.pop("salt", None)
    if "condition" in terms:
        terms["condition"] = _sealed_values(terms["condition"], salt)
    return {**canonical, "terms": terms}


def _sealed_values(condition: Sequence[Mapping[str, Any]], salt: str | None) -> list[dict[str, Any]]:
    return [
        {**one, "values": Literal(canonical_bytes(one).decode(), salt) if one["values"] else []} for one in condition
    ]


def terms_of(agreed: Wish, *, using_office: str, grant_id: str, now: datetime, time_zone: str) -> Terms:
    """The terms of what was agreed: valid from now until 24:00 of its last day."""
    return Terms(
        purpose=agreed.purpose,
        items=tuple(sorted(agreed.items, key=lambda term: term.item)),
        rows=agreed.rows,
        mode=agreed.mode,
        linkage_group=linkage_group(agreed, using_office=using_office, grant_id=grant_id),
        valid_from=now,
        valid_until=end_of_day(agreed.until, time_zone),
        condition=tuple(sorted(agreed.condition, key=lambda one: (one.item, one.comparator, one.values))),
        subjects=agreed.subjects,
        k=agreed.k,
        quota=agreed.quota,
        noised=agreed.noised,
    )


LATER_TERMS = ("condition", "subjects", "k", "quota", "noised", "salt")
"""Terms that came after the first: left out of the canonical form where they say nothing, so that hashes made before them stand."""


def canonical_of(terms: Terms) -> dict[str, Any]:
    """The terms as plain values."""
    written: dict[str, Any] = plain(terms)
    return {name: value for name, value in written.items() if name not in LATER_TERMS or value not in (None, [])}


def canonical_terms(
    terms: Terms, *, dataset: str, provider: str, using_office: str, signed_by: str, version: int
) -> dict[str, Any]:
    """Terms and parties as plain values: what the hash covers and the ledger keeps."""
    return {
        "dataset": dataset,
        "provider": provider,
        "using_office": using_office,
        "signed_by": signed_by,
        "version": version,
        "terms": canonical_of(terms),
    }


def hash_of_terms(terms: Terms, *, dataset: str, provider: str, using_office: str, signed_by: str, version: int) -> str:
    """SHA-256, in hex, of the canonical form of terms and parties."""
    return canonical_hash(
        canonical_terms(
            terms, dataset=dataset, provider=provider, using_office=using_office, signed_by=signed_by, version=version
        )
    )


def grant_of(request: Request, agreed: Wish, *, grant_id: str, now: datetime, time_zone: str) -> Grant:
    """The grant that a request becomes. With pseudonyms it is still being prepared; else it may be used at once."""
    terms = salted(terms_of(agreed, using_office=request.applicant_office, grant_id=grant_id, now=now, time_zone=time_zone))
    version = 1
    return Grant(
        id=grant_id,
        version=version,
        request=request.id,
        dataset=request.dataset,
        provider=request.provider,
        using_office=request.applicant_office,
        signed_by=request.signed_by,
        terms=terms,
        terms_hash=hash_of_terms(
            terms,
            dataset=request.dataset,
            provider=request.provider,
            using_office=request.applicant_office,
            signed_by=request.signed_by,
            version=version,
        ),
        state=GrantState.PREPARING if pseudonym_items(terms) else GrantState.ACTIVE,
        granted_at=now,
    )


def pseudonym_items(terms: Terms) -> Sequence[str]:
    """The items that leave as pseudonyms and so need a side table."""
    return [term.item for term in terms.items if term.mask.kind is MaskKind.PSEUDONYM]
