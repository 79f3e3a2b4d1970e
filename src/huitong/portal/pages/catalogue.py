"""The catalogue for everybody: search, and one dataset with what a signed-in office may have of it."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from huitong.errors import NotFound
from huitong.model.catalog import Dataset, Sharing
from huitong.policy.default_masks import default_mask
from huitong.portal.api.limits import LIMITS
from huitong.portal.doors import doors
from huitong.portal.pages.acting import actor_of, page, title_of
from huitong.portal.pages.answers import answer_for_all, answer_for_office
from huitong.portal.pages.labels import label
from huitong.portal.pages.snippets import snippets_of
from huitong.sharing.availability import Availability

HITS_OF_A_PAGE = 20


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """The front page: search words, two ways to narrow, the hits. htmx asks for the hits alone."""
    q = request.GET.get("q", "").replace("\x00", "")[: LIMITS.search_characters].strip()
    office = request.GET.get("office", "").replace("\x00", "")
    sharing = next((one for one in Sharing if one.value == request.GET.get("sharing")), None)
    number = _page_number(request.GET.get("page", ""))
    found = doors().catalog.search(
        q,
        providers=(office,) if office else None,
        sharing=(sharing,) if sharing else None,
        limit=HITS_OF_A_PAGE,
        offset=(number - 1) * HITS_OF_A_PAGE,
    )
    pages = max(1, -(-found.total // HITS_OF_A_PAGE))
    actor = actor_of(request)
    answers = doors().sharing.availabilities(found.hits, actor=actor) if actor else {}
    titles = {provider: title_of(provider) for provider in {one.provider for one in found.hits}}
    wanted = {"q": q, "office": office, "sharing": sharing.value if sharing else ""}
    context: dict[str, Any] = {
        **wanted,
        "asked": any(wanted.values()) or number > 1,
        "hits": [_hit(one, titles[one.provider], answers.get(one.id)) for one in found.hits],
        "total": found.total,
        "page": number,
        "pages": pages,
        "previous": _address(wanted, number - 1) if 1 < number <= pages + 1 else None,
        "next": _address(wanted, number + 1) if number < pages else None,
        "search_characters": LIMITS.search_characters,
    }
    if request.headers.get("HX-Request") == "true":
        response = page(request, "pages/results.html", context)
    else:
        language = get_language() or "en"
        response = page(request, "pages/front.html", context | doors().once(f"around-{language}", lambda: _around(language)))
    response["Vary"] = ", ".join(dict.fromkeys([*response.get("Vary", "Cookie").split(", "), "HX-Request"]))
    return response


def _page_number(text: str) -> int:
    return min(max(int(text), 1), 10_000) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _address(wanted: dict[str, str], number: int) -> str:
    query = {name: value for name, value in wanted.items() if value} | ({"page": str(number)} if number > 1 else {})
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


def _around(language: str) -> dict[str, Any]:
    """What stands around the hits: the choices that narrow, and how much there is in all."""
    everything = doors().catalog.search("", limit=LIMITS.page_entries)
    offices = {one.provider: doors().parties.office(one.provider) for one in everything.hits}
    named = sorted((one for one in offices.values() if one), key=lambda one: one.title.in_language(language))
    return {
        "sharing_choices": [(one.value, label(one)) for one in Sharing],
        "office_choices": named,
        "facts": {
            "datasets": everything.total,
            "offices": doors().parties.offices(limit=1)[1],
            "divisions": len(doors().divisions),
        },
    }


@require_safe
def dataset(request: HttpRequest, dataset_id: str) -> HttpResponse:
    """One dataset: for everybody what it is, for a signed-in office whether it can have it, how, by when."""
    try:
        found = doors().catalog.dataset(dataset_id.replace("\x00", ""))
    except NotFound:
        raise Http404 from None
    actor = actor_of(request)
    grants = [one for one in doors().sharing.grants(by=actor) if one.dataset == found.id] if actor else []
    usable = next((one for one in grants if one.valid_at(doors().clock())), None)
    context = {
        "dataset": found,
        "provider_title": title_of(found.provider),
        "collector_title": title_of(found.collector),
        "items": [
            {"name": one.name, "title": one.title, "type": one.type, "grade": one.grade, "mask": default_mask(one)}
            for one in found.items
        ],
        "snapshot": doors().current_snapshot(found.id),
        "answer": answer_for_office(found, actor) if actor else answer_for_all(found),
        "snippets": snippets_of(found, usable, address=request.build_absolute_uri("/").rstrip("/")),
    }
    return page(request, "pages/dataset.html", context)
