"""What Django is told: keys of the instance, a policy for browsers without exceptions, accounts without power of their own."""

from pathlib import Path

import pytest
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth import authenticate, get_user
from django.http import HttpResponse
from django.test import Client, RequestFactory
from tests.portal.examples import NOON

from huitong.errors import Unavailable
from huitong.keystore import SESSION, FileKeyStore
from huitong.portal.accounts.models import Account
from huitong.portal.keys import session_key
from huitong.settings import Settings

PASSWORD = "long and dull enough"


def test_sessions_are_signed_by_the_key_of_the_instance(tmp_path: Path) -> None:
    instance = Settings(home=tmp_path)
    keys = FileKeyStore(instance.keys)
    keys.create()
    assert session_key(instance) == keys.secret(SESSION).hex()


def test_without_an_instance_the_key_is_of_this_process_alone(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path / "nowhere")
    assert len(session_key(nowhere)) == 64
    assert session_key(nowhere) != session_key(nowhere)


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    instance = Settings(home=tmp_path)
    FileKeyStore(instance.keys).create()
    (instance.keys / f"{SESSION}.key").chmod(0o644)
    with pytest.raises(Unavailable):
        session_key(instance)


def test_browsers_run_and_load_nothing_but_our_own_files() -> None:
    response = CSPMiddleware(lambda _request: HttpResponse())(RequestFactory().get("/"))
    policy = dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy["default-src"] == policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert {"script-src", "style-src", "img-src", "connect-src", "form-action"} <= policy.keys()


def test_no_app_brings_a_back_door() -> None:
    assert "django.contrib.admin" not in settings.INSTALLED_APPS
    assert settings.DEBUG is False
    assert settings.SESSION_COOKIE_HTTPONLY
    assert "*" not in settings.ALLOWED_HOSTS


@pytest.mark.django_db
def test_closing_an_account_ends_its_session_at_the_next_request() -> None:
    account = Account(username="sun.li", name="孙丽", created_at=NOON)
    account.set_password(PASSWORD)
    account.save()
    client = Client()
    assert authenticate(username="sun.li", password=PASSWORD) is None, "the backend would not count tries"
    client.force_login(account)
    request = RequestFactory().get("/")
    request.session = client.session
    assert get_user(request).is_authenticated
    account.is_active = False
    account.save()
    request = RequestFactory().get("/")
    request.session = client.session
    assert not get_user(request).is_authenticated


@pytest.mark.django_db
def test_a_new_password_ends_the_sessions_of_the_old_one() -> None:
    account = Account(username="sun.li", name="孙丽", created_at=NOON)
    account.set_password(PASSWORD)
    account.save()
    client = Client()
    client.force_login(account)
    request = RequestFactory().get("/")
    request.session = client.session
    assert get_user(request).is_authenticated
    account.set_password("another long one")
    account.save()
    request.session = client.session
    assert not get_user(request).is_authenticated
