"""Forged id tokens of a sign-on service, shown to the very function that checks them:
`python -m huitong.drill.procedures.api.id_tokens HOME`.

Prints `{"passed": [...], "refused": [...], "control": true}`. A process of its own: the check needs the instance's settings."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

ISSUER, CLIENT, NONCE = "https://sign-on.invalid", "huitong-drill", "nonce-of-this-attempt"


def main(home: Path) -> None:
    """Make a key pair, sign one true token, forge the others, show them all."""
    from huitong.portal.wiring import start_django, wall_clock
    from huitong.settings import read_settings

    start_django(read_settings({}, home=home))
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from huitong.errors import Refused
    from huitong.portal.accounts.sign_on import checked

    key, foreign = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": "k", "alg": "ES256", "use": "sig"}
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    now = int(wall_clock().timestamp())
    claims: dict[str, Any] = {"iss": ISSUER, "aud": CLIENT, "sub": "wen", "nonce": NONCE, "iat": now, "exp": now + 300}

    def signed(signer: Any = key, **more: Any) -> str:
        return jwt.encode(claims | more, signer, algorithm="ES256", headers={"kid": "k"})

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()

    def by_hmac(secret: bytes) -> str:
        import hmac

        text = f"{part({'alg': 'HS256', 'kid': 'k'})}.{part(claims)}"
        return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"

    true = signed()
    tokens = {
        "alg none": f"{part({'alg': 'none', 'kid': 'k'})}.{part(claims)}.",
        "HMAC with the public key": by_hmac(pem),
        "HMAC with nothing": by_hmac(b""),
        "another key": signed(foreign),
        "another audience": signed(aud="another"),
        "several audiences": signed(aud=["another", CLIENT]),
        "another issuer": signed(iss="https://evil.invalid"),
        "over": signed(exp=now - 3600, iat=now - 7200),
        "from the future": signed(iat=now + 3600, exp=now + 7200),
        "another attempt": signed(nonce="another"),
        "changed claims": ".".join([true.split(".")[0], part(claims | {"sub": "operator"}), true.split(".")[2]]),
    }

    def taken(token: str) -> bool:
        try:
            checked(token, keys={"keys": [public]}, issuer=ISSUER, client=CLIENT, nonce=NONCE, algorithms=["RS256", "PS256", "ES256"])
        except Refused:
            return False
        return True

    passed = [what for what, token in tokens.items() if taken(token)]
    sys.stdout.write(
        json.dumps({"passed": passed, "refused": [what for what in tokens if what not in passed], "control": taken(true)}) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
