
"""People and the posts they hold, services and their keepers, tokens, staff mode."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from huitong.errors import Refused
from huitong.portal.accounts.people import NewPerson
from huitong.portal.accounts.tokens import Scope
from huitong.portal.api import people_shapes
from huitong.portal.api.addresses import address_of
from huitong.portal.api.auth import MANAGE, READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.parameters import Id, Limit, OfficeId, Offset
from huitong.portal.api.people_schemas import (
    AccountName,
    KeeperIn,
    KeeperOut,
    LeaveIn,
    LeftOut,
    MoveIn,
    PeopleOut,
    PersonIn,
    PostAdded,
    PostEnded,
    PostIn,
    Registered,
    StaffIn,
    StaffOut,
    TokenIn,
    TokenIssued,
    TokenRevoked,
    Tokens,
)
from huitong.portal.api.shapes import office_reference
from huitong.portal.doors import doors

router = Router(tags=["People"], auth=MANAGE)


@router.get("/people", response=PeopleOut, auth=READ, openapi_extra=signed_in(404))
def people(request: HttpRequest, office: OfficeId | None = None, limit: Limit = 50, offset: Offset = 0) -> Any:
    """The posts of one's own office and who holds them; of any office in staff mode."""
    by = actor(request)
    which = office or by.office
    found = doors().accounts.people(which, by=by)
    posts = [people_shapes.post(one) for one in _part(found, limit, offset)]
    return {"office": office_reference(which), "posts": posts} | _page(found, limit, offset)


@router.post("/people", response={201: Registered}, openapi_extra=signed_in(400, 404, 409))
def register(request: HttpRequest, body: PersonIn) -> Any:
    """Register a person, or a service with its keeper (operator, in staff mode)."""
    password = secrets.token_urlsafe(12) if body.password else None
    roles = frozenset(body.roles)
    person = NewPerson(body.account, body.name, body.office, roles, password=password, keeper=body.keeper)
    doors().accounts.register_people([person], by=actor(request))
    (post, *_) = doors().accounts.posts_of(body.account)
    kind = "service" if body.keeper else "person"
    return Status(201, {"account": body.account, "kind": kind, "office": body.office, "post": post.post, "password": password})


@router.post("/people/{account}/posts", response={201: PostAdded}, openapi_extra=signed_in(400, 404, 409))
def add_post(request: HttpRequest, account: Id, body: PostIn) -> Any:
    """Give a person one more post (operator, in staff mode)."""
    made = doors().accounts.add_post(account, office=body.office, roles=set(body.roles), by=actor(request))
    return Status(201, {"account": account, "post": made.post, "office": made.office, "roles": sorted(made.roles)})


@router.post("/people/{account}/leave", response=LeftOut, openapi_extra=signed_in(400, 404))
def leave(request: HttpRequest, account: Id, body: LeaveIn) -> Any:
    """End one post or all of them, with their tokens; without a post left the account closes (oneself, or an operator)."""
    return people_shapes.left(doors().accounts.leave(account, by=actor(request), words=body.words, post=body.post))


@router.post("/people/{account}/move", response=LeftOut, openapi_extra=signed_in(400, 404, 409))
def move(request: HttpRequest, account: Id, body: MoveIn) -> Any:
    """End a post and open one in another office, both or neither (operator, in staff mode)."""
    roles = set(body.roles) if body.roles else None
    by = actor(request)
    return people_shapes.left(doors().accounts.move(body.post, person=account, office=body.office, roles=roles, words=body.words, by=by))


@router.post("/people/{account}/keeper", response=KeeperOut, openapi_extra=signed_in(400, 404))
def name_keeper(request: HttpRequest, account: Id, body: KeeperIn) -> Any:
    """Name another person of the office who answers for a service (its keeper, or an operator)."""
    doors().accounts.name_keeper(account, body.keeper, by=actor(request))
    return {"service": account, "keeper": body.keeper}


@router.post("/posts/{post}/end", response=PostEnded, openapi_extra=signed_in(404))
def end_post(request: HttpRequest, post: Id) -> Any:
    """End a post, and its tokens with it (operator, in staff mode)."""
    doors().accounts.end_post(post, by=actor(request))
    return {"post": post}


@router.get("/tokens", response=Tokens, auth=READ, openapi_extra=signed_in())
def tokens(request: HttpRequest, account: AccountName | None = None, limit: Limit = 50, offset: Offset = 0) -> Any:
    """One's own tokens, those of a service one keeps, or of anybody in staff mode; never what makes them work."""
    by = actor(request)
    found = doors().accounts.tokens_of(account or by.person, by=by)
    return {"tokens": [people_shapes.token(one) for one in _part(found, limit, offset)]} | _page(found, limit, offset)


@router.post("/tokens", response={201: TokenIssued}, openapi_extra=signed_in(400, 404))
def issue_token(request: HttpRequest, body: TokenIn) -> Any:
    """Issue a token. It may do no more than the token of this call, and ends with it at the latest."""
    by, scopes = actor(request), _scopes(request, body)
    lifetime = timedelta(days=body.days) if body.days else None
    post = body.post or by.post
    more: Any = {"scopes": scopes, "lifetime": lifetime, "words": body.words, "by_token": _token(request)}
    made = doors().accounts.issue_token(post, by=by, label=body.label, **more)
    told = {"token": made.text, "prefix": made.prefix, "post": post, "scopes": sorted(scopes), "expires_at": made.expires_at}
    return Status(201, told)


@router.post("/tokens/{prefix}/revoke", response=TokenRevoked, openapi_extra=signed_in(404))
def revoke_token(request: HttpRequest, prefix: Id) -> Any:
    """A token works no more, from the next request on."""
    doors().accounts.revoke_token(prefix, by=actor(request))
    return {"prefix": prefix}


@router.get("/staff", response=StaffOut, auth=READ, openapi_extra=signed_in())
def staff_status(request: HttpRequest) -> Any:
    """Whether staff mode is open for this post, and until when."""
    return people_shapes.staff(doors().accounts.staff_status(by=actor(request)))


@router.post("/staff/open", response=StaffOut, openapi_extra=signed_in(400, 404, 409))
def open_staff(request: HttpRequest, body: StaffIn) -> Any:
    """Give this post the role of operator for some minutes, with words why and a fresh code of the second factor."""
    by, address = actor(request), address_of(request)
    return people_shapes.staff(doors().accounts.open_staff(by=by, words=body.words, minutes=body.minutes, code=body.code, address=address))


@router.post("/staff/close", response=StaffOut, openapi_extra=signed_in(409))
def close_staff(request: HttpRequest) -> Any:
    """Take the role of operator from this post again."""
    return people_shapes.staff(doors().accounts.close_staff(by=actor(request)))


def _scopes(request: HttpRequest, wish: TokenIn) -> frozenset[Scope]:
    """What was asked for, if the token of this call may do all of it itself. Raises Refused `token-gives-more`."""
    own = doors().accounts.scopes_of_token(_token(request))
    scopes = frozenset(wish.scopes) if wish.scopes else own
    if not scopes <= own:
        raise Refused.because("token-gives-more", scopes=", ".join(sorted(scopes - own)))
    return scopes


def _token(request: HttpRequest) -> str:
    return request.headers["Authorization"].partition(" ")[2].strip()


def _part(found: Sequence[Any], limit: int, offset: int) -> Sequence[Any]:
    return found[offset : offset + limit]


def _page(found: Sequence[Any], limit: int, offset: int) -> dict[str, int]:
    return {"total": len(found), "limit": limit, "offset": offset}
