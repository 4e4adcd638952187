"""What a composition really does, from the vectors alone: the sum that is asked for is Σcᵢ·ΔWᵢ, and
each space makes a *result* of it, exactly or not.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..adapters.kronecker import KroneckerTerm
from ..adapters.lora import LoraTerm
from ..adapters.terms import Term, exact_rank, inner, spectrum, to_kronecker
from ..algebra import Combination
from ..disk.files import json_hash
from ..errors import LingarithError
from ..vectors.composition import SPACES, Composition, Space, compose
from ..vectors.merged import place
from ..vectors.outline import Terms, outline, starting_point
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

    def parts(self) -> dict[tuple[bool, bool], float]:
        """Inner products of the exact sum's task part (True) and its other part (False), over all projections."""
        gram = self.sums.gram.sum(0).tolist()
        tasks = [name in self.tasks for name in self.combination.names]
        part = {which: [k for k, is_task in enumerate(tasks) if is_task == which] for which in (True, False)}
        return {(a, b): sum(gram[i][j] for i, j in product(part[a], part[b])) for a, b in product(part, part)}

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
    starts, made, refused = _starts(exact), {}, {}
    for space in map(Space.of, spaces):
        try:
            made[str(space)] = compose(combination, vectors, space)
        except LingarithError as problem:
            if space.name == "delta" and space.merging is None:
                raise  # the sum is there, so it is the cut that cannot be had
            refused[str(space)] = _reason(problem)
    gram, signs, moves = [], [], []
    results: dict[str, list[Tensor]] = {space: [] for space in made}
    tails: dict[str, list[Tensor]] = defaultdict(list)
    for path in exact.paths:  # one after the other: vectors are read once, and none is held
        summands = [vector.scaled(path, c) for c, vector in exact.parts]  # nothing where one leaves it as it is
        asked = Factors.of(summands)
        gram.append(_products(asked, asked))
        signs.append(_signs(summands))
        moves.append(_moves(path, exact.parts, starts))
        for cut, kept in _kept(exact.at(path)).items():
            tails[cut].append((gram[-1].sum() - kept).clamp_min(0))
        for name in list(results):
            try:
                result = Factors.of([made[name].at(path)])
            except LingarithError as problem:  # as numbers that are too large
                refused[name] = _reason(problem)
                del results[name]
                continue
            results[name].append(torch.cat([_products(result, asked), _products(result, result)], 1))
    # Padded with 0: beyond its exact rank a projection loses nothing.
    everywhere = {cut: pad_sequence(rows, True) for cut, rows in tails.items() if len(rows) == len(gram)}
    compared = {name: torch.cat(rows) for name, rows in results.items()}
    sums = Sums(torch.stack(gram), compared, torch.stack(signs), everywhere, torch.stack(moves))
    tasks = [name for name in combination.names if vectors[name].origin.get("kind") == "task"]
    return Inspection(combination, exact.paths, sums, refused, list(exact.rest), tasks)


def _reason(problem: LingarithError) -> str:
    """Why a space is refused, without what to do about it."""
    return str(problem).rpartition("; ")[0] or str(problem)


@dataclass(frozen=True, eq=False)
class Factors:
    """Updates of one projection, a sum of terms each; of LoRA alone also their factors side by side.

    ``a`` (R × in), ``b`` (out × R) and ``own`` (R × updates), which says whose each of the R is, in float64.
    """

    updates: Sequence[tuple[Term, ...]]
    stacked: tuple[Tensor, Tensor, Tensor] | None

    @staticmethod
    def of(updates: Sequence[tuple[Term, ...]]) -> Factors:
        """The updates, and their factors where all terms are LoRA."""
        terms = [(term, k) for k, update in enumerate(updates) for term in update if isinstance(term, LoraTerm)]
        if not terms or len(terms) < sum(map(len, updates)):
            return Factors(updates, None)
        whose = torch.cat([torch.full((len(term.a),), k) for term, k in terms])
        a, b = torch.cat([term.a for term, _ in terms]).double(), torch.cat([term.b for term, _ in terms], 1).double()
        return Factors(updates, (a, b, torch.nn.functional.one_hot(whose, len(updates)).double()))


def _products(one: Factors, other: Factors) -> Tensor:
    """The inner products of updates at a projection (updates of one × of the other)."""
    if one.stacked and other.stacked:  # all pairs in two products, then the sums of their blocks
        (a, b, own), (a2, b2, own2) = one.stacked, other.stacked
        return own.T @ ((a @ a2.T) * (b.T @ b2)) @ own2
    pairs = [[sum(inner(x, y) for x in row for y in column) for column in other.updates] for row in one.updates]
    return torch.tensor(pairs, dtype=torch.float64)


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


def _starts(composition: Composition) -> list[Terms | None]:
    """What each vector started from, where that is known; made once for those that say the same of it."""
    made: dict[str, Terms | None] = {}
    starts = []
    for _, vector in composition.parts:
        shapes = {path: [tuple(part.shape) for part in held[0]] for path, held in outline(vector.terms).items()}
        said = json_hash([vector.origin.get("init_seed"), vector.origin.get("init_hash"), shapes])
        if said not in made:
            made[said] = None
            with suppress(LingarithError):
                made[said] = starting_point(vector)
        starts.append(made[said])
    return starts


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
