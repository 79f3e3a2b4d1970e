"""Who looks at a page: the account of the session, and the post in which it acts. Power lies in the post."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from huitong.model.party import Actor, Role
from huitong.portal.doors import doors

POST = "post"
"""Name in the session of the chosen post."""
SECOND = "second_factor"
"""Name in the session of whether a second factor was shown when it began."""


def posts_of(request: HttpRequest) -> Sequence[Actor]:
    """The posts that the account of the session holds now; read anew at each request, so an ended post ends at once.

    Roles that need a second factor are there only if one was shown."""
    if not request.user.is_authenticated:
        return ()
    accounts = doors().accounts
    posts = accounts.posts_of(request.user.get_username())
    if request.session.get(SECOND):
        return posts
    needed = accounts.sign_in_rules.needs_second_factor
    return [replace(post, roles=post.roles - needed) if post.roles & needed else post for post in posts]


def actor_of(request: HttpRequest, posts: Sequence[Actor] | None = None) -> Actor | None:
    """The actor of the session: the only post of the account, or the one chosen among several."""
    posts = posts_of(request) if posts is None else posts
    if len(posts) == 1:
        return posts[0]
    chosen = request.session.get(POST) if posts else None
    return next((post for post in posts if post.post == chosen), None)


def title_of(office_id: str) -> str:
    """The office's title in the reader's language; its id if it is not known here."""
    office = doors().parties.office(office_id)
    return office.title.in_language(get_language() or "en") if office else office_id


def page(request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
    """A page with what its head needs. What a signed-in person sees is never kept by a shared cache."""
    posts = posts_of(request)
    actor = actor_of(request, posts)
    surroundings = {
        "account": request.user if request.user.is_authenticated else None,
        "posts": posts,
        "actor": actor,
        "office_title": title_of(actor.office) if actor else "",
        "staff": doors().accounts.staff_status(by=actor) if actor and actor.has(Role.OPERATOR) else None,
    }
    response = render(request, template, surroundings | (context or {}), status=status)
    response["Cache-Control"] = "private, no-cache" if not posts else "private, no-store"
    return response
