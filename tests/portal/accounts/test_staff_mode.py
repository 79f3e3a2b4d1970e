"""No silent superuser: an operator's post is one only while staff mode is open. On both databases."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.portal.accounts.one_time_codes import one_time_code
from tests.portal.accounts.test_accounts import CIVIL, MEDICAL, SUN, accounts, clock, code_of, entries, meant
from tests.portal.accounts.test_accounts import OPERATOR as ON_THE_MACHINE

from huitong.errors import Conflict, InputInvalid, Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.portal.accounts.actions import Accounts, NewPerson
from huitong.portal.accounts.models import Account
from huitong.testing import MemoryClock

__all__ = ["accounts", "clock"]
SHI = NewPerson("shi", "施", CIVIL.id, frozenset({Role.OPERATOR, Role.ANALYST}), password="long and dull enough")


@pytest.fixture
def shi(accounts: Accounts) -> Actor:
    accounts.register_people([SHI], by=ON_THE_MACHINE)
    (found,) = accounts.posts_of("shi")
    return found


@pytest.fixture
def code(accounts: Accounts, shi: Actor, clock: MemoryClock) -> Callable[[], str]:
    """The code that the operator's app shows now, a new one at each call."""
    secret = accounts.new_secret()
    accounts.set_up_app(secret, one_time_code(secret, clock()), by=shi)

    def next_code() -> str:
        clock.advance(seconds=30)
        return one_time_code(secret, clock())

    return next_code


def open_now(accounts: Accounts, by: Actor, code: str, **more: object) -> Actor:
    accounts.open_staff(by=by, words="register an analyst", code=code, **more)  # type: ignore[arg-type]
    return accounts.actor_in_post(by.person, by.post)


def test_an_operator_without_staff_mode_is_none(accounts: Accounts, shi: Actor) -> None:
    """By token, by session, by password: the role is not there, so every check of every part says no by itself."""
    token = accounts.issue_token(shi.post, by=shi).text
    for actor in (accounts.actor_for_token(token), shi, *accounts.sign_in("shi", SHI.password or "")):
        assert actor.roles == {Role.ANALYST}
        assert code_of(lambda actor=actor: accounts.register_people([SUN], by=actor), Refused) == "operator-only"


def test_staff_mode_gives_the_role_and_takes_it_again(accounts: Accounts, shi: Actor, code: Callable[[], str]) -> None:
    token = accounts.issue_token(shi.post, by=shi).text
    epoch = accounts.stores.epoch.current()
    accounts.open_staff(by=shi, words="register an analyst", minutes=10, code=code())
    assert accounts.stores.epoch.current() == epoch + 1
    staff = accounts.actor_for_token(token)
    assert staff.has(Role.OPERATOR)
    assert accounts.register_people([SUN], by=staff) == 1
    accounts.close_staff(by=staff)
    assert not accounts.actor_for_token(token).has(Role.OPERATOR)
    assert code_of(lambda: accounts.close_staff(by=staff), Conflict) == "staff-not-open"
    told = [body for kind, body in entries(accounts) if kind in (EntryKind.STAFF_OPENED, EntryKind.STAFF_CLOSED)]
    assert meant(accounts, told[0]["words"]) == "register an analyst"
    assert told[0]["until"] and told[1] == {"person": "shi", "post": shi.post, "by": "shi"}


def test_staff_mode_ends_by_the_clock_to_the_microsecond(
    accounts: Accounts, shi: Actor, code: Callable[[], str], clock: MemoryClock
) -> None:
    given = code()
    until = clock() + timedelta(minutes=10)
    open_now(accounts, shi, given, minutes=10)
    clock.advance(minutes=10, microseconds=-1)
    assert accounts.actor_in_post("shi", shi.post).has(Role.OPERATOR)
    clock.advance(microseconds=1)
    assert not accounts.actor_in_post("shi", shi.post).has(Role.OPERATOR)
    status = accounts.staff_status(by=shi)
    assert (status.may_open, status.open) == (True, False)
    assert open_now(accounts, shi, code()).has(Role.OPERATOR), "and can be opened again"
    assert entries(accounts)[-2][1]["until"] == until.isoformat()


def test_what_opening_asks_for(accounts: Accounts, shi: Actor, code: Callable[[], str]) -> None:
    for words, minutes, error, reason in (
        (" ", 10, InputInvalid, "staff-words-missing"),
        ("why", 61, InputInvalid, "staff-minutes-invalid"),
        ("why", 0, InputInvalid, "staff-minutes-invalid"),
        ("why", 10, Refused, "second-factor-needed"),
    ):
        act = lambda words=words, minutes=minutes: accounts.open_staff(by=shi, words=words, minutes=minutes)  # noqa: E731
        assert code_of(act, error) == reason
    given = code()
    assert code_of(lambda: accounts.open_staff(by=shi, words="why", code="000000"), Refused) == "second-factor-wrong"
    open_now(accounts, shi, given)
    assert code_of(lambda: accounts.open_staff(by=shi, words="why", code=code()), Conflict) == "staff-already-open"
    accounts.close_staff(by=shi)
    assert code_of(lambda: accounts.open_staff(by=shi, words="why", code=given), Refused) == "second-factor-wrong", "a code counts once"


def test_an_operator_without_a_second_factor_opens_nothing(accounts: Accounts, shi: Actor) -> None:
    assert code_of(lambda: accounts.open_staff(by=shi, words="why"), Refused) == "second-factor-missing"
    lenient = replace(accounts, sign_in_rules=replace(accounts.sign_in_rules, needs_second_factor=frozenset()))
    assert lenient.open_staff(by=shi, words="why").open, "which is data, with its source"


def test_only_an_operators_own_post_has_staff_mode(accounts: Accounts, shi: Actor, code: Callable[[], str]) -> None:
    accounts.add_post("shi", office=MEDICAL.id, roles=[Role.ANALYST], by=ON_THE_MACHINE)
    other = accounts.actor_in_post("shi", "shi@gz-medical-security")
    assert code_of(lambda: accounts.open_staff(by=other, words="why", code=code()), Refused) == "staff-not-operator"
    assert not accounts.staff_status(by=other).may_open
    open_now(accounts, shi, code())
    assert not accounts.actor_in_post("shi", other.post).has(Role.OPERATOR)


def test_ending_the_post_ends_staff_mode_with_it(accounts: Accounts, shi: Actor, code: Callable[[], str]) -> None:
    staff = open_now(accounts, shi, code())
    accounts.leave("shi", by=staff)
    assert list(accounts.posts_of("shi")) == []
    assert not accounts.staff_status(by=shi).open


def test_a_flag_in_the_table_gives_nothing(accounts: Accounts, using: str) -> None:
    """`is_staff` is a word that Django reads; nothing of ours does."""
    accounts.register_people([SUN], by=ON_THE_MACHINE)
    Account.objects.using(using).filter(username="sun.li").update(is_staff=True)
    (actor,) = accounts.posts_of("sun.li")
    assert not actor.has(Role.OPERATOR)
    assert code_of(lambda: accounts.register_people([SUN], by=actor), Refused) == "operator-only"


def test_the_numbers_have_a_source(accounts: Accounts) -> None:
    assert accounts.staff_rules.source and accounts.sign_in_rules.source
    assert accounts.staff_rules.usual <= accounts.staff_rules.longest == timedelta(minutes=60)
