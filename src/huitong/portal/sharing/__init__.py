"""Requests with their events, and grants."""
