"""Figures as SVG text that follows the page's colours, and as one PNG for people without a browser."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LingarithError
from ..study.records import ADD, ADD_SUBTRACT, ADD_SUBTRACT_RELATED, RANDOM, SCALED, UNCOUPLED, WRONG, Run
from .selection import Curve, curve, equations, metric, protocol, targets
from .similarity import Point, by_method
from .table import AVERAGE, Row, rows
from .wording import KIND_LABELS, name_of, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
"""How the curve of an equation is drawn: told apart by its mark and its dashes too."""
PLAIN: dict[str, Any] = {"color": COLOURS["add"], "marker": "o"}
RINGS = (5.0, 11.0)
"""Diameters in points of the ring around a weight that hardly any of the seeds and sources chose, and that all did."""
MOST_NAMES = 40
"""Points beyond which names would lie upon each other."""
BASELINE_LINE: dict[str, Any] = {"color": COLOURS["muted"], "linestyle": ":", "linewidth": 1.5}
HATCHES = {"target": "", "source": "///", "other": "xxx", "empty": "|||", "copied": "\\\\\\"}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lingarith",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "xtick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.color": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["ink"],
    "hatch.linewidth": 0.8,
}


# ---------------------------------------------------------------- what a page takes


def curves(run: Run, by: str | None = None, prefix: str = "") -> dict[str, str]:
    """An SVG per target: what the protocol ``by`` (the run's own if None) maximised, against λ and β.

    Targets without a choice under that protocol are left out. ``prefix`` makes identifiers unique.
    """
    with _style():
        return {
            target: _svg(figure, f"{prefix}curve-{by or 'own'}-{target}", f"Value against the weight, {target}")
            for target, figure in _curve_figures(run, protocol(run) if by is None else by)
        }


def kinds(of: Mapping[str, Mapping[str, Mapping[str, float]]], prefix: str = "") -> dict[str, str]:
    """An SVG per target: the share (0..1) of each kind of output, a bar for each equation.

    ``of`` maps target → equation → kind → share.
    """
    found = {}
    with _style():
        for target, members in of.items():
            figure = _figure(3.2, 0.75 + 0.28 * len(members))
            _draw_kinds(figure.subplots(), target, members)
            found[target] = _svg(figure, f"{prefix}kinds-{target}", f"Kinds of output, {target}")
    return found


def kinds_of(of: Sequence[Row]) -> dict[str, dict[str, Mapping[str, float]]]:
    """The shares of rows, as :func:`kinds` takes them; averages are left out."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for row in of:
        if row.target != AVERAGE:
            found.setdefault(row.target, {})[row.equation] = row.kinds
    return found


def scatters(of: Mapping[str, Sequence[Point]], prefix: str = "") -> dict[str, str]:
    """An SVG per measure: gain against similarity, with a mark for each method and a name at each point."""
    found = {}
    with _style():
        for measure, points in of.items():
            figure = _figure(3.2, 2.7)
            axis = figure.subplots()
            axis.axhline(0, **BASELINE_LINE)
            for method, own in by_method(points).items():
                style = CURVES.get(method, PLAIN) | {"linestyle": "", "markersize": 5}
                axis.plot([p.similarity for p in own], [p.gain for p in own], label=name_of(method), **style)
            _name_points(axis, points)
            if len({p.method for p in points}) > 1:
                axis.legend(fontsize=7, frameon=False)
            axis.margins(0.1)
            axis.set_xlabel(f"{measure} similarity")
            axis.set_ylabel("gain in points")
            found[measure] = _svg(figure, f"{prefix}similarity-{measure}", f"Gain against {measure} similarity")
    return found


def legends(names: Sequence[str] = (ADD, ADD_SUBTRACT, UNCOUPLED), prefix: str = "") -> Mapping[str, str]:
    """The two legends as SVG: ``curves``, of these equations, and ``kinds``."""
    with _style():
        both = (("curves", _curve_handles(names)), ("kinds", _kind_handles()))
        return {name: _svg(_legend_figure(handles), f"{prefix}legend-{name}", "Legend") for name, handles in both}


def drawn(run: Run) -> list[str]:
    """The equations of a run that have a curve, in the order of the legend."""
    return [name for name in CURVES if name in equations(run)]


def save_png(run: Run, path: Path) -> None:
    """Everything in one picture: a row per target with its curves and its kinds of output.

    Raises :class:`LingarithError` when the run has neither choices nor test records, or the file
    cannot be written.
    """
    shares = kinds_of(rows(run))
    shown = [t for t in targets(run) if t in shares or _choices(run, t, protocol(run))]
    if not shown:
        raise LingarithError(f"nothing to draw in {path}: the run has neither choices nor test records")
    with _style():
        figure = _figure(9.0, 2.6 * len(shown) + 0.9, transparent=False)
        bands = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
        for target, band in zip(shown, bands, strict=True):
            left, right = band.subfigures(1, 2, width_ratios=[1.1, 1])
            _draw_curves(left, target, _choices(run, target, protocol(run)), _value_label(run, protocol(run)))
            if target in shares:
                _draw_kinds(right.subplots(), target, shares[target])
        figure.legend(handles=_curve_handles(drawn(run)), loc="outside lower left", ncols=2, frameon=False)
        figure.legend(handles=_kind_handles(), loc="outside lower right", ncols=3, frameon=False)
        try:
            figure.savefig(path, format="png", dpi=150)
        except OSError as error:
            raise LingarithError(f"{path} cannot be written ({error.strerror}); name another file") from None


# ---------------------------------------------------------------- drawing


def _curve_figures(run: Run, by: str) -> Iterator[tuple[str, Figure]]:
    for target in targets(run):
        found = _choices(run, target, by)
        if found:
            figure = _figure(3.2, 2.5)
            _draw_curves(figure, target, found, _value_label(run, by))
            yield target, figure


def _choices(run: Run, target: str, by: str) -> list[Curve]:
    found = [curve(run, target, equation, by) for equation in equations(run) if equation in CURVES]
    return [c for c in found if c is not None]


def _value_label(run: Run, by: str) -> str:
    return "unlabelled criterion" if by == "unlabelled" else f"validation {metric(run)}"


def baseline_value(found: Sequence[Curve]) -> float | None:
    """The plain task vector's validation value, read where a composition is nothing else: λ = 1 or
    β = 0; None where no curve reaches there."""
    for c in found:
        alone = 0.0 if c.equation == UNCOUPLED else 1.0
        values = [value for weight, value in c.curve if abs(weight - alone) < 1e-9]
        if values:
            return values[-1]
    return None


def _draw_curves(figure: Any, target: str, found: Sequence[Curve], value_label: str) -> None:
    """``figure`` is a Figure or a SubFigure; λ and β have a panel each, with one vertical axis."""
    panels = {letter: [c for c in found if symbol(c.equation) == letter] for letter in "λβ"}
    panels = {letter: members for letter, members in panels.items() if members}
    if not panels:
        return
    ratios = [3 if letter == "λ" else 2 for letter in panels]
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=ratios)[0]
    baseline = baseline_value(found)
    for axis, (letter, members) in zip(axes, panels.items(), strict=True):
        if baseline is not None and math.isfinite(baseline):
            axis.axhline(baseline, **BASELINE_LINE)
        for c in members:
            _draw_curve(axis, c)
        axis.set_xlabel(letter)
    axes[0].set_ylabel(value_label)
    axes[0].set_title(target)


def _draw_curve(axis: Axes, c: Curve) -> None:
    points = sorted((weight, value) for weight, value in c.curve if math.isfinite(value))
    style = CURVES[c.equation]
    axis.plot([w for w, _ in points], [v for _, v in points], markersize=3.5, linewidth=1.4, **style)
    ring = style | {"marker": "o", "markerfacecolor": "none", "markeredgewidth": 1.4, "linestyle": ""}
    least, most = RINGS
    for weight, value, share in c.chosen:
        if math.isfinite(value):
            axis.plot([weight], [value], clip_on=False, markersize=least + share * (most - least), **ring)
    ends = [weight for weight, _ in points]
    if ends and ends[0] < ends[-1]:
        middle = (ends[0] + ends[-1]) / 2
        axis.set_xticks([ends[0], middle, ends[-1]], [f"{tick:g}" for tick in (ends[0], middle, ends[-1])])
        axis.margins(x=0.07, y=0.12)


def _name_points(axis: Axes, points: Sequence[Point]) -> None:
    """A name beside the highest point of each pair."""
    several = len({p.source for p in points}) > 1
    highest = {(p.source, p.target): p for p in sorted(points, key=lambda p: p.gain)}
    for p in highest.values() if len(highest) <= MOST_NAMES else ():
        name = f"{p.source}→{p.target}" if several else p.target
        axis.annotate(name, (p.similarity, p.gain), (4, 3), textcoords="offset points", fontsize=7)


def _draw_kinds(axis: Axes, target: str, members: Mapping[str, Mapping[str, float]]) -> None:
    places = list(range(len(members)))[::-1]
    left = [0.0] * len(members)
    for kind in KIND_LABELS:
        shares = [100 * of[kind] for of in members.values()]
        axis.barh(places, shares, left=left, height=0.72, **_filling(kind))
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axis.set_yticks(places, [name_of(equation) for equation in members])
    axis.tick_params(axis="y", length=0)
    axis.grid(False)
    axis.spines["left"].set_visible(False)
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    axis.set_title(target)


def _filling(kind: str) -> dict[str, Any]:
    colours = {"facecolor": COLOURS[f"kind-{kind}"], "edgecolor": COLOURS["paper"]}
    return colours | {"hatch": HATCHES[kind], "linewidth": 0}


def _curve_handles(names: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name_of(name), markersize=4, **CURVES[name]) for name in names]
    ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": "", "color": COLOURS["ink"]}
    return [
        *handles,
        Line2D([], [], label="Task vector alone", **BASELINE_LINE),
        Line2D([], [], label="Chosen weight", **ring),  # type: ignore[arg-type]
    ]


def _kind_handles() -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(label=label, **_filling(kind)) for kind, label in KIND_LABELS.items()]


def _legend_figure(handles: list[Any]) -> Figure:
    figure = _figure(3.8, 0.15 + 0.2 * math.ceil(len(handles) / 2))
    figure.legend(handles=handles, loc="center left", ncols=2, frameon=False, borderpad=0, columnspacing=1.4)
    return figure


# ---------------------------------------------------------------- from a figure to text


def _figure(width: float, height: float, *, transparent: bool = True) -> Figure:
    """An empty figure in inches, kept off pyplot so that nothing global remembers it."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained", facecolor="none" if transparent else COLOURS["paper"])


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def _svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element: no declaration, no metadata, identifiers of its own (many
    share a page), colours that a page can replace, and a size that follows its column."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    prefix = re.sub(r"\W", "-", name)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text).replace("url(#", f"url(#{prefix}-")
    text = re.sub(r' fill="(#[0-9a-f]{6})"', r' style="fill: \1"', text)
    for colour, hexadecimal in COLOURS.items():
        text = text.replace(hexadecimal, f"var(--{colour}, {hexadecimal})")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', text, count=1)
