"""What moves when one office takes the place of another: posts, requests, grants; and the full metadata of an entry at rest."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from tests.portal.examples import (
    ANALYST,
    CIVIL,
    COUNTY,
    DIVISIONS,
    HOUSEHOLDS,
    MEDICAL,
    NOON,
    PROVINCE,
    REVIEWER,
    Example,
    answer,
    credit_code,
    grant,
    put_account,
    request,
)

from huitong.model.catalog import Grade, Item, ItemType, Openness, ResourceFormat, SharingManner, Visibility
from huitong.model.party import Actor, Role
from huitong.model.policy import GrantEvent, GrantEventKind, GrantState
from huitong.model.sharing import RequestEventKind, RequestState
from huitong.model.text import BilingualText
from huitong.portal.accounts.models import Account, Post
from huitong.portal.stores import Stores
from huitong.testing import MemoryStores

NEW = replace(CIVIL, id="gz-social-affairs", credit_code=credit_code(9), division=COUNTY)
FULL = replace(
    HOUSEHOLDS,
    items=(
        *HOUSEHOLDS.items,
        Item(
            "note",
            BilingualText(zh="备注", en="Note"),
            ItemType.TEXT,
            Grade.CORE,
            legal_basis="Act, article 1",
            collector=MEDICAL.id,
            derived_from=("civil.base#note", "civil.base#备注"),
        ),
    ),
    format=ResourceFormat.SPREADSHEET,
    sharing_manner=SharingManner.FILE,
    openness=Openness.CONDITIONAL,
    openness_condition=BilingualText(zh="注明来源。", en="Name the source."),
    legal_basis="Act, article 2",
    related=("3-01-0101/000002", "3-01-0101/000003"),
    primary_key=("resident_id", "户籍地"),
    derived_from=("civil.base",),
    visibility=Visibility.NAMED,
    known_to=(MEDICAL.id,),
    spatial=PROVINCE,
    licence="CC-BY-4.0",
    keep_days=30,
)


@pytest.fixture
def both(example: Example) -> list[Any]:
    """The database and memory with the same offices and people; the new office stands beside them."""
    memory = MemoryStores()
    memory.divisions.put_divisions(DIVISIONS)
    for one in (CIVIL, MEDICAL):
        memory.parties.put_office(one)
    for actor in (REVIEWER, ANALYST):
        memory.parties.put_actor(actor)
    memory.catalog.put_dataset(HOUSEHOLDS, index={})
    for stores in (example.stores, memory):
        with stores.atomic():
            stores.parties.put_office(NEW)
    return [example.stores, memory]


def put_actor(stores: Any, actor: Actor) -> None:
    put_account(stores.using, actor) if isinstance(stores, Stores) else stores.parties.put_actor(actor)


def test_every_part_of_an_entry_comes_out_as_it_was_put_in(both: list[Any]) -> None:
    other = replace(HOUSEHOLDS, id="civil.z")
    for stores in both:
        with stores.atomic():
            stores.catalog.put_dataset(FULL, index={})
            stores.catalog.put_dataset(other, index={})
        assert stores.catalog.dataset(FULL.id) == FULL
        assert stores.catalog.datasets([other.id, FULL.id, "unknown", FULL.id, "\0"]) == {FULL.id: FULL, other.id: other}
        assert list(stores.catalog.every_dataset()) == [FULL, other]


def test_an_office_that_was_succeeded_keeps_its_history(both: list[Any]) -> None:
    closed = replace(CIVIL, valid_from=date(2000, 1, 1), valid_to=date(2026, 4, 1), successor=NEW.id)
    for stores in both:
        with stores.atomic():
            stores.parties.put_office(closed)
        assert stores.parties.office(CIVIL.id) == closed


def test_divisions_of_every_edition_come_out_parents_first(both: list[Any]) -> None:
    ended = replace(
        DIVISIONS[2], code="520199000000", valid_from=date(2000, 1, 1), valid_to=date(2023, 1, 1), successors=(COUNTY, PROVINCE)
    )
    for stores in both:
        with stores.atomic():
            stores.divisions.put_divisions([ended])
        assert list(stores.divisions.divisions()) == [*DIVISIONS, ended]


def test_posts_move_to_the_successor_with_their_roles(both: list[Any]) -> None:
    both_posts = replace(REVIEWER, person="chen", name="陈", post="chen@gz-civil-affairs", roles=frozenset({Role.ANALYST}))
    there = replace(both_posts, post="chen.there", office=NEW.id, division=COUNTY, roles=frozenset({Role.REVIEWER, Role.ANALYST}))
    for stores in both:
        put_actor(stores, both_posts)
        put_actor(stores, there)
        with stores.atomic():
            moved = stores.parties.move_posts(CIVIL.id, NEW.id, at=NOON + timedelta(days=9))
        assert list(moved) == [(both_posts.post, there.post), (REVIEWER.post, "li.na@gz-social-affairs")]
        assert list(stores.parties.actors_of("li.na")) == [
            replace(REVIEWER, post="li.na@gz-social-affairs", office=NEW.id, division=COUNTY)
        ]
        assert list(stores.parties.actors_of("chen")) == [there]
        assert list(stores.parties.actors_of(ANALYST.person)) == [ANALYST]
        with stores.atomic():
            assert list(stores.parties.move_posts(CIVIL.id, NEW.id, at=NOON + timedelta(days=10))) == []


def test_a_post_of_the_same_name_that_ended_before_is_not_taken_again(example: Example) -> None:
    stores = example.stores
    with stores.atomic():
        stores.parties.put_office(NEW)
        Post.objects.using(stores.using).create(
            id="li.na@gz-social-affairs",
            account=Account.objects.using(stores.using).get(username="li.na"),
            office_id=NEW.id,
            created_at=NOON,
            ended_at=NOON,
        )
        moved = stores.parties.move_posts(CIVIL.id, NEW.id, at=NOON + timedelta(days=1))
    assert list(moved) == [(REVIEWER.post, "li.na~2@gz-social-affairs")]
    assert Post.objects.using(stores.using).get(id=REVIEWER.post).ended_at == NOON + timedelta(days=1)


def test_open_requests_move_and_answered_ones_stay(both: list[Any]) -> None:
    for stores in both:
        store = stores.sharing
        with stores.atomic():
            for number in (1, 2, 3):
                store.add_request(request(number))
            store.append_event("R-000002", answer(RequestEventKind.REFUSED), expected_events=1)
            store.append_event("R-000003", answer(RequestEventKind.ENDORSED), expected_events=1)
        with stores.atomic():
            assert list(store.move_requests(CIVIL.id, NEW.id)) == ["R-000001", "R-000003"]
            assert list(store.move_requests(MEDICAL.id, NEW.id)) == ["R-000001", "R-000003"]
        assert store.request("R-000001") == replace(request(1), provider=NEW.id, applicant_office=NEW.id)
        endorsed = store.request("R-000003")
        assert (endorsed.state, endorsed.provider) == (RequestState.UNDER_REVIEW, NEW.id)
        assert store.request("R-000002").provider == CIVIL.id


def test_a_grant_moves_once_and_both_stand_for_the_request(both: list[Any]) -> None:
    old = grant(1)
    moved = replace(grant(2), provider=NEW.id, moved_from=old.id)
    for stores in both:
        with stores.atomic():
            stores.sharing.add_request(request())
            stores.sharing.add_grant(old)
            gone = replace(old, state=GrantState.REVOKED, revoked_at=NOON, revoked_because="succession")
            event = GrantEvent(GrantEventKind.MOVED, NOON, "rule", CIVIL.id, version=1)
            stores.sharing.change_grant(gone, event, expected_state=GrantState.ACTIVE)
            stores.sharing.add_grant(moved)
        assert stores.sharing.grant(old.id) == gone
        assert stores.sharing.grant(moved.id) == moved
        assert {one.id for one in stores.sharing.grants_of_office(MEDICAL.id)} == {old.id, moved.id}
    stores = both[0]
    with pytest.raises(IntegrityError), transaction.atomic(using=stores.using):
        stores.sharing.add_grant(replace(moved, id="G-000003"))
