"""What comes back from the engine: the whole result, or one reason code and nothing else."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from engine_under_test import Engine

from huitong.engines import frames
from huitong.engines.client import EngineClient, was_cut
from huitong.errors import HuitongError, Refused, Unavailable
from huitong.words import render, sentences

ENDLESS = "SELECT count(*) FROM range(100000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"


def refusal(call: Callable[[], object]) -> HuitongError:
    with pytest.raises(HuitongError) as caught:
        call()
    return caught.value


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_query_gets_its_rows(engine: Engine) -> None:
    assert engine.run("SELECT count(*) AS n, max(age) AS oldest FROM t_9f WHERE id < '0010'").to_pylist() == [{"n": 10, "oldest": 9}]


def test_only_listed_columns_exist(engine: Engine) -> None:
    assert engine.run("SELECT * FROM t_9f LIMIT 1").column_names == ["id", "age"]
    for hidden in ("secret", "filename", "file_row_number"):
        assert refusal(lambda name=hidden: engine.run(f"SELECT {name} FROM t_9f")).reasons[0].code == "query-failed"


def test_a_table_without_files_is_empty(engine: Engine) -> None:
    result = engine.run("SELECT id, age FROM t_9f", files=())
    assert result.num_rows == 0
    assert result.schema.types == [pa.string(), pa.int64()]


def test_rows_beyond_the_limit_are_cut_and_the_cut_is_told(engine: Engine) -> None:
    result = engine.run("SELECT id FROM t_9f ORDER BY id", rows=7)
    assert result.column("id").to_pylist() == [f"{n:04d}" for n in range(7)]
    assert was_cut(result)
    assert not was_cut(engine.run("SELECT id FROM t_9f", rows=1000))


def test_a_large_result_arrives_whole(engine: Engine) -> None:
    result = engine.run("SELECT range AS n, md5(range::VARCHAR) AS h FROM range(400000)", rows=10**7)
    assert result.num_rows == 400_000
    assert sum(result.column("n").to_pylist()) == 400_000 * 399_999 // 2


def test_every_type_of_item_comes_through(engine: Engine) -> None:
    sql = "SELECT 'x' AS a, 1::BIGINT AS b, 1.5::DOUBLE AS c, true AS d, DATE '2026-01-05' AS e, TIMESTAMPTZ '2026-01-05 10:00:00+08' AS f"
    result = engine.run(sql)
    expected = [pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us", "UTC")]
    assert result.schema.types == expected
    assert result.column("f")[0].as_py().isoformat() == "2026-01-05T02:00:00+00:00"


@pytest.mark.slow
def test_a_query_over_its_time_is_stopped(engine: Engine) -> None:
    started = time.monotonic()
    error = refusal(lambda: engine.run(ENDLESS, seconds=1))
    assert isinstance(error, Refused)
    assert error.query == "Q-1"
    assert error.reasons[0].code == "query-time-limit"
    assert time.monotonic() - started < 2.5


@pytest.mark.slow
def test_a_process_that_does_not_obey_is_killed(engine: Engine) -> None:
    def freeze() -> None:
        wait_until(lambda: len(engine.children()) > 0)
        time.sleep(0.2)
        for child in engine.children():
            os.kill(child, signal.SIGSTOP)

    thread = threading.Thread(target=freeze)
    thread.start()
    started = time.monotonic()
    error = refusal(lambda: engine.run(ENDLESS, seconds=1))
    thread.join()
    assert error.reasons[0].code == "query-time-limit"
    assert time.monotonic() - started < 3.5
    assert engine.run("SELECT 1 AS n").num_rows == 1


def test_a_query_over_its_memory_is_stopped(engine: Engine) -> None:
    sql = "SELECT list(range::VARCHAR || repeat('x', 300)) AS l FROM range(100000000)"
    assert refusal(lambda: engine.run(sql, megabytes=100, seconds=20)).reasons[0].code == "query-memory-limit"


@pytest.mark.slow
def test_a_sort_larger_than_memory_spills_and_leaves_nothing_behind(engine: Engine) -> None:
    sql = "SELECT * FROM (SELECT range AS n, md5(range::VARCHAR) AS h FROM range(3000000)) ORDER BY h"
    assert engine.run(sql, megabytes=100, rows=3, seconds=240).num_rows == 3  # it stands back, and other tests run too
    assert wait_until(lambda: engine.folders() == [])


def test_words_of_the_engine_never_leave(engine: Engine) -> None:
    error = refusal(lambda: engine.run("SELECT CAST('canary-value' AS BIGINT) AS n, * FROM t_9f"))
    told = repr(error) + "".join(render(reason, language) for reason in error.reasons for language in ("en", "zh-Hans"))
    assert error.reasons[0].code == "query-failed"
    for word in ("canary", "t_9f", "SELECT", "BIGINT", "Conversion", "proc"):
        assert word not in told


def test_only_one_select_is_run(engine: Engine) -> None:
    for sql in ("CREATE TABLE x (a INT)", "SELECT 1; SELECT 2", "COPY (SELECT 1) TO 'x'", "PRAGMA version", "SET threads=1"):
        assert refusal(lambda text=sql: engine.run(text)).reasons[0].code == "statement-not-one-select"


def test_files_outside_the_lake_are_not_opened(engine: Engine, tmp_path: Path) -> None:
    outside = engine.home / "outside.parquet"
    outside.write_bytes((engine.home / "lake" / "people.parquet").read_bytes())
    link = engine.home / "lake" / "link.parquet"
    link.symlink_to(outside)
    folder = engine.home / "lake" / "folder-link"
    folder.symlink_to(engine.home)
    for file in ("../outside.parquet", str(outside), "link.parquet", "folder-link/outside.parquet", "lake/../../outside.parquet", "."):
        assert refusal(lambda name=file: engine.run("SELECT count(*) FROM t_9f", files=(name,))).reasons[0].code == "query-failed"


def test_a_missing_file_is_the_operators_trouble(engine: Engine) -> None:
    error = refusal(lambda: engine.run("SELECT 1", files=("gone.parquet",)))
    assert isinstance(error, Unavailable)
    assert error.reasons[0].code == "snapshot-file-missing"


def test_a_client_that_hangs_up_stops_its_process(engine: Engine) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(engine.client.socket_path))
        peer.sendall(frames.request("run", frames.query_as_json(engine.query(ENDLESS, seconds=60))))
        assert wait_until(lambda: len(engine.children()) == 1)
    assert wait_until(lambda: engine.children() == [], 1)


def test_a_killed_process_is_told_as_a_crash_and_no_other_query_suffers(engine: Engine) -> None:
    """As the kernel kills one when the machine has no memory left. An error of the statement or its limits would be a refusal."""

    def kill() -> None:
        wait_until(lambda: len(engine.children()) > 0)
        time.sleep(0.3)  # one that died before the query reached it would be replaced
        for child in engine.children():
            os.kill(child, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(Unavailable) as caught:
        engine.run(ENDLESS)
    assert [(one.code, one.parameters) for one in caught.value.reasons] == [("engine-crashed", {"query": "Q-1"})]
    thread.join()
    assert engine.run("SELECT 1 AS n").num_rows == 1


@pytest.mark.parametrize("kept", [0, 1, 5, 700, 40_000, 1_200_000, -40, -5, -1])
def test_a_stream_that_breaks_off_is_never_taken_for_a_whole_one(kept: int, engine: Engine, tmp_path: Path) -> None:
    """A server that repeats a true answer byte for byte and then falls silent."""
    answer = raw_answer(engine, "SELECT range AS n, md5(range::VARCHAR) AS h FROM range(50000)")
    assert len(answer) > 1_200_000
    serve_once(tmp_path / "cut.sock", answer[:kept])
    with pytest.raises(Unavailable) as caught:
        EngineClient(tmp_path / "cut.sock").run(engine.query("SELECT 1"))
    assert [one.code for one in caught.value.reasons] == ["engine-crashed"]


def raw_answer(engine: Engine, sql: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(engine.client.socket_path))
        peer.sendall(frames.request("run", frames.query_as_json(engine.query(sql))))
        pieces = []
        while piece := peer.recv(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)


def serve_once(path: Path, answer: bytes) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(1 << 20)
            peer.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()


GARBAGE = [
    b"",
    b"\x00",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff\xff\xff\xff",
    frames.REQUEST_HEAD.pack(5) + b"[1,2]",
    frames.REQUEST_HEAD.pack(4) + b"\xff\xfe\x00\x01",
    frames.REQUEST_HEAD.pack(100_000) + b"[" * 100_000,
    frames.request("shutdown"),
    frames.request("run"),
    frames.request("run", {"query": "Q", "sql": "SELECT 1", "tables": [], "limits": [1, 1, "x", 1]}),
    frames.request("run", {"query": "Q", "sql": "SELECT 1", "tables": [], "limits": [float("nan"), 1, 1, 1]}),
    frames.request("run", {"query": "Q", "sql": "SELECT 1", "tables": [], "limits": [-1, 1, 1, 1]}),
    frames.request("run", {"query": "Q", "sql": "\ud800", "tables": [], "limits": [1, 100, 1, 1]}),
    frames.request("run", {"query": "Q", "sql": "SELECT 1", "tables": [{"name": "t", "files": 3}], "limits": [1, 100, 1, 1]}),
    frames.request("run", {"query": "Q", "sql": "SELECT 1", "tables": [{"name": "t", "files": [], "columns": []}], "limits": [1, 9, 1, 1]}),
    frames.request("status") + b"more",
]


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_nothing_a_client_says_stops_the_broker(number: int, engine: Engine) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(engine.client.socket_path))
        peer.sendall(GARBAGE[number])
        peer.settimeout(0.2)
        try:
            told = peer.recv(1000)
        except (TimeoutError, ConnectionResetError):
            told = b""
        assert told == b"" or told[:1] in (frames.ERROR, frames.DATA)
    assert engine.run("SELECT 1 AS n").num_rows == 1


def test_a_column_type_is_not_a_place_for_sql(engine: Engine) -> None:
    error = refusal(lambda: engine.run("SELECT 1", columns={"id": "VARCHAR) FROM read_text('/etc/passwd') --"}))
    assert error.reasons[0].code == "engine-request-invalid"


@pytest.mark.slow
def test_when_all_processes_are_taken_a_query_waits_and_then_is_told(engine: Engine) -> None:
    def busy() -> None:
        refusal(lambda: engine.run(ENDLESS, seconds=4))

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: engine.client.status()["running"] == 2)
    error = refusal(lambda: engine.run(ENDLESS))
    assert isinstance(error, Unavailable)
    assert error.reasons[0].code == "engine-busy"
    for thread in threads:
        thread.join()


def test_no_broker_is_a_clear_word(tmp_path: Path) -> None:
    client = EngineClient(tmp_path / "none.sock")
    for call in (client.status, lambda: client.run(Engine.query(None, "SELECT 1"))):  # type: ignore[arg-type]
        assert refusal(call).reasons[0].code == "engine-unavailable"


def test_both_languages_know_the_same_codes() -> None:
    import tomllib
    from importlib.resources import files

    english, chinese = (
        tomllib.loads((files("huitong.words") / language / "engine.toml").read_text("utf-8")) for language in ("en", "zh-Hans")
    )
    assert english.keys() == chinese.keys()
    assert sentences("en").keys() >= english.keys()
