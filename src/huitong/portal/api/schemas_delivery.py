"""Forms of extracts and of their addresses."""

from datetime import datetime
from typing import Annotated, Self

from ninja import Field, Schema
from pydantic import StringConstraints, model_validator

from huitong.delivery.record_limits import read_record_limits
from huitong.model.delivery import ExtractForm, ExtractState
from huitong.model.records import CopyState, Key
from huitong.portal.api.schemas import NO_NUL, Name, Page, ReasonOut, Strict

RECORDS = read_record_limits()
KeyText = Annotated[str, StringConstraints(max_length=RECORDS.key_characters, pattern=NO_NUL)]
"""A value of a key, or one that is compared. Whether it has the right form is decided inside, where no error repeats it."""


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


class RecordKeys(Strict):
    """Whose records, of which dataset, for which purpose. Keys stand in the body: addresses are written into logs."""

    dataset: Name
    purpose: Name
    keys: Annotated[list[KeyText | list[KeyText]], Field(min_length=1, max_length=RECORDS.keys_of_a_call)] = Field(
        description="A value for each record, as the grant shows the key item (a pseudonym: its token); of a key of several items a list"
    )

    def read_keys(self) -> list[Key]:
        """Each key as its values."""
        return [[key] if isinstance(key, str) else key for key in self.keys]


class RecordGetIn(RecordKeys):
    """Which items of these records."""

    items: Annotated[list[Name], Field(max_length=1000)] | None = Field(None, description="Some of the granted items; all if not stated")


class ComparedIn(Strict):
    """The item holds this value, as the grant shows it."""

    item: Name
    value: KeyText


class RecordVerifyIn(RecordKeys):
    """What is asked of each of these records: whether all of this holds."""

    where: Annotated[list[ComparedIn], Field(min_length=1, max_length=RECORDS.compared_of_a_call)]


class RecordDoorIn(Strict):
    """Whether records of the dataset may be called for by key."""

    on: bool


class RecordDoorOut(Schema):
    """The door of a dataset, and the copy of the current snapshot that calls read."""

    dataset: str
    on: bool
    key: list[str] = Field(description="Items by which records are found, in this order")
    changed_at: datetime | None = Field(description="When it was last switched")
    snapshot: int | None
    state: CopyState
    rows: int = Field(description="Rows copied so far; all of them once it is ready")
    rows_expected: int
    rows_without_key: int | None = Field(description="Rows in which an item of the key is missing; told to the managing office alone")
    reasons: list[ReasonOut] = Field(description="Why no copy could be made")
