"""What people do with requests and grants. Each change is one transaction: events, grant, ledger entries, the policy epoch.

Every check that a change rests on is made inside its transaction, and the store compares the state it finds with the state the
check saw; of two answers at once one wins and the other meets a Conflict."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from huitong.catalog.publish import refuse_unless_officer
from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused
from huitong.model.catalog import Dataset, Sharing, Snapshot
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Comparison, Grant, GrantEvent, GrantEventKind, GrantState, Mode, Quota
from huitong.model.pseudonym import KeyEpoch
from huitong.model.sharing import Linkage, Request, RequestEvent, RequestEventKind, RequestKind, RequestState, Wish
from huitong.sharing.absence import Absence
from huitong.sharing.availability import Availability, availability
from huitong.sharing.continuing import Continuing
from huitong.sharing.deadline import answer_working_days, local_day
from huitong.sharing.judging import shared_as
from huitong.sharing.noised import StatedNoise
from huitong.sharing.parts import RULE, ListedSubjects, about_grant, role_missing, written
from huitong.sharing.ports import (
    Side,
)
from huitong.sharing.purposes import refusal_reasons
from huitong.sharing.terms import pseudonym_items
from huitong.sharing.waiting import Waiting
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
class SharingActions(Waiting, Continuing, Absence):
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
        kind: RequestKind = RequestKind.SHARING,
        condition: Iterable[Comparison] = (),
        subjects: ListedSubjects | None = None,
        k: int | None = None,
        quota: Quota | None = None,
        noised: StatedNoise | None = None,
        linkage: Linkage | str = Linkage.PURPOSE,
    ) -> Wish:
        """A wish in the words of a form; an item without a mask is asked for with its default mask. With `by`, a dataset that the
        actor's office may not know of is NotFound `dataset-unknown`, as one that does not exist. The identifiers of a list of subjects
        are kept in the lake; the wish only names the list.

        An office below the provider's level that states no division asks for the rows of its own: a county sees its county. Who needs
        more says so, by the code of the larger division."""
        dataset = self._dataset(dataset_id) if by is None else self._known_dataset(dataset_id, by)
        items = list(items)
        if division is None and by is not None and dataset.division_item is not None:
            division = self._own_division(by, dataset)
        return make_wish(
            dataset,
            purpose=purpose,
            legal_basis=legal_basis,
            items=items,
            until=until,
            division=division,
            mode=mode,
            masks=self.grading.masks,
            kind=kind,
            condition=condition,
            subjects=self._kept(dataset, subjects, asked=[name for name, _ in items]),
            k=k,
            quota=quota,
            noised=noised,
            linkage=linkage,
            limits=self.term_limits,
        )

    def _own_division(self, by: Actor, dataset: Dataset) -> str | None:
        """The division of the actor's office, if it lies below that of the providing office; None: nothing is cut by it."""
        office, provider = self.parties.office(by.office), self.parties.office(dataset.provider)
        if office is None or provider is None or office.division == provider.division:
            return None
        below = self.divisions.codes_under(provider.division, local_day(self.clock(), self.time_zone))
        return office.division if office.division in below else None

    def submit(self, wish: Wish, *, by: Actor) -> Request:
        """Ask. Answered at once by rule if the dataset is shared without condition, in a grade that may be granted so, or not shared
        (refused, with its basis); otherwise it waits for reviewers of the providing office until `answer_due`.

        Raises Refused `role-missing`, `grade-lets-nothing-leave`, `mode-not-allowed`, or `mask-below-floor` for each mask weaker than
        the default of a dataset that is shared without condition; InputInvalid with everything that is wrong with the wish; NotFound
        `dataset-unknown`, also for a dataset that the office may not know of; Conflict `office-closed`."""
        with self._change():
            return self._submit(wish, by=by)

    def withdraw(self, request_id: str, *, by: Actor, words: str | None = None) -> Request:
        """Take an unanswered request back; an analyst of the office that asked may."""
        with self._change():
            request = self._open_request(request_id, by, RequestEventKind.WITHDRAWN)
            if request.applicant_office != by.office:
                raise Refused.because("only-applicant", request=request.id, applicant=request.applicant_office, office=by.office)
            if not by.has(Role.ANALYST):
                raise Refused(role_missing(by, Role.ANALYST))
            event = RequestEvent(
                kind=RequestEventKind.WITHDRAWN, at=self.clock(), actor=by.person, office=by.office, words=written(words)
            )
            request = self._append(request, event)
            self._write(EntryKind.REQUEST_WITHDRAWN, {"request": request.id, "dataset": request.dataset}, by=by)
            self._tell_of_request(NoticeKind.REQUEST_WITHDRAWN, request, provider=True)
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
        condition: Iterable[Comparison] | None = None,
        subjects: ListedSubjects | None = None,
        mode: Mode | None = None,
        k: int | None = None,
        quota: Quota | None = None,
        noised: StatedNoise | None = None,
        linkage: Linkage | str | None = None,
    ) -> Wish:
        """What a reviewer states, put in the place of what was asked, or of what a first reviewer agreed to; what is not stated
        stays as it is there, masks too. Comparisons are added to those that stand."""
        request = self.request(request_id, by=by)
        dataset = self._dataset(request.dataset)
        endorsed = self._endorsement(request, besides={by.person})
        wish = endorsed.wish if endorsed is not None and endorsed.wish is not None else request.wish
        items = None if items is None else list(items)
        asked = [term.item for term in wish.items] if items is None else [name for name, _ in items]
        return narrow_wish(
            wish,
            dataset,
            items=items,
            division=division,
            until=until,
            masks=self.grading.masks,
            condition=condition,
            subjects=self._kept(dataset, subjects, asked=asked),
            mode=mode,
            k=k,
            quota=quota,
            noised=noised,
            linkage=linkage,
            limits=self.term_limits,
        )

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
            behalf = self._answers(request, by)
            self._refuse_if_closed(by, today)
            dataset = self._dataset(request.dataset)
            if shared_as(dataset, request.wish.kind) is Sharing.NOT_SHARED:
                raise Refused.because(
                    "dataset-not-shared", dataset=dataset.id, provider=dataset.provider, basis=dataset.sharing_basis
                )
            self._grant_to_extend(request)
            endorsed = self._endorsement(request, besides={by.person, behalf})
            within = endorsed.wish if endorsed is not None and endorsed.wish is not None else request.wish
            agreed = within if narrowed is None else narrowed
            faults = [
                *faults_of_narrowing(agreed, request.wish, divisions=self.divisions, today=today, lists=self.lists),
                *faults_of_wish(agreed, dataset, divisions=self.divisions, today=today, limits=self.term_limits),
            ]
            tree, lists = self.divisions, self.lists
            if endorsed is not None and (wider := faults_of_narrowing(agreed, within, divisions=tree, today=today, lists=lists)):
                faults += [Reason("wider-than-endorsed", {"request": request.id, "first": endorsed.actor}), *wider]
            if faults:
                raise InputInvalid(*dict.fromkeys(faults))
            grade = self.grade_of_wish(agreed, dataset, office=request.applicant_office)
            refusals = self._refusals_of_grade(agreed, dataset, grade) + self._refusals_of_masks(agreed, dataset)
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
                return self._endorse(
                    request, agreed, by=by, behalf=behalf, now=now, words=written(words), weaker=weaker, grade=grade
                )
            first = endorsed.actor if endorsed is not None else None
            return self._grant(
                request, agreed, by=by, now=now, words=written(words), weaker=weaker, grade=grade, behalf=behalf, endorsed_by=first
            )

    def refuse(self, request_id: str, *, by: Actor, reason: str, words: str | None = None) -> Request:
        """Say no, with a coded reason of the list, and words where the list asks for them.

        Raises Refused as `approve` does; InputInvalid `refusal-reason-unknown`, `refusal-words-missing`."""
        with self._change():
            request = self._open_request(request_id, by)
            behalf = self._answers(request, by)
            if reason not in refusal_reasons():
                raise InputInvalid.because("refusal-reason-unknown", reason=reason, reasons=", ".join(refusal_reasons()))
            if refusal_reasons()[reason] and written(words) is None:
                raise InputInvalid.because("refusal-words-missing", reason=reason)
            return self._refuse(request, by=by, now=self.clock(), reason=reason, words=written(words), behalf=behalf)

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
            group, items = grant.terms.linkage_group, pseudonym_items(grant.terms)
            noted = self.pseudonym_epochs.of_group(group)
            epoch = noted or KeyEpoch(group, key=self.pseudonym_epochs.newest_key())
            if snapshot is not None:
                for item in items:
                    self.side_tables.build(group, dataset, item, snapshot, epoch=epoch)
            with self._change():
                if self.catalog.current_snapshot(dataset.id) != snapshot or self.pseudonym_epochs.of_group(group) != noted:
                    continue
                if items and noted is None:
                    self.pseudonym_epochs.add(epoch)
                active = replace(grant, state=GrantState.ACTIVE)
                event = GrantEvent(GrantEventKind.ACTIVATED, self.clock(), RULE, grant.provider, grant.version)
                self.sharing.change_grant(active, event, expected_state=GrantState.PREPARING)
                self._write(EntryKind.GRANT_ACTIVATED, about_grant(active), by=None)
                self._tell_of_grant(NoticeKind.GRANT_READY, active)
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
        built: set[tuple[KeyEpoch, str]] = set()
        while True:
            for epoch, item in sorted(self._needed_side_tables(dataset) - built, key=lambda one: (one[0].tokens, one[1])):
                self.side_tables.build(epoch.linkage_group, dataset, item, snapshot, epoch=epoch)
                built.add((epoch, item))
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

    def _needed_side_tables(self, dataset: Dataset) -> set[tuple[KeyEpoch, str]]:
        now = self.clock()
        grants = self.sharing.grants_of_dataset(dataset.id, (GrantState.PREPARING, GrantState.ACTIVE))
        return {
            (self.key_epoch(grant.terms.linkage_group), item)
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
            self._tell_of_grant(NoticeKind.GRANT_REVOKED if as_provider else NoticeKind.GRANT_GIVEN_BACK, revoked, provider=True)
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
        """The grants that requests became or extended, by the requests' ids: the newest of the office that asked. One question for all of
        them, and one for each that was extended."""
        askers = {request.id: request.applicant_office for request in requests}
        found: dict[str, Grant] = {}
        for grant in self.sharing.grants_of_requests(list(askers)):
            if grant.using_office == askers[grant.request]:
                found.setdefault(grant.request, grant)
        for request in requests:
            if request.continues is not None and request.id not in found and request.state is RequestState.GRANTED:
                extended = self.sharing.grant(request.continues)
                found |= {request.id: extended} if extended is not None else {}
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
