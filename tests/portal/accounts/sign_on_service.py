"""A sign-on service of our own (OpenID Connect) on this machine: it knows one person, and can be told to lie in one way or another.

It signs with keys of its own through `cryptography` alone, so that nothing of what it says is made by what reads it."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CLIENT, SECRET = "huitong", "a secret of two"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, length: int) -> str:
    return b64(value.to_bytes(length, "big"))


@dataclass
class SignOnService:
    """What it says, and what it saw."""

    subject: str = "8f14e45f-ceea"
    algorithm: str = "RS256"
    claims: dict[str, Any] = field(default_factory=dict)
    """Said in place of what is true."""
    document: dict[str, Any] = field(default_factory=dict)
    """The same of the discovery document."""
    break_signature: bool = False
    header: dict[str, Any] = field(default_factory=dict)
    issuer: str = ""
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    rsa: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ec: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        } | self.document

    def keys(self) -> dict[str, Any]:
        public, point = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        return {
            "keys": [
                {"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": number(public.n, 256), "e": number(public.e, 3)},
                {"kty": "EC", "kid": "e", "use": "sig", "alg": "ES256", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)},
            ]
        }

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": self.subject, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce} | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": "e" if self.algorithm == "ES256" else "r", "typ": "JWT"} | self.header
        header = {name: value for name, value in header.items() if value is not None}
        text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(self.sign(text.encode(), header['alg']))}"

    def sign(self, text: bytes, algorithm: str) -> bytes:
        if self.break_signature:
            return secrets.token_bytes(256)
        if algorithm == "none":
            return b""
        if algorithm == "HS256":
            import hmac

            return hmac.new(SECRET.encode(), text, hashlib.sha256).digest()
        if algorithm == "ES256":
            r, s = decode_dss_signature(self.ec.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return bytes(self.rsa.sign(text, padding.PKCS1v15(), hashes.SHA256()))

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the person's browser is sent back to."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form.get("client_secret") != SECRET or form.get("client_id") != CLIENT:
            return None
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if form.get("redirect_uri") != asked["redirect_uri"] or challenge != asked["code_challenge"]:
            return None
        return {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])}


@contextmanager
def serving(service: SignOnService) -> Iterator[SignOnService]:
    """The service on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def answer(self, body: Any, status: int = 200) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            service.asked.append(parts.path)
            if parts.path == "/.well-known/openid-configuration":
                return self.answer(service.discovery())
            if parts.path == "/keys":
                return self.answer(service.keys())
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", service.authorize({name: one[0] for name, one in parse_qs(parts.query).items()}))
                self.send_header("Content-Length", "0")
                return self.end_headers()
            return self.answer({"error": "nothing there"}, 404)

        def do_POST(self) -> None:
            service.asked.append(self.path)
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            given = service.exchange({name: one[0] for name, one in form.items()})
            self.answer(given or {"error": "invalid_grant"}, 200 if given else 400)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
