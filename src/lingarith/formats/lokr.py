"""PEFT's LoKr folders, one Kronecker product for each module, and back.

PEFT (0.21) computes ``(alpha / r) · lokr_w1 ⊗ lokr_w2`` in the orientation of ``Linear.weight``, which
is ours. It gives ``lokr_w1`` the shape f × f for the ``decompose_factor`` f wherever f divides both
sizes, so m = n = f can be written and no other size; it keeps the second factor whole where r is
half of its longer side or more. Neither way holds more than one projection in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from ..adapters.kronecker import KroneckerTerm
from ..adapters.terms import Term
from ..disk.files import arrived
from ..disk.tensors import TensorFile
from ..errors import LingarithError
from ..vectors.composition import Composition
from ..vectors.outline import LazyTerms, Terms, check_terms
from ..vectors.vector import Vector
from .folders import WEIGHTS, PeftFormat, TaskType, by_module, in_common, origin_of

WHOLE = 10_000
"""As r: no factor is a product of two; as alpha too, the scale is 1."""

LOKR = PeftFormat("LOKR", "LoKr", "alpha", unsupported={})

FORMS = [{*w1, *w2} for w1 in (("w1",), ("w1_a", "w1_b")) for w2 in (("w2",), ("w2_a", "w2_b"))]
"""The tensors of a projection: each factor is held whole, or as a product of two."""
FACTOR = re.compile(r"(?:base_model\.model\.)?(.+)\.lokr_(w[12](?:_[ab])?)")


def write_lokr(
    composition: Composition,
    folder: Path,
    *,
    base_model: str,
    task_type: TaskType,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write a composition as a LoKr adapter for ``PeftModel.from_pretrained(base, folder)``.

    ``origin`` goes into ``lingarith.json`` as :func:`.peft.write_peft` says. Raises
    :class:`LingarithError` when a projection holds anything but one Kronecker product of m = n, the
    same everywhere, when the folder holds anything that was not written here, on NaN or Inf, or on a
    full disk; the old folder is then still there.
    """
    composition.must_be_projections("PEFT's LoKr")
    settings = {
        "r": WHOLE,
        "alpha": WHOLE,
        "decompose_factor": _factor(composition.outline),
        "decompose_both": False,
        "rank_dropout": 0.0,
        "module_dropout": 0.0,
        "init_weights": True,
    }
    LOKR.write(composition, folder, settings, _factors, base_model=base_model, task_type=task_type, origin=origin)


def open_lokr(folder: Path, name: str) -> Vector:
    """The vector in a LoKr folder that PEFT's ``save_pretrained`` wrote; tensors are read when asked for.

    Its scale is alpha/r, or 1 where modules have their own. Any shape of the first factor is read, and
    factors that PEFT holds as products of two are multiplied. Raises :class:`LingarithError` saying
    why, when the adapter is more than that or damaged, or when a file lies outside the folder.
    """
    config, sizes = LOKR.read(folder)
    file = TensorFile(arrived(folder, WEIGHTS), mend="save the adapter again")
    held = by_module(file, FACTOR, "LoKr factor of a projection; only linear ones are read")
    outline: dict[str, tuple[Term, ...]] = {}
    shapes = file.outline()
    for path in sorted(held):
        if held[path].keys() in FORMS:
            with suppress(RuntimeError):  # two parts of a factor that cannot be multiplied
                outline[path] = (_term(held[path], shapes),)
        if path not in outline or any(part.ndim != 3 or not part.numel() for part in outline[path][0]):
            raise LingarithError(f"{file.path}: {path!r} has no pair of factors that fit together; {file.mend}")
    check_terms(outline, file.path, file.mend)
    scales = {path: alpha / rank for path in outline for rank, alpha in [sizes(path)]}
    scale, own = in_common(scales)

    def read(path: str) -> tuple[Term, ...]:
        return (_term(held[path], file).scaled(own[path]),)

    origin = origin_of(config, kind="kronecker", r=config["r"], alpha=config["alpha"])
    return Vector(name, LazyTerms(outline, read), scale, origin)


def _factors(terms: Terms) -> Iterator[tuple[str, Tensor]]:
    """The tensors under PEFT's names."""
    for path, (term,) in terms.items():
        assert isinstance(term, KroneckerTerm)  # as _factor saw to it
        yield f"base_model.model.{path}.lokr_w1", term.a[0]
        yield f"base_model.model.{path}.lokr_w2", term.b[0]


def _factor(outline: Terms) -> int:
    """The m = n that all projections have. Raises :class:`LingarithError` where one holds anything else."""
    factor = 0
    for path, terms in outline.items():
        match terms:
            case [KroneckerTerm() as term] if len(term.a) == 1 and term.m == term.n == (factor or term.m):
                factor = term.m
            case _:
                held = " + ".join(term.described() for term in terms)
                raise LingarithError(
                    f"{path} holds {held}, and PEFT's LoKr holds one Kronecker product of one size with m = n; cut the "
                    "sum to such a product (--space delta --rank-out 1 --kronecker-out 16x16), or write another format"
                )
    return factor


def _term(held: Mapping[str, str], tensors: Mapping[str, Tensor]) -> KroneckerTerm:
    """The term of a projection; ``held`` names its tensors. Raises RuntimeError where they do not fit."""

    def factor(which: str) -> Tensor:
        first, *second = (tensors[held[name]].float() for name in sorted(held) if name.startswith(which))
        return first @ second[0] if second else first

    return KroneckerTerm(factor("w1")[None], factor("w2")[None])
