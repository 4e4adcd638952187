"""What a run found, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

from ..study.records import BASELINE, Grid, Run, adapter_folder, name_of
from .answer import Answer
from .answers import answer_of
from .cells import DRAWS, SIGNIFICANT, Cell, cells, compared
from .runs import chosen
from .tables import tables
from .words import AVERAGE, named, number, p_text, signed

HELPS, HURTS, OPEN, NOTHING = "helps", "hurts", "no difference", "nothing to evaluate on"
UNSURE = "helps, not above a control"
"""The outcomes; the last where a study's controls do as well."""


@dataclass(frozen=True)
class Finding:
    """What the test says: ``outcome`` is one of those above, or nothing where it is no single one; ``text``
    the sentences; ``task`` whose these are, where it is said target by target."""

    target: str
    outcome: str
    text: str
    task: str = ""


@dataclass(frozen=True)
class Findings:
    """What one run found: sentences, the numbers that they rest on, and these as tables."""

    run: Run
    verdict: Sequence[Finding] = ()
    cells: Sequence[Cell] = ()
    tables: Sequence[Grid] = ()
    answer: Answer | None = None
    """Of a study of an open question: worked out once, since it rests on many draws."""

    @property
    def sentences(self) -> list[str]:
        """The verdict, a text for each finding."""
        return [finding.text for finding in self.verdict]


def findings(run: Run, *, draws: int = DRAWS) -> Findings:
    """What a run found, from its records.

    Where adapters were handed over, the verdict goes target by target; of a study it goes method by
    method, over all targets; where each source has results of its own, it counts pairs.
    """
    results = cells(run, draws=draws)
    if run.about.handed_over:
        verdict = [_of_target(run, results, task, target) for task in run.about.tasks for target in run.about.targets]
    else:
        verdict = list(_of_pairs(run, results) if run.about.by_source else _of_methods(run, results, draws))
    answer = answer_of(run)
    return Findings(run, verdict, results, tables(run, results, answer), answer)


def handed_over(run: Run, task: str, target: str) -> str | None:
    """The method whose adapter was written for a task and target; None where none was."""
    return run.about.handed_over.get(adapter_folder(run.about.tasks, task, target))


def spoken_of(run: Run, task: str, target: str) -> str | None:
    """The method to speak of: the one handed over, or where that is the reference, the one with the best
    validation value under the run's protocol, never by the test; None where nothing was chosen."""
    handed = handed_over(run, task, target)
    if handed not in (None, run.about.reference):
        return handed
    place = (task, target, run.about.protocol)
    choices = [c for c in chosen(run).values() if (c.task, c.target, c.protocol) == place]
    tried = [c for c in choices if c.method in run.about.tried]
    return max(tried, key=lambda c: c.value).method if tried else None


# ---------------------------------------------------------------- target by target


def _of_target(run: Run, cells: Sequence[Cell], task: str, target: str) -> Finding:
    members = [cell for cell in cells if (cell.task, cell.target) == (task, target)]
    method, metric = spoken_of(run, task, target), run.about.tasks[task]
    cell = next((c for c in members if c.method == method and c.gain is not None), None)
    outcome, text = NOTHING, "nothing to evaluate on: there are no labelled test examples."
    if cell is not None:
        outcome = {"*": HELPS, "†": HURTS}.get(cell.mark, OPEN)
        text = _scored(run, cell, metric, outcome)
    elif members:
        first = members[0]
        text = f"{name_of(first.method).short} scores {number(first.score)} {metric} (95 % interval "
        text += f"{number(first.low)} to {number(first.high)}); there is nothing to compare it with."
    where = f"{target}, {task}" if len(run.about.tasks) > 1 else target
    return Finding(target, outcome, f"{where}: {text}{_handed_over(run, task, target, outcome)}", task)


def _scored(run: Run, cell: Cell, metric: str, outcome: str) -> str:
    gain = cell.gain or 0.0
    size = number(abs(gain))
    more = "as much as" if size == "0.0" else f"{size} {'more' if gain > 0 else 'less'} than"
    conclusions = {HELPS: "composition helps", HURTS: "composition hurts"}
    return (
        f"{named(cell.method, cell.weights)} scores {number(cell.score)} {metric}, {more} {_reference(run)} "
        f"(95 % interval of the difference {number(cell.gain_low)} to {number(cell.gain_high)}, {p_text(cell.p_holm)} "
        f"after Holm): {conclusions.get(outcome, f'no difference that {cell.n} examples can show')}."
    )


def _handed_over(run: Run, task: str, target: str, outcome: str) -> str:
    method = handed_over(run, task, target)
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


def _of_methods(run: Run, cells: Sequence[Cell], draws: int) -> Iterator[Finding]:
    """For each method that the study tries: whether it helped, by how much, over which control, and where it hurt."""
    for task, method in product(run.about.tasks, run.about.tried):
        members = [cell for cell in cells if (cell.task, cell.method) == (task, method)]
        if members:
            yield _of_method(run, cells, members, draws)


def _of_method(run: Run, cells: Sequence[Cell], members: Sequence[Cell], draws: int) -> Finding:
    whole = members[-1]  # the average, or the only target
    name, metric = _named(run, whole), run.about.tasks[whole.task]
    if whole.gain is None:
        text = f"{name} scores {number(whole.score)} {metric}; there is nothing to compare it with."
        return Finding(whole.target, NOTHING, text)
    over = _gain(whole.gain, whole.gain_low, whole.gain_high, whole.p)
    text = f"{name}: {over} {metric} over {name_of(run.about.reference).short}"
    against = [c for c in cells if (c.task, c.target) == (whole.task, whole.target) and c.method in run.about.against]
    control = max(against, key=lambda cell: cell.score, default=None)
    above: tuple[float, float] | None = None
    if control is not None:
        gain, low, high, p = compared(run, whole, control, draws=draws)
        above = gain, p
        text += f", and {_gain(gain, low, high, p)} over the strongest control ({name_of(control.method).short})"
    outcome, conclusion = _conclusion((whole.gain, whole.p), above)
    targets = {mark: ", ".join(c.target for c in members if c.target != AVERAGE and c.mark == mark) for mark in "*†"}
    where = [f"{word} in {targets[mark]}" for mark, word in (("*", "better"), ("†", "worse")) if targets[mark]]
    corrected = f" After Holm's correction it is {' and '.join(where)}." if where else ""
    return Finding(whole.target, outcome, f"{text}: {conclusion}.{corrected}{_right(run, whole, against, draws)}")


def _right(run: Run, whole: Cell, against: Sequence[Cell], draws: int) -> str:
    """The same of the share of outputs in the right language; nothing where a task writes labels or all write alike."""
    shares = {cell.kinds["target"] for cell in (whole, *against) if cell.kinds}
    if whole.right_gain is None or (not whole.right_gain and len(shares) == 1):
        return ""
    text = f" Outputs in the right language, of a hundred: {signed(whole.right_gain)} ({p_text(whole.right_p)})"
    text += f" over {name_of(run.about.reference).short}"
    control = max((c for c in against if c.kinds), key=lambda cell: cell.kinds["target"], default=None)
    if control is not None:
        gain, low, high, p = compared(run, whole, control, right=True, draws=draws)
        text += f", {_gain(gain, low, high, p)} over the strongest control there ({name_of(control.method).short})"
    return f"{text}."


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


def _of_pairs(run: Run, cells: Sequence[Cell]) -> Iterator[Finding]:
    """How many pairs of source and target gained and lost, and the same of the controls."""
    for task, method in product(run.about.tasks, [run.about.tried[0], *run.about.against]):
        pairs = [c for c in cells if (c.task, c.method) == (task, method) and c.gain is not None]
        if pairs:
            better, worse = (sum(c.mark == mark for c in pairs) for mark in "*†")
            gain, base = fmean(c.gain or 0.0 for c in pairs), fmean(c.base or 0.0 for c in pairs)
            control = "Control: " if method in run.about.against else ""
            text = (
                f"{control}{_named(run, pairs[0])}: significantly better than {_reference(run)} in {better} of "
                f"{len(pairs)} pairs, worse in {worse}; {signed(gain)} points on average (from {number(base)})."
            )
            yield Finding("", "", text)
