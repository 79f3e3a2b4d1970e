"""The restore drill: an instance is backed up while it is used, and restored into another, on SQLite and on PostgreSQL."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.postgresql import Server

from huitong.ledger.verify import verify_receipt

SECONDS = 1800 if os.environ.get("HUITONG_SOAK") else 300
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]
DRILL = Path(__file__).with_name("drill.py")
ROOT = Path(__file__).parents[3]
MADE_ANEW = {"audit_entry", "audit_pending", "audit_node", "audit_checkpoint", "audit_useline"}
"""Tables that the restore itself adds to: what was promised is folded, and it is recorded."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def drill(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that the drill saw."""
    folder = tmp_path_factory.mktemp("drill")
    urls = []
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        request.getfixturevalue("postgresql_database")
        for name, like in (("drill_old", "stores"), ("drill_new", "template1")):
            server.run(f"CREATE DATABASE {name} TEMPLATE {like}")
            urls.append(server.url(name))
    else:
        (folder / "instance").mkdir()
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "instance" / "control.sqlite3")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_", "LANG", "LC_"))}
    kept |= {name: value for name, value in os.environ.items() if name == "HUITONG_SOAK"}
    environment = {**kept, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "HUITONG_PROFILE": str(folder / "profile.toml")}
    call = [sys.executable, str(DRILL), str(folder), *urls]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment, timeout=SECONDS - 20)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = {**json.loads(done.stdout), "kind": request.param}
    return seen


def test_a_backup_is_made_while_queries_run(drill: dict[str, Any]) -> None:
    assert drill["backup"]["code"] == 0, drill["backup"]["said"]
    assert drill["backup"]["queries"] >= 1 and drill["backup"]["wrong"] == []
    assert drill["verified"][0] == 0 and "The backup is whole" in drill["verified"][1]


def test_it_holds_every_file_of_the_lake_and_no_key(drill: dict[str, Any]) -> None:
    assert {path: hashed for path, hashed in drill["listed"].items() if path.startswith("lake/")} == drill["live"]
    kinds = {path.split("/")[1] for path in drill["live"]}
    assert kinds == {"names", "tables", "subjects"} and any("_rejects" in path for path in drill["live"])
    assert drill["secret"] == [] and not drill["password_in_settings"]
    assert not any("key" in path or "token" in path for path in drill["listed"] if not path.startswith("database/"))


def test_a_whole_backup_is_never_written_over_and_a_later_one_takes_no_room_for_what_is_the_same(drill: dict[str, Any]) -> None:
    assert drill["again"][0] == 7
    assert drill["later"][0] == 0
    assert f'"linked": {len(drill["live"])},' in drill["later"][1]


def test_one_changed_bit_is_found_before_anything_is_made(drill: dict[str, Any]) -> None:
    for damaged in (drill["damaged-file"], drill["damaged-database"]):
        assert damaged["verified"][0] == 9 and damaged["path"] in damaged["verified"][1]
    assert drill["damaged-list"]["verified"][0] == 9 and "is not signed" in drill["damaged-list"]["verified"][1]
    assert drill["refused"][0] == 3 and drill["damaged-file"]["path"] in drill["refused"][1]
    assert not drill["refused_left"]


def test_it_is_restored_into_nothing_but_an_empty_place(drill: dict[str, Any]) -> None:
    assert drill["full"]["restored"][0] == 7 and drill["full"]["left"] == ["mine.txt"]
    assert drill["wrong_passphrase"][0] == 3
    if drill["kind"] == "postgresql":
        assert drill["in_use"][0] == 7


def test_a_restore_that_is_killed_leaves_no_instance_and_the_next_run_makes_it(drill: dict[str, Any]) -> None:
    killed = drill["killed_restore"]
    assert killed["killed"] == -9 and killed["left"]
    assert killed["audit"][0] == 7 and "was interrupted" in killed["audit"][1]
    assert drill["restored"][0] == 0


def test_the_restored_instance_holds_the_same_rows_and_files(drill: dict[str, Any]) -> None:
    assert drill["restored"][0] == 0, drill["restored"][1]
    before, after = drill["manifest"]["rows"], drill["counted"]
    assert before["audit_entry"] > 10 and before["accounts_token"] == 2 and before["sharing_grant"] == 1
    assert {name: after[name] for name in before if name not in MADE_ANEW} == {
        name: rows for name, rows in before.items() if name not in MADE_ANEW
    }
    assert after["audit_entry"] == before["audit_entry"] + before["audit_pending"] + 2 and after["audit_pending"] == 0
    assert drill["lake"] == {path: hashed for path, hashed in drill["listed"].items() if path.startswith("lake/")}
    assert drill["modes"] == ["0o600"]


def test_tokens_grants_pseudonyms_records_and_ledger_are_as_before(drill: dict[str, Any]) -> None:
    before, after = drill["before"], drill["after"]
    assert before["rows"] == 150
    for same in ("totals", "tokens", "rows", "record", "key"):
        assert after[same] == before[same]
    assert drill["audit"][0] == 0


def test_a_receipt_from_before_verifies_with_the_key_of_the_restored_instance(drill: dict[str, Any]) -> None:
    assert verify_receipt(drill["before"]["receipt"], log_key=drill["after"]["key"], require_inclusion=True).ok


def test_the_ledger_says_from_which_backup_it_was_restored(drill: dict[str, Any]) -> None:
    (entry,) = drill["entries"]
    wanted = {"backup": drill["hash"], "size": drill["manifest"]["size"], "root": drill["manifest"]["root"], "by": "operator"}
    assert {name: entry[name] for name in wanted} == wanted


def test_the_doctor_knows_the_last_backup_and_reminds_of_what_a_restored_instance_forgets(drill: dict[str, Any]) -> None:
    ((check, state, detail),) = drill["doctor"]
    assert (check, state) == ("backup", "ok") and "second" in detail
    assert [one[:2] for one in drill["new_doctor"]] == [["backup", "warning"], ["restored", "warning"]]


def test_a_backup_that_is_killed_is_whole_or_looks_like_none_and_is_finished_by_the_next_run(drill: dict[str, Any]) -> None:
    """Once is enough: what is written besides the database is the same for both."""
    if drill["kind"] == "postgresql":
        assert drill["killed"] is None
        return
    assert drill["killed"]["ended"] == 0 and drill["killed"]["touches"] > 20
    for one in drill["killed"]["kills"]:
        if "whole" in one:
            assert one == {"killed": -9, "whole": True}
        else:
            assert one == {"killed": -9, "refused": 3, "again": 0, "verified": 0, "left": []}
