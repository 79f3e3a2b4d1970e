"""Promise 1, measured at a served instance: a grant that was revoked is refused by every web process within a second, and no query that
began after the revocation was answered is served. The same harness measures it at length: `python -m bench revocation`."""

import pytest
from bench.revocation import REFUSED_WITHIN, one_of_each, one_round, served

pytestmark = pytest.mark.slow


def test_every_process_refuses_within_a_second() -> None:
    with served(rows=1_000, web=3) as server, one_of_each(server, 3) as connections:
        assert len(connections) == 3, "three processes answer"
        for _ in range(3):
            found = one_round(server, connections)
            assert found.honoured_late == 0, "what began after the revocation is refused, in whichever process"
            assert found.refused_after <= REFUSED_WITHIN
