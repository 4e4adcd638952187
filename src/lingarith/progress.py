"""What long work calls to say how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, units done, units in all; 0 where that is not known)."""


def quiet(what: str, done: int, total: int) -> None:
    """The progress that nobody watches."""
