"""People hold posts, move and leave; services have keepers. On both databases."""

from dataclasses import replace

import pytest
from tests.portal.accounts.test_accounts import CIVIL, MEDICAL, OPERATOR, SUN, accounts, clock, code_of, entries, meant
from tests.portal.examples import ANALYST, HOUSEHOLDS, REVIEWER, Example, grant, request

from huitong.errors import Conflict, InputInvalid, NotFound, NotSignedIn, Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.policy.decide import decide
from huitong.portal.accounts.actions import Accounts, NewPerson
from huitong.portal.accounts.models import Account
from huitong.portal.accounts.tokens import Scope

__all__ = ["accounts", "clock"]
LOADER = NewPerson("nightly-load", "夜间装载", CIVIL.id, frozenset({Role.DATA_OFFICER}), keeper="li.na")
ORDER = "黔人〔2026〕31号"


def last(accounts: Accounts) -> tuple[EntryKind, dict]:
    return entries(accounts)[-1]


# --- leaving ----------------------------------------------------------------------------------------------------------------


def test_who_leaves_is_out_everywhere_at_once(accounts: Accounts) -> None:
    accounts.register_people([SUN], by=OPERATOR)
    accounts.add_post("sun.li", office=MEDICAL.id, roles=[Role.ANALYST], by=OPERATOR)
    tokens = [accounts.issue_token(post.post, by=OPERATOR).text for post in accounts.posts_of("sun.li")]
    before = accounts.stores.epoch.current()
    left = accounts.leave("sun.li", by=OPERATOR, words=ORDER)
    assert (left.closed, len(left.ended)) == (True, 2)
    for token in tokens:
        assert code_of(lambda token=token: accounts.actor_for_token(token), NotSignedIn) == "token-post-ended"
    assert code_of(lambda: accounts.sign_in("sun.li", SUN.password or ""), NotSignedIn) == "password-wrong"
    assert list(accounts.posts_of("sun.li")) == []
    assert accounts.stores.epoch.current() == before + 1
    kind, body = last(accounts)
    assert (kind, meant(accounts, body["words"]), body["closed"], body["by"]) == (EntryKind.PERSON_LEFT, ORDER, True, "root")


def test_who_leaves_one_of_two_posts_keeps_the_other(accounts: Accounts) -> None:
    accounts.register_people([SUN], by=OPERATOR)
    accounts.add_post("sun.li", office=MEDICAL.id, roles=[Role.ANALYST], by=OPERATOR)
    left = accounts.leave("sun.li", by=OPERATOR, post="sun.li@gz-civil-affairs")
    assert (left.ended, left.closed) == (("sun.li@gz-civil-affairs",), False)
    assert [post.office for post in accounts.sign_in("sun.li", SUN.password or "")] == [MEDICAL.id]
    (one,) = accounts.posts_of("sun.li")
    assert accounts.leave("sun.li", by=one, post=one.post).closed, "the last post closes the account"
    assert code_of(lambda: accounts.leave("sun.li", by=OPERATOR), NotFound) == "account-unknown"


def test_one_may_leave_oneself_and_nobody_else(accounts: Accounts) -> None:
    assert code_of(lambda: accounts.leave("li.na", by=ANALYST), Refused) == "operator-only"
    assert code_of(lambda: accounts.leave("wang.wei", by=ANALYST, post="li.na@gz-civil-affairs"), NotFound) == "post-unknown"
    assert accounts.leave("wang.wei", by=ANALYST).closed


def test_sessions_of_a_closed_account_stay_ended_even_if_it_were_opened_again(accounts: Accounts, using: str) -> None:
    accounts.register_people([SUN], by=OPERATOR)
    rows = Account.objects.using(using)
    before = rows.get(username="sun.li").get_session_auth_hash()
    accounts.close_account("sun.li", by=OPERATOR)
    rows.filter(username="sun.li").update(is_active=True)
    assert rows.get(username="sun.li").get_session_auth_hash() != before


def test_what_an_office_was_granted_stays_when_its_signer_leaves(accounts: Accounts, example: Example) -> None:
    """The grant is the office's: another analyst goes on, the signer's name stays for the record."""
    stores = accounts.stores
    with stores.atomic():
        stores.sharing.add_request(request())
        stores.sharing.add_grant(grant())
    accounts.register_people([NewPerson("chen", "陈", MEDICAL.id, frozenset({Role.ANALYST}))], by=OPERATOR)
    assert grant().signed_by == ANALYST.person
    accounts.leave(ANALYST.person, by=OPERATOR, words=ORDER)
    (kept,) = stores.sharing.grants_of_office(MEDICAL.id, [HOUSEHOLDS.id])
    assert (kept.state, kept.signed_by) == (grant().state, ANALYST.person)
    (chen,) = accounts.posts_of("chen")
    uses = {HOUSEHOLDS.id: frozenset({"amount"})}
    decision = decide(
        actor=chen,
        purpose=kept.terms.purpose.code,
        uses=uses,
        datasets={HOUSEHOLDS.id: HOUSEHOLDS},
        grants=[kept],
        at=accounts.clock(),
    )
    assert decision.allowed, decision.reasons


# --- moving -----------------------------------------------------------------------------------------------------------------


def test_who_moves_begins_there_as_it_ends_here(accounts: Accounts) -> None:
    token = accounts.issue_token(ANALYST.post, by=ANALYST).text
    moved = accounts.move(ANALYST.post, office=CIVIL.id, words=ORDER, by=OPERATOR)
    assert (moved.ended, moved.opened, moved.closed) == ((ANALYST.post,), "wang.wei@gz-civil-affairs", False)
    assert code_of(lambda: accounts.actor_for_token(token), NotSignedIn) == "token-post-ended"
    (now,) = accounts.posts_of("wang.wei")
    assert (now.office, now.roles) == (CIVIL.id, ANALYST.roles)
    kind, body = last(accounts)
    assert kind is EntryKind.PERSON_MOVED
    assert body["from"] == {"post": ANALYST.post, "office": MEDICAL.id}
    assert body["to"] == {"post": "wang.wei@gz-civil-affairs", "office": CIVIL.id, "roles": ["analyst"]}
    back = accounts.move("wang.wei@gz-civil-affairs", office=MEDICAL.id, roles=[Role.REVIEWER], words=ORDER, by=OPERATOR)
    assert back.opened == "wang.wei~2@gz-medical-security", "the old post stays what it was"


def test_a_move_is_whole_or_not_at_all(accounts: Accounts) -> None:
    accounts.add_post("wang.wei", office=CIVIL.id, roles=[Role.ANALYST], by=OPERATOR)
    before = (len(entries(accounts)), accounts.stores.epoch.current())
    for office, error, code in ((CIVIL.id, Conflict, "post-exists"), ("nowhere", NotFound, "office-not-registered")):
        assert code_of(lambda office=office: accounts.move(ANALYST.post, office=office, words=ORDER, by=OPERATOR), error) == code
    assert code_of(lambda: accounts.move(ANALYST.post, office=CIVIL.id, words=" ", by=OPERATOR), InputInvalid) == "move-words-missing"
    assert code_of(lambda: accounts.move(ANALYST.post, office=CIVIL.id, words=ORDER, by=ANALYST), Refused) == "operator-only"
    assert {post.office for post in accounts.posts_of("wang.wei")} == {CIVIL.id, MEDICAL.id}
    assert (len(entries(accounts)), accounts.stores.epoch.current()) == before


# --- who is there -----------------------------------------------------------------------------------------------------------


def test_an_office_sees_its_own_people_and_an_operator_those_of_any(accounts: Accounts) -> None:
    accounts.register_people([LOADER], by=OPERATOR)
    found = accounts.people(CIVIL.id, by=REVIEWER)
    assert [(one.person, one.kind, one.keeper, one.kept) for one in found] == [
        ("li.na", "person", None, True),
        ("nightly-load", "service", "li.na", True),
    ]
    assert found[0].roles == REVIEWER.roles
    assert code_of(lambda: accounts.people(CIVIL.id, by=ANALYST), Refused) == "people-of-another-office"
    assert accounts.people(CIVIL.id, by=OPERATOR) == found
    assert code_of(lambda: accounts.people("nowhere", by=OPERATOR), NotFound) == "office-not-registered"


# --- services ---------------------------------------------------------------------------------------------------------------


def test_a_service_acts_by_tokens_alone(accounts: Accounts) -> None:
    accounts.register_people([LOADER], by=OPERATOR)
    post = "nightly-load@gz-civil-affairs"
    token = accounts.issue_token(post, by=REVIEWER, scopes=[Scope.PUBLISH]).text
    assert accounts.actor_for_token(token, scope=Scope.PUBLISH).person == "nightly-load"
    assert code_of(lambda: accounts.actor_for_token(token, scope=Scope.USE), Refused) == "token-scope-missing"
    accounts.set_password("nightly-load", "a password after all", by=OPERATOR)
    assert code_of(lambda: accounts.sign_in("nightly-load", "a password after all"), NotSignedIn) == "password-wrong"
    link = {"issuer": "https://sso.example", "subject": "1"}
    assert code_of(lambda: accounts.link_identity("nightly-load", **link, by=OPERATOR), InputInvalid) == "service-cannot-sign-in"
    assert [one.prefix for one in accounts.tokens_of("nightly-load", by=REVIEWER)] == [token.split("_")[1]]
    assert code_of(lambda: accounts.tokens_of("nightly-load", by=ANALYST), Refused) == "operator-only"
    accounts.revoke_token(token.split("_")[1], by=REVIEWER)
    assert code_of(lambda: accounts.actor_for_token(token), NotSignedIn) == "token-revoked"


@pytest.mark.parametrize(
    ("service", "code"),
    [
        (replace(LOADER, keeper="wang.wei"), "keeper-elsewhere"),
        (replace(LOADER, password="long and dull enough"), "service-cannot-sign-in"),
        (replace(LOADER, roles=frozenset({Role.OPERATOR})), "service-role-of-persons"),
        (replace(LOADER, roles=frozenset({Role.REVIEWER})), "service-role-of-persons"),
        (replace(LOADER, roles=frozenset({Role.DATA_OFFICER, Role.REGULATOR})), "service-role-of-persons"),
    ],
)
def test_what_cannot_be_a_service(accounts: Accounts, service: NewPerson, code: str) -> None:
    assert code_of(lambda: accounts.register_people([service], by=OPERATOR), InputInvalid) == code


def test_a_service_rests_while_nobody_of_its_office_answers_for_it(accounts: Accounts) -> None:
    accounts.register_people([LOADER, SUN], by=OPERATOR)
    token = accounts.issue_token("nightly-load@gz-civil-affairs", by=REVIEWER).text
    assert accounts.leave("li.na", by=OPERATOR).unkept == ("nightly-load",)
    assert code_of(lambda: accounts.actor_for_token(token), NotSignedIn) == "token-without-keeper"
    assert [one.kept for one in accounts.people(CIVIL.id, by=OPERATOR)] == [False, True]
    accounts.name_keeper("nightly-load", "sun.li", by=OPERATOR)
    assert accounts.actor_for_token(token).person == "nightly-load"
    (sun,) = accounts.posts_of("sun.li")
    moved = accounts.move(sun.post, office=MEDICAL.id, words=ORDER, by=OPERATOR)
    assert moved.unkept == ("nightly-load",)
    assert code_of(lambda: accounts.actor_for_token(token), NotSignedIn) == "token-without-keeper"


def test_a_keeper_hands_a_service_on_within_the_office(accounts: Accounts) -> None:
    accounts.register_people([LOADER, SUN], by=OPERATOR)
    assert code_of(lambda: accounts.name_keeper("nightly-load", "wang.wei", by=REVIEWER), InputInvalid) == "keeper-elsewhere"
    assert code_of(lambda: accounts.name_keeper("nightly-load", "sun.li", by=ANALYST), Refused) == "operator-only"
    assert code_of(lambda: accounts.name_keeper("sun.li", "li.na", by=REVIEWER), InputInvalid) == "not-a-service"
    accounts.name_keeper("nightly-load", "sun.li", by=REVIEWER)
    assert last(accounts) == (EntryKind.KEEPER_NAMED, {"service": "nightly-load", "keeper": "sun.li", "by": "li.na"})
    assert code_of(lambda: accounts.issue_token("nightly-load@gz-civil-affairs", by=REVIEWER), Refused) == "operator-only"
    one_more = lambda: accounts.add_post("nightly-load", office=MEDICAL.id, roles=[Role.ANALYST], by=OPERATOR)  # noqa: E731
    assert code_of(one_more, Conflict) == "service-one-post"


# --- tokens for others, sign-on identities --------------------------------------------------------------------------------------


def test_an_operator_issues_a_token_for_another_only_on_a_mandate(accounts: Accounts) -> None:
    operator = replace(OPERATOR, post="shi@gz-civil-affairs", person="shi", office=CIVIL.id)
    assert code_of(lambda: accounts.issue_token(ANALYST.post, by=operator), Refused) == "mandate-missing"
    accounts.issue_token(ANALYST.post, by=operator, words="asked for by wang.wei in letter 7")
    assert meant(accounts, last(accounts)[1]["words"]) == "asked for by wang.wei in letter 7"


def test_an_identity_of_the_sign_on_service_leads_to_one_account(accounts: Accounts) -> None:
    link = {"issuer": "https://sso.example", "subject": "8f14e45f"}
    assert code_of(lambda: accounts.link_identity("li.na", **link, by=ANALYST), Refused) == "operator-only"
    accounts.link_identity("li.na", **link, by=OPERATOR, words=ORDER)
    assert code_of(lambda: accounts.link_identity("wang.wei", **link, by=OPERATOR), Conflict) == "identity-linked"
    found = accounts.account_of_identity(**link)
    assert found is not None and found.username == "li.na"
    assert accounts.account_of_identity("https://other.example", link["subject"]) is None
    kind, body = last(accounts)
    assert meant(accounts, body.pop("words")) == ORDER
    assert (kind, body) == (
        EntryKind.IDENTITY_LINKED,
        {"person": "li.na", "issuer": link["issuer"], "by": "root"},
    ), "the subject is nobody's business"
    accounts.unlink_identity("li.na", issuer=link["issuer"], by=REVIEWER)
    assert accounts.account_of_identity(**link) is None
    accounts.link_identity("wang.wei", **link, by=ANALYST)
    accounts.leave("wang.wei", by=ANALYST)
    assert accounts.account_of_identity(**link) is None
