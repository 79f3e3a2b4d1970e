# ruff: noqa: ARG002 - the signatures are allauth's
"""Signing on at another service by OpenID Connect: who it says has come, proved by its signature. It never makes an account here.

allauth brings the way there and back (state, PKCE, exchange of the code); what comes back is judged here: the id token's signature
always, its issuer, audience, times and the nonce of this very attempt."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from huitong.errors import InputInvalid, NotFound, Refused, Unavailable
from huitong.keystore import SIGN_ON_SECRET, FileKeyStore
from huitong.settings import Settings

LEEWAY_SECONDS = 30
"""How far the clocks of the two services may differ."""
LONGEST = 65_536
"""Characters of an id token or bytes of a document that are looked at."""
TROUBLES = (requests.RequestException, OAuth2Error, KeyError, ValueError, TypeError)
"""What goes wrong when the service does not answer as it should."""


class SignOnAdapter(DefaultSocialAccountAdapter):
    """allauth's questions, answered from the instance's settings and its key store; nothing of it stands in the database."""

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[Any]:
        """The one service there is, if any."""
        app = app_of(settings.HUITONG)
        return [app] if app is not None else []

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Nobody gets an account by signing on."""
        return False

    def get_requests_session(self) -> Any:
        """Calls of the service: bounded in time, and never led elsewhere."""
        session = super().get_requests_session()
        session.max_redirects = 0
        return session


class Service(OpenIDConnectOAuth2Adapter):
    """The service, at one attempt."""

    def get_provider(self) -> Any:
        """Its side of allauth."""
        return Provider(self.request, app=_app())

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Where it sends the person back: at the address by which others reach the pages, if one is set."""
        path = reverse("sign-on-return")
        public: str = settings.HUITONG.public_address.rstrip("/")
        return public + path if public else request.build_absolute_uri(path)

    @property
    def openid_config(self) -> dict[str, Any]:
        """Its discovery document, if it is of the issuer that the settings name."""
        if not hasattr(self, "_openid_config"):
            found = _document(f"{issuer_of(settings.HUITONG)}/.well-known/openid-configuration")
            if found.get("issuer") != settings.HUITONG.sign_on_issuer:
                raise ValueError("another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _check_safe(found[name])
            self._openid_config = found
        config: dict[str, Any] = self._openid_config
        return config


class Provider(OpenIDConnectProvider):
    """The service, as allauth asks for it."""

    oauth2_adapter_class = Service


@dataclass(frozen=True)
class Come:
    """Who has come, as the service says, and what they wanted here."""

    issuer: str
    subject: str
    process: str
    next: str
    account: int | None
    """For linking: the number of the account that began."""


def title_of(instance: Settings) -> str:
    """What the service is called on the sign-in page; empty if there is none."""
    if not instance.sign_on_issuer or not instance.sign_on_client:
        return ""
    return instance.sign_on_title or str(urlsplit(instance.sign_on_issuer).hostname)


def issuer_of(instance: Settings) -> str:
    """The issuer without a closing slash, as the address of its documents begins."""
    return instance.sign_on_issuer.rstrip("/")


def app_of(instance: Settings) -> SocialApp | None:
    """The service with this instance's client id and secret; None if none is set. Raises Unavailable for a secret that is missing."""
    if not title_of(instance):
        return None
    try:
        secret = FileKeyStore(instance.keys).sealed(SIGN_ON_SECRET).decode()
    except NotFound:
        secret = ""  # a public client: PKCE alone proves that it is the same one
    return SocialApp(
        provider=Provider.id,
        provider_id="sign-on",
        name=title_of(instance)[:40],
        client_id=instance.sign_on_client,
        secret=secret,
        settings={"server_url": issuer_of(instance), "oauth_pkce_enabled": True, "fetch_userinfo": False},
    )


def begin(request: HttpRequest, *, process: str, target: str, account: int | None = None) -> HttpResponse:
    """Send the person there. Raises InputInvalid `sign-on-not-set`, Unavailable `sign-on-unreachable`."""
    nonce = secrets.token_urlsafe(32)
    try:
        way: HttpResponse = Service(request, "sign-on").get_provider().redirect(
            request,
            process=process,
            next_url=target,
            data={"nonce": nonce, "account": account},
            scope=["openid"],
            auth_params={"nonce": nonce},
        )
    except TROUBLES as error:
        raise _unreachable(error) from None
    return way


def finish(request: HttpRequest) -> Come:
    """Who has come back. Raises Refused `sign-on-refused`, Unavailable `sign-on-unreachable`, InputInvalid `sign-on-not-set`."""
    service = Service(request, "sign-on")
    provider, app = service.get_provider(), _app()
    state = statekit.unstash_state(request, provider_id=provider.sub_id, state_id=request.GET.get("state", ""))
    if state is None or not request.GET.get("code"):
        raise Refused.because("sign-on-refused")
    issuer: str = settings.HUITONG.sign_on_issuer
    if request.GET.get("iss", issuer) != issuer:
        raise Refused.because("sign-on-refused")
    try:
        client = service.get_client(request, app)
        answer = service.get_access_token_data(request, app, client, pkce_code_verifier=state.get("pkce_code_verifier"))
        keys = _document(service.openid_config["jwks_uri"])
    except TROUBLES as error:
        raise _unreachable(error) from None
    claims = checked(
        str(answer.get("id_token", "")),
        keys=keys,
        issuer=issuer,
        client=app.client_id,
        nonce=state["data"]["nonce"],
        algorithms=settings.HUITONG.sign_on_algorithms.split(","),
    )
    return Come(issuer, claims["sub"], state["process"], state.get("next") or "/", state["data"]["account"])


def checked(
    token: str, *, keys: Mapping[str, Any], issuer: str, client: str, nonce: str, algorithms: list[str]
) -> Mapping[str, Any]:
    """The claims of an id token that proves what it must (OpenID Connect Core 1.0, section 3.1.3.7). Raises Refused `sign-on-refused`."""
    allowed = [name.strip() for name in algorithms if name.strip() and not name.strip().upper().startswith(("HS", "NONE"))]
    try:
        if len(token) > LONGEST:
            raise ValueError("too long")
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in allowed:
            raise ValueError("signed in a way that is not taken")
        claims: dict[str, Any] = jwt.decode(
            token,
            _key(keys, header.get("kid"), algorithm),
            algorithms=[algorithm],
            audience=client,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else client) != client:
            raise ValueError("meant for another")
        if not compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise ValueError("of another attempt")
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise ValueError("without a subject")
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        raise Refused.because("sign-on-refused") from None
    return claims


def _key(keys: Mapping[str, Any], name: str | None, algorithm: str) -> Any:
    """The key of that name for that algorithm; without a name the only one there is."""
    fitting = [key for key in keys["keys"] if key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm]
    named = [key for key in fitting if name is None or key.get("kid") == name]
    if len(named) != 1:
        raise ValueError("no such key")
    return jwt.PyJWK(named[0], algorithm=algorithm).key


def _app() -> SocialApp:
    app = app_of(settings.HUITONG)
    if app is None:
        raise InputInvalid.because("sign-on-not-set")
    return app


def _document(address: str) -> dict[str, Any]:
    """A JSON object that lies there."""
    _check_safe(address)
    with SignOnAdapter().get_requests_session() as session:
        response = session.get(address)
        response.raise_for_status()
        if len(response.content) > LONGEST:
            raise ValueError("too long")
        found = response.json()
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _check_safe(address: str) -> None:
    """Protected by TLS, or on this very machine."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        raise ValueError("not protected")


def _unreachable(error: Exception) -> Unavailable:
    import logging

    logging.getLogger("huitong.sign-on").warning("the sign-on service does not answer as it should: %s", type(error).__name__)
    return Unavailable.because("sign-on-unreachable")  # type: ignore[return-value]
