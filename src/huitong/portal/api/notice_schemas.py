"""The forms of notices: in-boxes, e-mail, webhooks and the messages to them."""

from datetime import datetime
from typing import Annotated, ClassVar

from ninja import Field, Schema
from pydantic import StringConstraints

from huitong.model.notice import DeliveryState, MailWhen, NoticeKind, WebhookState
from huitong.portal.api.limits import LIMITS
from huitong.portal.api.schemas import NO_NUL, Name, Page, Strict

Url = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=NO_NUL)]


class Outcome(Schema):
    """What came of an attempt, as code and sentence."""

    code: str
    text: str


class NoticeOut(Schema):
    """Something that happened, as one person has it in the in-box."""

    id: str
    kind: NoticeKind
    type: str = Field(description="The same kind as messages between systems name it")
    at: datetime
    about: dict[str, str] = Field(description="Ids and codes: request, grant, dataset, due, ...")
    office: str | None = Field(description="For whose sake the person was told; null for the person alone")
    read_at: datetime | None
    text: str


class NoticesOut(Page):
    """The in-box, newest first."""

    listed: ClassVar = "notices"
    notices: list[NoticeOut]
    unread: int


class ReadIn(Strict):
    """Which notices were read; all if none are named."""

    notices: Annotated[list[Name], Field(max_length=LIMITS.page_entries)] | None = None


class ReadOut(Schema):
    """How many were marked, and how many are still unread."""

    read: int
    unread: int


class MailIn(Strict):
    """When and where to get notices by e-mail; what is not said stays as it is."""

    when: MailWhen | None = None
    address: Annotated[str, StringConstraints(max_length=254, pattern=NO_NUL)] | None = None
    language: Annotated[str, StringConstraints(max_length=20, pattern=NO_NUL)] | None = Field(None, description="en or zh-Hans")


class MailOut(Schema):
    """When and where the person gets notices by e-mail."""

    when: MailWhen
    address: str
    language: str
    leaves: bool = Field(description="Whether this instance sends e-mail at all; if not, notices are in the in-box only")


class WebhookIn(Strict):
    """A system of the office that is to be told."""

    url: Url = Field(description="https://host:port/path, on a host that the operator allows")
    kinds: Annotated[list[NoticeKind], Field(max_length=100)] = Field([], description="None named means all")


class WebhookOut(Schema):
    """A system of the office that is told; its secret never comes back."""

    id: str
    url: str
    kinds: list[NoticeKind]
    state: WebhookState
    created_at: datetime
    rotated_until: datetime | None = Field(description="Until when the secret before this one signs too")
    failures: int = Field(description="Attempts that failed in a row")
    rests_until: datetime | None
    outcome: Outcome | None = Field(description="What came of the last attempt")


class WebhooksOut(Schema):
    """The webhooks of the office, oldest first."""

    webhooks: list[WebhookOut]


class WebhookSecretOut(Schema):
    """A webhook with a secret that was just made: shown here, and never again."""

    webhook: WebhookOut
    secret: str = Field(description="whsec_..., as the Standard Webhooks specification writes it")


class DeliveryOut(Schema):
    """A message to a webhook."""

    id: str = Field(description="The `webhook-id` that the receiver sees, the same at each attempt")
    kind: NoticeKind
    about: dict[str, str]
    state: DeliveryState
    attempts: int
    created_at: datetime
    due_at: datetime | None = Field(description="When it is tried next")
    tried_at: datetime | None
    outcome: Outcome | None = Field(description="What came of the last attempt")
    status: int | None = Field(description="The status of HTTP that the receiver answered")


class DeliveriesOut(Page):
    """The messages to a webhook, newest first."""

    deliveries: list[DeliveryOut]
