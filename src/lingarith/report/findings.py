"""What a run found, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from ..study.records import BASELINE, Grid, Run
from .cells import DRAWS, SIGNIFICANT, Cell, cells, compared
from .runs import chosen
from .tables import tables
from .words import AVERAGE, name_of, named, number, p_text, signed

HELPS, HURTS, OPEN, NOTHING = "helps", "hurts", "no difference", "nothing to evaluate on"
UNSURE = "helps, not above a control"
"""The outcomes; the last where a study's controls do as well."""


@dataclass(frozen=True)
class Finding:
    """What the test says: ``outcome`` is one of those above, or nothing where it is no single one; ``text``
    the sentences."""

    target: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Findings:
    """What one run found: sentences, the numbers that they rest on, and these as tables."""

    run: Run
    verdict: Sequence[Finding] = ()
    cells: Sequence[Cell] = ()
    tables: Sequence[Grid] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What was run."""
        return self.run.about.title

    @property
    def sentences(self) -> list[str]:
        """The verdict, a text for each finding."""
        return [finding.text for finding in self.verdict]


def findings(run: Run, *, draws: int = DRAWS) -> Findings:
    """What a run found, from its records.

    Where adapters were handed over, the verdict goes target by target; of a study it goes method by
    method, over all targets; where each source has results of its own, it counts pairs.
    """
    of = cells(run, draws=draws)
    if run.about.handed_over:
        verdict = [_of_target(run, of, task, target) for task in run.about.tasks for target in run.about.targets]
    elif run.about.by_source:
        verdict = list(_of_pairs(run, of))
    else:
        verdict = list(_of_methods(run, of, draws))
    return Findings(run, verdict, of, tables(run, of))


def spoken_of(run: Run, task: str, target: str) -> str | None:
    """The method to speak of: the one handed over, or where that is the reference, the one with the best
    validation value under the run's protocol, never by the test; None where nothing was chosen."""
    handed = run.about.handed_over.get(target)
    if handed not in (None, run.about.reference):
        return handed
    own = [c for c in chosen(run).values() if (c.task, c.target, c.protocol) == (task, target, run.about.protocol)]
    tried = [c for c in own if c.method in run.about.tried]
    return max(tried, key=lambda c: c.value).method if tried else None


# ---------------------------------------------------------------- target by target


def _of_target(run: Run, of: Sequence[Cell], task: str, target: str) -> Finding:
    own = [cell for cell in of if (cell.task, cell.target) == (task, target)]
    method, metric = spoken_of(run, task, target), run.about.tasks[task]
    cell = next((c for c in own if c.method == method and c.gain is not None), None)
    outcome, said = NOTHING, "nothing to evaluate on: there are no labelled test examples."
    if cell is not None:
        outcome = {"*": HELPS, "†": HURTS}.get(cell.mark, OPEN)
        said = _scored(run, cell, metric, outcome)
    elif own:
        said = f"{name_of(own[0].method).short} scores {number(own[0].score)} {metric} "
        said += f"(95 % interval {number(own[0].low)} to {number(own[0].high)}); there is nothing to compare it with."
    where = f"{target}, {task}" if len(run.about.tasks) > 1 else target
    return Finding(target, outcome, f"{where}: {said}{_handed_over(run, task, target, outcome)}")


def _scored(run: Run, cell: Cell, metric: str, outcome: str) -> str:
    gain = cell.gain or 0.0
    size = number(abs(gain))
    more = "as much as" if size == "0.0" else f"{size} {'more' if gain > 0 else 'less'} than"
    conclusion = {HELPS: "composition helps", HURTS: "composition hurts"}.get(
        outcome, f"no difference that {cell.n} examples can show"
    )
    return (
        f"{named(cell.method, cell.weights)} scores {number(cell.score)} {metric}, {more} {_reference(run)} "
        f"(95 % interval of the difference {number(cell.gain_low)} to {number(cell.gain_high)}, "
        f"{p_text(cell.p_holm)} after Holm): {conclusion}."
    )


def _handed_over(run: Run, task: str, target: str, outcome: str) -> str:
    method = run.about.handed_over.get(target)
    if method is None:
        return ""
    weights = [c.weight for (place, _), c in chosen(run).items() if place[:3] == (task, target, method)]
    plain = method == run.about.reference
    unexpected = (outcome, plain) in {(HELPS, True), (HURTS, False)}
    name = _reference(run) if plain else named(method, weights)
    return f" Handed over{', as validation decided before the test' if unexpected else ''}: {name}."


def _reference(run: Run) -> str:
    reference = run.about.reference
    return "the task vector alone" if reference == BASELINE else name_of(reference).short


# ---------------------------------------------------------------- method by method


def _of_methods(run: Run, of: Sequence[Cell], draws: int) -> Iterator[Finding]:
    """For each method that the study tries: whether it helped, by how much, over which control, and where it hurt."""
    for task, metric in run.about.tasks.items():
        for method in run.about.tried:
            own = [cell for cell in of if (cell.task, cell.method) == (task, method)]
            if own:
                yield _of_method(run, of, own, metric, draws)


def _of_method(run: Run, of: Sequence[Cell], own: Sequence[Cell], metric: str, draws: int) -> Finding:
    whole = own[-1]  # the average, or the only target
    name = _named(run, whole)
    if whole.gain is None:
        said = f"{name} scores {number(whole.score)} {metric}; there is nothing to compare it with."
        return Finding(whole.target, NOTHING, said)
    over = _gain(whole.gain, whole.gain_low, whole.gain_high, whole.p)
    said = f"{name}: {over} {metric} over {name_of(run.about.reference).short}"
    same_place = [c for c in of if (c.task, c.target) == (whole.task, whole.target) and c.method in run.about.against]
    control = max(same_place, key=lambda cell: cell.score, default=None)
    above: tuple[float, float] | None = None
    if control is not None:
        gain, low, high, p = compared(run, whole, control, draws=draws)
        above = gain, p
        said += f", and {_gain(gain, low, high, p)} over the strongest control ({name_of(control.method).short})"
    places = {mark: [c.target for c in own if c.target != AVERAGE and c.mark == mark] for mark in "*†"}
    where = [f"{word} in {', '.join(places[m])}" for m, word in (("*", "better"), ("†", "worse")) if places[m]]
    each = f" After Holm's correction it is {' and '.join(where)}." if where else ""
    outcome, conclusion = _conclusion((whole.gain, whole.p), above)
    return Finding(whole.target, outcome, f"{said}: {conclusion}.{each}")


def _conclusion(over: tuple[float, float | None], control: tuple[float, float] | None) -> tuple[str, str]:
    """The outcome, and the same in words."""
    gain, p = over
    if p is None or p >= SIGNIFICANT:
        return OPEN, "no difference that these examples can show"
    if gain < 0:
        return HURTS, "it hurts"
    if control is None:
        return HELPS, "it helps"
    if control[1] >= SIGNIFICANT:
        return UNSURE, "it helps, and the control may do as well"
    if control[0] > 0:
        return HELPS, "it helps, and more than the control does"
    return UNSURE, "it helps, and less than the control does"


def _gain(gain: float, low: float | None, high: float | None, p: float | None) -> str:
    return f"{signed(gain)} ({signed(low)} to {signed(high)}, {p_text(p)})"


def _named(run: Run, cell: Cell) -> str:
    """The method, and the task where there are several."""
    return name_of(cell.method).short + (f", {cell.task}" if len(run.about.tasks) > 1 else "")


# ---------------------------------------------------------------- pairs


def _of_pairs(run: Run, of: Sequence[Cell]) -> Iterator[Finding]:
    """How many pairs of source and target gained and lost, and the same of the controls."""
    for task in run.about.tasks:
        for method in [run.about.tried[0], *run.about.against]:
            own = [c for c in of if (c.task, c.method) == (task, method) and c.gain is not None]
            if own:
                better, worse = (sum(c.mark == mark for c in own) for mark in "*†")
                gain, base = fmean(c.gain or 0.0 for c in own), fmean(c.base or 0.0 for c in own)
                control = "Control: " if method in run.about.against else ""
                said = (
                    f"{control}{_named(run, own[0])}: significantly better than {_reference(run)} in {better} of "
                    f"{len(own)} pairs, worse in {worse}; {signed(gain)} points on average (from {number(base)})."
                )
                yield Finding("", "", said)
