"""Extracts and addresses on Django's ORM: `huitong.delivery.ports.DeliveryStore`, written once for SQLite and PostgreSQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from huitong.errors import Conflict, Reason
from huitong.model.delivery import Address, DeliveryMark, Extract, ExtractForm, ExtractState
from huitong.model.records import CopyState, RecordDoor
from huitong.portal.delivery import models


@dataclass(frozen=True)
class DjangoDeliveryStore:
    """DeliveryStore."""

    using: str = "default"

    def add_extract(self, extract: Extract) -> None:
        """Keep a new one. Raises Conflict `extract-exists` if one of the same key stands."""
        try:
            with transaction.atomic(using=self.using):
                self._extracts().create(id=extract.id, **_columns(extract))
        except IntegrityError:
            if self.same_extract(extract.key) is None and self.extract(extract.id) is None:
                raise
            raise Conflict.because("extract-exists", extract=extract.id) from None

    def extract(self, extract_id: str) -> Extract | None:
        """The extract of that id."""
        row = self._extracts().filter(id=extract_id).first() if _storable(extract_id) else None
        return _extract(row) if row else None

    def same_extract(self, key: tuple[str, int, str, str]) -> Extract | None:
        """The extract of that key that waits, runs or is ready."""
        grant, version, fingerprint, form = key
        rows = self._extracts().filter(
            grant_id=grant, grant_version=version, fingerprint=fingerprint, form=form, state__in=models.STANDING
        )
        row = rows.first()
        return _extract(row) if row else None

    def change_extract(self, extract: Extract, *, expected_state: ExtractState) -> None:
        """Replace what is kept of it. Raises Conflict `extract-moved` if it is not in that state."""
        if not self._extracts().filter(id=extract.id, state=expected_state.value).update(**_columns(extract)):
            raise Conflict.because("extract-moved", extract=extract.id)

    def progress(self, extract_id: str, rows: int) -> None:
        """Note how many rows were written so far."""
        self._extracts().filter(id=extract_id, state=ExtractState.RUNNING.value).update(rows=rows)

    def extracts_of(self, office: str, *, limit: int = 50, offset: int = 0) -> tuple[Sequence[Extract], int]:
        """Extracts of the using office, newest first; and how many."""
        rows = self._extracts().filter(office_id=office)
        page = rows.order_by("-asked_at", "-id")[offset : offset + limit]
        return [_extract(row) for row in page], rows.count()

    def extracts_in(self, states: Collection[ExtractState], *, office: str | None = None) -> Sequence[Extract]:
        """Extracts in these states, oldest first."""
        rows = self._extracts().filter(state__in=[state.value for state in states])
        if office is not None:
            rows = rows.filter(office_id=office)
        return [_extract(row) for row in rows.order_by("asked_at", "id")]

    def add_address(self, address: Address) -> None:
        """Keep a new one."""
        models.Address.objects.using(self.using).create(
            id=address.id,
            extract_id=address.extract,
            grant=address.grant,
            grant_version=address.grant_version,
            office=address.office,
            person=address.person,
            post=address.post,
            issued_at=address.issued_at,
            expires_at=address.expires_at,
        )

    def address(self, address_id: str) -> Address | None:
        """The address of that id, with its marks."""
        row = models.Address.objects.using(self.using).filter(id=address_id).first() if _storable(address_id) else None
        if row is None:
            return None
        return Address(
            id=row.id,
            extract=row.extract_id,
            grant=row.grant,
            grant_version=row.grant_version,
            office=row.office,
            person=row.person,
            post=row.post,
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            marks=frozenset(DeliveryMark(mark) for mark in row.marks.values_list("mark", flat=True)),
        )

    def mark_address(self, address_id: str, mark: DeliveryMark) -> bool:
        """Note it; whether it is the first time."""
        rows = models.AddressMark.objects.using(self.using)
        if rows.filter(address_id=address_id, mark=mark.value).exists():
            return False
        try:
            with transaction.atomic(using=self.using):
                rows.create(address_id=address_id, mark=mark.value)
        except IntegrityError:
            return False
        return True

    def forget_addresses(self, before: datetime) -> int:
        """Forget addresses that expired before that instant."""
        rows = models.Address.objects.using(self.using).filter(expires_at__lt=before)
        found = rows.count()
        if found:
            rows.delete()
        return found

    def record_door(self, dataset_id: str) -> RecordDoor | None:
        """The door of a dataset."""
        row = self._record_doors().filter(dataset=dataset_id).first() if _storable(dataset_id) else None
        return _record_door(row) if row else None

    def record_doors(self) -> Sequence[RecordDoor]:
        """All, by dataset."""
        return [_record_door(row) for row in self._record_doors().order_by("dataset")]

    def put_record_door(self, door: RecordDoor) -> None:
        """Keep how it was switched."""
        self._record_doors().update_or_create(dataset=door.dataset, defaults=_record_columns(door))

    def note_record_copy(self, door: RecordDoor) -> None:
        """Keep what is said of its copy, if it was not switched since."""
        rows = self._record_doors().filter(dataset=door.dataset, on=door.on, changed_at=door.changed_at)
        rows.update(**_record_columns(door))

    def _record_doors(self) -> QuerySet[models.RecordDoor]:
        return models.RecordDoor.objects.using(self.using)

    def _extracts(self) -> QuerySet[models.Extract]:
        return models.Extract.objects.using(self.using)


def _storable(text: str) -> bool:
    """Whether a database can hold the text at all: what it cannot hold cannot be found either."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _columns(extract: Extract) -> dict[str, Any]:
    return {
        "dataset": extract.dataset,
        "items": list(extract.items),
        "form": extract.form.value,
        "purpose": extract.purpose,
        "office_id": extract.office,
        "person": extract.person,
        "post": extract.post,
        "grant_id": extract.grant,
        "grant_version": extract.grant_version,
        "terms_hash": extract.terms_hash,
        "snapshot": extract.snapshot,
        "fingerprint": extract.fingerprint,
        "asked_at": extract.asked_at,
        "state": extract.state.value,
        "attempts": extract.attempts,
        "rows": extract.rows,
        "rows_expected": extract.rows_expected,
        "bytes": extract.bytes,
        "sha256": extract.sha256,
        "query": extract.query,
        "ready_at": extract.ready_at,
        "removed_at": extract.removed_at,
        "reasons": [[reason.code, dict(reason.parameters)] for reason in extract.reasons],
    }


def _extract(row: models.Extract) -> Extract:
    return Extract(
        id=row.id,
        dataset=row.dataset,
        items=tuple(row.items),
        form=ExtractForm(row.form),
        purpose=row.purpose,
        office=row.office_id,
        person=row.person,
        post=row.post,
        grant=row.grant_id,
        grant_version=row.grant_version,
        terms_hash=row.terms_hash,
        snapshot=row.snapshot,
        fingerprint=row.fingerprint,
        asked_at=row.asked_at,
        state=ExtractState(row.state),
        attempts=row.attempts,
        rows=row.rows,
        rows_expected=row.rows_expected,
        bytes=row.bytes,
        sha256=row.sha256,
        query=row.query,
        ready_at=row.ready_at,
        removed_at=row.removed_at,
        reasons=tuple(Reason(code, parameters) for code, parameters in row.reasons),
    )


def _record_columns(door: RecordDoor) -> dict[str, Any]:
    return {
        "on": door.on,
        "changed_at": door.changed_at,
        "changed_by": door.changed_by,
        "version": door.version,
        "shape": door.shape,
        "state": door.state.value,
        "rows": door.rows,
        "rows_expected": door.rows_expected,
        "rows_without_key": door.rows_without_key,
        "reasons": [[reason.code, dict(reason.parameters)] for reason in door.reasons],
        "noted_at": door.noted_at,
    }


def _record_door(row: models.RecordDoor) -> RecordDoor:
    return RecordDoor(
        dataset=row.dataset,
        on=row.on,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        version=row.version,
        shape=row.shape,
        state=CopyState(row.state),
        rows=row.rows,
        rows_expected=row.rows_expected,
        rows_without_key=row.rows_without_key,
        reasons=tuple(Reason(code, parameters) for code, parameters in row.reasons),
        noted_at=row.noted_at,
    )
