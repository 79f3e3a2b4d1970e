"""API-011 to API-014, API-027 to API-030: tokens, sessions, signatures and passwords."""

import http.client
import re
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from huitong.drill.ground import Ground
from huitong.drill.instance import PASSWORD
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures.acting import (
    CONDITIONAL,
    Procedure,
    SetupError,
    Tries,
    expect,
    extracted,
    fault_of,
    granted,
    published,
    refused,
    seen,
    wish,
)
from huitong.drill.procedures.processes import web_processes, whose_connection

REFUSED_WITHIN_SECONDS = 1.0
"""After a revocation, in every process (DESIGN.md, section 7)."""
COOKIE = "huitong_session"
TRIES, BROWSERS = 130, 4
"""Wrong passwords from one address, by so many browsers at once."""
NOISE = 0.35
"""A difference of medians is taken for noise below this part of the known name's median: trials of one name alone differ as much."""


# --- tokens -----------------------------------------------------------------------------------------------------------------------------


def revoked_token(ground: Ground) -> Finding:
    """API-011: one connection to each web process, asked over and over while the token is revoked."""
    made = expect(ground.call("rows_user", "POST", "tokens", body={"label": "drill"}), 201)
    with ExitStack() as kept:
        connections = _one_of_each(ground, kept, made["token"])
        expect(ground.call("rows_user", "POST", f"tokens/{made['prefix']}/revoke", body=None), 200)
        revoked = time.monotonic()
        last = dict.fromkeys(connections, 0.0)
        statuses = dict.fromkeys(connections, 200)
        while 200 in statuses.values() and time.monotonic() - revoked < 5 * REFUSED_WITHIN_SECONDS:
            for process, connection in connections.items():
                began = time.monotonic()
                statuses[process] = _asked_with(connection, made["token"])
                if statuses[process] == 200:
                    last[process] = began - revoked
    late = max(last.values())
    if set(statuses.values()) != {401} or late > REFUSED_WITHIN_SECONDS:
        return Finding(Outcome.ANSWERED, f"A revoked token still worked {late:.2f} s later (now {sorted(statuses.values())}).")
    honoured = f"the last call that passed began {late:.2f} s after it" if late else "no call passed that began after it"
    return Finding(Outcome.REFUSED, f"{len(connections)} web processes answer 401 to the revoked token; {honoured}.")


def _one_of_each(ground: Ground, kept: ExitStack, token: str) -> Mapping[int, http.client.HTTPConnection]:
    """An open connection to each web process of the instance."""
    port, wanted = urlsplit(ground.url).port or 80, web_processes(ground)
    found: dict[int, http.client.HTTPConnection] = {}
    for _ in range(60 * max(len(wanted), 1)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.connect()
        if _asked_with(connection, token) != 200:
            raise SetupError("a fresh token does not work")
        process = whose_connection(connection, port, wanted)
        if process is None or process in found:
            connection.close()
        else:
            found[process] = kept.enter_context(closing(connection))
        if set(found) == set(wanted):
            return found
    raise SetupError(f"only {len(found)} of {len(wanted)} web processes answered")


def _asked_with(connection: http.client.HTTPConnection, token: str) -> int:
    connection.request("GET", "/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def key_in_address(ground: Ground) -> Finding:
    """API-012."""
    made = expect(ground.call("rows_user", "POST", "tokens", body={"label": "drill"}), 201)
    token, secret = made["token"], made["token"].rpartition("_")[2]
    names = ("token", "access_token", "api_key", "key", "authorization", "bearer")
    tries: list[tuple[str, httpx.Response]] = [
        (f"?{name}=", ground.call(None, "GET", f"whoami?{urlencode({name: token})}")) for name in names
    ]
    tries.append(("in the path", ground.call(None, "GET", f"whoami/{token}")))
    tries.append(("as a cookie", ground.call(None, "GET", "whoami", headers={"Cookie": f"{COOKIE}={token}; token={token}"})))
    tries.append(("as a password", ground.call(None, "GET", "whoami", headers={"Authorization": f"Basic {token}"})))
    broken = {"sql": token, "purpose": token, "token": token}
    tries.append(("in a body that is refused", ground.call("rows_user", "POST", "query", body=broken)))
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    kept = [file for file in _logs(ground) if secret.encode() in file.read_bytes()]
    echoed = [what for what, response in tries if secret in response.text]
    if kept or echoed:
        where = kept[0].name if kept else f"the answer to: {echoed[0]}"
        return Finding(Outcome.LEAKED, f"The secret part of the token stands in {where}.")
    return refused(ground, tries, f"The secret part stands in none of {len(_logs(ground))} logs.")


def _logs(ground: Ground) -> list[Path]:
    return sorted([*(ground.home / "run").glob("*.log"), *ground.home.parent.glob("*.log")])


def replayed(ground: Ground) -> Finding:
    """API-013: the API has bearer tokens and no signed calls. What exists is replayed: a call with its key, and a signed address."""
    dataset = published(ground, sharing=CONDITIONAL)
    key = {"Idempotency-Key": secrets.token_hex(16)}
    before = expect(ground.call("rows_user", "GET", "requests"), 200)["total"]
    first = expect(ground.call("rows_user", "POST", "requests", body=wish(dataset), headers=key), 201)
    again = ground.call("rows_user", "POST", "requests", body=wish(dataset), headers=key)
    after = expect(ground.call("rows_user", "GET", "requests"), 200)["total"]
    if after != before + 1 or (again.status_code == 201 and again.json().get("id") != first["id"]):
        return Finding(Outcome.ANSWERED, f"The same call with its key acted {after - before} times ({seen(again)}).")
    grant = granted(ground, published(ground))
    extract = extracted(ground, grant)
    address = expect(ground.call("rows_user", "POST", f"extracts/{extract['id']}/addresses", body={}), 201)["address"]
    if ground.call(None, "GET", address).status_code != 200:
        raise SetupError("a fresh address gives no file")
    expect(ground.call("rows_user", "POST", f"grants/{grant}/revoke", body={"words": "drill"}), 200)
    tries: Tries = [
        ("the key with another body", ground.call("rows_user", "POST", "requests", body=wish(dataset, items=("place",)), headers=key)),
        ("the address once more, after the grant's end", ground.call(None, "GET", address)),
        ("a part of it", ground.call(None, "GET", address, headers={"Range": "bytes=0-3"})),
    ]
    more = "A call sent again with its key acted once. There are no signed calls to replay: tokens are bearer tokens, to be sent over TLS."
    return refused(ground, tries, more)


def clock_ahead(ground: Ground) -> Finding:
    """API-014: the one instant that a caller writes is the end of a signed address."""
    extract = extracted(ground, granted(ground, published(ground)))
    given = expect(ground.call("rows_user", "POST", f"extracts/{extract['id']}/addresses", body={}), 201)["address"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(given).query).items()}
    end = int(asked["expires"])
    path = urlsplit(given).path

    def at(expires: int | str) -> httpx.Response:
        return ground.call(None, "GET", f"{path}?{urlencode({**asked, 'expires': expires})}")

    far = f"9{secrets.randbelow(10**6):06d}"
    tries: Tries = [
        ("ten minutes longer", at(end + 600)),
        ("a second longer", at(end + 1)),
        ("a year longer", at(end + 31_536_000)),
        ("a year that does not exist", at(end * 10**6)),
        (
            "a lifetime beyond what is allowed",
            ground.call("rows_user", "POST", f"extracts/{extract['id']}/addresses", body={"minutes": int(far)}),
        ),
    ]
    control = at(end)
    if control.status_code != 200:
        raise SetupError(f"the address as given does not work: {seen(control)}")
    return refused(ground, tries, "The address as given works: its end is signed. Calls carry no other instant; the server's clock counts.")


def forged_tokens(ground: Ground) -> Finding:
    """API-027: forged bearer tokens over the network, and forged id tokens of a sign-on service through the code that checks them."""
    real = ground.token("rows_user")
    mark, prefix, secret = real.split("_", 2)
    other = "A" if secret[0] != "A" else "B"
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJyb3dzX3VzZXIiLCJyb2xlcyI6WyJvcGVyYXRvciJdfQ."
    forged = {
        "alg none": none,
        "alg none, signed with nothing": none + "AA",
        "another secret": f"{mark}_{prefix}_{other}{secret[1:]}",
        "cut": real[:-1],
        "longer": real + "A",
        "of another post": f"{mark}_{ground.token('officer').split('_', 2)[1]}_{secret}",
        "without a secret": f"{mark}_{prefix}_",
        "the prefix alone": prefix,
        "other letters": real.upper(),
        "a list of two": f"{none}, {real}"[:200] + "x",
        "a wildcard": "*",
    }
    tries = [(what, ground.call(None, "GET", "whoami", headers={"Authorization": f"Bearer {text}"})) for what, text in forged.items()]
    if (fault := fault_of(ground, tries, statuses=(401,))) is not None:
        return fault
    told = _id_tokens(ground)
    if told["passed"] or not told["control"]:
        which = ", ".join(told["passed"]) or "none, but the true one was refused too"
        return Finding(Outcome.ANSWERED, f"Id tokens that were taken: {which}.")
    return refused(
        ground, tries, f"Of forged id tokens {len(told['refused'])} were refused ({', '.join(told['refused'])}), the true one was taken."
    )


def _id_tokens(ground: Ground) -> Mapping[str, Any]:
    """What came of forged id tokens, in a process that has opened the instance."""
    import json

    done = subprocess.run(
        [sys.executable, "-m", "huitong.drill.procedures.api.id_tokens", str(ground.home)],
        env=dict(ground.environment), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        raise SetupError(f"id tokens could not be tried: {done.stderr[-300:]}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


# --- passwords and sessions -----------------------------------------------------------------------------------------------------------


def own_address() -> str:
    """An address of this machine that nothing else comes from."""
    return ".".join(["127", *(str(secrets.randbelow(200) + 20) for _ in range(3))])


@contextmanager
def browser(ground: Ground, address: str | None = None) -> Iterator[httpx.Client]:
    """A browser on this machine that comes from an address of its own, so that what is counted against it counts against no other."""
    transport = httpx.HTTPTransport(local_address=address or own_address())
    with httpx.Client(base_url=ground.url, transport=transport, timeout=60, headers={"Accept-Language": "en"}) as client:
        yield client


def sign_in(client: httpx.Client, name: str, password: str) -> httpx.Response:
    """Send the form of the sign-in page."""
    form = client.get("/sign-in").text
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    if found is None:
        raise SetupError("the sign-in page has no form")
    sent = {"username": name, "password": password, "csrfmiddlewaretoken": found.group(1)}
    return client.post("/sign-in", data=sent, headers={"Referer": f"{client.base_url}/sign-in"})


def _in(client: httpx.Client, session: str) -> bool:
    """Whether a session cookie alone gets its bearer to their own page."""
    answer = client.get("/account", headers={"Cookie": f"{COOKIE}={session}"})
    return answer.status_code == 200


def session_fixed_and_reused(ground: Ground) -> Finding:
    """API-028."""
    planted = secrets.token_hex(16)
    with browser(ground) as client, browser(ground) as thief:
        client.cookies.set(COOKIE, planted, domain="127.0.0.1")
        done = sign_in(client, "rows_user", PASSWORD)
        own = [cookie.value for cookie in client.cookies.jar if cookie.name == COOKIE and cookie.value != planted]
        if done.status_code != 302 or not own or not own[-1]:
            raise SetupError(f"signing in failed ({done.status_code})")
        session = own[-1]
        if not _in(thief, session):
            raise SetupError("the session that was given does not work")
        if _in(thief, planted):
            return Finding(Outcome.ANSWERED, "A session that was planted before the sign-in became the person's own.")
        bearer = httpx.get(f"{ground.url}/api/v1/whoami", headers={"Cookie": f"{COOKIE}={session}"}, timeout=30)
        client.cookies.clear()
        client.cookies.set(COOKIE, session, domain="127.0.0.1")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/account").text)
        if token is None:
            raise SetupError("the page of one's own account has no form to sign out with")
        left = client.post("/sign-out", data={"csrfmiddlewaretoken": token.group(1)}, headers={"Referer": f"{ground.url}/account"})
        if left.status_code not in (200, 302):
            raise SetupError(f"signing out failed ({left.status_code})")
        if _in(thief, session):
            return Finding(Outcome.ANSWERED, "The cookie still works after its person signed out.")
    if bearer.status_code != 401:
        return Finding(Outcome.ANSWERED, f"The API takes a session cookie ({bearer.status_code}).")
    return Finding(
        Outcome.REFUSED,
        "The session got a new key at the sign-in, the planted one is nobody's, the API takes none, and "
        "after signing out the old cookie leads to the sign-in page.",
    )


def sprayed(ground: Ground) -> Finding:
    """API-029: one password for many names from one address, then many passwords for one name."""
    known = ("officer", "reviewer", "agg_user", "other_office", "requester")
    address = own_address()
    with browser(ground, address) as client:
        first = [(name, sign_in(client, name, "Spring-2026-drill")) for name in (*known, *(f"nobody{number}" for number in range(5)))]
        texts = {_message(one) for _, one in first}
        stopped = _tries_until_stopped(ground, address)
        right = sign_in(client, "agg_user", PASSWORD)
    if stopped is None:
        return Finding(Outcome.ANSWERED, f"{TRIES + len(first)} tries with one password from one address were all looked at.")
    if right.status_code == 302:
        return Finding(Outcome.ANSWERED, "An address that had too many tries still signs in.")
    with browser(ground) as client:
        account = 0
        for number in range(15):
            if "too many" in _message(sign_in(client, "police_officer", f"wrong-{number}")).lower():
                account = number + 1
                break
    if not account:
        return Finding(Outcome.ANSWERED, "15 wrong passwords for one account were all looked at.")
    if len(texts) != 1:
        return Finding(Outcome.LEAKED, f"Known and unknown names get different words: {sorted(texts)[:2]}.")
    return Finding(
        Outcome.REFUSED,
        f"An address is stopped after {stopped + len(first)} tries, an account at try {account}, the right password "
        f"included; known and unknown names get the same words.",
    )


def _tries_until_stopped(ground: Ground, address: str) -> int | None:
    """How many more tries from an address were looked at before one was told that there were too many; None if all of TRIES were.
    Some browsers at once: each try costs the server the hashing of a password."""
    numbers, looked_at, stopped = iter(range(TRIES)), [], threading.Event()

    def try_some(_: int) -> None:
        with browser(ground, address) as client:
            while not stopped.is_set() and (number := next(numbers, None)) is not None:
                if "too many" in _message(sign_in(client, f"nobody-{number}", "Spring-2026-drill")).lower():
                    stopped.set()
                else:
                    looked_at.append(number)

    with ThreadPoolExecutor(BROWSERS) as pool:
        list(pool.map(try_some, range(BROWSERS)))
    return len(looked_at) if stopped.is_set() else None


def _message(answer: httpx.Response) -> str:
    """The words of the error summary."""
    found = re.search(r'role="alert".*?</ul>', answer.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found.group(0) if found else str(answer.status_code)).split())


def told_apart_by_time(ground: Ground) -> Finding:
    """API-030: wrong passwords for names that exist and names that do not, in turn; medians compared."""
    known = ("officer", "reviewer", "second_reviewer", "tax_officer")
    took: dict[bool, list[float]] = {True: [], False: []}
    with browser(ground) as client:
        sign_in(client, f"warm-{secrets.token_hex(3)}", "wrong")
        for turn in range(12):
            name = known[turn % len(known)]
            for real in (True, False) if turn % 2 else (False, True):
                form = client.get("/sign-in").text
                token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
                sent = {
                    "username": name if real else f"x{secrets.token_hex(4)}",
                    "password": f"wrong-{turn}",
                    "csrfmiddlewaretoken": token.group(1) if token else "",
                }
                began = time.perf_counter()
                answer = client.post("/sign-in", data=sent, headers={"Referer": f"{ground.url}/sign-in"})
                took[real].append(time.perf_counter() - began)
                if answer.status_code != 422:
                    raise SetupError(f"a wrong password gave {answer.status_code}")
    there, absent = statistics.median(took[True]), statistics.median(took[False])
    told = f"median {there * 1000:.0f} ms for names that exist, {absent * 1000:.0f} ms for others, over {len(took[True])} tries each"
    if abs(there - absent) > NOISE * there:
        return Finding(Outcome.LEAKED, f"Time tells whether a name exists: {told}.")
    return Finding(Outcome.REFUSED, f"Time tells nothing: {told}; one password is hashed either way.")


PROCEDURES: Mapping[str, Procedure] = {
    "API-011": revoked_token,
    "API-012": key_in_address,
    "API-013": replayed,
    "API-014": clock_ahead,
    "API-027": forged_tokens,
    "API-028": session_fixed_and_reused,
    "API-029": sprayed,
    "API-030": told_apart_by_time,
}
