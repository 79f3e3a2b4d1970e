"""The numbers of `limits.toml`."""

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files


@dataclass(frozen=True)
class DeliveryLimits:
    """What extracts and addresses may be, with the meaning given in `limits.toml`."""

    maximum_rows: int
    engine_seconds: int
    keep_days: int
    superseded_hours: int
    address_minutes: int
    address_minutes_longest: int
    waiting_of_an_office: int
    attempts: int
    piece_bytes: int
    look_again_seconds: float

    @property
    def keep(self) -> timedelta:
        """How long a file stays after it was made."""
        return timedelta(days=self.keep_days)

    @property
    def superseded(self) -> timedelta:
        """How long it stays after a newer snapshot has come."""
        return timedelta(hours=self.superseded_hours)


def read_limits() -> DeliveryLimits:
    """The numbers that ship with Huitong."""
    said = tomllib.loads(files("huitong.delivery").joinpath("limits.toml").read_text("utf-8"))
    return DeliveryLimits(**said["limits"])
