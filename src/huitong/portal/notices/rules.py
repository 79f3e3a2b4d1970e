"""The numbers of `rules.toml`: how notices go out and how long they are kept."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class NoticeRules:
    """The numbers of `rules.toml`, with their meaning there."""

    retry_seconds: tuple[int, ...]
    jitter: float
    longest_rest_seconds: int
    keep_trying_hours: int
    longest_wait_seconds: int
    request_seconds: float
    connect_seconds: float
    mail_seconds: float
    lease_seconds: float
    well: int
    ailing: int
    mail: int
    look_seconds: float
    rotation_hours: int
    most_webhooks: int
    digest_hour: int
    digest_entries: int
    keep_done_days: int
    keep_unread_days: int

    @property
    def attempts(self) -> int:
        """How often a message is tried at most."""
        return len(self.retry_seconds) + 1

    def seconds_after(self, attempts: int, *, luck: float) -> float | None:
        """Until the next attempt after so many that failed; None if there is none. `luck` in [0, 1) is the jitter's die."""
        if attempts >= self.attempts:
            return None
        return self.retry_seconds[attempts - 1] * (1 + self.jitter * (2 * luck - 1))

    def rest_seconds(self, failures: int, *, luck: float) -> float:
        """How long a receiver rests after so many failures in a row."""
        step = self.retry_seconds[min(failures, len(self.retry_seconds)) - 1]
        return min(step, self.longest_rest_seconds) * (1 + self.jitter * (2 * luck - 1))


@cache
def notice_rules() -> NoticeRules:
    """The rules that ship with Huitong."""
    written = tomllib.loads((files("huitong.portal.notices") / "rules.toml").read_text("utf-8"))
    return NoticeRules(**{**written, "retry_seconds": tuple(written["retry_seconds"])})
