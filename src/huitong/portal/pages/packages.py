"""Where the style sheets and scripts of npm's packages lie: served from there, never copied into this repository."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[4]
FOLDERS = {"govuk": "govuk-frontend/dist/govuk", "htmx": "htmx.org/dist"}
"""Prefix under /static/ and the folder of the package below `node_modules`."""


def package_folders(checkout: Path = CHECKOUT) -> list[tuple[str, Path]]:
    """For Django's STATICFILES_DIRS: those that `npm ci` has brought. Without them the pages are plain, and they work."""
    found = [(prefix, checkout / "node_modules" / folder) for prefix, folder in FOLDERS.items()]
    return [(prefix, folder) for prefix, folder in found if folder.is_dir()]
