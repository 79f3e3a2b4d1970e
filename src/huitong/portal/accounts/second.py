"""The second factor of an account: one-time codes of an app (RFC 6238), recovery codes, passkeys. At rest in allauth's table.

A code counts once in the whole instance, whichever process took it: the last time step is kept with the secret. The secret is
sealed with a key of the instance, recovery codes are kept as digests alone."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from hmac import new as keyed
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huitong.errors import Conflict, Refused, Unavailable
from huitong.keystore import TOKEN_SALT
from huitong.ledger.literals import Literal
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor
from huitong.portal.accounts.base import only_self_or_operator
from huitong.portal.accounts.models import Account
from huitong.portal.accounts.tries import CODE, Tries

RECOVERY_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
APP, PASSKEY, RECOVERY = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN, Authenticator.Type.RECOVERY_CODES


@dataclass(frozen=True)
class SecondFactor:
    """What an account has beside its password."""

    app: bool
    passkeys: tuple[tuple[int, str], ...]
    """Number and name of each."""
    recovery_codes: int
    """How many are left."""

    @property
    def any(self) -> bool:
        """Whether a second factor is asked for at all."""
        return self.app or bool(self.passkeys)


@dataclass(frozen=True)
class SecondFactors(Tries):
    """Setting up, checking and taking away."""

    def second_factor(self, username: str) -> SecondFactor:
        """What the account has."""
        rows = list(self._authenticators(username))
        left = [len(row.data["digests"]) for row in rows if row.type == RECOVERY]
        return SecondFactor(
            app=any(row.type == APP for row in rows),
            passkeys=tuple((row.id, str(row.data.get("name", ""))) for row in rows if row.type == PASSKEY),
            recovery_codes=sum(left),
        )

    @staticmethod
    def new_secret() -> str:
        """A secret for an app, in base 32; nothing is kept until a code has shown that the app has it."""
        return str(generate_totp_secret())

    def set_up_app(self, secret: str, code: str, *, by: Actor, address: str = "") -> Sequence[str]:
        """The actor's own app is in force from now on; the recovery codes, shown once (none if there were some before).

        Raises Conflict `second-factor-there`, Refused `app-code-wrong`, `tries-too-many`."""
        account = self._account(by.person)
        if self.second_factor(by.person).app:
            raise Conflict.because("second-factor-there")
        self.begin_try(CODE, by.person, address=address)
        step = self._step_of(secret, code, after=-1)
        if step is None:
            raise Refused.because("app-code-wrong")
        self.forget_tries(CODE, by.person, address=address)
        with self._change():
            if self._authenticators(by.person).filter(type=APP).exists():
                raise Conflict.because("second-factor-there")
            self._rows(Authenticator).create(
                user=account, type=APP, data={"sealed": self._seal(secret, account), "step": step}, created_at=self.clock()
            )
            self._log_change(by.person, "app-added", by=by)
            return self._first_codes(account, by=by)

    def add_passkey(self, name: str, credential: dict[str, Any], *, by: Actor) -> Sequence[str]:
        """A passkey whose ceremony has just succeeded; the recovery codes, shown once (none if there were some before)."""
        account = self._account(by.person)
        with self._change():
            data = {"name": name[:100], "credential": credential}
            self._rows(Authenticator).create(user=account, type=PASSKEY, data=data, created_at=self.clock())
            self._log_change(by.person, "passkey-added", by=by)
            return self._first_codes(account, by=by)

    def check_code(self, username: str, code: str, *, address: str = "") -> str:
        """Take a code of the app, or a recovery code, once. What it was: `totp` or `recovery_codes`.

        Raises Refused `second-factor-wrong`, `tries-too-many`."""
        self.begin_try(CODE, username, address=address)
        kind = self._take(username, "".join(code.split()).replace("-", "").lower())
        if kind is None:
            raise Refused.because("second-factor-wrong")
        self.forget_tries(CODE, username, address=address)
        return kind

    def note_passkey_used(self, identifier: int) -> None:
        """The passkey was shown."""
        self._rows(Authenticator).filter(id=identifier, type=PASSKEY).update(last_used_at=self.clock())

    def new_recovery_codes(self, *, by: Actor) -> Sequence[str]:
        """Other recovery codes in place of those there were. Raises Conflict `second-factor-missing`."""
        if not self.second_factor(by.person).any:
            raise Conflict.because("second-factor-missing", role="")
        with self._change():
            self._authenticators(by.person).filter(type=RECOVERY).delete()
            return self._first_codes(self._account(by.person), by=by)

    def remove_second_factor(self, username: str, *, by: Actor, passkey: int | None = None, words: str = "") -> None:
        """Take away a passkey, or everything: by the person, or by an operator when a telephone was lost.

        Raises Refused `operator-only`."""
        only_self_or_operator(by, username)
        with self._change():
            rows = self._authenticators(username)
            (rows if passkey is None else rows.filter(id=passkey, type=PASSKEY)).delete()
            if not self.second_factor(username).any:
                self._authenticators(username).delete()
            self._log_change(username, "all-removed" if passkey is None else "passkey-removed", by=by, words=words)

    def _authenticators(self, username: str) -> Any:
        return self._rows(Authenticator).filter(user__username=username).order_by("id")

    def _take(self, username: str, code: str) -> str | None:
        with self.stores.atomic():
            rows = self._authenticators(username).select_for_update().filter(type__in=[APP, RECOVERY])
            for row in rows:
                if row.type == APP:
                    step = self._step_of(self._unseal(row.data["sealed"], row.user_id), code, after=row.data["step"])
                    if step is not None:
                        row.data["step"] = step
                        return self._used(row)
                    continue
                digest = self._digest_of(row.user_id, code)
                kept = [one for one in row.data["digests"] if not compare_digest(one, digest)]
                if len(kept) < len(row.data["digests"]):
                    row.data["digests"] = kept
                    return self._used(row)
        return None

    def _used(self, row: Authenticator) -> str:
        row.last_used_at = self.clock()
        row.save(using=self.stores.using, update_fields=["data", "last_used_at"])
        return str(row.type)

    def _step_of(self, secret: str, code: str, *, after: int) -> int | None:
        """The time step whose code this is, later than the last one taken."""
        now = int(self.clock().timestamp()) // self.sign_in_rules.step_seconds
        delay = self.sign_in_rules.steps_of_delay
        found = None
        for step in range(now - delay, now + delay + 1):
            right = compare_digest(format_hotp_value(hotp_value(secret, step)).encode(), code.encode(errors="replace"))
            if right and step > after and found is None:
                found = step
        return found

    def _first_codes(self, account: Account, *, by: Actor) -> Sequence[str]:
        if self._authenticators(account.username).filter(type=RECOVERY).exists():
            return ()
        length = self.sign_in_rules.recovery_code_characters
        codes = ["".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(length)) for _ in range(self.sign_in_rules.recovery_codes)]
        data = {"digests": [self._digest_of(account.pk, code) for code in codes]}
        self._rows(Authenticator).create(user=account, type=RECOVERY, data=data, created_at=self.clock())
        self._log_change(account.username, "recovery-codes-made", by=by)
        return codes

    def _log_change(self, person: str, change: str, *, by: Actor, words: str = "") -> None:
        body = {"person": person, "change": change, "by": by.person} | ({"words": Literal(words)} if words else {})
        self.ledger.append(kind=EntryKind.SECOND_FACTOR_CHANGED, body=body)

    def _key_for(self, purpose: str) -> bytes:
        return HKDF(SHA256(), 32, None, f"huitong second factor: {purpose}".encode()).derive(self.keystore.secret(TOKEN_SALT))

    def _seal(self, secret: str, account: Account) -> str:
        nonce = secrets.token_bytes(12)
        closed = ChaCha20Poly1305(self._key_for("seal")).encrypt(nonce, secret.encode(), str(account.pk).encode())
        return base64.b64encode(nonce + closed).decode()

    def _unseal(self, text: str, account: int) -> str:
        closed = base64.b64decode(text)
        try:
            return ChaCha20Poly1305(self._key_for("seal")).decrypt(closed[:12], closed[12:], str(account).encode()).decode()
        except InvalidTag:
            raise Unavailable.because("key-damaged", key=TOKEN_SALT) from None

    def _digest_of(self, account: int, code: str) -> str:
        return keyed(self._key_for("recovery"), f"{account}\0{code}".encode(errors="replace"), sha256).hexdigest()
