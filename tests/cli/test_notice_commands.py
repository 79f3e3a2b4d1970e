"""In-box, e-mail and webhooks on the command line, over the real API of a small instance."""

import json
import re

import pytest
from tests.api.conftest import NOW, Instance, divisions, instance, seed_lake
from tests.cli.test_officer_commands import Run, huitong_, table

from huitong.cli.language import LANGUAGES
from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Role

__all__ = ["divisions", "huitong_", "instance", "seed_lake"]
HOOK = "http://127.0.0.1:9/hook"


def told(instance: Instance, *grants: str) -> None:
    for grant in grants:
        to = (("gz-civil-affairs", Role.DATA_OFFICER),)
        about = {"grant": grant, "dataset": "civil.shelter"}
        instance.stores.notices.post(Notice(kind=NoticeKind.GRANT_EXPIRING, at=NOW, about=about, to_roles=to))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_in_box_in_both_languages(huitong_: Run, instance: Instance, language: str) -> None:
    told(instance, "G-1", "G-2")
    code, out, err = huitong_("notice", "list", "--unread", "--lang", language)
    assert code == 0, err
    assert "G-1" in out and "G-2" in out and "*" in out
    assert bool(re.search(r"[\u4e00-\u9fff]", out)) is (language == "zh-Hans")
    _, out, _ = huitong_("notice", "list", "--format", "csv")
    first = table(out)[0]
    assert first["notice"].startswith("A grant ends soon: grant G-2")
    code, _, err = huitong_("notice", "read", first["id"], "--lang", language)
    assert (code, "1" in err) == (0, True)
    assert json.loads(huitong_("notice", "list", "--unread", "--format", "json")[1])["total"] == 1
    assert huitong_("notice", "read", "--all")[0] == 0
    _, out, err = huitong_("notice", "list", "--unread")
    assert (out, bool(err)) == ("", True)


def test_which_notices_were_read_must_be_said(huitong_: Run) -> None:
    assert huitong_("notice", "read")[0] == 3
    assert huitong_("notice", "read", "x", "--all")[0] == 3


def test_e_mail_is_chosen_and_shown(huitong_: Run) -> None:
    code, out, err = huitong_("notice", "mail", "--when", "daily", "--address", "min@gz.example.cn")
    assert code == 0, err
    assert "once a day" in out and "min@gz.example.cn" in out
    assert "sends no e-mail" in err
    assert huitong_("notice", "mail", "--format", "json")[0] == 0
    code, _, err = huitong_("notice", "mail", "--address", "nobody")
    assert (code, "Latin letters" in err) == (3, True)


def test_a_webhook_from_adding_to_removing(huitong_: Run) -> None:
    code, out, err = huitong_("webhook", "add", HOOK, "--kind", "grant-made", "--format", "json")
    assert code == 0, err
    made = json.loads(out)
    webhook, secret = made["webhook"]["id"], made["secret"]
    assert "not shown again" in err
    for arguments in (("list",), ("test", webhook), ("deliveries", webhook)):
        for form in ("table", "csv", "json"):
            code, out, err = huitong_("webhook", *arguments, "--format", form)
            assert code == 0, err
            assert out.strip() and secret not in out + err
    _, out, _ = huitong_("webhook", "deliveries", webhook, "--lang", "zh-Hans")
    assert "等待" in out
    code, out, err = huitong_("webhook", "rotate", webhook)
    assert code == 0, err
    assert "whsec_" in out and secret not in out
    assert huitong_("webhook", "remove", webhook)[0] == 0
    assert huitong_("webhook", "remove", webhook)[0] == 4
    assert huitong_("webhook", "add", HOOK, "--kind", "nothing")[0] == 3


def test_webhooks_are_refused_with_what_to_do(huitong_: Run) -> None:
    code, _, err = huitong_("webhook", "add", "https://elsewhere.example/hook")
    assert code == 6
    assert "webhook_hosts" in err and "elsewhere.example:443" in err
    assert huitong_("webhook", "list", who="analyst")[0] == 6
