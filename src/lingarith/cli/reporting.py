"""``lingarith report``: tables and a page from the records of runs, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .opening import Json, print_json
from .terminal import tell


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
    """One page, and tables as Markdown, CSV and LaTeX, of one run or several, in the order in which they are named.

    Runs of one study that differ in their seeds alone are taken together, the lowest seed first.

    `lingarith report runs/table1-newsroom runs/figure2-newsroom --out report`
    """
    from ..report.findings import findings
    from ..report.runs import read_runs
    from ..report.writing import write_report

    results = {name: findings(run) for name, run in read_runs(runs).items()}
    page, *tables = write_report(results, out or (runs[0] if len(runs) == 1 else Path("report")))
    if as_json:
        facts = [{"run": name, "title": one.run.about.title, "verdict": one.sentences} for name, one in results.items()]
        grids = [grid for one in results.values() for grid in one.tables]
        print_json({"runs": facts, "tables": grids, "files": [page, *tables]})
        return
    for one in results.values():
        if one.sentences:
            tell("\n".join(one.sentences) + "\n")
    tell(f"report: {page}\ntables: {', '.join(map(str, tables))}")
