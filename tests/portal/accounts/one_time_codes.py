"""One-time codes (RFC 6238) computed here, from the text of the standard, with nothing of the product or of its packages."""

import base64
import hashlib
import hmac
from datetime import datetime


def one_time_code(secret: str, at: datetime, *, steps: int = 0) -> str:
    """The six digits that an app with this secret (base 32) shows at an instant, or so many steps of 30 seconds later."""
    counter = int(at.timestamp()) // 30 + steps
    mac = hmac.new(base64.b32decode(secret), counter.to_bytes(8, "big"), hashlib.sha1).digest()
    start = mac[19] & 15
    return str((int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF) % 1_000_000).zfill(6)
