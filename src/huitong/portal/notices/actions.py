"""What people do with notices: read their in-box, choose e-mail, and (data officers) name the systems of their office that are told."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from huitong.catalog.ports import EntryLog, PartyStore, Transactions
from huitong.catalog.succession import refuse_if_closed
from huitong.errors import InputInvalid, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.notice import (
    Delivery,
    InboxLine,
    MailChoice,
    MailWhen,
    Notice,
    NoticeKind,
    Webhook,
    WebhookState,
)
from huitong.model.party import Actor, Role
from huitong.model.text import LANGUAGES
from huitong.portal.notices.mail import MailServer
from huitong.portal.notices.ports import NoticeStore
from huitong.portal.notices.receivers import WebhookHosts, read_url
from huitong.portal.notices.rules import NoticeRules, notice_rules
from huitong.portal.notices.signing import WebhookSecrets
from huitong.sharing.deadline import local_day

_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?P<domain>[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62})+)")
LONGEST_ADDRESS = 254


@dataclass(frozen=True)
class NewSecret:
    """A webhook with the secret that was just made for it: shown here, and never again."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Notices:
    """The verbs of notices. The ledger tells who changed the ways by which they go out; never addresses or secrets."""

    store: NoticeStore
    parties: PartyStore
    transactions: Transactions
    ledger: EntryLog
    secrets: WebhookSecrets
    hosts: WebhookHosts
    mail_server: MailServer | None
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    time_zone: str
    rules: NoticeRules = field(default_factory=notice_rules)

    # The in-box

    def inbox(
        self, *, by: Actor, unread: bool = False, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[InboxLine], int, int]:
        """What the person was told in the office they act for, and as a person; newest first. How many in all, how many unread."""
        return self.store.inbox(by.person, by.office, unread=unread, limit=limit, offset=offset)

    def mark_read(self, notices: Collection[str] | None, *, by: Actor) -> int:
        """Note that these, or all, were read; how many were unread. What is not in the in-box is passed over."""
        with self.transactions.atomic():
            return self.store.mark_read(by.person, by.office, notices, at=self.clock())

    # E-mail

    @property
    def mail_leaves(self) -> bool:
        """Whether any e-mail leaves this instance."""
        return self.mail_server is not None

    def mail(self, *, by: Actor) -> MailChoice:
        """What the person chose; off if nothing."""
        return self.store.mail_choice(by.person)

    def choose_mail(
        self, *, by: Actor, wanted: MailWhen | None = None, address: str | None = None, language: str | None = None
    ) -> MailChoice:
        """Choose when to get notices by e-mail, where and in which language; what is not said stays as it is.

        Raises InputInvalid `mail-address-invalid`, `mail-address-missing`, `mail-language-unknown`; Refused
        `mail-domain-not-allowed`."""
        with self.transactions.atomic():
            before = self.mail(by=by)
            chosen = MailChoice(
                address=before.address if address is None else address.strip(),
                wanted=before.wanted if wanted is None else wanted,
                language=before.language if language is None else language,
            )
            if chosen.language not in LANGUAGES:
                raise InputInvalid.because("mail-language-unknown", languages=", ".join(LANGUAGES))
            if chosen.wanted is not MailWhen.OFF and not chosen.address:
                raise InputInvalid.because("mail-address-missing")
            if chosen.address:
                self._refuse_address(chosen.address)
            self.store.choose_mail(by.person, chosen, at=self.clock())
            self._write({"way": "mail", "change": chosen.wanted.value}, by)
        return chosen

    def _refuse_address(self, address: str) -> None:
        found = _ADDRESS.fullmatch(address) if len(address) <= LONGEST_ADDRESS else None
        if found is None:
            raise InputInvalid.because("mail-address-invalid")
        domains = self.mail_server.domains if self.mail_server else None
        if domains is not None and found["domain"].lower() not in domains:
            raise Refused.because("mail-domain-not-allowed", domains=", ".join(sorted(domains)))

    # Webhooks

    def webhooks(self, *, by: Actor) -> Sequence[Webhook]:
        """The receivers of the office that are not removed, oldest first. Raises Refused `role-missing`."""
        _refuse_unless_data_officer(by)
        return self.store.webhooks(by.office)

    def add_webhook(self, url: str, *, by: Actor, kinds: Collection[NoticeKind] = ()) -> NewSecret:
        """Have the office's system at that URL told of notices of these kinds, or of all.

        Raises Refused `role-missing`, `webhook-host-not-allowed`, `webhook-host-needs-tls`; InputInvalid `webhook-url-invalid`,
        `webhook-kind-not-for-systems`, `webhooks-too-many`; Conflict `office-closed`."""
        _refuse_unless_data_officer(by)
        self.hosts.refuse_unless_listed(read_url(url))
        if personal := [kind.value for kind in kinds if not kind.is_for_systems]:
            raise InputInvalid.because("webhook-kind-not-for-systems", kind=", ".join(personal))
        now = self.clock()
        with self.transactions.atomic():
            refuse_if_closed(self.parties.office(by.office), local_day(now, self.time_zone))
            if len(self.store.webhooks(by.office)) >= self.rules.most_webhooks:
                raise InputInvalid.because("webhooks-too-many", most=self.rules.most_webhooks)
            made = Webhook(
                id=self.new_id(),
                office=by.office,
                url=url,
                kinds=tuple(sorted(set(kinds))),
                state=WebhookState.ACTIVE,
                created_at=now,
                created_by=by.person,
            )
            self.store.put_webhook(made)
            self._write({"way": "webhook", "webhook": made.id, "change": "added"}, by)
            # first what can be undone, then the key store, which cannot: a secret that nobody uses does no harm
            return NewSecret(made, self.secrets.make(made.id))

    def remove_webhook(self, webhook: str, *, by: Actor) -> None:
        """Tell it no more; what waits for it is cancelled. Raises Refused `role-missing`, NotFound `webhook-unknown`."""
        with self.transactions.atomic():
            found = self._webhook(webhook, by)
            self.store.end_webhook(found.id, state=WebhookState.REMOVED, at=self.clock())
            self._write({"way": "webhook", "webhook": found.id, "change": "removed"}, by)
        self.secrets.forget(found.id)

    def rotate_secret(self, webhook: str, *, by: Actor) -> NewSecret:
        """A new secret; the old one signs too for some hours, so that the receiver loses nothing while it changes.

        Raises Refused `role-missing`, NotFound `webhook-unknown`."""
        now = self.clock()
        until = now + timedelta(hours=self.rules.rotation_hours)
        with self.transactions.atomic():
            found = self._webhook(webhook, by)
            self.store.note_rotation(found.id, until=until)
            self._write({"way": "webhook", "webhook": found.id, "change": "rotated"}, by)
            return NewSecret(replace(found, rotated_until=until), self.secrets.rotate(found.id, now=now, until=until))

    def test_webhook(self, webhook: str, *, by: Actor) -> Delivery:
        """Send it a message of the kind `test`, even if it did not ask for that kind; it goes out as all others do.

        Raises Refused `role-missing`, NotFound `webhook-unknown`."""
        with self.transactions.atomic():
            found = self._webhook(webhook, by)
            about = {"office": by.office, "subscription": found.id}
            notice = Notice(kind=NoticeKind.TEST, at=self.clock(), about=about, to_offices=(by.office,))
            return self.store.post_to(found.id, notice)

    def deliveries(self, webhook: str, *, by: Actor, limit: int = 50, offset: int = 0) -> tuple[Sequence[Delivery], int]:
        """The messages to a receiver of the office, newest first, and how many in all. Raises Refused `role-missing`, NotFound
        `webhook-unknown`."""
        return self.store.deliveries(self._webhook(webhook, by).id, limit=limit, offset=offset)

    def _webhook(self, webhook: str, by: Actor) -> Webhook:
        _refuse_unless_data_officer(by)
        found = self.store.webhook(webhook)
        if found is None or found.office != by.office:
            raise NotFound.because("webhook-unknown", webhook=webhook[:64])
        return found

    def _write(self, body: Mapping[str, str], by: Actor) -> None:
        who = {"actor": by.person, "office": by.office, "post": by.post}
        self.ledger.append(kind=EntryKind.NOTICE_WAY_CHANGED, body={**body, **who})


def _refuse_unless_data_officer(by: Actor) -> None:
    if not by.has(Role.DATA_OFFICER):
        raise Refused.because("role-missing", role=Role.DATA_OFFICER.value, post=by.post, office=by.office)
