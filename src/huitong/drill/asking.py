"""What procedures do over and over: ask a question and read what came back, get a grant as an office does."""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from huitong.drill.bounds import code_of
from huitong.drill.ground import Ground
from huitong.drill.instance import BASIS, UNTIL
from huitong.drill.judging import Finding, Outcome
from huitong.drill.statements import BUSY

GRANT_SECONDS = 20.0
TRIES = 8


@dataclass(frozen=True)
class Said:
    """What came back on a question."""

    sql: str
    status: int
    code: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    text: str
    number: str
    notices: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether it was said no to, with a reason code."""
        return 400 <= self.status < 500 and self.code != "-"

    @property
    def told(self) -> str:
        """In a few words."""
        return f"{len(self.rows)} rows" if self.status == 200 else f"{self.status} {self.code}"


def ask(ground: Ground, actor: str, sql: str, **more: Any) -> Said:
    """A question and what came back; one that finds no free place is asked again."""
    response = ground.query(actor, sql, **more)
    for attempt in range(TRIES):
        if response.status_code not in (429, 503) or code_of(response) not in BUSY:
            break
        time.sleep(0.3 * (attempt + 1))
        response = ground.query(actor, sql, **more)
    return said(response, sql)


def said(response: httpx.Response, sql: str) -> Said:
    """An answer, read."""
    answer: Mapping[str, Any] = {}
    with contextlib.suppress(ValueError):
        answer = response.json()
    whole = response.status_code == 200
    return Said(
        sql=sql,
        status=response.status_code,
        code=code_of(response),
        columns=tuple(str(one["name"]) for one in answer.get("columns", ())) if whole else (),
        rows=tuple(tuple(row) for row in answer.get("rows", ())) if whole else (),
        text=response.text + "".join(f"\n{name}: {value}" for name, value in response.headers.items()),
        number=response.headers.get("Huitong-Query", ""),
        notices=tuple(str(one["code"]) for one in answer.get("notices", ())) if whole else (),
    )


def leak_in(ground: Ground, answers: Iterable[Said]) -> Finding | None:
    """The finding *leaked* if any answer holds what is hidden."""
    for answer in answers:
        if found := ground.found_canary(answer.text, said=answer.sql):
            return Finding(Outcome.LEAKED, f"The answer to {answer.sql[:80]!r} holds what is hidden: {found[:60]}.")
    return None


def failure_in(answers: Iterable[Said]) -> Finding | None:
    """The finding *error* if any answer is neither rows nor a refusal with its code."""
    for answer in answers:
        if answer.status != 200 and not answer.refused:
            return Finding(Outcome.ERROR, f"{answer.sql[:80]!r} came to {answer.status} {answer.code}.")
    return None


def all_refused(ground: Ground, actor: str, statements: Sequence[str]) -> Finding:
    """*refused* if every statement is; *answered* with the first that is not, unless it leaks."""
    answers = [ask(ground, actor, sql) for sql in statements]
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    if told := next((one for one in answers if not one.refused), None):
        return Finding(Outcome.LEAKED, f"{told.sql[:100]!r} was answered with {told.told}; it should be refused.")
    codes = ", ".join(sorted({one.code for one in answers}))
    return Finding(Outcome.REFUSED, f"All {len(answers)} statements were refused ({codes}).")


def granted(
    ground: Ground, actor: str, dataset: str, *, purpose: str, items: Sequence[Any], reviewers: Sequence[str] = ("reviewer",), **terms: Any
) -> str:
    """The id of a grant that an office asked for and got, once it may be used. One that the office has for the purpose already is taken,
    so that a procedure may run twice.

    Raises what the client raises, and TimeoutError if it is not usable within some seconds."""
    with ground.client(actor) as client:
        standing = [one for one in client.grants()["grants"] if (one["dataset"], one["purpose"]) == (dataset, purpose) and one["valid"]]
        if standing:
            return str(standing[0]["id"])
        asked = client.request(dataset, purpose=purpose, legal_basis=BASIS, items=items, until=UNTIL, **terms)
    for reviewer in reviewers:
        if asked["state"] == "under-review":
            with ground.client(reviewer) as client:
                asked = client.approve(asked["id"], weaker_masks=[one["item"] for one in items if isinstance(one, Mapping)])
    end = time.monotonic() + GRANT_SECONDS
    with ground.client(actor) as client:
        while time.monotonic() < end:
            if client.grant(asked["grant"])["valid"]:
                return str(asked["grant"])
            time.sleep(0.1)
    raise TimeoutError(f"grant {asked['grant']} is not usable after {GRANT_SECONDS:.0f} s")
