"""The Django app of what was asked and agreed."""

from django.apps import AppConfig


class SharingConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.sharing"
    label = "sharing"
