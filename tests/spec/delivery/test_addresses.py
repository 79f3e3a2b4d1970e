"""A signed address is followed without a token, for minutes, and only while everything it rests on stands."""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from tests.spec.doors.doors_world import ALL_CLEAR, ANALYST, Instance, nanming, raised
from tests.spec.governed.governed_world import PERSON

from huitong.errors import HuitongError
from huitong.model.catalog import Grade

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

GRANT = "G-civil.person"


@pytest.fixture(autouse=True)
def plain_grant(instance: Instance) -> None:
    instance.put(nanming(ALL_CLEAR))


@pytest.fixture
def extract(instance: Instance) -> dict[str, Any]:
    made = instance.post("extracts", {"grant": GRANT, "format": "csv"}).json()
    instance.platform.extracts.run_waiting()
    return instance.get(f"extracts/{made['id']}").json()


@pytest.fixture
def address(instance: Instance, extract: dict[str, Any]) -> str:
    return given(instance, extract)


def given(instance: Instance, extract: dict[str, Any], **body: Any) -> str:
    answer = instance.post(f"extracts/{extract['id']}/addresses", body)
    assert answer.status_code == 201, answer.content
    return answer.json()["address"]


def fetched(instance: Instance, address: str, **headers: str) -> bytes:
    answer = instance.get(address, token=None, **headers)
    assert answer.status_code in (200, 206), answer.content
    return b"".join(answer.streaming_content)


def refused(instance: Instance, address: str) -> set[str]:
    answer = instance.get(address, token=None)
    assert answer.status_code >= 400
    return {one["code"] for one in answer.json()["reasons"]}


def told(instance: Instance, kind: str) -> list[dict[str, Any]]:
    """Entries of that kind in the ledger."""
    said = [json.loads(promise.payload) for promise in instance.stores.ledger.pending(10_000)]
    return [one["body"] for one in said if one["kind"] == kind]


# --- followed -----------------------------------------------------------------------------------------------------------


def test_it_needs_no_token_and_gives_the_file_with_its_hash(instance: Instance, extract: dict[str, Any], address: str) -> None:
    answer = instance.get(address, token=None)
    content = b"".join(answer.streaming_content)
    assert hashlib.sha256(content).hexdigest() == extract["sha256"]
    assert int(answer["Content-Length"]) == len(content) == extract["bytes"]
    assert answer["ETag"] == f'"{extract["sha256"]}"'
    assert answer["Repr-Digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Disposition"] == 'attachment; filename="civil.person-1.csv"'


def test_head_tells_the_same_without_the_bytes(instance: Instance, extract: dict[str, Any], address: str) -> None:
    answer = instance.http.head(address)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer["Content-Length"]) == extract["bytes"]
    assert answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-7", -7, None), ("bytes=0-99999999", 0, None), ("bytes=5-5", 5, 6)],
)
def test_a_part_of_it_can_be_asked_for(
    instance: Instance, extract: dict[str, Any], address: str, asked: str, start: int, end: int | None
) -> None:
    whole = fetched(instance, address)
    answer = instance.get(address, token=None, Range=asked)
    part = b"".join(answer.streaming_content)
    assert answer.status_code == 206
    assert part == whole[start:end]
    first = start if start >= 0 else len(whole) + start
    assert answer["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "lines=1-2", "bytes=9-1", "bytes=-", "nothing"])
def test_what_is_not_one_range_of_bytes_gets_the_whole(instance: Instance, address: str, asked: str) -> None:
    assert instance.get(address, token=None, Range=asked).status_code == 200


def test_a_part_of_another_file_gets_the_whole(instance: Instance, extract: dict[str, Any], address: str) -> None:
    other, same = instance.get(address, token=None, Range="bytes=3-", If_Range='"00"'), f'"{extract["sha256"]}"'
    assert other.status_code == 200
    assert instance.get(address, token=None, Range="bytes=3-", If_Range=same).status_code == 206


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_bytes_that_are_not_there_are_told_so(instance: Instance, extract: dict[str, Any], address: str, asked: str) -> None:
    answer = instance.get(address, token=None, Range=asked)
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{extract['bytes']}")


def test_however_often_it_is_followed_it_is_one_delivery(instance: Instance, address: str) -> None:
    for asked in ("bytes=0-9", "bytes=10-19", "bytes=20-", ""):
        fetched(instance, address, **({"Range": asked} if asked else {}))
    assert len(told(instance, "address-issued")) == len(told(instance, "delivery-begun")) == len(told(instance, "delivery-completed")) == 1
    (body,) = told(instance, "delivery-begun")
    assert (body["actor"], body["post"], body["grant"]) == (ANALYST.person, ANALYST.post, GRANT)
    fetched(instance, given(instance, {"id": body["extract"]}))
    assert len(told(instance, "delivery-begun")) == 2


# --- not followed -------------------------------------------------------------------------------------------------------


def changed(address: str, /, **parts: str) -> str:
    path, query = address.split("?")
    return f"{path}?{urlencode(dict(parse_qsl(query)) | parts)}"


@pytest.mark.parametrize(
    "parts",
    [
        {"signature": "0" * 64},
        {"signature": "汉" * 20},
        {"address": "a-0000000000000000"},
        {"expires": "99999999999"},
    ],
)
def test_a_changed_address_is_none(instance: Instance, address: str, parts: dict[str, str]) -> None:
    assert refused(instance, changed(address, **parts)) == {"address-invalid"}
    assert told(instance, "delivery-refused") == []


def test_an_address_of_one_file_opens_no_other(instance: Instance, extract: dict[str, Any], address: str) -> None:
    other = instance.post("extracts", {"grant": GRANT, "format": "arrow"}).json()
    instance.platform.extracts.run_waiting()
    assert refused(instance, address.replace(extract["id"], other["id"])) == {"address-invalid"}


def test_the_signature_of_one_address_opens_no_other(instance: Instance, extract: dict[str, Any], address: str) -> None:
    first, second = (dict(parse_qsl(urlsplit(one).query)) for one in (address, given(instance, extract)))
    assert first["signature"] != second["signature"]
    assert refused(instance, changed(address, signature=second["signature"])) == {"address-invalid"}


def test_it_serves_for_minutes(instance: Instance, address: str) -> None:
    instance.clock.advance(minutes=14, seconds=59)
    fetched(instance, address)
    instance.clock.advance(seconds=1)
    assert refused(instance, address) == {"address-expired"}


@pytest.mark.parametrize("minutes", [61, 1440])
def test_nobody_gets_one_for_days(instance: Instance, extract: dict[str, Any], minutes: int) -> None:
    answer = instance.post(f"extracts/{extract['id']}/addresses", {"minutes": minutes})
    assert [one["code"] for one in answer.json()["reasons"]] == ["address-minutes-invalid"]


def test_there_is_none_before_the_file_is_ready(instance: Instance) -> None:
    made = instance.post("extracts", {"grant": GRANT}).json()
    answer = instance.post(f"extracts/{made['id']}/addresses", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "extract-not-ready")


ENDS = {
    "the grant is revoked": (lambda instance: instance.revoke(GRANT), {"grant-revoked"}),
    "the grant expires": (lambda instance: instance.clock.advance(days=301), {"address-expired"}),
    "the person leaves the post": (lambda instance: instance.end_post(ANALYST), {"post-ended"}),
    "the grade of an item is raised": (lambda instance: instance.change(raised(PERSON, "salary", Grade.CORE)), {"grant-above-grade"}),
    "the snapshot is removed by law": (
        lambda instance: (
            instance.take_snapshot(PERSON, []),
            instance.stores.catalog.mark_removed(PERSON.id, [1], at=instance.clock()),
        ),
        {"extract-snapshot-removed"},
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_is_refused_at_the_next_call_when(instance: Instance, address: str, end: str) -> None:
    happening, reasons = ENDS[end]
    fetched(instance, address)
    with instance.stores.atomic():
        happening(instance)
    assert refused(instance, address) == refused(instance, address) == reasons
    if reasons != {"address-expired"}:
        (body,) = told(instance, "delivery-refused")  # the first refusal alone is recorded
        assert set(body["reasons"]) == reasons


@pytest.mark.parametrize("end", [end for end in ENDS if end != "the grant expires"])
def test_a_file_under_way_is_cut_when(instance: Instance, extract: dict[str, Any], address: str, end: str) -> None:
    query = dict(parse_qsl(urlsplit(address).query))
    actions = instance.platform.addresses
    seconds = iter(range(0, 1000, 2))  # each look at the clock finds it two seconds later
    object.__setattr__(actions, "monotonic", lambda: float(next(seconds)))
    small = {"piece_bytes": 16}
    object.__setattr__(actions.extracts, "limits", actions.extracts.limits.__class__(**(vars(actions.extracts.limits) | small)))
    delivery = actions.follow(
        extract["id"], address=query["address"], expires=int(query["expires"]), signature=query["signature"]
    )
    pieces = delivery.pieces()
    got = next(pieces)
    with instance.stores.atomic():
        ENDS[end][0](instance)
    with pytest.raises(HuitongError) as cut:
        got += b"".join(pieces)
    assert {reason.code for reason in cut.value.reasons} == ENDS[end][1]
    assert len(got) == 16 < extract["bytes"]
    (body,) = told(instance, "delivery-cut")
    assert (body["bytes"], set(body["reasons"])) == (16, ENDS[end][1])
    assert told(instance, "delivery-completed") == []


def test_what_is_under_way_when_the_address_expires_comes_to_its_end(instance: Instance, extract: dict[str, Any], address: str) -> None:
    query = dict(parse_qsl(urlsplit(address).query))
    delivery = instance.platform.addresses.follow(
        extract["id"], address=query["address"], expires=int(query["expires"]), signature=query["signature"]
    )
    instance.clock.advance(hours=2)
    delivery.look(now=True)
    assert len(b"".join(delivery.pieces())) == extract["bytes"]


def test_the_key_that_signs_is_made_for_an_instance_that_has_none(instance: Instance, extract: dict[str, Any]) -> None:
    (instance.home / "keys" / "extract-address.key").unlink()
    from huitong.keystore import FileKeyStore

    fresh = FileKeyStore(instance.home / "keys")
    object.__setattr__(instance.platform.addresses, "key", lambda: fresh.secret_or_made("extract-address"))
    fetched(instance, given(instance, extract))
    assert (instance.home / "keys" / "extract-address.key").exists()


def test_forgotten_addresses_are_none(instance: Instance, address: str) -> None:
    instance.clock.advance(minutes=20)
    instance.platform.extracts.sweep()
    assert refused(instance, address) == {"address-expired"}
    instance.clock.advance(days=7)
    instance.platform.extracts.sweep()
    assert refused(instance, address) == {"address-invalid"}
