"""A notice says that something happened, by ids and codes: never words that people wrote, never a person."""

from datetime import UTC, datetime

import pytest

from huitong.errors import InputInvalid
from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Role
from huitong.sharing.ports import NoBoard
from huitong.testing import MemoryStores

NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)
OFFICE = "gz-civil-affairs"


def notice(**about: str) -> Notice:
    return Notice(kind=NoticeKind.GRANT_MADE, at=NOW, about=about, to_roles=((OFFICE, Role.ANALYST),))


def test_ids_codes_and_days_may_be_told() -> None:
    told = notice(grant="G-2026-000001", dataset="civil.low_income", until="2027-06-30", percent="80", case="urn:uuid:3f/2%")
    assert told.offices == (OFFICE,)


@pytest.mark.parametrize("written", ["请尽快办理", "we need it soon", "", "x" * 201, "52010219900101 123X", "a\nb"])
def test_words_that_people_wrote_may_not(written: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        notice(reason=written)
    assert caught.value.reasons[0].code == "notice-about-words"


@pytest.mark.parametrize("name", ["person", "applicant", "words", "post"])
def test_persons_may_not_be_named(name: str) -> None:
    with pytest.raises(InputInvalid):
        notice(**{name: "wang"})


def test_a_notice_to_nobody_is_none() -> None:
    with pytest.raises(InputInvalid) as caught:
        Notice(kind=NoticeKind.GRANT_MADE, at=NOW, about={"grant": "G-2026-000001"})
    assert caught.value.reasons[0].code == "notice-to-nobody"


def test_systems_of_an_office_are_told_once() -> None:
    told = Notice(
        kind=NoticeKind.GRANT_MADE, at=NOW, about={}, to_roles=((OFFICE, Role.ANALYST), (OFFICE, Role.REVIEWER)), to_offices=("x", OFFICE)
    )
    assert told.offices == (OFFICE, "x")


def test_types_between_systems_are_dotted() -> None:
    assert NoticeKind.GRANT_MADE.type == "grant.made"
    assert NoticeKind.QUOTA_NEARLY_USED.type == "quota.nearly_used"
    assert len({kind.type for kind in NoticeKind}) == len(NoticeKind)


def test_a_change_that_is_undone_told_nobody() -> None:
    stores = MemoryStores()
    with stores.atomic():
        stores.notices.post(notice(grant="G-2026-000001"))
    with pytest.raises(RuntimeError), stores.atomic():
        stores.notices.post(notice(grant="G-2026-000002"))
        raise RuntimeError
    assert [one.about["grant"] for one in stores.notices.posted] == ["G-2026-000001"]
    NoBoard().post(notice(grant="G-2026-000003"))
