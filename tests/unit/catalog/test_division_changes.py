"""A province's own file of changes: what it does, and every way in which it can be wrong."""

from datetime import date

import pytest

from huitong.catalog.divisions import Divisions, load_divisions
from huitong.catalog.succession import ChangeKind, DivisionChange, apply_changes, read_changes, refuse_if_closed
from huitong.errors import Conflict, InputInvalid
from huitong.model.codes import credit_code_check_character
from huitong.model.party import DivisionLevel, Office
from huitong.model.text import BilingualText

PLACE = """code,name,level,parent,valid_from
520000000000,贵州省,province,,2000-01-01
520100000000,贵阳市,city,520000000000,2000-01-01
520101000000,甲县,county,520100000000,2000-01-01
520101001000,甲一镇,township,520101000000,2000-01-01
520101002000,甲二镇,township,520101000000,2000-01-01
520102000000,乙县,county,520100000000,2000-01-01
520102001000,乙一镇,township,520102000000,2000-01-01
520200000000,六盘水市,city,520000000000,2000-01-01
"""
DAY = date(2027, 1, 1)
AFTER = date(2027, 6, 1)


@pytest.fixture
def place() -> Divisions:
    return load_divisions(PLACE)


def changed(place: Divisions, text: str) -> Divisions:
    """The place after the changes of a file."""
    outcome = apply_changes(place, read_changes(text))
    put = {division.code: division for division in outcome.put}
    return Divisions((*(put.pop(one.code, one) for one in place.every()), *put.values()))


def faults(place: Divisions, text: str) -> list[str]:
    """The codes of what is wrong with a file."""
    with pytest.raises(InputInvalid) as caught:
        apply_changes(place, read_changes(text))
    return [reason.code for reason in caught.value.reasons]


def test_a_file_is_read_with_a_mark_blanks_and_any_order_of_columns() -> None:
    text = "\ufeffday, kind ,old,new,name,level,parent\r\n2027-01-01, renamed ,520101000000,520181000000,甲市,,\r\n"
    assert read_changes(text) == (DivisionChange("520101000000", "520181000000", DAY, ChangeKind.RENAMED, "甲市"),)


def test_a_county_becomes_a_city_and_what_lies_below_ends_with_it(place: Divisions) -> None:
    text = "old,new,day,kind,name\n520101000000,520181000000,2027-01-01,renamed,甲市\n520101001000,520181001000,2027-01-01,renamed,\n"
    outcome = apply_changes(place, read_changes(text))
    assert set(outcome.ended) == {"520101000000", "520101001000", "520101002000"}
    assert outcome.begun == ("520181000000", "520181001000") and outcome.renamed == ()
    after = changed(place, text)
    new = after.get("520181001000")
    assert new.parent == "520181000000" and new.name == "甲一镇" and new.level is DivisionLevel.TOWNSHIP and new.valid_from == DAY
    assert after.get("520101001000").successors == ("520181001000",) and after.get("520101001000").valid_to == DAY
    assert after.get("520101002000").valid_to == DAY and after.get("520101002000").successors == ()
    assert after.get("520181000000").name == "甲市"
    assert after.codes_under("520101000000", AFTER, agreed=date(2026, 1, 1)) == {
        "520101000000",
        "520101001000",
        "520101002000",
        "520181000000",
        "520181001000",
    }


def test_another_name_under_the_same_code(place: Divisions) -> None:
    text = "old,new,day,kind,name\n520102001000,520102001000,2027-01-01,renamed,乙一街道\n"
    outcome = apply_changes(place, read_changes(text))
    assert outcome.renamed == ("520102001000",) and outcome.ended == outcome.begun == ()
    assert changed(place, text).search("乙一街道")[1] == 1


def test_merged_into_one_that_exists_and_into_a_new_one(place: Divisions) -> None:
    into_the_other = "old,new,day,kind\n520101000000,520102000000,2027-01-01,merged\n"
    after = changed(place, into_the_other)
    assert {"520101000000", "520101001000"} < after.codes_under("520102000000", AFTER)
    into_a_new_one = (
        "old,new,day,kind,name,level,parent\n"
        "520101000000,520103000000,2027-01-01,merged,丙区,county,520100000000\n"
        "520102000000,520103000000,2027-01-01,merged,,,\n"
    )
    after = changed(place, into_a_new_one)
    assert after.get("520103000000").name == "丙区" and len(after.predecessors("520103000000")) == 2


def test_split_and_moved(place: Divisions) -> None:
    text = (
        "old,new,day,kind,name,level,parent\n"
        "520101000000,520103000000,2027-01-01,split,丙县,county,520100000000\n"
        "520101000000,520102000000,2027-01-01,split,,,\n"
        "520101001000,520103001000,2027-01-01,renamed,,,520103000000\n"
        "520101002000,520102002000,2027-01-01,moved,,,520102000000\n"
    )
    after = changed(place, text)
    assert after.get("520101000000").successors == ("520102000000", "520103000000")
    assert "520102002000" in after.codes_under("520102000000", AFTER)
    assert "520102002000" not in after.codes_under("520102000000", AFTER, agreed=date(2026, 1, 1))


def test_a_county_moves_to_another_city(place: Divisions) -> None:
    text = "old,new,day,kind,parent\n520102000000,520221000000,2027-01-01,moved,520200000000\n"
    after = changed(place, text)
    assert "520221000000" in after.codes_under("520200000000", AFTER)
    assert "520102001000" in after.codes_under("520200000000", AFTER), "its townships of before came with it"
    assert "520102001000" not in after.codes_under("520100000000", AFTER)


def test_changes_of_several_days_come_one_after_the_other(place: Divisions) -> None:
    text = "old,new,day,kind,name\n520181000000,520111000000,2028-01-01,renamed,甲区\n520101000000,520181000000,2027-01-01,renamed,甲市\n"
    after = changed(place, text)
    assert [one.name for one in after.successors("520101000000", date(2029, 1, 1))] == ["甲区"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "change-column-missing"),
        ("old,new,day\n", "change-column-missing"),
        ("old,new,day,kind,colour\n", "change-column-unknown"),
        ("old,new,day,kind\n", "change-file-empty"),
        ("old,new,day,kind\n520101000000,520181000000\n", "change-row-ragged"),
        ("old,new,day,kind\n520101000000,520181000000,2027-01-01,renamed,x\n", "change-row-ragged"),
        ("old,new,day,kind\n520101,520181000000,2027-01-01,renamed\n", "change-code-invalid"),
        ("old,new,day,kind\n520101000000,５２０１８１００００００,2027-01-01,renamed\n", "change-code-invalid"),
        ("old,new,day,kind\n520101000000,520181000000,1 Jan,renamed\n", "change-day-invalid"),
        ("old,new,day,kind\n520101000000,520181000000,2027-01-01,eaten\n", "change-kind-unknown"),
        ("old,new,day,kind,level\n520101000000,520181000000,2027-01-01,renamed,planet\n", "change-level-unknown"),
        ("old,new,day,kind\n529999000000,520181000000,2027-01-01,renamed\n", "change-division-unknown"),
        ("old,new,day,kind\n520101000000,520181000000,1999-01-01,renamed\n", "change-division-not-in-force"),
        ("old,new,day,kind\n520101000000,520181000000,2000-01-01,renamed\n", "change-division-not-in-force"),
        ("old,new,day,kind\n520101000000,520102000000,2027-01-01,renamed\n", "change-kind-unfit"),
        ("old,new,day,kind\n520101000000,520181000000,2027-01-01,merged\n", "change-kind-unfit"),
        ("old,new,day,kind\n520101000000,520181000000,2027-01-01,split\n", "change-kind-unfit"),
        ("old,new,day,kind\n520101000000,520181000000,2027-01-01,moved\n", "change-kind-unfit"),
        ("old,new,day,kind,parent\n520101000000,520221000000,2027-01-01,renamed,520200000000\n", "change-kind-unfit"),
        ("old,new,day,kind\n520102001000,520102001000,2027-01-01,renamed\n", "change-kind-unfit"),
        ("old,new,day,kind,name\n520102001000,520102001000,2027-01-01,moved,x\n", "change-kind-unfit"),
        ("old,new,day,kind\n" + "520101000000,520181000000,2027-01-01,renamed\n" * 2, "change-twice"),
        ("old,new,day,kind,parent\n520101000000,520221000000,2027-01-01,moved,529900000000\n", "change-parent-not-in-force"),
        ("old,new,day,kind,parent\n520101000000,520221000000,2027-01-01,moved,520102001000\n", "change-parent-not-above"),
        (
            "old,new,day,kind\n520101000000,520181000000,2027-01-01,renamed\n520181000000,520182000000,2027-01-01,renamed\n",
            "change-in-a-row",
        ),
        (
            "old,new,day,kind\n520101000000,520181000000,2027-01-01,renamed\n520101000000,520182000000,2027-06-01,renamed\n",
            "change-division-not-in-force",
        ),
        (
            "old,new,day,kind\n520101000000,520181000000,2027-01-01,renamed\n520181000000,520101000000,2028-01-01,renamed\n",
            "change-code-used-before",
        ),
        (
            "old,new,day,kind,name,level,parent\n520101000000,520103000000,2027-01-01,merged,丙区,county,520100000000\n"
            "520102000000,520103000000,2027-01-01,merged,丁区,,\n",
            "change-rows-disagree",
        ),
        (
            "old,new,day,kind\n520101000000,520103000000,2027-01-01,merged\n520102000000,520103000000,2027-01-01,merged\n",
            "change-new-incomplete",
        ),
        (
            "old,new,day,kind,name,parent\n520101000000,520102000000,2027-01-01,merged,,\n"
            "520102001000,520101003000,2027-01-01,moved,,520101000000\n",
            "change-parent-not-in-force",
        ),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_changed(place: Divisions, text: str, code: str) -> None:
    before = list(place.every())
    assert code in faults(place, text)
    assert list(place.every()) == before


def test_many_faults_are_told_up_to_a_hundred(place: Divisions) -> None:
    text = "old,new,day,kind\n" + "520101,520181000000,2027-01-01,renamed\n" * 300
    assert len(faults(place, text)) == 101 and faults(place, text)[-1] == "change-more-faults"


def test_a_division_that_ended_cannot_change_once_more(place: Divisions) -> None:
    after = changed(place, "old,new,day,kind\n520101000000,520181000000,2027-01-01,renamed\n")
    for text in (
        "old,new,day,kind\n520101000000,520182000000,2028-01-01,renamed\n",
        "old,new,day,kind\n520102000000,520101000000,2028-01-01,renamed\n",
    ):
        with pytest.raises(InputInvalid):
            apply_changes(after, read_changes(text))
    planned = "old,new,day,kind\n520101000000,520182000000,2026-06-01,renamed\n"
    assert faults(after, planned) == ["change-division-ends-already"], "it ends by a change that is entered already"


def test_a_closed_office_is_told_with_its_successor() -> None:
    first = "11520000000000001"
    office = Office(
        "gz-old",
        BilingualText(zh="旧厅", en="Old"),
        "520000000000",
        DivisionLevel.PROVINCE,
        first + credit_code_check_character(first),
        valid_to=DAY,
        successor="gz-new",
    )
    refuse_if_closed(office, date(2026, 12, 31))
    refuse_if_closed(None, DAY)
    with pytest.raises(Conflict) as caught:
        refuse_if_closed(office, DAY)
    assert caught.value.reasons[0].parameters == {"office": "gz-old", "since": "2027-01-01", "successor": "gz-new"}
