"""The restore drill, in a process of its own: a small instance, backups of it while it is used, what goes wrong, and the restored one.

    python tests/portal/backing/drill.py FOLDER [URL-OF-AN-EMPTY-DATABASE URL-OF-ANOTHER]

Prints what was seen as JSON; `test_restore_drill.py` says what it should be."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from huitong.backing.manifest import read_folder
from huitong.cli.inside import InProcess, open_inside
from huitong.cli.root import run
from huitong.client import Client
from huitong.keystore import FileKeyStore
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.party import Role
from huitong.model.text import BilingualText
from huitong.portal.backing.making import Progress, make_backup
from huitong.portal.wiring import migrate, start_django, wall_clock
from huitong.settings import Settings, read_settings

start_django(read_settings({}, home=Path(sys.argv[1]) / "instance"))
from tests.portal.examples import ANALYST, CIVIL, DIVISIONS, HOUSEHOLDS, MEDICAL, REVIEWER  # noqa: E402 (needs Django)

from huitong.portal import doors  # noqa: E402

PASSPHRASE = "a passphrase that is long enough"
ROWS = 300
KILLS = 200 if os.environ.get("HUITONG_SOAK") else 5
STATEMENT = "SELECT amount, count(*) AS n FROM civil.household GROUP BY amount ORDER BY amount"
WITH_TOKENS = "SELECT person, amount FROM civil.household ORDER BY person"
PURPOSE = "medical-security"


def item(name: str, kind: ItemType, grade: Grade, meaning: str | None = None) -> Item:
    return Item(name, BilingualText(zh=name, en=name), kind, grade, meaning)


DATASET = replace(
    HOUSEHOLDS,
    items=(
        item("person", ItemType.TEXT, Grade.SENSITIVE),
        item("amount", ItemType.INTEGER, Grade.INTERNAL),
        item("home", ItemType.TEXT, Grade.INTERNAL, "division-code"),
    ),
    key="person",
    primary_key=("person",),
    division_item="home",
)


def make(settings: Settings, folder: Path) -> dict[str, str]:
    """The instance: two offices, three people, one dataset with a rejected row, the door of records; the tokens of its people."""
    keystore = FileKeyStore(settings.keys)
    keystore.create()
    migrate(settings)
    inside = open_inside(settings)
    platform, stores = inside.platform, inside.stores
    from huitong.intake.loads import LoadOptions
    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator

    by = instance_operator("drill")
    from huitong.model.ledger import EntryKind

    with stores.atomic():
        stores.divisions.put_divisions(DIVISIONS)
        platform.ledger.append(kind=EntryKind.INSTANCE_CREATED, body={"name": settings.name, "log_key": platform.ledger.vkey()})
    accounts = Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=wall_clock)
    accounts.register_offices([CIVIL, MEDICAL], by=by)
    people = [
        NewPerson("li.na", "李娜", CIVIL.id, REVIEWER.roles),
        NewPerson("wang.wei", "王伟", MEDICAL.id, frozenset({Role.ANALYST})),
        NewPerson("operator", "石", CIVIL.id, frozenset({Role.OPERATOR})),
    ]
    accounts.register_people(people, by=by)
    platform.catalog.publish(DATASET, by=REVIEWER)
    table = folder / "rows.csv"
    rows = [f"p{number:05d},{number % 7},520102000000" for number in range(ROWS)]
    table.write_text("\n".join(["person,amount,home", *rows, "p99999,many,520102000000"]) + "\n", "utf-8")
    platform.intake.load(DATASET.id, table, by=REVIEWER, options=LoadOptions(reject_limit=5))
    platform.sequencer.fold_all()
    return {post: accounts.issue_token(post, by=by, label="drill").text for post in (REVIEWER.post, ANALYST.post)}


def client(transport: Any, token: str) -> Client:
    return Client("http://127.0.0.1", token, transport=transport)


def command(*arguments: str) -> tuple[int, str]:
    """`huitong ARGUMENTS` in this process: exit code, and what it printed on either stream."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run([*arguments, "--lang", "en"])
    return int(code), said.getvalue()


def use(settings: Settings, tokens: dict[str, str]) -> dict[str, Any]:
    """What an analyst sees: totals, rows with tokens, one record; the receipt of the totals, and the key of the ledger."""
    doors.use(None)
    with InProcess(settings) as transport:
        analyst = client(transport, tokens[ANALYST.post])
        found = analyst.query(STATEMENT, purpose=PURPOSE)
        told = analyst.query(WITH_TOKENS, purpose=PURPOSE).arrow().to_pydict()
        record = analyst.get_records(DATASET.id, [[str(told["person"][0])]], purpose=PURPOSE)
        return {
            "totals": found.arrow().to_pydict(),
            "tokens": hashlib.sha256(json.dumps(told).encode()).hexdigest(),
            "rows": len(told["person"]),
            "record": record.arrow().to_pydict(),
            "receipt": analyst.receipt(found.query, wait_seconds=10),
            "key": analyst.ledger_key(),
        }


def ask(settings: Settings, tokens: dict[str, str]) -> None:
    """A grant by request and approval, with a pseudonym and a list of subjects; and the door of records."""
    until = (datetime.now(UTC).date() + timedelta(days=100)).isoformat()
    with InProcess(settings) as transport:
        analyst, reviewer = client(transport, tokens[ANALYST.post]), client(transport, tokens[REVIEWER.post])
        made = analyst.request(
            DATASET.id,
            purpose=PURPOSE,
            legal_basis="Measures on medical assistance, article 9",
            items=[{"item": "person", "mask": {"kind": "pseudonym", "parameters": {}}}, "amount"],
            until=until,
            subjects={"item": "person", "identifiers": [f"p{number:05d}" for number in range(0, ROWS, 2)]},
        )
        reviewer.approve(made["id"])
        reviewer.switch_records(DATASET.id, on=True)


def busy_backup(settings: Settings, tokens: dict[str, str], target: Path) -> dict[str, Any]:
    """A backup while somebody queries without a pause."""
    stop, seen, wrong = threading.Event(), [], []

    def query() -> None:
        from django.db import connections

        try:
            with InProcess(settings) as transport:
                analyst = client(transport, tokens[ANALYST.post])
                while not stop.is_set():
                    seen.append(analyst.query(STATEMENT, purpose=PURPOSE).arrow().num_rows)
        except Exception as error:
            wrong.append(repr(error))
        finally:
            connections.close_all()

    thread = threading.Thread(target=query)
    thread.start()
    while len(seen) < 2 and thread.is_alive():
        stop.wait(0.01)
    before = len(seen)
    code, said = command("backup", "--home", str(settings.home), "--to", str(target))
    stop.set()
    thread.join()
    return {"code": code, "said": said, "queries": len(seen) - before, "wrong": wrong}


def killed_backups(settings: Settings, folder: Path) -> dict[str, Any]:
    """Backups in child processes that die by SIGKILL at some touch of the folder; what they leave, and what the next run makes of it."""
    from django.db import connections

    start_django(settings)

    def once(target: Path, at: int | None) -> int:
        """Back up in this process; die at the touch of that number, if there is one. How many touches there were."""
        touches = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal touches
            touched = event in ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect")
            if touched and any(str(target) in str(one) for one in arguments[:2]):
                touches += 1
                if touches == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        if at is not None or target.name == "counted":
            sys.addaudithook(hook)
        quiet = Progress(lambda *_: None, lambda *_: None)
        inside = open_inside(settings)
        store = inside.stores.ledger
        make_backup(
            settings, store, target, operator="operator", clock=wall_clock, link=True, earlier=None, progress=quiet
        )
        return touches

    def forked(target: Path, at: int | None) -> tuple[int, int]:
        """How a child ended (0, or the signal), and its touches."""
        connections.close_all()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.write(write, str(once(target, at)).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        with os.fdopen(read) as told:
            said = told.read()
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), int(said or 0)

    ended, touches = forked(folder / "counted", None)
    found: list[dict[str, Any]] = []
    for number in range(1, KILLS + 1):
        target = folder / f"killed-{number}"
        code, _ = forked(target, max(1, touches * number // (KILLS + 1)))
        if (target / "manifest.note").exists():  # it died between the last thing that it wrote and its end
            found.append({"killed": code, "whole": command("backup", "verify", str(target), "--files-only")[0] == 0})
            start_django(settings)
            continue
        refused = command("backup", "verify", str(target), "--files-only")[0] if number == 1 else 3
        again, _ = forked(target, None)
        whole = command("backup", "verify", str(target), "--files-only")[0] if number == KILLS else 0
        start_django(settings)
        left = [path.name for path in target.rglob(".*")]
        found.append({"killed": code, "refused": refused, "again": again, "verified": whole, "left": left})
    return {"touches": touches, "ended": ended, "kills": found}


def doctor(settings: Settings) -> list[tuple[str, str, str]]:
    """What the doctor says of backups: check, state, detail."""
    from huitong.cli.doctor import _backup

    return [(one.check, one.state.value, one.detail) for one in _backup(settings)]


def killed_restore(arguments: list[str], home: Path, at: int) -> dict[str, Any]:
    """A restore in a child process that dies by SIGKILL at that touch of the new folder; what is then said of an instance there."""
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if child == 0:
        touches = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal touches
            if event in ("open", "os.rename", "os.mkdir") and any(str(home) in str(one) for one in arguments[:2]):
                touches += 1
                if touches == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        command(*arguments)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    audit = command("ledger", "audit", "--home", str(home))
    return {"killed": os.waitstatus_to_exitcode(status), "left": (home / "keys").is_dir(), "audit": audit}


def lake_of(home: Path) -> dict[str, str]:
    """SHA-256 of each file of the lake that is there to stay."""
    kept = [path for part in ("names", "tables", "subjects") for path in (home / "lake" / part).rglob("*") if path.is_file()]
    return {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in kept
        if not any(part.startswith(".") for part in path.relative_to(home).parts)
    }


def damaged(source: Path, target: Path, ending: str) -> str:
    """A copy of a backup in which one bit of one file is another; the file's name."""
    shutil.copytree(source, target)
    path = max((one for one in target.rglob("*") if one.name.endswith(ending)), key=lambda one: one.stat().st_size)
    content = bytearray(path.read_bytes())
    # of the list a bit of a name, so that it can still be read and its signature alone tells
    content[content.index(b'"operator":"') + 12 if ending == "manifest.json" else len(content) // 2] ^= 1
    path.write_bytes(content)
    return path.relative_to(target).as_posix()


def main(folder: Path, urls: list[str]) -> dict[str, Any]:
    home, new = folder / "instance", folder / "restored"
    home.mkdir(exist_ok=True)
    if urls:
        (home / "huitong.toml").write_text(f'database_url = "{urls[0]}"\n', "utf-8")
    settings = read_settings({}, home=home)
    tokens = make(settings, folder)
    ask(settings, tokens)
    seen: dict[str, Any] = {"before": use(settings, tokens)}
    first, second = folder / "first", folder / "second"
    seen["backup"] = busy_backup(settings, tokens, first)
    manifest, written, _ = read_folder(first)
    seen["manifest"] = {"rows": dict(manifest.database.rows), "size": manifest.ledger.size, "root": manifest.ledger.root}
    seen["listed"] = {file.path: file.sha256 for file in manifest.files}
    seen["hash"] = hashlib.sha256(written).hexdigest()
    seen["secret"] = [path.name for path in first.rglob("*") if path.suffix in (".key", ".sealed", ".token")]
    seen["password_in_settings"] = any("database_url" in path.read_text("utf-8") for path in first.glob("*.toml"))
    seen["again"] = command("backup", "--home", str(home), "--to", str(first))
    seen["later"] = command("backup", "--home", str(home), "--to", str(second), "--earlier", str(first), "--copy", "--format", "json")
    seen["doctor"] = doctor(settings)
    (folder / "passphrase").write_text(PASSPHRASE + "\n", "utf-8")
    (folder / "wrong").write_text("another passphrase altogether", "utf-8")
    said = ("--passphrase-file", str(folder / "passphrase"))
    seen["keys"] = command("backup", "keys", "--home", str(home), "--to", str(folder / "sealed"), *said)
    seen["live"] = lake_of(home)
    seen["killed"] = killed_backups(settings, folder) if not urls else None
    seen["verified"] = command("backup", "verify", str(first))
    changed = "columns.json" if urls else ".sqlite3"
    for name, ending in (("file", ".parquet"), ("database", changed), ("list", "manifest.json")):
        bad = folder / f"bad-{name}"
        where = damaged(first, bad, ending)
        seen[f"damaged-{name}"] = {"path": where, "verified": command("backup", "verify", str(bad), "--files-only")}
    target = folder / "refused"
    seen["refused"] = command("restore", str(folder / "bad-file"), "--home", str(target), "--keys", str(folder / "sealed"), *said)
    seen["refused_left"] = target.exists()
    wrong = ("--passphrase-file", str(folder / "wrong"))
    seen["wrong_passphrase"] = command("restore", str(first), "--home", str(new), "--keys", str(folder / "sealed"), *wrong)
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine", "utf-8")
    full = command("restore", str(first), "--home", str(folder / "full"), "--keys", str(folder / "sealed"), *said)
    seen["full"] = {"restored": full, "left": sorted(one.name for one in (folder / "full").iterdir())}
    database = ("--database", urls[1]) if urls else ()
    if urls:
        seen["in_use"] = command(
            "restore", str(first), "--home", str(folder / "used"), "--keys", str(folder / "sealed"), *said, "--database", urls[0]
        )
    arguments = ["restore", str(first), "--home", str(new), "--keys", str(folder / "sealed"), *said, *database]
    seen["killed_restore"] = killed_restore(arguments, new, 25)
    seen["restored"] = command(*arguments)
    if seen["restored"][0]:
        raise SystemExit(seen["restored"][1])
    restored = read_settings({}, home=new)
    start_django(restored)
    from huitong.portal.backing.databases import counted

    seen["counted"] = counted()
    seen["lake"] = lake_of(new)
    seen["modes"] = sorted({oct(path.stat().st_mode & 0o777) for path in (new / "keys").iterdir()})
    inside = open_inside(restored)
    entries = [json.loads(inside.stores.ledger.entry(number).payload) for number in range(inside.stores.ledger.size())]
    seen["entries"] = [one["body"] for one in entries if one["body"].get("act") == "restored"]
    seen["after"] = use(restored, tokens)
    seen["audit"] = command("ledger", "audit", "--home", str(new))
    seen["new_doctor"] = doctor(restored)
    from django.db import connections

    connections.close_all()
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:]), default=str))
