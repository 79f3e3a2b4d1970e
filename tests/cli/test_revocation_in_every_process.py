"""Promise 1, measured at a served instance: a grant that was revoked is refused by every web process within a second, and no query that
began after the revocation was answered is served. The same harness measures it at length: `python -m bench revocation`. A query that is
cancelled, or whose caller hangs up, stops in whichever process it runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.revocation import CUT_WITHIN, REFUSED_WITHIN, Served, cut_file, one_of_each, one_round, served
from cancelling import cancel_and_hang_up

pytestmark = pytest.mark.slow


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
