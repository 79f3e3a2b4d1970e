"""Who may learn the identifiers behind pseudonyms: one officer, for one case, for a short time, agreed to by two reviewers.

A grant that shows an item as a pseudonym gives nobody the right to undo it. For a case (a household that must be helped) the responsible
officer of the using office asks for the identifiers behind a few tokens; two reviewers of the office that is responsible for them agree,
neither of whom serves in the using office. Everything is looked at anew at each reveal: the grant, the post, the term. The identifiers are
told through the gateway, by the same steps as every use, and stand nowhere else: not in the store, not in the ledger, not in a log."""

import hashlib
import hmac
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, MaskKind, Mode
from huitong.model.query import Answer
from huitong.model.reidentification import (
    Reidentification,
    ReidentificationEvent,
    ReidentificationEventKind,
    ReidentificationState,
    Revelation,
)
from huitong.sharing.deadline import answer_working_days, local_day
from huitong.sharing.parts import RULE, SharingParts, role_missing, written
from huitong.sharing.ports import Side

Kind = ReidentificationEventKind
State = ReidentificationState

_DOMAIN = b"huitong/reidentification/1"


@dataclass(frozen=True)
class ReidentificationRules:
    """The numbers and reasons of `reidentification.toml`."""

    tokens: int
    days: int
    days_usual: int
    reveals: int
    reveals_usual: int
    waits_days: int
    open_cases: int
    case_characters: int
    why_characters: int
    reasons: tuple[str, ...]
    source: str


@cache
def reidentification_rules() -> ReidentificationRules:
    """The rules that ship with this package."""
    said = tomllib.loads((files(__package__) / "reidentification.toml").read_text("utf-8"))
    return ReidentificationRules(reasons=tuple(said.pop("reason")), **said)


class ReidentificationStore(Protocol):
    """Cases with their events. Changing methods are called inside `Transactions.atomic()`."""

    def add(self, found: Reidentification) -> None:
        """Keep a new case with its events. Raises Conflict `reidentification-exists` if the id is taken."""
        ...

    def get(self, identifier: str) -> Reidentification | None:
        """The case with all its events, oldest first."""
        ...

    def append(self, identifier: str, event: ReidentificationEvent, *, expected_events: int) -> None:
        """Add an event to a case that has exactly `expected_events` so far. Raises Conflict `reidentification-moved` if it has not."""
        ...

    def of_office(
        self, office: str, *, side: Side, officer: str | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Reidentification], int]:
        """Cases that the office asked for or has to answer (of that officer), newest first; and how many in all."""
        ...

    def open_cases(self, grant: str | None = None) -> Sequence[Reidentification]:
        """Cases that are not over (under that grant), oldest first."""
        ...


class CaseTokens(Protocol):
    """The tokens of open cases, apart from everything else that is kept."""

    def keep(self, identifier: str, tokens: Collection[int]) -> None:
        """Keep the tokens of a new case."""
        ...

    def tokens_of(self, identifier: str) -> tuple[int, ...]:
        """The tokens of the case, in order; none once it is over."""
        ...

    def forget(self, identifier: str) -> None:
        """Remove them, for the case is over."""
        ...


class Revealer(Protocol):
    """Tells identifiers (`huitong.gateway.answer.Gateway`)."""

    def reveal(self, asked: Revelation, *, actor: Actor, still: Callable[[], None]) -> Answer:
        """One use under the grant: its steps, its entries in the ledger, its receipt. `still` is called last before anything leaves,
        and raises if it may not. A token without an identifier that the grant lets the office see has none in the answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReidentificationActions(SharingParts):
    """The life of a case of re-identification."""

    cases: ReidentificationStore
    tokens: CaseTokens
    revealer: Revealer
    hash_key: bytes = field(repr=False)
    """Under which tokens and references are hashed, so that nobody can find out by trying."""
    rules: ReidentificationRules = field(default_factory=reidentification_rules)

    # Asking

    def ask(
        self,
        grant_id: str,
        *,
        tokens: Iterable[int],
        case: str,
        legal_basis: str,
        why: str,
        by: Actor,
        item: str | None = None,
        days: int | None = None,
        reveals: int | None = None,
    ) -> Reidentification:
        """Ask to learn the identifiers behind these tokens, as the responsible officer: who signed the grant for its purpose, or a data
        officer of the using office. Whether there is such a token is not told. `item` need not be named where the grant shows one
        pseudonym only.

        Raises NotFound `grant-unknown`; Refused `reidentification-only-user`, `reidentification-own-dataset`,
        `reidentification-not-responsible`, `reidentification-grant-ended`, `reidentification-no-rows`; InputInvalid with everything that
        is wrong; Conflict `office-closed`, `reidentification-many-open`."""
        wanted = tuple(sorted(set(tokens)))
        asked_days = self.rules.days_usual if days is None else days
        asked_reveals = self.rules.reveals_usual if reveals is None else reveals
        with self._change():
            now = self.clock()
            today = local_day(now, self.time_zone)
            grant = self.grant(grant_id, by=by)
            self._refuse_if_closed(by, today)
            if refusals := self._against_asking(grant, by, now):
                raise Refused(*refusals)
            chosen, faults = _item_of(grant, item)
            faults += self._faults_of_numbers(days=asked_days, reveals=asked_reveals)
            faults += self._faults_of_text(case=case, legal_basis=legal_basis, why=why)
            if not 1 <= len(wanted) <= self.rules.tokens:
                faults.append(Reason("reidentification-tokens-number", {"tokens": len(wanted), "limit": self.rules.tokens}))
            if any(not -(2**63) <= token < 2**63 for token in wanted):
                faults.append(Reason("pseudonym-unreadable"))
            if faults:
                raise InputInvalid(*faults)
            if len(self.cases.open_cases(grant.id)) >= self.rules.open_cases:
                raise Conflict.because("reidentification-many-open", grant=grant.id, limit=self.rules.open_cases)
            due = self.calendar.after(today, answer_working_days()).day
            event = ReidentificationEvent(
                Kind.ASKED, now, by.person, by.office, days=asked_days, reveals=asked_reveals
            )
            found = Reidentification(
                id=self._number("reidentification", "C", today),
                grant=grant.id,
                dataset=grant.dataset,
                item=chosen,
                linkage_group=grant.terms.linkage_group,
                provider=grant.provider,
                using_office=grant.using_office,
                officer=by.person,
                post=by.post,
                case=case.strip(),
                legal_basis=legal_basis.strip(),
                why=why.strip(),
                tokens=len(wanted),
                tokens_hash=self.hash_of_tokens(wanted),
                days=asked_days,
                reveals=asked_reveals,
                answer_due=due,
                events=(event,),
            )
            self.cases.add(found)
            self.tokens.keep(found.id, wanted)
            body = {
                **_about(found),
                "grant_version": grant.version,
                "terms_hash": grant.terms_hash,
                "officer": found.officer,
                "officer_post": found.post,
                "legal_basis": found.legal_basis,
                "case_hash": self._keyed("case", found.case, found.why),
                "days": found.days,
                "reveals": found.reveals,
                "answer_due": due.isoformat(),
                "linked_grants": [one.id for one in self.linked_grants(found)],
            }
            self._write(EntryKind.REIDENTIFICATION_ASKED, body, by=by)
            to_reviewers = ((found.provider, Role.REVIEWER),)
            self._tell_of_case(NoticeKind.REIDENTIFICATION_ASKED, found, due=due.isoformat(), to_roles=to_reviewers)
            return found

    def withdraw(self, identifier: str, *, by: Actor, words: str | None = None) -> Reidentification:
        """Take back what was not answered yet: the officer, or a data officer of the using office.

        Raises Refused `reidentification-only-user`; Conflict `reidentification-answered`."""
        with self._acting(identifier, by) as found:
            self._refuse_unless_user(found, by)
            self._refuse_unless(found, State.UNDER_REVIEW)
            event = self._event(Kind.WITHDRAWN, by, words=written(words))
            return self._over(found, event, EntryKind.REIDENTIFICATION_WITHDRAWN, by=by)

    # Answering

    def approve(
        self,
        identifier: str,
        *,
        by: Actor,
        days: int | None = None,
        reveals: int | None = None,
        words: str | None = None,
    ) -> Reidentification:
        """Agree, to what was asked or to fewer days and reveals. The first reviewer's word is kept (`endorsed`); when the second, another
        person, agrees to the same or to less, the officer may learn the identifiers from then on.

        Raises Refused `role-missing`, `reidentification-only-provider`, `reidentification-own-case`, `reidentification-own-office`,
        `reidentification-twice`; InputInvalid `reidentification-wider`, `reidentification-number-invalid`; Conflict
        `reidentification-answered`, `office-closed`."""
        with self._acting(identifier, by) as found:
            self._refuse_unless_reviewer_of(found, by)
            self._refuse_unless(found, State.UNDER_REVIEW)
            now = self.clock()
            self._refuse_if_closed(by, local_day(now, self.time_zone))
            first = self._first_word(found)
            within = first or found.events[0]
            agreed_days = within.days if days is None else days
            agreed_reveals = within.reveals if reveals is None else reveals
            assert agreed_days is not None and agreed_reveals is not None
            faults = self._faults_of_numbers(days=agreed_days, reveals=agreed_reveals)
            for name, number, limit in (("days", agreed_days, within.days), ("reveals", agreed_reveals, within.reveals)):
                if limit is not None and number > limit:
                    faults.append(Reason("reidentification-wider", {"reidentification": found.id, "what": name, "limit": limit}))
            if faults:
                raise InputInvalid(*faults)
            if first is not None and first.actor == by.person:
                raise Refused.because("reidentification-twice", reidentification=found.id, person=by.person)
            agreed = replace(self._event(Kind.ENDORSED, by, words=written(words)), days=agreed_days, reveals=agreed_reveals)
            body = {**_about(found), "days": agreed_days, "reveals": agreed_reveals}
            if first is None:
                found = self._append_to(found, agreed)
                self._write(EntryKind.REIDENTIFICATION_ENDORSED, body, by=by)
                return found
            until = now + timedelta(days=agreed_days)
            found = self._append_to(found, replace(agreed, kind=Kind.APPROVED, until=until))
            body = {**body, "endorsed_by": first.actor, "until": _instant(until)}
            self._write(EntryKind.REIDENTIFICATION_APPROVED, body, by=by)
            self._tell_officer(found)
            return found

    def refuse(self, identifier: str, *, by: Actor, reason: str, words: str | None) -> Reidentification:
        """Say no, with a coded reason of the list and words. One reviewer's no is enough, also after another's yes.

        Raises Refused as `approve` does; InputInvalid `reidentification-reason-unknown`, `reidentification-words-missing`."""
        with self._acting(identifier, by) as found:
            self._refuse_unless_reviewer_of(found, by)
            self._refuse_unless(found, State.UNDER_REVIEW)
            faults = []
            if reason not in self.rules.reasons:
                faults.append(Reason("reidentification-reason-unknown", {"reasons": ", ".join(self.rules.reasons)}))
            if written(words) is None:
                faults.append(Reason("reidentification-words-missing", {"reidentification": found.id}))
            if faults:
                raise InputInvalid(*faults)
            event = replace(self._event(Kind.REFUSED, by, words=written(words)), reason=reason)
            found = self._over(found, event, EntryKind.REIDENTIFICATION_REFUSED, by=by)
            self._tell_officer(found)
            return found

    # Revealing

    def reveal(self, identifier: str, *, by: Actor, tokens: Iterable[int] | None = None) -> Answer:
        """The identifiers behind the agreed tokens, or behind these of them: `token`, `identifier`, and `seal`, a random text that keeps
        the hash in the receipt from being tried against. Where there is none that the grant lets the office see, the identifier is missing.

        Takes one of the agreed reveals; one that fails gives it back. Raises Refused `reidentification-only-officer`,
        `reidentification-token-not-agreed`, why it is over, or as the gateway does; Conflict `reidentification-not-agreed`,
        `reidentification-used-up`."""
        with self._acting(identifier, by) as found:
            found, wanted = self._take_reveal(found, None if tokens is None else tuple(sorted(set(tokens))), by)
            grant = self.sharing.grant(found.grant)
            assert grant is not None
        about = {**_about(found), "tokens": len(wanted), "tokens_hash": self.hash_of_tokens(wanted)}
        asked = Revelation(
            dataset=found.dataset,
            item=found.item,
            grant=found.grant,
            purpose=grant.terms.purpose.code,
            tokens=wanted,
            about={"reidentification": about},
        )
        try:
            answer = self.revealer.reveal(asked, actor=by, still=lambda: self._refuse_unless_standing(found.id, by))
        except BaseException:
            with self._change():
                self._append_to(self._found(found.id), self._event(Kind.REVEAL_FAILED, by))
            raise
        with self._change():
            after = self._append_to(self._found(found.id), replace(self._event(Kind.REVEALED, by), query=answer.query))
            if after.state is State.AGREED and after.reveals_left == 0 and after.reveals_under_way == 0:
                self._end(after, "reidentification-ended-used-up")
        return answer

    def _take_reveal(
        self, found: Reidentification, tokens: Sequence[int] | None, by: Actor
    ) -> tuple[Reidentification, tuple[int, ...]]:
        """Everything that speaks against it, then one reveal taken, inside the transaction."""
        self._refuse_unless_officer(found, by)
        if found.state is not State.AGREED:
            raise Conflict.because("reidentification-not-agreed", reidentification=found.id, state=found.state.value)
        if found.reveals_left < 1:
            raise Conflict.because("reidentification-used-up", reidentification=found.id)
        agreed = self.tokens.tokens_of(found.id)
        if not hmac.compare_digest(self.hash_of_tokens(agreed), found.tokens_hash):
            raise Refused.because("reidentification-tokens-altered", reidentification=found.id)
        wanted = agreed if tokens is None else tuple(tokens)
        if not wanted or not set(wanted) <= set(agreed):
            raise Refused.because("reidentification-token-not-agreed", reidentification=found.id)
        return self._append_to(found, self._event(Kind.REVEAL_BEGUN, by)), wanted

    def _refuse_unless_standing(self, identifier: str, by: Actor) -> None:
        """For the end of a reveal: what ended while it ran tells nothing."""
        found = self._found(identifier)
        self._refuse_unless_officer(found, by)
        over = self.why_over(found)
        if over is not None or found.state is not State.AGREED:
            raise Refused(over or Reason("reidentification-ended-meanwhile", {"reidentification": found.id}))

    # Ending

    def revoke(self, identifier: str, *, by: Actor, words: str | None = None) -> Reidentification:
        """End what was agreed, now: a reviewer of the providing office, with words why; or the officer or a data officer of the using
        office, giving it back.

        Raises Refused `role-missing`, `reidentification-only-user`; InputInvalid `reidentification-words-missing`; Conflict
        `reidentification-not-agreed`."""
        with self._acting(identifier, by) as found:
            as_provider = by.office == found.provider
            if not as_provider:
                self._refuse_unless_user(found, by)
            elif not by.has(Role.REVIEWER):
                raise Refused(role_missing(by, Role.REVIEWER))
            if found.state is not State.AGREED:
                raise Conflict.because("reidentification-not-agreed", reidentification=found.id, state=found.state.value)
            if as_provider and written(words) is None:
                raise InputInvalid.because("reidentification-words-missing", reidentification=found.id)
            kind = Kind.REVOKED if as_provider else Kind.GIVEN_BACK
            event = self._event(kind, by, words=written(words))
            found = self._over(found, event, EntryKind.REIDENTIFICATION_REVOKED, by=by)
            if by.person != found.officer:
                self._tell_officer(found)
            return found

    def end_over(self) -> Sequence[Reidentification]:
        """Note every open case that is over by rule as ended and remove its tokens; those cases. For the worker."""
        ended = []
        for found in self.cases.open_cases():
            if self.why_over(found) is not None and (now := self._end_if_over(found.id)) is not None:
                ended.append(now)
        return ended

    def why_over(self, found: Reidentification) -> Reason | None:
        """Why an open case carries nothing any more by rule, from this moment on, whether or not that was noted; None if it stands."""
        if not found.is_open:
            return None
        now, grant = self.clock(), self.sharing.grant(found.grant)
        about: dict[str, str | int] = {"reidentification": found.id}
        if grant is None or not grant.valid_at(now):
            return Reason("reidentification-ended-grant", {**about, "grant": found.grant})
        if not _still_shows(grant, found) or self._dataset(found.dataset).provider != found.provider:
            return Reason("reidentification-ended-grant-changed", {**about, "grant": found.grant})
        began = self.key_epoch(found.linkage_group).began_at
        if began is not None and found.asked_at < began:
            return Reason("reidentification-ended-pseudonyms", {**about, "grant": found.grant})
        if not any(post.post == found.post and is_responsible(post, grant) for post in self.parties.actors_of(found.officer)):
            return Reason("reidentification-ended-officer", {**about, "post": found.post})
        agreed = found.agreement
        if agreed is not None and agreed.until is not None and now >= agreed.until:
            return Reason("reidentification-ended-term", {**about, "until": _instant(agreed.until)})
        if agreed is None and now >= found.asked_at + timedelta(days=self.rules.waits_days):
            return Reason("reidentification-ended-unanswered", {**about, "days": self.rules.waits_days})
        return None

    def _end_if_over(self, identifier: str) -> Reidentification | None:
        with self._change():
            found = self._found(identifier)
            over = self.why_over(found)
            return None if over is None else self._end(found, over.code)

    def _end(self, found: Reidentification, reason: str) -> Reidentification:
        event = ReidentificationEvent(Kind.ENDED, self.clock(), RULE, found.provider, reason=reason)
        found = self._over(found, event, EntryKind.REIDENTIFICATION_ENDED, by=None)
        self._tell_officer(found)
        return found

    # Looking

    def reidentification(self, identifier: str, *, by: Actor) -> Reidentification:
        """A case, for those who have to do with it: its officer and the data officers of the using office, reviewers and data officers of
        the providing one. Raises NotFound `reidentification-unknown` for all others."""
        found = self.cases.get(identifier)
        if found is None or not _may_see(found, by):
            raise NotFound.because("reidentification-unknown", reidentification=identifier)
        return found

    def reidentifications(
        self, *, by: Actor, side: Side = Side.APPLICANT, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Reidentification], int]:
        """The cases of the actor's office on one side that the actor may see, newest first, and how many in all."""
        if side is Side.PROVIDER and not (by.has(Role.REVIEWER) or by.has(Role.DATA_OFFICER)):
            return (), 0
        own = side is Side.APPLICANT and not by.has(Role.DATA_OFFICER)
        return self.cases.of_office(by.office, side=side, officer=by.person if own else None, limit=limit, offset=offset)

    def linked_grants(self, found: Reidentification) -> Sequence[Grant]:
        """The other grants of the using office, in force now, whose pseudonyms are the same: whoever knows the person behind a token of the
        case knows them in the rows of these too, whichever office gave them. Reviewers are told how many, for they judge that as well."""
        now = self.clock()
        held = self.sharing.grants_of_office(found.using_office)
        return [
            one
            for one in held
            if one.id != found.grant and one.terms.linkage_group == found.linkage_group and one.valid_at(now) and _pseudonyms(one)
        ]

    # Inside

    @contextmanager
    def _acting(self, identifier: str, by: Actor) -> Iterator[Reidentification]:
        """One change of a case that the actor may see, as it stands under the lock. One that is over by rule is noted as such instead.

        Raises NotFound `reidentification-unknown`; Conflict with the reason why it is over."""
        if (over := self.why_over(self.reidentification(identifier, by=by))) is not None:
            self._end_if_over(identifier)
            raise Conflict(over)
        with self._change():
            found = self.reidentification(identifier, by=by)
            if (over := self.why_over(found)) is not None:
                raise Conflict(over)
            yield found

    def _event(self, kind: Kind, by: Actor, *, words: str | None = None) -> ReidentificationEvent:
        return ReidentificationEvent(kind, self.clock(), by.person, by.office, words=words)

    def _append_to(self, found: Reidentification, event: ReidentificationEvent) -> Reidentification:
        self.cases.append(found.id, event, expected_events=len(found.events))
        return replace(found, events=(*found.events, event))

    def _over(
        self, found: Reidentification, event: ReidentificationEvent, kind: EntryKind, *, by: Actor | None
    ) -> Reidentification:
        """The event that ends the case, and the tokens gone with it."""
        found = self._append_to(found, event)
        self.tokens.forget(found.id)
        body = _about(found) if event.reason is None else {**_about(found), "reason": event.reason}
        self._write(kind, body, by=by)
        return found

    def _tell_of_case(self, kind: NoticeKind, found: Reidentification, *, due: str | None = None, **to: Any) -> None:
        about = {"case": found.id, "grant": found.grant, "dataset": found.dataset, "state": found.state.value, "due": due}
        self._tell(kind, about, **to)

    def _tell_officer(self, found: Reidentification) -> None:
        answered = found.state in (ReidentificationState.AGREED, ReidentificationState.REFUSED)
        kind = NoticeKind.REIDENTIFICATION_ANSWERED if answered else NoticeKind.REIDENTIFICATION_ENDED
        self._tell_of_case(kind, found, to_persons=(found.officer,))

    def _first_word(self, found: Reidentification) -> ReidentificationEvent | None:
        """The first reviewer's word, if it still stands: of one who has left the office, or come to serve in the other, it does not."""
        for event in reversed(found.events):
            if event.kind is Kind.ENDORSED:
                posts = self.parties.actors_of(event.actor)
                reviews = any(post.office == found.provider and post.has(Role.REVIEWER) for post in posts)
                if reviews and not any(post.office == found.using_office for post in posts):
                    return event
        return None

    # Who may

    def _against_asking(self, grant: Grant, by: Actor, now: datetime) -> list[Reason]:
        about: dict[str, str | int] = {"grant": grant.id}
        if by.office != grant.using_office:
            return [Reason("reidentification-only-user", {"office": by.office, "using_office": grant.using_office})]
        reasons = [] if by.keeper is None else [Reason("persons-answer", {"account": by.person, "keeper": by.keeper})]
        if grant.provider == grant.using_office:
            reasons.append(Reason("reidentification-own-dataset", {**about, "office": grant.provider}))
        if not is_responsible(by, grant):
            reasons.append(Reason("reidentification-not-responsible", {**about, "post": by.post}))
        if not grant.valid_at(now):
            reasons.append(Reason("reidentification-ended-grant", about))
        if grant.terms.mode is not Mode.ROWS:
            reasons.append(Reason("reidentification-no-rows", {**about, "mode": grant.terms.mode.value}))
        return reasons

    def _refuse_unless_officer(self, found: Reidentification, by: Actor) -> None:
        if (by.person, by.post, by.office) != (found.officer, found.post, found.using_office):
            about = {"reidentification": found.id, "officer": found.officer, "post": found.post}
            raise Refused.because("reidentification-only-officer", **about)

    def _refuse_unless_user(self, found: Reidentification, by: Actor) -> None:
        if by.office != found.using_office or not (by.person == found.officer or by.has(Role.DATA_OFFICER)):
            raise Refused.because("reidentification-only-user", office=by.office, using_office=found.using_office)

    def _refuse_unless_reviewer_of(self, found: Reidentification, by: Actor) -> None:
        reasons = []
        about: dict[str, str | int] = {"reidentification": found.id}
        if by.office != found.provider:
            reasons.append(Reason("reidentification-only-provider", {**about, "provider": found.provider, "office": by.office}))
        if not by.has(Role.REVIEWER):
            reasons.append(role_missing(by, Role.REVIEWER))
        if by.person == found.officer:
            reasons.append(Reason("reidentification-own-case", about))
        elif self._serves_in(by.person, found.using_office):
            reasons.append(Reason("reidentification-own-office", {**about, "using_office": found.using_office}))
        if by.keeper is not None:
            reasons.append(Reason("persons-answer", {"account": by.person, "keeper": by.keeper}))
        if reasons:
            raise Refused(*reasons)

    def _refuse_unless(self, found: Reidentification, state: State) -> None:
        if found.state is not state:
            raise Conflict.because("reidentification-answered", reidentification=found.id, state=found.state.value)

    # What is wrong

    def _faults_of_numbers(self, *, days: int, reveals: int) -> list[Reason]:
        said = (("days", days, self.rules.days), ("reveals", reveals, self.rules.reveals))
        return [
            Reason("reidentification-number-invalid", {"what": what, "limit": limit})
            for what, number, limit in said
            if not 1 <= number <= limit
        ]

    def _faults_of_text(self, *, case: str, legal_basis: str, why: str) -> list[Reason]:
        limits = (
            ("case", case, self.rules.case_characters),
            ("legal_basis", legal_basis, self.rules.why_characters),
            ("why", why, self.rules.why_characters),
        )
        return [
            Reason("reidentification-text-invalid", {"what": what, "limit": limit})
            for what, text, limit in limits
            if not 1 <= len(text.strip()) <= limit
        ]

    def _found(self, identifier: str) -> Reidentification:
        found = self.cases.get(identifier)
        if found is None:
            raise NotFound.because("reidentification-unknown", reidentification=identifier)
        return found

    def _keyed(self, what: str, *parts: str) -> str:
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in (_DOMAIN, *(one.encode() for one in (what, *parts))))
        return hmac.digest(self.hash_key, framed, hashlib.sha256).hex()

    def hash_of_tokens(self, tokens: Iterable[int]) -> str:
        """What the ledger is told of the tokens: it proves afterwards which they were, and tells nobody who does not know them."""
        return self._keyed("tokens", *(str(token) for token in sorted(set(tokens))))


def is_responsible(actor: Actor, grant: Grant) -> bool:
    """Whether the actor answers for the purpose of the grant: signed for it and still may use data, or is a data officer of the office. A
    service answers for nothing."""
    if actor.keeper is not None:
        return False
    signed = actor.person == grant.signed_by and actor.has(Role.ANALYST)
    return actor.office == grant.using_office and (signed or actor.has(Role.DATA_OFFICER))


def _may_see(found: Reidentification, by: Actor) -> bool:
    if by.office == found.using_office and (by.person == found.officer or by.has(Role.DATA_OFFICER)):
        return True
    return by.office == found.provider and (by.has(Role.REVIEWER) or by.has(Role.DATA_OFFICER))


def _pseudonyms(grant: Grant) -> list[str]:
    return [term.item for term in grant.terms.items if term.mask.kind is MaskKind.PSEUDONYM]


def _item_of(grant: Grant, item: str | None) -> tuple[str, list[Reason]]:
    """The item whose identifiers are asked for, as the grant writes it; or what is wrong."""
    shown = _pseudonyms(grant)
    about: dict[str, str | int] = {"grant": grant.id, "items": ", ".join(shown)}
    if not shown:
        return "", [Reason("reidentification-no-pseudonym", {"grant": grant.id})]
    if item is None:
        return shown[0], [] if len(shown) == 1 else [Reason("reidentification-item-unstated", about)]
    found = next((name for name in shown if name.lower() == item.strip().lower()), None)
    return found or "", [] if found else [Reason("reidentification-item-wrong", about)]


def _still_shows(grant: Grant, found: Reidentification) -> bool:
    """Whether the grant, which may have come into another version, still shows the item as the pseudonyms that were asked about."""
    return (
        grant.using_office == found.using_office
        and grant.provider == found.provider
        and grant.terms.mode is Mode.ROWS
        and grant.terms.linkage_group == found.linkage_group
        and found.item in _pseudonyms(grant)
    )


def _about(found: Reidentification) -> dict[str, Any]:
    """What a ledger entry says of the case that it is about."""
    return {
        "reidentification": found.id,
        "grant": found.grant,
        "dataset": found.dataset,
        "item": found.item,
        "provider": found.provider,
        "using_office": found.using_office,
        "tokens": found.tokens,
        "tokens_hash": found.tokens_hash,
    }


def _instant(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
