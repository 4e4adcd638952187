"""Steps of a study: a function, plain arguments and a result, named by the hash of all it depends on.

What a step makes lies in the store: vectors where vectors lie, everything else in
``steps/<key>.json``. So a step is performed once, whichever study needs it, and in whichever
process: nothing but a function's name and plain values has to be handed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from ..disk.files import json_bytes
from ..disk.locks import alone
from ..errors import LingarithError
from ..store.store import Store

VECTORS = ("train", "noise")
"""The functions that make a vector; its recipe is among their arguments."""


@dataclass(frozen=True)
class Step:
    """Something to be done once. ``function`` is one of :data:`.actions.ACTIONS`, ``arguments`` plain JSON.

    Arguments name what the step depends on by content: recipes of vectors, fingerprints of data and
    backbone, keys of other steps. ``needs`` holds the keys of the steps that come before it, and
    ``amount`` how much it is (optimiser steps, or outputs); neither is part of the key.
    """

    function: str
    arguments: Mapping[str, Any]
    needs: tuple[str, ...] = field(default=(), compare=False)
    amount: int = field(default=0, compare=False)

    @property
    def key(self) -> str:
        """sha256 (64 hex digits) of function and arguments."""
        return hashlib.sha256(json.dumps([self.function, self.arguments], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Results:
    """What the steps of all studies left in a store."""

    store: Store

    def done(self, step: Step) -> bool:
        """Whether a step's result is there, whole."""
        if step.function in VECTORS:
            return self.store.by_recipe(step.arguments["recipe"]) is not None
        return self.store.has(_place(step.key))

    def alone(self, step: Step) -> AbstractContextManager[None]:
        """Context in which no other process does the step."""
        return alone(self.store.folder / _place(step.key))

    def write(self, step: Step, result: Mapping[str, Any]) -> None:
        """Keep a result, and beside it what it is the result of."""
        told = {"function": step.function, "arguments": step.arguments, "result": result}
        self.store.write(_place(step.key), json_bytes(told))

    def read(self, key: str) -> dict[str, Any]:
        """The result of a step. Raises :class:`LingarithError` when there is none, or its file is damaged."""
        found = self.store.read(_place(key), "delete it and run the study again")
        if found is None:
            raise LingarithError(f"{self.store.place}/{_place(key)} does not exist; run the study again")
        result: dict[str, Any] = found["result"]
        return result


def _place(key: str) -> str:
    return f"steps/{key}.json"
