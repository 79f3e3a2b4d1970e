"""Accounts, posts and tokens: who may sign in, what a token is worth, what the ledger says of it. On both databases."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.portal.examples import ANALYST, CIVIL, MEDICAL, NOON, PROVINCE, Example, credit_code

from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, NotSignedIn, Refused
from huitong.keystore import LEDGER_LITERALS, FileKeyStore
from huitong.ledger.literals import Literals
from huitong.ledger.log import Ledger
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.portal.accounts import models
from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
from huitong.portal.accounts.tokens import Scope, new_token, prefix_of, read_rules
from huitong.portal.stores import Stores
from huitong.testing import MemoryClock

OPERATOR = instance_operator("root")
TAX = replace(CIVIL, id="gz-tax", credit_code=credit_code(9))
SUN = NewPerson(
    username="sun.li", name="孙丽", office=CIVIL.id, roles=frozenset({Role.REVIEWER}), password="long and dull enough"
)


@pytest.fixture
def clock() -> MemoryClock:
    return MemoryClock(NOON)


@pytest.fixture
def accounts(example: Example, tmp_path: Path, clock: MemoryClock) -> Accounts:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    literals = Literals(example.stores.ledger, lambda: keys.secret_or_made(LEDGER_LITERALS))
    times = {"alarm_seconds": 10, "stop_seconds": 300}
    ledger = Ledger(example.stores.ledger, keys, clock, origin="huitong.example/test", literals=literals, **times)
    return Accounts(stores=example.stores, ledger=ledger, keystore=keys, clock=clock)


def entries(accounts: Accounts) -> list[tuple[EntryKind, dict]]:
    return [(promise.kind, json.loads(promise.payload)["body"]) for promise in accounts.stores.ledger.pending(100)]


def meant(accounts: Accounts, sealed: dict[str, str]) -> str:
    """The words of which an entry holds the salted hash."""
    assert set(sealed) == {"sealed"}
    return accounts.ledger.literals.show(sealed["sealed"]).text


def code_of(act: Callable[[], object], error: type[HuitongError]) -> str:
    with pytest.raises(error) as caught:
        act()
    return caught.value.reasons[0].code


def test_a_person_signs_in_with_the_post_given(accounts: Accounts) -> None:
    assert accounts.register_people([SUN], by=OPERATOR) == 1
    (actor,) = accounts.sign_in("sun.li", "long and dull enough")
    assert (actor.person, actor.name, actor.post, actor.office) == ("sun.li", "孙丽", "sun.li@gz-civil-affairs", CIVIL.id)
    assert (actor.division, actor.roles) == (PROVINCE, frozenset({Role.REVIEWER}))
    assert accounts.actor_in_post("sun.li", actor.post) == actor
    assert code_of(lambda: accounts.actor_in_post("sun.li", ANALYST.post), NotSignedIn) == "post-not-held"


def test_wrong_unknown_closed_and_passwordless_look_the_same(accounts: Accounts) -> None:
    service = replace(SUN, username="nightly-load", password=None)
    accounts.register_people([SUN, service], by=OPERATOR)
    assert code_of(lambda: accounts.sign_in("sun.li", "wrong"), NotSignedIn) == "password-wrong"
    assert code_of(lambda: accounts.sign_in("nobody", "wrong"), NotSignedIn) == "password-wrong"
    assert code_of(lambda: accounts.sign_in("nightly-load", ""), NotSignedIn) == "password-wrong"
    accounts.close_account("sun.li", by=OPERATOR)
    assert code_of(lambda: accounts.sign_in("sun.li", "long and dull enough"), NotSignedIn) == "password-wrong"


def test_no_account_is_born_with_power_of_its_own(accounts: Accounts, using: str) -> None:
    accounts.register_people([SUN], by=OPERATOR)
    row = models.Account.objects.using(using).get(username="sun.li")
    assert not row.is_staff
    assert not hasattr(row, "is_superuser")
    assert row.password.startswith("scrypt$")


def test_only_an_operator_registers(accounts: Accounts) -> None:
    for act in (
        lambda: accounts.register_people([SUN], by=ANALYST),
        lambda: accounts.register_offices([CIVIL], by=ANALYST),
        lambda: accounts.add_post("wang.wei", office=CIVIL.id, roles=[Role.REVIEWER], by=ANALYST),
        lambda: accounts.end_post(ANALYST.post, by=ANALYST),
        lambda: accounts.close_account("li.na", by=ANALYST),
        lambda: accounts.set_password("li.na", "x", by=ANALYST),
        lambda: accounts.tokens_of("li.na", by=ANALYST),
        lambda: accounts.issue_token("li.na@gz-civil-affairs", by=ANALYST),
    ):
        assert code_of(act, Refused) == "operator-only"
    assert entries(accounts) == []


@pytest.mark.parametrize(
    ("person", "error", "code"),
    [
        (replace(SUN, username="li.na"), Conflict, "account-exists"),
        (replace(SUN, username="a b"), InputInvalid, "account-name-invalid"),
        (replace(SUN, office="unknown"), NotFound, "office-not-registered"),
        (replace(SUN, roles=frozenset()), InputInvalid, "post-without-role"),
        (replace(SUN, post=ANALYST.post), Conflict, "post-exists"),
    ],
)
def test_one_wrong_person_leaves_none_registered(
    accounts: Accounts, person: NewPerson, error: type[HuitongError], code: str
) -> None:
    good = replace(SUN, username="zhao.min", password=None)
    before = accounts.stores.epoch.current()
    assert code_of(lambda: accounts.register_people([good, person], by=OPERATOR), error) == code
    assert list(accounts.stores.parties.actors_of("zhao.min")) == []
    assert (entries(accounts), accounts.stores.epoch.current()) == ([], before)


def test_the_ledger_tells_what_was_done_without_names_or_secrets(accounts: Accounts) -> None:
    accounts.register_offices([TAX], by=OPERATOR)
    accounts.register_people([SUN], by=OPERATOR)
    token = accounts.issue_token("sun.li@gz-civil-affairs", by=OPERATOR, scopes=[Scope.READ])
    accounts.revoke_token(token.prefix, by=OPERATOR)
    accounts.end_post("sun.li@gz-civil-affairs", by=OPERATOR)
    written = entries(accounts)
    assert [kind for kind, _ in written] == [
        EntryKind.OFFICE_REGISTERED,
        EntryKind.PERSON_REGISTERED,
        EntryKind.TOKEN_ISSUED,
        EntryKind.TOKEN_REVOKED,
        EntryKind.OPERATOR_ACTION,
    ]
    assert written[2][1] == {
        "token": token.prefix,
        "person": "sun.li",
        "post": "sun.li@gz-civil-affairs",
        "scopes": ["read"],
        "expires_at": "2026-05-31T04:00:00.123456+00:00",
        "by": "root",
    }
    text = json.dumps(written, ensure_ascii=False)
    assert "孙丽" not in text
    assert SUN.password not in text
    assert token.text.split("_", 2)[2] not in text


def test_every_change_moves_the_policy_epoch_once(accounts: Accounts) -> None:
    epoch = accounts.stores.epoch.current
    changes = [
        lambda: accounts.register_offices([TAX, MEDICAL], by=OPERATOR),
        lambda: accounts.register_people([SUN], by=OPERATOR),
        lambda: accounts.add_post("sun.li", office=MEDICAL.id, roles=[Role.ANALYST], by=OPERATOR),
        lambda: accounts.issue_token("sun.li@gz-civil-affairs", by=OPERATOR),
        lambda: accounts.set_password("sun.li", "another long one", by=OPERATOR),
        lambda: accounts.end_post("sun.li@gz-medical-security", by=OPERATOR),
        lambda: accounts.close_account("sun.li", by=OPERATOR),
    ]
    for number, change in enumerate(changes, 1):
        change()
        assert epoch() == number


def test_a_token_makes_its_post_act(accounts: Accounts) -> None:
    token = accounts.issue_token(ANALYST.post, by=ANALYST, label="notebook")
    assert accounts.actor_for_token(token.text) == ANALYST
    assert token.text not in repr(token)
    (summary,) = accounts.tokens_of("wang.wei", by=ANALYST)
    assert (summary.prefix, summary.label, summary.scopes, summary.revoked_at) == (
        token.prefix,
        "notebook",
        frozenset(Scope),
        None,
    )


def test_the_table_of_tokens_is_worth_nothing_without_the_key(accounts: Accounts, using: str, tmp_path: Path) -> None:
    token = accounts.issue_token(ANALYST.post, by=OPERATOR)
    row = models.Token.objects.using(using).get()
    assert token.text.encode() not in bytes(row.digest)
    other = FileKeyStore(tmp_path / "other")
    other.create()
    assert code_of(lambda: replace(accounts, keystore=other).actor_for_token(token.text), NotSignedIn) == "token-unknown"


def test_wrong_tokens_all_look_alike(accounts: Accounts) -> None:
    token = accounts.issue_token(ANALYST.post, by=OPERATOR).text
    for wrong in (
        "",
        "x",
        token[:-1],
        token + "A",
        token.upper(),
        new_token()[1],
        f"{token[:14]}密",
        "ht_",
        "ht__",
        "a" * 10_000,
    ):
        assert code_of(lambda wrong=wrong: accounts.actor_for_token(wrong), NotSignedIn) == "token-unknown"


def test_a_token_ends_at_its_instant(accounts: Accounts, clock: MemoryClock) -> None:
    token = accounts.issue_token(ANALYST.post, by=OPERATOR, lifetime=timedelta(hours=1))
    clock.advance(hours=1, microseconds=-1)
    assert accounts.actor_for_token(token.text) == ANALYST
    clock.advance(microseconds=1)
    assert code_of(lambda: accounts.actor_for_token(token.text), NotSignedIn) == "token-expired"


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=367)])
def test_a_token_lives_neither_never_nor_for_ever(accounts: Accounts, lifetime: timedelta) -> None:
    assert (
        code_of(lambda: accounts.issue_token(ANALYST.post, by=OPERATOR, lifetime=lifetime), InputInvalid)
        == "token-lifetime-invalid"
    )
    assert read_rules().source


def test_what_ends_a_token(accounts: Accounts) -> None:
    def fresh() -> str:
        return accounts.issue_token(ANALYST.post, by=OPERATOR).text

    revoked = fresh()
    accounts.revoke_token(prefix_of(revoked) or "", by=ANALYST)
    assert code_of(lambda: accounts.actor_for_token(revoked), NotSignedIn) == "token-revoked"
    assert code_of(lambda: accounts.revoke_token(prefix_of(revoked) or "", by=ANALYST), NotFound) == "token-not-found"
    token = fresh()
    accounts.end_post(ANALYST.post, by=OPERATOR)
    assert code_of(lambda: accounts.actor_for_token(token), NotSignedIn) == "token-post-ended"
    accounts.add_post("wang.wei", office=MEDICAL.id, roles=[Role.ANALYST], post="wang.wei-again", by=OPERATOR)
    token = accounts.issue_token("wang.wei-again", by=OPERATOR).text
    accounts.close_account("wang.wei", by=OPERATOR)
    assert code_of(lambda: accounts.actor_for_token(token), NotSignedIn) == "token-post-ended"
    assert code_of(fresh, NotFound) == "post-unknown"


def test_with_a_token_all_go_that_were_issued_with_it(accounts: Accounts) -> None:
    """Whoever got hold of a token for an hour may have issued others with it."""
    first = accounts.issue_token(ANALYST.post, by=OPERATOR)
    second = accounts.issue_token(ANALYST.post, by=ANALYST, by_token=first.text)
    third = accounts.issue_token(ANALYST.post, by=ANALYST, by_token=second.text)
    apart = accounts.issue_token(ANALYST.post, by=ANALYST)
    accounts.revoke_token(second.prefix, by=ANALYST)
    accounts.revoke_token(first.prefix, by=ANALYST)
    for gone in (first, second, third):
        assert code_of(lambda text=gone.text: accounts.actor_for_token(text), NotSignedIn) == "token-revoked"
    assert accounts.actor_for_token(apart.text).person == ANALYST.person
    told = [body for kind, body in entries(accounts) if kind is EntryKind.TOKEN_REVOKED]
    assert [(body["token"], body.get("with")) for body in told] == [
        (second.prefix, None),
        (third.prefix, second.prefix),
        (first.prefix, None),
    ]
    assert code_of(lambda: accounts.issue_token(ANALYST.post, by=ANALYST, by_token=first.text), NotSignedIn) == "token-revoked"


def test_nobody_revokes_the_token_of_another(accounts: Accounts) -> None:
    token = accounts.issue_token("li.na@gz-civil-affairs", by=OPERATOR)
    assert code_of(lambda: accounts.revoke_token(token.prefix, by=ANALYST), NotFound) == "token-not-found"
    assert accounts.actor_for_token(token.text).person == "li.na"


def test_a_token_does_what_it_was_issued_for(accounts: Accounts) -> None:
    token = accounts.issue_token(ANALYST.post, by=OPERATOR, scopes=[Scope.READ]).text
    assert accounts.actor_for_token(token, scope=Scope.READ) == ANALYST
    assert code_of(lambda: accounts.actor_for_token(token, scope=Scope.USE), Refused) == "token-scope-missing"
    assert code_of(lambda: accounts.issue_token(ANALYST.post, by=OPERATOR, scopes=[]), InputInvalid) == "token-without-scope"


def test_checking_a_token_costs_one_statement_and_notes_its_use_once_an_hour(
    accounts: Accounts, clock: MemoryClock, queries: Callable[[], int], stores: Stores
) -> None:
    token = accounts.issue_token(ANALYST.post, by=OPERATOR).text
    accounts.actor_for_token(token)
    queries()
    clock.advance(minutes=59)
    accounts.actor_for_token(token)
    assert queries() == 1  # the policy epoch
    assert accounts.tokens_of("wang.wei", by=OPERATOR)[0].last_used_at == NOON
    clock.advance(minutes=1)
    accounts.actor_for_token(token)
    assert accounts.tokens_of("wang.wei", by=OPERATOR)[0].last_used_at == NOON + timedelta(hours=1)


def test_offices_that_did_not_change_leave_no_trace(accounts: Accounts) -> None:
    assert accounts.register_offices([CIVIL, MEDICAL], by=OPERATOR) == 0
    assert accounts.register_offices([CIVIL, TAX], by=OPERATOR) == 1
    assert [body["office"] for _, body in entries(accounts)] == ["gz-tax"]
    wrong = replace(TAX, id="Tax Office")
    assert code_of(lambda: accounts.register_offices([wrong], by=OPERATOR), InputInvalid) == "office-id-invalid"


def test_the_longest_names_fit(accounts: Accounts) -> None:
    person = NewPerson(username="a" * 64, name="名" * 300, office=CIVIL.id, roles=frozenset(Role))
    accounts.register_people([person], by=OPERATOR)
    (actor,) = accounts.stores.parties.actors_of("a" * 64)
    assert (actor.name, actor.roles) == ("名" * 300, frozenset(Role))


def test_a_list_of_offices_that_is_entered_again_opens_no_closed_office(accounts: Accounts) -> None:
    """A succession is not undone in passing: the list knows nothing of it."""
    accounts.register_offices([TAX], by=OPERATOR)
    closed = replace(TAX, valid_to=NOON.date(), successor=CIVIL.id)
    accounts.stores.parties.put_office(closed)
    moved = replace(TAX, title=replace(TAX.title, en="Tax Service, as it was"))
    accounts.register_offices([moved], by=OPERATOR)
    assert accounts.stores.parties.office(TAX.id) == replace(closed, title=moved.title)
    assert accounts.register_offices([TAX], by=OPERATOR) == 1
    assert accounts.register_offices([TAX], by=OPERATOR) == 0
