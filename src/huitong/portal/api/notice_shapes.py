"""Nouns of notices into the forms of the API."""

from typing import Any

from huitong.errors import Reason
from huitong.model.notice import Delivery, InboxLine, MailChoice, Webhook
from huitong.portal.doors import doors
from huitong.portal.notices.actions import NewSecret
from huitong.portal.notices.messages import sentence
from huitong.portal.notices.signing import message_id
from huitong.words import render

JSON = dict[str, Any]


def notice(found: InboxLine, language: str) -> JSON:
    """A notice in the in-box."""
    return {
        "id": found.id,
        "kind": found.kind,
        "type": found.kind.type,
        "at": found.at,
        "about": dict(found.about),
        "office": found.office,
        "read_at": found.read_at,
        "text": sentence(found.kind, found.about, language),
    }


def mail(chosen: MailChoice) -> JSON:
    """When and where a person gets e-mail."""
    leaves = doors().notices.mail_leaves
    return {"when": chosen.wanted, "address": chosen.address, "language": chosen.language, "leaves": leaves}


def webhook(found: Webhook, language: str) -> JSON:
    """A webhook, without its secret."""
    return {
        "id": found.id,
        "url": found.url,
        "kinds": list(found.kinds),
        "state": found.state,
        "created_at": found.created_at,
        "rotated_until": found.rotated_until,
        "failures": found.failures,
        "rests_until": found.rests_until,
        "outcome": _outcome(found.outcome, language),
    }


def with_secret(made: NewSecret, language: str) -> JSON:
    """A webhook with the secret that was just made."""
    return {"webhook": webhook(made.webhook, language), "secret": made.secret}


def delivery(found: Delivery, language: str) -> JSON:
    """A message to a webhook."""
    return {
        "id": message_id(found.id),
        "kind": found.kind,
        "about": dict(found.about),
        "state": found.state,
        "attempts": found.attempts,
        "created_at": found.created_at,
        "due_at": found.due_at,
        "tried_at": found.tried_at,
        "outcome": _outcome(found.outcome, language),
        "status": found.status,
    }


def _outcome(code: str, language: str) -> JSON | None:
    return {"code": code, "text": render(Reason(code), language)} if code else None
