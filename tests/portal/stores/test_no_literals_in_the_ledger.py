"""What people typed and values of conditions stand in no entry of the ledger: only their salted hashes, which can be shown and erased."""

import ast
import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.portal.examples import ANALYST, CITY, CIVIL, HOUSEHOLDS, MEDICAL, PROVINCE, REVIEWER, Example, snapshot
from tests.portal.stores.test_records import ORIGIN, House, wall_clock

from huitong.errors import NotFound
from huitong.keystore import LEDGER_LITERALS, FileKeyStore
from huitong.ledger.audit import audit
from huitong.ledger.cross_check import cross_check
from huitong.ledger.literals import Literals, literal_digest
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.model.policy import Comparator, Comparison, GrantState
from huitong.model.sharing import Request
from huitong.portal.accounts.actions import Accounts
from huitong.portal.accounts.people import NewPerson
from huitong.sharing.actions import SharingActions
from huitong.sharing.succession import SuccessionActions
from huitong.testing import MemorySideTables

pytestmark = pytest.mark.slow

RESIDENT, NAME = "520102199003078515", "canary-赵敏"
WEAKER = ("resident_id",)
"""A condition tells of its item, so that a reviewer agrees to it expressly."""
WORDS = f"About {NAME}, {RESIDENT}"
SECOND = replace(REVIEWER, person="zhou", post="zhou@gz-civil-affairs")
OPERATOR = Actor("shi", "石", "shi@gz-medical-security", MEDICAL.id, PROVINCE, frozenset({Role.OPERATOR, Role.REGULATOR}))


@pytest.fixture
def house(example: Example, tmp_path: Path) -> House:
    stores = example.stores
    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create()
    literals = Literals(stores.ledger, lambda: keystore.secret_or_made(LEDGER_LITERALS))
    ledger = Ledger(stores.ledger, keystore, wall_clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300, literals=literals)
    sharing = SharingActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=ledger,
        divisions=stores.divisions,
        side_tables=MemorySideTables(),
        clock=wall_clock,
        time_zone="Asia/Shanghai",
    )
    return House(stores, ledger, Sequencer(stores.ledger, keystore, wall_clock, origin=ORIGIN), sharing)


def payloads(house: House) -> list[str]:
    house.sequencer.fold_all()
    return [promise.payload.decode() for promise in house.stores.ledger.entries(0, house.stores.ledger.size())]


def whole(house: House) -> bool:
    return audit(house.stores.ledger, house.ledger.vkeys()).ok and cross_check(house.stores.ledger, house.stores.records) == ()


def asked(house: House) -> str:
    """A request for the rows of one named person, and of some others."""
    condition = [Comparison("resident_id", Comparator.IN, (RESIDENT, "520102199003078523")), Comparison("amount", Comparator.KNOWN)]
    wish = house.sharing.wish(
        HOUSEHOLDS.id,
        purpose="medical-security",
        legal_basis="Measures on medical assistance, article 9",
        items=[("amount", None), ("resident_id", None)],
        until=(wall_clock() + timedelta(days=5)).date(),
        division=CITY,
        condition=condition,
    )
    return house.sharing.submit(wish, by=ANALYST).id


def agreed(house: House, request: str) -> Request:
    """Agreed to by both reviewers, as data of this grade asks for."""
    for reviewer in (REVIEWER, SECOND):
        found = house.sharing.approve(request, by=reviewer, words=WORDS, weaker_masks=WEAKER)
    return found


def test_a_life_of_requests_and_grants_leaves_no_value_and_no_word_in_the_ledger(house: House) -> None:
    house.sharing.take_snapshot(snapshot(1), by=REVIEWER)
    refused, withdrawn, granted = asked(house), asked(house), asked(house)
    house.sharing.refuse(refused, by=REVIEWER, reason="refused-personal-information", words=WORDS)
    house.sharing.ask_supplement(granted, by=REVIEWER, words=WORDS)
    house.sharing.supplement(granted, by=ANALYST, words=WORDS, wish=house.sharing.request(granted, by=ANALYST).wish)
    house.sharing.withdraw(withdrawn, by=ANALYST, words=WORDS)
    request = agreed(house, granted)
    grant = house.sharing.grant_of(request)
    assert grant is not None
    assert grant.terms.salt is not None
    house.sharing.prepare(grant.id)
    until = (wall_clock() + timedelta(days=200)).date()
    agreed(house, house.sharing.extend(grant.id, until=until, by=ANALYST).id)
    house.sharing.revoke(grant.id, by=REVIEWER, words=WORDS)
    told = "\n".join(payloads(house))
    assert EntryKind.GRANT_EXTENDED.value in told
    assert EntryKind.GRANT_REVOKED.value in told
    assert RESIDENT not in told
    assert NAME not in told
    assert grant.terms.salt not in told, "who has the ledger alone must not be able to try values"
    assert whole(house)


def test_a_grant_that_moves_with_its_office_is_still_the_same_agreement(house: House) -> None:
    request = agreed(house, asked(house))
    grant = house.sharing.grant_of(request)
    assert grant is not None
    house.sharing.prepare(grant.id)
    stores = house.stores
    succession = SuccessionActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        divisions=stores.divisions,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=house.ledger,
        clock=wall_clock,
        time_zone="Asia/Shanghai",
    )
    succession.succeed_office(MEDICAL.id, CIVIL.id, on=wall_clock().date() - timedelta(days=1), words=WORDS, by=OPERATOR)
    told = "\n".join(payloads(house))
    assert NAME not in told
    assert RESIDENT not in told
    assert whole(house)


def test_the_holder_of_a_grant_can_show_which_values_its_entry_means(house: House) -> None:
    grant = house.sharing.grant_of(agreed(house, asked(house)))
    assert grant is not None
    assert grant.terms.salt is not None
    made = next(json.loads(one)["body"] for one in payloads(house) if '"kind":"grant-made"' in one)
    assert made["terms_hash"] == grant.terms_hash, "the hash is that of the whole terms, as the grant's document has them"
    sealed = next(one["values"]["sealed"] for one in made["terms"]["condition"] if one["item"] == "resident_id")
    shown = {"comparator": "in", "item": "resident_id", "values": sorted([RESIDENT, "520102199003078523"])}
    text = json.dumps(shown, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert sealed == literal_digest(text, grant.terms.salt)
    kept = house.stores.sharing.grant(grant.id)
    assert kept is not None
    assert (kept.terms.salt, kept.state) == (grant.terms.salt, GrantState.PREPARING)


def test_the_acts_of_accounts_leave_no_word_in_the_ledger(house: House, tmp_path: Path) -> None:
    keystore = FileKeyStore(tmp_path / "keys")
    accounts = Accounts(stores=house.stores, ledger=house.ledger, keystore=keystore, clock=wall_clock)
    people = [NewPerson(name, "某", MEDICAL.id, frozenset({Role.ANALYST})) for name in ("sun", "chen")]
    accounts.register_people(people, by=OPERATOR)
    accounts.issue_token("sun@gz-medical-security", by=OPERATOR, words=WORDS, label=NAME)
    accounts.move("sun@gz-medical-security", office=CIVIL.id, words=WORDS, by=OPERATOR)
    accounts.leave("chen", by=OPERATOR, words=WORDS)
    accounts.link_identity("sun", issuer="https://sso.example.gov.cn", subject=NAME, by=OPERATOR, words=WORDS)
    with house.stores.atomic():
        house.ledger.change_key(keystore=keystore, overlap_seconds=300, body={"by": "shi"})
    told = "\n".join(payloads(house))
    assert told.count('"sealed":') == 4
    assert NAME not in told
    assert RESIDENT not in told


def test_a_literal_is_shown_with_its_salt_and_once_erased_the_ledger_holds_as_before(house: House, tmp_path: Path) -> None:
    keystore = FileKeyStore(tmp_path / "keys")
    accounts = Accounts(stores=house.stores, ledger=house.ledger, keystore=keystore, clock=wall_clock)
    accounts.register_people([NewPerson("sun", "某", MEDICAL.id, frozenset({Role.ANALYST}))], by=OPERATOR)
    accounts.leave("sun", by=OPERATOR, words=WORDS)
    body = next(json.loads(one)["body"] for one in payloads(house) if '"kind":"person-left"' in one)
    found = house.ledger.literals.show(body["words"]["sealed"])
    assert found.text == WORDS
    assert sha256(f"huitong-literal/1\n{found.salt}\n{found.text}".encode()).hexdigest() == found.digest
    assert house.ledger.literals.erase_holding("5201 0219 9003 0785 15") == 1, "who is erased is erased here too"
    with pytest.raises(NotFound):
        house.ledger.literals.show(found.digest)
    assert whole(house)


def test_every_body_of_an_entry_gives_words_as_literals() -> None:
    """Words, reasons in words and cases: in the sources no body of an entry holds them as they are."""
    free, source = {"words", "why", "said", "because_words"}, Path(__file__).parents[3] / "src" / "huitong"
    wrong = []
    for file in sorted(source.rglob("*.py")):
        text = file.read_text("utf-8")
        if "EntryKind." not in text and "self.ledger.append" not in text and "_log_change" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                plain = not (isinstance(value, ast.Call) and getattr(value.func, "id", "") == "Literal")
                if isinstance(key, ast.Constant) and key.value in free and plain:
                    wrong.append(f"{file.name}:{node.lineno}")
    assert wrong == []
