"""Running a study: what is left and how long it will take, the steps themselves, and the records they leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..adapters.dense import Full
from ..languages.codes import language_name
from ..model.generate import Decoding
from ..model.members import versions
from ..store.objects import vector_hash
from .actions import METRICS, Workshop, adapter_of, job_of
from .adapt import RunFolder, ingredient
from .estimate import seconds_per_output, seconds_per_step
from .evaluate import Bench
from .ingredients import Progress
from .planning import Entry, StudyPlan, readable
from .recipes.listings import LISTINGS
from .records import BEST, BEST_ON_TEST, METHODS, Choice, Example, Grid, Ingredient, Line, Record, Run, read_run
from .runners.here import Here
from .runners.shares import Runner, Todo
from .steps import VECTORS, Step
from .studies import Study, as_settings

OUTPUT_BYTES = 400
"""About what a scored output takes on the disk."""


@dataclass(frozen=True)
class Work:
    """Steps of one kind: how many there are, how many of them are left, and what those will take."""

    what: str
    steps: int
    left: int
    seconds: float
    bytes: int


KINDS = {"train": "train vectors", "noise": "make random vectors", "outputs": "generate for validation"} | {
    "evidence": "judge without labels",
    "choose": "choose weights",
    "test": "generate for test",
}
"""What the functions of steps are called in a plan."""


class Forecast:
    """What the steps of a plan that are left will take; a few of each kind are tried for it."""

    def __init__(self, plan: StudyPlan, shop: Workshop) -> None:
        self.plan, self.shop = plan, shop
        self.done = {key for key, step in plan.steps.items() if shop.results.done(step)}
        self._rates: dict[str, float] = {}

    @property
    def left(self) -> list[Step]:
        """The steps that are not done."""
        return [step for key, step in self.plan.steps.items() if key not in self.done]

    def seconds(self, step: Step) -> float:
        """About how long a step will take."""
        if not step.amount:
            return 0.0
        kind = f"train {step.arguments['data']['kind']}" if step.function == "train" else "outputs"
        if kind not in self._rates:
            self._rates[kind] = self._rate(step)
        return step.amount * self._rates[kind]

    def todo(self, together: int | None = None, told: Callable[[float], None] = lambda _: None) -> Todo:
        """What is left, for a runner."""
        return Todo(self.left, self.seconds, self.shop, told, together)

    def work(self) -> list[Work]:
        """The plan by kinds of steps, in their order."""
        found = []
        for function, what in KINDS.items():
            own = {key: step for key, step in self.plan.steps.items() if step.function == function}
            left = [step for key, step in own.items() if key not in self.done]
            if own:
                seconds, size = sum(map(self.seconds, left)), sum(map(self._bytes, left))
                found.append(Work(what, len(own), len(left), seconds, size))
        return found

    def _rate(self, step: Step) -> float:
        backbone = self.shop.backbone(self.plan.backbone)
        if step.function == "train":
            return seconds_per_step(job_of(step.arguments, self.shop), backbone)
        template = step.arguments.get("template", step.arguments)
        data = template.get("data") or next(iter(self.plan.tested.values()))
        return seconds_per_output(self.shop.labelled(data), Decoding(**template["decoding"]), backbone)

    def _bytes(self, step: Step) -> int:
        if step.function not in VECTORS:
            return step.amount * OUTPUT_BYTES
        adapter = adapter_of(step.arguments["options"]["adapter"]) if step.function == "train" else None
        adapter = adapter or self.plan.study.trained(self.plan.study.adapter)
        if isinstance(adapter, Full):
            return 4 * int(self.shop.backbone(self.plan.backbone).facts["parameters"])
        start = adapter.init(self.shop.backbone(self.plan.backbone).shapes, 0)
        return 4 * sum(factor.numel() for term in start.values() for factor in term)


def run_study(
    plan: StudyPlan,
    shop: Workshop,
    out: Path,
    *,
    announce: Callable[[Forecast], None] | None = None,
    progress: Progress | None = None,
    command: str = "",
    notes: Sequence[str] = (),
    together: int | None = None,
    runner: Runner | None = None,
) -> Run:
    """Perform what is left of a plan, and put its records into the run folder ``out``.

    ``announce`` hears what is left before it begins; ``together`` vectors share a pass of training
    (measured without it); ``runner`` does the steps, this process without one. Returns the run as its
    records tell it. Raises :class:`LingarithError` if ``out`` belongs to another run, or a step cannot
    be done.
    """
    folder = RunFolder(out, plan.identity)
    about = _about(plan, shop, command, notes)
    folder.open(about)
    shop.store.catch_up()
    forecast = Forecast(plan, shop)
    if announce:
        announce(forecast)
    total = max(1, round(sum(map(forecast.seconds, forecast.left))))

    def told(seconds: float) -> None:
        if progress:
            progress(f"{plan.study.name} (seconds of work)", round(seconds), total)

    if runner and not isinstance(runner, Here):
        shop.release()
    (runner or Here()).run(forecast.todo(together, told))
    lines = _lines(plan, shop)
    folder.add(lines)
    folder.close(about if plan.entries else about | {"grid": asdict(_vectors(lines))})
    return read_run(out)


def run_listing(study: Study, shop: Workshop, out: Path, *, command: str = "") -> Run:
    """Make a table that needs no model, and put it into the run folder ``out``; see :func:`run_study`."""
    grid = asdict(LISTINGS[study.table](study, shop))
    settings = as_settings(study)
    identity = hashlib.sha256(json.dumps([settings, grid], sort_keys=True).encode()).hexdigest()
    about = {"title": grid["title"], "study": settings, "table": study.table, "grid": grid, "command": command}
    RunFolder(out, identity).open(about)
    return read_run(out)


# ---------------------------------------------------------------- records


def _lines(plan: StudyPlan, shop: Workshop) -> list[Line]:
    lines: list[Line] = []
    for (task, target), data in plan.tested.items():
        for e in shop.labelled(data).examples:
            lines.append(Example(target, "test", e.id, e.article, e.target, e.alternatives, task))
    written: set[tuple[Any, ...]] = set()
    for entry in plan.entries:
        choice, records = _tested(entry, plan, shop)
        lines += [choice] if choice else []
        tested = (entry.task, entry.target, entry.method, entry.source, entry.seed, choice and choice.weight)
        if tested not in written:  # the oracle beside a protocol may choose as that does
            written.add(tested)
            lines += records
    for name, about in plan.vectors.items():
        vector = shop.vector(about["recipe"], name)
        lines.append(ingredient(readable(name), vector_hash(vector), vector))
    return lines


def _vectors(lines: Sequence[Line]) -> Grid:
    """What a study has made that tests nothing."""
    rows = [
        [language_name(i.origin["language"]), f"{i.name}@{i.hash[:12]}", f"{i.steps:,}", f"{i.seconds:.1f}"]
        for i in lines
        if isinstance(i, Ingredient)
    ]
    return Grid("Language vectors", ["Language", "Vector", "Steps", "Seconds"], rows, "Seconds are those of training.")


def _tested(entry: Entry, plan: StudyPlan, shop: Workshop) -> tuple[Choice | None, list[Record]]:
    """The choice of a method's weight, if it has any, and its records."""
    choice, weight, source = None, None, entry.source
    own: dict[str, Any] = {"task": entry.task, "seed": entry.seed}
    if entry.choice:
        chosen = shop.results.read(entry.choice)
        weight = chosen["weight"]
        if entry.method in (BEST, BEST_ON_TEST):
            source = plan.study.sources[int(weight)]
        choice = Choice(
            entry.target, entry.method, entry.protocol, weight, chosen["value"], readable(chosen["expression"]),
            chosen["curve"], source=entry.source, **own,
        )  # fmt: skip
    result = shop.results.read(entry.outputs)
    if "outputs" in result:
        result = shop.results.read(result["outputs"])
    records = [
        Record(
            entry.target, "test", entry.method, weight, o["id"], o["output"], o["score"], o["kind"],
            source=source, **own,
        )
        for o in result["outcomes"]
    ]  # fmt: skip
    return choice, records


def _about(plan: StudyPlan, shop: Workshop, command: str, notes: Sequence[str]) -> dict[str, Any]:
    """``run.json``: all that the records do not say themselves."""
    study, table = plan.study, plan.table
    backbone = shop.backbone(plan.backbone)
    methods = list(dict.fromkeys(entry.method for entry in plan.entries))
    model = Path(study.score_model) if study.score_model else None
    bench = {task: Bench(backbone, {}, "factors", score_model=model, metric=METRICS[task]) for task in table.tasks}
    return {
        "title": f"{table.title} ({study.name})",
        "study": as_settings(study),
        "table": study.table,
        "tasks": {task: METRICS[task] for task in table.tasks},
        "targets": list(dict.fromkeys(target for task in table.tasks for target in study.targets_of(task))),
        "sources": list(study.sources),
        "by_source": any(entry.source for entry in plan.entries),
        "seeds": list(study.seeds),
        "methods": {method: METHODS[method] for method in methods},
        "fixed": [_fixed(entry, plan) for entry in plan.entries if not entry.choice],
        "reference": table.reference,
        "tried": [method for method in table.tried if method in methods],
        "against": [method for method in (*table.baselines, *study.controls) if method in methods],
        "backbone": backbone.facts,
        "adapter": study.trained(study.adapter).facts,
        "space": str(study.sum_space),
        "protocol": study.protocol,
        "protocols": sorted({entry.protocol for entry in plan.entries} - {""}),
        "score": {task: {t: bench[task].scoring(t) for t in study.targets_of(task)} for task in table.tasks},
        "data": {f"{task}/{target}": data["fingerprint"] for (task, target), data in plan.tested.items()},
        "notes": [*notes, *plan.notes],
        "made": versions(),
        "command": command,
    }


def _fixed(entry: Entry, plan: StudyPlan) -> dict[str, Any]:
    """A composition without a weight to choose, which therefore has no line among the choices."""
    own = {key: getattr(entry, key) for key in ("task", "target", "method", "source", "seed")}
    return own | {"expression": readable(plan.steps[entry.outputs].arguments["expression"])}
