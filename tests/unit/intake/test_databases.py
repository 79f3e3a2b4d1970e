"""Tables of databases as a source of rows: SQLite here, and a real PostgreSQL and MariaDB server."""

import hashlib
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.mariadb import MariadbServer, mariadb_server
from tests.postgresql import Server, postgresql_server

from huitong.errors import HuitongError, InputInvalid, Refused, Unavailable
from huitong.intake.addresses import AllowedHosts
from huitong.intake.credentials import Credentials
from huitong.intake.databases import DatabaseTable, open_database, rewound
from huitong.intake.limits import Deadline
from huitong.intake.plans import LoadSource, SourceKind
from huitong.keystore import FileKeyStore
from huitong.model.catalog import Dataset, Grade, Item, ItemType, LoadMode, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText

ZONE = "Asia/Shanghai"


@dataclass
class World:
    """An instance that may read one database, as office `civil`."""

    home: Path
    engine: str
    address: str
    listed: str
    run: Any
    """Runs statements in the database, each for itself."""
    credential: str | None = None

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    @property
    def credentials(self) -> Credentials:
        return Credentials(FileKeyStore(self.home / "keys"))

    def open(self, table: str = "t", **more: Any) -> DatabaseTable:
        changed = more.pop("changed", None)
        source = LoadSource(SourceKind.DATABASE, more.pop("address", self.address), table, more.pop("credential", self.credential), changed)
        listed = more.pop("listed", self.listed)
        allowed = listed if isinstance(listed, AllowedHosts) else AllowedHosts.read(listed)
        return open_database(
            source, office="civil", credentials=self.credentials, allowed_hosts=allowed, inbox=self.inbox, time_zone=ZONE, **more
        )

    def rows(self, table: str = "t", **more: Any) -> list[dict[str, str | None]]:
        with self.open(table, **more) as opened:
            return rows_of(opened)


def rows_of(table: DatabaseTable) -> list[dict[str, str | None]]:
    return [row for batch in table.batches() for row in batch.columns.to_pylist()]


def code_of(error: pytest.ExceptionInfo[HuitongError]) -> str:
    return error.value.reasons[0].code


def dataset_of(*items: tuple[str, ItemType], key: tuple[str, ...] = ()) -> Dataset:
    return Dataset(
        id="civil.person",
        title=BilingualText(zh="人员", en="Person"),
        abstract=BilingualText(zh="人员", en="Persons"),
        classification="3-01-0101/000001",
        provider="civil",
        collector="civil",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="test",
        sharing_condition=None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.DAILY,
        items=tuple(Item(name, BilingualText(zh=f"{name}项", en=f"item {name}"), kind, Grade.INTERNAL) for name, kind in items),
        primary_key=key,
    )


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariadbServer]:
    with mariadb_server() as server:
        yield server


def home_of(tmp_path: Path) -> Path:
    FileKeyStore(tmp_path / "keys").create()
    (tmp_path / "inbox" / "civil").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def sqlite(tmp_path: Path) -> World:
    home = home_of(tmp_path)

    def run(*statements: str) -> None:
        connection = sqlite3.connect(home / "inbox" / "civil" / "day.sqlite3")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return World(home, "sqlite", "sqlite:///civil/day.sqlite3", "", run)


@pytest.fixture
def postgres(tmp_path: Path, postgresql: Server) -> World:
    postgresql.run("DROP DATABASE IF EXISTS register WITH (FORCE)")
    postgresql.run("CREATE DATABASE register")

    def run(*statements: str) -> None:
        with psycopg.connect(postgresql.url("register"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    home = home_of(tmp_path)
    server = f"127.0.0.1:{postgresql.port}"
    Credentials(FileKeyStore(home / "keys")).keep("reader", office="civil", server=server, user=postgresql.user, password="any")
    return World(home, "postgresql", f"postgresql://{server}/register", server, run, "reader")


@pytest.fixture
def maria(tmp_path: Path, mariadb: MariadbServer) -> World:
    mariadb.run("DROP DATABASE IF EXISTS register", "CREATE DATABASE register")
    home = home_of(tmp_path)
    server = f"127.0.0.1:{mariadb.port}"
    Credentials(FileKeyStore(home / "keys")).keep("reader", office="civil", server=server, user=mariadb.user, password=mariadb.password)
    return World(home, "mysql", mariadb.url("register"), server, lambda *one: mariadb.run(*one, database="register"), "reader")


EVERY = [
    pytest.param("sqlite"),
    pytest.param("postgres", marks=[pytest.mark.postgresql, pytest.mark.slow]),
    pytest.param("maria", marks=[pytest.mark.postgresql, pytest.mark.slow]),
]
SERVED = EVERY[1:]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


every = pytest.mark.parametrize("world", EVERY, indirect=True)
served = pytest.mark.parametrize("world", SERVED, indirect=True)
on_postgresql = [pytest.mark.postgresql, pytest.mark.slow]


# --- the same everywhere --------------------------------------------------------------------------------------------------


@every
def test_codes_stay_text_and_missing_stays_missing(world: World) -> None:
    world.run(
        "CREATE TABLE t (code CHAR(6), name VARCHAR(40), births INTEGER, resident NUMERIC(18,0))",
        "INSERT INTO t VALUES ('012345', '王小明', 3, 520102199001011234), ('000001', '', NULL, NULL)",
        "INSERT INTO t VALUES (NULL, 'O''Neil \"quoted\", line\nbreak', -7, 1)",
    )
    with world.open() as table:
        assert table.names == ("code", "name", "births", "resident")
        assert [(one.name, one.type, one.missing) for one in table.reading.columns] == [
            ("code", ItemType.TEXT, 1),
            ("name", ItemType.TEXT, 0),
            ("births", ItemType.INTEGER, 1),
            ("resident", ItemType.TEXT, 1),
        ]
        assert table.reading.rows == 3 and table.reading.format == world.engine
        assert rows_of(table) == [
            {"code": "012345", "name": "王小明", "births": "3", "resident": "520102199001011234"},
            {"code": "000001", "name": "", "births": None, "resident": None},
            {"code": None, "name": 'O\'Neil "quoted", line\nbreak', "births": "-7", "resident": "1"},
        ]
        canonical = '"012345","王小明","3","520102199001011234"\n"000001","",,\n,"O\'Neil ""quoted"", line\nbreak","-7","1"\n'
        assert table.sha256 == hashlib.sha256(canonical.encode()).hexdigest(), "the same rows have the same hash in every database"
        assert table.proof().rows == 3


@every
def test_a_dataset_reads_only_the_columns_that_its_items_name(world: World) -> None:
    world.run(
        "CREATE TABLE t (code CHAR(2), name项 VARCHAR(9), secret VARCHAR(9), born DATE)",
        "INSERT INTO t VALUES ('01', 'a', 'x', '2026-01-02')",
    )
    dataset = dataset_of(("code", ItemType.TEXT), ("name", ItemType.TEXT), ("born", ItemType.DATE))
    with world.open(dataset=dataset) as table:
        assert table.match(dataset) == {"code": 0, "name": 1, "born": 2}
        assert rows_of(table) == [{"code": "01", "name项": "a", "born": "2026-01-02"}]
        (left_out,) = [one for one in table.reading.decisions if one.what == "columns"]
        assert left_out.why.parameters == {"count": 1, "columns": "secret"}
    with (
        world.open(dataset=dataset_of(("code", ItemType.TEXT), ("age", ItemType.INTEGER))) as table,
        pytest.raises(InputInvalid) as refusal,
    ):
        table.match(dataset_of(("code", ItemType.TEXT), ("age", ItemType.INTEGER)))
    assert [(one.code, one.parameters) for one in refusal.value.reasons] == [("intake-column-missing", {"item": "age"})]


@every
def test_views_are_read_and_names_are_never_statements(world: World) -> None:
    quote = "`" if world.engine == "mysql" else '"'
    odd = 'a"b%s' if world.engine == "mysql" else "a`b%s"
    world.run(
        f"CREATE TABLE {quote}t; DROP TABLE x{quote} ({quote}{odd}{quote} VARCHAR(9), {quote}select{quote} VARCHAR(9))",
        f"INSERT INTO {quote}t; DROP TABLE x{quote} VALUES ('1', '2')",
        f"CREATE VIEW {quote}视图{quote} AS SELECT * FROM {quote}t; DROP TABLE x{quote}",
        "CREATE TABLE x (a VARCHAR(9))",
    )
    assert world.rows("视图") == [{odd: "1", "select": "2"}]
    assert world.rows("t; DROP TABLE x") == [{odd: "1", "select": "2"}]
    assert world.rows("x") == []
    for table in ("T", "nothing", "x; DELETE FROM x", "x WHERE 1=1", "(SELECT 1)", "x--", '"', "a.b.c", "", "other.x", "x\x00"):
        with pytest.raises(InputInvalid) as refusal:
            world.open(table or " ")
        assert code_of(refusal) == "source-table-unknown"


@every
def test_numbers_dates_and_times_come_as_their_items_read_them(world: World) -> None:
    moment = "TIMESTAMP" if world.engine == "postgresql" else "DATETIME"
    world.run(
        f"CREATE TABLE t (money NUMERIC(18,6), half DOUBLE PRECISION, day DATE, moment {moment})",
        "INSERT INTO t VALUES (123456789012.500000, 0.5, '2026-02-28', '2026-03-01 08:00:00')",
        "INSERT INTO t VALUES (12, 1e20, '1990-12-31', '1988-07-01 12:00:00')",
    )
    dataset = dataset_of(("money", ItemType.DECIMAL), ("half", ItemType.DECIMAL), ("day", ItemType.DATE), ("moment", ItemType.INSTANT))
    found = world.rows(dataset=dataset)
    assert [(row["money"], row["day"]) for row in found] == [("123456789012.5", "2026-02-28"), (found[1]["money"], "1990-12-31")]
    assert [float(row["half"] or "") for row in found] == [0.5, 1e20] and float(found[1]["money"] or "") == 12
    # the instance's zone: eight hours before UTC, nine in the summers of 1986 to 1991
    assert [row["moment"] for row in found] == ["2026-03-01 00:00:00Z", "1988-07-01 03:00:00Z"]
    plain = world.rows(dataset=dataset_of(("moment", ItemType.TEXT)))
    assert [row["moment"] for row in plain] == ["2026-03-01 08:00:00", "1988-07-01 12:00:00"]


@every
def test_a_wall_time_that_was_twice_or_never_is_left_for_the_load_to_report(world: World) -> None:
    moment = "TIMESTAMP" if world.engine == "postgresql" else "DATETIME"
    # clocks in China went forward on 12 April 1987 at 02:00 and back on 13 September 1987 at 02:00
    world.run(
        f"CREATE TABLE t (moment {moment})",
        "INSERT INTO t VALUES ('1987-04-12 02:30:00'), ('1987-09-13 01:30:00'), ('1987-09-13 12:00:00'), (NULL)",
    )
    found = [row["moment"] for row in world.rows(dataset=dataset_of(("moment", ItemType.INSTANT)))]
    assert found == ["1987-04-12 02:30:00", "1987-09-13 01:30:00", "1987-09-13 04:00:00Z", None]


@every
def test_a_table_without_rows_is_a_table(world: World) -> None:
    world.run("CREATE TABLE t (a VARCHAR(9), b INTEGER)")
    with world.open() as table:
        assert (table.reading.rows, rows_of(table), table.proof().rows) == (0, [], 0)
        assert table.sha256 == hashlib.sha256(b"").hexdigest()


@every
def test_rows_may_be_read_again_and_after_a_stop_in_the_middle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1), (2), (3), (4), (5)")
    few(monkeypatch, 2)
    with world.open() as table:
        assert [row["a"] for row in rows_of(table)] == ["1", "2", "3", "4", "5"]
        batches = table.batches()
        first = next(batches)
        assert first.columns.to_pylist() == [{"a": "1"}, {"a": "2"}] and first.lines.to_pylist() == [1, 2]
        batches.close()
        assert [line for batch in table.batches() for line in batch.lines.to_pylist()] == [1, 2, 3, 4, 5]


def few(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Batches of so few rows."""
    import dataclasses

    from huitong.intake import database_drivers
    from huitong.intake.source_rules import source_rules

    monkeypatch.setattr(database_drivers, "source_rules", lambda: dataclasses.replace(source_rules(), batch_rows=rows))


@every
def test_one_state_of_the_database_from_the_first_row_to_the_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if world.engine == "sqlite":
        world.run("PRAGMA journal_mode = WAL")
    world.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)", *(f"INSERT INTO t VALUES ({number}, 0)" for number in range(20)))
    few(monkeypatch, 5)
    with world.open() as table:
        batches = table.batches()
        read = next(batches).columns.to_pylist()
        world.run("UPDATE t SET a = 1", "INSERT INTO t VALUES (99, 1)")
        read += [row for batch in batches for row in batch.columns.to_pylist()]
        assert len(read) == 20 and {row["a"] for row in read} == {"0"}
        assert {row["a"] for row in rows_of(table)} == {"0"}, "a second reading sees the same state"


@every
def test_nothing_can_be_written_through_it(world: World) -> None:
    world.run("CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
    with world.open() as table:
        connection: Any = table._connection._connection  # type: ignore[union-attr]
        with pytest.raises((psycopg.Error, sqlite3.Error, Exception)) as error:
            if world.engine == "mysql":
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO t VALUES (2)")
            else:
                connection.execute(f"INSERT INTO {'public' if world.engine == 'postgresql' else 'main'}.t VALUES (2)")
        assert "read" in str(error.value).lower() or "authorized" in str(error.value)
    assert world.rows() == [{"a": "1"}]


@every
def test_time_that_is_over_ends_it(world: World) -> None:
    world.run("CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
    with pytest.raises(Unavailable) as refusal:
        world.rows(deadline=Deadline(0))
    assert code_of(refusal) == "load-time-limit"


@every
def test_a_statement_that_does_not_end_is_cut_at_the_deadline(world: World) -> None:
    endless = {
        "sqlite": "CREATE VIEW t AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT max(a) AS a FROM n",
        "postgresql": "CREATE VIEW t AS SELECT 1 AS a FROM pg_sleep(60)",
        "mysql": "CREATE VIEW t AS SELECT SLEEP(60) AS a",
    }
    world.run(endless[world.engine])
    started = time.monotonic()
    with pytest.raises(Unavailable) as refusal:
        world.rows(deadline=Deadline(0.5))
    assert code_of(refusal) == "load-time-limit" and time.monotonic() - started < 10


@every
def test_values_that_are_no_text_are_reported_by_their_row(world: World) -> None:
    if world.engine == "postgresql":
        with pytest.raises(psycopg.Error):
            world.run("SELECT E'a\\000b'")  # it holds no such value
        return
    if world.engine == "sqlite":
        world.run(
            "CREATE TABLE t (a TEXT)",
            "INSERT INTO t VALUES ('good'), (x'00ff'), (CAST(x'ff' AS TEXT)), ('a' || char(0) || 'b'), (5), (2.5)",
        )
        expected, broken = ["good", "5", "2.5"], ((2, "row-value-unreadable"), (3, "row-value-unreadable"), (4, "row-value-unreadable"))
    else:
        world.run("CREATE TABLE t (a VARCHAR(9))", "INSERT INTO t VALUES ('good'), (concat('a', char(0), 'b')), ('end')")
        expected, broken = ["good", "end"], ((2, "row-value-unreadable"),)
    with world.open() as table:
        (batch,) = table.batches()
        assert batch.columns.column("a").to_pylist() == expected and batch.broken == broken
        assert table.proof().rows == len(expected) + len(broken)


@every
def test_columns_of_bytes_are_left_out_or_refused(world: World) -> None:
    kind = {"sqlite": "BLOB", "postgresql": "BYTEA", "mysql": "VARBINARY(9)"}[world.engine]
    world.run(f"CREATE TABLE t (a INTEGER, photo {kind})", "INSERT INTO t VALUES (1, NULL)", f"CREATE TABLE u (photo {kind})")
    assert world.rows() == [{"a": "1"}]
    with pytest.raises(InputInvalid) as refusal:
        world.open(dataset=dataset_of(("a", ItemType.INTEGER), ("photo", ItemType.TEXT)))
    assert code_of(refusal) == "source-column-bytes"
    with pytest.raises(InputInvalid) as refusal:
        world.open("u")
    assert code_of(refusal) == "source-column-none"


@every
def test_a_value_longer_than_a_field_may_be_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from huitong.intake import database_drivers, databases
    from huitong.intake.limits import LIMITS

    for module in (databases, database_drivers):
        monkeypatch.setattr(module, "LIMITS", dataclasses.replace(LIMITS, field_characters=10))
    world.run("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES ('1234567890'), ('12345678901'), ('一二三四五六七八九十')")
    with world.open() as table:
        (batch,) = table.batches()
    assert batch.columns.column("a").to_pylist() == ["1234567890", "一二三四五六七八九十"] and batch.broken == ((2, "row-field-too-long"),)


# --- what is new ----------------------------------------------------------------------------------------------------------


@every
def test_a_merge_reads_what_changed_and_a_margin_below_it(world: World) -> None:
    moment = "TIMESTAMP(6)" if world.engine != "sqlite" else "TIMESTAMP"
    world.run(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, changed {moment} NULL)",
        "INSERT INTO t VALUES (1, '2026-03-01 08:00:00'), (2, '2026-03-01 10:30:00'), (3, '2026-03-01 11:00:00'), (4, NULL)",
    )
    first = world.open(changed="changed", mode=LoadMode.MERGE)
    with first:
        assert len(rows_of(first)) == 4, "the first load reads all"
        mark = first.high_water
    assert mark is not None and mark[11:16] in ("11:00", "03:00")
    world.run("INSERT INTO t VALUES (5, '2026-03-01 11:00:00'), (6, '2026-03-01 10:45:00'), (7, '2026-03-01 12:00:00')")
    with world.open(changed="changed", mode=LoadMode.MERGE, since=mark) as second:
        # equal to the mark (3, 5), written late with an earlier stamp (6), within the margin (2), without a stamp (4), new (7)
        assert sorted(row["id"] or "" for row in rows_of(second)) == ["2", "3", "4", "5", "6", "7"]
        assert second.high_water is not None and second.high_water > mark


@every
def test_a_row_stamped_in_the_future_hides_nothing(world: World) -> None:
    moment = "TIMESTAMP(6)" if world.engine != "sqlite" else "TIMESTAMP"
    world.run(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, changed {moment} NULL)",
        "INSERT INTO t VALUES (1, '2026-03-01 08:00:00'), (2, '2037-01-01 00:00:00')",
    )
    with world.open(changed="changed", mode=LoadMode.MERGE) as table:
        assert len(rows_of(table)) == 2
        assert table.high_water is not None and table.high_water.startswith("2026-03-01")


@every
def test_an_append_reads_each_row_once_by_a_unique_number(world: World) -> None:
    world.run("CREATE TABLE t (id BIGINT NOT NULL UNIQUE, a VARCHAR(9))", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    with world.open(changed="id", mode=LoadMode.APPEND) as table:
        assert [row["a"] for row in rows_of(table)] == ["a", "b"] and table.high_water == "2"
    with world.open(changed="id", mode=LoadMode.APPEND, since="2") as table:
        assert rows_of(table) == [] and table.high_water == "2" and table.reading.rows == 0
    world.run("INSERT INTO t VALUES (3, 'c')")
    with world.open(changed="id", mode=LoadMode.APPEND, since="2") as table:
        world.run("INSERT INTO t VALUES (4, 'd')") if world.engine != "sqlite" else None
        assert [row["a"] for row in rows_of(table)] == ["c"] and table.high_water == "3"


@every
def test_an_append_without_a_unique_boundary_is_refused(world: World) -> None:
    world.run(
        "CREATE TABLE t (id INTEGER, twice INTEGER NOT NULL, missing INTEGER UNIQUE)",
        "CREATE TABLE u (a INTEGER NOT NULL, b INTEGER NOT NULL, UNIQUE (a, b))",
    )
    for table, column in (("t", "id"), ("t", "twice"), ("t", "missing"), ("u", "a")):
        with pytest.raises(InputInvalid) as refusal:
            world.open(table, changed=column, mode=LoadMode.APPEND)
        assert code_of(refusal) == "source-changed-not-unique"


@every
def test_what_cannot_tell_changes_is_refused(world: World) -> None:
    world.run("CREATE TABLE t (id INTEGER, name VARCHAR(9))", "INSERT INTO t VALUES (1, 'a')")
    for column, since, code in (
        ("nothing", None, "source-changed-unknown"),
        ("name", None, "source-changed-type"),
        ("id", "1 OR 1=1", "source-changed-value"),
        ("id", "2026-01-01", "source-changed-value"),
    ):
        with pytest.raises(InputInvalid) as refusal:
            world.open(changed=column, since=since, mode=LoadMode.MERGE)
        assert code_of(refusal) == code


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("25000", "15000"),
        ("-3", "-10003"),
        ("2026-03-01", "2026-02-28"),
        ("2026-03-01 00:30:00", "2026-02-28 23:30:00"),
        ("2026-03-01 00:30:00.5+00:00", "2026-02-28 23:30:00.500000+00:00"),
    ],
)
def test_the_margin_below_a_mark(mark: str, expected: str) -> None:
    assert rewound(mark) == expected


# --- servers --------------------------------------------------------------------------------------------------------------


@served
def test_a_server_that_is_not_listed_is_not_asked(world: World) -> None:
    with pytest.raises(Refused) as refusal:
        world.open(listed="127.0.0.1:1")
    assert code_of(refusal) == "source-host-not-allowed"


@served
def test_a_wrong_password_or_database_is_said_without_the_servers_words(world: World, mariadb: MariadbServer) -> None:
    place = world.listed
    world.credentials.keep("wrong", office="civil", server=place, user="nobody-here", password="hunter2")
    with pytest.raises(Unavailable) as refusal:
        world.open(credential="wrong")
    assert code_of(refusal) == "source-login-refused" and refusal.value.reasons[0].parameters == {"server": place}
    with pytest.raises(Unavailable) as refusal:
        world.open(address=world.address.replace("/register", "/nothing"))
    assert code_of(refusal) == "source-login-refused" and "hunter2" not in repr(refusal.value.__cause__)
    assert refusal.value.__suppress_context__


@served
def test_a_server_without_tls_is_refused_where_tls_is_asked_for(world: World) -> None:
    for tls in ("verify", "encrypt"):
        with pytest.raises(Unavailable) as refusal:
            world.open(listed=f"{world.listed} tls={tls}")
        assert code_of(refusal) == "source-tls-failed"


@served
def test_a_server_that_hangs_is_left_at_the_deadline(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        scheme = world.address.partition(":")[0]
        started = time.monotonic()
        with pytest.raises(Unavailable):
            world.open(address=f"{scheme}://127.0.0.1:{port}/x", listed=f"127.0.0.1:{port}", credential=None, deadline=Deadline(1.0))
        assert time.monotonic() - started < 15


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("postgresql", "mysql"):
        world = World(home_of(tmp_path / scheme), scheme, f"{scheme}://127.0.0.1:{port}/x", f"127.0.0.1:{port}", None)
        with pytest.raises(Unavailable) as refusal:
            world.open()
        assert code_of(refusal) == "source-unreachable"


@pytest.mark.postgresql
@pytest.mark.slow
def test_the_odd_types_of_postgresql(postgres: World) -> None:
    postgres.run(
        "CREATE DOMAIN resident AS numeric(18,0)",
        "CREATE DOMAIN inner_code AS varchar(4)",
        "CREATE DOMAIN code AS inner_code",
        "CREATE TYPE sex AS ENUM ('男', '女')",
        "CREATE SCHEMA other",
        "CREATE TABLE other.t (r resident, c code, s sex, u uuid, j jsonb, a int[], b boolean, z timestamptz, m money,"
        " i interval, n numeric)",
        "INSERT INTO other.t VALUES (520102199001011234, '01', '女', '00000000-0000-0000-0000-000000000001', '{\"a\": 1}', '{1,2}', true,"
        " '2026-03-01 08:00:00.25+08', 12.5, '1 day', 'NaN')",
        "ALTER DATABASE register SET search_path = other, public",
        "ALTER DATABASE register SET timezone = 'Asia/Tokyo'",
        "ALTER DATABASE register SET datestyle = 'German'",
    )
    with postgres.open("t") as table:
        assert [one.type for one in table.reading.columns] == [ItemType(kind) for kind in (
            "text", "text", "text", "text", "text", "text", "boolean", "instant", "decimal", "text", "decimal")]  # fmt: skip
        (row,) = rows_of(table)
    assert row == {
        "r": "520102199001011234", "c": "01", "s": "女", "u": "00000000-0000-0000-0000-000000000001", "j": '{"a": 1}', "a": "{1,2}",
        "b": "true", "z": "2026-03-01 00:00:00.25+00", "m": "12.5", "i": "P1D", "n": "NaN",
    }  # fmt: skip
    assert postgres.rows("other.t") == [row] == postgres.rows('"other"."t"')


@pytest.mark.postgresql
@pytest.mark.slow
def test_a_column_that_the_credential_may_not_read_is_said(postgres: World, postgresql: Server) -> None:
    postgresql.run("DROP ROLE IF EXISTS clerk")
    postgres.run("CREATE ROLE clerk LOGIN", "CREATE TABLE t (a int, b int)", "CREATE TABLE u (a int)", "GRANT SELECT (a) ON t TO clerk")
    postgres.credentials.keep("clerk", office="civil", server=postgres.listed, user="clerk", password="x")
    with postgres.open(credential="clerk", dataset=dataset_of(("a", ItemType.INTEGER))) as table:
        assert rows_of(table) == []
    for name in ("t", "u"):
        with pytest.raises(InputInvalid) as refusal:
            postgres.rows(name, credential="clerk")
        assert code_of(refusal) == "source-table-unreadable"
    postgres.run("DROP OWNED BY clerk", "DROP ROLE clerk")


@pytest.mark.postgresql
@pytest.mark.slow
def test_the_odd_types_of_mariadb(maria: World) -> None:
    maria.run(
        "CREATE TABLE t (z INT(8) UNSIGNED ZEROFILL, f FLOAT, bits BIT(1), y YEAR, tm TIME, e ENUM('男','女'), j JSON,"
        " ts TIMESTAMP(3) NULL, big BIGINT UNSIGNED)",
        "SET SESSION time_zone = '+08:00'",
        "INSERT INTO t VALUES (42, 0.1, b'1', 2026, '10:00:00', '女', '{\"a\": 1}', FROM_UNIXTIME(1772323200.25), 18446744073709551615)",
    )
    with maria.open() as table:
        assert [one.type.value for one in table.reading.columns] == [
            "text", "decimal", "integer", "integer", "text", "text", "text", "instant", "integer"]  # fmt: skip
        (row,) = rows_of(table)
    assert row == {
        "z": "00000042", "f": "0.1", "bits": "1", "y": "2026", "tm": "10:00:00", "e": "女", "j": '{"a": 1}',
        "ts": "2026-03-01 00:00:00.250Z", "big": "18446744073709551615",
    }  # fmt: skip


def test_a_mysql_server_that_asks_for_a_file_or_a_clear_password_gets_neither(tmp_path: Path) -> None:
    """A server that was taken over: it answers the first statement by asking for /etc/passwd, or wants the password as it is."""
    secret = tmp_path / "secret"
    secret.write_text("the content of a file")
    for asks_for in ("file", "password"):
        heard = bytearray()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=_hostile_mysql, args=(listening, asks_for, str(secret), heard), daemon=True)
            thread.start()
            port = listening.getsockname()[1]
            world = World(home_of(tmp_path / asks_for), "mysql", f"mysql://127.0.0.1:{port}/x", f"127.0.0.1:{port}", None, "c")
            world.credentials.keep("c", office="civil", server=world.listed, user="reader", password="hunter2")
            with pytest.raises(Unavailable):
                world.rows(deadline=Deadline(5))
            thread.join(10)
        assert b"reader" in heard, "it did speak to the server"
        assert b"hunter2" not in heard and b"the content of a file" not in heard


def _hostile_mysql(listening: socket.socket, asks_for: str, path: str, heard: bytearray) -> None:
    wire, _ = listening.accept()
    with wire:
        wire.settimeout(3)

        def send(number: int, body: bytes) -> None:
            wire.sendall(struct.pack("<I", len(body))[:3] + bytes([number]) + body)

        def hear() -> int:
            head = b""
            while len(head) < 4:
                part = wire.recv(4 - len(head))
                if not part:
                    raise ConnectionError
                head += part
            left = int.from_bytes(head[:3], "little")
            while left:
                part = wire.recv(left)
                heard.extend(part)
                left -= len(part)
            return head[3]

        capabilities = 0x00FFF7FF & ~0x0800  # everything but TLS
        hello = b"\x0a5.7.0-evil\x00" + struct.pack("<I", 1) + b"A" * 8 + b"\x00" + struct.pack("<H", capabilities & 0xFFFF)
        hello += (
            b"\x2d\x02\x00" + struct.pack("<H", capabilities >> 16) + b"\x15" + b"\x00" * 10 + b"B" * 12 + b"\x00mysql_native_password\x00"
        )
        try:
            send(0, hello)
            number = hear()
            if asks_for == "password":
                send(number + 1, b"\xfemysql_clear_password\x00")
                while True:
                    hear()
            send(number + 1, b"\x00\x00\x00\x02\x00\x00\x00")
            while True:
                number = hear()
                send(number + 1, b"\xfb" + path.encode())
        except (OSError, ConnectionError):
            return


# --- SQLite files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../keys/ledger.key", "civil/../../keys/ledger.key", "civil/link.sqlite3", "civil/folder/day.sqlite3"])
def test_files_outside_the_inbox_are_refused(sqlite: World, tmp_path: Path, path: str) -> None:
    sqlite.run("CREATE TABLE t (a INTEGER)")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "day.sqlite3").write_bytes((sqlite.inbox / "civil" / "day.sqlite3").read_bytes())
    (sqlite.inbox / "civil" / "link.sqlite3").symlink_to(outside / "day.sqlite3")
    (sqlite.inbox / "civil" / "folder").symlink_to(outside)
    with pytest.raises(InputInvalid) as refusal:
        sqlite.open(address=f"sqlite:///{path}")
    assert code_of(refusal) == "source-file-outside" and str(tmp_path) not in str(refusal.value.reasons)


def test_a_file_that_is_missing_or_no_database_is_said(sqlite: World) -> None:
    (sqlite.inbox / "civil" / "words.sqlite3").write_text("just words, long enough to look like something")
    for name, code in (("nothing.sqlite3", "source-file-missing"), ("words.sqlite3", "source-file-not-sqlite")):
        with pytest.raises(InputInvalid) as refusal:
            sqlite.open(address=f"sqlite:///civil/{name}")
        assert code_of(refusal) == code


def test_a_damaged_database_is_a_clear_refusal(sqlite: World) -> None:
    sqlite.run("CREATE TABLE t (a TEXT)", *(f"INSERT INTO t VALUES ('{'x' * 500}')" for _ in range(100)))
    file = sqlite.inbox / "civil" / "day.sqlite3"
    content = file.read_bytes()
    file.write_bytes(content[:5000] + b"\xff" * (len(content) - 5000))
    with pytest.raises(Unavailable) as refusal:
        sqlite.rows()
    assert code_of(refusal) == "source-read-failed"


def test_a_view_that_eats_memory_is_ended(sqlite: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from huitong.intake import database_drivers
    from huitong.intake.source_rules import source_rules

    monkeypatch.setattr(database_drivers, "source_rules", lambda: dataclasses.replace(source_rules(), sqlite_memory_megabytes=64))
    sqlite.run(
        "CREATE VIEW t AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n)"
        " SELECT hex(a) || printf('%0200d', a) AS a FROM n ORDER BY 1 DESC"
    )
    with pytest.raises(Unavailable) as refusal:
        sqlite.rows(deadline=Deadline(60))
    assert code_of(refusal) == "source-read-failed"


@pytest.mark.parametrize(
    "view",
    ["SELECT load_extension('/tmp/x') AS a", "SELECT fts3_tokenizer('simple') AS a", "SELECT length(zeroblob(999999999)) AS a"],
)
def test_functions_that_reach_out_of_a_sqlite_file_do_nothing(sqlite: World, view: str) -> None:
    sqlite.run(f"CREATE VIEW t AS {view}")
    with pytest.raises(Unavailable) as refusal:
        sqlite.rows()
    assert code_of(refusal) == "source-read-failed"


def test_reading_a_sqlite_file_changes_no_byte_and_leaves_nothing_beside_it(sqlite: World) -> None:
    sqlite.run("CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
    file = sqlite.inbox / "civil" / "day.sqlite3"
    before = file.read_bytes()
    assert sqlite.rows() == [{"a": "1"}]
    assert file.read_bytes() == before and [one.name for one in file.parent.iterdir()] == [file.name]


def test_declared_types_of_sqlite_hold_only_if_every_value_is_of_them(sqlite: World) -> None:
    sqlite.run(
        "CREATE TABLE t (whole INTEGER, mixed INTEGER, day DATE, no_day DATE, moment DATETIME, yes BOOLEAN)",
        "INSERT INTO t VALUES (1, 1, '2026-01-02', '2026-01-02', '2026-01-02 03:04:05', 1)",
        "INSERT INTO t VALUES (2, 'two', '2026-12-31', '02.01.2026', '2026-01-02 03:04:05.5', 0)",
    )
    with sqlite.open() as table:
        assert [(one.type.value, one.why.code) for one in table.reading.columns] == [
            ("integer", "source-why-declared"),
            ("text", "source-why-mixed"),
            ("date", "source-why-declared"),
            ("text", "source-why-mixed"),
            ("instant", "source-why-moment"),
            ("boolean", "source-why-declared"),
        ]
