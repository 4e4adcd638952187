"""``lingarith run``: a table or figure of the paper by one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .opening import prepare, print_json
from .progress import duration, shown

if TYPE_CHECKING:
    from ..study.records import Run
    from ..study.runners.shares import Runner
    from ..study.running import Forecast

_RUNNERS = "Who does it"
NEWSROOM_NOTE = (
    "The newsroom is synthetic newswire written by a program in real languages: it shows and tests the method "
    "and is no benchmark of any language."
)


def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="table1 … table7, figure2, vectors, or a TOML file.")],
    profile: Annotated[
        str, typer.Option("--profile", help="Which of the file's profiles: newsroom, paper.")
    ] = "newsroom",
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where records and table go; without it runs/STUDY-PROFILE.")
    ] = None,
    store: o.StorePlace = o.DEFAULT_STORE,
    together: o.Together = None,
    runner: Annotated[
        str, typer.Option("--runner", rich_help_panel=_RUNNERS, help="Who does the steps: here, processes, ray, slurm.")
    ] = "here",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", rich_help_panel=_RUNNERS, help="How many at a time (slurm: 8; else one for each GPU, or 2)."
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", rich_help_panel=_RUNNERS, help="Of a cluster of Ray that is there.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            "--slurm",
            metavar="KEY=VALUE",
            rich_help_panel=_RUNNERS,
            help="A setting of submitit, such as partition=gpu; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps, how many are done, and what is left.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """A table or figure of the paper, with controls, on a backbone of your own.

    Steps that are done, by this study or another in the same store, are not done again.

    `lingarith run table1 --profile paper --set backbone=google/mt5-base --set 'task=summ/{language}/{split}.jsonl'`
    (docs/data.md lists the keys)
    """
    prepare()
    from ..study.actions import Workshop
    from ..study.planning import plan_study
    from ..study.recipes.listings import LISTINGS
    from ..study.runners.choice import runner as chosen
    from ..study.running import Forecast, run_listing, run_study
    from ..study.studies import read_study

    wanted = read_study(study, profile, change or [])
    folder = out or Path("runs") / f"{wanted.name}-{profile}"
    command = " ".join(["lingarith", *sys.argv[1:]])
    if wanted.table in LISTINGS:
        _finish(run_listing(wanted, Workshop(store), folder, command=command), folder, as_json)
        return
    doing = chosen(runner, workers=workers, address=address, settings=slurm or [])
    with shown() as progress:
        shop = Workshop(store, progress)
        plan = plan_study(wanted, shop)
    if dry_run:
        _show(Forecast(plan, shop), doing, together, as_json)
        return
    read = (step.arguments.get("data", {}) for step in plan.steps.values())
    notes = [NEWSROOM_NOTE] if any(data.get("source") == "newsroom" for data in read) else []
    with shown() as progress:
        announce = None if as_json else lambda forecast: _show(forecast, doing, together, False)
        made = run_study(
            plan, shop, folder,
            announce=announce, progress=progress, command=command, notes=notes, together=together,
            runner=doing,
        )  # fmt: skip
    _finish(made, folder, as_json)


def _finish(run: Run, folder: Path, as_json: bool) -> None:
    """Write the report; print the tables and the verdict."""
    from dataclasses import asdict

    from ..report.files import write_report
    from ..report.grids import as_text
    from ..report.results import results

    found = results(run)
    written = write_report({folder.name: found}, folder)
    if as_json:
        tables = [asdict(grid) for grid in found.grids]
        print_json(
            {"tables": tables, "verdict": found.said.splitlines(), "out": str(folder), "report": str(written[0])}
        )
        return
    from rich.console import Console

    console = Console()
    for table in as_text(found.grids):
        console.print(table)
        console.print()
    for sentence in [*found.said.splitlines(), *run.about.get("notes", [])]:
        console.print(sentence, markup=False, highlight=False)
    print(f"\nrecords and tables: {folder}\nreport: {written[0]}")


def _show(forecast: Forecast, runner: Runner, together: int | None, as_json: bool) -> None:
    """What the study consists of, and what is left of it."""
    from dataclasses import asdict

    work = forecast.work()
    seconds, size = sum(one.seconds for one in work), sum(one.bytes for one in work)
    until = runner.estimate(forecast.todo(together))
    steps, left = sum(one.steps for one in work), sum(one.left for one in work)
    if as_json:
        total = {"steps": steps, "left": left, "seconds": seconds, "bytes": size}
        total |= {"workers": runner.workers, "until_done": until}
        print_json({"work": [asdict(one) for one in work], **total, "notes": list(forecast.plan.notes)})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Step", box=None, pad_edge=False)
    for head in ("In all", "Done", "Left", "Estimated"):
        table.add_column(head, justify="right")
    for one in work:
        estimated = duration(one.seconds) if one.left else ""
        table.add_row(one.what, f"{one.steps:,}", f"{one.steps - one.left:,}", f"{one.left:,}", estimated)
    console = Console(stderr=True)
    console.print(table)
    where = forecast.shop.store.place
    console.print(f"{steps:,} steps, {left:,} left: about {duration(seconds)} and {size / 1e6:.0f} MB in {where}.")
    if runner.workers > 1:
        console.print(f"With {runner.workers} workers: {duration(until)}, and {duration(seconds)} of device time.")
