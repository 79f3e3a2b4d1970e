"""Time stamps of checkpoints (RFC 3161): a service that has nothing to do with the ledger says when it was there already.

The service here is `openssl ts -reply` behind a small server, and `openssl ts -verify` checks what is kept: two programs that we did
not write.
"""

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.ledger.ledger_kit import Instance
from tests.unit.ledger.stamp_service import Service, make_authority, openssl, served

from huitong.errors import HuitongError, InputInvalid
from huitong.ledger.stamping import Stamper, StampService, certificates_of, parse_services, stamp_faults, stamp_limits
from huitong.ledger.verify import verify_receipt
from huitong.model.ledger import KeptStamp

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture
def service(authority: Path) -> Service:
    return Service(authority.parent)


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    with served(service) as url:
        yield url


@pytest.fixture
def instance() -> Instance:
    made = Instance()
    made.clock.now = datetime.now(UTC)
    made.use("q-1")
    made.sequencer.fold_all()
    return made


@pytest.fixture
def trusted(authority: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / "ours.pem").write_text(authority.read_text())
    return folder


def stamper(instance: Instance, url: str, trusted: Path, seconds: float = 30.0) -> Stamper:
    services = (StampService("ours", url),)
    return Stamper(instance.store, instance.clock, services=services, certificates=trusted, every_seconds=3600, seconds=seconds)


def stamped(instance: Instance, url: str, trusted: Path, seconds: float = 30.0) -> KeptStamp | HuitongError:
    ((_, found),) = stamper(instance, url, trusted, seconds).stamp_due()
    return found


def test_a_checkpoint_is_stamped_and_openssl_agrees(
    instance: Instance, address: str, trusted: Path, authority: Path, tmp_path: Path
) -> None:
    found = stamped(instance, address, trusted)
    assert isinstance(found, KeptStamp)
    checkpoint = instance.store.latest_checkpoint()
    assert checkpoint is not None
    assert found.size == checkpoint.size
    assert abs(found.at - instance.clock.now) < timedelta(seconds=60)
    (tmp_path / "it.checkpoint").write_text(checkpoint.note, "utf-8")
    (tmp_path / "it.tsr").write_bytes(found.answer)
    checked = ("ts", "-verify", "-data", tmp_path / "it.checkpoint", "-in", tmp_path / "it.tsr", "-CAfile", authority)
    assert "Verification: OK" in openssl(*checked)
    (tmp_path / "it.checkpoint").write_text(checkpoint.note.replace("\n2\n", "\n3\n"), "utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*checked)


def test_a_receipt_brings_the_stamp_and_the_proof_that_the_stamped_checkpoint_goes_on_from_its_own(
    instance: Instance, address: str, trusted: Path, authority: Path
) -> None:
    first = [promise.entry for promise in instance.store.entries(0, 2)]
    certificates = authority.read_text()
    asked: dict[str, Any] = {"log_key": instance.vkey, "tsa_certificates": certificates}
    bare = instance.ledger.receipt(first)
    assert "stamped" not in bare
    finding = verify_receipt(bare, **asked)
    assert (finding.ok, [step.code for step in finding.steps if step.name == "stamp"]) == (False, ["receipt-stamp-none"])
    instance.clock.advance(seconds=1)
    for number in range(5):
        instance.act(number)
    instance.sequencer.fold_all()
    assert isinstance(stamped(instance, address, trusted), KeptStamp)
    receipt = instance.ledger.receipt(first)
    assert len(receipt["stamped"]["consistency"]) > 0
    finding = verify_receipt(receipt, **asked)
    assert finding.ok, [step.detail for step in finding.steps]
    (step,) = [step for step in finding.steps if step.name == "stamp"]
    assert (step.parameters["size"], step.parameters["service"]) == (7, "CN=Test time stamps")
    assert verify_receipt(receipt, log_key=instance.vkey).ok, "who asks for no stamp needs no certificates and no library"

    part = receipt["stamped"]
    answer = base64.b64decode(part["stamps"][0]["answer"])
    changed = answer[:-20] + bytes([answer[-20] ^ 1]) + answer[-19:]
    tampered = [
        {**part, "consistency": part["consistency"][1:]},
        {**part, "checkpoint": part["checkpoint"].replace("\n7\n", "\n6\n")},
        {**part, "stamps": []},
        {**part, "stamps": [{"service": "ours", "answer": base64.b64encode(changed).decode()}]},
        {**part, "stamps": [{"service": "ours", "answer": "####"}, 7]},
        {**part, "stamps": 7},
        7,
    ]
    for other in tampered:
        assert not verify_receipt({**receipt, "stamped": other}, **asked).ok
    other_root = make_authority(authority.parent.parent / f"other-{id(instance)}").read_text()
    assert not verify_receipt(receipt, log_key=instance.vkey, tsa_certificates=other_root).ok
    assert not verify_receipt(receipt, log_key=instance.vkey, tsa_certificates="no certificates").ok


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        ("redirect", "ledger-stamp-unanswered"),
        ("slow", "ledger-stamp-unanswered"),
        ("long", "ledger-stamp-unanswered"),
        ("page", "ledger-stamp-unanswered"),
        ("refused", "ledger-stamp-unanswered"),
        ("nonsense", "ledger-stamp-broken"),
    ],
)
def test_a_service_that_answers_wrongly_leaves_no_stamp_and_stops_nothing(
    instance: Instance, service: Service, address: str, trusted: Path, mood: str, code: str
) -> None:
    service.mood = mood
    found = stamped(instance, address, trusted, 0.5 if mood == "slow" else 30.0)
    assert isinstance(found, HuitongError)
    assert found.reasons[0].code == code
    assert instance.store.last_stamps() == []
    instance.use("q-2")
    instance.sequencer.fold_all()


def test_a_service_that_is_away_is_asked_again_later_and_the_others_all_the_same(
    instance: Instance, service: Service, address: str, trusted: Path
) -> None:
    (trusted / "away.pem").write_text((trusted / "ours.pem").read_text())
    services = (StampService("away", "http://127.0.0.1:1/"), StampService("ours", address))
    asking = Stamper(instance.store, instance.clock, services=services, certificates=trusted, every_seconds=3600, seconds=30.0)
    (away, failed), (ours, kept) = asking.stamp_due()
    assert (away.name, ours.name) == ("away", "ours")
    assert isinstance(failed, HuitongError)
    assert isinstance(kept, KeptStamp)
    assert asking.stamp_due() == [], "neither at once again"
    instance.clock.advance(seconds=stamp_limits().again_seconds + 1)
    assert [one.name for one, _ in asking.stamp_due()] == ["away"]
    instance.use("q-2")
    instance.sequencer.fold_all()
    assert service.asked == 1


def test_an_answer_to_another_question_or_from_another_time_is_not_kept(
    instance: Instance, service: Service, address: str, trusted: Path
) -> None:
    assert isinstance(stamped(instance, address, trusted), KeptStamp)
    instance.store.kept_stamps.clear()
    service.mood = "again"  # the same checkpoint, another nonce
    old = stamped(instance, address, trusted)
    assert isinstance(old, HuitongError)
    assert old.reasons[0].code == "ledger-stamp-broken"
    service.mood = "well"
    instance.clock.advance(days=1)
    late = stamped(instance, address, trusted)
    assert isinstance(late, HuitongError)
    assert late.reasons[0].code == "ledger-stamp-clock"


def test_the_audit_names_a_kept_stamp_that_does_not_hold(instance: Instance, address: str, trusted: Path) -> None:
    kept = stamped(instance, address, trusted)
    assert isinstance(kept, KeptStamp)

    def certificates(name: str) -> str:
        return certificates_of(name, trusted)

    assert stamp_faults(instance.store, certificates) == []
    instance.store.kept_stamps[kept.size, "ours"] = replace(kept, at=kept.at - timedelta(days=1))
    assert [fault.code for fault in stamp_faults(instance.store, certificates)] == ["audit-stamp-broken"]


@pytest.mark.parametrize(
    "written",
    ["ours", "ours=ftp://a/", "Ours=http://a/", "a=http://a/,a=http://b/", "a=http://user@a/", "a=http://", "a=http://a b/", "=http://a/"],
)
def test_a_setting_that_cannot_be_read_is_refused(written: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        parse_services(written)
    assert refusal.value.reasons[0].code == "ledger-stamp-setting-invalid"


def test_without_the_library_or_certificates_it_says_so(
    instance: Instance, address: str, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, found),) = stamper(instance, address, tmp_path / "none").stamp_due()
    assert isinstance(found, HuitongError)
    assert found.reasons[0].code == "ledger-stamp-certificates-missing"
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    found = stamped(instance, address, trusted)
    assert isinstance(found, HuitongError)
    assert found.reasons[0].code == "ledger-stamp-library-missing"
