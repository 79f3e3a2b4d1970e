"""The forms of re-identification: what is asked, what is answered, and what a reveal tells."""

from datetime import datetime
from typing import Annotated

from ninja import Field, Schema
from pydantic import StringConstraints

from huitong.model.reidentification import ReidentificationEventKind, ReidentificationState
from huitong.portal.api.schemas import NO_NUL, Day, Name, OfficeReference, Page, Problem, Strict, Words
from huitong.sharing.reidentification import reidentification_rules

RULES = reidentification_rules()
TokenText = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^ *([+-]?[0-9]{1,19}|[A-Za-z2-7]{13}) *$")]
"""A token as text, since not every reader of JSON holds 64 bits: the integer, or its display form of 13 letters and digits."""
Tokens = Annotated[list[TokenText], Field(min_length=1, max_length=10 * RULES.tokens)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=RULES.case_characters, pattern=NO_NUL)]
Days = Annotated[int, Field(ge=1, le=RULES.days)]
Reveals = Annotated[int, Field(ge=1, le=RULES.reveals)]


class AskIn(Strict):
    """For one case, the identifiers behind a few tokens of a grant. You, in this post, answer for it."""

    grant: Name
    item: Name | None = Field(None, description="Needed only where the grant shows several items as pseudonyms")
    tokens: Tokens
    case: Reference = Field(description="Your office's own reference of the case; told to few, never to the ledger")
    legal_basis: Words
    why: Words = Field(description="Why the case cannot be helped without the identifiers; told to few, never to the ledger")
    days: Days | None = Field(None, description=f"For how many days from the second agreement; {RULES.days_usual} if nothing is said")
    reveals: Reveals | None = Field(None, description=f"How often at most; {RULES.reveals_usual} if nothing is said")


class AgreeIn(Strict):
    """Yes, to what was asked or to fewer days and reveals."""

    days: Days | None = None
    reveals: Reveals | None = None
    words: Words | None = None


class RefuseCaseIn(Strict):
    """No, for a coded reason and in words."""

    reason: Name
    words: Words


class EndIn(Strict):
    """Why it ends. The using office, giving it back, need not say."""

    words: Words | None = None


class RevealIn(Strict):
    """Behind which of the agreed tokens; nothing: behind all of them."""

    tokens: Tokens | None = None


class CaseEventOut(Schema):
    """One thing that happened to a case. `query` is the number of a reveal, under which its receipt lies."""

    kind: ReidentificationEventKind
    at: datetime
    actor: str
    office: str
    reason: str | None
    words: str | None
    days: int | None
    reveals: int | None
    query: str | None


class ReidentificationOut(Schema):
    """A case with its whole history; neither tokens nor identifiers."""

    id: str
    grant: str
    dataset: str
    item: str
    provider: OfficeReference
    using_office: OfficeReference
    officer: str
    post: str
    case: str
    legal_basis: str
    why: str
    state: ReidentificationState
    valid: bool = Field(description="Whether the officer may learn the identifiers at this instant")
    over_because: Problem.ReasonOut | None = Field(description="Why it carries nothing any more, if that is so and not noted yet")
    tokens: int = Field(description="How many tokens")
    tokens_hash: str
    linked_grants: int = Field(
        description="Other grants of the using office, in force now, with the same pseudonyms: who knows the person here knows them there"
    )
    days: int
    reveals: int
    answer_due: Day
    valid_until: datetime | None
    reveals_left: int
    events: list[CaseEventOut]


class Reidentifications(Page):
    """Cases, newest first."""

    reidentifications: list[ReidentificationOut]
