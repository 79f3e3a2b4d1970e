"""What happens to a request while it waits for its answer: a supplement is asked for, the limit is prolonged or over, the regulator
speaks. Deadlines follow from the events (`deadline.due_of`); what nobody does in time the clock does (`keep_clock`)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from huitong.errors import Conflict, InputInvalid, Refused
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.party import Actor, Role
from huitong.model.policy import GrantEvent, GrantEventKind, Purpose
from huitong.model.sharing import Request, RequestEvent, RequestEventKind, RequestState, Wish
from huitong.sharing.answering import Answering
from huitong.sharing.deadline import due_of, limits, local_day
from huitong.sharing.parts import RULE, ListedSubjects, role_missing, written
from huitong.sharing.terms import told_wish
from huitong.sharing.wishes import WishedItem, narrow_wish


@dataclass(frozen=True)
class Kept:
    """What the clock did in one round."""

    escalated: tuple[str, ...] = ()
    """Requests whose answer is late since."""
    lapsed: tuple[str, ...] = ()
    """Requests whose supplement did not come in time."""
    recounted: tuple[str, ...] = ()
    """Requests whose last day changed with the calendar."""
    expiring: tuple[str, ...] = ()
    """Grants that will end soon, of which both offices were told."""
    expired: tuple[str, ...] = ()
    """Grants that have ended since the last round."""


@dataclass(frozen=True, kw_only=True)
class Waiting(Answering):
    """The verbs of a request that waits."""

    # Asking for more

    def ask_supplement(self, request_id: str, *, by: Actor, words: str) -> Request:
        """Say what is missing; until the applicant supplies it the answer's clock stands still. For who may answer the request.

        It is asked for once, with everything, and within the days of the rules: later the request is answered as it is.
        Raises Refused as `approve` does; InputInvalid `supplement-words-missing`; Conflict `supplement-asked-before`,
        `supplement-too-late`, `request-answered`, `request-waits-for-applicant`."""
        with self._change():
            now = self.clock()
            today = local_day(now, self.time_zone)
            request = self._open_request(request_id, by)
            behalf = self._answers(request, by)
            if written(words) is None:
                raise InputInvalid.because("supplement-words-missing", request=request.id)
            if _count(request, RequestEventKind.SUPPLEMENT_ASKED) >= limits().supplement_times:
                raise Conflict.because("supplement-asked-before", request=request.id, times=limits().supplement_times)
            received = local_day(request.events[0].at, self.time_zone)
            latest = self.calendar.after(received, limits().supplement_asked_within).day
            if today > latest:
                raise Conflict.because("supplement-too-late", request=request.id, latest=latest.isoformat())
            due = self.calendar.after(today, limits().supplement_supplied_within).day
            event = RequestEvent(
                kind=RequestEventKind.SUPPLEMENT_ASKED, at=now, actor=by.person, office=by.office, words=written(words),
                on_behalf_of=behalf, due=due,
            )  # fmt: skip
            request = self._append(request, event)
            body = {"request": request.id, "dataset": request.dataset, "supply_by": due.isoformat(), "on_behalf_of": behalf}
            self._write(EntryKind.REQUEST_SUPPLEMENT_ASKED, body, by=by)
            self._tell_of_request(NoticeKind.SUPPLEMENT_ASKED, request, applicant=True)
            return request

    def supplement(self, request_id: str, *, by: Actor, words: str, wish: Wish | None = None) -> Request:
        """Supply what was missing, in words, or with another wish for the same dataset; the limit of the answer begins anew. What a
        first reviewer had agreed to counts no more.

        Raises Refused `only-applicant`, `role-missing` and what `submit` raises for the wish; InputInvalid `supplement-words-missing`,
        `supplement-other-dataset`; Conflict `request-not-asked`, `request-answered`."""
        with self._change():
            request = self._open_request(request_id, by, RequestEventKind.SUPPLEMENTED)
            if request.applicant_office != by.office:
                raise Refused.because("only-applicant", request=request.id, applicant=request.applicant_office, office=by.office)
            if not by.has(Role.ANALYST):
                raise Refused(role_missing(by, Role.ANALYST))
            if written(words) is None:
                raise InputInvalid.because("supplement-words-missing", request=request.id)
            if wish is not None:
                if (wish.dataset, wish.kind) != (request.dataset, request.wish.kind) or request.continues is not None:
                    raise InputInvalid.because("supplement-other-dataset", request=request.id, dataset=request.dataset)
                self._check_wish(wish, by=by)
            event = RequestEvent(
                kind=RequestEventKind.SUPPLEMENTED, at=self.clock(), actor=by.person, office=by.office, words=written(words), wish=wish
            )
            request = self._append(request, event)
            body = {
                "request": request.id,
                "dataset": request.dataset,
                "wish": told_wish(wish) if wish else None,
                "answer_due": _day(request.answer_due),
            }
            self._write(EntryKind.REQUEST_SUPPLEMENTED, body, by=by)
            self._tell_of_request(NoticeKind.SUPPLEMENT_GIVEN, request, provider=True)
            return request

    def restated(
        self,
        request_id: str,
        *,
        by: Actor,
        purpose: str | None = None,
        legal_basis: str | None = None,
        items: Iterable[WishedItem] | None = None,
        subjects: ListedSubjects | None = None,
        **stated: Any,
    ) -> Wish:
        """What the applicant states (further keywords as `narrow_wish` takes them), put in the place of what was asked; what is not
        stated stays. For `supplement`, which judges it."""
        request = self.request(request_id, by=by)
        dataset = self._dataset(request.dataset)
        items = None if items is None else list(items)
        asked = [term.item for term in request.wish.items] if items is None else [name for name, _ in items]
        listed = self._kept(dataset, subjects, asked=asked)
        wish = narrow_wish(request.wish, dataset, items=items, subjects=listed, masks=self.grading.masks, limits=self.term_limits, **stated)
        before = request.wish.purpose
        return replace(wish, purpose=Purpose(code=purpose or before.code, legal_basis=legal_basis or before.legal_basis))

    # More time

    def prolong(self, request_id: str, *, by: Actor, words: str, approved_by: str) -> Request:
        """Put the answer off, once, where the rules allow it: for open data, with the word of the head of the providing office, a
        colleague of `by`, and the applicant is told; so is the head, who may not know whose word this was.

        Raises Refused as `approve` does, or `prolong-needs-head`; InputInvalid `prolong-words-missing`; Conflict
        `prolong-not-allowed`, `prolonged-before`, `request-late`."""
        with self._change():
            now = self.clock()
            request = self._open_request(request_id, by)
            self._answers(request, by)
            longer = limits().extension[request.wish.kind]
            if not longer:
                raise Conflict.because("prolong-not-allowed", request=request.id, kind=request.wish.kind.value)
            if _count(request, RequestEventKind.EXTENDED):
                raise Conflict.because("prolonged-before", request=request.id)
            if request.answer_due is not None and local_day(now, self.time_zone) > request.answer_due:
                raise Conflict.because("request-late", request=request.id, due=request.answer_due.isoformat())
            if written(words) is None:
                raise InputInvalid.because("prolong-words-missing", request=request.id)
            if approved_by == by.person or not self._serves_in(approved_by, request.provider):
                raise Refused.because("prolong-needs-head", request=request.id, provider=request.provider)
            event = RequestEvent(
                kind=RequestEventKind.EXTENDED, at=now, actor=by.person, office=by.office, words=written(words), on_behalf_of=approved_by
            )
            request = self._append(request, event)
            body = {"request": request.id, "dataset": request.dataset, "answer_due": _day(request.answer_due), "approved_by": approved_by}
            self._write(EntryKind.REQUEST_EXTENDED, body, by=by)
            self._tell_of_request(NoticeKind.REQUEST_EXTENDED, request, applicant=True, also=approved_by)
            return request

    # Late

    def late_requests(self, *, by: Actor) -> Sequence[Request]:
        """Requests whose answer is late, the longest first: of the actor's office on either side, and of the offices in the division of
        a regulator."""
        late = self.sharing.open_requests(due_before=local_day(self.clock(), self.time_zone))
        own = [one for one in late if by.office in (one.applicant_office, one.provider)]
        if by.has(Role.REGULATOR):
            regulated = {office for office in {one.provider for one in late} if self._regulates(by, office)}
            own = [one for one in late if one in own or one.provider in regulated]
        return sorted(own, key=lambda one: (one.answer_due or date.max, one.id))

    def escalate(self, request_id: str, *, by: Actor, words: str | None = None) -> Request:
        """Tell the regulator that an answer is late; an analyst of the office that asked may, the day after the last day. The clock
        does the same by itself.

        Raises Refused `only-applicant`, `role-missing`; Conflict `request-not-late`, `request-escalated`."""
        with self._change():
            request = self._open_request(request_id, by)
            if request.applicant_office != by.office:
                raise Refused.because("only-applicant", request=request.id, applicant=request.applicant_office, office=by.office)
            if not by.has(Role.ANALYST):
                raise Refused(role_missing(by, Role.ANALYST))
            if request.answer_due is None or local_day(self.clock(), self.time_zone) <= request.answer_due:
                raise Conflict.because("request-not-late", request=request.id, due=_day(request.answer_due) or "-")
            if _is_escalated(request):
                raise Conflict.because("request-escalated", request=request.id)
            return self._escalate(request, by=by, words=written(words))

    def mediate(self, request_id: str, *, by: Actor, words: str, answer_by: date) -> Request:
        """The regulator's word on a late request, after hearing both offices: the day by which it is answered. The answer stays the
        providing office's.

        Raises NotFound `request-unknown` outside the regulator's division; Refused `role-missing`, `review-own-office`; InputInvalid
        `mediation-words-missing`, `mediation-day-out-of-range`, `mediation-day-not-worked`; Conflict `request-not-escalated`."""
        with self._change():
            now = self.clock()
            today = local_day(now, self.time_zone)
            request = self._open_request(request_id, by)
            if not by.has(Role.REGULATOR):
                raise Refused(role_missing(by, Role.REGULATOR))
            if not self._regulates(by, request.provider) or by.office in (request.provider, request.applicant_office):
                raise Refused.because("review-own-office", request=request.id, applicant=request.applicant_office)
            if not _is_escalated(request):
                raise Conflict.because("request-not-escalated", request=request.id)
            if written(words) is None:
                raise InputInvalid.because("mediation-words-missing", request=request.id)
            latest = self.calendar.after(today, limits().mediation).day
            if not today <= answer_by <= latest:
                days = {"first": today.isoformat(), "latest": latest.isoformat()}
                raise InputInvalid.because("mediation-day-out-of-range", request=request.id, **days)
            if not self.calendar.is_working_day(answer_by):
                raise InputInvalid.because("mediation-day-not-worked", request=request.id, day=answer_by.isoformat())
            event = RequestEvent(
                kind=RequestEventKind.MEDIATED, at=now, actor=by.person, office=by.office, words=written(words), due=answer_by
            )
            request = self._append(request, event)
            body = {"request": request.id, "dataset": request.dataset, "answer_due": answer_by.isoformat()}
            self._write(EntryKind.REQUEST_MEDIATED, body, by=by)
            self._tell_of_request(NoticeKind.REQUEST_EXTENDED, request, applicant=True, provider=True)
            return request

    def _escalate(self, request: Request, *, by: Actor | None, words: str | None = None) -> Request:
        provider = self.parties.office(request.provider)
        regulators = self.regulators.regulators_above(provider.division) if self.regulators is not None and provider is not None else ()
        event = RequestEvent(
            kind=RequestEventKind.ESCALATED, at=self.clock(), actor=by.person if by else RULE, office=by.office if by else request.provider,
            words=words,
        )  # fmt: skip
        request = self._append(request, event)
        body = {"request": request.id, "dataset": request.dataset, "due": _day(request.answer_due), "regulators": list(regulators)}
        self._write(EntryKind.REQUEST_ESCALATED, body, by=by)
        about = {"request": request.id, "dataset": request.dataset, "due": _day(request.answer_due)}
        roles = [(request.provider, Role.REVIEWER), *((office, Role.REGULATOR) for office in regulators)]
        self._tell(NoticeKind.REQUEST_OVERDUE, about, to_roles=tuple(roles), to_persons=(request.applicant,))
        return request

    # The clock

    def keep_clock(self) -> Kept:
        """What time alone brings about, each in a transaction of its own, so that one that fails keeps none of the others waiting:
        late answers are escalated, supplements that did not come lapse, last days follow the calendar, and both offices are told of
        grants that end. Repeating it changes nothing. For the worker; the first failure is raised at the end."""
        now = self.clock()
        today = local_day(now, self.time_zone)
        found: dict[str, list[str]] = {"escalated": [], "lapsed": [], "recounted": []}
        failures: list[Exception] = []
        for request in self.sharing.open_requests():
            for name, act in (("recounted", self._recount), ("escalated", self._late), ("lapsed", self._lapse)):
                try:
                    if act(request.id, today):
                        found[name].append(request.id)
                except Conflict:
                    continue  # somebody acted meanwhile; the next round looks again
                except Exception as failure:
                    failures.append(failure)
        expiring = self._tell_of_ends(now, failures)
        if failures:
            raise failures[0]
        return Kept(**{name: tuple(ids) for name, ids in found.items()}, expiring=expiring[0], expired=expiring[1])

    def _recount(self, request_id: str, today: date) -> bool:  # noqa: ARG002 - as the other two
        def differs(request: Request) -> bool:
            due = due_of(request.events, kind=request.wish.kind, calendar=self.calendar, time_zone=self.time_zone)
            return request.answer_due is not None and due is not None and due.day != request.answer_due

        def recount(request: Request) -> None:
            event = RequestEvent(kind=RequestEventKind.RECOUNTED, at=self.clock(), actor=RULE, office=request.provider)
            after = self._append(request, event)
            body = {"request": request.id, "before": _day(request.answer_due), "answer_due": _day(after.answer_due)}
            self._write(EntryKind.REQUEST_RECOUNTED, body, by=None)
            self._tell_of_request(NoticeKind.REQUEST_EXTENDED, after, applicant=True, provider=True)

        return self._if_still(request_id, differs, recount)

    def _late(self, request_id: str, today: date) -> bool:
        def is_late(request: Request) -> bool:
            waits = request.state is RequestState.UNDER_REVIEW and request.answer_due is not None and request.answer_due < today
            return waits and not _is_escalated(request)

        return self._if_still(request_id, is_late, lambda request: self._escalate(request, by=None))

    def _lapse(self, request_id: str, today: date) -> bool:
        def is_over(request: Request) -> bool:
            asked = [event.due for event in request.events if event.kind is RequestEventKind.SUPPLEMENT_ASKED]
            return request.state is RequestState.SUPPLEMENT_ASKED and bool(asked) and asked[-1] is not None and asked[-1] < today

        def lapse(request: Request) -> None:
            event = RequestEvent(kind=RequestEventKind.LAPSED, at=self.clock(), actor=RULE, office=request.applicant_office)
            after = self._append(request, event)
            self._write(EntryKind.REQUEST_LAPSED, {"request": request.id, "dataset": request.dataset}, by=None)
            self._tell_of_request(NoticeKind.REQUEST_LAPSED, after, applicant=True, provider=True)

        return self._if_still(request_id, is_over, lapse)

    def _if_still(self, request_id: str, holds: Callable[[Request], bool], act: Callable[[Request], object]) -> bool:
        """Act on the request if the condition holds, looked at without a lock and again under it."""
        seen = self.sharing.request(request_id)
        if seen is None or not holds(seen):
            return False
        with self._change():
            again = self.sharing.request(request_id)
            if again is None or not holds(again):
                return False
            act(again)
            return True

    def _tell_of_ends(self, now: datetime, failures: list[Exception]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Tell once of each version of a grant that ends within the days of the rules, and once when it has ended."""
        days = timedelta(days=limits().notice_days)
        expiring = (GrantEventKind.EXPIRING, NoticeKind.GRANT_EXPIRING, now, now + days)
        expired = (GrantEventKind.EXPIRED, NoticeKind.GRANT_EXPIRED, now - days, now)
        told: dict[GrantEventKind, list[str]] = {expiring[0]: [], expired[0]: []}
        for kind, notice, start, end in (expiring, expired):
            for grant in self.sharing.grants_ending(start, end, without=kind):
                event = GrantEvent(kind, now, RULE, grant.provider, grant.version)
                try:
                    with self.transactions.atomic():
                        self.sharing.change_grant(grant, event, expected_state=grant.state)
                        self._tell_of_grant(notice, grant, provider=True)
                    told[kind].append(grant.id)
                except Conflict:
                    continue
                except Exception as failure:
                    failures.append(failure)
        return tuple(told[expiring[0]]), tuple(told[expired[0]])


def _count(request: Request, kind: RequestEventKind) -> int:
    return sum(event.kind is kind for event in request.events)


def _is_escalated(request: Request) -> bool:
    """Whether the regulator was told of the day that stands now: whatever set another day since opens the way anew."""
    for event in reversed(request.events):
        if event.kind is RequestEventKind.ESCALATED:
            return True
        if event.kind in (RequestEventKind.MEDIATED, RequestEventKind.SUPPLEMENTED, RequestEventKind.EXTENDED):
            return False
    return False


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


