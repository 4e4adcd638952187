"""What the studies of mixtures answer: kinds in one sum, the cost of a language vector, lines between two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from ..scores.resample import difference_of_groups
from ..study.records import ADD, BASELINE, RANDOM, SCALED, Choice, Grid, Ingredient, Run, dose, kind_of, name_of
from .answer import DRAWS, Answer
from .cells import scores
from .figures import ALONE_LINE, COLOURS, blank, judged_by
from .runs import chosen, targets_of
from .words import number, p_text, percent, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Gain(NamedTuple):
    """What a method scores, each target alike, and what it gains over another: mean, 95 % interval, p."""

    score: float
    gain: float
    low: float
    high: float
    p: float

    @property
    def texts(self) -> list[str]:
        """As cells of a table."""
        return [signed(self.gain), f"{signed(self.low)} to {signed(self.high)}", _p(self.p)]


def _p(p: float) -> str:
    return p_text(p).removeprefix("p ").removeprefix("= ")


def gains_over(run: Run, over: str) -> dict[str, Gain]:
    """The methods of a run with one task, against another one of them; none where that was not tested."""
    found, targets = scores(run), targets_of(run, task := next(iter(run.about.tasks)))
    places = {
        m: [(task, t, m, "") for t in targets if {(task, t, m, ""), (task, t, over, "")} <= found.keys()]
        for m in run.about.methods
    }
    gains = {}
    for method, tested in places.items():
        if tested:
            ours, theirs = ([found[*place[:2], m, ""] for place in tested] for m in (method, over))
            gains[method] = Gain(
                fmean(float(one.mean()) for one in ours), *difference_of_groups(ours, theirs, draws=DRAWS)
            )
    return gains


# ---------------------------------------------------------------- kinds of adapters in one sum


def mixed(run: Run) -> Answer | None:
    """The score of each combination of kinds beside the pure ones, and what cuts lose."""
    gains, errors = gains_over(run, BASELINE), errors_of(run)
    if len(gains) < 2:
        return None
    metric = next(iter(run.about.tasks.values()))
    rows = [
        [
            _short(m),
            number(g.score),
            *(g.texts if m != BASELINE else [""] * 3),
            percent(errors[m]) if m in errors else "",
        ]
        for m, g in gains.items()
    ]
    own = kind_of(run.about.adapter)
    note = f"{metric}, mean over {', '.join(run.about.targets)}. Gain: over the task vector alone ({own}). A + B: "
    note += "task vector of kind A, language vectors of kind B. Error: of the cut, of the norm of the exact sum."
    grid = Grid("Kinds of adapters in one sum", ["Sum", metric, "Gain", "95 %", "p", "Error"], rows, note)
    text = f"Gain in {metric} over the task vector alone ({own}), with 95 % intervals; right, what a cut loses."
    return Answer([grid], {"mixed": lambda: _draw_mixed(gains, errors, metric)}, {"mixed": text})


def _short(method: str) -> str:
    return name_of(method).short


def errors_of(run: Run) -> dict[str, float]:
    """The mean error of the cuts that were chosen, by method."""
    errors: dict[str, list[float]] = {}
    for (place, _), choice in chosen(run).items():
        if choice.error:
            errors.setdefault(place[2], []).append(choice.error)
    return {method: fmean(some) for method, some in errors.items()}


def _draw_mixed(gains: Mapping[str, Gain], errors: Mapping[str, float], metric: str) -> Figure:
    names = [method for method in gains if method != BASELINE]
    figure = blank(6.2, 0.9 + 0.2 * len(names))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    left.axvline(0, **ALONE_LINE)
    for y, method in enumerate(reversed(names)):
        gain = gains[method]
        mixes = "+" in method or method.startswith("both")
        colour = "kind-other" if method in errors else "add-subtract" if mixes else "add"
        colour = "muted" if name_of(method).full != method else colour
        mark = "s" if method in errors else "D" if mixes else "o"
        drawn_interval(left, y, gain, COLOURS[colour], mark)
        if method in errors:
            right.barh(y, 100 * errors[method], height=0.6, color=COLOURS[colour])
    left.set_yticks(range(len(names)), [_short(method) for method in reversed(names)], fontsize=7)
    left.set_xlabel(f"gain in {metric}")
    right.set_xlabel("error of the cut, %")
    right.set_xlim(0, 100)
    for axis in (left, right):
        axis.grid(axis="x")
        axis.tick_params(axis="y", length=0)
    return figure


def drawn_interval(axis: Axes, y: float, gain: Gain, colour: str, mark: str) -> None:
    """Draw a gain with its interval at a height."""
    axis.plot([gain.low, gain.high], [y, y], color=colour, linewidth=1)
    axis.plot([gain.gain], [y], mark, color=colour, markersize=4.5)


# ---------------------------------------------------------------- what a language vector costs


def cost(run: Run) -> Answer | None:
    """Gain of language vectors against what they cost, with their dose; and the cheapest that pays."""
    over_task, over_scaled, spent = gains_over(run, BASELINE), gains_over(run, SCALED), _spent(run)
    if ADD not in over_scaled or ADD not in over_task:
        return None
    metric = next(iter(run.about.tasks.values()))
    rows = []
    for method in (*spent, RANDOM):
        if method in over_scaled:
            gain, facts = over_scaled[method], spent.get(method)
            learnt = "–" if facts is None or facts.learnt is None else number(-100 * facts.learnt)
            rows.append(
                [
                    "as the study has it" if method == ADD else _short(method),
                    "" if facts is None else number(facts.seconds),
                    learnt,
                    number(gain.score),
                    signed(over_task[method].gain),
                    *gain.texts,
                ]
            )
    paying = [m for m in spent if m in over_scaled and over_scaled[m].gain > 0 and over_scaled[m].p < 0.05]
    cheapest = min(paying, key=lambda m: spent[m].seconds, default=None)
    note = (
        f"{metric}, mean over {', '.join(run.about.targets)}. Seconds: of training one vector. Dose: bits per byte of "
    )
    note += "held-out text that it saves, in hundredths. "
    note += "Gains on test, each with its own λ: over the task vector alone, and over λ · task alone. "
    note += (
        f"Break-even: {_short(cheapest)}, the cheapest that gains over λ · task alone (p < 0.05)."
        if cheapest
        else "Break-even: none; no vector gains over λ · task alone, which costs nothing (p < 0.05)."
    )
    heads = ["Language vector", "Seconds", "Dose", metric, "Over task", "Over λ·task", "95 %", "p"]
    equal = _at_equal(run)
    weights = sorted({w for line in equal.values() for w in line})
    same = [
        ["as the study has it" if m == ADD else _short(m), *(signed(line.get(w)) for w in weights)]
        for m, line in equal.items()
    ]
    judged = judged_by(run, next(iter(run.about.tasks)))
    note_of_same = f"The same at equal λ for all, on the validation examples ({judged}): over λ · task alone."
    text = f"What Eq. 1 gains in {metric} over λ · task alone, by steps, characters and rank of the language vector. "
    text += (
        "Blue: on test, each with the λ that was chosen for it, with 95 % intervals. Orange: at equal λ on validation "
    )
    text += (
        "examples, the mean over λ < 1. Dotted: as much as λ · task alone, which needs no language vector. Below: dose."
    )
    grids = [
        Grid("What a language vector costs", heads, rows, note),
        Grid("At equal λ", ["Language vector", *(f"λ = {w:g}" for w in weights)], same, note_of_same),
    ]
    return Answer(grids, {"cost": lambda: _draw_cost(run, over_scaled, spent, metric)}, {"cost": text})


def _at_equal(run: Run) -> dict[str, dict[float, float]]:
    """By method and λ < 1: the validation value over that of λ · task alone, mean over targets and seeds."""
    curves = {(place[1], seed, place[2]): dict(c.curve) for (place, seed), c in chosen(run).items()}
    gains: dict[str, dict[float, list[float]]] = {}
    for (target, seed, method), curve in curves.items():
        alone = curves.get((target, seed, SCALED), {})
        for weight in curve.keys() & alone.keys() if method != SCALED else ():
            if isinstance(weight, float | int) and weight < 1:
                gains.setdefault(method, {}).setdefault(weight, []).append(curve[weight] - alone[weight])
    return {method: {w: fmean(some) for w, some in sorted(line.items())} for method, line in gains.items()}


class Spent(NamedTuple):
    """What a language vector cost, seconds, and learnt, change of bits per byte; means over targets."""

    seconds: float
    learnt: float | None


def _spent(run: Run) -> dict[str, Spent]:
    """By method. A vector is known by its steps and rank; of several, more characters are more documents."""
    study = run.about.study
    vectors = [i for i in run.ingredients if i.origin.get("kind") == "language"]
    usual = {"language_steps": study["language_steps"], "rank": run.about.adapter.get("rank")}
    limits = sorted({study["characters"], *(_value(m) for m in run.about.methods if m.startswith("characters="))})
    spent = {}
    for method in (ADD, *(m for m in run.about.methods if "=" in m)):
        key, value = ("", 0.0) if method == ADD else (method.partition("=")[0], _value(method))
        wanted = usual | {key: value}
        same: dict[str, list[Ingredient]] = {}
        for i in vectors:
            if (i.steps, i.origin["adapter"].get("rank")) == (wanted["language_steps"], wanted["rank"]):
                same.setdefault(i.origin["language"], []).append(i)
        taken = []
        for several in same.values():
            ordered = sorted(several, key=lambda i: i.origin["data"]["documents"])
            at = limits.index(value) if key == "characters" else limits.index(study["characters"])
            taken.append(ordered[at if len(ordered) == len(limits) else -1])
        if taken:
            doses = [after - before for i in taken if (pair := dose(i.origin)) for before, after in [pair]]
            spent[method] = Spent(fmean(i.seconds for i in taken), fmean(doses) if doses else None)
    return spent


def _value(method: str) -> float:
    return float(method.partition("=")[2])


def _draw_cost(run: Run, gains: Mapping[str, Gain], spent: Mapping[str, Spent], metric: str) -> Figure:
    study = run.about.study
    own = {k: v for k, v in study.items() if k in ("language_steps", "characters")} | {
        "rank": run.about.adapter.get("rank")
    }
    equal = _at_equal(run)
    keys = [key for key in own if any(m.startswith(f"{key}=") for m in spent)]
    figure = blank(2.1 * max(1, len(keys)), 3.2)
    rows = figure.subplots(2, max(1, len(keys)), sharey="row", sharex="col", squeeze=False, height_ratios=[3, 1.4])
    for above, below, key in zip(*rows, keys, strict=False):
        at = {_value(m): m for m in spent if m.startswith(f"{key}=")} | {float(own[key]): ADD}
        at = {value: at[value] for value in sorted(at) if at[value] in gains}
        some = [gains[m] for m in at.values()]
        above.axhline(0, **ALONE_LINE)
        above.errorbar(
            list(at), [g.gain for g in some], [[g.gain - g.low for g in some], [g.high - g.gain for g in some]],
            fmt="o-", color=COLOURS["add"], markersize=4, linewidth=1.2, elinewidth=0.8,
        )  # fmt: skip
        means = {value: fmean(equal[m].values()) for value, m in at.items() if m in equal}
        above.plot(list(means), list(means.values()), "D--", color=COLOURS["add-subtract"], markersize=4, linewidth=1.2)
        learnt = {value: -100 * s for value, m in at.items() if (s := spent[m].learnt) is not None}
        below.plot(list(learnt), list(learnt.values()), "s-", color=COLOURS["uncoupled"], markersize=4, linewidth=1.2)
        below.set_xscale("log")
        below.set_xticks(list(at), [f"{value:,.0f}" for value in at], fontsize=7, rotation=30)
        below.minorticks_off()
        below.set_xlabel(key.removeprefix("language_"))
    rows[0][0].set_ylabel(f"gain in {metric}")
    rows[1][0].set_ylabel("dose, 0.01 bits")
    return figure


# ---------------------------------------------------------------- the line between two vectors


SEEN = 0.0005
"""Bits per byte that a table shows."""


def linearity(run: Run) -> Answer | None:
    """How far the loss between two vectors stands above the straight line of their losses."""
    lines = {
        (c.target, c.method): line
        for (_, seed), c in chosen(run).items()
        if seed == run.about.seeds[0] and len(line := bits(c)) > 2
    }
    if not lines:
        return None
    rows = []
    for (target, method), line in lines.items():
        what, start, space = method.split(", ")
        least = min(line, key=lambda w: line[w])
        worst = max(line[w] - max(line[0.0], line[1.0]) for w in line)
        lowest = line[least] - min(line[0.0], line[1.0])
        rows.append(
            [
                target,
                what,
                start,
                space,
                f"{line[1.0]:.3f}",
                f"{line[0.0]:.3f}",
                number(barrier(line), 3),
                number(worst, 3) if worst >= SEEN else "",
                f"{number(lowest, 3)} at {least:g}" if lowest <= -SEEN else "",
            ]
        )
    note = (
        "Bits per byte of the references (validation; −log₂ of the mean likelihood). Task: at w = 1, other: at w = 0. "
    )
    note += "Barrier: the most that the loss on the line stands above the straight line between the ends. Worse: above "
    note += "both ends. Best: below both, and where."
    heads = ["", "Other end", "Starts", "Space", "Task", "Other", "Barrier", "Worse", "Best"]
    text = "{}: bits per byte on the line from another vector (w = 0) to the task's (w = 1). Dotted: the straight one."
    targets = list(dict.fromkeys(target for target, _ in lines))
    charts = {
        f"linearity-{t}": lambda t=t: _draw_lines({m: line for (of, m), line in lines.items() if of == t})
        for t in targets
    }
    captions = {f"linearity-{target}": text.format(target) for target in targets}
    return Answer([Grid("The line between two vectors", heads, rows, note)], charts, captions)


def bits(choice: Choice) -> dict[float, float]:
    """The loss by weight, bits per byte: −log₂ of the mean likelihood, of which records say a hundred times."""
    return {w: -math.log2(max(v, 1e-9) / 100) for w, v in choice.curve if isinstance(w, float | int)}


def barrier(line: Mapping[float, float]) -> float:
    """The height of the loss barrier (Frankle et al. 2020, https://arxiv.org/abs/1912.05671), 0 or more.

    >>> barrier({0.0: 1.0, 0.5: 3.0, 1.0: 2.0}), barrier({0.0: 1.0, 0.5: 1.0, 1.0: 2.0})
    (1.5, 0.0)
    """
    return max(0.0, *(loss - (w * line[1.0] + (1 - w) * line[0.0]) for w, loss in line.items()))


def _draw_lines(lines: Mapping[str, Mapping[float, float]]) -> Figure:
    ends: dict[str, dict[str, Mapping[float, float]]] = {}
    for method, line in lines.items():
        what, start, space = method.split(", ")
        ends.setdefault(f"{what},\n{start}", {})[space] = line
    figure = blank(1.75 * len(ends) + 0.4, 2.5)
    for axis, (title, spaces) in zip(
        figure.subplots(1, len(ends), sharey=True, squeeze=False)[0], ends.items(), strict=True
    ):
        for space, line in spaces.items():
            style, colour = ("s--", "add-subtract") if space == "delta" else ("o-", "add")
            axis.plot(list(line), list(line.values()), style, color=COLOURS[colour], markersize=3.5, label=space)
            axis.plot([0, 1], [line[0.0], line[1.0]], **ALONE_LINE)
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("w")
        axis.legend(fontsize=6, frameon=False)
    figure.axes[0].set_ylabel("bits per byte")
    return figure
