"""Who answers while a reviewer is absent: a colleague of the same office, on stated days, in the ledger.

A delegate acts with the power of the absent reviewer and never beyond it: what the reviewer may not answer, the delegate may not in
their place; of two reviewers whom a grade asks for, a person and their delegate are one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.party import Actor, Role
from huitong.model.sharing import Delegation
from huitong.sharing.deadline import limits, local_day
from huitong.sharing.parts import SharingParts


@dataclass(frozen=True, kw_only=True)
class Absence(SharingParts):
    """Making and ending delegations."""

    def delegate(
        self, to: str, *, valid_from: date, valid_until: date, by: Actor, principal: str | None = None
    ) -> Delegation:
        """Let a colleague answer in the reviewer's place on the days [valid_from, valid_until]. A reviewer does so for themselves; a data
        officer of the office for a reviewer (`principal`) who cannot, and then not to themselves: nobody gives themselves a power.

        Raises Refused `role-missing`, `delegation-not-yours`, `delegation-to-its-maker`, `delegation-to-a-service`; InputInvalid
        `delegation-to-oneself`, `delegation-ends-before-start`, `delegation-in-the-past`, `delegation-too-long`; NotFound
        `colleague-unknown`; Conflict `delegation-exists`."""
        with self._change():
            now = self.clock()
            today = local_day(now, self.time_zone)
            self._refuse_if_closed(by, today)
            absent = principal or by.person
            if absent != by.person and not by.has(Role.DATA_OFFICER):
                raise Refused.because("delegation-not-yours", person=absent)
            if absent != by.person and to == by.person:
                raise Refused.because("delegation-to-its-maker", person=absent)
            if not self._holds(absent, Role.REVIEWER, by.office):
                raise Refused.because("delegation-without-power", person=absent, office=by.office, role=Role.REVIEWER.value)
            if any(post.keeper is not None for post in (by, *self.parties.actors_of(to))):
                raise Refused.because("delegation-to-a-service", person=to)
            if not self._serves_in(to, by.office):
                raise NotFound.because("colleague-unknown", person=to, office=by.office)
            made = Delegation(
                id=self._number("delegation", "D", today),
                office=by.office,
                principal=absent,
                delegate=to,
                role=Role.REVIEWER,
                valid_from=valid_from,
                valid_until=valid_until,
                made_by=by.person,
                made_at=now,
            )
            if valid_until < today:
                raise InputInvalid.because("delegation-in-the-past", until=valid_until.isoformat(), today=today.isoformat())
            if valid_until - max(valid_from, today) >= timedelta(days=limits().delegation_longest_days):
                raise InputInvalid.because("delegation-too-long", days=limits().delegation_longest_days)
            for other in self.delegates.delegations(by.office):
                overlap = other.valid_from <= valid_until and valid_from <= other.valid_until
                if other.ended_at is None and overlap and other.principal == absent and other.delegate == to:
                    raise Conflict.because("delegation-exists", delegation=other.id)
            self.delegates.put_delegation(made)
            body = {
                "delegation": made.id,
                "principal": made.principal,
                "delegate": made.delegate,
                "role": made.role.value,
                "from": valid_from.isoformat(),
                "until": valid_until.isoformat(),
            }
            self._write(EntryKind.DELEGATION_MADE, body, by=by)
            about = {"delegation": made.id, "office": made.office, "until": valid_until.isoformat()}
            self._tell(NoticeKind.DELEGATION_MADE, about, to_persons=(made.delegate, made.principal))
            return made

    def end_delegation(self, delegation_id: str, *, by: Actor) -> Delegation:
        """End it before its last day: either of the two, or a data officer of the office.

        Raises NotFound `delegation-unknown`; Refused `delegation-not-yours`; Conflict `delegation-ended`."""
        with self._change():
            found = next((one for one in self.delegates.delegations(by.office) if one.id == delegation_id), None)
            if found is None:
                raise NotFound.because("delegation-unknown", delegation=delegation_id)
            if by.person not in (found.principal, found.delegate) and not by.has(Role.DATA_OFFICER):
                raise Refused.because("delegation-not-yours", person=found.principal)
            if found.ended_at is not None:
                raise Conflict.because("delegation-ended", delegation=found.id)
            ended = replace(found, ended_at=self.clock())
            self.delegates.put_delegation(ended)
            self._write(EntryKind.DELEGATION_ENDED, {"delegation": ended.id, "principal": ended.principal}, by=by)
            return ended

    def delegations(self, *, by: Actor) -> Sequence[Delegation]:
        """Those of the actor's office, newest first."""
        return self.delegates.delegations(by.office)

    def stands(self, delegation: Delegation) -> bool:
        """Whether it stands today, and the absent reviewer still is one."""
        today = local_day(self.clock(), self.time_zone)
        return delegation.valid_at(today) and self._holds(delegation.principal, delegation.role, delegation.office)
