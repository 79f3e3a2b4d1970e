# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""Rows of an office become snapshots: loads by hand and by plan, what was left out, quality, suggestions, erasure."""

from pathlib import Path
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Status
from pydantic import Field

from huitong.errors import NotFound
from huitong.intake.loads import LoadOptions
from huitong.intake.plans import LoadSource, SourceKind
from huitong.intake.source import Overrides
from huitong.model.catalog import LoadMode
from huitong.portal.api import shapes
from huitong.portal.api.auth import PUBLISH, READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.idempotency import once
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id, Limit, Offset, RejectLimit
from huitong.portal.api.schemas import (
    CredentialIn,
    CredentialOut,
    CredentialsOut,
    DecideIn,
    Erasure,
    ErasureIn,
    Loaded,
    LoadOut,
    Loads,
    Name,
    Nothing,
    PlanIn,
    PlanOut,
    Plans,
    QualityOut,
    ReadingFull,
    Rejects,
    Snapshots,
    SourceIn,
    SourceInspectIn,
    SourceLoadIn,
    Suggestions,
)
from huitong.portal.api.uploads import ENDINGS, received
from huitong.portal.doors import doors

router = Router(tags=["Intake"], auth=READ)
BODY_OF_A_SNAPSHOT = {
    "requestBody": {
        "required": True,
        "description": "The file itself; it is streamed, so it may be large.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ENDINGS},
    }
}
Version = Annotated[int, Field(ge=0, le=2**31 - 1)]


@router.post(
    "/datasets/{dataset_id}/snapshots",
    response={201: Loaded},
    auth=PUBLISH,
    openapi_extra=signed_in(400, 404, 409, 411, 413, 415) | BODY_OF_A_SNAPSHOT,
)
def take_snapshot(
    request: HttpRequest,
    dataset_id: Id,
    mode: LoadMode = LoadMode.REPLACE,
    reject_limit: RejectLimit = 0,
    allow: Annotated[list[str], Query(max_length=200, description="Changes of the items that are meant, as the refusal names them")] = [],  # noqa: B006
    encoding: Name | None = None,
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None,
    quote: Annotated[str, Field(max_length=1, description="The character that quotes; empty: nothing is quoted")] | None = None,
    header_row: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None,
    header_rows: Annotated[int, Field(ge=1, le=10)] = 1,
    sheet: Name | None = None,
    merged: Annotated[str, Field(pattern="^(fill|leave)$")] | None = None,
) -> Any:
    """Load a table file as the next snapshot of a dataset of your own office (role data-officer).

    CSV and TSV, Excel, ods, JSON lines or Parquet; what is inside decides. Encoding, delimiter, quote, header rows, sheet and what merged
    cells mean override what was understood. More than `reject_limit` rows that do not fit their items, and nothing is taken."""
    doors().check_may_load(dataset_id, by=actor(request))
    overrides = Overrides(
        encoding=encoding, delimiter=delimiter, quote=quote, header_row=header_row, header_rows=header_rows, sheet=sheet, merged=merged
    )
    options = LoadOptions(mode=mode, reject_limit=reject_limit, allow_changes=frozenset(allow))
    with received(request) as body:
        return once(request, lambda: _load(request, dataset_id, body.path, options, overrides), body=body.hash)


def _load(request: HttpRequest, dataset_id: str, path: Path, options: LoadOptions, overrides: Overrides) -> Any:
    loaded = doors().intake.load(dataset_id, path, by=actor(request), options=options, overrides=overrides)
    return Status(201, shapes.loaded(loaded, actor=actor(request), language=language_of(request)))


@router.get("/datasets/{dataset_id}/snapshots", response=Snapshots, openapi_extra=signed_in(404))
def snapshots(request: HttpRequest, dataset_id: Id) -> Any:
    """Every snapshot of a dataset, newest first, with what changed in its items; also those whose files were removed."""
    by, language = actor(request), language_of(request)
    found = doors().intake.history(dataset_id, by=by)
    entry = doors().catalog.dataset(dataset_id, viewer=by.office)
    own = by.office in (entry.provider, entry.collector)
    return {"snapshots": [shapes.snapshot_with_changes(one, (c.reason for c in changes), language, own=own) for one, changes in found]}


@router.get("/datasets/{dataset_id}/snapshots/{version}/rejects", response=Rejects, openapi_extra=signed_in(404))
def rejects(request: HttpRequest, dataset_id: Id, version: Version, limit: Limit = 50, offset: Offset = 0) -> Any:
    """The rows that were left out of a snapshot; for data officers of the managing office."""
    found, total = doors().intake.rejects(dataset_id, version, by=actor(request), limit=limit, offset=offset)
    entries = [shapes.rejected_row(one, language_of(request)) for one in found]
    return shapes.page(entries, name="rejects", total=total, limit=limit, offset=offset)


@router.get("/datasets/{dataset_id}/quality", response=QualityOut, openapi_extra=signed_in(404))
def quality(request: HttpRequest, dataset_id: Id, version: Version | None = None) -> Any:
    """The quality report of a snapshot, by default of the newest that has one. Counts are for those who answer for the data."""
    by = actor(request)
    report = doors().as_of_now(doors().intake.quality(dataset_id, version, by=by))
    if report is None:
        raise NotFound.because("quality-report-unknown", dataset=dataset_id)
    entry = doors().catalog.dataset(dataset_id, viewer=by.office)
    return shapes.quality(report, exact=by.office in (entry.provider, entry.collector), language=language_of(request))


@router.get("/datasets/{dataset_id}/suggestions", response=Suggestions, openapi_extra=signed_in(404))
def suggestions(request: HttpRequest, dataset_id: Id) -> Any:
    """What recognisers take the items for; for the managing office."""
    found = doors().intake.suggestions(dataset_id, by=actor(request))
    return {"suggestions": [shapes.suggestion(one, language_of(request)) for one in found]}


@router.post(
    "/datasets/{dataset_id}/suggestions/decide", response=Suggestions, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409)
)
def decide(request: HttpRequest, dataset_id: Id, body: DecideIn) -> Any:
    """Confirm a suggestion, which gives the item its meaning and at least the grade, or dismiss it with words why."""
    by = actor(request)
    doors().intake.decide_suggestion(
        dataset_id, item=body.item, meaning=body.meaning, confirm=body.confirm, words=body.words, by=by
    )
    found = doors().intake.suggestions(dataset_id, by=by)
    return {"suggestions": [shapes.suggestion(one, language_of(request)) for one in found]}


@router.get("/datasets/{dataset_id}/loads", response=Loads, openapi_extra=signed_in(404))
def loads(request: HttpRequest, dataset_id: Id) -> Any:
    """The newest loads of a dataset of your own office: under way, done, refused, broken off."""
    found = doors().intake.runs(dataset_id, by=actor(request))
    return {"loads": [shapes.load(one, language_of(request)) for one in found]}


@router.post(
    "/datasets/{dataset_id}/loads", response={201: Loaded}, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409)
)
def load_source(request: HttpRequest, dataset_id: Id, body: SourceLoadIn) -> Any:
    """Load a table of an allowed database, or a file of the inbox, as the next snapshot (role data-officer)."""
    by = actor(request)
    options = LoadOptions(mode=body.mode, reject_limit=body.reject_limit, allow_changes=frozenset(body.allow))
    loaded = doors().plans.load(dataset_id, source_of(body.source), by=by, options=options)
    return Status(201, shapes.loaded(loaded, actor=by, language=language_of(request)))


@router.post("/sources/inspect", response=ReadingFull, auth=PUBLISH, openapi_extra=signed_in(400, 404))
def inspect_source(request: HttpRequest, body: SourceInspectIn) -> Any:
    """What a table of an allowed database looks like: its columns with suggested types, and why; nothing is loaded (role data-officer)."""
    reading = doors().plans.inspect(source_of(body.source), dataset_id=body.dataset, by=actor(request))
    return shapes.reading_full(reading, language_of(request))


def source_of(body: SourceIn) -> LoadSource:
    """A source as the core takes it."""
    return LoadSource(
        kind=SourceKind(body.kind),
        address=body.address,
        table=body.table,
        credential=body.credential,
        changed_item=body.changed_item,
    )


@router.get("/load-plans", response=Plans, openapi_extra=signed_in())
def plans(request: HttpRequest) -> Any:
    """The planned loads of your own office."""
    found = doors().plans.plans(by=actor(request))
    return {"plans": [shapes.plan(one, language_of(request)) for one in found]}


@router.post("/load-plans", response={201: PlanOut}, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def plan(request: HttpRequest, body: PlanIn) -> Any:
    """Plan a load that recurs, from an allowed database or a file of the inbox (role data-officer)."""
    made = doors().plans.plan(
        body.dataset,
        source_of(body.source),
        every=body.every,
        mode=body.mode,
        reject_limit=body.reject_limit,
        by=actor(request),
    )
    return Status(201, shapes.plan(made, language_of(request)))


@router.post("/load-plans/{plan_id}/run", response=LoadOut, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def run(request: HttpRequest, plan_id: Id, body: Nothing) -> Any:
    """Run a planned load now, beside its times."""
    return shapes.load(doors().plans.run_now(plan_id, by=actor(request)), language_of(request))


@router.post("/load-plans/{plan_id}/resume", response=PlanOut, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def resume(request: HttpRequest, plan_id: Id, body: Nothing) -> Any:
    """Set a stopped plan going again."""
    return shapes.plan(doors().plans.resume(plan_id, by=actor(request)), language_of(request))


@router.post("/load-plans/{plan_id}/remove", response=Plans, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def remove(request: HttpRequest, plan_id: Id, body: Nothing) -> Any:
    """Forget a planned load; what it loaded stays."""
    doors().plans.remove(plan_id, by=actor(request))
    return {"plans": [shapes.plan(one, language_of(request)) for one in doors().plans.plans(by=actor(request))]}


def _credentials(request: HttpRequest) -> Any:
    found = doors().credentials.names(by=actor(request))
    return {"credentials": [{"name": one.name, "server": one.server} for one in found]}


@router.get("/credentials", response=CredentialsOut, auth=PUBLISH, openapi_extra=signed_in())
def credentials(request: HttpRequest) -> Any:
    """Names and servers of the credentials that your office keeps; never user or password (role data-officer)."""
    return _credentials(request)


@router.post("/credentials", response={201: CredentialOut}, auth=PUBLISH, openapi_extra=signed_in(400, 409))
def keep_credential(request: HttpRequest, body: CredentialIn) -> Any:
    """Keep user and password of a database server for planned loads of your office (role data-officer)."""
    kept = doors().credentials.keep(
        body.name, server=body.server, user=body.user, password=body.password, by=actor(request)
    )
    return Status(201, {"name": kept.name, "server": kept.server})


@router.post("/credentials/{name}/forget", response=CredentialsOut, auth=PUBLISH, openapi_extra=signed_in(400, 404))
def forget_credential(request: HttpRequest, name: Id, body: Nothing) -> Any:
    """Forget a credential; plans that name it stop with a reason (role data-officer)."""
    doors().credentials.forget(name, by=actor(request))
    return _credentials(request)


@router.post("/erasures", response=Erasure, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def erase(request: HttpRequest, body: ErasureIn) -> Any:
    """Take a person out of every kept snapshot of datasets of your own office, by law (role data-officer)."""
    done = doors().intake.erase_person(
        datasets=body.datasets, identifier=body.identifier, legal_basis=body.legal_basis, words=body.words, by=actor(request)
    )
    return {
        "datasets": [
            {"dataset": one.dataset, "rows": one.rows, "version": one.version, "waiting": list(one.waiting)} for one in done.datasets
        ]
    }
