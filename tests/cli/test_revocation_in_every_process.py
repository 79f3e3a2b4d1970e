"""Promise 1, measured at a served instance: a grant that was revoked is refused by every web process within a second, and no query that
began after the revocation was answered is served. The same harness measures it at length: `python -m bench revocation`. A query that is
cancelled, or whose caller hangs up, stops in whichever process it runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.revocation import CUT_WITHIN, LARGE, REFUSED_WITHIN, Served, cut_file, grant_at_once, one_of_each, one_round, revoke, served
from cancelling import cancel_and_hang_up
from streaming import ARROW, CSV, NDJSON, by_client_and_command, cancelled_and_left, cut_whether_it_is_read_or_not, memory_of

from huitong.client import Client

pytestmark = pytest.mark.slow
SOAK = bool(os.environ.get("HUITONG_SOAK"))
ROWS = 1_000_000 if SOAK else 100_000
MEGABYTES = 64
"""By which a streamed answer may make a web process grow, however many rows it has."""


@pytest.fixture(scope="module")
def two() -> Iterator[Served]:
    """An instance with two web processes."""
    with served(rows=100_000, web=2) as server:
        yield server


def test_every_process_refuses_within_a_second() -> None:
    with served(rows=1_000, web=3) as server, one_of_each(server, 3) as connections:
        assert len(connections) == 3, "three processes answer"
        for _ in range(3):
            found = one_round(server, connections)
            assert found.honoured_late == 0, "what began after the revocation is refused, in whichever process"
            assert found.refused_after <= REFUSED_WITHIN


def test_a_file_that_is_being_fetched_is_cut_within_five_seconds(two: Served) -> None:
    cut = cut_file(two, rate=1_000_000)
    assert 0 < cut.fetched < cut.whole, "some of it came, and the connection was broken off"
    assert cut.after <= CUT_WITHIN


def test_a_query_is_cancelled_through_another_process_and_stops_when_its_caller_hangs_up(two: Served, tmp_path: Path) -> None:
    cancel_and_hang_up(two, tmp_path)


@pytest.fixture
def wen(two: Served) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{two.port}", two.tokens["wen"]) as client:
        yield client


def test_an_answer_that_streams_is_cut_within_five_seconds_whether_it_is_read_or_not(two: Served, wen: Client) -> None:
    cut_whether_it_is_read_or_not(two, wen)


def test_an_answer_that_streams_is_cancelled_and_stops_when_its_reader_leaves(two: Served, wen: Client) -> None:
    cancelled_and_left(two, wen)


def test_the_client_and_the_command_line_take_all_rows_or_say_that_they_are_not_all(two: Served, wen: Client, tmp_path: Path) -> None:
    by_client_and_command(two, wen, tmp_path)


@pytest.fixture(scope="module")
def large(two: Served) -> Iterator[Served]:
    """An instance with as many rows as are streamed to see what memory they need."""
    if not SOAK:
        yield two
        return
    with served(rows=ROWS, web=1) as server:
        yield server


@pytest.mark.parametrize("form", [NDJSON, ARROW, CSV])
def test_memory_does_not_grow_with_the_rows_of_a_streamed_answer(large: Served, form: str) -> None:
    with large.connection() as officer:
        grant = grant_at_once(large, officer, LARGE)
        grown, size = memory_of(large, form)
        revoke(large, officer, grant)
    print(f"{form}: {size // 1_000_000} MB, grown by {grown} MB")
    assert size > ROWS * 90
    assert grown <= MEGABYTES
