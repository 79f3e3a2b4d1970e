"""Every identifier of a linkage group gets another token, at one instant, for all its grants; a key that others may know is left."""

import pytest
from tests.spec.sharing.world import (
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    EDUCATION,
    EDUCATION_ANALYST,
    HOMES,
    MEDICAL,
    MEDICAL_ANALYST,
    World,
    says_no,
)

from huitong.errors import Conflict, InputInvalid, NotFound
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor
from huitong.model.policy import Grant
from huitong.model.pseudonym import KeyEpoch, RenewalCause

GROUP = f"{MEDICAL}:social-assistance"
OTHERS = f"{EDUCATION}:social-assistance"
BY = {"by": "shi", "login": "root"}


@pytest.fixture
def granted(world: World) -> Grant:
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    return prepared(world, MEDICAL_ANALYST)


def prepared(world: World, analyst: Actor) -> Grant:
    return world.sharing.prepare(world.sharing.grant_of(world.ask(HOMES, "person_id", "village", by=analyst)).id)


def epoch(world: World, group: str = GROUP) -> tuple[int, int]:
    found = world.sharing.key_epoch(group)
    return found.number, found.key


def test_a_grant_that_is_over_has_no_tokens_to_renew(world: World, granted: Grant) -> None:
    world.clock.advance(days=365)
    with says_no(NotFound, "pseudonym-group-unknown"):
        world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)


def test_the_new_tokens_are_those_of_the_next_epoch(world: World, granted: Grant) -> None:
    world.told()
    began = world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)
    assert (began.number, began.key, began.began_at) == (2, 1, world.clock())
    assert epoch(world) == (2, 1)
    assert world.stores.side_tables.epochs[-1] == (GROUP, 2, 1)
    kind, body = world.ledger.written[-1]
    assert kind is EntryKind.PSEUDONYMS_RENEWED
    assert (body["linkage_group"], body["number"], body["before"], body["cause"]) == (GROUP, 2, 1, "planned")
    assert (body["grants"], body["by"]) == ([granted.id], "shi")
    assert world.told() == ["pseudonyms-renewed"]


def test_a_snapshot_after_a_renewal_is_held_in_the_epoch_in_force(world: World, granted: Grant) -> None:
    world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)
    world.sharing.take_snapshot(world.snapshot(HOMES, 2), by=CIVIL_OFFICER)
    assert world.stores.side_tables.epochs[-1] == (GROUP, 2, 1)


def test_a_snapshot_that_comes_during_a_renewal_is_held_in_both_epochs(world: World, granted: Grant) -> None:
    build, came = world.stores.side_tables.build, []

    def build_while_a_snapshot_comes(*arguments, **named) -> None:
        build(*arguments, **named)
        if not came:
            came.append(True)
            world.sharing.take_snapshot(world.snapshot(HOMES, 2), by=CIVIL_OFFICER)

    world.stores.side_tables.build = build_while_a_snapshot_comes
    world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)
    assert world.stores.side_tables.epochs[1:] == [(GROUP, 2, 1), (GROUP, 1, 1), (GROUP, 2, 1)]


def test_a_renewal_during_a_snapshot_makes_the_snapshot_wait_for_the_new_tokens(world: World, granted: Grant) -> None:
    build, came = world.stores.side_tables.build, []

    def build_while_someone_renews(*arguments, **named) -> None:
        build(*arguments, **named)
        if not came:
            came.append(True)
            world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)

    world.stores.side_tables.build = build_while_someone_renews
    world.sharing.take_snapshot(world.snapshot(HOMES, 2), by=CIVIL_OFFICER)
    assert epoch(world) == (2, 1)
    assert world.stores.side_tables.epochs[-1] == (GROUP, 2, 1)


def test_a_renewal_that_fails_changes_nothing(world: World, granted: Grant) -> None:
    world.stores.side_tables.fails = True
    with pytest.raises(OSError, match="no space"):
        world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)
    assert epoch(world) == (1, 1)
    assert EntryKind.PSEUDONYMS_RENEWED not in world.ledger.kinds


def test_two_renewals_at_once_are_two_epochs_or_one_says_so(world: World, granted: Grant) -> None:
    with world.stores.atomic(), says_no(Conflict, "key-epoch-moved"):
        world.stores.pseudonym_epochs.add(KeyEpoch(GROUP, 1, 1))
    build, came = world.stores.side_tables.build, []

    def build_while_another_renews(*arguments, **named) -> None:
        build(*arguments, **named)
        if not came:
            came.append(True)
            world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)

    world.stores.side_tables.build = build_while_another_renews
    assert world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED).number == 3


def test_a_leaked_key_is_left_by_every_group_that_uses_it(world: World, granted: Grant) -> None:
    prepared(world, EDUCATION_ANALYST)
    world.pseudonyms.renew(OTHERS, by=BY, cause=RenewalCause.PLANNED)
    began = world.pseudonyms.leave_key(1, by=BY)
    assert {(one.linkage_group, one.number, one.key) for one in began} == {(GROUP, 2, 2), (OTHERS, 3, 2)}
    assert world.keys_made == {1, 2}
    assert world.ledger.written[-1][1]["cause"] == "key-leaked"
    with says_no(NotFound, "pseudonym-key-unused"):
        world.pseudonyms.leave_key(1, by=BY)


def test_leaving_a_key_goes_on_where_it_was_interrupted(world: World, granted: Grant) -> None:
    prepared(world, EDUCATION_ANALYST)
    world.pseudonyms.renew(OTHERS, by=BY, cause=RenewalCause.KEY_LEAKED, key=2)
    assert [one.linkage_group for one in world.pseudonyms.leave_key(1, by=BY)] == [GROUP]
    assert (epoch(world), epoch(world, OTHERS)) == ((2, 2), (2, 2))


def test_a_group_that_comes_after_a_leak_takes_the_new_key(world: World, granted: Grant) -> None:
    world.pseudonyms.leave_key(1, by=BY)
    prepared(world, EDUCATION_ANALYST)
    assert epoch(world, OTHERS) == (1, 2)
    with says_no(InputInvalid, "pseudonym-key-older"):
        world.pseudonyms.renew(OTHERS, by=BY, cause=RenewalCause.PLANNED, key=1)


def test_tables_of_ended_epochs_go(world: World, granted: Grant) -> None:
    world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)
    assert world.pseudonyms.sweep() == 0
    assert world.stores.side_tables.retired == {(GROUP, 1, 1)}


def test_a_group_without_a_standing_grant_has_nothing_to_renew(world: World, granted: Grant) -> None:
    assert [(one.epoch.linkage_group, one.grants) for one in world.pseudonyms.groups()] == [(GROUP, (granted.id,))]
    world.sharing.revoke(granted.id, by=CIVIL_REVIEWER, words="over")
    assert world.pseudonyms.groups() == []
    with says_no(NotFound, "pseudonym-group-unknown"):
        world.pseudonyms.renew(GROUP, by=BY, cause=RenewalCause.PLANNED)
