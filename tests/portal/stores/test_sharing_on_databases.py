"""The life of a request and of a grant, by the real rules over the real stores; two officers at once never both win."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.portal.examples import ANALYST, CITY, HOUSEHOLDS, REVIEWER, Example, put_account
from tests.portal.threads import at_once

from huitong.errors import Conflict
from huitong.keystore import FileKeyStore
from huitong.ledger.audit import audit
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.model.ledger import EntryKind
from huitong.model.policy import GrantState
from huitong.model.sharing import RequestState, Wish
from huitong.portal.stores import Stores
from huitong.sharing.actions import SharingActions
from huitong.sharing.terms import hash_of_terms
from huitong.testing import MemorySideTables

ORIGIN = "huitong.example/test"
SECOND_REVIEWER = replace(REVIEWER, person="zhao.min", name="赵敏", post="zhao.min@gz-civil-affairs")


def wall_clock() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> FileKeyStore:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    return keys


@pytest.fixture
def sharing(example: Example, keystore: FileKeyStore) -> SharingActions:
    stores = example.stores
    put_account(stores.using, SECOND_REVIEWER)
    return SharingActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=Ledger(stores.ledger, keystore, wall_clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300),
        divisions=stores.divisions,
        side_tables=MemorySideTables(),
        clock=wall_clock,
        time_zone="Asia/Shanghai",
    )


def make_wish(sharing: SharingActions) -> Wish:
    return sharing.wish(
        HOUSEHOLDS.id,
        purpose="medical-security",
        legal_basis="Measures on medical assistance, article 9",
        items=[(item.name, None) for item in HOUSEHOLDS.items],
        until=(wall_clock() + timedelta(days=100)).date(),
        division=CITY,
    )


def test_from_asking_to_revoking(sharing: SharingActions, stores: Stores, keystore: FileKeyStore) -> None:
    request = sharing.submit(make_wish(sharing), by=ANALYST)
    assert stores.sharing.request(request.id) == request
    assert request.state is RequestState.UNDER_REVIEW
    approved = sharing.approve(request.id, by=REVIEWER)
    grant = sharing.grant_of(approved)
    assert grant is not None
    if grant.state is GrantState.PREPARING:
        grant = sharing.prepare(grant.id)
    assert stores.sharing.grants_of_office(ANALYST.office, [HOUSEHOLDS.id]) == [grant]
    terms_hash = hash_of_terms(
        grant.terms,
        dataset=grant.dataset,
        provider=grant.provider,
        using_office=grant.using_office,
        signed_by=grant.signed_by,
        version=grant.version,
    )
    assert terms_hash == grant.terms_hash
    assert grant.valid_at(wall_clock())
    revoked = sharing.revoke(grant.id, by=REVIEWER, words="目的已完成。")
    assert stores.sharing.grant(grant.id) == revoked
    Sequencer(stores.ledger, keystore, wall_clock, origin=ORIGIN).fold_all()
    kinds = [promise.kind for promise in stores.ledger.entries(0, stores.ledger.size())]
    assert kinds[:1] == [EntryKind.REQUEST_SUBMITTED]
    assert kinds[-1:] == [EntryKind.GRANT_REVOKED]
    bodies = [json.loads(promise.payload)["body"] for promise in stores.ledger.entries(0, stores.ledger.size())]
    assert any(grant.terms_hash in json.dumps(body) for body in bodies)


def test_of_two_reviewers_at_once_one_answers(sharing: SharingActions, stores: Stores, using: str) -> None:
    request = sharing.submit(make_wish(sharing), by=ANALYST)
    outcomes = at_once(
        using,
        lambda: sharing.approve(request.id, by=REVIEWER),
        lambda: sharing.approve(request.id, by=SECOND_REVIEWER),
        lambda: sharing.refuse(request.id, by=SECOND_REVIEWER, reason="refused-no-duty", words="请补充说明。"),
        lambda: sharing.withdraw(request.id, by=ANALYST),
    )
    losers = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(losers) == 3, outcomes
    assert {loser.reasons[0].code for loser in losers} == {"request-answered"}
    stored = stores.sharing.request(request.id)
    assert stored is not None
    assert len(stored.events) == 2
    grants = stores.sharing.grants_by_provider(REVIEWER.office)
    assert len(grants) == (1 if stored.state is RequestState.GRANTED else 0)


def test_what_failed_half_way_left_nothing(
    sharing: SharingActions, stores: Stores, keystore: FileKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = sharing.submit(make_wish(sharing), by=ANALYST)
    before = (stores.epoch.current(), len(stores.ledger.pending(100)))

    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(type(sharing.ledger), "append", broken)
        with pytest.raises(OSError, match="disk"):
            sharing.approve(request.id, by=REVIEWER)
    assert stores.sharing.request(request.id) == request
    assert stores.sharing.grants_by_provider(REVIEWER.office) == []
    assert (stores.epoch.current(), len(stores.ledger.pending(100))) == before
    sharing.approve(request.id, by=REVIEWER)
    Sequencer(stores.ledger, keystore, wall_clock, origin=ORIGIN).fold_all()
    assert audit(stores.ledger, sharing.ledger.vkeys()).ok  # type: ignore[attr-defined]
