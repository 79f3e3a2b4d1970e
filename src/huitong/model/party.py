"""Who takes part: divisions, offices, people in their posts, and the actor of one call."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from huitong.errors import InputInvalid
from huitong.model.codes import is_credit_code
from huitong.model.text import BilingualText


class DivisionLevel(StrEnum):
    """The five levels of GB/T 2260 (to county) and GB/T 10114 (below it)."""

    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    TOWNSHIP = "township"
    VILLAGE = "village"

    @property
    def prefix_length(self) -> int:
        """Leading digits of the 12-digit code that name a division of this level."""
        return {"province": 2, "city": 4, "county": 6, "township": 9, "village": 12}[self.value]


@dataclass(frozen=True)
class Division:
    """An administrative division with its 12-digit code, valid in [valid_from, valid_to)."""

    code: str
    name: str
    level: DivisionLevel
    parent: str | None
    valid_from: date
    valid_to: date | None = None
    successors: tuple[str, ...] = ()
    """Codes of the divisions that took its place from `valid_to` on; several after a split."""

    def __post_init__(self) -> None:
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise InputInvalid.because("division-ends-before-start", division=self.code)
        if self.successors and self.valid_to is None:
            raise InputInvalid.because("division-succeeded-but-open", division=self.code)
        if len(self.code) != 12 or not self.code.isascii() or not self.code.isdigit():
            raise InputInvalid.because("division-code-invalid", code=self.code)

    def valid_at(self, day: date) -> bool:
        """Whether the day lies in [valid_from, valid_to)."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    @property
    def prefix(self) -> str:
        """The digits that every division below shares; equal prefixes are a fast path, never the rule itself."""
        return self.code[: self.level.prefix_length]


class Role(StrEnum):
    """What a post may do, in the words of the office."""

    ANALYST = "analyst"
    """Asks for data and uses it under a grant of the office."""
    DATA_OFFICER = "data-officer"
    """Registers datasets and snapshots of the office and sets conditions."""
    REVIEWER = "reviewer"
    """Answers requests for the datasets of the office; may revoke its grants."""
    REGULATOR = "regulator"
    """Sees supply, demand and deadlines of the same level and below; never rows."""
    OPERATOR = "operator"
    """Runs the instance; never sees rows."""

    __hash__ = str.__hash__  # a role equals its text, and is looked up at every decision: Enum's own hash is slow and of the name


@dataclass(frozen=True)
class Office:
    """A department with its division, level and unified social credit code (org:Organization)."""

    id: str
    """Short stable name in Latin letters, e.g. `gz-civil-affairs` or `520102-civil-affairs`."""
    title: BilingualText
    division: str
    level: DivisionLevel
    credit_code: str
    superior: str | None = None
    """The office of the same line of work one level up, if any."""
    valid_from: date | None = None
    """First day of its existence; None if that is not known."""
    valid_to: date | None = None
    """The day from which it exists no more; None while it does."""
    successor: str | None = None
    """The office that took over its duties, datasets and grants on `valid_to`."""

    def __post_init__(self) -> None:
        if self.successor is not None and (self.valid_to is None or self.successor == self.id):
            raise InputInvalid.because("office-successor-invalid", office=self.id, successor=self.successor)
        if not is_credit_code(self.credit_code):
            raise InputInvalid.because("credit-code-invalid", office=self.id, code=self.credit_code)


    def valid_at(self, day: date) -> bool:
        """Whether it exists on that day."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class Actor:
    """A person acting in one post of one office in this call; there is no actor without a post."""

    person: str
    """Account name of the person or service."""
    name: str
    post: str
    office: str
    division: str
    roles: frozenset[Role]
    keeper: str | None = None
    """Of a service: the person who answers for it. None: a person."""

    def has(self, role: Role) -> bool:
        """Whether the post carries the role."""
        return role in self.roles
