"""Backups of an instance: what belongs into one, how it is written whole or not at all, its signed list of files, and sealed keys."""

BEING_RESTORED = ".being-restored"
"""Lies in the folder of an instance while it is restored; with it there is no instance yet."""
