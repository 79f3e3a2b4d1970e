"""What a notice says: as a sentence for a person, as a message between systems, as an e-mail. Ids, codes and names of datasets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from huitong.errors import Reason
from huitong.model.notice import ABOUT, NoticeKind
from huitong.words import render, sentences

LEFT_OUT = frozenset({"state"})
"""What a sentence does not repeat: the kind of the notice says it already."""


def sentence(kind: NoticeKind, about: Mapping[str, str], language: str, *, title: str | None = None) -> str:
    """What happened and to what, in that language; with the title of the dataset where the reader may know it."""
    chinese = language.lower().startswith("zh")
    what = render(Reason(f"notice-kind-{kind.value}"), language)
    parts = []
    for name in sorted(about.keys() - LEFT_OUT, key=_place):
        value = about[name]
        shown = f"{value} ({title})" if name == "dataset" and title else _reason(value, language) if name == "reason" else value
        parts.append(f"{render(Reason(f'notice-key-{name}'), language)} {shown}")
    if not parts:
        return what
    return what + ("：" if chinese else ": ") + ("，" if chinese else ", ").join(parts)


def _reason(code: str, language: str) -> str:
    """A coded reason in words, where its words stand by themselves."""
    said = sentences(language).get(code, "{")
    return code if "{" in said else said.rstrip(".。")


def _place(name: str) -> int:
    return ABOUT.index(name) if name in ABOUT else len(ABOUT)


def payload(kind: NoticeKind, at: datetime, about: Mapping[str, str]) -> bytes:
    """The body of a message between systems: type, timestamp, data."""
    instant = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"type": kind.type, "timestamp": instant, "data": dict(about)}
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Line:
    """A notice within an e-mail."""

    at: datetime
    """In the time zone of the reader."""
    text: str


def mail_about(
    lines: Sequence[Line],
    *,
    in_all: int,
    digest: bool,
    identifier: str,
    sender: str,
    recipient: str,
    at: datetime,
    language: str,
    address: str,
) -> EmailMessage:
    """An e-mail of plain text that tells of these notices, in the reader's language; the same id however often it is sent."""

    def said(code: str, **parameters: str | int) -> str:
        return render(Reason(f"notice-mail-{code}", parameters), language)

    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = said("digest-subject", count=in_all) if digest else said("subject", text=lines[0].text)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{identifier}@{parseaddr(sender)[1].rpartition('@')[2] or 'huitong.invalid'}>"
    mail["Auto-Submitted"] = "auto-generated"
    text = [f"{line.at:%Y-%m-%d %H:%M}  {line.text}" for line in lines]
    if in_all > len(lines):
        text.append(said("more", count=in_all - len(lines)))
    text += ["", said("where", address=address) if address else said("where-unknown"), said("change")]
    mail.set_content("\n".join(text) + "\n", charset="utf-8", cte="base64")
    mail["Content-Language"] = language
    return mail
