"""A grant with pseudonyms may be used once its side tables stand; a new snapshot comes into force after they were extended."""

import pytest
from tests.spec.sharing.world import (
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    HOMES,
    MEDICAL,
    MEDICAL_ANALYST,
    World,
    says_no,
)

from huitong.errors import Conflict, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.policy import GrantState

GROUP = f"{MEDICAL}:social-assistance"
SIDE_TABLE = (GROUP, HOMES.id, "person_id")


def grant_with_pseudonyms(world: World):
    """A granted request for the identity number, whose default mask is the pseudonym."""
    return world.sharing.grant_of(world.ask(HOMES, "person_id", "village"))


def test_a_grant_with_pseudonyms_is_prepared_before_it_may_be_used(world: World) -> None:
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    grant = grant_with_pseudonyms(world)
    assert grant.state is GrantState.PREPARING and not grant.valid_at(world.clock())

    prepared = world.sharing.prepare(grant.id)
    assert prepared.state is GrantState.ACTIVE and prepared.valid_at(world.clock())
    assert world.stores.side_tables.built[SIDE_TABLE] == {1}
    assert world.ledger.kinds[-1] is EntryKind.GRANT_ACTIVATED
    assert world.sharing.prepare(grant.id) == world.sharing.grant(grant.id, by=MEDICAL_ANALYST), "once more does no harm"


def test_a_builder_that_fails_leaves_the_grant_waiting(world: World) -> None:
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    grant = grant_with_pseudonyms(world)
    other = world.sharing.grant_of(world.ask(HOMES, "village"))
    world.stores.side_tables.fails = True
    with pytest.raises(OSError, match="no space"):
        world.sharing.prepare_waiting()
    assert world.sharing.grant(grant.id, by=MEDICAL_ANALYST).state is GrantState.PREPARING
    assert other.state is GrantState.ACTIVE

    world.stores.side_tables.fails = False
    assert [one.id for one in world.sharing.prepare_waiting()] == [grant.id]


def test_a_grant_revoked_while_it_is_prepared_stays_revoked(world: World) -> None:
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    grant = grant_with_pseudonyms(world)
    build = world.stores.side_tables.build

    def build_while_someone_revokes(*arguments, **named) -> None:
        build(*arguments, **named)
        world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="not after all")

    world.stores.side_tables.build = build_while_someone_revokes
    with says_no(Conflict, "grant-moved"):
        world.sharing.prepare(grant.id)
    assert world.sharing.grant(grant.id, by=MEDICAL_ANALYST).state is GrantState.REVOKED
    with says_no(Conflict, "grant-already-revoked"):
        world.sharing.prepare(grant.id)
    assert world.sharing.prepare_waiting() == []


def test_a_snapshot_that_comes_while_a_grant_is_prepared_is_prepared_too(world: World) -> None:
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    grant = grant_with_pseudonyms(world)
    build = world.stores.side_tables.build
    came = []

    def build_while_a_snapshot_comes(*arguments, **named) -> None:
        build(*arguments, **named)
        if not came:
            came.append(True)
            world.stores.catalog.add_snapshot(world.snapshot(HOMES, 2))

    world.stores.side_tables.build = build_while_a_snapshot_comes
    assert world.sharing.prepare(grant.id).state is GrantState.ACTIVE
    assert world.stores.side_tables.built[SIDE_TABLE] == {1, 2}


def test_a_new_snapshot_is_in_force_only_after_the_side_tables_hold_it(world: World) -> None:
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    grant = grant_with_pseudonyms(world)
    world.sharing.prepare(grant.id)

    world.stores.side_tables.fails = True
    with pytest.raises(OSError, match="no space"):
        world.sharing.take_snapshot(world.snapshot(HOMES, 2), by=CIVIL_OFFICER)
    assert world.stores.catalog.current_snapshot(HOMES.id).version == 1

    world.stores.side_tables.fails = False
    world.sharing.take_snapshot(world.snapshot(HOMES, 2), by=CIVIL_OFFICER)
    assert world.stores.catalog.current_snapshot(HOMES.id).version == 2
    assert world.stores.side_tables.built[SIDE_TABLE] == {1, 2}
    assert world.ledger.kinds[-1] is EntryKind.SNAPSHOT_TAKEN


def test_a_grant_made_while_a_snapshot_is_taken_is_served_by_it(world: World) -> None:
    world.sharing.prepare(grant_with_pseudonyms(world).id)
    build = world.stores.side_tables.build
    asked = []

    def build_while_another_asks(*arguments, **named) -> None:
        build(*arguments, **named)
        if not asked:
            asked.append(world.ask(HOMES, "person_id", purpose="statistics"))

    world.stores.side_tables.build = build_while_another_asks
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    assert world.stores.side_tables.built[f"{MEDICAL}:statistics", HOMES.id, "person_id"] == {1}


def test_ended_grants_are_not_prepared_for(world: World) -> None:
    world.sharing.revoke(grant_with_pseudonyms(world).id, by=CIVIL_REVIEWER, words="over")
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    assert SIDE_TABLE not in world.stores.side_tables.built


def test_only_a_data_officer_of_the_managing_office_takes_a_snapshot(world: World) -> None:
    with says_no(Refused, "role-missing", "dataset-of-other-office"):
        world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=MEDICAL_ANALYST)
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_ALL_ROLES)
    with says_no(Conflict, "snapshot-not-newer"):
        world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    with says_no(NotFound, "grant-unknown"):
        world.sharing.prepare("G-2026-000099")
