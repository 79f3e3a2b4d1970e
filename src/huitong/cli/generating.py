"""Making the synthetic registers as files."""

import os
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import command, surroundings
from huitong.cli.language import words
from huitong.cli.output import remark, show_json, show_rows
from huitong.cli.progress import counting
from huitong.errors import InputInvalid, Reason


@command("generate")
@click.option("--rows", type=click.IntRange(1), default=2_000_000)
@click.option("--seed", type=click.IntRange(0), default=1)
@click.option("--threads", type=click.IntRange(1, 1024))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--only", multiple=True, metavar="DATASET")
@click.option("--csv", "as_csv", is_flag=True)
def generate(rows: int, seed: int, threads: int | None, out: Path, only: tuple[str, ...], as_csv: bool) -> None:
    from huitong.demo import datasets
    from huitong.demo import generate as make

    known = {dataset.id for dataset in datasets()}
    wrong = [Reason("cli-dataset-not-made", {"dataset": name}) for name in only if name not in known]
    if wrong:
        raise InputInvalid(*wrong)
    with counting(words("generating")) as progress:
        report = make(
            out=out,
            rows=rows,
            seed=seed,
            threads=threads or os.cpu_count() or 1,
            progress=progress,
            only=only or None,
            form="csv" if as_csv else "parquet",
        )
    raw: dict[str, Any] = {
        "rows": report.rows,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "tables": [
            {"dataset": one.dataset, "file": str(one.path), "rows": one.rows, "bytes": one.bytes} for one in report.tables
        ],
    }
    if surroundings().format == "json":
        show_json(raw)
        return
    columns = [(key, lambda row, key=key: row[key]) for key in ("dataset", "rows", "bytes", "file")]
    show_rows(columns, raw["tables"], raw=raw)
    rate = int(report.rows / max(report.seconds, 1e-6))
    remark(
        words(
            "generated",
            rows=f"{report.rows:,}",
            seconds=f"{report.seconds:.2f}",
            rate=f"{rate:,}",
            files=len(report.tables),
            folder=str(out),
        )
    )
