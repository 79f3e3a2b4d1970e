"""Signed addresses of extracts, and what happens when one is followed.

An address needs no token: its signature says that this instance gave it to one person in one post for some minutes. It carries no right
of its own. Each time it is followed, and each second while the file is sent, everything is looked at anew: the person's post, the
office, the grant, the grade of the items, the snapshot, the clock. The first time it is followed counts as one call; the ranges in
which a client reads the file, and its repetitions, are that same call."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from huitong.delivery.extract import ExtractActions, about, request_of
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Reason, Refused
from huitong.model.delivery import Address, DeliveryMark, Extract, ExtractState
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant
from huitong.sharing.quotas import UseKind


class Counting(Protocol):
    """Counts uses of grants with a quota (`huitong.sharing.quotas.Quotas`)."""

    def reserve(
        self, *, query: str, grant: Grant, rows: int, seconds: float, at: datetime, kind: UseKind = ..., whole: bool = ...
    ) -> int:
        """Reserve. Raises Refused if nothing is left."""

    def settle(self, *, query: str, grant: Grant, rows: int, at: datetime) -> None:
        """It took so many rows."""


_CONTEXT = b"huitong/extract-address/1\n"


@dataclass(frozen=True)
class SignedAddress:
    """What is handed out: everything that stands in the address."""

    address: Address
    extract: Extract
    expires: int
    """Seconds since 1970, UTC."""
    signature: str


@dataclass(frozen=True, kw_only=True)
class AddressActions:
    """Give addresses, and follow them."""

    extracts: ExtractActions
    key: Callable[[], bytes]
    """The secret that signs; read when it is needed."""
    quotas: Counting
    monotonic: Callable[[], float] = time.monotonic

    def give(self, extract_id: str, *, by: Actor, minutes: int | None = None) -> SignedAddress:
        """An address of a ready extract of one's own office, for its analysts.

        Raises NotFound `extract-unknown`; Refused with every reason for which the file may not leave now; InputInvalid
        `address-minutes-invalid`; Conflict `extract-not-ready`."""
        extracts = self.extracts
        lasting = extracts.limits.address_minutes if minutes is None else minutes
        if not 1 <= lasting <= extracts.limits.address_minutes_longest:
            raise InputInvalid.because("address-minutes-invalid", minutes=lasting, longest=extracts.limits.address_minutes_longest)
        extract = extracts.show(extract_id, by=by)
        extracts.gateway.planned(request_of(extract), actor=by, maximum_rows=extracts.most_rows(extract), grant=extract.grant)
        self._refuse_unless_stands(extract, by)
        now = extracts.clock()
        address = Address(
            id="a-" + secrets.token_hex(8),
            extract=extract.id,
            grant=extract.grant,
            grant_version=extract.grant_version,
            office=extract.office,
            person=by.person,
            post=by.post,
            issued_at=now,
            expires_at=(now + timedelta(minutes=lasting)).replace(microsecond=0),
        )
        with extracts.transactions.atomic():
            extracts.store.add_address(address)
            body = {**about(extract), **_to_whom(address), "expires": address.expires_at.isoformat()}
            extracts.ledger.append(kind=EntryKind.ADDRESS_ISSUED, body=body)
        expires = int(address.expires_at.timestamp())
        return SignedAddress(address, extract, expires, self._signature(address, expires))

    def follow(self, extract_id: str, *, address: str, expires: int, signature: str) -> "Delivery":
        """The file behind an address, to be sent from wherever the client wants it.

        Raises Refused `address-invalid`, `address-expired`, `post-ended` or every reason for which the file may not leave now (the
        first refusal of an address is recorded); NotFound `extract-removed`."""
        extracts = self.extracts
        kept = extracts.store.address(address)
        # What an unknown address would have to carry is compared all the same: both take the same time and look the same.
        expected = self._signature(kept, expires) if kept is not None else "0" * 64
        right = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        if kept is None or not right or kept.extract != extract_id or int(kept.expires_at.timestamp()) != expires:
            raise Refused.because("address-invalid")
        if extracts.clock() >= kept.expires_at:
            raise Refused.because("address-expired", until=kept.expires_at.isoformat(timespec="minutes"))
        extract = extracts.store.extract(kept.extract)
        if extract is None:
            raise NotFound.because("extract-removed", extract=kept.extract)
        try:
            self._refuse_unless_stands(extract, extracts.actor(kept.person, kept.post, kept.office))
            handle = extracts.open_file(extract)
        except HuitongError as refusal:
            self._mark(kept, extract, DeliveryMark.REFUSED, EntryKind.DELIVERY_REFUSED, refusal.reasons)
            raise
        try:
            size = os.fstat(handle).st_size
            if size != extract.bytes:
                raise NotFound.because("extract-removed", extract=extract.id)
            self._mark(kept, extract, DeliveryMark.BEGUN, EntryKind.DELIVERY_BEGUN)
        except Refused as refusal:  # the quota is used up
            os.close(handle)
            self._mark(kept, extract, DeliveryMark.REFUSED, EntryKind.DELIVERY_REFUSED, refusal.reasons)
            raise
        except BaseException:
            os.close(handle)
            raise
        return Delivery(actions=self, extract=extract, address=kept, handle=handle, looked=self.monotonic())

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _refuse_unless_stands(self, extract: Extract, actor: Actor) -> None:
        """Raise unless everything that the file rests on stands at this moment."""
        extracts = self.extracts
        if reasons := extracts.gateway.standing(request_of(extract), actor=actor, grant=extract.grant):
            raise Refused(*reasons)
        grant = extracts.grants.grant(extract.grant)
        if grant is None or grant.version != extract.grant_version or not actor.has(Role.ANALYST):
            raise Refused.because("extract-grant-ended", extract=extract.id, grant=extract.grant)
        if extract.state in (ExtractState.WAITING, ExtractState.RUNNING, ExtractState.FAILED):
            raise Conflict.because("extract-not-ready", extract=extract.id, state=extract.state.value)
        if extract.state is ExtractState.REMOVED:
            raise NotFound.because("extract-removed", extract=extract.id)
        if faults := extracts.faults_of_data(extract):
            raise Refused(*faults)

    def still(self, delivery: "Delivery") -> None:
        """Raise unless the file may still leave. An address that was followed in time is served to its end; what cuts it is the right to
        the rows."""
        extract = self.extracts.store.extract(delivery.extract.id)
        if extract is None:
            raise NotFound.because("extract-removed", extract=delivery.extract.id)
        to = delivery.address
        self._refuse_unless_stands(extract, self.extracts.actor(to.person, to.post, to.office))

    def ended(self, delivery: "Delivery", mark: DeliveryMark, *, sent: int, reasons: tuple[Reason, ...] = ()) -> None:
        """Note once for an address that a delivery was completed or cut."""
        kind = EntryKind.DELIVERY_COMPLETED if mark is DeliveryMark.COMPLETED else EntryKind.DELIVERY_CUT
        self._mark(delivery.address, delivery.extract, mark, kind, reasons, sent=sent)

    def _mark(
        self,
        address: Address,
        extract: Extract,
        mark: DeliveryMark,
        kind: EntryKind,
        reasons: tuple[Reason, ...] = (),
        *,
        sent: int | None = None,
    ) -> bool:
        """The mark and its entry, if it is the first of its kind: an address that is followed a thousand times fills no ledger."""
        with self.extracts.transactions.atomic():
            if not self.extracts.store.mark_address(address.id, mark):
                return False
            if mark is DeliveryMark.BEGUN:
                self._count(address, extract)
            body = {**about(extract), **_to_whom(address)}
            if sent is not None:
                body["bytes"] = sent
            if reasons:
                body["reasons"] = sorted({reason.code for reason in reasons})
            self.extracts.ledger.append(kind=kind, body=body)
        return True

    def _count(self, address: Address, extract: Extract) -> None:
        """A call, and no rows: those counted when the file was made. Raises Refused `quota-used-up`."""
        grant = self.extracts.grants.grant(extract.grant)
        if grant is not None and grant.terms.quota is not None:
            now = self.extracts.clock()
            self.quotas.reserve(query=address.id, grant=grant, rows=0, seconds=1.0, at=now, kind=UseKind.CALL)
            self.quotas.settle(query=address.id, grant=grant, rows=0, at=now)

    def _signature(self, address: Address, expires: int) -> str:
        parts = (
            address.id, address.extract, address.grant, str(address.grant_version), address.office, address.person, address.post,
            str(expires),
        )  # fmt: skip
        # each part with its length: no two different addresses give one text
        text = b"".join(b"%d:%s\n" % (len(part.encode()), part.encode()) for part in parts)
        return hmac.digest(self.key(), _CONTEXT + text, hashlib.sha256).hex()


@dataclass(kw_only=True)
class Delivery:
    """A file on its way. `pieces` gives it bit by bit and raises as soon as it may not leave any more; whoever sends it must then
    break the connection off, so that nobody takes what came for the whole."""

    actions: AddressActions
    extract: Extract
    address: Address
    handle: int
    looked: float
    _closed: bool = field(default=False)

    def pieces(self, start: int = 0, end: int | None = None) -> Generator[bytes]:
        """The bytes from `start` up to, not including, `end`."""
        stop = self.extract.bytes if end is None else end
        at = start
        try:
            while at < stop:
                self.look()
                piece = os.pread(self.handle, min(self.actions.extracts.limits.piece_bytes, stop - at), at)
                if not piece:
                    raise NotFound.because("extract-removed", extract=self.extract.id)
                at += len(piece)
                yield piece
            if stop == self.extract.bytes:
                self.actions.ended(self, DeliveryMark.COMPLETED, sent=at - start)
        except HuitongError as cut:
            with suppress(HuitongError):
                self.actions.ended(self, DeliveryMark.CUT, sent=at - start, reasons=cut.reasons)
            raise
        finally:
            self.close()

    def look(self, *, now: bool = False) -> None:
        """Look anew at the right to the file, if it is time (or `now`). Raises when there is none any more."""
        moment = self.actions.monotonic()
        if not now and moment - self.looked < self.actions.extracts.limits.look_again_seconds:
            return
        self.looked = moment
        self.actions.still(self)

    def close(self) -> None:
        """Let go of the file."""
        if not self._closed:
            self._closed = True
            os.close(self.handle)


def _to_whom(address: Address) -> dict[str, str]:
    return {"address": address.id, "actor": address.person, "post": address.post}
