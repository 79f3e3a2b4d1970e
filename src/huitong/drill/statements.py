"""Cases that are a statement: it is sent as it stands, as the right actor, and what came back is judged by values, names, words and ledger.

Whatever the statement is, what comes of it is a finding."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from huitong.drill.bounds import code_of, watching
from huitong.drill.cases import Case, Check
from huitong.drill.ground import Ground
from huitong.drill.hidden import ungranted_columns
from huitong.drill.instance import AGG_USER, ROWS_USER
from huitong.drill.judging import Finding, Outcome

AGGREGATE_LAYERS = frozenset({"inference"})
"""Layers whose cases are tried by an actor with a grant of totals alone."""
STOPPED = frozenset({"query-time-limit", "query-memory-limit", "query-result-too-large"})
"""Codes of a query that ran into a limit of the engine."""
BUSY = frozenset({"engine-busy", "queries-of-office"})
"""Codes of a place that was not free: to be tried again, as the sentence says."""
NO_STATEMENT = frozenset({400, 413, 422})
"""Statuses of a call that holds no statement that could be looked at: it is no use, so no entry of the ledger speaks of it."""
TRIES = 5
SHOWN = 100


def actor_of(case: Case) -> str:
    """Who tries a case that is a statement."""
    return case.actor or (AGG_USER if case.layer in AGGREGATE_LAYERS else ROWS_USER)


def filled(case: Case, ground: Ground) -> str:
    """The statement with what it marks filled in: a live pseudonym as the actor sees it, and a raw identifier."""
    return (case.sql or "").replace("{known_raw_id}", ground.known_raw_id).replace("{p}", ground.live_token_of(actor_of(case)))


def run_statement(ground: Ground, case: Case) -> Finding:
    """Try the case's statement."""
    actor = actor_of(case)
    if actor not in ground.facts.tokens:
        return Finding(Outcome.NOT_RUN, f"There is no actor {actor[:SHOWN]!r} in the drill.")
    sql = filled(case, ground)
    if case.check is Check.BOUNDED:
        with watching(ground) as seen:
            finding = _sent(ground, case, actor, sql)
        if finding.outcome in (Outcome.LEAKED, Outcome.ERROR):
            return finding
        if faults := seen.faults():
            return Finding(Outcome.ERROR, f"{finding.evidence} But {'; '.join(faults)}.")
        outcome = Outcome.BOUNDED if finding.outcome in (Outcome.ANSWERED, Outcome.EMPTY) else finding.outcome
        return Finding(outcome, f"{finding.evidence} {seen.told()}")
    return _sent(ground, case, actor, sql)


def _sent(ground: Ground, case: Case, actor: str, sql: str) -> Finding:
    try:
        response = ground.query(actor, sql)
        for attempt in range(TRIES):
            if response.status_code not in (429, 503) or code_of(response) not in BUSY or case.check is Check.BOUNDED:
                break
            time.sleep(0.5 * (attempt + 1))
            response = ground.query(actor, sql)
    except httpx.HTTPError as error:
        return Finding(Outcome.ERROR, f"The server gave no answer ({type(error).__name__}).")
    return judged(ground, case, sql, response)


def judged(ground: Ground, case: Case, sql: str, response: httpx.Response) -> Finding:
    """What an answer to a statement is."""
    number = response.headers.get("Huitong-Query", "")
    told: list[str | bytes] = [response.content, *(f"{name}: {value}" for name, value in response.headers.items())]
    if number and response.status_code == 200:
        told.append(ground.call(actor_of(case), "GET", f"queries/{number}/receipt").content)
    for part in told:
        if found := ground.found_canary(part, said=sql):
            return Finding(Outcome.LEAKED, f"The answer (status {response.status_code}) holds what is hidden: {found[:SHOWN]}.")
    kinds = [str(entry["kind"]) for entry in ground.entries_of_use(number)] if number else []
    if response.status_code == 200:
        return _answered(case, sql, response, kinds)
    return _said_no(case, response, kinds)


def _answered(case: Case, sql: str, response: httpx.Response, kinds: list[str]) -> Finding:
    try:
        answer = response.json()
        columns, rows = answer["columns"], answer["rows"]
    except (ValueError, KeyError, TypeError):
        return Finding(Outcome.ERROR, "The answer has status 200 and is not of the form that the API promises.")
    if more := ungranted_columns(columns, said=sql):
        return Finding(Outcome.LEAKED, f"The answer has columns that no grant names: {', '.join(more)}.")
    if raw := _unmasked(columns, rows):
        return Finding(Outcome.LEAKED, raw)
    if kinds != ["use-intent", "use-outcome"]:
        return Finding(Outcome.ERROR, f"Answered, and the ledger holds {', '.join(kinds) or 'nothing'} of it.")
    if case.check is Check.DETECT:
        return Finding(Outcome.DETECTED, f"Answered with {len(rows)} rows; intent and outcome are in the ledger.")
    outcome = Outcome.ANSWERED if rows or case.check is Check.DENY else Outcome.EMPTY
    names = ", ".join(str(one["name"]) for one in columns)
    return Finding(outcome, f"Answered with {len(rows)} rows of {names[:SHOWN]}; nothing hidden in values, names, headers or receipt.")


def _said_no(case: Case, response: httpx.Response, kinds: list[str]) -> Finding:
    status, code = response.status_code, code_of(response)
    if code == "-":
        return Finding(Outcome.ERROR, f"Status {status} without a reason code.")
    ran = "use-intent" in kinds
    if status == 500 or (status >= 500 and code not in BUSY and not ran):
        return Finding(Outcome.ERROR, f"Status {status}, {code}: a part failed.")
    if status in (429, 503):
        return Finding(Outcome.REFUSED if case.check is Check.BOUNDED else Outcome.ERROR, f"Status {status}, {code}.")
    if ran:
        return _stopped(case, status, code, kinds)
    if status not in NO_STATEMENT and kinds != ["use-refused"]:
        return Finding(Outcome.ERROR, f"Refused ({status}, {code}), but the ledger holds {', '.join(kinds) or 'nothing'} of it.")
    if case.check is Check.DETECT:
        return Finding(Outcome.DETECTED if kinds else Outcome.REFUSED, f"Refused ({code}); in the ledger: {', '.join(kinds) or '-'}.")
    where = "use-refused is in the ledger, no intent" if kinds else "the call holds no statement, so it is no use"
    return Finding(Outcome.REFUSED, f"Refused before execution: {status} {code}; {where}.")


def _stopped(case: Case, status: int, code: str, kinds: list[str]) -> Finding:
    """It reached the engine and came to no result."""
    if "use-outcome" not in kinds:
        return Finding(Outcome.ERROR, f"It reached the engine ({status} {code}), and the ledger holds no outcome.")
    if case.check is Check.DENY:
        return Finding(Outcome.ERROR, f"It reached the engine and ended there with {code}; it was to be refused before.")
    if case.check is Check.DETECT:
        return Finding(Outcome.DETECTED, f"It ended in the engine with {code}; intent and outcome are in the ledger.")
    if case.check is Check.BOUNDED:
        return Finding(Outcome.BOUNDED, f"Stopped: {status} {code}; the outcome is in the ledger.")
    how = "stopped at a limit" if code in STOPPED else "ended in the engine"
    return Finding(Outcome.REFUSED, f"No answer: {how}, {status} {code}; no words of the engine, the outcome is in the ledger.")


def _unmasked(columns: Iterable[Mapping[str, Any]], rows: Iterable[Iterable[Any]]) -> str | None:
    """Whether an item that leaves masked stands there under its own name in a form that its mask cannot give."""
    listed = [list(row) for row in rows]
    for position, column in enumerate(columns):
        values = [row[position] for row in listed]
        name = str(column["name"]).lower()
        if name in ("pid", "owner_pid") and (raw := next((one for one in values if _is_raw(one)), None)) is not None:
            return f"Column {name} holds {str(raw)[:6]}..., which is the form of a raw identifier."
    return None


def _is_raw(value: Any) -> bool:
    text = json.dumps(value) if not isinstance(value, str) else value
    return len(text) == 18 and text[:17].isdigit() and text[:2] == "52" and text[6:8] in ("19", "20")
