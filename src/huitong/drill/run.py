"""Runs cases one after the other against one drill instance and tells what came of each."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from huitong.drill.cases import Case
from huitong.drill.ground import Ground, Procedure
from huitong.drill.judging import Finding, Outcome, held
from huitong.drill.statements import run_statement
from huitong.errors import HuitongError

PARTS = ("resource", "inference", "api", "portal", "ledger", "operations")
"""The modules of procedures, each with a mapping PROCEDURES by id of case."""
Progress = Callable[[int, int, Case | None], None]
"""Told before each case: how many are done, how many there are, and which comes next; at the end None."""


@dataclass(frozen=True)
class Result:
    """What came of a case."""

    case: Case
    finding: Finding
    held: bool

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"id": self.case.id, "outcome": self.finding.outcome.value, "held": self.held, "evidence": self.finding.evidence}


def procedures() -> Mapping[str, Procedure]:
    """All procedures that there are, by id of case."""
    found: dict[str, Procedure] = {}
    for part in PARTS:
        place = f"huitong.drill.procedures.{part}"
        if find_spec(place) is not None:
            found |= import_module(place).PROCEDURES
    return found


def chosen(cases: Sequence[Case], layers: Collection[str] | None) -> list[Case]:
    """The cases of these layers, in their order; all if none is named."""
    return [case for case in cases if not layers or case.layer in layers]


def run_cases(ground: Ground, cases: Sequence[Case], *, progress: Progress = lambda *_: None) -> list[Result]:
    """Try every case in its order. Whatever happens in one, the next is tried, on a server that answers."""
    known, results = procedures(), []
    for done, case in enumerate(cases):
        progress(done, len(cases), case)
        finding = run_case(ground, case, known)
        results.append(Result(case, finding, held(case, finding)))
    progress(len(cases), len(cases), None)
    return results


def run_case(ground: Ground, case: Case, known: Mapping[str, Procedure]) -> Finding:
    """Try one case: as its statement if it has one, else by the procedure of its id."""
    if case.fault is not None:
        return Finding(Outcome.NOT_RUN, f"The case cannot be run as it stands. {case.fault}")
    procedure = known.get(case.id)
    if case.sql is None and procedure is None:
        return Finding(Outcome.NOT_RUN, "The case has no statement, and no procedure of this drill has its id.")
    try:
        ground.start_again_if_needed()
        if case.sql is not None:
            finding = run_statement(ground, case)
        else:
            assert procedure is not None
            finding = procedure(ground)
    except HuitongError as error:
        reason = error.reasons[0]
        finding = Finding(Outcome.ERROR, f"The drill met {reason.code} {dict(reason.parameters)}.")
    except Exception as error:
        finding = Finding(Outcome.ERROR, f"The drill met {type(error).__name__}: {str(error)[:200]}")
    if not ground.running():
        return Finding(Outcome.ERROR, f"The server died. {finding.evidence}")
    return finding
