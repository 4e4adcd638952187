"""Vectors merged on small cores: what is known of each, where a projection stands, and what cannot be merged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from torch import Tensor

from ..adapters.cores import Cores
from ..adapters.dense import DenseTerm
from ..adapters.kronecker import KroneckerTerm
from ..adapters.lora import LoraTerm
from ..adapters.merging import Merging
from ..adapters.terms import Term, exact_count, exact_rank
from ..errors import LingarithError
from .outline import Terms, kronecker_outline, lora_outline, rest_outline
from .vector import Vector

TASK, LANGUAGES = "task", ("language", "random")
"""What the origins of task and language vectors call them; a random one stands for a language."""


def check_merging(
    merging: Merging,
    parts: Sequence[tuple[float, Vector]],
    outlines: Sequence[Terms],
    grams: Sequence[Mapping[str, Tensor]],
) -> None:
    """Raise :class:`LingarithError` unless the vectors can be merged: LoRA with LoRA, Kronecker of one size with it.

    ``grams`` are theirs, where the merging needs them.
    """
    for _, vector in parts:
        kind = vector.origin.get("kind")
        if merging.roles and kind not in (TASK, *LANGUAGES):
            raise LingarithError(
                f"'{merging.name}' must know which vectors are tasks and which languages, and {vector.name} "
                f"({kind or 'no kind'}) is neither; sum vectors that were trained, or take another method"
            )
    if merging.deep and not depths({path for terms in outlines for path in terms}):
        raise LingarithError(
            f"'{merging.name}' goes by the depth of layers, and the vectors change one alone, or none that has a "
            "number; take another method"
        )
    if all(weight < 0 for weight, _ in parts):
        raise LingarithError(f"nothing is added in this sum, which '{merging.name}' needs; give a positive coefficient")
    kinds: dict[str, dict[str, str]] = {}
    for (_, vector), terms in zip(parts, outlines, strict=True):
        for path, summands in terms.items():
            for term in summands:
                if isinstance(term, DenseTerm):
                    raise LingarithError(
                        f"'{merging.name}' merges low-rank updates, and {vector.name} is full fine-tuning; take the sum"
                    )
                kinds.setdefault(path, {}).setdefault(term.kind, f"{term.described()} ({vector.name})")
    for path, known in kinds.items():
        if len(known) > 1:
            several = " and ".join(known.values())
            raise LingarithError(
                f"'{merging.name}' merges adapters of one kind, and at {path} there are {several}; take the sum, or "
                "vectors of one kind"
            )
    if merging.grams:
        for (_, vector), terms, gram in zip(parts, outlines, grams, strict=True):
            _check_gram(merging, vector, terms, rest_outline(gram))


def _check_gram(merging: Merging, vector: Vector, terms: Terms, gram: Mapping[str, Tensor]) -> None:
    """Raise :class:`LingarithError` unless a vector is LoRA and its Gram matrix (an outline of it) fits it."""
    for path, (term, *_) in terms.items():
        if not isinstance(term, LoraTerm):
            raise LingarithError(
                f"'{merging.name}' merges LoRA alone, and {vector.name} is {term.described()}; take the sum, or "
                "another method"
            )
        if not gram:
            raise LingarithError(
                f"'{merging.name}' needs the Gram matrix of each vector's inputs, and {vector.name} has none; make it "
                f"by `lingarith vectors gram '{vector.name}'` with the --text or --labels that it was trained on"
            )
        if path not in gram or len(gram[path]) != term.size[1]:
            raise LingarithError(
                f"the Gram matrix of {vector.name} does not fit it: {path} takes {term.size[1]} inputs; make it again "
                f"by `lingarith vectors gram '{vector.name}'`"
            )


def merged(
    merging: Merging,
    parts: Sequence[tuple[float, Vector]],
    path: str,
    depth: float | None,
    grams: Sequence[Mapping[str, Tensor]],
) -> tuple[tuple[Term, ...], float]:
    """What a merging makes of a projection, and the squared norm that it lost; ``grams`` as :func:`check_merging`."""
    held = [(c, vector, term) for c, vector in parts for term in vector.scaled(path)]
    tasks = [vector.origin.get("kind") == TASK for _, vector, _ in held]
    reads = [
        partial(gram.__getitem__, path)
        for (_, vector), gram in zip(parts, grams, strict=merging.grams)
        if path in vector.terms
    ]
    cores = Cores([term for *_, term in held], [c for c, *_ in held], tasks, depth, reads)  # type: ignore[misc]  # none is dense
    core, lost = merging.merge(cores)
    return (cores.term(core),), lost


def merged_outline(exact: Sequence[Term]) -> tuple[Term, ...]:
    """The outline of what is merged from terms of one kind."""
    first = exact[0]
    if isinstance(first, KroneckerTerm):
        return (kronecker_outline(first.size, first.m, first.n, exact_count(exact, first.m, first.n)),)
    return (lora_outline(first.size, exact_rank(exact)),)


def depths(paths: Iterable[str]) -> Mapping[str, float]:
    """How deep in its stack each projection stands, 0 (first layer) to 1, the last being the last that is changed.

    Those of no layer lack, and those of a stack in which one layer alone is changed: nobody knows how deep that is.

    >>> depths(["encoder.0.q", "encoder.2.q", "decoder.1.q", "head"])
    {'encoder.0.q': 0.0, 'encoder.2.q': 1.0}
    """
    layers = {path: (kind.partition("*")[0], layer) for path in paths for layer, kind in [place(path)]}
    changed: dict[str, set[int]] = {}
    for stack, layer in layers.values():
        if layer is not None:
            changed.setdefault(stack, set()).add(layer)
    last = {stack: max(some) for stack, some in changed.items() if len(some) > 1}
    return {path: layer / last[stack] for path, (stack, layer) in layers.items() if layer is not None and stack in last}


def place(path: str) -> tuple[int | None, str]:
    """The layer of a projection and its kind, which is its path with ``*`` for the layer.

    >>> place("decoder.block.2.layer.1.EncDecAttention.k")
    (2, 'decoder.block.*.layer.1.EncDecAttention.k')
    """
    number = re.search(r"(?<=\.)\d+(?=\.)", path)
    return (None, path) if number is None else (int(number[0]), path[: number.start()] + "*" + path[number.end() :])
