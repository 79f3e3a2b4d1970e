"""How a grant goes on: extended before it ends, begun anew after it ended, on the terms that stood; and what a request makes of it.

What is asked before the end is asked in time, also on the last day: if the answer comes after the end, the use goes on from the
answer, not from the end. What was revoked while the request waited is not revived by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from huitong.errors import Conflict, InputInvalid, Refused
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState
from huitong.model.sharing import Linkage, Request, RequestKind, Wish
from huitong.sharing.answering import Answering
from huitong.sharing.deadline import last_day, limits, local_day
from huitong.sharing.parts import role_missing


@dataclass(frozen=True, kw_only=True)
class Continuing(Answering):
    """Asking that a grant go on."""

    def extend(self, grant_id: str, *, until: date, by: Actor) -> Request:
        """Ask that a grant in force last longer, on the terms that stand. Answered as any request: at once by rule, or by reviewers.
        When it is agreed, the grant gets another version.

        Raises NotFound `grant-unknown`; Refused `role-missing`, `only-using-office` and what `submit` raises; InputInvalid
        `extension-not-later`; Conflict `grant-revoked-stays`, `grant-ended`, `extension-too-early`, `continuation-asked`."""
        with self._change():
            now = self.clock()
            grant = self._to_continue(grant_id, by)
            last = last_day(grant.terms.valid_until, self.time_zone)
            if now >= grant.terms.valid_until:
                raise Conflict.because("grant-ended", grant=grant.id, until=last.isoformat())
            first = last - timedelta(days=limits().extension_asked_days)
            if local_day(now, self.time_zone) < first:
                raise Conflict.because("extension-too-early", grant=grant.id, first=first.isoformat())
            if until <= last:
                raise InputInvalid.because("extension-not-later", grant=grant.id, until=until.isoformat(), last=last.isoformat())
            return self._submit(self._wish_of(grant, until), by=by, continues=grant)

    def renew(self, grant_id: str, *, until: date, by: Actor) -> Request:
        """Ask for the same again after a grant has ended by time or was given back; what comes of it is a new grant.

        Raises as `extend` does; Conflict `grant-still-in-force` before its end, `grant-revoked-stays` if its provider revoked it."""
        with self._change():
            grant = self._to_continue(grant_id, by)
            if self.clock() < grant.terms.valid_until and grant.state is not GrantState.REVOKED:
                last = last_day(grant.terms.valid_until, self.time_zone)
                raise Conflict.because("grant-still-in-force", grant=grant.id, until=last.isoformat())
            return self._submit(self._wish_of(grant, until), by=by, continues=grant)

    def grant_history(self, grant_id: str, *, by: Actor) -> Sequence[GrantEvent]:
        """What happened to a grant that the actor may see, oldest first."""
        return self.sharing.grant_events(self.grant(grant_id, by=by).id)

    def _to_continue(self, grant_id: str, by: Actor) -> Grant:
        """The grant, if the actor may ask that it go on."""
        grant = self.grant(grant_id, by=by)
        if grant.using_office != by.office:
            raise Refused.because("only-using-office", grant=grant.id, using_office=grant.using_office, office=by.office)
        if not by.has(Role.ANALYST):
            raise Refused(role_missing(by, Role.ANALYST))
        if grant.state is GrantState.REVOKED and self._ending(grant) is not GrantEventKind.GIVEN_BACK:
            raise Conflict.because("grant-revoked-stays", grant=grant.id)
        if waiting := self.sharing.open_requests(continuing=grant.id):
            raise Conflict.because("continuation-asked", grant=grant.id, request=waiting[0].id)
        return grant

    def _wish_of(self, grant: Grant, until: date) -> Wish:
        """What was agreed, as a wish: to be asked for again until another day."""
        terms = grant.terms
        request = self.sharing.request(grant.request)
        return Wish(
            dataset=grant.dataset,
            purpose=terms.purpose,
            items=terms.items,
            rows=terms.rows,
            mode=terms.mode,
            until=until,
            kind=request.wish.kind if request is not None else RequestKind.SHARING,
            condition=terms.condition,
            subjects=terms.subjects,
            k=terms.k,
            quota=terms.quota,
            noised=terms.noised,
            linkage=request.wish.linkage if request is not None else Linkage.PURPOSE,
        )
