"""What a run measured: a cell for each method and target, with what is sure about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scores.metrics import METRICS
from ..scores.output import shares
from ..scores.resample import difference_of_groups, group_test, holm, interval_of_groups
from ..study.records import Record, Run, Weight
from .runs import Place, chosen, outputs
from .words import AVERAGE

SIGNIFICANT = 0.05
DRAWS = 10_000
Scores = NDArray[np.float64]
"""Of one method on one target: (seeds, examples), 0..100."""


@dataclass(frozen=True)
class Cell:
    """A method on a target, or (``target`` is ``average``) on all of a task, each language alike.

    ``score`` is the mean over ``seeds`` seeds and ``n`` examples, 0..100, with its 95 % interval over both. ``base`` is
    the reference's on the same examples, ``gain`` the difference, ``p`` that of :func:`..scores.resample.group_test`
    and ``p_holm`` that after Holm's correction over the targets, or all pairs of source and target (an
    average is one test); they are None for the reference itself. ``weights`` holds what was chosen, a
    weight for each seed. ``kinds`` are shares of outputs (0..1), empty where the task writes labels, and
    ``beside`` the figures that stand beside the metric (0..100). ``right`` outputs, over all seeds, are in the
    right language (None where the task writes labels), ``right_gain`` points of a hundred more than the
    reference's, with their paired test after Holm; ``among`` holds score and figures of these outputs alone. The
    oracle's weights and score are there where the run's protocol is another one. Where each source has results of
    its own, ``source`` says which it is, and there are no intervals: a hundred pairs would take minutes.
    """

    task: str
    target: str
    method: str
    n: int
    seeds: int
    score: float
    low: float | None = None
    high: float | None = None
    base: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    source: str = ""
    weights: tuple[Weight, ...] = ()
    kinds: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, float] = field(default_factory=dict)
    right: int | None = None
    right_gain: float | None = None
    right_p: float | None = None
    among: Mapping[str, float] = field(default_factory=dict)
    oracle_weights: tuple[Weight, ...] = ()
    oracle_score: float | None = None

    @property
    def mark(self) -> str:
        """``*`` for what is significantly above the reference, ``†`` for what is below."""
        return mark_of(self.gain, self.p_holm)

    @property
    def change(self) -> float | None:
        """The gain in percent of the reference's score; None where that is 0."""
        return 100 * self.gain / self.base if self.gain is not None and self.base else None


def mark_of(gain: float | None, p: float | None) -> str:
    """``*`` for a gain that a test shows, ``†`` for such a loss."""
    return "" if p is None or p >= SIGNIFICANT or not gain else "*" if gain > 0 else "†"


Outputs = Mapping[Place, Mapping[int, Mapping[str, Record]]]
"""Records by place, seed and id, as :func:`.runs.outputs` gives them."""


def cells(run: Run, *, draws: int = DRAWS) -> list[Cell]:
    """The cells of a run: by task and method, its targets and their average; see :func:`scores` for what counts."""
    about, tested = run.about, outputs(run)
    by_place, rights, facts = _rows(tested), _rows(tested, _of_kind("target")), _facts(run, tested)
    cells: list[Cell] = []
    for task, method in product(about.tasks, about.methods):
        row = []
        for target, source in product(about.targets, about.sources if about.by_source else [""]):
            place, reference = (task, target, method, source), (task, target, about.reference, source)
            if place in by_place:
                compare = method != about.reference and reference in by_place
                base = [by_place[reference]] if compare else []
                figures = _figures([by_place[place]], base, draws, intervals=not about.by_source)
                cell = Cell(task, target, method, source=source, **figures, **facts[place])
                row.append(
                    replace(cell, **_rights([rights[place]], [rights[reference]], draws))
                    if base and cell.kinds
                    else cell
                )
        row = _right_corrected(row)
        ps = {f"{c.source} {c.target}": c.p for c in row if c.p is not None}
        corrected = holm(ps) if ps else {}
        cells += [replace(c, p_holm=corrected.get(f"{c.source} {c.target}")) for c in row]
        if len(row) > 1 and not about.by_source:
            cells.append(_average(row, by_place, rights, about.reference, draws))
    return cells


def _rights(ours: Sequence[Scores], base: Sequence[Scores], draws: int) -> dict[str, Any]:
    """How many more outputs of a hundred are in the right language than the reference's, and the paired test."""
    between = [a - b for a, b in zip(ours, base, strict=True)]
    return {"right_gain": _mean(between), "right_p": group_test(between, draws)}


def _right_corrected(row: Sequence[Cell]) -> list[Cell]:
    """Cells of a method with their tests of right languages after Holm's correction."""
    ps = {f"{k}": cell.right_p for k, cell in enumerate(row) if cell.right_p is not None}
    corrected = holm(ps) if ps else {}
    return [replace(cell, right_p=corrected.get(f"{k}")) for k, cell in enumerate(row)]


def scores(run: Run, protocol: str | None = None) -> dict[Place, Scores]:
    """The scores of :func:`.runs.outputs`, with a row for each seed.

    Of a target only the examples count that all methods and seeds have, in one order.
    """
    return _rows(outputs(run, protocol))


def rights(run: Run, kind: str = "target") -> dict[Place, Scores]:
    """The same of whether an output is of a kind, such as in the right language: 100 or 0."""
    return _rows(outputs(run), _of_kind(kind))


def _of_kind(kind: str) -> Callable[[Record], float]:
    return lambda record: 100.0 * (record.kind == kind)


def _rows(
    tested: Outputs,
    of: Callable[[Record], float] = lambda record: record.score,
) -> dict[Place, Scores]:
    """The same of records that are at hand, or another number ``of`` each."""
    common: dict[tuple[str, str], set[str]] = {}
    for (task, target, _, _), seeds in tested.items():
        for by_id in seeds.values():
            common[task, target] = common.get((task, target), set(by_id)) & by_id.keys()
    ids = {key: sorted(some) for key, some in common.items()}
    return {
        place: np.array([[of(by_id[id]) for id in ids[place[:2]]] for by_id in seeds.values()])
        for place, seeds in tested.items()
        if ids[place[:2]]
    }


def compared(
    run: Run, cell: Cell, other: Cell, *, right: bool = False, draws: int = DRAWS
) -> tuple[float, float, float, float]:
    """What a cell's method gains over another one on the same examples: mean, interval, p; an average by language.

    With ``right`` not in score, but in outputs of a hundred that are in the right language.
    """
    by_place = rights(run) if right else scores(run)
    targets = run.about.targets if cell.target == AVERAGE else [cell.target]
    pairs = [((cell.task, t, cell.method, ""), (cell.task, t, other.method, "")) for t in targets]
    pairs = [pair for pair in pairs if by_place.keys() >= set(pair)]
    return difference_of_groups([by_place[a] for a, _ in pairs], [by_place[b] for _, b in pairs], draws=draws)


def kinds(cells: Iterable[Cell]) -> dict[str, dict[str, dict[str, float]]]:
    """The shares of the kinds of output by target and method, over sources; averages are left out."""
    by_place: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    for c in cells:
        if c.kinds and c.target != AVERAGE:
            by_place.setdefault(c.target, {}).setdefault(c.method, []).append(c.kinds)
    return {target: {m: _means(several) for m, several in methods.items()} for target, methods in by_place.items()}


# ---------------------------------------------------------------- the arithmetic


def _figures(ours: Sequence[Scores], base: Sequence[Scores], draws: int, *, intervals: bool = True) -> dict[str, Any]:
    """The figures of a cell, over one group or several, with ``base`` of the reference if it was tested there."""
    figures: dict[str, Any] = {"n": sum(group.shape[1] for group in ours), "seeds": len(ours[0]), "score": _mean(ours)}
    if intervals:
        low, high = interval_of_groups(ours, draws=draws)
        figures |= {"low": max(low, 0.0), "high": min(high, 100.0)}  # few seeds say less than that it is a score
    if not base:
        return figures
    figures["base"] = _mean(base)
    if intervals:
        gain = difference_of_groups(ours, base, draws=draws)
        return figures | {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high, "p": gain.p}
    gains = [a - b for a, b in zip(ours, base, strict=True)]
    return figures | {"gain": _mean(gains), "p": group_test(gains, draws)}


def _average(
    row: Sequence[Cell],
    by_place: Mapping[Place, Scores],
    rights: Mapping[Place, Scores],
    reference: str,
    draws: int,
) -> Cell:
    """Of a method over all targets of a task."""
    compare = all(c.gain is not None for c in row)
    base = [by_place[c.task, c.target, reference, ""] for c in row if compare]
    figures = _figures([by_place[c.task, c.target, c.method, ""] for c in row], base, draws)
    oracle = [c.oracle_score for c in row if c.oracle_score is not None]
    kinds = all(c.kinds for c in row)
    if compare and kinds:
        places = [(c.task, c.target, c.method, "") for c in row]
        figures |= _rights([rights[p] for p in places], [rights[(*p[:2], reference, "")] for p in places], draws)
    some = [c for c in row if c.among]  # a target without any output in its language has no score of these
    return Cell(
        row[0].task,
        AVERAGE,
        row[0].method,
        **figures,
        right=sum(c.right or 0 for c in row) if kinds else None,
        among=_means([c.among for c in some]) if some else {},
        p_holm=figures.get("p"),
        kinds=_means([c.kinds for c in row]),
        beside=_means([c.beside for c in row]),
        oracle_score=fmean(oracle) if len(oracle) == len(row) else None,
    )


def _mean(groups: Sequence[Scores]) -> float:
    return fmean(float(group.mean()) for group in groups)


def _means(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of what all of them have."""
    return {name: fmean(one[name] for one in several) for name in several[0] if all(name in one for one in several)}


# ---------------------------------------------------------------- what else is known of a cell


def beside_of(metric: str) -> Mapping[str, Callable[[Sequence[str], Sequence[Sequence[str]]], float]]:
    """The figures that stand beside a metric, by name: of outputs and their references, 0..100."""
    return next((one.beside for one in METRICS.values() if one.name == metric), {})


def _facts(run: Run, tested: Outputs) -> dict[Place, dict[str, Any]]:
    """What a cell knows beside its scores: weights, kinds of output, figures beside the metric, the oracle."""
    weights, oracle = _weights(run), _oracle(run)
    right = {(e.task, e.target, e.id): [e.reference, *e.alternatives] for e in run.examples if e.split == "test"}
    facts = {}
    for place, by_seed in sorted(tested.items(), key=lambda item: item[0][:2]):  # methods of one target in a row
        kinds = [r.kind for by_id in by_seed.values() for r in by_id.values()]
        seeds = [_pairs(by_id.values(), right) for by_id in by_seed.values()]
        metric = run.about.tasks.get(place[0], "")
        beside = beside_of(metric) if all(seeds) else {}
        among = [r for by_id in by_seed.values() for r in by_id.values() if r.kind == "target"]
        pairs_among = _pairs(among, right)
        together = {
            name: fmean(float(figure(*zip(*pairs, strict=True))) for pairs in seeds) for name, figure in beside.items()
        }
        same = len(seeds) == 1 and pairs_among == seeds[0]  # to count n-grams once more is dear
        right_alone = (
            together if same or not pairs_among
            else {name: float(figure(*zip(*pairs_among, strict=True))) for name, figure in beside.items()}
        )  # fmt: skip
        facts[place] = {
            "weights": weights.get(place, ()),
            "kinds": shares(kinds) if any(kinds) else {},
            "beside": together,
            "right": len(among) if any(kinds) else None,
            "among": {metric: fmean(r.score for r in among)} | right_alone if among else {},
        } | oracle.get(place, {})
    return facts


def _pairs(
    records: Iterable[Record], right: Mapping[tuple[str, str, str], list[str]]
) -> list[tuple[str, Sequence[str]]]:
    """Outputs and their references; without those whose example has no line, or whose texts are not kept."""
    pairs = [(r.output, right.get((r.task, r.target, r.id), [])) for r in records]
    return [(output, references) for output, references in pairs if references and (output or any(references))]


def _weights(run: Run, protocol: str | None = None) -> dict[Place, tuple[Weight, ...]]:
    """The weights that were chosen at each place, one for each seed."""
    weights: dict[Place, tuple[Weight, ...]] = {}
    for (place, _), choice in chosen(run, protocol).items():
        weights[place] = (*weights.get(place, ()), choice.weight)
    return weights


def _oracle(run: Run) -> dict[Place, dict[str, Any]]:
    """The oracle's weights and mean score, where the run's own protocol is another one that chose too."""
    own, others = (
        {(c.task, c.target, c.method, c.source) for c in run.choices if c.protocol == protocol}
        for protocol in (run.about.protocol, "oracle")
    )
    if run.about.protocol == "oracle" or not own & others:
        return {}
    by_place, weights = scores(run, "oracle"), _weights(run, "oracle")
    means = {place: float(by_place[place].mean()) if place in by_place else None for place in own & others}
    return {place: {"oracle_weights": weights[place], "oracle_score": mean} for place, mean in means.items()}
