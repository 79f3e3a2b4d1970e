"""What scripted procedures share: entries and grants of their own, and how they judge and tell what came back."""

import base64
import contextlib
import re
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from huitong.drill import instance
from huitong.drill.ground import Ground
from huitong.drill.ground import Procedure as Procedure
from huitong.drill.judging import Finding, Outcome

PURPOSE, BASIS, UNTIL = "education", "Compulsory Education Law, article 44", "2099-12-31"
"""Of the grants that procedures ask for themselves; the purpose and its basis are in the list that ships."""
WAIT_SECONDS = 60.0
UNCONDITIONAL, CONDITIONAL = "unconditional", "conditional"


class SetupError(Exception):
    """What a procedure needs before it can attack could not be had: no finding about the attack at all."""


# --- what came back -----------------------------------------------------------------------------------------------------------------


def code_of(response: httpx.Response) -> str:
    """The reason code of a problem; empty if the answer is none."""
    with contextlib.suppress(ValueError):
        told = response.json()
        if isinstance(told, dict):
            return str(told.get("code") or "")
    return ""


def seen(response: httpx.Response) -> str:
    """Status and reason code, as evidence tells them."""
    return f"{response.status_code} {code_of(response)}".strip()


def expect(response: httpx.Response, *statuses: int) -> Any:
    """The JSON of an answer that a procedure needs for its setup. Raises SetupError if it has none of these statuses."""
    if response.status_code not in statuses:
        raise SetupError(f"{response.request.method} {response.request.url.path}: {seen(response)}")
    return response.json()


Tries = Sequence[tuple[str, httpx.Response]]
"""What was tried, and the answer."""


def fault_of(ground: Ground, tries: Tries, *, statuses: Iterable[int] = range(400, 500)) -> Finding | None:
    """The finding if one of the tries was not refused: a canary in an answer, a success, a failure of the server, a refusal without a
    stable reason code or with another status than `statuses`."""
    allowed = frozenset(statuses)
    for what, response in tries:
        canary = ground.found_canary(response.content)
        if canary is not None:
            return Finding(Outcome.LEAKED, f"{what}: the answer ({seen(response)}) holds the canary of {canary}.")
        if response.status_code >= 500 and response.status_code not in allowed:
            return Finding(Outcome.ERROR, f"{what}: the server failed ({seen(response)}).")
        if response.status_code not in allowed:
            return Finding(Outcome.ANSWERED, f"{what}: not refused as it must be ({seen(response)}).")
        if not code_of(response):
            return Finding(Outcome.ERROR, f"{what}: {response.status_code} without a reason code.")
    return None


def counted(tries: Tries) -> str:
    """`7 tries: 404 grant-unknown (5), 405 method-unknown (2)`."""
    found = Counter(seen(response) for _, response in tries)
    return f"{len(tries)} tries: " + ", ".join(f"{what} ({count})" for what, count in found.most_common())


def refused(ground: Ground, tries: Tries, more: str = "", *, statuses: Iterable[int] = range(400, 500)) -> Finding:
    """Refused if every one of the tries was; else what went wrong. `more` is told beside."""
    return fault_of(ground, tries, statuses=statuses) or Finding(Outcome.REFUSED, f"{counted(tries)}. {more}".strip())


def alike(mine: httpx.Response, unknown: httpx.Response, ids: Mapping[str, str]) -> bool:
    """Whether two refusals say the same when what the caller wrote is left out."""

    def told(response: httpx.Response) -> tuple[int, str]:
        text = response.text
        for written in ids.values():
            text = text.replace(written, "?")
        return response.status_code, text

    return told(mine) == told(unknown)


def until(true: Callable[[], Any], seconds: float = WAIT_SECONDS, *, what: str) -> Any:
    """What `true` gives once it is not false. Raises SetupError after so long."""
    end = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        if time.monotonic() > end:
            raise SetupError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


# --- entries and grants of one's own ---------------------------------------------------------------------------------------------------


def office_of(ground: Ground, actor: str) -> str:
    """The id of an actor's office."""
    return str(expect(ground.call(actor, "GET", "whoami"), 200)["office"]["id"])


def words(text: str) -> dict[str, str]:
    """The same in both languages."""
    return {"zh": text, "en": text}


def fresh_name() -> str:
    """The id of an entry that is not there yet."""
    return f"drill.e{secrets.token_hex(5)}"


def entry(
    ground: Ground, *, name: str | None = None, sharing: str = UNCONDITIONAL, items: Sequence[str] = ("place", "text"), **more: Any
) -> dict[str, Any]:
    """An entry of the officer's office, ready to be published."""
    if sharing != CONDITIONAL:
        more = {"sharing_condition": None, **more}
    made = [instance.item(one, grade=1) for one in items]
    return instance.entry(name or fresh_name(), office_of(ground, "officer"), made, sharing=sharing, **more)


def published(ground: Ground, rows: Iterable[str] = ("p1,t1", "p2,t2", "p3,t3"), **more: Any) -> str:
    """The id of an entry of the procedure's own, published and loaded by the data officer."""
    made = entry(ground, **more)
    expect(ground.call("officer", "POST", "datasets", body=made), 201)
    header = ",".join(item["name"] for item in made["items"])
    content = "\n".join([header, *rows]).encode() + b"\n"
    answer = ground.call("officer", "POST", f"datasets/{made['id']}/snapshots", content=content, headers={"Content-Type": "text/csv"})
    expect(answer, 201)
    return str(made["id"])


def wish(dataset: str, items: Sequence[str] = ("place", "text"), **more: Any) -> dict[str, Any]:
    """The body of a request."""
    return {"dataset": dataset, "purpose": PURPOSE, "legal_basis": BASIS, "until": UNTIL, "items": [{"item": one} for one in items], **more}


def granted(ground: Ground, dataset: str, *, actor: str = "rows_user", **more: Any) -> str:
    """The number of a grant over an entry that is shared without condition, once it is in force."""
    made = expect(ground.call(actor, "POST", "requests", body=wish(dataset, **more)), 201)
    if not made.get("grant"):
        raise SetupError(f"no grant came of request {made.get('id')} at once: {made.get('state')}")
    until(lambda: ground.call(actor, "GET", f"grants/{made['grant']}").json().get("valid"), what="the grant comes in force")
    return str(made["grant"])


def asked(ground: Ground, actor: str, sql: str, *, purpose: str = PURPOSE, **more: Any) -> httpx.Response:
    """A query under a grant of the procedure's own."""
    return ground.call(actor, "POST", "query", body={"sql": sql, "purpose": purpose, **more})


def extracted(ground: Ground, grant: str, *, actor: str = "rows_user") -> Mapping[str, Any]:
    """A ready extract of a grant."""
    made = expect(ground.call(actor, "POST", "extracts", body={"grant": grant, "format": "csv"}), 201)

    def ready() -> Any:
        found = ground.call(actor, "GET", f"extracts/{made['id']}").json()
        if found.get("state") in ("failed", "removed"):
            raise SetupError(f"extract {made['id']} is {found['state']}")
        return found if found.get("state") == "ready" else None

    found: Mapping[str, Any] = until(ready, what="the extract is ready")
    return found


def other_number(number: str) -> str:
    """A number of the same form that nobody has: other digits."""
    return re.sub(r"\d", "9", number)


def command(ground: Ground, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line on the instance, its answer as JSON. Raises SetupError if it fails."""
    done = ground.huitong(*arguments, "--format", "json")
    if done.returncode != 0:
        raise SetupError(f"huitong {' '.join(arguments[:2])} ended with {done.returncode}: {text_of(done)[-300:]}")
    return done


def text_of(done: subprocess.CompletedProcess[Any]) -> str:
    """All that a command wrote."""
    parts = (part.decode("utf-8", "replace") if isinstance(part, bytes) else part or "" for part in (done.stdout, done.stderr))
    return "".join(parts)


# --- an instance in the hands of who owns the machine ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """A copy of the instance's control database, keys and checkpoint that nobody serves: what somebody with the disk in their hands has."""

    home: Path
    environment: Mapping[str, str]
    """For commands on it."""

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Its control database; what was done is kept. The triggers that let no row of the ledger change are dropped, as somebody who
        owns the file would."""
        with contextlib.closing(sqlite3.connect(self.home / "control.sqlite3")) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f'DROP TRIGGER "{name}"')
            yield connection
            connection.commit()

    def huitong(self, *arguments: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """The command line on this copy, in English."""
        environment = {**self.environment, "HUITONG_PROFILE": str(self.home / "profile.toml"), "HUITONG_OPERATOR": operator_of(self.home)}
        asked_for = [*prefix, sys.executable, "-m", "huitong.cli", *arguments, "--home", str(self.home), "--lang", "en"]
        return subprocess.run(
            asked_for, env=environment, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL
        )


def operator_of(home: Path) -> str:
    """The account name of an operator of an instance."""
    with contextlib.closing(sqlite3.connect(f"file:{home / 'control.sqlite3'}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT a.username FROM accounts_account a JOIN accounts_post p ON p.account_id = a.id "
            "JOIN accounts_postrole r ON r.post_id = p.id WHERE r.role = 'operator' AND p.ended_at IS NULL ORDER BY a.username"
        ).fetchall()
    if not rows:
        raise SetupError("the instance has no operator")
    return str(rows[0][0])


@contextlib.contextmanager
def taken(ground: Ground) -> Iterator[Taken]:
    """A copy for one procedure, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="huitong-drill-taken-") as folder:
        home = Path(folder) / "instance"
        home.mkdir(mode=0o700)
        source, target = sqlite3.connect(ground.home / "control.sqlite3"), sqlite3.connect(home / "control.sqlite3")
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)
        (home / "keys").mkdir(mode=0o700)
        for key in (ground.home / "keys").iterdir():
            (home / "keys" / key.name).write_bytes(key.read_bytes())
            (home / "keys" / key.name).chmod(0o600)
        for name in ("ledger-checkpoint.txt", "huitong.toml"):
            if (ground.home / name).exists():
                (home / name).write_bytes((ground.home / name).read_bytes())
        for name in ("lake", "run"):
            (home / name).mkdir(mode=0o700)
        yield Taken(home, ground.environment)


def secrets_of(home: Path) -> Mapping[str, tuple[bytes, ...]]:
    """Every key file of an instance with the forms in which its bytes could stand somewhere: as kept, decoded, and written again in
    hexadecimal and base64."""
    found: dict[str, tuple[bytes, ...]] = {}
    for file in sorted((home / "keys").glob("*.key")):
        kept = file.read_bytes().strip()
        forms = {kept}
        for decode in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
            with contextlib.suppress(ValueError):
                raw = decode(kept.decode("ascii"))
                forms |= {raw, raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw)}
        forms |= {kept.hex().encode(), base64.b64encode(kept)}
        found[file.name] = tuple(form for form in forms if len(form) >= 16)
    return found
