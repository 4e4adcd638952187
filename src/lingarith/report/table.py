"""The results on the test split as rows, and the rows as text, markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import numpy

from ..scores.output import shares
from ..scores.resample import bootstrap_difference, bootstrap_interval, holm, paired_test
from ..study.records import BASELINE, Choice, Grid, Record, Run
from .selection import choice, equations, on_test, protocol, targets
from .wording import number, percent, short, signed

if TYPE_CHECKING:
    from rich.console import RenderableType

AVERAGE = "average"
LEVEL = 0.95
SIGNIFICANT = 0.05
NO_TEST = "No test records: nothing was evaluated on a test split, so there is no table."
CAPTION = (
    "R-2: ROUGE-2 on the test split, with 95 % bootstrap interval. Gain: over the baseline on the same examples; "
    "* p < 0.05 after Holm's correction over languages. Right: outputs in the right language."
)
ORACLE_CAPTION = " Oracle: the weight that the target's own labels would have chosen, and its score."
LEFT = ("", "Equation", "λ, β")


@dataclass(frozen=True)
class Row:
    """One equation on one target's test examples, or (``target`` is ``average``) over all targets.

    ``score`` is mean ROUGE-2 (0..100) over ``n`` examples, ``low`` and ``high`` its 95 % interval;
    ``gain`` is the difference to the baseline over the examples both have, ``p`` its paired test,
    ``p_holm`` the same corrected over the languages of the equation (an average is one test:
    nothing to correct). They are None for the baseline and where no baseline was run. ``kinds``
    holds shares of outputs (0..1) by :data:`~.wording.KIND_LABELS`. ``oracle_weight`` and
    ``oracle_score`` say what labels of the target would have chosen, where the protocol was
    another and that was computed.
    """

    target: str
    equation: str
    protocol: str
    weight: float | None
    n: int
    score: float
    low: float
    high: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    p: float | None
    p_holm: float | None
    kinds: Mapping[str, float]
    expression: str
    oracle_weight: float | None = None
    oracle_score: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference to the baseline stays after Holm's correction."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT


# ---------------------------------------------------------------- rows


def rows(run: Run, *, draws: int = 10_000) -> list[Row]:
    """One row per target and equation at the weight that the run's protocol chose, then averages.

    Only test records count; the list is empty where there are none. The average is the mean over
    targets (each language weighs the same), present where an equation has a row for every target
    of two or more.
    """
    by_target = {target: _target_rows(run, target, draws) for target in targets(run)}
    by_target = {target: found for target, found in by_target.items() if found}
    corrected = {equation: _corrected(by_target, equation) for equation in equations(run)}
    single = [
        replace(row, p_holm=corrected[equation].get(target))
        for target, found in by_target.items()
        for equation, (row, _, _) in found.items()
    ]
    averages = [
        _average([found[equation] for found in by_target.values()], draws, _seed(run))
        for equation in equations(run)
        if len(by_target) > 1 and all(equation in found for found in by_target.values())
    ]
    return single + averages


Tested = tuple[Row, list[float], list[tuple[float, float]]]
"""A row, its scores, and the pairs (score, baseline's score) of the examples that both have."""


def _target_rows(run: Run, target: str, draws: int) -> dict[str, Tested]:
    baseline = on_test(run, target, BASELINE, None)
    found = {}
    for equation in equations(run):
        chosen = choice(run, target, equation, protocol(run))
        records = on_test(run, target, equation, chosen.weight if chosen else None)
        if records:
            found[equation] = _row(run, equation, chosen, records, baseline, draws)
    return found


def _corrected(by_target: Mapping[str, Mapping[str, Tested]], equation: str) -> dict[str, float]:
    """The p-values of one equation after Holm's correction over its languages."""
    ps = {target: found[equation][0].p for target, found in by_target.items() if equation in found}
    known = {target: p for target, p in ps.items() if p is not None}
    return holm(known) if known else {}


def _row(
    run: Run, equation: str, chosen: Choice | None, records: dict[str, Record], baseline: dict[str, Record], draws: int
) -> Tested:
    seed = _seed(run)
    target = next(iter(records.values())).target
    scores = [r.score for r in records.values()]
    low, high = bootstrap_interval(scores, level=LEVEL, draws=draws, seed=seed)
    pairs = [(r.score, baseline[i].score) for i, r in records.items() if i in baseline]
    gain: tuple[float | None, ...] = (None,) * 4
    if pairs and equation != BASELINE:
        a, b = [x for x, _ in pairs], [y for _, y in pairs]
        between = bootstrap_difference(a, b, level=LEVEL, draws=draws, seed=seed)
        gain = (fmean(a) - fmean(b), *between, paired_test(a, b, draws=draws, seed=seed))
    oracle = choice(run, target, equation, "oracle") if protocol(run) != "oracle" else None
    beside = on_test(run, target, equation, oracle.weight) if oracle else {}
    row = Row(
        target=target,
        equation=equation,
        protocol=protocol(run),
        weight=chosen.weight if chosen else None,
        n=len(scores),
        score=fmean(scores),
        low=low,
        high=high,
        gain=gain[0],
        gain_low=gain[1],
        gain_high=gain[2],
        p=gain[3],
        p_holm=None,
        kinds=shares(r.kind for r in records.values()),
        expression=chosen.expression if chosen else str(run.about.get("expressions", {}).get(equation, "")),
        oracle_weight=oracle.weight if oracle else None,
        oracle_score=fmean(r.score for r in beside.values()) if beside else None,
    )
    return row, scores, pairs


def _average(parts: Sequence[Tested], draws: int, seed: int) -> Row:
    of = [row for row, _, _ in parts]
    low, high = _macro_interval([scores for _, scores, _ in parts], draws, seed)
    gain: tuple[float | None, ...] = (None,) * 4
    if all(row.gain is not None for row in of):
        pairs = [part[2] for part in parts]
        between = _macro_interval([[a - b for a, b in part] for part in pairs], draws, seed)
        # weighing each example by 1/n of its language makes the plain mean the mean over languages
        total = sum(map(len, pairs))
        weighed = [(a * total / len(part), b * total / len(part)) for part in pairs for a, b in part]
        p = paired_test([a for a, _ in weighed], [b for _, b in weighed], draws=draws, seed=seed)
        gain = (fmean(row.gain or 0.0 for row in of), *between, p)
    oracle = [row.oracle_score for row in of if row.oracle_score is not None]
    return replace(
        of[0],
        target=AVERAGE,
        weight=None,
        n=sum(row.n for row in of),
        score=fmean(row.score for row in of),
        low=low,
        high=high,
        gain=gain[0],
        gain_low=gain[1],
        gain_high=gain[2],
        p=gain[3],
        p_holm=gain[3],  # one test for the average: nothing to correct
        kinds={kind: fmean(row.kinds[kind] for row in of) for kind in of[0].kinds},
        expression="",
        oracle_weight=None,
        oracle_score=fmean(oracle) if len(oracle) == len(of) else None,
    )


def _macro_interval(groups: Sequence[Sequence[float]], draws: int, seed: int) -> tuple[float, float]:
    """Bootstrap interval of the mean of the groups' means; each group is resampled by itself."""
    generator = numpy.random.default_rng(seed)
    means = numpy.zeros(draws)
    for values in map(numpy.asarray, groups):
        for start in range(0, draws, 500):  # in pieces: a long test split would fill the memory
            part = means[start : start + 500]
            part += values[generator.integers(0, len(values), (len(part), len(values)))].mean(axis=1) / len(groups)
    low, high = numpy.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _seed(run: Run) -> int:
    seed = run.about.get("seed", 0)
    return seed if isinstance(seed, int) else 0


# ---------------------------------------------------------------- the table, three ways

COLUMNS: dict[str, Callable[[Row], str]] = {
    "Equation": lambda row: short(row.equation),
    "λ, β": lambda row: "" if row.weight is None else f"{row.weight:g}",
    "R-2": lambda row: number(row.score),
    "95 %": lambda row: f"{number(row.low)}–{number(row.high)}",
    "Gain": lambda row: "" if row.gain is None else signed(row.gain) + ("*" if row.significant else ""),
    "95 % ": lambda row: "" if row.gain is None else f"{signed(row.gain_low)} to {signed(row.gain_high)}",
    "Right": lambda row: percent(row.kinds["target"]),
}
"""The columns after the language, and how a row fills them."""


def columns(of: Sequence[Row]) -> dict[str, Callable[[Row], str]]:
    """The columns after the language; the oracle's weight and score only where a row has them."""
    return COLUMNS | ({"Oracle": _oracle} if has_oracle(of) else {})


def has_oracle(of: Sequence[Row]) -> bool:
    """Whether any row knows what the target's own labels would have chosen."""
    return any(row.oracle_weight is not None for row in of)


def _oracle(row: Row) -> str:
    weight = "" if row.oracle_weight is None else f"{row.oracle_weight:g}: "
    return weight + ("" if row.oracle_score is None else number(row.oracle_score))


def groups(of: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows by target, in their order."""
    found: dict[str, list[Row]] = {}
    for row in of:
        found.setdefault(row.target, []).append(row)
    return found


def as_text(of: Sequence[Row]) -> RenderableType:
    """The table for a terminal, at most 80 columns wide; a sentence where there are no rows."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    if not of:
        return Text(NO_TEST)
    shown = columns(of)
    padding = (0, 0 if has_oracle(of) else 1, 0, 0)
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=padding, caption=_caption(of), caption_justify="left")
    for name in ("", *shown):
        table.add_column(name.strip(), justify="left" if name in LEFT else "right", no_wrap=True)
    for row, cells in _cells(of, shown):
        last = row is groups(of)[row.target][-1]
        better = row.significant and (row.gain or 0) > 0
        table.add_row(*map(Text, cells), style="bold" if better else "", end_section=last)
    return table


def as_markdown(of: Sequence[Row]) -> str:
    """The table in GitHub's markdown, the caption below it; a sentence where there are no rows."""
    if not of:
        return NO_TEST + "\n"
    shown = columns(of)
    lines = [
        "| Language | " + " | ".join(name.strip() for name in shown) + " |",
        "|---|" + "".join("---|" if name in LEFT else "---:|" for name in shown),
    ]
    for _, cells in _cells(of, shown):
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    return "\n".join([*lines, "", _escaped(_caption(of)), ""])


def as_grid(of: Sequence[Row], title: str) -> Grid:
    """The table as heads and rows, the language named in each."""
    shown = columns(of)
    rows = [[row.target, *(cell(row) for cell in shown.values())] for row in of]
    return Grid(title, ["Language", *(name.strip() for name in shown)], rows, _caption(of) if of else NO_TEST)


def as_json(of: Sequence[Row]) -> str:
    """The rows as a JSON list, every field under its name; ``[]`` where there are none."""
    return json.dumps([asdict(row) for row in of], ensure_ascii=False, indent=2)


def _cells(of: Sequence[Row], shown: Mapping[str, Callable[[Row], str]]) -> Iterator[tuple[Row, list[str]]]:
    """Each row with its cells; a language is named once, in its first row."""
    for target, members in groups(of).items():
        for row in members:
            yield row, [target if row is members[0] else "", *(cell(row) for cell in shown.values())]


def _caption(of: Sequence[Row]) -> str:
    return CAPTION + (ORACLE_CAPTION if has_oracle(of) else "")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
