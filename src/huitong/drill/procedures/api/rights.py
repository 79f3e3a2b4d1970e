"""API-001 to API-008, API-015: reaching for what is another office's, answering oneself, changing what was agreed."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx

from huitong.drill.ground import Ground
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures import inside
from huitong.drill.procedures.acting import (
    CONDITIONAL,
    PURPOSE,
    UNTIL,
    Procedure,
    SetupError,
    Tries,
    alike,
    asked,
    code_of,
    counted,
    expect,
    extracted,
    fault_of,
    granted,
    office_of,
    other_number,
    published,
    refused,
    taken,
    text_of,
    wish,
)
from huitong.portal.wiring import wall_clock

RANDOM_HEX_DIGITS = 16
"""The part of an id that nobody can guess: 64 bits."""


def grant_of_another_office(ground: Ground) -> Finding:
    """API-001."""
    grant = granted(ground, published(ground))
    unknown = other_number(grant)

    def reach(number: str) -> list[tuple[str, httpx.Response]]:
        calls: Sequence[tuple[str, str, Any]] = (
            ("GET", f"grants/{number}", None),
            ("GET", f"grants/{number}/odrl", None),
            ("GET", f"grants/{number}/document", None),
            ("GET", f"grants/{number}/versions", None),
            ("GET", f"grants/{number}/events", None),
            ("POST", f"grants/{number}/revoke", {"words": "drill"}),
            ("POST", f"grants/{number}/extend", {"until": UNTIL}),
            ("POST", f"grants/{number}/renew", {"until": UNTIL}),
            ("POST", "extracts", {"grant": number, "format": "csv"}),
        )
        any_form = {"Accept": "*/*"}
        return [
            (f"{method} {path}", ground.call("other_office", method, path, body=body, headers=any_form)) for method, path, body in calls
        ]

    mine, nobodys = reach(grant), reach(unknown)
    told = [what for (what, one), (_, other) in zip(mine, nobodys, strict=True) if not alike(one, other, {"a": grant, "b": unknown})]
    if (fault := fault_of(ground, mine)) is not None:
        return fault
    if told:
        return Finding(Outcome.LEAKED, f"{told[0]}: a grant of others is told apart from one that does not exist.")
    if not ground.call("rows_user", "GET", f"grants/{grant}").json().get("valid"):
        return Finding(Outcome.ANSWERED, f"Grant {grant} was changed by another office.")
    return refused(ground, mine, "Each answer is the same as for a number that nobody has.", statuses=(404,))


def extract_of_another_office(ground: Ground) -> Finding:
    """API-002."""
    extract = extracted(ground, granted(ground, published(ground)))
    given = expect(ground.call("rows_user", "POST", f"extracts/{extract['id']}/addresses", body={}), 201)
    address = str(given["address"])
    forged = address[:-1] + ("0" if address[-1] != "0" else "1")
    guessed = address.replace(extract["id"], other_number(extract["id"]))
    unknown = ground.call("other_office", "GET", f"extracts/x-{secrets.token_hex(8)}")
    mine = ground.call("other_office", "GET", f"extracts/{extract['id']}")
    tries: Tries = [
        ("show", mine),
        ("ask for an address", ground.call("other_office", "POST", f"extracts/{extract['id']}/addresses", body={})),
        ("download without an address", ground.call("other_office", "GET", f"extracts/{extract['id']}/download")),
        ("download by a forged address", ground.call("other_office", "GET", forged)),
        ("another extract by this address", ground.call("other_office", "GET", guessed)),
    ]
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    listed = ground.call("other_office", "GET", "extracts")
    if extract["id"] in listed.text or (mine.status_code, code_of(mine)) != (404, code_of(unknown)):
        return Finding(Outcome.LEAKED, f"Another office learns that extract {extract['id']} exists ({mine.status_code}).")
    digits = extract["id"].rpartition("-")[2]
    if len(digits) < RANDOM_HEX_DIGITS or digits.isdecimal():
        return Finding(Outcome.ANSWERED, f"The id {extract['id']} can be guessed.")
    return refused(ground, tries, "An unknown id looks the same; ids have 64 random bits.")


def task_of_another_office(ground: Ground) -> Finding:
    """API-003."""
    dataset = published(ground, sharing=CONDITIONAL)
    number = expect(ground.call("rows_user", "POST", "requests", body=wish(dataset)), 201)["id"]
    tries: list[tuple[str, httpx.Response]] = []
    for actor in ("other_office", "rows_user"):
        for verb, body in (
            ("approve", {}),
            ("refuse", {"reason": "other", "words": "drill"}),
            ("ask-supplement", {"words": "drill"}),
            ("prolong", {"words": "drill", "approved_by": "head"}),
        ):
            tries.append((f"{verb} by {actor}", ground.call(actor, "POST", f"requests/{number}/{verb}", body=body)))
    state = expect(ground.call("rows_user", "GET", f"requests/{number}"), 200)
    if state["state"] != "under-review" or state.get("grant"):
        return Finding(Outcome.ANSWERED, f"Request {number} is {state['state']} though nobody who may answer it did.")
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    noted = _noted(ground, f"requests/{number}/approve")
    if noted < 2:
        return Finding(Outcome.ANSWERED, f"{counted(tries)}; but of two refused approvals only {noted} stand in the server's log.")
    return refused(ground, tries, f"The request still waits; {noted} refused approvals stand in the server's log with post and code.")


def _noted(ground: Ground, path: str) -> int:
    """Lines of the web processes' log that say a call to this path was refused."""
    log = ground.home / "run" / "web.log"
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    return sum(1 for line in lines if path in line and "refused" in line)


def bearing(ground: Ground, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
    """A call with a token of the procedure's own."""
    return ground.call(None, method, path, body=body, headers={"Authorization": f"Bearer {token}"})


def approval_by_delegate(ground: Ground) -> Finding:
    """API-005: a reviewer who asked lets a colleague answer, and a colleague who asked answers in the reviewer's place."""
    dataset = published(ground, sharing=CONDITIONAL)
    office = office_of(ground, "officer")
    boss, colleague = inside.run(ground.home, ground.environment, "people", office, "analyst,reviewer", "analyst")
    today = wall_clock().date()
    days = {"valid_from": today.isoformat(), "valid_until": (today + timedelta(days=5)).isoformat()}
    expect(bearing(ground, boss["token"], "POST", "delegations", {"to": colleague["account"], **days}), 201)
    tries: list[tuple[str, httpx.Response]] = []
    numbers = [expect(bearing(ground, one["token"], "POST", "requests", wish(dataset)), 201)["id"] for one in (boss, colleague)]
    for what, number, by in (
        ("the reviewer their own request", numbers[0], boss),
        ("the delegate the reviewer's request", numbers[0], colleague),
        ("the delegate their own request", numbers[1], colleague),
    ):
        tries.append((f"{what}: approve", bearing(ground, by["token"], "POST", f"requests/{number}/approve", {})))
    for number in numbers:
        if bearing(ground, boss["token"], "GET", f"requests/{number}").json().get("grant"):
            return Finding(Outcome.ANSWERED, f"Request {number} was granted by its own side: {counted(tries)}.")
    control = ground.call("reviewer", "POST", f"requests/{numbers[0]}/approve", body={})
    if control.status_code != 200:
        raise SetupError(f"an independent reviewer could not approve {numbers[0]}: {code_of(control)}")
    return refused(ground, tries, "An independent reviewer could approve the very same request.", statuses=(403,))


def change_after_approval(ground: Ground) -> Finding:
    """API-006."""
    near = (wall_clock().date() + timedelta(days=20)).isoformat()
    dataset = published(ground, sharing=CONDITIONAL)
    number = expect(ground.call("rows_user", "POST", "requests", body=wish(dataset, items=("place",)) | {"until": near}), 201)["id"]
    grant = expect(ground.call("reviewer", "POST", f"requests/{number}/approve", body={}), 200)["grant"]
    before = expect(ground.call("rows_user", "GET", f"grants/{grant}"), 200)
    wider = [{"item": "place"}, {"item": "text"}]
    tries: Tries = [
        (
            "supplement with more items",
            ground.call("rows_user", "POST", f"requests/{number}/supplement", body={"words": "x", "items": wider}),
        ),
        ("approve again, wider", ground.call("reviewer", "POST", f"requests/{number}/approve", body={"items": wider})),
        ("PATCH the request", ground.call("rows_user", "PATCH", f"requests/{number}", body={"items": wider})),
        ("PUT the grant", ground.call("rows_user", "PUT", f"grants/{grant}", body={"items": wider, "rows": None})),
        ("PATCH the grant", ground.call("reviewer", "PATCH", f"grants/{grant}", body={"items": wider})),
        (
            "extend with more items",
            ground.call("rows_user", "POST", f"grants/{grant}/extend", body={"until": "2100-01-01", "items": wider}),
        ),
        ("use the other item", asked(ground, "rows_user", f"SELECT text FROM {dataset}")),
    ]
    after = expect(ground.call("rows_user", "GET", f"grants/{grant}"), 200)
    if (after["terms_hash"], after["version"]) != (before["terms_hash"], before["version"]):
        return Finding(Outcome.ANSWERED, f"The terms of {grant} changed without a review.")
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    later = (wall_clock().date() + timedelta(days=40)).isoformat()
    longer = ground.call("rows_user", "POST", f"grants/{grant}/extend", body={"until": later})
    waiting = longer.json().get("state") if longer.status_code == 201 else code_of(longer)
    if longer.status_code == 201 and waiting != "under-review":
        return Finding(Outcome.ANSWERED, f"A longer term was not reviewed again: {waiting}.")
    found = _audit_of_changed_grant(ground, grant)
    if found:
        return found
    return refused(ground, tries, f"Hash and version stayed; a change is a new request ({waiting}); one in the table the audit names.")


def _audit_of_changed_grant(ground: Ground, grant: str) -> Finding | None:
    """What the audit says of a grant whose items somebody changed in the database itself: a finding if nothing."""
    with taken(ground) as copy:
        with copy.database() as database:
            # the second item is put in the place of the first
            changed = database.execute(
                "UPDATE sharing_grant SET items = replace(items, '\"place\"', '\"text\"') WHERE id = ? AND items LIKE '%\"place\"%'",
                (grant,),
            )
            if changed.rowcount != 1:
                raise SetupError(f"grant {grant} was not found in the database")
        report = copy.huitong("ledger", "audit", "--format", "json")
    if report.returncode != 9 or grant not in text_of(report):
        return Finding(Outcome.ANSWERED, f"Items of {grant} were changed in the table and the audit does not name it.")
    return None


def mass_assignment(ground: Ground) -> Finding:
    """API-007."""
    dataset = published(ground, sharing=CONDITIONAL)
    number = expect(ground.call("rows_user", "POST", "requests", body=wish(dataset)), 201)["id"]
    total = _total(ground)
    office = office_of(ground, "other_office")
    more: Sequence[tuple[str, Any]] = (
        ("status", "approved"),
        ("state", "granted"),
        ("department_id", office),
        ("applicant_office", office),
        ("provider", office),
        ("roles", ["operator"]),
        ("grant", "G-1"),
        ("id", "R-1"),
        ("answer_due", "2000-01-01"),
    )
    tries = [
        (f"request with {name}", ground.call("rows_user", "POST", "requests", body=wish(dataset) | {name: value})) for name, value in more
    ]
    inner = wish(dataset)
    inner["items"] = [{"item": "place", "clear": True}]
    tries.append(("an item with a field of its own", ground.call("rows_user", "POST", "requests", body=inner)))
    tries.append(("approve as somebody else", ground.call("reviewer", "POST", f"requests/{number}/approve", body={"by": "head"})))
    tries.append(("token with a role", ground.call("rows_user", "POST", "tokens", body={"label": "drill", "role": "operator"})))
    tries.append(("query as another office", asked(ground, "rows_user", f"SELECT place FROM {dataset}", office=office)))
    if _total(ground) != total or expect(ground.call("rows_user", "GET", f"requests/{number}"), 200)["state"] != "under-review":
        return Finding(Outcome.ANSWERED, f"Something was made or changed by a call with fields that nobody may set: {counted(tries)}.")
    return refused(ground, tries, "Nothing was made or changed.")


def _total(ground: Ground) -> int:
    return int(expect(ground.call("rows_user", "GET", "requests"), 200)["total"])


def own_role(ground: Ground) -> Finding:
    """API-008."""
    before = expect(ground.call("rows_user", "GET", "whoami"), 200)
    me, office = before["person"], before["office"]["id"]
    everything = ["operator", "reviewer", "data-officer"]
    tries: Tries = [
        ("PATCH my account", ground.call("rows_user", "PATCH", f"people/{me}", body={"roles": everything})),
        ("PUT my account", ground.call("rows_user", "PUT", f"people/{me}", body={"roles": everything})),
        ("PATCH whoami", ground.call("rows_user", "PATCH", "whoami", body={"roles": everything})),
        ("one more post", ground.call("rows_user", "POST", f"people/{me}/posts", body={"office": office, "roles": everything})),
        (
            "move",
            ground.call(
                "rows_user", "POST", f"people/{me}/move", body={"post": before["post"], "office": office, "roles": everything, "words": "x"}
            ),
        ),
        (
            "register another self",
            ground.call("rows_user", "POST", "people", body={"account": "drill-self", "name": "x", "office": office, "roles": everything}),
        ),
        ("open staff mode", ground.call("rows_user", "POST", "staff/open", body={"words": "drill"})),
        ("a token of the reviewer's post", ground.call("rows_user", "POST", "tokens", body={"post": _post_of(ground, "reviewer")})),
    ]
    after = expect(ground.call("rows_user", "GET", "whoami"), 200)
    if after["roles"] != before["roles"]:
        return Finding(Outcome.ANSWERED, f"Roles went from {before['roles']} to {after['roles']}.")
    return refused(ground, tries, "The roles stayed what they were.")


def _post_of(ground: Ground, actor: str) -> str:
    return str(expect(ground.call(actor, "GET", "whoami"), 200)["post"])


def purpose_swap(ground: Ground) -> Finding:
    """API-015."""
    dataset = published(ground)
    grant = granted(ground, dataset)
    codes = [one["code"] for one in expect(ground.call("rows_user", "GET", "purposes"), 200)["purposes"] if one["code"] != PURPOSE]
    before = len(ground.entries("use-refused"))
    sql = f"SELECT place FROM {dataset}"
    tries = [
        (f"query for {code}", asked(ground, "rows_user", sql, purpose=code))
        for code in [*codes, f"{PURPOSE} ", PURPOSE.upper(), "*"]
    ]
    queries = len(tries)
    extract = {"grant": grant, "purpose": codes[0], "format": "csv"}
    tries.append((f"extract for {codes[0]}", ground.call("rows_user", "POST", "extracts", body=extract)))
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    control = asked(ground, "rows_user", sql)
    if control.status_code != 200:
        raise SetupError(f"the right purpose was refused too: {code_of(control)}")
    recorded = len(ground.entries("use-refused")) - before
    if recorded < queries - 3:
        return Finding(Outcome.ANSWERED, f"Of {queries} refused uses only {recorded} are in the ledger.")
    return refused(ground, tries, f"{recorded} refusals are in the ledger; for the granted purpose it was answered.")


PROCEDURES: Mapping[str, Procedure] = {
    "API-001": grant_of_another_office,
    "API-002": extract_of_another_office,
    "API-003": task_of_another_office,
    "API-005": approval_by_delegate,
    "API-006": change_after_approval,
    "API-007": mass_assignment,
    "API-008": own_role,
    "API-015": purpose_swap,
}
