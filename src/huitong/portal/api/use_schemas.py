"""Forms of the lists that tell who used which data."""

from datetime import date, datetime
from typing import Annotated

from ninja import Field, Schema
from pydantic import StringConstraints

from huitong.ledger.uses import UseEnd
from huitong.portal.api.schemas import NO_NUL, OfficeReference, Page
from huitong.sharing.used import UsesSide

Named = Annotated[str, StringConstraints(min_length=1, max_length=130, pattern=NO_NUL)]


class UsesAsked(Schema):
    """Which uses."""

    side: UsesSide = Field(UsesSide.PROVIDER, alias="as", description="Uses of your office's data, your office's uses, or as regulator")
    dataset: Named | None = None
    office: Named | None = Field(None, description="The using office")
    grant: Named | None = None
    end: UseEnd | None = Field(None, description="How they ended")
    since: date | None = Field(None, description="Ended on this day or later")
    until: date | None = Field(None, description="Ended on this day or before")


class UsedItemOut(Schema):
    """An item that a statement used, and how it left; never values."""

    item: str
    mask: str = Field(description="As the command line writes it, e.g. `partial:first=3,last=4`; empty if the ledger does not say")


class UseOfDataOut(Schema):
    """One dataset of one use, as the ledger tells it."""

    query: str = Field(description="Number of the use: its receipt lies at `/queries/{query}/receipt`")
    dataset: str = Field(description="Empty for a refused statement that named no dataset")
    using_office: OfficeReference
    person: str
    post: str
    purpose: str
    legal_basis: str
    grant: str | None
    grant_version: int | None
    snapshot: int | None
    mode: str | None = Field(description="What kind of answers the grant allows; null if the ledger does not say")
    door: str | None = Field(description="`query`, `extract`, `reidentification`, or a later one; null if the ledger does not say")
    end: UseEnd
    at: datetime
    ended_at: datetime
    rows: int | None = Field(description="Rows that were told, of the whole use")
    duration: str | None = Field(description="Bucket of its duration")
    items: list[UsedItemOut]
    reasons: list[str] = Field(description="Codes: why it was refused, or failed")


class UsesOfDataOut(Page):
    """Uses of data, the last that ended first."""

    uses: list[UseOfDataOut]


class RunningUseOut(Schema):
    """A use that runs now; its statement is not told."""

    query: str = Field(description="Number of the use")
    since: datetime
    using_office: OfficeReference
    person: str
    post: str
    purpose: str
    datasets: list[str]
    door: str = Field(description="`query`, `extract` or `reidentification`")
    cancelled_by: str | None = Field(description="The person who cancelled it: it is about to stop")


class RunningUsesOut(Page):
    """Uses that run now, the longest running first."""

    uses: list[RunningUseOut]


class UseTotalOut(Schema):
    """Uses of a dataset by an office that ended in a month."""

    month: str = Field(description="`2026-03`, on the calendar of the instance")
    dataset: str
    using_office: OfficeReference
    answered: int
    refused: int
    failed: int
    rows: int = Field(description="Rows that were told")


class UseTotalsOut(Page):
    """Totals of uses, the newest month first."""

    totals: list[UseTotalOut]
