"""What to train next for some targets: in which order, at what cost, with what expected gain, on what evidence.

Evidence are the records of runs: what a method gained there over the task vector alone, target by target, and what its
vectors took to train. What a language that the records have gained there itself decides the order, for any other one
the mean of them all; what is printed as the gain, with its interval, is that mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from statistics import fmean, median

import numpy as np

from .. import plain
from ..errors import LingarithError
from ..languages.related import related
from ..study import records as r
from ..study.records import Run, name_of, shots
from .answer import interval
from .cells import scores
from .words import signed

FREE = (r.SCALED,)
"""What needs no vector beside the task's."""
LANGUAGES = {r.ADD: 1, r.ADD_SUBTRACT: 2}
"""How many language vectors a method needs: the target's, and the source's, which is trained once for all targets."""
MORE = (2, 4, 8)
"""How many sources are thought of."""


@dataclass(frozen=True)
class Fact:
    """What a method gained for a target in a run, in points of the metric, and the score it rose from (the task vector
    of one source alone)."""

    run: str
    task: str
    metric: str
    target: str
    method: str
    base: float
    gain: float


@dataclass(frozen=True)
class Cost:
    """What a vector took to train in a run."""

    run: str
    kind: str
    steps: int
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """Facts and costs of some runs."""

    facts: list[Fact]
    costs: list[Cost]


@dataclass(frozen=True)
class Step:
    """Vectors to train (hours: those that no step before has), for which targets, and the gain in points beyond what
    needs none of them: the mean over the records' targets with its 95 % interval, how many of which runs these are, and
    what the target gained there ``itself``, if it is one of them."""

    vectors: tuple[str, ...]
    targets: tuple[str, ...]
    method: str
    hours: float
    gain: float
    low: float
    high: float
    itself: float | None
    evidence: str
    worth: bool

    @property
    def expected(self) -> float:
        """The gain by which steps are ordered: the target's own where the records have it."""
        return self.gain if self.itself is None else self.itself


# ---------------------------------------------------------------- evidence


def evidence_of(runs: Mapping[str, Run]) -> Evidence:
    """What runs tell, by their names: of each source, where they have several, by itself."""
    facts, costs = [], []
    for name, run in runs.items():
        found = scores(run)
        first = f"{r.NEAREST}:1" if run.about.table == "sources" else r.BASELINE
        for (task, target, method, source), ours in found.items():
            base = found.get((task, target, first, source))
            if base is not None and method != first:
                gain = float(ours.mean() - base.mean())
                metric = run.about.tasks[task]
                facts.append(Fact(name, task, metric, target, method, round(float(base.mean()), 3), round(gain, 3)))
        for vector in run.ingredients:
            kind = vector.origin.get("kind", "")
            if kind in ("task", "language") and vector.seconds:
                costs.append(Cost(name, kind, vector.steps, vector.seconds))
    return Evidence(facts, costs)


def shipped() -> Evidence:
    """The evidence that comes with the package, made by ``python -m tools.evidence facts``."""
    text = (resources.files(__package__) / "facts.json").read_text(encoding="utf-8")
    return plain.record(Evidence, json.loads(text), "facts.json")


def as_json(evidence: Evidence) -> str:
    """Evidence as JSON, a fact on each line."""
    parts = []
    for key, some in asdict(evidence).items():
        lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in some)
        parts.append(f'"{key}": [\n{lines}\n]')
    return "{" + ",\n".join(parts) + "}\n"


# ---------------------------------------------------------------- the plan


def steps_of(evidence: Evidence, targets: Sequence[str], sources: Sequence[str], task: str, hours: float) -> list[Step]:
    """What to train for a task, the most gain for an hour first; what is not worth it, or beyond the hours, comes last.

    Worth it is what gains with 95 % certainty over the targets of the records. Raises :class:`LingarithError` where
    the records know nothing of the task or of costs.
    """
    facts = [fact for fact in evidence.facts if fact.task == task]
    seconds = {kind: [c.seconds for c in evidence.costs if c.kind == kind] for kind in ("task", "language")}
    if not facts or not all(seconds.values()):
        known = ", ".join(sorted({fact.task for fact in evidence.facts})) or "none"
        raise LingarithError(
            f"the records know no gain or cost of '{task}' (of tasks: {known}); name a --run that does"
        )
    cost = {kind: median(some) / 3600 for kind, some in seconds.items()}
    near = {target: [c.language for c in related(target, sources).candidates] for target in targets}
    first = max(sources, key=lambda source: sum(-order.index(source) for order in near.values()))
    steps = [
        Step((f"task[{first}]",), tuple(targets), r.BASELINE, cost["task"], 0.0, 0.0, 0.0, None, "needed by all", True)
    ]
    left, had = [*_languages(facts, targets, first), *_more(facts, near, first)], {f"task[{first}]"}
    skipped: list[Step] = []
    while left:
        priced = [replace(step, hours=sum(cost[_kind(v)] for v in step.vectors if v not in had)) for step in left]
        best = max(priced, key=lambda step: (step.worth, step.expected / (step.hours or 1e-9)))
        left.pop(priced.index(best))
        if best.worth and sum(step.hours for step in steps) + best.hours > hours:
            best = replace(best, worth=False, evidence=f"{best.evidence}; beyond the budget")
        (steps if best.worth else skipped).append(best)
        had |= {*best.vectors} if best.worth else set()
    return steps + skipped


def _kind(vector: str) -> str:
    return vector.partition("[")[0]


def _languages(facts: Sequence[Fact], targets: Sequence[str], first: str) -> list[Step]:
    """The language vector of each target, with that of the source if the better method needs it."""
    steps = []
    for target in targets:
        tried = [step for method in LANGUAGES if (step := _step(facts, target, method, FREE))]
        if tried:
            best = max(tried, key=lambda step: step.expected)
            names = (f"language[{target}]", f"language[{first}]")[: LANGUAGES[best.method]]
            steps.append(replace(best, vectors=names))
    return steps


def _more(facts: Sequence[Fact], near: Mapping[str, Sequence[str]], first: str) -> list[Step]:
    """The task vectors of further sources, the nearest of each target, averaged: what so many bring beyond fewer."""
    steps = []
    for target, order in near.items():
        fewer: tuple[str, ...] = ()
        for count in (count for count in MORE if count <= len(order)):
            method = f"{r.NEAREST}:{count}"
            others = [source for source in order if source != first][: count - 1]
            if step := _step(facts, target, method, fewer):
                steps.append(replace(step, vectors=tuple(f"task[{source}]" for source in others)))
                fewer = (*fewer, method)
    return steps


def _step(facts: Sequence[Fact], target: str, method: str, free: Sequence[str]) -> Step | None:
    """What a method gained beyond what is free, on average and for a target; None where the records do not have it."""
    by_target: dict[str, list[float]] = {}
    runs = set()
    for run, place in dict.fromkeys((fact.run, fact.target) for fact in facts if fact.method == method):
        same = [fact for fact in facts if (fact.run, fact.target) == (run, place)]
        ours = fmean(fact.gain for fact in same if fact.method == method)
        without = [fmean(some) for name in free if (some := [fact.gain for fact in same if fact.method == name])]
        by_target.setdefault(place, []).append(ours - max([0.0, *without]))
        runs.add(run)
    if not by_target:
        return None
    mean, low, high = interval(np.array([[fmean(some) for some in by_target.values()]]))
    itself = fmean(by_target[target]) if target in by_target else None
    said = f"{len(by_target)} targets, {', '.join(sorted(runs))}"
    return Step((), (target,), method, 0.0, mean, low, high, itself, said, low > 0 and (itself is None or itself > 0))


def labels_instead(evidence: Evidence, task: str, steps: Sequence[Step]) -> str:
    """A sentence where a few labels of the target brought more than any vector that is planned; else nothing."""
    facts = [fact for fact in evidence.facts if fact.task == task]
    few = {
        name: _step(facts, "", name, FREE) for name in sorted({f.method for f in facts if shots(f.method)}, key=shots)
    }
    most = max((step.gain for step in steps if step.worth), default=0.0)
    for name, step in few.items():
        if step and step.low > 0 and step.gain > most:
            return (
                f"{shots(name)} labels of a target, on which the task vector is trained on, brought {step.gain:+.1f} "
                f"points ({step.evidence}), more than any vector here: label before you train."
            )
    if few:
        return (
            f"Of the records' few labels ({', '.join(name_of(n).short for n in few)}) none brought more than vectors."
        )
    return "The records hold no method with few labels, so whether labels bring more is not known from them."


def study_file(steps: Sequence[Step], targets: Sequence[str], task: str) -> str:
    """The vectors that are worth it as a study that ``lingarith run`` takes.

    It adapts the targets whose language vectors are among them, or all by task vectors alone.
    """
    vectors = [vector for step in steps if step.worth for vector in step.vectors]
    sources = [name.removeprefix("task[").rstrip("]") for name in dict.fromkeys(vectors) if name.startswith("task[")]
    spoken = [target for target in targets if f"language[{target}]" in vectors]
    lines = [
        "# Made by `lingarith plan`; labels and text are the newsroom's until you name your own.",
        'table = "adapt"', f"sources = {json.dumps(sources)}", f"targets = {json.dumps(spoken or list(targets))}",
        f"tasks = {json.dumps([task])}", "", "[newsroom]", "characters = 500_000", "validation_limit = 32",
    ]  # fmt: skip
    return "\n".join([*lines, *([] if spoken else ["weights = [1.0]   # the task vectors alone", "betas = [0.0]"]), ""])


def row(step: Step, time: str, total: str) -> list[str]:
    """A step as cells of a table."""
    gain = ["", ""]
    if step.method != r.BASELINE:
        gain = [signed(step.gain), f"{signed(step.low)} to {signed(step.high)}"]
    itself = "" if step.itself is None else signed(step.itself)
    said = step.evidence if step.worth else f"not worth it: {step.evidence}"
    targets = ", ".join(step.targets)
    return [
        ", ".join(step.vectors),
        targets,
        name_of(step.method).short,
        time,
        total if step.worth else "",
        *gain,
        itself,
        said,
    ]


def stop(steps: Sequence[Step], hours: float, budget: float) -> str:
    """When to stop, in a sentence."""
    last = next((step for step in reversed(steps) if step.worth and step.method != r.BASELINE), None)
    if last is None:
        return "Stop after the task vector: of nothing else do the records show that it brings more than scaling it."
    beyond = any("beyond the budget" in step.evidence for step in steps)
    why = "the budget ends there" if beyond else "of nothing else do the records show a gain"
    return f"Stop after {', '.join(last.vectors)}, at {hours:.2f} of {budget:g} hours: {why}."
