"""The catalogue of attacks, as `huitong drill` runs it: its statements in every run, all of it in a soak."""

import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from huitong.cli.language import speak
from huitong.cli.root import run
from huitong.drill.cases import read_cases
from huitong.drill.ground import Ground
from huitong.drill.run import Result, procedures, run_cases

pytestmark = pytest.mark.slow

CATALOGUE = Path(__file__).parents[2] / "fixtures" / "attacks" / "attack_cases.yaml"
SOAK = bool(os.environ.get("HUITONG_SOAK"))
QUICK = ("INF-009", "INF-013", "INF-019", "INF-021", "INF-022")
"""Procedures of a run that is no soak: the others have their tests, with and without the protection, beside this file."""


def failed(results: list[Result]) -> list[str]:
    return [f"{one.case.id} {one.finding.outcome}: {one.finding.evidence}" for one in results if not one.held]


def test_every_statement_and_some_procedures_are_held(ground: Ground) -> None:
    cases = [case for case in read_cases(CATALOGUE) if case.sql is not None or case.id in QUICK]
    assert len(cases) > 45
    assert not failed(run_cases(ground, cases))


@pytest.mark.timeout(1200)
def test_the_command_tells_programs_what_came_of_it(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a soak the whole catalogue, as far as its procedures are written, on an instance of its own; else two cases on ours, of which one
    is not run."""
    file = CATALOGUE
    if SOAK:
        known = procedures()
        wanted = {case.id for case in read_cases(CATALOGUE) if case.sql is not None or case.id in known}
    else:
        file, wanted = tmp_path / "few.yaml", {"A", "B"}
        file.write_text("cases:\n- {id: A, check: deny, sql: SELECT v FROM hidden}\n- {id: B, check: deny, layer: sql}\n", "utf-8")
        monkeypatch.setattr("huitong.drill.ground.fresh_ground", lambda *_, **__: nullcontext(ground))
    code = run(["drill", str(file), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["cases"]
    found = {one["id"]: one for one in told["cases"]}
    assert wanted <= set(found)
    assert all(set(one) == {"id", "outcome", "held", "evidence"} for one in told["cases"])
    if SOAK:
        assert not [found[one] for one in wanted if not found[one]["held"]]
        assert code == (0 if all(one["held"] for one in told["cases"]) else 1)
    else:
        assert code == 1
        assert [found[one]["outcome"] for one in "AB"] == ["refused", "not_run"]


def test_people_read_it_in_their_language(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huitong.drill.ground.fresh_ground", lambda *_, **__: nullcontext(ground))
    file = tmp_path / "one.yaml"
    file.write_text("cases:\n- {id: A, check: deny, name: first, sql: SELECT v FROM hidden}\n", "utf-8")
    try:
        for language, words in (("en", ("refused", "1 of 1 cases held")), ("zh-Hans", ("已拒绝", "1 个案例中守住 1 个"))):
            assert run(["drill", str(file), "--lang", language]) == 0
            told = capsys.readouterr()
            assert words[0] in told.out
            assert words[1] in told.err
    finally:
        speak("en")


def test_a_file_that_is_no_catalogue_and_layers_that_there_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drill", str(tmp_path / "none.yaml")]) == 3
    assert run(["drill", str(CATALOGUE), "--layers", "nothing"]) == 3
    assert "drill" not in capsys.readouterr().out
