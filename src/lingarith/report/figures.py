"""Figures as SVG text that follows the page's colours."""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ..study.records import ADD, ADD_SUBTRACT, ADD_SUBTRACT_RELATED, RANDOM, SCALED, UNCOUPLED, WRONG, Run, name_of
from .runs import targets_of
from .scatter import Point
from .words import KIND_LABELS, symbol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#24292e",
    "muted": "#6a7079",
    "line": "#d9dce1",
    "paper": "#fdfdfc",
    "add": "#0a6ebd",
    "add-subtract": "#c2500b",
    "uncoupled": "#0f7f5f",
    "kind-target": "#2b7a9e",
    "kind-source": "#d9822b",
    "kind-other": "#a2618f",
    "kind-empty": "#b9bec6",
    "kind-copied": "#59616b",
}
"""The light colours; in an SVG each becomes ``var(--name, colour)``, so that a page may darken it."""
CURVES: dict[str, dict[str, Any]] = {
    ADD: {"color": COLOURS["add"], "marker": "o", "linestyle": "-"},
    ADD_SUBTRACT: {"color": COLOURS["add-subtract"], "marker": "s", "linestyle": "--"},
    UNCOUPLED: {"color": COLOURS["uncoupled"], "marker": "^", "linestyle": "-."},
    ADD_SUBTRACT_RELATED: {"color": COLOURS["add-subtract"], "marker": "D", "linestyle": "-"},
    SCALED: {"color": COLOURS["muted"], "marker": "x", "linestyle": "-"},
    WRONG: {"color": COLOURS["muted"], "marker": "+", "linestyle": "--"},
    RANDOM: {"color": COLOURS["muted"], "marker": "*", "linestyle": ":"},
}
"""How the curve of a method is drawn: told apart by its mark and its dashes too."""
PLAIN: dict[str, Any] = {"color": COLOURS["add"], "marker": "o"}
RING: dict[str, Any] = {
    "marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.4, "linestyle": "",
}  # fmt: skip
"""Around the weight that was chosen."""
THIN: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.5}
"""One of many lines."""
MOST_NAMES = 15
"""Points beyond which names would lie upon each other."""
ALONE_LINE: dict[str, Any] = {"color": COLOURS["muted"], "linestyle": ":", "linewidth": 1.5}
HATCHES = {"target": "", "source": "///", "other": "xxx", "empty": "|||", "copied": "\\\\\\"}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lingarith",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), COLOURS["ink"]),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), COLOURS["muted"]),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "hatch.linewidth": 0.8,
}


# ---------------------------------------------------------------- curves of weights


@dataclass(frozen=True)
class Curve:
    """What a protocol maximised for a method at each weight: a line for each source and seed, and their choices."""

    method: str
    lines: Sequence[Mapping[float, float]]
    chosen: Sequence[float]

    @property
    def alone(self) -> float:
        """The weight at which the composition is the task vector alone."""
        return 0.0 if self.method == UNCOUPLED else 1.0

    @property
    def mean(self) -> dict[float, float]:
        """The mean of the lines, by weight."""
        weights = sorted({weight for line in self.lines for weight in line})
        return {weight: fmean(line[weight] for line in self.lines if weight in line) for weight in weights}

    def over_alone(self) -> Curve:
        """The same as differences to the task vector alone."""
        return Curve(self.method, [{w: v - one[self.alone] for w, v in one.items()} for one in self.lines], self.chosen)


def judged_by(run: Run, task: str) -> str:
    """By what a task's weights were chosen on validation examples: its metric, or how likely references are."""
    return "likelihood" if run.about.study.get("search") == "loss" else run.about.tasks[task]


def curves_of(run: Run, task: str, target: str, protocol: str) -> list[Curve]:
    """The curves of a target under a protocol, in the order of the legend; values that are no numbers are left out."""
    curves = []
    for method in CURVES:
        place = (task, target, method, protocol)
        # Where a run was repeated, the last choice of each source and seed counts.
        choices = {(c.source, c.seed): c for c in run.choices if (c.task, c.target, c.method, c.protocol) == place}
        lines = [{w: v for w, v in c.curve if isinstance(w, float) and math.isfinite(v)} for c in choices.values()]
        chosen = [c.weight for c, line in zip(choices.values(), lines, strict=True) if c.weight in line]
        if any(lines):
            curves.append(Curve(method, lines, chosen))
    return curves


def curves(run: Run, task: str, protocol: str | None = None, prefix: str = "") -> dict[str, str]:
    """An SVG per target: what the protocol (the run's own if None) maximised, against λ and β.

    Where there is a line for each source or seed, they are gains over the task vector alone, at weights in equal
    steps: thin lines for each of what the run tries, thick ones for the means, and below them how many of the
    lines chose each weight. Targets without a choice under that protocol are left out. ``prefix`` makes
    identifiers unique.
    """
    protocol = run.about.protocol if protocol is None else protocol
    judged = judged_by(run, task)
    value = "criterion without labels" if protocol == "unlabelled" else f"validation {judged}"
    by_target = {target: curves_of(run, task, target, protocol) for target in targets_of(run, task)}

    def draw(target: str) -> Figure:
        if any(len(curve.lines) > 1 for curve in by_target[target]):
            return _draw_lines(target, by_target[target], value, run.about.tried)
        return _draw_curves(target, by_target[target], value)

    present = [target for target, members in by_target.items() if members]
    return charts(draw, present, f"{prefix}curve-{protocol}-", "Value against the weight, {}")


def drawn(run: Run) -> list[str]:
    """The methods of a run that have a curve, in the order of the legend."""
    return [method for method in CURVES if any(c.method == method for c in run.choices)]


def alone_value(curves: Sequence[Curve]) -> float | None:
    """The plain task vector's validation value, read where a composition is nothing else: λ = 1 or
    β = 0; None where no curve reaches there."""
    return next((curve.mean[curve.alone] for curve in curves if curve.alone in curve.mean), None)


def _panels(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves by the letter of their weight, which has a panel."""
    panels = {letter: [c for c in curves if symbol(c.method) == letter] for letter in "λβ"}
    return {letter: members for letter, members in panels.items() if members}


def _draw_curves(target: str, curves: Sequence[Curve], value: str) -> Figure:
    """One line for each method, a ring around the weight that was chosen; λ and β share the vertical axis."""
    panels, figure, alone = _panels(curves), blank(3.2, 2.5), alone_value(curves)
    ratios = [3 if letter == "λ" else 2 for letter in panels]
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for axis, (letter, members) in zip(axes, panels.items(), strict=True):
        if alone is not None:
            axis.axhline(alone, **ALONE_LINE)
        for curve in members:
            style, mean = CURVES[curve.method], curve.mean
            axis.plot(list(mean), list(mean.values()), markersize=3.5, linewidth=1.4, **style)
            for weight in curve.chosen:
                axis.plot([weight], [mean[weight]], clip_on=False, **style | RING)
        ends = sorted({weight for curve in members for weight in curve.mean})
        if len(ends) > 1:
            ticks = (ends[0], (ends[0] + ends[-1]) / 2, ends[-1])
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.margins(x=0.07, y=0.12)
        axis.set_xlabel(letter)
    axes[0].set_ylabel(value)
    axes[0].set_title(target)
    return figure


def _draw_lines(target: str, curves: Sequence[Curve], value: str, tried: Sequence[str]) -> Figure:
    """Many lines for each method, and under each weight how many of them chose it."""
    panels, rows = _panels(curves), 0.13 * len(curves)
    figure = blank(3.2, 2.4 + rows)
    relative = all(curve.alone in line for curve in curves for line in curve.lines)
    axes = figure.subplots(
        2, len(panels), sharex="col", sharey="row", squeeze=False, height_ratios=[1.9, rows],
        width_ratios=[len({w for curve in members for w in curve.mean}) + 1 for members in panels.values()],
    )  # fmt: skip
    for (above, below), (letter, members) in zip(axes.T, panels.items(), strict=True):
        weights = sorted({weight for curve in members for weight in curve.mean})
        at = {weight: place for place, weight in enumerate(weights)}
        if relative:
            above.axhline(0, **ALONE_LINE)
        for curve in members:
            drawn, style = curve.over_alone() if relative else curve, CURVES[curve.method]
            for line in drawn.lines if curve.method in tried else ():
                above.plot([at[w] for w in sorted(line)], [line[w] for w in sorted(line)], color=style["color"], **THIN)
            above.plot([at[w] for w in drawn.mean], list(drawn.mean.values()), markersize=3.5, linewidth=1.6, **style)
            for weight, count in Counter(curve.chosen).items():
                row = len(curves) - 1 - curves.index(curve)
                below.text(at[weight], row, str(count), color=style["color"], fontsize=7, ha="center", va="center")
        step = 1 + len(weights) // 9  # more labels would touch
        below.set_xticks(range(len(weights))[::-step], [f"{weight:g}" for weight in weights[::-step]], fontsize=7)
        below.set_xlabel(letter)
        below.grid(False)
        above.margins(x=0.07, y=0.08)
        for axis in (above, below):
            axis.tick_params(length=0)
        below.spines["left"].set_visible(False)
    axes[1][0].set_ylim(-0.6, len(curves) - 0.4)
    axes[1][0].set_yticks(range(len(curves)), [name_of(curve.method).brief for curve in reversed(curves)], fontsize=7)
    axes[0][0].set_ylabel(f"gain in {value}" if relative else value)
    axes[0][0].set_title(target)
    return figure


# ---------------------------------------------------------------- kinds of output, and gains


def kinds(shares: Mapping[str, Mapping[str, Mapping[str, float]]], prefix: str = "") -> dict[str, str]:
    """An SVG per target: the share (0..1) of each kind of output, a bar for each method.

    ``shares`` maps target → method → kind → share.
    """
    return charts(lambda target: _draw_kinds(target, shares[target]), shares, f"{prefix}kinds-", "Kinds of output, {}")


def _draw_kinds(target: str, by_method: Mapping[str, Mapping[str, float]]) -> Figure:
    figure = blank(3.2, 0.75 + 0.28 * len(by_method))
    axis = figure.subplots()
    rows = list(range(len(by_method)))[::-1]
    left = [0.0] * len(by_method)
    for kind in KIND_LABELS:
        percents = [100 * shares[kind] for shares in by_method.values()]
        axis.barh(rows, percents, left=left, height=0.72, **_filling(kind))
        left = [a + b for a, b in zip(left, percents, strict=True)]
    axis.set_yticks(rows, [name_of(method).short for method in by_method])
    axis.tick_params(axis="y", length=0)
    axis.grid(False)
    axis.spines["left"].set_visible(False)
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    axis.set_title(target)
    return figure


def _filling(kind: str) -> dict[str, Any]:
    colours = {"facecolor": COLOURS[f"kind-{kind}"], "edgecolor": COLOURS["paper"]}
    return colours | {"hatch": HATCHES[kind], "linewidth": 0}


def scatters(points: Mapping[str, Sequence[Point]], prefix: str = "") -> dict[str, str]:
    """An SVG for each axis: gain against it, with a mark for each method and a name at each point."""
    return charts(lambda label: _draw_points(label, points[label]), points, f"{prefix}gain-", "Gain against {}")


def _draw_points(label: str, points: Sequence[Point]) -> Figure:
    figure = blank(3.2, 2.7)
    axis = figure.subplots()
    axis.axhline(0, **ALONE_LINE)
    methods = list(dict.fromkeys(p.method for p in points))
    for method in methods:
        x, y = zip(*((p.x, p.gain) for p in points if p.method == method), strict=True)
        style = CURVES.get(method, PLAIN) | {"linestyle": "", "markersize": 5}
        axis.plot(x, y, label=name_of(method).short, **style)
    several = len({p.source for p in points}) > 1
    highest = {(p.source, p.target): p for p in sorted(points, key=lambda p: p.gain)}
    for p in highest.values() if len(highest) <= MOST_NAMES else ():
        name = f"{p.source}→{p.target}" if several else p.target
        axis.annotate(name, (p.x, p.gain), (4, 3), textcoords="offset points", fontsize=7)
    if len(methods) > 1:
        axis.legend(fontsize=7, frameon=False)
    axis.margins(0.1)
    axis.set_xlabel(label)
    axis.set_ylabel("gain in points")
    return figure


def rates(shares: Mapping[str, Mapping[str, Mapping[float, float]]], prefix: str = "") -> dict[str, str]:
    """An SVG per target: percent of outputs in the right language (method → learning rate → percent), rates in
    equal ratios."""
    return charts(
        lambda target: _draw_rates(target, shares[target]), shares, f"{prefix}rates-",
        "Outputs in the right language against the learning rate, {}",
    )  # fmt: skip


def _draw_rates(target: str, by_method: Mapping[str, Mapping[float, float]]) -> Figure:
    figure = blank(3.2, 2.7)
    axis = figure.subplots()
    for method, line in by_method.items():
        style = CURVES.get(method, ALONE_LINE | {"marker": "."})
        axis.plot(list(line), list(line.values()), label=name_of(method).short, **{"markersize": 4} | style)
    at = sorted({rate for line in by_method.values() for rate in line})
    axis.set_xscale("log")
    axis.set_xticks(at, [f"{rate:g}" for rate in at])
    axis.minorticks_off()
    axis.set_ylim(-3, 103)
    axis.set_xlabel("learning rate of the task vector")
    axis.set_ylabel("right language, %")
    axis.set_title(target)
    axis.legend(fontsize=7, frameon=False)
    return figure


# ---------------------------------------------------------------- legends


def legends(methods: Sequence[str], *, several: bool = False, prefix: str = "") -> dict[str, str]:
    """The two legends as SVG: ``curves``, of these methods (``several``: with many lines each), and ``kinds``."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def draw(name: str) -> Figure:
        if name == "kinds":
            handles: list[Any] = [Patch(label=label, **_filling(kind)) for kind, label in KIND_LABELS.items()]
        else:
            handles = [Line2D([], [], label=name_of(m).short, markersize=4, **CURVES[m]) for m in methods]
            handles.append(Line2D([], [], label="Task vector alone", **ALONE_LINE))
            if not several:
                handles.append(Line2D([], [], label="Chosen weight", color=COLOURS["ink"], **RING))
        figure = blank(3.8, 0.15 + 0.2 * math.ceil(len(handles) / 2))
        figure.legend(handles=handles, loc="center left", ncols=2, frameon=False, borderpad=0, columnspacing=1.4)
        return figure

    return charts(draw, ("curves", "kinds"), f"{prefix}legend-", "Legend")


# ---------------------------------------------------------------- from a figure to text


def pictures(charts: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """Each figure as ``NAME.svg`` and ``NAME.png`` in a folder, in the light colours; their paths."""
    import matplotlib

    paths = [folder / f"{name}.{kind}" for name in charts for kind in ("svg", "png")]
    with matplotlib.rc_context(STYLE):
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            charts[path.stem]().savefig(path, dpi=160, facecolor=COLOURS["paper"], metadata=metadata)
    return paths


def charts(draw: Callable[[str], Figure], names: Iterable[str], prefix: str, label: str) -> dict[str, str]:
    """An SVG for each name; ``label`` is read out, with the name for ``{}``."""
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names too long for a chart, or with what no font has
        return {name: _svg(draw(name), f"{prefix}{name}", label.format(name)) for name in names}


def blank(width: float, height: float) -> Figure:
    """An empty figure in inches, kept off pyplot so that nothing global remembers it."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained", facecolor="none")


def _svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element: no declaration, no metadata, identifiers of its own (many
    share a page), colours that a page can replace, and a size that follows its column."""
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    prefix = re.sub(r"\W", "-", name)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text).replace("url(#", f"url(#{prefix}-")
    text = re.sub(r' fill="(#[0-9a-f]{6})"', r' style="fill: \1"', text)
    for colour, hexadecimal in COLOURS.items():
        text = text.replace(hexadecimal, f"var(--{colour}, {hexadecimal})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
