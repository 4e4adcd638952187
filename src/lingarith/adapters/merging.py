"""Ways to merge updates beside their sum, each on the small exact cores Mᵢ of :mod:`.cores`, coefficients in them.

A method is a function from :class:`Cores` to the core of the result (p × q; p × in where its rows are not those of the
terms), and the squared norm of what it lost where it could not keep to the terms' own spaces. What the papers average
over checkpoints is here a sum with coefficients, which may be negative. Kronecker products of one size go through Van
Loan's rearrangement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import LingarithError, did_you_mean
from .cores import ROUNDING, Cores, directions, nearest_orthogonal

Merged = tuple[Tensor, float]
SUM = "sum"


def summed(cores: Cores) -> Merged:
    """ΣMᵢ: task arithmetic (Ilharco et al. 2023, https://arxiv.org/abs/2212.04089)."""
    return cores.cores.sum(0), 0.0


def keepnorm(cores: Cores) -> Merged:
    """ΣMᵢ · maxᵢ‖ΔWᵢ‖ / ‖ΣMᵢ‖: the direction of the sum, as large as the largest vector is before its coefficient.

    Nothing where the vectors cancel. Ours, after the reweighting against norm decay in LoRA-LEGO
    (https://arxiv.org/abs/2409.16167).
    """
    total = cores.cores.sum(0)
    sizes, weights = cores.cores.norm(dim=(1, 2)), torch.tensor(cores.weights, dtype=torch.float64)  # of N each
    largest, norm = (sizes / weights.abs()).max(), total.norm()
    return (total * (largest / norm) if norm > ROUNDING * sizes.norm() else torch.zeros_like(total)), 0.0


def layers(cores: Cores, outer: float, ramp: float, task: float, language: float) -> Merged:
    """Language on the outer layers, task on the inner ones: Σ w·Mᵢ, w by the depth x = ℓ/(L−1) in the stack.

    With e = min(x, 1−x) and o = 1 up to e = outer, from there linearly down to 0 at e = outer + ramp, language
    vectors have w = o + (1−o)·language and task vectors w = (1−o) + o·task: layer swapping with transition zones
    (Bandarkar et al. 2024, https://arxiv.org/abs/2410.01335).
    """
    if cores.depth is None:
        return summed(cores)
    beyond = min(cores.depth, 1 - cores.depth) - outer
    o = float(beyond <= 0) if ramp == 0 else min(1.0, max(0.0, 1 - beyond / ramp))
    weights = [(1 - o) + o * task if is_task else o + (1 - o) * language for is_task in cores.tasks]
    return torch.einsum("n,npq->pq", torch.tensor(weights, dtype=torch.float64), cores.cores), 0.0


def lines(cores: Cores, first: float, last: float) -> Merged:
    """ΣMᵢ · (first + (last − first)·ℓ/(L−1)): LiNeS (Wang et al. 2024, https://arxiv.org/abs/2410.17146)."""
    depth = 0.5 if cores.depth is None else cores.depth
    return cores.cores.sum(0) * (first + (last - first) * depth), 0.0


def project(cores: Cores, sides: str) -> Merged:
    """S − P_u·S·P_v, S the sum of what is added and P on the column and row space of what is subtracted.

    So the source's subspace is removed where Eq. 2 and GenKnowSub (https://arxiv.org/abs/2505.10939) negate its
    vector, whatever the coefficient of that. With ``sides=left`` S − P_u·S, with ``right`` S − S·P_v. Ours.
    """
    added = torch.tensor(cores.weights) > 0
    total, gone = cores.cores[added].sum(0), cores.cores[~added]
    removed = total
    if sides != "right":
        u, _, _ = directions(torch.cat(list(gone), 1)) if len(gone) else (total[:, :0], None, None)
        removed = u @ (u.T @ removed)  # p × q
    if sides != "left":
        _, _, v = directions(torch.cat(list(gone), 0)) if len(gone) else (None, None, total[:0])
        removed = removed @ v.T @ v
    return total - removed, 0.0


def wudi(cores: Cores, ridge: float) -> Merged:
    """(ΣMᵢCᵢ)·(ΣCᵢ + ε·I)⁻¹ with Cᵢ = MᵢᵀMᵢ/‖Mᵢ‖², of trace 1.

    It minimises Σ‖(M − Mᵢ)·Mᵢᵀ‖²/‖Mᵢ‖², the objective of WUDI-Merging (Cheng et al. 2025,
    https://arxiv.org/abs/2503.08099), in closed form; without the ridge ε it amplifies where row spaces coincide.
    """
    grams = cores.cores.mT @ cores.cores  # N × q × q
    grams = grams / grams.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-300)[:, None, None]
    whole = grams.sum(0) + ridge * torch.eye(grams.shape[1], dtype=grams.dtype)
    core: Tensor = torch.linalg.solve(whole, (cores.cores @ grams).sum(0), left=False)
    return core, 0.0


def regmean(cores: Cores, alpha: float, ridge: float) -> Merged:
    """U·S·(ΣMᵢVᵀgᵢ)·(Σ|cᵢ|gᵢ)⁻¹ with S = Σ|cᵢ| and gᵢ = αGᵢ + (1−α)·diag(Gᵢ) + ε·s·I, s the mean of the diagonals.

    It minimises Σ|cᵢ|·E‖(W − S·sgn(cᵢ)·ΔWᵢ)·x‖² over W, x drawn from the inputs of the projection on vector i's data,
    with E[x·xᵀ] = Gᵢ: RegMean (Jin et al. 2022, https://arxiv.org/abs/2212.09849), whose average it is where each cᵢ is
    1/N. So vectors whose Gᵢ are alike are summed exactly, whatever α and ε, and one that takes no part of S has none
    here. A sign stands in what W is to do on the vector's inputs and not in their weight: Σ|cᵢ|gᵢ is positive definite
    also where something is subtracted, and there is one minimum. ``alpha`` leaves so much of what is off the diagonal,
    as published, of T5 0.1; of directions that no input has, the ridge ε leaves the sum. The rank is at most
    that of all terms together; the rows are no longer sums of the vectors' own, and it takes an equation of in × in for
    each projection.
    """
    _, (v, _) = cores.bases
    parts, shares = cores.cores @ v.T, [abs(weight) for weight in cores.weights]  # N × p × in
    grams, targets, size = torch.zeros(len(v), len(v), dtype=v.dtype), torch.zeros_like(parts[0]), 0.0
    for part, share, read in zip(parts, shares, cores.grams, strict=True):
        whole = read().double()  # in × in
        gram = alpha * whole
        gram.diagonal().copy_(whole.diagonal())
        size += share * float(gram.diagonal().mean())
        grams, targets = grams + share * gram, targets + part @ gram
    noise = ridge * max(size, 1e-200)  # S·ε·s
    grams.diagonal().add_(noise)
    merged = torch.linalg.solve(grams, sum(shares) * targets + noise * parts.sum(0), left=False)  # p × in
    return (merged if v.shape[1] < len(v) else merged @ v), 0.0


def tsv(cores: Cores, keep: float) -> Merged:
    """U⊥·Σ·V⊥ᵀ: the singular vectors of all terms side by side, made orthonormal with the least change.

    TSV-Merge (Gargiulo et al. 2024, https://arxiv.org/abs/2412.00081). There a term keeps one N-th of min(out, in)
    singular vectors, which is all of a low-rank one; ``keep`` is the share of its own rank, rounded up.
    """
    parts = [(u[:, :k], s[:k], v[:k]) for u, s, v in map(directions, cores.cores) for k in [math.ceil(keep * len(s))]]
    u, values, v = zip(*parts, strict=True)
    left, right = nearest_orthogonal(torch.cat(u, 1)), nearest_orthogonal(torch.cat(v).T)
    return left * torch.cat(values) @ right.T, 0.0


def iso(cores: Cores, mean: str) -> Merged:
    """σ̄·u·vᵀ of ΣMᵢ = u·diag(σ)·vᵀ: all directions of the sum as large as their mean.

    Iso-C (Marczak et al. 2025, https://arxiv.org/abs/2502.04959). ``mean=rank``: over the directions that there are,
    which keeps Σσ. ``mean=full``: over min(out, in), the zeros counted, as published code has it; there directions
    beyond the sum's rank, which are arbitrary, come in as well, and here they do not.
    """
    u, values, v = directions(cores.cores.sum(0))
    (left, _), (right, _) = cores.bases
    count = len(values) if mean == "rank" else min(len(left), len(right))
    return (values.sum() / max(1, count)) * (u @ v), 0.0


def ties(cores: Cores, density: float) -> Merged:
    """Trim, elect, merge: of each term the largest entries, per entry the sign of their sum, the mean of those with it.

    TIES (Yadav et al. 2023, https://arxiv.org/abs/2306.01708), entry by entry of cᵢΔWᵢ, row block by row block, and
    then projected on the terms' column and row spaces, UᵀXV, so that the rank stays; the squared norm of what that
    loses is given. ``density`` is the share of entries that are kept. PEFT elects signs before coefficients.
    """
    limits = _limits(cores, density)[:, None, None]

    def merged(entries: Tensor) -> Tensor:
        kept = torch.where(entries.abs().float() >= limits, entries, 0.0)  # N × rows × in
        agreed = kept * kept.sum(0).sign() > 0
        return (kept * agreed).sum(0) / agreed.sum(0).clamp_min(1)

    return _projected(cores, merged)


def dare(cores: Cores, density: float, seed: float) -> Merged:
    """Σ of terms of which entries are dropped at random, and those that stay divided by their share ``density``.

    DARE (Yu et al. 2023, https://arxiv.org/abs/2311.03099), row block by row block and projected as :func:`ties`.
    Which entries go depends on ``seed`` and the vector's own numbers alone.
    """
    drawn = [torch.Generator().manual_seed(cores.seed(term, int(seed))) for term in range(len(cores.terms))]

    def merged(entries: Tensor) -> Tensor:
        masks = torch.stack([torch.rand(entries.shape[1:], generator=generator) < density for generator in drawn])
        return (entries * masks).sum(0) / density

    return _projected(cores, merged)


def _projected(cores: Cores, merged: Callable[[Tensor], Tensor]) -> Merged:
    """UᵀXV of what is made of the entries (N × rows × in → rows × in), and the squared norm outside of it.

    Where terms coincide, directions of U and V that they do not span are arbitrary, and left out.
    """
    (_, left), (v, right) = cores.bases
    core, whole = torch.zeros(cores.cores.shape[1:], dtype=torch.float64), 0.0
    for u, entries in cores.rows():
        some = merged(entries)
        core, whole = core + u.T @ (some @ v), whole + float(some.square().sum())
    left, right = directions(left)[0], directions(right)[0]  # p × k, q × k
    core = left @ (left.T @ core @ right) @ right.T
    return core, max(0.0, whole - float(core.square().sum()))


def _limits(cores: Cores, density: float) -> Tensor:
    """Of each term the magnitude (float32) that a share ``density`` of its entries reaches.

    Bits of positive floats order as the numbers do: the upper half of the bits is counted, then the lower half
    among those that share it.
    """
    (u, _), (v, _) = cores.bases
    left = torch.full((len(cores.terms),), max(1, int(density * len(u) * len(v))))
    found = torch.zeros(len(left), dtype=torch.int64)
    for shift in (16, 0):
        counts = torch.zeros(len(left), 1 << 16, dtype=torch.int64)
        for _, entries in cores.rows():
            bits = entries.abs().float().view(torch.int32).long().flatten(1)
            for count, begin, some in zip(counts, found, bits, strict=True):
                mine = some if shift else some[some >> 16 == begin >> 16]
                count += torch.bincount((mine >> shift) & 0xFFFF, minlength=1 << 16)
        above = counts.flip(1).cumsum(1)  # N × bins, the largest first
        place = (above < left[:, None]).sum(1)  # the first bin with enough
        before = torch.where(place > 0, above.gather(1, (place - 1).clamp_min(0)[:, None])[:, 0], 0)
        left, found = left - before, found + (((1 << 16) - 1 - place) << shift)
    return found.int().view(torch.float32)


class Number(NamedTuple):
    """A parameter that is a number: its default, and the range it must lie in, without ``least`` if ``above``."""

    default: float
    least: float = 0.0
    most: float = 1.0
    above: bool = False
    whole: bool = False

    def checked(self, text: str) -> float | None:
        """The value that a text says; None where it is none."""
        try:
            value = float(text)
        except ValueError:
            return None
        inside = self.least <= value <= self.most and math.isfinite(value) and (not self.whole or value.is_integer())
        return None if not inside or (self.above and value == self.least) else value

    def __str__(self) -> str:
        ends = "" if math.isinf(self.most) else f" and at most {self.most:g}"
        return f"{'a whole number, ' * self.whole}{'above' if self.above else 'at least'} {self.least:g}{ends}"


class Word(NamedTuple):
    """A parameter that is one of some words."""

    default: str
    words: tuple[str, ...]

    def checked(self, text: str) -> str | None:
        """The word itself; None where it is none of them."""
        return text if text in self.words else None

    def __str__(self) -> str:
        return "one of " + ", ".join(self.words)


class Method(NamedTuple):
    """A row of the table: the function and its parameters."""

    merge: Callable[..., Merged]
    parameters: Mapping[str, Number | Word] = {}
    roles: bool = False
    """Whether it must know which vectors are tasks and which languages."""
    deep: bool = False
    """Whether it goes by the depth of a projection's layer."""
    grams: bool = False
    """Whether it needs the Gram matrix of each vector's inputs."""


MERGINGS: Mapping[str, Method] = {
    SUM: Method(summed),
    "keepnorm": Method(keepnorm),
    "layers": Method(
        layers,
        {"outer": Number(0.25, 0, 0.5), "ramp": Number(0.25), "task": Number(0), "language": Number(0)},
        roles=True,
        deep=True,
    ),
    "lines": Method(lines, {"first": Number(0.5, 0, 10), "last": Number(1.0, 0, 10)}, deep=True),
    "project": Method(project, {"sides": Word("both", ("both", "left", "right"))}),
    "wudi": Method(wudi, {"ridge": Number(0.01, 0, float("inf"), above=True)}),
    "regmean": Method(
        regmean, {"alpha": Number(0.9), "ridge": Number(0.01, 0, float("inf"), above=True)}, grams=True
    ),
    "tsv": Method(tsv, {"keep": Number(1.0, 0, 1, above=True)}),
    "iso": Method(iso, {"mean": Word("rank", ("rank", "full"))}),
    "ties": Method(ties, {"density": Number(0.2, 0, 1, above=True)}),
    "dare": Method(dare, {"density": Number(0.5, 0, 1, above=True), "seed": Number(0, 0, 2**31, whole=True)}),
}  # fmt: skip
"""The ways to merge, by their names."""


@dataclass(frozen=True)
class Merging:
    """A way to merge with the values of its parameters.

    >>> str(Merging.of("ties:density=0.1"))
    'ties:density=0.1'
    """

    name: str
    values: tuple[tuple[str, Any], ...] = ()

    @staticmethod
    def of(text: str) -> Merging:
        """From ``NAME`` or ``NAME:key=value,…``; what is left out is as by default.

        Raises :class:`LingarithError` for an unknown name or key, and for a value out of its range.
        """
        name, _, given = text.partition(":")
        if name not in MERGINGS:
            raise LingarithError(f"no way to merge is named '{name}'{did_you_mean(name, MERGINGS)}")
        parameters = MERGINGS[name].parameters
        values: dict[str, Any] = {key: parameter.default for key, parameter in parameters.items()}
        for part in filter(None, given.split(",")):
            key, _, said = part.partition("=")
            if key not in parameters:
                raise LingarithError(f"'{name}' has no parameter '{key}'{did_you_mean(key, parameters)}")
            values[key] = parameters[key].checked(said)
            if values[key] is None:
                raise LingarithError(f"{key}={said} of '{name}' cannot be; it must be {parameters[key]}")
        return Merging(name, tuple(sorted(values.items())))

    def __str__(self) -> str:
        # With all digits, since what is made by it is found again by it.
        said = ",".join(f"{key}={str(value).removesuffix('.0')}" for key, value in self.values)
        return f"{self.name}:{said}" if said else self.name

    @property
    def roles(self) -> bool:
        """Whether it must know which vectors are tasks and which languages."""
        return MERGINGS[self.name].roles

    @property
    def deep(self) -> bool:
        """Whether it goes by the depth of a projection's layer."""
        return MERGINGS[self.name].deep

    @property
    def grams(self) -> bool:
        """Whether it needs the Gram matrix of each vector's inputs."""
        return MERGINGS[self.name].grams

    def merge(self, cores: Cores) -> Merged:
        """The core of the result, and the squared norm that was lost."""
        return MERGINGS[self.name].merge(cores, **dict(self.values))
