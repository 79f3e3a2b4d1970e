"""People, tokens and staff mode into the forms of the API."""

from typing import Any

from huitong.portal.accounts.people import Left, PostHeld
from huitong.portal.accounts.staff import StaffStatus
from huitong.portal.accounts.tokens import TokenSummary


def post(held: PostHeld) -> dict[str, Any]:
    """Who holds a post."""
    return {
        "person": held.person,
        "name": held.name,
        "kind": held.kind,
        "post": held.post,
        "office": held.office,
        "roles": sorted(held.roles),
        "since": held.since,
        "keeper": held.keeper,
        "kept": held.kept,
    }


def left(left: Left) -> dict[str, Any]:
    """What came of leaving or moving."""
    return {
        "account": left.person,
        "ended": list(left.ended),
        "opened": left.opened,
        "closed": left.closed,
        "services_without_keeper": list(left.unkept),
    }


def token(summary: TokenSummary) -> dict[str, Any]:
    """A token without what makes it work."""
    return {
        "prefix": summary.prefix,
        "label": summary.label,
        "person": summary.person,
        "post": summary.post,
        "scopes": sorted(summary.scopes),
        "created_at": summary.created_at,
        "expires_at": summary.expires_at,
        "last_used_at": summary.last_used_at,
        "revoked_at": summary.revoked_at,
    }


def staff(status: StaffStatus) -> dict[str, Any]:
    """Staff mode of a post."""
    return {
        "post": status.post,
        "may_open": status.may_open,
        "open": status.open,
        "words": status.words,
        "opened_at": status.opened_at,
        "until": status.until,
    }
