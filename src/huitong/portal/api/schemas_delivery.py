"""Forms of extracts and of their addresses."""

from datetime import datetime
from typing import Annotated, Self

from ninja import Field, Schema
from pydantic import model_validator

from huitong.model.delivery import ExtractForm, ExtractState
from huitong.portal.api.schemas import Name, Page, ReasonOut, Strict


class ExtractIn(Strict):
    """What to write: all items of a grant or some of them; or of a dataset for a purpose, under the grant that would carry a query."""

    grant: Name | None = Field(None, description="A grant of your office")
    dataset: Name | None = None
    purpose: Name | None = Field(None, description="That of the grant, if it is not stated")
    items: Annotated[list[Name], Field(max_length=1000)] | None = Field(None, description="Some of the granted items; all if not stated")
    format: ExtractForm = ExtractForm.PARQUET

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.grant is None and (self.dataset is None or self.purpose is None):
            raise ValueError("a grant, or a dataset and a purpose")
        return self


class ExtractOut(Schema):
    """An extract: its state, how far it is, and when it is ready what the file is."""

    id: str
    state: ExtractState
    dataset: str
    snapshot: int
    items: list[str]
    format: ExtractForm
    purpose: str
    grant: str
    grant_version: int
    terms_hash: str
    person: str
    asked_at: datetime
    rows: int = Field(description="Rows written so far; all of them once it is ready")
    rows_expected: int = Field(description="Rows of the snapshot: at most as many will be written")
    bytes: int
    sha256: str | None
    query: str | None = Field(description="Number of the use that made it; its receipt proves it")
    ready_at: datetime | None
    removed_at: datetime | None
    reasons: list[ReasonOut] = Field(description="Why it failed or was removed")


class Extracts(Page):
    """Extracts, newest first."""

    extracts: list[ExtractOut]


class AddressIn(Strict):
    """How long the address shall serve."""

    minutes: Annotated[int, Field(ge=1, le=1440)] | None = None


class AddressOut(Schema):
    """A signed address. Whoever holds it gets the file without a token until it expires, and only while the right to it lasts."""

    address: str = Field(description="Path and query, relative to the server")
    extract: str
    expires_at: datetime
    bytes: int
    sha256: str
