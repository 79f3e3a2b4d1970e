"""The form of the list of what an office has and could have."""

from ninja import Field, Schema

from huitong.model.catalog import Sharing
from huitong.portal.api.schemas import AvailabilityOut, Bilingual, OfficeReference, Page


class UsableOut(Schema):
    """An entry, with what your office has of it or could have."""

    id: str
    title: Bilingual
    provider: OfficeReference
    sharing: Sharing
    item_count: int
    grade: int = Field(description="Highest grade of its items, 1 to 6")
    availability: AvailabilityOut


class Usable(Page):
    """Entries by id."""

    datasets: list[UsableOut]
