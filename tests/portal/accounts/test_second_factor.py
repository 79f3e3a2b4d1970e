"""Second factors: codes of an app, recovery codes, and how tries are slowed down. On both databases."""

import json

import pytest
from tests.portal.accounts.one_time_codes import one_time_code
from tests.portal.accounts.test_accounts import OPERATOR, SUN, accounts, clock, code_of, entries, meant
from tests.portal.examples import ANALYST, REVIEWER

from huitong.errors import Conflict, NotSignedIn, Refused
from huitong.model.ledger import EntryKind
from huitong.portal.accounts.actions import Accounts
from huitong.portal.accounts.models import Try
from huitong.testing import MemoryClock

__all__ = ["accounts", "clock"]
NAME = ANALYST.person


@pytest.fixture
def secret(accounts: Accounts) -> str:
    return accounts.new_secret()


@pytest.fixture
def recovery(accounts: Accounts, secret: str, clock: MemoryClock) -> list[str]:
    """The recovery codes of an account whose app has just been set up; its next code counts again."""
    codes = list(accounts.set_up_app(secret, one_time_code(secret, clock()), by=ANALYST))
    clock.advance(seconds=60)
    return codes


def test_our_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B, cut to six digits."""
    from datetime import UTC, datetime

    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")):
        assert one_time_code(secret, datetime.fromtimestamp(seconds, UTC)) == code


def test_an_app_is_set_up_with_a_code_that_it_shows(accounts: Accounts, secret: str, clock: MemoryClock) -> None:
    assert code_of(lambda: accounts.set_up_app(secret, "123456", by=ANALYST), Refused) == "app-code-wrong"
    assert not accounts.second_factor(NAME).any
    codes = accounts.set_up_app(secret, one_time_code(secret, clock()), by=ANALYST)
    assert len(set(codes)) == 10
    found = accounts.second_factor(NAME)
    assert (found.app, found.any, found.recovery_codes) == (True, True, 10)
    other = accounts.new_secret()
    assert code_of(lambda: accounts.set_up_app(other, one_time_code(other, clock()), by=ANALYST), Conflict) == "second-factor-there"


def test_a_code_counts_once(accounts: Accounts, secret: str, recovery: list[str], clock: MemoryClock) -> None:
    code = one_time_code(secret, clock())
    assert accounts.check_code(NAME, code) == "totp"
    for again in (code, one_time_code(secret, clock(), steps=-1)):
        assert code_of(lambda again=again: accounts.check_code(NAME, again), Refused) == "second-factor-wrong"
    clock.advance(seconds=30)
    assert accounts.check_code(NAME, f" {one_time_code(secret, clock())[:3]} {one_time_code(secret, clock())[3:]}") == "totp"


def test_the_code_of_setting_up_does_not_sign_in(accounts: Accounts, secret: str, clock: MemoryClock) -> None:
    code = one_time_code(secret, clock())
    accounts.set_up_app(secret, code, by=ANALYST)
    assert code_of(lambda: accounts.check_code(NAME, code), Refused) == "second-factor-wrong"


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(
    accounts: Accounts, secret: str, recovery: list[str], clock: MemoryClock, steps: int, taken: bool
) -> None:
    clock.advance(minutes=5)
    code = one_time_code(secret, clock(), steps=steps)
    if taken:
        assert accounts.check_code(NAME, code) == "totp"
    else:
        assert code_of(lambda: accounts.check_code(NAME, code), Refused) == "second-factor-wrong"


def test_a_recovery_code_counts_once_and_is_kept_nowhere(accounts: Accounts, recovery: list[str]) -> None:
    from allauth.mfa.models import Authenticator

    assert accounts.check_code(NAME, f"{recovery[3][:5].upper()}-{recovery[3][5:]}") == "recovery_codes"
    assert code_of(lambda: accounts.check_code(NAME, recovery[3]), Refused) == "second-factor-wrong"
    assert accounts.second_factor(NAME).recovery_codes == 9
    kept = json.dumps(list(Authenticator.objects.using(accounts.stores.using).values_list("data", flat=True)))
    assert not [code for code in recovery if code in kept]
    fresh = accounts.new_recovery_codes(by=ANALYST)
    assert code_of(lambda: accounts.check_code(NAME, recovery[4]), Refused) == "second-factor-wrong"
    assert accounts.check_code(NAME, fresh[0]) == "recovery_codes"


def test_the_secret_is_sealed_and_bound_to_its_account(accounts: Accounts, secret: str, recovery: list[str], clock: MemoryClock) -> None:
    from allauth.mfa.models import Authenticator

    rows = Authenticator.objects.using(accounts.stores.using)
    app = rows.get(type="totp")
    assert secret not in json.dumps(app.data)
    other = accounts.new_secret()
    accounts.set_up_app(other, one_time_code(other, clock()), by=REVIEWER)
    rows.filter(user__username=REVIEWER.person, type="totp").update(data=app.data)
    from huitong.errors import Unavailable

    clock.advance(minutes=2)
    assert code_of(lambda: accounts.check_code(REVIEWER.person, one_time_code(secret, clock())), Unavailable) == "key-damaged"


def test_a_lost_telephone_is_the_operators_business(accounts: Accounts, recovery: list[str]) -> None:
    assert code_of(lambda: accounts.remove_second_factor(NAME, by=REVIEWER), Refused) == "operator-only"
    accounts.remove_second_factor(NAME, by=OPERATOR, words="seen in person")
    found = accounts.second_factor(NAME)
    assert (found.any, found.recovery_codes) == (False, 0)
    kind, body = entries(accounts)[-1]
    assert kind is EntryKind.SECOND_FACTOR_CHANGED
    assert meant(accounts, body.pop("words")) == "seen in person"
    assert body == {"person": NAME, "change": "all-removed", "by": "root"}


# --- tries ------------------------------------------------------------------------------------------------------------------


def wrong(accounts: Accounts, name: str, address: str = "") -> str:
    def sign_in() -> None:
        if accounts.account_signing_in(name, "wrong", address=address) is None:
            raise NotSignedIn.because("password-wrong")

    try:
        sign_in()
    except (NotSignedIn, Refused) as error:
        return error.reasons[0].code
    raise AssertionError


@pytest.fixture
def quick_passwords(settings: object) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["sun.li", "nobody-of-that-name", "密\0"])
def test_wrong_passwords_are_slowed_down_whether_there_is_such_an_account_or_not(
    quick_passwords: None, accounts: Accounts, clock: MemoryClock, name: str
) -> None:
    accounts.register_people([SUN], by=OPERATOR)
    limit = accounts.sign_in_rules.password_per_account
    assert [wrong(accounts, name) for _ in range(limit + 2)] == ["password-wrong"] * limit + ["tries-too-many"] * 2
    right = lambda: accounts.account_signing_in("sun.li", SUN.password or "")  # noqa: E731
    if name == "sun.li":
        assert code_of(right, Refused) == "tries-too-many", "the right password does not open it either"
        clock.advance(minutes=15)
    assert right() is not None
    assert wrong(accounts, "sun.li") == "password-wrong", "and then it is forgotten"


def test_an_address_that_tries_many_names_is_slowed_down(quick_passwords: None, accounts: Accounts) -> None:
    limit = accounts.sign_in_rules.any_per_address
    said = [wrong(accounts, f"name-{number}", "192.0.2.7") for number in range(limit + 1)]
    assert said == ["password-wrong"] * limit + ["tries-too-many"]
    assert wrong(accounts, "name-1", "192.0.2.8") == "password-wrong"


def test_wrong_codes_are_slowed_down(accounts: Accounts, secret: str, recovery: list[str], clock: MemoryClock) -> None:
    limit = accounts.sign_in_rules.code_per_account
    for _ in range(limit):
        assert code_of(lambda: accounts.check_code(NAME, "000000"), Refused) == "second-factor-wrong"
    assert code_of(lambda: accounts.check_code(NAME, one_time_code(secret, clock())), Refused) == "tries-too-many"
    clock.advance(minutes=15)
    assert accounts.check_code(NAME, one_time_code(secret, clock())) == "totp"


def test_what_was_tried_cannot_be_read_from_the_table(quick_passwords: None, accounts: Accounts, using: str) -> None:
    wrong(accounts, "sun.li", "192.0.2.7")
    kept = json.dumps(list(Try.objects.using(using).values_list("key", flat=True)))
    assert "sun.li" not in kept and "192.0.2.7" not in kept


def test_tries_at_once_count_as_many(accounts: Accounts, secret: str, recovery: list[str], clock: MemoryClock, using: str) -> None:
    """One and the same right code from several processes at once is taken once."""
    from tests.portal.threads import at_once

    code = one_time_code(secret, clock())

    def take() -> str:
        try:
            return accounts.check_code(NAME, code)
        except Refused as error:
            return error.reasons[0].code

    taken = at_once(using, *[take] * 4)
    assert taken.count("totp") == 1
