"""With what name and password a load signs in to a database: kept by the office that reads from it, for that one server.

They lie sealed in the key store, never in the database, a plan, an address or the ledger. A credential belongs to one office and one
`host:port`: nobody can read through another office's credential, or have its password sent to another server.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from huitong.catalog.ports import EntryLog, Transactions
from huitong.errors import InputInvalid, NotFound, Refused
from huitong.keystore import SecretStore
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PREFIX = "credential-"


@dataclass(frozen=True)
class Credential:
    """User and password for one server. Its text form shows neither."""

    name: str
    office: str
    server: str
    """`host:port`, the only one it is sent to."""
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class CredentialName:
    """What may be shown of a credential."""

    name: str
    office: str
    server: str


class Credentials:
    """The credentials of all offices, over the key store. Knows nothing of who may: `CredentialActions` does."""

    def __init__(self, keystore: SecretStore) -> None:
        self._keystore = keystore

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def keep(self, name: str, *, office: str, server: str, user: str, password: str) -> CredentialName:
        """Keep it, in place of an earlier one of that name and office. Raises InputInvalid `credential-name-invalid`,
        `credential-server-invalid`, `credential-empty`."""
        about = self.fit(name, office=office, server=server, user=user, password=password)
        written = {"name": name, "office": office, "server": about.server, "user": user, "password": password}
        self._keystore.keep_sealed(_key_of(name, office), json.dumps(written).encode())
        return about

    def fit(self, name: str, *, office: str, server: str, user: str, password: str) -> CredentialName:
        """What `keep` would keep; keeps nothing. Raises as `keep`."""
        if _NAME.fullmatch(name) is None:
            raise InputInvalid.because("credential-name-invalid", credential=name[:63])
        if re.fullmatch(r"[^\s@/,?#]+:\d{1,5}", server) is None:
            raise InputInvalid.because("credential-server-invalid", credential=name)
        if not user or "\x00" in user + password:
            raise InputInvalid.because("credential-empty", credential=name)
        return CredentialName(name, office, server.lower())

    def get(self, name: str, *, office: str) -> Credential:
        """The office's credential of that name. Raises NotFound `credential-unknown`."""
        try:
            found = Credential(**json.loads(self._keystore.sealed(_key_of(name, office))))
        except NotFound:
            raise NotFound.because("credential-unknown", credential=name[:63], office=office) from None
        return found

    def user_and_password(self, name: str, *, office: str, server: str) -> tuple[str, str]:
        """What to sign in with at that server. Raises NotFound `credential-unknown`; Refused `credential-of-other-server`."""
        found = self.get(name, office=office)
        if found.server != server.lower():
            raise Refused.because("credential-of-other-server", credential=name, server=found.server, asked=server)
        return found.user, found.password

    def forget(self, name: str, *, office: str) -> None:
        """Remove it. Raises NotFound `credential-unknown`."""
        try:
            self._keystore.forget_sealed(_key_of(name, office))
        except NotFound:
            raise NotFound.because("credential-unknown", credential=name[:63], office=office) from None

    def names(self, *, office: str) -> Sequence[CredentialName]:
        """What the office keeps, by name."""
        found = []
        for key in self._keystore.sealed_names():
            if key.startswith(_PREFIX):
                one = json.loads(self._keystore.sealed(key))
                if one["office"] == office:
                    found.append(CredentialName(one["name"], one["office"], one["server"]))
        return sorted(found, key=lambda one: one.name)


def _key_of(name: str, office: str) -> str:
    """A name of the key store for any office and name."""
    return _PREFIX + hashlib.sha256(f"{office}\x00{name}".encode()).hexdigest()[:40]


@dataclass(frozen=True, kw_only=True)
class CredentialActions:
    """What data officers do with the credentials of their office; each change is in the ledger, without user and password."""

    credentials: Credentials
    transactions: Transactions
    ledger: EntryLog

    def keep(self, name: str, *, server: str, user: str, password: str, by: Actor) -> CredentialName:
        """Keep user and password for `server` (`host:port`) under that name, in place of an earlier one.

        Raises Refused `role-missing`; InputInvalid as `Credentials.keep`."""
        _refuse_unless_data_officer(by)
        with self.transactions.atomic():
            # first the ledger, then the file: what cannot be told is not kept, and the key store cannot be rolled back
            about = self.credentials.fit(name, office=by.office, server=server, user=user, password=password)
            self._write(about, "kept", by)
            return self.credentials.keep(name, office=by.office, server=server, user=user, password=password)

    def forget(self, name: str, *, by: Actor) -> None:
        """Remove it; plans that use it will fail. Raises Refused `role-missing`, NotFound `credential-unknown`."""
        _refuse_unless_data_officer(by)
        with self.transactions.atomic():
            found = self.credentials.get(name, office=by.office)
            self._write(CredentialName(found.name, found.office, found.server), "forgotten", by)
            self.credentials.forget(name, office=by.office)

    def names(self, *, by: Actor) -> Sequence[CredentialName]:
        """Names and servers of what the office keeps; never user or password. Raises Refused `role-missing`."""
        _refuse_unless_data_officer(by)
        return self.credentials.names(office=by.office)

    def _write(self, about: CredentialName, what: str, by: Actor) -> None:
        body = {"credential": about.name, "server": about.server, "change": what}
        who = {"actor": by.person, "office": by.office, "post": by.post}
        self.ledger.append(kind=EntryKind.CREDENTIAL_KEPT, body={**body, **who})


def _refuse_unless_data_officer(by: Actor) -> None:
    if not by.has(Role.DATA_OFFICER):
        raise Refused.because("role-missing", role=Role.DATA_OFFICER.value, post=by.post, office=by.office)
