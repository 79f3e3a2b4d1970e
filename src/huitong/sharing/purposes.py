"""The controlled lists that people choose from: purposes of a request, reasons of a refusal. Data files with their source."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from huitong.model.text import BilingualText

NOT_SHARED = "refused-not-shared"
"""The reason of the automatic refusal; a reviewer cannot choose it."""
NOT_OPEN = "refused-not-open"
"""The same for an application for data that are not open."""


@cache
def purposes() -> Mapping[str, BilingualText]:
    """The purposes by code, in the order of the list."""
    written = tomllib.loads((files(__package__) / "purposes.toml").read_text("utf-8"))["purpose"]
    return {code: BilingualText(zh=words["zh"], en=words["en"]) for code, words in written.items()}


@cache
def refusal_reasons() -> Mapping[str, bool]:
    """The reasons by code, and whether the reviewer must write words beside it."""
    written = tomllib.loads((files(__package__) / "refusals.toml").read_text("utf-8"))["reason"]
    return {code: bool(rule["words"]) for code, rule in written.items()}
