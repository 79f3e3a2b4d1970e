"""From settings to a running platform: the stores of this portal handed to the core. Only portal and cli construct stores."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import django
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections

from huitong.keystore import FileKeyStore
from huitong.platform import Platform
from huitong.platform import open as open_core
from huitong.portal.databases import database_settings
from huitong.portal.keys import session_key
from huitong.settings import Settings

if TYPE_CHECKING:
    from huitong.portal.accounts.actions import Accounts

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """The present instant, UTC."""
    return datetime.now(UTC)


def start_django(settings: Settings) -> None:
    """Make Django in this process serve the instance of `settings`; may be called again, also for another instance.

    The folder of the instance goes into the environment, so that child processes find the same one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huitong.portal.django_settings")
    if not apps.ready:
        os.environ["HUITONG_HOME"] = str(settings.home)
        django.setup()
    served: Settings = django_settings.HUITONG
    if (served.home, served.database) != (settings.home, settings.database):
        _serve_another(settings)
    django_settings.HUITONG = settings


def _serve_another(settings: Settings) -> None:
    """Point the default database, and the key of sessions, at another instance: a process serves one at a time."""
    connections.close_all()
    connections.settings["default"] = connections.configure_settings({"default": database_settings(settings.database)})["default"]
    with suppress(AttributeError):
        del connections["default"]
    os.environ["HUITONG_HOME"] = str(settings.home)
    django_settings.SECRET_KEY = session_key(settings)


def migrate(settings: Settings) -> None:
    """Make or bring up to date the tables of the instance's database."""
    start_django(settings)
    call_command("migrate", verbosity=0, interactive=False)


def open_platform(settings: Settings, *, clock: Clock = wall_clock) -> Platform:
    """The platform of an instance over its stores. The tables must be there (`migrate`)."""
    start_django(settings)
    from huitong.portal.stores import Stores

    return open_core(settings, Stores(), clock)


def open_accounts(platform: Platform, *, clock: Clock = wall_clock) -> "Accounts":
    """The verbs of accounts and tokens of the same instance, writing to the same ledger."""
    start_django(platform.settings)
    from huitong.portal.accounts.actions import Accounts
    from huitong.portal.stores import Stores

    return Accounts(stores=Stores(), ledger=platform.ledger, keystore=FileKeyStore(platform.settings.keys), clock=clock)
