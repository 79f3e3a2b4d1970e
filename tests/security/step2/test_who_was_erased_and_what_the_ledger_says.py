"""A person who was taken out is out of every snapshot that is kept; and the ledger tells all of it, but not who it was."""

from dataclasses import replace
from datetime import date

import pyarrow.parquet as parquet
import pytest
from tests.spec.sharing.world import CIVIL, CIVIL_OFFICER, LOW_INCOME, MEDICAL, OFFICES, OPERATOR, World
from tests.unit.intake.test_loading_actions import DATASET, OFFICER, Place, resident_id

from huitong.errors import Conflict, InputInvalid
from huitong.intake.actions import IntakeActions
from huitong.intake.load import LoadOptions
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.text import BilingualText

NUMBER = Item("number", BilingualText("身份证号", "number"), ItemType.TEXT, Grade.SENSITIVE, "resident-id")


def rename_the_item(place: Place) -> None:
    """The item that holds resident numbers is called otherwise from now on."""
    entry = replace(DATASET, items=(NUMBER, *DATASET.items[1:]), key="number", primary_key=("number",))
    with place.stores.atomic():
        place.stores.catalog.put_dataset(entry, index={})
    place.file.write_text("number,amount,helper\n" + "".join(f"{resident_id(n)},{n},x\n" for n in range(3)), "utf-8")
    allowed = frozenset({"resident", "number", "primary-key"})
    place.intake.load(DATASET.id, place.file, by=OFFICER, options=LoadOptions(allow_changes=allowed))


def erase(place: Place, identifier: str, words: str = "court order 7") -> object:
    return place.intake.erase_person(
        datasets=[DATASET.id], identifier=identifier, legal_basis="PIPL art. 47", words=words, by=OFFICER
    )


def test_a_person_is_erased_from_snapshots_in_which_the_item_had_another_name(place: Place) -> None:
    place.load(range(3))
    rename_the_item(place)
    erase(place, resident_id(1))
    kept = [one for one in place.stores.catalog.snapshots(DATASET.id) if one.removed_at is None]
    assert [one.rows for one in kept] == [2, 2]
    held = {file for one in kept for file in place.lake.absolute([part.path for part in one.files])}
    assert held == set(place.lake.folder.glob("tables/*/*.parquet")), "no other file is left"


def test_every_snapshot_that_an_erasure_writes_is_in_the_ledger(place: Place) -> None:
    """Else the audit would call the truth a forgery."""
    for last in (3, 4, 5):
        place.load(range(last))
    erase(place, resident_id(1))
    told = {body["version"]: body.get("rows") for kind, body in place.ledger.written if kind is EntryKind.SNAPSHOT_TAKEN}
    snapshots = place.stores.catalog.snapshots(DATASET.id)
    assert len(snapshots) == 6
    assert {one.version for one in snapshots} == set(told)
    assert [told[version] for version in (3, 4)] == [2, 3]


@pytest.mark.parametrize("spread", [" ".join, "-".join, "".join], ids=["spaced", "hyphened", "plain"])
def test_the_words_of_an_erasure_name_the_person_in_no_spelling(place: Place, spread) -> None:
    place.load(range(3))
    person = resident_id(1)
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in person)
    for spelling in (spread([person[:6], person[6:14], person[14:]]).lower(), spread(wide)):
        with pytest.raises(InputInvalid) as caught:
            erase(place, person, words=f"about {spelling}")
        assert caught.value.reasons[0].code == "erasure-words-identify"


def test_the_ledger_says_which_items_need_less_protection_than_before() -> None:
    """One person who publishes and reviews could lower a grade, agree alone, and raise it again: that much is told."""
    world = World().publish_all()
    number, name, *others = LOW_INCOME.items
    low = (replace(number, grade=Grade.SENSITIVE, meaning=None), replace(name, grade=Grade.HIGHLY_SENSITIVE), *others)
    world.catalog.publish(replace(LOW_INCOME, items=low), by=CIVIL_OFFICER)
    assert world.ledger.written[-1][1]["lowered"] == [["person_id", 4, 3, "resident-id", None]]
    world.catalog.publish(LOW_INCOME, by=CIVIL_OFFICER)
    assert world.ledger.written[-1][1]["lowered"] == [["name", 4, 3, "person-name", "person-name"]]


def test_a_list_of_offices_that_is_entered_again_opens_no_closed_office() -> None:
    world = World().publish_all()
    civil = OFFICES[0]
    closed = replace(civil, valid_to=date(2026, 11, 1), successor=MEDICAL)
    world.stores.parties.put_office(closed)
    world.catalog.register_office(civil, by=OPERATOR)
    assert world.stores.parties.office(CIVIL) == closed
    asks = replace(CIVIL_OFFICER, roles=frozenset({Role.ANALYST}))
    with pytest.raises(Conflict) as caught:
        world.ask(LOW_INCOME, "village", by=asks)
    assert caught.value.reasons[0].code == "office-closed"


def test_what_a_killed_load_left_is_gone_with_the_person(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was written to the lake and never taken: nobody can read it, but it holds the person all the same."""
    place.load(range(3))
    with monkeypatch.context() as killed:
        killed.setattr(IntakeActions, "_discard", lambda *_about: None)
        place.taker.fails = True
        with pytest.raises(OSError, match="space"):
            place.load(range(10, 13))
    place.taker.fails = False
    assert place.lake.versions(DATASET.id) == (0, 1)
    erase(place, resident_id(11))
    files = place.lake.folder.glob("tables/*/*.parquet")
    assert {one for file in files for one in parquet.read_table(file)["resident"].to_pylist()} == place.residents(0)
    assert place.lake.versions(DATASET.id) == (0,)
