"""The Django app of the ledger at rest."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Name of the Django app."""

    name = "huitong.portal.audit"
    label = "audit"
