"""What the studies of transfer answer: how many sources, what subtracting does, which tasks, which measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..languages.distances import Uriel
from ..scores.resample import difference_of_groups, group_test, holm
from ..study import records as r
from ..study.records import Grid, Run, counted, name_of
from .answer import Answer, Numbers, interval, said, spearman
from .cells import rights, scores
from .figures import ALONE_LINE, COLOURS, blank, judged_by
from .runs import chosen, targets_of
from .words import number, percent, signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES: Mapping[str, tuple[str, str, str]] = {
    "nearest": ("Nearest, Eq. 3", "add", "o-"),
    "nearest+": ("Nearest, Eq. 4", "add", "s--"),
    "drawn": ("Random, Eq. 3", "add-subtract", "o-"),
    "drawn+": ("Random, Eq. 4", "add-subtract", "s--"),
    "scaled": ("λ · nearest", "muted", "x:"),
}
"""The lines of the study ``sources``: name, colour, and mark with dashes."""
PARTS: Mapping[str, tuple[str, str]] = {
    "λ < 1 alone": (r.SCALED, r.BASELINE),
    "+T": (r.ADD, r.SCALED),
    "−S": (r.SUBTRACT, r.SCALED),
    "−S beside +T": (r.ADD_SUBTRACT, r.ADD),
    "−other beside +T": (r.SUBTRACT_OTHER, r.ADD),
    "−S, not −other": (r.ADD_SUBTRACT, r.SUBTRACT_OTHER),
}
"""What a part has: the method with it, and the one without."""
SUBTRACTED = "−S beside +T"


# ---------------------------------------------------------------- sources


def sources(run: Run) -> Answer | None:
    """Score against the number of sources, for the nearest and for random ones, by Eq. 3 and 4."""
    found, targets = scores(run), targets_of(run, task := next(iter(run.about.tasks)))
    metric = run.about.tasks[task]
    lines: dict[str, dict[int, Numbers]] = {}
    for method in run.about.methods:
        which, count, languages = counted(method)
        column = np.array([[found[task, t, method, ""].mean()] for t in targets if (task, t, method, "") in found])
        if count and len(column):
            line = lines.setdefault(which.rstrip("0123456789") + "+" * languages, {})
            line[count] = np.hstack([line[count], column]) if count in line else column
    counts = sorted({count for line in lines.values() for count in line})
    if len(counts) < 2:
        return None
    rows = [[f"{count}", *(_span(lines.get(name, {}).get(count)) for name in LINES)] for count in counts]
    caption = f"{metric}, mean of {len(targets)} targets; of random sources in brackets the lowest and highest draw."
    grids = [Grid("By the number of sources", ["L", *(name for name, *_ in LINES.values())], rows, caption)]
    compared = []
    for count in counts:
        for label, one, other in (
            ("nearest over random", "nearest", "drawn"),
            ("Eq. 4 over Eq. 3, nearest", "nearest+", "nearest"),
            ("Eq. 4 over λ · nearest", "nearest+", "scaled"),
        ):
            a, b = lines.get(one, {}).get(count), lines.get(other, {}).get(count)
            if a is not None and b is not None:
                compared.append([label, f"{count}", *said(a - b.mean(1, keepdims=True))])
    first, last = (lines.get("nearest", {}).get(count) for count in (counts[0], counts[-1]))
    if first is not None and last is not None:
        compared.append([f"all {counts[-1]} over the nearest {counts[0]}", f"{counts[-1]}", *said(last - first)])
    note = f"Gain in {metric}; 95 % intervals over targets (and draws)."
    grids.append(Grid("Differences", ["What", "L", "Gain", "95 %"], sorted(compared, key=lambda row: row[0]), note))
    text = f"{metric}, mean over targets, against the number of source languages; the band spans the random draws."
    return Answer(grids, {"sources": lambda: _draw_counts(lines, counts, metric)}, {"sources": text})


def _span(values: Numbers | None) -> str:
    if values is None:
        return ""
    draws = values.mean(0)
    return number(draws.mean()) + (f" ({number(draws.min())}–{number(draws.max())})" if len(draws) > 1 else "")


def _draw_counts(lines: Mapping[str, Mapping[int, Numbers]], counts: Sequence[int], metric: str) -> Figure:
    figure = blank(5.2, 3.2)
    axis = figure.subplots()
    for name, (label, colour, style) in LINES.items():
        at = lines.get(name, {})
        draws = {count: values.mean(0) for count, values in at.items()}
        axis.plot(list(at), [d.mean() for d in draws.values()], style, color=COLOURS[colour], label=label, markersize=4)
        if name.startswith(r.DRAWN):
            axis.fill_between(
                list(at), [d.min() for d in draws.values()], [d.max() for d in draws.values()],
                color=COLOURS[colour], alpha=0.12, linewidth=0,
            )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [f"{count}" for count in counts])
    axis.minorticks_off()
    axis.set_xlabel("source languages")
    axis.set_ylabel(metric)
    axis.legend(fontsize=7, frameon=False)
    return figure


# ---------------------------------------------------------------- subtraction


def subtraction(run: Run) -> Answer | None:
    """What each part of Eq. 2 has, over all pairs of source and target: its distribution, and where −S hurts."""
    grids, charts, captions = [], {}, {}
    for task, metric in run.about.tasks.items():
        targets, found = targets_of(run, task), scores(run)
        pairs = list(product(run.about.sources, targets))
        if not all((task, t, r.BASELINE, s) in found for s, t in pairs):
            continue
        parts = {
            part: {
                (s, t): found[task, t, a, s] - found[task, t, b, s]
                for s, t in pairs
                if {(task, t, a, s), (task, t, b, s)} <= found.keys()
            }
            for part, (a, b) in PARTS.items()
        }
        tables = {
            part: _by_pair(run, targets, {p: g.mean() for p, g in of.items()}) for part, of in parts.items() if of
        }
        rows = [[part, *said(table), *_counts(parts[part])] for part, table in tables.items()]
        fixed = [
            [part, f"{lam:g}", *said(_by_pair(run, targets, _at(run, task, *PARTS[part], lam)))]
            for part, lam in product(tables, _weights(run))
            if PARTS[part][1] != r.BASELINE
        ]
        title = f", {task}" if len(run.about.tasks) > 1 else ""
        heads = ["Part", "Mean", "95 %", "Better", "Worse", "*", "†"]
        note = (
            f"Change in {metric} on test, λ of each method chosen by itself; intervals over sources and targets; pairs"
        )
        note += " that are better, worse, and (*, †) significantly so after Holm over all pairs."
        grids.append(Grid(f"What each part has{title}", heads, rows, note))
        note = f"The same at equal λ, on the validation examples ({judged_by(run, task)})."
        grids.append(Grid(f"At equal λ{title}", ["Part", "λ", "Mean", "95 %"], fixed, note))
        if SUBTRACTED not in tables:
            continue
        facts = _facts(run, task, pairs)
        effect = [tables[SUBTRACTED][run.about.sources.index(s), targets.index(t)] for s, t in pairs]
        grids.append(_where(facts, effect, title))
        charts[f"subtraction{title.replace(', ', '-')}"] = _drawing(tables, facts, effect, metric)
        captions[f"subtraction{title.replace(', ', '-')}"] = (
            "Left: the change that each part makes, a point for each pair of source and target, the bar is the mean. "
            "Right: what −S has beside +T, against the outputs of the task vector alone that are in the source's "
            "language."
        )
    return Answer(grids, charts, captions) if grids else None


def _by_pair(run: Run, targets: Sequence[str], of: Mapping[tuple[str, str], float]) -> Numbers:
    """A table (sources × targets), NaN where there is no pair."""
    return np.array([[of.get((s, t), np.nan) for t in targets] for s in run.about.sources])


def _counts(of: Mapping[tuple[str, str], Numbers]) -> list[str]:
    """In how many pairs the mean is above and below 0, and significantly so after Holm."""
    means = [group.mean() for group in of.values()]
    ps = holm({f"{k}": group_test([group], 2_000) for k, group in enumerate(of.values())})
    sure = [mean for mean, p in zip(means, ps.values(), strict=True) if p < 0.05]
    return [f"{sum(sign * m > 0 for m in some)}" for some in (means, sure) for sign in (1, -1)]


def _weights(run: Run) -> list[float]:
    """The λ below 1 that were tried."""
    tried = {weight for choice in run.choices for weight, _ in choice.curve}
    return sorted(weight for weight in tried if isinstance(weight, float | int) and weight < 1)


def _at(run: Run, task: str, one: str, other: str, lam: float) -> dict[tuple[str, str], float]:
    """What one method has over the other on validation data where both have the same λ, by pair."""
    curves = {(c.method, c.source, c.target): dict(c.curve) for c in chosen(run).values() if c.task == task}
    return {
        (s, t): curve[lam] - curves[other, s, t][lam]
        for (method, s, t), curve in curves.items()
        if method == one and lam in curve and lam in curves.get((other, s, t), {})
    }


def _facts(run: Run, task: str, pairs: Iterable[tuple[str, str]]) -> dict[str, list[float]]:
    """What is known of pairs before −S, by name."""
    found, of, pairs = scores(run), rights(run, "source"), list(pairs)
    weights = {
        (c.source, c.target): c.weight for c in chosen(run).values() if (c.task, c.method) == (task, r.ADD_SUBTRACT)
    }
    return {
        "Score of the task vector alone": [found[task, t, r.BASELINE, s].mean() for s, t in pairs],
        "Outputs in the source's language, %": [of[task, t, r.BASELINE, s].mean() for s, t in pairs],
        "Syntactic distance": [Uriel("syntactic").between(s, t) or np.nan for s, t in pairs],
        "Geographic distance": [Uriel("geographic").between(s, t) or np.nan for s, t in pairs],
        "λ chosen for Eq. 2": [float(weights.get(pair, 1.0)) for pair in pairs],
    }


def _where(facts: Mapping[str, Sequence[float]], effect: Sequence[float], title: str) -> Grid:
    """What pairs in which −S hurts have in common."""
    rows = []
    for name, values in facts.items():
        three = [[v for v, e in zip(values, effect, strict=True) if test(e)] for test in (_hurt, _same, _help)]
        means = [number(float(np.nanmean(some)), 2) if some else "–" for some in three]
        rows.append([name, *means, number(spearman(values, effect), 2)])
    sizes = [f"{sum(map(test, effect))}" for test in (_hurt, _same, _help)]
    note = "Means over the pairs in which −S beside +T loses, changes nothing, gains; ρ: Spearman's, of its change."
    return Grid(f"Where −S hurts{title}", ["", "Hurts", "Nothing", "Helps", "ρ"], [["Pairs", *sizes, ""], *rows], note)


def _hurt(effect: float) -> bool:
    return effect < 0


def _same(effect: float) -> bool:
    return effect == 0


def _help(effect: float) -> bool:
    return effect > 0


def _drawing(
    tables: Mapping[str, Numbers], facts: Mapping[str, Sequence[float]], effect: Sequence[float], metric: str
) -> Callable[[], Figure]:
    def draw() -> Figure:
        figure = blank(7.2, 3.0)
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        rng = np.random.default_rng(0)
        for row, table in enumerate(tables.values()):
            values = table[~np.isnan(table)]
            jitter = -row + rng.uniform(-0.28, 0.28, len(values))
            left.plot(values, jitter, "o", color=COLOURS["add"], markersize=2.5, alpha=0.4, markeredgewidth=0)
            mean, low, high = interval(table)
            left.plot([low, high], [-row, -row], color=COLOURS["add-subtract"], linewidth=2)
            left.plot([mean], [-row], "|", color=COLOURS["add-subtract"], markersize=14, markeredgewidth=2)
        left.axvline(0, **ALONE_LINE)
        left.set_yticks([-row for row in range(len(tables))], list(tables))
        left.set_xlabel(f"change in {metric}")
        left.grid(False)
        shares = facts["Outputs in the source's language, %"]
        right.axhline(0, **ALONE_LINE)
        right.plot(shares, effect, "o", color=COLOURS["add"], markersize=3, alpha=0.5, markeredgewidth=0)
        right.set_xlabel("alone in the source's language, %")
        right.set_ylabel(f"change by {SUBTRACTED}")
        return figure

    return draw


# ---------------------------------------------------------------- tasks


def tasks(run: Run) -> Answer | None:
    """What Eq. 1, Eq. 2, the language term alone and the controls gain, task by task, and in which language."""
    found, of, rows, gains = scores(run), rights(run), [], {}
    methods = [method for method in run.about.methods if method != run.about.reference]
    for task, metric in run.about.tasks.items():
        targets = [t for t in targets_of(run, task) if (task, t, run.about.reference, "") in found]
        base = [found[task, t, run.about.reference, ""] for t in targets]
        right = any(rec.kind for rec in run.records if rec.task == task)
        for method in methods:
            if not targets or not all((task, t, method, "") in found for t in targets):
                continue
            ours = [found[task, t, method, ""] for t in targets]
            gain = gains[task, method] = difference_of_groups(ours, base, draws=2_000)
            rows.append([
                f"{task} ({metric}, {number(float(np.mean([g.mean() for g in base])))})", name_of(method).short,
                signed(gain.mean), f"{signed(gain.low)} to {signed(gain.high)}",
                percent(float(np.mean([of[task, t, method, ""].mean() for t in targets])) / 100) if right else "–",
            ])  # fmt: skip
    if not rows:
        return None
    note = "Gain over the task vector alone, whose score stands with the task; 95 % over the examples of all targets."
    grid = Grid("By task", ["Task", "Method", "Gain", "95 %", "Right language"], rows, note)
    text = "Gain over the task vector alone, in points of the task's metric, with 95 % intervals."
    return Answer([grid], {"tasks": lambda: _draw_gains(gains)}, {"tasks": text})


def _draw_gains(gains: Mapping[tuple[str, str], Any]) -> Figure:
    """A panel for each task, a line for each method."""
    tasks, methods = ([*dict.fromkeys(key[place] for key in gains)] for place in (0, 1))
    figure = blank(1.7 * len(tasks) + 1.4, 2.6)
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axis, task in zip(axes, tasks, strict=True):
        axis.axvline(0, **ALONE_LINE)
        for row, method in enumerate(methods):
            if (gain := gains.get((task, method))) is None:
                continue
            colour = COLOURS["add-subtract" if method in (r.ADD, r.ADD_SUBTRACT) else "muted"]
            axis.plot([gain.low, gain.high], [-row, -row], color=colour, linewidth=1.5)
            axis.plot([gain.mean], [-row], "o", color=colour, markersize=4)
        axis.set_yticks([-row for row in range(len(methods))], [name_of(method).short for method in methods])
        axis.grid(False)
        axis.set_title(task, fontsize=9)
    figure.supxlabel("gain in points of the task's metric", fontsize=axes[0].xaxis.label.get_size())
    return figure


# ---------------------------------------------------------------- similarity


def similarity(run: Run) -> Answer | None:
    """What is lost by choosing one source, and two, by each measure, against the best ones; how well it orders them."""
    task = next(iter(run.about.tasks))
    metric, targets, limit = run.about.tasks[task], targets_of(run, task), run.about.study.get("validation_limit")
    curves = {(c.method, c.target): {str(w): v for w, v in c.curve} for c in run.choices if c.task == task}
    targets = [t for t in targets if {(m, t) for m in (r.BEST_ON_TEST, r.BEST_PAIR)} <= curves.keys()]
    if len(targets) < 2 or not run.about.measured:
        return None
    regret: dict[str, tuple[list[float], list[float]]] = {}
    order: dict[str, list[float]] = {}
    for t in targets:
        one, two = curves[r.BEST_ON_TEST, t], curves[r.BEST_PAIR, t]
        picks: dict[str, Sequence[str]] = {}
        for measure, of in run.about.measured.items():
            known = {s: of[f"{s}/{t}"] for s in one if f"{s}/{t}" in of}
            picks[measure] = sorted(known, key=lambda s: known[s])
            order.setdefault(measure, []).append(spearman([-d for d in known.values()], [one[s] for s in known]))
        labels = curves.get((r.BEST, t), {})
        picks[f"{limit} labels" if limit else "labels"] = sorted(labels, key=lambda s: -labels[s])
        for name, ranked in picks.items():
            if len(ranked) > 1:
                pair = next(two[k] for k in ("+".join(ranked[:2]), "+".join(ranked[1::-1])) if k in two)
                _add(regret, name, max(one.values()) - one[ranked[0]], max(two.values()) - pair)
        _add(regret, "random", *(max(c.values()) - float(np.mean(list(c.values()))) for c in (one, two)))
    rows = []
    for name in sorted(regret, key=lambda name: sum(map(np.mean, regret[name]))):
        cells = [_mean(values) for values in regret[name]]
        rhos = [rho for rho in order.get(name, []) if not np.isnan(rho)]
        rows.append([name, *cells, number(float(np.mean(rhos)), 2) if rhos else ""])
    heads = ["Chosen by", "Lost with one", "Lost with two", "ρ"]
    note = (
        f"{metric} below the best source and the best two of {len(run.about.sources)}, which the test data themselves "
        f"name, so all lose; mean of {len(targets)} targets with 95 %. ρ: Spearman's, of nearness and score over the "
        "sources of a target, averaged."
    )
    text = f"{metric} lost against the best source, and the best two, by what chose them; lower is better."
    return Answer(
        [Grid("Which measure chooses best", heads, rows, note)],
        {"similarity": lambda: _draw_regret(regret, metric)}, {"similarity": text},
    )  # fmt: skip


def _add(regret: dict[str, tuple[list[float], list[float]]], name: str, one: float, two: float) -> None:
    first, second = regret.setdefault(name, ([], []))
    first.append(one)
    second.append(two)


def _mean(values: Sequence[float]) -> str:
    mean, low, high = interval(np.array([values]))
    return f"{number(mean)} ({number(low)} to {number(high)})"


def _draw_regret(regret: Mapping[str, tuple[Sequence[float], Sequence[float]]], metric: str) -> Figure:
    names = sorted(regret, key=lambda name: -sum(map(np.mean, regret[name])))
    figure = blank(4.6, 0.6 + 0.3 * len(names))
    axis = figure.subplots()
    for place, (label, colour) in enumerate((("one source", "add"), ("two sources", "add-subtract"))):
        for row, name in enumerate(names):
            mean, low, high = interval(np.array([regret[name][place]]))
            at = row + 0.17 - 0.34 * place
            axis.plot([low, high], [at, at], color=COLOURS[colour], linewidth=1.5)
            axis.plot([mean], [at], "os"[place], color=COLOURS[colour], markersize=4, label=None if row else label)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlim(left=0)
    axis.grid(False)
    axis.set_xlabel(f"{metric} lost against the best")
    axis.legend(fontsize=7, frameon=False)
    return figure
