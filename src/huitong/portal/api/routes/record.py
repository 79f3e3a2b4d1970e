"""One person's or firm's items by key, yes/no verification, and the switch that lets a dataset be called for so."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from huitong.model.records import Compared
from huitong.portal.api import shapes_delivery
from huitong.portal.api.auth import PUBLISH, READ, USE, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id
from huitong.portal.api.results import form_of, response_of
from huitong.portal.api.routes.use import FORMS
from huitong.portal.api.schemas import QueryOut
from huitong.portal.api.schemas_delivery import RecordDoorIn, RecordDoorOut, RecordGetIn, RecordVerifyIn
from huitong.portal.doors import doors

router = Router(tags=["Records"], auth=READ)


@router.post("/records/get", response=QueryOut, auth=USE, openapi_extra=FORMS)
def get(request: HttpRequest, body: RecordGetIn) -> HttpResponse:
    """The rows of these keys as the grants of your office show them, for a stated purpose. A key that does not exist and one that lies
    outside what is granted give no row alike. The answer's form follows `Accept`."""
    form = form_of(request)
    answer = doors().records.get(
        by=actor(request), dataset=body.dataset, keys=body.read_keys(), purpose=body.purpose, items=body.items
    )
    return response_of(answer, request, form=form)


@router.post("/records/verify", response=QueryOut, auth=USE, openapi_extra=FORMS)
def verify(request: HttpRequest, body: RecordVerifyIn) -> HttpResponse:
    """Whether each of these keys has a row for which all conditions hold: yes, no or unknown. A missing value is unknown, and so is a
    record that is not visible. The answer's form follows `Accept`."""
    form = form_of(request)
    compared = [Compared(one.item, one.value) for one in body.where]
    answer = doors().records.verify(
        by=actor(request), dataset=body.dataset, keys=body.read_keys(), purpose=body.purpose, compared=compared
    )
    return response_of(answer, request, form=form)


@router.get("/datasets/{dataset_id}/records", response=RecordDoorOut, openapi_extra=signed_in(404))
def door(request: HttpRequest, dataset_id: Id) -> Any:
    """Whether records of the dataset may be called for by key, by which items, and where the copy of the current snapshot stands."""
    return _told(request, dataset_id)


@router.post("/datasets/{dataset_id}/records", response=RecordDoorOut, auth=PUBLISH, openapi_extra=signed_in(400, 404))
def switch(request: HttpRequest, dataset_id: Id, body: RecordDoorIn) -> Any:
    """Switch the door of a dataset of your office on or off (role data-officer)."""
    doors().records.switch(dataset_id, on=body.on, by=actor(request))
    return _told(request, dataset_id)


def _told(request: HttpRequest, dataset_id: str) -> dict[str, Any]:
    found = doors().records.door(dataset_id, by=actor(request))
    dataset = doors().catalog.dataset(found.dataset, viewer=actor(request).office)
    own = actor(request).office == dataset.provider
    return shapes_delivery.record_door(found, dataset, language_of(request), own=own)
