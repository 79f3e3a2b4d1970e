"""Who may sign in, in which posts, with which tokens. A change is one transaction with its ledger entry and policy epoch."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest

from django.contrib.auth.hashers import check_password, make_password
from django.db import connections
from django.db.models import Q

from huitong.catalog.succession import still_closed
from huitong.errors import InputInvalid, NotFound, NotSignedIn, Refused
from huitong.keystore import TOKEN_SALT
from huitong.ledger.literals import Literal
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Office
from huitong.portal.accounts.base import (
    INSTANCE_OPERATOR,
    PERSON,
    SERVICE,
    EntryLog,
    instance_operator,
    is_office_id,
    is_self_or_operator,
    is_text,
    names,
    only_operator,
    only_self_or_operator,
)
from huitong.portal.accounts.models import Account, Post, Token
from huitong.portal.accounts.people import NewPerson, People
from huitong.portal.accounts.staff import Staff
from huitong.portal.accounts.tokens import (
    ALL_SCOPES,
    IssuedToken,
    Scope,
    TokenSummary,
    digest_of,
    new_token,
    prefix_of,
)
from huitong.portal.accounts.tries import PASSWORD
from huitong.portal.rows import actor_of
from huitong.portal.stores import DjangoPartyStore

__all__ = ["Accounts", "EntryLog", "NewPerson", "instance_operator"]


class TokenRows:
    """Tokens that were read under the policy epoch of now, at most so many as `KEPT`."""

    KEPT = 4_096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch: int | None = None
        self._rows: dict[str, Token] = {}

    def get(self, epoch: int, prefix: str) -> Token | None:
        """The token as it was read under this epoch."""
        with self._lock:
            return self._rows.get(prefix) if epoch == self._epoch else None

    def keep(self, epoch: int, prefix: str, row: Token) -> None:
        """Remember it. The epoch was read before the row: if it grows meanwhile, the row is forgotten at the next look."""
        with self._lock:
            if epoch != self._epoch or len(self._rows) >= self.KEPT:
                self._epoch, self._rows = epoch, {}
            self._rows[prefix] = row


@dataclass(frozen=True)
class Accounts(People, Staff):
    """The verbs of offices, passwords and tokens, with those of people, staff mode and second factors, over an instance's stores."""

    token_rows: TokenRows = field(default_factory=TokenRows, compare=False, repr=False)

    def register_offices(self, offices: Collection[Office], *, by: Actor) -> int:
        """Add offices or change those that are there; how many were new or other than before. An operator's act."""
        only_operator(by)
        store = DjangoPartyStore(self.stores.using)
        wrong = next((office.id for office in offices if not is_office_id(office.id)), None)
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

    def set_password(self, username: str, password: str, *, by: Actor) -> None:
        """A new password; sessions of the old one end. By the person or an operator."""
        only_self_or_operator(by, username)
        hashed = make_password(password)
        with self._change():
            if not self._rows(Account).filter(username=username).update(password=hashed):
                raise NotFound.because("account-unknown", account=username)
            self._log_act("password-set", by=by, person=username)

    def sign_in(self, username: str, password: str) -> Sequence[Actor]:
        """The posts of the person, if the password is right: one actor for each. Raises NotSignedIn `password-wrong`.

        Unknown, closed and wrong look the same and take the same time."""
        actors = self.posts_of(username) if self.account_signing_in(username, password) else ()
        if not actors:
            raise NotSignedIn.because("password-wrong")
        return actors

    def account_signing_in(self, username: str, password: str, *, address: str = "") -> Account | None:
        """The open account of a person whose password this is; None if it is wrong, or there is none: neither tells which.

        Raises Refused `tries-too-many`, for a name without an account too."""
        self.begin_try(PASSWORD, username, address=address)
        rows = self._rows(Account).filter(username=username, is_active=True, kind=PERSON)
        account = rows.first() if is_text(username) else None
        if not check_password(password, account.password if account else make_password(None)):
            return None
        self.forget_tries(PASSWORD, username, address=address)
        return account

    def actor_in_post(self, username: str, post: str) -> Actor:
        """The actor of a signed-in person who chose a post. Raises NotSignedIn `post-not-held`."""
        for actor in self.posts_of(username):
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
        words: str = "",
        by_token: str = "",
    ) -> IssuedToken:
        """A new token for a post, shown once. By the person who holds the post, the keeper of a service, or an operator, who says in
        words on whose mandate a token for another is issued. One that is issued with another, `by_token`, ends with it at the latest,
        and is revoked with it: whoever got hold of a token for a day does not have it for a year.

        Raises NotFound `post-unknown`, InputInvalid `token-lifetime-invalid` or `token-without-scope`, Refused `mandate-missing`,
        `token-outlives`."""
        lasting = self.rules.lifetime if lifetime is None else lifetime
        if not timedelta(0) < lasting <= self.rules.longest:
            raise InputInvalid.because("token-lifetime-invalid", days=lasting.days, longest=self.rules.longest.days)
        if not scopes:
            raise InputInvalid.because("token-without-scope")
        with self._change():
            row = self._open_post(post)
            holder = row.account.keeper.username if row.account.keeper else row.account.username
            only_self_or_operator(by, holder)
            if by.person != holder and by.post != INSTANCE_OPERATOR and not words.strip():
                raise Refused.because("mandate-missing", person=row.account.username)
            prefix, text = new_token()
            now = self.clock()
            with_token = self._working(by_token) if by_token else None
            ends = _end_of(now + lasting, with_token, stated=lifetime is not None)
            self._rows(Token).create(
                prefix=prefix,
                digest=self._digest(text),
                post=row,
                issued_with=with_token,
                label=label,
                scopes=names(scopes),
                created_at=now,
                expires_at=ends,
            )
            body = {
                "token": prefix,
                "person": row.account.username,
                "post": post,
                "scopes": names(scopes),
                "expires_at": ends.isoformat(),
                "by": by.person,
            } | ({"words": Literal(words.strip())} if words.strip() else {})
            self.ledger.append(kind=EntryKind.TOKEN_ISSUED, body=body)
        return IssuedToken(text=text, prefix=prefix, expires_at=ends)

    def _working(self, text: str) -> Token | None:
        """The token of that text. Raises NotSignedIn `token-revoked` if it was revoked since the request began."""
        token = self._rows(Token).filter(prefix=prefix_of(text)).first()
        if token is not None and token.revoked_at is not None:
            raise NotSignedIn.because("token-revoked", token=token.prefix)
        return token

    def revoke_token(self, prefix: str, *, by: Actor) -> None:
        """The token and all that were issued with it, and with those, work no more, from the next request on. By its holder, the keeper
        of a service, or an operator.

        Raises NotFound `token-not-found`."""
        with self._change():
            rows = self._rows(Token).filter(prefix=prefix, revoked_at=None).select_related("post__account__keeper")
            row = rows.first() if is_text(prefix) else None
            if row is None or not (is_self_or_operator(by, row.post.account.username) or self._keeps(by, row.post.account)):
                raise NotFound.because("token-not-found", token=prefix)
            now, issued = self.clock(), [prefix]
            while issued:  # no circles: a token is issued with one that was there before
                working = list(self._rows(Token).filter(prefix__in=issued, revoked_at=None).order_by("created_at", "prefix"))
                self._rows(Token).filter(prefix__in=[token.prefix for token in working]).update(revoked_at=now, revoked_by=by.person)
                for token in working:
                    body = {"token": token.prefix, "by": by.person} | ({"with": token.issued_with_id} if token.prefix != prefix else {})
                    self.ledger.append(kind=EntryKind.TOKEN_REVOKED, body=body)
                issued = list(self._rows(Token).filter(issued_with__in=issued).values_list("prefix", flat=True))

    def tokens_of(self, username: str, *, by: Actor) -> list[TokenSummary]:
        """The tokens of a person or service, newest first, without what makes them work. By it, its keeper or an operator."""
        account = self._rows(Account).filter(username=username).select_related("keeper").first() if is_text(username) else None
        if account is None or not self._keeps(by, account):
            only_self_or_operator(by, username)
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
        `token-post-ended`, `token-without-keeper`; Refused `token-scope-missing` if it was not issued for `scope`."""
        row = self._token_row(prefix_of(text))
        if row is None or not compare_digest(bytes(row.digest), self._digest(text)):
            raise NotSignedIn.because("token-unknown")
        now = self.clock()
        if row.revoked_at is not None:
            raise NotSignedIn.because("token-revoked", token=row.prefix)
        if now >= row.expires_at:
            raise NotSignedIn.because("token-expired", token=row.prefix)
        if row.post.ended_at is not None or not row.post.account.is_active:
            raise NotSignedIn.because("token-post-ended", token=row.prefix)
        if row.post.account.kind == SERVICE and not self._is_kept(row.post):
            raise NotSignedIn.because("token-without-keeper", token=row.prefix)
        if scope is not None and scope.value not in row.scopes:
            raise Refused.because("token-scope-missing", token=row.prefix, scope=scope.value)
        if row.last_used_at is None or now - row.last_used_at >= self.rules.last_used_step:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now)
            self._rows(Token).filter(stale, prefix=row.prefix).update(last_used_at=now)
            row.last_used_at = now
        return self.in_force(actor_of(row.post))

    def _token_row(self, prefix: str | None) -> Token | None:
        """The token with its post, account, office and roles. Each change of these bumps the policy epoch: while it is the same number
        they are not read anew."""
        if not prefix:
            return None
        epoch = self.stores.epoch.current()
        row = self.token_rows.get(epoch, prefix)
        if row is None:
            rows = self._rows(Token).select_related("post__account__keeper", "post__office").prefetch_related("post__roles")
            row = rows.filter(prefix=prefix).first()
            if row is not None and not connections[self.stores.using].in_atomic_block:  # what a transaction sees may be undone
                self.token_rows.keep(epoch, prefix, row)
        return row

    def scopes_of_token(self, text: str) -> frozenset[Scope]:
        """What a token was issued for; nothing for a text that is none."""
        row = self._rows(Token).filter(prefix=prefix_of(text)).first()
        return frozenset(Scope(scope) for scope in row.scopes) if row is not None else frozenset()

    @staticmethod
    def _keeps(by: Actor, account: Account) -> bool:
        return account.keeper is not None and account.keeper.username == by.person

    def _digest(self, text: str) -> bytes:
        return digest_of(text, salt=self.keystore.secret(TOKEN_SALT))

    def _is_kept(self, row: Post) -> bool:
        """Whether the keeper of a service holds a post in its office now."""
        posts = self._rows(Post).filter(account__keeps=row.account, office_id=row.office_id, ended_at=None)
        return posts.filter(account__is_active=True).exists()


def _end_of(wanted: datetime, with_token: Token | None, *, stated: bool) -> datetime:
    """When a token ends that was to end then, at the latest with the one it is issued with. Raises Refused `token-outlives`."""
    if with_token is None or wanted <= with_token.expires_at:
        return wanted
    if stated:
        raise Refused.because("token-outlives", until=with_token.expires_at.isoformat(timespec="minutes"))
    return with_token.expires_at
