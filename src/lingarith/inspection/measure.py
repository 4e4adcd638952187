"""What a composition really does, from the vectors alone: the sum that is asked for is Σcᵢ·ΔWᵢ, and
each space makes a *result* of it, exactly or not.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..adapters.kronecker import KroneckerTerm
from ..adapters.lora import LoraTerm
from ..adapters.terms import Term, exact_rank, inner, spectrum, to_kronecker
from ..algebra import Combination
from ..errors import LingarithError
from ..vectors.composition import SPACES, Composition, Space, compose
from ..vectors.merged import place
from ..vectors.outline import Terms, starting_point
from ..vectors.vector import Vector
from .figures import Figures, Sums

RANKS = 64
"""A cut is described up to this rank."""
ENTRIES = 2**18
"""Signs are compared in so many entries of a projection at most: in whole columns, drawn with one seed."""
FORMED = 512
"""Singular values of larger sums that must be formed are those of a randomised range finder."""
FAR = 3.5
"""Robust z-score beyond which a projection is an outlier (Iglewicz and Hoaglin 1993)."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was measured of a combination: its projections, and the spaces that were refused with the reason.

    ``unmeasured`` names the other parameters that full fine-tuning changes; no figure knows of them. ``tasks`` names
    the task vectors."""

    combination: Combination
    paths: Sequence[str]
    sums: Sums
    refused: Mapping[str, str]
    unmeasured: Sequence[str] = ()
    tasks: Sequence[str] = ()

    def figures(self, paths: Iterable[str] | None = None) -> Figures:
        """The figures over these projections together; over all if None."""
        rows = [self.paths.index(path) for path in (self.paths if paths is None else paths)]
        return self.sums.figures(self.combination.names, rows)

    def outliers(self) -> dict[str, float]:
        """Projections whose ‖Σcᵢ·ΔWᵢ‖ is far from those of the same kind in other layers: their norm
        over the median one. Far is a robust z-score of log norm above :data:`FAR`, and a factor of 2."""
        norms = dict(zip(self.paths, self.sums.gram.sum((1, 2)).clamp_min(0).sqrt().tolist(), strict=True))
        kinds: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            kinds[place(path)[1]].append(path)
        outliers: dict[str, float] = {}
        for paths in kinds.values():
            if middle := statistics.median(norms[path] for path in paths):
                apart = {path: abs(math.log(max(norms[path] / middle, 1e-9))) for path in paths}
                limit = max(math.log(2), FAR * 1.4826 * statistics.median(apart.values()))
                outliers |= {path: norms[path] / middle for path in paths if apart[path] > limit}
        return outliers


def inspect(
    combination: Combination, vectors: Mapping[str, Vector], spaces: Sequence[str | Space] = SPACES
) -> Inspection:
    """Compare what each space makes of a combination with its exact sum; no backbone is needed.

    ``vectors`` holds at least the combination's names. A space in which they cannot be added is
    refused with its reason. Raises :class:`LingarithError` for an unknown name or space, an empty
    combination, vectors that have no exact sum either, and a cut that cannot be had.
    """
    exact = Composition(combination, vectors, Space("delta"))
    starts = [_start(vector) for _, vector in exact.parts]
    gram, signs, moves = [], [], []
    tails: dict[str, list[Tensor]] = defaultdict(list)
    for path in exact.paths:
        whole, summands = exact.at(path), _summands(exact, path)
        gram.append(_products(summands, summands))
        signs.append(_signs(summands))
        moves.append(_moves(path, exact.parts, starts))
        for cut, kept in _kept(whole).items():
            tails[cut].append((gram[-1].sum() - kept).clamp_min(0))
    results, refused = {}, {}
    for space in map(Space.of, spaces):
        try:
            results[str(space)] = _compared(compose(combination, vectors, space))
        except LingarithError as problem:
            if space.name == "delta" and space.merging is None:
                raise  # the sum is there, so it is the cut that cannot be had
            refused[str(space)] = str(problem).rpartition("; ")[0] or str(problem)
    # Padded with 0: beyond its exact rank a projection loses nothing.
    everywhere = {cut: pad_sequence(rows, True) for cut, rows in tails.items() if len(rows) == len(gram)}
    sums = Sums(torch.stack(gram), results, torch.stack(signs), everywhere, torch.stack(moves))
    tasks = [name for name in combination.names if vectors[name].origin.get("kind") == "task"]
    return Inspection(combination, exact.paths, sums, refused, list(exact.rest), tasks)


def _summands(composition: Composition, path: str) -> list[tuple[Term, ...]]:
    """cᵢ·ΔWᵢ at a projection; nothing of a vector that leaves it as it is."""
    return [vector.scaled(path, c) for c, vector in composition.parts]


def _products(rows: Sequence[Sequence[Term]], columns: Sequence[Sequence[Term]]) -> Tensor:
    """The inner products of updates at a projection."""
    one = _stacked(rows)
    other = one if columns is rows else _stacked(columns)
    if one and other:  # all pairs in two products, then the sums of their blocks
        (a, b, own), (a2, b2, own2) = one, other
        return own.T @ ((a @ a2.T) * (b.T @ b2)) @ own2
    products = [[sum(inner(one, other) for one in row for other in column) for column in columns] for row in rows]
    return torch.tensor(products, dtype=torch.float64)


def _stacked(rows: Sequence[Sequence[Term]]) -> tuple[Tensor, Tensor, Tensor] | None:
    """The factors of LoRA terms side by side (R × in, out × R), and whose each is (R × rows); None for others."""
    terms = [(term, k) for k, row in enumerate(rows) for term in row if isinstance(term, LoraTerm)]
    if not terms or len(terms) < sum(map(len, rows)):
        return None
    whose = torch.cat([torch.full((len(term.a),), k) for term, k in terms])
    a, b = torch.cat([term.a for term, _ in terms]).double(), torch.cat([term.b for term, _ in terms], 1).double()
    return a, b, torch.nn.functional.one_hot(whose, len(rows)).double()


def _compared(composition: Composition) -> Tensor:
    """⟨result, cᵢΔWᵢ⟩ for each summand and ‖result‖², a row for each projection."""
    rows = []
    for path in composition.paths:
        result = composition.at(path)
        rows.append(_products([result], [*_summands(composition, path), result]))
    return torch.cat(rows)


def _signs(summands: Sequence[Sequence[Term]]) -> Tensor:
    """Entries in conflict, entries, ‖sum‖₁ and Σ‖·‖₁ of one projection, or scaled up from its columns drawn."""
    present = [terms for terms in summands if terms]
    out, inputs = present[0][0].size
    columns = torch.randperm(inputs, generator=torch.Generator().manual_seed(0))[: -(-ENTRIES // out)]
    units = torch.nn.functional.one_hot(columns, inputs).float()
    dense = (torch.stack([term.apply(units) for term in terms]).sum(0) for terms in present)
    up = down = torch.zeros(())
    for entries in dense:
        up, down = up + entries.clamp_min(0), down - entries.clamp_max(0)
    conflict = (up > 0) & (down > 0)
    counted = [conflict.sum(), torch.tensor(up.numel()), (up - down).abs().sum(), (up + down).sum()]
    return torch.stack([number.double() for number in counted]) * (inputs / len(columns))


def _kept(terms: tuple[Term, ...]) -> dict[str, Tensor]:
    """The squared norm that the best cut keeps at 1, 2, …: by rank, and where ΔW is a sum of Kronecker
    products of one size, by their number."""
    kept = {"rank": _values(terms)[:RANKS].square().cumsum(0)}
    if len(terms) == 1 and isinstance(only := terms[0], KroneckerTerm):
        counts = range(1, min(len(only.a), RANKS) + 1)
        cuts = [to_kronecker(terms, only.m, only.n, count)[1:] for count in counts]
        kept[f"{only.m} × {only.n}"] = torch.tensor([whole - lost for lost, whole in cuts], dtype=torch.float64)
    return kept


def _values(terms: tuple[Term, ...]) -> Tensor:
    """The largest singular values, descending: exact, or of a large sum that must be formed from below
    (Halko, Martinsson and Tropp 2011, algorithm 4.4; the error that follows is right to about 1 %)."""
    first, *others = terms
    factored = not others and (isinstance(first, LoraTerm) or (isinstance(first, KroneckerTerm) and len(first.a) == 1))
    if factored or min(first.size) <= FORMED:
        return spectrum(terms)
    dense = first.delta()
    for term in others:
        dense += term.delta()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = torch.svd_lowrank(dense, q=RANKS + RANKS // 2, niter=4)[1]
    return values[: min(RANKS, exact_rank(terms))].double()


def _start(vector: Vector) -> Terms | None:
    try:
        return starting_point(vector)
    except LingarithError:
        return None


def _moves(path: str, parts: Sequence[tuple[float, Vector]], starts: Sequence[Terms | None]) -> Tensor:
    """‖A − A₀‖², ‖A₀‖² and the other factor's squared norm, a row for each vector."""
    rows = torch.full((len(parts), 3), math.nan, dtype=torch.float64)
    for row, (_, vector), start in zip(rows, parts, starts, strict=True):
        if start is not None and path not in start:
            row[:] = 0
        elif start is not None:
            first, second = zip(vector.terms[path][0], start[path][0], strict=True)
            # Of the two factors, A is the one that does not start at 0.
            (a, a0), (b, _) = (first, second) if first[1].any() else (second, first)
            row[:] = torch.stack([part.double().square().sum() for part in (a.double() - a0, a0, b)])
    return rows
