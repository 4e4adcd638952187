"""Which lines of a run a report speaks of: its targets, what was chosen, what was tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean

from ..study.records import EQUATIONS, Choice, Record, Run


def targets(run: Run) -> list[str]:
    """The targets of a run: first those it was asked for, then any other that it has lines of."""
    lines: Iterable[Record | Choice] = [*run.records, *run.choices]
    return list(dict.fromkeys([*run.about.get("targets", []), *(line.target for line in lines)]))


def equations(run: Run) -> list[str]:
    """The equations a run has lines of, in the order of a table."""
    lines: Iterable[Record | Choice] = [*run.records, *run.choices]
    seen = dict.fromkeys(line.equation for line in lines)
    return [name for name in EQUATIONS if name in seen] + [name for name in seen if name not in EQUATIONS]


def protocol(run: Run) -> str:
    """The protocol that chose the weights of a run, or an empty string."""
    return str(run.about.get("protocol", ""))


def choice(run: Run, target: str, equation: str, by: str) -> Choice | None:
    """The weight that the protocol ``by`` chose; the last one where a run was repeated."""
    found = [c for c in run.choices if (c.target, c.equation, c.protocol) == (target, equation, by)]
    return found[-1] if found else None


@dataclass(frozen=True)
class Curve:
    """What a protocol maximised at each weight of an equation, the mean over seeds and sources, and
    the weights that it chose, with their values and the share (0..1) of seeds and sources that chose them."""

    equation: str
    curve: list[tuple[float, float]]
    chosen: list[tuple[float, float, float]]


def curve(run: Run, target: str, equation: str, by: str) -> Curve | None:
    """The curve of an equation under the protocol ``by``; None where there is none."""
    of = [c for c in run.choices if (c.target, c.equation, c.protocol) == (target, equation, by) and c.curve]
    if not of:
        return None
    last = {(c.source, c.seed): c for c in of}.values()  # where a run was repeated
    values: dict[float, list[float]] = {}
    for c in last:
        for weight, value in c.curve:
            values.setdefault(weight, []).append(value)
    means = {weight: fmean(found) for weight, found in values.items()}
    votes = Counter(c.weight for c in last)
    return Curve(equation, list(means.items()), [(weight, means[weight], n / len(last)) for weight, n in votes.items()])


def of_task(run: Run, task: str) -> Run:
    """A study's run with the lines of one of its tasks alone."""
    about = run.about | {"tasks": {task: run.about["tasks"][task]}}
    examples = [line for line in run.examples if line.task == task]
    own = {e.target for e in examples}
    about["targets"] = [target for target in run.about["targets"] if target in own] or run.about["targets"]
    records, choices = [r for r in run.records if r.task == task], [c for c in run.choices if c.task == task]
    return replace(run, about=about, examples=examples, records=records, choices=choices)


def first(run: Run) -> Run:
    """A study's run with the lines of its first seed and, where it has rows by source, of its first source."""
    seed, source = run.about["seeds"][0], run.about["sources"][0]

    def own(line: Record | Choice) -> bool:
        return line.seed == seed and (not run.about["by_source"] or line.source == source)

    records, choices = [r for r in run.records if own(r)], [c for c in run.choices if own(c)]
    return replace(run, records=records, choices=choices)


def metric(run: Run) -> str:
    """What the scores of a run (or of its one task) are called."""
    return str(next(iter(run.about.get("tasks", {}).values()), "ROUGE-2"))


def on_test(run: Run, target: str, equation: str, weight: float | None) -> dict[str, Record]:
    """The test records of one equation at one weight, by id."""
    return {
        r.id: r
        for r in run.records
        if (r.split, r.target, r.equation) == ("test", target, equation) and same_weight(r.weight, weight)
    }


def same_weight(a: float | None, b: float | None) -> bool:
    """Whether two weights are one number up to rounding; None equals only None.

    >>> same_weight(0.1 + 0.2, 0.3), same_weight(None, 0.0)
    (True, False)
    """
    return a is b or (a is not None and b is not None and abs(a - b) < 1e-9)
