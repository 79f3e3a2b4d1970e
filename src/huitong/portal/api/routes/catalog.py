# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""What there is: entries, their publication, their snapshots."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from huitong.catalog.toml import entry_of
from huitong.model.catalog import Sharing
from huitong.portal.api import shapes
from huitong.portal.api.auth import PUBLISH, READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id, Limit, OfficeId, Offset, RejectLimit, Search
from huitong.portal.api.schemas import DatasetFull, DatasetIn, Datasets, Loaded
from huitong.portal.api.uploads import ENDINGS, received
from huitong.portal.doors import doors

router = Router(tags=["Catalogue"], auth=READ)
BODY_OF_A_SNAPSHOT = {
    "requestBody": {
        "required": True,
        "description": "The file itself; it is streamed, so it may be large.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ENDINGS},
    }
}


@router.get("/datasets", response=Datasets, openapi_extra=signed_in())
def datasets(
    request: HttpRequest,
    q: Search = "",
    office: OfficeId | None = None,
    sharing: Sharing | None = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Any:
    """Datasets that match words in Chinese or English, best first; without words all, by id."""
    providers, kinds = (office,) if office else None, (sharing,) if sharing else None
    found = doors().catalog.search(q, providers=providers, sharing=kinds, limit=limit, offset=offset)
    entries = [shapes.dataset(one) for one in found.hits]
    return shapes.page(entries, name="datasets", total=found.total, limit=limit, offset=offset)


@router.get("/datasets/{dataset_id}", response=DatasetFull, openapi_extra=signed_in(404))
def dataset(request: HttpRequest, dataset_id: Id) -> Any:
    """A whole entry, its current snapshot, and whether, how and by when your office may have it."""
    found = doors().catalog.dataset(dataset_id)
    return shapes.dataset_full(found, actor=actor(request), language=language_of(request))


@router.post("/datasets", response={201: DatasetFull}, auth=PUBLISH, openapi_extra=signed_in(400, 409))
def publish(request: HttpRequest, body: DatasetIn) -> Any:
    """Publish an entry of your own office, or replace the one of the same id (role data-officer)."""
    entry = entry_of(body.model_dump(mode="json", exclude_none=True))
    published = doors().catalog.publish(entry, by=actor(request))
    return Status(201, shapes.dataset_full(published, actor=actor(request), language=language_of(request)))


@router.post(
    "/datasets/{dataset_id}/snapshots",
    response={201: Loaded},
    auth=PUBLISH,
    openapi_extra=signed_in(400, 404, 409, 411, 413, 415) | BODY_OF_A_SNAPSHOT,
)
def take_snapshot(request: HttpRequest, dataset_id: Id, reject_limit: RejectLimit = 0) -> Any:
    """Load a CSV or Parquet file as the next snapshot of a dataset of your own office (role data-officer).

    More than `reject_limit` rows that do not fit their items, and nothing is taken."""
    doors().check_may_load(dataset_id, by=actor(request))
    with received(request) as path:
        loaded = doors().take_snapshot(dataset_id, path, by=actor(request), reject_limit=reject_limit)
    return Status(201, shapes.loaded(loaded))
