"""One grant, every door: whichever way an office takes to the rows of a grant, it gets the same rows, or the same refusal.

Each situation is a sentence; each door meets all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.spec.doors.doors_world import ALL_CLEAR, Instance, raised
from tests.spec.doors.doors_world import nanming as nanming_without_key
from tests.spec.doors.list_of_doors import DOORS, KEYED_DOORS, Outcome, Wanted, only_with_key
from tests.spec.governed.governed_world import (
    CANARY_NUMBERS,
    CLEAR,
    COUNTY,
    HIDE,
    NOW,
    PERSON,
    PSEUDONYM,
    SURNAME_ONLY,
    WEATHER_GRANT,
    YEAR,
    make_grant,
)

from huitong.model.catalog import Grade
from huitong.model.policy import Comparator, Comparison, Grant, GrantState, Mask, MaskKind, Mode, Quota, QuotaPeriod

MASKED = {
    "pid": PSEUDONYM, "name": SURNAME_ONLY, "gender": CLEAR, "born": YEAR, "salary": CLEAR, "weight": CLEAR, "division": COUNTY,
    "diagnosis": HIDE,
}  # fmt: skip


def nanming(items: dict[str, Any], **rest: Any) -> Grant:
    """A grant over these items of the people of one county, and over their pseudonyms: by these the doors of records find them."""
    return nanming_without_key({"pid": PSEUDONYM, **items}, **rest)


@dataclass(frozen=True)
class Situation:
    """What stands, what is wanted, and what comes of it: so many rows, or these reasons."""

    says: str
    wanted: Wanted
    rows: int | None = None
    reasons: frozenset[str] = frozenset()
    stands: Callable[[Instance], None] = field(default=lambda instance: None)


def with_(*grants: object) -> Callable[[Instance], None]:
    return lambda instance: instance.put(*grants)


def one_item(item: str, mask: Mask, says: str, *, rows: int = 4) -> Situation:
    return Situation(says, Wanted([item]), rows=rows, stands=with_(nanming({item: mask})))


def no(says: str, *reasons: str, wanted: Wanted | None = None, stands: Callable[[Instance], None] = lambda instance: None) -> Situation:
    return Situation(says, wanted or Wanted(["name", "salary"]), reasons=frozenset(reasons), stands=stands)


SITUATIONS: Sequence[Situation] = (
    one_item("salary", CLEAR, "an item that leaves as it is"),
    one_item("diagnosis", HIDE, "an item that is there and never shows its values"),
    one_item("name", SURNAME_ONLY, "a name that shows the first character alone"),
    one_item("born", YEAR, "a birthday that shows the year alone"),
    one_item("division", COUNTY, "a place that shows the county alone"),
    one_item("pid", PSEUDONYM, "a person that leaves as a pseudonym"),
    one_item("salary", Mask(MaskKind.GENERALISE, {"step": 1000}), "an amount that shows thousands alone"),
    Situation("every item under a mask of its own, rows of one county", Wanted(list(MASKED)), rows=4, stands=with_(nanming(MASKED))),
    Situation("everything that was granted, without naming it", Wanted([]), rows=4, stands=with_(nanming(MASKED))),
    Situation(
        "rows of the whole province",
        Wanted(["gender", "weight"]),
        rows=8,
        stands=with_(make_grant("civil.person", {"pid": PSEUDONYM, "gender": CLEAR, "weight": CLEAR})),
    ),
    Situation(
        "rows for which a condition holds, of one county",
        Wanted(["name"]),
        rows=2,
        stands=with_(nanming({"name": CLEAR, "salary": CLEAR}, condition=(Comparison("salary", Comparator.AT_LEAST, ("3000",)),))),
    ),
    Situation(
        "rows about the persons of a list, of one county",
        Wanted(["name"]),
        rows=1,
        stands=lambda instance: instance.put(nanming({"name": CLEAR}, subjects=instance.listed("pid", "990102199001011230"))),
    ),
    Situation("instants and numbers", Wanted(["station", "at", "temperature"], dataset="weather"), rows=4),
    Situation(
        "of two grants the wider carries the use",
        Wanted(["name"]),
        rows=8,
        stands=with_(nanming({"name": CLEAR}, number="G-1"), make_grant("civil.person", {"pid": PSEUDONYM, "name": CLEAR}, number="G-2")),
    ),
    no("an item that was not granted", "item-not-granted", wanted=Wanted(["name", "phone"])),
    no("an item that does not exist", "item-not-found", wanted=Wanted(["name", "nothing"])),
    no("a grant that has expired", "grant-expired", stands=with_(nanming(ALL_CLEAR, valid_until=NOW - timedelta(days=1)))),
    no("a grant that has not begun", "grant-not-yet-valid", stands=with_(nanming(ALL_CLEAR, valid_from=NOW + timedelta(days=1)))),
    no("a grant that was revoked", "grant-revoked", stands=with_(nanming(ALL_CLEAR, state=GrantState.REVOKED))),
    no("a grant whose pseudonyms are still being built", "grant-preparing", stands=with_(nanming(ALL_CLEAR, state=GrantState.PREPARING))),
    no("another purpose than that of the grant", "grant-other-purpose", wanted=Wanted(["name"], purpose="taxation")),
    no("no purpose that could be one", "purpose-invalid", wanted=Wanted(["name"], purpose="; drop")),
    no("an office without a grant", "grant-missing", wanted=Wanted(["name"], token="stranger")),
    no("an office that holds no grant of this dataset", "grant-missing", stands=with_(WEATHER_GRANT)),
    no("a post that may not use data", "role-missing", wanted=Wanted(["name"], token="clerk")),
    no(
        "an item whose grade was raised since, so that it may not leave as rows",
        "grant-above-grade",
        stands=lambda instance: (instance.put(nanming(ALL_CLEAR)), instance.change(raised(PERSON, "salary", Grade.CORE)))[0],
    ),
    no(
        "a grant of totals, from which no row leaves",
        "totals-output",
        wanted=Wanted(["gender"]),
        stands=with_(nanming({"pid": PSEUDONYM, "gender": CLEAR}, mode=Mode.AGGREGATE_ONLY, k=3)),
    ),
    no(
        "a quota that is used up",
        "quota-used-up",
        wanted=Wanted(["name"]),
        stands=lambda instance: instance.use_up(nanming({"name": CLEAR}, quota=Quota(QuotaPeriod.DAY, queries=1, calls=1))),
    ),
    no("a dataset that is not shared", "dataset-not-shared", wanted=Wanted(["number"], dataset="police.case_file")),
    no("a dataset that does not exist", "dataset-unknown", wanted=Wanted(["a"], dataset="no.such")),
    no("a dataset that the office may not know of", "dataset-unknown", wanted=Wanted(["v"], dataset="hidden")),
    no(
        "everything that speaks against it, at once",
        "grant-other-purpose", "grant-revoked",
        wanted=Wanted(["name", "salary"], purpose="taxation"),
        stands=with_(nanming(ALL_CLEAR, state=GrantState.REVOKED)),
    ),
)  # fmt: skip


WITHOUT_KEY = Outcome(None, frozenset({"record-door-off"}))
"""A dataset without a key has no door of records."""


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.says)
def test_every_door_gives_the_same_rows_or_the_same_refusal(instance: Instance, situation: Situation) -> None:
    situation.stands(instance)
    has_key = situation.wanted.dataset == PERSON.id
    found = {name: use(instance, situation.wanted) for name, use in DOORS.items()}
    first = found["query as Arrow"]
    assert {name: outcome for name, outcome in found.items() if outcome != first} == {}
    by_key = first if first.rows is None else DOORS["query as Arrow"](instance, only_with_key(situation.wanted)) if has_key else WITHOUT_KEY
    called = {name: use(instance, situation.wanted) for name, use in KEYED_DOORS.items()}
    assert {name: outcome for name, outcome in called.items() if outcome != by_key} == {}
    if situation.rows is None:
        assert first.rows is None
        assert first.codes == situation.reasons
    else:
        assert first.rows is not None
        assert first.rows.total() == situation.rows
        if situation.rows == 4:
            seen = {value for row in first.rows for _, value in row}
            assert not {value for value in seen if isinstance(value, str) and "CANARY" in value}
            assert not seen & {str(number) for number in CANARY_NUMBERS}


@pytest.mark.slow
def test_totals_are_told_the_same_at_every_door_that_tells_them(instance: Instance) -> None:
    """Eight persons are told as five or ten at each door that takes statements; what one was told, no other tells less one."""
    instance.put(make_grant("civil.person", {"gender": CLEAR, "salary": CLEAR}, mode=Mode.AGGREGATE_ONLY, k=3))
    queries = [use for name, use in DOORS.items() if name.startswith(("query", "streamed query"))]
    told = [use(instance, Wanted(["count(*) AS n"])) for use in queries]
    assert told == [told[0]] * len(queries)
    assert told[0].rows is not None
    ((_, number),) = next(iter(told[0].rows))
    assert number in ("5", "10")
    less_one = Wanted(["count(*) AS n"], dataset="civil.person WHERE salary <> 3000")
    assert {outcome.codes for outcome in (use(instance, less_one) for use in queries)} == {frozenset({"totals-differ-too-little"})}
