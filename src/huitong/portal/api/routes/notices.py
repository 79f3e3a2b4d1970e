# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""What one was told, and how else one wants to be told: in-box, e-mail, webhooks."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from huitong.portal.api import notice_shapes, shapes
from huitong.portal.api.auth import PUBLISH, READ, SHARE, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.notice_schemas import (
    DeliveriesOut,
    DeliveryOut,
    MailIn,
    MailOut,
    NoticesOut,
    ReadIn,
    ReadOut,
    WebhookIn,
    WebhookSecretOut,
    WebhooksOut,
)
from huitong.portal.api.parameters import Id, Limit, Offset
from huitong.portal.api.schemas import Nothing
from huitong.portal.doors import doors

router = Router(tags=["Notices"], auth=READ)


@router.get("/notices", response=NoticesOut, openapi_extra=signed_in())
def notices(request: HttpRequest, unread: bool = False, limit: Limit = 50, offset: Offset = 0) -> Any:
    """What you were told in the office you act for, and as a person; newest first."""
    found, total, new = doors().notices.inbox(by=actor(request), unread=unread, limit=limit, offset=offset)
    entries = [notice_shapes.notice(one, language_of(request)) for one in found]
    return {**shapes.page(entries, name="notices", total=total, limit=limit, offset=offset), "unread": new}


@router.post("/notices/read", response=ReadOut, openapi_extra=signed_in(400))
def read(request: HttpRequest, body: ReadIn) -> Any:
    """Mark notices as read: those named, or all."""
    by = actor(request)
    count = doors().notices.mark_read(body.notices, by=by)
    return {"read": count, "unread": doors().notices.inbox(by=by, limit=1)[2]}


@router.get("/notices/mail", response=MailOut, openapi_extra=signed_in())
def mail(request: HttpRequest) -> Any:
    """When and where you get notices by e-mail."""
    return notice_shapes.mail(doors().notices.mail(by=actor(request)))


@router.post("/notices/mail", response=MailOut, auth=SHARE, openapi_extra=signed_in(400))
def choose_mail(request: HttpRequest, body: MailIn) -> Any:
    """Choose when and where you get notices by e-mail: off, at-once or daily; what is not said stays as it is."""
    chosen = doors().notices.choose_mail(by=actor(request), wanted=body.when, address=body.address, language=body.language)
    return notice_shapes.mail(chosen)


@router.get("/webhooks", response=WebhooksOut, auth=PUBLISH, openapi_extra=signed_in())
def webhooks(request: HttpRequest) -> Any:
    """The systems of your office that are told of notices (role data-officer)."""
    language = language_of(request)
    return {"webhooks": [notice_shapes.webhook(one, language) for one in doors().notices.webhooks(by=actor(request))]}


@router.post("/webhooks", response={201: WebhookSecretOut}, auth=PUBLISH, openapi_extra=signed_in(400, 409))
def add_webhook(request: HttpRequest, body: WebhookIn) -> Any:
    """Have a system of your office told of notices (role data-officer). The secret that signs them is shown this once."""
    made = doors().notices.add_webhook(body.url, by=actor(request), kinds=body.kinds)
    return Status(201, notice_shapes.with_secret(made, language_of(request)))


@router.post("/webhooks/{webhook_id}/remove", response=WebhooksOut, auth=PUBLISH, openapi_extra=signed_in(400, 404))
def remove_webhook(request: HttpRequest, webhook_id: Id, body: Nothing) -> Any:
    """Tell a system of your office no more; what waits for it is cancelled (role data-officer)."""
    doors().notices.remove_webhook(webhook_id, by=actor(request))
    return webhooks(request)


@router.post("/webhooks/{webhook_id}/rotate", response=WebhookSecretOut, auth=PUBLISH, openapi_extra=signed_in(400, 404))
def rotate_webhook(request: HttpRequest, webhook_id: Id, body: Nothing) -> Any:
    """A new secret for a webhook, shown this once; the old one signs too for a day (role data-officer)."""
    return notice_shapes.with_secret(doors().notices.rotate_secret(webhook_id, by=actor(request)), language_of(request))


@router.post("/webhooks/{webhook_id}/test", response={202: DeliveryOut}, auth=PUBLISH, openapi_extra=signed_in(400, 404))
def test_webhook(request: HttpRequest, webhook_id: Id, body: Nothing) -> Any:
    """Send a trial message to a webhook; its deliveries tell what came of it (role data-officer)."""
    made = doors().notices.test_webhook(webhook_id, by=actor(request))
    return Status(202, notice_shapes.delivery(made, language_of(request)))


@router.get("/webhooks/{webhook_id}/deliveries", response=DeliveriesOut, auth=PUBLISH, openapi_extra=signed_in(404))
def deliveries(request: HttpRequest, webhook_id: Id, limit: Limit = 50, offset: Offset = 0) -> Any:
    """The messages to a webhook, newest first: where each stands, and why it failed if it did (role data-officer)."""
    found, total = doors().notices.deliveries(webhook_id, by=actor(request), limit=limit, offset=offset)
    entries = [notice_shapes.delivery(one, language_of(request)) for one in found]
    return shapes.page(entries, name="deliveries", total=total, limit=limit, offset=offset)
