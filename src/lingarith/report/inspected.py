"""What a composition does, in words, as tables for a terminal, and as plain JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..inspection.figures import Figures
from ..inspection.measure import Inspection
from ..model.projections import ATTENTIONS
from ..vectors.merged import place
from ..vectors.outline import idle
from .words import percent, two

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

FLIPPED = -0.005
"""A share below this is a flipped sign and no rounding."""
MANY, ELSEWHERE, FAINT, STILL, LEFT, BESIDE = 0.1, 0.5, 0.1, 0.01, 0.4, 2.5
"""What is warned of: signs flipped in this part of the projections, a cosine to the exact sum below this, a norm below
this part of the exact one, a vector that moved less than this part of its start, less than this of the task vector in
the result, and a language part so many times as large as the task part: of what is known before generation the two that
foretold loss, the one where language vectors are small, the other where they are large (docs/open-questions.md)."""

MOST = 6
"""More spaces than that have no columns of their own beside the vectors."""
SHARES = "Under a space: how much of the vector is in its result; 1 is as asked, below 0 the sign is flipped."
ACROSS = "Under a vector, above: how much of it is in the result; 1 is as asked, below 0 the sign is flipped."
COSINES = "Under a space: the cosine of its result to the exact sum."

FORWARD = "feed-forward"
CROSS = {"EncDecAttention", "encoder_attn", "cross_attn"}
"""What the families call the decoder's attention to the encoder."""
PROJECTIONS = [name for names in ATTENTIONS.values() for name in names]
_GROUPS = ("encoder self", f"encoder {FORWARD}", "decoder self", "decoder cross", f"decoder {FORWARD}")
ORDER = {name: number for number, name in enumerate(dict.fromkeys([*_GROUPS, *PROJECTIONS]))}
"""Groups and projections in the order in which a reader looks for them; others follow."""

Grid = Mapping[tuple[str, str], Mapping[int | None, str]]
"""(attention or feed-forward, projection) → layer → path, in the order in which a reader looks for them."""


def steps(lost: Sequence[float]) -> dict[int, float]:
    """What cuts lose at 1, 2, 4, … and at the last one.

    >>> steps([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    {1: 0.5, 2: 0.4, 4: 0.2, 6: 0.0}
    """
    return {at: lost[at - 1] for at in range(1, len(lost) + 1) if at & (at - 1) == 0 or at == len(lost)}


def grid(paths: Sequence[str]) -> Grid:
    """Where each projection stands in the model.

    >>> list(grid(["decoder.block.0.layer.1.EncDecAttention.k", "encoder.block.0.layer.0.SelfAttention.v"]))
    [('encoder self', 'v'), ('decoder cross', 'k')]
    """
    kinds: dict[str, dict[int | None, str]] = {}
    for path in sorted(paths, key=lambda path: place(path)[0] or 0):
        layer, kind = place(path)
        kinds.setdefault(kind, {})[layer] = path
    labels = {kind: _label(kind) for kind in kinds}
    often = Counter(labels.values())
    for kind, (_, projection) in labels.items():
        if often[labels[kind]] > 1:
            labels[kind] = (kind.removesuffix(f".{projection}"), projection)
    order = sorted(kinds, key=lambda kind: [(ORDER.get(name, len(ORDER)), name) for name in labels[kind]])
    return {labels[kind]: kinds[kind] for kind in order}


def _label(kind: str) -> tuple[str, str]:
    *parts, projection = kind.split(".")
    stack = next((part for part in parts if part in ("encoder", "decoder")), None)
    if stack is None:
        return "", projection
    attention = "cross" if CROSS & set(parts) else "self"
    return f"{stack} {attention if projection in PROJECTIONS else FORWARD}", projection


# ---------------------------------------------------------------- in words


def warnings(inspection: Inspection) -> list[str]:
    """What a user should know before the composition is used, a sentence each."""
    figures, weights = inspection.figures(), inspection.combination.weights
    parts = [inspection.figures([path]) for path in inspection.paths]
    sentences = []
    largest = max(figures.summands.values())
    if figures.norm < FAINT * largest:
        sentences.append(f"the vectors cancel: their exact sum is {percent(figures.norm / largest)} of the largest one")
    for space, result in figures.results.items():
        for name, share in result.shares.items():
            flips = sum(_flipped(part.results[space].shares[name]) for part in parts)
            if _flipped(share) or flips >= MANY * len(parts):
                what = "subtracting would add" if weights[name] < 0 else "adding would subtract"
                where = f"in {space}, {what} {name} in {flips} of {len(parts)} projections"
                sentences.append(f"{where}; overall its share in the result is {two(share)}, 1 is as asked")
        if result.ratio is not None and result.ratio < FAINT:
            sentences.append(f"{space} leaves nearly nothing: {two(result.ratio)} of the exact sum's norm")
        elif result.cosine is not None and result.cosine < ELSEWHERE:
            sentences.append(f"{space} points elsewhere: its cosine to the exact sum is {two(result.cosine)}")
        left = sum(weights[name] * (result.shares[name] or 0.0) for name in inspection.tasks)
        if len(weights) > 1 and sum(weights[name] for name in inspection.tasks) > 0 and 0 < left < LEFT:
            sentences.append(f"in {space}, {two(left)} of the task vector is left; sums with so little mostly lost")
    if (beside := _beside(inspection)) >= BESIDE:
        sentences.append(
            f"the language part is {two(beside)} times as large as the task part; of such sums 4 in 10 lost on a real "
            "model"
        )
    for name, drift in figures.drift.items():
        norms = {path: part.summands[name] for path, part in zip(inspection.paths, parts, strict=True)}
        sentences += idle(name, norms)
        if figures.summands[name] and drift and (drift.drift**2 + (drift.grown / drift.start) ** 2) ** 0.5 < STILL:
            sentences.append(f"{name} hardly moved from its start; was it trained long enough?")
    far = sorted(inspection.outliers().items(), key=lambda one: -max(one[1], 1 / max(one[1], 1e-9)))
    sentences += [f"{path} is {factor:.2g} times as large as in other layers" for path, factor in far[:3]]
    if len(far) > 3:
        sentences.append(f"further outliers: {len(far) - 3} of {len(inspection.paths)} projections")
    if others := inspection.unmeasured:
        which = f"{len(others)} parameters beside the projections too ({', '.join(others[:2])} …)"
        sentences.append(f"full fine-tuning changes {which}, which are in none of these figures")
    return sentences


def _beside(inspection: Inspection) -> float:
    """‖Σcᵢ·ΔWᵢ‖ of the vectors that are no tasks over that of those that are; 0 where there is no task."""
    inner = inspection.parts()
    task = inner[True, True]
    return (max(0.0, inner[False, False]) / task) ** 0.5 if task > 0 else 0.0


def _flipped(share: float | None) -> bool:
    return share is not None and share < FLIPPED


def facts(inspection: Inspection) -> dict[str, Any]:
    """Everything as plain JSON: the figures in total and of each projection."""
    return {
        "expression": str(inspection.combination),
        "weights": dict(inspection.combination.weights),
        "refused": dict(inspection.refused),
        "warnings": warnings(inspection),
        "outliers": inspection.outliers(),
        "total": asdict(inspection.figures()),
        "projections": {path: asdict(inspection.figures([path])) for path in inspection.paths},
    }


# ---------------------------------------------------------------- for a terminal


def as_text(inspection: Inspection, *, per_module: bool = False) -> RenderableType:
    """Tables and sentences, at most 80 columns wide; with a line for each projection if asked."""
    from rich.console import Group
    from rich.text import Text

    figures = inspection.figures()
    blocks: list[list[RenderableType]] = [
        [Text(f"{inspection.combination}\n{len(inspection.paths)} projections, |ΔW| {figures.norm:.3g} exactly")],
        [_spaces(figures), *(Text(f"not in {space}: {reason}") for space, reason in inspection.refused.items())],
        [_vectors(inspection, figures), Text(ACROSS if _many(figures) else SHARES, style="dim")],
        [Text(line) for line in (*cosines(figures), *signs(figures), *cuts(figures))],
        [_projections(inspection), Text(COSINES, style="dim")] if per_module else [],
        [Text(f"warning: {sentence}", style="bold") for sentence in warnings(inspection)],
    ]
    return Group(*(part for block in blocks if block for part in (*block, Text())))


def cosines(figures: Figures) -> Iterator[str]:
    """The pairs of terms that meet most, in a sentence; nothing where there is one term alone."""
    names = list(figures.summands)
    pairs = {(a, b): figures.cosines[a][b] for i, a in enumerate(names) for b in names[i + 1 :]}
    known = sorted(((abs(c), c, pair) for pair, c in pairs.items() if c is not None), reverse=True)
    if known:
        most = ", ".join(f"{a} and {b} {two(c)}" for _, c, (a, b) in known[:3])
        yield f"Cosines between the terms of the sum: {most}{' …' if len(known) > 3 else ''}"


def signs(figures: Figures) -> Iterator[str]:
    """Where the terms pull in opposite directions, in a sentence; nothing where there is one term alone."""
    if len(figures.summands) > 1 and figures.conflicts is not None and figures.cancelled is not None:
        entries, magnitude = percent(figures.conflicts), percent(figures.cancelled)
        yield f"Signs differ in {entries} of the entries; {magnitude} of the magnitude cancels"


def cuts(figures: Figures) -> Iterator[str]:
    """What the best cut loses, a sentence for each kind of cut."""
    for cut, lost in figures.lost.items():
        what = "rank" if cut == "rank" else f"sum of Kronecker {cut}"
        yield f"Lost by the best {what}: " + ", ".join(f"{percent(error)} at {k}" for k, error in steps(lost).items())


def brief(space: str) -> str:
    """A space without the values of its merging's parameters.

    >>> brief("delta, ties:density=0.2, rank 4"), brief("delta, layers:outer=0.2,ramp=0")
    ('delta, ties, rank 4', 'delta, layers')
    """
    return re.sub(r":\S+?(?=, |$)", "", space)


def _spaces(figures: Figures) -> Table:
    """A row for each space; where they are many, with the shares that else stand beside the vectors."""
    rows, beside = [], list(figures.summands) if _many(figures) else []
    often = Counter(map(brief, figures.results))  # of two with one name each is said in full
    for space, result in figures.results.items():
        residual = "–" if result.residual is None else percent(result.residual)
        shares = (two(result.shares[name]) for name in beside)
        name = brief(space) if often[brief(space)] == 1 else space
        rows.append([name, two(result.cosine), two(result.ratio), residual, *shares])
    return _table(["Space", "Cosine", "Norm", "Residual", *beside], rows)


def _many(figures: Figures) -> bool:
    return len(figures.results) > MOST


def _vectors(inspection: Inspection, figures: Figures) -> Table:
    inexact = {s: result for s, result in figures.results.items() if s != "delta" and not _many(figures)}
    rows = []
    for name, weight in inspection.combination.weights.items():
        drift = figures.drift[name]
        moved = (percent(drift.drift), f"{drift.grown:.3g}") if drift else ("?", "?")
        shares = (two(result.shares[name]) for result in inexact.values())
        rows.append([name, f"{weight:g}".replace("-", "−"), f"{figures.summands[name]:.3g}", *moved, *shares])
    return _table(["Vector", "c", "|cΔW|", "Drift", "Grown", *map(brief, inexact)], rows)


def _projections(inspection: Inspection) -> Table:
    inexact = [space for space in inspection.figures().results if space != "delta"]
    rows = []
    for (group, projection), layers in grid(inspection.paths).items():
        for layer, path in layers.items():
            figures = inspection.figures([path])
            cancels = "–" if figures.cancelled is None else percent(figures.cancelled)
            where = " ".join(filter(None, [group, projection, "" if layer is None else str(layer)]))
            cosines = (two(figures.results[space].cosine) for space in inexact)
            rows.append([where, f"{figures.norm:.3g}", cancels, *cosines])
    return _table(["Projection", "|ΔW|", "Cancels", *map(brief, inexact)], rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(heads[0], no_wrap=True)
    for head in heads[1:]:  # as Text, since names of vectors have brackets
        table.add_column(Text(head), justify="right", min_width=max(map(len, head.split())))
    for row in rows:
        table.add_row(*map(Text, row))
    return table
