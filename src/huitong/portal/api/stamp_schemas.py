"""Forms of time stamps of checkpoints."""

from datetime import datetime

from ninja import Field, Schema

from huitong.portal.api.schemas import Page


class StampOut(Schema):
    """A checkpoint that a time-stamping service stamped (RFC 3161)."""

    size: int = Field(description="Entries of the checkpoint")
    service: str = Field(description="Its name in this instance's settings")
    at: datetime = Field(description="The time that the service says")
    checkpoint: str = Field(description="What was stamped: the signed note, byte for byte")
    answer: str = Field(description="The answer of the service (TimeStampResp, DER) in base64")


class StampsOut(Page):
    """Stamps, the newest checkpoint first; `total` counts checkpoints, each with the stamps of one service or more."""

    stamps: list[StampOut]
