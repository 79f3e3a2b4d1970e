"""Attacks on the door of records: trying identifiers, finding who is behind a pseudonym, keys that are statements, keys that leak."""

import logging
import stat
from dataclasses import replace
from typing import Any

import pytest
from tests.spec.doors.doors_world import Instance
from tests.spec.governed.governed_world import CLEAR, NANMING, PEOPLE, PERSON, PERSON_GRANT, PSEUDONYM, make_grant

from huitong.model.policy import Quota, QuotaPeriod
from huitong.model.records import copies_of

pytestmark = pytest.mark.slow

PIDS = [row["pid"] for row in PEOPLE if row["pid"] is not None]


def get(instance: Instance, keys: Any, **rest: Any) -> Any:
    return instance.post("records/get", {"dataset": "civil.person", "purpose": "poverty-relief", "keys": keys, **rest})


def token_of(instance: Instance, pid: str) -> str:
    tables = instance.platform.sharing.side_tables
    return str(tables.token_of(tables.epoch("gz-rural:poverty-relief"))(pid))


def test_a_raw_identifier_never_finds_the_row_in_which_it_is_a_pseudonym(instance: Instance) -> None:
    """Or whoever knows an identity number would learn its pseudonym, and everything that other results say of it."""
    for pid in PIDS:
        answer = get(instance, [pid])
        assert answer.status_code == 422 or answer.json()["rows"] == []
    assert len(get(instance, [token_of(instance, PIDS[0])]).json()["rows"]) == 1


def test_the_token_of_another_linkage_group_finds_nobody(instance: Instance) -> None:
    tables = instance.platform.sharing.side_tables
    other = tables.token_of(tables.epoch("gz-health:study"))(PIDS[0])
    assert get(instance, [str(other)]).json()["rows"] == []


def test_trying_identifiers_in_batches_ends_with_the_quota(instance: Instance) -> None:
    grant = make_grant("civil.person", {"pid": CLEAR, "salary": CLEAR}, rows=NANMING, quota=Quota(QuotaPeriod.DAY, calls=10))
    instance.put(grant)
    tried = [f"99010219900101{number:04d}" for number in range(12)]
    assert get(instance, tried).json()["reasons"][0]["code"] == "quota-used-up"
    assert get(instance, tried[:10]).status_code == 200
    assert get(instance, tried[10:11]).json()["reasons"][0]["code"] == "quota-used-up"
    asked = {"dataset": "civil.person", "purpose": "poverty-relief", "keys": PIDS[:1], "where": [{"item": "salary", "value": "3000"}]}
    assert instance.post("records/verify", asked).json()["reasons"][0]["code"] == "quota-used-up"


@pytest.mark.parametrize(
    "key",
    ["' OR '1'='1", "x'; DROP TABLE held; --", '" UNION SELECT k, 0, row FROM held --', "%", "*", "../../keys", "990102199001011230 "],
)
def test_keys_are_values_and_nothing_else(instance: Instance, key: str) -> None:
    instance.put(make_grant("civil.person", {"pid": CLEAR, "salary": CLEAR}))
    assert get(instance, [key]).json()["rows"] == []
    assert len(get(instance, PIDS).json()["rows"]) == len(PIDS)


@pytest.mark.parametrize(
    "keys",
    [[], "x", [1], [None], [["a", 1]], [[["a"]]], {"pid": "x"}, ["\0"], ["x" * 201], ["1"] * 101, [["990102199001011230", "more"]], [[]]],
)
def test_keys_that_are_none_are_refused_and_never_repeated(instance: Instance, keys: Any) -> None:
    answer = get(instance, keys)
    assert answer.status_code == 422
    assert "990102199001011230" not in answer.content.decode()


def test_names_of_items_are_no_statements(instance: Instance) -> None:
    for items in (['pid" FROM civil.person --'], ["*"], ["count(*)"], ["pid, phone"], [""], ["pid\0"]):
        answer = get(instance, [token_of(instance, PIDS[0])], items=items)
        assert answer.status_code in (403, 422), items


def test_no_key_and_no_compared_value_stands_in_an_address_a_log_or_the_ledger(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    instance.put(make_grant("civil.person", {"pid": CLEAR, "salary": CLEAR, "name": CLEAR}))
    with caplog.at_level(logging.DEBUG):
        get(instance, [PIDS[0]])
        body = {"dataset": "civil.person", "purpose": "poverty-relief", "keys": [PIDS[0]], "where": [{"item": "name", "value": "张伟"}]}
        assert instance.post("records/verify", body).json()["rows"][0][1] == "yes"
        get(instance, [PIDS[0]], items=["nothing"])
        get(instance, [PIDS[0], ["a", "b"]])
    ledger = instance.stores.ledger
    written = caplog.text + "".join(promise.payload.decode() for promise in [*ledger._pending.values(), *ledger._folded])
    assert '"door":"record"' in written
    assert '"door":"verification"' in written
    assert PIDS[0] not in written
    assert "张伟" not in written


def test_what_is_not_there_and_what_is_not_granted_look_alike_to_the_byte(instance: Instance) -> None:
    def body(key: str) -> bytes:
        answer = get(instance, [key])
        return answer.content.replace(answer["Huitong-Query"].encode(), b"q")

    outside = token_of(instance, PEOPLE[4]["pid"])
    assert body(outside) == body("4711") == body("-1")


def test_what_is_not_there_costs_the_same_steps_as_what_is(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are asked and masks computed for each of them, as often."""
    from huitong.gateway import record

    steps: list[str] = []
    shows, judge = record._shows, record.row_judge
    monkeypatch.setattr(record, "_shows", lambda *about: _noted(steps, "mask", shows(*about)))
    monkeypatch.setattr(record, "row_judge", lambda *about: _noted(steps, "judge", judge(*about)))
    taken = []
    for key in (token_of(instance, PIDS[0]), token_of(instance, PEOPLE[4]["pid"]), "4711"):
        steps.clear()
        assert get(instance, [key]).status_code == 200
        taken.append(list(steps))
    assert taken[0] == taken[1] == taken[2]


def _noted(steps: list[str], name: str, function: Any) -> Any:
    def noting(value: Any) -> Any:
        steps.append(name)
        return function(value)

    return noting


def test_an_erased_person_is_in_no_copy(instance: Instance) -> None:
    """Before the worker has looked: the copy goes with the erasure."""
    instance.put(make_grant("civil.person", {"pid": CLEAR, "salary": CLEAR}))
    copies = f"{copies_of(PERSON.id)}*"
    assert any(PIDS[0].encode() in file.read_bytes() for file in (instance.home / "records").glob(copies))
    instance.take_snapshot(PERSON, [dict(row) for row in PEOPLE if row["pid"] != PIDS[0]])
    instance.platform.records.copies.erase([PERSON.id])
    assert get(instance, [PIDS[1]]).json()["reasons"][0]["code"] == "record-store-behind"
    assert not list((instance.home / "records").glob(copies))


def test_copies_lie_where_the_account_of_the_platform_alone_can_enter(instance: Instance) -> None:
    folder = instance.home / "records"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [file for file in folder.iterdir() if file.is_file()]
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_only_an_officer_of_the_managing_office_switches_the_door(instance: Instance) -> None:
    for token in ("analyst", "clerk", "stranger"):
        answer = instance.post("datasets/civil.person/records", {"on": False}, token=token)
        assert answer.status_code == 403
    assert instance.post("datasets/hidden/records", {"on": True}, token="clerk").status_code in (403, 404)
    assert instance.get("datasets/hidden/records").status_code == 404
    assert get(instance, [token_of(instance, PIDS[0])]).status_code == 200


def test_a_grant_with_a_quota_of_rows_tells_no_more_records_than_that(instance: Instance) -> None:
    instance.put(replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, quota=Quota(QuotaPeriod.GRANT, rows=2))))
    assert PERSON_GRANT.terms.mask_of("pid") == PSEUDONYM
    told = [get(instance, [token_of(instance, pid)]) for pid in PIDS[:3]]
    assert [answer.status_code for answer in told] == [200, 200, 403]
