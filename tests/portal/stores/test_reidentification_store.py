"""Cases of re-identification at rest; of two acts at once exactly one wins, and the tokens of a case that is over are gone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import IntegrityError, connections, transaction
from tests.portal.examples import ANALYST, CIVIL, HOUSEHOLDS, MEDICAL, NOON, REVIEWER, Example, grant, put_account, request, snapshot
from tests.portal.threads import at_once

from huitong.errors import Conflict, Refused
from huitong.gateway.reveal import SCHEMA
from huitong.keystore import FileKeyStore
from huitong.ledger.cross_check import cross_check
from huitong.ledger.log import Ledger
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor
from huitong.model.policy import Grant, ItemTerm, Mask, MaskKind
from huitong.model.query import Answer
from huitong.model.reidentification import (
    Reidentification,
    ReidentificationEvent,
    ReidentificationEventKind,
    ReidentificationState,
    Revelation,
)
from huitong.portal.accounts.models import Post
from huitong.portal.sharing import models
from huitong.portal.stores import Stores
from huitong.sharing.ports import Side
from huitong.sharing.reidentification import ReidentificationActions
from huitong.testing import MemorySideTables

Kind = ReidentificationEventKind
SECOND_REVIEWER = replace(REVIEWER, person="zhao.min", name="赵敏", post="zhao.min@gz-civil-affairs")
TOKENS = (-(2**63), -1, 0, 7, 2**63 - 1)


def event(kind: Kind, **other: Any) -> ReidentificationEvent:
    return ReidentificationEvent(kind, NOON + timedelta(hours=1), REVIEWER.person, CIVIL.id, **other)


def a_case(number: int = 1, *, at: datetime = NOON, events: tuple[ReidentificationEvent, ...] = ()) -> Reidentification:
    asked = ReidentificationEvent(Kind.ASKED, at, ANALYST.person, MEDICAL.id, days=7, reveals=2)
    return Reidentification(
        id=f"C-{number:06d}",
        grant="G-000001",
        dataset=HOUSEHOLDS.id,
        item="resident_id",
        linkage_group="gz-medical-security:medical-assistance",
        provider=CIVIL.id,
        using_office=MEDICAL.id,
        officer=ANALYST.person,
        post=ANALYST.post,
        case="毕节 2026-118",
        legal_basis="社会救助暂行办法第九条",
        why="入冬前须入户",
        tokens=len(TOKENS),
        tokens_hash="a" * 64,
        days=7,
        reveals=2,
        answer_due=date(2026, 3, 16),
        events=(asked, *events),
    )


def pseudonymous_grant() -> Grant:
    found = grant()
    return replace(found, terms=replace(found.terms, items=(ItemTerm("resident_id", Mask(MaskKind.PSEUDONYM)),)))


@pytest.fixture
def kept(example: Example) -> Stores:
    """A grant with pseudonyms, and one case with its tokens."""
    stores = example.stores
    with stores.atomic():
        stores.sharing.add_request(request())
        stores.sharing.add_grant(pseudonymous_grant())
        stores.reidentifications.add(a_case())
        stores.reidentifications.keep("C-000001", TOKENS)
    return stores


def test_a_case_and_its_tokens_come_out_as_they_were_put_in(kept: Stores) -> None:
    agreed = event(Kind.APPROVED, words="已核。", days=3, reveals=1, until=NOON + timedelta(days=3))
    revealed = event(Kind.REVEALED, query="q-0123456789abcdef")
    for place, one in enumerate((event(Kind.ENDORSED, days=3, reveals=1), agreed, event(Kind.REVEAL_BEGUN), revealed), 1):
        with kept.atomic():
            kept.reidentifications.append("C-000001", one, expected_events=place)
    found = kept.reidentifications.get("C-000001")
    assert found == a_case(events=(event(Kind.ENDORSED, days=3, reveals=1), agreed, event(Kind.REVEAL_BEGUN), revealed))
    assert found is not None and found.state is ReidentificationState.AGREED and found.reveals_left == 0
    assert kept.reidentifications.tokens_of("C-000001") == TOKENS
    assert kept.reidentifications.get("C-000009") is None and kept.reidentifications.get("\0") is None


def test_an_id_is_taken_once(kept: Stores) -> None:
    with pytest.raises(Conflict) as caught, kept.atomic():
        kept.reidentifications.add(a_case())
    assert caught.value.reasons[0].code == "reidentification-exists"


def test_tokens_are_forgotten_as_a_whole(kept: Stores, using: str) -> None:
    with kept.atomic():
        kept.reidentifications.forget("C-000001")
    assert kept.reidentifications.tokens_of("C-000001") == ()
    assert models.ReidentificationToken.objects.using(using).count() == 0


def test_what_is_undone_was_not_forgotten(kept: Stores) -> None:
    with pytest.raises(RuntimeError), kept.atomic():
        kept.reidentifications.forget("C-000001")
        raise RuntimeError
    assert kept.reidentifications.tokens_of("C-000001") == TOKENS


def test_of_several_acts_at_once_exactly_one_wins(kept: Stores, using: str) -> None:
    kinds = [Kind.ENDORSED, Kind.REFUSED, Kind.WITHDRAWN, Kind.ENDORSED]
    append = kept.reidentifications.append
    outcomes = at_once(using, *(lambda kind=kind: append("C-000001", event(kind), expected_events=1) for kind in kinds))
    assert outcomes.count(None) == 1
    assert {loser.reasons[0].code for loser in outcomes if isinstance(loser, Conflict)} == {"reidentification-moved"}
    found = kept.reidentifications.get("C-000001")
    assert found is not None and [one.kind for one in found.events][1:] == [kinds[outcomes.index(None)]]


def test_cases_are_listed_by_side_newest_first_in_three_statements(kept: Stores, queries: Callable[[], int]) -> None:
    with kept.atomic():
        for number in range(2, 22):
            kept.reidentifications.add(a_case(number, at=NOON + timedelta(minutes=number)))
    queries()
    page, total = kept.reidentifications.of_office(MEDICAL.id, side=Side.APPLICANT, limit=20)
    assert queries() == 3
    assert total == 21 and [one.id for one in page] == [f"C-{number:06d}" for number in range(21, 1, -1)]
    assert kept.reidentifications.of_office(MEDICAL.id, side=Side.APPLICANT, officer="li.na") == ([], 0)
    assert kept.reidentifications.of_office(MEDICAL.id, side=Side.PROVIDER) == ([], 0)
    assert kept.reidentifications.of_office(CIVIL.id, side=Side.PROVIDER, limit=1, offset=20)[0][0].id == "C-000001"


def test_open_cases_are_found_by_their_grant(kept: Stores) -> None:
    assert [one.id for one in kept.reidentifications.open_cases("G-000001")] == ["C-000001"]
    assert kept.reidentifications.open_cases("G-000009") == []
    with kept.atomic():
        kept.reidentifications.append("C-000001", event(Kind.REFUSED, reason="reidentification-refused-other"), expected_events=1)
    assert kept.reidentifications.open_cases() == []


@pytest.mark.parametrize("wrong", [{"state": "told"}, {"tokens": 0}, {"event_count": 0}])
def test_the_database_refuses_a_case_that_cannot_be(kept: Stores, using: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        models.Reidentification.objects.using(using).update(**wrong)


# By the real rules over the real stores


def wall_clock() -> datetime:
    return datetime.now(UTC)


class Lookup:
    """Revealer that counts what it told."""

    def __init__(self) -> None:
        self.told = 0

    def reveal(self, asked: Revelation, *, actor: Actor, still: Callable[[], None]) -> Answer:
        still()
        self.told += 1
        columns = [list(asked.tokens), ["x"] * len(asked.tokens), ["s"] * len(asked.tokens)]
        return Answer(query=f"q-{self.told}", table=pa.table(columns, schema=SCHEMA), receipt={})


@pytest.fixture
def actions(example: Example, tmp_path: Path) -> ReidentificationActions:
    stores = example.stores
    put_account(stores.using, SECOND_REVIEWER)
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    now = wall_clock()
    found = pseudonymous_grant()
    found = replace(found, terms=replace(found.terms, valid_from=now - timedelta(days=1), valid_until=now + timedelta(days=90)))
    with stores.atomic():
        stores.sharing.add_request(request())
        stores.sharing.add_grant(found)
        stores.catalog.add_snapshot(snapshot(1))
    return ReidentificationActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=Ledger(stores.ledger, keys, wall_clock, origin="huitong.example/test", alarm_seconds=10, stop_seconds=300),
        divisions=stores.divisions,
        side_tables=MemorySideTables(),
        clock=wall_clock,
        time_zone="Asia/Shanghai",
        cases=stores.reidentifications,
        tokens=stores.reidentifications,
        revealer=Lookup(),
        hash_key=b"k" * 32,
    )


def agreed(actions: ReidentificationActions, *, reveals: int = 2) -> Reidentification:
    said = {"case": "2026-118", "legal_basis": "办法第九条", "why": "入户"}
    found = actions.ask("G-000001", tokens=TOKENS, by=ANALYST, reveals=reveals, **said)
    actions.approve(found.id, by=REVIEWER)
    return actions.approve(found.id, by=SECOND_REVIEWER)


def test_from_asking_to_the_last_reveal(actions: ReidentificationActions, stores: Stores, using: str) -> None:
    found = agreed(actions)
    epoch = stores.epoch.current()
    assert actions.reveal(found.id, by=ANALYST).table.num_rows == len(TOKENS)
    assert stores.epoch.current() > epoch
    actions.reveal(found.id, by=ANALYST, tokens=[7])
    over = stores.reidentifications.get(found.id)
    assert over is not None and over.state is ReidentificationState.ENDED
    assert models.ReidentificationToken.objects.using(using).count() == 0


def test_of_many_reveals_at_once_no_more_are_told_than_were_agreed(actions: ReidentificationActions, using: str) -> None:
    found = agreed(actions, reveals=2)
    outcomes = at_once(using, *(lambda: actions.reveal(found.id, by=ANALYST) for _ in range(5)))
    told = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert len(told) == 2 and all(isinstance(one, Answer | Conflict | Refused) for one in outcomes), outcomes


def test_two_reviewers_at_once_are_two_and_one_twice_at_once_is_one(actions: ReidentificationActions, stores: Stores, using: str) -> None:
    said = {"case": "2026-118", "legal_basis": "办法第九条", "why": "入户"}
    found = actions.ask("G-000001", tokens=[7], by=ANALYST, **said)
    at_once(using, *(lambda: actions.approve(found.id, by=REVIEWER) for _ in range(3)))
    once = stores.reidentifications.get(found.id)
    assert once is not None and once.state is ReidentificationState.UNDER_REVIEW and len(once.events) == 2
    actions.approve(found.id, by=SECOND_REVIEWER)


def test_when_the_post_ends_the_case_ends_with_its_tokens(actions: ReidentificationActions, stores: Stores, using: str) -> None:
    found = agreed(actions)
    Post.objects.using(using).filter(id=ANALYST.post).update(ended_at=wall_clock())
    with pytest.raises(Conflict) as caught:
        actions.reveal(found.id, by=ANALYST)
    assert caught.value.reasons[0].code == "reidentification-ended-officer"
    assert stores.reidentifications.tokens_of(found.id) == ()


# What was changed by hand


CHANGES = [
    ("UPDATE sharing_reidentification SET tokens_hash = 'b'", "audit-case-altered"),
    ("UPDATE sharing_reidentification SET post_id = 'li.na@gz-civil-affairs'", "audit-case-altered"),
    ("UPDATE sharing_reidentificationevent SET reveals = 5 WHERE kind = 'approved'", "audit-case-altered"),
    ("UPDATE sharing_reidentificationevent SET until = '2099-01-01 00:00:00+00:00' WHERE kind = 'approved'", "audit-case-altered"),
    ("DELETE FROM sharing_reidentificationevent WHERE kind = 'given-back'", "audit-case-state"),
    ("DELETE FROM sharing_reidentificationevent WHERE kind = 'reveal-begun'", "audit-case-reveals"),
    ("DELETE FROM sharing_reidentificationevent", "audit-case-state"),
    ("DELETE FROM sharing_reidentification", "audit-case-missing"),
]


@pytest.mark.parametrize(("statement", "expected"), CHANGES)
def test_a_case_changed_by_hand_is_named(
    actions: ReidentificationActions, stores: Stores, using: str, statement: str, expected: str
) -> None:
    found = agreed(actions)
    about = {"reidentification": found.id}
    reveal = actions.revealer.reveal

    def told(asked: Revelation, *, actor: Actor, still: Callable[[], None]) -> Answer:
        actions.ledger.append(kind=EntryKind.USE_INTENT, body={"query": "q-1", "reidentification": about})
        return reveal(asked, actor=actor, still=still)

    actions.revealer.reveal = told  # type: ignore[method-assign]
    actions.reveal(found.id, by=ANALYST)
    actions.revoke(found.id, by=ANALYST)

    def codes() -> list[str]:
        others = ("audit-grant-unrecorded", "audit-request-unrecorded", "audit-snapshot-unrecorded")  # put in without the ledger
        return [one.code for one in cross_check(stores.ledger, stores.records) if one.code not in others]

    assert codes() == []
    connection = connections[using]
    with connection.cursor() as cursor:
        postgresql = connection.vendor == "postgresql"
        cursor.execute("SET session_replication_role = replica" if postgresql else "PRAGMA foreign_keys = OFF")
        cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT" if postgresql else "PRAGMA foreign_keys = ON")
    assert expected in codes()
