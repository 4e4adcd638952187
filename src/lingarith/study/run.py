"""Running a study: what is left is done, here or elsewhere, and its lines are put into a run folder.

Whoever does the work (:mod:`.runners`), the lines are put together here, from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..disk.files import json_hash
from ..formats.gguf import elsewhere
from ..languages.codes import language_name
from ..model.members import versions
from . import choose
from .forecast import Forecast
from .hand_over import PEFT, hand_over
from .lab import Lab
from .lines import Plan, fingerprints, lines_of, plan
from .listings import LISTINGS
from .outputs import Stored
from .recipes import TABLES, places, rows
from .records import DOSE_CAPTION, DOSE_HEADS, About, Fixed, Grid, Ingredient, Run, dose_texts, name_of, shots
from .run_folder import RunFolder, read_run
from .runners.here import Here
from .runners.units import Runner, Work
from .study import ADAPT


def run(
    lab: Lab,
    out: Path,
    planned: Plan | None = None,
    *,
    runner: Runner | None = None,
    announce: Callable[[Forecast], None] = lambda forecast: None,
    command: str = "",
    notes: Sequence[str] = (),
    together: int | None = None,
    format: str = PEFT,
) -> Run:
    """Do what is left of a study, and put its lines into the run folder ``out``; ``adapt`` hands its adapters over.

    ``announce`` hears what is left before it begins; ``together`` vectors share a pass of training (measured without
    it); ``runner`` does the work, this process without one; ``format`` is that of what is handed over. Returns the run
    as its lines tell it. Raises :class:`LingarithError` as :func:`plan` does, if ``out`` belongs to another run, or if
    something cannot be done.
    """
    if lab.study.table in LISTINGS:
        return _listed(lab, out, command)
    planned = planned or plan(lab)
    folder = RunFolder(out)
    about = _about(lab, planned, command, notes)
    with folder.alone(lambda: lab.progress(f"waiting for another command, which writes into {out}", 0, 1)):
        before = folder.open(about).about
        lab.store.catch_up()
        forecast = Forecast(lab, planned.counted)
        announce(forecast)
        (runner or Here()).run(Work(lab, forecast, planned.protocol, together))
        lines = lines_of(lab, Stored(lab), planned.protocol)
        fixed = [line for line in lines if isinstance(line, Fixed)]
        vectors = [ingredient(lab, name) for name in lab.orders if name in planned.counted.needed]
        folder.add([*(line for line in lines if not isinstance(line, Fixed)), *vectors])
        handed = hand_over(lab, lines, planned.protocol, out, command, format) if lab.study.table == ADAPT else {}
        grid = None if TABLES[lab.study.table].reference else _vectors(vectors)
        measures = TABLES[lab.study.table].measures
        measured = before.measured or (measures(lab, rows(lab)) if measures else {})
        folder.close(replace(about, fixed=fixed, handed_over=handed, measured=measured, grid=grid))
        return read_run(out)


def ingredient(lab: Lab, name: str) -> Ingredient:
    """The line about a vector that is there."""
    [vector] = lab.vectors([name]).values()
    cost = vector.origin.get("cost", {})
    return Ingredient(
        lab.orders[name].stored, lab.content(name) or "", cost.get("seconds", 0.0), cost.get("tokens", 0),
        cost.get("examples", 0), vector.origin.get("steps", 0), dict(vector.origin),
    )  # fmt: skip


# ---------------------------------------------------------------- what a run says of itself


def _about(lab: Lab, planned: Plan, command: str, notes: Sequence[str]) -> About:
    study, table = lab.study, TABLES[lab.study.table]
    methods_by_place = list(rows(lab))
    methods = list(dict.fromkeys(method.name for _, method in methods_by_place))
    sources_of = {place.target: list(place.sources) for place in places(lab)}
    by = {
        protocol
        for place, method in methods_by_place
        if len(method.tried) > 1
        for protocol in choose.protocols(place, method, planned.protocol)
    }
    named = ", ".join(language_name(target) for target in sources_of)
    spoken = ", ".join(language_name(source) for source in study.languages.sources)
    languages = {task: labels.task.writes for task, labels in study.tasks.items()}
    made = {"gguf", "trimmed"} & {*lab.backbone.made}
    base = [elsewhere(lab.backbone.facts)[1]] if study.table == ADAPT and made else []
    title = f"{table.title} ({study.name})"
    if study.table == ADAPT:
        title = f"{' and '.join(study.tasks).capitalize()} in {named} from labels in {spoken}"
    return About(
        identity=planned.identity,
        title=title,
        table=study.table,
        study=replace(study, tasks={task: lab.asked(task) for task in study.tasks}).settings(),
        tasks={task: lab.scoring(task).metric.name for task in study.tasks} if table.reference else {},
        targets=list(sources_of),
        sources=list(study.languages.sources),
        sources_of=sources_of if study.languages.related and study.table == ADAPT else {},
        seeds=list(study.vectors.seeds),
        methods={method: name_of(method).full for method in methods},
        reference=table.reference,
        tried=[method for method in table.tried if method in methods],
        against=[
            # What takes labels of the target stands in the table, and is no control of what takes none.
            method
            for method in (*table.baselines, *places(lab)[0].controls)
            if method in methods and not shots(method)
        ],
        by_source=any(method.source for _, method in methods_by_place),
        backbone=dict(lab.backbone.facts),
        adapter=dict(study.vectors.of(study.vectors.kind).facts)
        | {key: value for key, value in study.settings().items() if key == "projections"},  # if not the paper's
        space=str(study.sums.value),
        protocol=planned.protocol,
        protocols=sorted(by),
        score={
            task: {target: _scored(lab, task, target) for target in labels.targets}
            for task, labels in study.tasks.items()
        } if table.reference else {},
        writes={task: code for task, code in languages.items() if code and code != "target"},
        data=fingerprints(lab, "test"),
        notes=[*notes, *lab.notes, *base],
        made=versions(),
        command=command,
    )  # fmt: skip


def _scored(lab: Lab, task: str, target: str) -> str:
    """How outputs for a target are scored, in words."""
    scoring = lab.scoring(task)
    there = lab.has_labels(task, target, "test")
    return scoring.said_of(lab.labels(task, target, "test")) if there else scoring.said(target)


def _vectors(vectors: Sequence[Ingredient]) -> Grid:
    """What a study has made that tests nothing."""
    rows = [
        [
            language_name(i.origin["language"]), f"{i.name}@{i.hash[:12]}", f"{i.steps:,}", f"{i.seconds:.1f}",
            *dose_texts(i.origin),
        ]
        for i in vectors
    ]  # fmt: skip
    caption = f"Seconds are those of training. {DOSE_CAPTION}"
    return Grid("Language vectors", ["Language", "Vector", "Steps", "Seconds", *DOSE_HEADS], rows, caption)


def _listed(lab: Lab, out: Path, command: str) -> Run:
    """A table that needs no model, put into the run folder ``out``."""
    grid, settings = LISTINGS[lab.study.table](lab), lab.study.settings()
    identity = json_hash([settings, asdict(grid)])
    about = About(identity, grid.title, lab.study.table, settings, reference="", command=command, grid=grid)
    return RunFolder(out).open(about)
