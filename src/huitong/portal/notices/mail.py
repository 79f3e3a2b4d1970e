"""How e-mail leaves: by the mail server of the settings, or not at all."""

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import parseaddr
from enum import StrEnum

from huitong.errors import HuitongError, InputInvalid
from huitong.portal.notices.receivers import Answer
from huitong.settings import Settings

PASSWORD = "smtp-password"  # noqa: S105 - the name under which it is kept
LOCAL = ("localhost", "127.0.0.1", "::1")


class MailTls(StrEnum):
    """How the way to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    """From the first byte on."""
    OFF = "off"


@dataclass(frozen=True)
class MailServer:
    """Where e-mail is given to, and in whose name."""

    host: str
    port: int
    tls: MailTls
    sender: str
    user: str = ""
    certificates: str = ""
    domains: frozenset[str] = frozenset()
    """The domains that notices may go to."""

    @classmethod
    def of(cls, settings: Settings) -> "MailServer | None":
        """That of the settings; None if none is named. Raises InputInvalid `mail-settings-invalid` naming the setting, also when a
        password would go over an open line."""
        if not settings.smtp_host.strip():
            return None
        try:
            tls = MailTls(settings.smtp_tls)
        except ValueError:
            raise InputInvalid.because("mail-settings-invalid", setting="smtp_tls") from None
        name, _, own = parseaddr(settings.smtp_from)[1].lower().rpartition("@")
        if not name or not own or not settings.smtp_from.isprintable() or not settings.smtp_from.isascii():
            raise InputInvalid.because("mail-settings-invalid", setting="smtp_from")
        if not 0 < settings.smtp_port < 65_536:
            raise InputInvalid.because("mail-settings-invalid", setting="smtp_port")
        if settings.smtp_user and tls is MailTls.OFF and settings.smtp_host not in LOCAL:
            raise InputInvalid.because("mail-settings-invalid", setting="smtp_user")
        named = frozenset(part.strip().lower() for part in settings.mail_domains.split(",") if part.strip())
        return cls(
            host=settings.smtp_host.strip(),
            port=settings.smtp_port,
            tls=tls,
            sender=settings.smtp_from,
            user=settings.smtp_user,
            certificates=settings.notice_certificates,
            domains=named or frozenset({own}),
        )


@dataclass(frozen=True)
class Mailer:
    """Gives one e-mail to the mail server."""

    server: MailServer
    seconds: float
    password: Callable[[], str] = field(repr=False)
    """Read when it is needed; raises what the key store raises."""

    def send(self, mail: EmailMessage) -> Answer:
        """What came of it; raises nothing."""
        try:
            with self._connected() as connection:
                connection.send_message(mail, from_addr=parseaddr(self.server.sender)[1])
        except HuitongError:
            return Answer("delivery-mail-password-missing")
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            return Answer("delivery-mail-refused" if code >= 500 else "delivery-mail-answered", code)
        except smtplib.SMTPAuthenticationError as error:
            return Answer("delivery-mail-login-failed", error.smtp_code)
        except smtplib.SMTPResponseException as error:
            return Answer("delivery-mail-answered", error.smtp_code if 0 < error.smtp_code < 1000 else None)
        except (TimeoutError, smtplib.SMTPServerDisconnected):
            return Answer("delivery-no-answer")
        except ssl.SSLError:
            return Answer("delivery-tls-failed")
        except (OSError, smtplib.SMTPException):
            return Answer("delivery-unreachable")
        return Answer("delivery-taken")

    def _connected(self) -> smtplib.SMTP:
        trust = ssl.create_default_context(cafile=self.server.certificates or None)
        where = (self.server.host, self.server.port)
        if self.server.tls is MailTls.TLS:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=self.seconds, context=trust)
        else:
            connection = smtplib.SMTP(*where, timeout=self.seconds)
        try:
            if self.server.tls is MailTls.STARTTLS:
                connection.starttls(context=trust)
            if self.server.user:
                connection.login(self.server.user, self.password())
        except BaseException:
            connection.close()
            raise
        return connection
