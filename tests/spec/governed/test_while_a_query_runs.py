"""A right that ends while a query runs, and rights that overlap."""

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest
from tests.spec.governed.governed_world import CLEAR, NANMING, NOW, PERSON_GRANT, YUNYAN, World, make_grant

from huitong.errors import Refused, Unavailable
from huitong.gateway.answer import InFlight
from huitong.model.ledger import EntryKind
from huitong.model.policy import GrantState
from huitong.model.query import GovernedQuery

NAMES = "SELECT name FROM civil.person"


class SlowEngine:
    """The same engine; something happens while it works."""

    def __init__(self, world: World, happening) -> None:
        self._inner, self._world, self._happening = world.engine, world, happening

    def run(self, query: GovernedQuery, /) -> pa.Table:
        table = self._inner.run(query)
        self._happening(self._world)
        return table


def refused_while_running(world: World, happening) -> set[str]:
    """The reasons for which nothing left, though the engine ran."""
    world.engine = SlowEngine(world, happening)  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    with pytest.raises(Refused) as caught:
        world.ask(NAMES)
    assert caught.value.query is not None
    return {reason.code for reason in caught.value.reasons}


def revoke(world: World) -> None:
    world.grants[0] = replace(world.grants[0], state=GrantState.REVOKED, revoked_at=world.now)
    world.epoch += 1


def let_it_expire(world: World) -> None:
    world.now = NOW + timedelta(days=400)


def test_rows_do_not_leave_after_a_revocation(world: World) -> None:
    assert refused_while_running(world, revoke) == {"grant-ended-meanwhile"}


def test_rows_do_not_leave_after_the_last_instant(world: World) -> None:
    assert refused_while_running(world, let_it_expire) == {"grant-ended-meanwhile"}


def test_the_outcome_says_why_nothing_left(world: World) -> None:
    refused_while_running(world, revoke)
    kind, body = world.book.entries[-1]
    assert kind is EntryKind.USE_OUTCOME
    assert body["failure"] == "grant-ended-meanwhile"
    assert "result_hash" not in body


def test_of_two_counties_under_two_grants_the_answer_says_which_it_shows(world: World) -> None:
    names = {"name": CLEAR}
    world.grants = [
        make_grant("civil.person", names, number="G-1", rows=NANMING, granted_at=NOW - timedelta(days=9)),
        make_grant("civil.person", names, number="G-2", rows=YUNYAN, granted_at=NOW - timedelta(days=5)),
    ]
    (notice,) = world.ask(NAMES).notices
    assert notice.code == "other-grants-stand"
    assert (notice.parameters["grant"], notice.parameters["others"]) == ("G-2", "G-1")


def test_one_grant_needs_no_notice(world: World) -> None:
    world.grants = [PERSON_GRANT]
    assert world.ask(NAMES).notices == ()


def test_one_office_does_not_take_every_place(world: World) -> None:
    places = InFlight(of_an_office=1, at_once=2)
    with places.one_of("gz-rural", "q-1"):
        with pytest.raises(Unavailable) as told, places.one_of("gz-rural", "q-2"):
            pass
        assert told.value.reasons[0].code == "queries-of-office"
        with places.one_of("gz-tax", "q-3"), pytest.raises(Unavailable) as busy, places.one_of("gz-health", "q-4"):
            pass
        assert busy.value.reasons[0].code == "engine-busy"
    with places.one_of("gz-rural", "q-5"):
        pass


def test_rows_without_a_stated_order_come_by_their_values_not_as_they_are_stored(world: World) -> None:
    salaries = [row[0] for row in world.rows("SELECT salary FROM civil.person WHERE salary IS NOT NULL")]
    assert len(salaries) > 1
    assert salaries == sorted(salaries)
    downwards = [row[0] for row in world.rows("SELECT salary FROM civil.person WHERE salary IS NOT NULL ORDER BY salary DESC")]
    assert downwards == sorted(salaries, reverse=True)


def test_tokens_renewed_while_a_join_is_planned_never_meet_those_of_before(world: World) -> None:
    """The side table of one dataset would be found in the old key epoch and that of the other in the new one: nothing would join."""
    joined = "SELECT p.gender, c.capital FROM civil.person AS p JOIN tax.company AS c ON c.owner_pid = p.pid ORDER BY 2, 1"
    expected = world.ask(joined).table
    assert expected.num_rows > 0
    files, asked = world.files, []

    def files_while_someone_renews(*about: object) -> tuple[str, ...]:
        found = files(*about)
        asked.append(about)
        if len(asked) == 1:
            world.key_epoch, world.epoch = 2, world.epoch + 1
        return found

    world.files = files_while_someone_renews
    world.gateway = world.make_gateway()
    assert world.ask(joined).table.equals(expected)
    assert len(asked) == 4, "both side tables were looked for again"
