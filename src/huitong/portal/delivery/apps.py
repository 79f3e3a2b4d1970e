"""The Django app of what leaves as a file."""

from django.apps import AppConfig


class DeliveryConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.delivery"
    label = "delivery"
