"""The Django app of what there is."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.catalog"
    label = "catalog"
