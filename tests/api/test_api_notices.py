"""Notices through the API: the in-box, the choice of e-mail, webhooks; secrets are shown once."""

from tests.api.conftest import NOW, Instance

from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Role

HOOK = "http://127.0.0.1:9/hook"


def told(instance: Instance, *requests: str) -> None:
    for request in requests:
        to = (("gz-education", Role.ANALYST),)
        about = {"request": request, "dataset": "civil.household"}
        instance.stores.notices.post(Notice(kind=NoticeKind.REQUEST_REFUSED, at=NOW, about=about, to_roles=to))


def test_what_i_was_told_and_have_read(instance: Instance) -> None:
    told(instance, "R-1", "R-2")
    page = instance.get("notices", **{"Accept-Language": "zh"}).json()
    assert (page["total"], page["unread"]) == (2, 2)
    first = page["notices"][0]
    assert (first["kind"], first["type"], first["about"]["request"]) == ("request-refused", "request.refused", "R-2")
    assert first["text"] == "共享申请未获同意：申请 R-2，信息资源 civil.household"
    assert instance.post("notices/read", {"notices": [first["id"]]}).json() == {"read": 1, "unread": 1}
    assert [one["about"]["request"] for one in instance.get("notices?unread=true").json()["notices"]] == ["R-1"]
    assert instance.post("notices/read", {}).json() == {"read": 1, "unread": 0}
    assert instance.get("notices", token="stranger").json()["total"] == 0


def test_the_in_box_comes_as_a_table_too(instance: Instance) -> None:
    told(instance, "R-1")
    answer = instance.get("notices", Accept="text/csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "request-refused" in answer.content.decode() and "R-1" in answer.content.decode()


def test_my_e_mail(instance: Instance) -> None:
    assert instance.get("notices/mail").json() == {"when": "off", "address": "", "language": "en", "leaves": False}
    chosen = instance.post("notices/mail", {"when": "daily", "address": "wen@gz.example.cn", "language": "zh-Hans"}).json()
    assert chosen == {"when": "daily", "address": "wen@gz.example.cn", "language": "zh-Hans", "leaves": False}
    assert instance.get("notices/mail").json() == chosen
    assert instance.post("notices/mail", {"when": "off"}).json()["address"] == "wen@gz.example.cn"
    assert instance.post("notices/mail", {"address": "not an address"}).status_code == 422
    assert instance.post("notices/mail", {"when": "off"}, token="read-only").status_code == 403


def test_a_webhook_from_adding_to_removing(instance: Instance) -> None:
    made = instance.post("webhooks", {"url": HOOK, "kinds": ["grant-revoked"]}, token="officer")
    assert made.status_code == 201
    webhook, secret = made.json()["webhook"], made.json()["secret"]
    assert secret.startswith("whsec_")
    listed = instance.get("webhooks", token="officer")
    assert listed.json()["webhooks"] == [webhook]
    assert secret not in listed.content.decode()
    trial = instance.post(f"webhooks/{webhook['id']}/test", {}, token="officer")
    assert (trial.status_code, trial.json()["state"]) == (202, "waiting")
    (delivery,) = instance.get(f"webhooks/{webhook['id']}/deliveries", token="officer").json()["deliveries"]
    assert delivery["id"] == trial.json()["id"]
    rotated = instance.post(f"webhooks/{webhook['id']}/rotate", {}, token="officer").json()
    assert rotated["secret"] != secret and rotated["webhook"]["rotated_until"]
    assert instance.post(f"webhooks/{webhook['id']}/remove", {}, token="officer").json() == {"webhooks": []}
    assert instance.post(f"webhooks/{webhook['id']}/test", {}, token="officer").status_code == 404


def test_webhooks_are_for_data_officers_and_hosts_that_are_allowed(instance: Instance) -> None:
    assert instance.post("webhooks", {"url": HOOK}, token="analyst").status_code == 403
    for url, status in [
        ("http://127.0.0.1:10/hook", 403),
        ("http://169.254.169.254/latest/meta-data", 403),
        ("https://elsewhere.example/hook", 403),
        ("file:///etc/passwd", 422),
        ("http://user:s3cr3t@127.0.0.1:9/hook", 422),
        ("http://127.0.0.1:9/hook#part", 422),
        ("http://127.0.0.1:9\\@elsewhere.example/", 422),
        ("http://127.0.0.1:99999/", 422),
        ("http://[::1/", 422),
        ("http://127.0.0.1:9/\r\nX-Injected: 1", 422),
    ]:
        answer = instance.post("webhooks", {"url": url}, token="officer")
        assert answer.status_code == status, (url, answer.content)
        assert "s3cr3t" not in answer.content.decode()
    assert instance.get("webhooks", token="officer").json() == {"webhooks": []}
