"""OPE: keys that must stand nowhere, operators who must not read, engines that must stay locked, data that must be gone."""

import contextlib
import json
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx

from huitong.drill.ground import Ground
from huitong.drill.instance import OPERATOR, PURPOSES
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures import inside
from huitong.drill.procedures.acting import (
    PURPOSE,
    Procedure,
    SetupError,
    asked,
    expect,
    extracted,
    fault_of,
    granted,
    published,
    refused,
    secrets_of,
    seen,
    text_of,
    until,
)

NOBODY = 65_534
READ_AT_ONCE = 8 << 20
GONE_WITHIN_SECONDS = 75.0


# --- keys -----------------------------------------------------------------------------------------------------------------------------


def holds(file: Path, forms: Iterable[bytes]) -> bool:
    """Whether any of these byte strings stands in a file; read in pieces that overlap."""
    wanted = tuple(forms)
    overlap = max((len(form) for form in wanted), default=1)
    with contextlib.suppress(OSError), file.open("rb") as content:
        before = b""
        while piece := content.read(READ_AT_ONCE):
            window = before + piece
            if any(form in window for form in wanted):
                return True
            before = window[-overlap:]
    return False


def key_in_statement(ground: Ground) -> Finding:
    """OPE-001: while statements with pseudonyms run, the bytes of every key are looked for in arguments and environments of all processes,
    in logs, database, lake and copies, in the governed SQL and in what is told of it."""
    keys = secrets_of(ground.home)
    every = [form for forms in keys.values() for form in forms]
    if not every:
        raise SetupError("the instance has no keys")
    sql = "SELECT a.pid, count(*) AS n FROM civil.person a JOIN civil.person b ON a.note = b.note GROUP BY a.pid ORDER BY n, pid"
    running = threading.Thread(target=ground.query, args=("rows_user", sql))
    running.start()
    texts, processes = _of_processes(ground, 1.5)
    running.join()
    expect(ground.query("rows_user", "SELECT pid FROM civil.person ORDER BY pid LIMIT 5"), 200)
    governed = inside.run(
        ground.home, ground.environment, "governed", "rows_user", PURPOSES["rows_user"], "SELECT pid, name FROM civil.person LIMIT 5"
    )
    why = ground.call("rows_user", "POST", "why", body={"sql": "SELECT pid FROM civil.person", "purpose": PURPOSES["rows_user"]})
    texts |= {"the governed SQL": governed["sql"].encode(), "the answer to why": why.content}
    places = [what for what, text in texts.items() if any(form in text for form in every)]
    own = ground.home / "keys"
    files = [file for file in ground.home.rglob("*") if file.is_file() and own not in file.parents]
    files += [file for file in ground.home.parent.glob("*.log") if file.is_file()]
    places += [str(file.relative_to(ground.home.parent)) for file in files if holds(file, every)]
    if places:
        return Finding(Outcome.LEAKED, f"The bytes of a key stand in {', '.join(places[:3])}.")
    if "hmac" in governed["sql"].lower() or not governed["files"]:
        return Finding(Outcome.ANSWERED, "The governed SQL computes pseudonyms itself.")
    told = f"{len(keys)} keys in {len(every)} forms stand in none of {processes} processes' arguments and environments, {len(files)} files"
    return Finding(Outcome.REFUSED, f"{told}, nor in the governed SQL: it joins a table of tokens that was made before.")


def _of_processes(ground: Ground, seconds: float) -> tuple[dict[str, bytes], int]:
    """Arguments and environments of all processes of the instance that were there during so many seconds."""
    found: dict[str, bytes] = {}
    seen_processes: set[int] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in ground.processes():
            seen_processes.add(process)
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    found[f"the {name} of process {process}"] = Path(f"/proc/{process}/{name}").read_bytes()
        time.sleep(0.1)
    return found, len(seen_processes)


# --- operators --------------------------------------------------------------------------------------------------------------------------


def raw_files(ground: Ground) -> Finding:
    """OPE-002: the files of a copy of the instance as another account of this machine, the operator's own token through the API, and
    the operator's command line, which must leave a trace."""
    with _copied(ground) as home:
        open_ones = _open_to_others(home)
        readable = _readable_as_nobody(home)
        home.chmod(0o755)  # somebody opened the instance's own folder
        inner = _open_to_others(home)
        deeper = _readable_as_nobody(home)
    if readable or (open_ones and os.geteuid() != 0):
        worst = (readable or open_ones)[0]
        return Finding(Outcome.LEAKED, f"Another account of the machine can read {worst} of the instance.")
    exposed = [name for name in (deeper if deeper is not None else inner) if name.startswith(("keys/", "lake/", "records/", "extracts/"))]
    if exposed:
        return Finding(
            Outcome.LEAKED, f"With the instance's folder opened, another account reads {exposed[0]}: its own folder does not hold."
        )
    tries = [
        ("a query", ground.query(OPERATOR, "SELECT note FROM civil.person", purpose="audit")),
        ("an extract", ground.call(OPERATOR, "POST", "extracts", body={"dataset": "civil.person", "purpose": "audit", "format": "csv"})),
        ("rejected rows", ground.call(OPERATOR, "GET", "datasets/civil.person/snapshots/0/rejects")),
        ("a grant", ground.call(OPERATOR, "GET", f"grants/{ground.grant('rows_user', 'civil.person')}")),
        ("a receipt", ground.call(OPERATOR, "GET", f"queries/q-{secrets.token_hex(8)}/receipt")),
    ]
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    before = len(ground.entries("operator-action"))
    done = ground.huitong("ledger", "status", "--operator", OPERATOR)
    fresh = ground.entries("operator-action")[before:]
    named = [one for one in fresh if one["body"].get("act") == "ledger-status" and one["body"].get("login")]
    if done.returncode not in (0, 8) or not named:
        return Finding(Outcome.ANSWERED, f"The operator opened the instance ({done.returncode}) and the ledger does not say so.")
    how = "another account of the machine reads nothing" if readable is not None else "no file is open to other accounts"
    return refused(
        ground,
        tries,
        f"{how}, nor keys, lake, copies and extracts with the instance's folder opened; opening it as operator is in the ledger with the "
        "machine's account. Parquet files are not encrypted by a key of their office: separate accounts and disk encryption are guidance "
        "(docs/how-to/separate-operators-from-data.md).",
    )


@contextlib.contextmanager
def _copied(ground: Ground) -> Iterator[Path]:
    """The files with their modes, in a folder that everybody may pass."""
    with tempfile.TemporaryDirectory(prefix="huitong-drill-files-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "instance"
        sockets = shutil.ignore_patterns("*.sock", "*.lock")
        shutil.copytree(ground.home, home, symlinks=True, ignore=sockets, ignore_dangling_symlinks=True)
        yield home


def _open_to_others(home: Path) -> list[str]:
    """Files that the modes of their own and of all folders above, up to the instance's, open to other accounts."""
    found = []
    for file in sorted(home.rglob("*")):
        if file.is_file() and not file.is_symlink():
            above = [folder for folder in file.parents if folder == home or home in folder.parents]
            passes = all(stat.S_IMODE(folder.stat().st_mode) & 0o011 for folder in above)
            if passes and stat.S_IMODE(file.stat().st_mode) & 0o044:
                found.append(str(file.relative_to(home)))
    return found


_TRY = 'while IFS= read -r file; do head -c 1 "$file" >/dev/null 2>&1 && printf "%s\\n" "$file"; done; true'
"""For a shell: of the files that it is told, those that it can read."""


def _readable_as_nobody(home: Path) -> list[str] | None:
    """Files that the account `nobody` can open, tried by a process of its own; None if this one may not start it."""
    if os.geteuid() != 0:
        return None
    files = "\n".join(str(file) for file in home.rglob("*") if file.is_file())
    done = subprocess.run(
        ["/bin/sh", "-c", _TRY], input=files + "\n", user=NOBODY, group=NOBODY, extra_groups=[],
        capture_output=True, text=True, check=False, timeout=60, cwd="/",
    )  # fmt: skip
    if done.returncode != 0:
        return None
    return [str(Path(line).relative_to(home)) for line in done.stdout.splitlines()]


# --- the engine ---------------------------------------------------------------------------------------------------------------------------


def probes(ground: Ground, kind: str) -> str:
    """What the doctor says of the attacks of a kind that the running engine broker tried on itself before it served."""
    done = ground.huitong("doctor", "--operator", OPERATOR, "--format", "json", "--lang", "en")
    try:
        found = {one["check"]: one for one in json.loads(done.stdout)}
    except ValueError:
        raise SetupError(f"the doctor ended with {done.returncode}: {text_of(done)[-200:]}") from None
    one = found.get(f"probe {kind}")
    return str(one["detail"]) if one is not None and one["state"] == "ok" else ""


def _tried(ground: Ground, statements: Sequence[str]) -> list[tuple[str, httpx.Response]]:
    return [(statement, ground.query("rows_user", statement)) for statement in statements]


def settings_unlocked(ground: Ground) -> Finding:
    """OPE-004."""
    tries = _tried(
        ground,
        (
            "SET lock_configuration = false",
            "RESET lock_configuration",
            "SET enable_external_access = true",
            "SET GLOBAL allowed_directories = ['/']",
            "SET SESSION memory_limit = '1TB'",
            "PRAGMA enable_external_access",
            "PRAGMA threads = 64",
            "CALL pragma_version()",
            "SET VARIABLE x = 1",
            "BEGIN; SET lock_configuration = false; SELECT note FROM civil.person",
            "SELECT current_setting('lock_configuration')",
            "SELECT set_config('enable_external_access', 'true', false)",
            "SELECT * FROM duckdb_settings()",
            "SELECT note FROM civil.person; RESET ALL",
        ),
    )
    told = probes(ground, "sql-settings")
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    if "reset-lock" not in told or "set-external-access" not in told:
        return Finding(Outcome.ANSWERED, f"The doctor does not say that the engine's locks held: {told or 'nothing'}.")
    return refused(ground, tries, f"Should one get past that, the engine's own locks held when it was started, as the doctor says: {told}")


def extension_loaded(ground: Ground) -> Finding:
    """OPE-005."""
    tries = _tried(
        ground,
        (
            "SELECT st_area(note) FROM civil.person",
            "SELECT st_read('outside.csv')",
            "SELECT * FROM read_xlsx('outside.csv')",
            "SELECT * FROM sqlite_scan('control.sqlite3', 'accounts_account')",
            "SELECT * FROM postgres_scan('host=127.0.0.1', 'public', 't')",
            "SELECT * FROM iceberg_scan('lake')",
            "SELECT * FROM delta_scan('lake')",
            "SELECT stem(note, 'english') FROM civil.person",
            "SELECT fts_main_person.match_bm25(note, 'x') FROM civil.person",
            "SELECT load_aws_credentials()",
            "SELECT http_get('http://127.0.0.1:9/')",
            "SELECT * FROM 'https://127.0.0.1:9/x.parquet'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "FORCE INSTALL spatial FROM community",
            "SET autoload_known_extensions = true",
        ),
    )
    told = probes(ground, "sql-extensions")
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    if "install" not in told or "load" not in told:
        return Finding(Outcome.ANSWERED, f"The doctor does not say that the engine refuses to load code: {told or 'nothing'}.")
    return refused(ground, tries, f"Should one get past that, the engine loads nothing, as the doctor says: {told}")


def unlisted_node(ground: Ground) -> Finding:
    """OPE-007: the parser of an edition to come, which makes nodes of classes that the list does not know, in the place of an item, of
    a listed function's class, and of a clause; then every class of this edition that is not listed; then new syntax over the network."""
    passed = classes_that_pass()
    if passed:
        return Finding(Outcome.ANSWERED, f"{len(passed)} unlisted classes pass the list, {passed[0]} among them.")
    tries = _tried(
        ground,
        (
            "SELECT * FROM civil.person PIVOT (count(*) FOR gender IN ('x'))",
            "SELECT * FROM civil.person UNPIVOT (v FOR n IN (note))",
            "SELECT note FROM civil.person QUALIFY row_number() OVER () = 1 WINDOW w AS ()",
            "SELECT a FROM civil.person MATCH_RECOGNIZE (PATTERN (x) DEFINE x AS true)",
            "SELECT * FROM civil.person ASOF JOIN tax.company ON true",
            "SELECT * FROM civil.person POSITIONAL JOIN tax.company",
            "SELECT * FROM civil.person TABLESAMPLE 10%",
            "SELECT list_transform([1], x -> x) FROM civil.person",
            "SELECT {'a': note} FROM civil.person",
            "SELECT COLUMNS('.*') FROM civil.person",
            "SELECT function_of_next_year(note) FROM civil.person",
            "FROM civil.person |> SELECT phone",
            "FROM hidden |> SELECT v",
            "SUMMARIZE civil.person",
            "DESCRIBE civil.person",
        ),
    )
    return refused(ground, tries, "Every class that the list does not know was refused, wherever it stood.", statuses=(403,))


def classes_that_pass() -> list[str]:
    """Names of unlisted classes of syntax nodes that the gateway's parser would let through."""
    from sqlglot import exp

    from huitong.errors import Refused
    from huitong.gateway import parse as gate
    from huitong.gateway.allowed import ALLOWED

    class FunctionToCome(exp.Expression, exp.Func):
        arg_types: ClassVar[dict[str, bool]] = {"this": False}

    class LowerToCome(exp.Lower):
        """A class below one that is listed: only its very own class counts."""

    class ClauseToCome(exp.Expression):
        arg_types: ClassVar[dict[str, bool]] = {"this": False}

    def as_item(tree: Any, node: Any) -> None:
        tree.set("expressions", [node])

    def as_clause(tree: Any, node: Any) -> None:
        tree.set("clause_to_come", node)

    column = exp.column("note")
    tried = [
        ("FunctionToCome", FunctionToCome(this=column.copy()), as_item),
        ("LowerToCome", LowerToCome(this=column.copy()), as_item),
        ("ClauseToCome", ClauseToCome(), as_item),
        ("ClauseToCome as a clause", ClauseToCome(), as_clause),
        ("a listed class as a clause that is not", exp.Literal.number(1), as_clause),
    ]
    for name, kind in sorted(vars(exp).items()):
        if isinstance(kind, type) and issubclass(kind, exp.Expression) and kind not in ALLOWED:
            with contextlib.suppress(Exception):
                tried.append((name, kind(), as_item))
    caps, current, passed = gate.read_caps(), gate._Parser, []
    try:
        for name, node, place in tried:

            class Upgraded(current):  # type: ignore[valid-type, misc]
                def parse(self, *arguments: Any, node: Any = node, place: Any = place) -> Any:
                    trees = super().parse(*arguments)
                    place(trees[0], node)
                    return trees

            gate._Parser = Upgraded  # type: ignore[misc]
            with contextlib.suppress(Refused):
                gate.parse("SELECT note FROM civil.person", caps)
                passed.append(name)
    finally:
        gate._Parser = current  # type: ignore[misc]
    return passed


# --- the end of data ----------------------------------------------------------------------------------------------------------------------


def destroyed(ground: Ground) -> Finding:
    """OPE-008: every row of an entry is erased by law, its grant is revoked; then every door is tried, and every byte that the instance
    keeps is searched."""
    marks = [f"Destroyed{secrets.token_hex(6)}{number}" for number in range(3)]
    rows = [f"k{number}-{secrets.token_hex(4)},{mark}" for number, mark in enumerate(marks)]
    dataset = published(ground, rows, key="place", primary_key=["place"])
    grant = granted(ground, dataset)
    statement = f"SELECT place, text FROM {dataset}"
    keys = [row.partition(",")[0] for row in rows]
    before = asked(ground, "rows_user", statement)
    if marks[0] not in before.text:
        raise SetupError(f"the rows could not be read before: {seen(before)}")
    extract = extracted(ground, grant)
    address = expect(ground.call("rows_user", "POST", f"extracts/{extract['id']}/addresses", body={}), 201)["address"]
    expect(ground.call("officer", "POST", f"datasets/{dataset}/records", body={"on": True}), 200)
    record = {"dataset": dataset, "purpose": PURPOSE, "keys": keys}
    until(lambda: marks[0] in ground.call("rows_user", "POST", "records/get", body=record).text, what="records can be called for")
    held = [file for file in _files(ground) if holds(file, [mark.encode() for mark in marks])]
    for key in keys:
        body = {"datasets": [dataset], "identifier": key, "legal_basis": "End of life, article 1", "words": "drill"}
        expect(ground.call("officer", "POST", "erasures", body=body), 200)
    expect(ground.call("reviewer", "POST", f"grants/{grant}/revoke", body={"words": "drill"}), 200)
    streamed = {"sql": statement, "purpose": PURPOSE, "stream": True}
    doors: list[tuple[str, httpx.Response]] = [
        ("query", asked(ground, "rows_user", statement)),
        ("query of an earlier snapshot", asked(ground, "rows_user", f"{statement} AT (VERSION => 0)")),
        ("streamed query", ground.call("rows_user", "POST", "query", body=streamed, headers={"Accept": "application/x-ndjson"})),
        ("download by the old address", ground.call(None, "GET", address)),
        ("another address", ground.call("rows_user", "POST", f"extracts/{extract['id']}/addresses", body={})),
        ("records", ground.call("rows_user", "POST", "records/get", body=record)),
        ("another extract", ground.call("rows_user", "POST", "extracts", body={"grant": grant, "format": "csv"})),
    ]
    again = granted(ground, dataset)
    later = asked(ground, "rows_user", statement)
    rows_later = later.json().get("rows") if later.status_code == 200 else []
    others = [
        later,
        ground.call("rows_user", "GET", f"datasets/{dataset}/sample"),
        ground.call("officer", "GET", f"datasets/{dataset}/quality"),
    ]
    others.append(ground.call("rows_user", "POST", "records/get", body=record))
    told = [one for one in [*(one for _, one in doors), *others] if any(mark in one.text for mark in marks)]
    if told or rows_later:
        return Finding(
            Outcome.LEAKED, f"A destroyed row came out again: {seen(told[0]) if told else f'{len(rows_later)} rows under {again}'}."
        )
    if (fault := fault_of(ground, doors)) is not None:
        return fault
    forms = [mark.encode() for mark in marks]
    end = time.monotonic() + GONE_WITHIN_SECONDS
    while (left := [file for file in _files(ground) if holds(file, forms)]) and time.monotonic() < end:
        time.sleep(1)
    if left:
        return Finding(
            Outcome.LEAKED, f"After {GONE_WITHIN_SECONDS:.0f} s destroyed rows still stand in {left[0].relative_to(ground.home)}."
        )
    stones = [one for one in ground.entries("person-erased") if one["body"].get("dataset") == dataset]
    if len(stones) < len(keys):
        return Finding(Outcome.ANSWERED, f"Of {len(keys)} erasures {len(stones)} are in the ledger.")
    return refused(
        ground,
        doors,
        f"Under a fresh grant there are no rows; of {len(held)} files that held them none does; {len(stones)} entries say so. "
        "There is no verb yet that ends a whole entry, and no key to destroy: the bytes are removed; backups are the operator's.",
    )


def _files(ground: Ground) -> list[Path]:
    """Every file of the instance."""
    return [file for file in ground.home.rglob("*") if file.is_file() and not file.is_symlink()]


PROCEDURES: Mapping[str, Procedure] = {
    "OPE-001": key_in_statement,
    "OPE-002": raw_files,
    "OPE-004": settings_unlocked,
    "OPE-005": extension_loaded,
    "OPE-007": unlisted_node,
    "OPE-008": destroyed,
}
