"""People come, hold posts, move and leave; services have a keeper. What an office was granted stays with the office."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.db.models import Q

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.ledger.literals import Literal
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.portal.accounts.base import PERSON, SERVICE, Base, is_text, is_username, names, only_operator, only_self_or_operator
from huitong.portal.accounts.models import Account, Identity, Post, PostRole, StaffMode
from huitong.portal.rows import actor_of
from huitong.portal.stores import DjangoPartyStore

ROLES_OF_PERSONS = frozenset({Role.OPERATOR, Role.REVIEWER, Role.REGULATOR})
"""What a service never is: it would be a second pair of eyes, or a second hand, of its keeper."""


@dataclass(frozen=True)
class NewPerson:
    """A person with the post to start with, or a service if it names its keeper. Without a password it can use tokens only."""

    username: str
    name: str
    office: str
    roles: frozenset[Role]
    password: str | None = field(default=None, repr=False)
    post: str | None = None
    """Id of the post; `username@office` if not given."""
    keeper: str | None = None
    """Account of the person who answers for a service, of the same office; None makes a person of it."""


@dataclass(frozen=True)
class PostHeld:
    """Who holds a post of an office."""

    person: str
    name: str
    kind: str
    post: str
    office: str
    roles: frozenset[Role]
    since: datetime
    keeper: str | None
    kept: bool
    """For a service, whether its keeper still holds a post in the office; its tokens work only then."""


@dataclass(frozen=True)
class Left:
    """What came of leaving or moving."""

    person: str
    ended: tuple[str, ...]
    """The posts that ended."""
    closed: bool
    """Whether the account closed, because no post was left."""
    unkept: tuple[str, ...]
    """Services that have no keeper in their office now: their tokens rest until one is named."""
    opened: str | None = None
    """The post that began."""


@dataclass(frozen=True)
class People(Base):
    """The verbs of people and posts."""

    def register_people(self, people: Iterable[NewPerson], *, by: Actor) -> int:
        """Add accounts, each with its first post; how many. An operator's act. Raises Conflict `account-exists`."""
        only_operator(by)
        # hashing a password takes long by design: it is done before the transaction, which keeps other writers waiting
        hashed = [(person, make_password(person.password)) for person in people]
        with self._change():
            for person, password in hashed:
                self._register(person, password, by=by)
        return len(hashed)

    def people(self, office: str, *, by: Actor) -> Sequence[PostHeld]:
        """The open posts of an office and who holds them, by person: for those who hold one there, and for operators.

        Raises Refused `people-of-another-office`."""
        if by.office != office:
            if not by.has(Role.OPERATOR):
                raise Refused.because("people-of-another-office", office=office)
            if self.stores.parties.office(office) is None:
                raise NotFound.because("office-not-registered", office=office)
        rows = self._rows(Post).filter(office_id=office, ended_at=None, account__is_active=True)
        rows = rows.select_related("account", "account__keeper").prefetch_related("roles").order_by("account__username")
        found = list(rows)
        here = {row.account_id for row in found}
        return [
            PostHeld(
                person=row.account.username,
                name=row.account.name,
                kind=row.account.kind,
                post=row.id,
                office=office,
                roles=frozenset(Role(entry.role) for entry in row.roles.all()),
                since=row.created_at,
                keeper=row.account.keeper.username if row.account.keeper else None,
                kept=row.account.kind == PERSON or row.account.keeper_id in here,
            )
            for row in found
        ]

    def add_post(self, username: str, *, office: str, roles: Collection[Role], by: Actor, post: str | None = None) -> Actor:
        """Give a person one more post. An operator's act. Raises Conflict `post-exists`."""
        only_operator(by)
        with self._change():
            account = self._account(username)
            if account.kind == SERVICE:
                raise Conflict.because("service-one-post", account=username)
            actor = self._add_post(account, office=office, roles=roles, post=post, at=self.clock())
            self._log_act("post-added", by=by, person=username, post=actor.post, office=office, roles=names(roles))
        return actor

    def end_post(self, post: str, *, by: Actor) -> None:
        """End a post; its tokens end with it. An operator's act. Raises NotFound `post-unknown`."""
        only_operator(by)
        with self._change():
            if not is_text(post) or not self._rows(Post).filter(id=post, ended_at=None).update(ended_at=self.clock()):
                raise NotFound.because("post-unknown", post=post)
            self._log_act("post-ended", by=by, post=post)

    def leave(self, username: str, *, by: Actor, words: str = "", post: str | None = None) -> Left:
        """End one post, or all of them, and the tokens with them; the account closes when none is left. By the person or an operator.

        Grants that the person signed for stay with the office. Raises NotFound `account-unknown`, `post-unknown`."""
        only_self_or_operator(by, username)
        with self._change():
            account = self._account(username)
            open_posts = self._posts_of(account)
            ending = [row for row in open_posts if post in (None, row.id)]
            if post is not None and not ending:
                raise NotFound.because("post-unknown", post=post)
            self._end(ending)
            closed = len(ending) == len(open_posts)
            if closed:
                self._close(account)
            left = Left(username, tuple(row.id for row in ending), closed, self._unkept_by(account))
            body = {
                "person": username,
                "posts": list(left.ended),
                "closed": closed,
                "services_without_keeper": list(left.unkept),
                "words": Literal(words.strip()),
                "by": by.person,
            }
            self.ledger.append(kind=EntryKind.PERSON_LEFT, body=body)
        return left

    def move(
        self, post: str, *, office: str, by: Actor, words: str, roles: Collection[Role] | None = None, person: str | None = None
    ) -> Left:
        """End a post and open one in another office, with the same roles if none are named: both or neither. An operator's act.

        Raises NotFound `post-unknown`, `office-not-registered`; InputInvalid `move-words-missing`; Conflict `post-exists`."""
        only_operator(by)
        if not words.strip():
            raise InputInvalid.because("move-words-missing", post=post)
        with self._change():
            row = self._open_post(post)
            if person not in (None, row.account.username):
                raise NotFound.because("post-unknown", post=post)
            if row.account.kind == SERVICE:
                raise Conflict.because("service-one-post", account=row.account.username)
            if row.office_id == office:
                raise Conflict.because("post-exists", post=post)
            held = [Role(entry.role) for entry in row.roles.all()] if roles is None else list(roles)
            self._end([row])
            new = self._add_post(row.account, office=office, roles=held, post=None, at=self.clock())
            unkept = self._unkept_by(row.account)
            body = {
                "person": row.account.username,
                "from": {"post": post, "office": row.office_id},
                "to": {"post": new.post, "office": office, "roles": names(held)},
                "services_without_keeper": list(unkept),
                "words": Literal(words.strip()),
                "by": by.person,
            }
            self.ledger.append(kind=EntryKind.PERSON_MOVED, body=body)
        return Left(row.account.username, (post,), False, unkept, opened=new.post)

    def name_keeper(self, service: str, keeper: str, *, by: Actor) -> None:
        """Another person of the same office answers for a service. By its keeper or an operator.

        Raises NotFound `account-unknown`; InputInvalid `not-a-service`, `keeper-elsewhere`; Refused `operator-only`."""
        with self._change():
            account = self._account(service)
            if account.kind != SERVICE or account.keeper is None:
                raise InputInvalid.because("not-a-service", account=service)
            only_self_or_operator(by, account.keeper.username)
            office = self._posts_of(account)[0].office_id if self._posts_of(account) else ""
            account.keeper = self._keeper(keeper, office=office, service=service)
            self._rows(Account).filter(id=account.pk).update(keeper=account.keeper)
            self.ledger.append(kind=EntryKind.KEEPER_NAMED, body={"service": service, "keeper": keeper, "by": by.person})

    def close_account(self, username: str, *, by: Actor) -> None:
        """Nothing of this account works from now on. An operator's act. Raises NotFound `account-unknown`."""
        only_operator(by)
        with self._change():
            self._close(self._account(username))
            self._log_act("account-closed", by=by, person=username)

    def link_identity(self, username: str, *, issuer: str, subject: str, by: Actor, words: str = "") -> None:
        """The sign-on service's name for a person leads to this account from now on. By the person or an operator.

        Raises NotFound `account-unknown`; Conflict `identity-linked`; InputInvalid `identity-invalid`, `service-cannot-sign-in`."""
        only_self_or_operator(by, username)
        if not (0 < len(issuer) <= 255 and 0 < len(subject) <= 255 and is_text(issuer) and is_text(subject)):
            raise InputInvalid.because("identity-invalid")
        with self._change():
            account = self._account(username)
            if account.kind == SERVICE:
                raise InputInvalid.because("service-cannot-sign-in", account=username)
            if self._rows(Identity).filter(issuer=issuer, subject=subject).exists():
                raise Conflict.because("identity-linked")
            self._rows(Identity).create(
                issuer=issuer, subject=subject, account=account, linked_at=self.clock(), linked_by=by.person[:64]
            )
            body = {"person": username, "issuer": issuer, "words": Literal(words.strip()), "by": by.person}
            self.ledger.append(kind=EntryKind.IDENTITY_LINKED, body=body)

    def unlink_identity(self, username: str, *, issuer: str, by: Actor) -> None:
        """That sign-on service leads to this account no more. By the person or an operator. Raises NotFound `identity-unknown`."""
        only_self_or_operator(by, username)
        with self._change():
            rows = self._rows(Identity).filter(issuer=issuer, account__username=username)
            if not is_text(issuer) or not rows.exists():
                raise NotFound.because("identity-unknown", account=username)
            rows.delete()
            self.ledger.append(kind=EntryKind.IDENTITY_UNLINKED, body={"person": username, "issuer": issuer, "by": by.person})

    def account_of_identity(self, issuer: str, subject: str) -> Account | None:
        """The open account of a person to which this name of a sign-on service was linked."""
        row = self._rows(Identity).filter(issuer=issuer, subject=subject).select_related("account").first() if is_text(subject) else None
        return row.account if row is not None and row.account.is_active and row.account.kind == PERSON else None

    def identities_of(self, username: str) -> Sequence[str]:
        """The issuers of the sign-on services that lead to this account."""
        return sorted(set(self._rows(Identity).filter(account__username=username).values_list("issuer", flat=True)))

    def _register(self, person: NewPerson, password: str, *, by: Actor) -> None:
        if self._rows(Account).filter(username=person.username).exists():
            raise Conflict.because("account-exists", account=person.username)
        if not is_username(person.username):
            raise InputInvalid.because("account-name-invalid", account=person.username)
        now = self.clock()
        keeper = None
        if person.keeper is not None:
            if person.password is not None:
                raise InputInvalid.because("service-cannot-sign-in", account=person.username)
            if wrong := person.roles & ROLES_OF_PERSONS:
                raise InputInvalid.because("service-role-of-persons", account=person.username, roles=", ".join(names(wrong)))
            keeper = self._keeper(person.keeper, office=person.office, service=person.username)
        kind = PERSON if keeper is None else SERVICE
        account = self._rows(Account).create(
            username=person.username, name=person.name, kind=kind, keeper=keeper, password=password, created_at=now
        )
        actor = self._add_post(account, office=person.office, roles=person.roles, post=person.post, at=now)
        body = {
            "person": person.username,
            "post": actor.post,
            "office": person.office,
            "roles": names(person.roles),
            "by": by.person,
        }
        if keeper is not None:
            body |= {"kind": SERVICE, "keeper": keeper.username}
        self.ledger.append(kind=EntryKind.PERSON_REGISTERED, body=body)

    def _keeper(self, username: str, *, office: str, service: str) -> Account:
        """A person who holds a post in the service's office."""
        account = self._account(username)
        if account.kind != PERSON or not any(row.office_id == office for row in self._posts_of(account)):
            raise InputInvalid.because("keeper-elsewhere", keeper=username, account=service, office=office)
        return account

    def _add_post(self, account: Account, *, office: str, roles: Collection[Role], post: str | None, at: datetime) -> Actor:
        if not roles:
            raise InputInvalid.because("post-without-role", account=account.username)
        if self.stores.parties.office(office) is None:
            raise NotFound.because("office-not-registered", office=office)
        post_id = post or DjangoPartyStore(self.stores.using).free_post(account.username, office)
        if self._rows(Post).filter(Q(id=post_id) | Q(account=account, office_id=office, ended_at=None)).exists():
            raise Conflict.because("post-exists", post=post or f"{account.username}@{office}")
        row = self._rows(Post).create(id=post_id, account=account, office_id=office, created_at=at)
        self._rows(PostRole).bulk_create(PostRole(post=row, role=name) for name in names(roles))
        return actor_of(self._rows(Post).select_related("account", "office").get(id=post_id))

    def _posts_of(self, account: Account) -> list[Post]:
        return list(self._rows(Post).filter(account=account, ended_at=None).order_by("id"))

    def _end(self, posts: Collection[Post]) -> None:
        ids = [row.id for row in posts]
        now = self.clock()
        self._rows(Post).filter(id__in=ids, ended_at=None).update(ended_at=now)
        self._rows(StaffMode).filter(post_id__in=ids, closed_at=None, until__gt=now).update(closed_at=now)

    def _close(self, account: Account) -> None:
        """The password goes with it: sessions of before stay ended even if the account were opened again."""
        self._rows(Account).filter(id=account.pk).update(is_active=False, password=make_password(None))
        self._rows(Identity).filter(account=account).delete()
        self._end(self._posts_of(account))

    def _unkept_by(self, keeper: Account) -> tuple[str, ...]:
        """Services of this keeper in whose office the keeper holds no post now."""
        offices = {row.office_id for row in self._posts_of(keeper)} if self._is_open(keeper) else set()
        rows = self._rows(Post).filter(account__keeper=keeper, account__is_active=True, ended_at=None).select_related("account")
        return tuple(sorted(row.account.username for row in rows if row.office_id not in offices))

    def _is_open(self, account: Account) -> bool:
        return self._rows(Account).filter(id=account.pk, is_active=True).exists()
