"""Putting an entry into the catalogue: who may, what is checked before, what is written down."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from huitong.catalog.canonical import canonical_hash
from huitong.catalog.ports import CatalogStore, Clock, EntryLog, PartyStore, PolicyEpoch, SearchPage, Transactions
from huitong.catalog.search import index_of, search
from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused
from huitong.model.catalog import Dataset, Grade, Openness, Sharing
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Office, Role

CLASSIFICATION = re.compile(r"[1-3]-?\d{2}-?\d{3}[\d-]*/\d+")
"""The guide of 2017: class (1 basic, 2 thematic, 3 of an office), item of 2 digits, entry of 3, sub-entry of any length, `/`,
serial. Hyphens may stand between the parts."""


@cache
def minimum_grades() -> Mapping[str, Grade]:
    """The lowest grade for each meaning (`minimum_grades.toml`, with its source)."""
    written = tomllib.loads((files(__package__) / "minimum_grades.toml").read_text("utf-8"))
    return {meaning: Grade(grade) for meaning, grade in written["minimum"].items()}


def faults_of_entry(dataset: Dataset, offices: Mapping[str, Office | None]) -> tuple[Reason, ...]:
    """Everything that keeps an entry from being published; `offices` holds the two offices it names, None where there is none."""
    faults = []
    for office in dict.fromkeys((dataset.provider, dataset.collector)):
        if offices.get(office) is None:
            faults.append(Reason("office-unknown", {"office": office}))
    if CLASSIFICATION.fullmatch(dataset.classification) is None:
        faults.append(Reason("classification-invalid", {"dataset": dataset.id, "code": dataset.classification}))
    for item in dataset.items:
        lowest = minimum_grades().get(item.meaning or "")
        if lowest is not None and item.grade < lowest:
            faults.append(
                Reason("grade-too-low", {"item": item.name, "meaning": item.meaning or "", "grade": item.grade, "lowest": lowest})
            )
    if dataset.openness is Openness.OPEN:
        if dataset.sharing is not Sharing.UNCONDITIONAL:
            faults.append(Reason("open-but-not-shared", {"dataset": dataset.id, "sharing": dataset.sharing.value}))
        for item in dataset.items:
            if item.grade > Grade.PUBLIC:
                faults.append(Reason("open-but-graded", {"item": item.name, "grade": item.grade}))
    if dataset.sharing is Sharing.NOT_SHARED and dataset.openness is not Openness.NOT_OPEN:
        faults.append(Reason("open-but-not-shared", {"dataset": dataset.id, "sharing": dataset.sharing.value}))
    return tuple(dict.fromkeys(faults))


def faults_of_change(old: Dataset, new: Dataset, *, has_snapshot: bool) -> tuple[Reason, ...]:
    """Why an entry may not take the place of another of the same id: grants and snapshots still speak of the old one's items."""
    faults = []
    if has_snapshot:
        for item in old.items:
            successor = next((candidate for candidate in new.items if candidate.name == item.name), None)
            if successor is None:
                faults.append(Reason("item-of-snapshot-gone", {"dataset": old.id, "item": item.name}))
            elif successor.type is not item.type:
                faults.append(
                    Reason("item-of-snapshot-retyped", {"dataset": old.id, "item": item.name, "type": item.type.value})
                )
        if new.division_item != old.division_item:
            faults.append(Reason("division-item-changed", {"dataset": old.id, "item": old.division_item or "-"}))
    return tuple(faults)


@dataclass(frozen=True, kw_only=True)
class CatalogActions:
    """What people do with the catalogue. Each change is one transaction with its ledger entry and the policy epoch's bump."""

    catalog: CatalogStore
    parties: PartyStore
    transactions: Transactions
    epoch: PolicyEpoch
    ledger: EntryLog
    clock: Clock
    time_zone: str

    def publish(self, dataset: Dataset, *, by: Actor) -> Dataset:
        """Put the entry in force, or replace the one of the same id; the day of the first publication stays.

        Only a data officer of the managing office may. Raises Refused `role-missing`, `dataset-of-other-office`; InputInvalid
        with everything that is wrong with the entry; Conflict if the change would break what snapshots hold."""
        offices = {office: self.parties.office(office) for office in (dataset.provider, dataset.collector)}
        with self.transactions.atomic():
            self.epoch.bump()
            old = self.catalog.dataset(dataset.id)
            refuse_unless_officer(by, old.provider if old else dataset.provider, dataset.id)
            if dataset.provider != by.office:
                raise Refused.because("dataset-of-other-office", dataset=dataset.id, provider=dataset.provider, office=by.office)
            if faults := faults_of_entry(dataset, offices):
                raise InputInvalid(*faults)
            if old is not None:
                has_snapshot = self.catalog.current_snapshot(dataset.id) is not None
                if faults := faults_of_change(old, dataset, has_snapshot=has_snapshot):
                    raise Conflict(*faults)
            today = self.clock().astimezone(ZoneInfo(self.time_zone)).date()
            published = replace(dataset, published_on=old.published_on if old else today)
            self.catalog.put_dataset(published, index=index_of(published, [office for office in offices.values() if office]))
            self.ledger.append(
                kind=EntryKind.DATASET_PUBLISHED,
                body={
                    "dataset": published.id,
                    "provider": published.provider,
                    "collector": published.collector,
                    "sharing": published.sharing.value,
                    "entry_hash": canonical_hash(published),
                    "replaces": canonical_hash(old) if old else None,
                    "actor": by.person,
                    "office": by.office,
                    "post": by.post,
                },
            )
            return published

    def register_office(self, office: Office, *, by: Actor) -> Office:
        """Add an office or change its entry; the operator does. Raises Refused `role-missing`, InputInvalid `office-unknown`."""
        if not by.has(Role.OPERATOR):
            raise Refused.because("role-missing", role=Role.OPERATOR.value, post=by.post, office=by.office)
        with self.transactions.atomic():
            self.epoch.bump()
            if office.superior is not None and self.parties.office(office.superior) is None:
                raise InputInvalid.because("office-unknown", office=office.superior)
            self.parties.put_office(office)
            body = {"office": office.id, "credit_code": office.credit_code, "division": office.division, "actor": by.person}
            self.ledger.append(kind=EntryKind.OFFICE_REGISTERED, body=body)
            return office

    def dataset(self, dataset_id: str) -> Dataset:
        """The entry in force. Raises NotFound `dataset-unknown`."""
        dataset = self.catalog.dataset(dataset_id)
        if dataset is None:
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        return dataset

    def search(
        self,
        text: str = "",
        *,
        providers: Iterable[str] | None = None,
        sharing: Iterable[Sharing] | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> SearchPage:
        """Entries that answer the words, best first; without words all, by id."""
        return search(self.catalog, text, providers=providers, sharing=sharing, limit=limit, offset=offset)


def refuse_unless_officer(by: Actor, provider: str, dataset_id: str) -> None:
    """Raise Refused unless the actor is a data officer of the office that manages the dataset."""
    reasons = []
    if not by.has(Role.DATA_OFFICER):
        reasons.append(Reason("role-missing", {"role": Role.DATA_OFFICER.value, "post": by.post, "office": by.office}))
    if by.office != provider:
        reasons.append(Reason("dataset-of-other-office", {"dataset": dataset_id, "provider": provider, "office": by.office}))
    if reasons:
        raise Refused(*reasons)
