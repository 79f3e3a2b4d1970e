"""What people and systems are told of: that something happened to a request, a grant or a load. Ids and codes, no words, no persons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from huitong.errors import InputInvalid
from huitong.model.party import Role


class NoticeKind(StrEnum):
    """What happened."""

    REQUEST_SUBMITTED = "request-submitted"
    REQUEST_APPROVED = "request-approved"
    REQUEST_REFUSED = "request-refused"
    SUPPLEMENT_ASKED = "supplement-asked"
    """The provider asks the applicant for more before it answers."""
    SUPPLEMENT_GIVEN = "supplement-given"
    REQUEST_EXTENDED = "request-extended"
    """The time to answer was made longer."""
    REQUEST_OVERDUE = "request-overdue"
    """The time to answer is over; the regulator is told too."""
    REQUEST_WITHDRAWN = "request-withdrawn"
    REQUEST_LAPSED = "request-lapsed"
    """Ended without an answer, because what was asked for never came."""
    GRANT_MADE = "grant-made"
    GRANT_READY = "grant-ready"
    """It can be used from now on."""
    GRANT_EXTENDED = "grant-extended"
    GRANT_REVOKED = "grant-revoked"
    GRANT_GIVEN_BACK = "grant-given-back"
    """By the office that used it."""
    GRANT_EXPIRING = "grant-expiring"
    GRANT_EXPIRED = "grant-expired"
    PSEUDONYMS_RENEWED = "pseudonyms-renewed"
    """The pseudonyms that a grant shows are others from now on."""
    QUOTA_NEARLY_USED = "quota-nearly-used"
    DELEGATION_MADE = "delegation-made"
    """Somebody answers in the place of another for a while."""
    REIDENTIFICATION_ASKED = "reidentification-asked"
    REIDENTIFICATION_ANSWERED = "reidentification-answered"
    REIDENTIFICATION_ENDED = "reidentification-ended"
    """Revoked, or over by rule."""
    EXTRACT_READY = "extract-ready"
    EXTRACT_FAILED = "extract-failed"
    LOAD_FAILED = "load-failed"
    WEBHOOK_FAILED = "webhook-failed"
    """A system of the office could not be told, or wants to be told no more."""
    TEST = "test"
    """Sent on demand, to try a way by which notices go out."""

    @property
    def type(self) -> str:
        """The same as the type of a message between systems: `grant.made`, `quota.nearly_used`."""
        return self.value.replace("-", ".", 1).replace("-", "_")

    @property
    def is_for_systems(self) -> bool:
        """Whether systems of offices are told too; that one of them fails is for persons alone."""
        return self is not NoticeKind.WEBHOOK_FAILED


ABOUT = (
    "request", "grant", "dataset", "extract", "plan", "run", "case", "delegation", "subscription", "office", "successor", "state",
    "reason", "quota", "percent", "due", "until",
)  # fmt: skip
"""What a notice may be about, in the order in which it is told: ids, codes, days and numbers that are no personal data. A post is none of
them: its id holds a person's name."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+%~#-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class Notice:
    """That something happened, and whom it is for. Who may not know of the dataset that it names is not told, though listed here."""

    kind: NoticeKind
    at: datetime
    about: Mapping[str, str]
    """Keys of `ABOUT`: ids and codes in Latin letters and digits, days as YYYY-MM-DD."""
    to_persons: tuple[str, ...] = ()
    """Account names of persons, e.g. of who asked."""
    to_roles: tuple[tuple[str, Role], ...] = ()
    """Whoever holds the role in the office at this moment; the office's systems too."""
    to_offices: tuple[str, ...] = ()
    """The systems of these offices alone: what they subscribed to."""

    def __post_init__(self) -> None:
        if not (self.to_persons or self.to_roles or self.to_offices):
            raise InputInvalid.because("notice-to-nobody", kind=self.kind.value)
        for name, value in self.about.items():
            if name not in ABOUT or _PLAIN.fullmatch(value) is None:
                raise InputInvalid.because("notice-about-words", kind=self.kind.value, name=name)

    @property
    def offices(self) -> tuple[str, ...]:
        """The offices whose systems are told, each once, in the order in which they are named."""
        return tuple(dict.fromkeys((*(office for office, _ in self.to_roles), *self.to_offices)))


@dataclass(frozen=True, kw_only=True)
class InboxLine:
    """A notice in the in-box of a person."""

    id: str
    kind: NoticeKind
    at: datetime
    about: Mapping[str, str]
    office: str | None
    """For whose sake the person got it; None if it is for the person alone."""
    read_at: datetime | None = None


class MailWhen(StrEnum):
    """When a person gets notices by e-mail."""

    OFF = "off"
    AT_ONCE = "at-once"
    DAILY = "daily"
    """Once a day, what was not read yet."""


@dataclass(frozen=True, kw_only=True)
class MailChoice:
    """When and where a person gets notices by e-mail, in which language."""

    address: str = ""
    wanted: MailWhen = MailWhen.OFF
    language: str = "en"


class WebhookState(StrEnum):
    """Whether messages go to a system of an office."""

    ACTIVE = "active"
    STOPPED = "stopped"
    """It answered that it wants no more (410 Gone)."""
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where an office wants its system to be told, and of what; without its secret."""

    id: str
    office: str
    url: str
    kinds: tuple[NoticeKind, ...]
    """None named means all."""
    state: WebhookState
    created_at: datetime
    created_by: str
    rotated_until: datetime | None = None
    """Until when the secret before this one signs too."""
    failures: int = 0
    """Attempts that failed in a row."""
    rests_until: datetime | None = None
    outcome: str = ""
    """What came of the last attempt: a code with words; empty while there was none."""


class DeliveryState(StrEnum):
    """Where a message to one receiver stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Nobody is there to take it any more, or may not know of it any more."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message to one webhook."""

    id: str
    kind: NoticeKind
    about: Mapping[str, str]
    state: DeliveryState
    attempts: int
    created_at: datetime
    due_at: datetime | None
    """When it is tried next; None when nothing is tried any more."""
    tried_at: datetime | None = None
    outcome: str = ""
    """What came of the last attempt: a code with words."""
    status: int | None = None
    """What the receiver answered, in the numbers of HTTP."""
