"""How lines of the log are written: no token stands in any of them, wherever it came from."""

import logging
import re

_TOKEN = re.compile(r"\bht_([a-z0-9]{10})_[A-Za-z0-9_%-]+")


def without_secrets(text: str) -> str:
    """The text, of every token in it only the part that may be shown: `ht_<prefix>_...`."""
    return _TOKEN.sub(r"ht_\1_...", text)


class Redacting(logging.Formatter):
    """A formatter whose finished line, traceback included, goes through `without_secrets`: an address that was called with a token in
    it, by mistake, is told in the log by the framework itself."""

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        return without_secrets(super().format(record))
