"""Language vectors and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .methods import Method, Vectors


def vectors_alone(v: Vectors, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """No method: the vector of the language is asked for, and nothing is tested."""
    v.language(target)
    yield from ()
