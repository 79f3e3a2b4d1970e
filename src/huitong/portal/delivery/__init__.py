"""Extracts and addresses at rest."""
