from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.audit"
    label = "audit"
