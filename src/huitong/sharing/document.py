"""A grant as what two offices signed: its whole record, who may see it, what changed between versions, and its two written forms.

`record` is the door: everything that is written comes from it. What people wrote in free words beside a request or a revocation
stays out of every document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from huitong.catalog.divisions import Divisions
from huitong.errors import InputInvalid, NotFound, Reason
from huitong.model.catalog import Dataset
from huitong.model.party import Actor, Office, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, Terms
from huitong.policy.grading import GradingScheme
from huitong.policy.odrl import Agreement, Writing, agreement_of_odrl, grant_urn, odrl_of
from huitong.sharing.deadline import last_day, local_day
from huitong.sharing.ports import CatalogStore, Clock, PartyStore, SharingStore
from huitong.sharing.purposes import purposes
from huitong.sharing.term_words import (
    comparison_words,
    day_words,
    instant_words,
    items_of,
    mask_words,
    mode_words,
    named,
    quota_words,
    said,
)
from huitong.sharing.terms import hash_of_terms


class DivisionsNow(Protocol):
    """The divisions of now (`huitong.portal.stores.DjangoDivisions`)."""

    def tree(self) -> Divisions:
        """All of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class GrantRecord:
    """Everything that the documents of one version of a grant are written from."""

    grant: Grant
    """The version that is shown."""
    versions: Sequence[Grant]
    """All versions, oldest first."""
    events: Sequence[GrantEvent]
    dataset: Dataset
    provider: Office
    using_office: Office
    collector: Office | None
    grading: GradingScheme
    divisions: Divisions
    instance: str
    time_zone: str
    now: datetime

    @property
    def replaced_at(self) -> datetime | None:
        """When the next version took the place of the one that is shown."""
        return next(
            (one.at for one in self.events if one.kind is GrantEventKind.EXTENDED and one.version == self.grant.version + 1), None
        )

    def agreed_at(self, version: int | None = None) -> datetime:
        """When a version was agreed, by default the one that is shown."""
        kinds, wanted = (GrantEventKind.MADE, GrantEventKind.EXTENDED), version or self.grant.version
        return next((one.at for one in self.events if one.kind in kinds and one.version == wanted), self.grant.granted_at)

    def urn(self, version: int | None = None) -> str:
        """The name of a version, by default of the one that is shown."""
        return grant_urn(self.instance, self.grant.id, version or self.grant.version)

    def odrl(self, dataset_address: str) -> dict[str, Any]:
        """The agreement in ODRL; `dataset_address` is the entry's address in DCAT."""
        writing = Writing(
            instance=self.instance,
            dataset=self.dataset,
            dataset_address=dataset_address,
            provider=self.provider,
            using_office=self.using_office,
            purpose=purposes().get(self.grant.terms.purpose.code),
            replaced_at=self.replaced_at,
        )
        return odrl_of(self.grant, writing)

    def changes(self, version: int, language: str) -> tuple[Reason, ...]:
        """What that version changed in the one before, in words; nothing for the first."""
        kept = {one.version: one for one in self.versions}
        before, after = kept.get(version - 1), kept.get(version)
        if before is None or after is None:
            return ()
        return tuple(_changes(before, after, self, language))

    def division_name(self, code: str, language: str) -> str:
        """Name and code of a division; names are Chinese in both languages."""
        found = self.divisions.get(code)
        line = "".join(one.name for one in self.divisions.line(code)) if found else ""
        return named(line, code, language) if line else code


@dataclass(frozen=True, kw_only=True)
class GrantDocuments:
    """Who may have the documents of a grant."""

    sharing: SharingStore
    catalog: CatalogStore
    parties: PartyStore
    divisions: DivisionsNow
    clock: Clock
    time_zone: str
    instance: str
    grading: GradingScheme

    def record(self, grant_id: str, *, by: Actor, version: int | None = None) -> GrantRecord:
        """The record of a grant, with one of its versions to be shown (by default the newest): for its two offices, and for a regulator
        in whose division the providing office lies.

        Raises NotFound `grant-unknown` for everybody else, `grant-version-unknown`."""
        grant = self.sharing.grant(grant_id)
        if grant is None or not self._may_see(grant, by):
            raise NotFound.because("grant-unknown", grant=grant_id)
        versions = self.sharing.grant_versions(grant.id)
        shown = grant if version is None else next((one for one in versions if one.version == version), None)
        dataset = self.catalog.dataset(grant.dataset)
        provider, using_office = self.parties.office(grant.provider), self.parties.office(grant.using_office)
        if shown is None:
            raise NotFound.because("grant-version-unknown", grant=grant.id, version=version or 0, newest=grant.version)
        if dataset is None or provider is None or using_office is None:
            raise NotFound.because("grant-unknown", grant=grant_id)
        return GrantRecord(
            grant=shown,
            versions=versions,
            events=self.sharing.grant_events(grant.id),
            dataset=dataset,
            provider=provider,
            using_office=using_office,
            collector=self.parties.office(dataset.collector),
            grading=self.grading,
            divisions=self.divisions.tree(),
            instance=self.instance,
            time_zone=self.time_zone,
            now=self.clock(),
        )

    def _may_see(self, grant: Grant, by: Actor) -> bool:
        if by.office in (grant.provider, grant.using_office):
            return True
        office = self.parties.office(grant.provider) if by.has(Role.REGULATOR) else None
        if office is None:
            return False
        return office.division in self.divisions.tree().codes_under(by.division, local_day(self.clock(), self.time_zone))


def read_agreement(document: Mapping[str, Any]) -> Agreement:
    """An ODRL document of ours, whose hash of the terms was counted anew.

    Raises InputInvalid `odrl-not-understood`, `odrl-hash-wrong`."""
    found = agreement_of_odrl(document)
    counted = hash_of_terms(
        found.terms,
        dataset=found.dataset,
        provider=found.provider,
        using_office=found.using_office,
        signed_by=found.signed_by,
        version=found.version,
    )
    if counted != found.terms_hash:
        raise InputInvalid.because("odrl-hash-wrong", grant=found.grant, version=found.version)
    return found


def _changes(before: Grant, after: Grant, record: GrantRecord, language: str) -> Iterator[Reason]:
    old, new = before.terms, after.terms
    zone = record.time_zone
    yield from _of_term(old, new, zone, language)
    yield from _of_items(old, new, record.dataset, language)
    if old.rows != new.rows:
        rows = [record.division_name(one.rows.division, language) if one.rows else said("all-rows", language) for one in (old, new)]
        yield Reason("grant-change-rows", {"before": rows[0], "after": rows[1]})
    if old.condition != new.condition:
        said_of = [
            said("and", language).join(comparison_words(one, record.dataset, language) for one in terms.condition)
            or said("no-condition", language)
            for terms in (old, new)
        ]
        yield Reason("grant-change-condition", {"before": said_of[0], "after": said_of[1]})
    if old.subjects != new.subjects:
        counts = [one.subjects.count if one.subjects else 0 for one in (old, new)]
        yield Reason("grant-change-subjects", {"before": counts[0], "after": counts[1]})
    if (old.mode, old.k, old.noised) != (new.mode, new.k, new.noised):
        yield Reason("grant-change-mode", {"before": mode_words(old, language), "after": mode_words(new, language)})
    if old.quota != new.quota:
        yield Reason("grant-change-quota", {"before": quota_words(old.quota, language), "after": quota_words(new.quota, language)})
    if old.linkage_group != new.linkage_group:
        yield Reason("grant-change-linkage", {"before": old.linkage_group, "after": new.linkage_group})
    if old.purpose != new.purpose:
        yield Reason("grant-change-purpose", {"before": old.purpose.legal_basis, "after": new.purpose.legal_basis})
    if before.signed_by != after.signed_by:
        yield Reason("grant-change-signer", {"after": after.signed_by})


def _of_term(old: Terms, new: Terms, zone: str, language: str) -> Iterator[Reason]:
    if old.valid_until != new.valid_until:
        days = [day_words(last_day(one.valid_until, zone), language) for one in (old, new)]
        yield Reason("grant-change-until", {"before": days[0], "after": days[1]})
    if old.valid_from != new.valid_from:
        yield Reason("grant-change-from", {"after": instant_words(new.valid_from, zone, language)})


def _of_items(old: Terms, new: Terms, dataset: Dataset, language: str) -> Iterator[Reason]:
    names = items_of(dataset, language)
    was, now = ({term.item: term.mask for term in terms.items} for terms in (old, new))
    for item in sorted(was.keys() | now.keys()):
        name = names.get(item, item)
        if item not in was:
            yield Reason("grant-change-item-added", {"item": name, "mask": mask_words(now[item], language)})
        elif item not in now:
            yield Reason("grant-change-item-removed", {"item": name})
        elif was[item] != now[item]:
            masks = {"before": mask_words(was[item], language), "after": mask_words(now[item], language)}
            yield Reason("grant-change-mask", {"item": name, **masks})
