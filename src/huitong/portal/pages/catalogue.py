"""The catalogue for everybody: search, and one dataset with what a signed-in office may have of it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from huitong.catalog.ports import Facet
from huitong.catalog.sample import synthetic_rows
from huitong.errors import NotFound
from huitong.model.catalog import Dataset
from huitong.model.party import Actor
from huitong.model.quality import QualityReport
from huitong.portal.api import shapes
from huitong.portal.api.language import sentence
from huitong.portal.api.limits import LIMITS
from huitong.portal.doors import doors
from huitong.portal.pages.acting import actor_of, page, title_of
from huitong.portal.pages.answers import answer_for_all, answer_for_office
from huitong.portal.pages.labels import facet_title, facet_value, family_of, is_value
from huitong.portal.pages.snippets import snippets_of
from huitong.sharing.availability import Availability

HITS_OF_A_PAGE = 20
FACETS = (Facet.SHARING, Facet.GRADE, Facet.LEVEL, Facet.FAMILY, Facet.CYCLE, Facet.OFFICE)
"""Facets of the front page, in their order."""
VALUES_OF_A_FACET = 8
"""Values of a facet that are shown, those that are chosen always among them."""
SAMPLE_ROWS = 3


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """The front page: search words, facets with their counts, the hits. htmx asks for what was found alone.

    Hits, counts and facets are those of what the visitor's office may know of; nothing else shows in any of them."""
    q = request.GET.get("q", "").replace("\x00", "")[: LIMITS.search_characters].strip()
    chosen = _chosen(request)
    number = _page_number(request.GET.get("page", ""))
    actor = actor_of(request)
    found = doors().catalog.search(
        q,
        viewer=actor.office if actor else None,
        narrowing=chosen,
        facets=FACETS,
        limit=HITS_OF_A_PAGE,
        offset=(number - 1) * HITS_OF_A_PAGE,
    )
    pages = max(1, -(-found.total // HITS_OF_A_PAGE))
    answers = doors().sharing.availabilities(found.hits, actor=actor) if actor else {}
    titles = {provider: title_of(provider) for provider in {one.provider for one in found.hits}}
    context: dict[str, Any] = {
        "q": q,
        "asked": bool(q or chosen or number > 1),
        "chosen_fields": [(facet.value, value) for facet, values in chosen.items() for value in values],
        "facets": [_facet(facet, found.facets.get(facet, {}), chosen, q) for facet in FACETS],
        "all_address": _address(q, {}, 1) if chosen else None,
        "hits": [_hit(one, titles[one.provider], answers.get(one.id)) for one in found.hits],
        "total": found.total,
        "page": number,
        "pages": pages,
        "previous": _address(q, chosen, number - 1) if 1 < number <= pages + 1 else None,
        "next": _address(q, chosen, number + 1) if number < pages else None,
        "search_characters": LIMITS.search_characters,
    }
    if request.headers.get("HX-Request") == "true":
        response = page(request, "pages/results.html", context)
    else:
        facts = doors().once(f"facts-{actor.office if actor else ''}", lambda: _facts(actor))
        response = page(request, "pages/front.html", context | {"facts": facts})
    response["Vary"] = ", ".join(dict.fromkeys([*response.get("Vary", "Cookie").split(", "), "HX-Request"]))
    return response


def _chosen(request: HttpRequest) -> dict[Facet, list[str]]:
    """The values of facets that the address names."""
    chosen = {}
    for facet in FACETS:
        given = [value for value in request.GET.getlist(facet.value) if value and "\x00" not in value and len(value) <= 130]
        values = [value for value in given if is_value(facet, value)]
        if values:
            chosen[facet] = list(dict.fromkeys(values))[:20]
    return chosen


def _facet(facet: Facet, counts: Mapping[str, int], chosen: Mapping[Facet, list[str]], q: str) -> dict[str, Any]:
    """A facet with its values, each with its count and the address that chooses it or lets it go."""
    own = chosen.get(facet, [])
    shown = [*own, *[value for value in counts if value not in own][: max(VALUES_OF_A_FACET - len(own), 0)]]
    values = []
    for value in shown:
        others = [one for one in own if one != value] if value in own else [*own, value]
        narrowing = {**chosen, facet: others}
        values.append(
            {
                "label": facet_value(facet, value),
                "count": counts.get(value, 0),
                "chosen": value in own,
                "address": _address(q, {name: some for name, some in narrowing.items() if some}, 1),
            }
        )
    return {"id": facet.value, "title": facet_title(facet), "values": values, "open": bool(own) or facet in FACETS[:2]}


def _page_number(text: str) -> int:
    return min(max(int(text), 1), 10_000) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _address(q: str, chosen: Mapping[Facet, list[str]], number: int) -> str:
    query = [("q", q)] if q else []
    query += [(facet.value, value) for facet, values in chosen.items() for value in values]
    query += [("page", str(number))] if number > 1 else []
    return f"{reverse('front')}?{urlencode(query)}" if query else reverse("front")


def _hit(found: Dataset, provider_title: str, answer: Availability | None) -> dict[str, Any]:
    return {
        "answer": answer.kind if answer else None,
        "id": found.id,
        "title": found.title,
        "abstract": found.abstract,
        "sharing": found.sharing,
        "provider_title": provider_title,
        "item_count": len(found.items),
    }


def _facts(actor: Actor | None) -> dict[str, int]:
    """How much there is in all, of what the visitor's office may know of."""
    everything = doors().catalog.search("", viewer=actor.office if actor else None, limit=1)
    return {"datasets": everything.total, "offices": doors().parties.offices(limit=1)[1], "divisions": len(doors().divisions)}


@require_safe
def dataset(request: HttpRequest, dataset_id: str) -> HttpResponse:
    """One dataset: for everybody what it is, for a signed-in office whether it can have it, how, by when."""
    actor = actor_of(request)
    viewer = actor.office if actor else None
    try:
        found = doors().catalog.dataset(dataset_id.replace("\x00", ""), viewer=viewer)
    except NotFound:
        raise Http404 from None
    grants = [one for one in doors().sharing.grants(by=actor) if one.dataset == found.id] if actor else []
    usable = next((one for one in grants if one.valid_at(doors().clock())), None)
    report = doors().report(found.id)
    collectors = {one: title_of(one) for one in {item.collector for item in found.items if item.collector}}
    effective = doors().effective_grade(found, viewer=viewer)
    context = {
        "dataset": found,
        "provider_title": title_of(found.provider),
        "collector_title": title_of(found.collector),
        "family": family_of(found),
        "spatial": doors().divisions.get(found.spatial) if found.spatial else None,
        "grade": effective.grade,
        "grade_because": [sentence(one, get_language() or "en") for one in effective.because],
        "reviewers": doors().grading.at(effective.grade).reviewers,
        "items": [
            {
                "name": one.name,
                "title": one.title,
                "type": one.type,
                "grade": one.grade,
                "mask": doors().grading.masks.mask(one),
                "collector_title": collectors.get(one.collector or ""),
                "legal_basis": one.legal_basis,
            }
            for one in found.items
        ],
        "snapshot": doors().current_snapshot(found.id),
        "report": report,
        "quality": shapes.quality_summary(report, exact=viewer in (found.provider, found.collector)),
        "own": viewer in (found.provider, found.collector),
        "quality_items": _quality_items(report, found, viewer),
        "sample": synthetic_rows(found, rows=SAMPLE_ROWS),
        "answer": answer_for_office(found, actor) if actor else answer_for_all(found),
        "snippets": snippets_of(found, usable, address=request.build_absolute_uri("/").rstrip("/")),
    }
    return page(request, "pages/dataset.html", context)


def _quality_items(report: QualityReport | None, found: Dataset, viewer: str | None) -> list[dict[str, Any]]:
    """Completeness and validity of each item, for those who are signed in; exact for those who answer for the data."""
    if report is None or viewer is None:
        return []
    shown = shapes.quality(report, exact=viewer in (found.provider, found.collector), language=get_language() or "en")
    titles = {one.name: one.title for one in found.items}
    return [{**one, "title": titles[one["item"]]} for one in shown["items"] if one["item"] in titles]
