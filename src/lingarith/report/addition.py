"""What the study of vectors that are made to be added answers."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from ..study.records import BASELINE, FROZEN, LANGUAGE_ON, TASK_ON, Grid, Run, kind_of, name_of
from .answer import Answer
from .figures import ALONE_LINE, COLOURS, blank, judged_by
from .mixtures import Gain, drawn_interval, errors_of, gains_over
from .runs import chosen
from .words import number, percent, signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def addition(run: Run) -> Answer | None:
    """What sums of vectors score that are made to be added, against the same sums of usual ones."""
    over_task, errors, metric = gains_over(run, BASELINE), errors_of(run), next(iter(run.about.tasks.values()))
    own = kind_of(run.about.adapter)
    parts = {m: _parts(m, own) for m in over_task}
    if len({kind for kind, *_ in parts.values()}) < 2:
        return None
    known = {part: m for m, part in parts.items()}
    pairs = {m: known.get((own, part, run.about.space if space else "")) for m, (_, part, space) in parts.items()}
    against = {usual: gains_over(run, usual) for usual in set(pairs.values()) if usual}
    curves = {m: [dict(c.curve) for (place, _), c in chosen(run).items() if place[2] == m] for m in parts}
    weights = sorted({w for some in curves.values() for curve in some for w in curve if isinstance(w, float | int)})
    rows, tried = [], []
    for method, gain in over_task.items():
        usual = pairs[method]
        held = against[usual][method].texts if usual and usual != method else [""] * 3
        cells = [number(gain.score), signed(gain.gain) if method != BASELINE else "", *held]
        rows.append([*parts[method], *cells, percent(errors[method]) if method in errors else ""])
        means = {w: [curve[w] for curve in curves[method] if w in curve] for w in weights}
        if any(means.values()):
            tried.append([*parts[method], *(number(fmean(some)) if some else "" for some in means.values())])
    heads, judged = ["Vectors", "Sum", "Space"], judged_by(run, next(iter(run.about.tasks)))
    note = f"""{metric}, mean over {", ".join(run.about.targets)}, each sum with its own λ. Over usual: than the same
sum of {own} in {run.about.space}. {LANGUAGE_ON.capitalize()}: language vectors trained with the task vector in place;
{TASK_ON}: the task vector with its language's. Whole task: θ + (1 − λ)·language. Error: of the cut."""
    first = [*heads, metric, "Over task", "Over usual", "95 %", "p", "Error"]
    grids = [
        Grid("Vectors made to be added", first, rows, " ".join(note.split())),
        Grid("By λ", [*heads, *(f"λ = {w:g}" for w in weights)], tried, f"{judged} on the validation examples."),
    ]
    text = f"Gain in {metric} over the usual task vector alone ({own}), with 95 % intervals. Orange: A frozen; green: "
    text += "trained on top of one another; grey: without a language vector, or with a random one."
    return Answer(grids, {"addition": lambda: _draw(over_task, parts, metric)}, {"addition": text})


def _parts(method: str, own: str) -> tuple[str, str, str]:
    """The vectors, the sum and the space of a method.

    >>> _parts("LoRA 8 frozen, Eq. 1, delta, rank 4", "LoRA 4"), _parts("scaled", "LoRA 4")
    (('LoRA 8 frozen', 'Eq. 1', 'delta, rank 4'), ('LoRA 4', 'λ · task alone', ''))
    """
    kind, part, space = [*(method if ", " in method else f"{own}, {method}").split(", ", 2), ""][:3]
    return kind, name_of("task" if part == BASELINE else part).short, space


def _draw(gains: Mapping[str, Gain], parts: Mapping[str, tuple[str, str, str]], metric: str) -> Figure:
    figure = blank(6.2, 0.9 + 0.2 * len(gains))
    axis = figure.subplots()
    axis.axvline(0, **ALONE_LINE)
    methods = list(gains)[::-1]
    for y, method in enumerate(methods):
        kind, _, space = parts[method]
        made = "uncoupled" if kind in (TASK_ON, LANGUAGE_ON) else "add-subtract" if FROZEN in kind else "add"
        drawn_interval(axis, y, gains[method], COLOURS[made if space else "muted"], "o")
    axis.set_yticks(range(len(methods)), [", ".join(filter(None, parts[method])) for method in methods], fontsize=7)
    axis.set_xlabel(f"gain in {metric}")
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
    return figure
