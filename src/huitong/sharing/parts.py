"""What every verb of sharing is made of: the ports, one transaction for each change, and the checks that several verbs make."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from huitong.catalog.succession import refuse_if_closed
from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused, Unavailable
from huitong.model.catalog import Dataset, ItemType
from huitong.model.ledger import EntryKind
from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, MaskKind, SubjectRows
from huitong.model.pseudonym import KeyEpoch
from huitong.model.sharing import NEXT, OPEN_STATES, Request, RequestEvent, RequestEventKind, RequestState
from huitong.policy.grading import GradingScheme, scheme
from huitong.sharing.availability import ReviewerRoll
from huitong.sharing.deadline import WorkingDays, due_of, last_day, local_day, working_days
from huitong.sharing.ports import (
    CatalogStore,
    Clock,
    DelegationStore,
    DivisionTree,
    EntryLog,
    EpochStore,
    FirstEpochs,
    NoBoard,
    NoDelegations,
    NoticeBoard,
    PartyStore,
    PolicyEpoch,
    RegulatorRoll,
    SharingStore,
    SideTableBuilder,
    Transactions,
)
from huitong.sharing.subjects import SubjectLists
from huitong.sharing.term_limits import TermLimits
from huitong.sharing.term_limits import term_limits as shipped_limits

ListedSubjects = tuple[str | None, Iterable[str]]
"""An item (None: the one that it can only be) and the identifiers of a list of subjects, as they come from a form."""
RULE = "rule"
"""Who answers when no person does."""


@dataclass(frozen=True, kw_only=True)
class SharingParts:
    """The ports of the verbs of sharing, and what they have in common."""

    catalog: CatalogStore
    parties: PartyStore
    sharing: SharingStore
    transactions: Transactions
    epoch: PolicyEpoch
    ledger: EntryLog
    divisions: DivisionTree
    side_tables: SideTableBuilder
    clock: Clock
    time_zone: str
    calendar: WorkingDays = field(default_factory=working_days)
    grading: GradingScheme = field(default_factory=scheme)
    """The scheme in force: default masks, reviewers, modes."""
    roll: ReviewerRoll | None = None
    """Who could answer, for availability; without it nobody is missed."""
    delegates: DelegationStore = field(default_factory=NoDelegations)
    """Who answers in whose place."""
    regulators: RegulatorRoll | None = None
    """Who is told when an answer is late; without it, no regulator is."""
    lists: SubjectLists | None = None
    """Where lists of subjects are kept; without it none can be stated."""
    notices: NoticeBoard = field(default_factory=NoBoard)
    """Where each change tells of itself, inside its transaction."""
    pseudonym_epochs: EpochStore = field(default_factory=FirstEpochs)
    """Which tokens the groups have now."""
    term_limits: TermLimits = field(default_factory=shipped_limits)
    """The numbers by which terms are judged; those that are shipped everywhere but in a drill."""

    # Looking

    def request(self, request_id: str, *, by: Actor) -> Request:
        """A request that the actor's office made or has to answer, or whose provider the actor regulates. Raises NotFound
        `request-unknown` for all others."""
        request = self.sharing.request(request_id)
        offices = () if request is None else (request.applicant_office, request.provider)
        if request is None or (by.office not in offices and not self._regulates(by, request.provider)):
            raise NotFound.because("request-unknown", request=request_id)
        return request

    def grant(self, grant_id: str, *, by: Actor) -> Grant:
        """A grant that the actor's office uses or provides. Raises NotFound `grant-unknown` for all others."""
        grant = self.sharing.grant(grant_id)
        if grant is None or by.office not in (grant.using_office, grant.provider):
            raise NotFound.because("grant-unknown", grant=grant_id)
        return grant

    def key_epoch(self, linkage_group: str) -> KeyEpoch:
        """The epoch in force of a linkage group."""
        return self.pseudonym_epochs.of_group(linkage_group) or KeyEpoch(linkage_group)

    # Inside a transaction

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction. The epoch is bumped first: its row is locked, so that changes of rules run one after the other and
        what a check has read still holds when the change is written."""
        with self.transactions.atomic():
            self.epoch.bump()
            yield

    def _dataset(self, dataset_id: str) -> Dataset:
        dataset = self.catalog.dataset(dataset_id)
        if dataset is None:
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        return dataset

    def _known_dataset(self, dataset_id: str, by: Actor) -> Dataset:
        dataset = self._dataset(dataset_id)
        if not dataset.is_known_to(by.office):
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        return dataset

    def _kept(self, dataset: Dataset, listed: ListedSubjects | None, *, asked: Iterable[str]) -> SubjectRows | None:
        """The list of subjects, put where its identifiers are kept; `asked` are the names of the items that are to leave.

        Raises InputInvalid `item-unknown`, `subjects-item-ambiguous` and what keeping it raises."""
        if listed is None:
            return None
        name = listed[0] or self._identifying(dataset, asked) or ""
        item = dataset.item(name)
        if item is None:
            raise InputInvalid.because("item-unknown", dataset=dataset.id, item=name or "-")
        if self.lists is None:
            raise Unavailable.because("subjects-not-kept", dataset=dataset.id)
        return self.lists.keep(listed[1], dataset=dataset.id, item=item.name)

    def _identifying(self, dataset: Dataset, asked: Iterable[str]) -> str | None:
        """The item that a list without one goes by: the dataset's key item, or an item asked for that tells persons or households apart as
        much. Where it could be several nobody guesses: a list of the wrong kind of number would give no rows, or others' rows."""
        found = [dataset.key] if dataset.key is not None else []
        for item in filter(None, map(dataset.item, asked)):
            if item.type is ItemType.TEXT and self.grading.default_mask(item).kind is MaskKind.PSEUDONYM and item.name not in found:
                found.append(item.name)
        if len(found) > 1:
            raise InputInvalid.because("subjects-item-ambiguous", dataset=dataset.id, items=", ".join(found))
        return next(iter(found), None)

    def _refuse_if_closed(self, by: Actor, today: date) -> None:
        refuse_if_closed(self.parties.office(by.office), today)

    def _open_request(self, request_id: str, by: Actor, *kinds: RequestEventKind) -> Request:
        """The request, if one of these things may happen to it now (none given: if it is under review).

        Raises Conflict `request-answered`, or `request-waits-for-applicant` while the applicant is asked for a supplement."""
        request = self.request(request_id, by=by)
        if request.state is RequestState.UNDER_REVIEW if not kinds else any(kind in NEXT.get(request.state, {}) for kind in kinds):
            return request
        if request.state is RequestState.SUPPLEMENT_ASKED:
            raise Conflict.because("request-waits-for-applicant", request=request.id)
        if request.state is RequestState.UNDER_REVIEW:
            raise Conflict.because("request-not-asked", request=request.id)
        raise Conflict.because("request-answered", request=request.id, state=request.state.value)

    def _answers(self, request: Request, by: Actor) -> str | None:
        """Whom the actor stands in for in answering the request: None for a reviewer of their own right.

        Raises Refused `only-provider`, `role-missing`, `review-own-request`, `review-own-office`: nobody stands on both sides of a
        request, neither who answers nor in whose place; `persons-answer`: a service and its keeper are one pair of eyes."""
        return self._reviewer(
            by, provider=request.provider, applicants=request.authors, applicant_office=request.applicant_office, about=request.id
        )

    def _reviewer(self, by: Actor, *, provider: str, applicants: Collection[str], applicant_office: str, about: str) -> str | None:
        """The same for anything of the number `about` that an office asked of another."""
        reasons = []
        principals: Sequence[str] = ()
        if provider != by.office:
            reasons.append(Reason("only-provider", {"request": about, "provider": provider, "office": by.office}))
        elif not by.has(Role.REVIEWER):
            principals = self._principals(by)
        if not by.has(Role.REVIEWER) and not principals:
            reasons.append(role_missing(by, Role.REVIEWER))
        if by.keeper is not None:
            reasons.append(Reason("persons-answer", {"account": by.person, "keeper": by.keeper}))
        reasons += self._on_both_sides(by.person, provider, applicants, applicant_office, about)
        free = [one for one in principals if not self._on_both_sides(one, provider, applicants, applicant_office, about)]
        if principals and not free:
            reasons += self._on_both_sides(principals[0], provider, applicants, applicant_office, about)
        if reasons:
            raise Refused(*dict.fromkeys(reasons))
        return free[0] if free else None

    def _on_both_sides(self, person: str, provider: str, applicants: Collection[str], applicant_office: str, about: str) -> list[Reason]:
        if person in applicants:
            return [Reason("review-own-request", {"request": about})]
        if applicant_office != provider and self._serves_in(person, applicant_office):
            return [Reason("review-own-office", {"request": about, "applicant": applicant_office})]
        return []

    def _principals(self, by: Actor) -> Sequence[str]:
        """The reviewers of the actor's office in whose place the actor answers today: each is a reviewer there still."""
        today = local_day(self.clock(), self.time_zone)
        standing = [one for one in self.delegates.delegations(by.office) if one.delegate == by.person and one.valid_at(today)]
        found = [one.principal for one in standing if one.role is Role.REVIEWER and self._holds(one.principal, one.role, by.office)]
        return sorted(set(found))

    def _holds(self, person: str, role: Role, office: str) -> bool:
        """Whether the person has the role in that office now."""
        return any(post.office == office and post.has(role) for post in self.parties.actors_of(person))

    def _regulates(self, by: Actor, office: str) -> bool:
        """Whether the actor is a regulator in whose division the office lies."""
        if not by.has(Role.REGULATOR):
            return False
        found = self.parties.office(office)
        return found is not None and found.division in self.divisions.codes_under(by.division, local_day(self.clock(), self.time_zone))

    def _serves_in(self, person: str, office: str) -> bool:
        """Whether the person holds a post there now, in whichever post they act: nobody stands on both sides of a request."""
        return any(post.office == office for post in self.parties.actors_of(person))

    def _append(self, request: Request, event: RequestEvent) -> Request:
        """Add the event, and the day on which the answer is due after it; one that was answered keeps the day it had."""
        after = replace(request, events=(*request.events, event))
        if event.kind is RequestEventKind.SUPPLEMENTED and event.wish is not None:
            after = replace(after, wish=event.wish)
        if after.state in OPEN_STATES:
            due = due_of(after.events, kind=after.wish.kind, calendar=self.calendar, time_zone=self.time_zone)
            after = replace(after, answer_due=due.day if due else None)
        self.sharing.append_event(request.id, event, expected_events=len(request.events), answer_due=after.answer_due)
        return after

    def _tell(self, kind: NoticeKind, about: Mapping[str, str | None], **to: Any) -> None:
        """A notice of the change that this transaction makes."""
        told = {name: value for name, value in about.items() if value is not None}
        self.notices.post(Notice(kind=kind, at=self.clock(), about=told, **to))

    def _tell_of_request(
        self,
        kind: NoticeKind,
        request: Request,
        *,
        applicant: bool = False,
        provider: bool = False,
        reason: str | None = None,
        also: str | None = None,
    ) -> None:
        about = {
            "request": request.id,
            "dataset": request.dataset,
            "due": request.answer_due.isoformat() if request.answer_due else None,
            "state": request.state.value,
            "reason": reason,
        }
        roles = [(request.provider, Role.REVIEWER)] if provider else []
        persons = ([request.applicant] if applicant else []) + ([also] if also else [])
        offices = [request.applicant_office] if applicant else []
        self._tell(kind, about, to_persons=tuple(persons), to_roles=tuple(roles), to_offices=tuple(offices))

    def _tell_of_grant(self, kind: NoticeKind, grant: Grant, *, provider: bool = False) -> None:
        about = {
            "grant": grant.id,
            "dataset": grant.dataset,
            "until": last_day(grant.terms.valid_until, self.time_zone).isoformat(),
            "state": grant.state.value,
        }
        roles = [(grant.using_office, Role.ANALYST)] + ([(grant.provider, Role.REVIEWER)] if provider else [])
        self._tell(kind, about, to_roles=tuple(roles))

    def _number(self, series: str, letter: str, today: date) -> str:
        return f"{letter}-{today.year}-{self.sharing.next_number(series):06d}"

    def _write(self, kind: EntryKind, body: Mapping[str, Any], *, by: Actor | None) -> None:
        """The ledger entry; what people wrote beside an answer stays out of it, since it may speak of persons."""
        who = {"actor": by.person, "office": by.office, "post": by.post} if by else {"actor": RULE}
        self.ledger.append(kind=kind, body={**body, **who})


def about_grant(grant: Grant) -> dict[str, Any]:
    """What a ledger entry says of the grant that it is about."""
    return {
        "grant": grant.id,
        "version": grant.version,
        "terms_hash": grant.terms_hash,
        "dataset": grant.dataset,
        "provider": grant.provider,
        "using_office": grant.using_office,
    }


def role_missing(by: Actor, role: Role) -> Reason:
    """That the post lacks the role."""
    return Reason("role-missing", {"role": role.value, "post": by.post, "office": by.office})


def written(words: str | None) -> str | None:
    """What was written, without blanks around it; None if nothing was."""
    return (words or "").strip() or None
