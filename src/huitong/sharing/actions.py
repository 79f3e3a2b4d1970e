"""What people do with requests and grants. Each change is one transaction: events, grant, ledger entries, the policy epoch.

Every check that a change rests on is made inside its transaction, and the store compares the state it finds with the state the
check saw; of two answers at once one wins and the other meets a Conflict."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from huitong.catalog.canonical import plain
from huitong.catalog.publish import refuse_unless_officer
from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused
from huitong.model.catalog import Dataset, Sharing, Snapshot
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState, Mode, beginning_of
from huitong.model.sharing import Request, RequestEvent, RequestEventKind, RequestState, Wish
from huitong.policy.grading import (
    BelowDefault,
    EffectiveGrade,
    effective_grade,
    grade_of_terms,
    grants_below,
    mode_fault,
    sources_of,
)
from huitong.sharing.availability import Availability, availability
from huitong.sharing.deadline import answer_working_days, local_day
from huitong.sharing.parts import RULE, SharingParts, about_grant, role_missing, written
from huitong.sharing.ports import (
    Side,
)
from huitong.sharing.purposes import NOT_SHARED, refusal_reasons
from huitong.sharing.terms import canonical_terms, grant_of, pseudonym_items
from huitong.sharing.wishes import (
    WishedItem,
    faults_of_narrowing,
    faults_of_wish,
    make_wish,
    narrow_wish,
    reasons_for_weaker,
    weaker_than_default,
)


@dataclass(frozen=True, kw_only=True)
class SharingActions(SharingParts):
    """The life of a request and of a grant."""

    # Asking

    def wish(
        self,
        dataset_id: str,
        *,
        purpose: str,
        legal_basis: str,
        items: Iterable[WishedItem],
        until: date,
        division: str | None = None,
        mode: Mode = Mode.ROWS,
        by: Actor | None = None,
    ) -> Wish:
        """A wish in the words of a form; an item without a mask is asked for with its default mask. With `by`, a dataset that the
        actor's office may not know of is NotFound `dataset-unknown`, as one that does not exist."""
        dataset = self._dataset(dataset_id) if by is None else self._known_dataset(dataset_id, by)
        return make_wish(
            dataset,
            purpose=purpose,
            legal_basis=legal_basis,
            items=items,
            until=until,
            division=division,
            mode=mode,
            masks=self.grading.masks,
        )

    def submit(self, wish: Wish, *, by: Actor) -> Request:
        """Ask. Answered at once by rule if the dataset is shared without condition, in a grade that may be granted so, or not shared
        (refused, with its basis); otherwise it waits for reviewers of the providing office until `answer_due`.

        Raises Refused `role-missing`, `grade-lets-nothing-leave`, `mode-not-allowed`, or `mask-below-floor` for each mask weaker than
        the default of a dataset that is shared without condition; InputInvalid with everything that is wrong with the wish; NotFound
        `dataset-unknown`, also for a dataset that the office may not know of; Conflict `office-closed`."""
        if not by.has(Role.ANALYST):
            raise Refused(role_missing(by, Role.ANALYST))
        with self._change():
            now = self.clock()
            today = local_day(now, self.time_zone)
            dataset = self._known_dataset(wish.dataset, by)
            self._refuse_if_closed(by, today)
            if faults := faults_of_wish(wish, dataset, divisions=self.divisions, today=today):
                raise InputInvalid(*faults)
            grade = self.grade_of_wish(wish, dataset, office=by.office)
            refusals = self._refusals_of_grade(wish, dataset, grade)
            if dataset.sharing is Sharing.UNCONDITIONAL:
                refusals += self._below_floor(wish, dataset)
            if refusals and dataset.sharing is not Sharing.NOT_SHARED:
                raise Refused(*refusals)
            at_once = dataset.sharing is Sharing.UNCONDITIONAL and self.grading.at(grade.grade).at_once
            reviewed = dataset.sharing is not Sharing.NOT_SHARED and not at_once
            due = self.calendar.after(today, answer_working_days()).day if reviewed else None
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
            )
            self.sharing.add_request(request)
            body = {
                "request": request.id,
                "provider": request.provider,
                "wish": plain(wish),
                "sharing": dataset.sharing.value,
                "grade": int(grade.grade),
                "answer_due": due.isoformat() if due else None,
            }
            self._write(EntryKind.REQUEST_SUBMITTED, body, by=by)
            if at_once:
                request = self._grant(request, wish, by=None, now=now, words=None, weaker=(), grade=grade)
            elif not reviewed:
                request = self._refuse(request, by=None, now=now, reason=NOT_SHARED, words=dataset.sharing_basis)
            return request

    def withdraw(self, request_id: str, *, by: Actor, words: str | None = None) -> Request:
        """Take an unanswered request back; an analyst of the office that asked may."""
        with self._change():
            request = self._open_request(request_id, by)
            if request.applicant_office != by.office:
                raise Refused.because("only-applicant", request=request.id, applicant=request.applicant_office, office=by.office)
            if not by.has(Role.ANALYST):
                raise Refused(role_missing(by, Role.ANALYST))
            event = RequestEvent(
                kind=RequestEventKind.WITHDRAWN, at=self.clock(), actor=by.person, office=by.office, words=written(words)
            )
            request = self._append(request, event)
            self._write(EntryKind.REQUEST_WITHDRAWN, {"request": request.id, "dataset": request.dataset}, by=by)
            return request

    # Answering

    def narrowed(
        self,
        request_id: str,
        *,
        by: Actor,
        items: Iterable[WishedItem] | None = None,
        division: str | None = None,
        until: date | None = None,
    ) -> Wish:
        """What a reviewer states, put in the place of what was asked, or of what a first reviewer agreed to; what is not stated
        stays as it is there, masks too."""
        request = self.request(request_id, by=by)
        dataset = self._dataset(request.dataset)
        endorsed = self._endorsement(request, besides=by.person)
        wish = endorsed.wish if endorsed is not None and endorsed.wish is not None else request.wish
        return narrow_wish(wish, dataset, items=items, division=division, until=until, masks=self.grading.masks)

    def approve(
        self,
        request_id: str,
        *,
        by: Actor,
        narrowed: Wish | None = None,
        words: str | None = None,
        weaker_masks: Collection[str] = (),
    ) -> Request:
        """Agree to what was asked, or to less. `weaker_masks` names the items for which the reviewer expressly agrees to a mask
        that shows more than the default of their grade; without that word it is not agreed.

        Where the grade of what is agreed asks for two reviewers, the first one's word is kept (`endorsed`, the request stays under
        review) and the second, another person, agrees to the same or to less: the grant is of what the second agreed to.

        Raises Refused `role-missing`, `only-provider`, `review-own-request`, `review-own-office`, `review-twice`, `mask-needs-word`,
        `mask-below-floor`, `dataset-not-shared`, `grade-lets-nothing-leave`, `mode-not-allowed`; InputInvalid with every way in which
        `narrowed` is wider than the request, or than what the first reviewer agreed to; Conflict `request-answered`, `office-closed`."""
        with self._change():
            now = self.clock()
            today = local_day(now, self.time_zone)
            request = self._open_request(request_id, by)
            self._refuse_unless_reviewer(request, by)
            self._refuse_if_closed(by, today)
            dataset = self._dataset(request.dataset)
            if dataset.sharing is Sharing.NOT_SHARED:
                raise Refused.because(
                    "dataset-not-shared", dataset=dataset.id, provider=dataset.provider, basis=dataset.sharing_basis
                )
            endorsed = self._endorsement(request, besides=by.person)
            within = endorsed.wish if endorsed is not None and endorsed.wish is not None else request.wish
            agreed = within if narrowed is None else narrowed
            faults = [
                *faults_of_narrowing(agreed, request.wish, divisions=self.divisions, today=today),
                *faults_of_wish(agreed, dataset, divisions=self.divisions, today=today),
            ]
            if endorsed is not None and (wider := faults_of_narrowing(agreed, within, divisions=self.divisions, today=today)):
                faults += [Reason("wider-than-endorsed", {"request": request.id, "first": endorsed.actor}), *wider]
            if faults:
                raise InputInvalid(*dict.fromkeys(faults))
            grade = self.grade_of_wish(agreed, dataset, office=request.applicant_office)
            refusals = self._refusals_of_grade(agreed, dataset, grade)
            if dataset.sharing is Sharing.UNCONDITIONAL:
                refusals += self._below_floor(agreed, dataset)
            if refusals:
                raise Refused(*refusals)
            weaker = weaker_than_default(agreed, dataset, self.grading.masks)
            named = {name.lower() for name in weaker_masks}
            if silent := [item for item in weaker if item.lower() not in named]:
                raise Refused(*reasons_for_weaker(silent, "mask-needs-word", dataset, self.grading.masks))
            reviewers = self.grading.at(grade.grade).reviewers
            if reviewers > 1 and endorsed is None:
                if self._endorsement(request) is not None:
                    raise Refused.because("review-twice", request=request.id, person=by.person)
                return self._endorse(request, agreed, by=by, now=now, words=written(words), weaker=weaker, grade=grade)
            first = endorsed.actor if endorsed is not None else None
            return self._grant(
                request, agreed, by=by, now=now, words=written(words), weaker=weaker, grade=grade, endorsed_by=first
            )

    def refuse(self, request_id: str, *, by: Actor, reason: str, words: str | None = None) -> Request:
        """Say no, with a coded reason of the list, and words where the list asks for them.

        Raises Refused as `approve` does; InputInvalid `refusal-reason-unknown`, `refusal-words-missing`."""
        with self._change():
            request = self._open_request(request_id, by)
            self._refuse_unless_reviewer(request, by)
            if reason not in refusal_reasons():
                raise InputInvalid.because("refusal-reason-unknown", reason=reason, reasons=", ".join(refusal_reasons()))
            if refusal_reasons()[reason] and written(words) is None:
                raise InputInvalid.because("refusal-words-missing", reason=reason)
            return self._refuse(request, by=by, now=self.clock(), reason=reason, words=written(words))

    # Using, and ending

    def prepare(self, grant_id: str) -> Grant:
        """Build the side tables that the grant's pseudonyms need, then let it be used; for the worker, or in line; repeatable.

        The tables are built outside the transaction; if meanwhile a newer snapshot came, they are extended and it tries again.
        Raises Conflict `grant-already-revoked`; what the builder raises leaves the grant as it was."""
        while True:
            grant = self.sharing.grant(grant_id)
            if grant is None:
                raise NotFound.because("grant-unknown", grant=grant_id)
            if grant.state is GrantState.ACTIVE:
                return grant
            if grant.state is GrantState.REVOKED:
                raise Conflict.because("grant-already-revoked", grant=grant.id)
            dataset = self._dataset(grant.dataset)
            snapshot = self.catalog.current_snapshot(dataset.id)
            if snapshot is not None:
                for item in pseudonym_items(grant.terms):
                    self.side_tables.build(grant.terms.linkage_group, dataset, item, snapshot)
            with self._change():
                if self.catalog.current_snapshot(dataset.id) != snapshot:
                    continue
                active = replace(grant, state=GrantState.ACTIVE)
                event = GrantEvent(GrantEventKind.ACTIVATED, self.clock(), RULE, grant.provider, grant.version)
                self.sharing.change_grant(active, event, expected_state=GrantState.PREPARING)
                self._write(EntryKind.GRANT_ACTIVATED, about_grant(active), by=None)
                return active

    def prepare_waiting(self, *, limit: int = 100) -> Sequence[Grant]:
        """Prepare the oldest grants that wait for it; one that was revoked meanwhile is left out. For the worker.

        A grant that cannot be prepared does not keep the others waiting; the first failure is raised at the end."""
        prepared: list[Grant] = []
        failures: list[Exception] = []
        for grant in self.sharing.grants_in_state(GrantState.PREPARING, limit=limit):
            try:
                prepared.append(self.prepare(grant.id))
            except Conflict:
                continue
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
        return prepared

    def take_snapshot(self, snapshot: Snapshot, *, by: Actor) -> Snapshot:
        """Make a snapshot, already written to the lake, the current one, after its side tables hold it for every grant in force.

        A data officer of the managing office does. Raises Refused; NotFound `dataset-unknown`; Conflict `snapshot-not-newer`."""
        dataset = self._known_dataset(snapshot.dataset, by)
        refuse_unless_officer(by, dataset.provider, dataset.id)
        built: set[tuple[str, str]] = set()
        while True:
            for group, item in sorted(self._needed_side_tables(dataset) - built):
                self.side_tables.build(group, dataset, item, snapshot)
                built.add((group, item))
            with self._change():
                # read again under the lock: meanwhile another office may have come to manage it
                refuse_unless_officer(by, self._known_dataset(dataset.id, by).provider, dataset.id)
                if not self._needed_side_tables(dataset) <= built:
                    continue
                self.catalog.add_snapshot(snapshot)
                body = {
                    "dataset": snapshot.dataset,
                    "version": snapshot.version,
                    "rows": snapshot.rows,
                    "rejected_rows": snapshot.rejected_rows,
                    "source_hash": snapshot.source_hash,
                    "files": len(snapshot.files),
                }
                self._write(EntryKind.SNAPSHOT_TAKEN, body, by=by)
                return snapshot

    def _needed_side_tables(self, dataset: Dataset) -> set[tuple[str, str]]:
        now = self.clock()
        grants = self.sharing.grants_of_dataset(dataset.id, (GrantState.PREPARING, GrantState.ACTIVE))
        return {
            (grant.terms.linkage_group, item)
            for grant in grants
            if now < grant.terms.valid_until
            for item in pseudonym_items(grant.terms)
        }

    def revoke(self, grant_id: str, *, by: Actor, words: str) -> Grant:
        """End a grant now: a reviewer of the providing office, with words why; or an analyst of the using office, giving it back.

        Raises NotFound `grant-unknown`, Refused `role-missing`, InputInvalid `revocation-words-missing`, Conflict
        `grant-already-revoked`."""
        with self._change():
            grant = self.grant(grant_id, by=by)
            as_provider = grant.provider == by.office and by.has(Role.REVIEWER)
            gives_back = grant.using_office == by.office and by.has(Role.ANALYST)
            if not as_provider and not gives_back:
                raise Refused(role_missing(by, Role.REVIEWER if grant.provider == by.office else Role.ANALYST))
            if grant.state is GrantState.REVOKED:
                raise Conflict.because("grant-already-revoked", grant=grant.id)
            if not gives_back and written(words) is None:
                raise InputInvalid.because("revocation-words-missing", grant=grant.id)
            revoked = replace(grant, state=GrantState.REVOKED, revoked_at=self.clock(), revoked_because=written(words))
            side = Side.PROVIDER if as_provider else Side.APPLICANT
            kind = GrantEventKind.REVOKED if as_provider else GrantEventKind.GIVEN_BACK
            event = GrantEvent(kind, self.clock(), by.person, by.office, grant.version, written(words))
            self.sharing.change_grant(revoked, event, expected_state=grant.state)
            self._write(EntryKind.GRANT_REVOKED, {**about_grant(revoked), "side": side.value}, by=by)
            return revoked

    # Looking

    def requests(
        self, *, by: Actor, side: Side, states: Collection[RequestState] | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Request], int]:
        """The requests of the actor's office on one side, newest first, and how many in all."""
        return self.sharing.requests_for(by.office, side=side, states=states, limit=limit, offset=offset)

    def grants(self, *, by: Actor, side: Side = Side.APPLICANT) -> Sequence[Grant]:
        """The grants that the actor's office uses, or provides, newest first."""
        if side is Side.APPLICANT:
            return self.sharing.grants_of_office(by.office)
        return self.sharing.grants_by_provider(by.office)

    def grant_of(self, request: Request) -> Grant | None:
        """The grant that the request became."""
        return self.grants_of([request]).get(request.id)

    def grants_of(self, requests: Sequence[Request]) -> Mapping[str, Grant]:
        """The grants that requests became, by the requests' ids: the newest of the office that asked. One question for all of them."""
        askers = {request.id: request.applicant_office for request in requests}
        found: dict[str, Grant] = {}
        for grant in self.sharing.grants_of_requests(list(askers)):
            if grant.using_office == askers[grant.request]:
                found.setdefault(grant.request, grant)
        return found

    def availability(self, dataset: Dataset, *, actor: Actor) -> Availability:
        """Can the actor's office have it, how, by when."""
        rows = self._persons_at_most(dataset)
        return self.availabilities([dataset], actor=actor, rows={} if rows is None else {dataset.id: rows})[dataset.id]

    def availabilities(
        self, datasets: Sequence[Dataset], *, actor: Actor, rows: Mapping[str, int] | None = None
    ) -> Mapping[str, Availability]:
        """The same for a page of datasets, with two questions to the store however many there are, one more for who could answer, and
        one for each step of lineage where there is any. `rows` of current snapshots, where known, count towards the scale."""
        sources = self._sources(datasets)
        roll = self.roll.reviewers_of({dataset.provider for dataset in datasets}) if self.roll is not None else None
        grants = self.sharing.grants_of_office(actor.office, [dataset.id for dataset in datasets])
        waiting, _ = self.sharing.requests_for(
            actor.office, side=Side.APPLICANT, states=[RequestState.UNDER_REVIEW], limit=1_000_000
        )
        now = self.clock()
        return {
            dataset.id: availability(
                dataset,
                actor=actor,
                grants=grants,
                requests=waiting,
                now=now,
                time_zone=self.time_zone,
                calendar=self.calendar,
                answer_days=answer_working_days(),
                scheme=self.grading,
                sources=sources,
                rows=(rows or {}).get(dataset.id),
                reviewers=None if roll is None else roll.get(dataset.provider, frozenset()),
            )
            for dataset in datasets
        }

    # Grades

    def effective_grade(self, dataset: Dataset) -> EffectiveGrade:
        """The grade of the dataset as a whole, by its items, their lineage, what they are together, and its current snapshot. Its
        reasons may name sources that not everybody may know of."""
        rows = self._persons_at_most(dataset)
        return effective_grade(dataset, sources=self._sources([dataset]), rows=rows, scheme=self.grading)

    def grade_of_wish(self, wish: Wish, dataset: Dataset, *, office: str) -> EffectiveGrade:
        """The grade of what the wish would let leave to the office, behind its masks: what reviewers and modes go by. What the office
        holds of the dataset already counts towards combinations: asking part by part is asking for the whole."""
        now = self.clock()
        standing = [
            term
            for grant in self.sharing.grants_of_office(office, [dataset.id])
            if grant.state is not GrantState.REVOKED and now < grant.terms.valid_until
            for term in grant.terms.items
        ]
        return grade_of_terms(
            dataset,
            wish.items,
            held=standing,
            sources=self._sources([dataset]),
            rows=self._persons_at_most(dataset),
            scheme=self.grading,
        )

    def reviewers_of_wish(self, wish: Wish, *, office: str) -> int:
        """How many different reviewers must agree to the wish of the office; 0 if it is granted, or refused, by rule."""
        dataset = self._dataset(wish.dataset)
        grade = self.grading.at(self.grade_of_wish(wish, dataset, office=office).grade)
        by_rule = dataset.sharing is Sharing.NOT_SHARED or (dataset.sharing is Sharing.UNCONDITIONAL and grade.at_once)
        return 0 if by_rule else grade.reviewers

    def grants_below(self, dataset_id: str, *, by: Actor) -> tuple[BelowDefault, ...]:
        """The standing grants over the dataset that show more of an item than its default mask of today, e.g. since its grade was
        raised: for a data officer or reviewer of the managing office to look at. None is changed.

        Raises NotFound `dataset-unknown`; Refused `role-missing`, `dataset-of-other-office`."""
        dataset = self._known_dataset(dataset_id, by)
        if by.office != dataset.provider or not by.has(Role.REVIEWER):
            refuse_unless_officer(by, dataset.provider, dataset.id)
        now = self.clock()
        grants = self.sharing.grants_of_dataset(dataset.id, (GrantState.PREPARING, GrantState.ACTIVE))
        return grants_below(dataset, [grant for grant in grants if now < grant.terms.valid_until], scheme=self.grading)

    def _persons_at_most(self, dataset: Dataset) -> int | None:
        """Rows of the current snapshot, where a scale of the scheme could be about it."""
        meanings = {item.meaning for item in dataset.items}
        if not any(scale.meanings & meanings for scale in self.grading.scales):
            return None
        snapshot = self.catalog.current_snapshot(dataset.id)
        return snapshot.rows if snapshot is not None else None

    def _sources(self, datasets: Sequence[Dataset]) -> Mapping[str, Dataset]:
        """The entries that these were derived from, and theirs; one question for each step of lineage."""
        found: dict[str, Dataset] = {}
        wanted = {name for dataset in datasets for name in sources_of(dataset)}
        while wanted:
            step = self.catalog.datasets(sorted(wanted))
            found.update(step)
            wanted = {name for dataset in step.values() for name in sources_of(dataset)} - found.keys()
        return found

    def _refusals_of_grade(self, wish: Wish, dataset: Dataset, grade: EffectiveGrade) -> list[Reason]:
        fault = mode_fault(grade, wish.mode, dataset.id, scheme=self.grading)
        return [fault] if fault is not None else []

    def _below_floor(self, wish: Wish, dataset: Dataset) -> tuple[Reason, ...]:
        weaker = weaker_than_default(wish, dataset, self.grading.masks)
        return reasons_for_weaker(weaker, "mask-below-floor", dataset, self.grading.masks)

    # Inside a transaction

    def _endorsement(self, request: Request, *, besides: str | None = None) -> RequestEvent | None:
        """The word of a first reviewer that still stands, of another person than `besides`; one who has come to serve in the office
        that asks does not stand for it any more."""
        for event in reversed(request.events):
            if event.kind is RequestEventKind.ENDORSED and event.actor != besides:
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
        now: datetime,
        words: str | None,
        weaker: Sequence[str],
        grade: EffectiveGrade,
    ) -> Request:
        """The first of two: nothing is granted yet, and the ledger says who agreed to what."""
        event = RequestEvent(
            kind=RequestEventKind.ENDORSED, at=now, actor=by.person, office=request.provider, words=words, wish=agreed
        )
        request = self._append(request, event)
        body = {
            "request": request.id,
            "dataset": request.dataset,
            "agreed": plain(agreed),
            "weaker_masks": list(weaker),
            "grade": int(grade.grade),
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
        endorsed_by: str | None = None,
    ) -> Request:
        event = RequestEvent(
            kind=RequestEventKind.APPROVED,
            at=now,
            actor=by.person if by else RULE,
            office=request.provider,
            words=words,
            wish=agreed,
        )
        request = self._append(request, event)
        number = self._number("grant", "G", local_day(now, self.time_zone))
        grant = grant_of(request, agreed, grant_id=number, now=now, time_zone=self.time_zone)
        self.sharing.add_grant(grant, beginning_of(grant, actor=event.actor))
        body = {
            "request": request.id,
            "grant": grant.id,
            "agreed": plain(agreed),
            "weaker_masks": list(weaker),
            "grade": int(grade.grade),
            "endorsed_by": endorsed_by,
        }
        self._write(EntryKind.REQUEST_APPROVED, body, by=by)
        terms = canonical_terms(
            grant.terms,
            dataset=grant.dataset,
            provider=grant.provider,
            using_office=grant.using_office,
            signed_by=grant.signed_by,
            version=grant.version,
        )
        body = {"grant": grant.id, "request": request.id, **terms, "terms_hash": grant.terms_hash, "state": grant.state.value}
        self._write(EntryKind.GRANT_MADE, body, by=by)
        return request

    def _refuse(self, request: Request, *, by: Actor | None, now: datetime, reason: str, words: str | None) -> Request:
        event = RequestEvent(
            kind=RequestEventKind.REFUSED,
            at=now,
            actor=by.person if by else RULE,
            office=request.provider,
            reason=reason,
            words=words,
        )
        request = self._append(request, event)
        self._write(EntryKind.REQUEST_REFUSED, {"request": request.id, "dataset": request.dataset, "reason": reason}, by=by)
        return request

