"""A catalogue of attacks is read whatever stands in it: what is no catalogue is told so, and a malformed case keeps its place."""

from pathlib import Path

import pytest

from huitong.drill.cases import Case, Check, read_cases
from huitong.drill.judging import Finding, Outcome, held
from huitong.errors import InputInvalid

WHOLE = """
version: 1
cases:
- {id: A-1, layer: sql, name: n, attempt: a, must: m, check: deny, sql: SELECT 1}
- {id: A-1, layer: other, name: n, attempt: a, must: m, check: detect}
- {id: A-2, check: no_leak}
- {id: 7, layer: no, check: bounded, sql: 5}
- {id: A-3, check: perhaps, sql: SELECT 1}
- {id: A-4, sql: SELECT 1}
- only words
- {check: deny, sql: !!binary AAEC/w==}
- {id: A-5, check: deny, sql: ''}
- {id: [1, 2], check: deny, sql: {a: b}}
"""


def cases_of(tmp_path: Path, text: str | bytes) -> list[Case]:
    file = tmp_path / "cases.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return read_cases(file)


def test_every_case_is_there_in_its_order_and_none_is_dropped(tmp_path: Path) -> None:
    found = cases_of(tmp_path, WHOLE)
    assert [case.id for case in found] == ["A-1", "A-1", "A-2", "7", "A-3", "A-4", "#7", "#8", "A-5", "[1, 2]"]
    assert [case.sql for case in found[:4]] == ["SELECT 1", None, None, "5"]
    assert found[7].sql == "\x00\x01\x02\xff"
    assert found[8].sql == ""
    assert [case.fault is None for case in found] == [True, True, True, True, False, False, False, True, True, True]


def test_a_list_without_a_head_is_a_catalogue_too(tmp_path: Path) -> None:
    assert [case.check for case in cases_of(tmp_path, "- {id: x, check: deny}")] == [Check.DENY]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "drill-file-without-cases"),
        ("cases: 5", "drill-file-without-cases"),
        ("just words", "drill-file-without-cases"),
        ("cases: [", "drill-file-not-yaml"),
        ("a: b: c", "drill-file-not-yaml"),
        ("cases: !!python/object/apply:os.system ['true']", "drill-file-not-yaml"),
        ("cases: 2001-99-99", "drill-file-not-yaml"),
        (b"\xff\xfe\x00\xd8", "drill-file-not-yaml"),
        ("[" * 20_000, "drill-file-not-yaml"),
    ],
)
def test_a_file_that_is_no_catalogue_is_told_so(tmp_path: Path, text: str | bytes, code: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        cases_of(tmp_path, text)
    assert [reason.code for reason in refused.value.reasons] == [code]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputInvalid) as refused:
            read_cases(path)
        assert [reason.code for reason in refused.value.reasons] == ["drill-file-unreadable"]


EXPECTED = {
    Check.DENY: {Outcome.REFUSED},
    Check.NO_LEAK: {Outcome.ANSWERED, Outcome.EMPTY, Outcome.REFUSED},
    Check.BOUNDED: {Outcome.BOUNDED, Outcome.REFUSED},
    Check.DETECT: {Outcome.DETECTED},
}


@pytest.mark.parametrize("check", Check)
@pytest.mark.parametrize("outcome", Outcome)
def test_what_is_held_follows_the_check(check: Check, outcome: Outcome) -> None:
    case = Case("x", "sql", "", "", "refused before execution", check)
    assert held(case, Finding(outcome, "seen")) is (outcome in EXPECTED[check])


def test_an_unknown_id_may_look_like_nothing() -> None:
    case = Case("x", "api", "", "", "404 as for an unknown id", Check.DENY)
    assert held(case, Finding(Outcome.EMPTY, "404"))
    assert not held(case, Finding(Outcome.ANSWERED, "200"))


def test_a_case_with_a_fault_is_never_held() -> None:
    case = Case("x", "sql", "", "", "", None, fault="It has no check.")
    assert not any(held(case, Finding(outcome, "seen")) for outcome in Outcome)
