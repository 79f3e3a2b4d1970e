"""From which address a call comes, for slowing down wrong tries: the other end's, or what a proxy that is trusted says of it."""

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str:
    """The address; of what `X-Forwarded-For` says, only as much as trusted proxies have added is believed."""
    address = str(request.META.get("REMOTE_ADDR", ""))
    trusted = {part.strip() for part in settings.HUITONG.trusted_proxies.split(",") if part.strip()}
    for said in reversed([part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]):
        if address not in trusted:
            break
        address = said
    return address[:64]
