"""Running a study: what is left is done, here or elsewhere, and its lines are put into a run folder.

Whoever does the work (:mod:`.runners`), the lines are put together here, from the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..languages.codes import language_name
from ..model.members import versions
from . import choose
from .forecast import Forecast
from .hand_over import hand_over
from .lab import Lab
from .lines import Plan, fingerprints, lines_of, methods_of, places, plan
from .listings import LISTINGS
from .outputs import Stored
from .recipes import TABLES, Ask, controls_of, sources_of
from .records import METHODS, About, Fixed, Grid, Ingredient, Run, RunFolder, read_run
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
) -> Run:
    """Do what is left of a study, and put its lines into the run folder ``out``; ``adapt`` hands its adapters over.

    ``announce`` hears what is left before it begins; ``together`` vectors share a pass of training (measured without
    it); ``runner`` does the work, this process without one. Returns the run as its lines tell it. Raises
    :class:`LingarithError` as :func:`plan` does, if ``out`` belongs to another run, or if something cannot be done.
    """
    if lab.study.table in LISTINGS:
        return _listed(lab, out, command)
    planned = planned or plan(lab)
    folder = RunFolder(out)
    about = _about(lab, planned, command, notes)
    folder.open(about)
    lab.store.catch_up()
    forecast = Forecast(lab, planned.counted)
    announce(forecast)
    (runner or Here()).run(Work(lab, forecast, planned.protocol, together))
    lines = lines_of(lab, Stored(lab), planned.protocol)
    fixed = [line for line in lines if isinstance(line, Fixed)]
    vectors = [ingredient(lab, name) for name in lab.orders]
    folder.add([line for line in lines if not isinstance(line, Fixed)])
    folder.add(vectors)
    handed = hand_over(lab, lines, planned.protocol, out) if lab.study.table == ADAPT else {}
    grid = None if TABLES[lab.study.table].reference else _vectors(vectors)
    folder.close(replace(about, fixed=fixed, handed_over=handed, grid=grid))
    return read_run(out)


def ingredient(lab: Lab, name: str) -> Ingredient:
    """The line about a vector that is there."""
    [vector] = lab.vectors([name]).values()
    cost = vector.origin.get("cost", {})
    return Ingredient(
        name=lab.orders[name].stored,
        hash=lab.content(name) or "",
        seconds=cost.get("seconds", 0.0),
        tokens=cost.get("tokens", 0),
        examples=cost.get("examples", 0),
        steps=vector.origin.get("steps", 0),
        origin=dict(vector.origin),
    )


# ---------------------------------------------------------------- what a run says of itself


def _about(lab: Lab, planned: Plan, command: str, notes: Sequence[str]) -> About:
    study, table = lab.study, TABLES[lab.study.table]
    rows = [(place, method) for place in places(study) for method in methods_of(lab, place)]
    methods = list(dict.fromkeys(method.name for _, method in rows))
    targets = list(dict.fromkeys(place.target for place in places(study)))
    by = {
        protocol
        for place, method in rows
        if len(method.tried) > 1
        for protocol in choose.protocols(lab, Ask(lab, place.task, place.seed), method, place.target, planned.protocol)
    }
    named = ", ".join(language_name(target) for target in targets)
    spoken = ", ".join(language_name(source) for source in study.languages.sources)
    title = f"{table.title} ({study.name})"
    if study.table == ADAPT:
        title = f"{' and '.join(study.tasks).capitalize()} in {named} from labels in {spoken}"
    return About(
        identity=planned.identity,
        title=title,
        table=study.table,
        study=json.loads(json.dumps(study.settings(), default=str)),
        tasks={task: lab.scoring(task).metric.name for task in study.tasks} if table.reference else {},
        targets=targets,
        sources=list(study.languages.sources),
        sources_of={t: list(sources_of(lab, t)) for t in targets} if study.languages.related and table.narrows else {},
        seeds=list(study.vectors.seeds),
        methods={method: METHODS[method].full for method in methods},
        reference=table.reference,
        tried=[method for method in table.tried if method in methods],
        against=[method for method in (*table.baselines, *controls_of(study)) if method in methods],
        by_source=any(method.source for _, method in rows),
        backbone=dict(lab.backbone.facts),
        adapter=dict(study.vectors.of(study.vectors.kind).facts),
        space=str(study.sums.value),
        protocol=planned.protocol,
        protocols=sorted(by),
        score={
            task: {target: _scored(lab, task, target) for target in labels.targets}
            for task, labels in study.tasks.items()
        } if table.reference else {},
        writes={name: one.task.writes for name, one in study.tasks.items() if one.task.writes not in ("target", None)},
        data=fingerprints(lab, ("test",)),
        notes=[*notes, *lab.notes],
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
        [language_name(i.origin["language"]), f"{i.name}@{i.hash[:12]}", f"{i.steps:,}", f"{i.seconds:.1f}"]
        for i in vectors
    ]
    return Grid("Language vectors", ["Language", "Vector", "Steps", "Seconds"], rows, "Seconds are those of training.")


def _listed(lab: Lab, out: Path, command: str) -> Run:
    """A table that needs no model, put into the run folder ``out``."""
    study = lab.study
    grid = LISTINGS[study.table](lab)
    settings = json.loads(json.dumps(study.settings(), default=str))
    identity = hashlib.sha256(json.dumps([settings, asdict(grid)], sort_keys=True).encode()).hexdigest()
    about = About(identity, grid.title, study.table, settings, reference="", command=command, grid=grid)
    RunFolder(out).open(about)
    return read_run(out)
