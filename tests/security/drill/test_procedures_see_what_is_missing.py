"""A procedure that cannot fail is worth nothing: each kind of attack is tried against an instance whose protection was taken away, and the
finding must change; against the instance as it is, it is held."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.security.drill.weakened import Call, Weakened, answered, as_actor

from huitong.drill.ground import Ground
from huitong.drill.judging import Outcome
from huitong.drill.procedures import acting, api, ledger, operations
from huitong.drill.procedures.acting import PURPOSE, Taken
from huitong.drill.procedures.api import signing_in
from huitong.gateway import parse
from huitong.gateway.allowed import ALLOWED, REQUIRED
from huitong.ledger import verify as verifier

pytestmark = pytest.mark.slow
HOLDS = {Outcome.REFUSED, Outcome.DETECTED}
PROCEDURES = {**api.PROCEDURES, **ledger.PROCEDURES, **operations.PROCEDURES}


def test_every_case_of_these_layers_has_a_procedure() -> None:
    numbers = {
        "API": (1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 17, 21, 23, 25, 27, 28, 29, 30, 34, 35, 37),
        "LED": (1, 2, 3, 8, 9, 11, 12, 13, 14, 15),
        "OPE": (1, 2, 4, 5, 7, 8),
    }
    assert set(PROCEDURES) == {f"{layer}-{number:03d}" for layer, listed in numbers.items() for number in listed}


@pytest.mark.parametrize("case", ["API-003", "API-012", "API-021", "API-025", "LED-012", "LED-013"])
def test_against_the_instance_as_it_is_it_is_held(ground: Ground, case: str) -> None:
    found = PROCEDURES[case](ground)
    assert found.outcome in HOLDS, found.evidence


# --- the API ----------------------------------------------------------------------------------------------------------------------------


def without_unknown_fields(call: Call) -> Call | None:
    """A server that passes over what it does not know."""
    known = {"dataset", "purpose", "legal_basis", "until", "items"}
    if call.actor != "rows_user" or set(call.body) <= known:
        return None
    call.body = {name: value for name, value in call.body.items() if name in known}
    return call


def without_key(call: Call) -> Call | None:
    return None if call.headers.pop("Idempotency-Key", None) is None else call


def for_the_right_purpose(call: Call) -> Call:
    call.body = call.body | {"purpose": PURPOSE}
    return call


def without_quota(call: Call) -> Call | None:
    return call if (call.body or {}).pop("quota", None) else None


REMOVED: dict[str, tuple[str, dict[str, Any]]] = {
    "anybody is taken for the office that holds the grant": ("API-001", {"(GET|POST) grants/G": as_actor("rows_user")}),
    "anybody is taken for the reviewer": ("API-003", {"POST requests/.*/approve": as_actor("reviewer")}),
    "unknown fields are passed over": ("API-007", {"POST requests$": without_unknown_fields}),
    "roles are what one says": ("API-008", {"POST people": answered(201)}),
    "keys of calls are not looked at": ("API-013", {"POST requests$": without_key}),
    "any purpose will do": ("API-015", {"POST query": for_the_right_purpose}),
    "quotas are not kept": ("API-017", {"POST requests$": without_quota}),
    "any item is taken": ("API-021", {"POST extracts": answered(201, {"id": "x-1", "state": "waiting"})}),
    "any source is read": ("API-025", {"POST sources/inspect": answered(200)}),
    "everybody may know of every entry": ("API-034", {"GET (datasets|catalog)": as_actor("officer", unless=None)}),
}


@pytest.mark.parametrize("what", REMOVED)
def test_what_is_missing_in_the_api_is_seen(ground: Ground, what: str) -> None:
    case, changes = REMOVED[what]
    weakened = Weakened(ground, changes)
    found = PROCEDURES[case](weakened)  # type: ignore[arg-type]
    assert weakened.changed, "the protection was in the way of the attack"
    assert found.outcome in {Outcome.ANSWERED, Outcome.LEAKED}, found.evidence


def test_an_answer_with_a_canary_is_a_leak_even_if_it_is_a_refusal(ground: Ground) -> None:
    canary = next(iter(ground.canaries.values()))
    told = httpx.Response(403, json={"code": "item-not-granted", "detail": f"not {canary}"})
    found = PROCEDURES["API-021"](Weakened(ground, {"POST records/get": lambda _: told}))  # type: ignore[arg-type]
    assert found.outcome is Outcome.LEAKED


def test_a_token_in_a_log_is_seen(ground: Ground) -> None:
    log = ground.home / "run" / "drill-test.log"

    def noting(call: Call) -> None:
        log.write_text(log.read_text() + call.path if log.exists() else call.path)

    try:
        found = PROCEDURES["API-012"](Weakened(ground, {"GET whoami": noting}))  # type: ignore[arg-type]
    finally:
        log.unlink(missing_ok=True)
    assert (found.outcome, "drill-test.log" in found.evidence) == (Outcome.LEAKED, True)


def test_a_token_that_works_on_after_its_revocation_is_seen(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "REFUSED_WITHIN_SECONDS", 0.1)
    found = PROCEDURES["API-011"](Weakened(ground, {"POST tokens/.*/revoke": answered(200)}))  # type: ignore[arg-type]
    assert found.outcome is Outcome.ANSWERED


# --- the ledger ---------------------------------------------------------------------------------------------------------------------------


def test_an_audit_that_finds_nothing_is_seen(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "audited", lambda *_: (0, []))
    for case in ("LED-001", "LED-002", "LED-003"):
        assert PROCEDURES[case](ground).outcome is Outcome.ANSWERED, case


def test_leaves_that_are_hashed_like_nodes_are_seen(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    true_leaf = verifier.leaf_hash
    monkeypatch.setattr(
        verifier, "leaf_hash", lambda payload: verifier.node_hash(payload[:32], payload[32:]) if len(payload) == 64 else true_leaf(payload)
    )
    assert PROCEDURES["LED-012"](ground).outcome is Outcome.ANSWERED


def test_a_verifier_that_passes_over_what_is_too_much_is_seen(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    holds = verifier.inclusion_holds

    def lenient(*, leaf: bytes, index: int, size: int, path: Any, root: bytes) -> bool:
        return any(holds(leaf=leaf, index=index, size=size, path=path[:length], root=root) for length in range(min(len(path), 64) + 1))

    monkeypatch.setattr(verifier, "inclusion_holds", lenient)
    found = PROCEDURES["LED-011"](ground)
    assert (found.outcome, "too many" in found.evidence) == (Outcome.ANSWERED, True), found.evidence


def test_a_literal_that_is_kept_in_clear_is_seen(ground: Ground) -> None:
    log = ground.home / "run" / "drill-test.log"
    try:
        found = PROCEDURES["LED-014"](Weakened(ground, {"POST query": lambda call: log.write_text(str(call.body)) and None}))  # type: ignore[arg-type]
    finally:
        log.unlink(missing_ok=True)
    assert (found.outcome, "drill-test.log" in found.evidence) == (Outcome.LEAKED, True)


def test_the_copy_of_a_procedure_is_its_own(ground: Ground) -> None:
    with acting.taken(ground) as mine, mine.database() as database:
        database.execute("DELETE FROM audit_entry")
    assert isinstance(mine, Taken)
    assert len(ground.entries()) > 10


# --- operation ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [0, 1, 2, 3])
def test_a_key_in_a_file_is_seen_in_whatever_form(ground: Ground, tmp_path: Path, form: int) -> None:
    for name, forms in acting.secrets_of(ground.home).items():
        file = tmp_path / name
        file.write_bytes(b"x" * 100_000 + sorted(forms)[form] + b"y")
        assert operations.holds(file, forms)
        assert not operations.holds(file, [b"nothing of that kind"])


def test_a_file_that_is_open_to_others_is_seen(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir(mode=0o755)
    (tmp_path / "lake" / "rows.parquet").write_bytes(b"1")
    (tmp_path / "lake" / "rows.parquet").chmod(0o644)
    tmp_path.chmod(0o755)
    assert operations._open_to_others(tmp_path) == ["lake/rows.parquet"]
    (tmp_path / "lake").chmod(0o700)
    assert operations._open_to_others(tmp_path) == []


class ByBase(dict[type, Any]):
    """A list that takes a class for listed if one that it comes from is."""

    def __missing__(self, kind: type) -> Any:
        return next(self[base] for base in kind.__mro__[1:] if base in self)

    def get(self, kind: type, default: Any = None) -> Any:
        return next((self[base] for base in kind.__mro__ if base in self), default)


def test_a_class_that_slips_through_the_list_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert operations.classes_that_pass() == []
    monkeypatch.setattr(parse, "ALLOWED", ByBase(ALLOWED))
    monkeypatch.setattr(parse, "REQUIRED", ByBase(REQUIRED))
    assert "LowerToCome" in operations.classes_that_pass()


def test_a_statement_that_unlocks_the_engine_is_seen(ground: Ground) -> None:
    found = PROCEDURES["OPE-004"](Weakened(ground, {"POST query": answered(200, {"rows": []})}))  # type: ignore[arg-type]
    assert found.outcome is Outcome.ANSWERED


def test_rows_that_were_not_erased_are_seen(ground: Ground) -> None:
    found = PROCEDURES["OPE-008"](Weakened(ground, {"POST erasures": answered(200)}))  # type: ignore[arg-type]
    assert found.outcome is Outcome.LEAKED
