"""What the API takes and gives while a request waits, when a grant goes on, and of delegations."""

from datetime import datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field, StringConstraints

from huitong.model.party import Role
from huitong.model.policy import GrantEventKind
from huitong.portal.api.schemas import NO_NUL, Day, ItemTermIn, Name, OfficeReference, RowsIn, Strict, Words
from huitong.portal.api.schemas_terms import NarrowedIn

Account = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]


class SupplementAskedIn(Strict):
    """What is missing, all of it: it is asked for once."""

    words: Words


class SupplementIn(NarrowedIn):
    """What was missing, in words; with any of the other fields the request asks for that instead."""

    words: Words
    purpose: Name | None = None
    legal_basis: Words | None = None
    items: Annotated[list[ItemTermIn], Field(min_length=1, max_length=2000)] | None = None
    rows: RowsIn | None = None
    until: Day | None = None


class ProlongIn(Strict):
    """More time for the answer: why, and which head of the office approved it."""

    words: Words
    approved_by: Account


class EscalateIn(Strict):
    """To the regulator; words may say what was tried."""

    words: Words | None = None


class MediateIn(Strict):
    """The regulator's word: what was agreed, and the day by which the answer is due."""

    words: Words
    answer_by: Day


class ContinueIn(Strict):
    """Until which day the grant should go on, inclusive."""

    until: Day


class GrantEventOut(Schema):
    """One thing that happened to a grant."""

    kind: GrantEventKind
    at: datetime
    actor: str
    office: str
    version: int
    words: str | None


class GrantEvents(Schema):
    """What happened to a grant, oldest first."""

    grant: str
    events: list[GrantEventOut]


class DelegationIn(Strict):
    """Who answers in a reviewer's place, on which days (both inclusive)."""

    to: Account
    valid_from: Day
    valid_until: Day
    principal: Account | None = Field(default=None, description="The absent reviewer, if that is not you (role data-officer)")


class DelegationOut(Schema):
    """A delegation."""

    id: str
    office: OfficeReference
    principal: str
    delegate: str
    role: Role
    valid_from: Day
    valid_until: Day
    made_by: str
    made_at: datetime
    ended_at: datetime | None
    standing: bool = Field(description="Whether it stands today")


class Delegations(Schema):
    """Those of an office, newest first."""

    delegations: list[DelegationOut]


