"""What every verb of sharing is made of: the ports, one transaction for each change, and the checks that several verbs make."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from huitong.catalog.succession import refuse_if_closed
from huitong.errors import Conflict, NotFound, Reason, Refused
from huitong.model.catalog import Dataset
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant
from huitong.model.sharing import Request, RequestEvent, RequestState
from huitong.policy.grading import GradingScheme, scheme
from huitong.sharing.availability import ReviewerRoll
from huitong.sharing.deadline import WorkingDays, working_days
from huitong.sharing.ports import (
    CatalogStore,
    Clock,
    DivisionTree,
    EntryLog,
    NoBoard,
    NoticeBoard,
    PartyStore,
    PolicyEpoch,
    SharingStore,
    SideTableBuilder,
    Transactions,
)

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
    notices: NoticeBoard = field(default_factory=NoBoard)
    """Where each change tells of itself, inside its transaction."""

    # Looking

    def request(self, request_id: str, *, by: Actor) -> Request:
        """A request that the actor's office made or has to answer. Raises NotFound `request-unknown` for all others."""
        request = self.sharing.request(request_id)
        if request is None or by.office not in (request.applicant_office, request.provider):
            raise NotFound.because("request-unknown", request=request_id)
        return request

    def grant(self, grant_id: str, *, by: Actor) -> Grant:
        """A grant that the actor's office uses or provides. Raises NotFound `grant-unknown` for all others."""
        grant = self.sharing.grant(grant_id)
        if grant is None or by.office not in (grant.using_office, grant.provider):
            raise NotFound.because("grant-unknown", grant=grant_id)
        return grant

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

    def _refuse_if_closed(self, by: Actor, today: date) -> None:
        refuse_if_closed(self.parties.office(by.office), today)

    def _open_request(self, request_id: str, by: Actor) -> Request:
        request = self.request(request_id, by=by)
        if request.state is not RequestState.UNDER_REVIEW:
            raise Conflict.because("request-answered", request=request.id, state=request.state.value)
        return request

    def _refuse_unless_reviewer(self, request: Request, by: Actor) -> None:
        reasons = []
        if request.provider != by.office:
            reasons.append(Reason("only-provider", {"request": request.id, "provider": request.provider, "office": by.office}))
        if not by.has(Role.REVIEWER):
            reasons.append(role_missing(by, Role.REVIEWER))
        if request.applicant == by.person:
            reasons.append(Reason("review-own-request", {"request": request.id}))
        elif request.applicant_office != request.provider and self._serves_in(by.person, request.applicant_office):
            reasons.append(Reason("review-own-office", {"request": request.id, "applicant": request.applicant_office}))
        if reasons:
            raise Refused(*reasons)

    def _serves_in(self, person: str, office: str) -> bool:
        """Whether the person holds a post there now, in whichever post they act: nobody stands on both sides of a request."""
        return any(post.office == office for post in self.parties.actors_of(person))

    def _append(self, request: Request, event: RequestEvent) -> Request:
        self.sharing.append_event(request.id, event, expected_events=len(request.events))
        return replace(request, events=(*request.events, event))

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
