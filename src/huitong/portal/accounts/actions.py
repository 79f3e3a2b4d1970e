"""Who may sign in, in which posts, with which tokens. A change is one transaction with its ledger entry and policy epoch."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, Protocol, TypeVar

from django.contrib.auth.hashers import check_password, make_password
from django.db.models import Model, Q, QuerySet

from huitong.catalog.succession import still_closed
from huitong.errors import Conflict, InputInvalid, NotFound, NotSignedIn, Refused
from huitong.keystore import TOKEN_SALT, KeyStore
from huitong.model.ledger import EntryKind, Promise
from huitong.model.party import Actor, Office, Role
from huitong.portal.accounts.models import Account, Post, PostRole, Token
from huitong.portal.accounts.tokens import (
    ALL_SCOPES,
    IssuedToken,
    Scope,
    TokenRules,
    TokenSummary,
    digest_of,
    new_token,
    prefix_of,
    read_rules,
)
from huitong.portal.rows import actor_of
from huitong.portal.stores import DjangoPartyStore, Stores

Row = TypeVar("Row", bound=Model)
Clock = Callable[[], datetime]


class EntryLog(Protocol):
    """The writing side of the ledger (`huitong.ledger.log.Ledger`)."""

    def append(self, *, kind: EntryKind, body: Mapping[str, Any]) -> Promise:
        """Write an entry inside the caller's transaction."""

    def append_all(self, entries: Sequence[tuple[EntryKind, Mapping[str, Any]]]) -> list[Promise]:
        """Write several of one instant."""


def instance_operator(name: str) -> Actor:
    """The actor of one who opens the instance directly on its machine: init, serve, worker, backup. Named, and in the ledger."""
    return Actor(person=name, name=name, post="instance-operator", office="", division="", roles=frozenset({Role.OPERATOR}))


@dataclass(frozen=True)
class NewPerson:
    """A person or service with the post to start with. Without a password it can use tokens only."""

    username: str
    name: str
    office: str
    roles: frozenset[Role]
    password: str | None = field(default=None, repr=False)
    post: str | None = None
    """Id of the post; `username@office` if not given."""


@dataclass(frozen=True)
class Accounts:
    """The verbs of accounts and tokens over the stores of an instance."""

    stores: Stores
    ledger: EntryLog
    keystore: KeyStore
    clock: Clock
    rules: TokenRules = field(default_factory=read_rules)

    def register_offices(self, offices: Collection[Office], *, by: Actor) -> int:
        """Add offices or change those that are there; how many were new or other than before. An operator's act."""
        _only_operator(by)
        store = DjangoPartyStore(self.stores.using)
        wrong = next((office.id for office in offices if not _is_office_id(office.id)), None)
        if wrong is not None:
            raise InputInvalid.because("office-id-invalid", office=wrong)
        known = store.offices_of([office.id for office in offices])
        offices = [still_closed(office, known.get(office.id)) for office in offices]
        changed = [office for office in offices if known.get(office.id) != office]
        if not changed:
            return 0
        with self._change():
            store.put_offices(changed)
            self.ledger.append_all(
                [
                    (
                        EntryKind.OFFICE_REGISTERED,
                        {"office": office.id, "division": office.division, "credit_code": office.credit_code, "by": by.person},
                    )
                    for office in changed
                ]
            )
        return len(changed)

    def register_people(self, people: Iterable[NewPerson], *, by: Actor) -> int:
        """Add accounts, each with its first post; how many. An operator's act. Raises Conflict `account-exists`."""
        _only_operator(by)
        # hashing a password takes long by design: it is done before the transaction, which keeps other writers waiting
        hashed = [(person, make_password(person.password)) for person in people]
        with self._change():
            for person, password in hashed:
                self._register(person, password, by=by)
        return len(hashed)

    def add_post(self, username: str, *, office: str, roles: Collection[Role], by: Actor, post: str | None = None) -> Actor:
        """Give a person one more post. An operator's act. Raises Conflict `post-exists`."""
        _only_operator(by)
        with self._change():
            actor = self._add_post(self._account(username), office=office, roles=roles, post=post, at=self.clock())
            self._log_act("post-added", by=by, person=username, post=actor.post, office=office, roles=_names(roles))
        return actor

    def end_post(self, post: str, *, by: Actor) -> None:
        """End a post; its tokens end with it. An operator's act. Raises NotFound `post-unknown`."""
        _only_operator(by)
        with self._change():
            if not self._rows(Post).filter(id=post, ended_at=None).update(ended_at=self.clock()):
                raise NotFound.because("post-unknown", post=post)
            self._log_act("post-ended", by=by, post=post)

    def close_account(self, username: str, *, by: Actor) -> None:
        """Nothing of this account works from now on. An operator's act. Raises NotFound `account-unknown`."""
        _only_operator(by)
        with self._change():
            if not self._rows(Account).filter(username=username, is_active=True).update(is_active=False):
                raise NotFound.because("account-unknown", account=username)
            self._log_act("account-closed", by=by, person=username)

    def set_password(self, username: str, password: str, *, by: Actor) -> None:
        """A new password; sessions of the old one end. By the person or an operator."""
        _only_self_or_operator(by, username)
        hashed = make_password(password)
        with self._change():
            if not self._rows(Account).filter(username=username).update(password=hashed):
                raise NotFound.because("account-unknown", account=username)
            self._log_act("password-set", by=by, person=username)

    def sign_in(self, username: str, password: str) -> Sequence[Actor]:
        """The posts of the person, if the password is right: one actor for each. Raises NotSignedIn `password-wrong`.

        Unknown, closed and wrong look the same and take the same time."""
        account = self._rows(Account).filter(username=username, is_active=True).first()
        right = check_password(password, account.password if account else make_password(None))
        actors = self.stores.parties.actors_of(username) if right else ()
        if not actors:
            raise NotSignedIn.because("password-wrong")
        return actors

    def actor_in_post(self, username: str, post: str) -> Actor:
        """The actor of a signed-in person who chose a post. Raises NotSignedIn `post-not-held`."""
        for actor in self.stores.parties.actors_of(username):
            if actor.post == post:
                return actor
        raise NotSignedIn.because("post-not-held", post=post)

    def issue_token(
        self,
        post: str,
        *,
        by: Actor,
        label: str = "",
        scopes: Collection[Scope] = ALL_SCOPES,
        lifetime: timedelta | None = None,
    ) -> IssuedToken:
        """A new token for a post, shown once. By the person who holds the post or an operator.

        Raises NotFound `post-unknown`, InputInvalid `token-lifetime-invalid` or `token-without-scope`."""
        lasting = self.rules.lifetime if lifetime is None else lifetime
        if not timedelta(0) < lasting <= self.rules.longest:
            raise InputInvalid.because("token-lifetime-invalid", days=lasting.days, longest=self.rules.longest.days)
        if not scopes:
            raise InputInvalid.because("token-without-scope")
        with self._change():
            row = self._rows(Post).filter(id=post, ended_at=None, account__is_active=True).select_related("account").first()
            if row is None:
                raise NotFound.because("post-unknown", post=post)
            _only_self_or_operator(by, row.account.username)
            prefix, text = new_token()
            now = self.clock()
            self._rows(Token).create(
                prefix=prefix,
                digest=self._digest(text),
                post=row,
                label=label,
                scopes=_names(scopes),
                created_at=now,
                expires_at=now + lasting,
            )
            body = {
                "token": prefix,
                "person": row.account.username,
                "post": post,
                "scopes": _names(scopes),
                "expires_at": (now + lasting).isoformat(),
                "by": by.person,
            }
            self.ledger.append(kind=EntryKind.TOKEN_ISSUED, body=body)
        return IssuedToken(text=text, prefix=prefix, expires_at=now + lasting)

    def revoke_token(self, prefix: str, *, by: Actor) -> None:
        """The token works no more, from the next request on. By its holder or an operator. Raises NotFound `token-not-found`."""
        with self._change():
            row = self._rows(Token).filter(prefix=prefix, revoked_at=None).select_related("post__account").first()
            if row is None or not _is_self_or_operator(by, row.post.account.username):
                raise NotFound.because("token-not-found", token=prefix)
            self._rows(Token).filter(prefix=prefix, revoked_at=None).update(revoked_at=self.clock(), revoked_by=by.person)
            self.ledger.append(kind=EntryKind.TOKEN_REVOKED, body={"token": prefix, "by": by.person})

    def tokens_of(self, username: str, *, by: Actor) -> list[TokenSummary]:
        """The tokens of a person, newest first, without what makes them work. By the person or an operator."""
        _only_self_or_operator(by, username)
        rows = self._rows(Token).filter(post__account__username=username).order_by("-created_at", "prefix")
        return [
            TokenSummary(
                prefix=row.prefix,
                label=row.label,
                person=username,
                post=row.post_id,
                scopes=frozenset(Scope(scope) for scope in row.scopes),
                created_at=row.created_at,
                expires_at=row.expires_at,
                last_used_at=row.last_used_at,
                revoked_at=row.revoked_at,
            )
            for row in rows
        ]

    def actor_for_token(self, text: str, *, scope: Scope | None = None) -> Actor:
        """The actor whose token this is.

        Raises NotSignedIn: `token-unknown` (malformed, unknown or wrong, all alike), `token-revoked`, `token-expired`,
        `token-post-ended`; Refused `token-scope-missing` if it was not issued for `scope`."""
        prefix = prefix_of(text)
        rows = self._rows(Token).select_related("post__account", "post__office").prefetch_related("post__roles")
        row = rows.filter(prefix=prefix).first() if prefix else None
        if row is None or not compare_digest(bytes(row.digest), self._digest(text)):
            raise NotSignedIn.because("token-unknown")
        now = self.clock()
        if row.revoked_at is not None:
            raise NotSignedIn.because("token-revoked", token=row.prefix)
        if now >= row.expires_at:
            raise NotSignedIn.because("token-expired", token=row.prefix)
        if row.post.ended_at is not None or not row.post.account.is_active:
            raise NotSignedIn.because("token-post-ended", token=row.prefix)
        if scope is not None and scope.value not in row.scopes:
            raise Refused.because("token-scope-missing", token=row.prefix, scope=scope.value)
        if row.last_used_at is None or now - row.last_used_at >= self.rules.last_used_step:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now)
            self._rows(Token).filter(stale, prefix=row.prefix).update(last_used_at=now)
        return actor_of(row.post)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction. The epoch is bumped first: its row is locked, so that changes of rules run one after the other."""
        with self.stores.atomic():
            self.stores.epoch.bump()
            yield

    def _register(self, person: NewPerson, password: str, *, by: Actor) -> None:
        if self._rows(Account).filter(username=person.username).exists():
            raise Conflict.because("account-exists", account=person.username)
        if not _is_username(person.username):
            raise InputInvalid.because("account-name-invalid", account=person.username)
        now = self.clock()
        account = self._rows(Account).create(
            username=person.username, name=person.name, password=password, created_at=now
        )
        actor = self._add_post(account, office=person.office, roles=person.roles, post=person.post, at=now)
        body = {
            "person": person.username,
            "post": actor.post,
            "office": person.office,
            "roles": _names(person.roles),
            "by": by.person,
        }
        self.ledger.append(kind=EntryKind.PERSON_REGISTERED, body=body)

    def _add_post(self, account: Account, *, office: str, roles: Collection[Role], post: str | None, at: datetime) -> Actor:
        if not roles:
            raise InputInvalid.because("post-without-role", account=account.username)
        if self.stores.parties.office(office) is None:
            raise NotFound.because("office-not-registered", office=office)
        post_id = post or f"{account.username}@{office}"
        if self._rows(Post).filter(Q(id=post_id) | Q(account=account, office_id=office, ended_at=None)).exists():
            raise Conflict.because("post-exists", post=post_id)
        row = self._rows(Post).create(id=post_id, account=account, office_id=office, created_at=at)
        self._rows(PostRole).bulk_create(PostRole(post=row, role=name) for name in _names(roles))
        return actor_of(self._rows(Post).select_related("account", "office").get(id=post_id))

    def _account(self, username: str) -> Account:
        account = self._rows(Account).filter(username=username, is_active=True).first()
        if account is None:
            raise NotFound.because("account-unknown", account=username)
        return account

    def _log_act(self, act: str, *, by: Actor, **particulars: str | list[str]) -> None:
        self.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": act, "by": by.person, **particulars})

    def _digest(self, text: str) -> bytes:
        return digest_of(text, salt=self.keystore.secret(TOKEN_SALT))

    def _rows(self, model: type[Row]) -> QuerySet[Row]:
        rows: QuerySet[Row] = model._default_manager.using(self.stores.using)
        return rows


def _names(values: Collection[Role] | Collection[Scope]) -> list[str]:
    return sorted(value.value for value in values)


def _is_office_id(value: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", value) is not None


def _is_username(value: str) -> bool:
    return 1 <= len(value) <= 64 and all(letter.isalnum() or letter in "._-" for letter in value)


def _is_self_or_operator(by: Actor, username: str) -> bool:
    return by.person == username or by.has(Role.OPERATOR)


def _only_operator(by: Actor) -> None:
    if not by.has(Role.OPERATOR):
        raise Refused.because("operator-only", person=by.person)


def _only_self_or_operator(by: Actor, username: str) -> None:
    if not _is_self_or_operator(by, username):
        raise Refused.because("operator-only", person=by.person)
