"""``lingarith plan``: what to train next."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..disk.files import write_atomically
from ..errors import LingarithError
from ..languages.codes import SEEN, language
from .opening import Json, print_json, print_table, say
from .progress import duration
from .terminal import tell


def plan(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET…", help="Languages without labels: pt yo zh")],
    budget: Annotated[float, typer.Option("--budget", help="Hours of training, as long as they took in the records.")],
    sources: Annotated[
        str | None, typer.Option("--sources", help="Languages with labels: en,ru. Without it: the paper's seen ones.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="What is asked.")] = "summaries",
    run: Annotated[
        list[Path] | None, typer.Option("--run", help="A run whose records are the evidence; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A study file for `lingarith run`.", dir_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """Which vectors to train next for the TARGETs, in which order, what they cost and bring, and when to stop.

    The evidence are records of runs: yours, or the newsroom's, which come with the package.

    `lingarith plan pt yo --budget 0.5 --sources en,ru --out next.toml`
    """
    from ..report import plan as planning
    from ..report.runs import read_runs

    if not 0 < budget < math.inf:
        raise LingarithError(f"--budget is {budget:g} hours; give a finite number above 0, such as 0.5")
    wanted = list(dict.fromkeys(language(target).code for target in targets))
    listed = [language(source.strip()).code for source in sources.split(",")] if sources is not None else list(SEEN)
    evidence = planning.evidence_of(read_runs(run)) if run else planning.shipped()
    steps = planning.steps_of(evidence, wanted, listed, task, budget)
    labels = planning.labels_instead(evidence, task, steps)
    worth = [step for step in steps if step.worth]
    hours = sum(step.hours for step in worth)
    if as_json:
        print_json({"steps": steps, "hours": hours, "labels": labels, "runs": sorted({c.run for c in evidence.costs})})
    else:
        heads, rows, total = ("Train", "For", "With", "Time", "In all", "Gain", "95 %", "Itself", "Evidence"), [], 0.0
        for step in steps:
            total += step.hours if step.worth else 0.0
            rows.append(planning.row(step, duration(step.hours * 3600), duration(total * 3600)))
        print_table(heads, rows, ("Time", "In all", "Gain", "95 %", "Itself"))
        say([planning.stop(steps, hours, budget), labels])
    if out is not None:
        write_atomically(out, planning.study_file(steps, wanted, task))
        if not as_json:
            tell(f"study:    {out} (lingarith run {out})")
