"""The forms of people, posts, tokens and staff mode."""

from datetime import datetime
from typing import Annotated, ClassVar

from ninja import Field, Schema
from pydantic import StringConstraints

from huitong.model.party import Role
from huitong.portal.accounts.tokens import Scope
from huitong.portal.api.schemas import NO_NUL, Name, OfficeReference, Page, Strict, Words

AccountName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
"""Name of an account."""
Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role))]
MoreWords = Annotated[str, StringConstraints(max_length=4000, pattern=NO_NUL)]
"""What a person writes, or nothing."""


class PostOut(Schema):
    """Who holds a post, in which roles."""

    person: str
    name: str
    kind: str = Field(description="`person` or `service`")
    post: str
    office: str
    roles: list[Role]
    since: datetime
    keeper: str | None = Field(description="Of a service: the person who answers for it")
    kept: bool = Field(description="Of a service: whether its keeper holds a post in the office; its tokens work only then")


class PeopleOut(Page):
    """The posts of an office."""

    listed: ClassVar = "posts"
    office: OfficeReference
    posts: list[PostOut]


class PersonIn(Strict):
    """A person, or a service if `keeper` names who answers for it, with the first post."""

    account: AccountName
    name: Name
    office: Name
    roles: Roles
    keeper: AccountName | None = None
    password: bool = Field(False, description="Whether to make a password, which is shown once")


class Registered(Schema):
    """A new account. The password, if one was made, is shown here and nowhere else."""

    account: str
    kind: str
    office: str
    post: str
    password: str | None = None


class PostIn(Strict):
    """One more post."""

    office: Name
    roles: Roles


class PostAdded(Schema):
    """The new post."""

    account: str
    post: str
    office: str
    roles: list[Role]


class PostEnded(Schema):
    """A post that has ended."""

    post: str


class LeaveIn(Strict):
    """Which post ends (all if none is named), and why."""

    post: Name | None = None
    words: MoreWords = ""


class MoveIn(Strict):
    """From which post to which office, in which roles (the same if none are named), and on what ground."""

    post: Name
    office: Name
    roles: Roles | None = None
    words: Words


class LeftOut(Schema):
    """What came of it."""

    account: str
    ended: list[str]
    opened: str | None
    closed: bool = Field(description="Whether the account closed, because no post is left")
    services_without_keeper: list[str] = Field(description="Their tokens rest until a keeper is named")


class KeeperIn(Strict):
    """The person who answers for the service from now on."""

    keeper: AccountName


class KeeperOut(Schema):
    """A service and its keeper."""

    service: str
    keeper: str


class TokenIn(Strict):
    """A token for a post: one's own, that of a service one keeps, or another's on a mandate said in words (operator)."""

    post: Name | None = Field(None, description="One's own post if none is named")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] | None = Field(
        None, description="What it may be used for; what the token of this call may, if nothing is said"
    )
    days: Annotated[int, Field(ge=1, le=3660)] | None = None
    label: Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)] = ""
    words: MoreWords = ""


class TokenIssued(Schema):
    """A new token. Its text is shown here and nowhere else."""

    token: str
    prefix: str
    post: str
    scopes: list[Scope]
    expires_at: datetime


class TokenOut(Schema):
    """A token without what makes it work."""

    prefix: str
    label: str
    person: str
    post: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class Tokens(Page):
    """Tokens of an account, newest first."""

    tokens: list[TokenOut]


class TokenRevoked(Schema):
    """A token that works no more."""

    prefix: str


class StaffIn(Strict):
    """Why staff mode is opened, for how long, with a fresh code of the second factor."""

    words: Words
    minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    code: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=NO_NUL)] | None = None


class StaffOut(Schema):
    """Whether staff mode is open for the post of this call."""

    post: str
    may_open: bool = Field(description="Whether it is an operator's post")
    open: bool
    words: str | None
    opened_at: datetime | None
    until: datetime | None
