"""What procedures do inside an instance, each in a process of its own that opens it as its operator's software would:

    python -m huitong.drill.procedures.inside people HOME OFFICE ROLE,ROLE ROLE ...
    python -m huitong.drill.procedures.inside clock-ahead HOME SECONDS
    python -m huitong.drill.procedures.inside back-dated HOME SECONDS
    python -m huitong.drill.procedures.inside governed HOME ACCOUNT PURPOSE SQL

Each prints what came of it as JSON."""

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any


def run(home: Path, environment: Mapping[str, str], what: str, *arguments: str) -> Any:
    """Do it in a process of its own. Raises RuntimeError with the last line of what went wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "huitong.drill.procedures.inside", what, str(home), *arguments],
        env=dict(environment), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["-"])[-1][:300])
    return json.loads(done.stdout.strip().splitlines()[-1])


def _platform(home: Path, clock: Callable[[], datetime] | None = None) -> Any:
    from huitong.portal.wiring import open_platform, wall_clock
    from huitong.settings import read_settings

    return open_platform(read_settings({}, home=home), clock=clock or wall_clock)


def people(home: Path, office: str, *roles: str) -> Any:
    """A person of the office for each list of roles: account and token."""
    from huitong.model.party import Role
    from huitong.portal.wiring import open_accounts

    accounts = open_accounts(_platform(home))
    from huitong.portal.accounts.actions import NewPerson, instance_operator
    from huitong.portal.stores import Stores

    by = instance_operator("drill")
    made = [
        NewPerson(f"drill-{secrets.token_hex(4)}", "drill", office, frozenset(Role(role) for role in listed.split(","))) for listed in roles
    ]
    accounts.register_people(made, by=by)
    parties = Stores().parties
    posts = [parties.actors_of(person.username)[0].post for person in made]
    tokens = [accounts.issue_token(post, by=by, label="drill", words="drill").text for post in posts]
    return [{"account": person.username, "token": token} for person, token in zip(made, tokens, strict=True)]


def clock_ahead(home: Path, seconds: str) -> Any:
    """An entry of this instance, written while the clock of the machine was so far ahead."""
    from huitong.model.ledger import EntryKind
    from huitong.portal.wiring import wall_clock

    platform = _platform(home, lambda: wall_clock() + timedelta(seconds=float(seconds)))
    from huitong.portal.stores import Stores

    with Stores().atomic():
        promise = platform.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": "drill-clock-ahead", "by": "drill"})
    return {"entry": promise.entry, "at": promise.at.isoformat()}


def back_dated(home: Path, seconds: str) -> Any:
    """An entry that says it is so much older than it is, signed with the key of the log and put among those that wait, as somebody
    who holds the machine could; then one that `append` is asked for with a clock that was set back, which it must refuse."""
    from huitong.errors import Unavailable
    from huitong.keystore import LEDGER, FileKeyStore
    from huitong.ledger.log import sign_promise
    from huitong.model.ledger import EntryKind
    from huitong.portal.wiring import wall_clock

    platform = _platform(home)
    from huitong.portal.stores import Stores

    stores = Stores()
    before = wall_clock() - timedelta(seconds=float(seconds))
    refusal = ""
    try:
        with stores.atomic():
            _platform(home, lambda: before).ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": "drill", "by": "drill"})
    except Unavailable as error:
        refusal = error.reasons[0].code
    forged = sign_promise(
        origin=platform.settings.name,
        key=FileKeyStore(platform.settings.keys).signing_key(LEDGER),
        entry=secrets.token_hex(16),
        kind=EntryKind.OPERATOR_ACTION,
        at=before,
        body={"act": "drill-back-dated", "by": "drill"},
    )
    with stores.atomic():
        stores.ledger.add_pending(forged)
    return {"entry": forged.entry, "refusal": refusal}


def governed(home: Path, account: str, purpose: str, sql: str) -> Any:
    """The governed SQL of a statement, as the engine would get it."""
    from huitong.model.query import QueryRequest

    platform = _platform(home)
    from huitong.portal.stores import Stores

    (actor, *_) = Stores().parties.actors_of(account)
    plan = platform.gateway.planned(QueryRequest(sql=sql, purpose=purpose), actor=actor, maximum_rows=100)
    return {"sql": plan.sql, "files": [str(file) for table in plan.tables for file in table.files]}


DOES: Mapping[str, Callable[..., Any]] = {
    "people": people,
    "clock-ahead": clock_ahead,
    "back-dated": back_dated,
    "governed": governed,
}


def main(arguments: Sequence[str]) -> None:
    """As the module's text says."""
    what, home, *rest = arguments
    sys.stdout.write(json.dumps(DOES[what](Path(home), *rest)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
