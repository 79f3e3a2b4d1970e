"""What a person may not know of shows nowhere: a stranger is given the very same answers with the hidden entry and without it.

Two worlds differ in one entry that only its own office and one other may know of. Everything that a stranger can ask is asked in
both, and the answers are compared whole: hits, totals, facets, errors with their parameters, documents byte by byte."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from huitong.catalog import dcat, guide
from huitong.catalog.folder import apply, export
from huitong.catalog.ports import Facet
from huitong.catalog.publish import CatalogActions
from huitong.catalog.succession import read_changes
from huitong.errors import HuitongError
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, Snapshot, SnapshotFile, UpdateCycle, Visibility
from huitong.model.codes import credit_code_check_character
from huitong.model.party import Actor, Division, DivisionLevel, Office, Role
from huitong.model.text import BilingualText
from huitong.sharing.actions import SharingActions
from huitong.sharing.ports import Side
from huitong.sharing.succession import SuccessionActions
from huitong.testing import MemoryClock, MemoryEntryLog, MemorySideTables, MemoryStores

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

NOON = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)
PROVINCE, CITY, COUNTY = "520000000000", "520100000000", "520102000000"
OWNER, FRIEND, STRANGER = "gz-police", "gz-justice", "gz-education"


def office(identifier: str, number: int) -> Office:
    first = f"115200000000000{number:02d}"
    code = first + credit_code_check_character(first)
    return Office(identifier, BilingualText(zh=f"部门{number}", en=f"Office {number}"), PROVINCE, DivisionLevel.PROVINCE, code)


def person(name: str, at: str, *roles: Role) -> Actor:
    return Actor(name, name, f"{name}@{at}", at, PROVINCE, frozenset(roles))


OFFICER = person("yang", OWNER, Role.DATA_OFFICER, Role.REVIEWER)
FRIENDLY = person("wang", FRIEND, Role.ANALYST)
NOSY = person("li", STRANGER, *Role)
"""A stranger with every role there is: it is the office that counts."""


def item(name: str, grade: Grade = Grade.INTERNAL, meaning: str | None = None) -> Item:
    return Item(name, BilingualText(zh=f"项{name}", en=f"item {name}"), ItemType.TEXT, grade, meaning)


def entry(identifier: str, provider: str, zh: str, en: str, *items: Item, **other: Any) -> Dataset:
    values: dict[str, Any] = {
        "abstract": BilingualText(zh="登记册", en="register"),
        "classification": "3-01-0101/000001",
        "sharing": Sharing.CONDITIONAL,
        "sharing_basis": "政务数据共享条例第十条",
        "sharing_condition": BilingualText(zh="仅限履职", en="only for duties"),
        "openness": Openness.NOT_OPEN,
        "update_cycle": UpdateCycle.MONTHLY,
        "items": items or (item("village", meaning="division-code"), item("income")),
        "division_item": None if items else "village",
        **other,
    }
    return Dataset(id=identifier, title=BilingualText(zh=zh, en=en), provider=provider, collector=provider, **values)


HIDDEN = entry(
    "police.informant",
    OWNER,
    "线人名册",
    "Informant roll",
    item("village", meaning="division-code"),
    item("codename", Grade.HIGHLY_SENSITIVE, "resident-id"),
    visibility=Visibility.NAMED,
    known_to=(FRIEND,),
    division_item="village",
    classification="2-02-0202/000007",
    update_cycle=UpdateCycle.DAILY,
    derived_from=("education.school",),
)
"""Made of what the stranger publishes: a circle closed through it would tell that it is there."""
MADE_OF_IT = entry(
    "police.summary",
    OWNER,
    "治安概况",
    "Summary of public order",
    item("village", meaning="division-code"),
    replace(item("count"), derived_from=("police.informant#codename",)),
    derived_from=("police.informant",),
    division_item="village",
)
"""Known to everyone, and made of what is hidden."""
PLAIN = entry("police.vehicle", OWNER, "车辆登记", "Vehicle register")
OWN = entry("education.school", STRANGER, "学校名册", "School roll")


class World:
    """Stores and what people may do; with the hidden entry in it, or without."""

    def __init__(self, stores: Any, *, hidden: bool) -> None:
        self.stores = stores
        self.clock = MemoryClock(NOON)
        transactions = MemoryStores().transactions
        self.ledger = MemoryEntryLog(transactions, self.clock)
        with stores.atomic():
            stores.divisions.put_divisions(
                Division(code, name, level, parent, date(2000, 1, 1))
                for code, name, level, parent in (
                    (PROVINCE, "贵州省", DivisionLevel.PROVINCE, None),
                    (CITY, "贵阳市", DivisionLevel.CITY, PROVINCE),
                    (COUNTY, "南明区", DivisionLevel.COUNTY, CITY),
                )
            )
            for number, identifier in enumerate((OWNER, FRIEND, STRANGER), 1):
                stores.parties.put_office(office(identifier, number))
            for actor in (OFFICER, FRIENDLY, NOSY):
                put_post(stores, actor)
        common: dict[str, Any] = {
            "catalog": stores.catalog,
            "parties": stores.parties,
            "transactions": stores.transactions,
            "epoch": stores.epoch,
            "ledger": self.ledger,
            "clock": self.clock,
            "time_zone": "Asia/Shanghai",
        }
        shared = {"sharing": stores.sharing, "divisions": stores.divisions}
        self.catalog = CatalogActions(**common)
        self.sharing = SharingActions(side_tables=MemorySideTables(), **shared, **common)
        self.succession = SuccessionActions(**shared, **common)
        self.catalog.publish(OWN, by=NOSY)
        for one in (HIDDEN, PLAIN, MADE_OF_IT) if hidden else (PLAIN, _without_sources(MADE_OF_IT)):
            self.catalog.publish(one, by=OFFICER)
        if hidden:
            with stores.atomic():
                file = SnapshotFile("x.parquet", 5, 100)
                stores.catalog.add_snapshot(Snapshot(HIDDEN.id, 1, (file,), 5, NOON, "0" * 64))


def _without_sources(dataset: Dataset) -> Dataset:
    return replace(dataset, derived_from=(), items=tuple(replace(one, derived_from=()) for one in dataset.items))


def put_post(stores: Any, actor: Actor) -> None:
    """The person in the post, in memory or in the tables."""
    if isinstance(stores, MemoryStores):
        stores.parties.put_actor(actor)
    else:
        from tests.portal.examples import put_account

        put_account(stores.using, actor)


Question = Callable[[World], Any]


def _asked(dataset: str, world: World, *, as_by: bool = True) -> Any:
    by = {"by": NOSY} if as_by else {}
    wish = world.sharing.wish(
        dataset, purpose="statistics", legal_basis="统计法", items=[("village", None)], until=date(2026, 12, 31), **by
    )
    return world.sharing.submit(wish, by=NOSY)


def _submitted_as_made_by_a_friend(world: World) -> Any:
    """A wish that names it, made outside the forms."""
    wish = world.sharing.wish(
        PLAIN.id, purpose="statistics", legal_basis="统计法", items=[("village", None)], until=date(2026, 12, 31), by=NOSY
    )
    return world.sharing.submit(replace(wish, dataset=HIDDEN.id), by=NOSY)


def _documents(world: World, viewer: str | None) -> Any:
    portal = dcat.Portal(
        base="https://data.example",
        title=BilingualText(zh="平台", en="Platform"),
        description=BilingualText(zh="目录", en="Catalogue"),
        publisher=office(OWNER, 1),
    )
    entries = list(world.catalog.every_dataset(viewer=viewer))
    whole = dcat.catalogue_document(lambda: entries, portal=portal, offices=world.stores.parties)
    return whole.turtle(), whole.json_ld(), "".join(guide.guide_csv(entries, world.stores.parties))


def _folder(world: World, viewer: str, place: Path) -> Any:
    export(world.catalog, place, viewer=viewer)
    return {str(file.relative_to(place)): file.read_text("utf-8") for file in sorted(place.rglob("*.toml"))}


def _regulator(world: World) -> Any:
    text = f"old,new,day,kind,name\n{COUNTY},520118000000,2027-06-01,renamed,新区\n"
    return world.succession.apply_division_changes(read_changes(text), by=NOSY, dry_run=True)


WORDS = [
    "", "线人", "线", "名册", "informant", "inform", "roll", "police", "police.informant", "codename", "项codename", "办公", "部门1",
    "治安", "2-02-0202", "000007", "register", "登记", "police register", "*", "%", "resident-id",
]  # fmt: skip
QUESTIONS: dict[str, Question] = {
    **{
        f"search {words!r} by {viewer}": lambda world, words=words, viewer=viewer: world.catalog.search(
            words, viewer=viewer, facets=list(Facet), limit=100
        )
        for words in WORDS
        for viewer in (STRANGER, None)
    },
    **{
        f"narrowed by {facet}={value}": lambda world, facet=facet, value=value: world.catalog.search(
            viewer=STRANGER, narrowing={facet: [value]}, facets=list(Facet)
        )
        for facet, value in (
            (Facet.OFFICE, OWNER),
            (Facet.FAMILY, "2"),
            (Facet.GRADE, "4"),
            (Facet.CYCLE, "daily"),
            (Facet.MEANING, "resident-id"),
            (Facet.DIVISION, PROVINCE),
            (Facet.LEVEL, "province"),
            (Facet.SHARING, "conditional"),
            (Facet.OPENNESS, "not-open"),
        )
    },
    "the last page": lambda world: world.catalog.search(viewer=STRANGER, limit=1, offset=2),
    "beyond the last page": lambda world: world.catalog.search(viewer=STRANGER, limit=1, offset=3),
    "show": lambda world: world.catalog.dataset(HIDDEN.id, viewer=STRANGER),
    "show to nobody": lambda world: world.catalog.dataset(HIDDEN.id),
    "show what was made of it": lambda world: world.catalog.dataset(MADE_OF_IT.id, viewer=STRANGER),
    "every entry": lambda world: list(world.catalog.every_dataset(viewer=STRANGER)),
    "every entry of the office": lambda world: list(world.catalog.every_dataset(viewer=STRANGER, provider=OWNER)),
    "documents": lambda world: _documents(world, STRANGER),
    "documents for all": lambda world: _documents(world, None),
    "ask by the form": lambda world: _asked(HIDDEN.id, world),
    "ask by hand": _submitted_as_made_by_a_friend,
    "take a snapshot of it": lambda world: world.sharing.take_snapshot(Snapshot(HIDDEN.id, 2, (), 0, NOON, "0" * 64), by=NOSY),
    "grants": lambda world: [*world.sharing.grants(by=NOSY), *world.sharing.grants(by=NOSY, side=Side.PROVIDER)],
    "availability of all that is known": lambda world: world.sharing.availabilities(
        world.catalog.search(viewer=STRANGER, limit=100).hits, actor=NOSY
    ),
    "what a change of divisions touches": _regulator,
    "name it as a source": lambda world: world.catalog.publish(replace(OWN, id="education.copy", derived_from=(HIDDEN.id,)), by=NOSY),
    "name its item as a source": lambda world: world.catalog.publish(
        replace(OWN, id="education.copy", items=(replace(item("x"), derived_from=(f"{HIDDEN.id}#codename",)),), division_item=None),
        by=NOSY,
    ),
    "name an item that it has not as a source": lambda world: world.catalog.publish(
        replace(OWN, id="education.copy", items=(replace(item("x"), derived_from=(f"{HIDDEN.id}#no",)),), division_item=None), by=NOSY
    ),
    "say that one's own entry was made of it": lambda world: world.catalog.publish(replace(OWN, derived_from=(HIDDEN.id,)), by=NOSY),
    "say so of what is known to be made of it": lambda world: world.catalog.publish(
        replace(OWN, id="education.copy", derived_from=(MADE_OF_IT.id,)), by=NOSY
    ),
    "publish it for its own office": lambda world: world.catalog.publish(HIDDEN, by=NOSY),
    "publish it for a third office": lambda world: world.catalog.publish(replace(HIDDEN, provider=FRIEND, collector=FRIEND), by=NOSY),
}


def answer(world: World, question: Question) -> Any:
    """What is given back, or everything that the error says. What a question changed is undone."""

    class Undo(Exception):
        pass

    found: Any = None
    try:
        with world.stores.atomic():
            try:
                found = question(world)
            except HuitongError as error:
                found = type(error).__name__, [(reason.code, dict(reason.parameters)) for reason in error.reasons]
            raise Undo
    except Undo:
        return found


@contextmanager
def memory(*, hidden: bool) -> Iterator[World]:
    yield World(MemoryStores(), hidden=hidden)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_answer_is_the_same_with_it_and_without(name: str) -> None:
    with memory(hidden=True) as with_it, memory(hidden=False) as without:
        assert answer(with_it, QUESTIONS[name]) == answer(without, QUESTIONS[name])


def test_the_questions_would_tell_if_it_were_not_hidden() -> None:
    """The same questions over an entry that everyone may know of: most of them tell it, so the comparison can fail."""
    with memory(hidden=False) as without, memory(hidden=False) as open_to_all:
        open_to_all.catalog.publish(replace(HIDDEN, visibility=Visibility.EVERYONE, known_to=()), by=OFFICER)
        telling = [name for name, question in QUESTIONS.items() if answer(open_to_all, question) != answer(without, question)]
    assert len(telling) > len(QUESTIONS) / 2
    assert {"show", "documents for all", "ask by hand", "take a snapshot of it", "name it as a source"} <= set(telling)


def test_its_own_office_and_the_one_named_know_it() -> None:
    with memory(hidden=True) as world:
        for viewer in (OWNER, FRIEND):
            assert world.catalog.dataset(HIDDEN.id, viewer=viewer).title == HIDDEN.title
            assert HIDDEN.id in {hit.id for hit in world.catalog.search("线人", viewer=viewer).hits}
        assert world.catalog.dataset(HIDDEN.id, viewer=FRIEND).known_to == (), "not who else may know"
        assert world.catalog.dataset(MADE_OF_IT.id, viewer=FRIEND).derived_from == (HIDDEN.id,)


def test_a_folder_exported_by_a_stranger_is_the_same_and_so_is_what_applying_it_says(tmp_path: Path) -> None:
    with memory(hidden=True) as with_it, memory(hidden=False) as without:
        written = [_folder(world, STRANGER, tmp_path / str(number)) for number, world in enumerate((with_it, without))]
        assert written[0] == written[1]
        plans = [apply(world.catalog, tmp_path / "0", by=NOSY, dry_run=True) for world in (with_it, without)]
        assert plans[0] == plans[1]


def test_a_name_that_is_taken_tells_nothing_but_that(tmp_path: Path) -> None:
    """Names are one space for all offices: who tries the very name meets it, and learns nothing else, not even whose it is."""
    own = replace(HIDDEN, provider=STRANGER, collector=STRANGER, known_to=(FRIEND,))
    with memory(hidden=True) as world:
        found = answer(world, lambda one: one.catalog.publish(own, by=NOSY))
        assert found == ("Conflict", [("dataset-name-taken", {"dataset": HIDDEN.id})])


def test_the_same_on_a_database(stores: Any) -> None:
    with memory(hidden=False) as without:
        expected = {name: answer(without, question) for name, question in QUESTIONS.items()}
    world = World(stores, hidden=True)
    assert [name for name, question in QUESTIONS.items() if answer(world, question) != expected[name]] == []


def test_a_database_is_asked_as_much_for_what_is_hidden_as_for_what_is_not_there(stores: Any, queries: Callable[[], int]) -> None:
    """The gross side of timing: to look for it costs no more statements than to look for nothing."""
    world = World(stores, hidden=True)

    def cost(question: Question) -> int:
        queries()
        answer(world, question)
        return queries()

    pairs: list[tuple[Question, Question]] = [
        (lambda one: one.catalog.dataset(HIDDEN.id, viewer=STRANGER), lambda one: one.catalog.dataset("police.nothing", viewer=STRANGER)),
        (lambda one: _asked(HIDDEN.id, one), lambda one: _asked("police.nothing", one)),
        (lambda one: one.catalog.search("线人", viewer=STRANGER), lambda one: one.catalog.search("无人", viewer=STRANGER)),
    ]
    for hidden, nothing in pairs:
        cost(hidden)
        assert abs(cost(hidden) - cost(nothing)) <= 1, "the items of one entry are read in one statement more"
