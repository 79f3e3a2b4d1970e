"""The verbs of notices and their sender over the stores of an instance. What is set wrongly lets nothing leave, and the doctor says so."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from huitong.catalog.ports import EntryLog
from huitong.errors import InputInvalid
from huitong.keystore import FileKeyStore
from huitong.portal.notices.actions import Notices
from huitong.portal.notices.board import new_id
from huitong.portal.notices.mail import PASSWORD, Mailer, MailServer
from huitong.portal.notices.receivers import PinnedPost, WebhookHosts
from huitong.portal.notices.rules import notice_rules
from huitong.portal.notices.sending import Sender
from huitong.portal.notices.signing import WebhookSecrets
from huitong.settings import Settings

Clock = Callable[[], datetime]
Made = TypeVar("Made")


def open_notices(settings: Settings, stores: Any, ledger: EntryLog, clock: Clock) -> Notices:
    """The verbs of in-boxes, e-mail and webhooks."""
    return Notices(
        store=stores.notice_store,
        parties=stores.parties,
        transactions=stores.transactions,
        ledger=ledger,
        secrets=WebhookSecrets(FileKeyStore(settings.keys)),
        hosts=_hosts(settings),
        mail_server=_mail_server(settings),
        clock=clock,
        new_id=new_id,
        time_zone=settings.time_zone,
    )


def open_sender(settings: Settings, stores: Any, ledger: EntryLog, clock: Clock) -> Sender:
    """The sender of a worker."""
    rules, keystore, server = notice_rules(), FileKeyStore(settings.keys), _mail_server(settings)
    return Sender(
        stores=stores,
        ledger=ledger,
        secrets=WebhookSecrets(keystore),
        post=PinnedPost(
            hosts=_hosts(settings),
            request_seconds=rules.request_seconds,
            connect_seconds=rules.connect_seconds,
            certificates=settings.notice_certificates,
        ),
        mailer=None if server is None else Mailer(server, rules.mail_seconds, lambda: keystore.sealed(PASSWORD).decode()),
        clock=clock,
        time_zone=settings.time_zone,
        rules=rules,
        address=settings.public_address,
    )


def _hosts(settings: Settings) -> WebhookHosts:
    return _or(lambda: WebhookHosts.read(settings.webhook_hosts), WebhookHosts.read(""))


def _mail_server(settings: Settings) -> MailServer | None:
    return _or(lambda: MailServer.of(settings), None)


def _or(make: Callable[[], Made], otherwise: Made) -> Made:
    try:
        return make()
    except InputInvalid as error:
        logging.getLogger("huitong.worker").warning("a setting of notices is wrong: %s", error.reasons[0].code)
        return otherwise
