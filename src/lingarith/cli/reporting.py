"""``lingarith report``: tables and a page from the records of runs, without a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .opening import Json, print_json


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders made by `adapt`, `demo` or `run`.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The folder to write to; without it the run's, or `report` for several.", file_okay=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """One page, and tables as Markdown, CSV and LaTeX, of one run or several.

    Runs of one study that differ in their seeds alone are taken together.

    `lingarith report runs/table1-newsroom runs/figure2-newsroom --out report`
    """
    from ..report.findings import findings
    from ..report.runs import read_runs
    from ..report.writing import write_report

    found = {name: findings(run) for name, run in read_runs(runs).items()}
    folder = out or (runs[0] if len(runs) == 1 else Path("report"))
    written = write_report(found, folder)
    if as_json:
        told = [{"run": name, "title": of.title, "verdict": of.sentences} for name, of in found.items()]
        tables = [asdict(grid) for of in found.values() for grid in of.tables]
        print_json({"runs": told, "tables": tables, "files": list(map(str, written))})
        return
    for of in found.values():
        if of.sentences:
            print("\n".join(of.sentences) + "\n")
    print(f"report: {written[0]}\ntables: {', '.join(map(str, written[1:]))}")
