"""Remembers and shows: the stores of the core on Django's ORM, accounts, the HTTP API and the pages."""
