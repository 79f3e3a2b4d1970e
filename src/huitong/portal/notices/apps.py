"""The Django app of notices."""

from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.notices"
    label = "notices"
