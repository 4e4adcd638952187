"""What a composition does, in words, as tables for a terminal, and as plain JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..model.projections import ATTENTIONS
from ..report.words import percent
from .figures import Figures
from .measure import Inspection, place

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

FLIPPED = -0.005
"""A share below this is a flipped sign and no rounding."""
MANY, ELSEWHERE, FAINT, STILL = 0.1, 0.5, 0.1, 0.01
"""What is warned of: signs flipped in this part of the projections, a cosine to the exact sum below this,
a norm below this part of the exact one, and a vector that moved less than this part of its start."""

SHARES = "Under a space: how much of the vector is in its result; 1 is as asked, below 0 the sign is flipped."
COSINES = "Under a space: the cosine of its result to the exact sum."

GROUPS = ("encoder self", "decoder self", "decoder cross")
CROSS = {"EncDecAttention", "encoder_attn", "cross_attn"}
"""What the families call the decoder's attention to the encoder."""
PROJECTIONS = [name for names in ATTENTIONS.values() for name in names]

Grid = Mapping[tuple[str, str], Mapping[int | None, str]]
"""(attention, projection) → layer → path, in the order in which a reader looks for them."""


def two(value: float | None) -> str:
    """Two decimals with a true minus sign, an en dash where there is no number.

    >>> two(-0.456), two(-0.001), two(None)
    ('−0.46', '0.00', '–')
    """
    return "–" if value is None else f"{value:z.2f}".replace("-", "−")


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
    return {labels[kind]: kinds[kind] for kind in sorted(kinds, key=lambda kind: _order(*labels[kind]))}


def _label(kind: str) -> tuple[str, str]:
    *parts, projection = kind.split(".")
    stack = next((part for part in parts if part in ("encoder", "decoder")), None)
    return (f"{stack} {'cross' if CROSS & set(parts) else 'self'}" if stack else ""), projection


def _order(group: str, projection: str) -> tuple[int, str, int, str]:
    return (
        GROUPS.index(group) if group in GROUPS else len(GROUPS),
        group,
        PROJECTIONS.index(projection) if projection in PROJECTIONS else len(PROJECTIONS),
        projection,
    )


# ---------------------------------------------------------------- in words


def warnings(inspection: Inspection) -> list[str]:
    """What a user should know before the composition is used, a sentence each."""
    figures, weights = inspection.figures(), inspection.combination.weights
    parts = [inspection.figures([path]) for path in inspection.paths]
    said = []
    largest = max(figures.summands.values())
    if figures.norm < FAINT * largest:
        said.append(f"the vectors cancel: their exact sum is {percent(figures.norm / largest)} of the largest one")
    for space, result in figures.results.items():
        for name, share in result.shares.items():
            flips = sum(_flipped(part.results[space].shares[name]) for part in parts)
            if _flipped(share) or flips >= MANY * len(parts):
                what = "subtracting would add" if weights[name] < 0 else "adding would subtract"
                said.append(
                    f"in {space}, {what} {name} in {flips} of {len(parts)} projections; "
                    f"overall its share in the result is {two(share)}, 1 is as asked"
                )
        if result.ratio is not None and result.ratio < FAINT:
            said.append(f"{space} leaves nearly nothing: {two(result.ratio)} of the exact sum's norm")
        elif result.cosine is not None and result.cosine < ELSEWHERE:
            said.append(f"{space} points elsewhere: its cosine to the exact sum is {two(result.cosine)}")
    for name, drift in figures.drift.items():
        if not figures.summands[name]:
            said.append(f"{name} is 0: it adds nothing")
        elif drift and (drift.drift**2 + (drift.grown / drift.start) ** 2) ** 0.5 < STILL:
            said.append(f"{name} hardly moved from its start; was it trained long enough?")
    far = sorted(inspection.outliers().items(), key=lambda one: -max(one[1], 1 / max(one[1], 1e-9)))
    said += [f"{path} is {factor:.2g} times as large as in other layers" for path, factor in far[:3]]
    if len(far) > 3:
        said.append(f"further outliers: {len(far) - 3} of {len(inspection.paths)} projections")
    if inspection.unmeasured:
        few = ", ".join(inspection.unmeasured[:2])
        said.append(
            f"full fine-tuning changes {len(inspection.unmeasured)} parameters beside the projections too ({few} …), "
            "which are in none of these figures"
        )
    return said


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
        [_vectors(inspection, figures), Text(SHARES, style="dim")],
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
        said = ", ".join(f"{a} and {b} {two(c)}" for _, c, (a, b) in known[:3])
        yield f"Cosines between the terms of the sum: {said}{' …' if len(known) > 3 else ''}"


def signs(figures: Figures) -> Iterator[str]:
    """Where the terms pull in opposite directions, in a sentence; nothing where there is one term alone."""
    if len(figures.summands) > 1 and figures.conflicts is not None and figures.cancelled is not None:
        said = f"{percent(figures.conflicts)} of the entries; {percent(figures.cancelled)} of the magnitude cancels"
        yield f"Signs differ in {said}"


def cuts(figures: Figures) -> Iterator[str]:
    """What the best cut loses, a sentence for each kind of cut."""
    for cut, lost in figures.lost.items():
        what = "rank" if cut == "rank" else f"sum of Kronecker {cut}"
        yield f"Lost by the best {what}: " + ", ".join(f"{percent(error)} at {k}" for k, error in steps(lost).items())


def _spaces(figures: Figures) -> Table:
    table = _table("Space", "Cosine", "Norm", "Residual")
    for space, result in figures.results.items():
        residual = "–" if result.residual is None else percent(result.residual)
        _row(table, space, two(result.cosine), two(result.ratio), residual)
    return table


def _vectors(inspection: Inspection, figures: Figures) -> Table:
    inexact = {space: result for space, result in figures.results.items() if space != "delta"}
    table = _table("Vector", "c", "|cΔW|", "Drift", "Grown", *inexact)
    for name, weight in inspection.combination.weights.items():
        drift = figures.drift[name]
        moved = (percent(drift.drift), f"{drift.grown:.3g}") if drift else ("?", "?")
        shares = (two(result.shares[name]) for result in inexact.values())
        _row(table, name, f"{weight:g}".replace("-", "−"), f"{figures.summands[name]:.3g}", *moved, *shares)
    return table


def _projections(inspection: Inspection) -> Table:
    inexact = [space for space in inspection.figures().results if space != "delta"]
    table = _table("Projection", "|ΔW|", "Cancels", *inexact)
    for (group, projection), layers in grid(inspection.paths).items():
        for layer, path in layers.items():
            figures = inspection.figures([path])
            cancels = "–" if figures.cancelled is None else percent(figures.cancelled)
            results = (two(figures.results[space].cosine) for space in inexact)
            where = " ".join(filter(None, [group, projection, "" if layer is None else str(layer)]))
            _row(table, where, f"{figures.norm:.3g}", cancels, *results)
    return table


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    return table


def _row(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells))
