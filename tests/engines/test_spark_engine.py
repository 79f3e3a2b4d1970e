"""Spark as the engine: the same broker and the same client, one process for each query that may reach the cluster and nothing else.

Sail stands for the cluster, as a process of its own."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from engine_under_test import Engine, make_lake
from tests.sail import sail_server

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient, was_cut
from huitong.engines.spark import SparkAddress, load, session
from huitong.errors import HuitongError, InputInvalid, Refused, Unavailable

pytestmark = pytest.mark.slow

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkAddress]:
    with sail_server() as address:
        yield address


@pytest.fixture(scope="module")
def engine(cluster: SparkAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("spark-engine")
    lake = make_lake(home)
    settings = BrokerSettings(
        socket=home / "engine.sock", lake=lake, processes=2, cluster=str(cluster), cluster_level=1, result_bytes=MEGABYTE
    )
    with start(settings) as handle:
        yield Engine(home, handle, EngineClient(home / "engine.sock"))


def refusal(call: Callable[[], object]) -> HuitongError:
    with pytest.raises(HuitongError) as caught:
        call()
    return caught.value


def test_a_query_gets_its_rows_under_its_own_headings(engine: Engine) -> None:
    found = engine.run("""SELECT count(*) AS n, max(age) AS "最 大" FROM t_9f AS p WHERE p.id < '0010'""")
    assert found.to_pylist() == [{"n": 10, "最 大": 9}]
    assert found.schema.types == [pa.int64(), pa.int64()]


def test_only_listed_columns_exist(engine: Engine) -> None:
    for hidden in ("secret", "c0", "_metadata"):
        assert refusal(lambda name=hidden: engine.run(f"SELECT {name} FROM t_9f")).reasons[0].code == "rewrite-differs"  # type: ignore[misc]


def test_only_planned_tables_exist(engine: Engine) -> None:
    statements = ("SELECT * FROM text.people", "SELECT id FROM other", "SELECT read_text('/etc/passwd') AS x", "SELECT hash(1) AS n FROM u")
    for statement in statements:
        assert refusal(lambda sql=statement: engine.run(sql)).reasons[0].code in ("rewrite-differs", "not-on-spark")  # type: ignore[misc]


def test_a_table_without_files_is_empty(engine: Engine) -> None:
    found = engine.run("SELECT p.id, p.age FROM t_9f AS p", files=())
    assert found.num_rows == 0
    assert found.schema.types == [pa.string(), pa.int64()]


def test_rows_beyond_the_limit_are_cut_and_the_cut_is_told(engine: Engine) -> None:
    found = engine.run("SELECT p.id FROM t_9f AS p ORDER BY p.id", rows=7)
    assert found.column("id").to_pylist() == [f"{n:04d}" for n in range(7)]
    assert was_cut(found)
    assert not was_cut(engine.run("SELECT p.id FROM t_9f AS p", rows=1000))


def test_an_endless_query_is_stopped_and_the_next_one_runs(engine: Engine) -> None:
    joins = " ".join(f"JOIN t_9f AS {alias} ON a.age <> {alias}.age" for alias in "bcd")
    endless = f"SELECT count(*) AS n FROM t_9f AS a {joins}"
    error = refusal(lambda: engine.run(endless, seconds=1))
    assert [(reason.code, dict(reason.parameters)) for reason in error.reasons] == [("query-time-limit", {"query": "Q-1", "seconds": "1"})]
    assert engine.run("SELECT count(*) AS n FROM t_9f AS p").to_pylist() == [{"n": 1000}]


def test_a_result_that_is_too_large_is_refused(engine: Engine) -> None:
    wide = "SELECT repeat(a.id, 400) AS x FROM t_9f AS a"
    assert refusal(lambda: engine.run(wide)).reasons[0].code == "query-result-too-large"


def test_a_missing_file_is_told_before_the_cluster_is_asked(engine: Engine) -> None:
    assert refusal(lambda: engine.run("SELECT p.id FROM t_9f AS p", files=("gone.parquet",))).reasons[0].code == "snapshot-file-missing"
    assert refusal(lambda: engine.run("SELECT p.id FROM t_9f AS p", files=("../people.parquet",))).reasons[0].code == "query-failed"


def test_totals_that_do_not_fit_fail_without_the_engine_s_words(engine: Engine) -> None:
    sql = "SELECT max(p.age + 9223372036854774808) * max(p.age) AS x FROM t_9f AS p"
    error = refusal(lambda: engine.run(sql))
    assert isinstance(error, Refused)
    assert [(reason.code, dict(reason.parameters)) for reason in error.reasons] == [("query-failed", {"query": "Q-1"})]


def test_a_grade_that_asks_for_more_than_the_operator_answers_for_is_refused(engine: Engine) -> None:
    """No wall of this machine counts, for the rows are read on the cluster."""
    query = engine.query("SELECT p.id FROM t_9f AS p WHERE p.age = 3")
    assert engine.client.run(replace(query, sandbox={"civil.person": 1})).num_rows == 1
    error = refusal(lambda: engine.client.run(replace(query, sandbox={"civil.person": 2})))
    assert [(reason.code, dict(reason.parameters)) for reason in error.reasons] == [
        ("sandbox-below-grade", {"dataset": "civil.person", "level": 1, "needed": 2})
    ]


def test_the_broker_says_where_queries_run_and_which_walls_stand(engine: Engine, cluster: SparkAddress) -> None:
    status = engine.client.status()
    assert (status["cluster"], status["level"]) == (str(cluster), 1)
    assert not status["network_namespace"], "it could not reach the cluster"
    if status["landlock"] and status["system_call_filter"]:
        assert status["no_new_privileges"]


def test_two_queries_at_once_do_not_see_each_other_s_tables(engine: Engine) -> None:
    """Both under the same name, over other columns."""
    found: dict[int, object] = {}

    def ask(number: int) -> None:
        query = engine.query(f"SELECT count(*) AS n FROM t_9f AS p WHERE p.age < {number}")
        found[number] = engine.client.run(query).to_pylist()

    threads = [threading.Thread(target=ask, args=(number,)) for number in (3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {3: [{"n": 3}], 7: [{"n": 7}]}
    with pytest.raises(HuitongError):
        engine.run("SELECT * FROM t_9e")


def test_a_cluster_that_is_not_there_is_told_as_what_it_is() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as missing, session(SparkAddress("127.0.0.1", reserved.getsockname()[1])):
            raise AssertionError("nobody listens there")
    assert missing.value.reasons[0].code == "engine-unavailable"


@pytest.mark.parametrize("text", ["", "spark://h:1", "sc://h", "sc://h:0", "sc://h:70000", "sc://h:1/;token=x", "sc://a b:1", "sc://h:1;x"])
def test_an_address_is_one_host_and_one_port(text: str) -> None:
    with pytest.raises(InputInvalid) as wrong:
        SparkAddress.read(text)
    assert wrong.value.reasons[0].code == "engine-address-invalid"


def test_without_the_extra_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(Unavailable) as missing:
        load()
    assert missing.value.reasons[0].code == "spark-not-installed"


WALLS = """
import os, socket, sys
from huitong.engines import sandbox

folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
allowed, other = int(sys.argv[2]), int(sys.argv[3])
report = sandbox.enter(read_files=[], temporary_folder=folder, memory_megabytes=400, seconds=20, threads=2, file_megabytes=10,
                       network_left=False, walls=sandbox.Walls(), connect_port=allowed)

def tried(what):
    try:
        what()
    except PermissionError:
        return "forbidden"
    except OSError as error:
        return type(error).__name__
    return "done"

def connect(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as peer:
        peer.connect(("127.0.0.1", port))

print(report.landlock, int(report.system_call_filter), tried(lambda: connect(allowed)), tried(lambda: connect(other)),
      tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)), tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)))
"""


def test_the_process_reaches_one_port_and_no_other(tmp_path: Path) -> None:
    """Where the kernel has these walls."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(server.getsockname()[1]) for server in (one, other)]
        said = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(WALLS), str(tmp_path), *ports],
            check=True, capture_output=True, text=True, timeout=60, env={**os.environ},
        ).stdout.split()  # fmt: skip
    landlock, filtered, to_the_cluster, elsewhere, datagrams, unix = int(said[0]), int(said[1]), *said[2:]
    assert to_the_cluster == "done"
    if landlock >= 4:
        assert elsewhere == "forbidden"
    if filtered:
        assert (datagrams, unix) == ("forbidden", "forbidden")
