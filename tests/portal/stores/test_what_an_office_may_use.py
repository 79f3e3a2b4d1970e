"""The list of what an office has and could have is, entry by entry, what the entries themselves say: on both databases, whatever is
published, granted, asked, and by whom. A page is one statement."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connections
from tests.portal.examples import CITY, COUNTY, DIVISIONS, PROVINCE, credit_code

from huitong.catalog.search import index_of
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, Snapshot, SnapshotFile, UpdateCycle, Visibility
from huitong.model.party import Actor, DivisionLevel, Office, Role
from huitong.model.policy import Grant, GrantState, ItemTerm, Mask, MaskKind, Mode, Purpose, Terms
from huitong.model.sharing import Request, RequestEvent, RequestEventKind, Wish
from huitong.model.text import BilingualText
from huitong.policy.grading import scheme
from huitong.portal.accounts.models import Account, Post, PostRole
from huitong.portal.catalog.models import Prospect
from huitong.portal.stores import Stores
from huitong.sharing.actions import SharingActions
from huitong.sharing.availability import AvailabilityKind
from huitong.sharing.calendar import InstanceCalendar
from huitong.sharing.terms import hash_of_terms
from huitong.sharing.usable import UsableActions, UsablePage

NOW = datetime(2026, 3, 2, 4, 0, 0, 123456, tzinfo=UTC)
OFFICES = [
    Office(name, BilingualText(zh=name, en=name), place, level, credit_code(number))
    for number, (name, place, level) in enumerate(
        [
            ("gz-civil", PROVINCE, DivisionLevel.PROVINCE),
            ("gz-medical", PROVINCE, DivisionLevel.PROVINCE),
            ("gy-tax", CITY, DivisionLevel.CITY),
            ("nm-police", COUNTY, DivisionLevel.COUNTY),
        ],
        start=1,
    )
]
MEANINGS = (None, None, "resident-id", "person-name", "health", "division-code", "phone")
KINDS = tuple(AvailabilityKind)


class World:
    """Offices with people and posts, entries, grants and requests, all drawn from a seed."""

    def __init__(self, stores: Stores, seed: int) -> None:
        self.stores, self.now, self.chance = stores, NOW, random.Random(seed)
        self.actors: list[Actor] = []
        self.datasets: dict[str, Dataset] = {}
        self.numbers = iter(range(1, 10_000))
        stores.divisions.put_divisions(DIVISIONS)
        with stores.atomic():
            for office in OFFICES:
                stores.parties.put_office(office)
            for number in range(7):
                self.hire(f"person{number}", self.chance.choice(OFFICES))
        self.sharing = SharingActions(
            catalog=stores.catalog,
            parties=stores.parties,
            sharing=stores.sharing,
            transactions=stores.transactions,
            epoch=stores.epoch,
            ledger=None,  # type: ignore[arg-type]
            divisions=stores.divisions,
            side_tables=None,  # type: ignore[arg-type]
            clock=lambda: self.now,
            time_zone="Asia/Shanghai",
            calendar=InstanceCalendar(stores.calendar),
            grading=scheme(),
            roll=stores.parties,  # type: ignore[arg-type]
        )
        self.usable = UsableActions.over(self.sharing, stores.standings)

    def hire(self, person: str, office: Office) -> None:
        roles = frozenset(self.chance.sample(list(Role), self.chance.randint(1, 3)))
        using = self.stores.using
        account = Account.objects.using(using).create(username=person, name=person, created_at=NOW)
        post = Post.objects.using(using).create(id=f"{person}@{office.id}", account=account, office_id=office.id, created_at=NOW)
        PostRole.objects.using(using).bulk_create(PostRole(post=post, role=role.value) for role in sorted(roles))
        self.actors.append(Actor(person, person, post.id, office.id, office.division, roles))

    def publish(self, name: str) -> Dataset:
        chance, everyone = self.chance, [office.id for office in OFFICES]
        made_of = [one for one in self.datasets if one != name] + ["nobody.published"]
        sharing = chance.choices(list(Sharing), weights=[5, 4, 1])[0]
        visibility = chance.choices(list(Visibility), weights=[6, 2, 2])[0]
        dataset = Dataset(
            id=name,
            title=BilingualText(zh=f"数据{name}", en=f"Data {name}"),
            abstract=BilingualText(zh="数据", en="Data"),
            classification="3-01-0101/000001",
            provider=chance.choice(everyone),
            collector=chance.choice(everyone),
            sharing=sharing,
            sharing_basis="Regulation, article 5",
            sharing_condition=BilingualText(zh="履职", en="Duty") if sharing is Sharing.CONDITIONAL else None,
            openness=Openness.NOT_OPEN,
            update_cycle=UpdateCycle.DAILY,
            items=tuple(
                Item(
                    f"item_{place}",
                    BilingualText(zh="项", en="Item"),
                    ItemType.TEXT,
                    Grade(chance.choices(range(1, 7), weights=[5, 5, 5, 3, 1, 1])[0]),
                    chance.choice(MEANINGS),
                )
                for place in range(chance.randint(1, 4))
            ),
            published_on=date(2026, 3, 1),
            derived_from=tuple(chance.sample(made_of, 1)) if chance.random() < 0.3 else (),
            visibility=visibility,
            known_to=tuple(chance.sample(everyone, 1)) if visibility is Visibility.NAMED else (),
        )
        self.stores.catalog.put_dataset(dataset, index=index_of(dataset, OFFICES))
        self.datasets[name] = dataset
        return dataset

    def load(self, name: str, version: int) -> None:
        rows = self.chance.choice([10, 100_001, 1_000_001, 10_000_001])
        self.stores.catalog.add_snapshot(Snapshot(name, version, (SnapshotFile("a.parquet", rows, 1),), rows, NOW, "0" * 64))

    def ask(self, name: str) -> Request:
        chance, analyst = self.chance, self.chance.choice(self.actors)
        number = next(self.numbers)
        wish = Wish(
            dataset=name,
            purpose=Purpose("relief", "Law, article 9"),
            items=(ItemTerm("item_0", Mask(MaskKind.CLEAR)),),
            rows=None,
            mode=Mode.ROWS,
            until=date(2026, 12, 31),
        )
        at = NOW - timedelta(days=chance.randint(0, 20))
        events = [RequestEvent(kind=RequestEventKind.SUBMITTED, at=at, actor=analyst.person, office=analyst.office, wish=wish)]
        provider = self.datasets[name].provider
        more = chance.choice([None, None, RequestEventKind.ENDORSED, RequestEventKind.REFUSED, RequestEventKind.SUPPLEMENT_ASKED])
        if more is not None:
            reason = "purpose-not-served" if more is RequestEventKind.REFUSED else None
            events.append(RequestEvent(kind=more, at=at, actor="li.na", office=provider, reason=reason, words="已核。"))
        request = Request(
            id=f"R-{number:06d}",
            dataset=name,
            provider=provider,
            applicant=analyst.person,
            applicant_office=analyst.office,
            wish=wish,
            events=tuple(events),
            answer_due=chance.choice([None, date(2026, 3, 16), date(2026, 3, 9), date(2027, 3, 1)]),
        )
        self.stores.sharing.add_request(request)
        return request

    def grant(self, name: str) -> Grant:
        chance, request = self.chance, self.ask(name)
        begins = NOW + timedelta(days=chance.choice([-200, -100, -1, 0, 1]))
        state = chance.choice([GrantState.ACTIVE, GrantState.ACTIVE, GrantState.PREPARING, GrantState.REVOKED])
        terms = Terms(
            purpose=request.wish.purpose,
            items=request.wish.items,
            rows=None,
            mode=Mode.ROWS,
            linkage_group="group",
            valid_from=begins,
            valid_until=begins + timedelta(days=chance.choice([1, 100, 200, 300])),
        )
        parties = {"provider": request.provider, "using_office": request.applicant_office, "signed_by": request.applicant}
        grant = Grant(
            id=request.id.replace("R", "G"),
            version=1,
            request=request.id,
            dataset=name,
            **parties,
            terms=terms,
            terms_hash=hash_of_terms(terms, dataset=name, version=1, **parties),
            state=state,
            granted_at=NOW - timedelta(days=chance.randint(0, 3)),
            revoked_at=NOW if state is GrantState.REVOKED else None,
        )
        self.stores.sharing.add_grant(grant)
        return grant

    def fill(self, count: int = 45) -> None:
        names = [f"area{self.chance.randint(1, 3)}.d{number:03d}" for number in range(count)]
        self.chance.shuffle(names)
        with self.stores.atomic():
            self.stores.epoch.bump()
            for name in names:
                self.publish(name)
            for name in self.chance.sample(names, count // 4):
                self.load(name, 1)
            for name in self.chance.choices(names, k=count // 3):
                self.grant(name)
            for name in self.chance.choices(names, k=count // 4):
                self.ask(name)

    def slow(self, actor: Actor, kinds: Collection[AvailabilityKind]) -> list[tuple[str, object]]:
        """What the entries themselves say, one by one."""
        stored = self.stores.catalog.datasets(list(self.datasets))
        known = [stored[name] for name in sorted(stored) if stored[name].is_known_to(actor.office)]
        rows = {one.id: snapshot.rows for one in known if (snapshot := self.stores.catalog.current_snapshot(one.id))}
        told = self.sharing.availabilities(known, actor=actor, rows=rows)
        return [(name, one) for name, one in told.items() if not kinds or one.kind in kinds]

    def check(self) -> set[AvailabilityKind]:
        """Every actor sees what the entries say, whole and in pages; the kinds that were met."""
        met: set[AvailabilityKind] = set()
        for actor in self.actors:
            whole = self.slow(actor, ())
            met |= {told.kind for _, told in whole}  # type: ignore[attr-defined]
            assert _told(self.usable.usable(by=actor, limit=1000)) == whole
            for kinds in [*([kind] for kind in KINDS), self.chance.sample(KINDS, 3)]:
                wanted = [one for one in whole if one[1].kind in kinds]  # type: ignore[attr-defined]
                offset, limit = self.chance.randint(0, 8), self.chance.randint(1, 12)
                page = self.usable.usable(by=actor, kinds=kinds, limit=limit, offset=offset)
                assert (_told(page), page.total) == (wanted[offset : offset + limit], len(wanted)), kinds
        return met


def _told(page: UsablePage) -> list[tuple[str, object]]:
    return [(entry.dataset, entry.availability) for entry in page.entries]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_list_says_what_the_entries_say_whatever_happens(stores: Stores, seed: int) -> None:
    world = World(stores, seed)
    world.fill()
    met = world.check()
    assert len(met) >= 5, met
    names = list(world.datasets)
    for step in range(2):
        with stores.atomic():
            stores.epoch.bump()
            for name in world.chance.sample(names, 8):
                world.publish(name)  # its grades, sharing, visibility, sources and office change
            for name in world.chance.sample(names, 4):
                world.load(name, 10 + step)
            for name in world.chance.sample(names, 4):
                world.grant(name)
        for post in world.chance.sample(list(Post.objects.using(stores.using).filter(ended_at=None)), 1):
            Post.objects.using(stores.using).filter(id=post.id).update(ended_at=NOW)
        world.now += timedelta(days=world.chance.choice([0, 40, 150]))
        world.check()


@pytest.fixture
def world(stores: Stores) -> World:
    made = World(stores, 7)
    made.fill(20)
    made.usable.refresh()
    return made


def test_a_page_is_one_statement(world: World, queries: Callable[[], int], using: str) -> None:
    queries()
    page = world.usable.usable(by=world.actors[0], limit=20)
    assert page.total > 3
    sent = [one["sql"] for one in connections[using].queries_log][-queries() :]
    assert ["WITH held" in one for one in sent if "catalog_calendaryear" not in one] == [True]
    assert len(sent) == 2, "the page, and the instance's own calendar"


def test_what_was_raised_in_a_source_is_seen_in_what_was_made_of_it(world: World) -> None:
    def put(name: str, grade: Grade, *made_of: str) -> None:
        entry = replace(
            world.publish(name), sharing=Sharing.UNCONDITIONAL, sharing_condition=None, visibility=Visibility.EVERYONE, known_to=(),
            items=(Item("note", BilingualText(zh="项", en="Item"), ItemType.TEXT, grade, derived_from=made_of),), derived_from=(),
        )  # fmt: skip
        world.stores.catalog.put_dataset(entry, index=index_of(entry, OFFICES))

    def kind() -> AvailabilityKind:
        page = world.usable.usable(by=analyst, limit=500)
        return next(entry.availability.kind for entry in page.entries if entry.dataset == "made.of_made")

    analyst = next(actor for actor in world.actors if actor.has(Role.ANALYST))
    with world.stores.atomic():
        put("made.first", Grade.PUBLIC)
        put("made.second", Grade.PUBLIC, "made.first#note")
        put("made.of_made", Grade.PUBLIC, "made.second#note")
    assert kind() is AvailabilityKind.AT_ONCE
    with world.stores.atomic():
        put("made.first", Grade.CORE)
    assert kind() is AvailabilityKind.REFUSED, "nothing leaves of what was made of core data"
    with world.stores.atomic():
        put("made.first", Grade.PUBLIC)
    assert kind() is AvailabilityKind.AT_ONCE


def test_under_another_scheme_everything_is_judged_anew(world: World) -> None:
    actor = world.actors[0]
    other = replace(world.sharing, grading=scheme("general-three-tier") if "general-three-tier" in _schemes() else scheme(_schemes()[-1]))
    usable = UsableActions.over(other, world.stores.standings)
    known = sorted(name for name in world.datasets if world.datasets[name].is_known_to(actor.office))
    slow = [(name, other.availability(world.datasets[name], actor=actor)) for name in known]
    assert _told(usable.usable(by=actor, limit=100)) == slow
    assert world.usable.usable(by=actor, limit=100).total == len(known)


def _schemes() -> Sequence[str]:
    from huitong.policy.grading import scheme_ids

    return scheme_ids()


def test_a_change_that_was_undone_leaves_what_was_known(world: World) -> None:
    before = world.usable.usable(by=world.actors[0], limit=100)
    with pytest.raises(RuntimeError), world.stores.atomic():
        world.publish(next(iter(world.datasets)))
        raise RuntimeError
    assert not Prospect.objects.using(world.stores.using).filter(group=None).exists()
    assert world.usable.usable(by=world.actors[0], limit=100) == before
