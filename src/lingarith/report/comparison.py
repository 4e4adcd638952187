"""The methods of a study compared: by target and on average, with what is significant and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ..scores.answers import exact_match
from ..scores.output import shares
from ..scores.resample import holm, paired_test
from ..study.records import Choice, Record, Run
from .selection import same_weight
from .table import AVERAGE, LEVEL, SIGNIFICANT
from .verdict import HELPS, HURTS, NOTHING, OPEN, UNSURE, Finding
from .wording import number, p_text, signed

DRAWS = 10_000
Scores = NDArray[np.float64]
"""Of one method on one target: (seeds, examples), 0..100."""
Place = tuple[str, str, str, str]
"""Task, target, method and, where each source has a row of its own, source."""


@dataclass(frozen=True)
class Cell:
    """A method on a target, or (``target`` is ``average``) on all of a task, each language alike.

    ``score`` is the mean over ``seeds`` seeds and ``n`` examples, 0..100, with its 95 % bootstrap
    interval over both. ``gain`` is the difference to the study's reference on the same examples,
    ``p`` its paired test and ``p_holm`` that after Holm's correction over the targets (an average is
    one test); they are None for the reference. ``weights`` holds what was chosen, a weight for each seed.
    """

    task: str
    target: str
    method: str
    n: int
    seeds: int
    score: float
    low: float
    high: float
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    weights: tuple[float, ...] = ()

    @property
    def mark(self) -> str:
        """``*`` for what is significantly above the reference, ``†`` for what is below."""
        if self.p_holm is None or self.p_holm >= SIGNIFICANT or not self.gain:
            return ""
        return "*" if self.gain > 0 else "†"


def tested(run: Run) -> Iterator[tuple[Place, Record]]:
    """The test records of each method at the weights that were chosen."""
    chosen = _chosen(run)
    by_source = run.about.get("by_source", False)
    for r in run.records:
        source = r.source if by_source else ""
        choice = chosen.get((r.task, r.target, r.equation, source, r.seed))
        if r.split == "test" and same_weight(r.weight, choice.weight if choice else None):
            yield (r.task, r.target, r.equation, source), r


def scores(run: Run) -> dict[Place, Scores]:
    """The scores of :func:`tested`, with a row for each seed.

    Of a target only the examples count that all methods and seeds have, in one order.
    """
    found: dict[Place, dict[int, dict[str, float]]] = {}
    for place, r in tested(run):
        found.setdefault(place, {}).setdefault(r.seed, {})[r.id] = r.score
    common: dict[tuple[str, str], set[str]] = {}
    for (task, target, _, _), seeds in found.items():
        for ids in seeds.values():
            common[task, target] = common.get((task, target), set(ids)) & ids.keys()
    return {
        place: np.array([[scored[id] for id in sorted(common[place[:2]])] for scored in seeds.values()])
        for place, seeds in found.items()
        if common[place[:2]]
    }


def exact(run: Run, task: str) -> dict[tuple[str, str], float]:
    """How often an output is exactly one of its references, in percent, by target and method, with averages.

    It is computed from the outputs; an output whose example has no line is left out.
    """
    answers = {(e.target, e.id): [e.reference, *e.alternatives] for e in run.examples if e.task == task}
    found: dict[tuple[str, str], list[tuple[str, list[str]]]] = {}
    for (kind, target, method, _), r in tested(run):
        if kind == task and (target, r.id) in answers:
            found.setdefault((target, method), []).append((r.output, answers[target, r.id]))
    means = {
        place: float(exact_match([output for output, _ in pairs], [given for _, given in pairs]).mean())
        for place, pairs in found.items()
    }
    for method in dict.fromkeys(method for _, method in means):
        means[AVERAGE, method] = fmean(value for (_, own), value in means.items() if own == method)
    return means


def kinds(run: Run, task: str) -> dict[str, dict[str, dict[str, float]]]:
    """The shares of the kinds of output (0..1) by target and method, over seeds and sources."""
    found: dict[str, dict[str, list[str]]] = {}
    for (own, target, method, _), r in tested(run):
        if own == task:
            found.setdefault(target, {}).setdefault(method, []).append(r.kind)
    order = run.about["methods"]
    return {
        target: {method: shares(of[method]) for method in order if method in of}
        for target in run.about["targets"]
        if (of := found.get(target))
    }


def cells(run: Run, *, draws: int = DRAWS) -> list[Cell]:
    """A cell for each method and target, then the averages; see :func:`scores` for what counts."""
    by_place = scores(run)
    weights = _weights(run)
    reference = str(run.about["reference"])
    found: list[Cell] = []
    for task in run.about["tasks"]:
        for method in run.about["methods"]:
            own = {t: by_place[task, t, method, ""] for t in run.about["targets"] if (task, t, method, "") in by_place}
            base = {} if method == reference else {t: by_place.get((task, t, reference, "")) for t in own}
            against = {t: other for t, other in base.items() if other is not None}
            rows = [
                replace(
                    _cell(task, target, method, [own[target]], [against[target]] if target in against else [], draws),
                    weights=weights.get((task, target, method), ()),
                )
                for target in own
            ]
            ps = {row.target: row.p for row in rows if row.p is not None}
            corrected = holm(ps) if ps else {}
            found += [replace(row, p_holm=corrected.get(row.target)) for row in rows]
            if len(own) > 1:
                others = list(against.values()) if len(against) == len(own) else []
                average = _cell(task, AVERAGE, method, list(own.values()), others, draws)
                found.append(replace(average, p_holm=average.p))
    return found


def difference(
    ours: Sequence[Scores], theirs: Sequence[Scores], draws: int = DRAWS
) -> tuple[float, float, float, float]:
    """The mean difference over groups of the same examples, each group alike, its 95 % interval, and p."""
    between = [a - b for a, b in zip(ours, theirs, strict=True)]
    low, high = _interval(between, draws)
    examples = [group.mean(0) for group in between]
    total = sum(map(len, examples))
    # Weighing an example by 1/n of its group makes the plain mean the mean over groups.
    weighed = np.concatenate([group * total / len(group) for group in examples])
    p = paired_test(weighed, np.zeros(total), draws=draws)
    return fmean(float(group.mean()) for group in between), low, high, p


def judged(run: Run, of: Sequence[Cell], *, draws: int = DRAWS) -> list[Finding]:
    """In plain words, for each method that the study tries: whether it helped, by how much, over which
    control, and where it hurt."""
    found = []
    for task, metric in run.about["tasks"].items():
        for method in run.about["tried"]:
            own = [cell for cell in of if (cell.task, cell.method) == (task, method)]
            if own:
                found.append(_judged(run, of, own, str(metric), draws))
    return found


# ---------------------------------------------------------------- the arithmetic of cells


def _chosen(run: Run) -> dict[tuple[str, str, str, str, int], Choice]:
    """The choice that counts: by the run's protocol, or else the only one that the method has."""
    found: dict[tuple[str, str, str, str, int], Choice] = {}
    for c in run.choices:
        key = (c.task, c.target, c.equation, c.source, c.seed)
        if key not in found or c.protocol == run.about["protocol"]:
            found[key] = c
    return found


def _weights(run: Run) -> dict[tuple[str, str, str], tuple[float, ...]]:
    found: dict[tuple[str, str, str], tuple[float, ...]] = {}
    for (task, target, method, _, _), choice in _chosen(run).items():
        found[task, target, method] = (*found.get((task, target, method), ()), choice.weight)
    return found


def _cell(task: str, target: str, method: str, own: Sequence[Scores], reference: Sequence[Scores], draws: int) -> Cell:
    low, high = _interval(own, draws)
    gain = difference(own, reference, draws) if reference else (None,) * 4
    size, score = sum(group.shape[1] for group in own), fmean(float(group.mean()) for group in own)
    return Cell(task, target, method, size, len(own[0]), score, low, high, *gain)


def _interval(groups: Sequence[Scores], draws: int) -> tuple[float, float]:
    """Bootstrap interval of the mean of the groups' means: seeds are drawn for all groups together,
    examples in each."""
    rng = np.random.default_rng(0)
    seeds = len(groups[0])
    means = np.zeros(draws)
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds
    for group in groups:
        for start in range(0, draws, 500):  # in pieces: a long test split would fill the memory
            part = slice(start, min(start + 500, draws))
            rows = drawn[part] @ group
            picked = rng.integers(0, group.shape[1], rows.shape)
            means[part] += np.take_along_axis(rows, picked, axis=1).mean(1) / len(groups)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


# ---------------------------------------------------------------- in words


def _judged(run: Run, of: Sequence[Cell], own: Sequence[Cell], metric: str, draws: int) -> Finding:
    whole = own[-1]  # the average, or the only target
    name, reference = _name(run, whole.method), _name(run, run.about["reference"])
    if whole.gain is None:
        said = f"{name} scores {number(whole.score)} {metric}; there is nothing to compare it with."
        return Finding(whole.target, NOTHING, said)
    said = f"{name}: {_gain(whole.gain, whole.gain_low, whole.gain_high, whole.p)} {metric} over {reference}"
    control = max(
        (c for c in of if (c.task, c.target) == (whole.task, whole.target) and c.method in run.about["against"]),
        key=lambda cell: cell.score,
        default=None,
    )
    above: tuple[float, float] | None = None
    if control is not None:
        gain, low, high, p = _against(run, whole, control, draws)
        above = gain, p
        said += f", and {_gain(gain, low, high, p)} over the strongest control ({_name(run, control.method)})"
    places = {mark: [c.target for c in own if c.target != AVERAGE and c.mark == mark] for mark in "*†"}
    where = [f"{word} in {', '.join(places[m])}" for m, word in (("*", "better"), ("†", "worse")) if places[m]]
    each = f" After Holm's correction it is {' and '.join(where)}." if where else ""
    outcome, conclusion = _conclusion((whole.gain, whole.p), above)
    return Finding(whole.target, outcome, f"{said}: {conclusion}.{each}")


def _against(run: Run, cell: Cell, control: Cell, draws: int) -> tuple[float, float, float, float]:
    found = scores(run)
    both = [
        (found[cell.task, t, cell.method, ""], found[cell.task, t, control.method, ""])
        for t in run.about["targets"]
        if (cell.task, t, cell.method, "") in found and (cell.task, t, control.method, "") in found
    ]
    return difference([ours for ours, _ in both], [theirs for _, theirs in both], draws)


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


def _name(run: Run, method: str) -> str:
    return str(run.about["methods"].get(method, method)).split(" (")[0]
