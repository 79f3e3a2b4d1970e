"""A whole instance opened from its settings, by several processes at once, on both databases."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.postgresql import Server

OPEN = """
import sys
from pathlib import Path
from huitong.keystore import FileKeyStore
from huitong.model.party import Role
from huitong.portal.wiring import migrate, open_accounts, open_platform
from huitong.settings import read_settings

def instance(home):
    settings = read_settings(home=Path(home))
    keys = FileKeyStore(settings.keys)
    if not settings.keys.exists():
        keys.create()
        migrate(settings)
    platform = open_platform(settings)
    return platform, open_accounts(platform)
"""

REGISTER = """
from huitong.catalog.divisions import load_divisions
from huitong.errors import NotSignedIn
tokens = []
for home in sys.argv[1:]:
    platform, accounts = instance(home)
    from huitong.portal.accounts.actions import NewPerson, instance_operator
    from tests.portal.examples import CIVIL
    operator = instance_operator("root")
    accounts.stores.divisions.put_divisions(load_divisions().search(limit=100_000)[0])
    accounts.register_offices([CIVIL], by=operator)
    li_na = NewPerson(username="li.na", name="李娜", office=CIVIL.id, roles=frozenset({Role.REVIEWER}))
    accounts.register_people([li_na], by=operator)
    tokens.append(accounts.issue_token("li.na@gz-civil-affairs", by=operator).text)
    assert accounts.actor_for_token(tokens[-1]).person == "li.na"
    assert platform.sequencer.fold_all() == 3
for token in tokens[:-1]:
    try:
        accounts.actor_for_token(token)
    except NotSignedIn as error:
        print(error.reasons[0].code)
"""

APPEND_AND_FOLD = """
from huitong.model.ledger import EntryKind

platform, accounts = instance(sys.argv[1])
for number in range(60):
    with accounts.stores.atomic():
        platform.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": f"{sys.argv[2]}-{number}"})
    platform.sequencer.fold_once()
"""

AUDIT = """
from huitong.ledger.audit import audit

platform, accounts = instance(sys.argv[1])
platform.sequencer.fold_all()
report = audit(platform.ledger.store, platform.ledger.vkeys())
print(report.ok, platform.ledger.status().size)
"""


def run(script: str, *arguments: Path | str, database_url: str = "") -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "HUITONG_DATABASE_URL": database_url}
    command = [sys.executable, "-W", "error", "-c", OPEN + script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def database_url(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return ""
    server: Server = request.getfixturevalue("postgresql")
    server.run("DROP DATABASE IF EXISTS instance")
    server.run("CREATE DATABASE instance")
    return server.url("instance")


@pytest.mark.slow
def test_a_process_serves_one_instance_after_another_and_mixes_nothing(tmp_path: Path) -> None:
    assert said(run(REGISTER, tmp_path / "first", tmp_path / "second")) == "token-unknown"
    assert (tmp_path / "first" / "control.sqlite3").is_file()
    assert (tmp_path / "second" / "control.sqlite3").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_processes_append_and_fold_at_once_and_the_audit_holds(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = database_url(kind, request)
    home = tmp_path / "home"
    said(run(REGISTER, home, database_url=url))
    processes = [run(APPEND_AND_FOLD, home, name, database_url=url) for name in ("a", "b", "c")]
    for process in processes:
        said(process)
    assert said(run(AUDIT, home, database_url=url)) == "True 183"
