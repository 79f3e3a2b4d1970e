"""Where a load may go: addresses, the operator's list of hosts, and the credentials that belong to them."""

import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from huitong.errors import HuitongError, InputInvalid, NotFound, Refused, Unavailable
from huitong.intake.addresses import AllowedHosts, Engine, Server, Tls, read_address
from huitong.intake.credentials import CredentialActions, Credentials
from huitong.keystore import FileKeyStore
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.testing import MemoryClock, MemoryEntryLog, MemoryStores

SECRET = "Sec'ret 汉字 \" \\ %s"


def actor(office: str = "civil", role: Role = Role.DATA_OFFICER) -> Actor:
    return Actor("wang", "Wang", "post-1", office, "520100000000", frozenset({role}))


def code_of(error: pytest.ExceptionInfo[HuitongError]) -> str:
    return error.value.reasons[0].code


@pytest.mark.parametrize(
    ("written", "engine", "server", "database"),
    [
        ("postgresql://db.civil:6432/register", Engine.POSTGRESQL, Server("db.civil", 6432), "register"),
        ("postgresql://DB.Civil/register", Engine.POSTGRESQL, Server("db.civil", 5432), "register"),
        ("mysql://10.1.2.3/登记库", Engine.MYSQL, Server("10.1.2.3", 3306), "登记库"),
        ("mysql://[FD00::0001]:3307/a-b.c$d", Engine.MYSQL, Server("fd00::1", 3307), "a-b.c$d"),
        ("sqlite:///civil/day.sqlite3", Engine.SQLITE, None, "civil/day.sqlite3"),
    ],
)
def test_addresses_that_are_understood(written: str, engine: Engine, server: Server | None, database: str) -> None:
    address = read_address(written)
    assert (address.engine, address.server, address.database) == (engine, server, database)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("postgresql://wang:hunter2@db/x", "source-address-credentials"),
        ("mysql://wang@db/x", "source-address-credentials"),
        ("postgresql://db/x?host=/var/run/postgresql", "source-address-options"),
        ("postgresql://db/x?hostaddr=10.0.0.1&service=other", "source-address-options"),
        ("mysql://db/x#unix_socket", "source-address-options"),
        ("postgresql://good.host,evil.host:5432/x", "source-address-invalid"),
        ("postgresql:///x", "source-address-invalid"),
        ("postgresql://%2Fvar%2Frun/x", "source-address-invalid"),
        ("postgresql:///var/run/x", "source-address-invalid"),
        ("host=db hostaddr=10.0.0.1 dbname=x", "source-address-invalid"),
        ("service=other", "source-address-invalid"),
        ("postgresql://db:0/x", "source-address-invalid"),
        ("postgresql://db:70000/x", "source-address-invalid"),
        ("postgresql://db/", "source-address-invalid"),
        ("postgresql://db/x y", "source-address-invalid"),
        ("postgresql://db/x=y", "source-address-invalid"),
        ("postgresql://db/-x", "source-address-invalid"),
        ("postgresql://[::g]/x", "source-address-invalid"),
        ("sqlite:////etc/passwd", "source-address-invalid"),
        ("sqlite:///a%00b", "source-address-invalid"),
        ("sqlite:///a?mode=rwc", "source-address-options"),
        ("oracle://db/x", "source-address-invalid"),
        ("jdbc:mysql://db/x", "source-address-invalid"),
    ],
)
def test_other_addresses_are_refused_and_never_repeated(written: str, code: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        read_address(written)
    assert code_of(refusal) == code
    assert refusal.value.reasons[0].parameters == {}


def test_the_operators_list_says_how_the_way_is_protected() -> None:
    listed = AllowedHosts.read(
        "db.civil:5432, 127.0.0.1:3306 , [::1]:5432,old.civil:3306 tls=off,lab:5432 tls=encrypt,127.0.0.1:1 tls=verify"
    )
    assert listed.servers == {
        Server("db.civil", 5432): Tls.VERIFY,
        Server("127.0.0.1", 3306): Tls.OFF,
        Server("::1", 5432): Tls.OFF,
        Server("old.civil", 3306): Tls.OFF,
        Server("lab", 5432): Tls.ENCRYPT,
        Server("127.0.0.1", 1): Tls.VERIFY,
    }
    assert AllowedHosts.read(" ").servers == {}


@pytest.mark.parametrize("written", ["db", "db:5432,", "db:5432 tls=maybe", "*:5432", "db:5432;x:1", "10.0.0.0/8:5432", "db:0"])
def test_a_list_that_is_not_understood_is_refused(written: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        AllowedHosts.read(written)
    assert code_of(refusal) == "source-hosts-invalid"


def test_only_listed_servers_are_reached_by_name_and_port() -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.1.2.3"]

    listed = AllowedHosts(AllowedHosts.read("db.civil:5432").servers, resolve)
    assert listed.place(Server("db.civil", 5432)).addresses == ("10.1.2.3",)
    for other in (Server("db.civil", 5433), Server("10.1.2.3", 5432), Server("civil", 5432)):
        with pytest.raises(Refused) as refusal:
            listed.place(other)
        assert code_of(refusal) == "source-host-not-allowed"
    assert asked == ["db.civil"], "nothing is looked up for a server that is not listed"


@pytest.mark.parametrize(
    "leads_to", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "fe80::1%eth0", "224.0.0.1"]
)
def test_a_listed_name_that_leads_within_is_refused(leads_to: str) -> None:
    listed = AllowedHosts(AllowedHosts.read("db.civil:5432").servers, lambda _host, _port: ["10.1.2.3", leads_to])
    with pytest.raises(Refused) as refusal:
        listed.place(Server("db.civil", 5432))
    assert code_of(refusal) == "source-host-within"


def test_this_machine_is_read_if_its_number_is_listed() -> None:
    servers = AllowedHosts.read("db.civil:5432, 127.0.0.1:5432").servers
    listed = AllowedHosts(servers, lambda host, _port: ["127.0.0.1"])
    assert listed.place(Server("127.0.0.1", 5432)).tls is Tls.OFF
    assert listed.place(Server("db.civil", 5432)).tls is Tls.VERIFY


def test_other_ways_to_write_this_machine_are_other_servers() -> None:
    listed = AllowedHosts.read("127.0.0.1:5432")
    for host in ("localhost", "127.1", "2130706433", "0x7f.1"):
        with pytest.raises(Refused):
            listed.place(Server(host, 5432))


def test_a_name_without_an_address_is_said() -> None:
    def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("resolver's words")

    with pytest.raises(Unavailable) as refusal:
        AllowedHosts(AllowedHosts.read("db.civil:5432").servers, nowhere).place(Server("db.civil", 5432))
    assert code_of(refusal) == "source-host-unresolved"


# --- credentials ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def keystore(tmp_path: Path) -> FileKeyStore:
    store = FileKeyStore(tmp_path / "keys")
    store.create()
    return store


def test_a_credential_comes_back_for_its_office_and_server_alone(keystore: FileKeyStore) -> None:
    credentials = Credentials(keystore)
    credentials.keep("register", office="civil", server="DB.civil:5432", user="reader", password=SECRET)
    assert credentials.user_and_password("register", office="civil", server="db.civil:5432") == ("reader", SECRET)
    with pytest.raises(NotFound):
        credentials.user_and_password("register", office="tax", server="db.civil:5432")
    with pytest.raises(Refused) as refusal:
        credentials.user_and_password("register", office="civil", server="evil.civil:5432")
    assert code_of(refusal) == "credential-of-other-server"


def test_a_credential_lies_sealed_and_private(keystore: FileKeyStore, tmp_path: Path) -> None:
    credentials = Credentials(keystore)
    kept = credentials.keep("register", office="civil", server="db:5432", user="reader-of-civil", password=SECRET)
    files = list((tmp_path / "keys").iterdir())
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    written = b"".join(file.read_bytes() for file in files)
    assert SECRET.encode() not in written and b"reader-of-civil" not in written
    found = credentials.get("register", office="civil")
    for shown in (repr(kept), repr(credentials), repr(found), str(found), repr(keystore)):
        assert SECRET not in shown and "reader-of-civil" not in shown


def test_a_sealed_file_under_another_name_or_changed_is_refused(keystore: FileKeyStore, tmp_path: Path) -> None:
    credentials = Credentials(keystore)
    credentials.keep("mine", office="civil", server="db:5432", user="a", password="b")
    credentials.keep("other", office="tax", server="db:5432", user="c", password="d")
    first, second = sorted((tmp_path / "keys").glob("*.sealed"))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(Unavailable) as refusal:
        credentials.names(office="civil")
    assert code_of(refusal) == "key-damaged"
    first.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(Unavailable):
        credentials.names(office="civil")
    first.write_bytes(kept)
    first.chmod(0o640)
    with pytest.raises(Unavailable) as exposed:
        credentials.names(office="civil")
    assert code_of(exposed) == "key-exposed"


def test_keeping_again_replaces_and_leaves_nothing_beside_it(keystore: FileKeyStore, tmp_path: Path) -> None:
    credentials = Credentials(keystore)
    for password in ("first", "second"):
        credentials.keep("register", office="civil", server="db:5432", user="reader", password=password)
    assert credentials.user_and_password("register", office="civil", server="db:5432") == ("reader", "second")
    assert len(list((tmp_path / "keys").glob("*.sealed"))) == 1
    assert not [file for file in (tmp_path / "keys").iterdir() if file.name.startswith(".")]


def test_two_processes_that_keep_the_first_credential_at_once_both_succeed(keystore: FileKeyStore, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def keep(number: int) -> None:
        try:
            Credentials(FileKeyStore(tmp_path / "keys")).keep(f"c-{number}", office="civil", server="db:1", user="u", password=str(number))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    fresh = Credentials(FileKeyStore(tmp_path / "keys"))
    assert [fresh.get(f"c-{number}", office="civil").password for number in range(8)] == [str(number) for number in range(8)]


@pytest.mark.parametrize(
    ("name", "server", "user", "code"),
    [
        ("../register", "db:5432", "reader", "credential-name-invalid"),
        ("Register", "db:5432", "reader", "credential-name-invalid"),
        ("register", "db", "reader", "credential-server-invalid"),
        ("register", "a:1,b:2", "reader", "credential-server-invalid"),
        ("register", "db:5432", "", "credential-empty"),
        ("register", "db:5432", "rea\x00der", "credential-empty"),
    ],
)
def test_what_is_no_credential_is_refused(keystore: FileKeyStore, name: str, server: str, user: str, code: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        Credentials(keystore).keep(name, office="civil", server=server, user=user, password=SECRET)
    assert code_of(refusal) == code


def test_data_officers_keep_and_forget_and_the_ledger_says_so_without_the_secret(keystore: FileKeyStore) -> None:
    stores = MemoryStores()
    log = MemoryEntryLog(stores.transactions, MemoryClock(datetime(2026, 3, 1, tzinfo=UTC)))
    actions = CredentialActions(credentials=Credentials(keystore), transactions=stores.transactions, ledger=log)
    actions.keep("register", server="db:5432", user="reader", password=SECRET, by=actor())
    assert [(one.name, one.server) for one in actions.names(by=actor())] == [("register", "db:5432")]
    assert actions.names(by=actor("tax")) == []
    with pytest.raises(NotFound):
        actions.forget("register", by=actor("tax"))
    actions.forget("register", by=actor())
    assert actions.names(by=actor()) == []
    assert [kind for kind, _ in log.written] == [EntryKind.CREDENTIAL_KEPT] * 2
    assert [body["change"] for _, body in log.written] == ["kept", "forgotten"]
    assert SECRET not in str(log.written) and "reader" not in str(log.written)
    with pytest.raises(Refused) as refusal:
        actions.keep("register", server="db:5432", user="reader", password=SECRET, by=actor(role=Role.OPERATOR))
    assert code_of(refusal) == "role-missing"
