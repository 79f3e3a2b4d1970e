"""Backup and restore of an instance: the copy of its control database, and the order of the steps."""
