"""The pages as a Django app: their templates, static files and template tags."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.pages"
    label = "pages"
