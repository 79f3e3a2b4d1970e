"""What every verb of accounts stands on: the stores, one transaction with its ledger entry, and who may do it."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

from django.db.models import Model, QuerySet

from huitong.errors import NotFound, Refused
from huitong.keystore import KeyStore
from huitong.model.ledger import EntryKind, Promise
from huitong.model.party import Actor, Role
from huitong.portal.accounts.models import Account, Post, StaffMode
from huitong.portal.accounts.rules import SignInRules, StaffRules, read_sign_in_rules, read_staff_rules
from huitong.portal.accounts.tokens import TokenRules, read_rules
from huitong.portal.stores import Stores

Row = TypeVar("Row", bound=Model)
Clock = Callable[[], datetime]
INSTANCE_OPERATOR = "instance-operator"
PERSON, SERVICE = "person", "service"
"""The two kinds of account."""


class EntryLog(Protocol):
    """The writing side of the ledger (`huitong.ledger.log.Ledger`)."""

    def append(self, *, kind: EntryKind, body: Mapping[str, Any]) -> Promise:
        """Write an entry inside the caller's transaction."""

    def append_all(self, entries: Sequence[tuple[EntryKind, Mapping[str, Any]]]) -> list[Promise]:
        """Write several of one instant."""


def instance_operator(name: str) -> Actor:
    """The actor of one who opens the instance directly on its machine: init, serve, worker, backup. Named, and in the ledger."""
    return Actor(person=name, name=name, post=INSTANCE_OPERATOR, office="", division="", roles=frozenset({Role.OPERATOR}))


@dataclass(frozen=True)
class Base:
    """Stores, ledger, keys, clock and the rules in force."""

    stores: Stores
    ledger: EntryLog
    keystore: KeyStore
    clock: Clock
    rules: TokenRules = field(default_factory=read_rules)
    staff_rules: StaffRules = field(default_factory=read_staff_rules)
    sign_in_rules: SignInRules = field(default_factory=read_sign_in_rules)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction. The epoch is bumped first: its row is locked, so that changes of rules run one after the other."""
        with self.stores.atomic():
            self.stores.epoch.bump()
            yield

    def _rows(self, model: type[Row]) -> QuerySet[Row]:
        rows: QuerySet[Row] = model._default_manager.using(self.stores.using)
        return rows

    def _account(self, username: str) -> Account:
        """The open account of that name. Raises NotFound `account-unknown`."""
        account = self._rows(Account).filter(username=username, is_active=True).first() if is_text(username) else None
        if account is None:
            raise NotFound.because("account-unknown", account=username)
        return account

    def _open_post(self, post: str) -> Post:
        """An open post of an open account. Raises NotFound `post-unknown`."""
        rows = self._rows(Post).filter(id=post, ended_at=None, account__is_active=True).select_related("account", "account__keeper")
        row = rows.first() if is_text(post) else None
        if row is None:
            raise NotFound.because("post-unknown", post=post)
        return row

    def _log_act(self, act: str, *, by: Actor, **particulars: str | list[str]) -> None:
        self.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": act, "by": by.person, **particulars})

    def in_force(self, actor: Actor) -> Actor:
        """The actor with the roles it has at this moment: that of an operator only while staff mode is open for the post."""
        if not actor.has(Role.OPERATOR) or self._staff_open(actor.post):
            return actor
        return replace(actor, roles=actor.roles - {Role.OPERATOR})

    def posts_of(self, username: str) -> Sequence[Actor]:
        """The posts that the person holds now, each as the actor it makes at this moment; by post."""
        return [self.in_force(actor) for actor in self.stores.parties.actors_of(username)]

    def _staff_open(self, post: str) -> bool:
        return self._rows(StaffMode).filter(post_id=post, closed_at=None, until__gt=self.clock()).exists()


def names(values: Collection[Enum]) -> list[str]:
    """The values of choices, sorted, as the ledger keeps them."""
    return sorted(str(value.value) for value in values)


def is_text(value: str) -> bool:
    """Whether a database can be asked for it at all."""
    return "\0" not in value and value.isprintable()


def is_office_id(value: str) -> bool:
    """Whether it can name an office."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", value) is not None


def is_username(value: str) -> bool:
    """Whether it can name an account."""
    return 1 <= len(value) <= 64 and all(letter.isalnum() or letter in "._-" for letter in value)


def is_self_or_operator(by: Actor, username: str) -> bool:
    """Whether the actor is that person, or an operator (whose role is there only in staff mode)."""
    return by.person == username or by.has(Role.OPERATOR)


def only_operator(by: Actor) -> None:
    """Raises Refused `operator-only`."""
    if not by.has(Role.OPERATOR):
        raise Refused.because("operator-only", person=by.person)


def only_self_or_operator(by: Actor, username: str) -> None:
    """Raises Refused `operator-only`."""
    if not is_self_or_operator(by, username):
        raise Refused.because("operator-only", person=by.person)
