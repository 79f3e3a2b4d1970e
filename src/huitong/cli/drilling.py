"""`huitong drill`: attacks of a catalogue against a fresh instance with made-up people, and whether each was held."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huitong.cli.base import command
from huitong.cli.exits import Exit
from huitong.cli.language import words
from huitong.cli.output import remark, show_json, show_table, shown_to_programs
from huitong.cli.progress import counting
from huitong.errors import InputInvalid

if TYPE_CHECKING:
    from huitong.drill.cases import Case
    from huitong.drill.run import Result


@command("drill")
@click.argument("cases", metavar="CASES.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--layers", metavar="LAYER,LAYER")
@click.option("--json", "as_json", is_flag=True)
def drill(cases: Path, layers: str | None, as_json: bool) -> Exit:
    """Run the cases; leaves with 0 only if every one was run and held."""
    from huitong.drill.cases import read_cases
    from huitong.drill.run import chosen

    wanted = frozenset(one.strip() for one in (layers or "").split(",") if one.strip())
    listed = chosen(read_cases(cases), wanted)
    if not listed:
        raise InputInvalid.because("drill-no-cases", file=cases.name)
    results = _run(listed)
    _show(results, as_json=as_json)
    failed = [result for result in results if not result.held]
    remark(words("drill-done", held=len(results) - len(failed), cases=len(results)))
    return Exit.UNEXPECTED if failed else Exit.OK


def _run(cases: "Sequence[Case]") -> "list[Result]":
    from huitong.drill.ground import fresh_ground
    from huitong.drill.run import run_cases

    with fresh_ground(os.environ, say=lambda step: remark(words(f"drill-{step}"))) as ground, counting(words("drill-running")) as bar:
        return run_cases(ground, cases, progress=lambda done, total, _: bar(done, total))


def _show(results: "Sequence[Result]", *, as_json: bool) -> None:
    from huitong.cli.base import surroundings

    if as_json or surroundings().format == "json":
        show_json({"cases": [result.as_json() for result in results]})
        return
    header = ["case", "name", "outcome", "held", "evidence"]
    rows: list[list[Any]] = [
        [result.case.id, result.case.name, result.finding.outcome.value, result.held, result.finding.evidence] for result in results
    ]
    if shown_to_programs(header, rows):
        return
    for row in rows:
        row[2] = words(f"drill-outcome-{row[2].replace('_', '-')}")
    show_table([words(f"title-{name}") for name in header], rows)
