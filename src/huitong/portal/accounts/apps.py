"""The Django app of who takes part."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.accounts"
    label = "accounts"
