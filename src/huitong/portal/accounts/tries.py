"""Wrong passwords and codes are slowed down, for each account and each address, whether there is such an account or not."""

from dataclasses import dataclass
from hashlib import sha256
from hmac import new as keyed

from huitong.errors import Refused
from huitong.keystore import TOKEN_SALT
from huitong.portal.accounts.base import Base
from huitong.portal.accounts.models import Try

PASSWORD, CODE, ADDRESS = "password", "code", "address"


@dataclass(frozen=True)
class Tries(Base):
    """A try is written down before it is looked at and struck out when it was right, so that many at once count as many."""

    def begin_try(self, kind: str, account: str, *, address: str) -> None:
        """Write down a try. Raises Refused `tries-too-many` when there were too many of late."""
        limit = self.sign_in_rules.password_per_account if kind == PASSWORD else self.sign_in_rules.code_per_account
        counted = [(self._key(kind, account), limit)]
        if address:
            counted.append((self._key(ADDRESS, address), self.sign_in_rules.any_per_address))
        now = self.clock()
        since = now - self.sign_in_rules.window
        with self.stores.atomic():
            rows = self._rows(Try)
            rows.filter(at__lte=since).delete()
            full = [key for key, limit in counted if rows.filter(key=key, at__gt=since).count() >= limit]
            if not full:
                rows.bulk_create(Try(key=key, at=now) for key, _ in counted)
        # tries that are not looked at do not count: otherwise somebody could keep an account shut for ever
        if full or any(self._rows(Try).filter(key=key, at__gt=since).count() > limit for key, limit in counted):
            raise Refused.because("tries-too-many", minutes=int(self.sign_in_rules.window.total_seconds() // 60))

    def forget_tries(self, kind: str, account: str, *, address: str) -> None:
        """The try was right: what was counted against the account is struck out, and one against the address."""
        self._rows(Try).filter(key=self._key(kind, account)).delete()
        if address:
            rows = self._rows(Try).filter(key=self._key(ADDRESS, address))
            newest = rows.order_by("-at", "-id").values_list("id", flat=True).first()
            rows.filter(id=newest or 0).delete()

    def _key(self, kind: str, name: str) -> str:
        """A name that cannot be read back: which names were tried is nobody's business."""
        return f"{kind[:7]}:" + keyed(self.keystore.secret(TOKEN_SALT), f"{kind}\0{name}".encode(errors="replace"), sha256).hexdigest()
