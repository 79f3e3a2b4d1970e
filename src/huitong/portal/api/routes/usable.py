"""What an office has, and what it could have: every entry that it may know of, by standing."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from huitong.portal.api import shapes
from huitong.portal.api.auth import READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Limit, Offset
from huitong.portal.api.usable_schemas import Usable
from huitong.portal.doors import doors
from huitong.sharing.availability import AvailabilityKind
from huitong.sharing.usable import UsableEntry

router = Router(tags=["Catalogue"], auth=READ)


@router.get("/usable", response=Usable, openapi_extra=signed_in())
def usable(
    request: HttpRequest,
    can: Annotated[list[AvailabilityKind], Query(max_length=7, description="Only those of which this is the answer; none: all")] = [],  # noqa: B006
    limit: Limit = 20,
    offset: Offset = 0,
) -> Any:
    """The datasets that your office may know of, each with whether, how and by when it may have it, by id."""
    found = doors().usable.usable(by=actor(request), kinds=can, limit=limit, offset=offset)
    entries = [_entry(one, language_of(request)) for one in found.entries]
    return shapes.page(entries, name="datasets", total=found.total, limit=limit, offset=offset)


def _entry(found: UsableEntry, language: str) -> shapes.JSON:
    return {
        "id": found.dataset,
        "title": shapes.words(found.title),
        "provider": shapes.office_reference(found.provider),
        "sharing": found.sharing,
        "item_count": found.items,
        "grade": int(found.grade),
        "availability": shapes.told(found.availability, found.dataset, language),
    }
