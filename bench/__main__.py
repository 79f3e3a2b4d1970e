"""Runs every benchmark of this folder, prints a table and keeps the JSON in bench/results."""

import argparse
import importlib
import json
import pkgutil
import platform
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

import bench


def main() -> int:
    """`python -m bench [NAME ...] [--quick]`; exit 1 if a benchmark misses its own target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="benchmarks to run; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, its numbers are not for citing")
    arguments = parser.parse_args()
    console = Console()
    known = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    unknown = sorted(set(arguments.names) - set(known))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
    table = Table("benchmark", "measure", "value", "target", "met", title="Huitong benchmarks" + (" (quick)" if arguments.quick else ""))
    results, all_met = [], True
    for name in arguments.names or known:
        with console.status(f"running {name}"):
            outcome = importlib.import_module(f"bench.{name}").run(quick=arguments.quick)
        results.append(outcome)
        for measure, entry in outcome["measures"].items():
            entry = entry if isinstance(entry, dict) else {"value": entry}
            met = entry.get("met")
            all_met &= met is not False
            table.add_row(name, measure, str(entry["value"]), str(entry.get("target", "")), {True: "yes", False: "NO", None: ""}[met])
    console.print(table)
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    stamp = datetime.now(tz=UTC)
    about = {"at": stamp.isoformat(), "machine": platform.machine(), "python": platform.python_version(), "quick": arguments.quick}
    file = folder / f"{stamp:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps({"about": about, "results": results}, indent=1, default=str), "utf-8")
    console.print(f"kept in {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0 if all_met or arguments.quick else 1


if __name__ == "__main__":
    raise SystemExit(main())
