"""What comes of a request: it waits, is endorsed, becomes a grant or the next version of one, or is refused. One place writes each of
them, whoever asked for it: a person, the rule, an extension."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from huitong.errors import Conflict, Refused
from huitong.model.catalog import Sharing
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.party import Actor, Role
from huitong.model.policy import ENDINGS, Grant, GrantEvent, GrantEventKind, GrantState, beginning_of
from huitong.model.sharing import Request, RequestEvent, RequestEventKind, RequestKind, Wish
from huitong.policy.grading import EffectiveGrade
from huitong.sharing.deadline import answer_working_days, local_day
from huitong.sharing.judging import Judging, shared_as
from huitong.sharing.parts import RULE, role_missing
from huitong.sharing.purposes import NOT_OPEN, NOT_SHARED
from huitong.sharing.terms import canonical_terms, grant_of, hash_of_terms, salted, terms_of, told_terms, told_wish


@dataclass(frozen=True, kw_only=True)
class Answering(Judging):
    """The changes that an answer makes, inside the caller's transaction."""

    def _submit(self, wish: Wish, *, by: Actor, continues: Grant | None = None) -> Request:
        """Ask: answered at once where a rule says so, else waiting for reviewers."""
        if not by.has(Role.ANALYST):
            raise Refused(role_missing(by, Role.ANALYST))
        now = self.clock()
        today = local_day(now, self.time_zone)
        dataset, grade = self._check_wish(wish, by=by)
        manner = shared_as(dataset, wish.kind)
        at_once = manner is Sharing.UNCONDITIONAL and self.grading.at(grade.grade).at_once
        reviewed = manner is not Sharing.NOT_SHARED and not at_once
        due = self.calendar.after(today, answer_working_days(wish.kind)).day if reviewed else None
        submitted = RequestEvent(kind=RequestEventKind.SUBMITTED, at=now, actor=by.person, office=by.office, wish=wish)
        request = Request(
            id=self._number("request", "R", today),
            dataset=dataset.id,
            provider=dataset.provider,
            applicant=by.person,
            applicant_office=by.office,
            wish=wish,
            events=(submitted,),
            answer_due=due,
            continues=continues.id if continues is not None else None,
        )
        self.sharing.add_request(request)
        body = {
            "request": request.id,
            "provider": request.provider,
            "wish": told_wish(wish),
            "sharing": dataset.sharing.value,
            "grade": int(grade.grade),
            "answer_due": due.isoformat() if due else None,
        }
        if continues is not None:
            body["continues"] = continues.id
        self._write(EntryKind.REQUEST_SUBMITTED, body, by=by)
        if at_once:
            return self._grant(request, wish, by=None, now=now, words=None, weaker=(), grade=grade)
        if not reviewed and wish.kind is RequestKind.OPENING:
            return self._refuse(request, by=None, now=now, reason=NOT_OPEN, words=None)
        if not reviewed:
            return self._refuse(request, by=None, now=now, reason=NOT_SHARED, words=dataset.sharing_basis)
        self._tell_of_request(NoticeKind.REQUEST_SUBMITTED, request, provider=True)
        return request

    def _endorsement(self, request: Request, *, besides: Collection[str | None] = ()) -> RequestEvent | None:
        """The word of a first reviewer that still stands, in which none of `besides` had a hand, themselves or through a delegate. What
        was agreed before a supplement counts no more, nor the word of one who has come to serve in the office that asks."""
        for event in reversed(request.events):
            if event.kind is RequestEventKind.SUPPLEMENTED:
                return None
            if event.kind is RequestEventKind.ENDORSED and not hands_of(event) & set(besides):
                own_dataset = request.applicant_office == request.provider
                if own_dataset or not self._serves_in(event.actor, request.applicant_office):
                    return event
        return None

    def _endorse(
        self,
        request: Request,
        agreed: Wish,
        *,
        by: Actor,
        behalf: str | None,
        now: datetime,
        words: str | None,
        weaker: Sequence[str],
        grade: EffectiveGrade,
    ) -> Request:
        """The first of two: nothing is granted yet, and the ledger says who agreed to what."""
        event = RequestEvent(
            kind=RequestEventKind.ENDORSED,
            at=now,
            actor=by.person,
            office=request.provider,
            words=words,
            wish=agreed,
            on_behalf_of=behalf,
        )
        request = self._append(request, event)
        body = {
            "request": request.id,
            "dataset": request.dataset,
            "agreed": told_wish(agreed),
            "weaker_masks": list(weaker),
            "grade": int(grade.grade),
            "on_behalf_of": behalf,
        }
        self._write(EntryKind.REQUEST_ENDORSED, body, by=by)
        return request

    def _grant(
        self,
        request: Request,
        agreed: Wish,
        *,
        by: Actor | None,
        now: datetime,
        words: str | None,
        weaker: Sequence[str],
        grade: EffectiveGrade,
        behalf: str | None = None,
        endorsed_by: str | None = None,
    ) -> Request:
        """A new grant; or, where the request asks that one in force goes on, its next version."""
        before = self._grant_to_extend(request)
        event = RequestEvent(
            kind=RequestEventKind.APPROVED,
            at=now,
            actor=by.person if by else RULE,
            office=request.provider,
            words=words,
            wish=agreed,
            on_behalf_of=behalf,
        )
        request = self._append(request, event)
        if before is not None:
            grant = self._next_version(before, request, agreed, now=now)
        else:
            number = self._number("grant", "G", local_day(now, self.time_zone))
            grant = grant_of(request, agreed, grant_id=number, now=now, time_zone=self.time_zone)
        body = {
            "request": request.id,
            "grant": grant.id,
            "agreed": told_wish(agreed),
            "weaker_masks": list(weaker),
            "grade": int(grade.grade),
            "endorsed_by": endorsed_by,
        }
        if behalf is not None:
            body["on_behalf_of"] = behalf
        self._write(EntryKind.REQUEST_APPROVED, body, by=by)
        terms = canonical_terms(
            grant.terms,
            dataset=grant.dataset,
            provider=grant.provider,
            using_office=grant.using_office,
            signed_by=grant.signed_by,
            version=grant.version,
        )
        body = {"grant": grant.id, "request": request.id, **told_terms(terms), "terms_hash": grant.terms_hash, "state": grant.state.value}
        if before is not None:
            extended = GrantEvent(GrantEventKind.EXTENDED, now, event.actor, grant.provider, grant.version)
            self.sharing.change_grant(grant, extended, expected_state=before.state)
            self._write(EntryKind.GRANT_EXTENDED, body, by=by)
        else:
            self.sharing.add_grant(grant, beginning_of(grant, actor=event.actor))
            self._write(EntryKind.GRANT_MADE, body, by=by)
        self._tell_of_request(NoticeKind.REQUEST_APPROVED, request, applicant=True)
        self._tell_of_grant(NoticeKind.GRANT_EXTENDED if before is not None else NoticeKind.GRANT_MADE, grant)
        return request

    def _grant_to_extend(self, request: Request) -> Grant | None:
        """The grant that gets another version by this request: one that was in force when it was asked; None: a new one is made.

        Raises Conflict `continued-grant-revoked` if either office ended it since."""
        grant = self.sharing.grant(request.continues) if request.continues is not None else None
        while grant is not None and self._ending(grant) is GrantEventKind.MOVED:
            held = self.sharing.grants_of_office(request.applicant_office, [request.dataset])
            grant = next((one for one in held if one.moved_from == grant.id), None)
        if grant is None:
            return None
        asked_at = request.events[0].at
        if grant.state is GrantState.REVOKED:
            if grant.revoked_at is not None and grant.revoked_at > asked_at:
                raise Conflict.because("continued-grant-revoked", request=request.id, grant=grant.id)
            return None
        return grant if asked_at < grant.terms.valid_until else None

    def _ending(self, grant: Grant) -> GrantEventKind | None:
        """How a revoked grant ended."""
        return next((event.kind for event in self.sharing.grant_events(grant.id) if event.kind in ENDINGS), None)

    def _next_version(self, grant: Grant, request: Request, agreed: Wish, *, now: datetime) -> Grant:
        """The terms agreed now, from the start that stood, or from now if the grant had ended meanwhile; with the pseudonyms it had."""
        terms = salted(terms_of(agreed, using_office=grant.using_office, grant_id=grant.id, now=now, time_zone=self.time_zone))
        if now < grant.terms.valid_until:
            terms = replace(terms, valid_from=min(grant.terms.valid_from, now))
        terms = replace(terms, linkage_group=grant.terms.linkage_group)
        digest = hash_of_terms(
            terms,
            dataset=grant.dataset,
            provider=grant.provider,
            using_office=grant.using_office,
            signed_by=request.signed_by,
            version=grant.version + 1,
        )
        return replace(grant, version=grant.version + 1, signed_by=request.signed_by, terms=terms, terms_hash=digest)

    def _refuse(
        self, request: Request, *, by: Actor | None, now: datetime, reason: str, words: str | None, behalf: str | None = None
    ) -> Request:
        event = RequestEvent(
            kind=RequestEventKind.REFUSED,
            at=now,
            actor=by.person if by else RULE,
            office=request.provider,
            reason=reason,
            words=words,
            on_behalf_of=behalf,
        )
        request = self._append(request, event)
        body = {"request": request.id, "dataset": request.dataset, "reason": reason}
        self._write(EntryKind.REQUEST_REFUSED, body if behalf is None else {**body, "on_behalf_of": behalf}, by=by)
        self._tell_of_request(NoticeKind.REQUEST_REFUSED, request, applicant=True, reason=reason)
        return request


def hands_of(event: RequestEvent) -> frozenset[str]:
    """Who had a hand in it: the person, and the reviewer in whose place they acted."""
    return frozenset({event.actor} | ({event.on_behalf_of} if event.on_behalf_of else set()))
