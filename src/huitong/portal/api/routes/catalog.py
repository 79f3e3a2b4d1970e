# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""What there is: entries, their publication, their synthetic samples, the catalogue in the forms of others."""

from typing import Annotated, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Query, Router, Status

from huitong.catalog import dcat, guide
from huitong.catalog.ports import Facet
from huitong.catalog.sample import synthetic_rows
from huitong.catalog.toml import entry_of, values_of
from huitong.model.text import BilingualText
from huitong.portal.api import shapes
from huitong.portal.api.auth import PUBLISH, READ, actor
from huitong.portal.api.forms import problems, signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id, Limit, OfficeId, Offset, Search
from huitong.portal.api.schemas import (
    Applied,
    ApplyIn,
    DatasetFull,
    DatasetIn,
    Datasets,
    EntriesOut,
    GradingOut,
    Narrowing,
    SampleOut,
)
from huitong.portal.doors import doors

router = Router(tags=["Catalogue"], auth=READ)

SAMPLE_ROWS = 1000
TURTLE, JSON_LD, CSV = "text/turtle", "application/ld+json", "text/csv"


def as_public_file(kind: str) -> dict[str, Any]:
    """The description of an answer that is a file and needs no token."""
    return _with_file(problems(404), kind)


def as_file(kind: str) -> dict[str, Any]:
    """The description of an answer that is a file."""
    return _with_file(signed_in(404), kind)


def _with_file(told: dict[str, Any], kind: str) -> dict[str, Any]:
    schema = {"type": "object" if kind == JSON_LD else "string"}
    return {"responses": {200: {"description": "OK", "content": {kind: {"schema": schema}}}, **told["responses"]}}


@router.get("/datasets", response=Datasets, openapi_extra=signed_in())
def datasets(
    request: HttpRequest,
    narrow: Query[Narrowing],
    q: Search = "",
    facets: Annotated[list[Facet], Query(max_length=9, description="Count the hits under each value of these")] = [],  # noqa: B006
    limit: Limit = 20,
    offset: Offset = 0,
) -> Any:
    """Datasets that match words in Chinese or English, best first, of those that your office may know of; without words all, by id.

    Several values of one facet widen, several facets narrow. Counts are made of the same hits."""
    by = actor(request)
    found = doors().catalog.search(q, viewer=by.office, narrowing=narrow.given(), facets=facets, limit=limit, offset=offset)
    entries = [shapes.dataset(one) for one in found.hits]
    return shapes.page(entries, name="datasets", total=found.total, limit=limit, offset=offset) | {"facets": shapes.facets(found.facets)}


@router.get("/datasets/{dataset_id}", response=DatasetFull, openapi_extra=signed_in(404))
def dataset(request: HttpRequest, dataset_id: Id) -> Any:
    """A whole entry, its current snapshot, and whether, how and by when your office may have it."""
    by = actor(request)
    return shapes.dataset_full(doors().catalog.dataset(dataset_id, viewer=by.office), actor=by, language=language_of(request))


@router.post("/datasets", response={201: DatasetFull}, auth=PUBLISH, openapi_extra=signed_in(400, 409))
def publish(request: HttpRequest, body: DatasetIn) -> Any:
    """Publish an entry of your own office, or replace the one of the same id (role data-officer)."""
    published = doors().catalog.publish(entry_of(body.model_dump(mode="json", exclude_none=True)), by=actor(request))
    return Status(201, shapes.dataset_full(published, actor=actor(request), language=language_of(request)))


@router.get("/datasets/{dataset_id}/sample", response=SampleOut, openapi_extra=signed_in(404))
def synthetic_sample(
    request: HttpRequest, dataset_id: Id, rows: Annotated[int, Query(ge=1, le=SAMPLE_ROWS)] = 10
) -> Any:
    """Synthetic rows of the right shape: made from the entry alone, never from data, the same at each call."""
    found = doors().catalog.dataset(dataset_id, viewer=actor(request).office)
    made = synthetic_rows(found, rows=rows)
    return {"dataset": found.id, "synthetic": True, "items": [one.name for one in found.items], "rows": made}


@router.get("/datasets/{dataset_id}/dcat.ttl", openapi_extra=as_file(TURTLE))
def dcat_turtle(request: HttpRequest, dataset_id: Id) -> HttpResponse:
    """The entry as DCAT-AP 3 in Turtle."""
    return HttpResponse(_document(request, dataset_id).turtle(), content_type=f"{TURTLE}; charset=utf-8")


@router.get("/datasets/{dataset_id}/dcat.jsonld", openapi_extra=as_file(JSON_LD))
def dcat_json_ld(request: HttpRequest, dataset_id: Id) -> HttpResponse:
    """The entry as DCAT-AP 3 in JSON-LD."""
    return HttpResponse(_document(request, dataset_id).json_ld(), content_type=JSON_LD)


def _document(request: HttpRequest, dataset_id: str) -> dcat.Document:
    found = doors().catalog.dataset(dataset_id, viewer=actor(request).office)
    snapshot = doors().current_snapshot(found.id)
    return dcat.dataset_document(found, portal=portal_of(request), offices=doors().parties, snapshot=snapshot)


def portal_of(request: HttpRequest) -> dcat.Portal:
    """The instance as others name it. Raises NotFound `office-unknown` if there is no office at all."""
    address = settings.HUITONG.public_address or request.build_absolute_uri("/")
    return dcat.Portal(
        base=address.rstrip("/"),
        title=BilingualText(zh="汇通政务数据目录", en="Huitong: catalogue of the province's data"),
        description=BilingualText(
            zh="各部门的信息资源：有什么、由谁负责、按什么条件共享。",
            en="Every office's datasets: what there is, who answers for it, on what conditions it is shared.",
        ),
        publisher=doors().publisher(settings.HUITONG.publisher),
    )


@router.get("/catalog.ttl", auth=None, openapi_extra=as_public_file(TURTLE))
def catalog_turtle(request: HttpRequest) -> StreamingHttpResponse:
    """The catalogue that everyone may know as DCAT-AP 3 in Turtle, for other catalogues to harvest; needs no token."""
    return StreamingHttpResponse(_catalogue(request).turtle_parts(), content_type=f"{TURTLE}; charset=utf-8")


@router.get("/catalog.jsonld", auth=None, openapi_extra=as_public_file(JSON_LD))
def catalog_json_ld(request: HttpRequest) -> StreamingHttpResponse:
    """The same in JSON-LD."""
    return StreamingHttpResponse(_catalogue(request).json_ld_parts(), content_type=JSON_LD)


def _catalogue(request: HttpRequest) -> dcat.Document:
    return dcat.catalogue_document(
        lambda: doors().catalog.every_dataset(viewer=None), portal=portal_of(request), offices=doors().parties
    )


@router.get("/catalog.csv", openapi_extra=as_file(CSV))
def catalog_csv(request: HttpRequest, office: OfficeId | None = None) -> StreamingHttpResponse:
    """The catalogue that your office may know, in the form of the national compilation guide; of one office if it is named."""
    lines = guide.guide_csv(doors().known_entries(actor(request), office=office), doors().parties)
    return StreamingHttpResponse(lines, content_type=f"{CSV}; charset=utf-8")


@router.get("/catalog/entries", response=EntriesOut, openapi_extra=signed_in())
def entries(request: HttpRequest, office: OfficeId | None = None) -> Any:
    """The entries of an office, by default your own, in full: as `publish` and `apply` take them."""
    by = actor(request)
    return {"entries": [values_of(one) for one in doors().known_entries(by, office=office or by.office)]}


@router.post("/catalog/apply", response=Applied, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def apply(request: HttpRequest, body: ApplyIn) -> Any:
    """Put many entries of your own office in force, all or none (role data-officer); `dry_run` only tells what would change."""
    wanted = [entry_of(one.model_dump(mode="json", exclude_none=True)) for one in body.entries]
    plan = doors().catalog.apply(wanted, by=actor(request), dry_run=body.dry_run)
    return shapes.applied(plan, done=not body.dry_run, language=language_of(request))


@router.get("/grading", response=GradingOut, openapi_extra=signed_in())
def grading(request: HttpRequest) -> Any:
    """The grading scheme in force: its grades, what each asks for, and its source."""
    return shapes.grading(doors().grading)
