"""Notices by e-mail: to who chose it, in their language, with nothing of persons; and only if the operator named a mail server."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.portal.examples import ANALYST, CIVIL, HOUSEHOLDS, MEDICAL, REVIEWER
from tests.portal.notices.conftest import HIDDEN, OFFICER, World
from tests.portal.notices.mail_server import Mailbox, mail_server
from tests.portal.notices.test_where_webhooks_may_go import certificate

from huitong.errors import InputInvalid, Refused
from huitong.model.catalog import Visibility
from huitong.model.notice import DeliveryState, MailChoice, MailWhen, NoticeKind
from huitong.model.party import Role
from huitong.portal.accounts.models import Account, Post
from huitong.portal.notices.mail import PASSWORD, MailServer, MailTls
from huitong.portal.notices.models import Delivery
from huitong.portal.notices.sending import Sender
from huitong.settings import Settings

__all__ = ["certificate"]
ADDRESS = "wang.wei@yb.example.gov.cn"
FROM = "Huitong <huitong@yb.example.gov.cn>"


def server(box: Mailbox, **changes: object) -> MailServer:
    made = MailServer(host="127.0.0.1", port=box.port, tls=MailTls.OFF, sender=FROM, domains=frozenset({"yb.example.gov.cn"}))
    return replace(made, **changes)


def sender(world: World, box: Mailbox, **changes: object) -> Sender:
    return world.sender(mailer=world.mailing(server(box, **changes)), address="https://data.example.gov.cn")


def choose(world: World, wanted: MailWhen, *, language: str = "en", by=ANALYST) -> None:
    world.notices().choose_mail(by=by, wanted=wanted, address=ADDRESS, language=language)


def states(world: World) -> list[tuple[str, str]]:
    rows = Delivery.objects.using(world.stores.using).order_by("created_at", "id")
    return list(rows.values_list("state", "outcome"))


def test_nothing_leaves_without_a_mail_server(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    world.post()
    world.sender().send_due()
    assert states(world) == [("cancelled", "delivery-mail-off")]
    assert world.inbox(ANALYST) == [("grant-made", "G-2026-000001")]
    assert not world.notices().mail_leaves


def test_at_once_in_english(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    with mail_server() as box:
        world.post(about={"grant": "G-2026-000001", "dataset": HOUSEHOLDS.id, "until": "2026-12-31"})
        sender(world, box).send_due()
    (mail,) = box.mails
    assert box.recipients == [[ADDRESS]]
    assert (mail["From"], mail["To"]) == (FROM, ADDRESS)
    assert mail["Subject"] == (
        "[Huitong] A grant was made: grant G-2026-000001, dataset civil.household (Households on minimum allowance), until 2026-12-31"
    )
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert "2026-03-02 12:00  A grant was made" in text, "in the time of the office"
    assert "https://data.example.gov.cn" in text
    assert mail["Auto-Submitted"] == "auto-generated"
    for person in (ANALYST, REVIEWER, OFFICER):
        assert person.name not in str(mail) + text
    assert states(world) == [("sent", "delivery-taken")]


def test_at_once_in_chinese(world: World) -> None:
    choose(world, MailWhen.AT_ONCE, language="zh-Hans")
    with mail_server() as box:
        world.post(NoticeKind.REQUEST_REFUSED, about={"request": "R-1", "dataset": HOUSEHOLDS.id})
        sender(world, box).send_due()
    (mail,) = box.mails
    assert mail["Subject"] == "【汇通】共享申请未获同意：申请 R-1，信息资源 civil.household (低保家庭)"
    assert "您的收件箱" in mail.get_content()
    assert mail["Content-Language"] == "zh-Hans"


def test_only_who_chose_it_gets_e_mail(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    choose(world, MailWhen.OFF, by=OFFICER)
    with mail_server() as box:
        world.post()
        assert sender(world, box).send_due() == 1
        choose(world, MailWhen.OFF)
        world.post()
        assert sender(world, box).send_due() == 0
        choose(world, MailWhen.AT_ONCE)
        world.post()
        choose(world, MailWhen.OFF)
        sender(world, box).send_due()
    assert len(box.mails) == 1
    assert ("cancelled", "delivery-mail-unwanted") in states(world)


def test_who_may_not_know_any_more_gets_no_e_mail(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    with mail_server() as box:
        world.post()
        with world.stores.atomic():
            world.stores.catalog.put_dataset(replace(HOUSEHOLDS, visibility=Visibility.NAMED), index={})
        sender(world, box).send_due()
        world.post(about={"dataset": HIDDEN.id}, to_roles=((CIVIL.id, Role.REVIEWER), (MEDICAL.id, Role.ANALYST)))
        sender(world, box).send_due()
    assert box.mails == []
    assert states(world) == [("cancelled", "delivery-not-known")]


def test_who_left_or_was_closed_gets_no_e_mail(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    with mail_server() as box:
        world.post()
        Post.objects.using(world.stores.using).filter(id=ANALYST.post).update(ended_at=world.clock())
        sender(world, box).send_due()
        Post.objects.using(world.stores.using).filter(id=ANALYST.post).update(ended_at=None)
        world.post()
        Account.objects.using(world.stores.using).filter(username=ANALYST.person).update(is_active=False)
        sender(world, box).send_due()
    assert box.mails == []
    assert {state for state, _ in states(world)} == {"cancelled"}


def test_once_a_day_what_was_not_read(world: World) -> None:
    choose(world, MailWhen.DAILY)
    with mail_server() as box:
        out = sender(world, box)
        world.clock.advance(seconds=1)
        for number in range(1, 4):
            world.post(about={"grant": f"G-{number}"})
        lines, _, _ = world.notices().inbox(by=ANALYST)
        world.notices().mark_read([lines[0].id], by=ANALYST)
        out.daily(world.clock())
        assert out.send_due() == 0, "not before the hour"
        world.clock.advance(hours=19)  # 07:00 in Guiyang
        out.daily(world.clock())
        assert out.send_due() == 0, "a minute later"
        world.clock.advance(minutes=1)
        for _ in range(3):
            out.daily(world.clock())
        assert out.send_due() == 1
        world.clock.advance(days=1)
        out.daily(world.clock())
        assert out.send_due() == 0, "nothing new"
    (mail,) = box.mails
    assert mail["Subject"] == "[Huitong] Notices you have not read: 2"
    text = mail.get_content()
    assert text.count("A grant was made") == 2
    assert text.count("12:00") == 2


def test_a_long_digest_is_cut_and_says_so(world: World) -> None:
    choose(world, MailWhen.DAILY)
    with mail_server() as box:
        out = sender(world, box)
        out = replace(out, rules=replace(out.rules, digest_entries=3))
        world.clock.advance(seconds=1)
        for number in range(5):
            world.post(about={"grant": f"G-{number}"})
        world.clock.advance(days=1)
        out.daily(world.clock())
        out.send_due()
    assert "... and 2 more" in box.mails[0].get_content()
    assert box.mails[0]["Subject"].endswith(": 5")


def test_digests_begin_when_they_are_chosen(world: World) -> None:
    with mail_server() as box:
        out = sender(world, box)
        world.post()
        world.clock.advance(hours=1)
        choose(world, MailWhen.DAILY)
        world.clock.advance(days=1)
        out.daily(world.clock())
        assert out.send_due() == 0


# --- mail servers


def test_a_server_that_is_busy_is_asked_again_with_the_same_mail(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    with mail_server() as box:
        box.data_answer = "451 try again later"
        world.post()
        out = sender(world, box)
        out.send_due()
        assert states(world) == [("waiting", "delivery-mail-answered")]
        box.data_answer = "250 OK"
        world.clock.advance(seconds=6)
        out.send_due()
        world.post()
        out.send_due()
    assert {state for state, _ in states(world)} == {"sent"}
    assert box.mails[0]["Message-ID"].startswith("<msg_") and box.mails[0]["Message-ID"].endswith("@yb.example.gov.cn>")
    assert box.mails[0]["Message-ID"] != box.mails[1]["Message-ID"]


def test_an_unknown_recipient_is_not_tried_again(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    with mail_server() as box:
        box.recipient_answer = "550 no such user"
        world.post()
        sender(world, box).send_due()
    assert states(world) == [(DeliveryState.FAILED.value, "delivery-mail-refused")]
    row = Delivery.objects.using(world.stores.using).get()
    assert row.status == 550


def test_nobody_listens(world: World) -> None:
    choose(world, MailWhen.AT_ONCE)
    with mail_server() as box:
        pass
    world.post()
    sender(world, box).send_due()
    assert states(world) == [("waiting", "delivery-unreachable")]


def test_name_and_password_go_over_a_protected_line(world: World, certificate: Path) -> None:
    choose(world, MailWhen.AT_ONCE)
    world.keystore.keep_sealed(PASSWORD, b"correct horse")
    with mail_server(certificate, password="correct horse") as box:
        protected = {"tls": MailTls.STARTTLS, "user": "huitong", "certificates": str(certificate)}
        world.post()
        sender(world, box, **protected).send_due()
        assert states(world) == [("waiting", "delivery-tls-failed")], "it proves another name"
        world.clock.advance(minutes=10)
        with pytest.MonkeyPatch.context() as patch:
            import socket

            real = socket.create_connection
            patch.setattr(socket, "create_connection", lambda where, *rest, **more: real(("127.0.0.1", where[1]), *rest, **more))
            sender(world, box, **protected, host="oa.example").send_due()
            assert states(world) == [("sent", "delivery-taken")]
            world.keystore.keep_sealed(PASSWORD, b"wrong")
            world.post()
            sender(world, box, **protected, host="oa.example").send_due()
            assert ("waiting", "delivery-mail-login-failed") in states(world)
            world.keystore.forget_sealed(PASSWORD)
            world.clock.advance(minutes=10)
            sender(world, box, **protected, host="oa.example").send_due()
            assert ("waiting", "delivery-mail-password-missing") in states(world)
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"smtp_tls": "ssl"}, "smtp_tls"),
        ({"smtp_from": ""}, "smtp_from"),
        ({"smtp_from": "nobody"}, "smtp_from"),
        ({"smtp_from": "a@b.example\nBcc: c@d.example"}, "smtp_from"),
        ({"smtp_port": 0}, "smtp_port"),
        ({"smtp_user": "huitong", "smtp_tls": "off"}, "smtp_user"),
    ],
)
def test_settings_that_would_not_do_are_named(tmp_path: Path, wrong: dict[str, object], setting: str) -> None:
    right = Settings(home=tmp_path, smtp_host="mail.example", smtp_from="huitong@yb.example")
    assert MailServer.of(right) is not None
    assert MailServer.of(replace(right, smtp_host="")) is None
    with pytest.raises(InputInvalid) as caught:
        MailServer.of(replace(right, **wrong))
    assert caught.value.reasons[0].parameters["setting"] == setting


# --- choosing


def test_addresses_of_the_offices_own_domain_only_unless_the_operator_says_more(world: World) -> None:
    mail = {"smtp_host": "mail.example", "smtp_from": FROM}
    with pytest.raises(Refused) as caught:
        world.notices(**mail).choose_mail(by=ANALYST, wanted=MailWhen.DAILY, address="wang.wei@elsewhere.example")
    assert caught.value.reasons[0].code == "mail-domain-not-allowed"
    world.notices(**mail).choose_mail(by=ANALYST, wanted=MailWhen.DAILY, address=ADDRESS)
    more = {**mail, "mail_domains": "yb.example.gov.cn, elsewhere.example"}
    world.notices(**more).choose_mail(by=ANALYST, address="wang.wei@Elsewhere.example")
    assert world.notices().mail(by=ANALYST) == MailChoice(address="wang.wei@Elsewhere.example", wanted=MailWhen.DAILY)
    assert world.notices().mail(by=OFFICER) == MailChoice()


@pytest.mark.parametrize("address", ["", "a", "a@b", "a b@c.example", "a@c.example\nBcc: d@e.example", "-a@c.example", "a@c..example"])
def test_what_is_no_address(world: World, address: str) -> None:
    with pytest.raises(InputInvalid):
        world.notices().choose_mail(by=ANALYST, wanted=MailWhen.AT_ONCE, address=address)
    with pytest.raises(InputInvalid):
        world.notices().choose_mail(by=ANALYST, language="fr")
    assert world.notices().mail(by=ANALYST) == MailChoice()


def test_the_ledger_tells_that_it_was_chosen_not_the_address(world: World) -> None:
    choose(world, MailWhen.DAILY)
    (promise,) = world.stores.ledger.pending(limit=10)
    assert b'"change":"daily"' in bytes(promise.payload)
    assert ADDRESS.encode() not in bytes(promise.payload)
