"""An office is dissolved and another takes its place: what it had and what was agreed with it goes on, traceably, and no wider."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from tests.spec.succession.succession_world import (
    ACT,
    CITY_REGULATOR,
    CIVIL,
    CIVIL_REVIEWER,
    COLLECTED,
    HEALTH,
    HEALTH_ANALYST,
    HOUSEHOLD,
    LOW_INCOME,
    NANMING,
    OPERATOR,
    POVERTY,
    POVERTY_ANALYST,
    POVERTY_OFFICER,
    REGULATOR,
    RURAL,
    RURAL_ANALYST,
    RURAL_REVIEWER,
    SECRET,
    TODAY,
    World,
    person,
)

from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Refused, Unavailable
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import GrantState, Mask, MaskKind
from huitong.model.sharing import RequestState
from huitong.sharing.ports import Side


def codes(error: HuitongError) -> set[str]:
    return {reason.code for reason in error.reasons}


def test_the_office_closes_and_names_its_successor(world: World) -> None:
    found = world.succeed()
    closed = world.stores.parties.office(POVERTY)
    assert closed == found.office and closed.valid_to == TODAY and closed.successor == RURAL
    assert world.stores.parties.office(RURAL).valid_to is None
    assert set(found.inferiors) == {"zy-poverty-relief", "gy-poverty-relief"}
    assert world.stores.parties.office("zy-poverty-relief").superior == RURAL


def test_its_datasets_are_the_successors_wherever_they_named_it(world: World) -> None:
    found = world.succeed()
    assert found.datasets == (COLLECTED.id, SECRET.id, HOUSEHOLD.id)
    household, collected, secret = (world.stores.catalog.dataset(one) for one in (HOUSEHOLD.id, COLLECTED.id, SECRET.id))
    assert household.provider == household.collector == RURAL
    assert collected.provider == CIVIL and collected.collector == RURAL
    assert secret.known_to == (RURAL,) and not secret.is_known_to(POVERTY)
    assert replace(household, provider=POVERTY, collector=POVERTY) == world_entry(HOUSEHOLD, household), "nothing else changed"
    assert [hit.id for hit in world.catalog.search("Office gz-rural-affairs", viewer=RURAL).hits] == [COLLECTED.id, HOUSEHOLD.id]
    assert world.catalog.search("Office gz-poverty-relief", viewer=RURAL).total == 0


def world_entry(entry, published):
    """The entry with the day on which it was published."""
    return replace(entry, published_on=published.published_on)


def test_a_grant_that_it_used_ends_and_goes_on_for_the_successor_on_the_same_terms(world: World) -> None:
    items = [("person_id", Mask(MaskKind.PSEUDONYM)), ("income", None)]
    old = world.grant(LOW_INCOME, by=POVERTY_ANALYST, items=items, division=NANMING)
    built = dict(world.stores.side_tables.built)
    world.clock.advance(days=3)
    found = world.succeed(on=TODAY)
    ((ended, begun),) = found.grants
    before, after = world.kept(ended), world.kept(begun)
    assert ended == old.id and before.state is GrantState.REVOKED and ACT in before.revoked_because and RURAL in before.revoked_because
    assert after.state is GrantState.ACTIVE and after.moved_from == old.id
    assert after.terms == old.terms, "items, masks, rows, days and the linkage group: the same people have the same pseudonyms"
    assert (after.using_office, after.provider, after.dataset) == (RURAL, CIVIL, LOW_INCOME.id)
    assert after.signed_by == old.signed_by and after.request == old.request
    assert after.terms_hash != old.terms_hash, "the parties are part of what is signed"
    assert world.stores.side_tables.built == built, "no table of pseudonyms is made anew"


def test_a_grant_over_its_data_goes_on_with_the_successor_as_the_providing_office(world: World) -> None:
    old = world.grant(HOUSEHOLD, by=HEALTH_ANALYST, reviewer=POVERTY_OFFICER)
    ((_, begun),) = world.succeed().grants
    assert (world.kept(begun).provider, world.kept(begun).using_office) == (RURAL, HEALTH)
    assert world.sharing.revoke(begun, by=RURAL_REVIEWER, words="履职依据已变").state is GrantState.REVOKED
    assert world.kept(old.id).state is GrantState.REVOKED


def test_where_both_offices_held_a_grant_on_one_dataset_both_stay(world: World) -> None:
    own = world.grant(LOW_INCOME, by=RURAL_ANALYST, items=[("village", None)])
    moved = world.grant(LOW_INCOME, by=POVERTY_ANALYST)
    ((_, begun),) = world.succeed().grants
    held = {grant.id: grant for grant in world.stores.sharing.grants_of_office(RURAL) if grant.state is GrantState.ACTIVE}
    assert set(held) == {own.id, begun} and held[own.id] == own
    assert held[begun].terms == moved.terms
    assert held[own.id].terms.linkage_group != held[begun].terms.linkage_group, "what could not be joined before cannot be now"


def test_grants_that_had_ended_stay_as_they_were(world: World) -> None:
    expired = world.grant(LOW_INCOME, by=POVERTY_ANALYST, until=date(2026, 11, 2))
    given_back = world.grant(LOW_INCOME, by=POVERTY_ANALYST)
    world.sharing.revoke(given_back.id, by=POVERTY_ANALYST, words="")
    world.clock.advance(days=2)
    before = [world.kept(one) for one in (expired.id, given_back.id)]
    assert world.succeed().grants == ()
    assert [world.kept(one) for one in (expired.id, given_back.id)] == before


def test_an_open_request_moves_on_either_side_and_an_answered_one_does_not(world: World) -> None:
    asked = world.ask(LOW_INCOME, by=POVERTY_ANALYST)
    to_answer = world.ask(HOUSEHOLD, by=HEALTH_ANALYST)
    answered = world.ask(HOUSEHOLD, by=HEALTH_ANALYST)
    world.sharing.refuse(answered.id, by=POVERTY_OFFICER, reason="refused-no-duty")
    found = world.succeed()
    assert set(found.requests) == {asked.id, to_answer.id}
    request = world.sharing.approve(to_answer.id, by=RURAL_REVIEWER)
    assert request.state is RequestState.GRANTED and world.sharing.grant_of(request).provider == RURAL
    assert world.sharing.withdraw(asked.id, by=RURAL_ANALYST).state is RequestState.WITHDRAWN
    assert world.stores.sharing.request(answered.id).provider == POVERTY


def test_people_go_along_with_their_roles(world: World) -> None:
    found = world.succeed()
    assert dict(found.posts) == {f"li@{POVERTY}": f"li@{RURAL}", f"zhao@{POVERTY}": f"zhao@{RURAL}"}
    (zhao,) = world.stores.parties.actors_of("zhao")
    assert zhao.office == RURAL and zhao.roles == POVERTY_OFFICER.roles


def test_the_closed_office_neither_asks_nor_answers_nor_uses(world: World) -> None:
    world.grant(LOW_INCOME, by=POVERTY_ANALYST)
    waiting = world.ask(HOUSEHOLD, by=HEALTH_ANALYST)
    world.succeed()
    with pytest.raises(Conflict) as asking:
        world.ask(LOW_INCOME, by=POVERTY_ANALYST)
    assert codes(asking.value) == {"office-closed"}
    with pytest.raises((NotFound, Refused, Conflict)):
        world.sharing.approve(waiting.id, by=POVERTY_OFFICER)
    with pytest.raises(HuitongError):
        world.catalog.publish(HOUSEHOLD, by=POVERTY_OFFICER)
    now = world.clock()
    assert not [grant for grant in world.stores.sharing.grants_of_office(POVERTY) if grant.valid_at(now)]


class TestNothingBecomesWider:
    """The successor asked before, and was told no: a merger is not a way round that answer."""

    def refused(self, world: World, purpose: str = "social-assistance") -> str:
        request = world.ask(LOW_INCOME, by=RURAL_ANALYST, purpose=purpose)
        world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-no-duty")
        world.clock.advance(hours=1)
        return request.id

    def test_what_the_successor_was_refused_it_does_not_inherit(self, world: World) -> None:
        grant = world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        request = self.refused(world)
        found = world.succeed()
        ((left, reason),) = found.not_moved
        assert found.grants == () and left == grant.id and world.kept(left).state is GrantState.REVOKED
        assert reason.code == "grant-not-moved-refused" and reason.parameters["request"] == request
        assert not [one for one in world.stores.sharing.grants_of_office(RURAL) if one.state is not GrantState.REVOKED]

    def test_a_grant_of_its_own_that_was_revoked_is_an_answer_too(self, world: World) -> None:
        own = world.grant(LOW_INCOME, by=RURAL_ANALYST)
        world.sharing.revoke(own.id, by=CIVIL_REVIEWER, words="违规使用")
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        ((_, reason),) = world.succeed().not_moved
        assert reason.code == "grant-not-moved-revoked" and reason.parameters["revoked"] == own.id

    def test_a_refusal_for_another_purpose_or_one_that_was_overcome_is_none(self, world: World) -> None:
        self.refused(world, purpose="statistics")
        grant = world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        self.refused(world)
        world.grant(LOW_INCOME, by=RURAL_ANALYST)
        found = world.succeed()
        assert [ended for ended, _ in found.grants] == [grant.id] and found.not_moved == ()

    def test_the_answer_outlives_a_second_merger(self, world: World) -> None:
        """Rural affairs was refused, goes into health, and then poverty relief with its grant goes into health as well."""
        self.refused(world)
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        world.succeed(RURAL, HEALTH)
        ((_, reason),) = world.succeed(POVERTY, HEALTH).not_moved
        assert reason.code == "grant-not-moved-refused"

    def test_a_grant_that_the_office_itself_kept_through_a_refusal_goes_on(self, world: World) -> None:
        """Poverty relief was granted little, asked for more and was refused that: the little moves, once and again."""
        grant = world.grant(LOW_INCOME, by=POVERTY_ANALYST, items=[("village", None)])
        more = world.ask(LOW_INCOME, by=POVERTY_ANALYST)
        world.sharing.refuse(more.id, by=CIVIL_REVIEWER, reason="refused-more-than-needed")
        ((_, begun),) = world.succeed().grants
        world.clock.advance(hours=1)
        ((again, last),) = world.succeed(RURAL, HEALTH).grants
        assert again == begun and world.kept(last).terms == grant.terms

    def test_the_providers_own_succession_ends_no_ones_grant(self, world: World) -> None:
        self.refused(world)
        grant = world.grant(HOUSEHOLD, by=HEALTH_ANALYST, reviewer=POVERTY_OFFICER)
        found = world.succeed()
        assert [ended for ended, _ in found.grants] == [grant.id]


class TestTheTrace:
    def test_the_ledger_tells_each_step(self, world: World) -> None:
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        before = len(world.kinds())
        epoch = world.stores.epoch.current()
        world.succeed()
        assert world.kinds()[before:] == [
            *[EntryKind.DATASET_PUBLISHED] * 3,
            EntryKind.GRANT_REVOKED,
            EntryKind.GRANT_MOVED,
            EntryKind.OFFICE_SUCCEEDED,
        ]
        assert world.stores.epoch.current() == epoch + 1, "one change of the rules"
        assert ACT not in "".join(promise.payload.decode() for promise in world.stores.ledger.pending(1000)), "words stay out"

    def test_the_audit_understands_moved_grants(self, world: World) -> None:
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        world.grant(HOUSEHOLD, by=HEALTH_ANALYST, reviewer=POVERTY_OFFICER)
        world.ask(LOW_INCOME, by=POVERTY_ANALYST)
        assert world.audit() == set()
        world.clock.advance(hours=1)
        world.succeed()
        assert world.audit(fold=False) == set() == world.audit()
        world.clock.advance(hours=1)
        world.succeed(RURAL, HEALTH)
        assert world.audit() == set(), "moved twice"

    def test_the_audit_finds_a_moved_grant_whose_origin_was_altered_in_the_table(self, world: World) -> None:
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        ((_, begun),) = world.succeed().grants
        grants = world.stores.sharing._grants
        grants[begun] = replace(grants[begun], moved_from=None)
        assert world.audit() == {"audit-grant-move-origin"}

    def test_the_audit_finds_an_old_grant_that_came_back_to_life_in_the_table(self, world: World) -> None:
        old = world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        world.succeed()
        world.stores.sharing._grants[old.id] = old
        assert world.audit() == {"audit-grant-state"}

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"terms": {"items": "everything"}}, "audit-grant-move-altered"),
            ({"dataset": SECRET.id}, "audit-grant-move-altered"),
            ({"using_office": HEALTH}, "audit-grant-move-parties"),
            ({"moved_from": "G-2026-999999"}, "audit-grant-move-altered"),
        ],
    )
    def test_the_audit_finds_a_move_that_the_ledger_itself_does_not_bear_out(self, world: World, change, fault) -> None:
        """Written by someone who holds the log's key but not the rule: a succession changes parties, nothing else."""
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        append = world.ledger.append

        def forge(*, kind, body):
            return append(kind=kind, body={**body, **change} if kind is EntryKind.GRANT_MOVED else body)

        object.__setattr__(world.succession.ledger, "append", forge)
        world.succeed()
        assert fault in world.audit()

    def test_the_audit_finds_a_move_without_a_revocation_or_without_a_succession(self, world: World) -> None:
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        append = world.ledger.append
        left_out = {EntryKind.GRANT_REVOKED, EntryKind.OFFICE_SUCCEEDED}

        def forget(*, kind, body):
            return None if kind in left_out else append(kind=kind, body=body)

        object.__setattr__(world.succession.ledger, "append", forget)
        world.succeed()
        assert {"audit-grant-move-unrevoked", "audit-grant-move-parties"} <= world.audit()


class TestWhoMayAndWhatCannotBe:
    @pytest.mark.parametrize("by", [CIVIL_REVIEWER, POVERTY_OFFICER, RURAL_ANALYST])
    def test_neither_office_does_it_itself(self, world: World, by) -> None:
        with pytest.raises(Refused) as caught:
            world.succeed(by=by)
        assert codes(caught.value) == {"change-not-allowed"}

    def test_a_regulator_does_for_offices_of_its_own_area(self, world: World) -> None:
        with pytest.raises(Refused) as caught:
            world.succeed("gy-poverty-relief", "zy-poverty-relief", by=CITY_REGULATOR)
        assert [reason.parameters["office"] for reason in caught.value.reasons] == ["zy-poverty-relief"]
        assert world.succeed("gy-poverty-relief", "zy-poverty-relief", by=REGULATOR).successor.id == "zy-poverty-relief"

    @pytest.mark.parametrize(
        ("old", "new", "on", "words", "error", "code"),
        [
            (POVERTY, POVERTY, TODAY, ACT, InputInvalid, "succession-of-itself"),
            (POVERTY, RURAL, TODAY + timedelta(days=1), ACT, InputInvalid, "succession-day-ahead"),
            (POVERTY, RURAL, TODAY, "  ", InputInvalid, "succession-words-missing"),
            ("gz-nobody", RURAL, TODAY, ACT, NotFound, "office-unknown"),
            (POVERTY, "gz-nobody", TODAY, ACT, NotFound, "office-unknown"),
        ],
    )
    def test_what_cannot_be_is_told_and_nothing_happens(self, world: World, old, new, on, words, error, code) -> None:
        entries = len(world.kinds())
        with pytest.raises(error) as caught:
            world.succeed(old, new, on=on, words=words)
        assert codes(caught.value) == {code}
        assert world.stores.parties.office(POVERTY).valid_to is None and len(world.kinds()) == entries

    def test_days_before_either_office_began(self, world: World) -> None:
        began = replace(world.stores.parties.office(POVERTY), valid_from=date(2020, 1, 1))
        world.stores.parties.put_office(began)
        world.stores.parties.put_office(replace(world.stores.parties.office(RURAL), valid_from=date(2021, 1, 1)))
        with pytest.raises(InputInvalid) as caught:
            world.succeed(on=date(2019, 1, 1))
        assert codes(caught.value) == {"succession-before-office", "succession-successor-later"}

    def test_an_office_closes_once_and_a_closed_one_succeeds_nobody(self, world: World) -> None:
        world.succeed()
        with pytest.raises(Conflict) as again:
            world.succeed()
        with pytest.raises(Conflict) as closed:
            world.succeed(RURAL, POVERTY)
        assert codes(again.value) == {"succession-office-closed"} and codes(closed.value) == {"office-closed"}

    def test_the_successor_may_have_lain_below(self, world: World) -> None:
        world.succeed(POVERTY, "zy-poverty-relief")
        assert world.stores.parties.office("zy-poverty-relief").superior is None
        assert world.stores.parties.office("gy-poverty-relief").superior == "zy-poverty-relief"

    @pytest.mark.parametrize("failing_entry", range(1, 7))
    def test_if_the_ledger_cannot_be_written_nothing_happened(self, world: World, failing_entry: int) -> None:
        world.grant(LOW_INCOME, by=POVERTY_ANALYST)
        waiting = world.ask(HOUSEHOLD, by=HEALTH_ANALYST)
        before = picture(world)
        append, count = world.ledger.append, [0]

        def fails(**entry):
            count[0] += 1
            if count[0] == failing_entry:
                raise Unavailable.because("ledger-stalled", seconds=301, limit=300)
            return append(**entry)

        object.__setattr__(world.succession.ledger, "append", fails)
        with pytest.raises(Unavailable):
            world.succeed()
        assert picture(world) == before and world.stores.sharing.request(waiting.id).provider == POVERTY

    def test_an_entry_that_is_published_while_the_catalogue_is_looked_through_moves_too(self, world: World) -> None:
        late = [replace(HOUSEHOLD, id="poverty.late")]
        every = world.stores.catalog.every_dataset

        def every_dataset():
            found = list(every())
            if late:
                world.catalog.publish(late.pop(), by=POVERTY_OFFICER)
            return iter(found)

        world.stores.catalog.every_dataset = every_dataset
        assert "poverty.late" in world.succeed().datasets

    def test_a_person_of_both_offices_has_one_post_with_the_roles_of_both(self, world: World) -> None:
        world.stores.parties.put_actor(person("li", RURAL, Role.REVIEWER))
        world.succeed(by=OPERATOR)
        (li,) = world.stores.parties.actors_of("li")
        assert li.roles == {Role.ANALYST, Role.REVIEWER}


def picture(world: World) -> tuple[object, ...]:
    stores = world.stores
    return (
        dict(stores.sharing._requests),
        dict(stores.sharing._grants),
        dict(stores.catalog._datasets),
        dict(stores.parties._offices),
        dict(stores.parties._actors),
        stores.epoch.current(),
        len(stores.ledger.pending(10_000)),
    )


def test_the_office_sees_its_moved_grants_and_requests(world: World) -> None:
    world.grant(LOW_INCOME, by=POVERTY_ANALYST)
    world.succeed()
    assert [grant.moved_from is not None for grant in world.sharing.grants(by=RURAL_ANALYST, side=Side.APPLICANT)] == [True]
