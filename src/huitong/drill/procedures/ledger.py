"""LED: a ledger that somebody edits, cuts off, back-dates or starves, and proofs that prove too much."""

import base64
import contextlib
import copy
import hashlib
import http.client
import importlib.util
import json
import os
import re
import resource
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huitong.drill.ground import Ground
from huitong.drill.instance import PURPOSES
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures import inside
from huitong.drill.procedures.acting import (
    CONDITIONAL,
    Procedure,
    SetupError,
    Taken,
    expect,
    published,
    seen,
    taken,
    text_of,
    until,
    wish,
)
from huitong.drill.procedures.processes import web_processes, whose_connection
from huitong.ledger import verify as verifier
from huitong.ledger.merkle import read_frontier

LEDGER_BROKEN = 9
"""How `huitong ledger audit` ends when anything does not fit."""
SHOWN_WITHIN_SECONDS = 60.0
STATEMENT = "SELECT note FROM civil.person LIMIT 3"


def audited(copy_: Taken, *arguments: str) -> tuple[int, list[str]]:
    """How the audit of a copy ended, and every fault that it names."""
    done = copy_.huitong("ledger", "audit", *arguments, "--format", "json")
    try:
        faults = [str(one) for one in json.loads(done.stdout)["faults"]]
    except (ValueError, KeyError):
        raise SetupError(f"the audit ended with {done.returncode}: {text_of(done)[-300:]}") from None
    return done.returncode, faults


def size_of(database: sqlite3.Connection) -> int:
    """Number of folded entries."""
    return int(database.execute("SELECT count(*) FROM audit_entry").fetchone()[0])


def _sound(copy_: Taken) -> None:
    """A copy that nobody touched must be sound, or a fault afterwards says nothing."""
    code, faults = audited(copy_)
    if code != 0:
        raise SetupError(f"the ledger is broken before the attack: {faults[:2]}")


def edited(ground: Ground) -> Finding:
    """LED-001: an entry is changed; then its leaf hash too, so that the two fit each other."""
    with taken(ground) as mine:
        _sound(mine)
        with mine.database() as database:
            place = size_of(database) // 2
            (payload,) = database.execute('SELECT payload FROM audit_entry WHERE "index" = ?', (place,)).fetchone()
            told = json.loads(payload)
            told["body"]["drill"] = "edited"
            changed = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
            database.execute('UPDATE audit_entry SET payload = ? WHERE "index" = ?', (changed, place))
        code, faults = audited(mine)
        with mine.database() as database:
            leaf = hashlib.sha256(b"\0" + changed).digest()
            database.execute('UPDATE audit_node SET hash = ? WHERE level = 0 AND "index" = ?', (leaf, place))
        second, more = audited(mine)
    if second != LEDGER_BROKEN or not more:
        return Finding(Outcome.ANSWERED, f"Entry {place} and its leaf hash were changed; the audit ended with {second}.")
    found = _named(code, faults, place, f"Entry {place} was changed")
    if found.outcome is not Outcome.DETECTED:
        return found
    return Finding(found.outcome, f"{found.evidence} With its leaf hash changed too, {len(more)} faults, a root that differs among them.")


def deleted(ground: Ground) -> Finding:
    """LED-002."""
    with taken(ground) as mine:
        with mine.database() as database:
            place = size_of(database) // 2
            database.execute('DELETE FROM audit_entry WHERE "index" = ?', (place,))
        code, faults = audited(mine)
        with mine.database() as database:  # and the rest moved up, so that no place is empty
            last = int(database.execute('SELECT max("index") FROM audit_entry').fetchone()[0])
            for index in range(place + 1, last + 1):
                database.execute('UPDATE audit_entry SET "index" = ? WHERE "index" = ?', (index - 1, index))
        moved_code, moved = audited(mine)
    if moved_code != LEDGER_BROKEN or not moved:
        return Finding(Outcome.ANSWERED, f"Entry {place} was deleted and the others moved up: the audit ended with {moved_code}.")
    found = _named(code, faults, place, f"Entry {place} was deleted")
    return (
        Finding(found.outcome, f"{found.evidence} With the others moved up into its place: {moved[0]}")
        if found.outcome is Outcome.DETECTED
        else found
    )


def _named(code: int, faults: Sequence[str], place: int, did: str) -> Finding:
    about = [fault for fault in faults if re.search(rf"place {place}\b", fault)]
    if code != LEDGER_BROKEN or not about:
        return Finding(Outcome.ANSWERED, f"{did}; the audit ended with {code} and names {len(faults)} faults, none at that place.")
    return Finding(Outcome.DETECTED, f"{did} in the database; the audit ended with {code} and says: {about[0]}")


def cut_off(ground: Ground) -> Finding:
    """LED-003: everything after an earlier checkpoint is removed, so that what is left fits itself; a witness kept a later one."""
    expect(ground.query("rows_user", STATEMENT), 200)
    time.sleep(1.5)  # until it is folded
    witnessed = ground.call(None, "GET", "ledger/checkpoint").text
    seen_size = int(witnessed.splitlines()[1])
    with taken(ground) as mine:
        with mine.database() as database:
            found = database.execute(
                "SELECT size, note FROM audit_checkpoint WHERE size < ? ORDER BY size DESC LIMIT 5", (seen_size,)
            ).fetchall()
            if not found:
                raise SetupError("there is no earlier checkpoint")
            size, note = found[-1]
            cut_back(database, size)
        (mine.home / "ledger-checkpoint.txt").write_text(note, "utf-8")
        kept = mine.home / "witness.txt"
        kept.write_text(witnessed, "utf-8")
        alone, _ = audited(mine, "--tree-only")
        code, faults = audited(mine, "--tree-only", "--checkpoint", str(kept))
    about = [fault for fault in faults if str(seen_size) in fault]
    if code != LEDGER_BROKEN or not about:
        return Finding(
            Outcome.ANSWERED, f"{seen_size - size} entries were cut off and the audit with the witness's checkpoint ended with {code}."
        )
    lonely = "finds nothing" if alone == 0 else f"ends with {alone}"
    return Finding(
        Outcome.DETECTED,
        f"{seen_size - size} entries were cut off with their nodes and checkpoints; the tree alone "
        f"{lonely}, with the witness's checkpoint the audit says: {about[0]}",
    )


def cut_back(database: sqlite3.Connection, size: int) -> None:
    """Make the ledger what it was at a checkpoint of that size."""
    database.execute("DELETE FROM audit_pending")
    database.execute('DELETE FROM audit_entry WHERE "index" >= ?', (size,))
    database.execute("DELETE FROM audit_checkpoint WHERE size > ?", (size,))
    for level in range(48):
        database.execute('DELETE FROM audit_node WHERE level = ? AND ("index" + 1) * ? > ?', (level, 1 << level, size))


# --- crash, clock, disk ---------------------------------------------------------------------------------------------------------------


def killed_between(ground: Ground) -> Finding:
    """LED-008: a query that takes long; the web process that serves it is killed before it is over."""
    slow = (
        "SELECT sum(a.salary + c.birth_year) AS n FROM civil.person a JOIN civil.person b ON a.gender = b.gender "
        "JOIN civil.person c ON b.gender = c.gender"
    )
    with ground.another(web=2, settings={"query_seconds": 60}) as spoiled:
        before = {one["entry"] for one in spoiled.entries("use-intent")}
        port = urlsplit(spoiled.url).port or 80
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        body = json.dumps({"sql": slow, "purpose": PURPOSES["rows_user"]})
        headers = {"Authorization": f"Bearer {spoiled.token('rows_user')}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/query", body, headers)

        def begun() -> Any:
            fresh = [one for one in spoiled.entries("use-intent") if one["entry"] not in before]
            return fresh[0] if fresh else None

        intent = until(begun, 30, what="the query begins")
        query = intent["body"]["query"]
        process = whose_connection(connection, port, web_processes(spoiled))
        if process is None:
            raise SetupError("the web process that serves the query was not found")
        time.sleep(0.5)
        if any(one["body"].get("query") == query for one in spoiled.entries("use-outcome")):
            raise SetupError("the query was over before its process could be killed")
        os.kill(process, signal.SIGKILL)
        killed = time.monotonic()
        connection.close()
        shown, told = 0.0, {}
        while time.monotonic() - killed < SHOWN_WITHIN_SECONDS:
            done = spoiled.huitong("ledger", "audit", "--format", "json", "--operator", "operator")
            with contextlib.suppress(ValueError):
                told = json.loads(done.stdout)
            if told.get("open_uses"):
                shown = time.monotonic() - killed
                break
            time.sleep(1)
        kinds = [one["kind"] for one in spoiled.entries() if one["body"].get("query") == query]
        alive = spoiled.query("rows_user", STATEMENT)
    if not shown or kinds != ["use-intent"]:
        return Finding(
            Outcome.ANSWERED,
            f"Use {query} was killed; the audit counts {told.get('open_uses')} open uses after a minute; the ledger holds {kinds}.",
        )
    if not told.get("ok") or alive.status_code != 200:
        return Finding(Outcome.ERROR, f"After the kill the audit says {told.get('faults')}, and a query gave {seen(alive)}.")
    return Finding(
        Outcome.DETECTED,
        f"The process of {query} was killed between intent and outcome; {shown:.0f} s later the audit "
        f"counts {told['open_uses']} open use, of which the ledger holds the intent alone; it is whole, and another process serves.",
    )


def set_back(ground: Ground) -> Finding:
    """LED-009: for the served instance the last entry was written an hour ahead, which is what a clock set back by an hour is to it; and
    an entry that says it is a day old, signed with the log's own key, put among those that wait."""
    with ground.another() as spoiled:
        inside.run(spoiled.home, spoiled.environment, "clock-ahead", "3600")
        served = spoiled.query("rows_user", STATEMENT)
    with taken(ground) as mine:
        told = inside.run(mine.home, ground.environment, "back-dated", "86400")
        code, faults = audited(mine)
        checkpoint = ground.call(None, "GET", "ledger/checkpoint").text
    if served.status_code == 200 or "ledger-clock-behind" not in served.text:
        return Finding(Outcome.ANSWERED, f"With a clock an hour behind the last entry a query gave {seen(served)}.")
    if told["refusal"] != "ledger-clock-behind":
        return Finding(Outcome.ANSWERED, f"The ledger wrote an entry with a clock that was set back ({told['refusal'] or 'no refusal'}).")
    about = [fault for fault in faults if told["entry"] in fault]
    if code != LEDGER_BROKEN or not about:
        return Finding(Outcome.ANSWERED, f"A back-dated entry was folded and the audit ended with {code}.")
    signed = "at " in checkpoint
    return Finding(
        Outcome.DETECTED,
        f"Behind the last entry the served instance refuses ({seen(served)}); a back-dated entry, signed "
        f"with the log's own key, the audit names: {about[0]} The checkpoint "
        f"{'states its instant under the signature' if signed else 'states no instant'}.",
    )


def disk_full(ground: Ground) -> Finding:
    """LED-015: no file of the web processes may be written beyond its first kilobyte (RLIMIT_FSIZE), so that every write to the control
    database fails as on a full disk."""
    with ground.another() as spoiled:
        expect(spoiled.query("rows_user", STATEMENT), 200)
        before = len(spoiled.entries())
        processes = [one for one in spoiled.processes() if one in web_processes(spoiled)]
        limits = {process: resource.prlimit(process, resource.RLIMIT_FSIZE) for process in processes}
        try:
            for process, (_, hard) in limits.items():
                resource.prlimit(process, resource.RLIMIT_FSIZE, (1024, hard))
            starved = [spoiled.query("rows_user", STATEMENT) for _ in range(3)]
            during = len(spoiled.entries())
        finally:
            for process, (soft, hard) in limits.items():
                resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
        after = spoiled.query("rows_user", STATEMENT)
        log = (spoiled.home / "run" / "web.log").read_text("utf-8", "replace")
        starved_too = ("sh", "-c", 'ulimit -f 1; exec "$@"', "sh")
        alarm = Taken(spoiled.home, spoiled.environment).huitong("doctor", "--format", "json", prefix=starved_too)
    answered = [one for one in starved if one.status_code < 500]
    if answered or during != before:
        return Finding(
            Outcome.ANSWERED,
            f"With a full disk {len(answered)} of {len(starved)} queries were answered "
            f"({seen(starved[0])}), {during - before} entries were written.",
        )
    if alarm.returncode == 0:
        return Finding(Outcome.ANSWERED, f"Queries were refused ({seen(starved[0])}), but the doctor finds nothing wrong on a full disk.")
    noted = "the server's log says so" if "Error" in log or "failed" in log else "nothing could be written to the server's log"
    return Finding(
        Outcome.DETECTED,
        f"Without room for the intent no query ran ({len(starved)} times {seen(starved[0])}, no entry); "
        f"the doctor ends with {alarm.returncode}; {noted}; with room again: {seen(after)}.",
    )


# --- proofs -----------------------------------------------------------------------------------------------------------------------------


Verifier = Callable[[Any, str], bool]


def _ours(receipt: Any, keys: str) -> bool:
    return bool(verifier.verify_receipt(receipt, log_key=keys, require_inclusion=True).ok)


def verifiers() -> Mapping[str, Verifier]:
    """Huitong's own, and the one that was written apart from it where this edition has it (docs/verifier)."""
    found: dict[str, Verifier] = {"huitong receipt verify": _ours}
    file = Path(verifier.__file__).parents[3] / "docs" / "verifier" / "verify_receipt.py"
    if file.exists():
        spec = importlib.util.spec_from_file_location("huitong_drill_verify_receipt", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def apart(receipt: Any, keys: str) -> bool:
            try:
                module.verify(receipt, module.read_keys(keys), require_inclusion=True)
            except Exception:
                return False
            return True

        found["docs/verifier/verify_receipt.py"] = apart
    return found


def proved(ground: Ground) -> tuple[dict[str, Any], str]:
    """The receipt of a fresh query, with the paths of its entries, and the keys of the log."""
    answer = ground.query("rows_user", STATEMENT)
    expect(answer, 200)
    with ground.client("rows_user") as client:
        receipt = dict(client.receipt(answer.headers["Huitong-Query"], wait_seconds=20))
    if not all(one.get("inclusion") for one in receipt["entries"]):
        raise SetupError("the entries were not folded")
    return receipt, ground.call(None, "GET", "ledger/keys").text


def _path(receipt: Any) -> list[str]:
    path: list[str] = receipt["entries"][0]["inclusion"]["path"]
    return path


def _shown_all(forged: Mapping[str, Any], keys: str, true: Any, tools: Mapping[str, Verifier]) -> Finding | None:
    for name, tool in tools.items():
        if not tool(true, keys):
            raise SetupError(f"{name} does not take the true receipt")
        for what, receipt in forged.items():
            if tool(receipt, keys):
                return Finding(Outcome.ANSWERED, f"{name} takes a receipt with {what}.")
    return None


def wrong_length(ground: Ground) -> Finding:
    """LED-011."""
    receipt, keys = proved(ground)
    node = base64.b64encode(bytes(32)).decode()
    forged: dict[str, Any] = {}

    def forge(what: str, change: Callable[[Any], object]) -> None:
        made = copy.deepcopy(receipt)
        change(made)
        forged[what] = made

    forge("a node too many at the end", lambda one: _path(one).append(node))
    forge("a node too many at the beginning", lambda one: _path(one).insert(0, node))
    forge("its last node twice", lambda one: _path(one).append(_path(one)[-1]))
    forge("its last node missing", lambda one: _path(one).pop())
    forge("its first node missing", lambda one: _path(one).pop(0))
    forge("no node at all", lambda one: _path(one).clear())
    forge("two nodes exchanged", lambda one: _path(one).reverse())
    forge("a node of 31 bytes", lambda one: _path(one).__setitem__(0, base64.b64encode(bytes(31)).decode()))
    forge("an index too high", lambda one: one["entries"][0]["inclusion"].__setitem__("index", one["entries"][0]["inclusion"]["index"] + 1))
    forge("another size", lambda one: one["entries"][0]["inclusion"].__setitem__("size", one["entries"][0]["inclusion"]["size"] + 1))
    forge("an endless path", lambda one: _path(one).extend([node] * 100_000))
    tools = verifiers()
    if (fault := _shown_all(forged, keys, receipt, tools)) is not None:
        return fault
    head = ground.call(None, "GET", "ledger/checkpoint").text.splitlines()
    told = expect(ground.call(None, "GET", f"ledger/consistency?first=3&second={head[1]}"), 200)
    proof = [base64.b64decode(one) for one in told["path"]]
    nodes = _nodes(ground)
    first_root, second, second_root = read_frontier(3, nodes).root(), int(head[1]), base64.b64decode(head[2])

    def consistent(path: list[bytes]) -> bool:
        return bool(verifier.consistency_holds(first=3, first_root=first_root, second=second, second_root=second_root, path=path))

    if not consistent(proof):
        raise SetupError("the true proof of consistency does not hold")
    if consistent([*proof, bytes(32)]) or consistent(proof[:-1]) or consistent(proof[1:]) or consistent([]):
        return Finding(Outcome.ANSWERED, "A proof of consistency of the wrong length was taken.")
    return Finding(
        Outcome.DETECTED,
        f"{len(forged)} receipts with paths of the wrong length or place were refused by "
        f"{' and '.join(tools)}, and four such proofs of consistency; the true ones hold.",
    )


def _nodes(ground: Ground) -> Callable[[Any], dict[tuple[int, int], bytes]]:
    def read(wanted: Any) -> dict[tuple[int, int], bytes]:
        with contextlib.closing(ground.database()) as database:
            found = {}
            for level, index in wanted:
                row = database.execute('SELECT hash FROM audit_node WHERE level = ? AND "index" = ?', (level, index)).fetchone()
                if row:
                    found[level, index] = bytes(row[0])
            return found

    return read


def node_as_leaf(ground: Ground) -> Finding:
    """LED-012: the two hashes below an inner node are shown as if they were an entry, with the path from that node on."""
    receipt, keys = proved(ground)
    inclusion = receipt["entries"][0]["inclusion"]
    index, size = int(inclusion["index"]), int(inclusion["size"])
    head = receipt["checkpoint"].splitlines()
    root = base64.b64decode(head[2])
    path = [base64.b64decode(one) for one in inclusion["path"]]
    leaf = verifier.leaf_hash(receipt["entries"][0]["payload"].encode())
    sibling = path[0]
    pair = leaf + sibling if index % 2 == 0 else sibling + leaf
    if not verifier.inclusion_holds(leaf=leaf, index=index, size=size, path=path, root=root):
        raise SetupError("the true path does not lead to the root")
    inner_size = (size + 1) // 2
    if verifier.inclusion_holds(leaf=verifier.leaf_hash(pair), index=index // 2, size=inner_size, path=path[1:], root=root):
        return Finding(Outcome.ANSWERED, "An inner node passes as a leaf of a smaller tree: leaves and nodes are hashed alike.")
    # had leaves no domain of their own, this very path would lead to the root
    same = verifier.inclusion_holds(
        leaf=verifier.node_hash(pair[:32], pair[32:]), index=index // 2, size=inner_size, path=path[1:], root=root
    )
    made = copy.deepcopy(receipt)
    made["entries"][0]["payload"] = pair.decode("latin-1")
    made["entries"][0]["inclusion"] = {"index": index // 2, "size": inner_size, "path": inclusion["path"][1:]}
    as_inner = copy.deepcopy(made)
    as_inner["entries"][0]["inclusion"]["size"] = size
    tools = verifiers()
    if (fault := _shown_all({"an inner node as an entry": made, "the same in the whole tree": as_inner}, keys, receipt, tools)) is not None:
        return fault
    lead = "leads to the root without the leaf's domain and not with it" if same else "does not lead to the root"
    return Finding(Outcome.DETECTED, f"An inner node shown as an entry {lead}; {' and '.join(tools)} refuse the receipt.")


# --- what stands in entries ---------------------------------------------------------------------------------------------------------------


def _payloads(ground: Ground) -> list[bytes]:
    with contextlib.closing(ground.database()) as database:
        database.execute("BEGIN")
        rows = database.execute('SELECT payload FROM audit_entry ORDER BY "index"').fetchall()
        rows += database.execute("SELECT payload FROM audit_pending ORDER BY id").fetchall()
        database.rollback()
    return [bytes(row[0]) for row in rows]


def injected(ground: Ground) -> Finding:
    """LED-013."""
    mark = secrets.token_hex(6)
    line = f'x\n{{"id":"{mark}","kind":"grant-revoked","at":"2020-01-01T00:00:00.000000Z","body":{{}}}}\n"}},{{"kind":"grant-revoked'
    dataset = published(ground, sharing=CONDITIONAL)
    before = len(_payloads(ground))
    revoked = len(ground.entries("grant-revoked"))
    asked_for = ground.call("rows_user", "POST", "requests", body=wish(dataset) | {"legal_basis": f"Law {line}"})
    written = 1 if asked_for.status_code == 201 else 0
    if written:
        number = asked_for.json()["id"]
        answered = ground.call("reviewer", "POST", f"requests/{number}/ask-supplement", body={"words": f"{line}\r\n\u2028{line}"})
        written += answered.status_code == 200
    query = ground.query("rows_user", f"SELECT note FROM civil.person LIMIT 1 -- {line}")
    second = ground.query("rows_user", 'SELECT 1 AS "a', purpose=f"social-assistance\n{line}")
    after = _payloads(ground)[before:]
    for payload in after:
        told = json.loads(payload)
        if payload != verifier.canonical_json(told) or b"\n" in payload or told.get("id") == mark:
            return Finding(Outcome.ANSWERED, "An entry is not in its canonical form, or what was injected became one.")
    if len(ground.entries("grant-revoked")) != revoked:
        return Finding(Outcome.ANSWERED, "A forged entry was recorded.")
    about = sum(1 for payload in after if mark.encode() in payload)
    uses = sum(1 for payload in after if json.loads(payload)["kind"].startswith("use-"))
    if not after or not written:
        raise SetupError(f"no entry came of it: {seen(asked_for)}, {seen(query)}, {seen(second)}")
    return Finding(
        Outcome.DETECTED,
        f"Line breaks and JSON in a legal basis, a reviewer's words, a statement and a purpose "
        f"({seen(asked_for)}, {seen(query)}, {seen(second)}): {len(after)} entries, {uses} of uses, each one canonical line; {about} "
        f"hold the injected words, as text.",
    )


def literals(ground: Ground) -> Finding:
    """LED-014."""
    mark = f"Personalia{secrets.token_hex(8)}"
    before = len(_payloads(ground))
    answers = [
        ground.query("rows_user", f"SELECT note FROM civil.person WHERE note = '{mark}'"),
        ground.query("rows_user", f"SELECT note FROM civil.person WHERE phone = '{mark}'"),
        ground.query("rows_user", f"SELECT '{mark}' AS x FROM civil.person LIMIT 1 /* {mark} */"),
        ground.call(
            "rows_user",
            "POST",
            "why",
            body={"sql": f"SELECT note FROM civil.person WHERE name = '{mark}'", "purpose": PURPOSES["rows_user"]},
        ),
    ]
    time.sleep(1.5)  # until they are folded
    entries = _payloads(ground)[before:]
    where = [f"an entry ({json.loads(payload)['kind']})" for payload in entries if mark.encode() in payload]
    files = [
        *ground.home.glob("control.sqlite3*"),
        *(ground.home / "run").glob("*.log"),
        *ground.home.parent.glob("*.log"),
        ground.home / "ledger-checkpoint.txt",
    ]
    where += [file.name for file in files if file.exists() and mark.encode() in file.read_bytes()]
    if where:
        return Finding(Outcome.LEAKED, f"A text that an analyst typed stands in clear in {', '.join(sorted(set(where)))}.")
    uses = [json.loads(payload) for payload in entries if json.loads(payload)["kind"] in ("use-intent", "use-refused")]
    if len(uses) < 2:
        raise SetupError(f"the uses are not in the ledger: {[seen(one) for one in answers]}")
    hashed = sum(1 for use in uses if re.search(r"[0-9a-f]{64}", json.dumps(use["body"])))
    return Finding(
        Outcome.DETECTED,
        f"{len(answers)} statements with a personal text ({', '.join(seen(one) for one in answers)}): it "
        f"stands in none of {len(entries)} entries, {hashed} of which hold a salted hash in its place, and in no table or log.",
    )


PROCEDURES: Mapping[str, Procedure] = {
    "LED-001": edited,
    "LED-002": deleted,
    "LED-003": cut_off,
    "LED-008": killed_between,
    "LED-009": set_back,
    "LED-011": wrong_length,
    "LED-012": node_as_leaf,
    "LED-013": injected,
    "LED-014": literals,
    "LED-015": disk_full,
}
