"""Kronecker adapters (Edalati et al. 2022, https://arxiv.org/abs/2212.10650) as functions over tensors.

The paper writes y = xW with W (in × out) and ΔW = A ⊗ B, where A is (m × n) and B (in/m × out/n).
PyTorch's ``Linear.weight`` is the transpose, so here ΔW (out × in) = a ⊗ b with ``a`` = Aᵀ (n × m)
and ``b`` = Bᵀ (out/n × in/m), and a = 0 at the start. With a leading axis K they are K adapters that
share one pass through the backbone, whose rows then come in K groups of equal size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import LingarithError


class KroneckerTerm(NamedTuple):
    """A summand of an update: ΔW = Σᵣ aᵣ ⊗ bᵣ with ``a`` (R × n × m) and ``b`` (R × out/n × in/m)."""

    a: Tensor
    b: Tensor

    @property
    def m(self) -> int:
        """Into how many blocks an input is cut."""
        return self.a.shape[2]

    @property
    def n(self) -> int:
        """Of how many blocks an output is made."""
        return self.a.shape[1]

    @property
    def kind(self) -> str:
        """Terms of one kind and size can be joined into one, and in files they share a name."""
        return f"kronecker-{self.m}x{self.n}"

    @property
    def size(self) -> tuple[int, int]:
        """(out, in) of ΔW."""
        return self.n * self.b.shape[1], self.m * self.b.shape[2]

    @property
    def fits(self) -> bool:
        """Whether the two factors have shapes that go together."""
        return self.a.ndim == self.b.ndim == 3 and len(self.a) == len(self.b) > 0

    def described(self) -> str:
        """``Kronecker 32 × 16``; of a sum ``3 × Kronecker 32 × 16``."""
        count = f"{len(self.a)} × " if len(self.a) > 1 else ""
        return f"{count}Kronecker {self.m} × {self.n}"

    def delta(self) -> Tensor:
        """The dense ΔW (out × in)."""
        return torch.einsum("rij,rkl->ikjl", self.a, self.b).reshape(self.size)

    def apply(self, x: Tensor) -> Tensor:
        """What the term adds to a projection's output, for ``x`` (… × in); ΔW is not formed."""
        count = len(self.a)
        return apply(self.a, self.b, 1.0, x.expand(count, *x.shape)).sum(0)

    def scaled(self, c: float) -> KroneckerTerm:
        """The term whose ΔW is c times this one's."""
        return KroneckerTerm(self.a, c * self.b)


@dataclass(frozen=True)
class Kronecker:
    """The adapter a ⊗ b whose first factor is n × m; its scale is 1. The paper: (m, n) = (32, 16)."""

    m: int = 32
    """Divides the inputs of every projection."""
    n: int = 16
    """Divides the outputs of every projection."""

    def __post_init__(self) -> None:
        for name in ("m", "n"):
            if getattr(self, name) < 1:
                raise LingarithError(f"{name}={getattr(self, name)} must be at least 1")

    @property
    def scale(self) -> float:
        """1: the adapter has no α."""
        return 1.0

    @property
    def facts(self) -> dict[str, Any]:
        """What a vector's origin says about its adapter."""
        return {"kind": "kronecker", "m": self.m, "n": self.n}

    def check(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        """Raise :class:`LingarithError` unless m divides every in and n every out; ``shapes``: path → (out, in)."""
        for name, asked, side, what in (("m", self.m, 1, "inputs"), ("n", self.n, 0, "outputs")):
            for path, shape in shapes.items():
                if shape[side] % asked:
                    common = math.gcd(*(shape[side] for shape in shapes.values()))
                    divisors = [d for d in range(1, common + 1) if common % d == 0]
                    near = sorted(sorted(divisors, key=lambda d: abs(d - asked))[:4])
                    raise LingarithError(
                        f"{name}={asked} does not divide the {shape[side]} {what} of {path}; "
                        f"near sizes that divide all projections: {', '.join(map(str, near))}"
                    )

    def init(self, shapes: Mapping[str, tuple[int, int]], seed: int) -> dict[str, KroneckerTerm]:
        """The start of a vector: ``a`` zero, ``b`` uniform in ±1/√(in/m) (as PEFT's LoKr).

        ``shapes`` maps the path of a projection to (out, in). A projection's numbers depend on the
        seed, its path, its shape, m and n alone. Raises as :meth:`check`.
        """
        self.check(shapes)
        start = {}
        for path, (out, inner) in shapes.items():
            digest = hashlib.sha256(f"{seed}/{path}/{self.m}x{self.n}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            rows, columns = out // self.n, inner // self.m
            b = (torch.rand(1, rows, columns, generator=generator) * 2 - 1) / columns**0.5
            start[path] = KroneckerTerm(torch.zeros(1, self.n, self.m), b)
        return start

    def factors(self, term: KroneckerTerm) -> tuple[Tensor, Tensor]:
        """``a`` (n × m) and ``b`` (out/n × in/m) of a term of one product: what is trained."""
        return term.a[0], term.b[0]

    def term(self, a: Tensor, b: Tensor) -> KroneckerTerm:
        """The term of such factors."""
        return KroneckerTerm(a[None], b[None])

    def apply(self, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        """:func:`apply`, at the adapter's scale."""
        return apply(a, b, self.scale, x)


def apply(a: Tensor, b: Tensor, scale: float, x: Tensor) -> Tensor:
    """What K adapters add to a projection's output.

    ``a`` (K × n × m), ``b`` (K × out/n × in/m), ``x`` (K·rows × … × in) → (K·rows × … × out), in the
    type of the factors, or autocast's. An input cut into m pieces is a matrix X (m × in/m), and
    (a ⊗ b)x is a·X·bᵀ: two small matrix products in the cheaper order; ΔW is never formed.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else a.dtype
    if scale != 1:
        b = b * scale
    groups = x.reshape(a.shape[0], -1, x.shape[-1])
    y: Tensor = _Product.apply(a, b, groups, dtype)  # type: ignore[no-untyped-call]
    return y.reshape(*x.shape[:-1], y.shape[-1])


class _Product(torch.autograd.Function):
    """a·X·bᵀ for each row, a few rows at a time.

    For the backward pass only the arguments are kept, which the backbone holds anyway, and beside
    the results there is never more than the blocks of those few rows.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(a, b, x)
        ctx.dtype = dtype
        a, b = a.to(dtype), b.to(dtype)
        y = x.new_empty(*x.shape[:2], a.shape[1] * b.shape[1], dtype=dtype)
        for rows in _pieces(x):
            blocks = _blocks(x[:, rows], a.shape[2], dtype)
            product = _right(_left(a, blocks), b.mT) if _left_first(a, b) else _left(a, _right(blocks, b.mT))
            _put(y[:, rows], product)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        a, b, x = ctx.saved_tensors
        da, db, dx = torch.zeros_like(a), torch.zeros_like(b), torch.empty_like(x)
        a, b = a.to(ctx.dtype), b.to(ctx.dtype)
        for rows in _pieces(x):
            blocks, outer = _blocks(x[:, rows], a.shape[2], ctx.dtype), _blocks(dy[:, rows], a.shape[1], ctx.dtype)
            if _left_first(a, b):
                inner, between = _left(a, blocks), _right(outer, b)
                da += between.flatten(2) @ blocks.flatten(2).mT
                db += outer.flatten(1, 2).mT @ inner.flatten(1, 2)
                _put(dx[:, rows], _left(a.mT, between))
            else:
                inner, between = _right(blocks, b.mT), _left(a.mT, outer)
                da += outer.flatten(2) @ inner.flatten(2).mT
                db += between.flatten(1, 2).mT @ blocks.flatten(1, 2)
                _put(dx[:, rows], _right(between, b))
        return da, db, dx, None


def _left_first(a: Tensor, b: Tensor) -> bool:
    """Whether (a·X)·bᵀ costs no more than a·(X·bᵀ): n·in + q·out against p·in + m·out for a row."""
    n, m, p, q = *a.shape[1:], *b.shape[1:]
    return n * m * q + q * n * p <= p * m * q + m * n * p


def _pieces(x: Tensor) -> list[slice]:
    """Few rows where a processor's cache is to hold them, many where each step starts a kernel."""
    numbers = 2**17 if x.device.type == "cpu" else 2**24
    count = max(1, numbers // (x.shape[0] * x.shape[2]))
    return [slice(start, start + count) for start in range(0, x.shape[1], count)]


def _blocks(rows: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(K × T × count·width) → (K × count × T × width), contiguous, so that both products are large ones."""
    return rows.reshape(*rows.shape[:2], count, -1).transpose(1, 2).to(dtype).contiguous()


def _put(rows: Tensor, blocks: Tensor) -> None:
    """The blocks back into their places."""
    rows.unflatten(-1, (blocks.shape[1], blocks.shape[3])).copy_(blocks.transpose(1, 2))


def _left(a: Tensor, blocks: Tensor) -> Tensor:
    """a·X for each row: (K × n × m), (K × m × T × q) → (K × n × T × q)."""
    return (a @ blocks.flatten(2)).view(*a.shape[:2], *blocks.shape[2:])


def _right(blocks: Tensor, b: Tensor) -> Tensor:
    """X·b for each row: (K × m × T × q), (K × q × p) → (K × m × T × p)."""
    return (blocks.flatten(1, 2) @ b).view(*blocks.shape[:3], b.shape[2])
