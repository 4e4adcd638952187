"""``lingarith report``: tables and a page from the records of runs, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .opening import print_json


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders made by `adapt`, `demo` or `run`.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The folder to write to; without it the run's, or `report` for several.", file_okay=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers and the verdict, for a program.")] = False,
) -> None:
    """One page, and tables as Markdown, CSV and LaTeX, of one run or several.

    Runs of one study that differ in their seeds alone are taken together.

    `lingarith report runs/table1-newsroom runs/figure2-newsroom --out report`
    """
    from ..report.files import read_runs, write_report

    read = read_runs(runs)
    folder = out or (runs[0] if len(runs) == 1 else Path("report"))
    written = write_report(read, folder)
    if as_json:
        print_json({"runs": list(read), "files": [str(path) for path in written]})
        return
    print(f"report: {folder / 'report.html'}")
    print(f"tables: {', '.join(path.name for path in written[1:])} in {folder}")
